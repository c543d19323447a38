"""What the audit log says of rows beside withdrawals: for each change a digest of the row as it was left."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Table, select

from cryptosupport.domain.audit import GONE, ROW, Act
from cryptosupport.domain.withdrawals import canonical
from cryptosupport.ledger import tables

_PERSONAL = {"note": frozenset({"text"})}
"""Columns that no digest covers: what may be forgotten later."""

_E = tables.screen_entry.c
_PAGE = 2000


def with_row(act: Act, table: Table, values: Mapping[Any, Any], contents: str = "", gone: bool = False) -> Act:
    """The act, which says how it left the row of ``table`` with these ``values``; see `digest_of`."""
    digest = GONE if gone else digest_of(table, values, contents)
    fact = f"{table.name} {digest} {name_of(table, values)}"
    return replace(act, facts={**act.facts, ROW: fact})


def digest_of(table: Table, values: Mapping[Any, Any], contents: str = "") -> str:
    """SHA-256 (hex) over a row and its ``contents``: see `contents_of`.

    What is None is left out, so that a column that is added later changes no digest.
    """
    names = set(table.c.keys()) - _PERSONAL.get(table.name, frozenset())
    told = {name: _told(values[name]) for name in names if values.get(name) is not None}
    return hashlib.sha256(canonical(told | {"": contents})).hexdigest()


def name_of(table: Table, values: Mapping[Any, Any]) -> str:
    """The key of a row, as a JSON list of texts."""
    return canonical([str(values[name]) for name in table.primary_key.columns.keys()]).decode()  # noqa: SIM118


def contents_of(connection: Connection, name: str) -> str:
    """SHA-256 (hex) over all that a screening list has and had, in whatever order the database gives it."""
    query = select(tables.screen_entry).where(_E.list == name).execution_options(yield_per=_PAGE)
    digests = sorted(digest_of(tables.screen_entry, row) for row in connection.execute(query).mappings())
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _told(value: Any) -> Any:
    return value if isinstance(value, bool) else str(value)
