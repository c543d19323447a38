"""Tell hooks of what changed, at the end of a pass: what cannot be told now waits, and keeps nobody from being paid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from cryptosupport.domain.errors import Locked, SupportError
from cryptosupport.domain.events import Due, Outbox, Receiver, Turn, pause
from cryptosupport.domain.policy.periods import duration
from cryptosupport.domain.ports import Clock
from cryptosupport.domain.withdrawals import State

BUDGET = 15.0
"""Seconds of a pass that all hooks together get."""
ENOUGH = 3
"""After so many failures in a row a hook is left alone for a while."""
AT_ONCE = 8
"""So many withdrawals' changes a hook is told at the same time, once it has taken one."""
LASTS = 60.0
"""Seconds after which another worker may take over from one that nothing is heard of."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A hook of the settings: the states that it is told of, and how to reach it."""

    name: str
    states: frozenset[State]
    open: Callable[[], Receiver]


@dataclass(frozen=True, slots=True)
class Worker:
    """Who tells: what no other worker is called, of which others it knows that they have ended, and whom it warns."""

    name: str
    gone: Callable[[str], bool]
    clock: Clock
    warn: Callable[[str], None]


def tell(outbox: Outbox, hooks: Sequence[Listener], worker: Worker) -> None:
    """Tell each hook what it has not taken yet, within `BUDGET`. What goes wrong is a warning."""
    clock = worker.clock
    until = clock.monotonic() + BUDGET
    try:
        outbox.meet([hook.name for hook in hooks])
        for hook in hooks:
            while outbox.take_over(hook.name, hook.states) and clock.monotonic() < until:
                pass
        standings = outbox.standings([hook.name for hook in hooks])
    except SupportError as error:
        worker.warn(f"hooks are not told of changes: {error.message}")
        return
    waiting = [hook for hook in hooks if hook.name in standings and standings[hook.name].due]
    waiting.sort(key=lambda hook: (standings[hook.name].rests, standings[hook.name].tries))  # those that fail come last
    for place, hook in enumerate(waiting):
        now = clock.monotonic()
        _serve(outbox, hook, worker, Share(now + (until - now) / (len(waiting) - place), until))


@dataclass(frozen=True, slots=True)
class Share:
    """Up to when a hook may be told of more once it was told of one, and when all is over, by `Clock.monotonic`."""

    more: float
    end: float


def _serve(outbox: Outbox, hook: Listener, worker: Worker, share: Share) -> None:
    """Tell one hook, if no other worker does so at this moment."""
    try:
        turn = outbox.begin(hook.name, worker.name, _LASTS, worker.gone)
        if turn is None:
            return
        rest = went = False
        try:
            with closing(hook.open()) as receiver:
                rest, went = _Telling(outbox, turn, receiver, worker, share).all()
        finally:
            left_alone = outbox.end(turn, rest, went)
        if left_alone:
            said = f"hook {hook.name} is left alone for {duration(left_alone)}: what is due to it waits"
            worker.warn(said)
    except Locked:
        pass  # what this one told last, the other one tells again
    except SupportError as error:
        worker.warn(f"hook {hook.name} is not told of changes: {error.message}")


class _Telling:
    """The turn of one hook."""

    def __init__(self, outbox: Outbox, turn: Turn, receiver: Receiver, worker: Worker, share: Share) -> None:
        self._outbox, self._turn, self._receiver, self._worker = outbox, turn, receiver, worker
        self._share = share
        self._failed = 0
        self._went = False

    def all(self) -> tuple[bool, bool]:
        """Tell for as long as there is time: whether the hook is to be left alone then, and whether it took any."""
        taken: Mapping[int, bool] = {}
        begun = False
        while True:
            renewed = self._worker.clock.monotonic()
            most = AT_ONCE if self._went and not self._failed else 1
            due = self._outbox.go_on(self._turn, _LASTS, taken, most)
            if not due or self._failed >= ENOUGH or not self._has_time(begun):
                return bool(due) and self._failed > 0, self._went
            bodies = self._outbox.read(due)
            taken, begun = {}, True
            if self._worker.clock.monotonic() + self._receiver.longest < renewed + LASTS:  # else: was this one asleep?
                taken = self._told(due, bodies)

    def _has_time(self, begun: bool) -> bool:
        now = self._worker.clock.monotonic()
        return now + self._receiver.longest <= self._share.end and (now < self._share.more or not begun)

    def _told(self, due: Sequence[Due], bodies: Mapping[int, bytes]) -> dict[int, bool]:
        said = self._receiver.tell(bodies)
        for each in due:
            why = said.get(each.number, _CHANGED)
            if why is None:
                self._failed, self._went = 0, True
            else:
                self._failed += each.number in said
                self._warn(each, why)
        return {each.number: said.get(each.number, _CHANGED) is None for each in due}

    def _warn(self, due: Due, why: str) -> None:
        self._worker.warn(
            f"hook {self._turn.hook} has not taken change {due.number} ({due.request_id} is {due.state}): {why}. It is "
            f"tried again in {duration(pause(due.tries + 1))}; later changes of {due.request_id} wait for it"
        )


_CHANGED = "the ledger is not as its audit log has it, run `cryptosupport audit verify`"
_LASTS = int(LASTS * 1000)
