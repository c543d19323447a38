"""What a hot wallet holds beyond what it needs, and what it lacks. Pure: integers of one asset, in base units.

    available = confirmed - reserved - fee reserve

Above the ceiling the surplus over the target is swept; below the floor the wallet asks for a refill. Between the two
nothing happens, so that money does not go to and fro (docs/sweeps.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from cryptosupport.domain.money import Amount, Asset, Quantity
from cryptosupport.domain.policy.periods import duration
from cryptosupport.domain.withdrawals import ENDED, State

PER_MILLION = 1_000_000

SWEEP = "sweep:"
"""What the request ids of sweeps begin with, and the customers in whose name they are recorded: no request that comes
in may have either.
"""


def is_sweep(request_id: str) -> bool:
    """Whether this is the id of a sweep.

    >>> is_sweep(sweep_ids("hot-eth", "ETH", 7, 1)[0]), is_sweep("w-7")
    (True, False)
    """
    return request_id.startswith(SWEEP)


def sweep_ids(wallet: str, symbol: str, slot: int, legs: int) -> list[str]:
    """The request ids of the sweep number ``slot`` of a wallet and asset, one for each transaction.

    >>> sweep_ids("hot-eth", "ETH", 7, 1), sweep_ids("hot-btc", "BTC", 8, 2)
    (['sweep:hot-eth:ETH:7'], ['sweep:hot-btc:BTC:8:1', 'sweep:hot-btc:BTC:8:2'])
    """
    whole = f"{SWEEP}{wallet}:{symbol}:{slot}"
    return [whole] if legs == 1 else [f"{whole}:{number}" for number in range(1, legs + 1)]


class Verdict(StrEnum):
    """What is to be done."""

    SWEEP = "sweep"
    WAIT = "wait"
    NOTHING = "nothing"
    REFILL = "refill"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of an asset a wallet should have, and what one sweep may be: ``least`` and ``most``, None for no cap.

    ``fee_ratio`` is how much of what is swept its fee may be at most, in millionths. Raises `ValueError` unless floor,
    target and ceiling rise.
    """

    floor: int
    target: int
    ceiling: int
    least: int = 0
    most: int | None = None
    fee_ratio: int = PER_MILLION

    def of_a_test(self, most: int) -> Bounds:
        """The bounds of a sweep that is to show that its place is the right one: as little as ``most``, at any cost."""
        capped = most if self.most is None else min(most, self.most)
        return replace(self, least=0, most=max(capped, 1), fee_ratio=PER_MILLION)

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= self.target <= self.ceiling:
            raise ValueError("floor, target and ceiling have to rise in this order")
        if self.least < 0 or (self.most is not None and self.most < max(self.least, 1)):
            raise ValueError("the most that a sweep moves has to be at least the least that it moves, and above zero")
        if not 0 <= self.fee_ratio <= PER_MILLION:
            raise ValueError("a fee is from 0 to all of what is swept")


@dataclass(frozen=True, slots=True)
class Holding:
    """What a wallet has of an asset, of that ``reserved`` for withdrawals that are approved or under way, with their
    fees, and ``fee_reserve`` kept for fees to come. What no block has confirmed is not there.
    """

    asset: Asset
    confirmed: int
    reserved: int = 0
    fee_reserve: int = 0

    @property
    def available(self) -> int:
        """What nothing has a claim on; below zero where more is reserved than there is."""
        return self.confirmed - self.reserved - self.fee_reserve


@dataclass(frozen=True, slots=True)
class Leg:
    """One transaction of a sweep: what arrives, and what it costs of the same asset.

    Where the chain's coin pays for a token ``fee`` is 0, and ``coin_fee`` is what it costs in base units of the coin.
    """

    moved: int
    fee: int
    coin_fee: int = 0


@dataclass(frozen=True, slots=True)
class Before:
    """The last sweep of an asset of a wallet: its number ``slot`` (0 where there was none), when it was recorded
    (milliseconds since 1970), the ``cold`` that it went to, and where its transactions stand.
    """

    slot: int = 0
    at: int = 0
    cold: str = ""
    states: tuple[State, ...] = ()

    def has_arrived(self, cold: str) -> bool:
        """Whether it has reached this very cold, for good."""
        return self.cold == cold and bool(self.states) and set(self.states) == {State.FINAL}

    def in_the_way(self, now: int, cooldown: int) -> str:
        """Why another one has to wait, "" where it has not. Times are milliseconds."""
        live = [each.value for each in self.states if each not in ENDED]
        if live:
            return f"sweep {self.slot} is under way ({', '.join(sorted(set(live)))}): one at a time"
        left = self.at + cooldown - now
        if self.slot and left > 0:
            return f"sweep {self.slot} was {duration(now - self.at)} ago, and the next one waits {duration(left)} more"
        return ""


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What is to be done about one asset of a wallet: ``moved + fee + left == holding.confirmed``, always.

    ``surplus`` is what may leave, fees included, and ``refill`` what is missing. ``why`` says why nothing moves though
    the wallet has more than its ceiling. ``test``: it is the first one to its place, and small. ``unpayable``: as
    things are it cannot be paid, and a person has to look.
    """

    bounds: Bounds
    holding: Holding
    verdict: Verdict
    surplus: int = 0
    refill: int = 0
    legs: tuple[Leg, ...] = ()
    why: str = ""
    test: bool = False
    unpayable: bool = False

    @property
    def moved(self) -> int:
        """What arrives in the cold."""
        return sum(leg.moved for leg in self.legs)

    @property
    def fee(self) -> int:
        """What that costs."""
        return sum(leg.fee for leg in self.legs)

    @property
    def left(self) -> int:
        """What the wallet has afterwards."""
        return self.holding.confirmed - self.moved - self.fee


def weigh(holding: Holding, bounds: Bounds, outflow: int = 0) -> SweepPlan:
    """What the numbers ask for, before anybody knows what it costs. ``outflow`` is expected to leave until a refill
    has come.

    >>> usdt, bounds = Asset("USDT", 6), Bounds(floor=10, target=20, ceiling=40)
    >>> weigh(Holding(usdt, confirmed=50, reserved=4, fee_reserve=1), bounds).surplus
    25
    >>> weigh(Holding(usdt, confirmed=45, reserved=4, fee_reserve=1), bounds).verdict.value
    'nothing'
    >>> weigh(Holding(usdt, confirmed=9), bounds, outflow=3).refill
    14
    """
    available = holding.available
    if available < bounds.floor:
        return SweepPlan(bounds, holding, Verdict.REFILL, refill=bounds.target - available + outflow)
    if available <= bounds.ceiling:
        return SweepPlan(bounds, holding, Verdict.NOTHING)
    surplus = available - bounds.target
    surplus = surplus if bounds.most is None else min(surplus, bounds.most)
    return SweepPlan(bounds, holding, Verdict.SWEEP, surplus=surplus)


def settle_on(weighed: SweepPlan, legs: Sequence[Leg], obstacles: Sequence[str] = ()) -> SweepPlan:
    """The plan with the transactions that would do it, unless something is in the way: it then says what, and moves
    nothing. Raises `ValueError` for legs that take more than the surplus: no plan does.
    """
    if weighed.verdict is not Verdict.SWEEP:
        return weighed
    moved, fee = sum(leg.moved for leg in legs), sum(leg.fee for leg in legs)
    if moved + fee > weighed.surplus or any(leg.moved < 0 or leg.fee < 0 for leg in legs):
        raise ValueError(f"{moved} and {fee} for fees are more than the surplus of {weighed.surplus}")
    why = [*obstacles, *_too_small(weighed, moved, fee)]
    if why:
        return replace(weighed, verdict=Verdict.WAIT, why="; ".join(why))
    return replace(weighed, legs=tuple(legs))


def _too_small(weighed: SweepPlan, moved: int, fee: int) -> Iterator[str]:
    """Why so much is not worth a sweep."""
    bounds, asset = weighed.bounds, weighed.holding.asset
    if not moved:
        yield f"nothing of the surplus of {Amount(weighed.surplus, asset)} can be moved"
    elif moved < bounds.least:
        yield f"it would move {Amount(moved, asset)}, and a sweep moves at least {Amount(bounds.least, asset)}"
    if moved and fee * PER_MILLION > moved * bounds.fee_ratio:
        most = Quantity(bounds.fee_ratio, 4)
        yield f"its fee of {Amount(fee, asset)} is more than {most}% of the {Amount(moved, asset)} that it would move"
