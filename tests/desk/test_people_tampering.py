"""Rows that were changed behind the program: no word on them is heard, it is written down, and the desk is frozen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Boolean, Engine, Table, Text, delete, insert, select, update

from cryptosupport.desk.alarms import Alarms, write_down
from cryptosupport.desk.change_desk import discard, draft_of, propose, sign, with_operator, without_operator
from cryptosupport.desk.people import operators_of, policies_of
from cryptosupport.domain.errors import Frozen, SupportError, Tampered
from cryptosupport.domain.operators import OPERATORS, POLICY
from cryptosupport.domain.statements import Statement
from cryptosupport.ledger import tables
from cryptosupport.ledger.engine import writing
from cryptosupport.outside.sshsig import sign as sign_bytes
from tests.desk.auditkit import changed, entries
from tests.desk.deskkit import Desk, policy
from tests.desk.peoplekit import KEYS, A, enrol, fault, hand, operator, people_of, same_key, say
from tests.desk.test_approve import RULES, brought, subject_of
from tests.desk.test_change_desk import new_policy
from tests.ledger.ledgerkit import unguarded

GARBAGE: list[object] = ["approved", "[[", 7, "7", None, ""]
KEPT = {"note", "beneficiary", "signed", "signature", "signature_key"}
"""Personal data, which may be forgotten, and what nobody decides by."""


@pytest.fixture
def desk(desk_with: Callable[..., Desk]) -> Desk:
    """Two withdrawals wait for people, and the policy was signed."""
    desk = desk_with(policy(*RULES))
    people = enrol(desk)
    propose(desk.ledger, people, new_policy("p"), "alice", hand("alice"), 0)
    sign(desk.ledger, people, POLICY, "bob", hand("bob"))
    brought(desk, "w-1")
    brought(desk, "w-2")
    return desk


def refused(desk: Desk, action: str = "approve", by: str = "bob") -> SupportError:
    """What comes of a word on w-1; nothing was approved."""
    with pytest.raises(SupportError) as told:
        say(desk, people_of(desk), action, "w-1", by, "why")
    if isinstance(told.value, Tampered):
        write_down(desk.ledger, Alarms(), told.value)
    return told.value


def frozen_by_the_alarm(desk: Desk, engine: Engine) -> None:
    assert {each["kind"] for each in entries(engine)[-2:]} == {"audit.tampered", "freeze.added"}
    with desk.ledger.look() as records:
        (freeze,) = records.freezes()
    assert (freeze.scope.text, freeze.source) == ("all", "auto")
    assert freeze.reason.startswith("audit: ")


def other_values(table: Table, name: str, before: Any, sqlite: bool) -> list[Any]:
    """What somebody may write into a column."""
    kind = table.c[name].type
    if isinstance(kind, Boolean):
        return [not before]
    if sqlite or isinstance(kind, Text):
        some = GARBAGE if table.c[name].nullable else [each for each in GARBAGE if each is not None]
        return [each for each in some if each != before and not (each == "" and before is None)]
    return [(before or 0) + 1]


@pytest.mark.parametrize("table", [tables.withdrawal, tables.decision], ids=str)
def test_no_word_counts_on_a_row_that_was_edited(desk: Desk, engine: Engine, table: Table) -> None:
    with engine.connect() as connection:
        before = connection.execute(select(table)).mappings().first()
    assert before is not None
    key = {name: before[name] for name in table.primary_key.columns.keys()}  # noqa: SIM118
    for column in set(table.c.keys()) - KEPT - {"id", "withdrawal_id", "request_id", "turn"}:
        for value in other_values(table, column, before[column], engine.dialect.name == "sqlite"):
            edit(engine, table, key, column, value)
            told = refused(desk)
            assert isinstance(told, Tampered), (column, value, told)
            assert told.exit_code == 3
            assert "`cryptosupport audit" in told.message
            assert {each["kind"] for each in entries(engine)[-2:]} == {"audit.tampered", "freeze.added"}
            thaw(engine)
            edit(engine, table, key, column, before[column])
    say(desk, people_of(desk), "approve", "w-1", "bob")


def thaw(engine: Engine) -> None:
    """Take the freeze of the alarm away, and all that the log says of it, so that it can ring once more."""
    with writing(engine) as connection:
        unguarded(connection)
        connection.execute(delete(tables.freeze))
        connection.execute(delete(tables.audit).where(tables.audit.c.kind.like("freeze.%")))


def edit(engine: Engine, table: Table, key: dict[str, Any], column: str, value: object) -> None:
    """Write a value into a column; SQLite takes anything anywhere."""
    with writing(engine) as connection:
        if engine.dialect.name == "sqlite":
            where = " and ".join(f"{name} = ?" for name in key)
            connection.exec_driver_sql(f"update {table.name} set {column} = ? where {where}", (value, *key.values()))
        else:
            these = [table.c[name] == at for name, at in key.items()]
            connection.execute(update(table).where(*these).values({column: value}))


@pytest.mark.parametrize("action", ["reject", "hold"])
def test_neither_is_it_rejected_nor_held(desk: Desk, engine: Engine, action: str) -> None:
    with changed(engine, tables.withdrawal, {"request_id": "w-1"}, {"destination": "d9"}):
        assert isinstance(refused(desk, action), Tampered)
        frozen_by_the_alarm(desk, engine)
    assert isinstance(refused(desk), Frozen)  # until two people lift it


def test_a_state_that_was_set_by_hand_approves_nothing(desk: Desk, engine: Engine) -> None:
    with changed(engine, tables.withdrawal, {"request_id": "w-1"}, {"state": "approved"}):
        assert isinstance(refused(desk), Tampered)


# -- versions --------------------------------------------------------------------------------------------------------


def versions_are_refused(desk: Desk) -> None:
    with pytest.raises(Tampered, match="behind this program") as told:
        proven(desk)
    assert told.value.exit_code == 3
    write_down(desk.ledger, Alarms(), told.value)


def proven(desk: Desk) -> None:
    """Look at who and what is in force, as every command does."""
    with desk.ledger.look() as records:
        _, versions = operators_of(records, fault)
        policies_of(records, versions, fault)


@pytest.mark.parametrize("kind", [OPERATORS, POLICY])
def test_no_version_counts_that_was_edited(desk: Desk, engine: Engine, kind: str) -> None:
    with engine.connect() as connection:
        before = connection.execute(select(tables.change).where(tables.change.c.kind == kind)).mappings().one()
    for column in set(tables.change.c.keys()) - {"kind", "number"}:
        others = [5, None] if column == "active_at" else [5] if column.endswith(("_at", "_from")) else ["", "[[", "{}"]
        for value in others:
            if value != before[column]:
                with changed(engine, tables.change, {"kind": kind, "number": 1}, {column: value}):
                    versions_are_refused(desk)
                    frozen_by_the_alarm(desk, engine)
                thaw(engine)


@pytest.mark.parametrize("kind", [OPERATORS, POLICY])
def test_a_version_that_was_taken_out_is_missed(desk: Desk, engine: Engine, kind: str) -> None:
    """Without the operators in force, an older version would count, or nobody would have to be asked."""
    people = people_of(desk)
    if kind == OPERATORS:
        left = without_operator(people.operators.people, "dave")
        propose(desk.ledger, people, draft_of(people.operators.people, left, "f"), "alice", hand("alice"), 0)
        sign(desk.ledger, people, OPERATORS, "bob", hand("bob"))
    with writing(engine) as connection:
        last = select(tables.change).where(tables.change.c.kind == kind).order_by(tables.change.c.number.desc())
        row = connection.execute(last).mappings().first()
        assert row is not None
        made = tables.change.c
        connection.execute(delete(tables.change).where(made.kind == kind, made.number == row["number"]))
    versions_are_refused(desk)
    with writing(engine) as connection:
        connection.execute(delete(tables.change).where(tables.change.c.kind == kind))
    versions_are_refused(desk)


def test_versions_that_changed_places_are_refused(desk: Desk, engine: Engine) -> None:
    people = people_of(desk)
    left = without_operator(people.operators.people, "dave")
    propose(desk.ledger, people, draft_of(people.operators.people, left, "f"), "alice", hand("alice"), 0)
    sign(desk.ledger, people, OPERATORS, "bob", hand("bob"))
    with writing(engine) as connection:
        for before, after in ((1, 9), (2, 1), (9, 2)):
            connection.execute(
                update(tables.change).where(tables.change.c.kind == OPERATORS, tables.change.c.number == before)
                .values(number=after)
            )  # fmt: skip
    versions_are_refused(desk)


@pytest.mark.parametrize("signed", [False, True])
def test_a_version_that_was_put_in_is_refused(desk: Desk, engine: Engine, signed: bool) -> None:
    """Also one that is proposed, for the next person to sign, with the own signature beside it."""
    people = people_of(desk)
    mallory = with_operator(people.operators.people, operator("mallory", A), same_key, {})
    stand = propose(desk.ledger, people, draft_of(people.operators.people, mallory, "f"), "alice", hand("alice"), 0)
    with engine.connect() as connection:
        row = dict(connection.execute(select(tables.change).where(tables.change.c.number == 2)).mappings().one())
        word = dict(
            connection.execute(select(tables.statement).where(tables.statement.c.subject == stand.change.hash))
            .mappings().one()
        )  # fmt: skip
    discard(desk.ledger, people, OPERATORS, "bob", hand("bob"))
    with writing(engine) as connection:
        connection.execute(insert(tables.change), [row | {"active_at": row["counts_from"] if signed else None}])
        if signed:
            text = Statement(OPERATORS, stand.change.hash, "bob", 1, desk_id(desk), {})
            forged = {"operator": "bob", "text": text.text, "signature": sign_bytes(KEYS["alice"], text.signed)}
            connection.execute(insert(tables.statement), [word | forged])
    versions_are_refused(desk)
    with pytest.raises(Tampered):
        sign(desk.ledger, people, OPERATORS, "bob", hand("bob"))


def desk_id(desk: Desk) -> str:
    with desk.ledger.look() as records:
        return records.ledger_id


# -- statements ------------------------------------------------------------------------------------------------------


def test_a_word_that_was_put_in_counts_for_nothing_though_it_was_signed(desk: Desk, engine: Engine) -> None:
    """Somebody keeps what was signed and never handed in, and puts it where it would count."""
    brought(desk, "w-3", "6", maker="backend")
    people = people_of(desk)
    word = Statement("approve", subject_of(desk, people, "w-3"), "dave", desk.clock.at, desk_id(desk), {})
    row = {
        "action": word.action, "subject": word.subject, "operator": "dave", "at": word.at, "text": word.text,
        "signature": sign_bytes(KEYS["dave"], word.signed), "number": 1,
    }  # fmt: skip
    with writing(engine) as connection:
        connection.execute(insert(tables.statement), [row])
    with pytest.raises(Tampered, match="a row of table statement"):
        say(desk, people, "approve", "w-3", "bob")
    assert desk.recorded("w-3") == ["awaiting_approval"]


@pytest.mark.parametrize("column", ["at", "text", "signature", "number"])
def test_no_word_counts_that_was_edited(desk: Desk, engine: Engine, column: str) -> None:
    brought(desk, "w-3", "6", maker="backend")
    people = people_of(desk)
    say(desk, people, "approve", "w-3", "bob")
    key = {"action": "approve", "operator": "bob"}
    other = {column: 5 if column in ("at", "number") else "x"}
    with changed(engine, tables.statement, key, other), pytest.raises(Tampered):
        say(desk, people, "approve", "w-3", "alice")
    assert say(desk, people, "approve", "w-3", "alice").missing == 0


def test_a_word_that_was_taken_out_is_said_again(desk: Desk, engine: Engine) -> None:
    """Fewer words than were said do no harm: they are asked for again."""
    brought(desk, "w-3", "6", maker="backend")
    people = people_of(desk)
    say(desk, people, "approve", "w-3", "bob")
    with writing(engine) as connection:
        connection.execute(delete(tables.statement).where(tables.statement.c.action == "approve"))
    assert say(desk, people, "approve", "w-3", "alice").missing == 1
