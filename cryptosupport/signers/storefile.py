"""The file that a signer's store is: made for its user alone, of one shape, and each transaction on the disk."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptosupport.domain.errors import BadSettings, Unreachable

LOCK_SECONDS = 10
"""So long one process waits for another that writes."""

_APPLICATION = 0x63735347  # "csSG"
_TABLES = {
    # One row for each withdrawal that was ever signed for; a further round only where the one before was retired.
    "payment": """
        request_id text not null, round integer not null, chain text not null, source text not null,
        claims text not null, pays text not null, ledger_id text not null, first_at integer not null,
        primary key (request_id, round)""",
    # One row for each nonce or input that was ever signed for, and whose it is.
    "claim": """
        chain text not null, source text not null, claim text not null, set_id text not null,
        request_ids text not null, first_at integer not null,
        primary key (chain, source, claim)""",
    # One row for each signature. base_units is what leaves because of it, by symbol: nothing for a bump or a cancel.
    "signature": """
        number integer not null primary key, at integer not null, chain text not null, source text not null,
        request_ids text not null, kind text not null, claims text not null, plan_hash text not null,
        txid text not null, base_units text not null""",
    # One row for each withdrawal whose claims were proven dead.
    "retired": """
        request_id text not null, round integer not null, claims text not null, proof text not null,
        at integer not null,
        primary key (request_id, round)""",
    # How far the audit log of each ledger had come, as workers said at times.
    "head": """
        ledger_id text not null, number integer not null, hash text not null, at integer not null,
        primary key (ledger_id, number)""",
    # One row: which store this is.
    "store": "id text not null primary key",
}
_SAME = {
    "payment": "request_id = new.request_id and round = new.round",
    "claim": "chain = new.chain and source = new.source and claim = new.claim",
    "signature": "number = new.number",
    "retired": "request_id = new.request_id and round = new.round",
    "head": "ledger_id = new.ledger_id and number = new.number",
    "store": "true",
}
_SCHEMA = [
    *(f"create table {name} ({columns})" for name, columns in _TABLES.items()),
    "create index signature_of_an_hour on signature (chain, source, at)",
    "create index signature_of_txid on signature (txid)",
    "create index signature_of_claims on signature (chain, source, claims)",
    "create index payment_of_claims on payment (chain, source, claims)",
    *(
        f"create trigger {name}_no_{change} before {change} on {name} "
        "begin select raise(abort, 'what was signed is only added to'); end"
        for name in _TABLES
        for change in ("update", "delete")
    ),
    *(  # also "insert or replace" must not take the place of a row
        f"create trigger {name}_no_replacement before insert on {name} "
        f"when exists (select 1 from {name} where {same}) "
        "begin select raise(abort, 'what was signed is only added to'); end"
        for name, same in _SAME.items()
    ),
    "create trigger payment_in_turn before insert on payment when new.round > 0 and not exists "
    "(select 1 from retired where request_id = new.request_id and round = new.round - 1) "
    "begin select raise(abort, 'the round before was not retired'); end",
]


@contextmanager
def _part_of(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A part of a transaction, undone by its own error alone."""
    connection.execute("savepoint part")
    try:
        yield connection
    except BaseException:
        connection.execute("rollback to part")
        connection.execute("release part")
        raise
    connection.execute("release part")


class StoreFile:
    """One SQLite file, opened at the first use and made where there is none; for any thread.

    Raises `BadSettings` for a file that cannot be used, `Unreachable` where another process has it for too long or the
    disk is full.
    """

    def __init__(self, path: Path, lock_seconds: int) -> None:
        self._path = path
        self._lock_seconds = lock_seconds
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._file = (0, 0)
        self._seen = 0
        self._within: sqlite3.Connection | None = None  # the transaction that all others are part of just now

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def together(self) -> Iterator[None]:
        """Have the file alone, and end on the disk once, for all transactions of this thread that begin meanwhile.

        Each of them is undone by its own error alone; an error that leaves this undoes them all.
        """
        with self._lock, self.transaction(write=True) as connection:
            self._within = connection
            try:
                yield
            finally:
                self._within = None

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction, undone by any error; to ``write`` one has the file alone, and it ends on the disk."""
        with self._lock, self._translated():
            if self._within is not None:  # it is this thread's: it has the lock
                with _part_of(self._within) as connection:
                    yield connection
                return
            connection = self._open()
            connection.execute("begin immediate" if write else "begin")
            try:
                self._refuse_replaced(connection)
                yield connection
                connection.execute("commit")
            finally:
                if connection.in_transaction:
                    connection.execute("rollback")

    def _refuse_replaced(self, connection: sqlite3.Connection) -> None:
        """Raise `BadSettings` where the file is another than before, or older: what it forgot could be paid again."""
        try:
            status = os.stat(self._path)
        except OSError as error:
            raise BadSettings(f"{self._path} was taken away while it was in use: nothing is signed") from error
        (count,) = connection.execute("select coalesce(max(number), 0) from signature").fetchone()
        if (status.st_dev, status.st_ino) != self._file or count < self._seen:
            raise BadSettings(f"{self._path} was replaced while it was in use: nothing is signed until it is restored")
        self._seen = count

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            file = _private(self._path)
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._file, self._connection = file, connection
        return self._connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        _patiently(connection, "pragma journal_mode = wal", self._lock_seconds)
        connection.execute("pragma synchronous = full")
        connection.execute("pragma recursive_triggers = on")
        if _shape(connection) == _wanted_shape() and _application(connection) == _APPLICATION:
            return
        connection.execute("begin immediate")
        try:
            if not _shape(connection) and not _application(connection):  # nobody else has made it meanwhile
                for statement in _SCHEMA:
                    connection.execute(statement)
                connection.execute("insert into store values (?)", (os.urandom(8).hex(),))
                connection.execute(f"pragma application_id = {_APPLICATION}")
            if _shape(connection) != _wanted_shape() or _application(connection) != _APPLICATION:
                raise BadSettings(
                    f"{self._path} is no store of a signer, or its tables or triggers were changed: nothing is signed"
                )
            connection.execute("commit")
        finally:
            if connection.in_transaction:
                connection.execute("rollback")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            passing = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
            kind = Unreachable if code in passing else BadSettings
            raise kind(f"the store of the signer, {self._path}, cannot be used: {error}; nothing was signed") from error


def _private(path: Path) -> tuple[int, int]:
    """Make the file where there is none, for us alone; its device and inode. Raises `BadSettings`.

    It is not opened here: to close it would take SQLite's locks from whoever else has it in this process.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.mknod(path, 0o600 | stat.S_IFREG)
        folder, status = path.parent.stat(), path.lstat()
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise BadSettings(f"the store of the signer, {path}, cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077 or status.st_uid != os.geteuid():
        raise BadSettings(f"{path} must be a file of the signer's user that nobody else can read or write: chmod 600")
    if folder.st_mode & 0o022 or folder.st_uid not in (0, os.geteuid()):
        raise BadSettings(f"others can write the folder {path.parent}: chmod 700")
    return status.st_dev, status.st_ino


def _patiently(connection: sqlite3.Connection, statement: str, lock_seconds: int) -> None:
    """Execute what SQLite does not wait for by itself, again and again until nobody else has the file."""
    until = time.monotonic() + lock_seconds
    connection.execute(f"pragma busy_timeout = {lock_seconds * 1000}")
    while True:
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
            time.sleep(0.005)
        else:
            return


def _shape(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return connection.execute("select name, sql from sqlite_master where sql is not null order by name").fetchall()


def _wanted_shape() -> list[tuple[str, str]]:
    """What a file looks like that was just made."""
    fresh = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for statement in _SCHEMA:
            fresh.execute(statement)
        return _shape(fresh)
    finally:
        fresh.close()


def _application(connection: sqlite3.Connection) -> int:
    (number,) = connection.execute("pragma application_id").fetchone()
    return int(number)
