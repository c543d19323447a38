"""People for tests: operators with keys, hands that sign, and a desk where they are in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cryptosupport.context.signing import fault, same_key
from cryptosupport.desk.approve import Spoken, speak
from cryptosupport.desk.change_desk import draft_of, propose, sign, without_operator
from cryptosupport.desk.people import People, operators_of
from cryptosupport.domain.operators import OPERATORS, Operator, Operators, Role
from cryptosupport.domain.statements import Signed, Statement
from cryptosupport.outside.sshkeys import public_line
from cryptosupport.outside.sshsig import sign as sign_bytes
from tests.desk.deskkit import Desk

FRESH = 15 * 60_000
A, C, P, O, I = Role.APPROVER, Role.COMPLIANCE, Role.POLICY, Role.OPS, Role.INTAKE  # noqa: E741
ROLES = {"alice": {A, P, O}, "bob": {A, P}, "carol": {C, P}, "dave": {A, C}}
"""Four people of a desk."""


def key(number: int) -> Ed25519PrivateKey:
    """A key that is the same in each run."""
    return Ed25519PrivateKey.from_private_bytes(number.to_bytes(32))


KEYS = {name: key(number) for number, name in enumerate(("alice", "bob", "carol", "dave", "mallory"), 1)}


@dataclass
class Hand:
    """Signs with a key; remembers what it signed. ``instead`` hands in something else."""

    private: Ed25519PrivateKey
    instead: Signed | None = None
    signed: list[Signed] = field(default_factory=list)

    def at(self, now: int) -> int:
        """At once, or when it was signed that is handed in."""
        return now if self.instead is None else self.instead.statement.at

    def sign(self, statement: Statement) -> Signed:
        """The statement signed."""
        made = self.instead or Signed(statement, sign_bytes(self.private, statement.signed))
        self.signed.append(made)
        return made


def hand(name: str) -> Hand:
    """The hand of one of `KEYS`."""
    return Hand(KEYS[name])


def operator(name: str, *roles: Role) -> Operator:
    """An operator with the key of that name."""
    return Operator(name, frozenset(roles or ROLES[name]), public_line(KEYS[name]))


def nobody(desk: Desk) -> People:
    """What is needed to know people, where there are none yet."""
    return People(Operators({}), fault, same_key, FRESH)


def people_of(desk: Desk, intake: Mapping[str, str] | None = None) -> People:
    """The people in force at a desk."""
    with desk.ledger.look() as records:
        operators, versions = operators_of(records, fault)
    return People(operators, fault, same_key, FRESH, dict(intake or {}), versions=versions)


def enrol(desk: Desk, *names: str) -> People:
    """Put the first operators in force, each of whom signs."""
    chosen = {name: operator(name) for name in names or ROLES}
    first, second, *_ = chosen
    propose(desk.ledger, nobody(desk), draft_of({}, chosen, "file"), first, hand(first), 0)
    assert sign(desk.ledger, nobody(desk), OPERATORS, second, hand(second)).waits_for == ""
    return people_of(desk)


def remove(desk: Desk, name: str, *by: str) -> None:
    """Two people remove an operator, which counts at once."""
    people = people_of(desk)
    left = without_operator(people.operators.people, name)
    first, second = by
    propose(desk.ledger, people, draft_of(people.operators.people, left, "file"), first, hand(first), 3_600_000)
    assert sign(desk.ledger, people, OPERATORS, second, hand(second)).waits_for == ""


def say(desk: Desk, people: People, action: str, request_id: str, by: str, reason: str | None = None) -> Spoken:
    """One of them says something of a withdrawal."""
    return speak(desk.ledger, desk.premises, people, request_id, action, by, hand(by), reason)


def guarded(desk: Desk, **guards: object) -> Desk:
    """The desk with guards."""
    guarding = replace(desk.premises.guarding, **guards)  # type: ignore[arg-type]
    return replace(desk, further={**desk.further, "guarding": guarding})
