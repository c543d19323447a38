"""Explain a withdrawal: all that was decided about it and why, and what kept the other rules silent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptosupport.desk.list_withdrawals import find
from cryptosupport.desk.payout_record import Coin, paid_record, payout_record
from cryptosupport.desk.reveal import Personal, masked_record, personal_record
from cryptosupport.domain.books import Ledger
from cryptosupport.domain.money import NOTHING, Quantity, format_base_units
from cryptosupport.domain.payouts import Payout
from cryptosupport.domain.policy.decision import Decision
from cryptosupport.domain.policy.judging import Case, Judge
from cryptosupport.domain.policy.rules import Policy
from cryptosupport.domain.policy.why import Spoken, explain
from cryptosupport.domain.prices import MICRO
from cryptosupport.domain.withdrawal_record import decision_record, moment
from cryptosupport.domain.withdrawals import Note, State, Withdrawal


@dataclass(frozen=True, slots=True)
class Explained:
    """A withdrawal with all decisions on it, the first one first, and the rules that the last one heard nothing of.

    ``uncounted`` names the rules of whose sums it is no part, though it is booked. ``notes`` are what was written about
    it, ``payouts`` what was done to pay it, the first one first.
    """

    withdrawal: Withdrawal
    decisions: tuple[Decision, ...]
    silent: tuple[Spoken, ...]
    uncounted: tuple[str, ...]
    notes: tuple[Note, ...] = ()
    payouts: tuple[Payout, ...] = ()


def explain_withdrawal(ledger: Ledger, request_id: str, read_policy: Callable[[str], Policy]) -> Explained:
    """Explain the withdrawal with this request id by the policy that decided it last.

    ``read_policy`` reads the text that the ledger kept of it. Raises `NoSuchRecord`.
    """
    withdrawal = find(ledger, request_id)
    with ledger.look() as records:
        notes, payouts = records.notes(withdrawal.id), records.payouts.of(withdrawal.id)
    text = ledger.policy(withdrawal.decision.policy)
    judge = Judge(Policy(()) if text is None else read_policy(text))
    case = Case(withdrawal.booking, withdrawal.decision.at)
    spoken = explain(judge, case, lambda place: NOTHING)
    return Explained(
        withdrawal,
        tuple(ledger.decisions(withdrawal.id)),
        tuple(each for each in spoken if not each.matches),
        tuple(sorted(judge.windows[window].matching.name for window in withdrawal.unbooked if window in judge.windows)),
        tuple(notes),
        tuple(payouts),
    )


def as_record(explained: Explained, coin: Coin, personal: Personal | None = None) -> dict[str, Any]:
    """The record of the withdrawal with what explains it; `silent` rules are those that do not match.

    `note`, `beneficiary` and the texts of `notes` are masked, and `masked` is true where there are any, unless
    ``personal`` was revealed: then it stands by itself too.
    """
    withdrawal = explained.withdrawal
    hidden = masked_record(withdrawal, explained.notes)
    shown = hidden if personal is None else personal_record(personal)
    turns = enumerate(explained.decisions, 1)
    return (
        paid_record(withdrawal, explained.payouts, coin)
        | {
            "country": withdrawal.request.country,
            "source": withdrawal.source,
            "maker": withdrawal.maker,
            "ended_by": withdrawal.ended_by,
            **shown,
            "masked": personal is None and any(hidden.values()),
            "booked": _booked(withdrawal, explained.uncounted),
            "decisions": [{"turn": turn} | decision_record(decision) for turn, decision in turns],
            "payouts": [payout_record(each, coin) for each in explained.payouts],
            "silent": [{"name": rule.rule, "reason": rule.reason} for rule in explained.silent],
        }
        | ({} if personal is None else {"personal": shown})
    )


def _booked(withdrawal: Withdrawal, uncounted: tuple[str, ...]) -> dict[str, Any] | None:
    """What counts in limits since when; None where nothing of it does."""
    if withdrawal.booked_at is None:
        return None
    request = withdrawal.request
    return {
        "since": moment(withdrawal.booked_at),
        "waits": withdrawal.state is State.WAITING,
        "amount": str(request.amount),
        "fee": str(Quantity(withdrawal.fee_units, request.amount.decimals)),
        "value_usd": None if withdrawal.value is None else format_base_units(withdrawal.value, MICRO),
        "fee_usd": format_base_units(withdrawal.fee_value, MICRO),
        "not_in": list(uncounted),
    }
