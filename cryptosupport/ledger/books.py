"""One deciding transaction: whoever has it decides alone, and it happens whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, func, insert, select, tuple_, update

from cryptosupport.domain.audit import Act
from cryptosupport.domain.books import Records
from cryptosupport.domain.errors import OutcomeUnknown, Tampered
from cryptosupport.domain.money import NOTHING, Quantity
from cryptosupport.domain.policy.judging import Judge
from cryptosupport.domain.policy.rules import Booking
from cryptosupport.domain.policy.tallies import Tallies
from cryptosupport.domain.prices import REMEMBERED, STANDS
from cryptosupport.domain.withdrawals import State, Withdrawal
from cryptosupport.ledger import rows, tables
from cryptosupport.ledger.auditing import told
from cryptosupport.ledger.records import SqlRecords
from cryptosupport.ledger.sums import Sums, chunks, upsert

_W = tables.withdrawal.c
_REFUSED = (State.REJECTED, State.EXPIRED, State.CANCELLED)


def last_prices(connection: Connection, now: int) -> dict[str, Quantity]:
    """The last price of each symbol that counted lately, in USD."""
    prices = tables.last_price.c
    query = select(prices.symbol, prices.usd, prices.decimals).where(prices.at > now - REMEMBERED)
    return {symbol: Quantity(usd, decimals) for symbol, usd, decimals in connection.execute(query)}


class SqlBooks:
    """The books of one transaction (`domain.books.Books`), beside its ``records``."""

    def __init__(self, records: SqlRecords, judge: Judge, last_id: int, same_policy: bool) -> None:
        connection, now = records.connection, records.now
        self.records = records
        self.now = now
        self.next_id = last_id + 1
        self._connection = connection
        self._box = records.personal.box
        self._sound: set[tuple[int, int, int]] = set()
        self._sums = Sums(connection, judge, now)
        self._sums.bring_up_to_date(same_policy)

    @property
    def tallies(self) -> Tallies:
        """The sums that were loaded."""
        return self._sums.tallies

    def load(self, bookings: Sequence[Booking]) -> None:
        """Load the sums that ``bookings`` would count in at `now`."""
        self._sums.load(bookings)

    def flush(self) -> None:
        """Write the sums back."""
        self._sums.flush()

    def find(self, request_ids: Collection[str]) -> dict[str, Withdrawal]:
        """Those of ``request_ids`` that are recorded, by request id."""
        found = {}
        for some in chunks(request_ids):
            for row in self._connection.execute(_FIND, {"some": some}):
                withdrawal = rows.withdrawal_of(row, self._box)
                found[withdrawal.request.request_id] = withdrawal
        return found

    def known_since(self, pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """When each (customer, destination) was first asked for, in milliseconds since 1970."""
        found: dict[tuple[str, str], int] = {}
        for some in chunks(pairs):
            for customer, destination, at in self._connection.execute(_KNOWN, {"some": some}):
                found[customer, destination] = at
        return found

    def spent_since(self, customers: Collection[str], since: int) -> dict[tuple[str, str], Quantity]:
        """What each customer asked for after ``since`` and was not refused, by (customer, symbol)."""
        spent: dict[tuple[str, str], Quantity] = {}
        for some in chunks(customers):
            for customer, asset, base_units, decimals in self._connection.execute(_SPENT, {"some": some, "at": since}):
                key = customer, asset
                spent[key] = spent.get(key, NOTHING) + Quantity(base_units, decimals)
        return spent

    def last_prices(self) -> Mapping[str, Quantity]:
        """The last price of each symbol that counted lately, in USD."""
        return last_prices(self._connection, self.now)

    def keep_prices(self, prices: Mapping[str, Quantity]) -> None:
        """Remember them as the last that counted."""
        values = [
            {"symbol": symbol, "usd": price.units, "decimals": price.decimals, "at": self.now}
            for symbol, price in sorted(prices.items())
        ]
        if values:
            stands = tables.last_price.c.at <= self.now - STANDS
            self._connection.execute(upsert(self._connection, tables.last_price, stands), values)

    def add(self, withdrawals: Sequence[Withdrawal]) -> None:
        """Record new withdrawals with their decisions; their ids go on from `next_id`."""
        if withdrawals:
            keep = self.records.personal.keep
            self._connection.execute(insert(tables.withdrawal), [rows.values_of(each, keep) for each in withdrawals])
            decided = [rows.values_of_decision(each) for each in withdrawals]
            self._connection.execute(insert(tables.decision), decided)
            self.records.log_book.add([told(each) for each in withdrawals])
            self.next_id = withdrawals[-1].id + 1

    def unvalued(self, symbols: Collection[str], most: int) -> list[Withdrawal]:
        """Up to ``most`` withdrawals of these symbols that count in limits and have no value yet."""
        missing = rows.SELECT.where(_W.value.is_(None), _W.booked_at.is_not(None)).order_by(_W.id)
        query = missing.where(_W.asset.in_(symbols)).limit(most)
        return [rows.withdrawal_of(row, self._box) for row in self._connection.execute(query)]

    def in_state(self, state: State, after: int, most: int) -> list[Withdrawal]:
        """Up to ``most`` withdrawals in a state, in order of arrival, those with ids beyond ``after``."""
        query = rows.SELECT.where(_W.state == state, _W.id > after).order_by(_W.id).limit(most)
        return [rows.withdrawal_of(row, self._box) for row in self._connection.execute(query)]

    def sound(self, withdrawals: Sequence[Withdrawal], report: Callable[[Records, Tampered], None]) -> list[Withdrawal]:
        """Those whose rows are as this program wrote them; ``report`` hears of the others, which nothing may move."""
        faults = self.records.log_book.faults(withdrawals)
        for fault in faults.values():
            report(self.records, fault)
        whole = [each for each in withdrawals if each.id not in faults]
        self._sound.update((each.id, each.turn, each.updated_at) for each in whole)
        return whole

    def sealed(self, withdrawals: Sequence[Withdrawal]) -> None:
        """See that rows are as this program wrote them. Raises `Tampered`, which says of which that is not so."""
        self.records.log_book.sealed(withdrawals)
        self._sound.update((each.id, each.turn, each.updated_at) for each in withdrawals)

    def change(self, before: Withdrawal, after: Withdrawal, act: Act | None = None) -> None:
        """Record that ``before`` became ``after``; a new decision is added to those before it.

        ``act`` says who did it and why; without one the program itself decided. Raises `OutcomeUnknown` when the row is
        no longer as ``before`` has it.
        """
        the = {"the_id": before.id, "the_state": before.state, "the_turn": before.turn, "the_time": before.updated_at}
        changed = self._connection.execute(_CHANGE, the | rows.changing_values_of(after))
        if changed.rowcount != 1:
            raise OutcomeUnknown(
                f"{before.request.request_id} was changed by somebody else meanwhile: look at it again",
                request_id=before.request.request_id,
            )
        if (before.id, before.turn, before.updated_at) not in self._sound:
            self.sealed([before])  # what somebody put there would be sealed as if this program had written it
        if after.turn != before.turn:
            self._connection.execute(insert(tables.decision), rows.values_of_decision(after))
        self.records.log(told(after, before, act))
        self._sound.add((after.id, after.turn, after.updated_at))


_SOME: BindParameter[Any] = bindparam("some", expanding=True)

_FIND = rows.SELECT.where(_W.request_id.in_(_SOME))

_KNOWN = (
    select(_W.customer, _W.destination, func.min(_W.created_at))
    .where(tuple_(_W.customer, _W.destination).in_(_SOME))
    .group_by(_W.customer, _W.destination)
)

_SPENT = select(_W.customer, _W.asset, _W.base_units, _W.decimals).where(
    _W.customer.in_(_SOME), _W.created_at > bindparam("at"), _W.state.not_in(_REFUSED)
)

_CHANGE = update(tables.withdrawal).where(  # what is set follows from the values
    _W.id == bindparam("the_id"),
    _W.state == bindparam("the_state"),
    _W.turn == bindparam("the_turn"),
    _W.updated_at == bindparam("the_time"),
)
