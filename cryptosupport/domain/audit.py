"""The audit log: what was done, by whom, each entry bound to the one before it.

**The chain.** The hash of an entry is SHA-256 over the hash of the entry before it (64 zeros before the first), a line
feed, and the entry as canonical JSON: `number`, `at`, `kind`, `subject`, `who`, `facts`. Whoever edits, removes,
inserts or reorders an entry breaks it there; whoever writes the whole chain anew changes its head, which is kept
elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptosupport.domain.withdrawals import canonical

BEGINNING = "0" * 64
"""What stands for the hash of an entry before the first."""

PROGRAM = "cryptosupport"
"""Who did what no person asked for."""


@dataclass(frozen=True, slots=True)
class Act:
    """Something that was done: its ``kind`` ("withdrawal.approved"), to what, and by whom.

    ``subject`` is a request id, or the id or name of a freeze, a list, an operator. ``who`` is "operator NAME" where
    a signature proved it, "NAME (unproven)" where somebody only said so, "key NAME" for a key that signs requests, or
    `PROGRAM`. ``facts`` are texts (or None), and hold no secret and no personal data.
    """

    kind: str
    subject: str = ""
    who: str = PROGRAM
    facts: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """An act as the log has it; ``at`` is milliseconds since 1970, ``hash`` hexadecimal."""

    number: int
    at: int
    act: Act
    hash: str


def chained(previous: str, number: int, at: int, act: Act) -> str:
    """The hash of an entry that follows the one with the hash ``previous``.

    >>> chained(BEGINNING, 1, 0, Act("test"))[:8]
    'e4a95fd7'
    """
    facts = {
        "number": str(number),
        "at": str(at),
        "kind": act.kind,
        "subject": act.subject,
        "who": act.who,
        "facts": dict(act.facts),
    }
    return hashlib.sha256(previous.encode() + b"\n" + canonical(facts)).hexdigest()
