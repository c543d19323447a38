"""Each withdrawal of a batch bears its share of the fee, and waits where that is more than it may cost (M50)."""

from __future__ import annotations

from collections.abc import Callable

from tests.commands.bitcoindesk import Bitcoindesk, open_bitcoindesk, sealed
from tests.commands.test_fee_caps import prices

__all__ = ["open_bitcoindesk", "sealed"]  # fixtures

Open = Callable[..., Bitcoindesk]


def capped(desk: Bitcoindesk, cap: str) -> None:
    """One more cap in the settings of the chain."""
    path = desk.folder / "configs" / "chains" / "bitcoin.toml"
    path.write_text(path.read_text().replace("[fees]\n", f"[fees]\n{cap}\n"), encoding="utf-8")
    with (desk.folder / "configs" / "desk.toml").open("a", encoding="utf-8") as file:
        file.write('[prices]\nfiles = ["prices.toml"]\n')


def states(desk: Bitcoindesk) -> dict[str, str]:
    return {each["request_id"]: each["state"] for each in desk.run("withdraw", "list", "-o", "jsonl").jsonl}


def test_what_is_too_small_for_its_share_waits_and_the_others_go(open_bitcoindesk: Open) -> None:
    """At 1 sat/vB four outputs and change cost some 234 satoshis: 59 each, of three 68, and of two 86."""
    desk = open_bitcoindesk(coins=("1", "1"))
    capped(desk, 'max_fee_ratio = "5%"')
    prices(desk, BTC="5000")
    desk.submit(tiny="0.000006", small="0.000013", big="0.1", other="0.2")
    done = desk.run("withdraw", "run")
    assert done.exit_code == 0, done.stderr
    assert "tiny waits for lower fees: its share of the fee is" in done.stderr
    assert "more than 5 % of the 0.000013 BTC that it pays" in done.stderr  # it bears more once tiny is gone
    assert states(desk) == {"tiny": "approved", "small": "approved", "big": "broadcast", "other": "broadcast"}
    assert desk.show("big")["txid"] == desk.show("other")["txid"]
    desk.node.mine(3)
    desk.pay()
    assert (states(desk)["big"], states(desk)["tiny"]) == ("final", "approved")
    assert desk.node.rpc("listlockunspent", wallet="hot") == []


def test_a_share_above_the_cap_in_usd_waits_for_more_to_pay_or_another_price(open_bitcoindesk: Open) -> None:
    """One alone costs 141 satoshis at 1 sat/vB, two 172: 86 each. 0.005 USD are 100 satoshis at 5,000 USD."""
    desk = open_bitcoindesk(coins=("1",))
    capped(desk, 'max_fee_value = "0.005 USD"')
    prices(desk, BTC="5000")
    desk.submit(a="0.1")
    said = desk.run("withdraw", "run").stderr
    assert "a waits for lower fees: its share of the fee is 0.00000141 BTC, and by its worth in money at most" in said
    assert states(desk) == {"a": "approved"}
    desk.submit(b="0.2")
    assert desk.pay() == {"a": "broadcast", "b": "broadcast"}
    done = desk.run("withdraw", "bump", "a", "--operator", "ops")
    assert (done.exit_code, "and by its worth in money at most 200" in done.stderr) == (3, True), done.stderr
    prices(desk, BTC="500")
    assert desk.run("withdraw", "bump", "a", "--operator", "ops").exit_code == 0
    desk.node.mine(3)
    assert desk.pay() == {"a": "final", "b": "final"}


def test_a_bump_is_no_larger_part_of_what_is_paid_than_a_payment(open_bitcoindesk: Open) -> None:
    desk = open_bitcoindesk(coins=("1",))
    capped(desk, 'max_fee_ratio = "5%"')
    desk.submit(a="0.00002", b="0.2")
    assert desk.pay() == {"a": "broadcast", "b": "broadcast"}
    done = desk.run("withdraw", "bump", "b", "--operator", "ops")
    assert (done.exit_code, "5 % of what the least of its payments pays" in done.stderr) == (3, True), done.stderr
