"""A change of policy that is said only to tighten lets nothing leave that could not leave before."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from cryptosupport.domain.policy.compare import differences, loosens
from cryptosupport.domain.policy.decision import HOT_WALLET, Decision, Outcome, Voice
from cryptosupport.domain.policy.judging import Case, Evidence, Judge, NotKnown
from cryptosupport.domain.policy.periods import Calendar, Lifetime, Sliding, Unit
from cryptosupport.domain.policy.rules import EVIDENCE, Per, Policy, Rule
from cryptosupport.domain.policy.windows import Place
from tests.domain.policy.changing import ANY, LOOSE, TIGHTER, alike, changed, few
from tests.domain.policy.making import (
    ASSETS,
    DAY,
    HOUR,
    MINUTE,
    NOW,
    TIERS,
    case,
    cases,
    dollars,
    only,
    patient,
    plain_cases,
    policies,
    q,
    queues,
)
from tests.domain.policy.reference import SlowDesk

thorough = settings(patient, max_examples=250)


def desk(*rules: Rule, tiers: tuple[str, ...] = TIERS) -> Policy:
    return Policy(rules, tiers)


# -- nothing milder, whatever is asked after whatever history


def asked_under(policy: Policy, case: Case) -> Case:
    """The case as the desk makes it: where rules speak of wallets and there is none, it is held."""
    if case.booking.wallet is None and policy.speaks_of_wallets:
        wallet = Voice(HOT_WALLET, Outcome.HOLD, "no hot wallet", unknown=True)
        return replace(case, further=(*case.further, wallet))
    return case


def assert_no_milder(new: Decision, old: Decision) -> None:
    assert new.outcome.strictness >= old.outcome.strictness
    if new.outcome is not Outcome.DENY:
        assert new.approvals >= old.approvals
        assert (
            new.outcome is not Outcome.HOLD
            or old.outcome is not Outcome.HOLD
            or (new.for_want_of_facts <= old.for_want_of_facts)
        )


POLICIES = st.one_of(policies(), alike(), queues())


def of_all_kinds() -> list[Case]:
    """A hundred requests in which all that rules ask for comes in many ways together."""
    chance, made = random.Random(20261127), []
    for _ in range(100):
        chain = chance.choice(sorted(ASSETS))
        wallets = {"bitcoin": ["hot-btc"], "ethereum": ["hot-eth", "hot-eth-2"], "bsc": [None]}
        shown = [Evidence(chance.random() < 0.7, chance.choice([None, NOW, NOW - 2 * HOUR])) for _ in EVIDENCE]
        made.append(
            case(
                chain=chain,
                asset=chance.choice(sorted(ASSETS[chain])),
                wallet=chance.choice(wallets[chain]),
                customer=chance.choice(["c-1", "c-2", "c-3"]),
                tier=chance.choice(TIERS),
                country=chance.choice(["CH", "DE", None]),
                destination=chance.choice(["d-1", "d-2", "d-3"]),
                source=chance.choice(["file", "backend", "stdin"]),
                amount=q(chance.choice(["0.5", "1", "1.5", "2", "2.5", "3", "3.5", "4"])),
                value=chance.choice([None, *[hundreds * 100_000_000 for hundreds in range(1, 40)]]),
                known_since=chance.choice([None, NOW, NOW - MINUTE, NOW - HOUR, NOW - 2 * HOUR]),
                evidence=dict(zip(EVIDENCE, shown, strict=True)),
                hot_balance=chance.choice([q("8"), q("100"), NotKnown("node away")]),
                customer_balance=chance.choice([None, q("2"), q("100"), NotKnown("feed away")]),
            )
        )
    return made


OF_ALL_KINDS = of_all_kinds()


@thorough
@given(st.one_of(few(), few(), POLICIES), st.data())
def test_what_only_tightens_says_nothing_milder_whatever_is_used(before: Policy, data: st.DataObject) -> None:
    after = data.draw(changed(before, data.draw(st.sampled_from([LOOSE, LOOSE, ANY])), 2))
    if not loosens(before, after):
        event("tightens")
        judges = Judge(before), Judge(after)
        for used, asked in product(("0", "1", "3.5", "1000"), OF_ALL_KINDS):
            same = {place: q(used) for place in places(judges, asked)}
            old, new = (each.decide(asked_under(each.policy, asked), same.__getitem__) for each in judges)
            assert_no_milder(new, old)


def places(judges: Iterable[Judge], asked: Case) -> Iterator[Place]:
    """Every sum that the request counts in."""
    for judge in judges:
        for window in judge.windows.values():
            place = window.place(asked.booking, asked.now)
            if place is not None:
                yield place


@thorough
@given(POLICIES, st.data())
def test_what_only_tightens_says_nothing_milder_after_any_history(before: Policy, data: st.DataObject) -> None:
    after = data.draw(changed(before, ANY))
    if loosens(before, after):
        return
    event("tightens")
    past, now = SlowDesk(Judge(before)), NOW
    for number in range(data.draw(st.integers(0, 8))):
        now += data.draw(st.sampled_from([0, 0, 0, MINUTE, 10 * MINUTE, HOUR]))
        if data.draw(st.integers(0, 3)) == 0:
            past.advance(now)
        past.arrive(str(number), asked_under(before, data.draw(st.one_of(plain_cases(now), cases(now)))))
    future = SlowDesk(Judge(after))
    future.history = past.history
    for asked in data.draw(st.lists(st.one_of(plain_cases(now), cases(now)), min_size=1, max_size=8)):
        old, new = (decided(each, asked, now) for each in (past, future))
        assert_no_milder(new, old)


def decided(slow: SlowDesk, case: Case, now: int) -> Decision:
    """The next decision of a desk, which is not entered into its history."""

    def used(place: Any) -> Any:
        booked, waiting = slow.sums(place, now)
        return booked + waiting

    return slow.judge.decide(asked_under(slow.judge.policy, case), used)


@thorough
@given(POLICIES, st.data())
def test_every_step_that_tightens_is_seen_to_tighten(before: Policy, data: st.DataObject) -> None:
    assert loosens(before, data.draw(changed(before, TIGHTER))) == ()


@patient
@given(POLICIES, st.data())
def test_no_change_loosens_nothing_and_differs_in_nothing(before: Policy, data: st.DataObject) -> None:
    same = replace(before, rules=tuple(data.draw(st.permutations(before.rules))))
    assert loosens(before, same) == ()
    assert differences(before, same) == ()


# -- what only tightens

CUSTOMER: dict[str, Any] = {"per": Per.CUSTOMER, "period": Sliding(DAY)}
GLOBAL: dict[str, Any] = {"per": Per.GLOBAL, "period": Sliding(HOUR)}
CEILING = Rule("ceiling", max_amount=q("4"))
DESK_HOUR = Rule("desk-hour", max_value=dollars("250000"), **GLOBAL)
DAY_LIMIT = Rule("day", max_amount=q("2"), max_count=5, **CUSTOMER)
PEOPLE = Rule("people", above_value=dollars("10000"), approvals=1)
COOLING = Rule("cooling", cooling=DAY)
SHOWN = Rule("shown", require=("two_factor",), max_age=DAY)
BASE = desk(CEILING, DESK_HOUR, DAY_LIMIT, PEOPLE, COOLING, SHOWN)


def with_other(name: str, /, **other: Any) -> Policy:
    """The base, with one rule changed."""
    return desk(*(replace(rule, **other) if rule.name == name else rule for rule in BASE.rules))


def with_more(*rules: Rule) -> Policy:
    return desk(*BASE.rules, *rules)


@pytest.mark.parametrize(
    "after",
    [
        with_other("desk-hour", max_value=dollars("249999.999999")),
        with_other("ceiling", max_amount=q("0")),
        with_other("day", max_count=4),
        with_other("day", max_amount=q("1.5")),
        with_other("day", on_exceed=Outcome.DENY),
        with_other("desk-hour", on_exceed=Outcome.HOLD),
        with_other("cooling", on_exceed=Outcome.DENY),
        with_other("people", above_value=dollars("9999")),
        with_other("people", approvals=3),
        with_other("people", name="second-pair-of-eyes"),
        with_other("cooling", cooling=2 * DAY),
        with_other("shown", max_age=HOUR),
        with_other("shown", require=("identity", "two_factor")),
        with_more(Rule("no", only(customer="c-1"), deny=True)),
        with_more(Rule("all", approvals=1)),
        with_more(Rule("identity", require=("identity",))),
        with_more(Rule("vips-too", only(tier="vip"), cooling=HOUR)),
        with_more(Rule("btc", only(asset="BTC"), max_amount=q("1"))),
        with_more(Rule("free", allow=True)),
        desk(*reversed(BASE.rules)),
        desk(),
        desk(Rule("stop", deny=True)),
        with_more(Rule("stop", deny=True)),
    ],
)
def test_what_restricts_more_counts_at_once(after: Policy) -> None:
    assert loosens(BASE, after) == ()


BTC, ETH = Rule("btc", only(asset="BTC"), max_amount=q("2")), Rule("eth", only(asset="ETH"), max_amount=q("30"))


def test_a_permitting_rule_of_one_request_may_match_less_where_nothing_else_permits_the_rest() -> None:
    two = replace(BTC, match=only(asset="BTC ETH"))
    assert loosens(desk(two), desk(BTC)) == ()
    assert loosens(desk(two, CEILING), desk(BTC, CEILING)) == ("rule 'btc': match.asset goes from BTC or ETH to BTC",)


def test_an_asset_may_be_left_out() -> None:
    assert loosens(desk(BTC, ETH), desk(BTC)) == ()


def test_one_more_limit_over_what_several_rules_permit_tightens() -> None:
    over_both = Rule("both", only(asset="BTC ETH"), max_value=dollars("1000"), **CUSTOMER)
    assert loosens(desk(BTC, ETH), desk(BTC, ETH, over_both)) == ()
    over_all = replace(over_both, match={})
    assert loosens(desk(BTC, ETH), desk(BTC, ETH, over_all)) == (
        "rule 'both' is added, so it permits what no rule was seen to permit: per customer, window 24h, "
        "max_value 1000 USD, on_exceed deny by default",
    )


def test_one_rule_may_be_told_as_two() -> None:
    two = replace(BTC, match=only(asset="BTC ETH"))
    assert loosens(desk(two), desk(BTC, replace(ETH, max_amount=q("2")))) == ()


def test_what_another_rule_keeps_may_be_given_up() -> None:
    twice = Rule("twice", only(asset="BTC"), max_amount=q("9"))
    assert loosens(with_more(twice), BASE) == ()
    assert loosens(with_more(replace(PEOPLE, name="more", above_value=dollars("20000"))), BASE) == ()
    assert loosens(desk(BTC, Rule("no", deny=True)), desk(BTC, ETH, Rule("never", deny=True))) != ()


def test_a_sum_may_know_more_than_before() -> None:
    narrow = Rule("sum", only(asset="BTC", tier="vip"), max_amount=q("2"), **CUSTOMER)
    wide = replace(narrow, match=only(asset="BTC"))
    assert loosens(desk(CEILING, narrow), desk(CEILING, wide)) == ()


def test_a_sum_may_not_forget_what_others_of_the_same_key_have_taken() -> None:
    """Narrowed to BTC, a count of all no longer knows the ETH that left this morning; a sum of amounts never did."""
    counts = Rule("count", only(asset="BTC ETH"), max_count=2, **CUSTOMER)
    assert loosens(desk(counts), desk(replace(counts, match=only(asset="BTC")))) == (
        "rule 'count': match.asset goes from BTC or ETH to BTC",
    )
    amounts = Rule("amount", only(asset="BTC ETH"), max_amount=q("2"), **CUSTOMER)
    assert loosens(desk(amounts), desk(replace(amounts, match=only(asset="BTC")))) == ()
    of_tiers = Rule("amount", only(tier="basic vip"), max_amount=q("2"), **CUSTOMER)
    assert loosens(desk(of_tiers), desk(replace(of_tiers, match=only(tier="vip")))) != ()
    of_customers = Rule("count", only(customer="c-1 c-2"), max_count=2, **CUSTOMER)
    assert loosens(desk(of_customers), desk(replace(of_customers, match=only(customer="c-1")))) == ()


def test_a_sum_that_was_there_already_may_have_left_out_what_another_one_counts() -> None:
    """What is held for being more than the whole limit of one window takes no place there, and one in the other."""
    btc = Rule("btc", only(asset="BTC"), max_amount=q("3"), on_exceed=Outcome.HOLD, **CUSTOMER)
    every = replace(btc, name="every", match={}, max_amount=q("2"))
    assert loosens(desk(btc, every), desk(every)) == (
        "rule 'btc' is taken away, and no other is seen to keep its max_amount 3, per customer, window 24h",
    )
    assert loosens(desk(btc, every), desk(replace(btc, match={}), every)) == (
        "rule 'btc': its sum becomes that of another rule, which may have left out what max_amount counted",
    )
    assert loosens(desk(btc, CEILING), desk(every, CEILING)) == ()


# -- what loosens, and how it is said


@pytest.mark.parametrize(
    ("name", "other", "said"),
    [
        ("desk-hour", {"max_value": dollars("300000")}, "max_value goes from 250000 USD to 300000 USD"),
        ("ceiling", {"max_amount": q("4.000000000000000001")}, "max_amount goes from 4 to 4.000000000000000001"),
        ("day", {"max_count": 6}, "max_count goes from 5 to 6"),
        ("day", {"max_count": None}, "max_count goes from 5 to none"),
        ("day", {"on_exceed": Outcome.HOLD}, "on_exceed goes from deny by default to hold"),
        ("day", {"match": only(tier="vip")}, "match.tier goes from any to vip"),
        ("day", {"per": Per.DESTINATION}, "per goes from customer to destination"),
        ("day", {"period": Sliding(HOUR)}, "window goes from 24h to 1h"),
        ("day", {"period": Sliding(DAY + 1)}, "window goes from 24h to 86400001ms"),
        ("desk-hour", {"on_exceed": Outcome.WAIT, "max_amount": q("1")}, "max_amount goes from none to 1"),
        ("people", {"above_value": dollars("10001")}, "above_value goes from 10000 USD to 10001 USD"),
        ("people", {"above_value": None}, "above_value goes from 10000 USD to none"),
        ("people", {"above_amount": q("0")}, "above_amount goes from none to 0"),
        ("people", {"above_value": None, "approvals": 0, "allow": True}, "approvals goes from 1 to none"),
        ("people", {"match": only(asset="BTC ETH")}, "match.asset goes from any to BTC or ETH"),
        ("people", {"per": Per.CUSTOMER, "period": Lifetime()}, "lifetime goes from none to true"),
        ("cooling", {"cooling": HOUR}, "cooling goes from 24h to 1h"),
        ("cooling", {"cooling": None, "approvals": 1}, "cooling goes from 24h to none"),
        ("shown", {"max_age": None}, "max_age goes from 24h to none"),
        ("shown", {"max_age": DAY + HOUR}, "max_age goes from 24h to 25h"),
        ("shown", {"require": ("identity",)}, "require goes from two_factor to identity"),
        ("shown", {"on_exceed": Outcome.WAIT}, "on_exceed goes from deny by default to wait"),
    ],
)
def test_what_restricts_less_is_told_by_rule_and_key(name: str, other: dict[str, Any], said: str) -> None:
    told = loosens(BASE, with_other(name, **other))
    assert any(sentence.startswith(f"rule {name!r}: {said}") for sentence in told), told


@pytest.mark.parametrize("rule", BASE.rules[1:], ids=lambda rule: rule.name)
def test_taking_a_restriction_away_loosens(rule: Rule) -> None:
    told = loosens(BASE, desk(*(each for each in BASE.rules if each is not rule)))
    assert told
    assert all(sentence.startswith(f"rule {rule.name!r} is taken away, and no other") for sentence in told)


def test_only_what_changed_is_told() -> None:
    assert loosens(BASE, with_other("desk-hour", max_value=dollars("300000"))) == (
        "rule 'desk-hour': max_value goes from 250000 USD to 300000 USD",
    )


def test_a_default_that_turns_is_told() -> None:
    """A percentage turns what is over the amount from denied to waiting."""
    told = loosens(desk(CEILING), desk(replace(CEILING, max_percent=q("5"))))
    assert told == ("rule 'ceiling': on_exceed goes from deny by default to wait by default",)
    assert loosens(desk(CEILING), desk(replace(CEILING, max_percent=q("5"), on_exceed=Outcome.DENY))) == ()


def test_an_amount_beside_a_value_lets_go_what_has_no_price() -> None:
    value = Rule("value", max_value=dollars("1000"))
    assert loosens(desk(value), desk(replace(value, max_amount=q("1")))) == (
        "rule 'value': max_amount goes from none to 1, and counts instead where there is no price",
    )
    assert loosens(desk(value), desk(value, Rule("amount", max_amount=q("1")))) == ()
    assert loosens(desk(replace(value, max_amount=q("1"))), desk(value)) == (
        "rule 'value': max_amount goes from 1 to none",
    )


def test_who_asks_always_asks_above_any_threshold_that_can_be_measured() -> None:
    above = Rule("people", above_amount=q("1"), approvals=1)
    always, of_wallets = Rule("people", approvals=1), {"per": Per.WALLET, "period": Sliding(DAY)}
    assert loosens(desk(CEILING, above), desk(CEILING, always)) == ()
    assert loosens(desk(CEILING, always), desk(CEILING, above)) != ()
    assert loosens(desk(CEILING, replace(above, **of_wallets)), desk(CEILING, always)) != ()
    both = replace(above, above_value=dollars("1"))
    assert loosens(desk(CEILING, both), desk(CEILING, always)) == ()
    assert loosens(desk(CEILING, replace(both, above_amount=None)), desk(CEILING, always)) != ()


def test_the_age_of_what_has_none_does_not_matter() -> None:
    given = Rule("given", require=("beneficiary", "identity"), max_age=DAY)
    apart = (Rule("one", require=("beneficiary",)), Rule("other", require=("identity",), max_age=DAY))
    assert loosens(desk(CEILING, given), desk(CEILING, *apart)) == ()


def test_other_tiers_loosen() -> None:
    assert loosens(desk(BTC), desk(BTC, tiers=("verified", "basic", "vip"))) == (
        "tiers goes from basic, verified, vip to verified, basic, vip: requests change their tier, and other rules "
        "speak of them",
    )


def test_chains_without_a_hot_wallet_go_on_being_held() -> None:
    """Nothing else may ask for the wallet any more, though all that is asked is at least as strict."""
    of_wallet = Rule("wallet", only(wallet="hot-btc"), max_amount=q("1"))
    assert loosens(desk(CEILING, of_wallet), desk(CEILING, replace(of_wallet, match={}))) == (
        "no rule speaks of wallets as 'wallet' did: a chain without a hot wallet is no longer held",
    )


def test_permitting_more_loosens() -> None:
    more = "so it permits what no rule was seen to permit"
    assert loosens(desk(BTC), desk(replace(BTC, match=only(asset="BTC ETH")))) == (
        f"rule 'btc': match.asset goes from BTC to BTC or ETH, {more}",
    )
    assert loosens(desk(BTC), desk(BTC, Rule("free", allow=True))) == (f"rule 'free' is added, {more}: allow true",)
    assert loosens(desk(Rule("x", approvals=1)), desk(Rule("x", allow=True))) == (
        f"rule 'x': approvals goes from 1 to none, {more}",
        f"rule 'x': allow goes from none to true, {more}",
        "rule 'x': approvals goes from 1 to none",
    )


def test_many_names_are_told_by_what_comes_and_goes() -> None:
    few, more = only(customer="a b c d e f"), only(customer="a b c d e x y")
    assert loosens(desk(replace(BTC, match=few)), desk(replace(BTC, match=more))) == (
        "rule 'btc': match.customer gains x or y and loses f (of 6 before, 7 now), so it permits what no rule was seen "
        "to permit",
    )


def test_a_list_of_thousands_is_compared_without_recursion() -> None:
    names = [f"c-{number}" for number in range(3000)]
    each = [Rule(name, only(customer=name), max_amount=q("1")) for name in names[:300]]
    together = Rule("together", {"customer": frozenset(names[:300])}, max_amount=q("1"))
    assert loosens(desk(*each), desk(together)) == ()
    assert loosens(desk(together), desk(*each)) == ()
    assert loosens(desk(together), desk(replace(together, match={"customer": frozenset(names)}))) != ()


# -- all that differs


def test_all_that_differs_is_told() -> None:
    before = desk(BTC, PEOPLE, DAY_LIMIT, SHOWN)
    calendar = replace(DAY_LIMIT, period=Calendar(Unit.DAY, "Europe/Berlin"))
    after = desk(replace(BTC, max_amount=q("1")), replace(PEOPLE, name="second"), calendar, COOLING, tiers=("a",))
    assert differences(before, after) == (
        "tiers goes from basic, verified, vip to a",
        "rule 'btc': max_amount goes from 2 to 1",
        "rule 'people' is renamed 'second'",
        "rule 'day': window goes from 24h to none",
        "rule 'day': calendar goes from none to day",
        "rule 'day': timezone goes from none to Europe/Berlin",
        "rule 'shown' is taken away: require two_factor, max_age 24h, on_exceed deny by default",
        "rule 'cooling' is added: cooling 24h, on_exceed wait by default",
    )


def test_names_that_could_be_taken_for_more_than_one_are_quoted() -> None:
    one = replace(BTC, match={"customer": frozenset({"a or b"})})
    assert differences(desk(one), desk(replace(one, match=only(customer="a b")))) == (
        "rule 'btc': match.customer goes from 'a or b' to a or b",
    )


@patient
@given(POLICIES, st.data())
def test_policies_that_say_other_things_differ(before: Policy, data: st.DataObject) -> None:
    after = data.draw(changed(before, ANY))
    assert (differences(before, after) == ()) is (by_name(before) == by_name(after))
    for sentence in (*loosens(before, after), *differences(before, after)):
        old, _, new = sentence.partition(" goes from ")[2].partition(" to ")
        assert not old or old != new.partition(", ")[0]


def by_name(policy: Policy) -> dict[str, Rule]:
    return {rule.name: rule for rule in policy.rules}
