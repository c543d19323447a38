"""The desk in memory against one that sums its whole history each time: the same decisions, the same sums."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import SearchStrategy

from cryptosupport.domain.errors import ClockWentBack
from cryptosupport.domain.money import Quantity
from cryptosupport.domain.policy.judging import Case, Judge
from cryptosupport.domain.policy.replay import Replay
from cryptosupport.domain.policy.rules import Policy
from cryptosupport.domain.policy.windows import Measure, Window
from cryptosupport.domain.prices import MICRO
from tests.domain.policy.making import DAY, HOUR, MINUTE, NOW, cases, plain_cases, policies, queues
from tests.domain.policy.reference import SlowDesk

STEPS = st.sampled_from([0, 1, MINUTE, 10 * MINUTE - 1, 10 * MINUTE, 10 * MINUTE + 1, HOUR, DAY - 1, DAY, 8 * DAY])


class DeskAgainstHistory(RuleBasedStateMachine):
    """Submits, cancels and clock steps in any order, under any policy."""

    def policies(self) -> SearchStrategy[Policy]:
        return policies()

    def requests(self) -> SearchStrategy[Case]:
        return cases(self.now)

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        judge = Judge(data.draw(self.policies()))
        self.replay, self.slow, self.now, self.judge = Replay(judge), SlowDesk(judge), NOW, judge

    @rule(data=st.data(), again=st.integers(0, 4))
    def submit(self, data: st.DataObject, again: int) -> None:
        asked = data.draw(self.requests())
        for _ in range(again + 1):
            id = f"w-{len(self.slow.history)}"
            assert self.replay.arrive(id, asked) == self.slow.arrive(id, asked)

    @rule(step=STEPS)
    def time_goes_on(self, step: int) -> None:
        self.now += step

    @rule()
    def decide_again(self) -> None:
        assert self.replay.advance(self.now) == self.slow.advance(self.now)

    @rule(step=STEPS)
    def time_goes_on_and_all_are_decided_again(self, step: int) -> None:
        self.now += step
        self.decide_again()

    @precondition(lambda self: self.slow.history)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from([asked.id for asked in self.slow.history]))
        self.replay.cancel(id, self.now)
        self.slow.cancel(id)

    @precondition(lambda self: self.slow.history)
    @rule(back=st.integers(1, DAY))
    def the_clock_cannot_go_back(self, back: int) -> None:
        self.replay.advance(self.now)
        self.slow.advance(self.now)
        before = dict(self.replay.tallies)
        with pytest.raises(ClockWentBack):
            self.replay.advance(self.now - back)
        assert dict(self.replay.tallies) == before

    @invariant()
    def the_sums_are_those_of_the_history(self) -> None:
        self.replay.cancel("nobody", self.now)
        places = set(self.slow.places(self.now))
        assert {place for place, _ in self.replay.tallies} <= places
        for place in places:
            tally = self.replay.tallies.at(place)
            assert (tally.booked, tally.waiting) == self.slow.sums(place, self.now)

    @invariant()
    def no_more_was_let_through_than_any_limit(self) -> None:
        """Checked whenever something may have been booked, so at every position of every window."""
        through = [asked for asked in self.slow.history if asked.let_through]
        for place in self.slow.places(self.now):
            window = self.judge.windows[place.window]
            for one in self.judge.policy.rules:
                limits = {
                    Measure.AMOUNT: one.max_amount,
                    Measure.VALUE: None if one.max_value is None else Quantity(one.max_value, MICRO),
                    Measure.COUNT: None if one.max_count is None else Quantity(one.max_count, 0),
                }
                limit = limits[window.measure]
                if limit is not None and one.period is not None and Window.of(one, window.measure).id == window.id:
                    assert self.slow.total(through, place, self.now) <= limit

    @invariant()
    def only_what_counts_or_waits_is_kept(self) -> None:
        waits = sum(asked.waits for asked in self.slow.history)
        assert self.replay.waiting == waits
        assert waits <= self.replay.kept <= len(self.slow.history)


class QueuesAgainstHistory(DeskAgainstHistory):
    """The same where much waits."""

    def policies(self) -> SearchStrategy[Policy]:
        return queues()

    def requests(self) -> SearchStrategy[Case]:
        return plain_cases(self.now)


DeskAgainstHistory.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestDeskAgainstHistory = DeskAgainstHistory.TestCase
QueuesAgainstHistory.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestQueuesAgainstHistory = QueuesAgainstHistory.TestCase
