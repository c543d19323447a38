"""Every rule is told with its numbers, also one that does not match: then by what differs."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from cryptosupport.domain.policy.decision import DEFAULT_DENY, Outcome, Voice, strictest
from cryptosupport.domain.policy.judging import Case, Judge, Used
from cryptosupport.domain.policy.periods import Sliding
from cryptosupport.domain.policy.rules import Per, Policy, Rule
from cryptosupport.domain.policy.why import Measured, Spoken, explain
from tests.domain.policy.making import DAY, HOUR, any_use, case, cases, dollars, judge, only, patient, policies, q


def told(rule: Rule, asked: Case, used: str = "0") -> Spoken:
    (spoken, *_) = explain(judge(rule), asked, lambda place: q(used))
    return spoken


def test_a_limit_is_told_with_what_is_used_asked_and_left() -> None:
    day = Rule("day", per=Per.CUSTOMER, period=Sliding(DAY), max_value=dollars("60000"))
    spoken = told(day, case(), "20000.5")
    assert (spoken.rule, spoken.matches, spoken.outcome) == ("day", True, Outcome.DENY)
    assert spoken.measured == (Measured("20000.5", "50000", "60000", "39999.5", "USD", "24h", "customer"),)
    assert spoken.reason.startswith("70000.5 USD would be over the limit of 60000 USD")


def test_where_more_than_the_limit_is_used_nothing_is_left() -> None:
    count = Rule("count", per=Per.WALLET, period=Sliding(HOUR), max_count=3)
    assert told(count, case(), "4").measured == (Measured("4", "1", "3", "0", "withdrawals", "1h", "wallet"),)


def test_a_limit_of_one_request_has_no_period() -> None:
    both = Rule("one", max_amount=q("2.5"), max_percent=q("10"))
    assert told(both, case(hot_balance=q("8"))).measured == (
        Measured("0", "1", "2.5", "2.5", "BTC", None, None),
        Measured("0", "1", "0.8", "0.8", "BTC", None, None),
    )


def test_a_threshold_is_told_with_its_people() -> None:
    spoken = told(Rule("people", above_value=dollars("10000"), approvals=2), case())
    assert (spoken.outcome, spoken.approvals) == (Outcome.APPROVAL, 2)
    assert spoken.measured == (Measured("0", "50000", "10000", "10000", "USD", None, None),)
    assert spoken.reason == "50000 USD is above 10000 USD: 2 people have to approve"


def test_a_rule_without_numbers_is_told_in_words() -> None:
    spoken = told(Rule("shown", require=("identity",)), case())
    assert (spoken.outcome, spoken.reason, spoken.measured) == (Outcome.DENY, "identity: not shown", ())


def test_a_rule_that_does_not_match_says_what_differs() -> None:
    assert told(Rule("vips", only(tier="vip"), allow=True), case()) == Spoken(
        "vips", False, None, "speaks of tier vip, this is basic"
    )
    both = told(Rule("both", only(country="CH DE", asset="ETH USDT WBTC", chain="bitcoin"), allow=True), case())
    assert both.reason == "speaks of country CH or DE, this has none; speaks of asset ETH, USDT or WBTC, this is BTC"
    assert told(Rule("wallet", only(wallet="hot-1"), allow=True), case(wallet=None)).reason == (
        "speaks of wallet hot-1, this has none"
    )


def test_of_many_names_the_first_are_told() -> None:
    five = told(Rule("five", only(customer="c-10 c-11 c-12 c-13 c-14"), allow=True), case())
    assert five.reason == "speaks of customer c-10, c-11, c-12, c-13 or c-14, this is c-1"
    many = told(Rule("many", only(customer="c-10 c-11 c-12 c-13 c-14 c-15 c-16"), allow=True), case())
    assert many.reason == "speaks of customer c-10, c-11, c-12, c-13, c-14 or 2 more, this is c-1"


def test_what_speaks_beside_the_rules_is_told_last() -> None:
    cap = Voice("hard cap", Outcome.DENY, "over it")
    spoken = explain(judge(Rule("people", approvals=1)), case(further=(cap,)), lambda place: q("0"))
    assert [each.rule for each in spoken] == ["people", "hard cap", DEFAULT_DENY]
    assert spoken[1].reason == "over it"
    assert all(each.matches for each in spoken)


@patient
@given(policies(), cases(), any_use())
def test_what_is_told_is_what_is_decided(policy: Policy, asked: Case, used: Used) -> None:
    made = Judge(policy)
    spoken, decision = explain(made, asked, used), made.decide(asked, used)
    assert strictest(each.outcome for each in spoken if each.outcome is not None) is decision.outcome
    voices = {Voice(each.rule, each.outcome, each.reason, each.approvals) for each in spoken if each.outcome}
    assert voices == {replace(each, unknown=False, doubtful=False) for each in decision.voices}
    assert [each.rule for each in spoken][: len(policy.rules)] == [rule.name for rule in policy.rules]
    assert all(each.reason for each in spoken)
