"""A server that can be hostile, and nodes that ask it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cryptosupport.settings import Endpoint
from cryptosupport.transport import JsonRpcNode, Node, RestNode
from tests.hostile import HostileNode
from tests.transport.asking import PatientClock


@pytest.fixture
def clock() -> PatientClock:
    return PatientClock()


@pytest.fixture
def server() -> Iterator[HostileNode]:
    with HostileNode() as node:
        yield node


@pytest.fixture
def opened() -> Iterator[list[Node]]:
    """Nodes that are closed at the end."""
    nodes: list[Node] = []
    yield nodes
    for node in nodes:
        node.close()


@pytest.fixture
def node_at(clock: PatientClock, opened: list[Node]) -> Callable[..., JsonRpcNode]:
    """A JSON-RPC node at a URL, with further keys of an endpoint."""

    def connect(url: str, **keys: Any) -> JsonRpcNode:
        node = JsonRpcNode(Endpoint(url=url, **{"timeout": "5s", **keys}), clock, random.Random(1))
        opened.append(node)
        return node

    return connect


@pytest.fixture
def node(server: HostileNode, node_at: Callable[..., JsonRpcNode]) -> JsonRpcNode:
    return node_at(server.url)


@pytest.fixture
def rest(server: HostileNode, clock: PatientClock, opened: list[Node]) -> RestNode:
    node = RestNode(Endpoint(url=f"{server.url}/api", kind="esplora", timeout="5s"), clock)
    opened.append(node)
    return node
