"""Which tables a database has, and bringing them up to date."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, column, func, inspect, select, table, text

from cryptosupport.domain.errors import BadSettings
from cryptosupport.domain.withdrawal_record import moment
from cryptosupport.ledger import tables
from cryptosupport.ledger.engine import bare_url, is_made, place, reading, writing

HEAD = "0004"
"""The revision that this version of the program works with: the number of the last step in `migrations`."""

_REVISION = table(tables.REVISION, column("version_num"))
_UPGRADING = 7_264_518_307_913_001
"""The advisory lock of PostgreSQL that whoever upgrades holds; the number means nothing."""


def ready(engine: Engine) -> None:
    """Make sure that the ledger can be worked with: an empty database gets its tables.

    Raises `BadSettings` for a ledger of another version and for a database that holds something else, and
    `Unreachable`.
    """
    with reading(engine) as connection:
        found = _examined(connection)
    if found is None:
        upgrade(engine)
    elif found < HEAD:
        raise BadSettings(
            f"the ledger {place(engine)} is at revision {found} and this program needs {HEAD}: stop other runs, take "
            "`cryptosupport ledger backup FILE`, then run `cryptosupport ledger upgrade`"
        )


def upgrade(engine: Engine) -> tuple[str | None, str]:
    """Bring the tables up to date and return the revisions before (None: a new ledger) and after.

    It happens whole or not at all, and of two at once one waits for the other. Raises as `ready` does.
    """
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_UPGRADING)))
            _check_encoding(connection)
        found = _examined(connection)
        if found != HEAD:
            _migrate(connection)
    return found, HEAD


def revision(connection: Connection) -> str | None:
    """The revision of the ledger in this database; None when it holds none."""
    if not inspect(connection).has_table(tables.REVISION):
        return None
    found: str | None = connection.scalar(select(_REVISION.c.version_num))
    return found


def status(engine: Engine) -> dict[str, Any]:
    """Tell where the ledger is and what it holds, as a record. A SQLite file that is not there is not made.

    `size` is in bytes; `withdrawals` counts them by state. Raises as `ready` does, but not for an older ledger; and
    `BadSettings` where a SQLite file is not there and cannot be made.
    """
    record: dict[str, Any] = {"url": bare_url(engine), "dialect": engine.dialect.name, "server": None}
    record |= {"revision": None, "head": HEAD, "size": 0, "withdrawals": {}, "last_decision_at": None}
    if not is_made(engine):
        return record
    with reading(engine) as connection:
        record["server"] = ".".join(map(str, connection.dialect.server_version_info or ()))
        record["revision"] = _examined(connection)
        record["size"] = connection.scalar(text(_SIZE[engine.dialect.name]))
        if record["revision"] is not None:
            state, last = tables.withdrawal.c.state, connection.scalar(select(tables.book.c.last_at))
            counts = connection.execute(select(state, func.count()).group_by(state).order_by(state))
            record["withdrawals"] = dict(counts.tuples().all())
            record["last_decision_at"] = moment(last) if last else None
    return record


def last_decision(engine: Engine) -> int | None:
    """When the last decision was made, in milliseconds since 1970; None without one. Raises as `status` does."""
    if not is_made(engine):
        return None
    with reading(engine) as connection:
        last = connection.scalar(select(tables.book.c.last_at)) if _examined(connection) is not None else None
    return last or None


_SIZE = {
    "sqlite": "select page_count * page_size from pragma_page_count(), pragma_page_size()",
    "postgresql": "select pg_database_size(current_database())",
}


def _examined(connection: Connection) -> str | None:
    """The revision; None for an empty database. Raises `BadSettings` for what cannot be ours, or is newer."""
    found = revision(connection)
    if found is None:
        others = sorted(inspect(connection).get_table_names())
        if others:
            named = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
            raise BadSettings(
                f"{place(connection.engine)} holds {len(others)} tables of something else ({named}) and no ledger: "
                "correct [ledger] url in desk.toml, or name an empty database"
            )
    elif found > HEAD:
        raise BadSettings(
            f"the ledger {place(connection.engine)} was made by a newer version of this program: it is at revision "
            f"{found}, and this version knows {HEAD}. Install the newer version"
        )
    return found


def _check_encoding(connection: Connection) -> None:
    encoding = connection.scalar(text("show server_encoding"))
    if encoding != "UTF8":
        raise BadSettings(
            f"the database {place(connection.engine)} keeps text as {encoding}: make it anew with "
            "create database ... encoding 'UTF8' template template0"
        )


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "cryptosupport.ledger:migrations")
    command.upgrade(config, HEAD)
