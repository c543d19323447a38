"""What follows from what nodes say: only a final transaction ends a payout, and silence ends nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.domain.payouts import (
    OVER,
    Absent,
    Attempt,
    Item,
    Kind,
    Mined,
    Payout,
    Plan,
    Purse,
    Seen,
    Step,
    Taken,
    Unclear,
    conclude,
)
from cryptosupport.domain.withdrawals import ENDED, State

PLAN = Plan("{}", 1)
PAY = Attempt(1, Kind.PAY, PLAN, 0, b"a", "0xa", 1, 1, 1)
CANCEL = Attempt(2, Kind.CANCEL, PLAN, 0, b"b", "0xb", 1, 1, 1)
PAYOUT = Payout(1, "ethereum", "hot", "0x1", ("7",), (Item(1, "w-1"),), Step.BROADCAST, 1, 0, 0, (PAY, CANCEL))
MINED = Mined(1, 100, "0xb", True, False, 21_000)

numbers = st.sampled_from([1, 2])
seens: st.SearchStrategy[Seen] = st.one_of(
    st.builds(Absent, st.booleans()),
    st.builds(Taken, st.one_of(st.none(), st.just("0xc")), st.booleans()),
    st.builds(Unclear, st.just("two nodes contradict each other")),
    st.builds(Mined, numbers, st.just(9), st.just("0xb"), st.booleans(), st.booleans(), st.just(1)),
)


@pytest.mark.parametrize(
    ("step", "seen", "then"),
    [
        (Step.SIGNED, Absent(), Step.SIGNED),
        (Step.SIGNED, Absent(pooled=True), Step.BROADCAST),
        (Step.CONFIRMING, Absent(), Step.BROADCAST),
        (Step.UNKNOWN, Absent(), Step.UNKNOWN),
        (Step.UNKNOWN, Absent(pooled=True), Step.BROADCAST),
        (Step.RESERVED, MINED, Step.CONFIRMING),
        (Step.BROADCAST, replace(MINED, final=True), Step.FINAL),
        (Step.BROADCAST, replace(MINED, final=True, ok=False), Step.REVERTED),
        (Step.BROADCAST, replace(MINED, final=True, number=2), Step.CANCELLED),
        (Step.BROADCAST, replace(MINED, final=True, number=2, ok=False), Step.CANCELLED),
        (Step.BROADCAST, replace(MINED, ok=False), Step.CONFIRMING),
        (Step.CONFIRMING, Taken(None, True), Step.UNKNOWN),
        (Step.CONFIRMING, Taken("0xc", False), Step.UNKNOWN),
        (Step.CONFIRMING, Taken("0xc", True), Step.DEAD),
        (Step.BROADCAST, Unclear("?"), Step.UNKNOWN),
        (Step.FINAL, Taken("0xc", True), Step.FINAL),
        (Step.CANCELLED, replace(MINED, final=True), Step.CANCELLED),
    ],
)
def test_each_answer_leads_where_it_has_to(step: Step, seen: Seen, then: Step) -> None:
    assert conclude(replace(PAYOUT, step=step), seen) is then


@given(st.sampled_from(sorted(set(Step) - OVER)), st.lists(seens, max_size=8))
def test_nothing_but_what_is_final_ends_a_payout(step: Step, answers: list[Seen]) -> None:
    payout = replace(PAYOUT, step=step)
    for seen in answers:
        before, payout = payout, replace(payout, step=conclude(payout, seen))
        if before.step in OVER:
            assert payout.step is before.step
        elif payout.step in OVER:
            assert isinstance(seen, Mined | Taken)
            assert seen.final
        if payout.step is Step.FINAL and before.step is not Step.FINAL:
            assert isinstance(seen, Mined)
            assert (seen.number, seen.ok) == (1, True)


@given(st.sampled_from(Step), st.booleans())
def test_nobody_is_told_that_it_ended_before_it_has(step: Step, cancelling: bool) -> None:
    payout = replace(PAYOUT, step=step, attempts=(PAY, CANCEL) if cancelling else (PAY,))
    assert (payout.state in ENDED) == (step in OVER - {Step.DEAD})
    if cancelling and step in (Step.RESERVED, Step.SIGNED, Step.BROADCAST, Step.CONFIRMING):
        assert payout.state is State.CANCELLING
    if step is Step.DEAD:
        assert payout.state is State.HELD


def test_a_lease_is_had_by_one_until_it_runs_out_or_they_are_gone() -> None:
    first = Purse("ethereum", "0x1", "hot", 0, 0).leased("one", 1_000, 60)
    assert first is not None
    assert (first.holder, first.until, first.fence) == ("one", 1_060, 1)
    assert first.leased("two", 1_059, 60) is None
    again = first.leased("one", 1_030, 60)
    assert again is not None
    assert (again.until, again.fence) == (1_090, 1)
    second = first.leased("two", 1_060, 60)
    assert second is not None
    assert (second.holder, second.fence) == ("two", 2)
    late = first.leased("one", 1_060, 60)  # somebody may have had it meanwhile
    assert late is not None
    assert late.fence == 2
    gone = first.leased("two", 1_001, 60, lambda holder: holder == "one")
    assert gone is not None
    assert gone.fence == 2


def test_what_is_sent_is_the_newest_that_is_signed_and_nothing_that_is_to_be_taken_back() -> None:
    again = replace(PAY, number=2, raw=b"c", txid="0xc")
    unsigned = {kind: Attempt(3, kind, PLAN, 0) for kind in Kind}
    assert replace(PAYOUT, attempts=(PAY,)).outgoing is PAY
    assert replace(PAYOUT, attempts=(PAY, again)).outgoing is again
    assert replace(PAYOUT, attempts=(PAY, again, unsigned[Kind.PAY])).outgoing is again
    assert replace(PAYOUT, attempts=(PAY, unsigned[Kind.CANCEL])).outgoing is None
    assert replace(PAYOUT, attempts=(PAY, CANCEL, unsigned[Kind.CANCEL])).outgoing is CANCEL
    assert replace(PAYOUT, attempts=(unsigned[Kind.PAY],)).outgoing is None
