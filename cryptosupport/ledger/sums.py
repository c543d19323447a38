"""The running sums of a policy's windows, inside one deciding transaction: loaded where needed, aged, written back.

They hold nothing that the withdrawals do not: a policy with other windows has theirs built from the withdrawals.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from cryptosupport.domain.money import Quantity
from cryptosupport.domain.policy.judging import Judge
from cryptosupport.domain.policy.periods import Sliding
from cryptosupport.domain.policy.rules import Booking
from cryptosupport.domain.policy.tallies import Tallies, Tally
from cryptosupport.domain.policy.windows import Place, Window
from cryptosupport.domain.withdrawals import State
from cryptosupport.ledger import rows, tables

T = TypeVar("T")

CHUNK = 500
"""How many keys one statement asks for."""

_KEPT_IN_MEMORY = 20_000
"""So many sums, and they are written back before more are loaded."""

_TALLY, _WINDOW, _WITHDRAWAL = tables.tally.c, tables.window.c, tables.withdrawal.c


def chunks(items: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """The items in lists of up to ``size``."""
    rest = list(items)
    for start in range(0, len(rest), size):
        yield rest[start : start + size]


class Sums:
    """The sums of ``judge``'s windows at ``now``, through ``connection``.

    The withdrawals are read through ``source``, where that is another one.
    """

    def __init__(self, connection: Connection, judge: Judge, now: int, source: Connection | None = None) -> None:
        self.tallies = Tallies(judge.windows)
        self._connection = connection
        self._source = source or connection
        self._judge = judge
        self._now = now

    def bring_up_to_date(self, same_policy: bool) -> None:
        """Make the recorded windows those of the policy, and take out of them what is out by now."""
        new = [] if same_policy else self._exchange_windows()
        self._connection.execute(delete(tables.tally).where(_TALLY.ends_at <= self._now))
        self._age()
        if new:
            self._build(new)
        self._write_back()

    def load(self, bookings: Iterable[Booking]) -> None:
        """Load the sums that ``bookings`` would count in now."""
        self._load(place for booking in bookings for place, _ in self.tallies.places(booking, self._now))

    def flush(self) -> None:
        """Write back what changed; a sum of nothing leaves no row."""
        kept: list[dict[str, Any]] = []
        gone: list[dict[str, Any]] = []
        for place in sorted(self.tallies.changed):  # in one order, so that pages are visited one after another
            tally = self.tallies.at(place)
            decimals = max(tally.booked.decimals, tally.waiting.decimals)
            booked, waiting = tally.booked.at(decimals), tally.waiting.at(decimals)
            key = {"window_id": place.window, "part": place.part, "who": place.who}
            if booked or waiting:
                ends_at = self.tallies.windows[place.window].ends(self._now)
                kept.append(key | {"booked": booked, "waiting": waiting, "decimals": decimals, "ends_at": ends_at})
            else:
                gone.append({f"the_{name}": value for name, value in key.items()})
        if kept:
            self._connection.execute(upsert(self._connection, tables.tally), kept)
        if gone:
            self._connection.execute(_DELETE, gone)
        self.tallies.changed.clear()

    def _write_back(self) -> None:
        """Write back what changed and forget all: what comes next has other keys."""
        self.flush()
        self.tallies = Tallies(self._judge.windows)

    def _load(self, places: Iterable[Place]) -> None:
        wanted: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for place in dict.fromkeys(places):
            if not self.tallies.knows(place):
                wanted[place.window, place.part].append(place.who)
                self.tallies.load(place, Tally())
        for (window, part), everyone in wanted.items():
            for some in chunks(everyone):
                found = self._connection.execute(_LOAD, {"window": window, "part": part, "some": some})
                for who, booked, waiting, decimals in found:
                    tally = Tally(Quantity(booked, decimals), Quantity(waiting, decimals))
                    self.tallies.load(Place(window, who, part), tally)

    # -- ageing: what is out of a sliding window is taken out of its sum, once

    def _age(self) -> None:
        together: defaultdict[tuple[int, int], list[Window]] = defaultdict(list)
        sliding = select(_WINDOW.id, _WINDOW.period, _WINDOW.advanced_to).where(_WINDOW.period.is_not(None))
        for id, period, advanced_to in self._connection.execute(sliding):
            together[period, advanced_to].append(self.tallies.windows[id])
        for (period, advanced_to), windows in together.items():
            until = self._now - period
            if until <= advanced_to:
                continue
            out = rows.BOOKED.where(
                _WITHDRAWAL.booked_at > advanced_to, _WITHDRAWAL.booked_at <= until, _WITHDRAWAL.state != State.WAITING
            )
            self._sum_up(out, windows, -1)
            ids = [window.id for window in windows]
            self._connection.execute(update(tables.window).where(_WINDOW.id.in_(ids)).values(advanced_to=until))

    # -- windows of another policy

    def _exchange_windows(self) -> list[Window]:
        """Forget windows that the policy no longer has; return those that it has and the ledger does not."""
        recorded = set(self._connection.execute(select(_WINDOW.id)).scalars())
        for gone in recorded - self.tallies.windows.keys():
            self._connection.execute(delete(tables.tally).where(_TALLY.window_id == gone))
            self._connection.execute(delete(tables.window).where(_WINDOW.id == gone))
        new = [window for window in self.tallies.windows.values() if window.id not in recorded]
        for window in new:
            period = window.period.milliseconds if isinstance(window.period, Sliding) else None
            row = {"id": window.id, "period": period, "advanced_to": window.since(self._now)}
            self._connection.execute(insert(tables.window).values(row))
        return new

    def _build(self, windows: Sequence[Window]) -> None:
        """Sum up what is booked already and still counts."""
        sliding = [window.since(self._now) for window in windows if isinstance(window.period, Sliding)]
        others = len(sliding) < len(windows)
        young = _WITHDRAWAL.booked_at > (-1 if others else min(each for each in sliding if each is not None))
        waits = and_(_WITHDRAWAL.booked_at.is_not(None), _WITHDRAWAL.state == State.WAITING)
        self._sum_up(rows.BOOKED.where(or_(young, waits)), windows, 1)

    def _sum_up(self, query: Select[Any], windows: Sequence[Window], sign: int) -> None:
        """Add the withdrawals of ``query`` to the sums of ``windows``, or take out (sign -1) those that have aged."""
        found = self._source.execute(query.execution_options(yield_per=2000))
        for some in found.partitions():
            counted = [each for row in some for each in self._counted(row, windows, aged=sign < 0)]
            self._load(place for place, _, _ in counted)
            for place, counts, waits in counted:
                self.tallies.add(place, Quantity(sign * counts.units, counts.decimals), waits)
            if len(self.tallies.changed) > _KEPT_IN_MEMORY:
                self._write_back()

    def _counted(self, row: Row[Any], windows: Sequence[Window], aged: bool) -> Iterator[tuple[Place, Quantity, bool]]:
        """Where a withdrawal counts and how much; with ``aged`` where it counted until now."""
        booking = rows.booking_of(row)
        waits, unbooked = row.state == State.WAITING, (row.unbooked or "").split()
        for window in windows:
            if window.id not in unbooked and (aged or window.holds(row.booked_at, self._now, waits)):
                place = window.place(booking, row.booked_at)
                if place is not None:
                    yield place, window.counts(booking), waits


def upsert(connection: Connection, table: Table, where: ColumnElement[bool] | None = None) -> Any:
    """Set rows of ``table`` by their primary keys, whether or not they are there; those that are, only ``where``."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    keys = table.primary_key.columns.keys()
    changing = {name: column for name, column in statement.excluded.items() if name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changing, where=where)


_LOAD = select(_TALLY.who, _TALLY.booked, _TALLY.waiting, _TALLY.decimals).where(
    _TALLY.window_id == bindparam("window"),
    _TALLY.part == bindparam("part"),
    _TALLY.who.in_(bindparam("some", expanding=True)),
)
_DELETE = delete(tables.tally).where(
    _TALLY.window_id == bindparam("the_window_id"),
    _TALLY.part == bindparam("the_part"),
    _TALLY.who == bindparam("the_who"),
)
