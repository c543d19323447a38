"""What a key never signs, whoever asks: what could not be found again, would wait, or costs more than is allowed."""

from __future__ import annotations

import pytest

from cryptosupport.chains.bitcoin import sizes
from cryptosupport.chains.bitcoin.plans import MOST_ADDRESSES
from cryptosupport.chains.bitcoin.tools import BitcoinTools, open_tools
from cryptosupport.domain.errors import Refused
from cryptosupport.settings import FeeSettings
from tests.chains.bitcoin_paying.kit import PURPOSES, WORDS, plan, script_of, watched
from tests.chains.bitcoinkit import FOREIGN, chain_settings

BOTH = pytest.mark.parametrize("kind", PURPOSES)


def capped(kind: str, rate: str = "10 sat/vB") -> BitcoinTools:
    """The tools under a cap on the fee rate."""
    return open_tools(chain_settings(fees=FeeSettings(max_feerate=rate)), watched(kind).source)


@BOTH
def test_change_goes_where_a_node_finds_it_again(kind: str) -> None:
    assert capped(kind).sign(plan(kind, change=(MOST_ADDRESSES - 1, 29_500)).text, WORDS)
    for index in (MOST_ADDRESSES, 2**31 - 1):
        with pytest.raises(Refused, match=f"change goes to address {index} of the wallet, where nobody would find it"):
            capped(kind).sign(plan(kind, change=(index, 29_500)).text, WORDS)


@pytest.mark.parametrize(("version", "locktime"), [(1, 0), (3, 0), (2, 1), (2, 500_000_000), (2, 2**32 - 1)])
def test_a_transaction_waits_for_nothing(version: int, locktime: int) -> None:
    with pytest.raises(Refused, match=f"is of version {version} and waits for {locktime}"):
        capped("wpkh").sign(plan("wpkh", version=version, locktime=locktime).text, WORDS)


@BOTH
def test_a_fee_above_the_rate_is_not_paid(kind: str) -> None:
    """By the size that the transaction has when it is signed."""
    weight = sizes.weight(kind, 2, [script_of(FOREIGN), watched(kind).script(True, 5)])
    most = sizes.fee_for(weight, 10_000) + sizes.dust(watched(kind).script(True, 5)) + 1
    assert capped(kind).sign(plan(kind, change=(5, 30_000 - most)).text, WORDS)
    with pytest.raises(Refused, match=f"the plan costs {most + 1} satoshis, and this signer pays at most"):
        capped(kind).sign(plan(kind, change=(5, 30_000 - most - 1)).text, WORDS)


def test_taking_a_payment_back_may_cost_twice_the_rate() -> None:
    weight = sizes.weight("wpkh", 2, [watched("wpkh").script(True, 5)])
    most = sizes.fee_for(weight, 20_000) + sizes.dust(watched("wpkh").script(True, 5)) + 1
    assert capped("wpkh").sign(plan("wpkh", pays=(), change=(5, 150_000 - most)).text, WORDS)
    with pytest.raises(Refused, match=f"the plan costs {most + 1} satoshis"):
        capped("wpkh").sign(plan("wpkh", pays=(), change=(5, 150_000 - most - 1)).text, WORDS)


def test_what_is_too_heavy_only_with_its_signatures_is_not_signed() -> None:
    coins = ((False, 0, 10_000_000), (True, 3, 10_000_000))
    paid = script_of(FOREIGN)
    fits = next(many for many in range(2_000, 4_000) if sizes.weight("wpkh", 2, [paid] * (many + 1)) > 400_000)
    bare = sizes.weight("wpkh", 2, [paid] * (fits + 1)) - 2 * sizes.WITNESS["wpkh"] - 2
    assert bare < 400_000  # without them it would pass
    tools = BitcoinTools(watched("wpkh"))
    assert tools.sign(plan("wpkh", coins=coins, pays=((paid, 5_000),) * fits, change=None).text, WORDS)
    with pytest.raises(Refused, match="weight units when signed"):
        tools.sign(plan("wpkh", coins=coins, pays=((paid, 5_000),) * (fits + 1), change=None).text, WORDS)
