"""The database of the ledger: opening it, reading from it, writing to it, and what its errors mean."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from cryptosupport.domain.errors import BadSettings, SupportError, Unreachable
from cryptosupport.ledger.sqlite import patiently, result_code
from cryptosupport.ledger.tables import REVISION
from cryptosupport.settings.reading import is_there

LOCK_SECONDS = 60
"""So long a run waits for another that has the ledger."""

_CONNECT_SECONDS = 10
_PAGE_CACHE_KIB = 64 * 1024
_EXAMPLES = '"sqlite:///cryptosupport.db" or "postgresql+psycopg://user@host/db"'
_WRITES = "ledger_writes"
_FILE = "ledger_file"

_making = threading.Lock()


def open_engine(
    url: str, data_folder: Path, *, from_reference: bool = False, lock_seconds: int = LOCK_SECONDS
) -> Engine:
    """Prepare to work with the database at ``url``; it is reached, and a SQLite file made, at the first use.

    A relative path of SQLite is below ``data_folder``. A password may stand in ``url`` only ``from_reference``: when
    the settings have "keyring:NAME" or "env:NAME". Raises `BadSettings`.
    """
    try:
        parts = make_url(url)
        (parts.host or "").encode("idna")  # as the resolver will
    except (ArgumentError, ValueError):  # what they say can hold the password
        raise BadSettings(f"[ledger] url in desk.toml is no database url: write {_EXAMPLES}") from None
    match parts.drivername:
        case "sqlite":
            return _open_sqlite(parts, data_folder, lock_seconds)
        case "postgresql+psycopg":
            _refuse_blurred(url, parts)
            return _open_postgres(parts, from_reference, lock_seconds)
        case other:
            raise BadSettings(f"[ledger] url in desk.toml begins with {other}, which is not known: write {_EXAMPLES}")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction to write in; on SQLite nobody else writes meanwhile. An error undoes it.

    Raises `Unreachable` and `BadSettings`, as `translated` does. When a server goes away while it commits, the
    transaction may have happened: whoever writes must be able to do the same again.
    """
    with translated(engine), engine.execution_options(**{_WRITES: True}).begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction to read in: all of it sees the same moment, and it holds up nobody.

    Raises `Unreachable` and `BadSettings`, as `translated` does.
    """
    with translated(engine), engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            yield connection


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Turn the errors of the database that a desk can meet into `Unreachable` or `BadSettings`.

    Others, such as a broken constraint, are errors of the program and stay what they are.
    """
    try:
        yield
    except (DBAPIError, engine.dialect.loaded_dbapi.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        fault = _sqlite_fault(cause, engine) if isinstance(cause, sqlite3.Error) else _postgres_fault(cause, engine)
        if fault is None:
            raise
        raise fault from error


def bare_url(engine: Engine) -> str:
    """The url without its password and options."""
    url = engine.url
    where = {key: url.query[key] for key in ("host", "port") if key in url.query}
    bare = URL.create(url.drivername, url.username, None, url.host, url.port, url.database, where)
    return bare.render_as_string()


def place(engine: Engine) -> str:
    """Where the ledger is, for people: the path of a SQLite file, else the url without its password."""
    return str(file_of(engine) or bare_url(engine))


def file_of(engine: Engine) -> Path | None:
    """The file of a SQLite ledger, there or not; None for a server."""
    return Path(str(engine.url.database)) if engine.url.drivername == "sqlite" else None


def is_made(engine: Engine) -> bool:
    """Whether there is a database to look into. Only a SQLite file can be missing; nothing is made.

    Raises `BadSettings` where there is no file and none can be made.
    """
    file = file_of(engine)
    if file is None or is_there(file):
        return True
    folder = file.parent
    while engine.get_execution_options()["makes_folder"] and not is_there(folder):
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise BadSettings(f"the ledger cannot be at {file}: {folder} is not there, or cannot be written")
    return False


# -- SQLite ----------------------------------------------------------------------------------------------------------


def _open_sqlite(url: URL, data_folder: Path, lock_seconds: int) -> Engine:
    if not url.database or url.database == ":memory:" or "\0" in url.database or url.host or url.query:
        raise BadSettings(
            '[ledger] url in desk.toml names no file: write "sqlite:///name.db" for one in the data folder, '
            '"sqlite:////folder/name.db" for one elsewhere'
        )
    named = Path(url.database)
    path = (data_folder / named).absolute()
    folder = None if named.is_absolute() else path.parent

    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        creator=lambda: _connect(path, folder, lock_seconds),
        execution_options={"lock_seconds": lock_seconds, "makes_folder": folder is not None},
    )

    @event.listens_for(engine, "connect")
    def note_the_file(connection: Any, record: Any) -> None:
        record.info[_FILE] = _identity(path)

    @event.listens_for(engine, "commit")
    def same_file(connection: Connection) -> None:
        if connection.get_execution_options().get(_WRITES) and connection.connection.info[_FILE] != _identity(path):
            raise Unreachable(
                f"the ledger {path} was removed or replaced while this run had it open: nothing of the last batch is "
                "recorded; put the file back, and run it again"
            )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get(_WRITES):
            patiently(connection.connection.driver_connection, "begin immediate", lock_seconds)
        else:
            connection.exec_driver_sql("begin")

    return engine


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one that has its name later."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _connect(path: Path, folder: Path | None, lock_seconds: int) -> sqlite3.Connection:
    """Connect to the file, made where it is missing, with all that every connection needs."""
    _make(path, folder)
    connection = sqlite3.connect(path, timeout=lock_seconds, isolation_level=None, check_same_thread=False)
    try:
        (mode,) = connection.execute("pragma journal_mode").fetchone()
        if mode != "wal" and _ours(connection):
            (mode,) = patiently(connection, "pragma journal_mode = wal", lock_seconds).fetchone()
            if mode != "wal":
                raise BadSettings(f"the disk of {path} cannot be shared between processes: put the ledger on another")
        connection.execute("pragma synchronous = full")
        connection.execute("pragma foreign_keys = on")
        connection.execute(f"pragma cache_size = -{_PAGE_CACHE_KIB}")
    except BaseException:
        connection.close()
        raise
    return connection


def _ours(connection: sqlite3.Connection) -> bool:
    """Whether the file is empty or holds a ledger; nothing is changed in any other."""
    names = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
    return not names or REVISION in names


def _make(path: Path, folder: Path | None) -> None:
    """Make the file, and ``folder`` where given, for their owner alone; SQLite gives -wal and -shm the file's mode.

    A file that is there is not opened: closing it again would drop the locks that this process has on it.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _making:  # nobody connects between open and close
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if error.errno == errno.EEXIST and path.exists():
            return
        fault = BadSettings if error.errno in _NO_PLACE else Unreachable
        raise fault(f"the ledger cannot be at {path}: {error.strerror}") from error


_NO_PLACE = {errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}


_SQLITE_TELLS = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_AUTH,
}


def sqlite_fault(error: sqlite3.Error, path: Path) -> SupportError | None:
    """What an error of SQLite means for the file at ``path``; None when it is the program's own fault."""
    match result_code(error):
        case sqlite3.SQLITE_FULL:
            return Unreachable(f"{path} cannot grow, its disk is full: make room and run this again")
        case sqlite3.SQLITE_CORRUPT:
            advice = "keep it as it is, pay nothing until it is examined, and restore a backup under another name"
            return Unreachable(f"{path} is damaged ({error}): {advice}")
        case sqlite3.SQLITE_NOTADB:
            return BadSettings(f"{path} is not a SQLite database: correct [ledger] url in desk.toml")
        case code if code in _SQLITE_TELLS:
            return Unreachable(f"{path} cannot be read or written: {error}")
        case _:
            return None


def _sqlite_fault(error: sqlite3.Error, engine: Engine) -> SupportError | None:
    if result_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _locked(engine)
    return sqlite_fault(error, Path(place(engine)))


def _locked(engine: Engine) -> Unreachable:
    seconds = engine.get_execution_options()["lock_seconds"]
    return Unreachable(
        f"another run has had the ledger {place(engine)} for {seconds} s: see what it does, and run this again",
        seconds=seconds,
    )


# -- PostgreSQL ------------------------------------------------------------------------------------------------------


def _refuse_blurred(text: str, url: URL) -> None:
    """Raise `BadSettings`, which shows nothing of the url, where a part of the password may count as another part.

    That is so when an @ is left over: a host, a database or an option would hold it, and be shown.
    """
    if "\0" in unquote(text):
        raise BadSettings("[ledger] url holds a NUL (%00), which no name and no password can have")
    hosts = [str(url.query.get(key, "")) for key in ("host", "hostaddr")]
    shown = (url.host, url.database, *hosts)
    if text.count("@") > 1 or any("@" in part for part in shown if part):
        raise BadSettings(
            "[ledger] url: it is not certain where the password ends: in the user's name, the password and the options "
            "write %40 for @, %2F for /, %3A for :, %3F for ?"
        )


def _open_postgres(url: URL, from_reference: bool, lock_seconds: int) -> Engine:
    secrets = {"password", "sslpassword", "oauth_client_secret"} & url.query.keys()
    if (url.password is not None or secrets) and not from_reference:
        raise BadSettings(
            "[ledger] url in desk.toml holds a password in clear: keep the whole url in the keyring "
            '(`cryptosupport keys set ledger`) and write url = "keyring:ledger", or "env:NAME" for a variable'
        )
    given = url.query.get("options", ())
    options = [*((given,) if isinstance(given, str) else given)]
    options += ["-c synchronous_commit=on", f"-c lock_timeout={lock_seconds * 1000}"]
    return create_engine(
        url,
        poolclass=NullPool,
        isolation_level="READ COMMITTED",
        use_native_hstore=False,
        execution_options={"lock_seconds": lock_seconds},
        connect_args={
            "application_name": "cryptosupport",
            "client_encoding": "utf8",
            "connect_timeout": _CONNECT_SECONDS,
            "keepalives_idle": 30,  # a server that is gone is noticed within a minute
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "options": " ".join(options),
        },
    )


# Of https://www.postgresql.org/docs/current/errcodes-appendix.html, by how they begin.
_WRONG = ("0P", "28", "3D", "3F", "42501")
_AWAY = ("08", "25006", "40", "53", "57", "58", "XX")
_LOCKED = "55P03"
_LOOK_AT = "See [ledger] url in desk.toml, and what this user may do there"

# While connecting there is no code, and the server writes in its own language. English is known; of any other the
# server counts as away, with its words.
_REJECTED = re.compile(
    r"authentication failed|does not exist|no password supplied|no pg_hba\.conf|permission denied"
    r"|invalid connection option|invalid port number|invalid \w+ value|unrecognized configuration parameter"
)


def _postgres_fault(error: BaseException | None, engine: Engine) -> SupportError | None:
    state = getattr(error, "sqlstate", None)
    diagnosis = getattr(error, "diag", None)
    said = " ".join(str((diagnosis and diagnosis.message_primary) or error).split())
    if state == _LOCKED:
        return _locked(engine)
    dbapi = engine.dialect.loaded_dbapi
    if state is None and isinstance(error, (dbapi.OperationalError, dbapi.ProgrammingError)):
        if _REJECTED.search(said):
            state = _WRONG[0]
        elif isinstance(error, dbapi.OperationalError):
            state, said = _AWAY[0], f"{said}. Start the database, or correct [ledger] url in desk.toml"
    if state is not None and state.startswith(_WRONG):
        return BadSettings(f"the ledger {place(engine)} turns us away: {said}. {_LOOK_AT}")
    if state is not None and state.startswith(_AWAY):
        return Unreachable(f"the ledger {place(engine)} cannot be used now: {said}")
    return None
