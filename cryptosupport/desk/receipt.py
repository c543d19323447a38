"""A receipt: the proof that a withdrawal was paid, and paid once, checked against the nodes at this moment (B92).

Nothing in it is of a customer but the id. What the ledger has is read as it was logged; the stored bytes are decoded
again; and of the block that has the payment the nodes are asked anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cryptosupport.desk.hand_out import check_bytes
from cryptosupport.desk.list_withdrawals import find
from cryptosupport.desk.record_external import paid_by_hand
from cryptosupport.desk.rehearse import rehearsal
from cryptosupport.domain.books import Ledger
from cryptosupport.domain.errors import OutcomeUnknown, Refused, Tampered, Unreachable
from cryptosupport.domain.money import Amount, Asset
from cryptosupport.domain.paying import Decoded, Payer
from cryptosupport.domain.payouts import Attempt, Kind, Mined, Payout, Seen, Step, Taken
from cryptosupport.domain.policy.judging import Judge
from cryptosupport.domain.policy.rules import Policy
from cryptosupport.domain.withdrawal_record import moment
from cryptosupport.domain.withdrawals import State, Withdrawal

SCHEMA = "cryptosupport.receipt/1"


@dataclass(frozen=True, slots=True)
class Conflict:
    """One conflict set: a payout, what each of its stored attempts does, by number, and what the nodes say of it."""

    payout: Payout
    read: dict[int, Decoded]
    seen: Mined | Taken

    @property
    def network(self) -> str:
        """The network that its attempts count on; "" where none was ever signed."""
        return next((each.network for each in self.read.values()), "")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was proven at ``at`` (milliseconds since 1970).

    ``paid`` is the conflict set that paid the withdrawal, in the block of ``mined``; in those before it strangers took
    the place.
    """

    withdrawal: Withdrawal
    paid: Conflict
    mined: Mined
    before: tuple[Conflict, ...]
    at: int


def prove(ledger: Ledger, request_id: str, open_payer: Callable[[Payout], Payer], now: Callable[[], int]) -> Receipt:
    """Prove that a withdrawal was paid once. ``open_payer`` opens the chain of a payout.

    Raises `NoSuchRecord`, `Refused` where it is not final, `Tampered`, `OutcomeUnknown` where nodes contradict what the
    ledger has or each other, `Unreachable` where they cannot be asked.
    """
    withdrawal, payouts, paid_with = _recorded(ledger, request_id)
    if withdrawal.state is not State.FINAL:
        state = withdrawal.state.replace("_", " ")
        raise Refused(f"{request_id} is {state}: there is a receipt of what is final only", state=withdrawal.state)
    with ledger.look() as records:
        by_hand = paid_by_hand(records, [request_id]).get(request_id)
    if by_hand is not None:
        raise Refused(
            f"{request_id} was paid by hand, by {by_hand}: of what this ledger did not pay there is no receipt. See "
            f"`cryptosupport tx explain {by_hand}` and `cryptosupport audit log --subject {request_id}`"
        )
    if not payouts or payouts[-1].step is not Step.FINAL:
        raise OutcomeUnknown(f"{request_id} is final, and no payout of this ledger is: look at `withdraw explain`")
    *before, last = (_conflict(each, paid_with, open_payer(each)) for each in payouts)
    mined = last.seen
    assert isinstance(mined, Mined)  # _conflict has seen to that
    return Receipt(withdrawal, last, mined, tuple(before), now())


def _recorded(ledger: Ledger, request_id: str) -> tuple[Withdrawal, list[Payout], dict[str, Withdrawal]]:
    """The withdrawal, its payouts and all that they pay, as they were logged. Raises `NoSuchRecord`, `Tampered`."""
    known = find(ledger, request_id)
    nothing = Judge(Policy(()))
    with rehearsal(ledger, nothing) as rehearsed, rehearsed.write(nothing) as books:
        payouts = books.records.payouts.of(known.id)
        found = books.find({request_id, *(item.request_id for each in payouts for item in each.items)})
        books.sealed(list(found.values()))
    return found[request_id], payouts, found


def _conflict(payout: Payout, found: dict[str, Withdrawal], payer: Payer) -> Conflict:
    """A payout with what its bytes do and what the nodes say. Raises where that is not what the ledger has."""
    withdrawals = [found[item.request_id] for item in payout.items]
    read = {each.number: _read(payout, each, withdrawals, payer) for each in payout.attempts if each.raw is not None}
    survey = payer.survey([payout])
    seen, troubles = survey.seen.get(payout.id), "; ".join(survey.troubles)
    if seen is None:
        raise Unreachable(f"no node tells what became of payout {payout.id}: {troubles or 'none answered'}")
    if isinstance(seen, Mined | Taken) and _agrees(payout, seen):
        return Conflict(payout, read, seen)
    if isinstance(seen, Mined) and not seen.final and survey.troubles and _agrees(payout, seen, final=False):
        raise Unreachable(f"too few nodes answer to say that payout {payout.id} is final: {troubles}")
    raise OutcomeUnknown(
        f"the nodes contradict what the ledger has of payout {payout.id}: {_told(seen)}, and by the ledger "
        f"{_of_ledger(payout)}. Nothing is proven: find out which of them is wrong",
        payout=payout.id,
    )


def _read(payout: Payout, attempt: Attempt, withdrawals: Sequence[Withdrawal], payer: Payer) -> Decoded:
    """What the stored bytes of an attempt do, which has to be what was asked. Raises `Refused`, `Tampered`."""
    assert attempt.raw is not None
    decoded = payer.read(attempt.raw)
    if decoded.txid != attempt.txid:
        raise Tampered(f"payout {payout.id}: the stored bytes of attempt {attempt.number} are not {attempt.txid}")
    check_bytes(payout, attempt, withdrawals, decoded)
    return decoded


def _agrees(payout: Payout, seen: Mined | Taken, *, final: bool = True) -> bool:
    """Whether the nodes say of a payout what the ledger has: that this attempt counts, or that a stranger does."""
    if isinstance(seen, Taken):
        return payout.step is Step.DEAD and seen.final and seen.by is not None
    where = (seen.number, (seen.height, seen.block_hash), seen.final)
    kind = next((each.kind for each in payout.attempts if each.number == seen.number), None)
    ended = {Step.FINAL: (Kind.PAY, True), Step.REVERTED: (Kind.PAY, False), Step.CANCELLED: (Kind.CANCEL, seen.ok)}
    return where == (payout.counts, payout.block, final) and ended.get(payout.step) == (kind, seen.ok)


def _told(seen: Seen) -> str:
    match seen:
        case Mined(number=number, height=height, block_hash=block, final=final, ok=ok):
            how = "" if ok else ", where it failed"
            return f"attempt {number} is in block {height} ({block}){how}, which is {'' if final else 'not '}final"
        case Taken(by=by):
            return f"{by or 'something else'} has its place"
        case _:
            return getattr(seen, "why", "no block has any of its attempts")


def _of_ledger(payout: Payout) -> str:
    height, block = payout.block or (None, None)
    return f"it is {payout.step}, with attempt {payout.counts} in block {height} ({block})"


# -- the record -------------------------------------------------------------------------------------------------------


def as_record(receipt: Receipt, coin: Asset) -> dict[str, Any]:
    """The receipt as a record (schema `cryptosupport.receipt/1`). ``coin`` is what fees are paid in."""
    request, paid, mined = receipt.withdrawal.request, receipt.paid, receipt.mined
    fee = Amount(mined.fee, coin)
    bears = replace(paid.payout, fee=mined.fee).fee_of(receipt.withdrawal.id)
    assert bears is not None  # it is one of those that this payout pays
    share = Amount(bears, coin)
    counting = next(each for each in paid.payout.attempts if each.number == mined.number)
    return {
        "schema": SCHEMA,
        "request_id": request.request_id,
        "customer": request.customer,
        "asset": request.asset.symbol,
        "contract": request.asset.contract,
        "chain": request.chain,
        "amount": str(request.amount),
        "base_units": str(request.base_units),
        "destination": request.destination,
        "content": request.content,
        "txid": counting.txid,
        "vout": receipt.withdrawal.vout,
        "height": mined.height,
        "block_hash": mined.block_hash,
        "confirmations": mined.confirmations,
        "fee": {"asset": coin.symbol, "amount": fee.text, "base_units": str(fee.base_units)},
        "fee_share": {"asset": coin.symbol, "amount": share.text, "base_units": str(share.base_units)},
        "conflict_set": _set_record(paid),
        "attempts": _attempt_records(paid),
        "before": [
            {"conflict_set": _set_record(each), "attempts": _attempt_records(each), "why": _why_dead(each)}
            for each in receipt.before
        ],
        "why": _why(receipt),
        "checked_at": moment(receipt.at),
    }


def _set_record(conflict: Conflict) -> dict[str, Any]:
    payout = conflict.payout
    return {
        "payout": payout.id,
        "network": conflict.network or None,
        "account": payout.source,
        "nonce": _nonce(payout),
        "claims": list(payout.claims),
    }


def _nonce(payout: Payout) -> int | None:
    """The one place that all its attempts have, on a chain where that is a number."""
    return int(payout.claims[0]) if len(payout.claims) == 1 and payout.claims[0].isdigit() else None


def _attempt_records(conflict: Conflict) -> list[dict[str, Any]]:
    return [_attempt_record(each, conflict) for each in conflict.payout.attempts]


def _attempt_record(attempt: Attempt, conflict: Conflict) -> dict[str, Any]:
    read, seen = conflict.read.get(attempt.number), conflict.seen
    pays = [] if read is None else read.pays
    return {
        "number": attempt.number,
        "kind": attempt.kind.value,
        "txid": attempt.txid,
        "counts": isinstance(seen, Mined) and seen.number == attempt.number,
        "pays": [
            {"destination": each.destination, "contract": each.contract, "base_units": str(each.base_units)}
            for each in pays
        ],
        "signed_at": None if attempt.signed_at is None else moment(attempt.signed_at),
        "sent_at": None if attempt.sent_at is None else moment(attempt.sent_at),
    }


def _why(receipt: Receipt) -> list[str]:
    """In words why it was paid, and why nothing else that was made for it can be."""
    request, payout, mined = receipt.withdrawal.request, receipt.paid.payout, receipt.mined
    place, attempts = _place(receipt.paid), len(payout.attempts)
    counting = next(each for each in payout.attempts if each.number == mined.number)
    said = [
        f"Paid: {request.amount} {request.asset.symbol} to {request.destination}, by {counting.txid} in block "
        f"{mined.height} ({mined.block_hash}), which the chain calls final."
    ]
    if attempts == 1:
        said.append(f"It is the only transaction that was made for it, and takes {place}.")
    else:
        said.append(
            f"{attempts} transactions were made for it, and all of them take {place}: the chain takes one of them, and "
            f"the final block has attempt {mined.number}. None of the others can confirm any more."
        )
    if bare := [each.number for each in payout.attempts if each.raw is None]:
        numbers = ", ".join(map(str, bare))
        said.append(f"Of attempt {numbers} no signed bytes are known; whatever was signed for it takes the same place.")
    return [*said, *(_why_dead(each) for each in receipt.before)]


def _why_dead(conflict: Conflict) -> str:
    payout, seen = conflict.payout, conflict.seen
    if isinstance(seen, Taken):
        taken = f"{seen.by}, which is none of them, has it in a final block"
    else:
        what = "a payment to ourselves" if payout.step is Step.CANCELLED else "a payment that failed"
        taken = f"the final block {seen.height} ({seen.block_hash}) has {what} there"
    return (
        f"Before that {len(payout.attempts)} were made as payout {payout.id}, to take {_place(conflict)}: {taken}. "
        "None of them can pay any more."
    )


def _place(conflict: Conflict) -> str:
    payout, nonce = conflict.payout, _nonce(conflict.payout)
    what = f"nonce {nonce}" if nonce is not None else f"the inputs {', '.join(payout.claims)}"
    return f"{what} of {payout.source} on {payout.chain}{f' (network {conflict.network})' if conflict.network else ''}"
