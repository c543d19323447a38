"""What the audit log says of rows beside withdrawals: for each change a digest of the row as it was left."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, Table, func, select, text

from cryptosupport.domain.audit import GONE, ROW, Act
from cryptosupport.domain.errors import Tampered
from cryptosupport.domain.withdrawals import canonical
from cryptosupport.ledger import tables

_PERSONAL = {"note": frozenset({"text"})}
"""Columns that no digest covers: what may be forgotten later."""

_A, _E = tables.audit.c, tables.screen_entry.c
_FACTS = msgspec.json.Decoder(dict[str, str | None])
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
    told = {name: _told(values[name]) for name in _covered(table) if values.get(name) is not None}
    return hashlib.sha256(canonical(told | {"": contents})).hexdigest()


@cache
def _covered(table: Table) -> tuple[str, ...]:
    """The columns that the digest of a row covers."""
    return tuple(set(table.c.keys()) - _PERSONAL.get(table.name, frozenset()))


def name_of(table: Table, values: Mapping[Any, Any]) -> str:
    """The key of a row, as a JSON list of texts."""
    return canonical([str(values[name]) for name in table.primary_key.columns.keys()]).decode()  # noqa: SIM118


def contents_of(connection: Connection, name: str) -> str:
    """SHA-256 (hex) over all that a screening list has and had, in whatever order the database gives it."""
    query = select(tables.screen_entry).where(_E.list == name).execution_options(yield_per=_PAGE)
    digests = sorted(digest_of(tables.screen_entry, row) for row in connection.execute(query).mappings())
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def row_in(facts: str) -> str | None:
    """What the facts of an entry say of a row; None where they say nothing, or cannot be read."""
    try:
        return _FACTS.decode(facts).get(ROW)
    except msgspec.DecodeError:
        return None


def digests_of(table: Table, rows: Iterable[Mapping[Any, Any]]) -> dict[str, str]:
    """The digests of rows as they stand there, by their keys."""
    return {name_of(table, row): digest_of(table, row) for row in rows}


def rows_of(connection: Connection, table: Table, subject: str) -> dict[str, str]:
    """The digests that the log says last of all rows of ``table`` that it knows under one subject, by their keys."""
    return _rows(connection, table, select(_A.facts).where(_A.subject == subject).order_by(_A.number))


def last_rows(connection: Connection, table: Table, subjects: Collection[str]) -> dict[str, str]:
    """The digest that the log says last of the one row of ``table`` that is known under each of some subjects."""
    of_table = _A.facts.like(f'%"{ROW}":"{table.name} %')
    latest = select(func.max(_A.number)).where(_A.subject.in_(list(subjects)), of_table)
    found = connection.execute(select(_A.subject, _A.facts).where(_A.number.in_(latest.group_by(_A.subject))))
    return {subject: (row_in(facts) or "").split(" ")[1] for subject, facts in found}


def rows_by_kind(connection: Connection, table: Table, kind: str) -> dict[str, str]:
    """The same of all rows that it knows by acts whose kind begins with ``kind`` and a point."""
    of_kind = _A.kind > f"{kind}.", _A.kind < f"{kind}/"
    return _rows(connection, table, select(_A.facts).where(*of_kind, text(tables.BESIDE)).order_by(_A.number))


def _rows(connection: Connection, table: Table, query: Select[tuple[str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for facts in connection.scalars(query):
        place, _, rest = (row_in(facts) or "").partition(" ")
        if place == table.name:
            digest, _, name = rest.partition(" ")
            found[name] = digest
    return {name: digest for name, digest in found.items() if digest != GONE}


def tampered(what: str) -> Tampered:
    """``what`` is not as the log has it."""
    return Tampered(
        f"{what}: changed in the database behind this program, the audit log has it otherwise; nothing is decided. "
        "Run `cryptosupport audit verify`, and restore the ledger from a backup"
    )


def _told(value: Any) -> Any:
    return value if isinstance(value, bool) else str(value)
