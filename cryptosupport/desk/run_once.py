"""One pass of cron: what is over expires, what new lists have found is held, what waits is decided again."""

from __future__ import annotations

from cryptosupport.desk.alarms import Alarms, prices_matter
from cryptosupport.desk.approve import expire, is_over
from cryptosupport.desk.cases import Premises, Pricer
from cryptosupport.desk.decide_again import AT_ONCE, ask_ahead_for_waiting, decide_waiting
from cryptosupport.desk.decide_anew import decide_anew
from cryptosupport.desk.guards import Guards
from cryptosupport.desk.value_late import value_late
from cryptosupport.domain.audit import Act
from cryptosupport.domain.books import Books, Ledger
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.withdrawals import State, Withdrawal

RESCREENED = "screen.applied"
"""The act that says which lists, by the digests of their entries, those who were let through were held against."""


def run_once(ledger: Ledger, premises: Premises, alarms: Alarms = Alarms()) -> list[Withdrawal]:  # noqa: B008 - it is frozen
    """Do one pass in one transaction; say which withdrawals changed their state, as they are now.

    One that goes on waiting keeps its place. ``alarms`` say what freezes the desk by itself.
    """
    ask_ahead_for_waiting(ledger, premises)
    with ledger.write(premises.judge) as books:
        premises.still(books.records)
        pricer = Pricer(premises, books)
        value_late(books, premises, pricer)
        alarms.examine(books.records, prices_matter(premises.judge.policy), bool(pricer.symbols))
        moved = _screen_again(books, premises)  # first: what is blocked does not expire
        moved += _expire(books, premises)
        moved += decide_waiting(books, premises, pricer)
        books.keep_prices(pricer.counted)
    return moved


def _expire(books: Books, premises: Premises) -> list[Withdrawal]:
    """End what people have not approved in time."""
    moved, last = [], 0
    while some := books.in_state(State.AWAITING_APPROVAL, last, AT_ONCE):
        last = some[-1].id
        over = [each for each in some if is_over(each, books.now)]
        moved += [expire(books, each) for each in books.sound(over, premises.guarding.tampered)]
    return moved


def _screen_again(books: Books, premises: Premises) -> list[Withdrawal]:
    """Hold what was let through to a destination that is on a list by now; once for each change of the lists."""
    guards = Guards(premises.guarding, books.records, ())
    lists = " ".join(f"{head.name}={head.digest}" for head in guards.lists.heads)
    applied = books.records.last_acts(RESCREENED).get("")
    if lists == ("" if applied is None else applied.act.facts.get("lists")):
        return []
    moved: list[Withdrawal] = []
    for state in (State.APPROVED, State.AWAITING_APPROVAL):
        last = 0
        while some := books.in_state(state, last, AT_ONCE):
            last = some[-1].id
            for each in some:
                moved += _stop(books, premises, guards, each)
    books.records.log(Act(RESCREENED, facts={"lists": lists}))
    return moved


def _stop(books: Books, premises: Premises, guards: Guards, before: Withdrawal) -> list[Withdrawal]:
    found = [
        voice.reason
        for voice in guards.placed(before.request)
        if voice.outcome in (Outcome.HOLD, Outcome.DENY)
        if voice.unknown or (voice.rule, voice.reason) not in before.waived
    ]
    if not found:
        return []
    if not books.sound([before], premises.guarding.tampered):
        return []
    act = Act("withdrawal.screened", before.request.request_id, facts={"found": "; ".join(found)})
    return [decide_anew(books, premises, before, act)]
