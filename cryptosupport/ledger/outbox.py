"""What hooks have not heard of yet, and who tells them. Nothing here holds up who decides."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeAlias

import msgspec
from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, update

from cryptosupport.domain.errors import Locked, Tampered
from cryptosupport.domain.events import Due, Standing, Turn, body, pause, reached
from cryptosupport.domain.personal import Box
from cryptosupport.domain.withdrawals import State, Withdrawal
from cryptosupport.ledger import rows, tables
from cryptosupport.ledger.auditing import LogBook, entry_of
from cryptosupport.ledger.engine import reading, writing
from cryptosupport.ledger.personal import CLEARLY

_H, _D, _A = tables.hook.c, tables.hook_due.c, tables.audit.c
_FACTS = msgspec.json.Decoder(dict[str, str | None])
_PAGE = 1000
_NAMED = 60_000
"""So often a worker writes down that a hook is in its settings, in milliseconds."""
FORGOTTEN = 86_400_000
"""So long none may name a hook before it is forgotten: settings come to several machines one after the other."""

_Now: TypeAlias = Callable[[Connection], int]


class SqlOutbox:
    """The hooks in ``engine``'s database (`domain.events.Outbox`); ``now`` tells the time of a transaction."""

    def __init__(self, engine: Engine, now: _Now, box: Box = CLEARLY) -> None:
        self._engine = engine
        self._now = now
        self._box = box

    def meet(self, names: Collection[str]) -> None:
        """Hear which hooks there are: a new one begins at the end of the log, one that nobody names is forgotten."""
        with reading(self._engine) as connection:
            known = dict(connection.execute(select(_H.name, _H.named_at)).tuples().all())
            now = self._now(connection) if known or names else 0
        new = [name for name in names if name not in known]
        named = [name for name, at in known.items() if name in names and now - at >= _NAMED]
        gone = [name for name, at in known.items() if name not in names and now - at >= FORGOTTEN]
        if not new and not named and not gone:
            return
        with writing(self._engine) as connection:
            end = connection.scalar(select(tables.book.c.audit_number))
            for name in new:
                _add(connection, name, end, now)
            connection.execute(update(tables.hook).where(_H.name.in_(named)).values(named_at=now))
            unnamed = delete(tables.hook).where(_H.name.in_(gone), _H.named_at <= now - FORGOTTEN)
            forgotten = list(connection.scalars(unnamed.returning(_H.name)))
            connection.execute(delete(tables.hook_due).where(_D.hook.in_(forgotten)))

    def take_over(self, name: str, states: Collection[State]) -> bool:
        """Make a page of the log due, as far as it has changes in ``states``; whether there is more."""
        with reading(self._engine) as connection:
            heard = connection.scalar(select(_H.heard).where(_H.name == name))
            if heard is None or heard >= (connection.scalar(select(tables.book.c.audit_number)) or 0):
                return False
        with writing(self._engine) as connection:
            row = _locked(connection, name)
            if row is None:
                return False
            end: int = connection.execute(select(tables.book.c.audit_number)).scalar_one()
            query = select(_A.number, _A.at, _A.kind, _A.subject, _A.facts).order_by(_A.number).limit(_PAGE)
            page = connection.execute(query.where(_A.number > row.heard, _A.number <= end)).all()
            due = [each for entry in page for each in _changes(name, entry, states)]
            if due:
                connection.execute(insert(tables.hook_due), due)
            heard = page[-1].number if page else end
            connection.execute(update(tables.hook).where(_H.name == name).values(heard=heard))
        return bool(heard < end)

    def standings(self, names: Collection[str]) -> dict[str, Standing]:
        """How each hook stands that the ledger knows."""
        with reading(self._engine) as connection:
            rests = connection.execute(select(_H.name, _H.rests).where(_H.name.in_(names))).tuples().all()
            query = select(_D.hook, func.count(), func.min(_D.at), func.max(_D.tries)).where(_D.hook.in_(names))
            found = connection.execute(query.group_by(_D.hook)).tuples()
            due = {name: Standing(count, since, tries) for name, count, since, tries in found}
        return {name: replace(due.get(name, Standing()), rests=times) for name, times in rests}

    def begin(self, name: str, holder: str, lasts: int, gone: Callable[[str], bool]) -> Turn | None:
        """Take the turn of a hook; None while another worker has it, or while the hook is left alone."""
        with writing(self._engine) as connection:
            row, now = _locked(connection, name), self._now(connection)
            if row is None or now < row.rests_until:
                return None
            if row.holder not in ("", holder) and now < row.until and not gone(row.holder):
                return None
            values = {"holder": holder, "until": now + lasts, "fence": row.fence + 1}
            connection.execute(update(tables.hook).where(_H.name == name).values(values))
        return Turn(name, holder, row.fence + 1)

    def go_on(self, turn: Turn, lasts: int, taken: Mapping[int, bool], most: int) -> list[Due]:
        """Record what was taken and what was not, and say what may be told now: of each withdrawal the first one."""
        with writing(self._engine) as connection:
            self._still(connection, turn)
            now = self._now(connection)
            for number, was in taken.items():
                _record(connection, turn.hook, number, was, now)
            connection.execute(update(tables.hook).where(_H.name == turn.hook).values(until=now + lasts))
            query = _FIRST_ONES.where(_D.hook == turn.hook, _D.next_at <= now).order_by(_D.number).limit(most)
            return [Due(*row) for row in connection.execute(query)]

    def read(self, due: Sequence[Due]) -> dict[int, bytes]:
        """What is told of each change, by number; nothing of what is not as the log has it."""
        with reading(self._engine) as connection:  # a row and its last entry as of one moment
            ledger_id = str(connection.scalar(select(tables.book.c.ledger_id)))
            wanted = [each.number for each in due]
            entries = connection.execute(select(tables.audit).where(_A.number.in_(wanted))).all()
            withdrawals = self._sound(connection, {each.request_id for each in due})
        bodies = {}
        for row in entries:
            with suppress(Tampered, *rows.UNREADABLE):
                bodies[row.number] = body(ledger_id, entry_of(row), withdrawals[row.subject])
        return bodies

    def end(self, turn: Turn, rest: bool, went: bool) -> int:
        """Give the turn back; how long the hook is left alone now, in milliseconds."""
        with writing(self._engine) as connection:
            row = self._still(connection, turn)
            rests = (0 if went else row.rests) + rest
            left_alone = pause(rests) if rest else 0
            values = {"holder": "", "until": 0, "rests": rests}
            values |= {"rests_until": self._now(connection) + left_alone} if rest else {}
            connection.execute(update(tables.hook).where(_H.name == turn.hook).values(values))
        return left_alone

    def _still(self, connection: Connection, turn: Turn) -> Row[Any]:
        row = _locked(connection, turn.hook)
        if row is None or (row.holder, row.fence) != (turn.holder, turn.fence):
            raise Locked(f"hook {turn.hook}: another worker has taken over; this one stops", hook=turn.hook)
        return row

    def _sound(self, connection: Connection, request_ids: Collection[str]) -> dict[str, Withdrawal]:
        found = []
        for row in connection.execute(rows.SELECT.where(tables.withdrawal.c.request_id.in_(request_ids))):
            with suppress(Tampered):
                found.append(rows.withdrawal_of(row, self._box))
        faults = LogBook(connection, 0).faults(found)
        return {each.request.request_id: each for each in found if each.id not in faults}


_EARLIER = tables.hook_due.alias()
_FIRST_ONES = select(_D.number, _D.request_id, _D.state, _D.tries).where(
    ~select(_EARLIER.c.number)
    .where(_EARLIER.c.hook == _D.hook, _EARLIER.c.request_id == _D.request_id, _EARLIER.c.number < _D.number)
    .exists()
)


def _add(connection: Connection, name: str, heard: int | None, now: int) -> None:
    """A hook that is new; of two workers at once the first one adds it."""
    from sqlalchemy.dialects import postgresql, sqlite

    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    values = {"heard": heard or 0, "named_at": now, "rests": 0, "rests_until": 0}
    values |= {"fence": 0, "until": 0}
    adding = dialect.insert(tables.hook).values(name=name, holder="", **values)
    connection.execute(adding.on_conflict_do_nothing(index_elements=["name"]))


def _locked(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(select(tables.hook).where(_H.name == name).with_for_update()).one_or_none()


def _changes(name: str, entry: Row[Any], states: Collection[State]) -> list[dict[str, Any]]:
    """The change that an entry tells of, to be due to a hook, if it is one that the hook is told of."""
    try:
        state = reached(_FACTS.decode(entry.facts)) if entry.kind.startswith("withdrawal.") else None
    except rows.UNREADABLE as error:
        raise Tampered(f"entry {entry.number} of the audit log was changed: its facts cannot be read") from error
    if state is None or state not in states:
        return []
    facts = {"hook": name, "number": entry.number, "request_id": entry.subject, "state": state, "at": entry.at}
    return [facts | {"tries": 0, "next_at": 0}]


def _record(connection: Connection, hook: str, number: int, taken: bool, now: int) -> None:
    this = (_D.hook == hook, _D.number == number)
    if taken:
        connection.execute(delete(tables.hook_due).where(*this))
        return
    tries = (connection.scalar(select(_D.tries).where(*this)) or 0) + 1
    connection.execute(update(tables.hook_due).where(*this).values(tries=tries, next_at=now + pause(tries)))
