"""What holds for every policy and every request: order does not matter, stricter is never milder, limits hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.domain.money import Quantity
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.policy.judging import Case, Judge, Used
from cryptosupport.domain.policy.rules import Policy, Rule
from cryptosupport.domain.policy.why import explain
from tests.domain.policy.making import TIERS, any_use, cases, patient, policies, rules


def outcome(made: tuple[Rule, ...], asked: Case, used: Used) -> Outcome:
    return Judge(Policy(made, TIERS)).decide(asked, used).outcome


@patient
@given(policies(), cases(), any_use(), st.data())
def test_the_order_of_the_rules_never_matters(policy: Policy, asked: Case, used: Used, data: st.DataObject) -> None:
    shuffled = replace(policy, rules=tuple(data.draw(st.permutations(policy.rules))))
    one, other = (Judge(each).decide(asked, used) for each in (policy, shuffled))
    assert set(one.voices) == set(other.voices)
    assert replace(one, voices=()) == replace(other, voices=())


# -- a stricter policy is never milder


@patient
@given(policies(), cases(), any_use(), rules("added", permits=False))
def test_one_more_restriction_is_never_milder(policy: Policy, asked: Case, used: Used, added: Rule) -> None:
    before = outcome(policy.rules, asked, used)
    assert outcome((*policy.rules, added), asked, used).strictness >= before.strictness


@patient
@given(policies(), cases(), any_use(), rules("added", permits=True))
def test_one_more_limit_is_never_milder_for_what_was_permitted(
    policy: Policy, asked: Case, used: Used, added: Rule
) -> None:
    before = outcome(policy.rules, asked, used)
    if any(rule.permits and rule.matches(asked.booking) for rule in policy.rules):
        assert outcome((*policy.rules, added), asked, used).strictness >= before.strictness


@patient
@given(policies(), cases(), any_use(), st.data())
def test_without_a_rule_that_allows_it_is_never_milder(
    policy: Policy, asked: Case, used: Used, data: st.DataObject
) -> None:
    allowing = Rule("allowing", data.draw(st.sampled_from([{}, {"tier": frozenset(TIERS[:2])}])), allow=True)
    before = outcome((*policy.rules, allowing), asked, used)
    assert outcome(policy.rules, asked, used).strictness >= before.strictness


@patient
@given(policies(), cases(), any_use(), st.data())
def test_a_lower_limit_or_threshold_is_never_milder(
    policy: Policy, asked: Case, used: Used, data: st.DataObject
) -> None:
    lowered = tuple(replace(rule, **data.draw(_lower(rule))) for rule in policy.rules)
    assert outcome(lowered, asked, used).strictness >= outcome(policy.rules, asked, used).strictness


@st.composite
def _lower(draw: st.DrawFn, rule: Rule) -> dict[str, Any]:
    """The rule's own limits, each as it is or lower."""
    lower: dict[str, Any] = {}
    for name in ("max_amount", "max_value", "max_count", "max_percent", "above_amount", "above_value"):
        limit = getattr(rule, name)
        if isinstance(limit, Quantity):
            lower[name] = Quantity(draw(st.integers(0, limit.units)), limit.decimals)
        elif limit is not None:
            lower[name] = draw(st.integers(0, limit))
    return lower


@patient
@given(policies(), cases(), any_use(), st.data())
def test_a_stricter_answer_to_excess_is_never_milder(
    policy: Policy, asked: Case, used: Used, data: st.DataObject
) -> None:
    answers = (Outcome.WAIT, Outcome.HOLD, Outcome.DENY)
    stricter = []
    for rule in policy.rules:
        at_least = [answer for answer in answers if answer.strictness >= rule.exceeded.strictness]
        stricter.append(replace(rule, on_exceed=data.draw(st.sampled_from(at_least))))
    assert outcome(tuple(stricter), asked, used).strictness >= outcome(policy.rules, asked, used).strictness


@patient
@given(policies(), cases(), any_use(), st.data())
def test_more_use_is_never_milder(policy: Policy, asked: Case, used: Used, data: st.DataObject) -> None:
    more = Quantity(data.draw(st.integers(0, 9)), 0)
    before = outcome(policy.rules, asked, used)
    assert outcome(policy.rules, asked, lambda place: used(place) + more).strictness >= before.strictness


# -- limits hold


@patient
@given(policies(), cases(), any_use())
def test_what_is_let_through_is_within_every_limit_and_counts_everywhere(
    policy: Policy, asked: Case, used: Used
) -> None:
    decision = Judge(policy).decide(asked, used)
    if decision.outcome in (Outcome.ALLOW, Outcome.APPROVAL):
        assert decision.booked
        assert decision.unbooked == ()
        limits = {rule.name for rule in policy.rules if rule.limits}
        for said in explain(Judge(policy), asked, used):
            for numbers in said.measured if said.rule in limits else ():
                over = Quantity.parse(numbers.limit) < Quantity.parse(numbers.used) + Quantity.parse(numbers.adds)
                assert not over


@patient
@given(policies(), cases(), any_use())
def test_nothing_goes_without_a_rule_that_permits_it(policy: Policy, asked: Case, used: Used) -> None:
    restricting = tuple(rule for rule in policy.rules if not rule.permits)
    decision = Judge(Policy(restricting, TIERS)).decide(asked, used)
    assert decision.outcome is Outcome.DENY
    assert not decision.booked


@patient
@given(policies(), cases(), any_use())
def test_what_people_have_to_approve_names_how_many(policy: Policy, asked: Case, used: Used) -> None:
    decision = Judge(policy).decide(asked, used)
    assert (decision.outcome is not Outcome.APPROVAL) or decision.approvals > 0
    assert all((voice.outcome is Outcome.APPROVAL) <= (voice.approvals > 0) for voice in decision.voices)
