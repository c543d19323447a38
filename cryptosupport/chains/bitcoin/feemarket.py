"""Why a transaction waits: its feerate against what the next blocks ask. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from cryptosupport.domain.money import FeeRate
from cryptosupport.domain.transactions import Pending, PendingReason

TARGETS = (1, 2, 3, 6, 12, 24, 48, 144)
"""Blocks for which an estimate is asked: from the next one to a day."""

SOON = 6
"""Blocks: what asks for more patience than this pays too little."""

BLOCK_VBYTES = 1_000_000
"""What fits into a block, in vB (MAX_BLOCK_WEIGHT of BIP 141 over 4)."""


@dataclass(frozen=True, slots=True)
class Market:
    """What a node knows of the price of block space.

    ``estimates`` are (blocks, satoshis per kvB), for rising numbers of blocks; empty where the node has none.
    ``minimum`` is what its mempool keeps, in satoshis per kvB. ``full_rbf``: whether it takes replacements that were
    not announced (BIP 125). ``queue`` holds (satoshis per kvB, vB) of the mempool, dearest first, where the node
    tells it.
    """

    estimates: tuple[tuple[int, int], ...] = ()
    minimum: int | None = None
    mempool_vbytes: int | None = None
    full_rbf: bool | None = None
    queue: tuple[tuple[int, int], ...] = ()

    @property
    def next_blocks(self) -> FeeRate | None:
        """What the next blocks ask."""
        return FeeRate(self.estimates[0][1]) if self.estimates else None

    def too_low(self, rate: int) -> bool:
        """Whether the mempool would not keep ``rate``."""
        return self.minimum is not None and rate < self.minimum

    def blocks_for(self, rate: int) -> int | None:
        """In how many blocks ``rate`` (satoshis per kvB) is likely mined, or None where that cannot be said."""
        if self.too_low(rate):
            return None
        if self.queue:
            return sum(vbytes for asked, vbytes in self.queue if asked > rate) // BLOCK_VBYTES + 1
        if self.estimates:
            return next((blocks for blocks, asked in self.estimates if asked <= rate), None)
        fits = self.mempool_vbytes is not None and self.mempool_vbytes <= BLOCK_VBYTES
        return 1 if fits and self.minimum is not None else None

    def pays_too_little(self, rate: int) -> bool:
        """Whether ``rate`` is below the mempool's minimum, or too low to be mined soon where that can be told."""
        if self.too_low(rate):
            return True
        blocks = self.blocks_for(rate)
        return bool(self.estimates or self.queue) and (blocks is None or blocks > SOON)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A transaction in a mempool. Rates are in satoshis per kvB.

    ``package_rate`` is that of what is mined together with it: its unconfirmed ancestors, and descendants that pay
    more.
    """

    own_rate: int
    package_rate: int
    ancestors: int | None  # None: not asked for
    unbroadcast: bool = False
    signals_rbf: bool | None = None
    was_in: str | None = None  # the hash of a block that held it and is no longer in the chain


def judge(tx: Waiting, market: Market) -> Pending:
    """Say why ``tx`` is in no block yet. The first cause that holds is told, the one that has to be acted on first."""
    return Pending(
        reason=_reason(tx, market),
        feerate=FeeRate(tx.package_rate),
        mempool_min=None if market.minimum is None else FeeRate(market.minimum),
        market=market.next_blocks,
        eta_blocks=market.blocks_for(tx.package_rate),
        replaceable=True if tx.signals_rbf else market.full_rbf if market.full_rbf is not None else None,
        ancestors=tx.ancestors,
        was_in=tx.was_in,
    )


def _reason(tx: Waiting, market: Market) -> PendingReason:
    if tx.was_in is not None:
        return PendingReason.REORGED
    if _held_by_ancestors(tx, market):
        return PendingReason.ANCESTOR
    if market.pays_too_little(tx.package_rate):
        return PendingReason.LOW_FEE
    if tx.unbroadcast:
        return PendingReason.UNBROADCAST
    return PendingReason.WAITING


def _held_by_ancestors(tx: Waiting, market: Market) -> bool:
    """Whether unconfirmed ancestors that pay less make it wait longer than its own fee would."""
    if not tx.ancestors or tx.package_rate >= tx.own_rate or market.pays_too_little(tx.own_rate):
        return False
    alone, together = market.blocks_for(tx.own_rate), market.blocks_for(tx.package_rate)
    return together is None or (alone is not None and together > alone)  # None: nobody can say that they do not
