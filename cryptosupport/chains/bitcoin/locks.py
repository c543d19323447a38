"""Transactions that are signed for later: from when a block may hold them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cryptosupport.chains.bitcoin import reports, wire
from cryptosupport.transport import Call, JsonRpcNode, RpcFault, decode

LOCKTIME_IS_TIME = 500_000_000
"""From here on a locktime is a time, below it is a height (LOCKTIME_THRESHOLD in Bitcoin Core's script/script.h)."""

FINAL_SEQUENCE = 0xFFFFFFFF

NO_RELATIVE_LOCK = 1 << 31
IN_UNITS_OF_TIME = 1 << 22
UNITS = 0xFFFF
SECONDS_PER_UNIT = 512
"""How a sequence locks an input until its coin is so old (BIP 68)."""

_VERDICTS = msgspec.json.Decoder(list[wire.Acceptance])
_COIN = msgspec.json.Decoder(wire.Coin | None)
_HEADER = msgspec.json.Decoder(wire.Header)


def allowed_from(node: JsonRpcNode, tx: wire.Tx, raw: str, info: wire.ChainInfo) -> int | None:
    """The first height that may hold ``tx``, or the time that has to pass; None when the next block may.

    ``raw`` is the signed transaction in hex. By its locktime (IsFinalTx in Bitcoin Core's consensus/tx_verify.cpp) or
    by the age of the coins that it spends (BIP 68). Raises `NodeFailed`.
    """
    if any(vin.sequence != FINAL_SEQUENCE for vin in tx.vin):
        if tx.locktime >= LOCKTIME_IS_TIME:
            if tx.locktime >= info.mediantime:
                return tx.locktime
        elif tx.locktime > info.blocks:
            return tx.locktime + 1
    locked = [vin for vin in tx.vin if not vin.sequence & NO_RELATIVE_LOCK]
    if not locked or not raw:
        return None
    (answer,) = node.batch([Call("testmempoolaccept", ([raw],))])
    verdicts = [] if isinstance(answer, RpcFault) else decode(answer, _VERDICTS, node.name)
    if [verdict.reject_reason for verdict in verdicts] != ["non-BIP68-final"]:
        return None
    return _old_enough(node, locked, info)


def _old_enough(node: JsonRpcNode, locked: Sequence[wire.Vin], info: wire.ChainInfo) -> int:
    """When the coins of ``locked`` are as old as their sequences ask; the rule is CalculateSequenceLocks there."""
    coins = node.batch([Call("gettxout", (vin.txid, vin.vout)) for vin in locked])
    height, time = info.blocks + 2, 0  # the next block may not hold it: the node said so
    for vin, answer in zip(locked, coins, strict=True):
        coin = None if isinstance(answer, RpcFault) else decode(answer, _COIN, node.name)
        made = info.blocks + 1 - max(0 if coin is None else coin.confirmations, 0)  # unconfirmed: in the next block
        if vin.sequence & IN_UNITS_OF_TIME:
            past = _median_time(node, max(made - 1, 0)) + (vin.sequence & UNITS) * SECONDS_PER_UNIT - 1
            time = max(time, past)
        else:
            height = max(height, made + (vin.sequence & UNITS))
    return time if time >= max(info.mediantime, LOCKTIME_IS_TIME) else height


def _median_time(node: JsonRpcNode, height: int) -> int:
    """The median time past (BIP 113) of the block at ``height``; 0 where the node does not tell."""
    try:
        text = reports.check_hash(decode(node.call("getblockhash", height), str, node.name), node.name)
        return decode(node.call("getblockheader", text), _HEADER, node.name).mediantime
    except RpcFault:
        return 0
