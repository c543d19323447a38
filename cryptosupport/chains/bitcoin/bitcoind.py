"""What one bitcoind says of transactions, over JSON-RPC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import msgspec

from cryptosupport.chains.bitcoin import reports, wire
from cryptosupport.chains.bitcoin.absence import out_of_step
from cryptosupport.chains.bitcoin.feemarket import judge
from cryptosupport.chains.bitcoin.look import AnyTx, Look
from cryptosupport.chains.bitcoin.mempool import Mempool, amount
from cryptosupport.chains.bitcoin.networks import Rules
from cryptosupport.chains.bitcoin.prevouts import fill_mined, fill_waiting, lacking
from cryptosupport.chains.bitcoin.recent import FEWEST, Recent
from cryptosupport.chains.bitcoin.reports import Absent, Finding, Reporter
from cryptosupport.chains.bitcoin.wallets import Wallets, tell_change
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.money import Amount
from cryptosupport.domain.ports import Clock, NodeHealth
from cryptosupport.domain.transactions import (
    Block,
    Confirmed,
    Confirming,
    Detail,
    Hint,
    Pending,
    PendingReason,
    Sighting,
    Transfer,
    TxReport,
)
from cryptosupport.transport import Call, JsonRpcNode, RpcFault, decode

MOST_HEADERS = 50_000
MOST_INPUTS = 300
"""Inputs of waiting transactions in one call whose owner is looked for."""

NETWORK_AGE = 30.0
"""Seconds for which a node is trusted to be on the network that it was seen on."""

HEADER = msgspec.json.Decoder(wire.Header)
_INFO = msgspec.json.Decoder(wire.ChainInfo)

_STATES = {Confirming: "confirming", Confirmed: "confirmed"}
_WAITING = Pending(PendingReason.WAITING)


class Bitcoind:
    """One node. Thread-safe; what never changes (blocks) and what ages slowly (the fee market) is kept."""

    def __init__(self, node: JsonRpcNode, rules: Rules, clock: Clock) -> None:
        self.node = node
        self.rules = rules
        self.clock = clock
        self.mempool = Mempool(node, clock)
        self.recent = Recent(node, clock)
        self.wallets = Wallets(node, node.own or rules.network.name == "regtest", clock)
        self._headers: dict[str, wire.Header] = {}
        self._network_seen: float | None = None
        self._behind: str | None = None  # in what way it was so then

    def look_up(
        self, txids: Sequence[str], detail: Detail, memory: Mapping[str, Sighting], alone: bool
    ) -> list[Finding]:
        """What this node says of each of ``txids``, in their order; ``alone``: one is asked for, and may take its time.

        Raises `NodeFailed`.
        """
        look = Look(detail, alone, memory, Reporter(self.rules, self.node.name, self.clock.now()))
        found: dict[str, Finding] = {}
        if look.brief and len(txids) >= FEWEST:
            self._check_network()
            found = self._from_sets(txids, look)
        rest = [txid for txid in txids if txid not in found] if found else list(txids)
        if rest:
            found |= self._one_by_one(rest, look)
        if not look.brief and (look.alone or detail is Detail.EXPLAIN):
            found = {txid: self._in_depth(each, look) for txid, each in found.items()}
        return [found[txid] for txid in txids]

    # -- the node itself

    def info(self) -> wire.ChainInfo:
        """getblockchaininfo, of the right chain. Raises `NodeFailed`."""
        return self._read_info(self.node.batch([Call("getblockchaininfo")])[0])

    def _read_info(self, answer: msgspec.Raw | RpcFault) -> wire.ChainInfo:
        name, network = self.node.name, self.rules.network
        if isinstance(answer, RpcFault):
            if answer.code == -32601:
                raise NodeFailed(name, "wrong_chain", f"is no bitcoind: {answer.message}")
            raise NodeFailed(name, "bad_answer", f"getblockchaininfo: {answer.message}")
        info = decode(answer, _INFO, name)
        if info.chain != network.core:
            said = self.node.legible(info.chain, 20)
            raise NodeFailed(
                name, "wrong_chain", f"is on {said!r}, and chains/{self.rules.chain}.toml says {network.name!r}"
            )
        reports.check_hash(info.bestblockhash, name)
        self._network_seen = self.clock.monotonic()
        self._behind = out_of_step(info, network, self.clock.now())
        return info

    def _check_network(self) -> None:
        if self._network_seen is None or self.clock.monotonic() - self._network_seen > NETWORK_AGE:
            self.info()

    def balance(self, wallet: str) -> int:
        """The satoshis in the node's ``wallet``; a node that is behind does not count. Raises `NodeFailed`."""
        self.info()
        if self._behind is not None:
            raise NodeFailed(self.node.name, "not_synced", self._behind)
        return self.wallets.balance(wallet)

    def health(self) -> NodeHealth:
        """One sentence on this node. Raises `NodeFailed`."""
        from cryptosupport.chains.bitcoin.health import examine

        return examine(self.node, self.info(), self.rules, self.clock)

    def recognise(self, text: str) -> tuple[Hint, str | None] | None:
        """What an id that finds nothing is instead. Raises `NodeFailed`."""
        from cryptosupport.chains.bitcoin.recognition import recognise

        return recognise(self.node, text)

    def header(self, block_hash: str) -> wire.Header | None:
        """The header of a block as it stands now, or None for a block that the node does not know.

        Raises `NodeFailed`.
        """
        return self.headers([block_hash])[0]

    def headers(self, hashes: Sequence[str]) -> list[wire.Header | None]:
        """The headers of blocks as they stand now; None for blocks that the node does not know. Raises `NodeFailed`."""
        answers = self.node.batch([Call("getblockheader", (each,)) for each in hashes]) if hashes else []
        return [None if isinstance(each, RpcFault) else decode(each, HEADER, self.node.name) for each in answers]

    def _learn_headers(self, hashes: set[str]) -> dict[str, wire.Header]:
        """Headers by hash, for the height and time in them, which never change. Raises `NodeFailed`."""
        cache = self._headers  # only ever added to; other threads may do so meanwhile
        known = {each: cache[each] for each in hashes if each in cache}
        new = [reports.check_hash(each, self.node.name) for each in hashes if each not in known]
        for block_hash, header in zip(new, self.headers(new), strict=True):
            if header is None:
                raise NodeFailed(self.node.name, "bad_answer", "names a block that it does not know")
            known[block_hash] = cache[block_hash] = header
        if len(cache) > MOST_HEADERS:
            self._headers = {}
        return known

    # -- many ids, the state alone

    def _from_sets(self, txids: Sequence[str], look: Look) -> dict[str, Finding]:
        """Those of ``txids`` that the sets of the mempool and of blocks hold."""
        view = self.recent.view()
        mined, mempool, height = view.mined, view.mempool, view.height
        report, rules = look.reporter.report, self.rules
        earlier = replace(look.reporter, as_of=view.mempool_at).report
        states: dict[int, Confirming | Confirmed] = {}
        found: dict[str, Finding] = {}
        for txid in txids:
            held = mined.get(txid)
            if held is not None:
                block = held.block
                coinbase = held.txids[0] == txid
                status = None if coinbase else states.get(block.height)
                if status is None:
                    status = rules.mined(block, max(height - block.height + 1, 1), coinbase)
                    if not coinbase:
                        states[block.height] = status
                found[txid] = report(txid, status, _STATES[type(status)], None, (), coinbase, block.hash, block.height)
            elif txid in mempool and self._behind is None and (kept := look.memory.get(txid)) and kept.inputs:
                # At first sight it is asked for by itself: what it spends has to be remembered.
                found[txid] = earlier(txid, _WAITING, "pending")
        return found

    # -- one by one

    def _one_by_one(self, txids: Sequence[str], look: Look, again: bool = True) -> dict[str, Finding]:
        verbosity = look.verbosity
        calls = [Call("getblockchaininfo"), *[Call("getrawtransaction", (txid, verbosity)) for txid in txids]]
        answers = self.node.batch(calls)
        look.info = self._read_info(answers[0])
        mined: list[AnyTx] = []
        waiting: list[AnyTx] = []
        stale: list[AnyTx] = []
        missing: dict[str, RpcFault] = {}
        for txid, answer in zip(txids, answers[1:], strict=True):
            if isinstance(answer, RpcFault):
                missing[txid] = answer
                continue
            tx = look.read(answer, txid)
            if not tx.blockhash:
                waiting.append(tx)
            elif tx.confirmations > 0:
                mined.append(tx)
            else:  # in a block that is not in the active chain, where bitcoind still finds it through its index
                stale.append(tx)
        del answers
        found = self.report_mined(mined, look)
        if look.brief and mined and len(txids) >= FEWEST:
            self.recent.found_in([tx.blockhash for tx in mined])
        if waiting:
            found |= self._report_waiting(waiting, look)
        if missing or stale:
            from cryptosupport.chains.bitcoin.vanished import Search

            found |= Search(self, look).run(missing, stale)
        moved = [txid for txid in txids if txid not in found]
        if moved and again:
            found |= self._one_by_one(moved, look, again=False)
        elif moved:
            found |= dict.fromkeys(moved, Absent(self.node.name, "busy", "it changed while it was looked up"))
        return found

    def report_mined(self, txs: Sequence[AnyTx], look: Look) -> dict[str, Finding]:
        """Reports of transactions in blocks of the active chain. Raises `NodeFailed`."""
        rules, report, coin, node = self.rules, look.reporter.report, self.rules.coin, self.node.name
        headers = self._learn_headers({tx.blockhash for tx in txs}) if txs else {}
        states: dict[tuple[str, int, bool], Confirming | Confirmed] = {}
        found: dict[str, Finding] = {}
        open_ones = [tx for tx in txs if type(tx) is wire.Tx and lacking(tx)]
        if open_ones:
            sized = [(tx, headers[tx.blockhash].in_block) for tx in open_ones]
            fill_mined(self.node, self.rules.network.name, sized)
        for tx in txs:
            block_hash, coinbase = tx.blockhash, tx.coinbase
            height = headers[block_hash].height
            confirmations = tx.confirmations
            status = states.get((block_hash, confirmations, coinbase))
            if status is None:
                block = Block(height, block_hash, headers[block_hash].time)
                status = states[block_hash, confirmations, coinbase] = rules.mined(block, confirmations, coinbase)
            fee, moved = (
                (reports.fee(tx, coin, node), reports.transfers(tx, coin, node)) if type(tx) is wire.Tx else (None, ())
            )
            inputs = reports.outpoints(tx.vin)
            found[tx.txid] = report(
                tx.txid, status, _STATES[type(status)], fee, moved, coinbase, block_hash, height, inputs
            )
        return found

    def _report_waiting(self, txs: Sequence[AnyTx], look: Look) -> dict[str, Finding]:
        """Reports of transactions in the mempool; those that have left it meanwhile are not among them."""
        if self._behind is not None:  # it may be in a block that the node does not have yet
            return {tx.txid: Absent(self.node.name, "not_synced", self._behind) for tx in txs}
        if look.brief:
            return {tx.txid: self._pending(tx, _WAITING, look) for tx in txs}
        whole = [tx for tx in txs if isinstance(tx, wire.Tx)]
        entries, look.market = self.mempool.entries([tx.txid for tx in whole])
        fill_waiting(self.node, self.rules.network.name, whole, MOST_INPUTS)
        left = self._left_blocks([tx.txid for tx in whole], look)
        found: dict[str, Finding] = {}
        for tx, entry in zip(whole, entries, strict=True):
            if entry is not None:
                look.entries[tx.txid] = entry
                status = judge(self.mempool.waiting(entry, left.get(tx.txid)), look.market)
                fee = Amount(amount(entry.fees.base, self.node.name), self.rules.coin)
                found[tx.txid] = self._pending(
                    tx, status, look, fee, reports.transfers(tx, self.rules.coin, self.node.name)
                )
        return found

    def _pending(
        self, tx: AnyTx, status: Pending, look: Look, fee: Amount | None = None, moved: tuple[Transfer, ...] = ()
    ) -> TxReport:
        inputs = reports.outpoints(tx.vin)
        return look.reporter.report(tx.txid, status, "pending", fee, moved, False, status.was_in, None, inputs)

    def _left_blocks(self, txids: Sequence[str], look: Look) -> dict[str, str]:
        """Of transactions that wait now: the block each was in when last seen, where that block has left the chain.

        A node that has not yet got as far as that block proves nothing.
        """
        sightings = {txid: look.memory[txid] for txid in txids if txid in look.memory}
        seen_in = {txid: each.block_hash for txid, each in sightings.items() if each.block_hash}
        left = {}
        for (txid, block_hash), header in zip(seen_in.items(), self.headers(list(seen_in.values())), strict=True):
            height = sightings[txid].height
            passed = height is not None and look.info.blocks >= height
            if header.confirmations < 0 if header is not None else passed:
                left[txid] = block_hash
        return left

    # -- a single one

    def _in_depth(self, finding: Finding, look: Look) -> Finding:
        """What only one look-up at a time is worth.

        Change as the node's wallets know it, and the facts with their sources.
        """
        if isinstance(finding, Absent):
            return finding
        txid = finding.txid
        if isinstance(finding.status, Pending | Confirming | Confirmed) and not finding.coinbase:
            if txid not in look.known:
                # An extra: what the node has told of the transaction stands without its wallets.
                with suppress(NodeFailed):
                    look.known |= self.wallets.know([txid])
            told = tell_change(look.known.get(txid, ()), finding.transfers)
            finding = finding if told is finding.transfers else replace(finding, transfers=told)
        if look.detail is Detail.EXPLAIN:
            from cryptosupport.chains.bitcoin.explain import facts

            finding = replace(finding, facts=facts(finding, look))
        return finding
