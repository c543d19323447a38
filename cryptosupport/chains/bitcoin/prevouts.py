"""What transactions spend: whose the coins were and what they held, where the node does not say so by itself.

getrawtransaction tells it with verbosity 2, but then bitcoind reads the undo data of the whole block for each
transaction: some 0.9 us for every transaction in the block, 3 ms on mainnet, where the transaction alone takes 0.04
ms. So in bulk the parents are asked for instead, in their shortest form, and verbosity 2 is left for transactions of
many inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from cryptosupport.chains.bitcoin import rawblocks, wire
from cryptosupport.chains.bitcoin.codec import address_of
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.transport import Call, JsonRpcNode, RpcFault, decode

PARENT_COST = 25
WHOLE_COST = 45
UNDO_COST = 0.9
"""Microseconds of a bitcoind: for a parent in hex, for a transaction, for each other one in its block (verbosity 2)."""

PARENTS_AT_ONCE = 100
"""Parents in one request: payouts to thousands make long answers."""

_HEX = msgspec.json.Decoder(str)
_COIN = msgspec.json.Decoder(wire.Coin | None)
_TX = msgspec.json.Decoder(wire.Tx)

Outpoint = tuple[str, int]


def lacking(tx: wire.Tx) -> bool:
    """Whether the node left out what ``tx`` spends."""
    return any(vin.prevout is None for vin in tx.vin) and not tx.coinbase


def fill_mined(node: JsonRpcNode, network: str, txs: Sequence[tuple[wire.Tx, int]]) -> None:
    """Add what mined transactions spend, each given with the number of transactions in its block.

    What cannot be found stays open. Raises `NodeFailed`.
    """
    whole, inputs = [], []
    for tx, in_block in txs:
        if len(tx.vin) * PARENT_COST > WHOLE_COST + UNDO_COST * in_block:
            whole.append(tx)
        else:
            inputs += [vin for vin in tx.vin if vin.prevout is None]
    _fill_from_parents(node, network, inputs)
    calls = [Call("getrawtransaction", (tx.txid, 2, tx.blockhash)) for tx in whole]
    for tx, answer in zip(whole, node.batch(calls) if calls else [], strict=True):
        if not isinstance(answer, RpcFault):
            told = decode(answer, _TX, node.name)
            if [vin.outpoint for vin in told.vin] != [vin.outpoint for vin in tx.vin]:
                raise NodeFailed(node.name, "bad_answer", "answers with another transaction than the one asked for")
            tx.vin, tx.fee = told.vin, told.fee


def fill_waiting(node: JsonRpcNode, network: str, txs: Iterable[wire.Tx], most: int) -> None:
    """Add what waiting transactions spend, for ``most`` inputs at most. Raises `NodeFailed`.

    The set of unspent outputs without the mempool holds what they spend of mined parents; other parents are read.
    """
    inputs = [vin for tx in txs for vin in tx.vin if vin.prevout is None and vin.txid][:most]
    coins = node.batch([Call("gettxout", (vin.txid, vin.vout, False)) for vin in inputs]) if inputs else []
    for vin, answer in zip(inputs, coins, strict=True):
        coin = None if isinstance(answer, RpcFault) else decode(answer, _COIN, node.name)
        if coin is not None:
            vin.prevout = wire.Prevout(coin.script, coin.value)
    _fill_from_parents(node, network, [vin for vin in inputs if vin.prevout is None])


def _fill_from_parents(node: JsonRpcNode, network: str, inputs: Sequence[wire.Vin]) -> None:
    parents: dict[str, list[wire.Vin]] = {}
    for vin in inputs:
        parents.setdefault(vin.txid, []).append(vin)
    names = list(parents)
    for start in range(0, len(names), PARENTS_AT_ONCE):
        some = names[start : start + PARENTS_AT_ONCE]
        answers = node.batch([Call("getrawtransaction", (txid, 0)) for txid in some])
        for txid, answer in zip(some, answers, strict=True):
            if not isinstance(answer, RpcFault):  # without an index, or when it has gone meanwhile
                _fill_from(decode(answer, _HEX, node.name), parents[txid], network, node.name)


def _fill_from(text: str, inputs: Sequence[wire.Vin], network: str, node: str) -> None:
    try:
        raw = bytes.fromhex(text)
        outputs = rawblocks.outputs_of(raw, max(vin.vout for vin in inputs) + 1)
        for vin in inputs:
            satoshis, script = outputs[vin.vout]
            vin.prevout = wire.Prevout(_script(script, network), msgspec.Raw(b"%d.%08d" % divmod(satoshis, 10**8)))
    except (ValueError, IndexError):
        raise NodeFailed(node, "bad_answer", "a transaction in hex that cannot be read") from None


@lru_cache(maxsize=10_000)
def _script(script: bytes, network: str) -> wire.Script:
    return wire.Script(script.hex(), address_of(script, network) or "")
