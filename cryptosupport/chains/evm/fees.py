"""What payments offer per unit of gas (EIP-1559), and the caps above which nothing leaves. Pure.

Sources: EIP-1559 (a base fee rises by an eighth a block at most, so that twice the next one lasts for six full blocks);
geth's core/txpool/legacypool (a replacement has to raise both fees by 10 %), and Parity's 12.5 %
(github.com/ethereum/web3.py/pull/1570), which serves all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptosupport.chains.evm.wire import UINT256, FeeHistory, quantity
from cryptosupport.domain.money import Amount, Asset, GasFees, Quantity
from cryptosupport.domain.paying import TooDear
from cryptosupport.settings import ChainSettings
from cryptosupport.settings.values import number

BLOCKS_OF_HISTORY = 20
_COUNTED = 10
_GWEI = 9
PLAIN_GAS = 21_000
"""What a payment of the coin to a plain account takes (the yellow paper); some chains of the second layer want more."""
CANCEL_TIMES = 2
"""A cancel may cost so many times what a payment may."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What blocks ask for: the next one's ``base_fee`` and the usual ``tip``, in wei per unit of gas."""

    base_fee: int
    tip: int


@dataclass(frozen=True, slots=True)
class Market:
    """What a survey says of fees: `Survey.market` on EVM chains.

    ``prices`` are None where no node tells. ``self_gas`` is what a payment to ourselves takes, ``l1_fee`` what an OP
    Stack chain takes for its L1 beside the gas (wei, an upper bound; 0 elsewhere). ``bound`` is what payouts in no
    block yet may still spend, by contract (None: the coin), in base units.
    """

    prices: Prices | None
    self_gas: int = PLAIN_GAS
    l1_fee: int = 0
    bound: Mapping[str | None, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that a payment may cost; None is no cap.

    Fees per gas and ``max_fee`` are wei, ``max_fee_ratio`` is percent of what a payment of the coin pays.
    """

    coin: Asset
    max_fee_per_gas: int | None = None
    min_priority_fee: int = 0
    max_fee: int | None = None
    max_fee_ratio: Quantity | None = None

    def times(self, times: int) -> Caps:
        """The caps so many times as high, without the ratio: those of a cancel, which pays nobody."""
        per_gas = None if self.max_fee_per_gas is None else self.max_fee_per_gas * times
        return Caps(self.coin, per_gas, self.min_priority_fee, None if self.max_fee is None else self.max_fee * times)


def caps_of(settings: ChainSettings) -> Caps:
    """The caps of chains/NAME.toml. Raises `BadSettings`."""
    fees = settings.fees
    return Caps(
        settings.coin,
        _gwei(fees.max_fee_per_gas),
        _gwei(fees.min_priority_fee) or 0,
        None if fees.max_fee is None else settings.max_fee,
        fees.max_ratio,
    )


def prices_of(history: FeeHistory, latest_base_fee: int | None) -> Prices | None:
    """What the blocks of an eth_feeHistory with one percentile (50) asked for.

    The tip is the median of those of the last `_COUNTED` blocks that were not empty. None for a chain without base
    fees. Raises `ValueError` for a senseless answer.
    """
    listed = [quantity(fee, UINT256) for fee in history.base_fee_per_gas[-1:]]
    if not listed and latest_base_fee is None:
        return None
    rewards = history.reward or []
    paired = list(zip(history.gas_used_ratio, rewards, strict=False))
    tips = [quantity(reward[0], UINT256) for used, reward in paired if used > 0 and reward][-_COUNTED:]
    return Prices(max([*listed, latest_base_fee or 0]), sorted(tips)[len(tips) // 2] if tips else 0)


def roomy(gas: int) -> int:
    """The gas limit for a call that took ``gas`` when it was tried: a quarter more, as the state moves on."""
    return -(-gas * 5 // 4)


def offered(prices: Prices, caps: Caps) -> GasFees | TooDear:
    """What a payment offers now: twice the next base fee and the tip, within the cap."""
    cap, floor = caps.max_fee_per_gas, prices.base_fee + caps.min_priority_fee
    tip = max(prices.tip, caps.min_priority_fee)
    most = 2 * prices.base_fee + tip
    if cap is None or most <= cap:
        return GasFees(most, tip)
    if floor > cap:
        return TooDear(f"blocks ask for {_in_gwei(floor)} gwei a unit of gas, and the cap is {_in_gwei(cap)} gwei")
    return GasFees(cap, min(tip, cap))


def raised(old: GasFees, prices: Prices, caps: Caps) -> GasFees | TooDear:
    """What replaces a transaction that offers ``old``: both fees an eighth higher, and what is offered now at least."""
    now = offered(prices, caps)
    if isinstance(now, TooDear):
        return now
    tip = max(_bumped(old.max_priority_fee_per_gas), now.max_priority_fee_per_gas)
    most = max(_bumped(old.max_fee_per_gas), now.max_fee_per_gas, tip)
    cap = caps.max_fee_per_gas
    if cap is not None and most > cap:
        words = f"a replacement has to offer {_in_gwei(most)} gwei a unit of gas, and the cap is {_in_gwei(cap)} gwei"
        return TooDear(words)
    return GasFees(most, tip)


def too_dear(max_fee: int, paid: int | None, caps: Caps) -> TooDear | None:
    """Why a fee of ``max_fee`` wei at most is too much; ``paid`` is how many wei of the coin it pays, None for none."""
    fee = Amount(max_fee, caps.coin)
    if caps.max_fee is not None and max_fee > caps.max_fee:
        return TooDear(f"it may cost {fee}, and the cap is {Amount(caps.max_fee, caps.coin)}")
    ratio = caps.max_fee_ratio
    if ratio is None or paid is None or max_fee * 100 * 10**ratio.decimals <= paid * ratio.units:
        return None
    return TooDear(f"it may cost {fee}, which is more than {ratio} % of the {Amount(paid, caps.coin)} that it pays")


def too_dear_for(max_fee: int, most: int | None, coin: Asset) -> TooDear | None:
    """Why a fee of ``max_fee`` wei at most is too much by what the payment is worth; ``most`` None is no such cap."""
    if most is None or max_fee <= most:
        return None
    return TooDear(f"it may cost {Amount(max_fee, coin)}, and by its worth in money at most {Amount(most, coin)}")


def _bumped(wei: int) -> int:
    return max(-(-wei * 9 // 8), wei + 1)


def _gwei(text: str | None) -> int | None:
    return None if text is None else number(text.partition(" ")[0], _GWEI).units


def _in_gwei(wei: int) -> Quantity:
    return Quantity(wei, _GWEI)
