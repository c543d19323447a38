"""Several nodes of a chain."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from cryptosupport.domain.errors import NodeFailed, NodesFailed
from cryptosupport.settings import ChainSettings, Endpoint
from cryptosupport.transport import JsonRpcNode, Node, Nodes, RestNode, RpcFault, decode, open_nodes
from tests import hostile
from tests.hostile import HostileNode, RpcError
from tests.transport.asking import PatientClock


def call(node: Node) -> str:
    """Ask for the node's word."""
    assert isinstance(node, JsonRpcNode)
    return str(decode(node.call("word"), str, node.name))


@pytest.fixture
def pair(clock: PatientClock) -> Iterator[tuple[HostileNode, HostileNode, Nodes]]:
    """Two nodes whose words are "one" and "two"."""
    with HostileNode(lambda method, params: "one") as one, HostileNode(lambda method, params: "two") as two:
        endpoints = (Endpoint(url=one.url, operator="first"), Endpoint(url=two.url, operator="second", own=True))
        nodes = open_nodes(ChainSettings(family="evm", name="ethereum", endpoints=endpoints), clock)
        yield one, two, nodes
        nodes.close()


Pair = tuple[HostileNode, HostileNode, Nodes]


def test_the_next_node_answers_when_one_fails_and_that_one_rests_for_30_seconds(
    pair: Pair, clock: PatientClock
) -> None:
    one, two, nodes = pair
    one.then(hostile.redirect)
    assert nodes.first(call) == "two"
    assert nodes.first(call) == "two"
    assert (len(one.requests), len(two.requests)) == (1, 2)
    clock.sleep(29)
    assert nodes.first(call) == "two"
    clock.sleep(2)
    assert nodes.first(call) == "one"


def test_a_node_that_rests_is_asked_when_the_others_fail(pair: Pair) -> None:
    one, two, nodes = pair
    one.then(hostile.redirect)
    two.then(hostile.honest, hostile.redirect)
    assert nodes.first(call) == "two"
    assert nodes.first(call) == "one"
    assert nodes.first(call) == "one"


def test_when_all_fail_each_is_named_with_what_it_said(pair: Pair) -> None:
    one, two, nodes = pair
    one.always(hostile.redirect)
    two.always(hostile.no_login)
    with pytest.raises(NodesFailed, match="ethereum: first: redirects elsewhere") as caught:
        nodes.first(call)
    assert [(failure.node, failure.reason) for failure in caught.value.failures] == [
        ("first", "bad_answer"),
        ("second", "unauthorized"),
    ]


def test_an_error_is_an_answer_and_no_reason_to_ask_another_node(pair: Pair) -> None:
    one, two, nodes = pair
    one.answer = lambda method, params: RpcError(-32602, "bad params")
    with pytest.raises(RpcFault, match="bad params"):
        nodes.first(call)
    assert two.requests == []


def test_all_nodes_are_asked_at_the_same_time(pair: Pair) -> None:
    one, two, nodes = pair
    barrier = threading.Barrier(2, timeout=30)
    for server, word in ((one, "one"), (two, "two")):
        server.answer = lambda method, params, word=word: (barrier.wait(), word)[1]  # type: ignore[misc]
    assert nodes.each(call) == ["one", "two"]
    one.always(hostile.redirect)
    two.answer = lambda method, params: "two"
    answers = nodes.each(call)
    assert isinstance(answers[0], NodeFailed)
    assert answers[1] == "two"


def test_an_error_in_one_thread_is_raised_in_the_thread_that_asked(pair: Pair) -> None:
    _, two, nodes = pair
    two.answer = lambda method, params: RpcError(-32602, "bad params")
    with pytest.raises(RpcFault, match="bad params"):
        nodes.each(call)


def test_the_rest_are_the_other_nodes(pair: Pair) -> None:
    _, _, nodes = pair
    first, second = nodes.all
    assert nodes.rest(first).all == (second,)
    assert nodes.rest(first).first(call) == "two"
    assert nodes.connections == 8
    assert nodes.rest(first).connections == 4


def test_own_nodes_only_asks_no_other(clock: PatientClock) -> None:
    endpoints = ("http://other.example", Endpoint(url="http://127.0.0.1:1/", own=True, kind="esplora"))
    settings = ChainSettings(family="bitcoin", name="bitcoin", endpoints=endpoints)
    nodes = open_nodes(settings, clock, own_only=True)
    assert [(node.name, type(node)) for node in nodes] == [("127.0.0.1:1", RestNode)]
    none = open_nodes(ChainSettings(family="bitcoin", name="bitcoin", endpoints=endpoints[:1]), clock, own_only=True)
    with pytest.raises(NodesFailed, match="bitcoin: no endpoint may be asked"):
        none.first(call)
    assert none.each(call) == []
