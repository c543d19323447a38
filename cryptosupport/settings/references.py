"""Which secrets of the keyring the settings refer to, from where, and what each is for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from cryptosupport.domain.errors import BadSettings
from cryptosupport.settings.chains import chain_names
from cryptosupport.settings.reading import is_there, parse

PERSONAL_DATA = "personal-data"
"""The key that seals what the ledger knows of people, where [privacy] key does not name another."""

BY_DEFAULT = "desk.toml privacy.key (its default)"
"""The place that refers to it where the settings say nothing."""

_KEYRING = "keyring:"
_OPERATOR = "operator-"


class Kind(Enum):
    """What a secret is for."""

    SIGNER = "signer"
    OPERATOR = "operator"
    PERSONAL_DATA = "personal data"
    OTHER = "other"

    @property
    def guarded(self) -> bool:
        """Whether it guards money or people, and so belongs in no keyring that keeps secrets in clear."""
        return self is not Kind.OTHER


@dataclass(frozen=True, slots=True)
class KeyReference:
    """A name in the keyring, and the settings that refer to it, as "wallets.toml hot-eth.signer"."""

    name: str
    kind: Kind
    places: tuple[str, ...] = ()


def key_references(folder: Path) -> tuple[KeyReference, ...]:
    """Every name after "keyring:" in the settings and their defaults, in order of name. Raises `BadSettings`.

    Values are looked at as they stand: whether the file is sound otherwise is for those to say who use it.
    """
    places: dict[str, list[str]] = {}
    kinds: dict[str, Kind] = {}
    if not _names_personal_key(folder):
        places[PERSONAL_DATA] = [BY_DEFAULT]
    for file in _files(folder):
        for where, name in _names(parse(folder / file), ""):
            if not name:
                raise BadSettings(f'{folder / file}: {where}: a secret has no name: write "keyring:NAME"')
            places.setdefault(name, []).append(f"{file} {where}")
            if file == "wallets.toml" and where.endswith((".signer", ".signer_header")):
                kinds[name] = Kind.SIGNER
            elif (file, where) == ("desk.toml", "privacy.key"):
                kinds.setdefault(name, Kind.PERSONAL_DATA)
    return tuple(KeyReference(name, kinds.get(name, kind_of(name)), tuple(places[name])) for name in sorted(places))


def _names_personal_key(folder: Path) -> bool:
    """Whether desk.toml says where the key of personal data is."""
    path = folder / "desk.toml"
    section = parse(path).get("privacy") if is_there(path) else None
    return isinstance(section, dict) and "key" in section


def operator_keys(folder: Path) -> tuple[str, ...]:
    """The names under which the keyring of a person of operators.toml holds that person's own key.

    No setting refers to them: the key of each is on the machine of that person only. Raises `BadSettings`.
    """
    path = folder / "operators.toml"
    return tuple(f"{_OPERATOR}{name}" for name in parse(path)) if is_there(path) else ()


def kind_of(name: str) -> Kind:
    """What a secret is for that no wallet signs with."""
    if name == PERSONAL_DATA:
        return Kind.PERSONAL_DATA
    return Kind.OPERATOR if name.startswith(_OPERATOR) else Kind.OTHER


def _files(folder: Path) -> list[str]:
    tops = [name for name in ("desk.toml", "operators.toml", "wallets.toml") if is_there(folder / name)]
    return [*tops, *(f"chains/{name}.toml" for name in chain_names(folder))]


def _names(value: object, where: str) -> Iterator[tuple[str, str]]:
    """(Place, name) of every reference to the keyring below a value."""
    if isinstance(value, str) and value.startswith(_KEYRING):
        yield where, value.removeprefix(_KEYRING)
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from _names(child, f"{where}.{key}" if where else key)
    elif isinstance(value, list):
        for number, child in enumerate(value, 1):
            yield from _names(child, f"{where}.{number}")
