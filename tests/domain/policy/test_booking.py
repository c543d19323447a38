"""How decisions enter the sums and leave them, and what each one in a queue sees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cryptosupport.domain.money import NOTHING
from cryptosupport.domain.policy.booking import Queue, book, unbook
from cryptosupport.domain.policy.decision import Decision, Outcome
from cryptosupport.domain.policy.judging import Case, Judge
from cryptosupport.domain.policy.periods import Calendar, Sliding, Unit
from cryptosupport.domain.policy.rules import Per, Rule
from cryptosupport.domain.policy.tallies import Tallies, Tally
from cryptosupport.domain.policy.windows import Place
from tests.domain.policy.making import DAY, HOUR, NOW, booking, case, dollars, judge, q

SLIDING: dict[str, Any] = {"per": Per.GLOBAL, "period": Sliding(HOUR), "max_amount": q("2")}
DESK = Rule("desk", **SLIDING)


def place_of(made: Judge, at: int = NOW) -> Place:
    (window,) = made.windows.values()
    place = window.place(booking(), at)
    assert place is not None
    return place


def decision(outcome: Outcome, booked: bool = True, unbooked: tuple[str, ...] = ()) -> Decision:
    return Decision(outcome, (), "", NOW, booked, unbooked)


def test_each_outcome_enters_the_sums_as_it_counts() -> None:
    made = judge(DESK)
    place = place_of(made)
    expected = {
        Outcome.ALLOW: Tally(q("1"), NOTHING),
        Outcome.APPROVAL: Tally(q("1"), NOTHING),
        Outcome.HOLD: Tally(q("1"), NOTHING),
        Outcome.WAIT: Tally(NOTHING, q("1")),
        Outcome.DENY: Tally(),
    }
    for outcome, tally in expected.items():
        tallies = Tallies(made.windows)
        book(tallies, booking(), decision(outcome, booked=outcome is not Outcome.DENY), NOW)
        assert tallies.at(place) == tally
        book(tallies, booking(), decision(outcome, unbooked=(place.window,)), NOW)
        assert tallies.at(place) == tally


def test_what_was_booked_leaves_as_it_came_until_it_is_out_by_itself() -> None:
    for waiting, outcome in ((False, Outcome.ALLOW), (True, Outcome.WAIT)):
        made = judge(DESK)
        place = place_of(made)
        for now, left in ((NOW + HOUR - 1, "0"), (NOW + HOUR, "0" if waiting else "1")):
            tallies = Tallies(made.windows)
            book(tallies, booking(), decision(outcome), NOW)
            unbook(tallies, booking(), NOW, (), waiting, now)
            assert tallies.at(place).used == q(left)


def test_a_calendar_period_that_is_over_is_let_alone() -> None:
    made = judge(replace(DESK, period=Calendar(Unit.DAY, "UTC")))
    for now, left in ((NOW + DAY - 1, "0"), (NOW + DAY, "1")):
        for waiting in (False, True):
            tallies = Tallies(made.windows)
            book(tallies, booking(), decision(Outcome.WAIT if waiting else Outcome.HOLD), NOW)
            unbook(tallies, booking(), NOW, (), waiting, now)
            assert tallies.at(place_of(made)).used == q(left)


def test_windows_in_which_it_never_counted_are_let_alone() -> None:
    made = judge(DESK)
    tallies = Tallies(made.windows)
    unbook(tallies, booking(), NOW, tuple(made.windows), False, NOW)
    assert not tallies.changed


# -- the queue


class Waiting:
    """A queue under one policy, with ``booked`` in the desk's sum and requests that have waited since NOW."""

    def __init__(self, *rules: Rule, booked: str) -> None:
        self.judge = judge(*rules)
        self.tallies = Tallies(self.judge.windows)
        self.place = next(window.place(booking(), NOW) for window in self.judge.windows.values())
        assert self.place is not None
        self.tallies.load(self.place, Tally(q(booked), NOTHING))

    def put(self, asked: Case) -> None:
        book(self.tallies, asked.booking, decision(Outcome.WAIT), asked.now)
        self.tallies.changed.clear()


def test_each_one_sees_what_older_ones_wait_for_and_not_what_younger_ones_do() -> None:
    desk = Waiting(DESK, booked="1")
    first, second = case(amount=q("1.5")), case(amount=q("1"))
    desk.put(first)
    desk.put(second)
    assert desk.place is not None
    queue = Queue(desk.judge, desk.tallies)
    assert queue.used(desk.place) == q("1")
    turn = queue.decide(first.later(NOW + 1), first.booking, NOW, ())
    assert (turn.decision.outcome, turn.changed, turn.booked_at) == (Outcome.WAIT, False, NOW)
    assert queue.used(desk.place) == q("2.5")
    turn = queue.decide(second.later(NOW + 1), second.booking, NOW, ())
    assert "3.5 BTC would be over the limit of 2 BTC" in turn.decision.voices[0].reason
    assert not desk.tallies.changed


def test_who_is_let_through_leaves_the_queue_and_is_booked_now() -> None:
    desk = Waiting(DESK, booked="1")
    asked = case()
    desk.put(asked)
    assert desk.place is not None
    turn = Queue(desk.judge, desk.tallies).decide(asked.later(NOW + 7), asked.booking, NOW, ())
    assert (turn.decision.outcome, turn.changed, turn.booked_at) == (Outcome.ALLOW, True, NOW + 7)
    assert desk.tallies.at(desk.place) == Tally(q("2"), NOTHING)


def test_who_is_denied_now_counts_nowhere_any_more() -> None:
    desk = Waiting(DESK, Rule("no", deny=True), booked="1")
    asked = case()
    desk.put(asked)
    assert desk.place is not None
    turn = Queue(desk.judge, desk.tallies).decide(asked.later(NOW + 7), asked.booking, NOW, ())
    assert (turn.decision.outcome, turn.changed, turn.booked_at) == (Outcome.DENY, True, None)
    assert desk.tallies.at(desk.place) == Tally(q("1"), NOTHING)


def test_who_waits_on_with_a_new_value_waits_with_the_new_value() -> None:
    desk = Waiting(replace(DESK, max_amount=None, max_value=dollars("60000")), booked="60000")
    asked = case()
    desk.put(asked)
    assert desk.place is not None
    dearer = replace(asked.later(NOW + 7), booking=booking(value=dollars("55000")))
    turn = Queue(desk.judge, desk.tallies).decide(dearer, asked.booking, NOW, ())
    assert (turn.decision.outcome, turn.changed, turn.booked_at) == (Outcome.WAIT, True, NOW + 7)
    assert desk.tallies.at(desk.place) == Tally(q("60000"), q("55000"))


def test_who_waits_over_midnight_waits_in_the_new_day() -> None:
    desk = Waiting(replace(DESK, period=Calendar(Unit.DAY, "UTC")), booked="2")
    asked = case()
    desk.put(asked)
    tomorrow = place_of(desk.judge, NOW + DAY)
    desk.tallies.load(tomorrow, Tally(q("2"), NOTHING))
    turn = Queue(desk.judge, desk.tallies).decide(asked.later(NOW + DAY), asked.booking, NOW, ())
    assert (turn.decision.outcome, turn.changed, turn.booked_at) == (Outcome.WAIT, True, NOW + DAY)
    assert desk.tallies.at(tomorrow) == Tally(q("2"), q("1"))


def test_who_has_cooled_down_enters_the_queue() -> None:
    desk = Waiting(DESK, Rule("cool", cooling=HOUR), booked="2")
    asked = case()
    assert desk.place is not None
    cooling = Queue(desk.judge, desk.tallies).decide(asked.later(NOW + 1), asked.booking, None, ())
    assert (cooling.changed, cooling.booked_at) == (False, None)
    turn = Queue(desk.judge, desk.tallies).decide(asked.later(NOW + HOUR), asked.booking, None, ())
    assert (turn.decision.outcome, turn.changed, turn.booked_at) == (Outcome.WAIT, True, NOW + HOUR)
    assert desk.tallies.at(desk.place) == Tally(q("2"), q("1"))
