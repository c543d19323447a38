"""Whatever is asked, cancelled and waited for in whatever order: the ledger decides and counts as the desk in memory,
and no window ever lets through more than its limit.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, run_state_machine_as_test
from hypothesis.stateful import rule as step
from sqlalchemy import Engine

from cryptosupport.desk.cancel import cancel
from cryptosupport.desk.run_once import run_once
from cryptosupport.domain.books import Wanted
from cryptosupport.domain.errors import ClockWentBack
from cryptosupport.domain.money import NOTHING, Quantity
from cryptosupport.domain.policy.decision import Decision, Outcome
from cryptosupport.domain.policy.judging import Case, Judge
from cryptosupport.domain.policy.periods import Calendar, Lifetime, Sliding, Unit
from cryptosupport.domain.policy.replay import Replay
from cryptosupport.domain.policy.rules import Booking, Per, Policy
from cryptosupport.domain.policy.tallies import Tally
from cryptosupport.domain.policy.windows import Measure, Window, measures
from cryptosupport.domain.withdrawals import DECIDED, UNSIGNED, Request, State, Withdrawal
from tests.desk.deskkit import BTC, ETH, HOUR, START, Desk, Turned, ledger_in, policy, request, rule
from tests.ledger.ledgerkit import emptied

POLICIES = [
    policy(rule("own", "5", hours=2, per=Per.CUSTOMER), rule("desk", "4", hours=1)),
    policy(rule("own", hours=2, per=Per.CUSTOMER, max_count=3), rule("asset", "6", hours=3, per=Per.ASSET)),
    policy(
        rule("desk", "6", hours=2),
        rule("day", "8", period=Calendar(Unit.DAY, "UTC"), per=Per.GLOBAL),
        rule("life", "9", period=Lifetime(), per=Per.CUSTOMER),
        rule("cool", cooling=HOUR),
    ),
    policy(
        rule("held", "3", hours=1, per=Per.DESTINATION, on_exceed=Outcome.HOLD),
        rule("desk", "5", hours=2, match={"asset": "BTC"}),
        rule("wallet", "5", hours=1, per=Per.WALLET),
        rule("eyes", above_amount=Quantity(4, 0), approvals=1, hours=2, per=Per.CUSTOMER),
    ),
]
EXAMPLES = {"sqlite": 100, "postgresql": 20}
"""The rules are the same on both: PostgreSQL, which takes five times as long, is tried less often."""

LET_THROUGH = {State.APPROVED, State.AWAITING_APPROVAL}


class Books(RuleBasedStateMachine):
    """A desk on the ledger beside one in memory."""

    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        emptied(self.engine)
        self.clock = Turned(START)
        self.asked: dict[str, Request] = {}
        self.states: dict[str, State] = {}
        self.known: dict[tuple[str, str], int] = {}

    @initialize(chosen=st.sampled_from(POLICIES))
    def open(self, chosen: Policy) -> None:
        self.desk = Desk(ledger_in(self.engine, self.clock), self.clock, chosen)
        self.replay = Replay(Judge(chosen))

    def case(self, asked: Request) -> Case:
        wallet = "hot-btc" if asked.chain == "bitcoin" else "hot-eth"
        booking = Booking(
            *(asked.customer, None, None, asked.asset.symbol, asked.chain, wallet, asked.destination, "file"),
            amount=asked.amount,
            value=None,
        )
        return Case(booking, self.clock.at, known_since=self.known.get((asked.customer, asked.destination)))

    def decided(self, request_id: str, decision: Decision) -> None:
        self.states[request_id] = DECIDED[decision.outcome]

    @step(
        wanted=st.lists(
            st.tuples(
                st.sampled_from(["c1", "c2"]), st.sampled_from(["d1", "d2"]), st.sampled_from([BTC, ETH]),
                st.integers(1, 6),
            ),
            min_size=1,
            max_size=4,
        )
    )  # fmt: skip
    def submit(self, wanted: list[tuple[str, str, object, int]]) -> None:
        batch = []
        for customer, destination, asset, amount in wanted:
            chain = "bitcoin" if asset is BTC else "ethereum"
            facts = {"customer": customer, "destination": destination, "chain": chain}
            one = request(f"r{len(self.asked)}", str(amount), BTC if asset is BTC else ETH, **facts)
            self.asked[one.request_id] = one
            batch.append(one)
        taken = self.desk.take(*batch)
        for one in batch:
            self.decided(one.request_id, self.replay.arrive(one.request_id, self.case(one)))
        for one in batch:
            self.known.setdefault((one.customer, one.destination), self.clock.at)
        assert [each.state for each in taken] == [self.states[one.request_id] for one in batch]

    @step(data=st.data())
    def submit_again(self, data: st.DataObject) -> None:
        if self.asked:
            one = data.draw(st.sampled_from(sorted(self.asked)))
            (taken,) = self.desk.take(self.asked[one])
            assert taken.state is self.states[one]

    @step(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        able = sorted(name for name, state in self.states.items() if state in UNSIGNED)
        if able:
            one = data.draw(st.sampled_from(able))
            cancel(self.desk.ledger, self.desk.premises, one)
            self.replay.cancel(one, self.clock.at)
            self.states[one] = State.CANCELLED

    @step(by=st.sampled_from([1, HOUR // 2, HOUR - 1, HOUR, 2 * HOUR, 25 * HOUR]))
    def time_goes_on(self, by: int) -> None:
        self.clock.at += by

    @step()
    def run_once(self) -> None:
        moved = [(each.request.request_id, each.state) for each in run_once(self.desk.ledger, self.desk.premises)]
        for name, decision in self.replay.advance(self.clock.at):
            self.decided(name, decision)
            assert (name, self.states[name]) in moved
        assert {name for name, _ in moved} <= {name for name, state in moved if self.states[name] is state}

    @step()
    def the_clock_steps_back(self) -> None:
        if self.asked:
            before = self.clock.at
            with self.desk.ledger.write(self.desk.premises.judge):
                pass
            self.clock.at -= 1001
            with pytest.raises(ClockWentBack):
                self.desk.take(request("never"))
            self.clock.at = before

    @invariant()
    def the_ledger_has_what_was_decided(self) -> None:
        if hasattr(self, "desk"):
            self.rows = list(self.desk.ledger.withdrawals(Wanted()))
            assert {each.request.request_id: each.state for each in self.rows} == self.states

    @invariant()
    def the_sums_are_the_same(self) -> None:
        if self.asked:
            with self.desk.ledger.write(self.desk.premises.judge):
                pass  # what is out by now is taken out
            self.replay.cancel("nobody", self.clock.at)
            recorded = dict(self.desk.ledger.sums(self.desk.premises.judge.windows))
            in_memory = {place: tally for place, tally in self.replay.tallies if tally.used != NOTHING}
            assert recorded == in_memory

    @invariant()
    def no_window_lets_through_more_than_its_limit(self) -> None:
        if self.asked:
            for one in self.desk.policy.rules:
                for measure in measures(one):
                    for total in positions(Window.of(one, measure), self.rows):
                        limit = Quantity(one.max_count, 0) if measure is Measure.COUNT else one.max_amount
                        assert limit is None or total <= limit, (one.name, str(total))


def positions(window: Window, rows: list[Withdrawal]) -> Iterator[Quantity]:
    """What was let through in the window that ends at each booking, summed up from all rows anew."""
    passed = [each for each in rows if each.state in LET_THROUGH and each.booked_at is not None]
    for last in passed:
        total = NOTHING
        assert last.booked_at is not None
        for each in passed:
            assert each.booked_at is not None
            same = window.place(each.booking, each.booked_at) == window.place(last.booking, last.booked_at)
            if not same or each.booked_at > last.booked_at or window.place(each.booking, each.booked_at) is None:
                continue
            if isinstance(window.period, Sliding) and each.booked_at <= last.booked_at - window.period.milliseconds:
                continue
            total += window.counts(each.booking)
        yield total


def test_the_ledger_decides_as_the_desk_in_memory(engine: Engine) -> None:
    machine = type("Books", (Books,), {"engine": engine})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES[engine.dialect.name],
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


OTHERS = [
    POLICIES[0],
    # The windows of the first, and further ones of the same length.
    policy(*POLICIES[0].rules, rule("n", hours=1, max_count=9), rule("asset", "99", hours=2, per=Per.ASSET)),
    *POLICIES[1:],
    policy(rule("own", "9", hours=2, per=Per.CUSTOMER, match={"tier": "basic"}), tiers=("basic", "vip")),
    policy(
        rule("vip", "7", hours=2, per=Per.CUSTOMER, match={"tier": "vip"}),
        rule("basic", "5", hours=2, per=Per.CUSTOMER, match={"tier": "basic"}),
        rule("desk", "4", hours=1),
        tiers=("vip", "basic"),
    ),
]


class Exchanged(RuleBasedStateMachine):
    """A desk whose policy is exchanged again and again: the recorded sums are always those of the recorded rows."""

    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        emptied(self.engine)
        self.clock = Turned(START)
        self.desk = Desk(ledger_in(self.engine, self.clock), self.clock, OTHERS[0])
        self.asked = 0

    @step(chosen=st.sampled_from(OTHERS), by=st.sampled_from([0, HOUR, 2 * HOUR]))
    def exchange(self, chosen: Policy, by: int) -> None:
        self.clock.at += by  # at once: nothing was decided in between
        self.desk.policy = chosen

    @step(amounts=st.lists(st.integers(1, 6), min_size=1, max_size=3), customer=st.sampled_from(["c1", "c2"]))
    def submit(self, amounts: list[int], customer: str) -> None:
        self.asked += len(amounts)
        self.desk.take(
            *(request(f"r{self.asked - n}", str(amount), customer=customer) for n, amount in enumerate(amounts))
        )

    @step(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        able = [each.request.request_id for each in self.desk.ledger.withdrawals(Wanted(states=tuple(UNSIGNED)))]
        if able:
            cancel(self.desk.ledger, self.desk.premises, data.draw(st.sampled_from(able)))

    @step(by=st.sampled_from([1, HOUR // 2, HOUR - 1, HOUR, 25 * HOUR]))
    def time_goes_on(self, by: int) -> None:
        self.clock.at += by

    @step()
    def run_once(self) -> None:
        run_once(self.desk.ledger, self.desk.premises)

    @invariant()
    def the_sums_are_those_of_the_rows(self) -> None:
        with self.desk.ledger.write(self.desk.premises.judge) as books:
            now = books.now
        windows = self.desk.premises.judge.windows
        expected: dict[object, Tally] = {}
        for each in self.desk.ledger.withdrawals(Wanted()):
            for window in windows.values():
                waits = each.state is State.WAITING
                if each.booked_at is None or window.id in each.unbooked:
                    continue
                place = window.place(each.booking, each.booked_at)
                if place is not None and window.holds(each.booked_at, now, waits):
                    tally, counts = expected.get(place, Tally()), window.counts(each.booking)
                    expected[place] = Tally(
                        tally.booked + (NOTHING if waits else counts), tally.waiting + (counts if waits else NOTHING)
                    )
        assert dict(self.desk.ledger.sums(windows)) == expected


def test_sums_follow_a_policy_that_is_exchanged(engine: Engine) -> None:
    machine = type("Exchanged", (Exchanged,), {"engine": engine})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES[engine.dialect.name],
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
