"""A slow and obvious desk: it keeps every request for ever and sums history each time that it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cryptosupport.domain.money import NOTHING, Quantity
from cryptosupport.domain.policy.decision import Decision, Outcome
from cryptosupport.domain.policy.judging import Case, Judge
from cryptosupport.domain.policy.periods import Calendar, Lifetime, Period, Sliding, Unit
from cryptosupport.domain.policy.rules import Booking
from cryptosupport.domain.policy.windows import Measure, Place, Window


@dataclass
class Asked:
    """One request and where it stands: its last decision, taken ``at``."""

    id: str
    case: Case
    decision: Decision
    at: int
    cancelled: bool = False

    @property
    def waits(self) -> bool:
        return self.decision.outcome is Outcome.WAIT and not self.cancelled

    @property
    def let_through(self) -> bool:
        return self.decision.outcome in (Outcome.ALLOW, Outcome.APPROVAL) and not self.cancelled

    def counts_in(self, window: Window) -> bool:
        return self.decision.booked and not self.cancelled and window.id not in self.decision.unbooked


def same_period(period: Period, one: int, now: int) -> bool:
    """Whether what was booked at ``one`` still counts ``now``."""
    match period:
        case Sliding(milliseconds):
            return now - one < milliseconds
        case Lifetime():
            return True
        case Calendar(unit, timezone):
            return _local(unit, timezone, one) == _local(unit, timezone, now)


def _local(unit: Unit, timezone: str, at: int) -> tuple[int, ...]:
    day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)).astimezone(ZoneInfo(timezone)).date()
    match unit:
        case Unit.DAY:
            return day.year, day.month, day.day
        case Unit.WEEK:
            return day.isocalendar()[:2]
        case Unit.MONTH:
            return day.year, day.month


class SlowDesk:
    """Decides as the real one has to, out of the whole history."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.history: list[Asked] = []

    def arrive(self, id: str, case: Case) -> Decision:
        def used(place: Place) -> Quantity:
            booked, waiting = self.sums(place, case.now)
            return booked + waiting

        decision = self.judge.decide(case, used)
        self.history.append(Asked(id, case, decision, case.now))
        return decision

    def advance(self, now: int) -> list[tuple[str, Decision]]:
        """Each that waits, in order of arrival, sees what is booked and what older ones still wait for."""
        moved = []
        older: list[Asked] = []
        for asked in [each for each in self.history if each.waits]:

            def used(place: Place, older: list[Asked] = older) -> Quantity:
                return self.sums(place, now)[0] + self.total(older, place, now)

            known_since = asked.case.known_since if asked.case.known_since is not None else asked.case.now
            case = replace(asked.case, now=now, asked_at=asked.case.now, known_since=known_since)
            asked.decision, asked.at = self.judge.decide(case, used), now
            if asked.waits:
                older.append(asked)
            else:
                moved.append((asked.id, asked.decision))
        return moved

    def cancel(self, id: str) -> None:
        for asked in self.history:
            asked.cancelled = asked.cancelled or asked.id == id

    def sums(self, place: Place, now: int) -> tuple[Quantity, Quantity]:
        """What is booked at a place, and what waits."""
        booked = self.total((each for each in self.history if not each.waits), place, now)
        return booked, self.total((each for each in self.history if each.waits), place, now)

    def total(self, some: Iterable[Asked], place: Place, now: int) -> Quantity:
        window = self.judge.windows[place.window]
        total = NOTHING
        for asked in some:
            ages = not (asked.waits and isinstance(window.period, Sliding))
            if (
                asked.counts_in(window)
                and belongs(window, asked.case.booking, place, now)
                and (not ages or same_period(window.period, asked.at, now))
            ):
                total += window.counts(asked.case.booking)
        return total

    def places(self, now: int) -> Iterator[Place]:
        """Every place that has ever had a request and is current."""
        bookings = {asked.case.booking for asked in self.history}
        for window in self.judge.windows.values():
            yield from {place for each in bookings if (place := window.place(each, now)) is not None}


def belongs(window: Window, booking: Booking, place: Place, now: int) -> bool:
    """Whether the request is one that the place sums, at some time."""
    if not window.matching.matches(booking) or window.key(booking) != place.who:
        return False
    return window.measure is not Measure.AMOUNT or place.part.rpartition(" ")[2] == booking.asset
