"""A withdrawal as the record of the contract: schema `cryptosupport.withdrawal/1`. Absent facts are None."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cryptosupport.domain.money import format_base_units
from cryptosupport.domain.policy.decision import Decision, Outcome, Voice
from cryptosupport.domain.prices import MICRO
from cryptosupport.domain.withdrawals import Request, Withdrawal
from cryptosupport.domain.wording import iso_time

SCHEMA = "cryptosupport.withdrawal/1"

FIELDS = (
    "request_id", "customer", "asset", "chain", "amount", "base_units", "destination", "memo", "tier", "state",
    "decision.outcome", "decision.rules", "decision.value_usd", "decision.policy", "wallet", "txid", "vout", "nonce",
    "fee.asset", "fee.amount", "fee.base_units", "confirmations", "created_at", "updated_at", "error.code",
    "error.message", "line", "input",
)  # fmt: skip
"""The columns of CSV, by dotted key; `line` and `input` are those of lines that hold no request."""


def withdrawal_record(withdrawal: Withdrawal) -> dict[str, Any]:
    """The whole record, but for the fee: what it cost to pay is not in the row (`desk.payout_record`)."""
    return {
        "schema": SCHEMA,
        "request_id": withdrawal.request.request_id,
        **asked_record(withdrawal.request),
        "state": withdrawal.state.value,
        "decision": decision_record(withdrawal.decision),
        "wallet": withdrawal.wallet,
        "txid": withdrawal.txid,
        "vout": withdrawal.vout,
        "nonce": withdrawal.nonce,
        "fee": None,
        "confirmations": None,
        "created_at": moment(withdrawal.created_at),
        "updated_at": moment(withdrawal.updated_at),
    }


def asked_record(request: Request) -> dict[str, Any]:
    """What was asked for."""
    return {
        "customer": request.customer,
        "asset": request.asset.symbol,
        "chain": request.chain,
        "amount": str(request.amount),
        "base_units": str(request.base_units),
        "destination": request.destination,
        "memo": request.memo,
        "tier": request.tier,
    }


def decision_record(decision: Decision) -> dict[str, Any]:
    """A decision: its outcome, all rules that spoke, and what it rested on."""
    return {
        "outcome": decision.outcome.value,
        "approvals": decision.approvals,
        "rules": [voice_record(voice) for voice in decision.voices],
        "policy": decision.policy,
        "at": moment(decision.at),
        "value_usd": None if decision.value is None else format_base_units(decision.value, MICRO),
        "prices": dict(decision.prices),
    }


def voice_record(voice: Voice) -> dict[str, Any]:
    """What one rule said."""
    return {"name": voice.rule, "outcome": voice.outcome.value, "reason": voice.reason}


def moment(milliseconds: int) -> str:
    """A time of the ledger as ISO 8601 in UTC, to the second."""
    return iso_time(milliseconds // 1000)


def exit_code(outcome: Outcome | None) -> int:
    """The exit code of `withdraw submit` for one request; None stands for a bad line."""
    match outcome:
        case None:
            return 2
        case Outcome.ALLOW:
            return 0
        case Outcome.DENY:
            return 3
        case _:
            return 9


def worst(codes: Iterable[int]) -> int:
    """The exit code of several: the first that applies of 2, 3, 9, 0.

    >>> worst([0, 9, 3])
    3
    """
    return min(codes, key=(2, 3, 9, 0).index, default=0)
