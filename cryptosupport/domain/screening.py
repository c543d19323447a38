"""Lists of addresses: sanctions, block lists, allow lists, receivers that need a memo; and what is found on them.

An address is looked for in one spelling, whatever coin its list names (M40): "XBT" is BTC, an address that is listed
for ETH is the same on every EVM chain, and a TRON address is its 20 bytes, written in base58 or in hexadecimal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


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
    whose allow list it is on, "" for other kinds. ``since`` is when it came to the list (milliseconds since 1970).
    """

    key: str
    address: str
    entry: str = ""
    label: str = ""
    tag: str = ""
    customer: str = ""
    since: int = 0


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


def digest(entries: Iterable[Listed]) -> str:
    """SHA-256 (hex) over what counts of the entries, in whatever order they come: key and customer."""
    lines = sorted(f"{each.key}\t{each.customer}\n" for each in entries)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
