"""Freezes: what must not move until two people say so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.identifiers import shortened
from cryptosupport.domain.policy.rules import Booking

ALL = "all"
KINDS = ("chain", "asset", "wallet", "customer", "destination")
"""What can be frozen beside everything, as a `Booking` names it."""

_LONGEST = 300


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

    def covers(self, booking: Booking) -> bool:
        """Whether this withdrawal is frozen by it."""
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
    if not value or not value.isprintable() or value != value.strip() or len(value) > _LONGEST:
        raise BadInput(f'"{shortened(text)}" names nothing: write {kind}=NAME, in up to {_LONGEST} characters')
    return Scope(kind, value)


def that_cover(freezes: Iterable[Freeze], booking: Booking) -> list[Freeze]:
    """The freezes that keep this withdrawal from moving."""
    return [freeze for freeze in freezes if freeze.lifted_at is None and freeze.scope.covers(booking)]
