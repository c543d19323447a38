"""What payments offer, and the caps."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.chains.evm.fees import Caps, Prices, caps_of, offered, prices_of, raised, too_dear
from cryptosupport.chains.evm.wire import FeeHistory
from cryptosupport.domain.money import GasFees, Quantity
from cryptosupport.domain.paying import TooDear
from cryptosupport.settings import AssetSettings, ChainSettings
from cryptosupport.settings.chains import FeeSettings
from tests.chains.evmkit import ETH, GWEI

ETHER = 10**18
CAPS = Caps(ETH, 200 * GWEI, GWEI, ETHER // 50, Quantity(10, 0))


def history(tips: list[int | None], base_fee: int = 10 * GWEI) -> FeeHistory:
    """Blocks with these tips; None is an empty block."""
    used = [0.0 if tip is None else 0.5 for tip in tips]
    return FeeHistory([hex(base_fee)] * (len(tips) + 1), used, [[hex(tip or 0)] for tip in tips])


def test_the_tip_is_the_median_of_the_last_ten_blocks_that_were_not_empty() -> None:
    tips: list[int | None] = [99, *range(1, 6), None, None, *range(6, 11), None]
    assert prices_of(history(tips), None) == Prices(10 * GWEI, 6)
    assert prices_of(history([None, None]), None) == Prices(10 * GWEI, 0)
    assert prices_of(history([3, 10**18, 2]), None) == Prices(10 * GWEI, 3)  # one that pays too much moves nothing


def test_the_base_fee_is_the_higher_of_the_next_and_the_latest() -> None:
    assert prices_of(history([1], 5), 7) == Prices(7, 1)
    assert prices_of(history([1], 9), 7) == Prices(9, 1)
    assert prices_of(FeeHistory(), None) is None
    assert prices_of(FeeHistory(), 7) == Prices(7, 0)


def test_a_payment_offers_twice_the_base_fee_and_the_tip() -> None:
    assert offered(Prices(10 * GWEI, 2 * GWEI), CAPS) == GasFees(22 * GWEI, 2 * GWEI)
    assert offered(Prices(10 * GWEI, 0), CAPS) == GasFees(21 * GWEI, GWEI)
    assert offered(Prices(150 * GWEI, 2 * GWEI), CAPS) == GasFees(200 * GWEI, 2 * GWEI)
    assert offered(Prices(10, 500), Caps(ETH)) == GasFees(520, 500)
    assert offered(Prices(10 * GWEI, 500 * GWEI), CAPS) == GasFees(200 * GWEI, 200 * GWEI)


def test_blocks_that_ask_for_more_than_the_cap_are_too_dear() -> None:
    said = offered(Prices(200 * GWEI, 0), CAPS)
    assert said == TooDear("blocks ask for 201 gwei a unit of gas, and the cap is 200 gwei")


@pytest.mark.parametrize(
    ("old", "prices", "new"),
    [
        (GasFees(80 * GWEI, 8 * GWEI), Prices(GWEI, GWEI), GasFees(90 * GWEI, 9 * GWEI)),
        (GasFees(81, 9), Prices(0, 0), GasFees(GWEI, GWEI)),
        (GasFees(22 * GWEI, 2 * GWEI), Prices(30 * GWEI, 5 * GWEI), GasFees(65 * GWEI, 5 * GWEI)),
        (GasFees(160 * GWEI, 2 * GWEI), Prices(150 * GWEI, GWEI), GasFees(200 * GWEI, 9 * GWEI // 4)),
    ],
)
def test_a_replacement_raises_both_fees_by_an_eighth_and_to_the_market(
    old: GasFees, prices: Prices, new: GasFees
) -> None:
    assert raised(old, prices, CAPS) == new


def test_a_replacement_above_the_cap_is_too_dear_and_a_cancel_may_cost_twice_as_much() -> None:
    old, prices = GasFees(180 * GWEI, 2 * GWEI), Prices(10 * GWEI, GWEI)
    said = raised(old, prices, CAPS)
    assert said == TooDear("a replacement has to offer 202.5 gwei a unit of gas, and the cap is 200 gwei")
    assert raised(old, prices, CAPS.times(2)) == GasFees(405 * GWEI // 2, 9 * GWEI // 4)
    assert isinstance(raised(GasFees(380 * GWEI, 1), prices, CAPS.times(2)), TooDear)
    assert isinstance(raised(GasFees(1, 1), Prices(200 * GWEI, 0), CAPS), TooDear)


FEE = st.integers(0, 10**13)


@given(FEE, FEE, FEE, FEE)
def test_a_replacement_always_replaces_and_never_passes_the_cap(most: int, tip: int, base: int, market: int) -> None:
    old = GasFees(max(most, tip), tip)
    new = raised(old, Prices(base, market), CAPS)
    if isinstance(new, TooDear):
        return
    assert 8 * new.max_fee_per_gas >= 9 * old.max_fee_per_gas
    assert 8 * new.max_priority_fee_per_gas >= 9 * old.max_priority_fee_per_gas
    assert new.max_fee_per_gas > old.max_fee_per_gas
    assert new.max_priority_fee_per_gas > old.max_priority_fee_per_gas
    assert new.max_priority_fee_per_gas <= new.max_fee_per_gas <= 200 * GWEI
    now = offered(Prices(base, market), CAPS)
    assert isinstance(now, GasFees)
    assert new.max_fee_per_gas >= now.max_fee_per_gas


def test_the_whole_fee_is_capped_and_its_share_of_a_payment_of_the_coin() -> None:
    assert too_dear(ETHER // 50, None, CAPS) is None
    assert too_dear(ETHER // 50 + 1, None, CAPS) == TooDear(
        "it may cost 0.020000000000000001 ETH, and the cap is 0.02 ETH"
    )
    assert too_dear(ETHER // 100, ETHER // 10, CAPS) is None
    assert too_dear(ETHER // 100 + 1, ETHER // 10, CAPS) == TooDear(
        "it may cost 0.010000000000000001 ETH, which is more than 10 % of the 0.1 ETH that it pays"
    )
    assert too_dear(ETHER // 100, ETHER // 10, Caps(ETH, max_fee_ratio=Quantity(99, 1))) is not None
    assert too_dear(10**30, 1, Caps(ETH)) is None


def test_the_caps_are_those_of_the_settings() -> None:
    def caps(**fees: Any) -> Caps:
        assets = {"ETH": AssetSettings(decimals=18)}
        return caps_of(ChainSettings(family="evm", chain_id=1, assets=assets, fees=FeeSettings(**fees)))

    assert caps() == Caps(ETH)
    told = caps(max_fee_per_gas="200 gwei", min_priority_fee="0.5 gwei", max_fee="0.02 ETH", max_fee_ratio="2.5%")
    assert told == Caps(ETH, 200 * GWEI, GWEI // 2, ETHER // 50, Quantity(25, 1))
    assert told.times(2) == Caps(ETH, 400 * GWEI, GWEI // 2, ETHER // 25)
