"""Holding an audit log against its own chain: what was changed, taken away, put in or moved, and where.

A break does not end it: the entries behind are held against the hashes that stand there. Which of two neighbours was
changed can often not be told from a chain alone; then a finding names the one at which it breaks.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from cryptosupport.domain.audit import BEGINNING, GONE, ROW, SEALED, Head, bound, spelt
from cryptosupport.domain.policy.judging import Judge
from cryptosupport.domain.withdrawals import canonical


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry as a database or an export has it, sound or not; ``facts`` are JSON, ``at`` milliseconds since 1970."""

    number: int
    at: int
    kind: str
    subject: str
    who: str
    facts: str
    hash: str


@dataclass(frozen=True, slots=True)
class Ending:
    """How the log has to end, as the ledger has it beside the log; smaller ids than ``sealed_from`` are older."""

    head: Head
    sealed_from: int


MESSAGES = {
    "entry_changed": "{it} not as written: what stands there, the hash, or the entry just before was changed, taken "
    "away or put in",
    "entry_missing": "{it} missing: somebody has taken away what stood there",
    "entry_put_in": "{it} not written by this program: the log has no place for it",
    "entry_renumbered": "{it} written under another number ({note}): entries before were taken away or put in",
    "entry_moved": "{it} not where it was written: lines were put in another order",
    "entry_misspelt": "{it} spelt otherwise than the program does: its facts may read differently elsewhere",
    "end_differs": "the log ends with another entry than the ledger recorded as its last: {note}",
    "head_differs": "{it} another one than was kept elsewhere: the log was written anew, or is of another ledger",
    "head_missing": "{it} missing, which was kept elsewhere: the ledger went back to an older one, or is another",
    "book_missing": "the ledger's own row is gone: nobody can tell where the log has to end",
    "row_changed": "{it} not as entry {note} of the log has it: the row was changed in the database",
    "row_unreadable": "{it} not readable: the row, or what belongs to it, was changed in the database",
    "row_without_entry": "{it} in no entry of the log: the row was put in, or put back, in the database",
    "row_missing": "{it} gone: entry {note} of the log has it, and it was taken out in the database",
    "policy_changed": "{it} not the text that its hash was made of: it was changed in the database",
    "sum_differs": "the sum of {subject} says {note}: it was changed in the database, and limits rest on it",
    "sums_unreadable": "the sums that limits rest on cannot be worked out: {note}",
    "window_changed": "what {subject} sums over is not as the program left it: {note}",
    "line_unreadable": "{it} no entry of an export: it was changed, or cut",
    "start_moved": "{it} said to be older than the log, which has its beginning: book.sealed_from was changed",
}
"""What every kind of finding says."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as this program wrote it.

    ``what`` is a key of `MESSAGES`; entries ``first`` to ``last`` of the log, or a ``subject`` in a ``table``.
    """

    what: str
    first: int | None = None
    last: int | None = None
    table: str | None = None
    subject: str | None = None
    note: str = ""

    @property
    def message(self) -> str:
        """What was found, as a sentence.

        >>> Finding("entry_missing", 4, 5).message
        'entries 4 to 5 are missing: somebody has taken away what stood there'
        """
        if self.table is not None:
            it = f"{self.table} {self.subject} is"
        elif self.first != self.last:
            it = f"entries {self.first} to {self.last} are"
        else:
            it = f"entry {self.first} is"
        return MESSAGES[self.what].format(it=it, note=self.note, subject=self.subject)


MOST = 10_000
"""So many findings are told one by one; the rest is counted."""


@dataclass
class Findings:
    """What was found, neighbours of one kind together; ``entries`` and ``rows`` are how much was held against what."""

    found: list[Finding] = field(default_factory=list)
    count: int = 0
    entries: int = 0
    rows: int = 0
    head: Head = field(default_factory=lambda: Head(0, BEGINNING))

    @property
    def sound(self) -> bool:
        """Whether everything is as this program wrote it."""
        return not self.count

    def add(self, finding: Finding) -> None:
        """One more; an entry that follows those of the last finding becomes part of it."""
        last = self.found[-1] if self.found else None
        behind = last is not None and last.last is not None and finding.first == last.last + 1
        if last is not None and behind and replace(last, first=finding.first, last=finding.last) == finding:
            self.found[-1] = replace(last, last=finding.last)
            return
        self.count += 1
        if len(self.found) < MOST:
            self.found.append(finding)

    def entry(self, what: str, first: int, last: int | None = None, note: str = "") -> None:
        """One more about entries of the log."""
        self.add(Finding(what, first, first if last is None else last, note=note))


@dataclass(frozen=True, slots=True)
class Claim:
    """What an entry says of a row: its digest, "" where it is gone. ``born``: the entry is the first about the row."""

    table: str
    name: str
    digest: str
    number: int
    born: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it is: ``digest`` is None where it cannot be read. One that is not ``logged`` may be in no entry."""

    table: str
    name: str
    digest: str | None
    logged: bool = True


class Evidence(Protocol):
    """A ledger as it is at one moment, to be held against its log."""

    def ending(self) -> Ending | None:
        """How the log has to end; None where that is gone."""

    def entries(self) -> Iterator[Recorded]:
        """All entries in order of their numbers."""

    def policies(self) -> Iterator[tuple[str, str]]:
        """All policies: hash and text."""

    def rows(self) -> Iterator[Sequence[Row]]:
        """All rows that have to be as the log has them, a page at a time."""

    def differing_sums(self, judge: Judge, now: int) -> Iterator[Finding]:
        """Each sum of the judge's windows that the withdrawals do not give, at ``now`` (milliseconds since 1970)."""

    def claim(self, claims: Sequence[Claim]) -> None:
        """Remember what entries say of rows; the last one counts."""

    def claimed(self, rows: Sequence[Row]) -> list[Claim | None]:
        """What was said last of each of ``rows``."""

    def unclaimed(self) -> Iterator[Claim]:
        """What was said last of rows that were never asked for."""


def claims_of(entry: Recorded) -> Iterator[Claim]:
    """What an entry says of rows; nothing where it cannot be read.

    >>> [(each.table, each.name) for each in claims_of(Recorded(1, 0, "x", "w-1", "", '{"seal":"ab"}', ""))]
    [('withdrawal', 'w-1')]
    """
    if not isinstance(entry.facts, str) or not (f'"{SEALED}":' in entry.facts or f'"{ROW}":' in entry.facts):
        return
    facts = None
    with suppress(ValueError, RecursionError):
        facts = json.loads(entry.facts)
    if not isinstance(facts, dict) or not isinstance(entry.subject, str):
        return
    if isinstance(seal := facts.get(SEALED), str):
        yield Claim("withdrawal", entry.subject, seal, entry.number, entry.kind == "withdrawal.requested")
    if isinstance(row := facts.get(ROW), str) and row.count(" ") >= 2:
        table, digest, name = row.split(" ", 2)
        yield Claim(table, name, "" if digest == GONE else digest, entry.number)


class Chain:
    """Follows a log from entry to entry; what is not sound goes to ``findings``."""

    def __init__(self, findings: Findings, heads: Collection[Head] = ()) -> None:
        self._findings = findings
        self._kept: dict[int, set[str]] = {}
        for head in heads:
            self._kept.setdefault(head.number, set()).add(head.hash)
        self._number = 0
        self._hash = BEGINNING
        self._others: list[str] = []  # hashes that the next entry may be bound to, beside the one that stands there
        self._shift = 0
        self._broken = False
        self._meet(0, BEGINNING)

    def start(self, number: int, previous: str) -> None:
        """Begin behind entry ``number``, whose hash is ``previous``: for an export that begins there."""
        self._number, self._hash = number, previous
        self._kept = {kept: hashes for kept, hashes in self._kept.items() if kept >= number}
        self._meet(number, previous)

    def follow(self, entry: Recorded) -> None:
        """The next entry."""
        self._findings.entries += 1
        if type(entry.number) is not int or entry.number < 1:
            self._findings.entry("entry_put_in", entry.number)
            return
        if entry.number <= self._number:
            self._findings.entry("entry_moved", entry.number)
            return
        gap = entry.number > self._number + 1
        if gap:
            self._findings.entry("entry_missing", self._number + 1, entry.number - 1)
        facts = _canonical(entry)
        broken = self._follow(entry, facts, gap)
        if facts is not None and facts != entry.facts:
            self._findings.entry("entry_misspelt", entry.number)
        self._number, self._hash, self._broken = entry.number, entry.hash, broken or gap
        self._meet(entry.number, entry.hash)

    def _follow(self, entry: Recorded, facts: str | None, gap: bool) -> bool:
        """Hold an entry against the one before it; whether it is broken there."""
        before, behind, self._others = self._hash, self._others, [self._hash]
        if facts is None:
            self._findings.entry("entry_changed", entry.number)
            return True
        own = bound(before, _spelt(entry, facts, 0))
        if own == entry.hash:
            return False
        self._others.append(own)
        spots = [before, *behind]
        for shift in dict.fromkeys((self._shift, 0, 1, -1, self._shift + 1, self._shift - 1)):
            if any(bound(spot, _spelt(entry, facts, shift)) == entry.hash for spot in spots):
                if shift:
                    self._findings.entry("entry_renumbered", entry.number, note=f"{shift:+} before")
                elif not self._broken:
                    self._findings.entry("entry_changed", entry.number)
                self._shift = shift
                return bool(shift)
        if not gap:  # bound to what is missing, it can be held against nothing
            self._findings.entry("entry_changed", entry.number)
        return True

    def _meet(self, number: int, hash: str) -> None:
        if self._kept.pop(number, {hash}) != {hash}:
            self._findings.entry("head_differs", number)

    def finish(self, ending: Ending | None) -> None:
        """The log is over; ``ending`` is how it has to end, None where nobody says."""
        self._findings.head = Head(self._number, self._hash)
        for kept in sorted(self._kept):
            self._findings.entry("head_missing", kept)
        if ending is None:
            return
        due = ending.head
        if self._number < due.number:
            self._findings.entry("entry_missing", self._number + 1, due.number)
        elif self._number > due.number:
            self._findings.entry("entry_put_in", due.number + 1, self._number)
        elif self._hash != due.hash:
            self._findings.add(Finding("end_differs", due.number, due.number, note=due.text))


def _canonical(entry: Recorded) -> str | None:
    """The facts in their one spelling; None for an entry that no program wrote."""
    texts = (entry.kind, entry.subject, entry.who, entry.facts, entry.hash)
    if type(entry.at) is not int or not all(isinstance(each, str) for each in texts):
        return None
    with suppress(ValueError, RecursionError):  # a letter that is none (UnicodeError) is a ValueError too
        for each in texts:
            each.encode()
        return canonical(json.loads(entry.facts)).decode()
    return None


def _spelt(entry: Recorded, facts: str, shift: int) -> str:
    return spelt(entry.number + shift, entry.at, entry.kind, entry.subject, entry.who, facts)
