"""Put secrets into the keyring, take them out, and say which ones the settings refer to. A value is never told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from cryptosupport.domain.errors import BadInput, NoSuchRecord
from cryptosupport.domain.ports import Keyring
from cryptosupport.settings.references import KeyReference, Kind, kind_of

SCHEMA = "cryptosupport.key/1"


@dataclass(frozen=True, slots=True)
class Keys:
    """What there is to know of secrets.

    ``references`` are those of the settings, ``operators`` the names that a person's own key would have here;
    ``allowed`` are the keyring backends that may keep secrets in clear. Whoever holds the ``lock`` is the only one to
    change the keyring.
    """

    keyring: Keyring
    references: Sequence[KeyReference]
    operators: Sequence[str]
    allowed: Collection[str]
    lock: Callable[[], AbstractContextManager[None]]

    def reference(self, name: str) -> KeyReference:
        """What the settings say of a name; of some they say nothing."""
        found = (each for each in self.references if each.name == name)
        return next(found, KeyReference(name, kind_of(name)))

    def known(self) -> list[tuple[KeyReference, bool]]:
        """Each name, and whether it is set: those of the settings, and a person's own key where it is here.

        Without a keyring none is. Raises `BadSettings` for a keyring that does not open.
        """
        backends, _, fault = self.keyring.examine()
        if not backends and not fault:
            return [(each, False) for each in self.references]
        named = [(each, self._is_set(each.name)) for each in self.references]
        referred = {each.name for each in self.references}
        own = [name for name in self.operators if name not in referred and self._is_set(name)]
        return [*named, *((KeyReference(name, Kind.OPERATOR), True) for name in own)]

    def _is_set(self, name: str) -> bool:
        return self.keyring.password(name) is not None


def set_key(keys: Keys, name: str, read: Callable[[], str], replace: bool) -> dict[str, Any]:
    """Keep what ``read`` returns under ``name``.

    Raises `BadInput` for an empty secret, and for a name that is taken unless it may ``replace`` that (a lost key of a
    hot wallet is lost money); `BadSettings` where the keyring is too weak for it.
    """
    reference = keys.reference(name)
    if reference.kind.guarded:
        keys.keyring.refuse_weak(keys.allowed)
    _refuse_taken(keys, name, replace)  # before somebody types
    value = _usable(name, read())
    with keys.lock():
        replaced = _refuse_taken(keys, name, replace)
        keys.keyring.set_password(name, value)
    return {**_record(reference, "set"), "replaced": replaced}


def delete_key(keys: Keys, name: str, force: bool, sure: Callable[[], bool]) -> dict[str, Any]:
    """Forget ``name``, when the user is ``sure``.

    Raises `NoSuchRecord`; `BadInput` for the key of a wallet without ``force``, and for a user who is not sure.
    """
    reference = keys.reference(name)
    if keys.keyring.password(name) is None:
        raise NoSuchRecord(f"the keyring holds nothing under {name}: `cryptosupport keys list` shows the names")
    if reference.kind is Kind.SIGNER and not force:
        said = f"{', '.join(reference.places)} signs with {name}: without a copy, all that the wallet holds is lost"
        raise BadInput(f"{said}; to delete it all the same, add --force", name=name)
    if not sure():
        raise BadInput(f"{name} was not deleted", name=name)
    with keys.lock():
        keys.keyring.delete(name)
    return _record(reference, "deleted")


def list_keys(keys: Keys) -> Iterator[dict[str, Any]]:
    """Every name as JSON shows it (schema `cryptosupport.key/1`)."""
    for reference, is_set in keys.known():
        yield _record(reference, "set" if is_set else "missing")


def _refuse_taken(keys: Keys, name: str, replace: bool) -> bool:
    """Whether something is kept under ``name``, which may be replaced. Raises `BadInput` where it may not."""
    taken = keys.keyring.password(name) is not None
    if taken and not replace:
        raise BadInput(f"{name} is set already, and was left as it is: to lose what it was, add --replace", name=name)
    return taken


def _usable(name: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:  # the error would show it
        raise BadInput(f"the secret for {name} is not valid UTF-8; nothing was kept", name=name) from None
    if not value.strip():
        raise BadInput(f"the secret for {name} is empty; nothing was kept", name=name)
    return value


def _record(reference: KeyReference, state: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "name": reference.name,
        "kind": reference.kind.value,
        "state": state,
        "referred_to": list(reference.places),
    }
