"""A price counts when enough sources agree on it, lately; a value is never too low, and never guessed."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.domain.money import Quantity
from cryptosupport.domain.prices import NoPrice, Price, PriceRules, Quote, median, micro_usd, price, usd

NOW = 1_795_305_600_000
MINUTE = 60_000
q = Quantity.parse
RULES = PriceRules(2, 15 * MINUTE, q("5"), q("20"), frozenset({"USDT"}))


def quotes(*prices: str, as_of: int = NOW) -> list[Quote]:
    return [Quote(f"source-{number}", q(each), as_of) for number, each in enumerate(prices)]


def told(*prices: str, symbol: str = "BTC", last: str | None = None, rules: PriceRules = RULES) -> str:
    """The price, or the reason why there is none."""
    found = price(symbol, quotes(*prices), rules, None if last is None else q(last), NOW)
    return str(found.usd) if isinstance(found, Price) else found.reason


@pytest.mark.parametrize(
    ("prices", "counts"),
    [
        (("50000", "50001"), "50000.5"),
        (("50000", "49999", "50002"), "50000"),
        (("50000.1", "50000.2", "50000.3", "50000.4"), "50000.25"),
    ],
)
def test_the_median_counts(prices: tuple[str, ...], counts: str) -> None:
    assert told(*prices) == counts


def test_a_price_remembers_its_quotes_and_the_oldest_of_them() -> None:
    given = [Quote("a", q("100"), NOW - MINUTE), Quote("b", q("101"), NOW)]
    assert price("BTC", given, RULES, None, NOW) == Price("BTC", q("100.5"), NOW - MINUTE, tuple(given))


def test_too_few_sources_make_no_price() -> None:
    assert told() == "0 of at least 2 prices"
    assert told("50000") == "1 of at least 2 prices"
    assert told("50000", rules=replace(RULES, min_sources=1)) == "50000"
    assert told(rules=replace(RULES, min_sources=0)) == "0 of at least 1 prices"


@pytest.mark.parametrize(
    ("age", "counts"),
    [(15 * MINUTE, True), (15 * MINUTE + 1, False), (0, True), (-5000, True), (-5001, False)],
)
def test_a_quote_counts_for_its_time_and_not_from_the_future(age: int, counts: bool) -> None:
    found = price("BTC", quotes("50000", "50001", as_of=NOW - age), RULES, None, NOW)
    assert isinstance(found, Price) is counts
    if not counts:
        fault = "2 too old or not usable" if age > 0 else "2 lie up to 6s ahead"
        assert found == NoPrice("BTC", f"0 of at least 2 prices, {fault}")


def test_a_price_from_the_future_is_not_told_as_an_old_one() -> None:
    given = [Quote("a", q("1"), NOW - 16 * MINUTE), Quote("b", q("1"), NOW), Quote("c", q("1"), NOW + 90 * MINUTE)]
    found = price("BTC", given, RULES, None, NOW)
    assert found == NoPrice("BTC", "1 of at least 2 prices, 1 too old or not usable, 1 lies 90m ahead")
    assert price("BTC", given[1:], RULES, None, NOW) == NoPrice("BTC", "1 of at least 2 prices, 1 lies 90m ahead")


def test_an_old_quote_does_not_shift_the_median_of_young_ones() -> None:
    old = Quote("old", q("1"), NOW - 16 * MINUTE)
    found = price("BTC", [*quotes("50000", "50002"), old], RULES, None, NOW)
    assert isinstance(found, Price)
    assert str(found.usd) == "50001"


def test_a_price_of_nothing_is_no_price() -> None:
    assert told("0", "0") == "0 of at least 2 prices, 2 too old or not usable"
    assert told("0.00000001", "0.00000001") == "0.00000001"


def test_sources_that_disagree_make_no_price() -> None:
    assert told("95", "100", "105") == "100"
    assert told("94.99", "100", "105") == "the sources disagree: source-0 says 94.99, the median is 100"
    assert told("95", "100", "105.01") == "the sources disagree: source-2 says 105.01, the median is 100"
    exact = replace(RULES, max_spread=q("0.25"))
    assert told("100", "100", "100.25", rules=exact) == "100"
    assert told("100", "100", "100.2501", rules=exact).startswith("the sources disagree")


@pytest.mark.parametrize(
    ("last", "now", "counts"),
    [
        ("100", "120", True),
        ("100", "120.01", False),
        ("100", "80", True),
        ("100", "79.99", False),
        ("100", "100", True),
    ],
)
def test_a_jump_is_not_believed(last: str, now: str, counts: bool) -> None:
    expected = now if counts else f"it jumped from 100 to {now}, more than 20%"
    assert told(now, now, last=last) == expected


def test_a_usd_stablecoin_counts_as_a_dollar_at_least() -> None:
    assert told("0.93", "0.93", symbol="USDT") == "1"
    assert told("1.02", "1.02", symbol="USDT") == "1.02"
    assert told("0.93", "0.93", symbol="DAI") == "0.93"


def test_a_value_is_rounded_up_to_the_next_micro_dollar() -> None:
    assert micro_usd(q("0.00000001"), q("50000")) == 500
    assert micro_usd(q("0.00000001"), q("50000.000001")) == 501
    assert micro_usd(Quantity(1, 18), q("2500")) == 1
    assert micro_usd(Quantity(0, 8), q("50000")) == 0
    assert usd(501) == "0.000501 USD"


NUMBERS = st.builds(Quantity, st.integers(0, 2**256), st.integers(0, 24))


@given(NUMBERS, NUMBERS)
def test_a_value_is_never_too_low_and_less_than_a_micro_dollar_too_high(amount: Quantity, at: Quantity) -> None:
    exact = Fraction(amount.units, 10**amount.decimals) * Fraction(at.units, 10**at.decimals) * 10**6
    assert 0 <= micro_usd(amount, at) - exact < 1


@given(st.lists(NUMBERS, min_size=1, max_size=9))
def test_the_median_is_in_the_middle_whatever_the_order(numbers: list[Quantity]) -> None:
    middle = median(numbers)
    below = sum(number <= middle for number in numbers)
    above = sum(middle <= number for number in numbers)
    assert min(below, above) * 2 >= len(numbers)
    assert median(sorted(numbers, reverse=True)) == middle


@given(st.lists(st.integers(0, 300), max_size=5), st.one_of(st.none(), st.integers(1, 300)))
def test_there_is_a_price_or_a_reason(prices: list[int], last: int | None) -> None:
    given = quotes(*map(str, prices))
    found = price("BTC", given, RULES, None if last is None else Quantity(last, 0), NOW)
    usable = sorted(each for each in prices if each)
    if isinstance(found, NoPrice):
        assert found.reason
    else:
        assert len(usable) >= 2
        assert Quantity(usable[0], 0) <= found.usd <= Quantity(usable[-1], 0)
