"""The desk in memory: who waits goes first, time brings headroom back, and memory stays flat."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.domain.errors import ClockWentBack
from cryptosupport.domain.money import NOTHING, Quantity
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.policy.periods import Calendar, Lifetime, Sliding, Unit
from cryptosupport.domain.policy.replay import Replay
from cryptosupport.domain.policy.rules import Per, Rule
from tests.domain.policy.making import DAY, HOUR, NOW, case, judge, patient, q

DESK: dict[str, Any] = {"per": Per.GLOBAL, "period": Sliding(HOUR)}
TWO_AN_HOUR = Rule("desk", max_amount=q("2"), **DESK)


def replay(*rules: Rule) -> Replay:
    return Replay(judge(*rules))


def asked(desk: Replay, id: str, amount: str, at: int = NOW, lasts: bool = False, **facts: Any) -> Outcome:
    return desk.arrive(id, case(at, amount=q(amount), **facts), lasts).outcome


def moved(desk: Replay, now: int) -> dict[str, Outcome]:
    return {id: decision.outcome for id, decision in desk.advance(now)}


# -- queues


def test_who_waits_is_let_through_when_the_window_has_room_again_and_not_a_moment_before() -> None:
    desk = replay(TWO_AN_HOUR)
    assert asked(desk, "a", "2") is Outcome.ALLOW
    assert asked(desk, "b", "1") is Outcome.WAIT
    assert moved(desk, NOW + HOUR - 1) == {}
    assert moved(desk, NOW + HOUR) == {"b": Outcome.ALLOW}
    assert desk.waiting == 0


def test_nobody_overtakes_in_a_queue() -> None:
    desk = replay(TWO_AN_HOUR)
    assert asked(desk, "a", "1") is Outcome.ALLOW
    assert asked(desk, "big", "1.5") is Outcome.WAIT
    assert asked(desk, "small", "0.5") is Outcome.WAIT
    assert moved(desk, NOW + 1) == {}
    assert moved(desk, NOW + HOUR) == {"big": Outcome.ALLOW, "small": Outcome.ALLOW}


def test_who_waits_for_another_queue_is_not_in_the_way_here() -> None:
    week = Rule("week", per=Per.GLOBAL, period=Calendar(Unit.WEEK, "UTC"), max_amount=q("3"))
    own = Rule("wallet", {"wallet": frozenset({"hot-1"})}, Per.WALLET, Sliding(HOUR), max_amount=q("0.5"))
    desk = replay(week, own)
    assert asked(desk, "a", "0.5", wallet="hot-1") is Outcome.ALLOW
    assert asked(desk, "b", "0.5", wallet="hot-1") is Outcome.WAIT
    assert asked(desk, "c", "2.5", wallet="hot-2") is Outcome.ALLOW


def test_what_is_more_than_a_whole_limit_waits_for_ever_and_lets_others_pass() -> None:
    desk = replay(TWO_AN_HOUR)
    assert asked(desk, "huge", "3") is Outcome.WAIT
    assert asked(desk, "a", "2") is Outcome.ALLOW
    assert moved(desk, NOW + 99 * DAY) == {}
    assert desk.waiting == 1


def test_what_waits_does_not_age_and_is_booked_anew_when_it_is_let_through() -> None:
    desk = replay(TWO_AN_HOUR)
    asked(desk, "a", "2")
    asked(desk, "b", "2", NOW + 1)
    assert moved(desk, NOW + 5 * HOUR) == {"b": Outcome.ALLOW}
    assert asked(desk, "c", "1", NOW + 6 * HOUR - 1) is Outcome.WAIT
    assert moved(desk, NOW + 6 * HOUR) == {"c": Outcome.ALLOW}


def test_a_customers_own_limit_keeps_room_for_what_waits() -> None:
    own = Rule("own", per=Per.CUSTOMER, period=Sliding(DAY), max_amount=q("3"))
    desk = replay(TWO_AN_HOUR, own)
    assert asked(desk, "a", "2") is Outcome.ALLOW
    assert asked(desk, "b", "1") is Outcome.WAIT
    assert asked(desk, "c", "0.5") is Outcome.DENY
    desk.cancel("b", NOW)
    assert {(tally.booked, tally.waiting) for _, tally in desk.tallies} == {(q("2"), NOTHING)}
    assert asked(desk, "d", "0.5") is Outcome.WAIT


def test_a_queue_goes_on_over_midnight() -> None:
    day = Rule("day", per=Per.GLOBAL, period=Calendar(Unit.DAY, "UTC"), max_amount=q("2"))
    desk = replay(day)
    assert asked(desk, "a", "2") is Outcome.ALLOW
    assert [asked(desk, id, "1.5") for id in "bcd"] == [Outcome.WAIT] * 3
    assert moved(desk, NOW + DAY) == {"b": Outcome.ALLOW}
    assert asked(desk, "e", "0.5", NOW + DAY) is Outcome.WAIT
    assert moved(desk, NOW + 2 * DAY) == {"c": Outcome.ALLOW}
    desk.cancel("d", NOW + 2 * DAY)
    assert moved(desk, NOW + 2 * DAY) == {"e": Outcome.ALLOW}


def test_a_new_destination_is_let_through_when_it_has_cooled_and_counts_from_then() -> None:
    desk = replay(Rule("cool", cooling=HOUR), TWO_AN_HOUR)
    assert asked(desk, "new", "2") is Outcome.WAIT
    assert asked(desk, "known", "2", known_since=0) is Outcome.ALLOW
    assert moved(desk, NOW + HOUR - 1) == {}
    assert moved(desk, NOW + HOUR) == {"new": Outcome.ALLOW}
    assert asked(desk, "next", "1", NOW + HOUR, known_since=0) is Outcome.WAIT


# -- cancelled


@pytest.mark.parametrize("period", [Sliding(HOUR), Calendar(Unit.DAY, "UTC"), Lifetime()], ids=str)
def test_what_is_cancelled_gives_its_room_back_once(period: Any) -> None:
    desk = replay(Rule("desk", per=Per.GLOBAL, period=period, max_amount=q("2"), on_exceed=Outcome.WAIT))
    assert asked(desk, "a", "2") is Outcome.ALLOW
    assert asked(desk, "b", "2") is Outcome.WAIT
    desk.cancel("a", NOW)
    desk.cancel("a", NOW)
    desk.cancel("never came", NOW)
    assert moved(desk, NOW) == {"b": Outcome.ALLOW}
    assert asked(desk, "c", "1") is Outcome.WAIT


def test_what_is_out_of_its_window_gives_nothing_back() -> None:
    desk = replay(TWO_AN_HOUR, Rule("ever", per=Per.CUSTOMER, period=Lifetime(), max_amount=q("9")))
    asked(desk, "a", "2")
    assert asked(desk, "b", "2", NOW + HOUR) is Outcome.ALLOW
    desk.cancel("a", NOW + HOUR)
    assert asked(desk, "c", "1", NOW + HOUR) is Outcome.WAIT
    assert [tally.booked for place, tally in desk.tallies if place.who == "c-1"] == [q("2")]


# -- time and memory


def test_a_clock_that_goes_back_is_refused() -> None:
    desk = replay(TWO_AN_HOUR)
    asked(desk, "a", "1")
    for go_back in (lambda: asked(desk, "b", "1", NOW - 1), lambda: desk.advance(NOW - 1), lambda: desk.cancel("a", 0)):
        with pytest.raises(ClockWentBack):
            go_back()
    assert asked(desk, "c", "1") is Outcome.ALLOW


def test_memory_holds_only_what_still_counts_or_waits() -> None:
    rules = [
        Rule("desk", per=Per.GLOBAL, period=Sliding(HOUR), max_count=10_000),
        Rule("own", per=Per.CUSTOMER, period=Calendar(Unit.DAY, "UTC"), max_count=3),
        Rule("ever", per=Per.DESTINATION, period=Lifetime(), max_count=10_000),
    ]
    desk = replay(*rules)
    for number in range(3000):
        at = NOW + number * 60_000
        assert asked(desk, f"w-{number}", "1", at, customer=f"c-{number}", lasts=True) is Outcome.ALLOW
        assert desk.kept <= DAY // 60_000 + 1
        assert len(list(desk.tallies)) <= DAY // 60_000 + 3
    desk.advance(NOW + 99 * DAY)
    assert desk.kept == 0
    assert [tally.booked for _, tally in desk.tallies] == [q("3000")]


def test_a_request_is_kept_until_it_is_out_of_its_last_window_and_no_longer() -> None:
    desk = replay(TWO_AN_HOUR, Rule("own", per=Per.CUSTOMER, period=Sliding(HOUR // 2), max_count=9))
    asked(desk, "a", "1")
    desk.advance(NOW + HOUR - 1)
    assert desk.kept == 1
    desk.advance(NOW + HOUR)
    assert desk.kept == 0
    assert list(desk.tallies) == []


# -- whatever the order


AMOUNTS = st.lists(st.integers(1, 6).map(lambda halves: Quantity(halves * 5, 1)), min_size=1, max_size=5)
OUTCOMES = st.sampled_from([Outcome.DENY, Outcome.HOLD, Outcome.WAIT])


def let_through(amounts: tuple[Quantity, ...], on_exceed: Outcome) -> list[Quantity]:
    rule = Rule("desk", per=Per.GLOBAL, period=Sliding(HOUR), max_amount=q("4"), on_exceed=on_exceed)
    desk = replay(rule)
    decided = [(amount, desk.arrive(f"{place}", case(amount=amount))) for place, amount in enumerate(amounts)]
    return [amount for amount, decision in decided if decision.outcome is Outcome.ALLOW]


@patient
@given(AMOUNTS, OUTCOMES)
def test_no_order_of_arrival_lets_more_through_than_the_limit(amounts: list[Quantity], on_exceed: Outcome) -> None:
    for order in set(permutations(amounts)):
        assert sum(let_through(order, on_exceed), NOTHING) <= q("4")


@patient
@given(st.integers(1, 9), st.integers(1, 6).map(lambda halves: Quantity(halves * 5, 1)), OUTCOMES, st.data())
def test_of_equal_amounts_as_many_are_let_through_in_every_order(
    count: int, amount: Quantity, on_exceed: Outcome, data: st.DataObject
) -> None:
    """Whoever asks: customers come in any order, and as many get through."""
    rule = Rule("desk", per=Per.GLOBAL, period=Sliding(HOUR), max_amount=q("4"), on_exceed=on_exceed)
    fit = min(count, q("4").units * 10 // amount.units)
    for _ in range(2):
        desk = replay(rule)
        customers = data.draw(st.permutations(range(count)))
        asked_for = [desk.arrive(f"w-{each}", case(amount=amount, customer=f"c-{each}")) for each in customers]
        assert [decision.outcome for decision in asked_for].count(Outcome.ALLOW) == fit
