"""Giving signed bytes to Bitcoin nodes, and what their answers mean.

Only two kinds of answer settle anything: that a node has these very bytes, in its mempool or in a block, and that it
refuses them for what they are. That coins are missing or spent may mean that they are in a block already, with all that
they paid spent again, as well as that another transaction has them: it is looked for, and not concluded. Codes and
words are those of Bitcoin Core (rpc/protocol.h, node/transaction.cpp, validation.cpp) and were tried on Knots 29.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.paying import Sent
from cryptosupport.transport import Call, JsonRpcNode, Node, Nodes, RpcFault

_IN_CHAIN = -27  # RPC_VERIFY_ALREADY_IN_UTXO_SET: some output of it is unspent
_REFUSES = re.compile(
    r"dust|tx-size|scriptpubkey|bad-txns-(?!inputs-missingorspent|spends-conflicting)|min relay fee not met|"
    r"mempool min fee not met|Fee exceeds maximum|max-fee-exceeded|script-verify|non-final|version|TX decode failed",
    re.IGNORECASE,
)


def send(nodes: Nodes, raws: Sequence[bytes]) -> list[Sent]:
    """Give each to every node, in turn; what goes wrong is told, and nothing raised."""
    return [_all_say([_give(node, raw) for node in nodes.all]) for raw in raws]


def _give(node: Node, raw: bytes) -> Sent:
    if not isinstance(node, JsonRpcNode):
        return Sent(None, f"{node.name}: is not given transactions")
    try:
        (answer,) = node.batch([Call("sendrawtransaction", (raw.hex(), 0))])
    except NodeFailed as failure:
        return Sent(None, failure.message)
    if not isinstance(answer, RpcFault):
        return _taken(node.name, answer)
    said = node.legible(answer.message, 200) or f"code {answer.code}"
    if answer.code == _IN_CHAIN:
        return Sent(True, f"{node.name}: has it in a block: {said}")
    if _REFUSES.search(answer.message):
        return Sent(False, f"{node.name}: refuses it: {said}")
    return Sent(None, f"{node.name}: answers with an error that settles nothing: {said}")


def _taken(name: str, answer: msgspec.Raw) -> Sent:
    try:
        txid = msgspec.json.decode(answer, type=str)
    except msgspec.DecodeError:
        return Sent(None, f"{name}: answers with what is no transaction id")
    return Sent(True, f"{name}: has it ({txid[:8]})")


def _all_say(answers: Sequence[Sent]) -> Sent:
    """Who has it settles it; a refusal counts where nothing was left open."""
    said = "; ".join(each.said for each in answers) or "no node asked"
    if any(each.taken for each in answers):
        return Sent(True, said)
    known = [each.taken for each in answers]
    return Sent(False if known and all(each is False for each in known) else None, said)
