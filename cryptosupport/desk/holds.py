"""What is held: by what, since when, who looks after it, and what was written about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cryptosupport.desk.approve import is_blocked
from cryptosupport.desk.list_withdrawals import find
from cryptosupport.domain.audit import Act
from cryptosupport.domain.books import Ledger, Wanted
from cryptosupport.domain.errors import BadInput, Refused
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.policy.periods import duration
from cryptosupport.domain.withdrawal_record import moment
from cryptosupport.domain.withdrawals import Note, State, Withdrawal

NOTE, OWNER, REPORT = "note", "owner", "report"

_LONGEST = 2000


def write_note(ledger: Ledger, request_id: str, kind: str, text: str, name: str, who: str) -> Withdrawal:
    """Write about a withdrawal in the name of ``name``; ``who`` is how the audit log names them.

    The log hears that something was written, not what: it may be about a person. An owner's name and the reference of
    a report it does hear. Raises `NoSuchRecord`, `BadInput`, and `Refused` for an owner or report of what is not held.
    """
    if not text.strip() or not text.isprintable() or len(text) > _LONGEST:
        raise BadInput(f"{kind}: write 1 to {_LONGEST} printable characters on one line")
    found = find(ledger, request_id)
    if kind != NOTE and found.state is not State.HELD:
        raise Refused(f"{request_id} is {found.state.replace('_', ' ')}: only what is held has an owner or a report")
    with ledger.act() as records:
        number = len(records.notes(found.id)) + 1
        facts = {"number": str(number)} | ({} if kind == NOTE else {kind: text})
        note = Note(number, records.now, name, kind, text)
        records.add_note(found, note, Act(f"withdrawal.{kind}", request_id, who, facts))
    return found


def holds(ledger: Ledger) -> Iterator[dict[str, Any]]:
    """All that is held, the longest first, each as a record."""
    held = sorted(ledger.withdrawals(Wanted(states=(State.HELD,))), key=lambda each: (each.decision.at, each.id))
    with ledger.look() as records:
        for each in held:
            yield hold_record(each, records.notes(each.id), records.now)


def hold_record(withdrawal: Withdrawal, notes: list[Note], now: int) -> dict[str, Any]:
    """A hold: its reasons, owner, age, and how much was written about it."""
    request, since = withdrawal.request, withdrawal.decision.at
    last = {note.kind: note.text for note in notes}
    reasons = [each for each in withdrawal.decision.voices if each.outcome is Outcome.HOLD]
    return {
        "request_id": request.request_id,
        "since": moment(since),
        "age": duration(max(now - since, 0)),
        "customer": request.customer,
        "amount": str(request.amount),
        "asset": request.asset.symbol,
        "blocked": is_blocked(withdrawal),
        "reason": "; ".join(f"{each.reason} ({each.rule})" for each in reasons),
        "owner": last.get(OWNER),
        "reported": last.get(REPORT),
        "notes": sum(1 for note in notes if note.kind == NOTE),
    }
