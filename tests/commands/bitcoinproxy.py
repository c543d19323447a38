"""A proxy in front of a real bitcoind, which says what the node says, but for its lies."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from cryptosupport.outside.nodes import Bitcoind, NodeError
from tests.hostile import HostileNode, Reply, RpcError

Lie = Callable[[list[Any], Callable[[], Any]], Any]
"""What one call is answered, from its parameters and the honest answer, which is asked for when it is wanted."""


class BitcoinProxy(HostileNode):
    """Between the desk and ``behind``: honest, but for the `lies`, by the method that they are about."""

    def __init__(self, behind: Bitcoind) -> None:
        super().__init__(self._told)
        self.behind = behind
        self.lies: dict[str, Lie] = {}
        self._asked = threading.local()

    def reply(self, verb: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """What to say to a request, of the wallet that its path names."""
        self._asked.wallet = path.partition("/wallet/")[2] or None
        return super().reply(verb, path, headers, body)

    def methods(self) -> list[str]:
        """What it was asked."""
        return [method for method, _ in self.calls]

    def _told(self, method: str, params: list[Any]) -> Any:
        wallet = self._asked.wallet

        def honest() -> Any:
            try:
                return json.loads(json.dumps(self.behind.rpc(method, *params, wallet=wallet), default=float))
            except NodeError as error:
                return RpcError(error.code, error.message, error.data)

        lie = self.lies.get(method)
        return honest() if lie is None else lie(params, honest)
