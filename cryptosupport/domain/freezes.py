"""Freezes: what must not move until two people say so."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.identifiers import about_secret, shortened, without_secrets
from cryptosupport.domain.policy.rules import Booking
from cryptosupport.domain.screening import key_of

ALL = "all"
KINDS = ("chain", "asset", "wallet", "customer", "destination")
"""What can be frozen beside everything, as a `Booking` names it."""

_LONGEST = 300
_MOST_LINES = 100
"""A freeze file with more lines is no longer read line by line."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is frozen: everything (``kind`` is "all"), or one chain, asset (symbol), wallet, customer or destination."""

    kind: str
    value: str = ""

    @property
    def text(self) -> str:
        """As it is written on a command line.

        >>> Scope("chain", "ethereum").text
        'chain=ethereum'
        """
        return f"{self.kind}={self.value}" if self.value else self.kind

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from others: a destination is the same in whatever spelling.

        >>> Scope("destination", "0xAB" + "0" * 38).key == Scope("destination", "0xab" + "0" * 38).key
        True
        """
        return self.kind, key_of(self.value) if self.kind == "destination" else self.value

    def covers(self, booking: Booking) -> bool:
        """Whether this withdrawal is frozen by it."""
        if self.kind == "destination":
            return key_of(booking.destination) == key_of(self.value)
        return self.kind == ALL or getattr(booking, self.kind) == self.value


@dataclass(frozen=True, slots=True)
class Freeze:
    """One freeze; times are milliseconds since 1970.

    ``by`` is who asked for it, ``proven`` whether a signature showed so. ``source`` is `operator`, `file` or `auto`.
    ``expires_at`` only warns: nothing but two people lifts it. ``lifted_at`` is None while it counts.
    """

    id: str
    scope: Scope
    reason: str
    by: str
    proven: bool
    at: int
    source: str
    expires_at: int | None = None
    lifted_at: int | None = None


def read_scope(text: str) -> Scope:
    """Read a scope as it is written on a command line. Raises `BadInput`.

    >>> read_scope("asset=BTC")
    Scope(kind='asset', value='BTC')
    """
    kind, equals, value = text.partition("=")
    if text == ALL:
        return Scope(ALL)
    if kind not in KINDS or not equals:
        known = ", ".join([ALL, *(f"{each}=..." for each in KINDS)])
        raise BadInput(f'"{shortened(text)}" is no scope of a freeze: write one of {known}')
    if without_secrets(value) != value:
        raise BadInput(about_secret("what to freeze"))
    broken = not value.isprintable() or "\ufffd" in value  # as which bytes are read that are no UTF-8
    if not value or broken or value != value.strip() or len(value) > _LONGEST:
        raise BadInput(f'"{shortened(text)}" names nothing: write {kind}=NAME, in up to {_LONGEST} characters')
    return Scope(kind, value)


def that_cover(freezes: Iterable[Freeze], booking: Booking) -> list[Freeze]:
    """The freezes that keep this withdrawal from moving."""
    return [freeze for freeze in freezes if freeze.lifted_at is None and freeze.scope.covers(booking)]


# -- the freeze file -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FileLine:
    """A line of the freeze file: ``id`` where the program wrote it, else None. ``written_at`` is when the file was.

    ``unread`` stands for a file that is there and cannot be read.
    """

    id: str | None
    scope: Scope
    reason: str
    written_at: int
    unread: bool = False

    @property
    def freeze_id(self) -> str:
        """The id that the ledger knows it by."""
        return self.said_id if self.id is None else self.id

    @property
    def said_id(self) -> str:
        """The id of a line that a person wrote, or edited: made from what it says and when."""
        told = f"{self.scope.text}\n{self.reason}\n{self.written_at}"
        return hashlib.sha256(told.encode()).hexdigest()[:16]


def read_lines(text: str, written_at: int) -> list[FileLine]:
    """Read the freeze file: a line is `[ID] SCOPE [REASON]`, # begins a comment.

    A file without a line or with far too many, and a line that cannot be read, freeze everything.
    """
    written = [line for line in text.splitlines() if line.split() and not line.split()[0].startswith("#")]
    if len(written) > _MOST_LINES:
        return [FileLine(None, Scope(ALL), f"the freeze file has more than {_MOST_LINES} lines", written_at)]
    lines = []
    for line in written:
        words = line.split()
        id = words.pop(0) if len(words[0]) == 16 and set(words[0]) <= set("0123456789abcdef") else None
        try:
            named = words[0] if words else ""
            scope = read_scope(named if id is None else _without_escapes(named))
            reason = _printable(" ".join(words[1:]))
        except BadInput:
            scope, reason = Scope(ALL), f"a line that cannot be read: {shortened(line)}"
        lines.append(FileLine(id, scope, reason or "the freeze file says so", written_at))
    return lines or [FileLine(None, Scope(ALL), "the freeze file is there, and empty", written_at)]


def _printable(reason: str) -> str:
    """What somebody wrote as the reason, as a ledger can keep it: PostgreSQL takes no NUL."""
    return "".join(character if character.isprintable() else "?" for character in reason[:_LONGEST])


def line_of(freeze: Freeze) -> str:
    """The line of the freeze file for a freeze; a blank in a name is written `%20`.

    >>> line_of(Freeze("00112233aabbccdd", Scope("customer", "Ann B"), "a drill", "alice", True, 0, "operator"))
    '00112233aabbccdd customer=Ann%20B a drill\\n'
    """
    scope = freeze.scope.text.replace("%", "%25").replace(" ", "%20")
    return f"{freeze.id} {scope} {' '.join(freeze.reason.split())}\n"


def _without_escapes(scope: str) -> str:
    return scope.replace("%20", " ").replace("%25", "%")
