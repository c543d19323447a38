"""Tables come into being step by step, once, and never in a database that is not ours."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, insert, inspect, select, text, update

from cryptosupport.domain.audit import BEGINNING
from cryptosupport.domain.errors import BadSettings, Unreachable
from cryptosupport.ledger import schema, tables
from cryptosupport.ledger.engine import open_engine, reading, writing
from tests.ledger.ledgerkit import a_row, stamp
from tests.nodes.postgres import MakeDatabase, Postgres

FRESH = [column for column in tables.book.c if column.name != "ledger_id"]
FIRST = (1, 0, 0, "", 0, BEGINNING, 1)


def names(engine: Engine) -> set[str]:
    with reading(engine) as connection:
        return set(inspect(connection).get_table_names())


def content(engine: Engine) -> dict[str, str]:
    """What makes up the tables, constraints and indexes, as the database tells it."""
    asked = {
        "sqlite": """
            select it.name || '.' || col.name,
                col.type || ' ' || col."notnull" || ' ' || coalesce(col.dflt_value, '') || ' ' || col.pk
            from sqlite_master it, pragma_table_info(it.name) col where it.type = 'table'
            union all
            select it.name || '.' || fk."from", fk."table" || ' ' || coalesce(fk."to", '')
            from sqlite_master it, pragma_foreign_key_list(it.name) fk where it.type = 'table'
            union all
            select name, sql from sqlite_master where type = 'index' and sql is not null
        """,
        "postgresql": """
            select indexname, indexdef from pg_indexes where schemaname = 'public'
            union all
            select conname, pg_get_constraintdef(oid) from pg_constraint where connamespace = 'public'::regnamespace
            union all
            select table_name || '.' || column_name,
                concat_ws(' ', data_type, is_nullable, numeric_precision, numeric_scale, column_default)
            from information_schema.columns where table_schema = 'public'
        """,
    }
    with reading(engine) as connection:
        rows = connection.execute(text(asked[engine.dialect.name]))
        return {name: " ".join(told.split()) for name, told in rows if not name.startswith(tables.REVISION)}


def test_the_steps_lead_to_the_tables_that_the_program_works_with(ledger_engine: Engine) -> None:
    schema.ready(ledger_engine)
    with reading(ledger_engine) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": tables.REVISION})
        assert compare_metadata(context, tables.metadata) == []
    stepped = content(ledger_engine)
    with writing(ledger_engine) as connection:
        tables.metadata.drop_all(connection)
        tables.metadata.create_all(connection)
    assert len(stepped) >= 14
    assert stepped == content(ledger_engine)


def test_the_steps_go_forward_only_and_the_last_one_is_head() -> None:
    config = Config()
    config.set_main_option("script_location", "cryptosupport.ledger:migrations")
    steps = list(ScriptDirectory.from_config(config).walk_revisions())
    assert steps[0].revision == schema.HEAD
    assert [step.revision for step in reversed(steps)] == [f"{number:04}" for number in range(1, len(steps) + 1)]
    assert not any(hasattr(step.module, "downgrade") for step in steps)


def test_an_empty_database_becomes_a_ledger_when_it_is_first_used(ledger_engine: Engine) -> None:
    schema.ready(ledger_engine)
    schema.ready(ledger_engine)
    assert names(ledger_engine) == {*tables.metadata.tables, tables.REVISION}
    with reading(ledger_engine) as connection:
        assert schema.revision(connection) == schema.HEAD
        assert connection.execute(select(*FRESH)).one() == FIRST


def test_an_upgrade_says_what_it_did_and_a_second_one_does_nothing(ledger_engine: Engine) -> None:
    with reading(ledger_engine) as connection:
        assert schema.revision(connection) is None
    assert schema.upgrade(ledger_engine) == (None, schema.HEAD)
    with writing(ledger_engine) as connection:
        connection.execute(update(tables.book).values(last_id=7))
    assert schema.upgrade(ledger_engine) == (schema.HEAD, schema.HEAD)
    with reading(ledger_engine) as connection:
        assert connection.scalars(select(tables.book.c.last_id)).all() == [7]


def test_a_ledger_of_an_older_version_waits_for_the_upgrade(ledger_engine: Engine) -> None:
    schema.ready(ledger_engine)
    stamp(ledger_engine, "0000")
    with pytest.raises(BadSettings, match=r"is at revision 0000 .* needs 0004.*`cryptosupport ledger upgrade`"):
        schema.ready(ledger_engine)
    assert schema.status(ledger_engine)["revision"] == "0000"


def test_a_ledger_of_a_newer_version_is_left_alone(ledger_engine: Engine) -> None:
    schema.ready(ledger_engine)
    stamp(ledger_engine, "9999")
    for use in (schema.ready, schema.upgrade, schema.status):
        with pytest.raises(BadSettings, match=r"newer version.* at revision 9999, and this version knows 0004"):
            use(ledger_engine)
    with reading(ledger_engine) as connection:
        assert schema.revision(connection) == "9999"


def test_a_database_of_something_else_is_not_touched(ledger_engine: Engine, tmp_path: Path) -> None:
    with ledger_engine.begin() as connection:
        for name in ("users", "alembic_version", "orders", "items"):
            connection.execute(text(f"create table {name} (id integer)"))
    if ledger_engine.dialect.name == "sqlite":
        with ledger_engine.connect() as bare:  # as other programs leave their files
            bare.connection.driver_connection.execute("pragma journal_mode = delete")  # type: ignore[union-attr]
    ledger_engine.dispose()
    file = tmp_path / "data" / "ledger.db"
    before = file.read_bytes() if file.exists() else b""
    for use in (schema.ready, schema.upgrade, schema.status):
        with pytest.raises(
            BadSettings, match=r"holds 4 tables of something else \(alembic_version, items, orders, ...\)"
        ):
            use(ledger_engine)
    assert names(ledger_engine) == {"users", "alembic_version", "orders", "items"}
    ledger_engine.dispose()
    assert (file.read_bytes() if file.exists() else b"") == before


def test_an_upgrade_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    engine = open_engine("sqlite:///ledger.db", tmp_path)
    with reading(engine) as connection:
        connection.exec_driver_sql("pragma max_page_count = 8")
    with pytest.raises(Unreachable, match="its disk is full"):
        schema.upgrade(engine)
    assert names(engine) == set()
    engine.dispose()
    assert schema.upgrade(engine) == (None, schema.HEAD)
    engine.dispose()


UPGRADE = """
import sys
from pathlib import Path
from cryptosupport.ledger import schema
from cryptosupport.ledger.engine import open_engine
engine = open_engine(sys.argv[1], Path(sys.argv[2]))
import alembic.command
print("at the start", flush=True)
sys.stdin.read()
schema.ready(engine)
print(schema.upgrade(engine))
engine.dispose()
"""


def test_of_several_runs_at_once_one_makes_the_tables_and_the_others_wait(
    ledger_url: str, ledger_engine: Engine, tmp_path: Path
) -> None:
    command = [sys.executable, "-W", "error", "-c", UPGRADE, ledger_url, str(tmp_path / "data")]
    pipe = subprocess.PIPE
    runs = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(4)]
    assert [run.stdout.readline() for run in runs if run.stdout] == ["at the start\n"] * 4
    for run in runs:
        assert run.stdin is not None
        run.stdin.close()
        run.stdin = None
    said = [run.communicate(timeout=60) for run in runs]
    assert said == [("('0004', '0004')\n", "")] * 4
    with reading(ledger_engine) as connection:
        assert connection.execute(select(*FRESH)).one() == FIRST


def test_the_status_tells_what_a_ledger_holds(ledger_engine: Engine, tmp_path: Path) -> None:
    empty = schema.status(ledger_engine)
    assert (empty["revision"], empty["head"], empty["withdrawals"], empty["last_decision_at"]) == (
        None,
        "0004",
        {},
        None,
    )
    assert schema.last_decision(ledger_engine) is None
    if ledger_engine.dialect.name == "sqlite":
        assert not (tmp_path / "data").exists()  # to look is not to make
    schema.ready(ledger_engine)
    assert schema.last_decision(ledger_engine) is None
    states = ["approved", "held", "approved"]
    with writing(ledger_engine) as connection:
        rows = [a_row(tables.withdrawal, id=n, request_id=str(n), state=state) for n, state in enumerate(states)]
        connection.execute(insert(tables.withdrawal), rows)
        connection.execute(update(tables.book).values(last_at=1_795_262_400_999))
    assert schema.last_decision(ledger_engine) == 1_795_262_400_999
    told = schema.status(ledger_engine)
    assert told["withdrawals"] == {"approved": 2, "held": 1}
    assert told["last_decision_at"] == "2026-11-21T12:00:00Z"
    assert told["size"] > 50_000
    assert told["server"].split(".")[0].isdigit()
    assert told["dialect"] == ledger_engine.dialect.name


def test_a_run_that_comes_while_another_makes_the_file_waits_for_it(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("begin immediate")
        done = threading.Timer(0.4, other.rollback)
        done.start()
        engine = open_engine("sqlite:///ledger.db", tmp_path)
        assert schema.upgrade(engine) == (None, schema.HEAD)
        engine.dispose()
        done.join()


def test_a_server_that_does_not_keep_every_letter_is_refused(
    postgres: Postgres, postgres_database: MakeDatabase
) -> None:
    name = postgres_database("encoding 'LATIN1' template template0")
    engine = open_engine(postgres.url(name), Path())
    with pytest.raises(BadSettings, match="keeps text as LATIN1"):
        schema.ready(engine)
    assert names(engine) == set()
