"""A signer that speaks JSON-RPC over HTTP: short answers, and nothing that asks for a signature goes out twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cryptosupport.domain.errors import Refused
from cryptosupport.settings import Endpoint
from cryptosupport.transport.jsonrpc import JsonRpcNode, RpcFault, decode
from cryptosupport.transport.login import Token

if TYPE_CHECKING:
    from cryptosupport.domain.ports import Clock

TIMEOUT = "10s"
"""So long one answer is waited for."""

_ASKS_ONLY = frozenset({"eth_accounts"})


class SignerNode(JsonRpcNode):
    """The signer at ``url``. ``secret`` is what it is sent as `Authorization`, None for nothing.

    Raises `BadSettings` for a URL or a secret that cannot be used.
    """

    max_answer = 256 * 1024

    def __init__(self, url: str, secret: str | None, clock: Clock, timeout: str = TIMEOUT) -> None:
        super().__init__(Endpoint(url=url, timeout=timeout, connections=1), clock)
        if secret is not None:
            self._login = Token(secret)

    def ask(self, method: str, params: Sequence[object]) -> object:
        """The result. Raises `Refused` where it answers with an error, `NodeFailed` where it gives no usable answer: it
        may have signed all the same.
        """
        try:
            raw = self.call(method, *params, retry=method in _ASKS_ONLY)
        except RpcFault as fault:
            raise Refused(f"the signer at {self.name} refuses {method}: {fault}", signer=self.name) from None
        return decode(raw, object, self.name)
