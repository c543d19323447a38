"""Giving signed bytes to Bitcoin nodes, and what their answers mean.

Before any node is given a transaction, those of our own say what they would make of it (`testmempoolaccept`): whether
they take it, and how large and dear they find it. What they refuse for what it is, or measure otherwise than we did, is
given to nobody.

Only two kinds of answer settle anything: that a node has these very bytes, in its mempool or in a block, and that it
refuses them for what they are. That coins are missing or spent may mean that they are in a block already, with all that
they paid spent again, as well as that another transaction has them: it is looked for, and not concluded. Codes and
words are those of Bitcoin Core (rpc/protocol.h, node/transaction.cpp, validation.cpp) and were tried on Knots 29.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import msgspec

from cryptosupport.chains.bitcoin.mempool import amount
from cryptosupport.domain.errors import NodeFailed, SupportError
from cryptosupport.domain.paying import Sent
from cryptosupport.transport import Call, JsonRpcNode, Node, Nodes, RpcFault, decode

_IN_CHAIN = -27  # RPC_VERIFY_ALREADY_IN_UTXO_SET: some output of it is unspent
_HAS = frozenset({"txn-already-in-mempool", "txn-already-known", "txn-same-nonwitness-data-in-mempool"})
_REFUSES = re.compile(
    r"dust|tx-size|scriptpubkey|bad-txns-(?!inputs-missingorspent|spends-conflicting)|min relay fee not met|"
    r"mempool min fee not met|Fee exceeds maximum|max-fee-exceeded|script-verify|non-final|version|TX decode failed",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Measured:
    """What we hold bytes to be: their ``txid``, their size in vB, and their fee in satoshis."""

    txid: str
    vsize: int
    fee: int


class _Fees(msgspec.Struct):
    base: msgspec.Raw


class _Tested(msgspec.Struct, rename={"reject": "reject-reason"}):
    txid: str = ""
    allowed: bool | None = None
    vsize: int = 0
    fees: _Fees | None = None
    reject: str = ""


@dataclass(frozen=True, slots=True)
class _Test:
    """What came of one test. ``taken`` is as in `Sent`; ``allowed``: it would be; ``differs``: it is measured
    otherwise.
    """

    taken: bool | None
    said: str
    allowed: bool = False
    differs: bool = False


def send(
    nodes: Nodes, own: Collection[JsonRpcNode], raws: Sequence[bytes], measure: Callable[[bytes], Measured]
) -> list[Sent]:
    """Have each tested by the nodes of our ``own``, then give it to every node, in turn; nothing is raised.

    ``measure`` says what we hold bytes to be; what it raises is told, and they go nowhere.
    """
    return [_send(nodes, own, raw, measure) for raw in raws]


def _send(nodes: Nodes, own: Collection[JsonRpcNode], raw: bytes, measure: Callable[[bytes], Measured]) -> Sent:
    try:
        measured = measure(raw)
    except SupportError as error:
        return Sent(None, f"it is given to no node: {error.message}")
    tests: dict[Node, _Test] = {node: _test(node, raw, measured) for node in nodes.all if node in own}
    if any(each.differs for each in tests.values()):
        said = "; ".join(each.said for each in tests.values() if each.differs)
        return Sent(False, f"{said}. It is given to no node: find out which is wrong")
    wanted = any(each.allowed or each.taken for each in tests.values())
    refused = [each.said for each in tests.values() if each.taken is False]
    if refused and not wanted:
        return Sent(False, f"{'; '.join(refused)}. It is given to no node")
    return _all_say([_told(node, raw, tests.get(node)) for node in nodes.all])


def _test(node: Node, raw: bytes, measured: Measured) -> _Test:
    """What one node would make of the bytes."""
    assert isinstance(node, JsonRpcNode)  # it is one of our own
    try:
        (answer,) = node.batch([Call("testmempoolaccept", ([raw.hex()], 0))])
        if isinstance(answer, RpcFault):
            said = node.legible(answer.message, 200) or f"code {answer.code}"
            refuses = _REFUSES.search(answer.message) is not None
            return _Test(False if refuses else None, f"{node.name}: does not test it: {said}")
        return _judged(node, decode(answer, tuple[_Tested, ...], node.name), measured)
    except NodeFailed as failure:
        return _Test(None, failure.message)


def _judged(node: JsonRpcNode, tested: Sequence[_Tested], measured: Measured) -> _Test:
    if len(tested) != 1 or tested[0].txid != measured.txid:
        return _Test(None, f"{node.name}: tests another transaction than it was asked about")
    (test,) = tested
    if test.allowed:
        if test.fees is None:
            return _Test(None, f"{node.name}: does not say what it costs")
        fee = amount(test.fees.base, node.name)
        if (test.vsize, fee) != (measured.vsize, measured.fee):
            said = f"has {test.vsize} vB and costs {fee} satoshis, and it is {measured.vsize} vB for {measured.fee}"
            return _Test(None, f"{node.name}: says that {measured.txid[:8]} {said}", differs=True)
        return _Test(None, f"{node.name}: would take it", allowed=True)
    said = node.legible(test.reject, 200)
    if test.reject in _HAS:
        return _Test(True, f"{node.name}: has it: {said}")
    if _REFUSES.search(test.reject):
        return _Test(False, f"{node.name}: refuses it: {said}")
    return _Test(None, f"{node.name}: would not take it, for what settles nothing: {said}")


def _told(node: Node, raw: bytes, test: _Test | None) -> Sent:
    """What came of giving it to one node: not at all where the node has it, or refuses it for what it is."""
    if test is not None and test.taken is not None:
        return Sent(test.taken, test.said)
    return _give(node, raw)


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
