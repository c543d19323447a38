"""Cancel a withdrawal that nothing has been signed for: it is given back to the limits it counted in."""

from __future__ import annotations

from cryptosupport.desk.approve import refuse_blocked
from cryptosupport.desk.cases import Premises
from cryptosupport.desk.decide_anew import ended, give_back
from cryptosupport.domain.audit import PROGRAM, Act
from cryptosupport.domain.books import Ledger
from cryptosupport.domain.errors import NoSuchRecord, Refused
from cryptosupport.domain.withdrawals import ENDED, UNSIGNED, State, Withdrawal


def cancel(ledger: Ledger, premises: Premises, request_id: str, by: str | None = None, who: str = "") -> Withdrawal:
    """Cancel the withdrawal with this request id, in the name of ``by``; one that is cancelled already stays so.

    ``who`` is how the audit log names them. Raises `NoSuchRecord`, `Tampered`, and `Refused` for one that is beyond
    cancelling or stopped by a sanctions list.
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
        after = ended(before, State.CANCELLED, by, books.now)
        give_back(books, before)
        books.change(before, after, Act("withdrawal.cancelled", request_id, who or by or PROGRAM))
        return after
