"""`withdraw run` where wallets.toml is not as it was, or not as it has to be: nothing is stranded in silence."""

from __future__ import annotations

from pathlib import Path

from tests.commands.payingdesk import ANN, BEN, ETHER, HOT, Paydesk, open_desk, paydesk, sealed

__all__ = ["open_desk", "paydesk", "sealed"]  # fixtures


def wallets(desk: Paydesk) -> Path:
    return desk.folder / "configs" / "wallets.toml"


def test_an_address_that_is_not_that_of_the_key_keeps_everything_from_being_reserved(paydesk: Paydesk) -> None:
    right = wallets(paydesk).read_text(encoding="utf-8")
    wallets(paydesk).write_text(right.replace(HOT, BEN), encoding="utf-8")
    paydesk.node.rpc("anvil_setBalance", BEN, hex(100 * ETHER))
    paydesk.submit("w-1")
    verdicts = {each["name"]: each for each in paydesk.run("doctor", "-o", "jsonl").jsonl}
    assert verdicts["wallet hot"]["verdict"] == "fail"
    assert f"is that of {HOT}" in verdicts["wallet hot"]["message"]
    assert paydesk.pay(8) == {}
    assert paydesk.state("w-1") == "approved"
    wallets(paydesk).write_text(right, encoding="utf-8")
    assert paydesk.pay() == {"w-1": "confirming"}
    assert {each["name"]: each for each in paydesk.run("doctor", "-o", "jsonl").jsonl}["wallet hot"]["verdict"] == "ok"


def test_a_payment_whose_wallet_is_gone_is_told_by_each_run(paydesk: Paydesk) -> None:
    paydesk.submit("w-1")
    paydesk.pay()
    text = wallets(paydesk).read_text(encoding="utf-8")
    wallets(paydesk).write_text("", encoding="utf-8")
    done = paydesk.run("withdraw", "run")
    assert done.exit_code == 8
    assert f"payout 1 of hot (w-1) is under way from {HOT} on ethereum" in done.stderr
    wallets(paydesk).write_text(text, encoding="utf-8")
    paydesk.settle()
    assert paydesk.pay() == {"w-1": "final"}


def test_what_was_approved_before_there_was_a_wallet_is_told_by_each_run(paydesk: Paydesk) -> None:
    text = wallets(paydesk).read_text(encoding="utf-8")
    wallets(paydesk).write_text("", encoding="utf-8")
    paydesk.submit("w-1")
    wallets(paydesk).write_text(text, encoding="utf-8")
    done = paydesk.run("withdraw", "run")
    assert (done.exit_code, "w-1 is approved since before ethereum had a hot wallet" in done.stderr) == (0, True)
    assert (paydesk.state("w-1"), paydesk.balance(ANN)) == ("approved", 0)
