"""What a checker has to see: the whole address, who was paid there before, what looks like it, and who asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cryptosupport.desk.approve import needed, who_said
from cryptosupport.desk.cases import Premises
from cryptosupport.desk.guards import Guards
from cryptosupport.desk.people import People
from cryptosupport.domain.addresses import in_fours
from cryptosupport.domain.books import Ledger
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.withdrawal_record import moment, voice_record
from cryptosupport.domain.withdrawals import State, Withdrawal, intent


def review(ledger: Ledger, premises: Premises, people: People, withdrawal: Withdrawal) -> dict[str, Any]:
    """The review of a withdrawal as a record; nothing of it is guessed, and nobody outside is asked."""
    request = withdrawal.request
    with ledger.look() as records:
        guards = Guards(replace(premises.guarding, freeze_file=tuple), records, [request.customer])
        alike = guards.look_alikes(request.customer, request.chain, request.destination)
        paid = records.paid_before(request.destination)
        given = who_said(records, people, withdrawal, "approve")
    waits = withdrawal.state is State.AWAITING_APPROVAL
    wanted = needed(withdrawal) if waits or given else 0
    return {
        "address": in_fours(request.destination),
        "paid_before": [_paid(each) for each in paid if each.id != withdrawal.id],
        "look_alikes": [{"address": in_fours(other), "of": whose} for other, whose in alike],
        "asked_by": [voice_record(each) for each in withdrawal.decision.voices if each.outcome is not Outcome.ALLOW],
        "approvals": {"needed": wanted, "given": list(given), "missing": max(wanted - len(given), 0) if waits else 0},
        "maker": withdrawal.maker,
        "maker_proven": withdrawal.proven,
        "expires_at": None if withdrawal.expires_at is None else moment(withdrawal.expires_at),
        "intent": intent(withdrawal, people.operators.version),
    }


def _paid(withdrawal: Withdrawal) -> dict[str, Any]:
    request = withdrawal.request
    return {
        "request_id": request.request_id,
        "customer": request.customer,
        "amount": str(request.amount),
        "asset": request.asset.symbol,
        "state": withdrawal.state.value,
        "created_at": moment(withdrawal.created_at),
    }
