"""Reveal personal data of a withdrawal: told to the audit log first, and only so often in an hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptosupport.domain.audit import Act
from cryptosupport.domain.books import Ledger
from cryptosupport.domain.errors import Refused
from cryptosupport.domain.personal import REVEALED, masked, opened
from cryptosupport.domain.withdrawal_record import moment
from cryptosupport.domain.withdrawals import Beneficiary, Note, Withdrawal

_HOUR = 3_600_000


@dataclass(frozen=True, slots=True)
class Personal:
    """Personal data in clear: the request's, and what was written about it."""

    note: str | None
    beneficiary: Beneficiary | None
    notes: tuple[Note, ...]


def reveal(ledger: Ledger, withdrawal: Withdrawal, who: str, reason: str, limit_per_hour: int) -> Personal:
    """What is personal of a withdrawal, for ``who`` (as the audit log names people) and for this ``reason``.

    The log has it before anybody sees it. Raises `Refused` beyond the limit, and what `Sealed.open` does.
    """
    request = withdrawal.request
    with ledger.act() as records:
        since = records.now - _HOUR
        count = records.acts_since(REVEALED, who, since)
        if count >= limit_per_hour:
            goes_on = records.act_since(REVEALED, who, since, count - limit_per_hour) + _HOUR
            raise Refused(
                f"{who} has looked at personal data {count} times within an hour, and {limit_per_hour} are allowed: it "
                f"goes on after {moment(goes_on)}",
                limit=limit_per_hour,
            )
        records.log(Act(REVEALED, request.request_id, who, {"reason": reason}))
        notes = records.notes(withdrawal.id)
    clear = tuple(Note(each.number, each.at, each.who, each.kind, opened(each.text)) for each in notes)
    return Personal(opened(request.note), opened(request.beneficiary), clear)


def personal_record(personal: Personal) -> dict[str, Any]:
    """Personal data in clear as a record."""
    to = personal.beneficiary
    beneficiary = None if to is None else {name: getattr(to, name) for name in to.__dataclass_fields__}
    return {"note": personal.note, "beneficiary": beneficiary, "notes": _notes(personal.notes)}


def masked_record(withdrawal: Withdrawal, notes: Sequence[Note]) -> dict[str, Any]:
    """What there is of personal data, as a record that shows nothing of it."""
    request = withdrawal.request
    hidden = [Note(each.number, each.at, each.who, each.kind, str(masked(each.text))) for each in notes]
    return {"note": masked(request.note), "beneficiary": masked(request.beneficiary), "notes": _notes(hidden)}


def _notes(notes: Sequence[Note]) -> list[dict[str, Any]]:
    return [{"at": moment(each.at), "who": each.who, "kind": each.kind, "text": each.text} for each in notes]
