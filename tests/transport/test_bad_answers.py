"""Whatever a node sends: an answer to each question, or a failure that names the node."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from cryptosupport.domain.errors import NodeFailed
from cryptosupport.transport import JsonRpcNode, RestNode, RpcFault, decode
from tests import hostile
from tests.hostile import BAD_ANSWERS, BAD_RESULTS, HostileNode, Reply, RpcError
from tests.transport.asking import CALLS


@pytest.mark.parametrize("shape", BAD_ANSWERS)
def test_a_bad_answer_is_a_failure_that_names_the_node(server: HostileNode, node: JsonRpcNode, shape: str) -> None:
    server.always(BAD_ANSWERS[shape])
    asks: list[Callable[[], object]] = [lambda: node.call("x"), lambda: node.batch(CALLS)]
    for ask in asks:
        with pytest.raises(NodeFailed) as caught:
            ask()
        text = str(caught.value)
        assert text.startswith(f"127.0.0.1:{server.port}: ")
        assert text.isprintable()
        assert len(text) < 450
        assert not {"hunter2", "stolen-key", "secret", "html"} & set(text.replace("/", " ").lower().split())


def test_an_answer_with_a_question_missing_or_answered_twice_is_refused(server: HostileNode, node: JsonRpcNode) -> None:
    server.always(hostile.edited(lambda replies: replies[:-1]))
    with pytest.raises(NodeFailed, match="leaves 1 of 10 questions without an answer"):
        node.batch(CALLS)
    server.always(hostile.edited(lambda replies: replies[:-1] + replies[:1]))
    with pytest.raises(NodeFailed, match="answers a question twice"):
        node.batch(CALLS)


def test_one_answer_to_many_questions_is_refused(server: HostileNode, node: JsonRpcNode) -> None:
    server.always(Reply(b'{"id":0,"result":1}'))
    with pytest.raises(NodeFailed, match="one answer to a batch"):
        node.batch(CALLS)


def test_the_node_is_asked_again_after_a_bad_answer(server: HostileNode, node: JsonRpcNode) -> None:
    for behave in BAD_ANSWERS.values():
        server.always(behave)
        with pytest.raises(NodeFailed):
            node.call("x")
        server.always(hostile.honest)
        assert bytes(node.call("x")) == b'["x", []]'


@pytest.mark.parametrize("text", BAD_RESULTS)
def test_a_result_of_another_form_is_a_failure_when_it_is_read(
    server: HostileNode, node: JsonRpcNode, text: str
) -> None:
    class Receipt(msgspec.Struct):
        status: str
        number: int

    server.always(hostile.with_result(text))
    raw = node.call("x")
    with pytest.raises(NodeFailed, match=f"^{node.name}: its answer has another form") as caught:
        decode(raw, Receipt, node.name)
    assert caught.value.reason == "bad_answer"


def test_a_result_is_read_by_type_or_by_decoder() -> None:
    assert decode(msgspec.Raw(b"[1]"), list[int], "n") == [1]
    assert decode(b"[1]", msgspec.json.Decoder(list[int]), "n") == [1]


def test_what_a_node_says_is_told_on_one_line_without_control_characters(
    server: HostileNode, node: JsonRpcNode
) -> None:
    server.answer = lambda method, params: RpcError(-1, "\x1b]0;owned\x07 a\n\u202eb" + "c" * 10_000)
    with pytest.raises(RpcFault) as caught:
        node.call("x")
    assert caught.value.message.startswith("]0;owned a b")
    assert caught.value.message.isprintable()
    assert len(caught.value.message) == 2000


def test_a_rest_node_gives_bytes_or_nothing(server: HostileNode, rest: RestNode) -> None:
    server.routes = {"/api/blocks/tip/height": b"840000", "/api/tx/ab": lambda path: path.encode()}
    assert rest.get("/blocks/tip/height") == b"840000"
    assert rest.get("/tx/ab?x=1") == b"/api/tx/ab?x=1"
    assert rest.get("/tx/cd") is None


def test_a_web_page_with_404_says_nothing_about_the_transaction(server: HostileNode, rest: RestNode) -> None:
    server.routes = {"/api/tx/ab": Reply(hostile.PAGE, 404, {"Content-Type": "text/html"})}
    with pytest.raises(NodeFailed, match="HTTP 404"):
        rest.get("/tx/ab")


def test_a_rest_node_tells_what_it_was_told(server: HostileNode, rest: RestNode) -> None:
    server.routes = {"/api/tx/xy": Reply(b"Invalid hex string", 400, hostile.PLAIN)}
    with pytest.raises(NodeFailed, match="HTTP 400: Invalid hex string"):
        rest.get("/tx/xy")
    server.then(hostile.work_queue_full)
    assert rest.get("/tx/cd") is None
    server.always(BAD_ANSWERS["gzip_bomb"])
    with pytest.raises(NodeFailed, match="larger than 8 MB"):
        rest.get("/tx/xy")
