"""What every user of an SQLite file needs, without SQLAlchemy (look-ups start without it)."""

from __future__ import annotations

import sqlite3
import time
from typing import Any


def patiently(connection: Any, statement: str, lock_seconds: int) -> sqlite3.Cursor:
    """Execute what needs the file alone, again and again until nobody else has it.

    SQLite's own waiting is kept short: Ctrl-C is not heard meanwhile. To change the journal it does not wait at all.
    """
    until = time.monotonic() + lock_seconds
    connection.execute("pragma busy_timeout = 500")
    try:
        while True:
            try:
                done: sqlite3.Cursor = connection.execute(statement)
            except sqlite3.OperationalError as error:
                if result_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                    raise
                time.sleep(0.005)
            else:
                return done
    finally:
        connection.execute(f"pragma busy_timeout = {lock_seconds * 1000}")


def result_code(error: sqlite3.Error) -> int:
    """The primary result code (https://www.sqlite.org/rescode.html); 0 for an error of Python's module itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
