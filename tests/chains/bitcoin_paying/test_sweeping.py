"""Which coins a sweep moves: never more than the surplus, the small ones first, each transaction within its caps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.chains.bitcoin import sizes
from cryptosupport.chains.bitcoin.drafting import Caps
from cryptosupport.chains.bitcoin.sweeping import MOST_INPUTS, legs
from cryptosupport.domain.money import Asset
from cryptosupport.domain.paying import TooDear
from cryptosupport.domain.sweeps import Leg

BTC = Asset("BTC", 8)
COLD, CHANGE = bytes((0, 32)) + bytes(32), bytes((0, 20)) + bytes(20)
CAPS = Caps(BTC, 1_000_000, 100_000)
COINS = st.lists(st.integers(1, 10**9), max_size=40)


def made(coins: list[int], surplus: int, rate: int = 1000, caps: Caps = CAPS, kind: str = "wpkh") -> list[Leg]:
    found = legs(coins, surplus, kind, (COLD, CHANGE), rate, caps)
    assert isinstance(found, list), found
    return found


@given(COINS, st.integers(1, 10**10), st.integers(1000, 100_000), st.sampled_from(["wpkh", "tr"]))
def test_no_more_than_the_surplus_moves_fees_included(coins: list[int], surplus: int, rate: int, kind: str) -> None:
    found = made(coins, surplus, rate, kind=kind)
    assert sum(leg.moved + leg.fee for leg in found) <= min(surplus, sum(coins))
    assert all(leg.moved >= sizes.dust(COLD) and 0 < leg.fee <= CAPS.fee for leg in found)


def test_the_smallest_coins_go_and_the_large_ones_stay() -> None:
    (leg,) = made([5_000_000, 100_000, 90_000_000, 200_000], 5_400_000)
    assert leg.moved + leg.fee == 5_300_000


def test_a_part_of_a_large_coin_goes_where_the_small_ones_come_to_little() -> None:
    (leg,) = made([90_000_000], 40_000_000)
    assert leg.moved + leg.fee == 40_000_000
    small, part = made([100_000, 90_000_000], 40_000_000)
    assert (small.moved + small.fee, part.moved + part.fee) == (100_000, 39_900_000)


def test_many_coins_go_in_pieces() -> None:
    found = made([100_000] * 1_234, 10**9)
    assert [leg.moved + leg.fee for leg in found] == [500 * 100_000, 500 * 100_000, 234 * 100_000]
    assert MOST_INPUTS == 500


def test_a_piece_is_as_small_as_the_cap_on_fees_asks_for() -> None:
    found = made([10_000_000] * 500, 10**10, rate=100_000)
    assert all(leg.fee <= CAPS.fee for leg in found)
    assert sum(leg.moved + leg.fee for leg in found) == 500 * 10_000_000
    assert len(found) > 1


def test_coins_that_cost_more_than_they_have_stay() -> None:
    assert made([6_700, 6_800, 100_000_000], 10**9, rate=100_000)[0].moved < 100_000_000
    assert made([6_700] * 3, 10**9, rate=100_000) == []


def test_above_the_highest_rate_nothing_moves() -> None:
    found = legs([10**8], 10**8, "wpkh", (COLD, CHANGE), 100_001_000, CAPS)
    assert isinstance(found, TooDear)


@pytest.mark.parametrize("coins", [[], [100]])
def test_without_coins_that_are_worth_it_there_is_nothing(coins: list[int]) -> None:
    assert made(coins, 10**8) == []
