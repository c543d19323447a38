"""Replace what does not get into a block: by the same with a higher fee, or by a payment to ourselves (M51, M54).

Every replacement is one more attempt of the same payout, so that at most one of them ever counts. It is recorded
before it is signed, and stored before it is sent, like the first.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptosupport.desk.fee_caps import most_fees
from cryptosupport.desk.hand_out import send, sign
from cryptosupport.desk.purses import begin, end
from cryptosupport.desk.settle import move
from cryptosupport.desk.till import Paying, Shift, Till
from cryptosupport.domain.audit import Act
from cryptosupport.domain.errors import NoSuchRecord, Refused, Waits
from cryptosupport.domain.paying import Survey, TooDear
from cryptosupport.domain.payouts import OVER, Absent, Attempt, Kind, Mined, Payout, Plan, Step
from cryptosupport.domain.withdrawals import Withdrawal

_WAITS = (Step.SIGNED, Step.BROADCAST, Step.UNKNOWN)


def bump_stuck(shift: Shift, payouts: Sequence[Payout], survey: Survey) -> list[Payout]:
    """Give what has waited for too long a higher fee; all of them as they are now (S55).

    Only the first where the others wait for it. At the cap it stays as it is, and that is told (M53).
    """
    with shift.paying.ledger.look() as records:
        since = records.now - shift.paying.bump
    first = _first(payouts)
    waiting = ([] if first is None else [first]) if shift.till.payer.in_order else payouts
    stuck = [each for each in waiting if each.step in _WAITS and _is_stuck(each, survey, since)]
    raised = {each.id: after for each in stuck if (after := _raised(shift, each, survey)) is not None}
    return [raised.get(each.id, each) for each in payouts]


def _raised(shift: Shift, payout: Payout, survey: Survey) -> Payout | None:
    plan = _dearer(shift.paying, shift.till, payout, survey)
    if isinstance(plan, TooDear):
        names = ", ".join(item.request_id for item in payout.items)
        shift.errors.append(Waits(f"{names} waits for a block, and its fee is not raised any more: {plan.reason}"))
        return None
    return _with_another(shift, payout, payout.last.kind, plan, Act("payout.bumped"))


def give_up(shift: Shift, payouts: Sequence[Payout], survey: Survey) -> list[Payout]:
    """Take the place of the first payout by a payment to ourselves where the signer refuses it, and what was signed for
    later places has waited for it for too long; all of them as they are now.

    Nothing of it was ever sent: its withdrawal is cancelled when that payment is final. Raises as `sign` does.
    """
    first = _first(payouts)
    behind = [] if first is None else [each for each in payouts if each.id > first.id and each.last.raw is not None]
    if not shift.till.payer.in_order:
        return list(payouts)
    if first is None or first.id not in shift.refused or not behind or any(each.raw for each in first.attempts):
        return list(payouts)
    with shift.paying.ledger.look() as records:
        if first.cancelling or first.made_at > records.now - shift.paying.give_up:
            return list(payouts)
    names = ", ".join(item.request_id for item in first.items)
    plan = shift.till.payer.self_send(first, survey)
    if isinstance(plan, TooDear):
        shift.errors.append(Waits(f"{names} is not signed, and holds up {len(behind)} others: {plan.reason}"))
        return list(payouts)
    why = f"the signer refuses it, and {len(behind)} payments waited for its place"
    after = _with_another(shift, first, Kind.CANCEL, plan, Act("payout.given_up", facts={"why": why}))
    shift.errors.append(Waits(f"{names} is given up: {why}. It is cancelled when a payment to ourselves is final"))
    (after,) = sign(shift, [after])
    return [after if each.id == first.id else each for each in payouts]


def _first(payouts: Sequence[Payout]) -> Payout | None:
    """The first one that no block has: the others wait for it."""
    return next((each for each in payouts if each.step not in OVER and each.step is not Step.CONFIRMING), None)


def _dearer(paying: Paying, till: Till, payout: Payout, survey: Survey) -> Plan | TooDear:
    """The last attempt with a higher fee, within what the payment is worth."""
    with paying.ledger.look() as records:
        paid = records.payouts.withdrawals([item.withdrawal_id for item in payout.items])
    caps = most_fees(paying, payout.chain, [[each] for each in paid.values()])
    most = [cap for cap in caps if cap is not None]  # of each its share
    return till.payer.dearer(payout, survey, len(caps) * min(most) if most else None)


def _is_stuck(payout: Payout, survey: Survey, since: int) -> bool:
    sent_at = payout.last.sent_at
    seen = survey.seen.get(payout.id)
    # An attempt that is sent again keeps being the same one: its age counts from when it was signed.
    began = payout.last.signed_at
    return isinstance(seen, Absent) and sent_at is not None and began is not None and began <= since


def _with_another(shift: Shift, payout: Payout, kind: Kind, plan: Plan, act: Act) -> Payout:
    """The payout with one more attempt, recorded."""
    paying = shift.paying
    with paying.ledger.write(paying.premises.judge) as books:
        attempt = Attempt(payout.last.number + 1, kind, plan, books.now)
        return move(shift, books, payout, payout.with_attempt(attempt), act)


def bump(paying: Paying, till: Till, withdrawal: Withdrawal, who: str) -> Shift:
    """Give the payout of a withdrawal a higher fee now. Raises as `replace_by` does."""
    return _replace_by(paying, till, withdrawal, who, None)


def kill(paying: Paying, till: Till, withdrawal: Withdrawal, who: str) -> Shift:
    """Take the place of a withdrawal's payout with a payment to ourselves (S11).

    Until one of them is final nobody knows which one counts: the withdrawal is `cancelling`. Raises `NoSuchRecord`
    where nothing is under way, `Refused` where it is in a block already or a fee is over the cap, `NodesFailed`, and
    `Locked` where another worker has the wallet: it will send what is recorded.
    """
    return _replace_by(paying, till, withdrawal, who, Kind.CANCEL)


def _replace_by(paying: Paying, till: Till, withdrawal: Withdrawal, who: str, kind: Kind | None) -> Shift:
    name = withdrawal.request.request_id
    payout = _live(paying, withdrawal)
    survey = till.payer.survey([payout])
    if isinstance(survey.seen.get(payout.id), Mined):
        raise Refused(f"{name} is in a block already ({payout.last.txid}): it can only be followed to its end")
    if kind is None and payout.last.raw is None:
        more = ": its last attempt is not signed" if payout.was_sent else ""
        raise Refused(f"{name} is not sent yet{more}: there is no fee to raise")
    plan = _dearer(paying, till, payout, survey) if kind is None else till.payer.self_send(payout, survey)
    if isinstance(plan, TooDear):
        raise Refused(f"{name} stays as it is: {plan.reason}")
    with paying.ledger.look() as records:
        purse = records.payouts.purse(payout.chain, payout.source)
    assert purse is not None  # it has a payout
    shift = Shift(paying, till, purse)
    act = Act("payout.bumped" if kind is None else "payout.killed", who=who)
    after = _with_another(shift, payout, kind or payout.last.kind, plan, act)
    own = begin(paying, till)
    own.moved = shift.moved
    try:
        send(own, [each for each in sign(own, [after]) if each.last.raw is not None])
    finally:
        end(own)
    return own


def _live(paying: Paying, withdrawal: Withdrawal) -> Payout:
    with paying.ledger.look() as records:
        found = [each for each in records.payouts.of(withdrawal.id) if each.step not in OVER]
    if not found:
        raise NoSuchRecord(f"no payment of {withdrawal.request.request_id} is under way: it is {withdrawal.state}")
    return found[0]
