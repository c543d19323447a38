"""Lists of addresses: sanctions, block lists, allow lists, receivers that need a memo; and what is found on them.

An address is looked for in one spelling, whatever coin its list names (M40): "XBT" is BTC, an address that is listed
for ETH is the same on every EVM chain, and a TRON address is its 20 bytes, written in base58 or in hexadecimal.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cryptosupport.domain.base58 import decode_base58check
from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.identifiers import cleaned

_EVM = re.compile(r"(?:0[xX])?[0-9a-fA-F]{40}", re.ASCII)
_TRON_HEX = re.compile(r"(?:0[xX])?41[0-9a-fA-F]{40}", re.ASCII)
_TRON_BASE58 = re.compile(r"T[1-9A-HJ-NP-Za-km-z]{33}", re.ASCII)
_TRON_VERSION = 0x41
_BECH32_IN_CAPITALS = re.compile(r"[A-Z_]{1,20}1[02-9AC-HJ-NP-Z]{6,100}", re.ASCII)


class ListKind(StrEnum):
    """What a list does: a hit of SANCTIONS is blocked, of BLOCK denied; a customer with an ALLOW list may use no other
    address; a MEMO address receives nothing without a memo.
    """

    SANCTIONS = "sanctions"
    BLOCK = "block"
    ALLOW = "allow"
    MEMO = "memo"


@dataclass(frozen=True, slots=True)
class Listed:
    """One address on a list. ``key`` is the spelling that is looked for, ``address`` the one of the list.

    ``entry`` is the list's own id of it, ``label`` whose it is, ``tag`` the coin that the list names; ``customer`` is
    whose allow list it is on, "" for other kinds. ``since`` is when it came to the list (milliseconds since 1970); 0
    as long as it is only in a file that does not tell.
    """

    key: str
    address: str
    entry: str = ""
    label: str = ""
    tag: str = ""
    customer: str = ""
    since: int = 0


@dataclass(frozen=True, slots=True)
class AsOf:
    """The moment that a file of a list says it is of, in milliseconds since 1970."""

    at: int


@dataclass(frozen=True, slots=True)
class ListHead:
    """A list as it was imported last; times in milliseconds since 1970.

    ``as_of`` is the moment that the list itself names, None where it names none; ``imported_at`` when it was last
    read, whether or not it had changed; ``digest`` is over all its entries.
    """

    name: str
    kind: ListKind
    source: str
    as_of: int | None
    imported_at: int
    entries: int
    digest: str


def key_of(address: str) -> str:
    """The one spelling of an address that lists are searched for, whatever coin it is named for.

    A TRON address and the EVM address of the same key are the same 20 bytes: both are 0x and 40 digits in lower case
    (TRON's version byte is 0x41: developers.tron.network/docs/account). Bech32 may be written in capitals, and means
    the same in small letters (BIP 173). Whatever else it is stays as it is, without blanks around; what is no address
    at all is told by nobody here.

    >>> key_of("0xDAC17F958D2EE523A2206206994597C13D831EC7")
    '0xdac17f958d2ee523a2206206994597c13d831ec7'
    >>> key_of("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t") == key_of("41a614f803b6fd780986a42c78ec9c7f77e6ded13c")
    True
    >>> key_of(" BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4 ")
    'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4'
    """
    text = cleaned(address)
    if _EVM.fullmatch(text) or _TRON_HEX.fullmatch(text):
        return f"0x{text[-40:].lower()}"
    if _TRON_BASE58.fullmatch(text):
        return _of_tron(text)
    return text.lower() if _BECH32_IN_CAPITALS.fullmatch(text) else text


def _of_tron(text: str) -> str:
    """The key of what looks like a TRON address; where the checksum fails it is none, and stays as it is."""
    try:
        data = decode_base58check(text)
    except BadInput:
        return text
    return f"0x{data[1:].hex()}" if len(data) == 21 and data[0] == _TRON_VERSION else text


def digest(entries: Iterable[Listed]) -> str:
    """SHA-256 (hex) over what counts of the entries, in whatever order they come: key, customer, and since when."""
    lines = sorted(f"{each.key}\t{each.customer}\t{each.since}\n" for each in entries)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Hit:
    """An address that is on the list ``name``."""

    name: str
    entry: Listed


class Lists:
    """The lists as they count now. An address is found in any spelling; of several allow lists each allows.

    ``lists`` are the heads with their entries; a list that was imported and is empty by now has a head too.
    """

    def __init__(self, lists: Iterable[tuple[ListHead, Iterable[Listed]]] = ()) -> None:
        heads: list[ListHead] = []
        self._found: dict[ListKind, list[tuple[str, dict[str, Listed]]]] = {kind: [] for kind in ListKind}
        self._allowed: dict[str, dict[str, Listed]] = {}
        for head, entries in lists:
            heads.append(head)
            if head.kind is ListKind.ALLOW:
                for each in entries:
                    self._allowed.setdefault(each.customer, {}).setdefault(each.key, each)
            else:
                self._found[head.kind].append((head.name, {each.key: each for each in entries}))
        self.heads: tuple[ListHead, ...] = tuple(heads)

    def sanctions(self, address: str) -> Sequence[Hit]:
        """Where an address is sanctioned: nothing may be paid to it, and nothing refunded."""
        return self._hits(ListKind.SANCTIONS, address)

    def blocked(self, address: str) -> Sequence[Hit]:
        """Where the desk has blocked an address."""
        return self._hits(ListKind.BLOCK, address)

    def needs_memo(self, address: str) -> Sequence[Hit]:
        """Which lists say that an address receives nothing without a memo."""
        return self._hits(ListKind.MEMO, address)

    def allowed(self, customer: str) -> Mapping[str, Listed] | None:
        """The addresses, by `key_of`, that a customer may use and no other; None: the customer has no allow list."""
        return self._allowed.get(customer)

    def stopped_allowed(self) -> Sequence[tuple[Listed, Hit]]:
        """The entries of allow lists that are on a list of SANCTIONS or BLOCK too, each with where."""
        kinds = (ListKind.SANCTIONS, ListKind.BLOCK)
        stopping = [(name, entries) for kind in kinds for name, entries in self._found[kind]]
        return [
            (allowed[key], Hit(name, entries[key]))
            for allowed in self._allowed.values()
            for name, entries in stopping
            for key in sorted(allowed.keys() & entries.keys())
        ]

    def _hits(self, kind: ListKind, address: str) -> Sequence[Hit]:
        key = key_of(address)
        return tuple(Hit(name, entries[key]) for name, entries in self._found[kind] if key in entries)
