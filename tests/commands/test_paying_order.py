"""What cannot be paid now, however much of it came first, keeps nothing else from being paid."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cryptosupport.outside.nodes import Anvil
from tests.chains.evm_paying import tokens
from tests.chains.evm_paying.kit import CONTRACT
from tests.commands.payingdesk import BEN, ETHER, HOT, Paydesk, open_desk, paydesk, sealed
from tests.commands.test_fee_caps import TOKEN, capped, prices

__all__ = ["capped", "open_desk", "paydesk", "sealed"]  # fixtures

FIRST = [f"first-{number}" for number in range(3)]


def narrow(desk: Paydesk) -> None:
    """Two payments of a wallet wait for a block at once."""
    path = desk.folder / "configs" / "chains" / "ethereum.toml"
    path.write_text("in_flight = 2\n" + path.read_text(encoding="utf-8"), encoding="utf-8")


def test_what_is_frozen_keeps_no_other_from_being_paid(paydesk: Paydesk) -> None:
    narrow(paydesk)
    for name in FIRST:
        paydesk.submit(name, "0.01", customer="c-2")
    assert paydesk.run("freeze", "add", "customer=c-2", "--reason", "look", "--operator", "ops").exit_code == 0
    others = [f"w-{number}" for number in range(5)]
    for name in others:
        paydesk.submit(name, "1", BEN)
    done = paydesk.run("withdraw", "run", "-o", "jsonl")
    assert {each["request_id"] for each in done.jsonl} == set(others)
    assert all(f"{name} is frozen" in done.stderr for name in FIRST)
    paydesk.settle()
    assert paydesk.pay() == dict.fromkeys(others, "final")
    assert (paydesk.balance(BEN), paydesk.state(FIRST[0])) == (5 * ETHER, "approved")


def test_what_costs_too_much_for_its_worth_keeps_no_other_from_being_paid(capped: Callable[..., Paydesk]) -> None:
    """A customer may ask for as many tiny payments as the policy lets through."""
    desk = capped('max_fee_ratio = "10%"\n')
    narrow(desk)
    prices(desk, ETH="4000", USDT="1")
    for name in FIRST:
        desk.submit(name, "1", asset="USDT")
    for name in ("w-1", "w-2", "w-3"):
        desk.submit(name, destination=BEN)
    assert desk.pay() == {"w-1": "broadcast", "w-2": "broadcast"}  # and no more than may wait for a block


def test_what_waits_for_a_refill_keeps_only_its_own_asset_from_being_paid(
    open_desk: Callable[..., Paydesk], anvil: Anvil
) -> None:
    desk = open_desk(anvil, assets=TOKEN)
    narrow(desk)
    tokens.place(anvil, CONTRACT, tokens.SILENT, **{HOT: 500 * 10**6})
    for name in FIRST:
        desk.submit(name, "1000", BEN, asset="USDT")
    desk.submit("later", "1", BEN, asset="USDT")
    desk.submit("coin", "1", BEN)
    desk.run("withdraw", "run")
    states = {name: desk.state(name) for name in (*FIRST, "later", "coin")}
    waits = {FIRST[0]: "waiting_liquidity"} | dict.fromkeys([*FIRST[1:], "later"], "approved")
    assert states == waits | {"coin": "confirming"}


@pytest.mark.parametrize("more", ["", 'max_fee_ratio = "10%"\n'])
def test_while_fees_are_above_the_cap_for_all_not_everything_is_told(capped: Callable[..., Paydesk], more: str) -> None:
    desk = capped(more)
    narrow(desk)
    path = desk.folder / "configs" / "chains" / "ethereum.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('"200 gwei"', '"0.5 gwei"'), encoding="utf-8")
    for name in FIRST:
        desk.submit(name)
    said = desk.run("withdraw", "run").stderr
    assert [f"{name} waits for lower fees" in said for name in FIRST] == [True, True, False]
