"""See what became of payouts, and record it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cryptosupport.desk.settle import move_all
from cryptosupport.desk.till import Shift
from cryptosupport.desk.watch_wallet import freeze_wallet
from cryptosupport.domain.books import Books
from cryptosupport.domain.errors import Refused
from cryptosupport.domain.paying import Survey
from cryptosupport.domain.payouts import OVER, Mined, Payout, Seen, Step, Taken, Unclear, conclude


def follow(shift: Shift, payouts: Sequence[Payout], survey: Survey) -> list[Payout]:
    """Record what the nodes say of ``payouts``; those that may still move, as they are now.

    Raises `Locked` where another worker has the wallet by now, `Tampered`, `OutcomeUnknown`.
    """
    seen = {each.id: after(each, _known(shift, survey.seen[each.id])) for each in payouts if each.id in survey.seen}
    changed = {each.id: each for each in payouts if seen.get(each.id, each) != each}
    if changed:
        paying = shift.paying
        with paying.ledger.write(paying.premises.judge) as books:
            purse = books.records.payouts.fenced(shift.lease)
            books.records.payouts.set_purse(shift.renewed(purse, books.now))
            for now in move_all(shift, books, [(before, seen[id]) for id, before in changed.items()]):
                seen[now.id] = now
                if now.step is Step.DEAD:
                    _freeze_for_a_stranger(shift, books, now)
    return [now for each in payouts if (now := seen.get(each.id, each)).step not in OVER]


def _freeze_for_a_stranger(shift: Shift, books: Books, payout: Payout) -> None:
    """Freeze a wallet that somebody else pays from too: with a stolen key it must not go on (S36)."""
    wallet, places = shift.till.wallet, ", ".join(payout.claims)
    reason = f"outflow: a transaction that is not of this ledger has place {places} of {wallet}, for good"
    freeze_wallet(books.records, wallet, reason)
    shift.errors.append(Refused(f"{reason}. {wallet} is frozen", wallet=wallet, payout=payout.id))


def _known(shift: Shift, seen: Seen) -> Seen:
    """What nodes say, but for a stranger that is none: what our own signer made and this ledger has forgotten."""
    if not isinstance(seen, Taken) or seen.by is None or not shift.till.signer.signed(seen.by):
        return seen
    wallet = shift.till.wallet
    why = f"{seen.by} took its place, which the signer of {wallet} made and this ledger does not know: was it restored?"
    with shift.paying.ledger.act() as records:
        freeze_wallet(records, wallet, f"outflow: {why}")
    shift.errors.append(Refused(f"{why} {wallet} is frozen", wallet=wallet))
    return Unclear(why)


def after(payout: Payout, seen: Seen) -> Payout:
    """The payout as it is when nodes say so."""
    step = conclude(payout, seen)
    if not isinstance(seen, Mined):
        return replace(payout, step=step, block=None, counts=None, fee=None)
    block = seen.height, seen.block_hash
    return replace(payout, step=step, block=block, counts=seen.number, fee=seen.fee)
