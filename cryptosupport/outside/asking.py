"""Asking somebody outside, a program or an address, many things at a time and each for a limited time."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from cryptosupport.domain.errors import NodeFailed
from cryptosupport.outside.processes import OutOfTime, RunFailed, run
from cryptosupport.transport.masking import legible

if TYPE_CHECKING:
    from cryptosupport.domain.ports import Clock
    from cryptosupport.transport.hooks import HookNode

AT_ONCE = 8
"""Questions that are asked at the same time."""
GRACE = 0.5
"""Seconds beyond its timeout after which a question is given up though its thread hangs, as in a name server."""
_TICK = 0.1
"""Seconds that a wait lasts at most: a Ctrl-C that another thread received does not end it."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Asked(Protocol):
    """Who is asked."""

    @property
    def name(self) -> str:
        """What it is called in reasons."""

    def ask(self, question: bytes, deadline: float, stopped: Callable[[], bool]) -> bytes:
        """Its answer, given before ``deadline``. Raises `OutOfTime`, `RunFailed`, `NodeFailed`."""

    def legible(self, text: str, limit: int) -> str:
        """``text`` as it may be shown."""

    def close(self) -> None:
        """Let go of what is open."""


class Asking:
    """Somebody who is asked; each question has ``seconds``."""

    def __init__(self, asked: Asked, seconds: float, clock: Clock) -> None:
        self.asked = asked
        self.longest = seconds + GRACE
        self._seconds = seconds
        self._clock = clock

    def all(self, questions: Mapping[K, bytes], read: Callable[[bytes], V], failed: Callable[[str], V]) -> dict[K, V]:
        """What comes of each question, `AT_ONCE` at a time: its answer as ``read``, or why there is none.

        Each is answered or given up for itself, at the latest `GRACE` after its timeout. It never raises for what
        somebody outside does or does not do.
        """

        def one(question: bytes, stopped: Callable[[], bool]) -> V:
            return self._one(question, stopped, read, failed)

        return _Round[K, V](one, lambda: failed(self._too_late()), self._clock, self.longest).all(questions)

    def _one(
        self, question: bytes, stopped: Callable[[], bool], read: Callable[[bytes], V], failed: Callable[[str], V]
    ) -> V:
        deadline = self._clock.monotonic() + self._seconds
        if self._clock.monotonic() >= self._clock.ends_at:
            return failed(self._too_late())
        try:
            return read(self.asked.ask(question, deadline, stopped))
        except OutOfTime:
            return failed(self._too_late())
        except RunFailed as failure:
            return failed(f"{failure}")
        except NodeFailed as failure:
            if failure.reason == "timeout":
                return failed(self._too_late())
            return failed(failure.message.removeprefix(f"{failure.node}: "))

    def _too_late(self) -> str:
        ended = self._clock.monotonic() >= self._clock.ends_at
        return f"no answer {'before the time was up' if ended else f'within {self._seconds:g} s'}"


class Program:
    """A program, started anew for each question."""

    def __init__(self, command: Sequence[str], clock: Clock) -> None:
        self.name = Path(command[0]).name
        self._command = command
        self._clock = clock

    def ask(self, question: bytes, deadline: float, stopped: Callable[[], bool]) -> bytes:
        """What it prints. Raises `OutOfTime`, `RunFailed`."""
        return run(
            self._command,
            question,
            lambda: stopped() or self._clock.monotonic() >= min(deadline, self._clock.ends_at),
        )

    def legible(self, text: str, limit: int) -> str:
        """``text`` as it may be shown."""
        return legible(text, (), limit)

    def close(self) -> None:
        """Nothing is open."""


class Address:
    """A URL, with a connection for each question that is under way; they are used again. ``connect`` makes one."""

    def __init__(self, connect: Callable[[], HookNode]) -> None:
        self._connect = connect
        self._first = connect()
        self._idle = [self._first]
        self._all = [self._first]
        self.name = self._first.name

    def ask(self, question: bytes, deadline: float, stopped: Callable[[], bool]) -> bytes:
        """What is answered. Raises `NodeFailed`."""
        try:
            node = self._idle.pop()
        except IndexError:
            node = self._connect()
            self._all.append(node)
        try:
            return node.ask(question, deadline)
        finally:
            self._idle.append(node)

    def legible(self, text: str, limit: int) -> str:
        """``text`` as it may be shown: without the secrets of the URL and the header."""
        return self._first.legible(text, limit)

    def close(self) -> None:
        """Close all connections."""
        for node in self._all:
            node.close()


class _Round(Generic[K, V]):
    """Questions that are asked together, each in a thread of its own that nobody waits for longer than ``longest``."""

    def __init__(
        self,
        one: Callable[[bytes, Callable[[], bool]], V],
        overdue: Callable[[], V],
        clock: Clock,
        longest: float,
    ) -> None:
        self._one, self._overdue, self._clock, self._longest = one, overdue, clock, longest
        self._stop = threading.Event()
        self._told: queue.SimpleQueue[tuple[K, V | Exception]] = queue.SimpleQueue()
        self._asking: dict[K, tuple[threading.Thread, float]] = {}

    def all(self, questions: Mapping[K, bytes]) -> dict[K, V]:
        """What comes of each, by its key."""
        waiting = deque(questions.items())
        answers: dict[K, V] = {}
        try:
            while waiting or self._asking:
                while waiting and len(self._asking) < AT_ONCE:
                    self._begin(*waiting.popleft())
                answers |= self._next()
        except BaseException:  # Ctrl-C, mostly: no program may outlive us
            self._stop.set()
            until = self._clock.monotonic() + GRACE
            for thread, _ in self._asking.values():
                if thread.ident is not None:  # it was started
                    thread.join(max(0.0, until - self._clock.monotonic()))
            raise
        return answers

    def _begin(self, key: K, question: bytes) -> None:
        thread = threading.Thread(target=self._work, args=(key, question), daemon=True)
        self._asking[key] = (thread, self._clock.monotonic() + self._longest)
        thread.start()

    def _work(self, key: K, question: bytes) -> None:
        try:
            self._told.put((key, self._one(question, self._stop.is_set)))
        except Exception as error:  # raised again in `_next`, in the thread that asks
            self._told.put((key, error))

    def _next(self) -> dict[K, V]:
        """What comes next: an answer, or those that did not come in time."""
        now = self._clock.monotonic()
        late = [key for key, (_, until) in self._asking.items() if until <= now]
        if late:
            for key in late:
                del self._asking[key]
            return dict.fromkeys(late, self._overdue())
        try:
            key, said = self._told.get(timeout=min(_TICK, *(until - now for _, until in self._asking.values())))
        except queue.Empty:
            return {}
        if isinstance(said, Exception):
            raise said
        return {key: said} if self._asking.pop(key, None) is not None else {}
