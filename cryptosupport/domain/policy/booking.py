"""How a decision enters the sums, how it leaves them, and how those who wait are decided again."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cryptosupport.domain.money import NOTHING, Quantity
from cryptosupport.domain.policy.decision import Decision, Outcome
from cryptosupport.domain.policy.judging import Case, Judge
from cryptosupport.domain.policy.rules import Booking
from cryptosupport.domain.policy.tallies import Tallies
from cryptosupport.domain.policy.windows import Place


def book(tallies: Tallies, booking: Booking, decision: Decision, at: int) -> None:
    """Count a request as it was decided ``at`` (milliseconds since 1970): as booked, as waiting, or not at all."""
    if decision.booked:
        for place, counts in tallies.places(booking, at, decision.unbooked):
            tallies.add(place, counts, decision.outcome is Outcome.WAIT)


def unbook(
    tallies: Tallies, booking: Booking, booked_at: int, unbooked: tuple[str, ...], waiting: bool, now: int
) -> None:
    """Take out again what `book` counted at ``booked_at``, as ``waiting`` or not, but for the windows ``unbooked``.

    A sum that it has left by itself is let alone: a sliding window once it is too old (what waits does not age), and a
    calendar period that is over.
    """
    for window in tallies.windows.values():
        place = None if window.id in unbooked else window.place(booking, booked_at)
        if place is not None and window.holds(booked_at, now, waiting):
            tallies.take(place, window.counts(booking), waiting)


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of deciding a waiting request again. ``booked_at`` is when it was booked as it now counts.

    ``changed`` is False where it simply goes on waiting, in the same sums as before: there is nothing to record.
    """

    decision: Decision
    booked_at: int | None
    changed: bool


class Queue:
    """All who wait, decided again one after another in order of arrival, from the oldest on.

    Each sees what is booked and what older ones go on waiting for; never its own place, nor those of younger ones.
    """

    def __init__(self, judge: Judge, tallies: Tallies) -> None:
        self._judge = judge
        self._tallies = tallies
        self._ahead: dict[Place, Quantity] = {}

    def used(self, place: Place) -> Quantity:
        """What the request whose turn it is finds used."""
        return self._tallies.at(place).booked + self._ahead.get(place, NOTHING)

    def decide(self, case: Case, booking: Booking, booked_at: int | None, unbooked: tuple[str, ...]) -> Turn:
        """Decide the next one, which has waited as ``booking`` since ``booked_at`` but in the windows ``unbooked``.

        ``case`` is the request as it stands now. The sums are set right: it is let through, held or denied, or it goes
        on waiting.
        """
        now = case.now
        decision = self._judge.decide(case, self.used)
        if decision.for_want_of_facts:
            # What cannot be told just now will be told later: nobody has to decide about it, and it keeps its place.
            for place, counts in self._held(booking, booked_at, unbooked).items():
                self._ahead[place] = self._ahead.get(place, NOTHING) + counts
            return Turn(replace(decision, outcome=Outcome.WAIT), booked_at, changed=False)
        waits = decision.outcome is Outcome.WAIT
        before = self._held(booking, booked_at, unbooked)
        after = dict(self._tallies.places(case.booking, now, decision.unbooked)) if decision.booked else {}
        if waits:
            for place, counts in after.items():
                self._ahead[place] = self._ahead.get(place, NOTHING) + counts
            if before == after and (booked_at is not None) == decision.booked and booking == case.booking:
                return Turn(decision, booked_at, changed=False)
        if booked_at is not None:
            unbook(self._tallies, booking, booked_at, unbooked, True, now)
        book(self._tallies, case.booking, decision, now)
        return Turn(decision, now if decision.booked else None, changed=True)

    def _held(self, booking: Booking, booked_at: int | None, unbooked: tuple[str, ...]) -> dict[Place, Quantity]:
        """The places that a request has while it waits."""
        return {} if booked_at is None else dict(self._tallies.places(booking, booked_at, unbooked))
