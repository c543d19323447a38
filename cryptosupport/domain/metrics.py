"""What a pass tells those who watch the desk: numbers with names, and no customer in any of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Labels: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number at one moment, or one for each of several ``labels``: ``values`` are decimals as text, by labels."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    values: Mapping[Labels, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LastRun:
    """The last pass on this machine, which ended ``at`` with ``exit_code``, and when one succeeded last (None: never).

    Times are milliseconds since 1970.
    """

    at: int
    exit_code: int
    succeeded_at: int | None
