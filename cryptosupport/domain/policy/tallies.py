"""The running sums of all windows, as far as they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cryptosupport.domain.money import NOTHING, Quantity
from cryptosupport.domain.policy.rules import Booking
from cryptosupport.domain.policy.windows import Place, Window


@dataclass(frozen=True, slots=True)
class Tally:
    """One sum: what was let through or is held (``booked``), and what waits for headroom in its order (``waiting``)."""

    booked: Quantity = NOTHING
    waiting: Quantity = NOTHING

    @property
    def used(self) -> Quantity:
        """All of it: what waits goes first, so a new request sees it as used."""
        return self.booked + self.waiting


NONE_BOOKED = Tally()


class Tallies:
    """Sums by place. Those that were never loaded are nothing; ``changed`` are the places to be written back."""

    def __init__(self, windows: Mapping[str, Window]) -> None:
        self.windows = windows
        self.changed: set[Place] = set()
        self._sums: dict[Place, Tally] = {}

    def load(self, place: Place, tally: Tally) -> None:
        """Set a sum as it is recorded."""
        self._sums[place] = tally

    def knows(self, place: Place) -> bool:
        """Whether the sum was loaded or changed."""
        return place in self._sums

    def at(self, place: Place) -> Tally:
        """The sum at ``place``."""
        return self._sums.get(place, NONE_BOOKED)

    def places(self, booking: Booking, at: int, without: tuple[str, ...] = ()) -> Iterator[tuple[Place, Quantity]]:
        """Where the request counts when booked ``at``, and how much; not in the windows ``without``."""
        for window in self.windows.values():
            if window.id not in without:
                place = window.place(booking, at)
                if place is not None:
                    yield place, window.counts(booking)

    def add(self, place: Place, counts: Quantity, waiting: bool) -> None:
        """Count something in."""
        tally = self.at(place)
        if waiting:
            self._sums[place] = Tally(tally.booked, tally.waiting + counts)
        else:
            self._sums[place] = Tally(tally.booked + counts, tally.waiting)
        self.changed.add(place)

    def take(self, place: Place, counts: Quantity, waiting: bool) -> None:
        """Take something out again that was counted in."""
        self.add(place, Quantity(-counts.units, counts.decimals), waiting)

    def forget(self, place: Place) -> None:
        """Let go of a sum that is over, or nothing again."""
        self._sums.pop(place, None)
        self.changed.discard(place)

    def __iter__(self) -> Iterator[tuple[Place, Tally]]:
        return iter(self._sums.items())
