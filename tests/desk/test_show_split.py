"""The split of the desk's money: every unit is in one part, and the hot share is never told too low."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.desk.show_split import WIDTH, Split, bar, split_records, splits
from cryptosupport.domain.money import Quantity, format_base_units

UNITS = st.integers(0, 10**20)


def held(wallet: str, settled: int, in_flight: int = 0, decimals: int = 8, error: str | None = None) -> dict[str, Any]:
    amounts = {"settled": settled, "in_flight": in_flight}
    told = {name: {"amount": format_base_units(units, decimals)} for name, units in amounts.items()}
    balances = [] if error else [{"asset": "BTC", **told}]
    return {"wallet": wallet, "assets": ("BTC",), "balances": balances, "error": error}


ROLES = {"hot": "hot", "warm": "hot", "cold": "cold", "d": "deposit"}


def one(*balances: dict[str, Any]) -> Split:
    (found,) = splits(balances, ROLES)
    return found


@given(UNITS, UNITS, UNITS, UNITS, UNITS)
def test_every_unit_is_in_one_part_and_the_share_is_not_too_low(
    hot: int, warm: int, flying: int, deposit: int, cold: int
) -> None:
    units = hot, warm, flying, deposit, cold
    split = one(held("hot", hot, flying), held("warm", warm), held("d", deposit), held("cold", cold))
    assert split.total.at(8) == sum(units)
    share = split.hot_share
    if not sum(units):
        assert share is None
    else:
        assert share is not None
        exact = Fraction(100 * (hot + warm + flying), sum(units))
        assert 0 <= Fraction(share.units, 10**share.decimals) - exact < Fraction(1, 100)


def test_chains_that_count_an_asset_differently_add_up() -> None:
    split = one(held("hot", 1, decimals=18), held("cold", 1, decimals=6))
    assert (str(split.total), str(split.parts["cold"])) == ("0.000001000000000001", "0.000001")


def test_a_share_of_which_a_part_is_not_known_is_not_told() -> None:
    found = splits([held("hot", 5), held("cold", 0, error="is down")], ROLES)
    (record,) = split_records(found, lambda symbol: Quantity.parse("1"))
    assert (record["hot_share"], record["over"], record["untold"]) == (None, None, ["cold"])
    assert record["hot"] == "0.00000005"


@pytest.mark.parametrize(("limit", "over"), [("50", False), ("49.99", True), (None, None)])
def test_the_share_is_held_against_its_limit(limit: str | None, over: bool | None) -> None:
    most = None if limit is None else Quantity.parse(limit)
    (record,) = split_records(splits([held("hot", 1), held("cold", 1)], ROLES), lambda symbol: most)
    assert (record["hot_share"], record["over"]) == ("50%", over)


@given(UNITS, UNITS, UNITS, UNITS)
def test_a_bar_is_whole_or_empty(hot: int, flying: int, deposit: int, cold: int) -> None:
    (record,) = split_records([one(held("hot", hot, flying), held("d", deposit), held("cold", cold))], lambda it: None)
    drawn = bar(record, "#+>.")
    assert len(drawn) == (WIDTH if hot + flying + deposit + cold else 0)
    assert list(drawn) == sorted(drawn, key="#+>.".index)
