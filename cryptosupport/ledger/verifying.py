"""The ledger as `audit verify` and `audit log` read it: entries as they stand, and rows with their digests.

What the log says of rows is kept in a temporary database of its own, which goes to the disk when it grows: memory
stays flat, however long the log is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Table, select, tuple_

from cryptosupport.domain.audit import BEGINNING, Entry, Head
from cryptosupport.domain.audit_chain import Claim, Ending, Finding, Recorded, Row
from cryptosupport.domain.errors import Tampered
from cryptosupport.domain.policy.judging import Judge
from cryptosupport.domain.withdrawals import seal
from cryptosupport.ledger import payouts, rows, seals, tables
from cryptosupport.ledger.auditing import entry_of
from cryptosupport.ledger.engine import reading
from cryptosupport.ledger.summing import differing_sums

_PAGE = 1000
_CACHE_KIB = 16 * 1024
_A, _W, _BOOK = tables.audit.c, tables.withdrawal.c, tables.book.c
_ROWS = (tables.freeze, tables.statement, tables.change, tables.note, tables.screen_list, tables.payout)
"""The tables beside `withdrawal` of which every row has its entry."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which entries to list: the last ``limit`` that fit, ``since`` in milliseconds since 1970; None asks nothing."""

    subject: str | None = None
    kind: str | None = None
    who: str | None = None
    since: int | None = None
    limit: int = 50


class SqlAuditLog:
    """The audit log of the ledger in ``engine``'s database, to be read."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def evidence(self) -> Iterator[SqlEvidence]:
        """The ledger as it is at this moment, to be held against its log."""
        with reading(self._engine) as connection, _letters_as_they_are(connection), _register() as register:
            yield SqlEvidence(connection, register)

    def head(self) -> tuple[Head, int | None]:
        """The last entry, and when it was written (milliseconds since 1970; None before the first).

        Raises `Tampered` where the log does not end as the ledger says.
        """
        with reading(self._engine) as connection:
            row = connection.execute(select(_A.number, _A.hash, _A.at).order_by(_A.number.desc()).limit(1)).first()
            book = connection.execute(select(_BOOK.audit_number, _BOOK.audit_hash)).one()
        found, due = Head(0, BEGINNING) if row is None else Head(row.number, row.hash), Head(*book)
        if found != due:
            raise Tampered(
                f"the audit log ends with {found.text}, and the ledger wrote {due.text} last: pay nothing, run "
                "`cryptosupport audit verify` and find out who changed it"
            )
        return found, None if row is None else row.at

    def find(self, asked: Asked) -> list[Entry]:
        """The last entries that fit, the newest last. Raises `Tampered` for one that cannot be read."""
        with reading(self._engine) as connection:
            query = select(tables.audit).order_by(_A.number.desc()).limit(asked.limit)
            for column, value in ((_A.subject, asked.subject), (_A.kind, asked.kind), (_A.who, asked.who)):
                if value is not None:
                    query = query.where(column == value)
            if asked.since is not None:
                query = query.where(_A.number >= _first_since(connection, asked.since))
            return [entry_of(row) for row in reversed(connection.execute(query).all())]

    def recorded(self, after: int) -> Iterator[Recorded]:
        """The entries behind number ``after``, in order, a page at a time: nobody is held up by a slow reader."""
        while True:
            with reading(self._engine) as connection, _letters_as_they_are(connection):
                page = _entries(connection, after)
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].number

    def hash_of(self, number: int) -> str | None:
        """The hash of an entry, or what stands for it before the first; None where there is none."""
        if number == 0:
            return BEGINNING
        with reading(self._engine) as connection:
            found: str | None = connection.scalar(select(_A.hash).where(_A.number == number))
        return found


def _entries(connection: Connection, after: int) -> list[Recorded]:
    query = select(tables.audit).where(_A.number > after).order_by(_A.number).limit(_PAGE)
    return [Recorded(*row) for row in connection.execute(query)]


def _first_since(connection: Connection, since: int) -> int:
    """The number of the first entry that is not older: times never go back from one to the next."""
    low = connection.scalar(select(_A.number).order_by(_A.number).limit(1)) or 0
    high = (connection.scalar(select(_A.number).order_by(_A.number.desc()).limit(1)) or 0) + 1
    while low < high:
        middle = (low + high) // 2
        query = select(_A.number, _A.at).where(_A.number >= middle).order_by(_A.number).limit(1)
        found = connection.execute(query).first()
        if found is None or found.at >= since:
            high = middle
        else:
            low = found.number + 1
    return low


@contextmanager
def _letters_as_they_are(connection: Connection) -> Iterator[None]:
    """Read bytes that are no UTF-8, which SQLite lets anybody put in, as letters that no entry has."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        yield
        return
    before = driver.text_factory
    driver.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        driver.text_factory = before


# -- what entries say of rows ----------------------------------------------------------------------------------------


class Register:
    """What the log said last of each row."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        database.execute(f"pragma cache_size = -{_CACHE_KIB}")
        database.execute("pragma journal_mode = off")
        database.execute("pragma synchronous = off")
        database.execute("begin")  # one transaction, never committed: nothing is written before memory is full
        database.execute(
            "create table said (place text, name text, digest text, number integer, born integer, asked integer, "
            "primary key (place, name)) without rowid"
        )

    def claim(self, claims: Sequence[Claim]) -> None:
        """Remember what entries say of rows; the last one counts."""
        self._database.executemany(
            "insert into said values (?, ?, ?, ?, ?, 0) on conflict do update set digest = excluded.digest, "
            "number = excluded.number, born = max(born, excluded.born)",
            [(each.table, _stored(each.name), each.digest, each.number, each.born) for each in claims],
        )

    def claimed(self, wanted: Sequence[Row]) -> list[Claim | None]:
        """What was said last of each row; it counts as asked for."""
        keys = [(each.table, _stored(each.name)) for each in wanted]
        found: list[Claim | None] = []
        for key, row in zip(keys, wanted, strict=True):
            said = self._database.execute(
                "select digest, number, born from said where place = ? and name = ?", key
            ).fetchone()
            found.append(None if said is None else Claim(row.table, row.name, said[0], said[1], bool(said[2])))
        self._database.executemany("update said set asked = 1 where place = ? and name = ?", keys)
        return found

    def unclaimed(self) -> Iterator[Claim]:
        """What was said last of rows that were never asked for."""
        for place, name, digest, number in self._database.execute(
            "select place, name, digest, number from said where not asked order by number"
        ):
            yield Claim(place, name, digest, number)


def _stored(name: str) -> str:
    """A name that SQLite takes, whatever stands in it."""
    return name.encode("utf-8", "backslashreplace").decode()


@contextmanager
def _register() -> Iterator[Register]:
    database = sqlite3.connect("", isolation_level=None)  # a file without a name, gone when it is closed
    try:
        yield Register(database)
    finally:
        database.close()


# -- rows ------------------------------------------------------------------------------------------------------------


class SqlEvidence:
    """The ledger at one moment (`domain.audit_chain.Evidence`)."""

    def __init__(self, connection: Connection, register: Register) -> None:
        self._connection = connection
        self._sealed_from = 0
        self.claim = register.claim
        self.claimed = register.claimed
        self.unclaimed = register.unclaimed

    def ending(self) -> Ending | None:
        """How the log has to end; None where that is gone."""
        row = self._connection.execute(select(_BOOK.audit_number, _BOOK.audit_hash, _BOOK.sealed_from)).first()
        if row is None:
            return None
        self._sealed_from = row.sealed_from
        return Ending(Head(row.audit_number, row.audit_hash), row.sealed_from)

    def entries(self) -> Iterator[Recorded]:
        """All entries in order of their numbers."""
        after = -(2**63)
        while page := _entries(self._connection, after):
            yield from page
            after = page[-1].number

    def policies(self) -> Iterator[tuple[str, str]]:
        """All policies: hash and text."""
        for row in self._connection.execute(select(tables.policy.c.hash, tables.policy.c.text)):
            yield row.hash, row.text

    def rows(self) -> Iterator[Sequence[Row]]:
        """All rows that have to be as the log has them, a page at a time."""
        yield from self._withdrawals()
        for table in _ROWS:
            yield from self._beside(table)

    def differing_sums(self, judge: Judge, now: int) -> Iterator[Finding]:
        """Each sum of the judge's windows that the withdrawals do not give."""
        return differing_sums(self._connection, judge, now)

    def _withdrawals(self) -> Iterator[Sequence[Row]]:
        after = -(2**63)
        names = select(_W.id, _W.request_id).order_by(_W.id).limit(_PAGE)
        while page := self._connection.execute(names.where(_W.id > after)).all():
            ids = [row.id for row in page]
            seals_of = self._seals(ids)
            if seals_of is None:  # one of them cannot be read: which?
                seals_of = {id: found for each in ids for id, found in (self._seals([each]) or {}).items()}
            yield [Row("withdrawal", row.request_id, seals_of.get(row.id), self._logged(row.id)) for row in page]
            after = ids[-1]

    def _seals(self, ids: Sequence[int]) -> dict[int, str] | None:
        """The seals of withdrawals by id; None when one of them cannot be read."""
        with suppress(*_UNREADABLE):
            found = map(rows.withdrawal_of, self._connection.execute(rows.SELECT.where(_W.id.in_(ids))))
            return {each.id: seal(each) for each in found}
        return None

    def _logged(self, id: int) -> bool:
        return id >= self._sealed_from or id < 1

    def _beside(self, table: Table) -> Iterator[Sequence[Row]]:
        keys = list(table.primary_key.columns)
        query = select(table).order_by(*keys).limit(_PAGE)
        last: tuple[Any, ...] | None = None
        while True:
            page = query if last is None else query.where(tuple_(*keys) > tuple_(*last))
            found = self._connection.execute(page).mappings().all()
            if not found:
                return
            yield [Row(table.name, seals.name_of(table, row), self._digest(table, row)) for row in found]
            last = tuple(found[-1][key.name] for key in keys)

    def _digest(self, table: Table, row: Any) -> str | None:
        with suppress(*_UNREADABLE):
            contents = _CONTENTS[table](self._connection, row) if table in _CONTENTS else ""
            return seals.digest_of(table, row, contents)
        return None


_CONTENTS: dict[Table, Callable[[Connection, Any], str]] = {
    tables.screen_list: lambda connection, row: seals.contents_of(connection, row["name"]),
    tables.payout: lambda connection, row: payouts.contents_by_id(connection, row["id"]),
}
"""What belongs to a row and is covered by its digest."""

_UNREADABLE = (*rows.UNREADABLE, Tampered)
"""What a row that this program did not write makes of its reading."""
