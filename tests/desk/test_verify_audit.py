"""Whatever is changed behind the program, in the log or in what it speaks of, is found, named, and not the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Boolean, Engine, Integer, delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from cryptosupport.desk.take_in import Intake, Line
from cryptosupport.desk.verify_audit import BROKEN, tell
from cryptosupport.domain.audit import BEGINNING, Act, Head, bound, chained, spelt
from cryptosupport.domain.audit_chain import Finding, Findings
from cryptosupport.domain.books import Wanted
from cryptosupport.domain.errors import Tampered
from cryptosupport.ledger import tables
from cryptosupport.ledger.engine import writing
from cryptosupport.ledger.records import SqlRecords
from cryptosupport.ledger.verifying import Asked, SqlAuditLog
from tests.desk.auditkit import Rows, a_life, changed, entries, log_of, told, unbound, verified, write_log
from tests.desk.deskkit import START, Desk, request
from tests.ledger.ledgerkit import unguarded


@pytest.fixture
def desk(engine: Engine) -> Desk:
    """A desk that has done everything that is told to the log."""
    return a_life(engine)


def test_what_the_program_wrote_is_sound(desk: Desk, engine: Engine) -> None:
    findings = verified(engine)
    assert findings.found == []
    assert findings.sound
    assert findings.entries == len(entries(engine)) == findings.head.number == 20
    assert findings.rows == 5 + 2 + 2 + 1 + 1 + 1  # withdrawals, freezes, statements, version, note, list


def test_an_empty_ledger_is_sound(engine: Engine) -> None:
    assert verified(engine).sound
    assert verified(engine, Head(0, BEGINNING)).sound
    assert not verified(engine, Head(1, BEGINNING)).sound


# -- the log, entry by entry -----------------------------------------------------------------------------------------

Tampering = Callable[[Rows, int], Rows]


def edited(column: str, value: object) -> Tampering:
    return lambda rows, n: [row | ({column: value} if place == n else {}) for place, row in enumerate(rows)]


def rehashed(column: str, value: object) -> Tampering:
    """Changed, with a hash that fits what stands there and the entry before."""

    def tamper(rows: Rows, n: int) -> Rows:
        row = rows[n] | {column: value}
        previous = rows[n - 1]["hash"] if n else BEGINNING
        told = {name: row[name] for name in ("number", "at", "kind", "subject", "who", "facts")}
        return [*rows[:n], row | {"hash": bound(previous, spelt(**told))}, *rows[n + 1 :]]

    return tamper


def removed(rows: Rows, n: int) -> Rows:
    return rows[:n] + rows[n + 1 :]


def numbered(rows: Rows) -> Rows:
    return [row | {"number": place} for place, row in enumerate(rows, 1)]


def removed_and_renumbered(rows: Rows, n: int) -> Rows:
    return numbered(removed(rows, n))


def all_before_removed(rows: Rows, n: int) -> Rows:
    return rows[n + 1 :]


def all_behind_removed(rows: Rows, n: int) -> Rows:
    return rows[:n]


def duplicated(rows: Rows, n: int) -> Rows:
    return [*rows, rows[n] | {"number": len(rows) + 1}]


def put_in_twice(rows: Rows, n: int) -> Rows:
    return numbered([*rows[: n + 1], *rows[n:]])


def swapped_with_the_next(rows: Rows, n: int) -> Rows:
    after = (n + 1) % len(rows)
    rows = list(rows)
    rows[n], rows[after] = rows[after] | {"number": rows[n]["number"]}, rows[n] | {"number": rows[after]["number"]}
    return rows


def moved_before_the_beginning(rows: Rows, n: int) -> Rows:
    return edited("number", -n)(rows, n)


def moved_behind_the_end(rows: Rows, n: int) -> Rows:
    return edited("number", len(rows) + 1)(rows, n)


TAMPERING: dict[str, Tampering] = {
    "at": edited("at", 5),
    "kind": edited("kind", "withdrawal.approved!"),
    "subject": edited("subject", "w-9"),
    "who": edited("who", "operator mallory"),
    "facts": edited("facts", '{"to":"approved"}'),
    "no facts": edited("facts", "[[["),
    "hash": edited("hash", "0" * 64),
    "spelling": lambda rows, n: edited("facts", rows[n]["facts"] + " ")(rows, n),
    "at and hash": rehashed("at", 5),
    "subject and hash": rehashed("subject", "w-9"),
    "facts and hash": rehashed("facts", "{}"),
    **{each.__name__: each for each in (removed, removed_and_renumbered, all_before_removed, all_behind_removed)},
    **{each.__name__: each for each in (duplicated, put_in_twice, swapped_with_the_next)},
    **{each.__name__: each for each in (moved_before_the_beginning, moved_behind_the_end)},
}


BREAK_BEHIND = {"at and hash", "subject and hash", "facts and hash", "duplicated", "put_in_twice"}


def of_entries(findings: Findings) -> set[int]:
    """The numbers that findings about the log name."""
    named = [each for each in findings.found if each.table is None and each.first is not None]
    return {number for each in named for number in range(each.first or 0, (each.last or 0) + 1)}


@pytest.mark.parametrize("tampering", TAMPERING)
@pytest.mark.usefixtures("desk")
def test_every_entry_that_is_tampered_with_is_found_and_named(engine: Engine, tampering: str) -> None:
    rows = entries(engine)
    for n in range(len(rows)):
        with log_of(engine, TAMPERING[tampering](rows, n)):
            findings = verified(engine)
        # Where the hash was made to fit, it breaks at the next; the last one has the ledger's own row behind it.
        beside = {n + 1, n + 2, len(rows) + 1} if tampering in BREAK_BEHIND else {n + 1}
        assert of_entries(findings) & beside, (n, [each.message for each in findings.found])
    assert verified(engine).sound


@pytest.mark.usefixtures("desk")
def test_findings_name_exactly_what_was_done_and_go_on_behind_it(engine: Engine) -> None:
    rows = entries(engine)
    last = len(rows)

    def about(changed: Rows) -> list[tuple[str, int | None, int | None]]:
        with log_of(engine, changed):
            return [(each.what, each.first, each.last) for each in verified(engine).found if each.table is None]

    assert about(edited("who", "me")(edited("who", "me")(rows, 4), 9)) == [
        ("entry_changed", 5, 5), ("entry_changed", 10, 10),
    ]  # fmt: skip
    assert about(edited("hash", "0" * 64)(rows, 4)) == [("entry_changed", 5, 5)]
    assert about(removed(removed(rows, 4), 4)) == [("entry_missing", 5, 6)]
    assert about(rows[3:-2]) == [("entry_missing", 1, 3), ("entry_missing", last - 1, last)]
    assert about([]) == [("entry_missing", 1, last)]
    assert about(duplicated(rows, 3)) == [("entry_changed", last + 1, last + 1), ("entry_put_in", last + 1, last + 1)]
    assert about(removed_and_renumbered(rows, 4)) == [
        ("entry_changed", 5, 5), ("entry_renumbered", 6, last - 1), ("entry_missing", last, last),
    ]  # fmt: skip
    assert about(put_in_twice(rows, 4)) == [
        ("entry_renumbered", 6, last + 1), ("entry_put_in", last + 1, last + 1),
    ]  # fmt: skip


@pytest.mark.usefixtures("desk")
def test_a_chain_that_is_rewritten_whole_is_caught_by_a_head_that_was_kept(engine: Engine) -> None:
    head = SqlAuditLog(engine).head()[0]
    rows = rewritten(edited("who", "me")(entries(engine), 3))
    with writing(engine) as connection:
        write_log(connection, rows)
        connection.execute(update(tables.book).values(audit_hash=rows[-1]["hash"]))
    assert verified(engine).sound  # nothing here can tell
    (message,) = told(engine, head)
    assert message.startswith(f"entry {head.number} is another one than was kept elsewhere")


def rewritten(rows: Rows) -> Rows:
    """The same entries with hashes that fit."""
    previous, made = BEGINNING, []
    for row in rows:
        previous = bound(previous, spelt(**{name: row[name] for name in row if name != "hash"}))
        made.append(row | {"hash": previous})
    return made


def test_a_ledger_that_was_put_back_is_caught_by_a_head_that_was_kept(desk: Desk, engine: Engine) -> None:
    older = SqlAuditLog(engine).head()[0]
    rows = entries(engine)
    desk.take(request("w-6", "0.1"))
    newer = SqlAuditLog(engine).head()[0]
    assert verified(engine, older, newer).sound
    with writing(engine) as connection:
        write_log(connection, rows)
        connection.execute(delete(tables.decision).where(tables.decision.c.withdrawal_id == 6))
        connection.execute(delete(tables.withdrawal).where(tables.withdrawal.c.id == 6))
        connection.execute(update(tables.book).values(audit_number=older.number, audit_hash=older.hash, last_id=5))
    assert verified(engine, older).sound
    (message,) = told(engine, older, newer)
    assert message.startswith(f"entry {newer.number} is missing, which was kept elsewhere")


@pytest.mark.usefixtures("desk")
def test_the_end_is_held_against_the_ledgers_own_row(engine: Engine) -> None:
    with changed(engine, tables.book, {"id": 1}, {"audit_hash": "0" * 64}):
        assert [each.what for each in verified(engine).found] == ["end_differs"]
        with pytest.raises(Tampered, match=r"wrote .*:0000"):
            SqlAuditLog(engine).head()
    with changed(engine, tables.book, {"id": 1}, None):
        assert [each.what for each in verified(engine).found] == ["book_missing"]
    assert verified(engine).sound


def test_bytes_that_are_no_letters_are_found(engine: Engine) -> None:
    a_life(engine)
    if engine.dialect.name != "sqlite":
        return
    with writing(engine) as connection:
        unguarded(connection)
        connection.execute(text("update audit set who = cast(x'ff41' as text) where number = 3"))
        connection.execute(text("update audit set kind = x'ff' where number = 7"))
        connection.execute(text("update audit set at = 'yesterday' where number = 9"))
        connection.execute(text("update withdrawal set customer = cast(x'ff' as text) where id = 2"))
    assert [(each.what, each.first) for each in verified(engine).found] == [
        ("entry_changed", 3), ("entry_changed", 7), ("entry_changed", 9), ("row_unreadable", None),
    ]  # fmt: skip


# -- rows ------------------------------------------------------------------------------------------------------------

PERSONAL = {"beneficiary", "note", "signature_key", "signature", "signed"}
"""Columns of withdrawals that may be forgotten, and that no seal covers."""

SEALED = [each for each in tables.withdrawal.c if each.name not in PERSONAL | {"id"}]


def other(value: Any, kind: object) -> Any:
    if isinstance(kind, Boolean):
        return not value
    if isinstance(value, int) or isinstance(kind, Integer | tables.Money):
        return (value or 0) + 1
    return f"{value or ''}x"


@pytest.mark.parametrize("column", SEALED, ids=str)
@pytest.mark.usefixtures("desk")
def test_every_column_of_a_withdrawal_is_held_against_its_seal(engine: Engine, column: Any) -> None:
    with engine.connect() as connection:
        before = connection.execute(select(tables.withdrawal).where(tables.withdrawal.c.id == 1)).mappings().one()
    value = other(before[column.name], column.type)
    with changed(engine, tables.withdrawal, {"id": 1}, {column.name: value}):
        found = verified(engine).found
    assert found, column
    assert all(each.table == "withdrawal" for each in found)
    assert {each.subject for each in found} <= {"w-1", "w-1x"}
    assert verified(engine).sound


@pytest.mark.usefixtures("desk")
def test_a_withdrawal_with_another_place_in_the_order_is_found(engine: Engine) -> None:
    with writing(engine) as connection:
        unbound(connection)
        for table, column in ((tables.withdrawal, "id"), (tables.decision, "withdrawal_id")):
            connection.execute(update(table).where(table.c[column] == 2).values({column: 77}))
    assert [(each.what, each.subject) for each in verified(engine).found] == [("row_changed", "w-2")]


@pytest.mark.parametrize("column", ["outcome", "voices", "policy", "at", "value", "prices", "turn"])
@pytest.mark.usefixtures("desk")
def test_every_column_of_the_last_decision_is_held_against_the_seal(engine: Engine, column: str) -> None:
    value = {"outcome": "hold", "voices": "[]", "turn": 9, "prices": '[["BTC","1"]]', "policy": "x"}.get(column, 1)
    with changed(engine, tables.decision, {"withdrawal_id": 5}, {column: value}):
        (found,) = verified(engine).found
    assert (found.table, found.subject) == ("withdrawal", "w-5")


BESIDE: list[tuple[Any, dict[str, Any]]] = [
    (tables.freeze, {"id": "f-1"}),
    (tables.freeze, {"id": "f-2"}),
    (tables.statement, {"operator": "alice"}),
    (tables.statement, {"operator": "bob"}),
    (tables.change, {"number": 1}),
    (tables.note, {"number": 1}),
    (tables.screen_list, {"name": "sdn"}),
]


@pytest.mark.parametrize(("table", "key"), BESIDE, ids=str)
@pytest.mark.usefixtures("desk")
def test_every_column_beside_withdrawals_is_held_against_its_entry(engine: Engine, table: Any, key: Any) -> None:
    for column in table.c:
        if (table.name, column.name) == ("note", "text"):
            continue
        with engine.connect() as connection:
            where = [table.c[name] == value for name, value in key.items()]
            value = other(connection.execute(select(column).where(*where)).scalar_one(), column.type)
        with changed(engine, table, key, {column.name: value}):
            found = verified(engine).found
        assert {each.table for each in found} == {table.name}, column
        assert {each.what for each in found} <= {"row_changed", "row_missing", "row_without_entry"}
    with changed(engine, table, key, None):
        assert [each.what for each in verified(engine).found] == ["row_missing"]
    assert verified(engine).sound


@pytest.mark.usefixtures("desk")
def test_what_is_on_a_list_is_held_against_its_import(engine: Engine) -> None:
    for key in ("k1", "k2"):
        for values in ({"key": "k3"}, {"label": "Bob"}, {"delisted_at": 7}, {"list": "other"}, None):
            with changed(engine, tables.screen_entry, {"key": key}, values):
                assert [(each.what, each.subject) for each in verified(engine).found] == [("row_changed", "sdn")]


@pytest.mark.usefixtures("desk")
def test_rows_that_are_put_in_have_no_entry(engine: Engine) -> None:
    with engine.connect() as connection:
        row = dict(connection.execute(select(tables.withdrawal).where(tables.withdrawal.c.id == 1)).mappings().one())
        made = dict(connection.execute(select(tables.decision)).mappings().first() or {})
        freeze = dict(connection.execute(select(tables.freeze)).mappings().first() or {})
    with writing(engine) as connection:
        for id in (0, 9):
            connection.execute(insert(tables.withdrawal), row | {"id": id, "request_id": f"mallory-{id}"})
            connection.execute(insert(tables.decision), made | {"withdrawal_id": id})
        connection.execute(insert(tables.freeze), freeze | {"id": "f-9"})
    assert told(engine) == [
        *(f"withdrawal mallory-{id} is in no entry of the log: the row was put in, or put back, in the database"
          for id in (0, 9)),
        "freeze_order f-9 is in no entry of the log: the row was put in, or put back, in the database",
    ]  # fmt: skip


def test_a_row_that_was_put_in_is_not_acted_upon(desk: Desk, engine: Engine) -> None:
    (withdrawal, *_) = desk.ledger.withdrawals(Wanted())
    for id in (0, 9):
        forged = replace(withdrawal, id=id, request=replace(withdrawal.request, request_id="mallory"))
        with pytest.raises(Tampered), desk.ledger.write(desk.premises.judge) as books:
            books.sealed([forged])


@pytest.mark.usefixtures("desk")
def test_where_the_log_begins_cannot_be_moved(engine: Engine) -> None:
    with changed(engine, tables.book, {"id": 1}, {"sealed_from": 3}):
        found = verified(engine).found
    # w-2 was decided again since: the last entry of it says nothing of where the log begins, but the first one does.
    assert [(each.what, each.subject) for each in found] == [("start_moved", "w-1"), ("start_moved", "w-2")]


@pytest.mark.usefixtures("desk")
def test_a_withdrawal_that_is_gone_is_missed(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(delete(tables.note))
        for table, column in ((tables.decision, "withdrawal_id"), (tables.withdrawal, "id")):
            connection.execute(delete(table).where(table.c[column] == 1))
    found = verified(engine).found
    assert [(each.what, each.subject) for each in found] == [("row_missing", "w-1"), ("row_missing", "1 1")]


@pytest.mark.usefixtures("desk")
def test_a_policy_is_held_against_its_hash(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(update(tables.policy).values(text="all is allowed"))
    assert [each.what for each in verified(engine).found] == ["policy_changed"]


# -- what keeps it, and what comes of it -----------------------------------------------------------------------------


@pytest.mark.parametrize("statement", ["update audit set who = 'me'", "delete from audit", "truncate audit"])
@pytest.mark.usefixtures("desk")
def test_the_database_refuses_to_change_the_log(engine: Engine, statement: str) -> None:
    with pytest.raises(DBAPIError, match=r"only added to|syntax error"), engine.begin() as connection:
        connection.execute(text(statement))
    assert verified(engine).sound


def test_an_entry_behind_the_end_stops_the_desk_in_words(desk: Desk, engine: Engine) -> None:
    head = SqlAuditLog(engine).head()[0]
    act = Act("withdrawal.approved", "w-1")
    forged = {"number": head.number + 1, "at": START, "kind": act.kind, "subject": "w-1", "who": act.who, "facts": "{}"}
    with writing(engine) as connection:
        hash = chained(head.hash, head.number + 1, START, act)
        connection.execute(insert(tables.audit), forged | {"hash": hash})
    assert [each.what for each in verified(engine).found] == ["entry_put_in"]
    with pytest.raises(Tampered, match="behind the end"):
        desk.take(request("w-6", "0.1"))
    alarms: list[str] = []
    warnings: list[str] = []
    tell(verified(engine), lambda: desk.ledger, alarms.append, warnings.append)
    assert "behind the end" in warnings[0]
    assert "1 finding; the first: entry" in alarms[0]


def test_what_is_found_is_told_to_the_log_and_raises_the_alarm(desk: Desk, engine: Engine) -> None:
    alarms: list[str] = []
    tell(verified(engine), lambda: desk.ledger, alarms.append, alarms.append)
    assert alarms == []
    with writing(engine) as connection:
        connection.execute(update(tables.withdrawal).values(memo="9").where(tables.withdrawal.c.id == 2))
    tell(verified(engine), lambda: desk.ledger, alarms.append, alarms.append)
    (alarm,) = alarms
    assert "withdrawal w-2 is not as entry" in alarm
    (entry,) = SqlAuditLog(engine).find(Asked(kind=BROKEN))
    assert entry.act.facts["findings"] == "1"
    assert [each.table for each in verified(engine).found] == ["withdrawal"]


def test_memory_stays_flat_whatever_is_found() -> None:
    findings = Findings()
    for number in range(1, 100_001):
        findings.entry("entry_changed", number)
        findings.add(Finding("row_changed", table="withdrawal", subject=str(number)))
    assert findings.count == 200_000
    assert len(findings.found) == 10_000


# -- how it is looked up ---------------------------------------------------------------------------------------------


def test_entries_are_found_by_subject_kind_person_and_time(desk: Desk, engine: Engine) -> None:
    log = SqlAuditLog(engine)
    everything = log.find(Asked(limit=1000))
    assert [each.number for each in everything] == list(range(1, len(everything) + 1))
    assert log.find(Asked(limit=3)) == everything[-3:]
    kinds = [each.act.kind for each in log.find(Asked(subject="w-3"))]
    assert kinds == ["withdrawal.requested", "withdrawal.cancelled"]
    assert log.find(Asked(who="operator bob")) == [each for each in everything if each.act.who == "operator bob"]
    for since in (0, START, START + 1, desk.clock.at, desk.clock.at + 1):
        assert log.find(Asked(since=since, limit=1000)) == [each for each in everything if each.at >= since]


@pytest.mark.usefixtures("desk")
def test_by_subject_and_by_time_the_log_is_not_read_whole(engine: Engine) -> None:
    first = len(entries(engine)) + 1
    made = {"at": START, "kind": "x", "who": "me", "facts": "{}", "hash": ""}
    with writing(engine) as connection:
        many = [made | {"number": first + n, "subject": f"x-{n % 1000}"} for n in range(20_000)]
        connection.execute(insert(tables.audit), many)
        connection.execute(text("analyze audit"))
        explain = "explain query plan" if engine.dialect.name == "sqlite" else "explain"
        for where, index in (("subject = 'x-1'", "audit_subject_number"), ("number >= 15000", "audit_pkey")):
            query = f"{explain} select * from audit where {where} order by number desc limit 5"
            plan = " ".join(str(row) for row in connection.execute(text(query)))
            assert index in plan.replace("INTEGER PRIMARY KEY", "audit_pkey")
            assert "Sort" not in plan
            assert "TEMP B-TREE" not in plan


def test_no_act_can_claim_a_row_that_it_did_not_write(desk: Desk, engine: Engine) -> None:
    with desk.ledger.act() as records:
        assert isinstance(records, SqlRecords)
        records.log(Act("note.added", '"seal":', facts={"text": 'x "seal":"0" "row":"a b c"'}))
    assert verified(engine).sound


def test_a_batch_is_one_chain(desk: Desk, engine: Engine) -> None:
    lines = [Line(n, "", request(f"b-{n}", "0.001"), "file") for n in range(1, 8)]
    assert len(list(Intake(desk.ledger, desk.premises).take_in([lines]))) == 7
    assert verified(engine).sound
