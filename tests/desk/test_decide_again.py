"""What waits goes on in its order as headroom returns; what is cancelled gives its headroom back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cryptosupport.desk.cancel import cancel
from cryptosupport.desk.decide_again import decide_again, in_between
from cryptosupport.domain.errors import NoSuchRecord, OutcomeUnknown, Refused
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.policy.periods import Calendar, Unit
from cryptosupport.domain.policy.rules import Per
from cryptosupport.domain.withdrawals import Verification
from tests.desk.deskkit import HOUR, Desk, policy, request, rule, sums

MIDNIGHT = 1_790_035_200_000
DeskWith = Callable[..., Desk]


def again(desk: Desk) -> list[tuple[str, str]]:
    """Decide again what waits: who moved, and where to."""
    return [(each.request.request_id, each.state.value) for each in decide_again(desk.ledger, desk.premises)]


def test_a_full_window_makes_wait_and_then_lets_through(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="1", hours=1)))
    assert desk.states(request("a", "0.8"), request("b", "0.5")) == ["approved", "waiting"]
    desk.clock.at += HOUR - 1
    assert again(desk) == []
    desk.clock.at += 1
    assert again(desk) == [("b", "approved")]
    assert list(sums(desk).values()) == [("0.5", "0")]


def test_nothing_overtakes_in_a_queue(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="1", hours=1)))
    states = desk.states(request("a", "0.8"), request("b", "0.5"), request("c", "0.2"), request("d", "0.6"))
    assert states == ["approved", "waiting", "waiting", "waiting"]
    desk.clock.at += HOUR
    assert again(desk) == [("b", "approved"), ("c", "approved")]


def test_one_that_is_more_than_the_whole_limit_is_in_nobodys_way(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="1", hours=1)))
    assert desk.states(request("whale", "5"), request("b", "1")) == ["waiting", "approved"]
    desk.clock.at += HOUR
    assert again(desk) == []
    desk.policy = policy(rule(amount="6", hours=1))
    assert again(desk) == [("whale", "approved")]


def test_who_waits_for_one_queue_is_not_in_the_way_of_another(desk_with: DeskWith) -> None:
    rules = rule("btc", "1", hours=24, match={"asset": "BTC"}), rule("desk", hours=1, max_count=2)
    desk = desk_with(policy(*rules))
    assert desk.states(request("a"), request("b")) == ["approved", "waiting"]
    desk.clock.at += HOUR
    desk.policy = policy(*rules, rule("eth", "9", match={"customer": "c2"}))
    assert desk.states(request("c", "0.5", customer="c2")) == ["waiting"], "behind b in the queue for bitcoin"
    assert again(desk) == []


def test_a_customers_own_limit_counts_what_waits_elsewhere(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("own", "10", hours=24, per=Per.CUSTOMER), rule("desk", "5", hours=1)))
    states = desk.states(request("a", "5"), request("b", "5"), request("c", "1"))
    assert states == ["approved", "waiting", "rejected"]


def test_a_destination_cools_down_and_then_goes_on(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("own", "1", hours=1, per=Per.CUSTOMER), rule("cool", cooling=24 * HOUR)))
    assert desk.states(request("a")) == ["waiting"]
    assert sums(desk) == {}, "it counts nowhere before it can go"
    desk.clock.at += 24 * HOUR - 1
    assert again(desk) == []
    desk.clock.at += 1
    assert again(desk) == [("a", "approved")]
    assert list(sums(desk).values()) == [("1", "0")]


def test_what_waits_does_not_age_and_is_booked_when_it_is_let_through(desk_with: DeskWith) -> None:
    day = rule("day", hours=24, max_count=2, on_exceed=Outcome.DENY)
    desk = desk_with(policy(rule("two", hours=1, max_count=1), day))
    assert desk.states(request("a"), request("b")) == ["approved", "waiting"]
    desk.clock.at += 30 * HOUR
    assert desk.states(request("c")) == ["waiting"], "b goes first"
    assert again(desk) == [("b", "approved")]
    desk.clock.at += HOUR
    assert again(desk) == [("c", "approved")]


def test_every_turn_is_kept(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="1", hours=1)))
    _, waiting = desk.take(request("a"), request("b"))
    desk.clock.at += HOUR
    again(desk)
    outcomes = [decision.outcome.value for decision in desk.ledger.decisions(waiting.id)]
    assert outcomes == ["wait", "allow"]


# -- cancelling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Outcome.DENY, Outcome.WAIT])
def test_a_cancelled_one_gives_its_headroom_back(desk_with: DeskWith, outcome: Outcome) -> None:
    desk = desk_with(policy(rule(amount="1", hours=1, on_exceed=outcome)))
    desk.take(request("a", "0.8"), request("b", "0.5"))
    cancel(desk.ledger, desk.premises, "a", "alice")
    recorded = desk.ledger.withdrawal("a")
    assert recorded is not None
    assert (recorded.state.value, recorded.booked_at, recorded.ended_by) == ("cancelled", None, "alice")
    assert again(desk) == ([("b", "approved")] if outcome is Outcome.WAIT else [])
    assert desk.states(request("c", "0.5")) == ["approved"]


def test_cancelling_what_is_out_of_its_window_takes_nothing_from_others(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="1", hours=1)))
    desk.take(request("a"))
    desk.clock.at += HOUR
    desk.take(request("b"))
    cancel(desk.ledger, desk.premises, "a")
    assert list(sums(desk).values()) == [("1", "0")]


def test_cancelling_one_that_waits_lets_the_next_ones_move_up(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="1", hours=1)))
    desk.take(request("a", "0.8"), request("b", "0.5"), request("c", "0.2"))
    cancel(desk.ledger, desk.premises, "b")
    assert again(desk) == [("c", "approved")]


def test_cancelling_twice_changes_nothing_the_second_time(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="1", hours=1)))
    desk.take(request("a"))
    first = cancel(desk.ledger, desk.premises, "a")
    desk.clock.at += 1
    second = cancel(desk.ledger, desk.premises, "a")
    assert (second.state, second.updated_at, second.turn) == (first.state, first.updated_at, first.turn)


def test_a_rejected_one_cannot_be_cancelled_and_an_unknown_one_is_told(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="1")))
    desk.take(request("a", "2"))
    with pytest.raises(Refused, match="rejected"):
        cancel(desk.ledger, desk.premises, "a")
    with pytest.raises(NoSuchRecord, match="zzz"):
        cancel(desk.ledger, desk.premises, "zzz")


def test_a_request_that_was_cancelled_stays_cancelled_when_it_comes_again(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="1", hours=1)))
    desk.take(request("a"))
    cancel(desk.ledger, desk.premises, "a")
    assert desk.states(request("a")) == ["cancelled"]


def test_a_row_that_somebody_else_changed_is_not_changed_again(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule(amount="1")))
    (before,) = desk.take(request("a"))
    cancelled = cancel(desk.ledger, desk.premises, "a")
    judge = desk.premises.judge
    with pytest.raises(OutcomeUnknown, match="changed by somebody else"), desk.ledger.write(judge) as books:
        books.change(before, cancelled)


# -- while requests come in ------------------------------------------------------------------------------------------


class Shown:
    """The desk's clock as the port has it."""

    ends_at = 0.0

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def milliseconds(self) -> int:
        return self._desk.clock.at


def test_a_long_stream_decides_again_every_minute_and_when_a_day_is_over(desk_with: DeskWith) -> None:
    day = rule("day", "1", period=Calendar(Unit.DAY, "UTC"), per=Per.GLOBAL)
    desk = desk_with(policy(day, rule("hour", "2", hours=1)))
    desk.clock.at = MIDNIGHT - 30_000
    desk.take(request("a"), request("b"))
    told: list[str] = []

    def stream() -> Iterator[str]:
        yield "first"
        desk.clock.at = MIDNIGHT - 1
        yield "before midnight"
        desk.clock.at = MIDNIGHT
        yield "after midnight"

    between = in_between(stream(), desk.ledger, desk.premises, Shown(desk), lambda each: told.append(each.state))  # type: ignore[arg-type]
    heard = [(batch, list(told)) for batch in between]
    assert heard == [("first", []), ("before midnight", []), ("after midnight", ["approved"])]


def test_what_was_shown_does_not_grow_old_while_it_waits(desk_with: DeskWith) -> None:
    fresh = rule("fresh", require=("two_factor",), max_age=HOUR // 4)
    desk = desk_with(policy(rule(amount="1", hours=1), fresh))
    shown = Verification(two_factor=True, at=desk.clock.at // 1000)
    assert desk.states(request("a", verification=shown), request("b", verification=shown)) == ["approved", "waiting"]
    desk.clock.at += HOUR
    assert again(desk) == [("b", "approved")]
