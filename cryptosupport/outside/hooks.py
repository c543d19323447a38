"""Providers: somebody outside who is asked about payments, as a program or over HTTP (`[screening]` of desk.toml).

The question is one JSON object of the schema `cryptosupport.screening/1`, on standard input or as the body of a POST;
the answer, on standard output or as the body, is

    {"verdict": "allow" | "hold" | "deny", "reason": "..."}

where other keys do not count and the reason may be left out. Whatever else happens, that is no answer: the payment is
held, never allowed. What is said is checked, shortened and made printable; it steers nothing.
"""

from __future__ import annotations

import hashlib
import json
import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cryptosupport.domain.errors import BadInput, NodeFailed
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.requestlines import json_fields
from cryptosupport.domain.verdicts import ProviderVerdict
from cryptosupport.outside.processes import OutOfTime, RunFailed, run
from cryptosupport.transport.hooks import HookNode
from cryptosupport.transport.masking import legible

if TYPE_CHECKING:
    from cryptosupport.domain.ports import Clock
    from cryptosupport.settings import Hook

SCHEMA = "cryptosupport.screening/1"
AT_ONCE = 8
"""Questions that are asked at the same time."""
GRACE = 0.5
"""Seconds beyond its timeout after which a question is given up though its thread hangs, as in a name server."""
LONGEST_REASON = 200

_OUTCOMES = {"allow": Outcome.ALLOW, "hold": Outcome.HOLD, "deny": Outcome.DENY}


class Provider:
    """Who is asked; fits the port `Provider`. ``secret`` is what the header of ``hook`` refers to.

    Answers are kept as long as this lives: the same question is asked once, unless nobody answered it. For one thread.
    Raises `BadSettings` for a URL or a secret that cannot be used.
    """

    def __init__(self, hook: Hook, secret: str | None, clock: Clock) -> None:
        self._clock = clock
        self._seconds = hook.timeout_ms / 1000
        self._asked = _Address(hook, secret, clock) if hook.command is None else _Program(hook.command, clock)
        self._known: dict[bytes, ProviderVerdict] = {}

    @property
    def name(self) -> str:
        """What it is called in reasons: the name of the program, or host and port."""
        return self._asked.name

    def __repr__(self) -> str:
        return f"<Provider {self.name}>"

    def close(self) -> None:
        """Close the connections."""
        self._asked.close()

    def ask(self, questions: Sequence[Mapping[str, object]]) -> list[ProviderVerdict]:
        """What is said of each, in their order, `AT_ONCE` at a time.

        Each is answered or given up for itself, at the latest `GRACE` after its timeout. It never raises for what a
        provider does or does not do.
        """
        written = [_written(question) for question in questions]
        keys = [hashlib.sha256(text).digest() for text in written]
        unasked = {key: text for key, text in zip(keys, written, strict=True) if key not in self._known}
        answers = _Round(self._verdict, self._no_answer_in_time, self._clock, self._seconds + GRACE).all(unasked)
        self._known |= {key: verdict for key, verdict in answers.items() if not verdict.unknown}
        return [self._known.get(key) or answers[key] for key in keys]

    def _verdict(self, question: bytes, stopped: Callable[[], bool]) -> ProviderVerdict:
        deadline = self._clock.monotonic() + self._seconds
        if self._clock.monotonic() >= self._clock.ends_at:
            return self._no_answer_in_time()
        try:
            return self._read(self._asked.ask(question, deadline, stopped))
        except OutOfTime:
            return self._no_answer_in_time()
        except RunFailed as failure:
            return self._no_answer(f"{failure}")
        except NodeFailed as failure:
            if failure.reason == "timeout":
                return self._no_answer_in_time()
            return self._no_answer(failure.message.removeprefix(f"{failure.node}: "))

    def _read(self, answer: bytes) -> ProviderVerdict:
        try:
            said = json_fields(b" ".join(answer.splitlines()))  # it may stand on many lines
        except BadInput:
            return self._no_answer("answers, and not with one JSON object")
        verdict, reason = said.get("verdict"), said.get("reason", "")
        outcome = _OUTCOMES.get(verdict) if isinstance(verdict, str) else None
        if outcome is None:
            return self._no_answer('answers without a "verdict" that is allow, hold or deny')
        if not isinstance(reason, str):
            return self._no_answer('answers with a "reason" that is no text')
        return ProviderVerdict(outcome, self._asked.legible(reason, LONGEST_REASON).strip())

    def _no_answer_in_time(self) -> ProviderVerdict:
        ended = self._clock.monotonic() >= self._clock.ends_at
        return self._no_answer(f"no answer {'before the time was up' if ended else f'within {self._seconds:g} s'}")

    def _no_answer(self, why: str) -> ProviderVerdict:
        return ProviderVerdict.no_answer(self._asked.legible(f"{self.name}: {why}", LONGEST_REASON))


class _Program:
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


class _Address:
    """A URL, with a connection for each question that is under way; they are used again."""

    def __init__(self, hook: Hook, secret: str | None, clock: Clock) -> None:
        self._given = (hook, secret, clock)
        self._first = HookNode(*self._given)
        self._idle = [self._first]
        self._all = [self._first]
        self.name = self._first.name

    def ask(self, question: bytes, deadline: float, stopped: Callable[[], bool]) -> bytes:
        """What is answered. Raises `NodeFailed`."""
        try:
            node = self._idle.pop()
        except IndexError:
            node = HookNode(*self._given)
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


class _Round:
    """Questions that are asked together, each in a thread of its own that nobody waits for longer than ``longest``."""

    def __init__(
        self,
        verdict: Callable[[bytes, Callable[[], bool]], ProviderVerdict],
        overdue: Callable[[], ProviderVerdict],
        clock: Clock,
        longest: float,
    ) -> None:
        self._verdict, self._overdue, self._clock, self._longest = verdict, overdue, clock, longest
        self._stop = threading.Event()
        self._told: queue.SimpleQueue[tuple[bytes, ProviderVerdict | Exception]] = queue.SimpleQueue()
        self._asking: dict[bytes, tuple[threading.Thread, float]] = {}

    def all(self, questions: Mapping[bytes, bytes]) -> dict[bytes, ProviderVerdict]:
        """The verdict on each, by its key."""
        waiting = deque(questions.items())
        answers: dict[bytes, ProviderVerdict] = {}
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

    def _begin(self, key: bytes, question: bytes) -> None:
        thread = threading.Thread(target=self._work, args=(key, question), daemon=True)
        self._asking[key] = (thread, self._clock.monotonic() + self._longest)
        thread.start()

    def _work(self, key: bytes, question: bytes) -> None:
        try:
            self._told.put((key, self._verdict(question, self._stop.is_set)))
        except Exception as error:  # raised again in `_next`, in the thread that asks
            self._told.put((key, error))

    def _next(self) -> dict[bytes, ProviderVerdict]:
        """What comes next: an answer, or those that did not come in time."""
        now = self._clock.monotonic()
        late = [key for key, (_, until) in self._asking.items() if until <= now]
        if late:
            for key in late:
                del self._asking[key]
            return dict.fromkeys(late, self._overdue())
        try:
            key, said = self._told.get(timeout=min(until for _, until in self._asking.values()) - now)
        except queue.Empty:
            return {}
        if isinstance(said, Exception):
            raise said
        return {key: said} if self._asking.pop(key, None) is not None else {}


def _written(question: Mapping[str, object]) -> bytes:
    """The question as it is asked, on one line. Of who receives it only the travel rule has to know."""
    told = {key: value for key, value in question.items() if key != "beneficiary" or _is_travel_rule(question)}
    return json.dumps({"schema": SCHEMA, **told}, sort_keys=True).encode() + b"\n"


def _is_travel_rule(question: Mapping[str, object]) -> bool:
    return question.get("purpose") == "travel_rule"
