"""What is summed, under which key, and when a sum goes on or begins anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cryptosupport.domain.money import NOTHING
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.policy.periods import Calendar, Lifetime, Sliding, Unit
from cryptosupport.domain.policy.rules import Per, Rule
from cryptosupport.domain.policy.tallies import Tallies, Tally
from cryptosupport.domain.policy.windows import Measure, Place, Window, measures
from tests.domain.policy.making import DAY, HOUR, NOW, booking, dollars, judge, only, q

CUSTOMER_DAY = Rule("day", only(tier="basic"), Per.CUSTOMER, Sliding(DAY), max_value=dollars("2000"))


def window(rule: Rule, measure: Measure = Measure.VALUE) -> Window:
    return Window.of(rule, measure)


@pytest.mark.parametrize(
    "change",
    [
        {"max_value": dollars("5000")},
        {"name": "another-name"},
        {"on_exceed": Outcome.HOLD},
        {"max_value": None, "above_value": dollars("100"), "approvals": 2},
    ],
    ids=lambda change: ",".join(change),
)
def test_a_changed_limit_goes_on_with_the_same_sums(change: dict[str, Any]) -> None:
    assert window(replace(CUSTOMER_DAY, **change)).id == window(CUSTOMER_DAY).id


@pytest.mark.parametrize(
    "change",
    [
        {"match": only(tier="basic verified")},
        {"match": only(country="basic")},
        {"match": {}},
        {"per": Per.DESTINATION},
        {"period": Sliding(HOUR)},
        {"period": Calendar(Unit.DAY, "UTC")},
        {"period": Lifetime()},
    ],
)
def test_any_other_change_begins_new_sums(change: dict[str, Any]) -> None:
    assert window(replace(CUSTOMER_DAY, **change)).id != window(CUSTOMER_DAY).id


def test_calendars_differ_by_unit_and_by_timezone() -> None:
    periods = [Calendar(Unit.DAY, "UTC"), Calendar(Unit.WEEK, "UTC"), Calendar(Unit.DAY, "Asia/Beirut")]
    assert len({window(replace(CUSTOMER_DAY, period=period)).id for period in periods}) == 3


def test_the_order_in_which_a_rule_names_its_facts_does_not_matter() -> None:
    one = {"tier": frozenset(["basic", "vip"]), "asset": frozenset(["BTC"])}
    other = {"asset": frozenset(["BTC"]), "tier": frozenset(["vip", "basic"])}
    assert window(replace(CUSTOMER_DAY, match=one)).id == window(replace(CUSTOMER_DAY, match=other)).id


def test_each_measure_has_sums_of_its_own() -> None:
    rule = replace(CUSTOMER_DAY, max_count=3, max_amount=q("1"))
    assert measures(rule) == [Measure.AMOUNT, Measure.VALUE, Measure.COUNT]
    assert len({window(rule, measure).id for measure in measures(rule)}) == 3


def test_two_rules_of_one_scope_share_their_sums() -> None:
    assert len(judge(CUSTOMER_DAY, replace(CUSTOMER_DAY, name="more", max_value=dollars("9000"))).windows) == 1


@pytest.mark.parametrize(
    ("per", "who"),
    [
        (Per.CUSTOMER, "c-1"),
        (Per.DESTINATION, "bc1q"),
        (Per.WALLET, "hot-btc"),
        (Per.ASSET, "BTC"),
        (Per.GLOBAL, ""),
    ],
)
def test_a_sum_belongs_to_whom_the_rule_says(per: Per, who: str) -> None:
    counted = window(replace(CUSTOMER_DAY, per=per))
    assert counted.place(booking(), NOW) == Place(counted.id, who, "")


def test_amounts_are_summed_by_symbol_values_and_counts_over_all() -> None:
    for measure, part in ((Measure.AMOUNT, "BTC"), (Measure.VALUE, ""), (Measure.COUNT, "")):
        place = window(CUSTOMER_DAY, measure).place(booking(), NOW)
        assert place is not None
        assert place.part == part


def test_a_calendar_sum_is_of_one_local_day() -> None:
    counted = window(replace(CUSTOMER_DAY, period=Calendar(Unit.DAY, "Pacific/Auckland")), Measure.AMOUNT)
    place = counted.place(booking(), NOW)
    assert place is not None
    assert place.part == "2026-11-22 BTC"
    assert counted.ends(NOW) == NOW + 11 * HOUR
    assert counted.place(booking(), NOW + 11 * HOUR) != place


def test_who_does_not_match_or_has_no_wallet_is_in_no_sum() -> None:
    assert window(CUSTOMER_DAY).place(booking(tier="vip"), NOW) is None
    assert window(replace(CUSTOMER_DAY, per=Per.WALLET)).place(booking(wallet=None), NOW) is None


@pytest.mark.parametrize("per", Per)
def test_only_wallets_and_the_desk_count_the_fee(per: Per) -> None:
    asked = booking(fee=q("0.001"), fee_value=dollars("50"))
    with_fee = per in (Per.WALLET, Per.GLOBAL)
    rule = replace(CUSTOMER_DAY, per=per)
    assert window(rule, Measure.AMOUNT).counts(asked) == q("1.001" if with_fee else "1")
    assert window(rule, Measure.VALUE).counts(asked) == q("50050" if with_fee else "50000")
    assert window(rule, Measure.COUNT).counts(asked) == q("1")


def test_what_has_no_value_adds_none() -> None:
    assert window(CUSTOMER_DAY).counts(booking(value=None)) == NOTHING


def test_one_symbol_is_summed_at_a_common_scale() -> None:
    rule = Rule("usdt", only(asset="USDT"), Per.ASSET, Lifetime(), max_amount=q("10"))
    tallies = Tallies(judge(rule).windows)
    on_ethereum = booking(asset="USDT", chain="ethereum", amount=q("1.000001"))
    on_bsc = booking(asset="USDT", chain="bsc", amount=q("1.000000000000000001"))
    for asked in (on_ethereum, on_bsc):
        ((place, counts),) = tallies.places(asked, NOW)
        tallies.add(place, counts, waiting=False)
    assert tallies.at(place) == Tally(q("2.000001000000000001"), NOTHING)


def test_what_is_exactly_as_old_as_the_window_is_out() -> None:
    day = window(CUSTOMER_DAY)
    assert day.since(NOW) == NOW - DAY
    assert not day.holds(NOW - DAY, NOW, waiting=False)
    assert day.holds(NOW - DAY + 1, NOW, waiting=False)


def test_what_waits_does_not_age_but_a_calendar_day_ends_for_it_too() -> None:
    assert window(CUSTOMER_DAY).holds(NOW - 9 * DAY, NOW, waiting=True)
    today = window(replace(CUSTOMER_DAY, period=Calendar(Unit.DAY, "UTC")))
    assert today.holds(NOW, NOW + DAY - 1, waiting=True)
    assert not today.holds(NOW - 1, NOW, waiting=True)
    assert window(replace(CUSTOMER_DAY, period=Lifetime())).holds(0, NOW, waiting=False)


def test_booked_and_waiting_are_used_alike_and_come_out_as_they_went_in() -> None:
    tallies, place = Tallies({}), Place("w", "c-1", "")
    tallies.add(place, q("2"), waiting=False)
    tallies.add(place, q("0.5"), waiting=True)
    assert tallies.at(place) == Tally(q("2"), q("0.5"))
    assert tallies.at(place).used == q("2.5")
    tallies.take(place, q("2"), waiting=False)
    tallies.take(place, q("0.5"), waiting=True)
    assert tallies.at(place) == Tally()
    assert tallies.changed == {place}
    tallies.forget(place)
    assert not tallies.knows(place)
    assert not tallies.changed
