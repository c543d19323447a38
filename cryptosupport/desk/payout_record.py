"""A payout with all its attempts as a record."""

from __future__ import annotations

from typing import Any

from cryptosupport.domain.payouts import Attempt, Payout
from cryptosupport.domain.withdrawal_record import moment


def payout_record(payout: Payout) -> dict[str, Any]:
    """What the ledger has of it; fees are base units of the chain's coin. Signed bytes are not shown."""
    height, block = payout.block or (None, None)
    return {
        "payout": payout.id,
        "step": payout.step.value,
        "chain": payout.chain,
        "wallet": payout.wallet,
        "source": payout.source,
        "claims": list(payout.claims),
        "requests": [item.request_id for item in payout.items],
        "counts": payout.counts,
        "height": height,
        "block_hash": block,
        "fee_base_units": None if payout.fee is None else str(payout.fee),
        "made_at": moment(payout.made_at),
        "updated_at": moment(payout.updated_at),
        "attempts": [_attempt(each) for each in payout.attempts],
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "kind": attempt.kind.value,
        "txid": attempt.txid,
        "max_fee_base_units": str(attempt.plan.max_fee),
        "made_at": moment(attempt.made_at),
        "signed_at": None if attempt.signed_at is None else moment(attempt.signed_at),
        "sent": attempt.sent,
        "sent_at": None if attempt.sent_at is None else moment(attempt.sent_at),
        "said": attempt.said,
    }
