"""`withdraw run` pays, on a real chain: once, in order, and never more than was asked."""

from __future__ import annotations

from collections.abc import Callable

from cryptosupport.outside.nodes import Anvil
from tests.commands.payingdesk import ANN, BEN, ETHER, HOT, Paydesk, open_desk, paydesk, sealed

__all__ = ["open_desk", "paydesk", "sealed"]  # fixtures


def test_what_is_approved_is_paid_once(paydesk: Paydesk) -> None:
    paydesk.submit("w-1", "1.5")
    paydesk.submit("w-2", "2", BEN)
    assert set(paydesk.pay().values()) <= {"broadcast", "confirming"}
    paydesk.settle()
    assert paydesk.pay() == {"w-1": "final", "w-2": "final"}
    assert (paydesk.balance(ANN), paydesk.balance(BEN)) == (3 * ETHER // 2, 2 * ETHER)
    assert paydesk.pay() == {}
    shown = paydesk.run("withdraw", "show", "w-1", "--json").json
    assert (shown["state"], shown["nonce"], shown["wallet"]) == ("final", 0, "hot")
    receipt = paydesk.node.rpc("eth_getTransactionReceipt", shown["txid"])
    assert (receipt["to"].lower(), receipt["status"]) == (ANN.lower(), "0x1")
    assert paydesk.run("audit", "verify").exit_code == 0


def test_more_than_fit_in_flight_are_paid_in_one_pass_on_a_quick_chain(paydesk: Paydesk) -> None:
    for number in range(40):
        paydesk.submit(f"w-{number}", "0.01")
    paydesk.pay()
    paydesk.settle()
    assert set(paydesk.pay().values()) == {"final"}
    assert paydesk.balance(ANN) == 40 * ETHER // 100
    assert int(paydesk.node.rpc("eth_getTransactionCount", HOT, "latest"), 16) == 40


def test_no_more_than_the_cap_wait_for_a_block(
    open_desk: Callable[..., Paydesk], anvil_with: Callable[..., Anvil]
) -> None:
    paydesk = open_desk(anvil_with("--no-mining"))
    for number in range(20):
        paydesk.submit(f"w-{number:02}", "0.01")
    assert len(paydesk.pay()) == 16
    assert paydesk.pay() == {}
    assert paydesk.state("w-19") == "approved"
    paydesk.node.mine(1)
    moved = paydesk.pay()
    assert (moved["w-00"], moved["w-19"]) == ("confirming", "broadcast")
    paydesk.settle()
    paydesk.pay()
    assert paydesk.balance(ANN) == 20 * ETHER // 100


def test_a_wallet_with_too_little_waits_and_pays_when_it_is_refilled(
    open_desk: Callable[..., Paydesk], anvil: Anvil
) -> None:
    paydesk = open_desk(anvil, funds=1)
    paydesk.submit("w-1", "5")
    paydesk.submit("w-2", "0.5")
    assert paydesk.pay(5) == {"w-1": "waiting_liquidity"}
    assert paydesk.state("w-2") == "approved"  # who came first is paid first
    anvil.rpc("anvil_setBalance", HOT, hex(10 * ETHER))
    paydesk.pay()
    paydesk.settle()
    assert paydesk.pay() == {"w-1": "final", "w-2": "final"}


def test_a_wallet_with_a_history_that_nobody_knows_does_not_pay(paydesk: Paydesk) -> None:
    paydesk.node.rpc("anvil_setNonce", HOT, "0x3")
    paydesk.submit("w-1")
    done = paydesk.run("withdraw", "run")
    assert done.exit_code == 3
    assert "has sent 3 transactions that this ledger does not know" in done.stderr
    assert paydesk.state("w-1") == "approved"


def test_an_outflow_that_nobody_knows_freezes_the_wallet(paydesk: Paydesk) -> None:
    paydesk.submit("w-1")
    paydesk.pay()
    paydesk.node.rpc("anvil_setNonce", HOT, "0x5")
    paydesk.submit("w-2")
    done = paydesk.run("withdraw", "run")
    assert done.exit_code == 3
    assert "hot has sent 4 transactions that this ledger does not know" in done.stderr
    assert paydesk.state("w-2") == "approved"
    assert "wallet=hot" in paydesk.run("freeze", "list").stdout


def test_a_frozen_wallet_pays_nothing(paydesk: Paydesk) -> None:
    paydesk.submit("w-1")
    assert paydesk.run("freeze", "add", "wallet=hot", "--reason", "look", "--operator", "ops").exit_code == 0
    assert paydesk.pay() == {}
    assert paydesk.balance(ANN) == 0
