"""A ledger with a log of all that can be told to one, and ways to change it behind the program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, Table, delete, insert, select, text, update

from cryptosupport.desk.cancel import cancel
from cryptosupport.desk.run_once import run_once
from cryptosupport.desk.verify_audit import verify
from cryptosupport.domain.audit import Act, Head
from cryptosupport.domain.audit_chain import Findings
from cryptosupport.domain.freezes import Freeze, Scope
from cryptosupport.domain.operators import OPERATORS, Change
from cryptosupport.domain.policy.judging import Judge
from cryptosupport.domain.screening import Listed, ListHead, ListKind
from cryptosupport.domain.statements import Signed, Statement
from cryptosupport.domain.withdrawals import Note, Verification
from cryptosupport.ledger import tables
from cryptosupport.ledger.engine import writing
from cryptosupport.ledger.verifying import SqlAuditLog
from tests.desk.deskkit import HOUR, START, USDT_ETHEREUM, Desk, Turned, ledger_in, policy, request, rule
from tests.ledger.ledgerkit import unguarded

Rows = list[dict[str, Any]]


def a_life(engine: Engine) -> Desk:
    """A desk that has done everything that is told to the log."""
    clock = Turned()
    desk = Desk(ledger_in(engine, clock), clock, policy(rule(amount="1", hours=1)), {"BTC": "50000"})
    shown = Verification(identity=True, at=START // 1000)
    desk.take(request("w-1", "0.8", memo="7", tier=None, country="CH", verification=shown), request("w-2", "0.5"))
    desk.take(request("w-3", "0.7", customer="客户"), request("w-4", "0.9", USDT_ETHEREUM, chain="ethereum"))
    cancel(desk.ledger, desk.premises, "w-3", "alice")
    people_speak(desk)
    lists_come(desk)
    desk.clock.at += HOUR
    run_once(desk.ledger, desk.premises)
    desk.take(request("w-5", "0.1"))
    return desk


def people_speak(desk: Desk) -> None:
    """Freezes, statements, versions and a note."""
    withdrawal = desk.ledger.withdrawal("w-1")
    assert withdrawal is not None
    freeze = Freeze("f-1", Scope("chain", "bitcoin"), "a drill", "alice", True, START, "operator")
    change = Change(OPERATORS, 1, "", "", "{}", "", ("all",), "alice", START, START)
    with desk.ledger.act() as records:
        records.set_freeze(freeze, Act("freeze.added", "f-1", "operator alice"))
        records.set_freeze(replace(freeze, id="f-2", scope=Scope("all")), Act("freeze.added", "f-2"))
        records.set_freeze(replace(freeze, lifted_at=START + 5), Act("freeze.lifted", "f-1"))
        for operator in ("alice", "bob", "alice"):
            signed = Signed(Statement("approve", "ab", operator, START, records.ledger_id, {}), "-----BEGIN")
            records.add_statement(signed, Act("withdrawal.signed", "w-1", f"operator {operator}"))
        records.set_change(change, Act("operators.proposed", "1"))
        records.set_change(replace(change, active_at=START), Act("operators.active", "1"))
        records.set_change(replace(change, number=2, previous="x"), Act("operators.proposed", "2"))
        records.withdraw_change(replace(change, number=2, previous="x"), Act("operators.withdrawn", "2"))
        records.add_note(withdrawal, Note(1, START, "alice", "note", "called back"), Act("note.added", "w-1"))


def lists_come(desk: Desk) -> None:
    """A screening list, imported twice."""
    head = ListHead("sdn", ListKind.SANCTIONS, "https://example.com", START, START, 2, "d")
    with desk.ledger.act() as records:
        records.set_list(head, [Listed("k1", "K1"), Listed("k2", "K2", label="Ann")], [], Act("list.imported", "sdn"))
        again = replace(head, imported_at=START + 1, entries=1, digest="e")
        records.set_list(again, [], [Listed("k1", "K1")], Act("list.imported", "sdn"))


def verified(engine: Engine, *heads: Head, judge: Judge | None = None, now: int = 0) -> Findings:
    """What `audit verify` finds."""
    with SqlAuditLog(engine).evidence() as evidence:
        return verify(evidence, heads, judge, now)


def told(engine: Engine, *heads: Head) -> list[str]:
    """What it says of each finding."""
    return [each.message for each in verified(engine, *heads).found]


def entries(engine: Engine) -> Rows:
    """The log as it stands in the database."""
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(tables.audit).order_by("number")).mappings()]


def write_log(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Have the log be these rows, as somebody can who owns the database."""
    unguarded(connection)
    connection.execute(delete(tables.audit))
    if rows:
        connection.execute(insert(tables.audit), list(rows))


@contextmanager
def log_of(engine: Engine, rows: Sequence[dict[str, Any]]) -> Iterator[None]:
    """Meanwhile the log is these rows."""
    before = entries(engine)
    with writing(engine) as connection:
        write_log(connection, rows)
    yield
    with writing(engine) as connection:
        write_log(connection, before)


@contextmanager
def changed(engine: Engine, table: Table, key: dict[str, Any], values: dict[str, Any] | None) -> Iterator[None]:
    """Meanwhile one row of ``table`` has other ``values``; None takes it out."""
    where = [table.c[name] == value for name, value in key.items()]
    with writing(engine) as connection:
        (before,) = [dict(row) for row in connection.execute(select(table).where(*where)).mappings()]
        change = delete(table) if values is None else update(table).values(values)
        connection.execute(change.where(*where))
    yield
    with writing(engine) as connection:
        if values is None:
            connection.execute(insert(table), before)
        else:
            there = before | values
            where = [table.c[name] == there[name] for name in table.primary_key.columns.keys()]  # noqa: SIM118
            connection.execute(update(table).where(*where).values(before))


def unbound(connection: Connection) -> None:
    """Let rows stand without those that they refer to, until the transaction is over; on PostgreSQL for good."""
    if connection.dialect.name == "sqlite":
        connection.execute(text("pragma defer_foreign_keys = on"))
    else:
        for name in ("decision", "note"):
            connection.execute(text(f"alter table {name} drop constraint {name}_withdrawal_id_fkey"))
