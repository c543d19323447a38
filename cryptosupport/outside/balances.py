"""What customers have, from a file that the backend writes: CSV with the columns customer, asset, amount.

    # as_of 2026-11-21T12:00:00Z
    customer,asset,amount
    c-7,BTC,0.5

The first line says at which moment these were the balances; without it that is when the file was last written. An
amount is a decimal number of coins. Whoever is not listed has nothing. Write the file under another name and rename
it, so that nobody reads half of it.
"""

from __future__ import annotations

import csv
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cryptosupport.domain.identifiers import shortened
from cryptosupport.domain.money import NOTHING, Quantity
from cryptosupport.domain.policy.judging import NotKnown
from cryptosupport.domain.policy.periods import duration
from cryptosupport.domain.requests import utc_milliseconds
from cryptosupport.settings.reading import open_file

HEADER = "customer,asset,amount"

_AMOUNT = re.compile(r"-?[0-9]{1,80}(?:\.[0-9]{1,80})?")
_AS_OF = "# as_of "
_AHEAD = 5000
"""The backend's clock may be ahead of ours by 5 seconds; what was spent before a later moment would not be counted."""


@dataclass(frozen=True, slots=True)
class _Feed:
    """The file as it was read: amounts by asset, then by customer. ``as_of`` is in milliseconds since 1970."""

    as_of: int
    amounts: dict[str, dict[str, str]]


class Balances:
    """The balances in the file at ``path``, None where the desk has no such file.

    They are read when first asked for, and then only by `read`. They are not known once they are more than
    ``max_age_ms`` old.
    """

    def __init__(self, path: Path | None, max_age_ms: int) -> None:
        self._path = path
        self._max_age = max_age_ms
        self._found: _Feed | NotKnown | None = None
        self._state: tuple[int, ...] = ()

    def read(self) -> None:
        """Read the file, unless it is as it was when it was read last."""
        if self._path is None:
            return
        state: tuple[int, ...] = ()
        try:
            with open_file(self._path) as file:
                state = _state(file)
                if state != self._state:
                    self._state, self._found = state, _read(file)
        except OSError as error:
            self._state, self._found = (), NotKnown(f"{self._path} cannot be read: {error.strerror}")
        except ValueError as error:
            self._state, self._found = state, NotKnown(f"{self._path} is broken: {error}")

    @property
    def as_of(self) -> int | None:
        """The moment that the balances are of (milliseconds since 1970), None where they cannot be read."""
        return self._feed.as_of if isinstance(self._feed, _Feed) else None

    def of(self, customer: str, asset: str, now: int) -> Quantity | NotKnown | None:
        """What ``customer`` has of ``asset`` (its symbol), at ``now`` in milliseconds since 1970.

        `NotKnown` says why the file does not tell: it is missing, broken or too old. None: the desk has no file.
        """
        feed = self._feed
        if not isinstance(feed, _Feed):
            return feed
        age = now - feed.as_of
        if age > self._max_age:
            return NotKnown(f"{self._path} is {duration(age)} old, and counts for {duration(self._max_age)}")
        if age < -_AHEAD:
            return NotKnown(f"{self._path} says that it is of a time {duration(-age)} from now")
        text = feed.amounts.get(asset, {}).get(customer)
        return NOTHING if text is None else _quantity(text)

    @property
    def _feed(self) -> _Feed | NotKnown | None:
        if self._found is None:
            self.read()
        return self._found


def _state(file: IO[bytes]) -> tuple[int, ...]:
    """What is another once the file was written, or another one has its name."""
    found = os.fstat(file.fileno())
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(file: IO[bytes]) -> _Feed:
    """Raises `ValueError` for a broken file."""
    as_of = os.fstat(file.fileno()).st_mtime_ns // 10**6
    amounts: dict[str, dict[str, str]] | None = None
    number = 0
    try:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                raise ValueError("it has no end: the file was cut short")
            text = line.decode()
            if amounts is not None:
                _take(text, amounts)
            elif number == 1 and text.startswith(_AS_OF):
                as_of = utc_milliseconds(text.removeprefix(_AS_OF).strip())
            elif text.rstrip("\r\n") == HEADER:
                amounts = {}
            else:
                break
    except (ValueError, csv.Error) as error:
        raise ValueError(f"line {number}: {error}") from error
    if amounts is None:
        raise ValueError(f"line {max(number, 1)} has to be {HEADER}")
    return _Feed(as_of, amounts)


def _take(line: str, amounts: dict[str, dict[str, str]]) -> None:
    # Nearly no line has quotes, and those without are read twice as fast so.
    (row,) = csv.reader([line], strict=True) if '"' in line else [line.rstrip("\r\n").split(",")]
    if len(row) != 3 or not _AMOUNT.fullmatch(row[2]):
        raise ValueError(f'"{shortened(line.strip())}" is no customer, asset and amount')
    customer, asset, amount = row
    of_asset = amounts.setdefault(asset, {})
    if customer in of_asset:
        raise ValueError(f'it has the {shortened(asset)} of "{shortened(customer)}" once more')
    of_asset[customer] = amount


def _quantity(text: str) -> Quantity:
    number = Quantity.parse(text.removeprefix("-"))
    return Quantity(-number.units, number.decimals) if text.startswith("-") else number
