"""JSON-RPC 2.0 over HTTP: single calls and batches, answers matched by id, errors told apart from failures.

Sources: the JSON-RPC 2.0 specification; EIP-1474 (error codes of Ethereum nodes); bitcoind's src/rpc/protocol.h.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar, overload

import msgspec

from cryptosupport.domain.errors import NodeFailed
from cryptosupport.transport.http import TRIES, Answer, HttpNode, Transient
from cryptosupport.transport.masking import legible

T = TypeVar("T")

_NOT_JSON = (msgspec.MsgspecError, RecursionError, ValueError, OverflowError)
_LIMITED = re.compile(
    r"(?i)rate.?limit|too many requests|request (?:limit|count)|requests? per second|compute units|throughput"
    r"|capacity|quota"
)
_ANOTHER_LIMIT = re.compile(r"(?i)revert|results|block range|response size|batch")
_WARMING_UP = -28


class RpcFault(Exception):
    """The node answered, with an error. ``data`` is what it added, decoded, or None."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(f"{message} (code {code})")
        self.code, self.message, self.data = code, message, data


class Call(NamedTuple):
    """One method and what it is given."""

    method: str
    params: Sequence[object] = ()


class _Request(msgspec.Struct, gc=False):
    jsonrpc: str
    id: int
    method: str
    params: Sequence[object]


_ABSENT = msgspec.Raw(b"")


class _Error(msgspec.Struct, gc=False):
    code: int
    message: str = ""
    data: msgspec.Raw = _ABSENT


class _Reply(msgspec.Struct, gc=False):
    id: int | None = None
    result: msgspec.Raw = _ABSENT
    error: _Error | None = None


class _TooMuch(Exception):
    """The node takes no batch of this size."""


_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[list[_Reply] | _Reply] = msgspec.json.Decoder(list[_Reply] | _Reply)


class JsonRpcNode(HttpNode):
    """A node that speaks JSON-RPC.

    A `msgspec.Raw` is a view into the whole answer: decode it soon, or copy it.
    """

    _most_calls = 1_000_000

    def call(self, method: str, *params: object, path: str = "", retry: bool = True) -> msgspec.Raw:
        """Ask one thing; ``path`` is appended to the endpoint's URL, as in "/wallet/NAME".

        ``retry = False`` for what must not be sent twice. Raises `RpcFault`, `NodeFailed`.
        """
        answer = self._settled([Call(method, params)], path, retry)[0]
        if isinstance(answer, RpcFault):
            raise answer
        return answer

    def batch(self, calls: Sequence[Call], path: str = "", *, retry: bool = True) -> list[msgspec.Raw | RpcFault]:
        """Ask many things at once; the answers come in the order of ``calls``.

        What is too much for the node, or makes too large an answer, is asked in halves. Raises `NodeFailed`.
        """
        answers: list[msgspec.Raw | RpcFault] = []
        while len(answers) < len(calls):
            answers += self._settled(calls[len(answers) : len(answers) + self._most_calls], path, retry)
        return answers

    def _settled(self, calls: Sequence[Call], path: str, retry: bool) -> list[msgspec.Raw | RpcFault]:
        """One request, or several where a part has to be asked again or in smaller pieces."""
        try:
            answers = self._asked(calls, path, retry)
            if RpcFault in map(type, answers):
                self._ask_limited_again(calls, answers, path, retry)
        except _TooMuch:
            self._most_calls = min(self._most_calls, (len(calls) + 1) // 2)
            return self._in_halves(calls, path, retry)
        except NodeFailed as failure:
            if failure.reason != "too_large" or len(calls) == 1 or not retry:
                raise
            return self._in_halves(calls, path, retry)
        if RpcFault in map(type, answers):
            self._ask_omitted_again(calls, answers, path, retry)
        return answers

    def _in_halves(self, calls: Sequence[Call], path: str, retry: bool) -> list[msgspec.Raw | RpcFault]:
        half = (len(calls) + 1) // 2
        return self.batch(calls[:half], path, retry=retry) + self.batch(calls[half:], path, retry=retry)

    def _ask_limited_again(
        self, calls: Sequence[Call], answers: list[msgspec.Raw | RpcFault], path: str, retry: bool
    ) -> None:
        """Repeat, after a pause, the calls that met a rate limit. Raises `NodeFailed` when it stays."""
        for attempt in range(TRIES):
            limited = [place for place, answer in enumerate(answers) if _is_rate_limit(answer)]
            if not limited:
                return
            message = f"limits how much it is asked: {answers[limited[0]]!s}"
            self.back_off(attempt, Transient("rate_limited", message), retry)
            again = self._asked([calls[place] for place in limited], path, retry)
            for place, answer in zip(limited, again, strict=True):
                answers[place] = answer

    def _ask_omitted_again(
        self, calls: Sequence[Call], answers: list[msgspec.Raw | RpcFault], path: str, retry: bool
    ) -> None:
        """Repeat, in halves, the calls whose answers the node left out because all together became too large for it."""
        omitted = [place for place, answer in enumerate(answers) if _is_omission(answer)]
        if not omitted:
            return
        if len(calls) == 1 or not retry:
            raise self.failed("too_large", f"its answer is too large for it to send: {answers[omitted[0]]!s}")
        again = self._in_halves([calls[place] for place in omitted], path, retry)
        for place, answer in zip(omitted, again, strict=True):
            answers[place] = answer

    def _asked(self, calls: Sequence[Call], path: str, retry: bool) -> list[msgspec.Raw | RpcFault]:
        """One request and its answers in order. Raises `_TooMuch` when the node takes no batch of this size."""
        requests = [_Request("2.0", number, call[0], call[1]) for number, call in enumerate(calls)]
        alone = len(requests) == 1
        answer = self.request("POST", path, _encode(requests[0] if alone else requests), retry)
        if answer.status == 413:
            if alone:
                raise self.failed("too_large", "refuses the request as too large (HTTP 413)")
            raise _TooMuch
        replies = self._replies(answer)
        if isinstance(replies, _Reply):
            if alone:
                replies = [replies]
            elif replies.error is None:
                raise self.failed("bad_answer", "gives one answer to a batch of questions")
            else:
                return self._refused(self._fault(replies.error), len(calls))
        return self._in_order(replies, len(calls))

    def _replies(self, answer: Answer) -> list[_Reply] | _Reply:
        """Read the answer. JSON-RPC counts whatever the HTTP status is: bitcoind gives 1.x errors with 500 and 404."""
        ok = 200 <= answer.status < 300
        try:
            replies = _decoder.decode(answer.body)
        except _NOT_JSON as error:
            if not ok:
                message = f"HTTP {answer.status}{self.words(answer)}"
            elif answer.is_page:
                message = "answers with a web page instead of JSON: is the url right?"
            else:
                message = f"its answer is not JSON-RPC: {error}{self.words(answer) if len(answer.body) < 200 else ''}"
            raise self.failed("bad_answer", message) from None
        if not ok and isinstance(replies, _Reply) and replies.error is None:
            raise self.failed("bad_answer", f"HTTP {answer.status}{self.words(answer)}")
        return replies

    def _refused(self, fault: RpcFault, count: int) -> list[msgspec.Raw | RpcFault]:
        """One error for a whole batch: too many calls, a rate limit, or a node that does not want to."""
        if _is_rate_limit(fault):
            return [fault] * count
        if fault.code in (-32600, -32700) or "batch" in fault.message.lower():
            raise _TooMuch
        raise self.failed("bad_answer", f"refuses the whole batch: {fault}")

    def _in_order(self, replies: list[_Reply], count: int) -> list[msgspec.Raw | RpcFault]:
        """The answers by id: each exactly once, and no other."""
        answers: list[msgspec.Raw | RpcFault | None] = [None] * count
        for reply in replies:
            place = reply.id
            if place is None and count == 1 and len(replies) == 1 and reply.error is not None:
                place = 0  # an error found before the id was read has none (JSON-RPC 2.0 section 5)
            if place is None or not 0 <= place < count:
                raise self.failed("bad_answer", "answers a question that was not asked (foreign id)")
            if answers[place] is not None:
                raise self.failed("bad_answer", "answers a question twice (duplicate id)")
            if reply.error is not None:
                answers[place] = self._fault(reply.error)
            elif reply.result is _ABSENT:
                raise self.failed("bad_answer", "gives neither a result nor an error")
            else:
                answers[place] = reply.result
        if len(replies) < count:
            raise self.failed("bad_answer", f"leaves {count - len(replies)} of {count} questions without an answer")
        return answers  # type: ignore[return-value]

    def _fault(self, error: _Error) -> RpcFault:
        message = self.legible(error.message, 2000)
        if error.code == _WARMING_UP:
            raise self.failed("busy", f"is starting: {message}")
        try:
            data = None if error.data is _ABSENT else msgspec.json.decode(error.data)
        except _NOT_JSON as problem:
            raise self.failed("bad_answer", f"its error cannot be read: {problem}") from None
        return RpcFault(error.code, message, data)


def _is_rate_limit(answer: msgspec.Raw | RpcFault) -> bool:
    """Whether an error means "slow down", and not a contract that says so or another kind of limit."""
    if not isinstance(answer, RpcFault) or (answer.code > -32000 and answer.code != 429) or answer.code == -32602:
        return False
    limits = answer.code in (-32005, 429) or _LIMITED.search(answer.message)
    return bool(limits) and not _ANOTHER_LIMIT.search(answer.message)


def _is_omission(answer: msgspec.Raw | RpcFault) -> bool:
    """Whether geth left this answer out: -32003 "response too large"."""
    return isinstance(answer, RpcFault) and answer.code == -32003 and "too large" in answer.message


@overload
def decode(raw: msgspec.Raw | bytes, kind: msgspec.json.Decoder[T], node: str) -> T: ...
@overload
def decode(raw: msgspec.Raw | bytes, kind: type[T], node: str) -> T: ...
def decode(raw: msgspec.Raw | bytes, kind: Any, node: str) -> Any:
    """Read ``raw`` as ``kind``, a type or a ready decoder. Raises `NodeFailed` ``bad_answer`` naming ``node``."""
    try:
        return kind.decode(raw) if isinstance(kind, msgspec.json.Decoder) else msgspec.json.decode(raw, type=kind)
    except _NOT_JSON as error:
        raise NodeFailed(node, "bad_answer", legible(f"its answer has another form: {error}", (), 400)) from None
