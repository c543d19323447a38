"""Rows and revisions for the tests of the ledger."""

from __future__ import annotations

from sqlalchemy import Boolean, Connection, Engine, Table, Text, delete, insert, text

from cryptosupport.domain.audit import BEGINNING
from cryptosupport.ledger.engine import writing
from cryptosupport.ledger.tables import REVISION, book, metadata


def a_row(table: Table, **values: object) -> dict[str, object]:
    """A row with ``values``, and with 0 or "" in what else it must have."""
    needed = [column for column in table.columns if not column.nullable]
    kinds = {Text: "", Boolean: False}
    return {column.name: kinds.get(type(column.type), 0) for column in needed} | values


def unguarded(connection: Connection) -> None:
    """Take away what keeps the audit log from being changed, as somebody who owns the database can."""
    if connection.dialect.name == "sqlite":
        for change in ("update", "delete"):
            connection.execute(text(f"drop trigger if exists audit_no_{change}"))
    else:
        for change in ("change", "truncate"):
            connection.execute(text(f"drop trigger if exists audit_no_{change} on audit"))


def emptied(engine: Engine) -> None:
    """Take everything out of the ledger, so that it is as new."""
    with engine.begin() as connection:
        unguarded(connection)
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))
        first = {"last_at": 0, "last_id": 0, "policy": "", "audit_hash": BEGINNING, "sealed_from": 1}
        connection.execute(insert(book).values(id=1, **first))


def stamp(engine: Engine, revision: str) -> None:
    """Have the ledger say that it is at ``revision``."""
    with writing(engine) as connection:
        connection.execute(text(f"update {REVISION} set version_num = '{revision}'"))
