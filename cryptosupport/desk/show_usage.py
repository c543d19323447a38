"""How much room the limits over time have left: what is used of each, what waits for it, and when it is free again."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cryptosupport.domain.books import Ledger
from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.money import NOTHING, Quantity
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.policy.judging import Judge
from cryptosupport.domain.policy.lint import Shape, can_match
from cryptosupport.domain.policy.periods import Calendar, describe
from cryptosupport.domain.policy.rules import Booking, Per, Policy, Rule
from cryptosupport.domain.policy.tallies import NONE_BOOKED, Tally
from cryptosupport.domain.policy.windows import Measure, Place, Window, measures
from cryptosupport.domain.prices import MICRO
from cryptosupport.domain.withdrawal_record import moment

_PERSONAL = (Per.CUSTOMER, Per.DESTINATION)
"""As many sums as there are customers or destinations; of all others there are few."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose headroom, and by which rule: None for all. Of sums that nobody named, the ``top`` nearest to the limit."""

    customer: str | None = None
    destination: str | None = None
    rule: str | None = None
    top: int = 10

    def named(self, per: Per) -> str | None:
        """The key that was asked for."""
        return {Per.CUSTOMER: self.customer, Per.DESTINATION: self.destination}.get(per)

    @property
    def everybody(self) -> bool:
        """Whether nobody was named."""
        return self.customer is None and self.destination is None


@dataclass(frozen=True, slots=True)
class Limit:
    """What a rule sets to a window: a ``limit``, or a ``percent`` of the hot balance; ``beyond`` comes of more."""

    rule: Rule
    window: Window
    beyond: Outcome
    limit: Quantity | None = None
    percent: Quantity | None = None


@dataclass(frozen=True, slots=True)
class Headroom:
    """One sum under one limit. ``ends`` is when the sum starts anew (milliseconds since 1970), if it does."""

    limit: Limit
    place: Place
    tally: Tally
    ends: int | None

    @property
    def left(self) -> Quantity | None:
        """What can still be asked for; None for a percentage, since no node is asked."""
        if self.limit.limit is None:
            return None
        left = self.limit.limit - self.tally.used
        return left if left.units > 0 else NOTHING


def show_usage(ledger: Ledger, judge: Judge, shapes: Sequence[Shape], asked: Asked) -> Iterator[Headroom]:
    """Say what is used of every limit over time, by rule, the nearest to its limit first.

    One deciding transaction comes first, which decides nothing: it takes out of the ledger's sums what is too old by
    now, and makes them those of this policy. ``shapes`` are the kinds of requests that the settings know: what they can
    be limited by is shown though nothing is used of it. Raises `BadInput` for a rule that sums nothing over time.
    """
    limits = list(_limits(judge.policy, asked.rule))
    windows = {limit.window.id: limit.window for limit in limits}
    with ledger.write(judge) as books:
        now = books.now
        bookings = [each for limit in limits for each in _stand_ins(limit.rule, shapes, asked)]
        books.load(bookings)
        loaded = {
            place: books.tallies.at(place)
            for window in windows.values()
            if window.per not in _PERSONAL or asked.named(window.per) is not None
            for booking in bookings
            if (place := window.place(booking, now)) is not None
        }
    sums: defaultdict[str, dict[Place, Tally]] = defaultdict(dict)
    for place, tally in loaded.items():
        if tally != NONE_BOOKED or _is_named(windows[place.window]):
            sums[place.window][place] = tally
    listed = [window.id for window in windows.values() if window.per not in _PERSONAL or asked.everybody]
    for place, tally in _nearest(ledger.sums(listed), windows, asked.top):
        sums[place.window][place] = tally
    for limit in limits:
        found = sorted(sums[limit.window.id].items())
        for place, tally in sorted(found, key=lambda each: each[1].used, reverse=True):
            yield Headroom(limit, place, tally, limit.window.ends(now))


def _limits(policy: Policy, name: str | None) -> Iterator[Limit]:
    """Every limit over time, in the order of the policy."""
    rules = [rule for rule in policy.rules if rule.period is not None]
    if name is not None:
        rules = [rule for rule in rules if rule.name == name]
        if not rules:
            known = ", ".join(rule.name for rule in policy.rules if rule.period is not None)
            raise BadInput(f"no rule {name!r} sums anything over time; those that do: {known or 'none'}")
    for rule in rules:
        for measure in measures(rule):
            yield from _limits_of(rule, Window.of(rule, measure))


def _limits_of(rule: Rule, window: Window) -> Iterator[Limit]:
    most, above = rule.max_amount, rule.above_amount
    match window.measure:
        case Measure.COUNT:
            most, above = None if rule.max_count is None else Quantity(rule.max_count, 0), None
        case Measure.VALUE:
            most = None if rule.max_value is None else Quantity(rule.max_value, MICRO)
            above = None if rule.above_value is None else Quantity(rule.above_value, MICRO)
        case Measure.AMOUNT:
            if rule.max_percent is not None:
                yield Limit(rule, window, rule.exceeded, percent=rule.max_percent)
    if most is not None:
        yield Limit(rule, window, rule.exceeded, most)
    if above is not None:
        yield Limit(rule, window, Outcome.APPROVAL, above)


def _stand_ins(rule: Rule, shapes: Iterable[Shape], asked: Asked) -> Iterator[Booking]:
    """A request of each shape that the rule matches, of the customer to the destination that were asked for."""

    def one_of(name: str, otherwise: str | None) -> str:
        return otherwise if otherwise is not None else min(rule.match.get(name, ("",)))

    for shape in shapes:
        if can_match(rule, shape):
            yield Booking(
                customer=one_of("customer", asked.customer),
                tier=shape.tier,
                country=one_of("country", None),
                asset=shape.asset,
                chain=shape.chain,
                wallet=shape.wallet,
                destination=one_of("destination", asked.destination),
                source=one_of("source", None),
                amount=NOTHING,
                value=None,
            )


def _is_named(window: Window) -> bool:
    """Whether its sums are worth a line when nothing is in them: not one for every asset that any chain knows."""
    by_asset = window.measure is Measure.AMOUNT or window.per is Per.ASSET
    return not by_asset or "asset" in window.matching.match


def _nearest(
    sums: Iterable[tuple[Place, Tally]], windows: dict[str, Window], top: int
) -> Iterator[tuple[Place, Tally]]:
    """All sums of few, and the ``top`` largest of each window of many; no more than these are kept."""
    largest: defaultdict[str, list[tuple[Quantity, Place, Tally]]] = defaultdict(list)
    for place, tally in sums:
        if windows[place.window].per not in _PERSONAL:
            yield place, tally
            continue
        heap = largest[place.window]
        if len(heap) < top:
            heapq.heappush(heap, (tally.used, place, tally))
        elif heap[0][0] < tally.used:
            heapq.heapreplace(heap, (tally.used, place, tally))
    for heap in largest.values():
        yield from ((place, tally) for _, place, tally in heap)


def as_record(headroom: Headroom) -> dict[str, Any]:
    """One line of `policy usage`; ``key`` is None where all share the limit."""
    limit, window, place = headroom.limit, headroom.limit.window, headroom.place
    left = headroom.left
    return {
        "rule": limit.rule.name,
        "measure": window.measure.value,
        "per": window.per.value,
        "key": place.who or None,
        "period": describe(window.period),
        "used": str(headroom.tally.booked),
        "waiting": str(headroom.tally.waiting),
        "limit": f"{limit.percent}%" if limit.limit is None else str(limit.limit),
        "left": None if left is None else str(left),
        "unit": _unit(window, place),
        "beyond": limit.beyond.value,
        "ends_at": None if headroom.ends is None else moment(headroom.ends),
    }


def _unit(window: Window, place: Place) -> str:
    match window.measure:
        case Measure.AMOUNT:
            return place.part.partition(" ")[2] if isinstance(window.period, Calendar) else place.part
        case Measure.VALUE:
            return "USD"
        case Measure.COUNT:
            return "withdrawals"
