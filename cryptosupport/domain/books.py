"""What the desk asks of the ledger: one serialised transaction at a time to decide in, and reading beside it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from cryptosupport.domain.audit import Act, Entry, Head
from cryptosupport.domain.errors import Tampered
from cryptosupport.domain.freezes import Freeze
from cryptosupport.domain.money import Quantity
from cryptosupport.domain.operators import Change
from cryptosupport.domain.payouts import Payouts
from cryptosupport.domain.policy.decision import Decision
from cryptosupport.domain.policy.judging import Judge
from cryptosupport.domain.policy.rules import Booking
from cryptosupport.domain.policy.tallies import Tallies, Tally
from cryptosupport.domain.policy.windows import Place
from cryptosupport.domain.resealing import PersonalData
from cryptosupport.domain.screening import Listed, ListHead
from cryptosupport.domain.statements import Signed
from cryptosupport.domain.withdrawals import Note, State, Withdrawal


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

    @property
    def records(self) -> Records:
        """What the same transaction knows and keeps beside withdrawals."""

    def sealed(self, withdrawals: Sequence[Withdrawal]) -> None:
        """See that rows are as this program wrote them. Raises `Tampered`, which says of which that is not so."""

    def sound(self, withdrawals: Sequence[Withdrawal], report: Callable[[Records, Tampered], None]) -> list[Withdrawal]:
        """Those whose rows are as this program wrote them; ``report`` hears of the others, which nothing may move."""

    def in_state(self, state: State, after: int, most: int) -> list[Withdrawal]:
        """Up to ``most`` withdrawals in a state, in order of arrival, those with ids beyond ``after``."""

    def change(self, before: Withdrawal, after: Withdrawal, act: Act | None = None) -> None:
        """Record that ``before`` became ``after``; a new decision is added to those before it.

        ``act`` says who did it and why; without one the program itself decided. Raises `OutcomeUnknown` when the row is
        no longer as ``before`` has it.
        """


class Records(Protocol):
    """What one transaction of the ledger knows and keeps beside withdrawals; nobody else writes meanwhile.

    ``now`` is its time (milliseconds since 1970), ``ledger_id`` tells this ledger from every other. Whatever is changed
    is told to the audit log by the ``act`` that goes with it.
    """

    @property
    def now(self) -> int:
        """The time of this transaction."""

    @property
    def ledger_id(self) -> str:
        """The ledger's own name, which no other has."""

    @property
    def log_head(self) -> Head:
        """The last entry of the audit log."""

    def log_hash(self, number: int) -> str | None:
        """The hash of an entry of the audit log, None where there is none with this number."""

    def log(self, act: Act) -> None:
        """Add an act to the audit log."""

    def last_acts(self, kind: str, subjects: Collection[str] | None = None) -> dict[str, Entry]:
        """The last act of a kind about each subject that it was ever about, or about each of ``subjects``."""

    def freezes(self, lifted: bool = False) -> list[Freeze]:
        """The freezes that count, the oldest first; with ``lifted`` those that were lifted too."""

    def set_freeze(self, freeze: Freeze, act: Act) -> None:
        """Record a freeze: a new one, or one that was lifted or got another expiry."""

    def statements(self, action: str, subject: str) -> list[Signed]:
        """What was signed about one subject, in the order in which it came; one statement for each operator."""

    def add_statement(self, signed: Signed, act: Act) -> None:
        """Keep a statement whose signature was checked; a later one of the same operator replaces it."""

    def changes(self, kind: str) -> list[Change]:
        """All versions of the operators or of the policy, the first one first; the last may not be in force yet."""

    def set_change(self, change: Change, act: Act) -> None:
        """Record a version: a new one, or the last one as it goes on."""

    def withdraw_change(self, change: Change, act: Act) -> None:
        """Take back a version that is not in force."""

    def notes(self, withdrawal_id: int) -> list[Note]:
        """What was written about a withdrawal, the first one first."""

    def add_note(self, withdrawal: Withdrawal, note: Note, act: Act) -> None:
        """Write something about a withdrawal."""

    def lists(self) -> list[ListHead]:
        """The screening lists as they were imported last, by name."""

    def listed(self, name: str) -> list[Listed]:
        """The entries that are on a list now."""

    def set_list(self, head: ListHead, added: Sequence[Listed], delisted: Sequence[Listed], act: Act) -> None:
        """Record an import: what came to the list, and what is no longer on it."""

    def drop_list(self, name: str, act: Act) -> None:
        """Take a list away, with all that is on it."""

    def destinations(self, customers: Collection[str]) -> dict[str, list[str]]:
        """The destinations, by customer, that earlier withdrawals were approved for, each once."""

    def paid_before(self, destination: str) -> list[Withdrawal]:
        """The latest withdrawals to a destination that were approved, the newest first, at most 20."""

    def last_price_at(self) -> int | None:
        """When a price counted last, None for never."""

    def acts_since(self, kind: str, who: str, since: int) -> int:
        """How many acts of a kind somebody did after a moment: for what is limited by the hour."""

    def act_since(self, kind: str, who: str, since: int, place: int) -> int:
        """When somebody did the act of a kind that is the one at ``place`` (from 0) after a moment."""

    @property
    def payouts(self) -> Payouts:
        """What paying knows and keeps."""

    @property
    def personal(self) -> PersonalData:
        """All personal data, for a change of its key."""


class Ledger(Protocol):
    """The ledger as the desk knows it."""

    def write(self, judge: Judge) -> AbstractContextManager[Books]:
        """Decide in one serialised transaction; it is committed at the end, and undone when that is left by an error.

        Raises `Unreachable`, and `ClockWentBack` when the time is before that of an earlier transaction.
        """

    def act(self) -> AbstractContextManager[Records]:
        """Record what is no decision, in one serialised transaction; as `write`, but no policy is needed."""

    def look(self) -> AbstractContextManager[Records]:
        """Read what is recorded beside withdrawals; nothing can be written, and nobody is held up."""

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

    def scrub(self) -> None:
        """Have the database forget what rows held before they were changed. Others wait meanwhile."""

    def close(self) -> None:
        """Let go of it."""
