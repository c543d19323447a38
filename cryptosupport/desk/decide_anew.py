"""Decide one withdrawal anew: a hold was released, the policy has changed, something was found."""

from __future__ import annotations

from dataclasses import replace

from cryptosupport.desk.cases import Cases, Incoming, Premises, Pricer
from cryptosupport.desk.decide_again import as_decided
from cryptosupport.domain.audit import Act
from cryptosupport.domain.books import Books
from cryptosupport.domain.policy.booking import book, unbook
from cryptosupport.domain.policy.decision import SWEEPS, Outcome, Voice
from cryptosupport.domain.sweeps import is_sweep
from cryptosupport.domain.withdrawals import State, Withdrawal


def decide_anew(
    books: Books, premises: Premises, before: Withdrawal, act: Act, waived: tuple[tuple[str, str], ...] = ()
) -> Withdrawal:
    """Decide a withdrawal by the rules, sums, prices and lists of now, as if it were not booked yet; record it.

    ``waived`` are the holds that are released with this, beside those that were before. A sweep is never decided again:
    it ends, and the next plan says what is to leave. Raises `OutcomeUnknown` when somebody else changed it meanwhile.
    """
    if is_sweep(before.request.request_id):
        return _ended_sweep(books, before, act)
    pricer = Pricer(premises, books)
    incoming = Incoming(before.request, before.source, replace(before, waived=(*before.waived, *waived)))
    case = Cases([incoming], premises, books, pricer).case(incoming)
    give_back(books, before)
    decision = premises.judge.decide(case, lambda place: books.tallies.at(place).used)
    book(books.tallies, case.booking, decision, books.now)
    after = as_decided(before, decision, books.now if decision.booked else None, case, premises)
    after = replace(after, waived=tuple(dict.fromkeys((*before.waived, *waived))))
    books.change(before, after, act)
    books.keep_prices(pricer.counted)
    return after


def _ended_sweep(books: Books, before: Withdrawal, act: Act) -> Withdrawal:
    said = Voice(SWEEPS, Outcome.DENY, "a sweep is not decided again: the next run plans what is to leave")
    decision = replace(before.decision, outcome=Outcome.DENY, voices=(said, *before.decision.voices), at=books.now)
    after = replace(ended(before, State.REJECTED, None, books.now), decision=decision, turn=before.turn + 1)
    books.change(before, after, act)
    return after


def give_back(books: Books, before: Withdrawal) -> None:
    """Take a withdrawal out of all sums that it counts in."""
    if before.booked_at is not None:
        books.load([before.booking])
        waits = before.state is State.WAITING
        unbook(books.tallies, before.booking, before.booked_at, before.unbooked, waits, books.now)


def ended(before: Withdrawal, state: State, by: str | None, now: int) -> Withdrawal:
    """The withdrawal as it ends without being paid: nothing of it counts any more."""
    return replace(before, state=state, booked_at=None, unbooked=(), ended_by=by, updated_at=now)
