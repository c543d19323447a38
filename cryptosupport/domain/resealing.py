"""What a change of the key asks of the ledger: which key is in force, and all personal data, a step at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cryptosupport.domain.audit import Act


@dataclass(frozen=True, slots=True)
class InForce:
    """The key in force; ``whole`` when no rotation to it was left half done."""

    key_id: str
    whole: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a rotation has come: the table, and the ids of the last row in it."""

    table: str = "withdrawal"
    ids: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class Resealed:
    """What one step did: how many texts it sealed, what does not open and why, and where to go on (None: the end)."""

    sealed: int
    unopened: tuple[tuple[str, str], ...]
    mark: Mark | None


class PersonalData(Protocol):
    """The personal data of the ledger, in one transaction."""

    def in_force(self) -> InForce | None:
        """The key in force; None while everything is in clear."""

    def put_in_force(self, key_id: str, act: Act) -> None:
        """From now on everything is sealed with this key."""

    def reseal(self, mark: Mark, most: int) -> Resealed:
        """Seal with the key in force what is in clear or under another key, in up to ``most`` rows from ``mark`` on."""

    def counts(self) -> Mapping[str, int]:
        """How many texts are kept under each key, by its id; those in clear under ""."""
