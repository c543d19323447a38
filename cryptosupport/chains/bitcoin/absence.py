"""Whether "I do not know it" proves anything.

A node may lack the index, still be building it, or be behind the chain.
"""

from __future__ import annotations

import msgspec

from cryptosupport.chains.bitcoin import wire
from cryptosupport.chains.bitcoin.networks import Network
from cryptosupport.chains.bitcoin.reports import Absent
from cryptosupport.domain.ports import Clock
from cryptosupport.transport import Call, JsonRpcNode, RpcFault, decode

NOT_FOUND = -5
"""RPC_INVALID_ADDRESS_OR_KEY in Bitcoin Core's rpc/protocol.h: what getrawtransaction says of an unknown id."""

NO_INDEX = "has no transaction index (-txindex), so it cannot tell"
INDEXING = "is still building its transaction index, so it cannot tell yet"

_INDEXES = msgspec.json.Decoder(dict[str, wire.IndexState])


def why_missing(fault: RpcFault) -> str | None:
    """`no_index` or `indexing` where the node's message says so, else None.

    The texts are those of Bitcoin Core's rpc/rawtransaction.cpp.
    """
    if "-txindex" in fault.message:
        return "no_index"
    return "indexing" if "indexed" in fault.message else None


def proof_of_absence(node: JsonRpcNode, info: wire.ChainInfo, network: Network, clock: Clock) -> Absent:
    """What it is worth that ``node`` does not know a transaction. Raises `NodeFailed`."""
    behind = out_of_step(info, network, clock.now())
    if behind is not None:
        return Absent(node.name, "not_synced", behind)
    indexes, pool = node.batch([Call("getindexinfo"), Call("getmempoolinfo")])
    if not isinstance(indexes, RpcFault):  # since Bitcoin Core 0.21
        state = decode(indexes, _INDEXES, node.name).get("txindex")
        if state is None:
            return Absent(node.name, "no_index", NO_INDEX)
        if not state.synced:
            return Absent(node.name, "indexing", INDEXING)
    if not isinstance(pool, RpcFault) and not decode(pool, wire.MempoolInfo, node.name).loaded:
        return Absent(node.name, "not_synced", "is still loading its mempool")
    return Absent(node.name)


def out_of_step(info: wire.ChainInfo, network: Network, now: int) -> str | None:
    """In what way a node is behind the chain, or None when it is synced."""
    if info.initialblockdownload:
        return f"is still downloading the chain: block {info.blocks} of {info.headers}"
    if info.blocks < info.headers - 1:
        return f"is behind: it has block {info.blocks} of {info.headers}"
    age = now - (info.time if info.time is not None else info.mediantime)
    if network.oldest_tip is not None and age > network.oldest_tip:
        return f"has seen no block for {age // 3600} hours"
    return None
