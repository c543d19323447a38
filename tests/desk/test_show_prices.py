"""Prices as the desk sees them: which count, and why others do not."""

from __future__ import annotations

from cryptosupport.desk.show_prices import as_record, as_row, show_prices
from cryptosupport.domain.money import Quantity
from cryptosupport.domain.prices import PriceRules, Quote

NOON = 1_795_262_400_000
RULES = PriceRules(2, 900_000, Quantity(5, 0), Quantity(20, 0), frozenset({"USDT"}))


def quote(source: str, usd: str, age: int = 0) -> Quote:
    return Quote(source, Quantity.parse(usd), NOON - age)


def test_every_symbol_that_is_named_or_quoted_is_shown_in_order() -> None:
    seen = show_prices({"DOGE": [quote("a", "1")]}, ["ETH", "BTC", "BTC"], RULES, {}, NOON)
    assert [each.pricing.symbol for each in seen] == ["BTC", "DOGE", "ETH"]


def test_a_price_out_of_two_sources_is_told_with_both() -> None:
    (seen,) = show_prices({"BTC": [quote("a", "50000"), quote("b", "50001", 60_000)]}, [], RULES, {}, NOON)
    assert as_record(seen) == {
        "schema": "cryptosupport.price/1",
        "symbol": "BTC",
        "usable": True,
        "usd": "50000.5",
        "as_of": "2026-11-21T11:59:00Z",
        "sources": 2,
        "min_sources": 2,
        "reason": None,
        "quotes": [
            {"source": "a", "usd": "50000", "as_of": "2026-11-21T12:00:00Z", "counted": True},
            {"source": "b", "usd": "50001", "as_of": "2026-11-21T11:59:00Z", "counted": True},
        ],
    }
    row = as_row(seen)
    assert (row["sources"], row["state"]) == ("2 of 2", "usable")
    assert row["quotes"] == ["a 50000 (2026-11-21T12:00:00Z)", "b 50001 (2026-11-21T11:59:00Z)"]


def test_an_old_quote_is_shown_and_does_not_count() -> None:
    quotes = {"BTC": [quote("a", "50000"), quote("b", "50001"), quote("c", "1", 900_001)]}
    (seen,) = show_prices(quotes, [], RULES, {}, NOON)
    record = as_record(seen)
    assert (record["usd"], record["sources"]) == ("50000.5", 3)
    assert [each["counted"] for each in record["quotes"]] == [True, True, False]


def test_a_symbol_without_a_price_says_why() -> None:
    quotes = {"BTC": [quote("a", "50000"), quote("b", "60000")], "ETH": [quote("a", "1")]}
    btc, eth, link = map(as_record, show_prices(quotes, ["LINK"], RULES, {}, NOON))
    assert "the sources disagree" in btc["reason"]
    assert eth["reason"] == "1 of at least 2 prices"
    assert link["reason"] == "0 of at least 2 prices"
    assert {each["usable"] for each in (btc, eth, link)} == {False}
    assert {each["usd"] for each in (btc, eth, link)} == {None}


def test_a_jump_from_the_last_price_that_counted_is_told() -> None:
    quotes = {"BTC": [quote("a", "50000"), quote("b", "50000")]}
    (calm,) = show_prices(quotes, [], RULES, {"BTC": Quantity.parse("45000")}, NOON)
    (jumped,) = show_prices(quotes, [], RULES, {"BTC": Quantity.parse("40000")}, NOON)
    assert as_record(calm)["usable"]
    assert as_row(jumped)["state"] == "not usable: it jumped from 40000 to 50000, more than 20%"
