"""Take a screening list away: with operators two people say so, each of the list as it is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from cryptosupport.desk.people import SIGNERS, Hand, People, refuse_former
from cryptosupport.desk.screen_lists import REMOVED, Checked, check_lists
from cryptosupport.domain.audit import Act
from cryptosupport.domain.books import Ledger, Records
from cryptosupport.domain.errors import NoSuchRecord
from cryptosupport.domain.identifiers import shortened
from cryptosupport.domain.operators import Role
from cryptosupport.domain.statements import Signed, Statement
from cryptosupport.domain.withdrawal_record import moment
from cryptosupport.domain.withdrawals import canonical

REMOVE = "screen.remove"
MAY = frozenset({Role.OPS, Role.COMPLIANCE})
"""The roles whose holders take lists away."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A list and who wants it removed; it is there until ``missing`` is 0. ``at`` is milliseconds since 1970."""

    name: str
    kind: str
    entries: int
    reason: str
    by: tuple[str, ...]
    missing: int
    at: int


def drop_list(ledger: Ledger, people: People, name: str, reason: str, by: str, hand: Hand) -> Dropped:
    """Remove the list ``name`` in the name of ``by``; with operators the second person's word removes it.

    What is said of a list counts no more once something else is on it, or it was removed and imported again. Raises
    `NoSuchRecord`, and `Refused` for who may not say so, or signs something else.
    """
    if people.operators:
        people.person(by, MAY)
    with ledger.look() as records:
        statement = Statement(REMOVE, _subject(_there(records, name)), by, records.now, records.ledger_id, {})
    signed = hand.sign(statement) if people.operators else Signed(statement, "")
    with ledger.act() as records:
        refuse_former(records, people)
        there = _there(records, name)
        names: tuple[str, ...] = (by,)
        if people.operators:
            names = _said(records, people, there, signed, reason)
        missing = max(SIGNERS - len(names), 0) if people.operators else 0
        dropped = Dropped(name, *_what(there), reason, names, missing, records.now)
        if not missing:
            facts = _facts(there, reason) | {"by": ", ".join(names), "damaged": there.fault}
            records.drop_list(name, Act(REMOVED, name, _who(people, by), facts))
    return dropped


def dropped_record(dropped: Dropped) -> dict[str, Any]:
    """What came of it, as a record."""
    told = {"list": dropped.name, "kind": dropped.kind, "entries": dropped.entries, "reason": dropped.reason}
    removed_at = None if dropped.missing else moment(dropped.at)
    return told | {"said_by": list(dropped.by), "missing": dropped.missing, "removed_at": removed_at}


def _said(records: Records, people: People, there: Checked, signed: Signed, reason: str) -> tuple[str, ...]:
    """Keep what somebody says now; all who say so today."""
    subject = _subject(there)
    people.speaks(signed, REMOVE, subject, records, MAY)
    who = _who(people, signed.statement.operator)
    records.add_statement(signed, Act("screen.remove_asked", there.name, who, _facts(there, reason)))
    said = records.statements(REMOVE, subject)
    counting = (each for each in said if people.still_said(each, REMOVE, subject, records.ledger_id, MAY))
    return tuple(each.statement.operator for each in counting)


def _there(records: Records, name: str) -> Checked:
    """The list as it is, or as it was imported where somebody took it out of the database."""
    found = check_lists(records, name)
    if not found:
        raise NoSuchRecord(f"there is no list {shortened(name)}: `cryptosupport screen list` shows all")
    return found[0]


def _what(there: Checked) -> tuple[str, int]:
    """The kind, and how many entries are on it."""
    if there.head is not None:
        return there.head.kind.value, there.head.entries
    return str(there.said.act.facts.get("kind")) if there.said else "", len(there.entries)


def _digest(there: Checked) -> str:
    if there.head is not None:
        return there.head.digest
    return str(there.said.act.facts.get("digest")) if there.said else ""


def _subject(there: Checked) -> str:
    """What a statement is bound to."""
    return hashlib.sha256(canonical([there.name, _digest(there), str(there.removed)])).hexdigest()


def _facts(there: Checked, reason: str) -> dict[str, str | None]:
    kind, entries = _what(there)
    return {"kind": kind, "entries": str(entries), "digest": _digest(there), "reason": reason}


def _who(people: People, by: str) -> str:
    return f"operator {by}" if people.operators else f"{by} (unproven)"
