"""The tables of an empty ledger, made by the statements that alembic has sent for the one before it.

Alembic takes a quarter of a second for them, and nearly every test begins with an empty ledger. The tests of the ledger
itself have alembic make each.
"""

from __future__ import annotations

import secrets
from contextlib import closing
from typing import Any

from sqlalchemy import Connection, event

from cryptosupport.ledger import schema

by_alembic = schema._migrate
"""What makes or upgrades tables in the program."""

_sent: dict[tuple[str, str], list[tuple[str, Any, bool]]] = {}


def by_statements(connection: Connection) -> None:
    """Make the tables in an empty database as alembic has, with an id of the ledger's own; else let alembic work."""
    if schema.revision(connection) is not None:
        return by_alembic(connection)
    place = connection.dialect.name, schema.HEAD
    if place not in _sent:
        _sent[place] = _recorded(connection)
        return None
    with closing(connection.connection.cursor()) as cursor:
        for statement, parameters, many in _sent[place]:
            (cursor.executemany if many else cursor.execute)(statement, parameters)
        cursor.execute(f"update book set ledger_id = '{secrets.token_hex(16)}'")
    return None


def _recorded(connection: Connection) -> list[tuple[str, Any, bool]]:
    """Let alembic make the tables; the statements that it sent, but for those that only look."""
    sent: list[tuple[str, Any, bool]] = []

    def note(_: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA")):
            sent.append((statement, parameters, many))

    event.listen(connection, "before_cursor_execute", note)
    try:
        by_alembic(connection)
    finally:
        event.remove(connection, "before_cursor_execute", note)
    return sent
