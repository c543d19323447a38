"""Operators: the people of the desk, what they may do, and how they, the policy and the cold set change.

A change is a document that names the one before it by its hash, so that all of a kind are a chain. It counts when two
people have signed it: of the operators by two of those before it (the first ones by two of themselves), of the policy
by two with the role `policy`, of the cold set by two of `ops` or `compliance`; and, where it loosens anything, when its
time has come.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from cryptosupport.domain.withdrawals import canonical


class Role(StrEnum):
    """What an operator may do."""

    INTAKE = "intake"
    OPS = "ops"
    APPROVER = "approver"
    COMPLIANCE = "compliance"
    POLICY = "policy"
    SUPPORT = "support"


@dataclass(frozen=True, slots=True)
class Operator:
    """One person: ``key`` is the public key as a line of OpenSSH, without a comment."""

    name: str
    roles: frozenset[Role]
    key: str


@dataclass(frozen=True, slots=True)
class Operators:
    """All operators in force, by name; ``version`` is the hash of the change that made them, "" without any.

    They are in force ``since`` (milliseconds since 1970).
    """

    people: Mapping[str, Operator]
    version: str = ""
    since: int = 0

    def __bool__(self) -> bool:
        return bool(self.people)


OPERATORS, POLICY, COLD = "operators", "policy", "cold set"
"""The kinds of changes."""

SIGNED_BY = {POLICY: frozenset({Role.POLICY}), COLD: frozenset({Role.OPS, Role.COMPLIANCE})}
"""The roles whose holders sign a kind; operators are signed by whoever is trusted with anything."""


@dataclass(frozen=True, slots=True)
class Change:
    """One version of the operators, of the policy or of the cold set.

    ``number`` counts from 1, ``previous`` is the hash of the version before ("" for the first). ``content`` is what
    changes, as canonical JSON: the operators, the hash of the policy, or the cold wallets; ``operators`` is the version
    of operators that may sign it ("" for the first operators). ``file`` is what becomes of the settings file, as it was
    given ("" where none does).
    ``loosens`` says why it may let more leave. Times are milliseconds since 1970: it may come into force at
    ``counts_from`` at the earliest, and is in force since ``active_at`` (None while it is not).
    """

    kind: str
    number: int
    previous: str
    operators: str
    content: str
    file: str
    loosens: tuple[str, ...]
    proposed_by: str
    proposed_at: int
    counts_from: int
    active_at: int | None = None

    @property
    def document(self) -> bytes:
        """What the signatures are bound to, by its hash: all of it but when it came into force."""
        names = ("kind", "previous", "operators", "content", "file", "proposed_by")
        facts = {name: getattr(self, name) for name in names} | {"loosens": list(self.loosens)}
        numbers = {name: str(getattr(self, name)) for name in ("number", "proposed_at", "counts_from")}
        return canonical(facts | numbers)

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of the document."""
        return hashlib.sha256(self.document).hexdigest()


def content_of(people: Mapping[str, Operator]) -> str:
    """Operators as the content of a change."""
    told = {each.name: {"roles": sorted(each.roles), "key": each.key} for each in people.values()}
    return canonical(told).decode()


def people_of(content: str) -> dict[str, Operator]:
    """The operators of a change. Raises `ValueError` for a content that is none of operators."""
    try:
        told = json.loads(content)
        return {
            name: Operator(name, frozenset(map(Role, each["roles"])), str(each["key"])) for name, each in told.items()
        }
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("these are no operators") from error
