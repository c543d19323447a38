"""The one way out to a node: keep-alive, batches, retries, failover, limits, and secrets that never reach a message.

`open_nodes` makes the `Nodes` of a chain; its members are `JsonRpcNode` and `RestNode`. What goes wrong is a
`NodeFailed` that names the node, or an `RpcFault` when the node did answer, with an error. `hooks` asks those outside
who are no nodes, `signers` those that hold a key.
"""

from __future__ import annotations

from cryptosupport.transport.jsonrpc import Call, JsonRpcNode, RpcFault, decode
from cryptosupport.transport.masking import mask
from cryptosupport.transport.nodes import Node, Nodes, open_nodes
from cryptosupport.transport.rest import RestNode
from cryptosupport.transport.signers import SignerNode

__all__ = ["Call", "JsonRpcNode", "Node", "Nodes", "RestNode", "RpcFault", "SignerNode", "decode", "mask", "open_nodes"]
