"""`withdraw receipt`: what was paid once is proven, by the chain as it is now, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from cryptosupport.context import Context
from cryptosupport.desk.receipt import Conflict, as_record, prove
from cryptosupport.domain.money import Asset
from cryptosupport.domain.payouts import Step, Taken
from cryptosupport.outside.nodes import Anvil
from tests.commands.payingdesk import ANN, ETHER, HOT, Paydesk, open_desk, paydesk, sealed

__all__ = ["open_desk", "paydesk", "sealed"]  # fixtures


def paid(desk: Paydesk, name: str = "w-1", **rest: Any) -> str:
    """A withdrawal that is final; its txid."""
    desk.submit(name, "1.5", **rest)
    desk.pay()
    desk.settle()
    assert desk.pay() == {name: "final"}
    found: str = desk.run("withdraw", "show", name, "--json").json["txid"]
    return found


def refused(desk: Paydesk, code: int, *words: str, name: str = "w-1") -> None:
    done = desk.run("withdraw", "receipt", name)
    assert (done.exit_code, done.stdout) == (code, ""), (done.exit_code, done.stderr)
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_a_payment_is_proven_with_its_block_and_its_place(paydesk: Paydesk) -> None:
    txid = paid(paydesk)
    done = paydesk.run("withdraw", "receipt", "w-1", "--json")
    assert done.exit_code == 0, done.stderr
    told = done.json
    receipt = paydesk.node.rpc("eth_getTransactionReceipt", txid)
    assert told["schema"] == "cryptosupport.receipt/1"
    asked = ("request_id", "customer", "asset", "chain", "amount", "base_units", "destination", "contract")
    wanted = ["w-1", "c-1", "ETH", "ethereum", "1.5", str(3 * ETHER // 2), ANN, None]
    assert [told[name] for name in asked] == wanted
    block = [int(receipt["blockNumber"], 16), receipt["blockHash"], txid]
    assert [told["height"], told["block_hash"], told["txid"]] == block
    assert told["confirmations"] == 101
    fee = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    assert (told["fee"]["asset"], told["fee"]["base_units"]) == ("ETH", str(fee))
    assert told["fee_share"] == told["fee"]  # of one payment alone
    assert told["conflict_set"] == {"payout": 1, "network": "31337", "account": HOT, "nonce": 0, "claims": ["0"]}
    (attempt,) = told["attempts"]
    assert (attempt["kind"], attempt["txid"], attempt["counts"]) == ("pay", txid, True)
    assert attempt["pays"] == [{"destination": ANN, "contract": None, "base_units": str(3 * ETHER // 2)}]
    assert "It is the only transaction that was made for it, and takes nonce 0 of" in told["why"][1]
    assert len(told["content"]) == 64


def test_all_attempts_are_named_and_why_only_one_of_them_can_count(
    open_desk: Callable[..., Paydesk], anvil_with: Callable[..., Anvil]
) -> None:
    desk = open_desk(anvil_with("--no-mining"))
    desk.submit("w-1")
    desk.pay()
    assert desk.run("withdraw", "bump", "w-1", "--operator", "ops").exit_code == 0
    assert desk.run("withdraw", "kill", "w-1", "--operator", "ops").exit_code == 0
    explained = desk.run("withdraw", "explain", "w-1", "--json").json["payouts"][0]["attempts"]
    raw = desk.node.rpc("eth_getRawTransactionByHash", explained[2]["txid"])
    assert raw is not None
    refused(desk, 3, "w-1 is cancelling: there is a receipt of what is final only")
    desk.node.rpc("anvil_dropAllTransactions")
    second = _raw(desk, 2)
    desk.node.rpc("eth_sendRawTransaction", second)
    desk.settle()
    assert desk.pay() == {"w-1": "final"}
    told = desk.run("withdraw", "receipt", "w-1", "--json").json
    assert [(each["kind"], each["counts"]) for each in told["attempts"]] == [
        ("pay", False), ("pay", True), ("cancel", False),
    ]  # fmt: skip
    assert [each["txid"] for each in told["attempts"]] == [each["txid"] for each in explained]
    assert [each["destination"] for each in told["attempts"][2]["pays"]] in ([], [HOT])
    assert "3 transactions were made for it, and all of them take nonce 0 of" in told["why"][1]
    assert "the final block has attempt 2. None of the others can confirm any more." in told["why"][1]
    done = desk.run("withdraw", "receipt", "w-1")
    assert done.stdout.startswith(f"Paid: 1 ETH to {ANN}, by {explained[1]['txid']} in block ")
    assert f"pay 2     {explained[1]['txid']}, which counts" in done.stdout
    assert f"cancel 3  {explained[2]['txid']}\n" in done.stdout


def _raw(desk: Paydesk, number: int) -> str:
    """The signed bytes of an attempt, as the ledger has them."""
    engine = create_engine(f"sqlite:///{desk.folder / 'data' / 'cryptosupport.db'}")
    with engine.connect() as connection:
        raw: bytes = connection.scalar(text(f"select raw from attempt where number = {number}"))
    engine.dispose()
    return "0x" + raw.hex()


def test_nothing_of_the_customer_is_in_it_but_the_id(paydesk: Paydesk) -> None:
    paid(paydesk, note="for his divorce", beneficiary={"name": "Ann Bee", "self_hosted": True}, country="DE")
    for form in ("json", "jsonl", "csv", "table"):
        done = paydesk.run("withdraw", "receipt", "w-1", "-o", form)
        assert done.exit_code == 0, done.stderr
        assert ANN in done.stdout
        assert not any(each in done.stdout for each in ("divorce", "Bee", '"DE"'))


def test_what_is_not_final_has_none(paydesk: Paydesk) -> None:
    refused(paydesk, 4, "no withdrawal has the request_id w-1")
    paydesk.submit("w-1")
    refused(paydesk, 3, "w-1 is approved: there is a receipt of what is final only")
    paydesk.pay()
    refused(paydesk, 3, "there is a receipt of what is final only")


def test_nodes_that_contradict_the_ledger_prove_nothing(paydesk: Paydesk) -> None:
    before = paydesk.node.rpc("evm_snapshot")
    paid(paydesk)
    paydesk.node.rpc("evm_revert", before)
    paydesk.settle()
    refused(paydesk, 7, "the nodes contradict what the ledger has of payout 1", "no block has any of its attempts")


def test_a_stranger_in_the_place_of_the_payment_proves_nothing(paydesk: Paydesk) -> None:
    before = paydesk.node.rpc("evm_snapshot")
    txid = paid(paydesk)
    raw = _raw(paydesk, 1)
    paydesk.node.rpc("evm_revert", before)
    paydesk.node.mine(3)  # the payment is in another block now
    paydesk.node.rpc("eth_sendRawTransaction", raw)
    refused(paydesk, 7, "which is not final")
    paydesk.settle()
    assert paydesk.node.rpc("eth_getTransactionReceipt", txid)["status"] == "0x1"
    refused(paydesk, 7, "the nodes contradict what the ledger has of payout 1", "which is final")


def test_a_node_that_is_down_proves_nothing(
    open_desk: Callable[..., Paydesk], anvil_with: Callable[..., Anvil]
) -> None:
    desk = open_desk(anvil_with())
    paid(desk)
    desk.node.stop()
    refused(desk, 6)


def test_a_ledger_that_was_changed_proves_nothing(paydesk: Paydesk) -> None:
    paid(paydesk)
    engine = create_engine(f"sqlite:///{paydesk.folder / 'data' / 'cryptosupport.db'}")
    with engine.begin() as connection:
        connection.execute(text("update withdrawal set destination = :to"), {"to": HOT})
    engine.dispose()
    refused(paydesk, 3)


def test_the_wallet_need_not_be_there_any_more(paydesk: Paydesk) -> None:
    paid(paydesk)
    (paydesk.folder / "configs" / "wallets.toml").write_text("", encoding="utf-8")
    assert paydesk.run("withdraw", "receipt", "w-1").exit_code == 0


def test_payouts_before_it_are_told_with_who_took_their_place(paydesk: Paydesk, tmp_path: Path) -> None:
    paid(paydesk)
    context = Context()
    context.options.configs, context.options.data = str(tmp_path / "configs"), str(tmp_path / "data")
    try:
        proven = prove(context.ledger(make=False), "w-1", context._payer_of, context.clock.milliseconds)
    finally:
        context.close()
    earlier = replace(proven.paid.payout, id=7, claims=("3",), step=Step.DEAD)
    proven = replace(proven, before=(Conflict(earlier, proven.paid.read, Taken("0xabc", True)),))
    told = as_record(proven, Asset("ETH", 18))
    assert told["before"][0]["conflict_set"]["nonce"] == 3
    assert [each["counts"] for each in told["before"][0]["attempts"]] == [False]
    assert "payout 7, to take nonce 3 of" in told["why"][-1]
    assert "0xabc, which is none of them, has it in a final block" in told["why"][-1]
    assert json.loads(json.dumps(told)) == told


@pytest.mark.parametrize("form", ["csv", "table"])
def test_the_forms_have_their_columns(paydesk: Paydesk, form: str) -> None:
    txid = paid(paydesk)
    assert txid in paydesk.run("withdraw", "receipt", "w-1", "-o", form).stdout
