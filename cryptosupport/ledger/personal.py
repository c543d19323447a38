"""Personal data as the ledger keeps it: sealed with the key in force, or in clear where there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, case, func, or_, select, tuple_, update

from cryptosupport.domain.audit import Act
from cryptosupport.domain.errors import SupportError
from cryptosupport.domain.personal import (
    BOX,
    CLEAR,
    ENABLED,
    KEY_ID,
    ROTATED,
    ROTATING,
    SUBJECT,
    Box,
    NoBox,
    Sealed,
    in_clear,
    key_of,
    opened,
    place,
)
from cryptosupport.domain.resealing import InForce, Mark, Resealed
from cryptosupport.ledger import tables
from cryptosupport.ledger.engine import is_made, reading, translated
from cryptosupport.ledger.schema import revision

T = TypeVar("T")
Keep: TypeAlias = Callable[[str, str], str]
"""Say how a text is kept that belongs to a place."""

CLEARLY = NoBox()
_BOX, _CLEAR = BOX.encode(), CLEAR.encode()
_A, _W, _N = tables.audit.c, tables.withdrawal.c, tables.note.c
_FACTS = msgspec.json.Decoder(dict[str, str | None])
_OF_REQUEST = (_W.note, _W.beneficiary, _W.signed)


def as_clear(plain: str, place: str) -> str:
    """The text as it is kept in clear, wherever it belongs."""
    return in_clear(plain)


def kept(value: object, keep: Callable[[], str]) -> str | None:
    """What to write of something personal: what is sealed already stays as it is."""
    return None if value is None else value.token if isinstance(value, Sealed) else keep()


def read(value: str | bytes, where: Callable[[], str], box: Box, reader: Callable[[bytes], T]) -> T | Sealed[T]:
    """Something personal as it was kept; what is sealed stays so until somebody looks inside."""
    data = value.encode() if isinstance(value, str) else value
    if data.startswith(_BOX):
        return Sealed(data.decode(errors="replace"), where(), box, reader)
    return reader(data.removeprefix(_CLEAR))


class SqlPersonal:
    """The personal data of one transaction (`domain.resealing.PersonalData`), sealed and opened by ``box``.

    ``log`` takes what the audit log is told.
    """

    def __init__(self, connection: Connection, box: Box, log: Callable[[Act], None]) -> None:
        self.box = box
        self._connection = connection
        self._log = log

    def keep(self, plain: str, place: str) -> str:
        """A text as it is to be kept. Raises `BadSettings` when it is to be sealed and the key in force is missing."""
        key_id = self._key_id
        return in_clear(plain) if key_id is None else self.box.seal(plain.encode(), place, key_id)

    @cached_property
    def _key_id(self) -> str | None:
        """The key to seal with, looked up when there is something to keep; the first one there is comes into force."""
        found = self.in_force()
        if found is not None:
            return found.key_id
        newest = next(iter(self.box.key_ids()), None)
        if newest is None:
            self.box.left_in_clear()
        else:
            self._log(Act(ENABLED, SUBJECT, facts={"key": newest}))
        return newest

    def in_force(self) -> InForce | None:
        """The key in force; None while everything is in clear."""
        query = select(_A.kind, _A.facts).where(_A.subject == SUBJECT, _A.kind.in_((ENABLED, ROTATING, ROTATED)))
        last = self._connection.execute(query.order_by(_A.number.desc()).limit(1)).one_or_none()
        if last is None:
            return None
        key_id = _FACTS.decode(last.facts).get("key")
        assert key_id is not None  # each of these acts names it
        return InForce(key_id, last.kind != ROTATING)

    def put_in_force(self, key_id: str, act: Act) -> None:
        """From now on everything is sealed with this key."""
        self._log(act)
        self.__dict__.pop("_key_id", None)

    # -- a rotation, step by step

    def reseal(self, mark: Mark, most: int) -> Resealed:
        """Seal with the key in force what is in clear or under another key, in up to ``most`` rows from ``mark`` on."""
        if mark.table == tables.note.name:
            return self._reseal_notes(mark, most)
        (after,) = mark.ids
        some = or_(*(column.is_not(None) for column in _OF_REQUEST))
        query = select(_W.id, _W.request_id, *_OF_REQUEST).where(_W.id > after, some).order_by(_W.id).limit(most)
        rows = self._connection.execute(query).all()
        sealed, unopened = 0, list[tuple[str, str]]()
        for row in rows:
            changed: dict[str, Any] = {}
            for column in _OF_REQUEST:
                if (value := getattr(row, column.name)) is not None:
                    where = place(f"withdrawal.{column.name}", row.request_id)
                    changed |= self._anew(column.name, value, where, unopened)
            if changed:
                self._connection.execute(update(tables.withdrawal).where(_W.id == row.id).values(changed))
                sealed += len(changed)
        on = Mark(mark.table, (rows[-1].id,)) if len(rows) == most else Mark(tables.note.name, (0, 0))
        return Resealed(sealed, tuple(unopened), on)

    def _reseal_notes(self, mark: Mark, most: int) -> Resealed:
        ids = (_N.withdrawal_id, _N.number)
        query = select(*ids, _N.text, _W.request_id).join(tables.withdrawal, _W.id == _N.withdrawal_id)
        rows = self._connection.execute(query.where(tuple_(*ids) > mark.ids).order_by(*ids).limit(most)).all()
        sealed, unopened = 0, list[tuple[str, str]]()
        for row in rows:
            where = place("note.text", row.request_id, row.number)
            changed = self._anew("text", row.text, where, unopened)
            if changed:
                this = (_N.withdrawal_id == row.withdrawal_id, _N.number == row.number)
                self._connection.execute(update(tables.note).where(*this).values(changed))
                sealed += 1
        last = Mark(mark.table, (rows[-1].withdrawal_id, rows[-1].number)) if len(rows) == most else None
        return Resealed(sealed, tuple(unopened), last)

    def _anew(self, name: str, value: str | bytes, where: str, unopened: list[tuple[str, str]]) -> dict[str, Any]:
        """The column as it is to be kept from now on; nothing where it is so already, or does not open."""
        try:
            found = read(value, lambda: where, self.box, bytes.decode)
            if isinstance(found, Sealed) and key_of(found.token) == self._key_id:
                return {}
            plain = opened(found)
        except (SupportError, UnicodeDecodeError) as error:  # the others must not stay under an old key for it
            said = error.message if isinstance(error, SupportError) else f"{where} is not UTF-8"
            unopened.append((where, said))
            return {}
        anew = self.keep(plain, where)
        return {name: anew if isinstance(value, str) else anew.encode()}

    def counts(self) -> dict[str, int]:
        """How many texts are kept under each key, by its id; those in clear under ""."""
        found: Counter[str] = Counter()
        for column in (_W.note, _W.beneficiary, _N.text):
            of_key = case((column.like(f"{BOX}%"), func.substr(column, len(BOX) + 1, KEY_ID)), else_="").label("of_key")
            query = select(of_key, func.count()).where(column.is_not(None)).group_by(of_key)
            found.update(dict(self._connection.execute(query).tuples().all()))
        start: ColumnElement[bytes] = func.substr(_W.signed, 1, len(BOX) + KEY_ID).label("start")
        query = select(start, func.count()).where(_W.signed.is_not(None)).group_by(start)
        for begins, count in self._connection.execute(query):
            found[key_of(bytes(begins).decode(errors="replace")) or ""] += count
        return {key_id: count for key_id, count in sorted(found.items()) if count}


def scrub(engine: Engine) -> None:
    """Have the database forget what rows held before: it is still in its files until they are written anew.

    Others wait meanwhile. On a server, its own write-ahead log keeps it until that is recycled. Raises `Unreachable`.
    """
    with translated(engine):
        if engine.dialect.name == "sqlite":
            with closing(engine.raw_connection()) as connection:
                for statement in ("vacuum", "pragma wal_checkpoint(truncate)"):
                    connection.driver_connection.execute(statement)  # type: ignore[union-attr]
        else:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as server:
                for table in (tables.withdrawal, tables.note):
                    server.exec_driver_sql(f"vacuum full {table.name}")


def key_in_force(engine: Engine) -> str | None:
    """The key that personal data is sealed with; None while it is in clear, and where there is no ledger yet."""
    if not is_made(engine):
        return None
    with reading(engine) as connection:
        if revision(connection) is None:
            return None
        found = SqlPersonal(connection, CLEARLY, lambda act: None).in_force()
    return None if found is None else found.key_id
