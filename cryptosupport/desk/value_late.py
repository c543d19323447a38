"""Give a value to what counts in limits and had none, as soon as there is a price: limits in USD must not miss it."""

from __future__ import annotations

from dataclasses import replace

from cryptosupport.desk.cases import Incoming, Premises, Pricer, priced_booking
from cryptosupport.domain.books import Books
from cryptosupport.domain.policy.windows import Measure
from cryptosupport.domain.withdrawals import State, Withdrawal

AT_ONCE = 1000
"""How many get their value in one transaction."""


def value_late(books: Books, premises: Premises, pricer: Pricer) -> None:
    """Value what was booked without one, at the first price that counts; what has a value keeps it for ever (M26)."""
    if any(window.measure is Measure.VALUE for window in premises.judge.windows.values()) and pricer.symbols:
        without = books.unvalued(pricer.symbols, AT_ONCE)
        for before in books.sound(without, premises.guarding.tampered):
            booking, _, _ = priced_booking(Incoming(before.request, before.source, before), premises, pricer)
            if booking.value is not None:
                after = replace(before, value=booking.value, fee_value=booking.fee_value)
                _count(books, before, after)
                books.change(before, after)


def _count(books: Books, before: Withdrawal, after: Withdrawal) -> None:
    """Count the value in all windows that the withdrawal is in."""
    booked, valued, waits = before.booking, after.booking, before.state is State.WAITING
    assert before.booked_at is not None
    books.load([booked])
    for window in books.tallies.windows.values():
        place = None if window.id in before.unbooked else window.place(booked, before.booked_at)
        if place is not None and window.holds(before.booked_at, books.now, waits):
            books.tallies.add(place, window.counts(valued) - window.counts(booked), waits)
