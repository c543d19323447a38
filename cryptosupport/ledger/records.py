"""What one transaction of the ledger knows and keeps beside withdrawals: people, freezes, lists, notes, the log."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, func, insert, select, text

from cryptosupport.domain.audit import ROW, Act, Entry, Head
from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.freezes import Freeze, Scope
from cryptosupport.domain.operators import Change
from cryptosupport.domain.personal import Box, opened, place
from cryptosupport.domain.screening import Listed, ListHead
from cryptosupport.domain.statements import Signed, read_statement
from cryptosupport.domain.withdrawals import Note, State, Withdrawal
from cryptosupport.ledger import lists, rows, seals, tables
from cryptosupport.ledger.auditing import LogBook, entry_of
from cryptosupport.ledger.payouts import SqlPayouts
from cryptosupport.ledger.personal import CLEARLY, SqlPersonal, kept, read
from cryptosupport.ledger.seals import contents_of, row_in, with_row
from cryptosupport.ledger.sums import chunks, upsert

_W = tables.withdrawal.c
_REASONS = msgspec.json.Decoder(tuple[str, ...])
_MOST_PAID_BEFORE = 20
USED = (
    *(State.APPROVED, State.WAITING_LIQUIDITY, State.RESERVED, State.SIGNED, State.BROADCAST, State.CONFIRMING),
    *(State.FINAL, State.UNKNOWN),
)
"""The states of withdrawals whose destination counts as one that was used before."""


class SqlRecords:
    """The records of one transaction (`domain.books.Records`), through ``connection``, at ``now``.

    ``box`` seals and opens personal data.
    """

    def __init__(self, connection: Connection, now: int, box: Box = CLEARLY) -> None:
        self.connection = connection
        self.now = now
        self.personal = SqlPersonal(connection, box, self.log)
        self.payouts = SqlPayouts(connection, box, lambda acts: self.log_book.add(acts))

    @cached_property
    def ledger_id(self) -> str:
        """The ledger's own name, which no other has."""
        return str(self.connection.scalar(select(tables.book.c.ledger_id)))

    @cached_property
    def log_book(self) -> LogBook:
        """The audit log."""
        return LogBook(self.connection, self.now)

    @property
    def log_head(self) -> Head:
        """The last entry of the audit log."""
        return self.log_book.head

    def log_hash(self, number: int) -> str | None:
        """The hash of an entry of the audit log, None where there is none with this number."""
        acts = tables.audit.c
        found: str | None = self.connection.scalar(select(acts.hash).where(acts.number == number))
        return found

    def log(self, act: Act) -> None:
        """Add an act to the audit log."""
        self.log_book.add([act])

    def acts_since(self, kind: str, who: str, since: int) -> int:
        """How many acts of a kind somebody did after a moment: for what is limited by the hour."""
        acts = tables.audit.c
        query = select(func.count()).where(acts.kind == kind, acts.who == who, acts.at > since)
        return self.connection.scalar(query) or 0

    def last_price_at(self) -> int | None:
        """When a price counted last, None for never."""
        last: int | None = self.connection.scalar(select(func.max(tables.last_price.c.at)))
        return last

    def last_acts(self, kind: str, subjects: Collection[str] | None = None) -> dict[str, Entry]:
        """The last act of a kind about each subject that it was ever about, or about each of ``subjects``."""
        acts = tables.audit.c
        # As the index says it, word for word: else the database does not see that this one will do.
        indexed = [] if kind.startswith("withdrawal.") else [text(tables.BESIDE)]
        latest = select(func.max(acts.number)).where(acts.kind == kind, *indexed).group_by(acts.subject)
        if subjects is not None:
            latest = latest.where(acts.subject.in_(list(subjects)))
        found = self.connection.execute(select(tables.audit).where(acts.number.in_(latest)))
        return {row.subject: entry_of(row) for row in found}

    def act_since(self, kind: str, who: str, since: int, place: int) -> int:
        """When somebody did the act of a kind that is the one at ``place`` (from 0) after a moment."""
        acts = tables.audit.c
        query = select(acts.at).where(acts.kind == kind, acts.who == who, acts.at > since)
        at: int = self.connection.scalars(query.order_by(acts.at).offset(place).limit(1)).one()
        return at

    # -- freezes

    def freezes(self, lifted: bool = False) -> list[Freeze]:
        """The freezes that count, the oldest first; with ``lifted`` those that were lifted too.

        Raises `Tampered` where they are not those that the log has: none lifted, taken out or put in.
        """
        query = select(tables.freeze).order_by(tables.freeze.c.at, tables.freeze.c.id)
        recorded = self.connection.execute(query).mappings().all()
        if seals.rows_by_kind(self.connection, tables.freeze, "freeze") != seals.digests_of(tables.freeze, recorded):
            raise seals.tampered("the freezes")
        found = []
        for row in recorded:
            if lifted or row["lifted_at"] is None:
                it = dict(row)
                found.append(Freeze(scope=Scope(it.pop("kind"), it.pop("value")), **it))
        return found

    def set_freeze(self, freeze: Freeze, act: Act) -> None:
        """Record a freeze: a new one, or one that was lifted or got another expiry."""
        names = ("id", "reason", "by", "proven", "at", "source", "expires_at", "lifted_at")
        values = {name: getattr(freeze, name) for name in names}
        values |= {"kind": freeze.scope.kind, "value": freeze.scope.value}
        self._set(tables.freeze, values, act)

    # -- what people sign

    def statements(self, action: str, subject: str) -> list[Signed]:
        """What was signed about one subject, in the order in which it came; one statement for each operator.

        Raises `Tampered` where one is not as the log has it.
        """
        made = tables.statement.c
        query = select(tables.statement).where(made.action == action, made.subject == subject)
        found = self.connection.execute(query.order_by(made.number)).mappings().all()
        self._as_logged(tables.statement, found)
        try:
            return [Signed(read_statement(row["text"], kept=True), row["signature"]) for row in found]
        except BadInput as error:
            raise seals.tampered("what somebody signed") from error

    def add_statement(self, signed: Signed, act: Act) -> None:
        """Keep a statement whose signature was checked; a later one of the same operator replaces it."""
        names = ("action", "subject", "operator", "at", "text")
        values = {name: getattr(signed.statement, name) for name in names}
        self._set(tables.statement, values | {"signature": signed.signature, "number": self.log_book.number + 1}, act)

    def changes(self, kind: str) -> list[Change]:
        """All versions of the operators or of the policy, the first one first; the last may not be in force yet.

        Raises `Tampered` where they are not those that the log has: none edited, put in or taken out.
        """
        query = select(tables.change).where(tables.change.c.kind == kind).order_by(tables.change.c.number)
        found = self.connection.execute(query).mappings().all()
        if seals.rows_of(self.connection, tables.change, kind) != seals.digests_of(tables.change, found):
            raise seals.tampered(f"the versions of the {kind}")
        return [Change(**{**row, "loosens": _REASONS.decode(row["loosens"])}) for row in found]

    def set_change(self, change: Change, act: Act) -> None:
        """Record a version: a new one, or the last one as it goes on."""
        values = {name: getattr(change, name) for name in tables.change.c.keys()}  # noqa: SIM118
        self._set(tables.change, values | {"loosens": msgspec.json.encode(change.loosens).decode()}, act)

    def withdraw_change(self, change: Change, act: Act) -> None:
        """Take back a version that is not in force."""
        made = tables.change.c
        gone = tables.change.delete().where(
            made.kind == change.kind, made.number == change.number, made.active_at.is_(None)
        )
        if self.connection.execute(gone).rowcount:
            act = with_row(act, tables.change, {"kind": change.kind, "number": change.number}, gone=True)
        self.log(act)

    # -- notes

    def notes(self, withdrawal_id: int) -> list[Note]:
        """What was written about a withdrawal, the first one first."""
        made = tables.note.c
        query = select(made.number, made.at, made.who, made.kind, made.text)
        query = query.add_columns(_W.request_id).join(tables.withdrawal, _W.id == made.withdrawal_id)
        found = self.connection.execute(query.where(made.withdrawal_id == withdrawal_id).order_by(made.number))
        return [self._note(*row) for row in found]

    def _note(self, number: int, at: int, who: str, kind: str, text: str, request_id: str) -> Note:
        told = read(text, lambda: place("note.text", request_id, number), self.personal.box, bytes.decode)
        return Note(number, at, who, kind, told)

    def add_note(self, withdrawal: Withdrawal, note: Note, act: Act) -> None:
        """Write something about a withdrawal."""
        where = place("note.text", withdrawal.request.request_id, note.number)
        text = kept(note.text, lambda: self.personal.keep(opened(note.text), where))
        values = {name: getattr(note, name) for name in ("number", "at", "who", "kind")}
        values |= {"withdrawal_id": withdrawal.id, "text": text}
        self.connection.execute(insert(tables.note), values)
        self.log(with_row(act, tables.note, values))

    # -- screening

    def lists(self) -> list[ListHead]:
        """The screening lists as they were imported last, by name."""
        return lists.heads(self.connection)

    def listed(self, name: str) -> list[Listed]:
        """The entries that are on a list now."""
        return lists.listed(self.connection, name)

    def set_list(self, head: ListHead, added: Sequence[Listed], delisted: Sequence[Listed], act: Act) -> None:
        """Record an import: what came to the list, and what is no longer on it."""
        lists.set_list(self.connection, head, added, delisted)
        row = self.connection.execute(select(tables.screen_list).where(tables.screen_list.c.name == head.name))
        contents = contents_of(self.connection, head.name)
        self.log(with_row(act, tables.screen_list, row.mappings().one(), contents))

    def drop_list(self, name: str, act: Act) -> None:
        """Take a list away, with all that is on it."""
        lists.drop_list(self.connection, name, self.now)
        self.log(with_row(act, tables.screen_list, {"name": name}, gone=True))

    def destinations(self, customers: Collection[str]) -> dict[str, list[str]]:
        """The destinations, by customer, that earlier withdrawals were approved for, each once."""
        found: dict[str, list[str]] = {}
        query = select(_W.customer, _W.destination).where(_W.state.in_(USED)).distinct()
        for some in chunks(customers):
            for customer, destination in self.connection.execute(query.where(_W.customer.in_(some))):
                found.setdefault(customer, []).append(destination)
        return found

    def paid_before(self, destination: str) -> list[Withdrawal]:
        """The latest withdrawals to a destination that were approved, the newest first, at most 20."""
        query = rows.SELECT.where(_W.destination == destination, _W.state.in_(USED))
        found = self.connection.execute(query.order_by(_W.id.desc()).limit(_MOST_PAID_BEFORE))
        return [rows.withdrawal_of(row, self.personal.box) for row in found]

    def _as_logged(self, table: Table, found: Sequence[Mapping[Any, Any]]) -> None:
        """Hold rows that name their entry in the log against it. Raises `Tampered`."""
        acts = tables.audit.c
        for some in chunks(found):
            query = select(acts.facts).where(acts.number.in_([row["number"] for row in some]))
            logged = {row_in(facts) for facts in self.connection.scalars(query)}
            if not {with_row(Act(""), table, row).facts[ROW] for row in some} <= logged:
                raise seals.tampered(f"a row of table {table.name}")

    def _set(self, table: Table, values: dict[str, Any], act: Act) -> None:
        """Write a row, and the act with a digest of it."""
        self.connection.execute(upsert(self.connection, table), [values])
        self.log(with_row(act, table, values))
