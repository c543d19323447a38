"""Decide again what waits, in order of arrival, as headroom returns."""

from __future__ import annotations

from dataclasses import replace

from cryptosupport.desk.cases import Cases, Incoming, Premises, Pricer, ask_ahead, in_base_units
from cryptosupport.domain.books import Books, Ledger, Wanted
from cryptosupport.domain.policy.booking import Queue
from cryptosupport.domain.policy.decision import Decision
from cryptosupport.domain.policy.judging import Case
from cryptosupport.domain.withdrawals import DECIDED, State, Withdrawal

AT_ONCE = 500
"""How many are decided in one transaction."""


def ask_ahead_for_waiting(ledger: Ledger, premises: Premises) -> None:
    """Find out before the transaction what those who wait need."""
    percent = any(rule.max_percent is not None for rule in premises.judge.policy.rules)
    if not percent and not premises.guarding.asks:
        return
    those = ledger.withdrawals(Wanted(states=(State.WAITING,)))
    ask_ahead((Incoming(each.request, each.source, each) for each in those), premises)


def decide_waiting(books: Books, premises: Premises, pricer: Pricer) -> list[Withdrawal]:
    """Decide all that waits once more, in order of arrival; say which changed their state."""
    moved: list[Withdrawal] = []
    queue, last = Queue(premises.judge, books.tallies), 0
    while waiting := books.in_state(State.WAITING, last, AT_ONCE):
        last = waiting[-1].id
        waiting = books.sound(waiting, premises.guarding.tampered)
        incoming = [Incoming(each.request, each.source, each) for each in waiting]
        cases = Cases(incoming, premises, books, pricer)
        books.load([each.booking for each in waiting])
        for before, each in zip(waiting, incoming, strict=True):
            case = cases.case(each)
            turn = queue.decide(case, before.booking, before.booked_at, before.unbooked)
            if turn.changed:
                after = as_decided(before, turn.decision, turn.booked_at, case, premises)
                cases.settled(before.request, turn.decision.outcome)
                books.change(before, after)
                if after.state is not before.state:
                    moved.append(after)
    return moved


def as_decided(
    before: Withdrawal, decision: Decision, booked_at: int | None, case: Case, premises: Premises
) -> Withdrawal:
    """The withdrawal after one more decision."""
    booking = case.booking
    return replace(
        before,
        state=DECIDED[decision.outcome],
        decision=decision,
        effective_tier=booking.tier,
        wallet=booking.wallet,
        fee_units=in_base_units(booking.fee, before.request),
        fee_value=booking.fee_value,
        value=booking.value,
        booked_at=booked_at,
        unbooked=decision.unbooked,
        expires_at=premises.expires_at(decision, case.now),
        turn=before.turn + 1,
        updated_at=case.now,
    )
