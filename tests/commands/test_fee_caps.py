"""Caps on fees in money (M50): by the price of the coin, and for tokens by what they are worth."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from cryptosupport.outside.nodes import Anvil
from tests.chains.evm_paying import tokens
from tests.chains.evm_paying.kit import CONTRACT
from tests.commands.payingdesk import ANN, HOT, Paydesk, open_desk, sealed

__all__ = ["open_desk", "sealed"]  # fixtures

TOKEN = f'[assets.USDT]\ndecimals = 6\ncontract = "{CONTRACT}"\n'


def prices(desk: Paydesk, **usd: str) -> None:
    """The desk's own feed says so now."""
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    lines = [f"as_of = {now}", "[price_usd]", *(f'{symbol} = "{price}"' for symbol, price in usd.items())]
    path = desk.folder / "configs" / "prices.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.chmod(0o600)


@pytest.fixture
def capped(open_desk: Callable[..., Paydesk], anvil_with: Callable[..., Anvil]) -> Callable[..., Paydesk]:
    """A desk with coins and tokens under further caps, on a chain whose base fee is 1 gwei and stays near that."""

    def opened(more: str) -> Paydesk:
        node = anvil_with("--no-mining", "--base-fee", "1000000000")
        desk = open_desk(node, assets=TOKEN, more=more)
        tokens.place(node, CONTRACT, tokens.SILENT, **{HOT: 10_000 * 10**6})
        settings = desk.folder / "configs" / "desk.toml"
        settings.write_text('[prices]\nfiles = ["prices.toml"]\n[bump]\nafter = "1ms"\n', encoding="utf-8")
        settings.chmod(0o600)
        return desk

    return opened


def test_a_fee_above_the_cap_in_usd_waits_until_the_price_falls(capped: Callable[..., Paydesk]) -> None:
    """21,000 gas at some 2 or 3 gwei are about 0.00005 ETH: 0.2 USD at 4,000, and 0.02 at 400."""
    desk = capped('max_fee_value = "0.1 USD"\n')
    prices(desk, ETH="4000")
    desk.submit("w-1")
    done = desk.run("withdraw", "run")
    assert "by its worth in money at most 0.000025 ETH" in done.stderr
    assert desk.state("w-1") == "approved"
    prices(desk, ETH="400")
    assert desk.pay() == {"w-1": "broadcast"}


def test_a_payment_under_the_cap_in_usd_is_paid_and_not_bumped_beyond_it(capped: Callable[..., Paydesk]) -> None:
    desk = capped('max_fee_value = "0.3 USD"\n')
    prices(desk, ETH="4000")
    desk.submit("w-1")
    assert desk.pay() == {"w-1": "broadcast"}
    for _ in range(12):
        done = desk.run("withdraw", "run")
        if "is not raised any more" in done.stderr:
            break
    assert "by its worth in money at most 0.000075 ETH" in done.stderr
    assert desk.state("w-1") == "broadcast"


def test_what_a_token_payment_may_cost_is_a_part_of_its_worth(capped: Callable[..., Paydesk]) -> None:
    """A transfer of a token takes some 50,000 gas: about 0.5 USD at 4,000 and some gwei; 10 % of 1 USDT is less."""
    desk = capped('max_fee_ratio = "10%"\n')
    prices(desk, ETH="4000", USDT="1")
    desk.submit("small", "1", asset="USDT")
    desk.submit("great", "1000", asset="USDT")
    done = desk.run("withdraw", "run")
    assert "small waits for lower fees: it may cost" in done.stderr
    assert "by its worth in money at most 0.000025 ETH" in done.stderr
    assert (desk.state("small"), desk.state("great")) == ("approved", "broadcast")


def test_without_a_price_the_caps_in_coins_count_alone(capped: Callable[..., Paydesk]) -> None:
    desk = capped('max_fee_value = "0.0001 USD"\nmax_fee_ratio = "10%"\n')
    desk.submit("w-1", destination=ANN)
    desk.submit("w-2", "1", asset="USDT")
    assert set(desk.pay().values()) == {"broadcast"}
