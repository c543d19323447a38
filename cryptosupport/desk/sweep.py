"""Record sweeps: withdrawals of the desk's own to its cold, which the engine then pays like any other, each once.

In one transaction the ledger sees that no sweep of this asset is under way, that the cold is registered, and that
nothing was let through since the plan was made; then it has the sweep, and its number. A second run, on this machine or
another, finds it there.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptosupport.desk.cases import Premises
from cryptosupport.desk.guards import Guards
from cryptosupport.desk.plan_sweeps import SWEPT, Desk, Float, Standing, last_sweep, plan, queued, stand, subject_of
from cryptosupport.desk.show_wallets import Own
from cryptosupport.domain.audit import Act
from cryptosupport.domain.books import Books
from cryptosupport.domain.errors import Refused, SupportError
from cryptosupport.domain.money import Amount
from cryptosupport.domain.paying import Payer
from cryptosupport.domain.policy.decision import SWEEPS, Decision, Outcome, Voice
from cryptosupport.domain.sweeps import SWEEP, SweepPlan, Verdict, sweep_ids
from cryptosupport.domain.withdrawals import ENDED, Request, State, Withdrawal


def sweep(
    desk: Desk, premises: Premises, own: Own, floats: Sequence[Float], payer: Payer, errors: list[SupportError]
) -> list[Withdrawal]:
    """Record what is to leave a wallet; what must not, though it is too much, goes to ``errors``.

    Raises `NodesFailed`, `Tampered`, `BadSettings`.
    """
    standing = stand(desk, own, floats, payer)
    made: list[Withdrawal] = []
    for wanted in floats:
        planned = plan(desk, standing, wanted)
        if planned.surplus:
            try:
                desk.cold_set.registered(wanted.cold)
            except Refused as refused:
                errors.append(refused)
        if planned.unpayable:
            errors.append(Refused(f"{own.name} is not swept: {planned.why}", wallet=own.name))
        if planned.verdict is Verdict.SWEEP:
            try:
                made += _record(desk, premises, standing, wanted, planned)
            except Refused as refused:
                errors.append(refused)
    return made


def under_way(desk: Desk, own: Own, floats: Sequence[Float]) -> bool:
    """Whether a sweep of the wallet has yet to come to its end."""
    with desk.ledger.look() as records:
        requests = [each for wanted in floats for each in last_sweep(records, own.name, wanted.asset.symbol)[1]]
    found = (desk.ledger.withdrawal(each) for each in requests)
    return any(each is not None and each.state not in ENDED for each in found)


def _record(
    desk: Desk, premises: Premises, standing: Standing, wanted: Float, planned: SweepPlan
) -> list[Withdrawal]:
    """Have the ledger know the sweep; none where things are no longer as they were planned.

    Raises `Refused` for a place that nothing may go to.
    """
    symbol, own = wanted.asset.symbol, standing.own
    seen = standing.before[symbol]
    with desk.ledger.write(premises.judge) as books:
        premises.still(books.records)
        before, _ = last_sweep(books.records, own.name, symbol)
        if before.slot != seen.slot or queued(books.records, own, desk.max_fee[own.chain]) != standing.queued:
            return []
        made = list(_withdrawals(books, wanted, standing, planned, before.slot + 1))
        guards = Guards(premises.guarding, books.records, [])
        for voice in guards.voices(made[0].request, made[0].booking):
            if voice.outcome is Outcome.DENY:
                raise Refused(f"{own.name} is not swept: {voice.reason}", wallet=own.name)
            return []  # it was frozen meanwhile
        books.add(made)
        facts = {"slot": str(before.slot + 1), "cold": wanted.cold.known_by, "why": made[0].decision.voices[0].reason}
        requests = " ".join(each.request.request_id for each in made)
        books.records.log(Act(SWEPT, subject_of(own.name, symbol), facts={**facts, "requests": requests}))
    return made


def _withdrawals(
    books: Books, wanted: Float, standing: Standing, planned: SweepPlan, slot: int
) -> Sequence[Withdrawal]:
    """One withdrawal for each transaction of a plan."""
    asset, own = wanted.asset, standing.own
    assert wanted.cold.address is not None  # else nothing is planned
    ids = sweep_ids(own.name, asset.symbol, slot, len(planned.legs))
    decision = Decision(Outcome.ALLOW, (Voice(SWEEPS, Outcome.ALLOW, _why(planned)),), "", books.now, booked=False)
    made = []
    for number, (id, leg) in enumerate(zip(ids, planned.legs, strict=True)):
        request = Request(id, f"{SWEEP}{own.name}", asset, own.chain, leg.moved, wanted.cold.address)
        made.append(_approved(books.next_id + number, request, decision, own.name))
    return made


def _approved(number: int, request: Request, decision: Decision, wallet: str) -> Withdrawal:
    """The withdrawal as the engine takes it. It counts in no limit: it does not leave the desk."""
    return Withdrawal(
        id=number, request=request, state=State.APPROVED, decision=decision, source="sweep", maker=None,
        effective_tier=None, wallet=wallet, fee_units=0, fee_value=0, value=None, booked_at=None, unbooked=(),
        created_at=decision.at, updated_at=decision.at,
    )  # fmt: skip


def _why(planned: SweepPlan) -> str:
    held, asset = planned.holding, planned.holding.asset
    above, target = Amount(planned.bounds.ceiling, asset), Amount(planned.bounds.target, asset)
    what = "a test of its place" if planned.test else f"the surplus over {target}"
    return f"{Amount(held.available, asset)} are available, above the ceiling of {above}: {what} is swept"
