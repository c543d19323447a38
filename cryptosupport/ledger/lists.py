"""The screening lists of the ledger: heads, entries, and imports."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, select, update

from cryptosupport.domain.screening import Listed, ListHead, ListKind
from cryptosupport.ledger import tables
from cryptosupport.ledger.sums import chunks, upsert

_E = tables.screen_entry.c


def heads(connection: Connection) -> list[ListHead]:
    """The lists as they were imported last, by name."""
    found = connection.execute(select(tables.screen_list).order_by(tables.screen_list.c.name)).mappings()
    return [ListHead(**{**row, "kind": ListKind(row["kind"])}) for row in found]


def listed(connection: Connection, name: str) -> list[Listed]:
    """The entries that are on a list now, in the order of their keys."""
    query = select(_E.key, _E.address, _E.entry, _E.label, _E.tag, _E.customer, _E.since)
    query = query.where(_E.list == name, _E.delisted_at.is_(None)).order_by(_E.key, _E.customer)
    return [Listed(*row) for row in connection.execute(query)]


def set_list(connection: Connection, head: ListHead, added: Sequence[Listed], delisted: Sequence[Listed]) -> None:
    """Record an import: what came to the list, and what is no longer on it."""
    names = ("name", "source", "as_of", "imported_at", "entries", "digest")
    row = {name: getattr(head, name) for name in names} | {"kind": head.kind.value}
    connection.execute(upsert(connection, tables.screen_list), [row])
    fields = ("key", "address", "entry", "label", "tag", "customer", "since")
    for some in chunks(added):
        values = [{name: getattr(each, name) for name in fields} | {"list": head.name} for each in some]
        connection.execute(upsert(connection, tables.screen_entry), [each | {"delisted_at": None} for each in values])
    for some in chunks(delisted):
        gone = [{"the_key": each.key, "the_customer": each.customer} for each in some]
        connection.execute(_DELIST, [each | {"the_list": head.name, "at": head.imported_at} for each in gone])


def drop_list(connection: Connection, name: str, at: int) -> None:
    """Take a list away; what was on it is delisted."""
    listed_now = update(tables.screen_entry).where(_E.list == name, _E.delisted_at.is_(None))
    connection.execute(listed_now.values(delisted_at=at))
    connection.execute(delete(tables.screen_list).where(tables.screen_list.c.name == name))


_DELIST = (
    update(tables.screen_entry)
    .where(_E.list == bindparam("the_list"), _E.key == bindparam("the_key"), _E.customer == bindparam("the_customer"))
    .values(delisted_at=bindparam("at"))
)
