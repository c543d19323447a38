"""What an id that finds nothing is instead: a block's hash, or the witness hash (wtxid) of a transaction."""

from __future__ import annotations

import msgspec

from cryptosupport.chains.bitcoin import wire
from cryptosupport.chains.bitcoin.winners import txid_of_wtxid
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.transactions import Hint
from cryptosupport.transport import Call, JsonRpcNode, RpcFault, decode

MOST_ENTRIES = 10_000
"""Mempool entries that are read to find a wtxid: some 6 MB."""

LAST_BLOCKS = 20


class _Entry(msgspec.Struct, gc=False):
    wtxid: str = ""


_ENTRIES = msgspec.json.Decoder(dict[str, _Entry])


def recognise(node: JsonRpcNode, text: str) -> tuple[Hint, str | None] | None:
    """Say what ``text`` is, as far as the headers, the mempool and the last blocks of ``node`` tell.

    Raises `NodeFailed`.
    """
    header, tip, pool = node.batch([Call("getblockheader", (text,)), Call("getbestblockhash"), Call("getmempoolinfo")])
    if not isinstance(header, RpcFault):
        decode(header, wire.Header, node.name)
        return Hint.BLOCK_HASH, None
    txid = _in_mempool(node, text, pool)
    if txid is None and not isinstance(tip, RpcFault):
        txid = txid_of_wtxid(node, text, decode(tip, str, node.name), LAST_BLOCKS)
    return None if txid is None or txid == text else (Hint.WTXID, txid)


def _in_mempool(node: JsonRpcNode, wtxid: str, pool: msgspec.Raw | RpcFault) -> str | None:
    if isinstance(pool, RpcFault) or decode(pool, wire.MempoolInfo, node.name).size > MOST_ENTRIES:
        return None
    try:
        entries = decode(node.call("getrawmempool", True), _ENTRIES, node.name)
    except RpcFault:
        return None
    except NodeFailed as failure:
        if failure.reason == "too_large":
            return None
        raise
    return next((txid for txid, entry in entries.items() if entry.wtxid == wtxid and wire.HASH.fullmatch(txid)), None)
