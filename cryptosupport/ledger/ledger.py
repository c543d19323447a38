"""The ledger: deciding transactions one after another, and reading beside them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Engine, Row, func, insert, select, text, update

from cryptosupport.domain.books import Wanted
from cryptosupport.domain.errors import ClockWentBack
from cryptosupport.domain.money import Quantity
from cryptosupport.domain.personal import Box
from cryptosupport.domain.policy.decision import Decision
from cryptosupport.domain.policy.judging import Judge
from cryptosupport.domain.policy.tallies import Tally
from cryptosupport.domain.policy.windows import Place
from cryptosupport.domain.ports import Clock
from cryptosupport.domain.withdrawals import ENDED, Withdrawal
from cryptosupport.ledger import books, rows, tables
from cryptosupport.ledger.books import SqlBooks
from cryptosupport.ledger.engine import reading, writing
from cryptosupport.ledger.personal import CLEARLY, scrub
from cryptosupport.ledger.records import SqlRecords
from cryptosupport.ledger.schema import revision

Now: TypeAlias = Callable[[Connection], int]
"""The time of a transaction, in milliseconds since 1970."""

_STANDS_STILL = 1000
"""A clock that was set back by less than a second (milliseconds) stands still until it has caught up."""

_APART = 5000
"""The clocks of this machine and of the database server may differ by so many milliseconds (M23)."""

_PAGE = 1000
_BY_INDEX = text("set local enable_seqscan = off")
_SERVER_TIME = select(func.floor(func.extract("epoch", func.clock_timestamp()) * 1000))
_W = tables.withdrawal.c


def time_of(clock: Clock) -> Now:
    """Tell the time by ``clock``; on PostgreSQL by the server's clock, which all machines share.

    Raises `ClockWentBack` when the two are more than 5 seconds apart.
    """

    def now(connection: Connection) -> int:
        own = clock.milliseconds()
        if connection.dialect.name != "postgresql":
            return own
        server = int(connection.execute(_SERVER_TIME).scalar_one())
        if abs(server - own) > _APART:
            apart = f"{abs(server - own) / 1000:.0f} s apart"
            raise ClockWentBack(f"the clocks of this machine and of the database server are {apart}: set them right")
        return server

    return now


def last_prices(engine: Engine, now: int) -> dict[str, Quantity]:
    """The last price of each symbol that counted lately, in USD, as recorded. Raises `BadSettings`, `Unreachable`."""
    with reading(engine) as connection:
        return {} if revision(connection) is None else books.last_prices(connection, now)


class SqlLedger:
    """The ledger in ``engine``'s database (`domain.books.Ledger`); ``now`` tells the time of a transaction.

    ``box`` seals and opens personal data.
    """

    def __init__(self, engine: Engine, now: Now, box: Box = CLEARLY) -> None:
        self._engine = engine
        self._now = now
        self._box = box

    @contextmanager
    def write(self, judge: Judge) -> Iterator[SqlBooks]:
        """Decide in one serialised transaction; it is committed at the end, and undone when that is left by an error.

        Raises `Unreachable`, and `ClockWentBack` when the time is before that of an earlier transaction.
        """
        with self._alone() as (records, book):
            same_policy = book.policy == judge.policy.hash
            opened = SqlBooks(records, judge, book.last_id, same_policy)
            if not same_policy:
                _remember_policy(records.connection, judge, records.now)
            yield opened
            opened.flush()
            last = {"last_at": records.now, "last_id": opened.next_id - 1, "policy": judge.policy.hash}
            records.connection.execute(update(tables.book).values(last))

    @contextmanager
    def act(self) -> Iterator[SqlRecords]:
        """Record what is no decision, in one serialised transaction; as `write`, but no policy is needed."""
        with self._alone() as (records, _):
            yield records
            records.connection.execute(update(tables.book).values(last_at=records.now))

    @contextmanager
    def look(self) -> Iterator[SqlRecords]:
        """Read what is recorded beside withdrawals; nothing can be written, and nobody is held up."""
        with reading(self._engine) as connection:
            yield SqlRecords(connection, self._now(connection), self._box)

    @contextmanager
    def _alone(self) -> Iterator[tuple[SqlRecords, Row[Any]]]:
        """One transaction that nobody else writes beside, with the row of `book` as it found it."""
        with writing(self._engine) as connection:
            if connection.dialect.name == "postgresql":
                # Every look-up here has its index. Of a table that has grown since it was last examined, the planner
                # does not know that, and would read all of it for each.
                connection.execute(_BY_INDEX)
            # On SQLite the transaction has the write lock from its start; on PostgreSQL this row is the lock (M24).
            book = connection.execute(select(tables.book).with_for_update()).one()
            yield SqlRecords(connection, self._time(connection, book.last_at), self._box), book

    def _time(self, connection: Connection, last: int) -> int:
        now = self._now(connection)
        if now >= last:
            return now
        if last - now <= _STANDS_STILL:
            return last
        behind = (last - now) / 1000
        raise ClockWentBack(
            f"the clock is {behind:.0f} s behind the last decision in the ledger; nothing is decided until it is right",
            behind_ms=last - now,
        )

    def withdrawal(self, request_id: str) -> Withdrawal | None:
        """The withdrawal with this request id."""
        with reading(self._engine) as connection:
            row = connection.execute(rows.SELECT.where(_W.request_id == request_id)).one_or_none()
        return None if row is None else rows.withdrawal_of(row, self._box)

    def withdrawals(self, wanted: Wanted) -> Iterator[Withdrawal]:
        """The withdrawals that fit, in order of arrival, however many there are."""
        query = rows.SELECT.where(*_conditions(wanted)).order_by(_W.id).limit(_PAGE)
        last = 0
        while True:  # a page at a time: whoever reads slowly must not hold a snapshot open
            with reading(self._engine) as connection:
                page = connection.execute(query.where(_W.id > last)).all()
            for row in page:
                yield rows.withdrawal_of(row, self._box)
            if len(page) < _PAGE:
                return
            last = page[-1].id

    def decisions(self, withdrawal_id: int) -> list[Decision]:
        """All decisions on one withdrawal, the first one first."""
        made = tables.decision.c
        query = select(tables.decision).where(made.withdrawal_id == withdrawal_id).order_by(made.turn)
        with reading(self._engine) as connection:
            return [rows.decision_of(row._mapping) for row in connection.execute(query)]

    def sums(self, windows: Collection[str]) -> Iterator[tuple[Place, Tally]]:
        """The sums of ``windows`` as recorded."""
        sums = tables.tally.c
        query = select(tables.tally).where(sums.window_id.in_(windows)).execution_options(yield_per=_PAGE)
        with reading(self._engine) as connection:
            for row in connection.execute(query):
                tally = Tally(Quantity(row.booked, row.decimals), Quantity(row.waiting, row.decimals))
                yield Place(row.window_id, row.who, row.part), tally

    def policy(self, hash: str) -> str | None:
        """The text of the policy with this hash, if it ever decided."""
        with reading(self._engine) as connection:
            text: str | None = connection.scalar(select(tables.policy.c.text).where(tables.policy.c.hash == hash))
        return text

    def scrub(self) -> None:
        """Have the database forget what rows held before they were changed. Others wait meanwhile."""
        scrub(self._engine)

    def close(self) -> None:
        """Let go of it."""
        self._engine.dispose()


def _remember_policy(connection: Connection, judge: Judge, now: int) -> None:
    """Keep the text that the hash in decisions stands for."""
    policy = judge.policy
    if connection.scalar(select(tables.policy.c.hash).where(tables.policy.c.hash == policy.hash)) is None:
        values = {"hash": policy.hash, "text": policy.text, "first_at": now}
        connection.execute(insert(tables.policy).values(values))


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    for column, value in ((_W.customer, wanted.customer), (_W.destination, wanted.destination), (_W.txid, wanted.txid)):
        if value is not None:
            conditions.append(column == value)
    if wanted.states:
        conditions.append(_W.state.in_(wanted.states))
    if wanted.since is not None:
        conditions.append(_W.created_at >= wanted.since)
    if wanted.open_before is not None:
        conditions += [_W.created_at < wanted.open_before, _W.state.not_in(ENDED)]
    return conditions
