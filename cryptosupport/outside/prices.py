"""The desk's price files: what each source says of each symbol. What cannot be read is a complaint, never a price."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.money import Quantity
from cryptosupport.domain.prices import Quote
from cryptosupport.settings.reading import content

_LONGEST = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_quotes(files: Sequence[Path]) -> tuple[dict[str, list[Quote]], list[str]]:
    """Read price files: (the quotes by symbol, what is wrong with the files).

    A bad price is left out and told. A file without a sound `as_of`, or that is not what a price file should be, counts
    for nothing. One file under two names is one source.
    """
    quotes: dict[str, list[Quote]] = {}
    complaints: list[str] = []
    names = [path.name for path in files]
    seen: dict[tuple[int, int], Path] = {}
    for path in files:
        try:
            first = seen.setdefault(_identity(path), path)
            if first is not path:
                raise _Unusable(f"it is the same file as {first}, and counts once")
            table = _table(path)
            as_of, prices = _as_of(table), _prices(table)
        except _Unusable as fault:
            complaints.append(f"{path}: {fault}")
            continue
        source = path.name if names.count(path.name) == 1 else str(path)
        for symbol, given in prices.items():
            try:
                quote = Quote(source, _usd(given), as_of)
            except _Unusable as fault:
                complaints.append(f"{path}: price_usd.{symbol[:_LONGEST]}: {fault}")
            else:
                quotes.setdefault(symbol, []).append(quote)
    return quotes, complaints


class _Unusable(Exception):
    """Why a file or a price does not count."""


def _identity(path: Path) -> tuple[int, int]:
    """What tells the file from others, whatever its names."""
    try:
        found = path.stat()
    except OSError as error:
        raise _Unusable(f"it cannot be read: {error.strerror}") from error
    return found.st_dev, found.st_ino


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(content(path).decode())
    except OSError as error:
        raise _Unusable(f"it cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _Unusable(f"it is not valid TOML: {error}") from error


def _as_of(table: dict[str, Any]) -> int:
    """When the prices held, in milliseconds since 1970."""
    for key in table:
        if key not in ("as_of", "price_usd"):
            raise _Unusable(f"unknown key {key!r}: it holds as_of and [price_usd]")
    as_of = table.get("as_of")
    if not isinstance(as_of, datetime) or as_of.tzinfo is None:
        raise _Unusable("as_of: write the time with its offset and without quotes, like 2026-11-21T12:00:00Z")
    if not 1970 <= as_of.year < 9999:
        raise _Unusable(f"as_of: {as_of} is no time of a price")
    return (as_of - _EPOCH) // timedelta(milliseconds=1)


def _prices(table: dict[str, Any]) -> dict[str, Any]:
    prices = table.get("price_usd")
    if not isinstance(prices, dict):
        raise _Unusable("price_usd: write a table [price_usd] of prices by symbol")
    return prices


def _usd(given: object) -> Quantity:
    if not isinstance(given, str):
        raise _Unusable('a price has to be in quotes, like "50000.25"')
    if len(given) > _LONGEST:
        raise _Unusable(f"{given[:20]!r}... is too long for a price")
    try:
        price = Quantity.parse(given)
    except BadInput as error:
        raise _Unusable(error.message) from error
    if price.units == 0:
        raise _Unusable("a price of 0 is none")
    return price
