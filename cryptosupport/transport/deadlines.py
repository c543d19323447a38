"""Sockets whose time-outs are given as points in time: a whole request, however slow its pieces, has one deadline.

The engine hands the same numbers to every read and write of a request; were they durations, a node that sends a byte
now and then could hold us for hours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import httpcore2

if TYPE_CHECKING:
    from ssl import SSLContext


class DeadlineBackend(httpcore2.NetworkBackend):
    """Opens `DeadlineStream`; ``now`` is the clock that the deadlines belong to."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._sockets = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect before the point in time ``timeout``."""
        left = _left(timeout, self._now, httpcore2.ConnectTimeout)
        return DeadlineStream(self._sockets.connect_tcp(host, port, left, local_address, socket_options), self._now)


class DeadlineStream(httpcore2.NetworkStream):
    """A connection; `timeout` is a point in time."""

    def __init__(self, stream: httpcore2.NetworkStream, now: Callable[[], float]) -> None:
        self._stream = stream
        self._now = now

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has come by then, at most ``max_bytes``."""
        return self._stream.read(max_bytes, _left(timeout, self._now, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of ``buffer`` by then."""
        self._stream.write(buffer, _left(timeout, self._now, httpcore2.WriteTimeout))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        """Agree on keys before the point in time ``timeout``."""
        left = _left(timeout, self._now, httpcore2.ConnectTimeout)
        return DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, left), self._now)

    def get_extra_info(self, info: str) -> Any:
        """What the engine asks about the socket."""
        return self._stream.get_extra_info(info)


def _left(deadline: float | None, now: Callable[[], float], error: type[httpcore2.TimeoutException]) -> float | None:
    if deadline is None:
        return None
    left = deadline - now()
    if left <= 0:
        raise error
    return left
