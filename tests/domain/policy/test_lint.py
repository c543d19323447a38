"""A policy is read against the settings: what can never speak, what is left out, what leaks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.domain.policy.decision import DEFAULT_DENY, Outcome
from cryptosupport.domain.policy.judging import Case, Judge
from cryptosupport.domain.policy.lint import Remark, Shape, can_match, is_covered, lint, shapes_of
from cryptosupport.domain.policy.periods import Calendar, Lifetime, Sliding, Unit
from cryptosupport.domain.policy.rules import Per, Policy, Rule
from tests.domain.policy.making import (
    ASSETS,
    DAY,
    HOUR,
    SYMBOLS,
    TIERS,
    WALLETS,
    any_use,
    case,
    cases,
    dollars,
    only,
    patient,
    policies,
    q,
    rules,
)

CUSTOMER: dict[str, Any] = {"per": Per.CUSTOMER, "period": Sliding(DAY)}
GOOD = Rule("customer-day", max_value=dollars("2000"), **CUSTOMER)


def remarks(*more: Rule, base: tuple[Rule, ...] = (GOOD,), tiers: tuple[str, ...] = TIERS) -> list[tuple[str, str]]:
    """What is said of ``more`` rules beside a good one: the rule and the message."""
    said = lint(Policy((*base, *more), tiers), ASSETS, WALLETS, SYMBOLS)
    return [(remark.rule or "", remark.message) for remark in said]


def levels(*more: Rule) -> list[str]:
    return [remark.level for remark in lint(Policy((GOOD, *more), TIERS), ASSETS, WALLETS, SYMBOLS)]


def test_a_good_policy_gets_no_remark() -> None:
    people = Rule("second-pair-of-eyes", above_value=dollars("1000"), approvals=1)
    hour = Rule("desk-hour", per=Per.GLOBAL, period=Sliding(HOUR), max_value=dollars("9000"), on_exceed=Outcome.WAIT)
    assert remarks(people, hour, Rule("btc", only(asset="BTC"), max_amount=q("2"))) == []


# -- rules that never speak


@pytest.mark.parametrize(
    ("match", "message"),
    [
        (
            only(tier="gold"),
            "speaks of tier gold, which nobody knows: the tiers are basic, verified and vip",
        ),
        (only(chain="tron"), "speaks of chain tron, which nobody knows: the chains are bitcoin, bsc and ethereum"),
        (only(asset="DAI"), "speaks of asset DAI, which nobody knows: the assets are BNB, BTC, ETH and USDT"),
        (
            only(wallet="hot-9"),
            "speaks of wallet hot-9, which nobody knows: the wallets are cold-btc, hot-btc, hot-eth and hot-eth-2",
        ),
        (only(wallet="cold-btc"), "speaks of wallet cold-btc, which is cold: withdrawals are paid from hot wallets"),
        (only(asset="BTC", chain="ethereum"), "can never match: no request has chain ethereum with asset BTC"),
        (
            only(wallet="hot-btc", chain="bsc ethereum"),
            "can never match: no request has chain bsc or ethereum with wallet hot-btc",
        ),
        (only(wallet="hot-btc", asset="USDT"), "can never match: no request has asset USDT with wallet hot-btc"),
        (
            only(wallet="hot-btc hot-eth", asset="BTC USDT", chain="bsc bitcoin"),
            None,
        ),
        (
            only(asset="BTC USDT", chain="bsc bitcoin", wallet="hot-eth hot-btc", tier="vip"),
            None,
        ),
    ],
)
def test_a_rule_that_can_never_match_is_an_error(match: dict[str, frozenset[str]], message: str | None) -> None:
    rule = Rule("mine", match, approvals=1)
    assert remarks(rule) == ([] if message is None else [("mine", message)])
    assert levels(rule) == ([] if message is None else ["error"])


def test_facts_that_go_together_two_by_two_but_never_all_three_are_told() -> None:
    rule = Rule("mine", only(asset="BTC USDT", chain="ethereum bitcoin", wallet="hot-eth"), approvals=1)
    assert remarks(rule) == []
    thrice = Rule("mine", {**rule.match, "asset": frozenset({"BTC", "BNB"})}, approvals=1)
    assert remarks(thrice) == [("mine", "can never match: no request has asset BNB or BTC with wallet hot-eth")]


def test_every_unknown_name_is_told_even_where_another_is_known() -> None:
    told = remarks(Rule("mine", only(tier="vip gold silver"), approvals=1))
    assert [message.split(",")[0] for _, message in told] == ["speaks of tier gold", "speaks of tier silver"]


def test_a_rule_on_tiers_needs_tiers() -> None:
    told = remarks(Rule("mine", only(tier="vip"), approvals=1), tiers=())
    assert told == [("mine", "speaks of tier vip, which nobody knows: there are no tiers")]


def test_customers_countries_destinations_and_sources_may_be_anybody() -> None:
    rule = Rule("mine", only(customer="x", country="XX", destination="y", source="z"), approvals=1)
    assert remarks(rule) == []


# -- rules that let nothing pass, or wait for nothing


@pytest.mark.parametrize(
    ("does", "message"),
    [
        ({"max_amount": q("0.0")}, "max_amount = 0 lets nothing pass: all that it matches is denied"),
        ({"max_value": 0, "on_exceed": Outcome.HOLD}, "max_value = 0 lets nothing pass: all that it matches is held"),
        ({"max_count": 0, **CUSTOMER}, "max_count = 0 lets nothing pass: all that it matches is denied"),
        ({"max_percent": q("0")}, "max_percent = 0 lets nothing pass: all that it matches waits for ever"),
    ],
)
def test_a_limit_of_nothing_is_worth_a_look(does: dict[str, Any], message: str) -> None:
    rule = Rule("mine", only(asset="BTC"), **does)
    assert remarks(rule) == [("mine", message)]
    assert levels(rule) == ["warning"]


@pytest.mark.parametrize(
    ("does", "what"),
    [
        ({"max_amount": q("1")}, "what one request is or shows"),
        ({"require": ("identity",)}, "what one request is or shows"),
        ({"max_count": 5, "per": Per.GLOBAL, "period": Lifetime()}, "a lifetime limit"),
        ({"max_percent": q("5")}, None),
        ({"cooling": HOUR}, None),
        ({"max_count": 5, **CUSTOMER}, None),
    ],
)
def test_waiting_for_what_time_cannot_change_is_worth_a_look(does: dict[str, Any], what: str | None) -> None:
    told = remarks(Rule("mine", only(asset="BTC"), on_exceed=Outcome.WAIT, **does))
    message = f'on_exceed = "wait" waits for ever: time changes nothing about {what}; say "hold" or "deny"'
    assert told == ([] if what is None else [("mine", message)])


# -- calendar limits


DAILY = Rule("desk-day", per=Per.GLOBAL, period=Calendar(Unit.DAY, "UTC"), max_value=dollars("5000"))


@pytest.mark.parametrize("per", Per)
def test_a_calendar_limit_of_a_wallet_or_the_desk_needs_a_sliding_one_beside_it(per: Per) -> None:
    rule = replace(DAILY, per=per)
    message = (
        "max_value = 5000 over the calendar day (UTC) lets twice as much leave within minutes: once before the day "
        "ends and once after. Add a rule of the same scope with a sliding window and the same max_value or less"
    )
    needs = per in (Per.WALLET, Per.GLOBAL)
    assert remarks(rule) == ([("desk-day", message)] if needs else [])
    assert levels(rule) == (["error"] if needs else [])


@pytest.mark.parametrize(
    ("companion", "enough"),
    [
        ({}, True),
        ({"max_value": dollars("4999")}, True),
        ({"max_value": dollars("5000.000001")}, False),
        ({"period": Sliding(HOUR)}, True),
        ({"period": Calendar(Unit.WEEK, "UTC")}, False),
        ({"period": Lifetime()}, False),
        ({"per": Per.WALLET}, False),
        ({"max_value": None, "max_count": 5}, False),
        ({"match": only(tier="basic")}, False),
    ],
)
def test_a_companion_covers_all_that_the_calendar_limit_does_and_lets_no_more_through(
    companion: dict[str, Any], enough: bool
) -> None:
    beside = replace(replace(DAILY, name="beside", period=Sliding(DAY)), **companion)
    assert ("desk-day" in [rule for rule, _ in remarks(DAILY, beside)]) is not enough


def test_a_companion_may_speak_of_more() -> None:
    narrow = replace(DAILY, match=only(tier="basic", asset="BTC"), per=Per.WALLET)
    for match in (only(tier="basic vip"), only(asset="BTC"), narrow.match):
        assert remarks(narrow, replace(DAILY, name="beside", match=match, period=Sliding(DAY))) == []


def test_a_calendar_threshold_for_approvals_needs_no_companion() -> None:
    assert remarks(replace(DAILY, max_value=None, above_value=dollars("100"), approvals=1)) == []


# -- one number for many, values without prices


def test_one_amount_for_several_assets_is_nearly_always_a_slip() -> None:
    told = remarks(Rule("mine", only(chain="ethereum"), max_amount=q("5")))
    assert told == [("mine", "max_amount = 5 counts for ETH and USDT alike: name one asset, or use a value")]
    assert remarks(Rule("mine", only(asset="USDT"), max_amount=q("5"))) == []
    told = remarks(Rule("mine", only(chain="ethereum"), above_amount=q("5"), approvals=1))
    assert told == [("mine", "above_amount = 5 counts for ETH and USDT alike: name one asset, or use a value")]


def test_a_value_limit_needs_prices_of_the_asset_and_of_the_coin_that_pays_fees() -> None:
    def said(rule: Rule, *priced: str) -> list[str]:
        return [
            remark.message
            for remark in lint(Policy((GOOD, rule), TIERS), ASSETS, WALLETS, priced)
            if remark.rule == "mine"
        ]

    rule = Rule("mine", only(asset="USDT", chain="ethereum"), max_value=dollars("5"))
    ending = "no source of them: all requests that need them are held"
    assert said(rule, "USDT", "ETH") == []
    assert said(rule, "USDT") == [f"max_value needs prices, and ETH has {ending}"]
    assert said(rule) == [f"max_value needs prices, and ETH and USDT have {ending}"]
    assert said(replace(rule, max_amount=q("5"))) == []
    people = replace(rule, max_value=None, above_value=dollars("5"), approvals=1)
    assert said(people, "ETH") == [f"above_value needs prices, and USDT has {ending}"]


# -- limits that are never reached


@pytest.mark.parametrize(
    ("other", "reached"),
    [
        ({"max_value": dollars("5000")}, False),
        ({"max_value": dollars("2000")}, False),
        ({"max_value": dollars("1999")}, True),
        ({"max_value": dollars("5000"), "on_exceed": Outcome.HOLD}, False),
        ({"max_value": dollars("1000"), "on_exceed": Outcome.HOLD}, True),
        ({"max_value": dollars("5000"), "period": Sliding(HOUR)}, True),
        ({"max_value": dollars("5000"), "per": Per.DESTINATION}, True),
        ({"max_value": dollars("5000"), "match": only(tier="basic")}, True),
        ({"max_value": None, "max_count": 9}, True),
        ({"max_value": None, "above_value": dollars("2000"), "approvals": 1}, False),
        ({"max_value": None, "above_value": dollars("1000"), "approvals": 1}, True),
    ],
)
def test_a_limit_behind_a_stricter_one_of_the_same_scope_is_told(other: dict[str, Any], reached: bool) -> None:
    told = [message for rule, message in remarks(replace(GOOD, name="mine", **other)) if rule == "mine"]
    assert (told == []) is reached
    assert reached or told[0].endswith("is never reached: customer-day speaks before it")


def test_of_two_that_are_the_same_the_second_is_told() -> None:
    five, again = (Rule(name, max_count=5, **CUSTOMER) for name in ("five", "again"))
    assert remarks(five, again) == [("again", "max_count = 5 is never reached: five speaks before it")]


def test_a_milder_limit_before_a_strict_one_has_its_place() -> None:
    hold = replace(GOOD, name="hold", max_value=dollars("1000"), on_exceed=Outcome.HOLD)
    two = Rule("two", above_value=dollars("500"), approvals=1, **CUSTOMER)
    three = Rule("three", above_value=dollars("800"), approvals=3, **CUSTOMER)
    assert remarks(hold, two, three) == []
    assert [rule for rule, _ in remarks(two, three, replace(two, name="more", above_value=dollars("900")))] == ["more"]


# -- assets that are left out


def test_an_asset_that_no_rule_permits_is_told() -> None:
    vip = Rule("vip", only(tier="vip", asset="ETH"), max_value=dollars("5"), **CUSTOMER)
    wallet = Rule("eth-2", only(wallet="hot-eth-2", asset="USDT"), max_value=dollars("5"), **CUSTOMER)
    basic = Rule("basic", only(tier="basic", asset="BNB"), max_value=dollars("5"), **CUSTOMER)
    told = remarks(Rule("people", approvals=1), vip, wallet, basic, base=())
    assert told == [
        ("", "no rule permits BTC on bitcoin: each such request is denied"),
        (
            "",
            "no rule permits ETH on ethereum for tier basic and tier verified: each such request is denied",
        ),
        (
            "",
            "no rule permits USDT on ethereum from hot-eth: each such request is denied",
        ),
        ("", "no rule permits BNB on bsc for tier verified and tier vip: each such request is denied"),
        ("", "no rule permits USDT on bsc: each such request is denied"),
    ]


def test_tiers_and_wallets_are_told_one_by_one_where_they_differ() -> None:
    one = Rule("one", only(tier="vip", wallet="hot-eth-2", asset="ETH"), max_value=dollars("5"), **CUSTOMER)
    two = Rule("two", only(tier="basic verified", asset="ETH"), max_value=dollars("5"), **CUSTOMER)
    others = Rule("others", only(asset="BTC BNB USDT"), max_value=dollars("5"), **CUSTOMER)
    told = remarks(one, two, others, base=())
    assert told == [("", "no rule permits ETH on ethereum for tier vip from hot-eth: each such request is denied")]
    told = remarks(one, replace(two, match=only(tier="verified", asset="ETH")), others, base=())
    assert told == [
        (
            "",
            "no rule permits ETH on ethereum for tier basic from hot-eth, tier basic from hot-eth-2 and tier vip from "
            "hot-eth: each such request is denied",
        )
    ]


def test_an_asset_that_only_the_whole_desks_limit_permits_is_told() -> None:
    desk = Rule("desk", per=Per.GLOBAL, period=Sliding(HOUR), max_value=dollars("9"))
    btc = Rule("btc", only(asset="BTC"), max_value=dollars("5"), **CUSTOMER)
    assert remarks(desk, btc, base=()) == [
        ("", "nothing but desk-wide rules permits ETH and USDT on ethereum: one customer may take all of it"),
        ("", "nothing but desk-wide rules permits BNB and USDT on bsc: one customer may take all of it"),
    ]


def test_an_asset_without_any_limit_on_its_sum_is_told() -> None:
    one = Rule("one", only(asset="BTC"), max_amount=q("2"))
    rest = Rule("rest", only(asset="ETH BNB USDT"), allow=True)
    told = remarks(one, rest, base=())
    assert told == [("", "BTC on bitcoin is limited by the single request only: any number of them may leave")]


# -- what it says of coverage is what the judge does


@patient
@given(policies(), cases(), any_use())
def test_a_request_that_nothing_covers_is_denied_by_default(policy: Policy, asked: Case, used: Any) -> None:
    booking = asked.booking
    shape = Shape(booking.chain, booking.asset, booking.tier, booking.wallet)
    decision = Judge(policy).decide(asked, used)
    if not is_covered(policy, shape):
        assert decision.outcome is Outcome.DENY
        assert DEFAULT_DENY in [voice.rule for voice in decision.voices]


@patient
@given(policies(), st.data())
def test_what_is_covered_is_permitted_to_somebody_and_what_is_not_to_nobody(
    policy: Policy, data: st.DataObject
) -> None:
    shape = data.draw(st.sampled_from(list(shapes_of(policy, ASSETS, WALLETS))))
    judged = Judge(policy)
    denied = [
        DEFAULT_DENY in [voice.rule for voice in judged.decide(asked, lambda place: q("0")).voices]
        for asked in everybody(shape)
    ]
    assert all(denied) is not is_covered(policy, shape)


def everybody(shape: Shape) -> list[Case]:
    """A request of this shape by every kind of customer, to everywhere, from every source."""
    return [
        case(**shape._asdict(), customer=customer, country=country, destination=destination, source=source)
        for customer in ("c-1", "c-2", "c-3")
        for country in ("CH", "DE", None)
        for destination in ("d-1", "d-2", "d-3")
        for source in ("file", "backend", "stdin")
    ]


@patient
@given(rules())
def test_a_rule_is_said_to_never_match_exactly_when_it_matches_no_shape(rule: Rule) -> None:
    policy = Policy((rule,), TIERS)
    said = lint(policy, ASSETS, WALLETS, SYMBOLS)
    impossible = any(remark.message.startswith("can never match") for remark in said)
    named = any(remark.level == "error" and "speaks of" in remark.message for remark in said)
    matches = any(can_match(rule, shape) for shape in shapes_of(policy, ASSETS, WALLETS))
    assert impossible <= (not matches)
    assert matches or impossible or named


@patient
@given(policies())
def test_lint_reads_any_policy_and_names_its_rules(policy: Policy) -> None:
    names = {rule.name for rule in policy.rules} | {None}
    for remark in lint(policy, ASSETS, WALLETS, ("BTC",)):
        assert isinstance(remark, Remark)
        assert remark.rule in names
        assert remark.message
