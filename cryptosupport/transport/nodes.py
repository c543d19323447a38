"""The nodes of one chain: asked in turn until one answers, or all together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from cryptosupport.domain.errors import BadSettings, NodeFailed, NodesFailed
from cryptosupport.settings import ChainSettings
from cryptosupport.transport.jsonrpc import JsonRpcNode
from cryptosupport.transport.rest import RestNode

if TYPE_CHECKING:
    from cryptosupport.domain.ports import Clock

T = TypeVar("T")
Node = JsonRpcNode | RestNode

SET_ASIDE = 30.0
"""Seconds for which a node that failed is asked last."""


class Nodes:
    """The endpoints of one chain, in the order of the settings. Thread-safe."""

    def __init__(self, chain: str, nodes: Sequence[Node], monotonic: Callable[[], float] = time.monotonic) -> None:
        self.chain = chain
        self.all: tuple[Node, ...] = tuple(nodes)
        self._monotonic = monotonic
        self._failed_at: dict[Node, float] = {}

    @property
    def connections(self) -> int:
        """How many requests they take at once, together."""
        return sum(node.connections for node in self.all)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)

    def __repr__(self) -> str:
        return f"<Nodes {self.chain}: {', '.join(node.name for node in self.all)}>"

    def first(self, ask: Callable[[Node], T]) -> T:
        """What the first node says that gives an answer; one that failed of late is asked last.

        Raises `NodesFailed` when none does. An `RpcFault` is an answer: it passes through.
        """
        failures: list[NodeFailed] = []
        for node in self._in_turn():
            try:
                answer = ask(node)
            except NodeFailed as failure:
                failures.append(failure)
                self._failed_at[node] = self._monotonic()
            else:
                self._failed_at.pop(node, None)
                return answer
        raise NodesFailed(self.chain, tuple(failures))

    def each(self, ask: Callable[[Node], T]) -> list[T | NodeFailed]:
        """What every node says, in their order, asked at the same time."""
        answers: dict[int, T | NodeFailed] = {}
        broken: list[Exception] = []

        def one(place: int, node: Node) -> None:
            try:
                answers[place] = ask(node)
            except NodeFailed as failure:
                answers[place] = failure
            except Exception as error:  # raised again below, in the thread that asked
                broken.append(error)

        threads = [threading.Thread(target=one, args=pair, daemon=True) for pair in list(enumerate(self.all))[1:]]
        for thread in threads:
            thread.start()
        if self.all:
            one(0, self.all[0])
        for thread in threads:
            thread.join()
        if broken:
            raise broken[0]
        return [answers[place] for place in range(len(self.all))]

    def rest(self, node: Node) -> Nodes:
        """The other nodes."""
        others = Nodes(self.chain, [other for other in self.all if other is not node], self._monotonic)
        others._failed_at = self._failed_at
        return others

    def close(self) -> None:
        """Close all connections."""
        for node in self.all:
            node.close()

    def _in_turn(self) -> list[Node]:
        since = self._monotonic() - SET_ASIDE
        failed_at = {node: at for node, at in self._failed_at.copy().items() if at > since}
        return sorted(self.all, key=lambda node: failed_at.get(node, since))


def open_nodes(settings: ChainSettings, clock: Clock, own_only: bool = False) -> Nodes:
    """The nodes that ``settings`` name, their secrets already resolved; with ``own_only`` those marked `own`.

    Nothing is connected yet. Raises `BadSettings` for a URL that cannot be used.
    """
    kinds: dict[str, type[Node]] = {"jsonrpc": JsonRpcNode, "esplora": RestNode}
    endpoints = [endpoint for endpoint in settings.nodes if endpoint.own or not own_only]
    try:
        nodes = [kinds[endpoint.kind](endpoint, clock) for endpoint in endpoints]
    except BadSettings as error:
        raise BadSettings(f"chains/{settings.name}.toml: {error.message}") from None
    return Nodes(settings.name, nodes, clock.monotonic)
