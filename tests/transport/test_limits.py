"""Too much at once, and trying again."""

from __future__ import annotations

import gzip
import socket
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest

from cryptosupport.domain.errors import NodeFailed
from cryptosupport.transport import JsonRpcNode, RpcFault
from tests import hostile
from tests.hostile import BAD_ANSWERS, TOO_LARGE, HostileNode, Reply, RpcError
from tests.transport.asking import ALL, CALLS, PatientClock, echoed

REFUSALS = {
    "geth": hostile.one_error(RpcError(-32600, "batch too large")),
    "a node that reads no lists": hostile.one_error(RpcError(-32700, "parse error")),
    "a provider": hostile.one_error(RpcError(-32005, "batch limit exceeded"), 400),
    "a gateway": lambda exchange: hostile.batch_too_large_413,
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_a_batch_that_is_too_large_for_the_node_is_halved_and_the_size_remembered(
    server: HostileNode, node: JsonRpcNode, refusal: hostile.Behaviour
) -> None:
    server.always(hostile.at_most(3, refusal))
    assert echoed(node.batch(CALLS)) == ALL
    server.requests.clear()
    assert echoed(node.batch(CALLS)) == ALL
    assert [len(request.calls) for request in server.requests] == [3, 3, 3, 1]


def test_a_node_that_takes_no_batches_is_asked_one_by_one(server: HostileNode, node: JsonRpcNode) -> None:
    server.always(hostile.at_most(1))
    assert echoed(node.batch(CALLS)) == ALL


def test_an_error_for_the_whole_batch_that_is_not_about_its_size_fails(server: HostileNode, node: JsonRpcNode) -> None:
    server.always(hostile.one_error(RpcError(-32000, "internal error")))
    with pytest.raises(NodeFailed, match="refuses the whole batch: internal error"):
        node.batch(CALLS)
    assert len(server.requests) == 1


def test_a_batch_whose_answer_is_too_large_is_asked_in_halves(server: HostileNode, node: JsonRpcNode) -> None:
    server.answer = lambda method, params: "a" * (TOO_LARGE // 4)
    assert [len(str(answer)) for answer in echoed(node.batch(CALLS))] == [TOO_LARGE // 4] * 10
    assert max(len(request.calls) for request in server.requests[-2:]) < 4


def test_calls_that_geth_left_out_of_a_large_answer_are_asked_again(server: HostileNode, node: JsonRpcNode) -> None:
    omitted = RpcError(-32003, "response too large").body

    def first_four(exchange: hostile.Exchange) -> Reply:
        rest = [{"jsonrpc": "2.0", "id": reply["id"], "error": omitted} for reply in exchange.replies[4:]]
        return Reply(exchange.encoded(exchange.replies[:4] + rest))

    server.always(first_four)
    assert echoed(node.batch(CALLS)) == ALL


def test_a_single_answer_that_the_node_cannot_send_is_too_large(server: HostileNode, node: JsonRpcNode) -> None:
    server.answer = lambda method, params: RpcError(-32003, "response too large")
    with pytest.raises(NodeFailed, match="too large for it to send") as caught:
        node.batch(CALLS)
    assert caught.value.reason == "too_large"
    assert len(server.requests) <= 5


def test_what_must_not_be_sent_twice_is_not_repeated_for_a_large_answer(server: HostileNode, node: JsonRpcNode) -> None:
    server.always(BAD_ANSWERS["oversized"])
    with pytest.raises(NodeFailed) as caught:
        node.batch(CALLS, retry=False)
    assert caught.value.reason == "too_large"
    assert len(server.requests) == 1


def test_an_answer_as_large_as_the_limit_is_read_also_compressed(server: HostileNode, node: JsonRpcNode) -> None:
    server.answer = lambda method, params: "a" * (TOO_LARGE - 200)
    assert len(node.call("x")) == TOO_LARGE - 198
    server.always(hostile.compressed)
    assert len(node.call("x")) == TOO_LARGE - 198


def test_what_follows_a_compressed_answer_is_not_kept(server: HostileNode, node: JsonRpcNode) -> None:
    answer = gzip.compress(b'{"jsonrpc":"2.0","id":0,"result":"0x1"}')
    headers = {**hostile.JSON, "Content-Encoding": "gzip"}
    server.then(Reply(answer, headers=headers), Reply(answer + bytes(1_000_000), headers=headers))
    assert bytes(node.call("x")) == b'"0x1"'
    with pytest.raises(NodeFailed, match="compressed answer is damaged"):
        node.call("x")


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


PASSING: dict[str, hostile.Behaviour | Reply] = {
    "the connection breaks": BAD_ANSWERS["hung_up_midway"],
    "no answer at all": BAD_ANSWERS["hung_up_at_once"],
    "the work queue is full": hostile.work_queue_full,
    "a gateway": Reply(hostile.PAGE, 502),
    "429": hostile.too_many_requests(None),
    "a limit as an error": hostile.one_error(RpcError(-32005, "project ID request rate exceeded")),
    "a limit by its words": hostile.one_error(RpcError(-32016, "over rate limit"), 200, 0),
}


@pytest.mark.parametrize("trouble", PASSING.values(), ids=PASSING)
def test_what_passes_is_tried_three_times_with_growing_pauses(
    server: HostileNode, node: JsonRpcNode, clock: PatientClock, trouble: hostile.Behaviour | Reply
) -> None:
    server.then(trouble, trouble)
    assert echoed(node.batch(CALLS)) == ALL
    assert len(server.requests) == 3
    first, second = clock.slept
    assert 0.1 <= first <= second * 1.01
    assert sum(clock.slept) < 4
    server.always(trouble)
    with pytest.raises(NodeFailed):
        node.batch(CALLS)
    assert len(server.requests) == 6


@pytest.mark.parametrize("trouble", PASSING.values(), ids=PASSING)
def test_what_must_not_be_sent_twice_is_sent_once(
    server: HostileNode, node: JsonRpcNode, clock: PatientClock, trouble: hostile.Behaviour | Reply
) -> None:
    server.always(trouble)
    with pytest.raises(NodeFailed):
        node.call("sendrawtransaction", "00", retry=False)
    assert len(server.requests) == 1
    assert clock.slept == []


def test_only_the_limited_calls_of_a_batch_are_asked_again(server: HostileNode, node: JsonRpcNode) -> None:
    seen: set[int] = set()

    def second_time(method: str, params: list[Any]) -> object:
        again = params[0] in seen or params[0] % 5
        seen.add(params[0])
        return params[0] if again else RpcError(429, "exceeded its compute units per second capacity")

    server.answer = second_time
    assert echoed(node.batch(CALLS)) == list(range(10))
    assert [len(request.calls) for request in server.requests] == [10, 2]


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_waited_for(server: HostileNode, node: JsonRpcNode, clock: PatientClock, form: str) -> None:
    server.then(hostile.too_many_requests("7" if form == "seconds" else formatdate(time.time() + 7.5, usegmt=True)))
    node.call("x")
    assert 6 <= sum(clock.slept) <= 7.5 * 1.25


def test_after_429_the_other_threads_wait_too(server: HostileNode, node: JsonRpcNode, clock: PatientClock) -> None:
    server.then(hostile.too_many_requests("20"))
    with pytest.raises(NodeFailed):
        node.call("x", retry=False)
    assert clock.slept == []
    server.then(hostile.too_many_requests("20"))
    node.call("x")
    assert len(clock.slept) == 1


@pytest.mark.parametrize("form", ["21", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_node_that_wants_a_long_pause_is_given_up_at_once(
    server: HostileNode, node: JsonRpcNode, clock: PatientClock, form: str
) -> None:
    server.always(hostile.too_many_requests(form))
    with pytest.raises(NodeFailed) as caught:
        node.call("x")
    assert caught.value.reason == "rate_limited"
    assert (len(server.requests), clock.slept) == (1, [])


@pytest.mark.parametrize("form", ["soon", "²", "-5", "Fri, 99 Dec 2026 23:59:59 GMT", ""])
def test_an_unreadable_retry_after_is_as_none(
    server: HostileNode, node: JsonRpcNode, clock: PatientClock, form: str
) -> None:
    server.then(hostile.too_many_requests(form))
    node.call("x")
    assert 0.4 < sum(clock.slept) <= 1.01


def test_a_refused_connection_is_not_tried_again(node_at: Callable[..., JsonRpcNode], clock: PatientClock) -> None:
    with pytest.raises(NodeFailed, match="refuses the connection: is it running") as caught:
        node_at(f"http://127.0.0.1:{closed_port()}").call("x")
    assert caught.value.reason == "unreachable"
    assert clock.slept == []


@pytest.mark.parametrize(
    "error",
    [
        RpcError(-32602, "invalid params: rate limit"),
        RpcError(3, "execution reverted: rate limit exceeded"),
        RpcError(-32000, "execution reverted: Too many requests"),
        RpcError(-32005, "query returned more than 10000 results"),
        RpcError(-26, "rate limit"),
        RpcError(-32603, "internal error"),
    ],
)
def test_other_errors_are_answers_and_not_repeated(server: HostileNode, node: JsonRpcNode, error: RpcError) -> None:
    server.answer = lambda method, params: error
    with pytest.raises(RpcFault) as caught:
        node.call("x")
    assert caught.value.code == error.code
    assert len(server.requests) == 1


@pytest.mark.parametrize("slowness", [Reply(b"{}", delay=60), Reply(b"{" * 600, drip=0.05)], ids=["silence", "drip"])
def test_a_slow_answer_ends_at_the_time_out_of_the_endpoint(
    server: HostileNode, node_at: Callable[..., JsonRpcNode], slowness: Reply
) -> None:
    server.always(slowness)
    started = time.monotonic()
    with pytest.raises(NodeFailed, match=r"no full answer within 0\.3 s") as caught:
        node_at(server.url, timeout="300ms").call("x")
    assert caught.value.reason == "timeout"
    assert 0.25 < time.monotonic() - started < 25
    assert len(server.requests) == 1


def test_no_answer_is_waited_for_when_the_time_is_up(
    server: HostileNode, node: JsonRpcNode, clock: PatientClock
) -> None:
    server.always(Reply(b"{}", delay=60))
    started = clock.monotonic()
    clock.ends_at = started + 0.3
    with pytest.raises(NodeFailed, match="no full answer before the time was up") as caught:
        node.call("x")
    assert caught.value.reason == "timeout"
    assert clock.monotonic() - started < 25
    with pytest.raises(NodeFailed, match="before the time was up"):
        node.call("x")
    assert len(server.requests) == 1


@pytest.mark.parametrize("busy", [hostile.too_many_requests("19"), hostile.work_queue_full], ids=["429", "503"])
def test_a_pause_that_would_outlast_the_time_left_is_not_begun(
    server: HostileNode, node: JsonRpcNode, clock: PatientClock, busy: Reply
) -> None:
    server.always(busy)
    clock.ends_at = clock.monotonic() + 0.09
    with pytest.raises(NodeFailed) as caught:
        node.call("x")
    assert caught.value.reason == ("rate_limited" if busy.status == 429 else "busy")
    assert clock.slept == []
    assert len(server.requests) == 1


def test_a_node_that_asked_for_a_pause_is_left_alone_for_the_time_left(
    server: HostileNode, node: JsonRpcNode, clock: PatientClock
) -> None:
    server.always(hostile.too_many_requests("19"))
    clock.ends_at = clock.monotonic() + 5
    for _ in range(3):
        with pytest.raises(NodeFailed) as caught:
            node.call("x")
        assert caught.value.reason == "rate_limited"
    assert clock.slept == []
    assert len(server.requests) == 1
