"""The audit log: what was done, by whom, each entry bound to the one before it.

**The chain.** The hash of an entry is SHA-256 over the hash of the entry before it (64 zeros before the first), a line
feed, and the entry as canonical JSON: `number`, `at`, `kind`, `subject`, `who`, `facts`. Whoever edits, removes,
inserts or reorders an entry breaks it there; whoever writes the whole chain anew changes its head, which is kept
elsewhere.

Anybody can compute it anew, from `audit export`, which has that JSON as `entry`:

    previous = "0" * 64
    for line in map(json.loads, export):
        previous = hashlib.sha256((previous + "\\n" + line["entry"]).encode()).hexdigest()
        assert previous == line["hash"]
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.identifiers import shortened
from cryptosupport.domain.withdrawals import canonical

BEGINNING = "0" * 64
"""What stands for the hash of an entry before the first."""

SEALED, ROW = "seal", "row"
"""The facts that say how a row has to be: a withdrawal's `withdrawals.seal`; table, digest and key of any other."""

GONE = "-"
"""Instead of a digest: the row was taken out."""

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
    return bound(previous, spelt(number, at, act.kind, act.subject, act.who, canonical(dict(act.facts)).decode()))


def spelt(number: int, at: int, kind: str, subject: str, who: str, facts: str) -> str:
    """An entry as canonical JSON, of ``facts`` that are canonical JSON already.

    >>> spelt(1, 0, "test", "", "me", "{}")
    '{"at":"0","facts":{},"kind":"test","number":"1","subject":"","who":"me"}'
    """
    named = f'"kind":{_quoted(kind)},"number":"{number}","subject":{_quoted(subject)},"who":{_quoted(who)}'
    return f'{{"at":"{at}","facts":{facts},{named}}}'


def bound(previous: str, entry: str) -> str:
    """The hash of an entry, as `spelt` has it, that follows the one with the hash ``previous``."""
    return hashlib.sha256(f"{previous}\n{entry}".encode()).hexdigest()


_quoted = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry of a log at some time, to be kept elsewhere: nobody can write the log anew up to it unseen."""

    number: int
    hash: str

    @property
    def text(self) -> str:
        """As `audit head` prints it.

        >>> Head(7, "ab" * 32).text[:10]
        '7:abababab'
        """
        return f"{self.number}:{self.hash}"


def read_head(text: str) -> Head:
    """Read `Head.text`. Raises `BadInput`.

    >>> read_head("0:" + BEGINNING).number
    0
    """
    found = re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{64})", text.strip())
    if found is None:
        raise BadInput(f'"{shortened(text.strip())}" is no head of an audit log: write what `audit head` prints')
    return Head(int(found[1]), found[2])
