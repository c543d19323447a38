"""Change the operators, the policy or the cold set: proposed, signed by two, in force when its time has come."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cryptosupport.desk.people import (
    SIGNERS,
    TRUSTED,
    Fault,
    Hand,
    People,
    operators_of,
    signed_of,
    signers,
    waits_until,
)
from cryptosupport.domain.audit import PROGRAM, Act
from cryptosupport.domain.books import Ledger, Records
from cryptosupport.domain.errors import BadInput, NoSuchRecord, Refused
from cryptosupport.domain.identifiers import shortened
from cryptosupport.domain.operators import (
    COLD,
    OPERATORS,
    POLICY,
    SIGNED_BY,
    Change,
    Operator,
    Operators,
    Role,
    content_of,
    people_of,
)
from cryptosupport.domain.policy.periods import duration
from cryptosupport.domain.statements import Statement
from cryptosupport.domain.withdrawal_record import moment


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a change stands: who has signed it, and what it waits for ("" once it is in force)."""

    change: Change
    signed_by: tuple[str, ...]
    waits_for: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody wants changed: the new ``content``, the ``file`` that it makes, and what it ``loosens``."""

    kind: str
    content: str
    file: str
    loosens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """The versions of one kind: who signs the next one, and the one that is proposed, if any."""

    kind: str
    active: tuple[Change, ...]
    by: Operators
    roles: frozenset[Role]
    proposed: Change | None

    @property
    def previous(self) -> str:
        """The hash of the version in force."""
        return self.active[-1].hash if self.active else ""

    @property
    def waiting(self) -> str:
        """The hash of the one that is proposed."""
        return "" if self.proposed is None else self.proposed.hash

    @property
    def overtaken(self) -> bool:
        """Whether the operators changed since it was proposed."""
        return self.kind != OPERATORS and self.proposed is not None and self.proposed.operators != self.by.version


def standing(records: Records, kind: str, fault: Fault) -> Standing:
    """Read where one kind stands. Raises `Tampered` for versions that are not proven."""
    operators, versions = operators_of(records, fault)
    changes = records.changes(kind)
    active = tuple(change for change in changes if change.active_at is not None)
    proposed = changes[len(active)] if len(changes) > len(active) else None
    if kind == OPERATORS:
        by = operators or Operators({} if proposed is None else people_of(proposed.content))
        return Standing(kind, active, by, TRUSTED, proposed)
    signed_of(records, kind, versions, fault)
    return Standing(kind, active, operators, SIGNED_BY[kind], proposed)


def propose(ledger: Ledger, people: People, draft: Draft, by: str, hand: Hand, lock: int) -> Stand:
    """Propose a change in the name of ``by``, who signs it; the same one proposed again is signed by one more.

    What loosens anything waits for ``lock`` milliseconds from now. The first operators, and the first policy, do not
    wait: nothing is in force that they could loosen. The first cold set does. Raises `Refused` where another change is
    proposed.
    """
    with ledger.look() as records:
        stands, now, ledger_id = standing(records, draft.kind, people.fault), records.now, records.ledger_id
    change = None if stands.overtaken else stands.proposed
    if change is not None and (change.content, change.file) != (draft.content, draft.file):
        if people.operators:
            raise Refused(
                f"version {change.number} of the {change.kind} is proposed by {change.proposed_by} and not in force: "
                f"sign it, or take it back with `cryptosupport {_group(change.kind)} discard`, before another one"
            )
        change = None
    if change is not None and (stands.active or draft.kind == COLD):
        _refuse_hurried(change, lock, lambda proposed: draft.loosens)
    if change is None:
        loosens = draft.loosens if stands.active or draft.kind == COLD else ()
        operators = "" if draft.kind == OPERATORS and not people.operators else people.operators.version
        at = hand.at(now)
        number, counts_from = len(stands.active) + 1, at + (lock if loosens else 0)
        change = Change(
            draft.kind, number, stands.previous, operators, draft.content, draft.file, loosens, by, at, counts_from
        )
    return _sign(ledger, people, change, by, hand, ledger_id, now, stands.waiting)


def sign(
    ledger: Ledger, people: People, kind: str, by: str, hand: Hand, lock: int = 0,
    loosens: Callable[[Change], Collection[str]] | None = None,
) -> Stand:  # fmt: skip
    """Sign the change that is proposed, in the name of ``by``; one in force that they have signed is told once more.

    ``lock`` is how long a loosening change waits by the settings of who signs, and ``loosens`` says what one loosens:
    the proposal has to agree with both. Raises `NoSuchRecord` where there is none, and `Refused`.
    """
    with ledger.look() as records:
        stands, now, ledger_id = standing(records, kind, people.fault), records.now, records.ledger_id
        if stands.proposed is None and stands.active:
            last = stands.active[-1]
            if by in (who := _all_signers(records, last)):
                return Stand(last, who, "")
    if stands.proposed is None:
        raise NoSuchRecord(f"no change of the {kind} is proposed")
    _refuse_overtaken(stands)
    if stands.active or kind == COLD:
        _refuse_hurried(stands.proposed, lock, loosens)
    return _sign(ledger, people, stands.proposed, by, hand, ledger_id, now, stands.waiting)


def _refuse_hurried(change: Change, lock: int, loosens: Callable[[Change], Collection[str]] | None) -> None:
    """Raise `Refused` for a proposal that does not tell what it loosens, or does not wait as long as it has to here."""
    if loosens is not None and set(loosens(change)) != set(change.loosens):
        raise Refused(
            f"version {change.number} of the {change.kind} does not say all that it loosens, as this machine sees it: "
            f"take it back with `cryptosupport {_group(change.kind)} discard`, and find out who proposed it"
        )
    if change.loosens and change.counts_from < change.proposed_at + lock:
        raise Refused(
            f"version {change.number} of the {change.kind} is to count from {moment(change.counts_from)}, and what "
            f"loosens waits for {duration(lock)} here ([approvals] lock): have it proposed anew"
        )


def _refuse_overtaken(stands: Standing) -> None:
    """Raise `Refused` for a change that was proposed to other operators than those of now: it fell with them."""
    if stands.overtaken:
        raise Refused(
            f"the operators changed since this {stands.kind} was proposed, and what was signed before counts no more: "
            f"take it back with `cryptosupport {_group(stands.kind)} discard`, or propose it anew"
        )


def _sign(
    ledger: Ledger, people: People, change: Change, by: str, hand: Hand, ledger_id: str, now: int, seen: str
) -> Stand:
    """Sign a change in place of the one that was ``seen`` (its hash), which may be the same."""
    if change.kind == OPERATORS:
        _refuse_unsound(people, change)
    first = change.kind == OPERATORS and not people.operators
    speaking = replace(people, operators=Operators(people_of(change.content))) if first else people
    roles = SIGNED_BY.get(change.kind, TRUSTED)
    speaking.person(by, roles)  # before anybody is asked to touch a key
    signed = hand.sign(Statement(change.kind, change.hash, by, now, ledger_id))
    with ledger.act() as records:
        stands = standing(records, change.kind, people.fault)
        in_force, _ = operators_of(records, people.fault)
        same = stands.previous == change.previous and in_force.version == people.operators.version
        if not same or stands.waiting not in (seen, change.hash):
            raise Refused(f"the {change.kind} or those who sign them changed meanwhile: look at them, and begin anew")
        speaking.speaks(signed, change.kind, change.hash, records, roles)
        if stands.waiting != change.hash:
            _put(records, stands.proposed, change, by)
        records.add_statement(signed, _act(change, "signed", f"operator {by}"))
        return _go_on(records, change, speaking.operators, roles, people.fault)


def _refuse_unsound(people: People, change: Change) -> None:
    """Raise `Refused` for operators that another program may have proposed: two names for one key, one too few left, or
    something loosened that is not told, and would not wait.
    """
    before, after = people.operators.people, people_of(change.content)
    for name, each in after.items():
        with_operator({other: after[other] for other in after if other != name}, each, people.same_key, people.intake)
    if before and set(change.loosens) != set(loosened(before, after)):
        raise Refused(
            f"version {change.number} of the operators does not say all that it loosens: take it back with "
            "`cryptosupport operator discard`, and find out who proposed it"
        )
    _refuse_too_few(before, after)


def _put(records: Records, before: Change | None, change: Change, by: str) -> None:
    if before is not None:
        records.withdraw_change(before, _act(before, "discarded", f"operator {by}"))
    loosens, counts_from = "; ".join(change.loosens) or None, moment(change.counts_from)
    act = _act(change, "proposed", f"operator {by}", content=change.content, loosens=loosens, counts_from=counts_from)
    records.set_change(change, act)


def _act(change: Change, what: str, who: str = PROGRAM, **facts: str | None) -> Act:
    """What the log hears. Its subject is the kind, so that the log has all versions of one kind together."""
    told = {"version": str(change.number), "hash": change.hash}
    return Act(f"{change.kind.replace(' ', '_')}.{what}", change.kind, who, told | facts)


def activate(ledger: Ledger, people: People, kind: str) -> Stand:
    """Put the change that is proposed in force, when two have signed it and its time has come.

    With none proposed, the one in force is told. Raises `NoSuchRecord` where there is neither.
    """
    with ledger.act() as records:
        stands = standing(records, kind, people.fault)
        if stands.proposed is not None:
            _refuse_overtaken(stands)
            return _go_on(records, stands.proposed, stands.by, stands.roles, people.fault)
        if not stands.active:
            raise NoSuchRecord(f"no change of the {kind} is proposed, and none is in force")
        return Stand(stands.active[-1], _all_signers(records, stands.active[-1]), "")


def discard(ledger: Ledger, people: People, kind: str, by: str, hand: Hand) -> Change:
    """Take back the change that is proposed. Raises `NoSuchRecord`, `Refused`."""
    with ledger.look() as records:
        change, now, ledger_id = standing(records, kind, people.fault).proposed, records.now, records.ledger_id
    if change is None:
        raise NoSuchRecord(f"no change of the {kind} is proposed")
    if not people.operators:
        with ledger.act() as records:
            _still(records, people, change)
            records.withdraw_change(change, _act(change, "discarded", f"{by} (unproven)"))
        return change
    action = f"discard {kind}"
    people.person(by, TRUSTED)
    signed = hand.sign(Statement(action, change.hash, by, now, ledger_id))
    with ledger.act() as records:
        _still(records, people, change)
        people.speaks(signed, action, change.hash, records, TRUSTED)
        records.withdraw_change(change, _act(change, "discarded", f"operator {by}"))
    return change


def _still(records: Records, people: People, change: Change) -> None:
    """Raise `Refused` where something came between what somebody saw and what they signed."""
    stands = standing(records, change.kind, people.fault)
    in_force, _ = operators_of(records, people.fault)
    if in_force.version != people.operators.version or stands.waiting != change.hash:
        raise Refused(f"the {change.kind} or those who sign them changed meanwhile: look at them, and begin anew")


def _go_on(records: Records, change: Change, by: Operators, roles: Collection[Role], fault: Fault) -> Stand:
    """Put a change in force, if nothing is missing."""
    who = tuple(signers(records, change, by, roles, fault))
    missing = SIGNERS - len(who)
    if missing > 0:
        people = "1 more person" if missing == 1 else f"{missing} people"
        return Stand(change, who, f"{people} to sign it")
    if when := waits_until(change, records.now):
        return Stand(change, who, f"its time: {when}")
    change = replace(change, active_at=records.now)
    records.set_change(change, _act(change, "activated", signed_by=", ".join(who)))
    return Stand(change, who, "")


def _all_signers(records: Records, change: Change) -> tuple[str, ...]:
    return tuple(each.statement.operator for each in records.statements(change.kind, change.hash))


# -- operators -------------------------------------------------------------------------------------------------------


def with_operator(
    people: Mapping[str, Operator], new: Operator, same_key: Callable[[str, str], bool], intake: Mapping[str, str]
) -> dict[str, Operator]:
    """The operators with a new one, or with one who has other roles or another key from then on.

    Raises `Refused` where the key is somebody's already: one person is one operator.
    """
    for other in people.values():
        if other.name != new.name and same_key(other.key, new.key):
            raise Refused(f"this key is that of {other.name} already: one person is one operator, with one key")
    for name, key in intake.items():
        if same_key(key, new.key) and (name, frozenset({Role.INTAKE})) != (new.name, new.roles):
            raise Refused(
                f"this key signs requests as {name} ([intake] keys): an operator needs another one; the key itself is "
                f"vouched for as {name} with the role intake alone"
            )
    return {**people, new.name: new}


def without_operator(people: Mapping[str, Operator], name: str) -> dict[str, Operator]:
    """The operators without one. Raises `NoSuchRecord`, and `Refused` where nobody could change anything any more."""
    if name not in people:
        raise NoSuchRecord(f"{shortened(name)} is no operator: {', '.join(sorted(people)) or 'there are none'}")
    left = {each: person for each, person in people.items() if each != name}
    _refuse_too_few(people, left)
    return left


def _refuse_too_few(before: Mapping[str, Operator], after: Mapping[str, Operator]) -> None:
    """Raise `Refused` where nobody could change anything any more; the first operators come one after the other."""
    left = sum(1 for each in after.values() if each.roles & TRUSTED)
    if before and left < SIGNERS:
        roles = ", ".join(sorted(TRUSTED))
        raise Refused(f"{left} would be left to sign changes, and it takes {SIGNERS} with one of {roles}: add somebody")


def loosened(before: Mapping[str, Operator], after: Mapping[str, Operator]) -> tuple[str, ...]:
    """What operators may do that they could not do before."""
    said = []
    for name, now in after.items():
        was = before.get(name)
        if was is None:
            said.append(f"{name} becomes an operator: {', '.join(sorted(now.roles))}")
        elif was.key != now.key:
            said.append(f"{name} gets another key")
        elif more := now.roles - was.roles:
            said.append(f"{name} gets the role {', '.join(sorted(more))}")
    return tuple(said)


def draft_of(before: Mapping[str, Operator], after: Mapping[str, Operator], file: str) -> Draft:
    """The change from one set of operators to another.

    Raises `BadInput` where nothing changes, `Refused` where too few would be left to sign the next change.
    """
    if dict(before) == dict(after):
        raise BadInput("nothing would change")
    _refuse_too_few(before, after)
    return Draft(OPERATORS, content_of(after), file, loosened(before, after))


def as_record(stand: Stand) -> dict[str, Any]:
    """A change as a record."""
    change = stand.change
    return {
        "kind": change.kind,
        "version": change.number,
        "hash": change.hash,
        "state": "active" if change.active_at is not None else "proposed",
        "loosens": list(change.loosens),
        "proposed_by": change.proposed_by,
        "proposed_at": moment(change.proposed_at),
        "signed_by": list(stand.signed_by),
        "counts_from": moment(change.counts_from),
        "active_at": None if change.active_at is None else moment(change.active_at),
        "waits_for": stand.waits_for or None,
    }


def _group(kind: str) -> str:
    return {OPERATORS: "operator", POLICY: "policy", COLD: "cold"}[kind]
