"""Every rule that matches speaks, the strictest voice counts, and what no rule permits is denied."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cryptosupport.domain.policy.decision import Outcome, Voice
from cryptosupport.domain.policy.judging import DEFAULT_DENY, NotKnown
from cryptosupport.domain.policy.periods import Calendar, Lifetime, Sliding, Unit
from cryptosupport.domain.policy.rules import Per, Rule
from tests.domain.policy.making import DAY, NOW, booking, case, decided, dollars, judge, only, q

ALLOWED = Rule("open", allow=True)
DAILY: dict[str, Any] = {"per": Per.CUSTOMER, "period": Sliding(DAY)}


# -- what permits


def test_without_rules_everything_is_denied() -> None:
    decision = judge().decide(case(), lambda place: q("0"))
    assert decision.outcome is Outcome.DENY
    assert decision.voices == (Voice(DEFAULT_DENY, Outcome.DENY, "no rule permits BTC on bitcoin here"),)
    assert not decision.booked


@pytest.mark.parametrize(
    "rule",
    [
        Rule("people", approvals=1),
        Rule("shown", require=("identity",)),
        Rule("cool", cooling=0),
        Rule("sum", approvals=1, above_value=1, **DAILY),
        Rule("other", only(asset="ETH"), max_amount=q("9")),
    ],
    ids=lambda rule: rule.name,
)
def test_what_only_restricts_or_speaks_of_others_permits_nothing(rule: Rule) -> None:
    decision = decided(rule, case())
    assert decision.outcome is Outcome.DENY
    assert DEFAULT_DENY in [voice.rule for voice in decision.voices]


def test_all_rules_that_match_have_to_pass() -> None:
    rules = [
        Rule("one", max_amount=q("5")),
        Rule("day", max_value=dollars("60000"), **DAILY),
        Rule("eth", only(asset="ETH"), max_amount=q("0")),
    ]
    assert judge(*rules).decide(case(), lambda place: q("0")).outcome is Outcome.ALLOW
    full = judge(*rules).decide(case(), lambda place: q("10000.000001"))
    assert full.outcome is Outcome.DENY
    assert {voice.rule: voice.outcome for voice in full.voices} == {"one": Outcome.ALLOW, "day": Outcome.DENY}


def test_deny_is_over_hold_over_wait_over_approval_over_allow() -> None:
    rules = [
        Rule("allow", allow=True),
        Rule("approval", approvals=2),
        Rule("wait", max_amount=q("0"), on_exceed=Outcome.WAIT),
        Rule("hold", max_amount=q("0"), on_exceed=Outcome.HOLD),
        Rule("deny", deny=True),
    ]
    for count in range(1, 6):
        decision = judge(*rules[:count]).decide(case(), lambda place: q("0"))
        assert decision.outcome == rules[count - 1].name
        assert len(decision.voices) == count


def test_a_hard_cap_speaks_beside_the_rules() -> None:
    cap = Voice("hard cap", Outcome.DENY, "9 BTC is over the asset's hard cap of 8 BTC")
    decision = decided(ALLOWED, case(further=(cap,)))
    assert decision.outcome is Outcome.DENY
    assert cap in decision.voices
    assert not decision.booked


def test_a_decision_keeps_hash_value_and_prices_of_its_moment() -> None:
    made = judge(ALLOWED)
    decision = made.decide(case(prices=(("BTC", "50000"),)), lambda place: q("0"))
    assert (decision.policy, decision.at, decision.value) == (made.policy.hash, NOW, dollars("50000"))
    assert decision.prices == (("BTC", "50000"),)


# -- limits


@pytest.mark.parametrize(
    ("limit", "asked", "outcome"),
    [
        ({"max_amount": q("1")}, "1", Outcome.ALLOW),
        ({"max_amount": q("1")}, "1.00000001", Outcome.DENY),
        ({"max_amount": q("1"), "on_exceed": Outcome.HOLD}, "1.00000001", Outcome.HOLD),
        ({"max_amount": q("1"), "on_exceed": Outcome.WAIT}, "1.00000001", Outcome.WAIT),
        ({"max_amount": q("0")}, "0.00000001", Outcome.DENY),
    ],
)
def test_the_limit_itself_is_allowed_and_a_satoshi_more_is_not(
    limit: dict[str, Any], asked: str, outcome: Outcome
) -> None:
    assert decided(Rule("limit", **limit), case(amount=q(asked))).outcome is outcome


def test_a_value_limit_goes_by_micro_dollars() -> None:
    rule = Rule("value", max_value=dollars("50000"))
    assert decided(rule, case()).outcome is Outcome.ALLOW
    decision = decided(rule, case(value=dollars("50000.000001")))
    assert decision.outcome is Outcome.DENY
    assert decision.voices[0].reason == "50000.000001 USD is over the limit of 50000 USD by 0.000001"


@pytest.mark.parametrize("per", Per)
@pytest.mark.parametrize(
    ("limit", "used", "over"),
    [
        ({"max_amount": q("3")}, "2", "2.00000001"),
        ({"max_value": dollars("60000")}, "10000", "10000.000001"),
        ({"max_count": 4}, "3", "4"),
        ({"max_percent": q("30")}, "2", "2.00000001"),
    ],
    ids=["amount", "value", "count", "percent"],
)
def test_what_is_used_and_this_one_may_come_to_the_limit_and_no_more(
    per: Per, limit: dict[str, Any], used: str, over: str
) -> None:
    rule = Rule("sum", per=per, period=Sliding(DAY), **limit)
    asked = case(hot_balance=q("10"))
    assert decided(rule, asked, used).outcome is Outcome.ALLOW
    exceeded = decided(rule, asked, over)
    assert exceeded.outcome is rule.exceeded
    assert exceeded.outcome is not Outcome.ALLOW
    assert "would be over the limit" in exceeded.voices[0].reason


def test_a_wallets_sum_counts_what_paying_costs() -> None:
    rule = Rule("wallet", per=Per.WALLET, period=Sliding(DAY), max_amount=q("2"))
    assert decided(rule, case(fee=q("0.1")), "0.9").outcome is Outcome.ALLOW
    assert decided(rule, case(fee=q("0.1")), "0.90000001").outcome is Outcome.WAIT


def test_a_voice_tells_its_numbers() -> None:
    rule = Rule("day", max_value=dollars("60000"), **DAILY)
    passed = decided(rule, case(), "7000.5").voices[0].reason
    assert passed == "57000.5 of 60000 USD with this one, over 24h per customer (7000.5 used before)"
    failed = decided(rule, case(), "20000").voices[0].reason
    assert failed == "70000 USD would be over the limit of 60000 USD over 24h per customer: 20000 used, 50000 asked"


def test_percent_is_of_the_hot_wallets_balance_rounded_down() -> None:
    rule = Rule("share", max_percent=q("33.3"))
    balance = q("0.00000010")  # a third of 10 satoshis is 3
    assert decided(rule, case(amount=q("0.00000003"), hot_balance=balance)).outcome is Outcome.ALLOW
    assert decided(rule, case(amount=q("0.00000004"), hot_balance=balance)).outcome is Outcome.WAIT


def test_a_balance_that_cannot_be_told_holds() -> None:
    rule = Rule("share", max_percent=q("50"))
    decision = decided(rule, case(hot_balance=NotKnown("the node is busy")))
    assert decision.outcome is Outcome.HOLD
    assert decision.voices[0].reason == "the hot wallet's balance is not known: the node is busy"
    hourly = replace(rule, per=Per.WALLET, period=Sliding(DAY))
    assert decided(hourly, case(hot_balance=NotKnown("the node is busy"))).outcome is Outcome.HOLD


def test_without_a_wallet_a_wallets_limit_holds() -> None:
    rule = Rule("wallet", per=Per.WALLET, period=Sliding(DAY), max_amount=q("9"))
    decision = decided(rule, case(wallet=None))
    assert decision.outcome is Outcome.HOLD
    assert decision.booked


# -- values that cannot be told


@pytest.mark.parametrize("scope", [{}, DAILY], ids=["one", "sum"])
@pytest.mark.parametrize("what", ["max", "above"])
def test_without_a_price_a_value_rule_holds_unless_it_has_an_amount_to_go_by(scope: dict[str, Any], what: str) -> None:
    does: dict[str, Any] = {f"{what}_value": dollars("9"), "approvals": int(what == "above"), **scope}
    rule = Rule("value", **does)
    asked = case(value=None, no_value="the sources disagree")
    held = judge(rule, ALLOWED).decide(asked, lambda place: q("0"))
    assert held.outcome is Outcome.HOLD
    assert held.voices[0].reason == "its value is not known: the sources disagree"
    does[f"{what}_amount"] = q("1")
    by_amount = Rule("value", **does)
    passed = judge(by_amount, ALLOWED).decide(asked, lambda place: q("0"))
    assert passed.outcome is Outcome.ALLOW
    assert "value not checked, the amount counts: the sources disagree" in passed.voices[0].reason
    over = judge(by_amount, ALLOWED).decide(
        replace(asked, booking=booking(value=None, amount=q("2"))), lambda _: q("0")
    )
    assert over.outcome is (Outcome.DENY if what == "max" else Outcome.APPROVAL)


# -- approvals


def test_approvals_without_a_threshold_are_always_asked_for() -> None:
    for scope in ({}, DAILY):
        decision = judge(ALLOWED, Rule("people", approvals=2, **scope)).decide(case(), lambda place: q("0"))
        assert (decision.outcome, decision.approvals) == (Outcome.APPROVAL, 2)
        assert decision.booked


@pytest.mark.parametrize(
    ("above", "used", "outcome"),
    [
        ({"above_amount": q("1")}, "0", Outcome.ALLOW),
        ({"above_amount": q("0.99999999")}, "0", Outcome.APPROVAL),
        ({"above_value": dollars("50000")}, "0", Outcome.ALLOW),
        ({"above_value": dollars("49999.999999")}, "0", Outcome.APPROVAL),
        ({"above_amount": q("3"), **DAILY}, "2", Outcome.ALLOW),
        ({"above_amount": q("3"), **DAILY}, "2.00000001", Outcome.APPROVAL),
        ({"above_value": dollars("60000"), **DAILY}, "10000", Outcome.ALLOW),
        ({"above_value": dollars("60000"), **DAILY}, "10000.000001", Outcome.APPROVAL),
        ({"above_value": dollars("60000"), "above_amount": q("9"), **DAILY}, "10000.000001", Outcome.APPROVAL),
    ],
)
def test_people_approve_above_the_threshold_of_one_or_of_a_sum(
    above: dict[str, Any], used: str, outcome: Outcome
) -> None:
    rule = Rule("people", approvals=2, **above)
    decision = judge(ALLOWED, rule).decide(case(), lambda place: q(used))
    assert decision.outcome is outcome
    assert decision.approvals == (2 if outcome is Outcome.APPROVAL else 0)


def test_a_rule_with_a_limit_and_a_threshold_speaks_of_both() -> None:
    rule = Rule("both", max_value=dollars("80000"), above_value=dollars("60000"), approvals=1, **DAILY)
    outcomes = [decided(rule, case(), used).outcome for used in ("0", "20000", "40000")]
    assert outcomes == [Outcome.ALLOW, Outcome.APPROVAL, Outcome.DENY]


# -- where a decision counts


HOURLY = Rule("desk", per=Per.GLOBAL, period=Sliding(DAY), max_amount=q("2"))
OWN = Rule("own", max_amount=q("5"), **DAILY)


def names(*rules: Rule) -> list[str]:
    return sorted(id for rule in rules for id in judge(rule).windows)


def test_what_is_let_through_counts_everywhere_and_what_is_denied_nowhere() -> None:
    allowed = judge(HOURLY, OWN).decide(case(), lambda place: q("0"))
    assert (allowed.outcome, allowed.booked, allowed.unbooked) == (Outcome.ALLOW, True, ())
    denied = judge(HOURLY, OWN).decide(case(), lambda place: q("5"))
    assert (denied.outcome, denied.booked, denied.unbooked) == (Outcome.DENY, False, ())


def test_what_waits_counts_in_its_queue_and_in_the_customers_own_limits_not_in_queues_that_it_could_pass() -> None:
    week = Rule("week", per=Per.GLOBAL, period=Calendar(Unit.WEEK, "UTC"), max_amount=q("50"))
    waits = judge(HOURLY, OWN, week).decide(case(), lambda place: q("2"))
    assert (waits.outcome, waits.booked) == (Outcome.WAIT, True)
    assert list(waits.unbooked) == names(week)


def test_what_is_held_counts_but_in_the_queues_that_it_would_have_to_wait_in() -> None:
    hold = Rule("hold", max_amount=q("0.5"), on_exceed=Outcome.HOLD)
    held = judge(hold, HOURLY, OWN).decide(case(), lambda place: q("0"))
    assert (held.outcome, held.booked, held.unbooked) == (Outcome.HOLD, True, ())
    queued = judge(hold, HOURLY, OWN).decide(case(), lambda place: q("2"))
    assert queued.outcome is Outcome.HOLD
    assert list(queued.unbooked) == names(HOURLY)


def test_what_is_more_than_a_whole_limit_alone_does_not_stand_in_the_way_of_others() -> None:
    big = judge(HOURLY, OWN).decide(case(amount=q("3")), lambda place: q("0"))
    assert big.outcome is Outcome.WAIT
    assert list(big.unbooked) == names(HOURLY)
    assert big.voices[0].reason.endswith("so it fits only when the limit is raised")


def test_what_fills_a_whole_limit_alone_waits_its_turn() -> None:
    waits = judge(HOURLY).decide(case(amount=q("2")), lambda place: q("1"))
    assert (waits.outcome, waits.booked, waits.unbooked) == (Outcome.WAIT, True, ())


def test_what_waits_for_its_destination_to_cool_counts_nowhere_yet() -> None:
    cool = Rule("cool", cooling=DAY)
    waits = judge(cool, HOURLY).decide(case(), lambda place: q("0"))
    assert (waits.outcome, waits.booked, waits.unbooked) == (Outcome.WAIT, False, ())
    held = judge(replace(cool, on_exceed=Outcome.HOLD), HOURLY).decide(case(), lambda place: q("0"))
    assert (held.outcome, held.booked) == (Outcome.HOLD, True)


def test_a_lifetime_limit_denies_for_ever() -> None:
    rule = Rule("ever", per=Per.GLOBAL, period=Lifetime(), max_count=1)
    assert decided(rule, case(), "0").outcome is Outcome.ALLOW
    assert decided(rule, case(), "1").outcome is Outcome.DENY
