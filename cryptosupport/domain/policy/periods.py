"""Over how long a limit sums: a sliding window, a calendar period, or for ever."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias
from zoneinfo import ZoneInfo


class Unit(StrEnum):
    """A calendar period; weeks start on Monday (ISO 8601)."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Sliding:
    """The last so many milliseconds; what was booked exactly that long ago is out."""

    milliseconds: int


@dataclass(frozen=True, slots=True)
class Calendar:
    """From one local midnight to another; a day can have 23 or 25 hours. ``timezone`` is an IANA name."""

    unit: Unit
    timezone: str


@dataclass(frozen=True, slots=True)
class Lifetime:
    """For ever."""


Period: TypeAlias = Sliding | Calendar | Lifetime


@lru_cache(maxsize=1024)  # all that one transaction decides asks for one moment
def current(period: Calendar, now: int) -> tuple[date, int]:
    """The calendar period that ``now`` (milliseconds since 1970) is in: its first local day, and the moment it ends.

    A day begins at its midnight: the first one where the clocks show it twice, and where they leave it out, the moment
    that they do. A day that has begun goes on, even where the clocks go back over midnight once more.

    >>> current(Calendar(Unit.DAY, "Europe/Berlin"), 1774739400000)  # the clocks go forward: a day of 23 hours
    (datetime.date(2026, 3, 29), 1774821600000)
    """
    zone = ZoneInfo(period.timezone)
    today = datetime.fromtimestamp(now // 1000, zone).date()
    if _begins(today + timedelta(days=1), zone) <= now:
        today += timedelta(days=1)
    match period.unit:
        case Unit.DAY:
            first, following = today, today + timedelta(days=1)
        case Unit.WEEK:
            first = today - timedelta(days=today.weekday())
            following = first + timedelta(days=7)
        case Unit.MONTH:
            first = today.replace(day=1)
            following = (first + timedelta(days=31)).replace(day=1)
    return first, _begins(following, zone)


def _begins(day: date, zone: ZoneInfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 1000


def describe(period: Period) -> str:
    """The period in words.

    >>> describe(Sliding(86_400_000)), describe(Calendar(Unit.DAY, "UTC"))
    ('24h', 'the calendar day (UTC)')
    """
    match period:
        case Sliding(milliseconds):
            return duration(milliseconds)
        case Calendar(unit, timezone):
            return f"the calendar {unit} ({timezone})"
        case Lifetime():
            return "all time"


def duration(milliseconds: int) -> str:
    """A time span in words: whole hours or minutes as such, any other in its two largest units, rounded up.

    >>> duration(86_400_000), duration(5_400_000), duration(1), duration(901_000), duration(1_795_310_180_000)
    ('24h', '90m', '1s', '15m 1s', '20779d 2h')
    """
    seconds = -(-milliseconds // 1000)
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    for (unit, size), (smaller, part) in pairwise((("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))):
        if seconds >= size:
            whole, rest = divmod(-(-seconds // part), size // part)
            return f"{whole}{unit} {rest}{smaller}" if rest else f"{whole}{unit}"
    return f"{seconds}s"
