"""Statements: what a person signs to approve, release, lift or change something.

**What is signed.** The bytes ``cryptosupport.statement/1``, a line feed, and the statement as canonical JSON (RFC
8785): `action`, `subject`, `operator`, `at`, `ledger` and `facts`. The subject is the hash of what is spoken of, so
that a statement fits this one thing as it was when it was signed, in this one ledger, and nothing else. The signature
has the form of OpenSSH (PROTOCOL.sshsig) in the namespace `cryptosupport`; `ssh-keygen -Y verify` can check it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.withdrawals import canonical

SIGNED = b"cryptosupport.statement/1\n"
"""What a signed statement starts with, so that no signature for something else fits."""

LONGEST_FACT = 2000
"""So many characters a fact that is handed in may have."""

_TEXTS = ("action", "subject", "operator", "at", "ledger")


@dataclass(frozen=True, slots=True)
class Statement:
    """``operator`` says ``action`` of ``subject``, at a time in milliseconds since 1970, to one ``ledger`` (its id)."""

    action: str
    subject: str
    operator: str
    at: int
    ledger: str
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The statement as canonical JSON."""
        told = {name: getattr(self, name) for name in _TEXTS} | {"at": str(self.at), "facts": dict(self.facts)}
        return canonical(told).decode()

    @property
    def signed(self) -> bytes:
        """The bytes that a signature covers."""
        return SIGNED + self.text.encode()


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement with its armoured signature."""

    statement: Statement
    signature: str


def read_statement(text: str, *, kept: bool = False) -> Statement:
    """Read `Statement.text`. Raises `BadInput` for any other text, also one that is spelt in another way.

    One that was not ``kept`` in a ledger comes from outside: its facts have to be printable, and not endless.
    """
    try:
        told = json.loads(text)
        facts = told.pop("facts")
        named = {name: told.pop(name) for name in _TEXTS}
        sound = not told and isinstance(facts, dict)
        sound = sound and all(isinstance(each, str) for each in (*named.values(), *facts.values()))
        read = Statement(**named | {"at": int(named["at"]), "facts": facts}) if sound else None
        same = read is not None and read.text == text  # a letter that is none (UnicodeError) is a ValueError too
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        read, same = None, False
    if read is None or not same:
        raise BadInput("this is no statement as the program writes it: have it written anew with --write-statement")
    told = (read.action, read.operator, *read.facts, *read.facts.values())
    if not kept and not all(each.isprintable() and len(each) <= LONGEST_FACT for each in told):
        raise BadInput(f"what this statement says is no printable text of at most {LONGEST_FACT} characters")
    return read
