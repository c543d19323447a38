"""`withdraw show` tells what was done to pay a withdrawal: every attempt, which one counts, and what it cost."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from cryptosupport.outside.nodes import Anvil
from tests.commands.payingdesk import ANN, BEN, Paydesk, open_desk, paydesk, sealed

__all__ = ["open_desk", "paydesk", "sealed"]  # fixtures

REFUSES = "0x5f5ffd"  # PUSH0, PUSH0, REVERT


def shown(desk: Paydesk, name: str = "w-1") -> Any:
    done = desk.run("withdraw", "show", name, "--json")
    assert done.exit_code == 0, done.stderr
    return done.json


def cost(desk: Paydesk, txid: str) -> dict[str, str]:
    """What a transaction cost, by the chain."""
    receipt = desk.node.rpc("eth_getTransactionReceipt", txid)
    wei = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    whole, rest = divmod(wei, 10**18)
    return {"asset": "ETH", "amount": f"{whole}.{rest:018}".rstrip("0").rstrip("."), "base_units": str(wei)}


@pytest.fixture
def bumped(open_desk: Callable[..., Paydesk], anvil_with: Callable[..., Anvil]) -> Paydesk:
    """w-1 waits for a block, and has been given a higher fee once."""
    desk = open_desk(anvil_with("--no-mining"))
    desk.submit("w-1")
    assert desk.pay() == {"w-1": "broadcast"}
    assert desk.run("withdraw", "bump", "w-1", "--operator", "ops").exit_code == 0
    return desk


def test_nothing_was_done_for_what_is_only_approved(paydesk: Paydesk) -> None:
    paydesk.submit("w-1")
    told = shown(paydesk)
    assert (told["payouts"], told["fee"], told["confirmations"]) == ([], None, None)
    assert "payout" not in paydesk.run("withdraw", "show", "w-1").stdout


def test_what_waits_has_attempts_and_no_fee_yet(bumped: Paydesk) -> None:
    told = shown(bumped)
    (payout,) = told["payouts"]
    assert (payout["step"], payout["counts"], payout["fee"], told["fee"]) == ("broadcast", None, None, None)
    first, second = payout["attempts"]
    assert [each["number"] for each in (first, second)] == [1, 2]
    assert {each["kind"] for each in (first, second)} == {"pay"}
    assert all(each["signed_at"] and each["sent_at"] and each["sent"] == 1 for each in (first, second))
    assert not first["counts"]
    assert not second["counts"]
    assert int(second["max_fee"]["base_units"]) > int(first["max_fee"]["base_units"])
    assert second["txid"] == told["txid"] != first["txid"]


def test_what_was_paid_says_which_attempt_counts_and_what_it_cost(bumped: Paydesk) -> None:
    bumped.node.mine(1)
    assert bumped.pay() == {"w-1": "confirming"}
    fee = cost(bumped, shown(bumped)["txid"])
    assert shown(bumped)["fee"] == fee
    bumped.settle()
    done = bumped.run("withdraw", "run", "-o", "jsonl")
    assert [(each["state"], each["fee"]) for each in done.jsonl] == [("final", fee)]
    told = shown(bumped)
    (payout,) = told["payouts"]
    assert (told["fee"], payout["fee"], payout["step"], told["confirmations"]) == (fee, fee, "final", None)
    receipt = bumped.node.rpc("eth_getTransactionReceipt", told["txid"])
    assert (payout["height"], payout["block_hash"]) == (int(receipt["blockNumber"], 16), receipt["blockHash"])
    assert [each["counts"] for each in payout["attempts"]] == [False, True]
    assert bumped.run("withdraw", "receipt", "w-1", "--json").json["fee"] == fee


def test_a_person_reads_every_attempt(bumped: Paydesk) -> None:
    bumped.settle()
    bumped.pay()
    told = shown(bumped)
    lost, counting = told["payouts"][0]["attempts"]
    text = bumped.run("withdraw", "show", "w-1").stdout
    assert f"pay 1  {lost['txid']}\n" in text
    assert f"pay 2  {counting['txid']}, which counts\n" in text
    assert f"payout 1 of hot at 0: final, in block {told['payouts'][0]['height']} (" in text
    assert f"for a fee of {told['fee']['amount']} ETH\n" in text
    assert (
        f"signed {lost['signed_at']}, sent once {lost['sent_at']}; a fee of at most {lost['max_fee']['amount']} ETH"
        in text
    )
    history = text.partition("payout 1 of hot")[2]
    assert history
    assert history in bumped.run("withdraw", "explain", "w-1").stdout


def test_explain_and_show_tell_the_same_payouts(bumped: Paydesk) -> None:
    explained = bumped.run("withdraw", "explain", "w-1", "--json").json
    told = shown(bumped)
    assert (explained["payouts"], explained["fee"]) == (told["payouts"], told["fee"])


def test_the_fee_is_the_same_wherever_a_withdrawal_is_told(paydesk: Paydesk) -> None:
    paydesk.submit("w-1")
    paydesk.submit("w-2", "2", BEN)
    paydesk.pay()
    paydesk.submit("w-3", "500", BEN)
    paydesk.settle()
    paydesk.pay(5)
    fees = {name: cost(paydesk, shown(paydesk, name)["txid"]) for name in ("w-1", "w-2")}
    listed = paydesk.run("withdraw", "list", "-o", "jsonl").jsonl
    assert {each["request_id"]: each["fee"] for each in listed} == {**fees, "w-3": None}
    assert "payouts" not in listed[0]
    rows = list(csv.DictReader(io.StringIO(paydesk.run("withdraw", "list", "-o", "csv").stdout)))
    assert [(row["fee_asset"], row["fee_base_units"]) for row in rows] == [
        ("ETH", fees["w-1"]["base_units"]),
        ("ETH", fees["w-2"]["base_units"]),
        ("", ""),
    ]
    asked = ("--request-id", "w-1", "--customer", "c-1", "--asset", "ETH", "--chain", "ethereum", "--amount", "1")
    again = paydesk.run("withdraw", "submit", *asked, "--destination", ANN, "--json").json
    assert (again["repeated"], again["fee"]) == (True, fees["w-1"])
    both = paydesk.run("withdraw", "show", "w-1", "w-2", "--json").json
    assert [each["payouts"][0]["fee"] for each in both] == list(fees.values())
    assert len(paydesk.run("withdraw", "list").stdout.splitlines()) == 5  # two of head, a line each


def test_what_failed_on_chain_cost_its_fee_all_the_same(
    open_desk: Callable[..., Paydesk], anvil_with: Callable[..., Anvil]
) -> None:
    desk = open_desk(anvil_with("--no-mining"))
    desk.submit("w-1")
    desk.pay()
    desk.node.rpc("anvil_setCode", ANN, REFUSES)
    desk.settle()
    assert desk.pay() == {"w-1": "reverted"}
    told = shown(desk)
    assert told["fee"] == cost(desk, told["txid"])
    assert [each["counts"] for each in told["payouts"][0]["attempts"]] == [True]


def test_what_was_cancelled_cost_the_fee_of_the_payment_to_ourselves(bumped: Paydesk) -> None:
    assert bumped.run("withdraw", "kill", "w-1", "--operator", "ops").exit_code == 0
    bumped.settle()
    assert bumped.pay() == {"w-1": "cancelled"}
    told = shown(bumped)
    attempts = told["payouts"][0]["attempts"]
    assert [(each["kind"], each["counts"]) for each in attempts] == [("pay", False), ("pay", False), ("cancel", True)]
    assert told["fee"] == cost(bumped, attempts[-1]["txid"])


def test_of_a_chain_that_was_taken_out_base_units_are_told(paydesk: Paydesk) -> None:
    paydesk.submit("w-1")
    paydesk.pay()
    units = cost(paydesk, shown(paydesk)["txid"])["base_units"]
    (paydesk.folder / "configs" / "chains" / "ethereum.toml").unlink()
    told = shown(paydesk)
    assert told["fee"] == {"asset": None, "amount": None, "base_units": units}
    assert f"{units} base units" in paydesk.run("withdraw", "show", "w-1").stdout


def test_a_history_that_was_changed_in_the_database_is_not_told(paydesk: Paydesk) -> None:
    paydesk.submit("w-1")
    paydesk.pay()
    paydesk.settle()
    paydesk.pay()
    engine = create_engine(f"sqlite:///{paydesk.folder / 'data' / 'cryptosupport.db'}")
    with engine.begin() as connection:
        connection.execute(text("update payout set fee = '1'"))
    engine.dispose()
    done = paydesk.run("withdraw", "show", "w-1", "--json")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "changed" in done.stderr
    assert "all" in paydesk.run("freeze", "list").stdout
