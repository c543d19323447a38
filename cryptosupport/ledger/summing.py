"""Holding the recorded sums of windows against the withdrawals: limits rest on them, and the log does not seal them.

Both are worked out in a temporary database that goes to the disk when it grows: what is recorded, brought up to now as
a decision would do it, and the same built anew from the withdrawals. The ledger is read, and nothing in it changes.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, StaticPool, create_engine, delete, insert, select

from cryptosupport.domain.audit_chain import Finding
from cryptosupport.domain.errors import Tampered
from cryptosupport.domain.money import Quantity
from cryptosupport.domain.policy.judging import Judge
from cryptosupport.domain.policy.periods import Sliding
from cryptosupport.domain.policy.windows import Measure, Window, measures
from cryptosupport.ledger import rows, tables
from cryptosupport.ledger.sums import Sums

_PAGE = 2000
_CACHE_KIB = 16 * 1024
_SAME = "using (window_id, part, who)"
_BOTH = (
    "select window_id, part, who, r.booked, r.waiting, r.decimals, r.ends_at, "
    "b.booked, b.waiting, b.decimals, b.ends_at"
)
_UNREADABLE: tuple[type[Exception], ...] = (*rows.UNREADABLE, Tampered)
_DIFFERENT = (
    f"{_BOTH} from recorded r left join tally b {_SAME} order by window_id, part, who",
    f"{_BOTH} from tally b left join recorded r {_SAME} where r.booked is null order by window_id, part, who",
)


def differing_sums(ledger: Connection, judge: Judge, now: int) -> Iterator[Finding]:
    """Each sum of ``judge``'s windows that the withdrawals do not give, and each window that is not as it has to be.

    ``now`` is in milliseconds since 1970; what is recorded may be a little later.
    """
    try:
        yield from _differing(ledger, judge, now)
    except _UNREADABLE as error:
        yield Finding("sums_unreadable", table="tally", subject="", note=getattr(error, "message", "no number"))


def _differing(ledger: Connection, judge: Judge, now: int) -> Iterator[Finding]:
    book = ledger.execute(select(tables.book.c.policy, tables.book.c.last_at)).first()
    same_policy = book is not None and book.policy == judge.policy.hash
    now = now if book is None else max(now, book.last_at)
    names = _names(judge)
    with _scratch() as scratch:
        sound = []
        for id, row in _recorded_windows(ledger, judge, same_policy).items():
            fault = _fault(judge.windows.get(id), row, same_policy, now)
            if fault is not None:
                yield Finding("window_changed", table="window", subject=names[id], note=fault)
            elif row is not None:
                sound.append(dict(row))
        _copy(ledger, scratch, sound, set(judge.windows) - {row["id"] for row in sound})
        Sums(scratch, judge, now, ledger).bring_up_to_date(same_policy=False)
        scratch.exec_driver_sql("drop index tally_ends_at")
        scratch.exec_driver_sql("alter table tally rename to recorded")
        scratch.execute(delete(tables.window))
        tables.tally.create(scratch)
        Sums(scratch, judge, now, ledger).bring_up_to_date(same_policy=False)
        for query in _DIFFERENT:
            for window, part, who, *numbers in scratch.exec_driver_sql(query):
                note = _difference(judge.windows.get(window), part, numbers)
                if note is not None:
                    subject = " ".join(filter(None, (names[window], who and f"for {who}", part and f"({part})")))
                    yield Finding("sum_differs", table="tally", subject=subject, note=note)


class _Names(dict[str, str]):
    def __missing__(self, id: str) -> str:
        return f"window {id}, which no rule has"


def _names(judge: Judge) -> Mapping[str, str]:
    """What people know windows by: the rules that count in them."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for rule in judge.policy.rules:
        for measure in measures(rule):
            found[Window.of(rule, measure).id].append(rule.name)
    return _Names({id: f"rule {', '.join(names)}" for id, names in found.items()})


def _recorded_windows(ledger: Connection, judge: Judge, same_policy: bool) -> dict[str, Mapping[Any, Any] | None]:
    """The windows that are recorded, and those that have to be (None where they are not)."""
    due: dict[str, Mapping[Any, Any] | None] = dict.fromkeys(judge.windows if same_policy else ())
    return due | {row["id"]: row for row in ledger.execute(select(tables.window)).mappings()}


def _fault(window: Window | None, row: Mapping[Any, Any] | None, same_policy: bool, now: int) -> str | None:
    """What is wrong with the row of a window."""
    if row is None:
        return "it is gone"
    if window is None:
        return "it was put in" if same_policy else None
    period = window.period.milliseconds if isinstance(window.period, Sliding) else None
    advanced_to, out = row["advanced_to"], window.since(now)
    if row["period"] != period:
        return f"its period is {row['period']} ms, and has to be {period}"
    if out is None:
        return None if advanced_to is None else "it ages, and must not"
    if type(advanced_to) is not int or advanced_to > out:
        return "how far it has aged is not so"
    return None


def _copy(ledger: Connection, scratch: Connection, windows: list[dict[str, Any]], anew: set[str]) -> None:
    """Copy what is recorded, but for the windows that are to be built ``anew``: the policy or a finding has them so."""
    if windows:
        scratch.execute(insert(tables.window), windows)
    gone = {each["id"] for each in ledger.execute(select(tables.window.c.id)).mappings()} & anew
    found = ledger.execute(select(tables.tally).execution_options(yield_per=_PAGE)).mappings()
    for some in found.partitions():
        values = [dict(row) for row in some if row["window_id"] not in gone]
        if values:
            scratch.execute(insert(tables.tally), values)


def _difference(window: Window | None, part: str, numbers: list[Any]) -> str | None:
    """How a recorded sum differs from the one that was built anew; None where they are the same."""
    booked, waiting, decimals, ends_at, *anew, wanted_end = numbers
    is_there, wanted = _pair(booked, waiting, decimals), _pair(*anew)
    unit = (
        ""
        if window is None
        else {Measure.VALUE: " USD", Measure.AMOUNT: f" {part.split(' ')[-1]}"}.get(window.measure, "")
    )
    told = [
        f"{here}{unit}{what}, and the withdrawals give {there}{unit}{what}"
        for here, there, what in zip(is_there, wanted, ("", " waiting"), strict=True)
        if here != there
    ]
    if not told and booked is not None and anew[0] is not None and ends_at != wanted_end:
        told = [f"that it ends at {ends_at}, and it ends at {wanted_end}"]
    return "; ".join(told) or None


def _pair(booked: Any, waiting: Any, decimals: Any) -> tuple[Quantity, Quantity]:
    if booked is None:
        return Quantity(0, 0), Quantity(0, 0)
    return Quantity(int(booked), int(decimals)), Quantity(int(waiting), int(decimals))


@contextmanager
def _scratch() -> Iterator[Connection]:
    """A database without a name, gone when it is closed, with empty tables of sums."""
    database = sqlite3.connect("", isolation_level=None)
    engine = create_engine("sqlite://", creator=lambda: database, poolclass=StaticPool)
    try:
        for name, value in (("cache_size", f"-{_CACHE_KIB}"), ("journal_mode", "off"), ("synchronous", "off")):
            database.execute(f"pragma {name} = {value}")
        with engine.connect() as connection:
            connection.exec_driver_sql("begin")  # never committed: nothing is written before memory is full
            tables.metadata.create_all(connection, [tables.window, tables.tally])
            yield connection
    finally:
        engine.dispose()
        database.close()
