"""What the audit log says of wallets that were adopted: which nonces are of a time that the ledger does not know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

Places: TypeAlias = tuple[tuple[int, int], ...]
"""Nonces that were adopted, from and to, both included, in their order."""

ADOPTED = "wallet.adopted"
"""What the audit log calls a wallet that two people bound to the ledger."""

SIGNER_HEAD = "signer_knows"
"""The fact that says how far the signer's memory of the log had come then: what a restored ledger has forgotten."""


def places_text(places: Places) -> str:
    """Nonces as the log has them.

    >>> places_text(((0, 3), (7, 7)))
    '0-3 7-7'
    """
    return " ".join(f"{first}-{last}" for first, last in places)


def places_in(facts: Mapping[str, str | None]) -> Places:
    """The nonces that the facts of the last `ADOPTED` name.

    >>> places_in({"nonces": "0-3 7-7"})
    ((0, 3), (7, 7))
    """
    found = re.findall(r"([0-9]+)-([0-9]+)", facts.get("nonces") or "")
    return tuple((int(first), int(last)) for first, last in found)


def first_unadopted(first: int, last: int, places: Places) -> int | None:
    """The first nonce from ``first`` to ``last`` that was not adopted, None where all were.

    >>> first_unadopted(0, 9, ((0, 3), (4, 7))), first_unadopted(0, 3, ((0, 3),))
    (8, None)
    """
    for begins, ends in places:
        if begins <= first <= ends:
            first = ends + 1
    return first if first <= last else None
