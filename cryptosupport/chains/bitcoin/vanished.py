"""What became of transactions that a bitcoind does not have, or has only in a block that left the chain.

The evidence: the block where each was last seen, the node's wallets, its unspent outputs, and who spends the coins
that it spent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from cryptosupport.chains.bitcoin import reports, wire
from cryptosupport.chains.bitcoin.absence import NOT_FOUND, proof_of_absence, why_missing
from cryptosupport.chains.bitcoin.bitcoind import Bitcoind
from cryptosupport.chains.bitcoin.locks import allowed_from
from cryptosupport.chains.bitcoin.look import AnyTx, Look
from cryptosupport.chains.bitcoin.reports import Absent, Finding
from cryptosupport.chains.bitcoin.spends import Fate, Outpoint, trace
from cryptosupport.chains.bitcoin.wallets import Known
from cryptosupport.chains.bitcoin.winners import Winner, find_winners
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.money import Amount
from cryptosupport.domain.transactions import Dropped, Pending, PendingReason, Replaced, Sighting, TxReport
from cryptosupport.transport import Call, RpcFault, decode

MOST_OUTPUTS = 20
"""Outputs of a transaction that are looked for among the unspent ones where there is no index."""

MOST_ANCESTORS = 25
"""Unconfirmed ancestors of a standard transaction (DEFAULT_ANCESTOR_LIMIT in Bitcoin Core's policy/policy.h)."""

_COIN = msgspec.json.Decoder(wire.Coin | None)


@dataclass(slots=True, eq=False)
class _Case:
    """One vanished transaction: what it spent, and who still knows it."""

    txid: str
    inputs: list[Outpoint]
    sighting: Sighting | None = None
    known: Known | None = None
    stale: AnyTx | None = None

    @property
    def was_in(self) -> str | None:
        """The block that held it when last seen in one."""
        if self.stale is not None:
            return self.stale.blockhash
        return None if self.sighting is None else self.sighting.block_hash

    @property
    def coinbase(self) -> bool:
        """Whether it was the reward of a block that has left the chain."""
        return self.stale.coinbase if self.stale is not None else self.known is not None and self.known.lost_reward


class Search:
    """The search on one node for one look-up."""

    def __init__(self, bitcoind: Bitcoind, look: Look) -> None:
        self._bitcoind = bitcoind
        self._node = bitcoind.node
        self._look = look
        self._proof = Absent(self._node.name)

    def run(self, missing: Mapping[str, RpcFault], stale: Sequence[AnyTx]) -> dict[str, Finding]:
        """What can be said of each; an id whose state changed meanwhile is left out. Raises `NodeFailed`."""
        look, bitcoind = self._look, self._bitcoind
        self._proof = proof_of_absence(self._node, look.info, bitcoind.rules.network, bitcoind.clock)
        found = self._odd(missing)
        lost = [txid for txid in missing if txid not in found]
        look.known |= bitcoind.wallets.know(lost)
        again, stale_too = self._by_block(lost)
        found |= again
        stale = [*stale, *stale_too]
        dead = {tx.txid for tx in stale}
        cases = [self._case(txid, None) for txid in lost if txid not in found and txid not in dead]
        cases += [self._case(tx.txid, tx) for tx in stale]
        concluded = self._judged(cases)
        back = self._are_back([txid for txid, each in concluded.items() if _unnamed(each)])
        # What is back is left out: the caller asks for it again.
        found |= {txid: each for txid, each in concluded.items() if each is not None and txid not in back}
        for txid in lost:
            if found.get(txid) is self._proof:
                found[txid] = self._absent(missing[txid])
        return found

    def _odd(self, missing: Mapping[str, RpcFault]) -> dict[str, Finding]:
        """Errors that mean something else than "I do not know it"."""
        found: dict[str, Finding] = {}
        for txid, fault in missing.items():
            if fault.code != NOT_FOUND:
                found[txid] = Absent(self._node.name, "bad_answer", f"getrawtransaction: {fault.message}")
            elif "genesis" in fault.message:
                found |= self._first_reward(txid)
        return found

    def _first_reward(self, txid: str) -> dict[str, Finding]:
        """The coinbase of the first block, which getrawtransaction refuses to give."""
        genesis = self._bitcoind.rules.network.genesis
        try:
            block = decode(self._node.call("getblock", genesis, 2), wire.BlockTxs, self._node.name)
        except RpcFault:  # pruned
            return {}
        reward = [tx for tx in block.tx if tx.txid == txid]
        for tx in reward:
            tx.blockhash, tx.confirmations = genesis, block.confirmations
        return self._bitcoind.report_mined(reward, self._look)

    # -- without an index

    def _by_block(self, txids: Sequence[str]) -> tuple[dict[str, Finding], list[AnyTx]]:
        """Transactions whose block memory or a wallet knows: reports, and those whose block has left the chain.

        With an index bitcoind has looked there already; without one it looks only where it is told to.
        """
        if self._proof.code not in ("no_index", "indexing"):
            return {}, []
        where = {txid: each for txid in txids if (each := self._known_block(txid)) is not None}
        if self._look.alone and txids and not where and (block_hash := self._block_of_outputs(txids[0])) is not None:
            where = {txids[0]: block_hash}
        return self._in_blocks(where)

    def _in_blocks(self, where: Mapping[str, str]) -> tuple[dict[str, Finding], list[AnyTx]]:
        # Without an index the parents cannot be asked for: the node has to tell what is spent.
        verbosity = 1 if self._look.brief else 2
        calls = [Call("getrawtransaction", (txid, verbosity, block_hash)) for txid, block_hash in where.items()]
        mined: list[AnyTx] = []
        stale: list[AnyTx] = []
        for txid, answer in zip(where, self._node.batch(calls) if calls else [], strict=True):
            if isinstance(answer, RpcFault):
                continue
            tx = self._look.read(answer, txid)
            tx.blockhash = tx.blockhash or where[txid]
            (mined if tx.confirmations > 0 else stale).append(tx)
        return self._bitcoind.report_mined(mined, self._look), stale

    def _known_block(self, txid: str) -> str | None:
        for known in self._look.known.get(txid, ()):
            if known.tx.confirmations > 0 and known.tx.blockhash:
                return reports.check_hash(known.tx.blockhash, self._node.name)
        sighting = self._look.memory.get(txid)
        return None if sighting is None else sighting.block_hash

    def _block_of_outputs(self, txid: str) -> str | None:
        """The block of ``txid``, from one of its outputs that is not spent yet, or from the last blocks."""
        answers = self._node.batch([Call("gettxout", (txid, vout)) for vout in range(MOST_OUTPUTS)])
        for answer in answers:
            coin = None if isinstance(answer, RpcFault) else decode(answer, _COIN, self._node.name)
            if coin is not None and coin.confirmations > 0:
                tip = self._bitcoind.header(reports.check_hash(coin.bestblock, self._node.name))
                if tip is not None:
                    return self._hash_at(tip.height - coin.confirmations + 1)
        held = self._bitcoind.recent.view().mined.get(txid)
        return None if held is None else held.block.hash

    def _hash_at(self, height: int) -> str | None:
        try:
            text = decode(self._node.call("getblockhash", height), str, self._node.name)
        except RpcFault:
            return None
        return reports.check_hash(text, self._node.name)

    # -- evidence

    def _judged(self, cases: Sequence[_Case], generations: int = MOST_ANCESTORS) -> dict[str, Finding | None]:
        """What can be said of each of ``cases``, None when it is back. Raises `NodeFailed`."""
        traced = [case for case in cases if case.inputs]
        traces = trace(self._node, [case.inputs for case in traced], [self._conflicts(case) for case in traced])
        fates = {case.txid: fate for case, fate in zip(traced, traces, strict=True)}
        fates |= self._with_winners([(case, fates[case.txid]) for case in traced])
        concluded = {case.txid: self._conclude(case, fates.get(case.txid)) for case in cases}
        if generations > 0:
            orphans = [case for case in traced if _is_dropped(concluded[case.txid])]
            concluded |= self._after_parents({case: fates[case.txid].unsure for case in orphans}, generations)
        return concluded

    def _after_parents(self, orphans: Mapping[_Case, Sequence[Outpoint]], generations: int) -> dict[str, Finding]:
        """Those that spend from a transaction that was replaced, and so went with it."""
        parents = {txid for unsure in orphans.values() for txid, _ in unsure[:MOST_ANCESTORS]}
        self._look.known |= self._bitcoind.wallets.know([txid for txid in parents if txid not in self._look.known])
        known = [case for txid in parents if (case := self._case(txid, None)).inputs]
        theirs = self._judged(known, generations - 1) if known else {}
        fate = {txid: each.status for txid, each in theirs.items() if isinstance(each, TxReport)}
        found = {}
        for case, unsure in orphans.items():
            lost = [status for txid, _ in unsure if isinstance(status := fate.get(txid), Replaced)]
            if lost:
                found[case.txid] = self._gone(case, max(lost, key=lambda each: each.final), "replaced")
        return found

    def _case(self, txid: str, stale: AnyTx | None) -> _Case:
        sighting, known = self._look.memory.get(txid), next(iter(self._look.known.get(txid, ())), None)
        if stale is not None:
            inputs = [(vin.txid, vin.vout) for vin in stale.vin if wire.HASH.fullmatch(vin.txid)]
        elif known is not None:
            inputs = known.inputs(self._node.name)
        else:
            inputs = reports.remembered_inputs(sighting)
        return _Case(txid, inputs, sighting, known, stale)

    def _conflicts(self, case: _Case) -> tuple[str, ...]:
        return () if case.known is None else case.known.conflicts

    def _conclude(self, case: _Case, fate: Fate | None) -> Finding | None:
        """The state that the evidence proves, an `Absent` when it proves none, None when the transaction is back."""
        if fate is None:
            return self._without_inputs(case)
        indexed, winner = self._indexed, fate.winner
        if winner is not None:
            if winner.txid == case.txid:
                return self._in_blocks({case.txid: winner.block_hash})[0].get(case.txid)
            self._note_winner(case, winner)
            depth = self._look.info.blocks - winner.height + 1
            return self._replaced(case, winner.txid, depth >= self._bitcoind.rules.required, winner.outpoint)
        if fate.spent and indexed:
            txid, vout = fate.spent[0]
            return self._replaced(case, None, fate.buried or self._buried(case), f"{txid}:{vout}")
        if case.known is not None and case.known.tx.confirmations < 0:
            return self._replaced(case, next(iter(case.known.conflicts), None), self._buried(case), None)
        if fate.rival is not None:
            return None if fate.rival[0] == case.txid else self._replaced(case, fate.rival[0], False, fate.rival[1])
        if fate.spent or (fate.unsure and not indexed) or self._proof.code == "not_synced":
            return self._proof
        if fate.cut:
            return Absent(self._node.name, "busy", "cannot be asked about everything that it spends")
        return self._locked(case) or self._dropped(case, False)

    def _without_inputs(self, case: _Case) -> Finding:
        """What can be said where the inputs are not known, or there are none.

        A stale block's reward can only come back with its block.
        """
        if self._proof.code == "not_synced":
            return self._proof
        if not case.coinbase:
            return self._dropped(case, False) if case.sighting is not None and self._proof.code is None else self._proof
        header = self._bitcoind.header(case.was_in or "")
        depth = 0 if header is None else self._look.info.blocks - header.height + 1
        return self._dropped(case, depth >= self._bitcoind.rules.required)

    @property
    def _indexed(self) -> bool:
        """Whether the node would know a transaction of the chain."""
        return self._proof.code is None

    def _with_winners(self, traced: Sequence[tuple[_Case, Fate]]) -> dict[str, Fate]:
        """The fates with the winners in the chain: named by a wallet that knows both, or found in the last blocks."""
        fates = {case.txid: replace(fate, winner=fate.winner or self._winner_in_wallet(case)) for case, fate in traced}
        hidden = {
            txid: fate.spent if self._indexed else (*fate.spent, *fate.unsure)
            for txid, fate in fates.items()
            if fate.winner is None
        }
        hidden = {txid: outpoints for txid, outpoints in hidden.items() if outpoints}
        if not hidden:
            return fates
        info, node = self._look.info, self._node
        times = [_not_before(case) for case, _ in traced if case.txid in hidden]
        since = min((time for time in times if time is not None), default=None) if None not in times else None
        lowest = min(fates[txid].parent_height for txid in hidden)
        tip = (info.bestblockhash, info.blocks)
        winners, searched = find_winners(node, self._bitcoind.clock, hidden, tip, lowest, since)
        fates |= {txid: replace(fates[txid], winner=winner) for txid, winner in winners.items()}
        nameless = [txid for txid in hidden if txid not in winners and fates[txid].spent]
        if self._indexed and searched >= self._bitcoind.rules.required:
            buried = self._still_spent({txid: fates[txid].spent[0] for txid in nameless})
            fates |= {txid: replace(fates[txid], buried=True) for txid in buried}
        return fates

    def _still_spent(self, coins: Mapping[str, Outpoint]) -> list[str]:
        """Which of ``coins`` are spent in the chain of this look, whose last blocks do not show by whom."""
        calls = [Call("gettxout", (txid, vout, False)) for txid, vout in coins.values()]
        *answers, tip = self._node.batch([*calls, Call("getbestblockhash")])
        if isinstance(tip, RpcFault) or decode(tip, str, self._node.name) != self._look.info.bestblockhash:
            return []
        return [
            txid
            for txid, answer in zip(coins, answers, strict=True)
            if not isinstance(answer, RpcFault) and decode(answer, _COIN, self._node.name) is None
        ]

    def _winner_in_wallet(self, case: _Case) -> Winner | None:
        if case.known is None or case.known.tx.confirmations >= 0:
            return None
        conflicts = self._conflicts(case)
        for txid, known in self._bitcoind.wallets.know(conflicts).items():
            tx = known[0].tx
            header = self._bitcoind.header(tx.blockhash) if tx.confirmations > 0 and tx.blockhash else None
            if header is None:
                continue
            for parent, vout in known[0].inputs(self._node.name):
                if (parent, vout) in case.inputs:
                    return Winner(txid, f"{parent}:{vout}", tx.blockhash, header.height)
        return None

    def _are_back(self, txids: Sequence[str]) -> set[str]:
        """Those of ``txids`` that the node has by now: what spent their coins was they themselves, mined meanwhile."""
        answers = self._node.batch([Call("getrawtransaction", (txid, 1)) for txid in txids]) if txids else []
        there = set()
        for txid, answer in zip(txids, answers, strict=True):
            if not isinstance(answer, RpcFault):
                tx = decode(answer, wire.BriefTx, self._node.name)
                if tx.confirmations > 0 or not tx.blockhash:
                    there.add(txid)
        return there

    # -- conclusions

    def _buried(self, case: _Case) -> bool:
        """Whether a wallet says that a conflicting transaction is deep enough in the chain: its depth, negated."""
        return case.known is not None and -case.known.tx.confirmations >= self._bitcoind.rules.required

    def _replaced(self, case: _Case, by: str | None, final: bool, outpoint: str | None) -> Finding:
        return self._gone(case, Replaced(by, final, None, outpoint), "replaced")

    def _dropped(self, case: _Case, final: bool) -> Finding:
        return self._gone(case, Dropped(final, case.was_in), "dropped")

    def _gone(self, case: _Case, status: Replaced | Dropped, state: str) -> Finding:
        seen = case.stale is not None or case.known is not None
        inputs = tuple([f"{txid}:{vout}" for txid, vout in case.inputs])
        return self._look.reporter.report(
            case.txid, status, state, coinbase=case.coinbase, block_hash=case.was_in, inputs=inputs, seen=seen
        )

    def _locked(self, case: _Case) -> Finding | None:
        """A wallet's transaction that no block may hold yet."""
        tx = None if case.known is None else case.known.tx.decoded
        if case.known is None or tx is None:
            return None
        coin, node = self._bitcoind.rules.coin, self._node.name
        since = allowed_from(self._node, tx, case.known.tx.hex, self._look.info)
        if since is None:
            return None
        status = Pending(PendingReason.LOCKTIME, locktime=since)
        try:
            fee = Amount(abs(wire.satoshis(case.known.tx.fee)), coin) if bytes(case.known.tx.fee) else None
        except ValueError as error:
            raise NodeFailed(node, "bad_answer", str(error)) from None
        moved = () if self._look.brief else reports.transfers(tx, coin, node)
        return self._look.reporter.report(
            case.txid, status, "pending", None if self._look.brief else fee, moved, inputs=reports.outpoints(tx.vin)
        )

    def _absent(self, fault: RpcFault) -> Absent:
        if self._proof.code is None and (why := why_missing(fault)) is not None:
            return Absent(self._node.name, why, fault.message)
        return self._proof

    def _note_winner(self, case: _Case, winner: Winner) -> None:
        self._look.note(case.txid, "winner_block", winner.block_hash, "getblock")
        self._look.note(case.txid, "winner_height", winner.height, "getblock")
        self._look.note(
            case.txid, "winner_confirmations", self._look.info.blocks - winner.height + 1, "getblockchaininfo"
        )


def _not_before(case: _Case) -> int | None:
    """The time before which it has lost to nobody, where that is known.

    What was seen waiting was not spent then; what was in a block may have lost to an earlier one of another branch.
    """
    seen = case.sighting
    return None if seen is None or seen.block_hash is not None or case.stale is not None else seen.first_seen


def _is_dropped(finding: Finding | None) -> bool:
    return isinstance(finding, TxReport) and isinstance(finding.status, Dropped)


def _unnamed(finding: Finding | None) -> bool:
    """Whether it is said to be replaced by nobody knows whom."""
    status = finding.status if isinstance(finding, TxReport) else None
    return isinstance(status, Replaced) and status.by is None
