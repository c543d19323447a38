"""How much room is left: right at this moment, for everybody's limits and for those of one."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from cryptosupport.desk.run_once import run_once
from cryptosupport.desk.show_usage import Asked, as_record, show_usage
from cryptosupport.domain.books import Wanted
from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.money import Quantity
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.policy.lint import Shape
from cryptosupport.domain.policy.periods import Calendar, Lifetime, Unit
from cryptosupport.domain.policy.rules import Per
from cryptosupport.ledger import tables
from tests.desk.deskkit import BTC, ETH, HOUR, START, USDT_BSC, USDT_ETHEREUM, Desk, policy, request, rule

DeskWith = Callable[..., Desk]
SHAPES = [
    Shape("bitcoin", "BTC", None, "hot-btc"),
    Shape("ethereum", "ETH", None, "hot-eth"),
    Shape("ethereum", "USDT", None, "hot-eth"),
    Shape("bsc", "USDT", None, None),
]


def usage(desk: Desk, **asked: Any) -> list[dict[str, Any]]:
    """What is told of the desk's limits now."""
    found = show_usage(desk.ledger, desk.premises.judge, SHAPES, Asked(**asked))
    return [as_record(each) for each in found]


def room(desk: Desk, *columns: str, **asked: Any) -> list[tuple[Any, ...]]:
    """Some columns of it."""
    return [tuple(row[column] for column in columns or ("key", "used", "left")) for row in usage(desk, **asked)]


def test_a_limit_tells_what_is_used_what_waits_and_what_is_left(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("desk", "5", hours=24, match={"asset": "BTC"})))
    desk.take(request("a", "3"), request("b", "1.5"), request("c", "0.6"))
    assert usage(desk) == [
        {
            "rule": "desk",
            "measure": "amount",
            "per": "global",
            "key": None,
            "period": "24h",
            "used": "4.5",
            "waiting": "0.6",
            "limit": "5",
            "left": "0",
            "unit": "BTC",
            "beyond": "wait",
            "ends_at": None,
        }
    ]


def test_what_has_aged_out_since_the_last_decision_no_longer_counts(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("own", "5", hours=1, per=Per.CUSTOMER)))
    desk.take(request("a", "3"))
    desk.clock.at += HOUR // 2
    desk.take(request("b", "1"))
    desk.clock.at += HOUR // 2 - 1
    assert room(desk) == [("c1", "4", "1")]
    desk.clock.at += 1
    assert room(desk) == [("c1", "1", "4")]
    desk.clock.at += HOUR
    assert room(desk) == []


def test_a_calendar_limit_tells_when_it_starts_anew(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("day", "5", per=Per.ASSET, period=Calendar(Unit.DAY, "UTC"))))
    desk.take(request("a", "3"))
    columns = "key", "used", "unit", "period", "ends_at"
    assert room(desk, *columns) == [("BTC", "3", "BTC", "the calendar day (UTC)", "2026-09-22T00:00:00Z")]
    desk.clock.at += 24 * HOUR
    assert room(desk, *columns) == []


def test_asking_decides_nothing(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("desk", "5", hours=1)))
    desk.take(request("a", "3"), request("b", "3"))
    before = list(desk.ledger.withdrawals(Wanted()))
    desk.clock.at += 2 * HOUR
    assert room(desk, "used", "waiting") == [("0", "3")]
    assert list(desk.ledger.withdrawals(Wanted())) == before
    assert [each.request.request_id for each in run_once(desk.ledger, desk.premises)] == ["b"]


def test_the_sums_are_those_of_the_policy_that_is_asked_about(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("one", "5")))
    desk.take(request("a", "3"), request("b", "1", customer="c2"))
    later = desk_with(
        policy(
            rule("own", "5", hours=1, per=Per.CUSTOMER), rule("life", per=Per.GLOBAL, period=Lifetime(), max_count=9)
        )
    )
    columns = "rule", "key", "used", "left", "period"
    assert room(later, *columns) == [
        ("own", "c1", "3", "2", "1h"),
        ("own", "c2", "1", "4", "1h"),
        ("life", None, "2", "7", "all time"),
    ]


def test_every_limit_of_a_rule_has_its_line(desk_with: DeskWith) -> None:
    rules = (
        rule("both", "5", value="9000", hours=1, per=Per.CUSTOMER, max_count=3),
        rule("eyes", above_value=1_000_000_000, approvals=2, hours=1, per=Per.CUSTOMER),
        rule("share", max_percent=Quantity(25, 1), hours=1, per=Per.WALLET, match={"asset": "BTC"}),
    )
    desk = desk_with(policy(*rules), prices={"BTC": "1000"}, hot={"hot-btc": "1000"})
    desk.take(request("a", "2"))
    assert room(desk, "rule", "key", "used", "limit", "left", "unit", "beyond") == [
        ("both", "c1", "2", "5", "3", "BTC", "deny"),
        ("both", "c1", "2000", "9000", "7000", "USD", "deny"),
        ("both", "c1", "1", "3", "2", "withdrawals", "deny"),
        ("eyes", "c1", "2000", "1000", "0", "USD", "approval"),
        ("share", "hot-btc", "2", "2.5%", None, "BTC", "wait"),
    ]


def test_limits_of_all_are_told_though_nothing_is_used(desk_with: DeskWith) -> None:
    rules = (
        rule("desk", value="9000", hours=1),
        rule("coin", "5", hours=1, match={"asset": ["BTC", "ETH"]}),
        rule("any", "5", hours=1, per=Per.ASSET),
        rule("wallet", hours=1, per=Per.WALLET, max_count=3),
        rule("usdt", "5", hours=1, per=Per.ASSET, match={"asset": "USDT"}),
        rule("own", "5", hours=1, per=Per.CUSTOMER),
    )
    assert room(desk_with(policy(*rules)), "rule", "key", "unit", "used", "left") == [
        ("desk", None, "USD", "0", "9000"),
        ("coin", None, "BTC", "0", "5"),
        ("coin", None, "ETH", "0", "5"),
        ("wallet", "hot-btc", "withdrawals", "0", "3"),
        ("wallet", "hot-eth", "withdrawals", "0", "3"),
        ("usdt", "USDT", "USDT", "0", "5"),
    ]


def test_one_symbol_of_two_chains_is_one_sum(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("usdt", "5", hours=1, per=Per.ASSET, match={"asset": "USDT"})))
    desk.take(request("a", "1", USDT_ETHEREUM, chain="ethereum"), request("b", "1.5", USDT_BSC, chain="bsc"))
    assert room(desk) == [("USDT", "2.5", "2.5")]


def test_of_many_the_fullest_are_told(desk_with: DeskWith) -> None:
    rules = rule("own", "9", hours=1, per=Per.CUSTOMER), rule("to", "99", hours=1, per=Per.DESTINATION)
    desk = desk_with(policy(*rules))
    desk.take(*(request(f"r{n}", str(1 + n % 7), customer=f"c{n}", destination=f"d{n}") for n in range(20)))
    desk.take(request("last", "9", customer="c99", destination="d0"))
    fullest = [("own", "c99", "9"), ("own", "c13", "7"), ("own", "c6", "7")]
    assert room(desk, "rule", "key", "used", top=3, rule="own") == fullest
    to = [("to", "d0", "10"), ("to", "d13", "7"), ("to", "d6", "7")]
    assert room(desk, "rule", "key", "used", top=3) == fullest + to
    assert len(room(desk, rule="own", top=50)) == 21


def test_of_one_customer_only_what_is_theirs_is_told(desk_with: DeskWith) -> None:
    rules = (
        rule("own", "5", hours=1, per=Per.CUSTOMER),
        rule("count", hours=1, per=Per.CUSTOMER, max_count=5),
        rule("to", hours=1, per=Per.DESTINATION, max_count=5),
        rule("desk", hours=1, max_count=50),
    )
    desk = desk_with(policy(*rules))
    desk.take(request("a", "3"), request("b", "1", ETH, chain="ethereum"), request("c", customer="c2"))
    columns = "rule", "key", "used", "unit"
    assert room(desk, *columns, customer="c1") == [
        ("own", "c1", "3", "BTC"),
        ("own", "c1", "1", "ETH"),
        ("count", "c1", "2", "withdrawals"),
        ("desk", None, "3", "withdrawals"),
    ]
    assert room(desk, *columns, destination="d1", rule="to") == [("to", "d1", "3", "withdrawals")]
    assert room(desk, *columns, customer="new") == [
        ("count", "new", "0", "withdrawals"),
        ("desk", None, "3", "withdrawals"),
    ]
    both = {"customer": "c2", "destination": "d9"}
    assert room(desk, "rule", "used", **both) == [("own", "1"), ("count", "1"), ("to", "0"), ("desk", "3")]


def test_a_rule_about_others_says_nothing_of_a_customer(desk_with: DeskWith) -> None:
    rules = rule("vip", hours=1, per=Per.CUSTOMER, max_count=5, match={"customer": "c9"}), rule("one", "5")
    assert room(desk_with(policy(*rules)), customer="c1") == []


@pytest.mark.parametrize("name", ["one", "nobody"])
def test_a_rule_that_sums_nothing_is_told(desk_with: DeskWith, name: str) -> None:
    desk = desk_with(policy(rule("one", "5"), rule("own", "5", hours=1)))
    with pytest.raises(BadInput, match=f"no rule '{name}' sums anything over time; those that do: own"):
        usage(desk, rule=name)


def test_a_hard_limit_says_what_comes_beyond_it(desk_with: DeskWith) -> None:
    rules = rule("own", "5", hours=1), rule("hold", "5", hours=2, on_exceed=Outcome.HOLD)
    desk = desk_with(policy(*rules))
    desk.take(request("a"))
    assert room(desk, "rule", "beyond") == [("own", "wait"), ("hold", "hold")]


def test_memory_stays_flat_however_many_customers_there_are(desk_with: DeskWith, engine: Engine) -> None:
    desk = desk_with(policy(rule("own", "100000", hours=1, per=Per.CUSTOMER)))
    usage(desk)
    (window,) = desk.premises.judge.windows

    def peak(customers: range) -> int:
        row = {"window_id": window, "part": "BTC", "waiting": 0, "decimals": 0, "ends_at": None}
        with engine.begin() as connection:
            connection.execute(insert(tables.tally), [row | {"who": f"c{n}", "booked": n} for n in customers])
        tracemalloc.start()
        try:
            assert room(desk, "key", top=2) == [(f"c{customers[-1]}",), (f"c{customers[-2]}",)]
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(range(1, 1500))
    few = peak(range(1500, 3000))
    assert peak(range(3000, 9000)) < few * 1.3


def test_a_customer_among_many_is_found_by_name(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("own", "5", hours=1, per=Per.CUSTOMER)))
    desk.take(*(request(f"r{n}", customer=f"c{n}", asset=BTC) for n in range(30)))
    assert room(desk, customer="c17") == [("c17", "1", "4")]
    assert desk.clock.at == START
