"""What the audit log says of wallets that were adopted: which nonces, or which transactions up to which block where
there are none, are of a time that the ledger does not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import TypeAlias

from cryptosupport.domain.paying import Spend

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


def history_facts(spends: Sequence[Spend]) -> dict[str, str]:
    """What adopting these transactions, all of them in blocks, is written down as.

    However many there are: the height and the hash of the last block that has one, their number and their digest.

    >>> history_facts([Spend("ab", (7, "00ff"), True)])["height"]
    '7'
    """
    height, block = max((each.block for each in spends if each.block is not None), default=(0, ""))
    return {"height": str(height), "block": block, "spends": str(len(spends)), "digest": _digest(spends)}


def unadopted(spends: Sequence[Spend], facts: Mapping[str, str | None]) -> list[Spend]:
    """Those that were not adopted, by the facts of the last `ADOPTED`: what came later.

    All of them, where up to that height there are others than were adopted then: one was hidden, or the chain was
    rewritten deeper than it ever is, and people have to look again.

    >>> old, new = Spend("ab", (7, "00ff"), True), Spend("cd", (9, "00ee"), False)
    >>> unadopted([old, new], history_facts([old])) == [new], unadopted([old], {}) == [old]
    (True, True)
    """
    if facts.get("digest") is None:
        return list(spends)
    height = int(facts["height"] or 0)
    before = {each for each in spends if each.block is not None and each.block[0] <= height}
    if _digest(before) != facts["digest"]:
        return list(spends)
    return [each for each in spends if each not in before]


def _digest(spends: Iterable[Spend]) -> str:
    return sha256("".join(sorted(each.txid for each in spends)).encode()).hexdigest()
