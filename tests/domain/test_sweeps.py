"""What leaves a wallet, and what it lacks: whatever the numbers are, never below the target, and nothing gets lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.domain.money import Asset
from cryptosupport.domain.sweeps import PER_MILLION, Bounds, Holding, Leg, SweepPlan, Verdict, settle_on, weigh

USDT = Asset("USDT", 6)
UNITS = st.integers(0, 10**12)


@st.composite
def all_bounds(draw: st.DrawFn) -> Bounds:
    floor, target, ceiling = sorted(draw(st.tuples(UNITS, UNITS, UNITS)))
    least = draw(UNITS)
    most = draw(st.none() | st.integers(max(least, 1), 10**12))
    return Bounds(floor, target, ceiling, least, most, draw(st.integers(0, PER_MILLION)))


@st.composite
def settled(draw: st.DrawFn) -> SweepPlan:
    """A plan with legs that some chain made of its surplus."""
    weighed = weigh(Holding(USDT, draw(UNITS), draw(UNITS), draw(UNITS)), draw(all_bounds()), draw(UNITS))
    left, legs = weighed.surplus, []
    for _ in range(draw(st.integers(0, 4))):
        moved = draw(st.integers(0, left))
        fee = draw(st.integers(0, left - moved))
        legs.append(Leg(moved, fee))
        left -= moved + fee
    return settle_on(weighed, legs, draw(st.lists(st.just("frozen"), max_size=1)))


@given(settled())
def test_what_moves_costs_and_stays_is_what_there_was(plan: SweepPlan) -> None:
    assert plan.moved + plan.fee + plan.left == plan.holding.confirmed
    assert min(plan.moved, plan.fee) >= 0


@given(settled())
def test_no_sweep_goes_below_the_target_and_so_below_the_floor(plan: SweepPlan) -> None:
    if plan.moved:
        after = plan.holding.available - plan.moved - plan.fee
        assert after >= plan.bounds.target >= plan.bounds.floor
        assert plan.holding.available > plan.bounds.ceiling


@given(settled())
def test_each_sweep_is_within_its_own_limits(plan: SweepPlan) -> None:
    if plan.verdict is Verdict.SWEEP:
        assert plan.moved >= max(plan.bounds.least, 1)
        assert plan.bounds.most is None or plan.moved + plan.fee <= plan.bounds.most
        assert plan.fee * PER_MILLION <= plan.moved * plan.bounds.fee_ratio
    else:
        assert plan.moved == 0


@given(UNITS, all_bounds())
def test_a_wallet_that_was_swept_or_refilled_asks_for_neither(confirmed: int, bounds: Bounds) -> None:
    """Money does not go to and fro."""
    plan = weigh(Holding(USDT, confirmed), bounds)
    if plan.verdict is Verdict.SWEEP and bounds.most is None:
        assert weigh(Holding(USDT, confirmed - plan.surplus), bounds).verdict is Verdict.NOTHING
    if plan.verdict is Verdict.REFILL:
        assert weigh(Holding(USDT, confirmed + plan.refill), bounds).verdict is Verdict.NOTHING


@given(settled())
def test_a_refill_brings_it_to_the_target(plan: SweepPlan) -> None:
    assert (plan.refill > 0) == (plan.verdict is Verdict.REFILL)
    if plan.refill:
        assert plan.holding.available < plan.bounds.floor
        assert plan.holding.available + plan.refill >= plan.bounds.target


@given(settled())
def test_why_is_told_exactly_where_a_surplus_stays(plan: SweepPlan) -> None:
    assert bool(plan.why) == (plan.verdict is Verdict.WAIT)


def test_more_than_the_surplus_is_never_planned() -> None:
    weighed = weigh(Holding(USDT, 100), Bounds(10, 20, 40))
    with pytest.raises(ValueError, match="80 and 1 for fees are more than the surplus of 80"):
        settle_on(weighed, [Leg(80, 1)])
    with pytest.raises(ValueError, match="are more than the surplus"):
        settle_on(weighed, [Leg(-1, 1)])


@pytest.mark.parametrize(
    ("bounds", "leg", "why"),
    [
        (Bounds(0, 0, 1, least=91_000_000), Leg(90_000_000, 0), "it would move 90 USDT, and a sweep moves at least 91"),
        (Bounds(0, 0, 1, fee_ratio=5_000), Leg(99_000_000, 1_000_000), "its fee of 1 USDT is more than 0.5% of the 99"),
        (Bounds(0, 0, 1), Leg(0, 0), "nothing of the surplus of 100 USDT can be moved"),
    ],
)
def test_what_is_not_worth_it_waits_and_says_so(bounds: Bounds, leg: Leg, why: str) -> None:
    plan = settle_on(weigh(Holding(USDT, 100_000_000), bounds), [leg])
    assert (plan.verdict, plan.moved, plan.left) == (Verdict.WAIT, 0, 100_000_000)
    assert why in plan.why


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((2, 1, 3), "have to rise"),
        ((1, 3, 2), "have to rise"),
        ((-1, 1, 2), "have to rise"),
        ((0, 1, 2, 5, 4), "at least the least"),
        ((0, 1, 2, 0, 0), "above zero"),
        ((0, 1, 2, 0, None, PER_MILLION + 1), "a fee is"),
    ],
)
def test_bounds_that_contradict_each_other_are_none(values: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Bounds(*values)
