"""What a draft of the policy would have changed: replayed from the ledger, and from a list in a file."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import Engine

from cryptosupport.desk.backtest import Comparison, as_record, backtest, notes
from cryptosupport.desk.cancel import cancel
from cryptosupport.desk.cases import ChainFacts
from cryptosupport.desk.read_history import Past, history_in, history_of
from cryptosupport.domain.books import Wanted
from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.money import Quantity
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.policy.rules import Booking, Per, Policy
from cryptosupport.domain.withdrawal_record import withdrawal_record
from cryptosupport.domain.withdrawals import Verification
from tests.desk.deskkit import (
    BTC,
    HOUR,
    START,
    USDT_BSC,
    Desk,
    policy,
    request,
    rule,
)
from tests.desk.lives import POLICIES, STEPS, live, new_desk

DeskWith = Callable[..., Desk]
HARD = {"on_exceed": Outcome.DENY}


def compared(desk: Desk, draft: Policy, most: int = 100, since: int | None = None) -> Comparison:
    """The desk's history against a draft."""
    premises = replace(desk, policy=draft).premises
    return backtest(history_of(desk.ledger, premises), draft, most, since)


def told(comparison: Comparison) -> list[tuple[str, str, str]]:
    """The changes in few words."""
    return [(each.past.request_id, each.past.outcome.value, each.after.outcome.value) for each in comparison.changes]


HEADER = (
    b"request_id,customer,asset,chain,amount,destination,state,decision_outcome,decision_rules,created_at,updated_at"
)
ROW = b'a,"c,1",BTC,bitcoin,1,d1,cancelled,allow,[],2026-09-21T14:13:20Z,2026-09-21T14:13:20Z'


# -- what a draft would have changed ---------------------------------------------------------------------------------


def test_a_stricter_draft_denies_and_says_which_rule_does(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("one", "5")), prices={"BTC": "1000"})
    desk.take(request("a", "1"), request("b", "3"))
    found = compared(desk, policy(rule("small", "2")))
    assert told(found) == [("b", "allow", "deny")]
    record = as_record(found, desk.policy, from_file=False)
    assert (record["requests"], record["changed"]) == (2, 1)
    assert record["before"] == {"allow": 2, "approval": 0, "wait": 0, "hold": 0, "deny": 0}
    assert record["after"] == {"allow": 1, "approval": 0, "wait": 0, "hold": 0, "deny": 1}
    assert record["changes"] == [
        {
            "request_id": "b",
            "created_at": "2026-09-21T14:13:20Z",
            "customer": "c1",
            "amount": "3",
            "asset": "BTC",
            "value_usd": "3000",
            "before": "allow",
            "after": "deny",
            "approvals": {"before": 0, "after": 0},
            "why": "small: 3 BTC is over the limit of 2 BTC by 1",
        }
    ]


def test_a_looser_draft_lets_through_what_was_denied(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("day", "2", hours=24, per=Per.CUSTOMER)))
    desk.take(request("a", "1"), request("b", "2"), request("c", "1"))
    found = compared(desk, policy(rule("day", "3", hours=24, per=Per.CUSTOMER)))
    assert told(found) == [("b", "deny", "allow"), ("c", "allow", "deny")], "b takes the room that c had"


def test_one_more_person_to_approve_is_a_change(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("one", "5"), rule("eyes", approvals=1)))
    desk.take(request("a"))
    (change,) = compared(desk, policy(rule("one", "5"), rule("eyes", approvals=2))).changes
    assert (change.past.approvals, change.after.approvals) == (1, 2)


def test_values_are_those_of_the_day_and_not_of_today(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("one", "5")), prices={"BTC": "1000"})
    desk.take(request("a", "1"))
    desk.clock.at += 2 * HOUR
    desk.prices = {"BTC": "9000"}
    desk.take(request("b", "1"))
    assert told(compared(desk, policy(rule("one", value="5000", **HARD)))) == [("b", "allow", "deny")]


def test_what_was_cancelled_gives_its_room_back_when_it_was(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("one", "5")))
    desk.take(request("a", "1"), request("b", "1"))
    desk.clock.at += 1
    cancel(desk.ledger, desk.premises, "a")
    desk.clock.at += 1
    desk.take(request("c", "1"), request("d", "1"))
    assert told(compared(desk, policy(rule("day", "2", hours=24, **HARD)))) == [("d", "allow", "deny")]


def test_what_would_wait_is_decided_again_before_later_requests(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("one", "5")))
    desk.take(request("a", "1"), request("b", "1"), request("c", "1"))
    desk.clock.at += HOUR
    desk.take(request("d", "1"))
    found = compared(desk, policy(rule("hour", "1", hours=1)))
    assert told(found) == [("c", "allow", "wait"), ("d", "allow", "wait")], "b has waited, and was let through"
    assert found.after == {Outcome.ALLOW: 2, Outcome.WAIT: 2}


def test_where_many_wait_all_have_their_turn_in_the_end() -> None:
    draft = policy(rule("one", "5"), rule("cool", cooling=HOUR))
    history = [replace(past(number), created_at=START + number * 60_000) for number in range(200)]
    found = backtest(history, draft, 200)
    assert found.after[Outcome.ALLOW] + found.after[Outcome.WAIT] == 200
    assert 60 <= found.after[Outcome.WAIT] <= 70, "those of the last hour, and who came in the minutes before it"


def test_what_was_cancelled_while_it_would_have_waited_is_told_as_waiting(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("one", "5")))
    desk.take(request("a", "1"), request("b", "1"))
    desk.clock.at += 1
    cancel(desk.ledger, desk.premises, "b")
    desk.clock.at += HOUR
    desk.take(request("c", "1"))
    assert told(compared(desk, policy(rule("hour", "1", hours=1)))) == [("b", "allow", "wait")]


def test_only_what_came_since_is_compared_and_what_came_before_counts(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("one", "5")))
    desk.take(request("a", "1"), request("b", "2"))
    desk.clock.at += 1
    desk.take(request("c", "1"))
    found = compared(desk, policy(rule("day", "1", hours=24, **HARD)), since=desk.clock.at)
    assert told(found) == [("c", "allow", "deny")]
    assert found.before.total() == 1


def test_only_so_many_changes_are_listed_and_all_are_counted(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("one", "5")))
    desk.take(*(request(f"r{number}") for number in range(9)))
    for most in (0, 4):
        found = compared(desk, policy(), most=most)
        assert [each.past.request_id for each in found.changes] == [f"r{number}" for number in range(most)]
        assert found.changed == 9


def test_a_destination_is_new_when_its_customer_first_asked_for_it(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("one", "5")))
    desk.take(request("a"), request("b", destination="d2"))
    desk.clock.at += HOUR
    desk.take(request("c"), request("d", customer="c2"))
    draft = policy(rule("one", "5"), rule("cool", cooling=HOUR, **HARD))
    assert [name for name, _, _ in told(compared(desk, draft))] == ["a", "b", "d"]


def test_caps_beside_the_rules_say_what_they_said(desk_with: DeskWith) -> None:
    chains = {"bitcoin": ChainFacts({"BTC": BTC}, hot_wallets=("hot-btc",), hard_caps={"BTC": Quantity(2, 0)})}
    facts: dict[str, Any] = {"prices": {"BTC": "1000"}, "chains": chains, "further": {"run_cap": 2_000_000_000}}
    desk = desk_with(policy(rule("one", "5")), **facts)
    assert desk.states(request("a", "3"), request("b", "2"), request("c", "1")) == ["rejected", "approved", "held"]
    later = desk_with(policy(rule("any", "9")))
    assert told(compared(later, later.policy)) == []


def test_rules_about_wallets_hold_what_had_none(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("one", "5")))
    desk.take(request("a", asset=USDT_BSC, chain="bsc"))
    assert told(compared(desk, policy(rule("one", "5", hours=1, per=Per.WALLET)))) == [("a", "allow", "hold")]


def test_what_is_not_recorded_is_not_checked_and_the_result_says_so(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("one", "5")))
    desk.take(request("a"))
    share = rule("share", max_percent=Quantity(1, 0))
    draft = policy(share, rule("money", require=("balance",)), rule("one", "5"))
    assert told(compared(desk, draft)) == []
    assert notes(draft, from_file=False) == [
        "what hot wallets held is not recorded: max_percent is not checked in share",
        "what customers had is not recorded: their balance is not checked in money",
    ]
    assert notes(desk.policy, from_file=True) == []


def test_the_draft_reads_the_tier_of_those_that_told_none(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("one", "5"), tiers=("basic", "vip")))
    desk.take(request("a"), request("b", tier="vip"))
    draft = policy(rule("one", "5", match={"tier": "basic"}), tiers=("basic", "vip"))
    assert told(compared(desk, draft)) == [("b", "allow", "deny")]


def test_memory_stays_flat_however_long_the_history_is() -> None:
    draft = policy(rule("own", "3", hours=1, per=Per.CUSTOMER, **HARD), rule("desk", "2000", hours=4))

    def peak(requests: int) -> int:
        tracemalloc.start()
        try:
            backtest(map(past, range(requests)), draft, 10)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1000)
    assert peak(4000) < peak(1000) * 1.2


def past(number: int) -> Past:
    """One request a minute, of another customer each time."""
    amount = Quantity(1, 0)
    booking = Booking(f"c{number}", None, None, "BTC", "bitcoin", "hot-btc", f"d{number}", "file", amount, None)
    return Past(f"r{number}", booking, START + number * 60_000, Outcome.ALLOW, 0)


# -- from a file -----------------------------------------------------------------------------------------------------


def listed(desk: Desk) -> list[tuple[int, bytes]]:
    """What `withdraw list -o jsonl` writes."""
    found = desk.ledger.withdrawals(Wanted())
    return [(number, msgspec.json.encode(withdrawal_record(each))) for number, each in enumerate(found, 1)]


def test_a_list_in_a_file_tells_the_same(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("one", "5", match={"tier": "basic"}), tiers=("basic", "vip")), prices={"BTC": "1000"})
    desk.take(request("a", "1"), request("b", "2"), request("c", "3"), request("d", tier="vip"))
    desk.clock.at += 1000
    cancel(desk.ledger, desk.premises, "b")
    desk.clock.at += 1000
    desk.take(request("e", "1.5"), request("f", "1.5"))
    draft = policy(rule("day", value="5600", hours=24, per=Per.CUSTOMER), tiers=("basic", "vip"))
    from_file = backtest(history_in(listed(desk), "jsonl", draft), draft, 10)
    assert told(from_file) == told(compared(desk, draft)) == [("c", "allow", "deny"), ("d", "deny", "allow")]
    assert from_file.changes[0].past.booking.value == 3_000_000_000


def test_a_file_does_not_tell_all_and_the_result_says_so(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("one", "5"), rule("id", require=("identity",))))
    shown = Verification(identity=True, at=START // 1000)
    desk.take(request("a", verification=shown, country="CH"), request("b"))
    rules = rule("cool", cooling=HOUR, **HARD), rule("home", "1", match={"country": "CH"}), rule("desk", "9", hours=1)
    draft = policy(rule("one", "5"), rule("id", require=("identity", "balance")), *rules)
    found = backtest(history_in(listed(desk), "jsonl", draft), draft, 10)
    assert told(found) == [("a", "allow", "deny")]
    assert found.changes[0].after.voices[1].reason.startswith("identity: shown")
    assert notes(draft, from_file=True) == [
        "what customers had is not recorded: their balance is not checked in id",
        "the file does not tell what customers showed: all of it counts as shown in id",
        "the file does not tell country and source: these rules match nothing: home",
        "the file does not tell network fees: they are left out of the sums of desk",
        "destinations are new where the file begins, in cool",
    ]


GOOD = {
    "request_id": "a",
    "customer": "c1",
    "asset": "BTC",
    "chain": "bitcoin",
    "amount": "1",
    "destination": "d1",
    "state": "approved",
    "decision": {"outcome": "allow", "rules": [], "value_usd": "1000"},
    "created_at": "2026-09-21T14:13:20Z",
    "updated_at": "2026-09-21T14:13:20Z",
}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"amount": "1e3"}, 'amount is "1e3", which is not a decimal number'),
        ({"amount": 1}, "amount is missing"),
        ({"amount": "9" * 5000}, "which is not a decimal number"),
        ({"amount": "0." + "9" * 5000}, "which is not a decimal number"),
        ({"customer": ""}, "customer is missing"),
        ({"state": "paid"}, 'state is "paid", which is not one of requested'),
        ({"decision": None}, "decision_outcome is missing"),
        ({"decision": {"outcome": "maybe"}}, "which is not one of allow, approval, wait, hold, deny"),
        ({"decision": {"outcome": "allow", "value_usd": "1.0000001"}}, "which is not a decimal number"),
        ({"decision": {"outcome": "deny", "rules": [{"name": "hard cap", "outcome": "no"}]}}, 'outcome is "no"'),
        ({"created_at": "yesterday"}, "which is not a time in UTC"),
        ({"updated_at": "2026-09-21T14:13:19Z"}, "updated_at is before created_at"),
        ({"created_at": "2026-09-21T14:13:19Z"}, "created_at is before that of the line above"),
    ],
)
def test_a_line_that_cannot_be_used_is_told_with_its_number(changed: dict[str, Any], said: str) -> None:
    lines = [(3, msgspec.json.encode(GOOD)), (7, msgspec.json.encode(GOOD | {"request_id": "b"} | changed))]
    with pytest.raises(BadInput, match=f"line 7: .*{re.escape(said)}"):
        list(history_in(lines, "jsonl", policy()))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "line 1: the file is empty"),
        ([b"request_id,customer"], "line 1: the header has no asset, chain, amount"),
        ([b"\xff"], "line 1: this line is not UTF-8"),
        ([HEADER, b"a,b"], "line 2: this line has 2 cells, and the header has 11"),
        ([HEADER, b'"a"b' + b"," * 10], "line 2: this line is no CSV"),
        ([HEADER, ROW.replace(b"[]", b"[")], "line 2: decision_rules is no JSON"),
        ([HEADER, BadInput("this line is too long")], "line 2: this line is too long"),
    ],
)
def test_a_csv_that_cannot_be_used_is_told_with_the_number_of_the_line(lines: list[Any], said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)):
        list(history_in(enumerate(lines, 1), "csv", policy()))


def test_a_line_of_csv_is_read_by_its_header() -> None:
    (one,) = history_in(enumerate([HEADER, ROW], 1), "csv", policy())
    assert (one.request_id, one.booking.customer, one.outcome, one.given_back) == ("a", "c,1", Outcome.ALLOW, START)


# -- its own history -------------------------------------------------------------------------------------------------


def test_the_policy_that_decided_changes_nothing_of_its_own_history(engine: Engine) -> None:
    examples = 200 if engine.dialect.name == "sqlite" else 30

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(POLICIES, STEPS)
    def holds(chosen: Policy, steps: list[tuple[str, Any]]) -> None:
        desk = new_desk(engine, chosen)
        live(desk, steps)
        assert told(compared(desk, desk.policy)) == []

    holds()
