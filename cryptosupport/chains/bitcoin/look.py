"""One look at one bitcoind: what is wanted, and what was learnt on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from cryptosupport.chains.bitcoin import wire
from cryptosupport.chains.bitcoin.feemarket import Market
from cryptosupport.chains.bitcoin.reports import Reporter
from cryptosupport.chains.bitcoin.wallets import Known
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.transactions import Detail, Fact, Sighting
from cryptosupport.transport import decode

AnyTx = wire.Tx | wire.BriefTx

_TX = msgspec.json.Decoder(wire.Tx)
_BRIEF_TX = msgspec.json.Decoder(wire.BriefTx)


@dataclass(slots=True)
class Look:
    """One call of `look_up` on one node.

    What is wanted, and what was learnt on the way (the latter for the long explanation).
    """

    detail: Detail
    alone: bool
    memory: Mapping[str, Sighting]
    reporter: Reporter
    info: wire.ChainInfo = field(default_factory=lambda: wire.ChainInfo("", 0, 0, ""))
    raws: dict[str, msgspec.Raw] = field(default_factory=dict)
    entries: dict[str, wire.Entry] = field(default_factory=dict)
    known: dict[str, list[Known]] = field(default_factory=dict)
    market: Market | None = None
    notes: dict[str, list[Fact]] = field(default_factory=dict)

    def note(self, txid: str, name: str, value: object, source: str) -> None:
        """Keep a fact for the long explanation. ``source`` is the method that told it, or `memory`."""
        if self.detail is Detail.EXPLAIN:
            whence = source if source == "memory" else f"{source} @ {self.reporter.node}"
            self.notes.setdefault(txid, []).append(Fact(name, str(value), whence))

    @property
    def brief(self) -> bool:
        """Whether the state alone is wanted."""
        return self.detail is Detail.BRIEF

    @property
    def verbosity(self) -> int:
        """For getrawtransaction: 2 adds the fee and what is spent (since Bitcoin Core 25), which is dear.

        See `prevouts`.
        """
        return 2 if self.alone and self.detail is not Detail.BRIEF else 1

    def read(self, raw: msgspec.Raw, txid: str) -> AnyTx:
        """Decode a transaction and see that it is the one asked for. Raises `NodeFailed`."""
        node = self.reporter.node
        tx: AnyTx = decode(raw, _BRIEF_TX, node) if self.detail is Detail.BRIEF else decode(raw, _TX, node)
        if tx.txid != txid:
            raise NodeFailed(node, "bad_answer", "answers with another transaction than the one asked for")
        if self.detail is Detail.EXPLAIN:
            self.raws[txid] = raw
        return tx
