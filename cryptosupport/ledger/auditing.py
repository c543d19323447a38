"""The audit log of one transaction: entries are chained as they come, and rows are held against what it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from sqlalchemy import Connection, Row, and_, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from cryptosupport import __version__
from cryptosupport.domain.audit import SEALED, Act, Entry, Head, bound, spelt
from cryptosupport.domain.errors import Tampered
from cryptosupport.domain.events import FROM, NONCE, TO, TXID, VOUT
from cryptosupport.domain.withdrawals import Withdrawal, canonical, seal
from cryptosupport.ledger import tables
from cryptosupport.ledger.sums import chunks

_A, _BOOK = tables.audit.c, tables.book.c
_FACTS = msgspec.json.Decoder(dict[str, str | None])


class LogBook:
    """The audit log, to be added to by the one transaction that writes through ``connection`` at ``now``."""

    def __init__(self, connection: Connection, now: int) -> None:
        self._connection = connection
        self._now = now
        found = connection.execute(select(_BOOK.audit_number, _BOOK.audit_hash, _BOOK.sealed_from)).one()
        self._number: int = found.audit_number
        self._hash: str = found.audit_hash
        self._sealed_from: int = found.sealed_from

    @property
    def number(self) -> int:
        """The number of the last entry."""
        return self._number

    @property
    def head(self) -> Head:
        """The last entry."""
        return Head(self._number, self._hash)

    def add(self, acts: Sequence[Act]) -> None:
        """Add acts in their order."""
        values = []
        for act in acts:
            self._number += 1
            facts = canonical(dict(act.facts)).decode()
            told = {"kind": act.kind, "subject": act.subject, "who": act.who, "facts": facts}
            self._hash = bound(self._hash, spelt(self._number, self._now, **told))
            values.append({"number": self._number, "at": self._now, **told, "hash": self._hash})
        if values:
            self._insert(values)
            head = {"audit_number": self._number, "audit_hash": self._hash}
            self._connection.execute(_SET_HEAD, head)

    def _insert(self, values: Sequence[Mapping[str, object]]) -> None:
        try:
            self._connection.execute(_ADD, values)
        except IntegrityError as error:
            first, last = values[0]["number"], values[-1]["number"]
            raise Tampered(
                f"somebody put entries behind the end of the audit log, where {first} to {last} would stand: nothing "
                "is recorded; pay nothing, run `cryptosupport audit verify` and find out who did it"
            ) from error

    def sealed(self, withdrawals: Sequence[Withdrawal]) -> None:
        """See that rows are as this program wrote them. Raises `Tampered`, which says of which that is not so."""
        for fault in self.faults(withdrawals).values():
            raise fault

    def faults(self, withdrawals: Sequence[Withdrawal]) -> dict[int, Tampered]:
        """What is wrong with rows that are not as this program wrote them, by the id of the withdrawal."""
        found: dict[int, Tampered] = {}
        for some in chunks(withdrawals):
            wanted = [each.request.request_id for each in some]
            said = dict(self._connection.execute(_LAST, {"some": wanted}).tuples().all())
            for each in some:
                name = each.request.request_id
                if name not in said and 0 < each.id < self._sealed_from:
                    continue  # older than the log, and not changed since
                if name not in said or _seal_in(said[name]) != seal(each):
                    found[each.id] = Tampered(
                        f"{name} was changed in the database behind this program: its row is not as the audit log has "
                        f"it; pay nothing, look at `cryptosupport audit log --subject {name}` and find out who did it",
                        request_id=name,
                    )
        return found


def _seal_in(facts: str) -> str | None:
    try:
        return _FACTS.decode(facts).get(SEALED)
    except msgspec.DecodeError:
        return None


_ADD = insert(tables.audit)
_SET_HEAD = update(tables.book)  # its one row; what is set follows from the values
_LATEST = (
    select(_A.subject, func.max(_A.number).label("number"))
    .where(_A.subject.in_(bindparam("some", expanding=True)), _A.facts.like(f'%"{SEALED}":%'))
    .group_by(_A.subject)
    .subquery()
)
_LAST = select(_A.subject, _A.facts).join(_LATEST, and_(_LATEST.c.number == _A.number))


def told(after: Withdrawal, before: Withdrawal | None = None, act: Act | None = None) -> Act:
    """What the log says of a withdrawal that is new, or became ``after`` by an ``act``."""
    decision = after.decision
    facts: dict[str, str | None] = {
        FROM: None if before is None else before.state.value,
        TO: after.state.value,
        "turn": str(after.turn),
        "version": __version__,
        SEALED: seal(after),
    }
    if after.txid is not None or after.nonce is not None:
        facts |= {TXID: after.txid, VOUT: _text(after.vout), NONCE: _text(after.nonce)}
    if before is None or before.turn != after.turn:
        facts |= {"outcome": decision.outcome.value, "policy": decision.policy}
        facts |= {"prices": " ".join(f"{symbol}={usd}" for symbol, usd in decision.prices)}
    if before is None:
        return Act("withdrawal.requested", after.request.request_id, _maker(after), facts)
    if act is None:
        return Act(f"withdrawal.{after.state}", after.request.request_id, facts=facts)
    return Act(act.kind, after.request.request_id, act.who, {**act.facts, **facts})


def entries(connection: Connection, after: int = 0) -> Iterator[Entry]:
    """The log as it is recorded, from the entry behind number ``after`` on, in order, a page at a time."""
    query = select(tables.audit).order_by(_A.number).limit(_PAGE)
    while page := connection.execute(query.where(_A.number > after)).all():
        yield from map(entry_of, page)
        after = page[-1].number


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _maker(withdrawal: Withdrawal) -> str:
    """Who brought it, as the log names them."""
    maker = withdrawal.maker
    if withdrawal.request.signature is not None:
        return f"key {maker}"
    return withdrawal.source if maker is None else f"operator {maker}" if withdrawal.proven else f"{maker} (unproven)"


_PAGE = 1000


def entry_of(row: Row[tuple[int, int, str, str, str, str, str]]) -> Entry:
    """The entry of a row. Raises `Tampered` where its facts are none."""
    try:
        facts = _FACTS.decode(row.facts)
    except msgspec.DecodeError as error:
        raise Tampered(f"entry {row.number} of the audit log was changed: its facts cannot be read") from error
    return Entry(row.number, row.at, Act(row.kind, row.subject, row.who, facts), row.hash)
