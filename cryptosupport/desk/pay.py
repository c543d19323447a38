"""Pay what is approved, each withdrawal by one payout, and follow each payout to its end.

What makes it exactly once is the order (docs/withdrawals.md): in one transaction the withdrawal is taken, with
its place and its unsigned attempt; then it is signed; in a second transaction the bytes are stored; only then does any
node hear of them. Whoever dies in between leaves what the next pass goes on from.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from cryptosupport.desk.follow import follow
from cryptosupport.desk.hand_out import send, sign
from cryptosupport.desk.outbid import bump_stuck, give_up
from cryptosupport.desk.purses import begin, end
from cryptosupport.desk.reserve import reserve
from cryptosupport.desk.till import Paying, Shift, Till
from cryptosupport.desk.watch_wallet import watch_funds, watch_outflow, watch_unknown
from cryptosupport.domain.errors import Locked, OutcomeUnknown, SupportError, Unreachable
from cryptosupport.domain.paying import Survey
from cryptosupport.domain.payouts import LIVE, Absent, Payout, Step
from cryptosupport.domain.withdrawals import Withdrawal

_AT_ONCE = 200
"""How many payouts nodes are asked about together."""


@dataclass
class Paid:
    """What a pass did: the withdrawals that moved, as they are now, and what a person has to be told.

    ``holds`` is what each wallet has whose nodes answered, in base units by contract (None: the coin).
    """

    moved: dict[int, Withdrawal] = field(default_factory=dict)
    errors: list[SupportError] = field(default_factory=list)
    holds: dict[str, Mapping[str | None, int]] = field(default_factory=dict)


def pay(paying: Paying, wallets: Sequence[str], open_till: Callable[[str], Till]) -> Paid:
    """Do one pass over ``wallets``: as much as can be done now. What fails for one keeps no other from being paid."""
    paid = Paid()
    for wallet in wallets:
        try:
            shift = begin(paying, open_till(wallet))
        except Locked:
            continue  # another worker is at it
        except SupportError as error:
            paid.errors.append(error)
            continue
        try:
            with _told(shift):
                work(shift)
            with _told(shift):  # also where a node is down: what is unknown is told before that
                _tell_unknown(shift)
        finally:
            paid.moved.update(shift.moved)
            paid.errors += shift.errors
            if shift.holds:
                paid.holds[wallet] = shift.holds
        end(shift)
    return paid


@contextmanager
def _told(shift: Shift) -> Iterator[None]:
    """What goes wrong is told in the end of the pass, and stops nothing else."""
    try:
        yield
    except Locked:
        pass  # taken over meanwhile: what was done is recorded, the rest is the other one's
    except SupportError as error:
        shift.errors.append(error)


def work(shift: Shift) -> None:
    """Follow what is under way, and take more for as long as the chain takes it. Raises what stops the wallet."""
    payouts = _under_way(shift)
    survey = _look(shift, payouts, first=True)
    while True:
        payouts = follow(shift, payouts, survey)
        if watch_outflow(shift, survey) or watch_funds(shift, payouts, survey):
            break
        payouts = give_up(shift, sign(shift, bump_stuck(shift, payouts, survey)), survey)
        send(shift, [each for each in payouts if _to_send(shift, each, survey)])
        room = shift.till.payer.in_flight - sum(each.step is not Step.CONFIRMING for each in payouts)
        taken = reserve(shift, survey, room) if room > 0 else []
        send(shift, sign(shift, taken))
        if not taken:
            watch_unknown(shift, _under_way(shift), survey)
            break
        payouts = _under_way(shift, LIVE - {Step.CONFIRMING})  # however many have got into blocks by now
        survey = _look(shift, payouts)


def _under_way(shift: Shift, steps: Collection[Step] = LIVE) -> list[Payout]:
    with shift.paying.ledger.look() as records:
        return records.payouts.live(shift.lease.chain, shift.lease.source, steps)


def _look(shift: Shift, payouts: Sequence[Payout], first: bool = False) -> Survey:
    """Ask the nodes, some payouts at a time; troubles are told once a pass.

    Those that no block has taken yet, and that bind what the wallet holds, come last and together.
    """
    waiting = [each for each in payouts if each.step is not Step.CONFIRMING]
    mined = [each for each in payouts if each.step is Step.CONFIRMING]
    parts = [*(mined[at : at + _AT_ONCE] for at in range(0, len(mined), _AT_ONCE)), waiting]
    surveys = [shift.till.payer.survey(part) for part in parts]
    last = surveys[-1]
    shift.holds = last.holds
    seen = {id: seen for each in surveys for id, seen in each.seen.items()}
    if first:
        shift.errors += [Unreachable(trouble) for trouble in dict.fromkeys(last.troubles)]
    return replace(last, seen=seen)


def _to_send(shift: Shift, payout: Payout, survey: Survey) -> bool:
    """Whether its bytes go out now: for the first time, or again because no node has them, after a while."""
    attempt = payout.outgoing
    if attempt is None:
        return False
    if not attempt.sent:
        return True
    seen = survey.seen.get(payout.id)
    if not isinstance(seen, Absent) or seen.pooled:
        return False
    at = attempt.sent_at
    with shift.paying.ledger.look() as records:
        now = records.now
    return at is None or now - at >= shift.paying.resend


def _tell_unknown(shift: Shift) -> None:
    for each in _under_way(shift, {Step.UNKNOWN}):
        names, last = ", ".join(item.request_id for item in each.items), each.outgoing or each.last
        said = (
            f"{names}: nobody can tell yet what became of payout {each.id} ({last.txid}; {last.said}). It is kept, and "
            "asked about again at each run: do not pay it by hand"
        )
        shift.errors.append(OutcomeUnknown(said, payout=each.id))
