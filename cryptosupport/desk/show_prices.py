"""Prices as the desk sees them: what each source says, and whether it makes a price that counts for limits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptosupport.domain.money import Quantity
from cryptosupport.domain.prices import NoPrice, Price, PriceRules, Pricing, Quote, price
from cryptosupport.domain.wording import iso_time

SCHEMA = "cryptosupport.price/1"


@dataclass(frozen=True, slots=True)
class Seen:
    """One symbol: all that the sources say, and what comes of it. ``min_sources`` is how many prices are asked for."""

    pricing: Pricing
    quotes: tuple[Quote, ...]
    min_sources: int


def show_prices(
    quotes: Mapping[str, Sequence[Quote]],
    symbols: Collection[str],
    rules: PriceRules,
    last: Mapping[str, Quantity],
    now: int,
) -> list[Seen]:
    """Say which price each symbol has at ``now`` (milliseconds since 1970): ``symbols``, and all that sources name.

    ``last`` is the last price of each that counted, in USD; a jump away from it does not count.
    """
    return [
        Seen(price(symbol, said, rules, last.get(symbol), now), tuple(said), rules.min_sources)
        for symbol in sorted({*symbols, *quotes})
        for said in (quotes.get(symbol, ()),)
    ]


def as_record(seen: Seen) -> dict[str, Any]:
    """What is seen as JSON shows it (schema `cryptosupport.price/1`)."""
    pricing = seen.pricing
    counted = pricing.quotes if isinstance(pricing, Price) else ()
    return {
        "schema": SCHEMA,
        "symbol": pricing.symbol,
        "usable": isinstance(pricing, Price),
        "usd": str(pricing.usd) if isinstance(pricing, Price) else None,
        "as_of": iso_time(pricing.as_of // 1000) if isinstance(pricing, Price) else None,
        "sources": len(seen.quotes),
        "min_sources": seen.min_sources,
        "reason": pricing.reason if isinstance(pricing, NoPrice) else None,
        "quotes": [
            {
                "source": quote.source,
                "usd": str(quote.usd),
                "as_of": iso_time(quote.as_of // 1000),
                "counted": quote in counted,
            }
            for quote in seen.quotes
        ],
    }


def as_row(seen: Seen) -> dict[str, Any]:
    """The same for a table, each source in a few words."""
    record = as_record(seen)
    said = [f"{quote['source']} {quote['usd']} ({quote['as_of']})" for quote in record["quotes"]]
    state = "usable" if record["usable"] else f"not usable: {record['reason']}"
    return record | {"sources": f"{record['sources']} of {record['min_sources']}", "state": state, "quotes": said}
