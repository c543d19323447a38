"""Cancel a withdrawal that nothing has been signed for: it is given back to the limits it counted in."""

from __future__ import annotations

from dataclasses import replace

from cryptosupport.desk.cases import Premises
from cryptosupport.domain.books import Ledger
from cryptosupport.domain.errors import NoSuchRecord, Refused
from cryptosupport.domain.policy.booking import unbook
from cryptosupport.domain.withdrawals import UNSIGNED, State, Withdrawal


def cancel(ledger: Ledger, premises: Premises, request_id: str, by: str | None = None) -> Withdrawal:
    """Cancel the withdrawal with this request id, in the name of ``by``; one that is cancelled already stays so.

    Raises `NoSuchRecord`, and `Refused` for one that is beyond cancelling.
    """
    with ledger.write(premises.judge) as books:
        before = books.find([request_id]).get(request_id)
        if before is None:
            raise NoSuchRecord(f"no withdrawal has the request_id {request_id}")
        if before.state is State.CANCELLED:
            return before
        if before.state not in UNSIGNED:
            raise Refused(f"{request_id} is {before.state}: it can no longer be cancelled", state=before.state)
        after = replace(before, state=State.CANCELLED, booked_at=None, unbooked=(), ended_by=by, updated_at=books.now)
        booking = before.booking
        if before.booked_at is not None:
            books.load([booking])
            waits = before.state is State.WAITING
            unbook(books.tallies, booking, before.booked_at, before.unbooked, waits, books.now)
        books.change(before, after)
        return after
