"""What the parts of one look at one node share: the chain's rules, the node, its view, and what is said so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from cryptosupport.chains.evm import rivals
from cryptosupport.chains.evm.asking import Asker, View, blocks_at
from cryptosupport.chains.evm.money import Ledger
from cryptosupport.chains.evm.wire import BriefReceipt, Tx
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.ports import Clock
from cryptosupport.domain.transactions import STATE_NAMES, Block, Replaced, Sighting, TxReport, TxStatus

DEV_CHAIN = 31337
"""The chain id of anvil and Hardhat: blocks come when somebody wants one, and can be taken back."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say of a chain. ``required`` confirmations make final, or else ``tag`` decides."""

    name: str
    chain_id: int | None
    tag: str
    required: int | None
    stale_seconds: float
    explorer: str | None
    ledger: Ledger
    clock: Clock


@dataclass(frozen=True, slots=True)
class Missing:
    """A synced node does not know the transaction, and neither do we."""

    node: str


@dataclass(frozen=True, slots=True)
class Gone:
    """A synced node does not know a transaction that was seen before; the report says what became of it there."""

    report: TxReport


Said: TypeAlias = TxReport | Gone | Missing | NodeFailed


@dataclass(slots=True)
class Row:
    """One transaction on its way. ``height`` is its block's, by the receipt."""

    txid: str
    tx: Tx | None
    receipt: BriefReceipt | None
    height: int = -1

    @property
    def block_hash(self) -> str:
        """The hash of its block, by the receipt; empty for a transaction in no block."""
        return (self.receipt.block_hash if self.receipt is not None else None) or ""


@dataclass(slots=True)
class Look:
    """One look. ``search`` allows what is too dear for many transactions at once."""

    rules: Rules
    asker: Asker
    memory: Mapping[str, Sighting]
    brief: bool
    explain: bool
    search: bool
    now: int
    view: View
    said: dict[str, Said] = field(default_factory=dict)
    again: dict[str, str] = field(default_factory=dict)  # what contradicts itself, and how: it is asked once more
    seen_used: set[str] = field(default_factory=set)  # whose nonces were found used before this attempt
    seen_kept: set[str] = field(default_factory=set)  # whose remembered blocks were found in the chain before it

    def malformed(self, txid: str, error: ValueError) -> None:
        """Note that the answer about ``txid`` makes no sense."""
        self.said[txid] = self.asker.malformed(error)

    def report(self, txid: str, status: TxStatus, remember: Sighting | None) -> TxReport:
        """A report of a transaction that is in no block."""
        explorer = self.explorer(txid)
        return TxReport(txid, self.rules.name, status, self.now, self.asker.name, explorer=explorer, remember=remember)

    def explorer(self, txid: str) -> str | None:
        """Where people can see it."""
        return None if self.rules.explorer is None else self.rules.explorer.replace("{txid}", txid)

    def sighting(
        self, txid: str, status: TxStatus, block: Block | None, sender: str | None, nonce: int | None
    ) -> Sighting:
        """What to remember of a transaction that was seen."""
        name, now, state = self.rules.name, self.now, STATE_NAMES[type(status)]
        if block is None:
            return Sighting(name, txid, now, now, state, None, None, sender, nonce)
        return Sighting(name, txid, now, now, state, block.hash, block.height, sender, nonce)

    def replaced(self, claims: Sequence[rivals.Claim]) -> dict[str, Replaced | NodeFailed]:
        """What took the place of transactions whose nonces are used. Raises `NodeFailed`.

        The nonce may have been used by the transaction itself, mined since it was asked for. So at first it is only
        noted, and the transaction is asked for again.
        """
        proven = [claim for claim in claims if claim.txid in self.seen_used]
        for claim in claims:
            if claim.txid not in self.seen_used:
                self.seen_used.add(claim.txid)
                self.again[claim.txid] = f"nonce {claim.nonce} of {claim.sender} is used up"
        return rivals.replaced(self.asker, self.view, proven, self.search) if proven else {}

    def left_blocks(self, txids: Sequence[str]) -> dict[str, str | NodeFailed]:
        """Of those that are remembered in a block and are in none now: the hash of that block when it has left the
        chain.

        A node that has not come to that block yet, or that has it still, cannot speak for the transaction: a
        `NodeFailed`. Raises `NodeFailed`.
        """
        said: dict[str, str | NodeFailed] = {}
        remembered: dict[str, tuple[int, str]] = {}
        for txid in txids:
            seen = self.memory.get(txid)
            if seen is None or seen.block_hash is None or seen.height is None:
                continue
            if self.view.head < seen.height and self.rules.chain_id != DEV_CHAIN:
                words = f"is at block {self.view.head}, and the transaction was seen in block {seen.height}"
                said[txid] = NodeFailed(self.asker.name, "not_synced", words)
            else:
                remembered[txid] = (seen.height, seen.block_hash)
        # Fresh: a block may have been swapped for another one at the same height, with nothing else to show for it.
        blocks = blocks_at(self.asker, {height for height, _ in remembered.values()}, self.view, fresh=True)
        for txid, (height, block_hash) in remembered.items():
            block = blocks[height]
            if isinstance(block, NodeFailed):
                said[txid] = block
                continue
            if block is None or block.hash != block_hash:
                said[txid] = block_hash
                continue
            words = f"has block {height}, which holds the transaction, and does not know it by its id"
            said[txid] = NodeFailed(self.asker.name, "no_index", words)
            if txid not in self.seen_kept:  # it may just have been mined again
                self.seen_kept.add(txid)
                self.again[txid] = words
        return said
