"""The long explanation: every fact that a node told about one transaction, and which call told it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from cryptosupport.chains.bitcoin import wire
from cryptosupport.chains.bitcoin.esplora import EsploraLook
from cryptosupport.chains.bitcoin.look import Look
from cryptosupport.chains.bitcoin.reports import Absent, Finding
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.money import FeeRate
from cryptosupport.domain.transactions import Confirmed, Confirming, Fact, Sighting, TxReport
from cryptosupport.transport import decode

Told = Iterator[tuple[str, object]]


def facts(report: TxReport, look: Look) -> tuple[Fact, ...]:
    """What ``look`` learnt about ``report.txid``. Raises `NodeFailed`."""
    txid, node = report.txid, look.reporter.node
    found: list[Fact] = []

    def add(source: str, told: Told) -> None:
        whence = source if source == "memory" else f"{source} @ {node}"
        found.extend(Fact(name, _text(value), whence) for name, value in told if value is not None)

    raw, entry = look.raws.get(txid), look.entries.get(txid)
    if raw is not None:
        add("getrawtransaction", _of_transaction(report, decode(raw, wire.TxMeta, node), decode(raw, wire.Tx, node)))
    if isinstance(report.status, Confirming | Confirmed):
        block = report.status.block
        add(
            "getblockheader",
            iter([("block_hash", block.hash), ("height", block.height), ("block_time", moment(block.time))]),
        )
    if entry is not None:
        add("getmempoolentry", _of_entry(entry, node))
    if look.market is not None and entry is not None:
        add("getmempoolinfo", _of_mempool(look))
        add(
            "estimatesmartfee", ((f"estimate_{blocks}_blocks", FeeRate(rate)) for blocks, rate in look.market.estimates)
        )
    for known in look.known.get(txid, ()):
        told = [
            ("wallet", known.wallet),
            ("wallet_paid", known.funded),
            ("wallet_confirmations", known.tx.confirmations),
        ]
        add("gettransaction", iter([*told, ("wallet_conflicts", " ".join(known.conflicts) or None)]))
    add("getblockchaininfo", iter([("tip_height", look.info.blocks), ("tip_hash", look.info.bestblockhash)]))
    add("memory", _of_memory(look.memory.get(txid)))
    return (*found, *look.notes.get(txid, ()))


def esplora_facts(finding: Finding, look: EsploraLook) -> Finding:
    """``finding`` with what ``look`` learnt about it."""
    if isinstance(finding, Absent):
        return finding
    name, txid = look.reporter.node, finding.txid
    told = [(*each[:2], f"GET {each[2]} @ {name}") for each in look.facts.get(txid, ())]
    told += [(*each, "memory") for each in _of_memory(look.memory.get(txid))]
    return replace(
        finding, facts=tuple(Fact(fact, _text(value), whence) for fact, value, whence in told if value is not None)
    )


def _of_transaction(report: TxReport, meta: wire.TxMeta, tx: wire.Tx) -> Told:
    yield "version", meta.version
    yield "size", meta.size
    yield "vsize", meta.vsize
    yield "weight", meta.weight
    if meta.hash is not None and wire.HASH.fullmatch(meta.hash):
        yield "wtxid", meta.hash
    yield "locktime", meta.locktime
    yield "inputs", len(tx.vin)
    yield "outputs", len(tx.vout)
    if report.fee is not None and meta.vsize:
        yield "feerate", FeeRate.of(report.fee.base_units, meta.vsize)


def _of_entry(entry: wire.Entry, node: str) -> Told:
    yield "first_seen_by_node", moment(entry.time)
    yield "ancestors", entry.ancestorcount - 1
    yield "ancestor_vsize", entry.ancestorsize
    yield "descendants", max(entry.descendantcount - 1, 0)
    yield "unbroadcast", entry.unbroadcast
    yield "signals_replaceability", entry.replaceable
    try:
        yield "own_feerate", FeeRate.of(max(wire.satoshis(entry.fees.base), 0), entry.vsize)
        yield "package_feerate", FeeRate.of(max(wire.satoshis(entry.fees.ancestor), 0), entry.ancestorsize)
    except ValueError as error:
        raise NodeFailed(node, "bad_answer", str(error)) from None


def _of_mempool(look: Look) -> Told:
    market = look.market
    if market is not None:
        yield "mempool_min_feerate", None if market.minimum is None else FeeRate(market.minimum)
        yield "mempool_vsize", market.mempool_vbytes
        yield "full_rbf", market.full_rbf


def _of_memory(sighting: Sighting | None) -> Told:
    if sighting is not None:
        yield "first_seen", moment(sighting.first_seen)
        yield "last_seen", moment(sighting.last_seen)
        yield "last_state", sighting.state
        yield "last_block", sighting.block_hash


def moment(time: int | None) -> str | None:
    """Seconds since 1970 as ISO 8601 with Z; None for none and for a time past the calendar."""
    if time is None or not 0 <= time < 253_402_300_800:
        return None
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
