"""Cancel a withdrawal that nothing has been signed for: it is given back to the limits it counted in."""

from __future__ import annotations

from cryptosupport.desk.approve import refuse_blocked
from cryptosupport.desk.cases import Premises
from cryptosupport.desk.decide_anew import ended, give_back
from cryptosupport.desk.record_external import ASKED
from cryptosupport.domain.audit import PROGRAM, Act
from cryptosupport.domain.books import Books, Ledger
from cryptosupport.domain.errors import NoSuchRecord, Refused
from cryptosupport.domain.withdrawals import ENDED, UNSIGNED, State, Withdrawal


def cancel(
    ledger: Ledger, premises: Premises, request_id: str, by: str | None = None, who: str = "", with_people: bool = False
) -> Withdrawal:
    """Cancel the withdrawal with this request id, in the name of ``by``; one that is cancelled already stays so.

    ``who`` is how the audit log names them, ``with_people`` whether operators are in force. Raises `NoSuchRecord`,
    `Tampered`, and `Refused` for one that is beyond cancelling, stopped by a sanctions list, or that an operator says
    was paid by hand.
    """
    with ledger.write(premises.judge) as books:
        before = books.find([request_id]).get(request_id)
        if before is None:
            raise NoSuchRecord(f"no withdrawal has the request_id {request_id}")
        books.sealed([before])
        if before.state is State.CANCELLED:
            return before
        if before.state not in UNSIGNED:
            kill = "" if before.state in ENDED else f": `cryptosupport withdraw kill {request_id}` takes its place"
            raise Refused(f"{request_id} is {before.state}: it can no longer be cancelled{kill}", state=before.state)
        refuse_blocked(books, premises, before, "cancelled")
        if with_people:
            _refuse_paid_by_hand(books, before)
        after = ended(before, State.CANCELLED, by, books.now)
        give_back(books, before)
        books.change(before, after, Act("withdrawal.cancelled", request_id, who or by or PROGRAM))
        return after


def _refuse_paid_by_hand(books: Books, before: Withdrawal) -> None:
    """Raise `Refused` while one person's word stands that it was paid by hand: else it would be paid and refunded."""
    name = before.request.request_id
    said, released = (books.records.last_acts(kind, {name}).get(name) for kind in (ASKED, "withdrawal.released"))
    if before.state is State.HELD and said is not None and (released is None or released.number < said.number):
        raise Refused(
            f"{said.act.who} says that {said.act.facts.get('txid')} paid {name} by hand: have a second person look "
            "(`cryptosupport withdraw record-external`), or have it rejected with the reason",
            state=before.state,
        )
