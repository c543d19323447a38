"""Transactions that an Esplora server has in no block: why they wait, or what became of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec

from cryptosupport.chains.bitcoin import esplora_wire as wire
from cryptosupport.chains.bitcoin.esplora import Esplora, EsploraLook, remembered, transfers
from cryptosupport.chains.bitcoin.feemarket import TARGETS, Market, Waiting, judge
from cryptosupport.chains.bitcoin.reports import Absent, Finding, check_hash, remembered_inputs
from cryptosupport.chains.bitcoin.wire import rounded_up
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.money import Amount, FeeRate
from cryptosupport.domain.transactions import Dropped, Pending, PendingReason, Replaced, Sighting, TxReport

MOST_ANCESTORS = 25
"""Unconfirmed ancestors of a standard transaction (DEFAULT_ANCESTOR_LIMIT in Bitcoin Core's policy/policy.h)."""

MOST_INPUTS = 50
"""Inputs that are followed; of each of many that seem to wait, one."""

SIGNALS_RBF = 0xFFFFFFFD
"""The highest sequence that announces replacement (BIP 125)."""

_ESTIMATES = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SPEND = msgspec.json.Decoder(wire.Spend)


class Unconfirmed:
    """The search on one server for one look-up."""

    def __init__(self, server: Esplora, look: EsploraLook) -> None:
        self._server = server
        self._look = look
        self._name = server.node.name
        self._lock = threading.Lock()
        self._market: Market | None = None
        self._absence: Absent | None = None

    def look_up(self, pairs: Sequence[tuple[str, wire.Tx | None]]) -> dict[str, Finding]:
        """What can be said of each (txid, what the server has of it). Raises `NodeFailed`."""
        findings = self._server.at_once(lambda pair: self._one(*pair), pairs)
        return {txid: finding for (txid, _), finding in zip(pairs, findings, strict=True)}

    def _one(self, txid: str, tx: wire.Tx | None) -> Finding:
        sighting = self._look.memory.get(txid)
        if tx is None:
            return self._vanished(txid, remembered_inputs(sighting), sighting)
        if tx.coinbase:  # it can only come back with its block
            height = None if sighting is None else sighting.height
            depth = 0 if height is None else self._look.tip - height + 1
            was_in = None if sighting is None else sighting.block_hash
            final = depth >= self._server.rules.required
            return self._gone(txid, Dropped(final, was_in), "dropped", (), coinbase=True)
        # electrs also finds transactions of blocks that have left the chain, and calls them unconfirmed.
        gone = self._outrun(txid, tx.outpoints, sighting, remembered(tx))
        if gone is not None:
            return gone
        absence = self._ask_absence()  # a server that is behind may not have its block yet
        return absence if absence.code is not None else self._pending(tx, sighting)

    # -- waiting

    def _pending(self, tx: wire.Tx, sighting: Sighting | None) -> TxReport:
        look, rules = self._look, self._server.rules
        if look.brief:
            return look.reporter.report(tx.txid, Pending(PendingReason.WAITING), "pending", inputs=remembered(tx))
        ancestors = self._ancestors(tx) if look.alone else None
        whole = [tx, *(ancestors or ())]
        rate = FeeRate.of(tx.fee, tx.vsize).satoshis_per_kvb
        package = FeeRate.of(sum(each.fee for each in whole), sum(each.vsize for each in whole)).satoshis_per_kvb
        waiting = Waiting(
            own_rate=rate,
            package_rate=package,
            ancestors=None if ancestors is None else len(ancestors),
            signals_rbf=any(vin.sequence <= SIGNALS_RBF for vin in tx.vin) or None,
            was_in=self._left_block(sighting),
        )
        market = self._ask_market()
        status = judge(waiting, market)
        look.note(tx.txid, f"/tx/{tx.txid}", *self._server.described(tx), ("own_feerate", FeeRate(rate)))
        look.note(tx.txid, f"/tx/{tx.txid}", ("package_feerate", FeeRate(package)), ("ancestors", waiting.ancestors))
        look.note(tx.txid, "/fee-estimates", *((f"estimate_{n}_blocks", FeeRate(at)) for n, at in market.estimates))
        look.note(tx.txid, "/mempool", ("mempool_vsize", market.mempool_vbytes))
        look.note(tx.txid, "/blocks/tip/height", ("tip_height", look.tip))
        fee = Amount(tx.fee, rules.coin)
        moved, inputs = transfers(tx, rules), remembered(tx)
        return look.reporter.report(tx.txid, status, "pending", fee, moved, False, status.was_in, None, inputs)

    def _ancestors(self, tx: wire.Tx) -> list[wire.Tx] | None:
        """The unconfirmed transactions that have to come first, or None when there are too many to ask about."""
        found: dict[str, wire.Tx] = {}
        asked = {tx.txid}
        layer = [tx]
        while layer:
            parents = {txid for each in layer for txid, _ in each.outpoints} - asked
            if len(asked) + len(parents) > MOST_ANCESTORS + 1:
                return None
            asked |= parents
            answers = self._server.at_once(self._server.tx, sorted(parents))
            layer = [each for each in answers if each is not None and not each.status.confirmed]
            found |= {each.txid: each for each in layer}
        return list(found.values())

    def _ask_market(self) -> Market:
        with self._lock:
            if self._market is None:
                self._market = self._read_market()
            return self._market

    def _read_market(self) -> Market:
        estimates = self._server.get("/fee-estimates", _ESTIMATES) or {}
        pool = self._server.get("/mempool", wire.Mempool)
        try:
            rates = {int(blocks): rounded_up(bytes(rate), 3) for blocks, rate in estimates.items() if blocks.isdigit()}
            queue = [(rounded_up(bytes(rate), 3), vbytes) for rate, vbytes in pool.fee_histogram] if pool else []
        except ValueError as error:
            raise NodeFailed(self._name, "bad_answer", str(error)) from None
        known = tuple(sorted((blocks, rate) for blocks, rate in rates.items() if 0 < blocks <= TARGETS[-1]))
        return Market(known, None, pool.vsize if pool else None, None, tuple(queue))

    def _left_block(self, sighting: Sighting | None) -> str | None:
        """The block it was in when last seen, where that has left the chain.

        A server that is not so far proves nothing.
        """
        if (
            sighting is None
            or sighting.block_hash is None
            or sighting.height is None
            or self._look.tip < sighting.height
        ):
            return None
        status = self._server.get(f"/block/{sighting.block_hash}/status", wire.BlockStatus)
        return sighting.block_hash if status is None or not status.in_best_chain else None

    # -- gone

    def _outrun(
        self, txid: str, inputs: Sequence[tuple[str, int]], sighting: Sighting | None, kept: tuple[str, ...] = ()
    ) -> Finding | None:
        """The transaction that spends one of ``inputs`` instead, or that none does.

        None where that cannot be told. ``kept``: what to remember, when the server still has the transaction; then it
        is gone only when it has been in a block.
        """
        rival: tuple[str, str] | None = None
        unspent = 0
        followed = inputs[: MOST_INPUTS if self._look.alone or not kept else 1]
        for (parent, vout), spend in zip(followed, self._server.at_once(self._spender, followed), strict=True):
            if spend is None or (spend.spent and spend.txid is None):
                continue  # a server that cannot tell
            if not spend.spent or spend.txid is None:
                unspent += 1
            elif spend.txid == txid:
                if not kept:
                    return Absent(self._name, "busy", "says that it spends its coins, and does not have it")
            else:
                by, outpoint = check_hash(spend.txid, self._name), f"{parent}:{vout}"
                if spend.status is not None and spend.status.confirmed:
                    return self._replaced(txid, by, spend.status.block_height, outpoint, kept)
                rival = rival or (by, outpoint)
        if rival is not None:
            return self._replaced(txid, rival[0], None, rival[1], kept)
        if sighting is None or not (sighting.block_hash if kept and unspent else 0 < unspent == len(inputs)):
            return None
        absence = self._ask_absence()
        if absence.code is not None:
            return absence
        return self._gone(txid, Dropped(False, sighting.block_hash), "dropped", kept)

    def _spender(self, outpoint: tuple[str, int]) -> wire.Spend | None:
        return self._server.get(f"/tx/{outpoint[0]}/outspend/{outpoint[1]}", _SPEND)

    def _vanished(self, txid: str, inputs: Sequence[tuple[str, int]], sighting: Sighting | None) -> Finding:
        gone = self._outrun(txid, inputs, sighting)
        if gone is None and (self._look.alone or sighting is not None):
            gone = self._in_replacement_tree(txid, inputs)
        if gone is not None:
            return gone
        if len(inputs) > MOST_INPUTS:
            return Absent(self._name, "busy", "cannot be asked about everything that it spends")
        absence = self._ask_absence()
        if sighting is not None and absence.code is None:
            return self._gone(txid, Dropped(False, sighting.block_hash), "dropped", ())
        return absence

    def _in_replacement_tree(self, txid: str, inputs: Sequence[tuple[str, int]]) -> Finding | None:
        """That mempool.space saw ``txid`` replaced; other servers have no such trees.

        Its newest transaction is the winner only when it spends one of ``inputs``: it may have replaced no more than
        a replacement, for the sake of another coin.
        """
        try:
            tree = self._server.get(f"/v1/tx/{txid}/rbf", wire.Replacements)
        except NodeFailed:
            return None
        if tree is None or tree.replacements is None or tree.replacements.tx.txid == txid:
            return None
        newest = self._server.tx(check_hash(tree.replacements.tx.txid, self._name))
        if newest is None:
            return None
        self._look.note(txid, f"/v1/tx/{txid}/rbf", ("newest_replacement", newest.txid))
        met = next((outpoint for outpoint in newest.outpoints if outpoint in inputs), None)
        if met is None:
            return self._gone(txid, Replaced(None, False), "replaced", ())
        height = newest.status.block_height if newest.status.confirmed else None
        return self._replaced(txid, newest.txid, height, f"{met[0]}:{met[1]}", ())

    def _replaced(
        self, txid: str, by: str, height: int | None, outpoint: str | None, kept: tuple[str, ...]
    ) -> TxReport:
        """``height`` is the block of the winner, None while it waits itself."""
        depth = 0 if height is None else self._look.tip - height + 1
        self._look.note(txid, f"/tx/{by}", ("winner_height", height), ("winner_confirmations", depth))
        status = Replaced(by, depth >= self._server.rules.required, None, outpoint)
        return self._gone(txid, status, "replaced", kept)

    def _gone(
        self, txid: str, status: Replaced | Dropped, state: str, kept: tuple[str, ...], coinbase: bool = False
    ) -> TxReport:
        was_in = status.was_in if isinstance(status, Dropped) else None
        return self._look.reporter.report(
            txid, status, state, coinbase=coinbase, block_hash=was_in, inputs=kept, seen=bool(kept)
        )

    def _ask_absence(self) -> Absent:
        with self._lock:
            if self._absence is None:
                self._absence = self._server.absence()
            return self._absence
