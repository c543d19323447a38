"""`withdraw submit` as it runs, in batches of a chosen size; and killed at every statement and commit it makes.

`python -m tests.commands.submitting SIZE ARGUMENTS...` runs the program with batches of SIZE lines.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import import_module
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, QueuePool, event
from sqlalchemy.engine.default import DefaultDialect

from cryptosupport.commands import run
from cryptosupport.context import Context
from cryptosupport.desk import read_requests
from cryptosupport.desk.verify_audit import verify
from cryptosupport.domain.books import Wanted
from cryptosupport.ledger import engine
from cryptosupport.ledger.engine import is_made, reading
from cryptosupport.ledger.schema import revision
from cryptosupport.ledger.tables import metadata
from tests.crashing import fatal_points

LOADED = (
    *("alembic.command", "alembic.runtime.environment", "cryptography.hazmat.primitives.serialization", "psycopg"),
    *("sqlalchemy.dialects.sqlite.pysqlite", "sqlalchemy.dialects.postgresql.psycopg", "keyring", "zoneinfo"),
    *("cryptosupport.ledger.ledger", "cryptosupport.ledger.schema", "cryptosupport.ledger.verifying"),
    *("cryptosupport.desk.take_in", "cryptosupport.desk.decide_again", "cryptosupport.outside.signatures"),
    *("cryptosupport.commands.withdraw", "cryptosupport.settings.policy", "cryptosupport.chains.evm.addresses"),
    *("cryptosupport.outside.balances", "cryptosupport.outside.prices", "cryptosupport.desk.hot_balances", "sha3"),
)


class Points:
    """Counts the points at which a run can be killed, and kills it at one of them.

    Where all that leaves a trace is watched (``whole``), a call begins with what the one before it has left: then only
    the first one has a point before it.
    """

    def __init__(self, fatal: int, whole: bool = False) -> None:
        self.passed = 0
        self.kinds: Counter[str] = Counter()
        self._fatal, self._whole = fatal, whole

    def reach(self, kind: str) -> None:
        """One more point; its kind says what is about to happen, or has happened."""
        self.passed += 1
        self.kinds[kind] += 1
        if self.passed == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: type, name: str, kind: str) -> None:
        """Every call of a method is a point before it and one after it."""
        inner = getattr(owner, name)

        def with_points(*args: Any, **kwargs: Any) -> Any:
            if not (self._whole and self.passed):
                self.reach(kind)
            done = inner(*args, **kwargs)
            self.reach(kind)
            return done

        setattr(owner, name, with_points)

    def watch(self, statements: bool = True) -> None:
        """Every statement is a point, and every commit is one before and one after it."""

        def statement(*_: object) -> None:
            self.reach("statement")

        if statements:
            event.listen(Engine, "before_cursor_execute", statement)
        self.around(DefaultDialect, "do_commit", "commit")


def in_a_child(work: Callable[[], object]) -> tuple[int, Any]:
    """Do ``work`` in a process of its own: (the signal that ended it, or 0; what it returned)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        with os.fdopen(writer, "w") as pipe:
            json.dump(work(), pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), json.loads(said) if said else None


_engines: dict[str, Engine] = {}


def one_engine() -> None:
    """Have a command find the engine of its ledger as the one before left it: without a connection, and all compiled.

    A process has a connection, and not a transaction.
    """
    open_engine = engine.open_engine

    def opened(url: str, data_folder: Path, **options: Any) -> Engine:
        place = f"{url} {data_folder} {options}"
        if place not in _engines:
            _engines[place] = open_engine(url, data_folder, **options)
        return _engines[place]

    engine.NullPool = QueuePool  # type: ignore[attr-defined]
    engine.open_engine = opened


def warmed(work: Callable[[], object]) -> None:
    """Do ``work`` here: what the processes that are forked from now on would import and compile, they find done.

    They begin with no more than that: no connection, no file, no thread.
    """
    files = os.listdir("/proc/self/fd")
    with redirect_stdout(TextIOWrapper(BytesIO())):
        work()
    for each in _engines.values():
        each.dispose()
    gc.collect()
    assert os.listdir("/proc/self/fd") == files
    assert threading.active_count() == 1
    gc.freeze()


def submit(arguments: list[str], fatal: int) -> Callable[[], list[int]]:
    """A run that is killed at point ``fatal`` (0: never): its exit code, and how many points it passed."""

    def work() -> list[int]:
        points = Points(fatal)
        points.watch()
        return [run(arguments), points.passed]

    return work


def recorded(configs: str, data: str) -> Callable[[], list[Any]]:
    """All that a ledger holds, but for times."""

    def work() -> list[Any]:
        context = Context()
        context.options.configs, context.options.data = configs, data
        ledger = context.ledger()
        rows = [
            [each.id, each.request.request_id, each.state, each.turn, [voice.reason for voice in each.decision.voices]]
            for each in ledger.withdrawals(Wanted())
        ]
        sums = sorted([*place, str(tally.used)] for place, tally in ledger.sums(context.premises().judge.windows))
        return [rows, sums]

    return work


def verified(configs: str, data: str) -> Callable[[], list[str]]:
    """What `audit verify` finds in a ledger; a database without tables holds nothing to be wrong."""

    def work() -> list[str]:
        context = Context()
        context.options.configs, context.options.data = configs, data
        engine = context.ledger_engine()
        if not is_made(engine):
            return []
        with reading(engine) as connection:
            if revision(connection) is None:
                return []
        with context.audit_log().evidence() as evidence:
            return [each.message for each in verify(evidence).found]

    return work


def emptied(url: str) -> Callable[[], None]:
    """Take everything out of a database of PostgreSQL, its tables too."""

    def work() -> None:
        import psycopg

        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("drop schema public cascade")
            connection.execute("create schema public")

    return work


def kept(url: str) -> Callable[[], None]:
    """Keep all rows of a database of PostgreSQL as they are, to be copied."""
    return lambda: _on_server(
        url,
        [
            "drop schema if exists made cascade",
            "create schema made",
            *(f"create table made.{name} as table public.{name}" for name in _tables()),
        ],
    )


def copied(url: str) -> Callable[[], None]:
    """Have the database hold the rows that were kept."""
    return lambda: _on_server(
        url,
        [
            "alter table audit disable trigger user",
            *(f"delete from public.{name}" for name in reversed(_tables())),  # quicker than to truncate them all
            *(f"insert into public.{name} select * from made.{name}" for name in _tables()),
            "alter table audit enable trigger user",
        ],
    )


def _tables() -> list[str]:
    return [f'"{table.name}"' for table in metadata.sorted_tables]


def _on_server(url: str, statements: list[str]) -> None:
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def kill_everywhere(configs: str, data: str, source: str, url: str) -> dict[str, Any]:
    """Kill a submit at each point in turn and run it again: how many points, and which ended in another state."""
    read_requests.AT_ONCE = 3
    for name in LOADED:  # once, here, and not in every child
        import_module(name)

    one_engine()
    folder = str(Path(data) / "now")
    arguments = ["--configs", configs, "--data", folder, "withdraw", "submit", "--input", source, "-o", "jsonl"]

    def fresh() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        if url.startswith("postgresql"):
            in_a_child(emptied(url))

    def all_of_it() -> None:
        assert run(arguments) in (0, 3, 9)
        recorded(configs, folder)()
        verified(configs, folder)()

    fresh()
    warmed(all_of_it)
    fresh()
    _, (expected, points) = in_a_child(submit(arguments, 0))
    _, whole = in_a_child(recorded(configs, folder))
    wrong = []
    for fatal in fatal_points(points, 29 if url.startswith("postgresql") else 11):
        fresh()
        killed, _ = in_a_child(submit(arguments, fatal))
        _, changed = in_a_child(verified(configs, folder))
        _, again = in_a_child(submit(arguments, 0))
        _, found = in_a_child(recorded(configs, folder))
        _, changed_since = in_a_child(verified(configs, folder))
        if (killed, again and again[0], found) != (-signal.SIGKILL, expected, whole) or changed or changed_since:
            wrong.append([fatal, killed, again, found, changed, changed_since])
    return {"points": points, "exit_code": expected, "rows": len(whole[0]), "wrong": wrong}


if __name__ == "__main__":
    if sys.argv[1] == "kill":
        print(json.dumps(kill_everywhere(*sys.argv[2:])))
    else:
        read_requests.AT_ONCE = int(sys.argv[1])
        sys.exit(run(sys.argv[2:]))
