"""What the desk asks of the ledger: one serialised transaction at a time to decide in, and reading beside it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from cryptosupport.domain.money import Quantity
from cryptosupport.domain.policy.decision import Decision
from cryptosupport.domain.policy.judging import Judge
from cryptosupport.domain.policy.rules import Booking
from cryptosupport.domain.policy.tallies import Tallies, Tally
from cryptosupport.domain.policy.windows import Place
from cryptosupport.domain.withdrawals import State, Withdrawal


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which withdrawals to list; times are milliseconds since 1970. None asks for no such thing.

    ``open_before``: not ended, and created before that moment.
    """

    customer: str | None = None
    destination: str | None = None
    txid: str | None = None
    states: tuple[State, ...] = ()
    since: int | None = None
    open_before: int | None = None


class Books(Protocol):
    """One writing transaction of the ledger: nobody else decides meanwhile, and it happens whole or not at all.

    ``now`` is its time (milliseconds since 1970), never before that of an earlier one. ``tallies`` are the windows of
    the judge with whatever is out by now taken out.
    """

    @property
    def now(self) -> int:
        """The time of this transaction."""

    @property
    def tallies(self) -> Tallies:
        """The sums that were loaded."""

    @property
    def next_id(self) -> int:
        """The id that the next withdrawal gets."""

    def find(self, request_ids: Collection[str]) -> dict[str, Withdrawal]:
        """Those of ``request_ids`` that are recorded, by request id."""

    def load(self, bookings: Sequence[Booking]) -> None:
        """Load the sums that ``bookings`` would count in at `now`."""

    def known_since(self, pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """When each (customer, destination) was first asked for, in milliseconds since 1970."""

    def spent_since(self, customers: Collection[str], since: int) -> dict[tuple[str, str], Quantity]:
        """What each customer asked for after ``since`` and what still counts, by (customer, symbol)."""

    def last_prices(self) -> Mapping[str, Quantity]:
        """The last price of each symbol that counted lately (`prices.REMEMBERED`), in USD."""

    def keep_prices(self, prices: Mapping[str, Quantity]) -> None:
        """Remember them as the last that counted, where the one before has stood for a while (`prices.STANDS`)."""

    def add(self, withdrawals: Sequence[Withdrawal]) -> None:
        """Record new withdrawals with their decisions; their ids go on from `next_id`."""

    def unvalued(self, symbols: Collection[str], most: int) -> list[Withdrawal]:
        """Up to ``most`` withdrawals of these symbols that count in limits and have no value yet."""

    def waiting(self, after: int, most: int) -> list[Withdrawal]:
        """Up to ``most`` withdrawals that wait, in order of arrival, those with ids beyond ``after``."""

    def change(self, before: Withdrawal, after: Withdrawal) -> None:
        """Record that ``before`` became ``after``; a new decision is added to those before it.

        Raises `OutcomeUnknown` when the row is no longer as ``before`` has it.
        """


class Ledger(Protocol):
    """The ledger as the desk knows it."""

    def write(self, judge: Judge) -> AbstractContextManager[Books]:
        """Decide in one serialised transaction; it is committed at the end, and undone when that is left by an error.

        Raises `Unreachable`, and `ClockWentBack` when the time is before that of an earlier transaction.
        """

    def withdrawal(self, request_id: str) -> Withdrawal | None:
        """The withdrawal with this request id."""

    def withdrawals(self, wanted: Wanted) -> Iterator[Withdrawal]:
        """The withdrawals that fit, in order of arrival, however many there are."""

    def decisions(self, withdrawal_id: int) -> list[Decision]:
        """All decisions on one withdrawal, the first one first."""

    def sums(self, windows: Collection[str]) -> Iterator[tuple[Place, Tally]]:
        """The sums of ``windows`` as recorded."""

    def policy(self, hash: str) -> str | None:
        """The text of the policy with this hash, if it ever decided."""

    def close(self) -> None:
        """Let go of it."""
