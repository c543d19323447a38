"""Money is integers; text is read and written digit by digit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.money import Amount, Asset, FeeRate, GasFees, format_base_units, parse_base_units

BTC = Asset("BTC", 8)
ETH = Asset("ETH", 18)


@given(st.integers(0, 2**256 - 1), st.integers(0, 77))
def test_any_uint256_survives_text_and_back(base_units: int, decimals: int) -> None:
    assert parse_base_units(format_base_units(base_units, decimals), decimals) == base_units


@pytest.mark.parametrize(
    "text", ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,000", " 1", "1 ", "0x1", "1_000", "NaN", "1.2.3", "\u0661"]
)
def test_text_that_is_no_plain_number_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_base_units(text, 8)


def test_more_decimals_than_the_asset_has_are_refused_and_counted() -> None:
    with pytest.raises(BadInput, match="9 decimals, and the asset has 8"):
        Amount.parse("0.123456789", BTC)


def test_even_decimals_that_are_zero_are_refused_past_the_assets_own() -> None:
    with pytest.raises(BadInput):
        Amount.parse("1.000000000", BTC)


def test_an_amount_is_the_shortest_exact_decimal() -> None:
    assert str(Amount(150_000_000, BTC)) == "1.5 BTC"
    assert str(Amount(0, BTC)) == "0 BTC"
    assert str(Amount(1, ETH)) == "0.000000000000000001 ETH"
    assert Amount(2**256 - 1, ETH).text == (
        "115792089237316195423570985008687907853269984665640564039457.584007913129639935"
    )


def test_an_amount_of_an_unknown_token_has_no_decimal() -> None:
    unknown = Amount(5, Asset("0xAb", None, "0xAb"))
    assert unknown.text is None
    assert str(unknown) == "5 base units of 0xAb"
    with pytest.raises(BadInput):
        Amount.parse("1", unknown.asset)


def test_assets_do_not_mix() -> None:
    assert Amount(1, BTC) + Amount(2, BTC) == Amount(3, BTC)
    with pytest.raises(ValueError, match="cannot add ETH to BTC"):
        Amount(1, BTC) + Amount(1, ETH)


@given(st.integers(1, 10**9), st.integers(1, 400_000))
def test_a_fee_is_rounded_up_and_a_rate_down(satoshis: int, vsize: int) -> None:
    rate = FeeRate.of(satoshis, vsize)
    assert rate.fee(vsize) <= satoshis
    assert FeeRate(rate.satoshis_per_kvb + 1).fee(vsize) >= satoshis


def test_rates_are_shown_in_the_fields_own_units() -> None:
    assert str(FeeRate(1992)) == "1.992 sat/vB"
    assert FeeRate(1001).fee(141) == 142
    assert str(GasFees(1_500_000_000, 1)) == "1.5 gwei"
