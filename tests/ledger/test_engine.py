"""The database is opened as money needs it, one writes at a time, and its errors say what to do."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import Engine, UpdateBase, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from cryptosupport.domain.errors import BadInput, BadSettings, Unreachable
from cryptosupport.ledger import schema
from cryptosupport.ledger.backup import back_up
from cryptosupport.ledger.engine import bare_url, open_engine, place, reading, writing
from cryptosupport.ledger.tables import book, policy
from tests.nodes.postgres import MakeDatabase, Postgres

SQLITE = "sqlite:///ledger.db"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@contextmanager
def opened(url: str, folder: Path, **options: int) -> Iterator[Engine]:
    engine = open_engine(url, folder, from_reference=True, **options)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def no_root() -> Iterator[None]:
    """Meanwhile permissions count, as they do not for root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def write(engine: Engine, *steps: UpdateBase | Callable[[], object]) -> None:
    """One transaction: statements, and what happens between them."""
    with writing(engine) as connection:
        for step in steps:
            if callable(step):
                step()
            else:
                connection.execute(step)


def booked(engine: Engine) -> int:
    """What the row of `book` says."""
    with reading(engine) as connection:
        last: int = connection.execute(select(book.c.last_id)).scalar_one()
        return last


# -- how it is opened ------------------------------------------------------------------------------------------------


def test_nobody_but_the_owner_can_read_the_file_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with opened("sqlite:///books/ledger.db", tmp_path / "data") as engine:
            schema.ready(engine)
            assert mode(tmp_path / "data" / "books") == 0o700
            files = {path.name: mode(path) for path in (tmp_path / "data" / "books").iterdir()}
            assert files == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}
    finally:
        os.umask(before)
    assert [path.name for path in (tmp_path / "data" / "books").iterdir()] == ["ledger.db"]


def test_an_absolute_path_is_taken_as_it_is(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/100%/l ü.db", tmp_path / "data") as engine:
        with pytest.raises(BadSettings, match="No such file or directory"):
            schema.ready(engine)  # a folder elsewhere is not made: a disk may be missing, and its ledger with it
        (tmp_path / "100%").mkdir()
        schema.ready(engine)
    assert (tmp_path / "100%" / "l ü.db").is_file()
    assert not (tmp_path / "data").exists()


def test_nothing_is_made_before_the_first_use(tmp_path: Path) -> None:
    with opened(SQLITE, tmp_path / "data"):
        assert not (tmp_path / "data").exists()


def test_sqlite_forgets_nothing_that_it_has_committed(tmp_path: Path) -> None:
    with opened(SQLITE, tmp_path) as engine, writing(engine) as connection:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "cache_size")
        values = [connection.exec_driver_sql(f"pragma {name}").scalar_one() for name in names]
    full = 2
    assert values == ["wal", full, 1, 60_000, -65536]


def test_a_ledger_that_lost_its_write_ahead_log_gets_it_again(tmp_path: Path) -> None:
    with opened(SQLITE, tmp_path) as engine:
        schema.ready(engine)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute("pragma journal_mode = delete")
    with opened(SQLITE, tmp_path) as engine, reading(engine) as there:
        assert there.exec_driver_sql("pragma journal_mode").scalar_one() == "wal"


def test_postgresql_forgets_nothing_that_it_has_committed(postgres: Postgres, postgres_database: MakeDatabase) -> None:
    name = postgres_database()
    for setting in ("synchronous_commit = off", "default_transaction_isolation = 'serializable'"):
        postgres.execute(f"alter database {name} set {setting}")
    with opened(postgres.url(name), Path()) as engine, writing(engine) as connection:
        names = ("synchronous_commit", "lock_timeout", "transaction_isolation", "transaction_read_only")
        values = [connection.exec_driver_sql(f"show {name}").scalar_one() for name in names]
    assert values == ["on", "1min", "read committed", "off"]


def test_options_of_the_url_are_kept_beside_ours(postgres: Postgres, postgres_database: MakeDatabase) -> None:
    url = postgres.url(postgres_database()) + "?options=-c%20search_path%3Ddesk"
    with opened(url, Path()) as engine, reading(engine) as connection:
        shown = [connection.exec_driver_sql(f"show {name}").scalar_one() for name in ("search_path", "lock_timeout")]
    assert shown == ["desk", "1min"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "is no database url"),
        ("cryptosupport.db", "is no database url"),
        ("postgresql+psycopg://desk@host:port/db", "is no database url"),
        ("postgresql+psycopg://desk@a..b/db", "is no database url"),
        ("postgresql://desk@host/db", "begins with postgresql, which is not known"),
        ("mysql+pymysql://desk@host/db", "begins with mysql"),
        ("sqlite://", "names no file"),
        ("sqlite://ledger.db", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///ledger.db?mode=ro", "names no file"),
        ("sqlite:///a\0b", "names no file"),
        ("postgresql+psycopg://desk:pa@ss@host/db", "write %40"),
    ],
)
def test_a_url_that_cannot_be_meant_is_bad_settings(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(BadSettings, match=said) as refused:
        open_engine(url, tmp_path, from_reference=True)
    assert "pa" not in refused.value.message.replace("password", "")


@pytest.mark.parametrize(
    "where",
    [
        "desk:S@CR/RET@host:1/db",
        "desk/x:S3CR@host/db",
        "desk:CR@RET@host/db",
        "desk:CR@RET?x=S@host/db",
        "desk:CR@RET?x@host/db",
        "desk:CR/RET@S@host/db",
        "desk@host/db?host=S@CR",
        "desk:S3CR%00RET@host/db",
        "S3CR%00RET@host/db",
        "desk@host/db?password=S3CR%00",
    ],
)
def test_a_url_whose_password_ends_nobody_knows_where_is_refused_and_not_shown(tmp_path: Path, where: str) -> None:
    with pytest.raises(BadSettings, match=r"write %40 for @, %2F for /|holds a NUL") as refused:
        open_engine(f"postgresql+psycopg://{where}", tmp_path, from_reference=True)
    said = refused.value.message
    assert not [part for part in ("desk:", "S3CR", "S@", "CR", "RET", "host") if part in said]


@pytest.mark.parametrize("where", ["desk:p%40s%2Fs@host/db", "desk:pa/ss@host/db", "desk%40tenant:pass@host/db"])
def test_a_url_whose_password_ends_for_certain_is_taken(tmp_path: Path, where: str) -> None:
    engine = open_engine(f"postgresql+psycopg://{where}", tmp_path, from_reference=True)
    assert engine.url.host == "host"
    assert "p" not in bare_url(engine).removeprefix("postgresql+psycopg")


@pytest.mark.parametrize("url", ["desk:hunter2@host/db", "desk@host/db?password=hunter2", "desk:@host/db"])
def test_a_password_in_the_settings_file_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(BadSettings, match='url = "keyring:ledger"') as refused:
        open_engine(f"postgresql+psycopg://{url}", tmp_path)
    assert "hunter2" not in refused.value.message
    engine = open_engine(f"postgresql+psycopg://{url}", tmp_path, from_reference=True)
    assert "hunter2" not in bare_url(engine)
    assert "desk@host/db" in place(engine)


# -- transactions ----------------------------------------------------------------------------------------------------


def test_an_error_undoes_the_whole_transaction(ledger_engine: Engine) -> None:
    schema.ready(ledger_engine)
    with pytest.raises(ZeroDivisionError):
        write(ledger_engine, update(book).values(last_id=7), lambda: 1 // 0)
    assert booked(ledger_engine) == 0


def test_a_reader_sees_one_moment_and_holds_up_nobody(ledger_url: str, ledger_engine: Engine, tmp_path: Path) -> None:
    schema.ready(ledger_engine)
    seen = select(book.c.last_id)
    with opened(ledger_url, tmp_path / "data", lock_seconds=1) as other:
        with reading(ledger_engine) as connection:
            assert connection.execute(seen).scalar_one() == 0
            with writing(other) as writer:
                writer.execute(update(book).values(last_id=1))
            assert connection.execute(seen).scalar_one() == 0
        assert booked(ledger_engine) == 1


def test_who_finds_the_ledger_taken_for_too_long_is_told(
    ledger_url: str, ledger_engine: Engine, tmp_path: Path
) -> None:
    schema.ready(ledger_engine)
    with opened(ledger_url, tmp_path / "data", lock_seconds=1) as other:
        with writing(ledger_engine) as connection:
            connection.execute(select(book).with_for_update())
            for _ in range(2):
                with (
                    pytest.raises(Unreachable, match=r"another run has had the ledger .* for 1 s"),
                    writing(other) as late,
                ):
                    late.execute(select(book).with_for_update())
            connection.execute(update(book).values(last_id=1))
        with writing(other) as late:
            assert late.execute(select(book.c.last_id).with_for_update()).scalar_one() == 1


def test_who_waits_goes_on_as_soon_as_the_ledger_is_free(
    ledger_url: str, ledger_engine: Engine, tmp_path: Path
) -> None:
    schema.ready(ledger_engine)
    with writing(ledger_engine) as connection:
        connection.execute(select(book).with_for_update())
        waiting = start(ADD_ONE, ledger_url, str(tmp_path / "data"))
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == b"begins\n"
        time.sleep(0.7)
        assert waiting.poll() is None
        connection.execute(update(book).values(last_id=10))
    assert (waiting.wait(90), booked(ledger_engine)) == (0, 11)
    waiting.stdout.close()


def test_ctrl_c_is_heard_while_another_run_has_the_ledger(
    ledger_url: str, ledger_engine: Engine, tmp_path: Path
) -> None:
    schema.ready(ledger_engine)
    with writing(ledger_engine) as connection:
        connection.execute(select(book).with_for_update())
        waiting = start(ADD_ONE, ledger_url, str(tmp_path / "data"))
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == b"begins\n"
        time.sleep(0.3)
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(45) == -signal.SIGINT  # well before the 60 s are over
        waiting.stdout.close()
    assert booked(ledger_engine) == 0


def test_a_run_that_is_killed_leaves_nothing_half_written(
    ledger_url: str, ledger_engine: Engine, tmp_path: Path
) -> None:
    schema.ready(ledger_engine)
    killed = start(ADD_ONE.replace("print('ends')", "os.kill(os.getpid(), 9)"), ledger_url, str(tmp_path / "data"))
    assert killed.wait(90) == -signal.SIGKILL
    assert killed.stdout is not None
    killed.stdout.close()
    with writing(ledger_engine) as connection:
        assert connection.execute(select(book.c.last_id).with_for_update()).scalar_one() == 0


ADD_ONE = """
import os, sys
from pathlib import Path
from tempfile import TemporaryDirectory
from cryptosupport.ledger.engine import open_engine, writing
from cryptosupport.ledger.tables import book
engine = open_engine(sys.argv[1], Path(sys.argv[2]))
print("begins", flush=True)
with writing(engine) as connection:
    last = connection.execute(book.select().with_for_update()).one().last_id
    connection.execute(book.update().values(last_id=last + 1))
    print('ends')
engine.dispose()
"""


def start(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


# -- errors ----------------------------------------------------------------------------------------------------------


def test_a_broken_rule_of_the_tables_is_an_error_of_the_program(ledger_engine: Engine) -> None:
    schema.ready(ledger_engine)
    add = insert(policy).values(hash="h", text="", first_at=0)
    with pytest.raises(IntegrityError):
        write(ledger_engine, add, add)


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    file.write_text("a note that somebody keeps here" * 99, encoding="utf-8")
    with opened(SQLITE, tmp_path) as engine, pytest.raises(BadSettings, match="is not a SQLite database"):
        schema.ready(engine)
    assert file.read_text(encoding="utf-8") == "a note that somebody keeps here" * 99


def test_a_folder_in_the_place_of_the_ledger_is_bad_settings(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").mkdir()
    with opened(SQLITE, tmp_path) as engine, pytest.raises(BadSettings, match="Is a directory"):
        schema.ready(engine)


def test_a_file_in_the_place_of_the_folder_is_bad_settings(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with opened(SQLITE, tmp_path / "data") as engine, pytest.raises(BadSettings, match="File exists"):
        schema.ready(engine)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that others can reach: those of pytest are for their owner."""
    with TemporaryDirectory(prefix="cryptosupport-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_folder_that_may_not_be_written_is_told(public: Path) -> None:
    public.chmod(0o555)
    with no_root(), opened(SQLITE, public) as engine, pytest.raises(Unreachable, match="Permission denied"):
        schema.ready(engine)


def test_a_ledger_that_nobody_may_look_at_is_told(public: Path) -> None:
    (public / "shut").mkdir(mode=0o700)
    with no_root(), opened(SQLITE, public / "shut") as engine:
        for look in (schema.status, schema.last_decision, lambda engine: back_up(engine, public / "copy.db")):
            with pytest.raises(BadSettings, match=r"shut/ledger\.db cannot be read: Permission denied"):
                look(engine)


def test_a_copy_where_nobody_may_look_is_bad_input(public: Path) -> None:
    (public / "data").mkdir()
    (public / "data").chmod(0o777)
    (public / "shut").mkdir(mode=0o700)
    with no_root(), opened(SQLITE, public / "data") as engine:
        schema.ready(engine)
        with pytest.raises(BadInput, match=r"shut/copy\.db cannot be written: Permission denied"):
            back_up(engine, public / "shut" / "copy.db")


@pytest.mark.parametrize("where", ["file", "file/data", "link", "link/data", "shown", "shown/data"])
def test_the_status_of_a_ledger_that_cannot_be_made_is_bad_settings(public: Path, where: str) -> None:
    (public / "file").touch()
    (public / "link").symlink_to("nowhere")
    (public / "shown").mkdir(mode=0o755)
    with no_root(), opened(SQLITE, public / where) as engine:
        for look in (schema.status, schema.last_decision):
            with pytest.raises(BadSettings, match=r"Not a directory|is not there, or cannot be written"):
                look(engine)


def test_the_status_tells_that_the_folder_of_an_absolute_path_is_missing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/disk/ledger.db"
    with opened(url, tmp_path / "data") as engine, pytest.raises(BadSettings, match="disk is not there, or"):
        schema.status(engine)
    (tmp_path / "disk").mkdir()
    with opened(url, tmp_path / "data") as engine:
        assert schema.status(engine)["revision"] is None
    with opened(SQLITE, tmp_path / "one" / "two") as engine:
        assert schema.status(engine)["revision"] is None
    assert not (tmp_path / "one").exists()


def test_a_file_that_may_not_be_written_is_told(public: Path) -> None:
    with opened(SQLITE, public) as engine:
        schema.ready(engine)
    (public / "ledger.db").chmod(0o444)
    public.chmod(0o555)
    with no_root(), opened(SQLITE, public) as engine, pytest.raises(Unreachable, match="cannot be read or written"):
        schema.ready(engine)


def test_a_full_disk_is_told_and_nothing_is_recorded(tmp_path: Path) -> None:
    with opened(SQLITE, tmp_path) as engine:
        schema.ready(engine)
        with reading(engine) as connection:  # as if the disk ended here
            pages = connection.exec_driver_sql("pragma page_count").scalar_one()
            connection.exec_driver_sql(f"pragma max_page_count = {pages}")
        large = insert(policy).values(hash="h", text="x" * 10_000, first_at=0)
        with pytest.raises(Unreachable, match="its disk is full: make room"):
            write(engine, update(book).values(last_id=7), large)
        assert booked(engine) == 0


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    with opened(SQLITE, tmp_path) as engine:
        schema.ready(engine)
    damaged = bytearray((tmp_path / "ledger.db").read_bytes())
    damaged[4096:] = b"\xff" * (len(damaged) - 4096)
    (tmp_path / "ledger.db").write_bytes(damaged)
    with (
        opened(SQLITE, tmp_path) as engine,
        pytest.raises(Unreachable, match=r"is damaged \(.*keep it as it is, pay nothing.*backup"),
    ):
        booked(engine)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("guest:hunter2@127.0.0.1:{port}/postgres", "password authentication failed"),
        ("guest@127.0.0.1:{port}/postgres", "no password supplied"),
        ("stranger@127.0.0.1:{port}/postgres", 'role "stranger" does not exist'),
        ("desk@127.0.0.1:{port}/nothing", 'database "nothing" does not exist'),
        ("desk@127.0.0.1:{port}/postgres?sslmode=hunter2", "invalid sslmode value"),
        ("desk@127.0.0.1:{port}/postgres?colour=red", 'invalid connection option "colour"'),
        ("desk@127.0.0.1:99999/postgres", "invalid port number"),
        ("guest:correct%20horse@127.0.0.1:{port}/postgres", "permission denied for schema public"),
    ],
)
def test_a_server_that_turns_us_away_is_bad_settings(postgres: Postgres, where: str, said: str) -> None:
    url = "postgresql+psycopg://" + where.format(port=postgres.port)
    with opened(url, Path()) as engine, pytest.raises(BadSettings, match=re.escape(said)) as refused:
        schema.ready(engine)
    assert "desk.toml" in refused.value.message
    assert ":hunter2" not in refused.value.message


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("127.0.0.1:1", "Connection refused"),
        ("no-such-host.invalid", "no-such-host.invalid"),
        ("", "No such file or directory"),
    ],
)
def test_a_server_that_cannot_be_reached_is_told(tmp_path: Path, where: str, said: str) -> None:
    url = f"postgresql+psycopg://desk:hunter2@{where}/db"
    url += "" if where else f"?host={tmp_path}"
    with opened(url, Path()) as engine, pytest.raises(Unreachable, match=said) as failed:
        schema.ready(engine)
    assert "hunter2" not in failed.value.message


def test_a_server_that_goes_away_meanwhile_is_told(postgres: Postgres, postgres_database: MakeDatabase) -> None:
    with opened(postgres.url(postgres_database()), Path()) as engine:
        schema.ready(engine)
        ours = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'cryptosupport'"
        change = update(book).values(last_id=7)
        with pytest.raises(Unreachable, match="terminating connection"):
            write(engine, change, lambda: postgres.execute(ours), change)
        assert booked(engine) == 0


def test_a_server_that_only_reads_is_told(postgres: Postgres, postgres_database: MakeDatabase) -> None:
    name = postgres_database()
    postgres.execute(f"alter database {name} set default_transaction_read_only = on")
    with opened(postgres.url(name), Path()) as engine, pytest.raises(Unreachable, match="read-only transaction"):
        schema.ready(engine)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_removed_or_replaced_while_it_is_open_is_not_written_on(tmp_path: Path, replaced: bool) -> None:
    engine = open_engine("sqlite:///ledger.db", tmp_path)
    schema.ready(engine)
    path = tmp_path / "ledger.db"

    def write() -> None:
        with writing(engine) as connection:
            connection.execute(text("update book set last_id = 7"))
            path.rename(tmp_path / "elsewhere.db")
            if replaced:
                path.touch()

    with pytest.raises(Unreachable, match="removed or replaced"):
        write()
    assert not replaced or path.stat().st_size == 0
