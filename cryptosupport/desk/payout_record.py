"""What was done to pay withdrawals, as records: payouts with all their attempts, and fees as they were paid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeAlias

from cryptosupport.domain.books import Ledger
from cryptosupport.domain.money import Asset, format_base_units
from cryptosupport.domain.payouts import Attempt, Payout
from cryptosupport.domain.withdrawal_record import moment, withdrawal_record
from cryptosupport.domain.withdrawals import Withdrawal

Coin: TypeAlias = Callable[[str], Asset | None]
"""What fees are paid in on a chain, by its name; None where no settings say that any more."""

AT_ONCE = 500
"""Of so many withdrawals the fees are asked for together."""


def payout_record(payout: Payout, coin: Coin) -> dict[str, Any]:
    """What the ledger has of it. Signed bytes are not shown."""
    height, block = payout.block or (None, None)
    paid_in = coin(payout.chain)
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
        "fee": fee_record(payout.fee, paid_in),
        "made_at": moment(payout.made_at),
        "updated_at": moment(payout.updated_at),
        "attempts": [_attempt(each, payout, paid_in) for each in payout.attempts],
    }


def paid_record(withdrawal: Withdrawal, payouts: Sequence[Payout], coin: Coin) -> dict[str, Any]:
    """The record of a withdrawal with what its ``payouts`` say of it, the first one first.

    `fee` is its share of what its transaction cost as the nodes said last. `confirmations` is null: the ledger keeps
    the block, and not how many came after it.
    """
    fee = payouts[-1].fee_of(withdrawal.id) if payouts else None
    return withdrawal_record(withdrawal) | {"fee": fee_record(fee, coin(withdrawal.request.chain))}


def history_record(ledger: Ledger, withdrawal: Withdrawal, coin: Coin) -> dict[str, Any]:
    """The same with all `payouts`, the first one first. Raises `Tampered`."""
    with ledger.look() as records:
        payouts = records.payouts.of(withdrawal.id)
    return paid_record(withdrawal, payouts, coin) | {"payouts": [payout_record(each, coin) for each in payouts]}


def paid_records(
    ledger: Ledger, withdrawals: Iterable[Withdrawal], coin: Coin, at_once: int = AT_ONCE
) -> Iterator[dict[str, Any]]:
    """The same of many, ``at_once`` of them together."""
    rest = iter(withdrawals)
    while some := list(islice(rest, at_once)):
        fees: dict[int, int | None] = {}
        if sent := [each.id for each in some if each.nonce is not None or each.txid is not None]:
            with ledger.look() as records:
                fees = records.payouts.fees(sent)
        for each in some:
            yield withdrawal_record(each) | {"fee": fee_record(fees.get(each.id), coin(each.request.chain))}


def fee_record(base_units: int | None, coin: Asset | None) -> dict[str, Any] | None:
    """A fee, None where there is none yet; without its ``coin`` only base units are known."""
    if base_units is None:
        return None
    if coin is None or coin.decimals is None:
        return {"asset": None, "amount": None, "base_units": str(base_units)}
    amount = format_base_units(base_units, coin.decimals)
    return {"asset": coin.symbol, "amount": amount, "base_units": str(base_units)}


def _attempt(attempt: Attempt, payout: Payout, coin: Asset | None) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "kind": attempt.kind.value,
        "txid": attempt.txid,
        "counts": attempt.number == payout.counts,
        "max_fee": fee_record(attempt.plan.max_fee, coin),
        "made_at": moment(attempt.made_at),
        "signed_at": None if attempt.signed_at is None else moment(attempt.signed_at),
        "sent": attempt.sent,
        "sent_at": None if attempt.sent_at is None else moment(attempt.sent_at),
        "said": attempt.said,
    }
