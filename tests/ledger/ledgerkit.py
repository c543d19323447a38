"""Rows and revisions for the tests of the ledger."""

from __future__ import annotations

from sqlalchemy import Engine, Table, Text, text

from cryptosupport.ledger.engine import writing
from cryptosupport.ledger.tables import REVISION


def a_row(table: Table, **values: object) -> dict[str, object]:
    """A row with ``values``, and with 0 or "" in what else it must have."""
    needed = [column for column in table.columns if not column.nullable]
    return {column.name: "" if isinstance(column.type, Text) else 0 for column in needed} | values


def stamp(engine: Engine, revision: str) -> None:
    """Have the ledger say that it is at ``revision``."""
    with writing(engine) as connection:
        connection.execute(text(f"update {REVISION} set version_num = '{revision}'"))
