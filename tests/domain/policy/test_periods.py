"""Calendar periods go from one local midnight to another, whatever the clocks do there."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, date, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cryptosupport.domain.policy.periods import Calendar, Lifetime, Sliding, Unit, current, describe, duration
from tests.domain.policy.making import patient

HOUR = 3_600_000
ODD = ("America/Havana", "Africa/Cairo", "Asia/Beirut", "America/Sao_Paulo", "America/St_Johns", "Pacific/Apia")
ZONES = st.one_of(st.sampled_from(ODD), st.sampled_from(sorted(zoneinfo.available_timezones() - {"localtime"})))
YEAR_2000, YEAR_2037 = 946_684_800_000, 2_114_380_800_000


def moment(text: str) -> int:
    """An ISO time in UTC as milliseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    ("zone", "day", "begins", "ends", "hours"),
    [
        ("UTC", "2026-11-22", "2026-11-22T00:00", "2026-11-23T00:00", 24),
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00", "2026-03-29T22:00", 23),
        ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00", "2026-10-25T23:00", 25),
        # the clocks leave midnight out
        ("America/Havana", "2024-03-10", "2024-03-10T05:00", "2024-03-11T04:00", 23),
        ("Africa/Cairo", "2024-04-26", "2024-04-25T22:00", "2024-04-26T21:00", 23),
        ("Asia/Beirut", "2024-03-31", "2024-03-30T22:00", "2024-03-31T21:00", 23),
        ("America/Sao_Paulo", "2017-10-15", "2017-10-15T03:00", "2017-10-16T02:00", 23),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00", "2018-11-05T02:00", 23),
        # they show it twice, or strike it late
        ("America/Havana", "2024-11-03", "2024-11-03T04:00", "2024-11-04T05:00", 25),
        ("Africa/Cairo", "2024-10-31", "2024-10-30T21:00", "2024-10-31T22:00", 25),
        ("Asia/Beirut", "2024-10-26", "2024-10-25T21:00", "2024-10-26T22:00", 25),
        ("America/Sao_Paulo", "2018-02-17", "2018-02-17T02:00", "2018-02-18T03:00", 25),
        # one minute past midnight they go back to yesterday
        ("America/St_Johns", "2010-11-06", "2010-11-06T02:30", "2010-11-07T02:30", 24),
        ("America/St_Johns", "2010-11-07", "2010-11-07T02:30", "2010-11-08T03:30", 25),
        # a whole day is left out
        ("Pacific/Apia", "2011-12-29", "2011-12-29T10:00", "2011-12-30T10:00", 24),
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00", "2011-12-31T10:00", 24),
    ],
)
def test_a_day_goes_from_midnight_to_midnight(zone: str, day: str, begins: str, ends: str, hours: int) -> None:
    first, last = moment(begins), moment(ends) - 1
    assert last + 1 - first == hours * HOUR
    expected = date.fromisoformat(day), last + 1
    period = Calendar(Unit.DAY, zone)
    for now in (first, first + 1, first + 90_000, (first + last) // 2, last):
        assert current(period, now) == expected
    assert current(period, first - 1)[1] == first
    assert current(period, last + 1)[0] > expected[0]


@pytest.mark.parametrize(
    ("unit", "now", "first", "ends"),
    [
        (Unit.WEEK, "2026-11-22T23:59:59", "2026-11-16", "2026-11-23T00:00"),  # a Sunday
        (Unit.WEEK, "2026-11-23T00:00", "2026-11-23", "2026-11-30T00:00"),
        (Unit.WEEK, "2027-01-01T12:00", "2026-12-28", "2027-01-04T00:00"),  # over the end of a year
        (Unit.MONTH, "2026-12-31T23:59:59", "2026-12-01", "2027-01-01T00:00"),
        (Unit.MONTH, "2028-02-29T12:00", "2028-02-01", "2028-03-01T00:00"),
        (Unit.MONTH, "2026-02-01T00:00", "2026-02-01", "2026-03-01T00:00"),
        (Unit.MONTH, "2026-01-31T12:00", "2026-01-01", "2026-02-01T00:00"),
        (Unit.DAY, "2026-12-31T23:59:59", "2026-12-31", "2027-01-01T00:00"),
    ],
)
def test_weeks_begin_on_monday_and_months_on_the_first(unit: Unit, now: str, first: str, ends: str) -> None:
    assert current(Calendar(unit, "UTC"), moment(now)) == (date.fromisoformat(first), moment(ends))


def test_the_same_moment_is_in_another_day_elsewhere() -> None:
    now = moment("2026-11-22T12:00")
    assert current(Calendar(Unit.DAY, "Pacific/Auckland"), now)[0] == date(2026, 11, 23)
    assert current(Calendar(Unit.DAY, "Pacific/Honolulu"), now)[0] == date(2026, 11, 22)


@patient
@given(ZONES, st.sampled_from(Unit), st.integers(YEAR_2000, YEAR_2037), st.integers(0, 3 * HOUR))
@example("America/St_Johns", Unit.DAY, moment("2010-11-07T02:30"), 60_000)
@example("Pacific/Apia", Unit.WEEK, moment("2011-12-30T10:00") - 1, 1)
def test_every_moment_is_in_exactly_one_span_and_spans_never_go_back(
    zone: str, unit: Unit, now: int, later: int
) -> None:
    period = Calendar(unit, zone)
    first, ends = current(period, now)
    assert now < ends
    assert current(period, ends - 1) == (first, ends)
    following, over = current(period, ends)
    assert following > first
    assert over > ends
    after = current(period, now + later)
    assert after == (first, ends) if now + later < ends else after[0] > first


@patient
@given(ZONES, st.sampled_from(Unit), st.integers(YEAR_2000, YEAR_2037))
def test_around_the_end_of_a_span_no_moment_is_lost(zone: str, unit: Unit, now: int) -> None:
    period = Calendar(unit, zone)
    _, ends = current(period, now)
    spans = [current(period, at) for at in range(ends - 2 * HOUR, ends + 2 * HOUR, 300_000)]
    assert spans == sorted(spans)
    assert len(set(spans)) <= 2


def test_a_period_says_itself_in_words() -> None:
    assert describe(Sliding(90 * 60_000)) == "90m"
    assert describe(Calendar(Unit.WEEK, "Asia/Beirut")) == "the calendar week (Asia/Beirut)"
    assert describe(Lifetime()) == "all time"
    assert [duration(span) for span in (0, 999, 60_000, 61_000, 7_200_000)] == ["0s", "1s", "1m", "1m 1s", "2h"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (59, "59s"),
        (3599, "59m 59s"),
        (3601, "1h 1m"),  # never told as less than it is
        (7140, "119m"),
        (86_340, "1439m"),
        (86_399, "24h"),
        (86_401, "1d 1h"),
        (2 * 86_400 - 1, "2d"),
        (30 * 86_400, "720h"),
        (1_795_310_180, "20779d 2h"),
    ],
)
def test_a_time_span_is_told_in_its_two_largest_units(seconds: int, said: str) -> None:
    assert duration(seconds * 1000) == said
