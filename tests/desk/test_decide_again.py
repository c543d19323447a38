"""What waits goes on in its order as headroom returns; what is cancelled gives its headroom back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cryptosupport.desk.cancel import cancel
from cryptosupport.desk.cases import ChainFacts
from cryptosupport.desk.run_once import run_once
from cryptosupport.desk.take_in import Intake, Line
from cryptosupport.domain.errors import NoSuchRecord, OutcomeUnknown, Refused
from cryptosupport.domain.money import Asset, Quantity
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.policy.periods import Calendar, Unit
from cryptosupport.domain.policy.rules import Per
from cryptosupport.domain.withdrawals import Verification, Withdrawal
from tests.desk.deskkit import ETH, HOUR, Desk, policy, request, rule, sums

MIDNIGHT = 1_790_035_200_000
DeskWith = Callable[..., Desk]


def again(desk: Desk) -> list[tuple[str, str]]:
    """Decide again what waits: who moved, and where to."""
    return [(each.request.request_id, each.state.value) for each in run_once(desk.ledger, desk.premises)]


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


@pytest.mark.parametrize(
    ("moments", "expected"),
    [([-30_000, -1, 0], [False, False, True]), ([-200_000, -140_001, -140_000], [False, False, True])],
    ids=["when a day is over", "every minute"],
)
def test_a_long_stream_decides_again_what_waits(desk_with: DeskWith, moments: list[int], expected: list[bool]) -> None:
    day = rule("day", "1", period=Calendar(Unit.DAY, "UTC"), per=Per.GLOBAL)
    desk = desk_with(policy(day if moments[-1] == 0 else rule("desk", "1", hours=1)))
    desk.clock.at = MIDNIGHT + moments[0]
    desk.take(request("a"), request("b"))
    told: list[str] = []
    intake = Intake(desk.ledger, desk.premises, lambda each: told.append(each.request.request_id))

    def stream() -> Iterator[list[Line]]:
        for number, moment in enumerate(moments):
            desk.clock.at = MIDNIGHT + moment
            if moment == moments[-1]:
                cancel(desk.ledger, desk.premises, "a")
            yield [Line(1, "", request(f"r{number}", "0.1"), "file")]

    heard = ["b" in told for _ in intake.take_in(stream())]
    assert heard == expected


def test_over_midnight_nobody_who_comes_is_before_those_who_wait(desk_with: DeskWith) -> None:
    own = rule("own", per=Per.CUSTOMER, period=Calendar(Unit.DAY, "UTC"), max_count=1)
    desk = desk_with(policy(own, rule("desk", "1", hours=24)))
    desk.clock.at = MIDNIGHT - 30_000
    assert desk.states(request("other", customer="c2"), request("w")) == ["approved", "waiting"]
    intake = Intake(desk.ledger, desk.premises)
    list(intake.take_in([[Line(1, "", request("x", "0.1", customer="c3"), "file")]]))
    desk.clock.at = MIDNIGHT
    (new,) = intake.take_in([[Line(1, "", request("n", "0.1"), "file")]])
    assert isinstance(new.result, Withdrawal)
    assert new.result.state.value == "rejected", "w has the one place of the new day"
    assert desk.recorded("w") == ["waiting"]


def test_what_cannot_be_found_out_just_now_goes_on_waiting(desk_with: DeskWith) -> None:
    share = rule("share", max_percent=Quantity.parse("50"))
    desk = desk_with(policy(share, rule("usd", "9", value="1000", hours=1)), hot={"hot-btc": "2"}, prices={"BTC": "1"})
    assert desk.states(request("a", "1.5")) == ["waiting"]
    desk.hot, desk.prices = {}, {}
    assert again(desk) == []
    assert desk.states(request("new", "0.1")) == ["held"]
    desk.hot, desk.prices = {"hot-btc": "9"}, {"BTC": "1"}
    assert again(desk) == [("a", "approved")]


def test_what_was_shown_does_not_grow_old_while_it_waits(desk_with: DeskWith) -> None:
    fresh = rule("fresh", require=("two_factor",), max_age=HOUR // 4)
    desk = desk_with(policy(rule(amount="1", hours=1), fresh))
    shown = Verification(two_factor=True, at=desk.clock.at // 1000)
    assert desk.states(request("a", verification=shown), request("b", verification=shown)) == ["approved", "waiting"]
    desk.clock.at += HOUR
    assert again(desk) == [("b", "approved")]


@pytest.mark.parametrize(
    "left", [{}, {"bitcoin": ChainFacts({})}, {"bitcoin": ChainFacts({"BTC": Asset("BTC", 10)})}], ids=str
)
def test_what_the_settings_no_longer_have_waits_and_stops_nobody(
    desk_with: DeskWith, left: dict[str, ChainFacts]
) -> None:
    desk = desk_with(policy(rule(amount="1", hours=1), rule("eth", "9", match={"asset": "ETH"})))
    eth = {"asset": ETH, "chain": "ethereum", "amount": "0.5"}
    desk.take(request("a"), request("b"))
    desk.clock.at += HOUR
    before = desk.chains
    desk.chains = {"ethereum": before["ethereum"]} | left
    assert again(desk) == []
    waits = desk.ledger.withdrawal("b")
    assert waits is not None
    assert "no longer in the settings" in " ".join(voice.reason for voice in waits.decision.voices)
    desk.clock.at += HOUR
    assert desk.states(request("c", **eth)) == ["approved"]
    desk.chains = before
    assert again(desk) == [("b", "approved")]


def test_nodes_are_asked_before_the_transaction_and_once(desk_with: DeskWith) -> None:
    share = rule("share", max_percent=Quantity.parse("50"), on_exceed=Outcome.WAIT)
    desk = desk_with(policy(share), hot={"hot-btc": "2"})
    assert desk.states(request("a", "1.5")) == ["waiting"]
    desk.hot = {"hot-btc": "4"}
    assert again(desk) == [("a", "approved")]
