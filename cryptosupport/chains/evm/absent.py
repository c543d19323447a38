"""Transactions that the node does not know: never seen, or seen before and replaced, dropped or out of its reach."""

from __future__ import annotations

from dataclasses import replace

from cryptosupport.chains.evm import facts
from cryptosupport.chains.evm.asking import Asker
from cryptosupport.chains.evm.look import DEV_CHAIN, Gone, Look, Missing, Row, Rules
from cryptosupport.chains.evm.pool import Nonces, nonces_of
from cryptosupport.chains.evm.rivals import Claim, holders
from cryptosupport.chains.evm.wire import SYNCING
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.transactions import Dropped, Replaced, Sighting
from cryptosupport.transport import Call


def settle(look: Look, rows: list[Row]) -> None:
    """Say what may have become of ``rows``, which have neither transaction nor receipt, on a node in step.

    Raises `NodeFailed`.
    """
    seen = {row.txid: look.memory[row.txid] for row in rows if row.txid in look.memory}
    for row in rows:
        if row.txid not in seen:
            look.said[row.txid] = Missing(look.asker.name)
    if seen:
        _settle_seen(look, seen)


def out_of_step(asker: Asker, rules: Rules) -> NodeFailed | None:
    """Why the node cannot speak for what is in no block: it is syncing, or it has had no block for long.

    Raises `NodeFailed`.
    """
    syncing, latest = asker.batch([Call("eth_syncing"), Call("eth_getBlockByNumber", ("latest", False))])
    if asker.need(syncing, SYNCING) is not False:
        return NodeFailed(asker.name, "not_synced", "is still syncing")
    block = asker.block(latest)
    age = rules.clock.now() - (0 if block is None else block.time)
    if age > rules.stale_seconds and rules.chain_id != DEV_CHAIN:
        return NodeFailed(asker.name, "not_synced", f"has had no new block for {age // 60} minutes")
    return None


def _settle_seen(look: Look, seen: dict[str, Sighting]) -> None:
    left = look.left_blocks(list(seen))
    claims = {
        txid: Claim(txid, sighting.sender, sighting.nonce)
        for txid, sighting in seen.items()
        if sighting.sender is not None and sighting.nonce is not None and not isinstance(left.get(txid), NodeFailed)
    }
    nonces = nonces_of(look.asker, {claim.sender for claim in claims.values()})
    replaced = look.replaced([claim for claim in claims.values() if claim.nonce < nonces[claim.sender].latest])
    unused = [claim for claim in claims.values() if claim.nonce >= nonces[claim.sender].latest]
    replaced |= _in_pool(look, unused, nonces)
    for txid, sighting in seen.items():
        was_in = left.get(txid)
        status = replaced.get(txid)
        if isinstance(was_in, NodeFailed):
            look.said[txid] = was_in
        elif isinstance(status, NodeFailed):
            look.said[txid] = status
        elif txid not in claims:
            look.said[txid] = _untold(look, was_in)
        elif txid not in look.again:
            report = look.report(txid, Dropped(False, was_in) if status is None else status, None)
            if look.explain:
                report = replace(report, facts=facts.remembered(look, sighting, nonces.get(sighting.sender or "")))
            look.said[txid] = Gone(report)


def _untold(look: Look, was_in: str | None) -> NodeFailed:
    """Without its nonce nobody can tell a transaction that is gone from one that another has taken the place of."""
    where = "" if was_in is None else f", its block {was_in} has left the chain"
    words = f"does not know it any more{where}, and its nonce, which would tell what became of it, is not remembered"
    return NodeFailed(look.asker.name, "no_nonce", words)


def _in_pool(look: Look, claims: list[Claim], nonces: dict[str, Nonces]) -> dict[str, Replaced | NodeFailed]:
    """Other transactions that wait with the same nonces; where none can be named, the pool's count may tell of one."""
    found = holders(look.asker, claims, pool=True) if claims else {}
    said: dict[str, Replaced | NodeFailed] = {}
    for claim in claims:
        holder = found.get(claim.txid)
        if holder is not None and holder.txid != claim.txid:
            said[claim.txid] = Replaced(holder.txid, False, claim.nonce)
        elif holder is not None:
            look.again[claim.txid] = "it is in the pool, and cannot be looked up by its id"
        elif (nonces[claim.sender].pending or 0) > claim.nonce:
            said[claim.txid] = Replaced(None, False, claim.nonce)
    return said
