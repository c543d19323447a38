"""The mempool of one bitcoind: entries, and what its node knows of the price of block space."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec

from cryptosupport.chains.bitcoin import wire
from cryptosupport.chains.bitcoin.feemarket import TARGETS, Market, Waiting
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.money import FeeRate
from cryptosupport.domain.ports import Clock
from cryptosupport.transport import Call, JsonRpcNode, RpcFault, decode

FRESH = 5.0
"""Seconds for which the market is not asked again."""

_ENTRY = msgspec.json.Decoder(wire.Entry)


class Mempool:
    """What one node's mempool says."""

    def __init__(self, node: JsonRpcNode, clock: Clock) -> None:
        self._node = node
        self._clock = clock
        self._lock = threading.Lock()
        self._market: Market | None = None
        self._asked = 0.0

    def entries(self, txids: Sequence[str]) -> tuple[list[wire.Entry | None], Market]:
        """The entry of each of ``txids``, None for what has left the mempool, and the market. Raises `NodeFailed`."""
        market = self._market if self._clock.monotonic() - self._asked < FRESH else None
        extra = [] if market is not None else _market_calls()
        answers = self._node.batch([*extra, *(Call("getmempoolentry", (txid,)) for txid in txids)])
        if market is None:
            market = self._read_market(answers[: len(extra)])
        return [self._entry(answer) for answer in answers[len(extra) :]], market

    def market(self) -> Market:
        """What the node knows of the price of block space, at most `FRESH` seconds old. Raises `NodeFailed`."""
        return self.entries(())[1]

    def _entry(self, answer: msgspec.Raw | RpcFault) -> wire.Entry | None:
        return None if isinstance(answer, RpcFault) else decode(answer, _ENTRY, self._node.name)

    def _read_market(self, answers: Sequence[msgspec.Raw | RpcFault]) -> Market:
        name = self._node.name
        info, *estimates = answers
        if isinstance(info, RpcFault):
            raise NodeFailed(name, "bad_answer", f"getmempoolinfo: {info.message}")
        pool = decode(info, wire.MempoolInfo, name)
        rates: dict[int, int] = {}
        for target, answer in zip(TARGETS, estimates, strict=True):
            if isinstance(answer, RpcFault):  # a node without an estimator
                continue
            estimate = decode(answer, wire.Estimate, name)
            if bytes(estimate.feerate):
                # An estimate for the next block is one for two; where data are short, one for more blocks than asked.
                rates.setdefault(max(target, estimate.blocks), self.amount(estimate.feerate))
        market = Market(tuple(sorted(rates.items())), self.amount(pool.mempoolminfee), pool.bytes, pool.fullrbf)
        with self._lock:
            self._market, self._asked = market, self._clock.monotonic()
        return market

    def amount(self, raw: msgspec.Raw) -> int:
        """An amount in satoshis. Raises `NodeFailed` when it is none, or negative."""
        return amount(raw, self._node.name)

    def _delta(self, raw: msgspec.Raw) -> int:
        """A fee that the node's operator may have moved below zero (prioritisetransaction)."""
        return 0 if bytes(raw).startswith(b"-") else self.amount(raw)

    def waiting(self, entry: wire.Entry, was_in: str | None) -> Waiting:
        """The facts of ``entry`` that decide why it waits."""
        return Waiting(
            own_rate=FeeRate.of(self.amount(entry.fees.base), entry.vsize).satoshis_per_kvb,
            package_rate=self._package_rate(entry),
            ancestors=entry.ancestorcount - 1,
            unbroadcast=entry.unbroadcast,
            signals_rbf=entry.replaceable,
            was_in=was_in,
        )

    def _package_rate(self, entry: wire.Entry) -> int:
        """Satoshis per kvB of what is mined together with ``entry``.

        A node that knows it says so; else it is the better of its ancestors with it, and of these with all its
        descendants.
        """
        fees = entry.fees
        if bytes(fees.chunk) and entry.chunkweight:
            return FeeRate.of(self._delta(fees.chunk), -(-entry.chunkweight // 4)).satoshis_per_kvb
        rate = FeeRate.of(self._delta(fees.ancestor), entry.ancestorsize).satoshis_per_kvb
        if not bytes(fees.descendant) or entry.descendantsize <= entry.vsize:
            return rate
        own = self._delta(fees.modified if bytes(fees.modified) else fees.base)
        fee = self._delta(fees.ancestor) + self._delta(fees.descendant) - own
        size = entry.ancestorsize + entry.descendantsize - entry.vsize
        return max(rate, FeeRate.of(max(fee, 0), size).satoshis_per_kvb)


def amount(raw: msgspec.Raw, node: str) -> int:
    """An amount in satoshis. Raises `NodeFailed` naming ``node`` when it is none, or negative."""
    try:
        value = wire.satoshis(raw)
    except ValueError as error:
        raise NodeFailed(node, "bad_answer", str(error)) from None
    if value < 0:
        raise NodeFailed(node, "bad_answer", "a negative amount where none can be")
    return value


def _market_calls() -> list[Call]:
    return [Call("getmempoolinfo"), *(Call("estimatesmartfee", (target,)) for target in TARGETS)]
