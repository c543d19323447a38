"""The desk in memory: requests arrive, wait and are cancelled as time goes on, and nothing is recorded.

For `policy backtest`, and to hold the real desk against. It decides and books with the same code.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass

from cryptosupport.domain.errors import ClockWentBack
from cryptosupport.domain.policy.booking import Queue, book, unbook
from cryptosupport.domain.policy.decision import Decision, Outcome
from cryptosupport.domain.policy.judging import Case, Judge
from cryptosupport.domain.policy.periods import Calendar, Lifetime, Sliding
from cryptosupport.domain.policy.rules import Booking
from cryptosupport.domain.policy.tallies import NONE_BOOKED, Tallies
from cryptosupport.domain.policy.windows import Place, Window


@dataclass(frozen=True, slots=True)
class _Waits:
    """A request that waits; ``booked_at`` is None while it counts nowhere. ``lasts``: see `Replay.arrive`."""

    case: Case
    booked_at: int | None
    unbooked: tuple[str, ...]
    lasts: bool


@dataclass(frozen=True, slots=True)
class _Booked:
    """A request that counts as booked since ``at``."""

    booking: Booking
    at: int
    unbooked: tuple[str, ...]


class Replay:
    """Requests decided one after another under one policy. Times are milliseconds since 1970 and never go back.

    Memory holds what waits and what is still in some window. `advance` decides again what waits, as a pass of the desk
    does; what arrives is decided right away, so call `advance` first.
    """

    def __init__(self, judge: Judge) -> None:
        self.tallies = Tallies(judge.windows)
        self._judge = judge
        self._now: int | None = None
        self._waiting: dict[str, _Waits] = {}  # in order of arrival
        self._booked: dict[str, _Booked] = {}
        self._sliding: defaultdict[str, deque[tuple[int, str]]] = defaultdict(deque)  # by window: booked at, id
        self._ending: defaultdict[int, set[Place]] = defaultdict(set)  # sums of calendar periods, by their end
        self._leaving: list[tuple[int, str]] = []  # a heap: when a request is out of its last window, id

    @property
    def waiting(self) -> int:
        """How many wait: with none there is nothing to decide again."""
        return len(self._waiting)

    @property
    def kept(self) -> int:
        """How many requests are in memory."""
        return len(self._waiting) + len(self._booked)

    def arrive(self, id: str, case: Case, lasts: bool = False) -> Decision:
        """Decide a new request at ``case.now`` and book it. ``id`` is the caller's own, another for each request.

        With ``lasts`` the caller promises not to cancel it: then no lifetime limit keeps it in memory. Raises
        `ClockWentBack`.
        """
        self._go_to(case.now)
        decision = self._judge.decide(case, lambda place: self.tallies.at(place).used)
        book(self.tallies, case.booking, decision, case.now)
        booked_at = case.now if decision.booked else None
        if decision.outcome is Outcome.WAIT:
            self._waiting[id] = _Waits(case, booked_at, decision.unbooked, lasts)
        elif booked_at is not None:
            self._keep(id, _Booked(case.booking, booked_at, decision.unbooked), lasts)
        self._settle(case.now)
        return decision

    def advance(self, now: int) -> list[tuple[str, Decision]]:
        """Take out what is too old by ``now`` and decide again all that wait; say which of them no longer do.

        Raises `ClockWentBack`.
        """
        self._go_to(now)
        queue, moved = Queue(self._judge, self.tallies), []
        for id, waits in list(self._waiting.items()):
            booking = waits.case.booking
            turn = queue.decide(waits.case.later(now), booking, waits.booked_at, waits.unbooked)
            if turn.decision.outcome is not Outcome.WAIT:
                del self._waiting[id]
                moved.append((id, turn.decision))
                if turn.booked_at is not None:
                    self._keep(id, _Booked(booking, turn.booked_at, turn.decision.unbooked), waits.lasts)
            elif turn.changed:
                self._waiting[id] = _Waits(waits.case, turn.booked_at, turn.decision.unbooked, waits.lasts)
        self._settle(now)
        return moved

    def cancel(self, id: str, now: int) -> None:
        """Give back what a request takes, wherever it still counts; nothing happens for one that counts nowhere.

        Raises `ClockWentBack`.
        """
        self._go_to(now)
        waits, booked = self._waiting.pop(id, None), self._booked.pop(id, None)
        if waits is not None and waits.booked_at is not None:
            unbook(self.tallies, waits.case.booking, waits.booked_at, waits.unbooked, True, now)
        if booked is not None:
            unbook(self.tallies, booked.booking, booked.at, booked.unbooked, False, now)
        self._settle(now)

    def _keep(self, id: str, booked: _Booked, lasts: bool) -> None:
        """Remember a request that is booked until it is out of its last window."""
        leaves = [booked.at]
        for window in self._windows_of(booked):
            match window.period:
                case Sliding(milliseconds):
                    self._sliding[window.id].append((booked.at, id))
                    leaves.append(booked.at + milliseconds)
                case Calendar():
                    leaves.append(window.ends(booked.at) or _NEVER)
                case Lifetime():
                    leaves.append(booked.at if lasts else _NEVER)
        self._booked[id] = booked
        heapq.heappush(self._leaving, (max(leaves), id))

    def _windows_of(self, booked: _Booked) -> Iterator[Window]:
        for place, _ in self.tallies.places(booked.booking, booked.at, booked.unbooked):
            yield self.tallies.windows[place.window]

    def _go_to(self, now: int) -> None:
        """Let time go on: what is out of its window is taken out of the sums."""
        if self._now is not None and now < self._now:
            raise ClockWentBack(f"the time {now} ms lies before {self._now} ms, when the last request was decided")
        self._now = now
        for id, line in self._sliding.items():
            window = self.tallies.windows[id]
            while line and not window.holds(line[0][0], now, waiting=False):
                self._age(window, *line.popleft())
        for ends in [each for each in self._ending if each <= now]:
            for place in self._ending.pop(ends):
                self.tallies.forget(place)
        while self._leaving and self._leaving[0][0] <= now:
            self._booked.pop(heapq.heappop(self._leaving)[1], None)
        self._settle(now)

    def _age(self, window: Window, at: int, id: str) -> None:
        """Take one request out of a sliding sum, unless it was cancelled before."""
        booked = self._booked.get(id)
        if booked is not None:
            place = window.place(booked.booking, at)
            assert place is not None  # it was counted there
            self.tallies.take(place, window.counts(booked.booking), waiting=False)

    def _settle(self, now: int) -> None:
        """Forget sums that are nothing again, and note when those of calendar periods are over."""
        for place in list(self.tallies.changed):
            ends = self.tallies.windows[place.window].ends(now)
            if self.tallies.at(place) == NONE_BOOKED:
                self.tallies.forget(place)
            elif ends is not None:
                self._ending[ends].add(place)
        self.tallies.changed.clear()


_NEVER = 2**63
