"""Giving signed bytes to nodes, and what their answers mean.

Only two kinds of answer settle anything: that a node has these very bytes, and that it refuses them for what they are.
All else, time-outs, limits and unknown words too, leaves open whether they are on their way. What nodes say was read in
their sources:

    geth, bor, bsc  core/error.go, core/txpool/errors.go and validation.go, internal/ethapi (the fee cap)
    erigon          txnprovider/txpool/txpoolcfg/txpoolcfg.go (DiscardReason), after "ALREADY_EXISTS: " and the like
    nethermind      Nethermind.TxPool/AcceptTxResult.cs (now in geth's words; "AlreadyKnown", "OldNonce" before 2025)
    besu            ethereum/api/.../response/RpcErrorType.java
    anvil           crates/anvil/src/eth/error.rs (and its answers, tried in the tests)
    Parity          rpc/src/v1/helpers/errors.rs, as quoted by Chainlink's pkg/client/errors.go
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from cryptosupport.chains.evm.codec import keccak256
from cryptosupport.chains.evm.text import LONGEST, plain
from cryptosupport.chains.evm.wire import QUANTITY
from cryptosupport.domain.errors import NodeFailed, NodesFailed
from cryptosupport.domain.paying import Sent
from cryptosupport.transport import Call, JsonRpcNode, Node, Nodes, RpcFault, decode

_AT_ONCE = 32  # transactions in one request: what fails, fails for all of them
_SEND = "eth_sendRawTransaction"

_HAS_IT = r"already.?known|already.?imported|\bknown transaction|existing txn? with same hash"
_USED = r"nonce (?:is )?too low|\bOldNonce\b|invalid transaction nonce"
_HELD = (
    r"replacement (?:transaction|fee)|\bReplacementNotAllowed\b|could not replace existing|another transaction with "
    r"same nonce|gas price to replace existing"
)
_REFUSES = (
    r"insufficient.?(?:funds|balance)|upfront cost exceeds|(?:transaction|tx) cost exceeds|"
    r"intrinsic.?gas|floor data gas|exceeds block gas limit|gas limit (?:is )?too high|"
    r"invalid.?sender|invalid.?signature|(?:invalid|wrong) chain.?id|chain.?id (?:not supported|is required)|"
    r"fee per gas less than block base fee|below current base fee|priority fee per gas (?:is )?higher than max fee|"
    r"priority fee per gas exceeds max fee|"
    r"exceeds the configured cap|transaction fee cap exceeded|"
    r"transaction type (?:is )?not supported|invalid transaction type|\btx type\b.{0,40}\bnot supported|"
    r"unsupported transaction type|nonce has max value"
)
_MEANINGS = (
    (True, re.compile(f"(?i){_HAS_IT}"), "has it already"),
    (None, re.compile(f"(?i){_USED}"), "says that its nonce is used: it may be in a block"),
    (None, re.compile(f"(?i){_HELD}"), "has another transaction with its nonce that offers as much or more"),
    (False, re.compile(f"(?i){_REFUSES}"), "refuses it"),
)


def classify(fault: RpcFault) -> Sent:
    """What an error in answer to eth_sendRawTransaction means.

    Words that mean nothing, or two things at once, leave it open.

    >>> classify(RpcFault(-32000, "already known")).taken, classify(RpcFault(-32000, "txpool is full")).taken
    (True, None)
    """
    said = plain(fault.message) or f"code {fault.code}"
    found = [(taken, words) for taken, form, words in _MEANINGS if form.search(fault.message)]
    if len(found) != 1:
        return Sent(None, f"answers with an error that settles nothing: {said}")
    ((taken, words),) = found
    return Sent(taken, f"{words}: {said}")


@dataclass(slots=True)
class _Told:
    """What was said of one transaction so far, by all nodes that were given it."""

    raw: bytes
    taken: bool | None = False
    said: list[str] = field(default_factory=list)

    @property
    def settled(self) -> bool:
        """Whether some node has it, or all refuse it."""
        return self.taken is not None

    def add(self, node: str, sent: Sent) -> None:
        """Add what ``node`` says: who has it settles it; a refusal does not undo what was left open before."""
        first = not self.said
        self.said.append(f"{node}: {sent.said}")
        if sent.taken or first:
            self.taken = sent.taken

    @property
    def sent(self) -> Sent:
        """The end of it."""
        return Sent(self.taken, plain("; ".join(self.said), 2 * LONGEST)) if self.said else Sent(None, "no node asked")


def send(nodes: Nodes, raws: Sequence[bytes]) -> list[Sent]:
    """Give ``raws`` to the first node that answers, and what that leaves open to the others; one `Sent` for each.

    Nothing is given to the same node twice.
    """
    told = [_Told(raw) for raw in raws]
    for start in range(0, len(told), _AT_ONCE):
        _send(nodes, told[start : start + _AT_ONCE])
    return [each.sent for each in told]


def _send(nodes: Nodes, told: Sequence[_Told]) -> None:
    asked: list[Node] = []

    def give(node: Node) -> None:
        asked.append(node)
        _give(node, [each for each in told if not (each.said and each.settled)])

    try:
        nodes.first(give)
    except NodesFailed:
        return
    for node in nodes:
        if node not in asked and not all(each.settled for each in told):
            with suppress(NodeFailed):  # what it said is told
                give(node)


def _give(node: Node, told: Sequence[_Told]) -> None:
    """Give them to one node, once. Raises `NodeFailed`, which leaves all of them open."""
    assert isinstance(node, JsonRpcNode)
    calls = [Call(_SEND, ("0x" + each.raw.hex(),)) for each in told]
    try:
        answers = node.batch(calls, retry=False)
    except NodeFailed as failure:
        for each in told:
            each.add(node.name, Sent(None, failure.message.removeprefix(f"{node.name}: ")))
        raise
    for each, answer in zip(told, answers, strict=True):
        each.add(node.name, classify(answer) if isinstance(answer, RpcFault) else _accepted(node, each.raw, answer))


def _accepted(node: JsonRpcNode, raw: bytes, answer: msgspec.Raw) -> Sent:
    """An answer that is no error has to name the transaction's id."""
    try:
        named = decode(answer, QUANTITY, node.name)
    except NodeFailed as failure:
        return Sent(None, failure.message)
    if named.lower() != "0x" + keccak256(raw).hex():
        return Sent(None, f"takes it, and calls it by another id: {plain(node.legible(named))}")
    return Sent(True, "takes it")
