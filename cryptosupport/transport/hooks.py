"""What somebody outside is asked or told over HTTP: one POST each, short answers, one deadline for all tries."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cryptosupport.domain.events import signature
from cryptosupport.settings import Endpoint
from cryptosupport.transport.http import Answer, HttpNode
from cryptosupport.transport.login import Token

if TYPE_CHECKING:
    from cryptosupport.domain.ports import Clock
    from cryptosupport.settings import Hook

MOST_SAID = 64 * 1024
"""Bytes of an answer."""


class HookNode(HttpNode):
    """The address of a hook; for one question at a time. ``secret`` is what its header holds.

    Raises `BadSettings` for a URL or a secret that cannot be used.
    """

    max_answer = MOST_SAID

    def __init__(self, hook: Hook, secret: str | None, clock: Clock) -> None:
        assert hook.url is not None
        self._until = _Until(clock)
        super().__init__(Endpoint(url=hook.url, timeout=hook.timeout, connections=1), self._until)
        if secret is not None:
            self._login = Token(secret)

    def ask(self, question: bytes, deadline: float) -> bytes:
        """The answer to POST ``question`` (JSON), given before ``deadline`` on the clock's `monotonic`.

        A question may come twice, as one that is the same: where the connection breaks, or the other side is busy, it
        is asked again as long as there is time. Raises `NodeFailed`.
        """
        self._until.deadline = deadline
        answer = self.request("POST", "", question, retry=True)
        if not 200 <= answer.status < 300:
            raise self.failed("bad_answer", f"HTTP {answer.status}")
        return answer.body

    def words(self, answer: Answer) -> str:
        """Nothing: what is said beside an answer may repeat what a customer told us."""
        return ""


class SignedNode(HookNode):
    """The address of a hook that is told things which are signed with ``key``, each time with the time."""

    def __init__(self, hook: Hook, secret: str | None, key: bytes, clock: Clock) -> None:
        super().__init__(hook, secret, clock)
        self._key = key
        if secret is None:
            self._login.missing = "refuses it: does it know the same secret, and is its clock right?"

    def headers_for(self, body: bytes) -> list[tuple[bytes, bytes]]:
        """The time, and the signature of time and body."""
        timestamp = str(self._until.now())
        return [
            (b"X-Cryptosupport-Timestamp", timestamp.encode()),
            (b"X-Cryptosupport-Signature", signature(self._key, timestamp, body).encode()),
        ]


class _Until:
    """A clock on which time ends for one question, at ``deadline``, or for all."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.deadline = math.inf

    @property
    def ends_at(self) -> float:
        return min(self.deadline, self._clock.ends_at)

    @ends_at.setter
    def ends_at(self, point: float) -> None:
        self.deadline = point

    def now(self) -> int:
        return self._clock.now()

    def milliseconds(self) -> int:
        return self._clock.milliseconds()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)
