"""Whether a bitcoind is up, on the right network, and synced: one sentence for `doctor`."""

from __future__ import annotations

import msgspec

from cryptosupport.chains.bitcoin import wire
from cryptosupport.chains.bitcoin.absence import out_of_step
from cryptosupport.chains.bitcoin.networks import Rules
from cryptosupport.domain.ports import Clock, NodeHealth
from cryptosupport.transport import Call, JsonRpcNode, RpcFault, decode

_INDEXES = msgspec.json.Decoder(dict[str, wire.IndexState])


def examine(node: JsonRpcNode, info: wire.ChainInfo, rules: Rules, clock: Clock) -> NodeHealth:
    """A verdict on ``node``, which is on the right chain. Raises `NodeFailed`."""
    indexes, network, pool = node.batch([Call("getindexinfo"), Call("getnetworkinfo"), Call("getmempoolinfo")])
    problems = []
    behind = out_of_step(info, rules.network, clock.now())
    if behind is not None:
        problems.append(behind)
    if not isinstance(indexes, RpcFault):
        state = decode(indexes, _INDEXES, node.name).get("txindex")
        if state is None:
            problems.append(
                "has no transaction index: start it with -txindex, else it finds only recent and its own transactions"
            )
        elif not state.synced:
            problems.append("is still building its transaction index")
    if not isinstance(pool, RpcFault) and not decode(pool, wire.MempoolInfo, node.name).loaded:
        problems.append("is still loading its mempool")
    said = decode(network, wire.NetworkInfo, node.name) if not isinstance(network, RpcFault) else wire.NetworkInfo()
    if said.connections == 0 and rules.network.name != "regtest" and not isinstance(network, RpcFault):
        problems.append("has no peers")
    version = node.legible(said.subversion.strip("/"), 60)
    sentence = "; ".join(problems) or f"synced at height {info.blocks} on {rules.network.name}"
    message = f"{sentence} ({version})" if version else sentence
    return NodeHealth(rules.chain, node.name, not problems, message, info.blocks, info.time)
