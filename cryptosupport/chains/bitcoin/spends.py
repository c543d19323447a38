"""Who spends these coins now: the mempool, the chain, or nobody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec

from cryptosupport.chains.bitcoin import reports, wire
from cryptosupport.chains.bitcoin.winners import Winner
from cryptosupport.transport import Call, JsonRpcNode, RpcFault, decode

MOST_INPUTS = 2_500
"""Inputs of one transaction that are followed: as many as fit into 100,000 vB, the most that nodes relay."""

Outpoint = tuple[str, int]

_SPENDS = msgspec.json.Decoder(list[wire.Spend])
_COIN = msgspec.json.Decoder(wire.Coin | None)
_TX = msgspec.json.Decoder(wire.BriefTx)


@dataclass(frozen=True, slots=True)
class Fate:
    """What happened to the coins that a transaction spent.

    ``winner`` spends one of them in the chain; ``rival`` (id, outpoint) in the mempool. ``spent`` is one that is
    spent in the chain by somebody not yet named. ``unsure``: outpoints of which the node cannot tell (their
    transaction is not to be found). ``parent_height``: no block below it can hold the winner. ``cut``: there are more
    inputs than were followed. ``buried``: whoever won is deep enough in the chain to be final.
    """

    winner: Winner | None = None
    rival: tuple[str, str] | None = None
    spent: tuple[Outpoint, ...] = ()
    unsure: tuple[Outpoint, ...] = ()
    parent_height: int = 0
    cut: bool = False
    buried: bool = False


@dataclass(slots=True)
class _Coins:
    """The inputs of one transaction, and what is known of each."""

    inputs: list[Outpoint]
    rivals: dict[Outpoint, wire.Spend]
    unspent: set[Outpoint]


def trace(node: JsonRpcNode, cases: Sequence[Sequence[Outpoint]], candidates: Sequence[Iterable[str]]) -> list[Fate]:
    """Follow the inputs of each of ``cases``.

    ``candidates`` are ids that may have won, one collection for each case. A few calls for all cases together. Raises
    `NodeFailed`.
    """
    coins = _ask_for_coins(node, [list(inputs)[:MOST_INPUTS] for inputs in cases])
    gone = {each for case in coins for each in case.inputs if each not in case.unspent and each not in case.rivals}
    named = {txid for some in candidates for txid in some}
    named |= {
        spend.spendingtxid for case in coins for spend in case.rivals.values() if spend.spendingtxid and spend.blockhash
    }
    txs = _transactions(node, {txid for txid, _ in gone} | named)
    heights = _heights(node, {tx.blockhash for tx in txs.values() if tx.confirmations > 0})
    fates = [_judge(case, list(some), txs, heights) for case, some in zip(coins, candidates, strict=True)]
    return [replace(fate, cut=len(inputs) > MOST_INPUTS) for fate, inputs in zip(fates, cases, strict=True)]


def _ask_for_coins(node: JsonRpcNode, cases: Sequence[list[Outpoint]]) -> list[_Coins]:
    calls = []
    for inputs in cases:
        calls.append(Call("gettxspendingprevout", ([{"txid": txid, "vout": vout} for txid, vout in inputs],)))
        calls += [Call("gettxout", (txid, vout, True)) for txid, vout in inputs]
    answers = iter(node.batch(calls))
    found = []
    for inputs in cases:
        spends, case = next(answers), _Coins(inputs, {}, set())
        if not isinstance(spends, RpcFault):  # since Bitcoin Core 24
            told = [spend for spend in decode(spends, _SPENDS, node.name) if spend.spendingtxid]
            ours = set(inputs)
            case.rivals = {(spend.txid, spend.vout): spend for spend in told if (spend.txid, spend.vout) in ours}
            for spend in case.rivals.values():
                reports.check_hash(spend.spendingtxid or "", node.name)
        for outpoint in inputs:
            coin = next(answers)
            if not isinstance(coin, RpcFault) and decode(coin, _COIN, node.name) is not None:
                case.unspent.add(outpoint)
        found.append(case)
    return found


def _transactions(node: JsonRpcNode, txids: set[str]) -> dict[str, wire.BriefTx]:
    """Those of ``txids`` that the node has."""
    asked = sorted(txids)
    answers = node.batch([Call("getrawtransaction", (txid, 1)) for txid in asked]) if asked else []
    return {
        txid: decode(answer, _TX, node.name)
        for txid, answer in zip(asked, answers, strict=True)
        if not isinstance(answer, RpcFault)
    }


def _heights(node: JsonRpcNode, hashes: set[str]) -> dict[str, int]:
    asked = sorted(hashes)
    answers = node.batch([Call("getblockheader", (each,)) for each in asked]) if asked else []
    return {
        block_hash: decode(answer, wire.Header, node.name).height
        for block_hash, answer in zip(asked, answers, strict=True)
        if not isinstance(answer, RpcFault)
    }


def _judge(case: _Coins, candidates: list[str], txs: dict[str, wire.BriefTx], heights: dict[str, int]) -> Fate:
    indexed = [spend.spendingtxid for spend in case.rivals.values() if spend.spendingtxid and spend.blockhash]
    winner = next((found for each in [*indexed, *candidates] if (found := _won(each, case.inputs, txs, heights))), None)
    rivals = [
        (spend.spendingtxid or "", f"{txid}:{vout}")
        for (txid, vout), spend in case.rivals.items()
        if not spend.blockhash
    ]
    spent, unsure, parent_height = [], [], 0
    for outpoint in case.inputs:
        if outpoint in case.unspent or outpoint in case.rivals:
            continue
        parent = txs.get(outpoint[0])
        if parent is not None and parent.confirmations > 0 and parent.blockhash in heights:
            spent.append(outpoint)
            parent_height = max(parent_height, heights[parent.blockhash])
        elif parent is None:
            unsure.append(outpoint)
    return Fate(winner, rivals[0] if rivals else None, tuple(spent), tuple(unsure), parent_height)


def _won(txid: str, inputs: list[Outpoint], txs: dict[str, wire.BriefTx], heights: dict[str, int]) -> Winner | None:
    """``txid`` as the winner, when it is in the chain and spends one of ``inputs``."""
    tx = txs.get(txid)
    if tx is None or tx.confirmations < 1 or tx.blockhash not in heights:
        return None
    for vin in tx.vin:
        if (vin.txid, vin.vout) in inputs:
            return Winner(txid, f"{vin.txid}:{vin.vout}", tx.blockhash, heights[tx.blockhash])
    return None
