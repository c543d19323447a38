"""Which keyring holds the secrets, and whether it keeps them from others."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cryptosupport.domain.errors import BadSettings, NoSuchRecord

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

_SERVICE = "cryptosupport"
_ABSENT = {"keyring.backends.fail.Keyring", "keyring.backends.null.Keyring"}
_IN_CLEAR = "keyrings.alt."
_OURS = (
    "set $CRYPTOSUPPORT_KEYRING_PASSPHRASE_FILE, and this program's own "
    "(cryptosupport.outside.keyfile.Keyring) keeps secrets in a sealed file"
)


# -- secrets ---------------------------------------------------------------------------------------------------------


def password(name: str) -> str | None:
    """What the keyring holds under ``name`` for this program, None for nothing. Raises `BadSettings`."""
    ring = _keyring()
    with _told("read"):
        return ring.get_password(_SERVICE, _given(name))


def set_password(name: str, value: str) -> None:
    """Keep ``value`` under ``name``, and see that it is kept. Raises `BadSettings`."""
    ring = _keyring()
    with _told("written"):
        ring.set_password(_SERVICE, _given(name), value)
    if password(name) != value:
        said = f"{_name(ring)} did not keep what it was given as {name}"
        raise BadSettings(f"{said}: name another keyring in $PYTHON_KEYRING_BACKEND, or {_OURS}")


def delete(name: str) -> None:
    """Forget what is kept under ``name``. Raises `NoSuchRecord` when that is nothing, `BadSettings`."""
    if password(name) is None:
        raise NoSuchRecord(f"the keyring holds nothing under {name}")
    ring = _keyring()
    with _told("written"):
        ring.delete_password(_SERVICE, name)
    if password(name) is not None:
        raise BadSettings(f"{name} is still in the keyring: {', '.join(backends())} keeps it, perhaps more than once")


@contextmanager
def _told(done: str) -> Iterator[None]:
    """Meanwhile a fault of the keyring is one of the settings. Some backends do not know every operation."""
    from keyring.errors import KeyringError, NoKeyringError

    try:
        yield
    except NoKeyringError as error:
        raise BadSettings(f"this machine has no keyring: {_OURS}") from error
    except (KeyringError, OSError, NotImplementedError) as error:
        raise BadSettings(f"the keyring cannot be {done}: {error or type(error).__name__}") from error


def _given(name: str) -> str:
    if not name:
        raise BadSettings('a secret has no name: write "keyring:NAME"')
    return name


# -- which keyring ---------------------------------------------------------------------------------------------------


def backends() -> tuple[str, ...]:
    """The keyring backends that are asked, in their order, each as "module.Class"; none when no secret can be kept.

    Raises `BadSettings` when $PYTHON_KEYRING_BACKEND or keyringrc.cfg names one that cannot be used.
    """
    return tuple(name for name in map(_name, _asked(_keyring())) if name not in _ABSENT)


def in_clear() -> tuple[str, ...]:
    """Those backends that keep secrets where others can read them; one of a chain is enough for the secret to be there.

    Whatever keyrings.alt has counts as such, since even what it encrypts can be lost by two writers at once.
    """
    return tuple(_name(one) for one in _asked(_keyring()) if _is_alternative(one))


def examine() -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """The backends, those in clear, and in words why there are none to be had ("" for no fault)."""
    try:
        return backends(), in_clear(), ""
    except BadSettings as error:
        return (), (), error.message


def refuse_weak(allowed: Collection[str]) -> None:
    """Raise `BadSettings` unless the keyring keeps secrets, and from others, or is ``allowed`` by "module.Class".

    What guards money or people belongs in no other. Several backends in a chain count as their worst.
    """
    if not backends():
        raise BadSettings(f"this machine has no keyring: {_OURS}")
    weak = [name for name in in_clear() if name not in allowed]
    if weak:
        said = f"the keyring {', '.join(weak)} keeps secrets in clear, and this one guards money or people"
        raise BadSettings(f"{said}: {_OURS}; for tests, name it under [keys] allow_backends in desk.toml")


def _asked(chosen: KeyringBackend) -> list[KeyringBackend]:
    """The backends themselves: a chain stands for several in one, an empty one for none."""
    chain = getattr(chosen, "backends", None)
    return [chosen] if chain is None else [each for one in chain for each in _asked(one)]


def _name(backend: KeyringBackend) -> str:
    return f"{type(backend).__module__}.{type(backend).__qualname__}"


def _is_alternative(backend: KeyringBackend) -> bool:
    """Whether it, or what it is built on, is of keyrings.alt."""
    return any(kind.__module__.startswith(_IN_CLEAR) for kind in type(backend).__mro__)


def _keyring() -> KeyringBackend:
    import configparser

    import keyring

    try:
        return keyring.get_keyring()
    # It imports whatever module is named, looks up the class, makes one, and asks whether that can work here.
    except (ImportError, AttributeError, ValueError, TypeError, RuntimeError, OSError, configparser.Error) as error:
        said = f"{type(error).__name__}: {error}"
        raise BadSettings(f"$PYTHON_KEYRING_BACKEND or keyringrc.cfg names a keyring that fails: {said}") from error
