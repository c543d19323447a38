"""A copy of the ledger in one file, of one moment, while others go on working.

The copy of either database is a SQLite file: `url = "sqlite:////folder/copy.db"` opens it as a ledger.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, delete, insert, select
from sqlalchemy.exc import DBAPIError

from cryptosupport.domain.errors import BadInput, BadSettings, Unreachable
from cryptosupport.ledger import schema, tables
from cryptosupport.ledger.engine import file_of, is_made, place, reading, sqlite_fault

_PAGES = 16_384
_ROWS = 1000
_FILES = 1000
_SQLITE = b"SQLite format 3\0"


def back_up(engine: Engine, target: Path) -> dict[str, int]:
    """Write a copy of the ledger to ``target``, a new file that its owner alone can read; return the rows by table.

    It appears under its name when it is whole, checked and on the disk. Raises `BadInput` for a target that is there
    or cannot be, `BadSettings` where there is no ledger, and `Unreachable`.
    """
    source = file_of(engine)
    if not is_made(engine):
        raise BadSettings(f"there is no ledger at {source} yet: nothing to back up")
    with _new_file(target) as file, reading(engine) as connection:
        found = schema.revision(connection)  # SQLite: from here on this connection sees one moment only
        if found is None:
            raise BadSettings(f"{place(engine)} holds no ledger: nothing to back up")
        with _faults_of_copy(target):
            if source is not None:
                _copy_pages(connection, file)
            else:
                _copy_rows(connection, file, found)
            return _examine(file, engine)


def ledgers_in(*folders: Path) -> list[Path]:
    """The SQLite files in these folders that hold a ledger, or a copy of one; what cannot be read is none."""
    files = [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())[:_FILES]]
    return [path for path in files if path.is_file() and not path.is_symlink() and _holds_a_ledger(path)]


def _holds_a_ledger(path: Path) -> bool:
    query = "select count(*) from sqlite_master where type = 'table' and name in ('audit', 'book', 'withdrawal')"
    try:
        with path.open("rb") as file:
            if file.read(len(_SQLITE)) != _SQLITE:
                return False
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            return bool(connection.execute(query).fetchone() == (3,))
    except (OSError, sqlite3.Error):
        return False


@contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """A file beside ``target`` to write to; it takes the name of ``target`` in the end, or is removed."""
    if os.path.lexists(target):  # where it may not be looked at, it cannot be made either
        raise BadInput(f"{target} is there already: name a new file, nothing is written over")
    try:
        number, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    except OSError as error:
        raise BadInput(f"{target} cannot be written: {error.strerror}") from error
    os.close(number)
    file = Path(name)
    try:
        yield file
        _to_disk(file)
        file.rename(target)
        _to_disk(target.parent)
    except OSError as error:
        raise Unreachable(f"{target} cannot be written: {error.strerror}") from error
    finally:
        for end in ("", "-journal", "-wal", "-shm"):
            file.with_name(file.name + end).unlink(missing_ok=True)


@contextmanager
def _faults_of_copy(target: Path) -> Iterator[None]:
    """Tell the errors of the copy, such as a full disk, by the name that it was to get."""
    try:
        yield
    except (sqlite3.Error, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        fault = sqlite_fault(cause, target) if isinstance(cause, sqlite3.Error) else None
        if fault is None:
            raise
        raise fault from error


def _to_disk(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _copy_pages(connection: Connection, file: Path) -> None:
    """From SQLite: page by page."""
    source = connection.connection.driver_connection
    assert isinstance(source, sqlite3.Connection)
    with closing(sqlite3.connect(file)) as copy:
        copy.execute("pragma synchronous = off")
        # In pieces, each followed by a bit of Python, so that Ctrl-C is heard.
        source.backup(copy, pages=_PAGES, progress=lambda status, left, total: None)
        copy.execute("pragma journal_mode = delete")  # one file, that a read-only disk can hold too


def _copy_rows(connection: Connection, file: Path, found: str) -> None:
    """From PostgreSQL: row by row, into tables of our own making."""
    if found != schema.HEAD:
        raise BadSettings(
            f"the ledger is at revision {found} and this program copies {schema.HEAD}: use pg_dump, or upgrade it first"
        )
    engine = create_engine(URL.create("sqlite", database=str(file)), poolclass=NullPool)
    schema.upgrade(engine)
    with engine.connect() as copy:
        for pragma in ("synchronous = off", "journal_mode = off"):  # until it is whole it is worth nothing
            copy.exec_driver_sql(f"pragma {pragma}")
        copy.execute(delete(tables.book))
        for table in tables.metadata.sorted_tables:
            query = select(table).order_by(*table.primary_key).execution_options(yield_per=_ROWS)
            for rows in connection.execute(query).mappings().partitions():
                copy.execute(insert(table), [dict(row) for row in rows])
        copy.commit()


def _examine(file: Path, engine: Engine) -> dict[str, int]:
    """Count the rows of the copy by table. Raises `Unreachable` when it is damaged, as the ledger then is."""
    with closing(sqlite3.connect(file)) as copy:
        (said,) = copy.execute("pragma integrity_check(1)").fetchone()
        if said != "ok":
            raise Unreachable(f"the ledger {place(engine)} is damaged ({said}): no copy was made, pay nothing now")
        names = [name for (name,) in copy.execute("select name from sqlite_master where type = 'table' order by name")]
        counts = {name: copy.execute(f'select count(*) from "{name}"').fetchone()[0] for name in names}
    del counts[tables.REVISION]
    return counts
