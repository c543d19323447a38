"""Freeze and lift: one person stops things, two let them go on; the freeze file works while the ledger is down."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cryptosupport.desk.people import SIGNERS, TRUSTED, Hand, People, refuse_former
from cryptosupport.domain.audit import PROGRAM, Act
from cryptosupport.domain.books import Ledger, Records
from cryptosupport.domain.errors import Frozen, NoSuchRecord
from cryptosupport.domain.freezes import FileLine, Freeze, Scope, that_cover
from cryptosupport.domain.policy.rules import Booking
from cryptosupport.domain.statements import Signed, Statement
from cryptosupport.domain.withdrawal_record import moment

LIFT = "lift"
_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class Lifted:
    """A freeze and who wants it lifted; it counts until ``missing`` is 0."""

    freeze: Freeze
    by: tuple[str, ...]
    missing: int


def take_file(records: Records, lines: Sequence[FileLine]) -> None:
    """Remember in the ledger what the freeze file says: from then on deleting the file lifts nothing.

    A line whose id stands for something else was edited by hand, and counts as one that is new. A file that cannot be
    read freezes again a day after it was lifted.
    """
    if not lines:
        return
    known = {freeze.id: freeze for freeze in records.freezes(lifted=True)}
    for line in lines:
        id = line.freeze_id
        if id in known and known[id].scope.key != line.scope.key:
            id = line.said_id
        if line.unread:
            id = _unread(id, known, records.now)
        if id not in known:
            known[id] = Freeze(id, line.scope, line.reason, "freeze file", False, records.now, "file")
            add(records, known[id])


def _unread(id: str, known: Mapping[str, Freeze], now: int) -> str:
    """The id of a file that cannot be read: another one when a day has passed since it was lifted.

    What is written there meanwhile, nobody hears.
    """
    while id in known and (lifted_at := known[id].lifted_at) is not None and now - lifted_at >= _DAY:
        id = hashlib.sha256(id.encode()).hexdigest()[:16]
    return id


def add(records: Records, freeze: Freeze) -> None:
    """Record a freeze."""
    who = freeze.by if freeze.source == "file" else PROGRAM if freeze.source == "auto" else _who(freeze)
    facts: dict[str, str | None] = {"scope": freeze.scope.text, "reason": freeze.reason}
    facts["expires_at"] = None if freeze.expires_at is None else moment(freeze.expires_at)
    records.set_freeze(freeze, Act("freeze.added", freeze.id, who, facts))


def _who(freeze: Freeze) -> str:
    return f"operator {freeze.by}" if freeze.proven else f"{freeze.by} (unproven)"


def freeze_all_of(ledger: Ledger, freezes: Iterable[Freeze]) -> list[Freeze]:
    """Record freezes that somebody asked for; one whose scope is frozen already is not made twice.

    Unless somebody wants the one before lifted: who said so spoke of that, and not of what is found now. One that a
    run has taken from the file meanwhile gets the name of who asked for it.
    """
    made = []
    with ledger.act() as records:
        there = [freeze for freeze in records.freezes() if not records.statements(LIFT, freeze.id)]
        taken = {freeze.id: freeze.at for freeze in there}
        counting = {freeze.scope.key: freeze for freeze in there}
        for freeze in freezes:
            if freeze.id in taken or freeze.scope.key not in counting:
                counting[freeze.scope.key] = freeze = replace(freeze, at=taken.get(freeze.id, records.now))
                add(records, freeze)
            made.append(counting[freeze.scope.key])
    return made


def lift(ledger: Ledger, people: People, scopes: Sequence[Scope], by: str, hand: Hand) -> list[Lifted]:
    """Lift the freezes of ``scopes`` in the name of ``by``; the second person's word lifts them.

    Without operators two names do, which nobody proves. Raises `NoSuchRecord`, `Refused`.
    """
    with ledger.look() as records:
        found = _counting(records.freezes(), scopes)
        now, ledger_id = records.now, records.ledger_id
    signed = []
    if people.operators:
        people.person(by, TRUSTED)
    for freeze in found:
        statement = Statement(LIFT, freeze.id, by, now, ledger_id)
        signed.append(hand.sign(statement) if people.operators else Signed(statement, ""))
    with ledger.act() as records:
        refuse_former(records, people)
        still = {freeze.id for freeze in records.freezes()}
        if not still.intersection(freeze.id for freeze in found):
            raise NoSuchRecord("somebody else has lifted it meanwhile: see `cryptosupport freeze list`")
        return [
            _lift(records, people, freeze, each)
            for freeze, each in zip(found, signed, strict=True)
            if freeze.id in still
        ]


def _counting(freezes: Sequence[Freeze], scopes: Sequence[Scope]) -> list[Freeze]:
    wanted, there = {scope.key for scope in scopes}, {freeze.scope.key for freeze in freezes}
    missing = [scope.text for scope in scopes if scope.key not in there]
    if missing:
        frozen = ", ".join(dict.fromkeys(freeze.scope.text for freeze in freezes)) or "nothing"
        raise NoSuchRecord(f"{', '.join(missing)} is not frozen; frozen now: {frozen}")
    return [freeze for freeze in freezes if freeze.scope.key in wanted]


def _lift(records: Records, people: People, freeze: Freeze, signed: Signed) -> Lifted:
    by = signed.statement.operator
    if people.operators:
        people.speaks(signed, LIFT, freeze.id, records, TRUSTED)
    who = f"operator {by}" if people.operators else f"{by} (unproven)"
    facts: dict[str, str | None] = {"scope": freeze.scope.text}
    records.add_statement(signed, Act("freeze.lift_asked", freeze.id, who, facts))
    names = tuple(_agreed(records, people, freeze))
    missing = max(SIGNERS - len(names), 0)
    if not missing:
        freeze = replace(freeze, lifted_at=records.now)
        records.set_freeze(freeze, Act("freeze.lifted", freeze.id, who, facts | {"by": ", ".join(names)}))
    return Lifted(freeze, names, missing)


def _agreed(records: Records, people: People, freeze: Freeze) -> list[str]:
    """Who wants it lifted and may say so today."""
    said = records.statements(LIFT, freeze.id)
    if not people.operators:
        return [each.statement.operator for each in said if not each.signature]
    return [
        each.statement.operator for each in said if people.still_said(each, LIFT, freeze.id, records.ledger_id, TRUSTED)
    ]


def refusal(freezes: Iterable[Freeze], booking: Booking, what: str) -> Frozen | None:
    """What to raise where a freeze covers a withdrawal; ``what`` is its request id."""
    found = that_cover(freezes, booking)
    if not found:
        return None
    return Frozen(
        f"{what} is frozen: {'; '.join(map(told, found))}. Two people lift it: `cryptosupport freeze lift`",
        freezes=[freeze.id for freeze in found],
    )


def told(freeze: Freeze) -> str:
    """A freeze in words."""
    return f"{freeze.scope.text} since {moment(freeze.at)} by {freeze.by}: {freeze.reason}"


def is_over(freeze: Freeze, now: int) -> bool:
    """Whether it counts longer than whoever made it thought."""
    return freeze.lifted_at is None and freeze.expires_at is not None and freeze.expires_at <= now


def overdue(freezes: Iterable[Freeze], now: int) -> list[str]:
    """What to warn of: freezes that count longer than whoever made them thought. Nothing but two people lifts them."""
    return [
        f"{freeze.scope.text} was to be frozen until {moment(freeze.expires_at or 0)}, and still is: two people lift "
        f"it with `cryptosupport freeze lift {freeze.scope.text} --operator NAME`"
        for freeze in freezes
        if is_over(freeze, now)
    ]


def as_record(freeze: Freeze, now: int, asked: Sequence[str] = ()) -> dict[str, Any]:
    """A freeze as a record; ``asked`` are those who want it lifted."""
    return {
        "id": freeze.id,
        "scope": freeze.scope.text,
        "reason": freeze.reason,
        "by": freeze.by,
        "proven": freeze.proven,
        "source": freeze.source,
        "since": moment(freeze.at),
        "expires_at": None if freeze.expires_at is None else moment(freeze.expires_at),
        "expired": is_over(freeze, now),
        "lift_asked_by": list(asked),
        "lifted_at": None if freeze.lifted_at is None else moment(freeze.lifted_at),
    }


def as_one(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The freezes of one scope as one record: the first that still counts, else the first; ``others`` has the rest."""
    first = next((record for record in records if record["lifted_at"] is None), records[0])
    return first | {"others": [record for record in records if record is not first]}


def list_freezes(ledger: Ledger, people: Callable[[], People], lifted: bool) -> list[dict[str, Any]]:
    """All freezes as records, the oldest first."""
    with ledger.look() as records:
        found = records.freezes(lifted)
        who = people() if found else None
        return [as_record(each, records.now, () if who is None else _agreed(records, who, each)) for each in found]
