"""Who works at the desk: the operators in force, the policy that two of them signed, and who is proven to speak."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from cryptosupport.domain.books import Records
from cryptosupport.domain.errors import BadSettings, Edited, Refused, Tampered
from cryptosupport.domain.identifiers import shortened
from cryptosupport.domain.operators import (
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
from cryptosupport.domain.statements import Signed, Statement
from cryptosupport.domain.withdrawal_record import moment
from cryptosupport.domain.withdrawals import canonical

Fault: TypeAlias = Callable[[str, bytes, str], str | None]
"""What is wrong with a signature: (public key as a line, the bytes, the armoured signature); None when it is good."""

SIGNERS = 2
"""How many people a change takes."""

TRUSTED = frozenset({Role.OPS, Role.APPROVER, Role.COMPLIANCE, Role.POLICY})
"""The roles whose holders may sign changes of operators and lift freezes: programs and support have none of them."""

_CLOCKS_APART = 5000


class Hand(Protocol):
    """Signs for one person."""

    def at(self, now: int) -> int:
        """When it signs: ``now``, or the time of the statement that was signed elsewhere. Raises `BadInput`."""

    def sign(self, statement: Statement) -> Signed:
        """The statement signed, or the one that was signed elsewhere in its stead. Raises `Refused`, `BadInput`."""


@dataclass(frozen=True)
class People:
    """What is needed to know who speaks. ``fresh`` is how old a signature may be when it is handed in, in milliseconds.

    ``intake`` are the public keys that sign requests, by name; ``same_key`` says whether two lines are one key.
    ``proven`` are those who have shown in this run that they say what they say. ``versions`` are the operators there
    were: who has another name today is known by the key.
    """

    operators: Operators
    fault: Fault
    same_key: Callable[[str, str], bool]
    fresh: int
    intake: dict[str, str] = field(default_factory=dict)
    proven: set[str] = field(default_factory=set, compare=False)
    versions: Sequence[Operators] = ()

    @property
    def vouched(self) -> frozenset[str]:
        """The names of keys that sign requests and that two operators signed: operators with no role but intake.

        Any other key may be of whoever can write desk.toml, be it one of those who approve.
        """
        people = self.operators.people
        known = ((name, people[name]) for name in self.intake if name in people)
        return frozenset(
            name for name, it in known if it.roles == {Role.INTAKE} and self.same_key(self.intake[name], it.key)
        )

    def need(self) -> None:
        """Raise `BadSettings` where there is nobody to ask."""
        if not self.operators:
            raise BadSettings(
                "there are no operators: nobody can approve, release or reject. Write two people with "
                "`cryptosupport operator add`, who sign for each other"
            )

    def speaks(self, signed: Signed, action: str, subject: str, records: Records, roles: Collection[Role]) -> Operator:
        """The operator who is proven to say ``action`` of ``subject`` now. Raises `Refused` with the reason."""
        said = signed.statement
        person = self.person(said.operator, roles)
        fault = self.fault(person.key, said.signed, signed.signature)
        if fault is not None:  # first: of what is not signed nothing is repeated
            raise Refused(f"the signature of {said.operator} does not count: {fault}")
        if (said.action, said.subject) != (action, subject):
            raise Refused(
                f"{said.operator} signed something else than to {action} this, or it has changed since: look at it "
                "again and sign anew"
            )
        if said.ledger != records.ledger_id:
            raise Refused(f"{said.operator} signed this for another ledger")
        age = records.now - said.at
        if not -_CLOCKS_APART <= age <= self.fresh:
            when = f"{duration(abs(age))} {'ago' if age > 0 else 'from now'}"
            raise Refused(
                f"{said.operator} signed this {when}, and a signature counts for {duration(self.fresh)}: sign anew"
            )
        self.proven.add(person.name)
        return person

    def person(self, name: str, roles: Collection[Role]) -> Operator:
        """The operator ``name``, who has one of ``roles``. Raises `Refused`."""
        person = self.operators.people.get(name)
        if person is None:
            known = ", ".join(sorted(self.operators.people))
            raise Refused(f"{shortened(name)} is no operator of this desk: {known}")
        if not person.roles.intersection(roles):
            has, needed = ", ".join(sorted(person.roles)), " or ".join(sorted(roles))
            raise Refused(f"{name} has the role {has}, and this takes {needed}")
        return person

    def still_said(self, signed: Signed, action: str, subject: str, ledger_id: str, roles: Collection[Role]) -> bool:
        """Whether a statement that was kept counts today: by its signature, and by who may say so."""
        return _counts(signed, action, subject, ledger_id, self.operators, roles, self.fault)

    def is_maker(self, person: Operator, maker: str | None, source: str) -> bool:
        """Whether ``person`` brought the request: under the own name or a former one, or by a key that signs requests
        and is theirs.
        """
        keys = [self.intake[source]] if source in self.intake else []
        keys += [each.people[maker].key for each in self.versions if maker is not None and maker in each.people]
        return person.name == maker or any(self.same_key(key, person.key) for key in keys)


def operators_of(records: Records, fault: Fault) -> tuple[Operators, list[Operators]]:
    """The operators in force, and all versions there were, each proven by the signatures of two of those before it.

    Raises `Tampered` where one is not.
    """
    versions: list[Operators] = []
    previous = ""
    for change in records.changes(OPERATORS):
        if change.active_at is None:
            break
        try:
            now = Operators(people_of(change.content), change.hash, change.active_at)
        except ValueError as error:
            raise Tampered(_broken(change, "its content cannot be read")) from error
        by = versions[-1] if versions else now
        _prove(records, change, previous, "" if not versions else by.version, by, TRUSTED, fault)
        versions.append(now)
        previous = change.hash
    return (versions[-1] if versions else Operators({})), versions


def policies_of(records: Records, versions: Sequence[Operators], fault: Fault) -> list[Change]:
    """The versions of the policy that were in force; the last one is. Raises `Tampered` where one is not proven."""
    return signed_of(records, POLICY, versions, fault)


def signed_of(records: Records, kind: str, versions: Sequence[Operators], fault: Fault) -> list[Change]:
    """The versions of a kind that were in force; the last one is. Raises `Tampered` where one is not proven."""
    active: list[Change] = []
    previous = ""
    for change in records.changes(kind):
        if change.active_at is None:
            break
        at, earliest = change.active_at, active[-1].active_at if active else 0
        by = next((each for each in reversed(versions) if each.since <= at), None)
        if by is None or by.version != change.operators or at < (earliest or 0):
            raise Tampered(_broken(change, "those who signed it were not in force when it came into force"))
        _prove(records, change, previous, by.version, by, SIGNED_BY[kind], fault)
        active.append(change)
        previous = change.hash
    return active


def _prove(
    records: Records, change: Change, previous: str, operators: str, by: Operators, roles: Collection[Role],
    fault: Fault,
) -> None:  # fmt: skip
    if (change.previous, change.operators) != (previous, operators):
        raise Tampered(_broken(change, "it does not follow the one before it"))
    if change.active_at is None or not change.counts_from <= change.active_at <= records.now:
        raise Tampered(_broken(change, "it came into force before its time"))
    if len(signers(records, change, by, roles, fault)) < SIGNERS:
        raise Tampered(_broken(change, f"{SIGNERS} signatures are needed, and there are not so many that fit"))


def _broken(change: Change, why: str) -> str:
    return (
        f"version {change.number} of the {change.kind} was changed in the database behind this program: {why}; "
        "nothing is decided. Run `cryptosupport audit verify`, and restore the ledger from a backup"
    )


def signers(records: Records, change: Change, by: Operators, roles: Collection[Role], fault: Fault) -> list[str]:
    """Who has signed a change, of those who may."""
    said = records.statements(change.kind, change.hash)
    good = (each for each in said if _counts(each, change.kind, change.hash, records.ledger_id, by, roles, fault))
    return list(dict.fromkeys(each.statement.operator for each in good))


def _counts(
    signed: Signed, action: str, subject: str, ledger_id: str, by: Operators, roles: Collection[Role], fault: Fault
) -> bool:
    said = signed.statement
    person = by.people.get(said.operator)
    fits = (said.action, said.subject, said.ledger) == (action, subject, ledger_id)
    if person is None or not fits or not person.roles.intersection(roles):
        return False
    return fault(person.key, said.signed, signed.signature) is None


def refuse_former(records: Records, people: People) -> None:
    """Raise `Refused` where other operators are in force than a command began with: somebody may have been removed."""
    in_force, _ = operators_of(records, people.fault)
    if in_force.version != people.operators.version:
        raise Refused("the operators changed meanwhile, and nothing was recorded: begin anew")


def agree(operators: Operators, versions: Sequence[Operators], file: dict[str, Operator] | None, where: str) -> str:
    """Hold the file against the operators in force; say what to warn of ("" for nothing).

    An older version that the ledger still knows does no harm. Raises `Edited` for any other file.
    """
    content = content_of(file or {})
    if not operators:
        if file:
            raise Edited(
                f"{where} names people, and nobody has signed it: two of them run `cryptosupport operator sign "
                "--operator NAME`. If they have, this is not their ledger: see --data, and [ledger] url",
                file="operators.toml",
            )
        return ""
    if content == content_of(operators.people):
        return ""
    if any(content == content_of(each.people) for each in versions):
        return f"{where} is an older version: copy the one in force, which `cryptosupport operator list` shows"
    raise Edited(
        f"{where} is not what two operators signed: it was edited, or removed. See `cryptosupport operator list`; "
        "`cryptosupport operator activate` writes the one in force, `operator add` and `remove` have a change signed",
        file="operators.toml",
    )


def waits_until(change: Change, now: int) -> str:
    """When a change may come into force, in words; "" where that is now."""
    left = change.counts_from - now
    return "" if left <= 0 else f"{moment(change.counts_from)}, in {duration(left)}"


def policy_content(hash: str) -> str:
    """A policy as the content of a change: by its hash."""
    return canonical({"policy": hash}).decode()


def hash_of_policy(change: Change) -> str:
    """The hash of the policy that a change puts in force; "" for a content that is none."""
    try:
        return str(json.loads(change.content)["policy"])
    except (ValueError, KeyError, TypeError):
        return ""


def same_versions(records: Records, operators: str, policies: Sequence[Change]) -> None:
    """Raise `BadSettings` when other operators or another policy are in force than a run began with."""
    for kind, known in ((OPERATORS, operators), (POLICY, policies[-1].hash if policies else "")):
        active = [change for change in records.changes(kind) if change.active_at is not None]
        if (active[-1].hash if active else "") != known and (kind == OPERATORS or operators):
            raise BadSettings(f"the {kind} changed meanwhile: what was told is recorded; run it again for the rest")
