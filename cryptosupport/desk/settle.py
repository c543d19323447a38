"""What a payout's step means for the withdrawals that it pays, in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from cryptosupport.desk.approve import sanctioned
from cryptosupport.desk.decide_anew import ended, give_back
from cryptosupport.desk.put_on_hold import put_on_hold
from cryptosupport.desk.till import Shift
from cryptosupport.domain.audit import Act
from cryptosupport.domain.books import Books
from cryptosupport.domain.errors import OutcomeUnknown, Tampered
from cryptosupport.domain.payouts import Item, Payout, Step
from cryptosupport.domain.withdrawals import State, Withdrawal

_GIVES_BACK = frozenset({Step.REVERTED, Step.CANCELLED})
"""The steps after which nothing was paid, for good: the limits have their room back."""


def move_all(shift: Shift, books: Books, moves: Iterable[tuple[Payout, Payout]]) -> list[Payout]:
    """Record that payouts became others, in their order, and what that makes of their withdrawals; them as they are.

    Their withdrawals are read, and held against the log, all at once. Raises `OutcomeUnknown`, `Tampered`.
    """
    moves = list(moves)
    known = books.find([item.request_id for _, after in moves for item in after.items])
    books.sound(list(known.values()), lambda records, fault: None)  # `Books.change` tells, where it is to change one
    return [_move(shift, books, before, after, None, known) for before, after in moves]


def move(shift: Shift, books: Books, before: Payout, after: Payout, act: Act | None = None) -> Payout:
    """Record that a payout became another, and what that makes of its withdrawals. Raises `OutcomeUnknown`."""
    known = books.find([item.request_id for item in after.items])
    return _move(shift, books, before, after, act, known)


def _move(
    shift: Shift, books: Books, before: Payout, after: Payout, act: Act | None, known: dict[str, Withdrawal]
) -> Payout:
    after = replace(after, updated_at=books.now)
    books.records.payouts.change(before, after, act)
    for item in after.items:
        _settle(shift, books, item, after, known)
    return after


def _settle(shift: Shift, books: Books, item: Item, payout: Payout, known: dict[str, Withdrawal]) -> None:
    """Bring one withdrawal, as it is ``known``, to where its payout is."""
    before = known.get(item.request_id)
    if before is None or before.id != item.withdrawal_id:
        raise Tampered(f"{item.request_id}, which payout {payout.id} pays, is gone from the database: pay nothing")
    if before.state in (State.REQUESTED, State.WAITING, State.AWAITING_APPROVAL, State.REJECTED, State.EXPIRED):
        raise OutcomeUnknown(f"{item.request_id} is {before.state} and payout {payout.id} pays it: look at both")
    after = _as_paid(shift, books, before, item, payout)
    if after == replace(before, updated_at=after.updated_at):
        return
    books.change(before, after, Act(f"withdrawal.{after.state}", item.request_id, facts={"payout": str(payout.id)}))
    known[item.request_id] = shift.moved[after.id] = after


def _as_paid(shift: Shift, books: Books, before: Withdrawal, item: Item, payout: Payout) -> Withdrawal:
    counting = [each for each in payout.attempts if each.number == payout.counts]
    counting = counting or [each for each in payout.attempts if each.txid is not None][-1:] or [payout.last]
    place = payout.claims[0] if len(payout.claims) == 1 and payout.claims[0].isdigit() else None
    placed = replace(
        before,
        txid=counting[0].txid,
        nonce=None if place is None else int(place),
        vout=item.place if place is None else None,
    )
    if payout.step is Step.DEAD:
        give_back(books, before)
        reason = f"payout {payout.id}: a transaction that is not of this ledger took its place; was it paid by hand?"
        return put_on_hold(placed, reason, books.now, shift.paying.premises.judge.policy.hash)
    if payout.step in _GIVES_BACK:
        give_back(books, before)
        if payout.step is Step.CANCELLED and sanctioned(books, shift.paying.premises, before):
            reason = "its destination is on a sanctions list, and its payment was taken back: compliance looks at it"
            return put_on_hold(placed, reason, books.now, shift.paying.premises.judge.policy.hash)
        return ended(placed, payout.state, before.ended_by, books.now)
    return replace(placed, state=payout.state, updated_at=books.now)
