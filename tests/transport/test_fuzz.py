"""Whatever comes back: an answer to each question, or a failure that names the node."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptosupport.domain.errors import NodeFailed
from cryptosupport.settings import Endpoint
from cryptosupport.transport import JsonRpcNode, Node, RestNode
from tests.hostile import HostileNode, Reply
from tests.transport.asking import CALLS, PatientClock

T = TypeVar("T")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "result", "error", "code", "message", "data", "x"]), inner, max_size=5)
    ),
    max_leaves=12,
)
replies_like = st.lists(
    st.fixed_dictionaries(
        {}, optional={"id": st.integers(-1, 4) | json_values, "result": json_values, "error": json_values}
    ),
    max_size=4,
)


Wire = tuple[HostileNode, JsonRpcNode, RestNode]


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    """A server and two nodes that ask it."""
    clock = PatientClock()
    with HostileNode() as server:
        endpoint = Endpoint(url=server.url, timeout="5s")
        node, rest = JsonRpcNode(endpoint, clock), RestNode(endpoint, clock)
        yield server, node, rest
        node.close()
        rest.close()


def ask(wire: Wire, reply: Reply) -> None:
    """Ask in every way a server that says ``reply``."""
    server, node, rest = wire
    server.always(reply)
    server.requests.clear()
    for count in (1, 3):
        answers = answer_or_none(node, lambda count=count: node.batch(CALLS[:count]))  # type: ignore[misc]
        assert answers is None or len(answers) == count
    assert isinstance(answer_or_none(rest, lambda: rest.get("/tx/ab")), bytes | None)


def answer_or_none(node: Node, question: Callable[[], T]) -> T | None:
    """The answer, or None for a failure that names the node."""
    try:
        return question()
    except NodeFailed as failure:
        named = failure.node
    assert named == node.name
    return None


@settings(max_examples=150, deadline=None)
@given(value=json_values | replies_like, status=st.sampled_from([200, 200, 200, 400, 404, 500]))
def test_any_json(wire: Wire, value: object, status: int) -> None:
    ask(wire, Reply(json.dumps(value).encode(), status))


GOOD = b'[{"id":0,"result":[1,2.5]},{"id":1,"error":{"code":-5,"message":"no","data":{}}},{"id":2,"result":null}]'


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, len(GOOD)), byte=st.integers(0, 255), cut=st.booleans())
def test_any_wrong_byte_and_any_cut(wire: Wire, place: int, byte: int, cut: bool) -> None:
    ask(wire, Reply(GOOD[:place] if cut else GOOD[:place] + bytes([byte]) + GOOD[place + 1 :]))


@settings(max_examples=100, deadline=None)
@given(start=st.sampled_from([b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n"]), rest=st.binary(max_size=60))
def test_any_bytes_instead_of_http(wire: Wire, start: bytes, rest: bytes) -> None:
    ask(wire, Reply(raw=start + rest))


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(["Retry-After", "Location", "Content-Type", "Content-Encoding", "Transfer-Encoding"]),
    value=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
    status=st.integers(200, 599),
)
def test_any_header_and_status(wire: Wire, name: str, value: str, status: int) -> None:
    ask(wire, Reply(b'{"id":0,"result":1}', status, {name: value}))
