"""Decide again what waits, in order of arrival, as headroom returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from cryptosupport.desk.cases import Cases, Incoming, Premises, Pricer
from cryptosupport.desk.take_in import in_base_units
from cryptosupport.domain.books import Ledger
from cryptosupport.domain.money import Quantity
from cryptosupport.domain.policy.booking import Queue, Turn
from cryptosupport.domain.policy.judging import Case
from cryptosupport.domain.policy.rules import Booking
from cryptosupport.domain.ports import Clock
from cryptosupport.domain.withdrawals import DECIDED, Withdrawal

T = TypeVar("T")

AT_ONCE = 500
"""How many are decided in one transaction."""


def booking_of(withdrawal: Withdrawal) -> Booking:
    """How windows count it as it is recorded."""
    request = withdrawal.request
    return Booking(
        customer=request.customer,
        tier=withdrawal.effective_tier,
        country=request.country,
        asset=request.asset.symbol,
        chain=request.chain,
        wallet=withdrawal.wallet,
        destination=request.destination,
        source=withdrawal.source,
        amount=request.amount,
        value=withdrawal.value,
        fee=Quantity(withdrawal.fee_units, request.amount.decimals),
        fee_value=withdrawal.fee_value,
    )


EVERY = 60_000
"""While requests come in, what waits is decided again every so many milliseconds."""


def in_between(
    batches: Iterable[T], ledger: Ledger, premises: Premises, clock: Clock, tell: Callable[[Withdrawal], None]
) -> Iterator[T]:
    """Give out ``batches``, and before them decide again what waits: it goes before what comes.

    Before the first one, then every minute, and whenever a calendar period of the policy is over. ``tell`` hears of
    those whose state changed.
    """
    due = 0
    for batch in batches:
        now = clock.milliseconds()
        if now >= due:
            for moved in decide_again(ledger, premises):
                tell(moved)
            ends = [window.ends(now) for window in premises.judge.windows.values()]
            due = min([now + EVERY, *(end for end in ends if end is not None)])
        yield batch


def decide_again(ledger: Ledger, premises: Premises) -> list[Withdrawal]:
    """Decide all that waits once more, in one transaction; say which changed their state, as they are now.

    One that goes on waiting keeps its place.
    """
    moved: list[Withdrawal] = []
    with ledger.write(premises.judge) as books:
        queue, pricer, last = Queue(premises.judge, books.tallies), Pricer(premises, books), 0
        while waiting := books.waiting(last, AT_ONCE):
            last = waiting[-1].id
            incoming = [Incoming(each.request, each.source, each) for each in waiting]
            recorded = [booking_of(each) for each in waiting]
            cases = Cases(incoming, premises, books, pricer)
            books.load(recorded)
            for before, each, booking in zip(waiting, incoming, recorded, strict=True):
                case = cases.case(each)
                turn = queue.decide(case, booking, before.booked_at, before.unbooked)
                if turn.changed:
                    after = _as_decided(before, turn, case)
                    books.change(before, after)
                    if after.state is not before.state:
                        moved.append(after)
        books.keep_prices(pricer.counted)
    return moved


def _as_decided(before: Withdrawal, turn: Turn, case: Case) -> Withdrawal:
    """The withdrawal after its turn."""
    booking = case.booking
    return replace(
        before,
        state=DECIDED[turn.decision.outcome],
        decision=turn.decision,
        effective_tier=booking.tier,
        wallet=booking.wallet,
        fee_units=in_base_units(booking.fee, before.request),
        fee_value=booking.fee_value,
        value=booking.value,
        booked_at=turn.booked_at,
        unbooked=turn.decision.unbooked,
        turn=before.turn + 1,
        updated_at=case.now,
    )
