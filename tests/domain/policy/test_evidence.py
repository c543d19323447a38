"""What a rule asks the backend to show, how old it may be, and how long a new destination cools down."""

from __future__ import annotations

from typing import Any

import pytest

from cryptosupport.domain.policy.decision import Decision, Outcome
from cryptosupport.domain.policy.judging import Case, Evidence, NotKnown
from cryptosupport.domain.policy.rules import Rule
from tests.domain.policy.making import HOUR, MINUTE, NOW, case, judge, q

ALLOWED = Rule("open", allow=True)


def said(rule: Rule, asked: Case) -> tuple[Outcome, str]:
    decision: Decision = judge(rule, ALLOWED).decide(asked, lambda place: q("0"))
    return decision.outcome, decision.voices[0].reason


@pytest.mark.parametrize(
    ("evidence", "outcome", "reason"),
    [
        (None, Outcome.DENY, "two factor: not shown"),
        (Evidence(False, NOW), Outcome.DENY, "two factor: not shown"),
        (Evidence(True), Outcome.DENY, "two factor: shown without its time, and 15m is its limit"),
        (Evidence(True, NOW), Outcome.ALLOW, "two factor: shown 0s ago"),
        (Evidence(True, NOW - 15 * MINUTE), Outcome.ALLOW, "two factor: shown 15m ago"),
        (Evidence(True, NOW - 15 * MINUTE - 1), Outcome.DENY, "two factor: 15m 1s old, at most 15m is asked for"),
        (Evidence(True, NOW + 5 * MINUTE), Outcome.ALLOW, "two factor: shown 0s ago"),
        (Evidence(True, NOW + 5 * MINUTE + 1), Outcome.DENY, "two factor: its time lies 5m 1s ahead"),
    ],
)
def test_evidence_has_to_be_shown_and_young_enough(evidence: Evidence | None, outcome: Outcome, reason: str) -> None:
    rule = Rule("shown", require=("two_factor",), max_age=15 * MINUTE)
    shown = {} if evidence is None else {"two_factor": evidence}
    assert said(rule, case(evidence=shown)) == (outcome, reason)


def test_without_an_age_evidence_may_be_of_any_time() -> None:
    for at in (None, 0, NOW + HOUR):
        asked = case(evidence={"identity": Evidence(True, at)})
        assert said(Rule("shown", require=("identity",)), asked) == (Outcome.ALLOW, "identity: shown")


def test_a_beneficiary_does_not_grow_old() -> None:
    rule = Rule("shown", require=("beneficiary",), max_age=MINUTE)
    assert said(rule, case(evidence={"beneficiary": Evidence(True)})) == (Outcome.ALLOW, "beneficiary: shown")
    assert said(rule, case()) == (Outcome.DENY, "beneficiary: not shown")


def test_every_demand_has_to_be_met() -> None:
    rule = Rule("shown", require=("identity", "email_confirmed"), on_exceed=Outcome.HOLD)
    both = {"identity": Evidence(True), "email_confirmed": Evidence(True)}
    assert said(rule, case(evidence=both))[0] is Outcome.ALLOW
    for name in both:
        assert said(rule, case(evidence={name: Evidence(True)}))[0] is Outcome.HOLD


def test_what_was_shown_when_it_came_does_not_grow_old_while_it_waits() -> None:
    rule = Rule("shown", require=("two_factor",), max_age=15 * MINUTE)
    asked = case(evidence={"two_factor": Evidence(True, NOW - MINUTE)})
    assert said(rule, asked.later(NOW + HOUR)) == (Outcome.ALLOW, "two factor: shown 1m ago")
    assert said(rule, asked.later(NOW + HOUR).later(NOW + 2 * HOUR))[0] is Outcome.ALLOW
    assert said(rule, case(NOW + HOUR, evidence=asked.evidence))[0] is Outcome.DENY


@pytest.mark.parametrize(
    ("balance", "outcome", "reason"),
    [
        (None, Outcome.ALLOW, "balance: not checked, the desk has no feed of balances"),
        (NotKnown("the feed is 2 hours old"), Outcome.HOLD, "balance: not known: the feed is 2 hours old"),
        (q("1"), Outcome.ALLOW, "balance: 1 BTC covers 1"),
        (q("0.99999999"), Outcome.DENY, "balance: 0.99999999 BTC does not cover 1"),
    ],
)
def test_a_customer_has_to_have_the_money(balance: Any, outcome: Outcome, reason: str) -> None:
    assert said(Rule("money", require=("balance",)), case(customer_balance=balance)) == (outcome, reason)


@pytest.mark.parametrize(
    ("known_since", "outcome", "reason"),
    [
        (None, Outcome.WAIT, "the destination is new to this customer: 1h of 1h are left"),
        (NOW, Outcome.WAIT, "the destination is new to this customer: 1h of 1h are left"),
        (NOW - HOUR + 1, Outcome.WAIT, "the destination is new to this customer: 1s of 1h are left"),
        (NOW - HOUR, Outcome.ALLOW, "the destination has been known for 1h of 1h"),
    ],
)
def test_a_new_destination_cools_down_first(known_since: int | None, outcome: Outcome, reason: str) -> None:
    assert said(Rule("cool", cooling=HOUR), case(known_since=known_since)) == (outcome, reason)


def test_who_waits_for_a_destination_to_cool_has_made_it_known() -> None:
    waits = case()
    assert said(Rule("cool", cooling=HOUR), waits.later(NOW + HOUR - 1))[0] is Outcome.WAIT
    assert said(Rule("cool", cooling=HOUR), waits.later(NOW + HOUR))[0] is Outcome.ALLOW


def test_cooling_can_hold_or_deny() -> None:
    for outcome in (Outcome.HOLD, Outcome.DENY):
        assert said(Rule("cool", cooling=HOUR, on_exceed=outcome), case())[0] is outcome
