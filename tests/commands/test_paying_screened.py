"""What is on its way to a node is screened again: a list of today stops what was let through yesterday."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cryptosupport.outside.nodes import Anvil
from tests.commands.hostilenode import GARBLED, SEND, Open, always, attacked
from tests.commands.payingdesk import ANN, BEN, Paydesk, open_desk, paydesk, sealed, with_people
from tests.commands.test_record_external import submitted

__all__ = ["attacked", "open_desk", "paydesk", "sealed"]  # fixtures

NOTHING_LEAVES = '[hot.caps.ETH]\nper_transaction = "0.1"\nper_hour = "0.1"\n'


def list_address(run: Callable[..., object], folder: Path, address: str, kind: str = "sanctions") -> None:
    """Put an address on a list."""
    file = folder / f"{kind}.txt"
    file.write_text(address + "\n", encoding="utf-8")
    done = run("screen", "import", str(file), "--list", f"todays-{kind}", "--kind", kind)
    assert done.exit_code == 0, done.stderr  # type: ignore[attr-defined]


def reserved(desk: Paydesk) -> None:
    """w-1 has its nonce, and a signer that refuses to sign it for now."""
    wallets = desk.folder / "configs" / "wallets.toml"
    before = wallets.read_text()
    wallets.write_text(before + NOTHING_LEAVES, encoding="utf-8")
    desk.submit("w-1")
    assert desk.pay(3) == {"w-1": "reserved"}
    wallets.write_text(before, encoding="utf-8")


@pytest.mark.parametrize("kind", ["sanctions", "block"])
def test_what_came_on_a_list_since_it_was_reserved_is_not_signed(
    open_desk: Callable[..., Paydesk], anvil: Anvil, ledger_url: str, kind: str
) -> None:
    paydesk = open_desk(anvil, ledger_url)
    reserved(paydesk)
    list_address(paydesk.run, paydesk.folder, ANN, kind)
    done = paydesk.run("withdraw", "run")
    assert (done.exit_code, paydesk.balance(ANN)) == (3, 0)
    assert f"w-1 is not paid: {ANN} is on the" in done.stderr
    assert paydesk.state("w-1") == "reserved"
    (told,) = paydesk.run("audit", "log", "--kind", "refused", "-o", "jsonl").jsonl[-1:]
    assert ANN in str(told["facts"])
    assert paydesk.run("withdraw", "kill", "w-1", "--operator", "ops").exit_code == 0  # its place goes to ourselves
    paydesk.settle()
    paydesk.pay()
    assert paydesk.balance(ANN) == 0
    # What is on a list of sanctions is neither paid nor cancelled: compliance has it from then on.
    assert paydesk.state("w-1") == ("held" if kind == "sanctions" else "cancelled")
    assert paydesk.pay() == {}
    assert paydesk.run("reconcile").exit_code == 0
    assert paydesk.run("audit", "verify").exit_code == 0


def test_what_came_on_a_list_is_not_given_up_either(paydesk: Paydesk) -> None:
    """It is no gap to be filled: what waits behind it waits until a person kills it."""
    reserved(paydesk)
    paydesk.submit("w-2", destination=BEN)
    list_address(paydesk.run, paydesk.folder, ANN)
    (paydesk.folder / "configs" / "desk.toml").write_text('[bump]\ngive_up = "1ms"\n', encoding="utf-8")
    assert [paydesk.run("withdraw", "run").exit_code for _ in range(2)] == [3, 3]
    assert (paydesk.state("w-1"), paydesk.state("w-2")) == ("reserved", "broadcast")


def test_a_provider_that_hangs_holds_and_that_is_told_and_audited(paydesk: Paydesk) -> None:
    settings = paydesk.folder / "configs" / "desk.toml"
    settings.write_text('[screening]\nprovider = { command = ["/bin/sleep", "30"], timeout = "200ms" }\n')
    settings.chmod(0o600)
    facts = {"request-id": "w-1", "customer": "c", "asset": "ETH", "chain": "ethereum", "amount": "1"}
    options = [part for key, text in facts.items() for part in (f"--{key}", text)]
    done = paydesk.run("withdraw", "submit", *options, "--destination", ANN, "--json")
    assert (done.exit_code, done.json["state"]) == (9, "held"), done.stderr
    (voice,) = (each for each in done.json["decision"]["rules"] if each["outcome"] == "hold")
    assert voice["reason"] == "sleep: no answer within 0.2 s"
    (logged,) = paydesk.run("audit", "log", "--subject", "w-1", "-o", "jsonl").jsonl
    assert (logged["facts"]["to"], logged["facts"]["outcome"]) == ("held", "hold")  # and the seal covers the reason
    assert paydesk.run("audit", "verify").exit_code == 0
    assert paydesk.pay() == {}
    assert paydesk.balance(ANN) == 0


def test_what_came_on_a_list_since_it_was_signed_is_not_sent(attacked: Open, tmp_path: Path) -> None:
    desk = attacked()
    desk.ask("w-1", ANN)
    desk.ask("w-2", BEN)
    desk.proxy.lies[SEND] = always(None)
    desk.proxy.faults[SEND] = GARBLED["hangs up"]
    assert desk.run_pass() == (7, {"w-1": "unknown", "w-2": "unknown"})
    desk.honest_again()
    list_address(desk.run, tmp_path, BEN)
    code, states = desk.run_pass()
    assert states == {"w-1": "broadcast", "w-2": "unknown"}
    assert code == 7  # nobody can tell yet what became of w-2
    assert f"w-2 is not paid: {BEN} is on the" in desk.said
    desk.node.mine(100)
    assert int(desk.node.rpc("eth_getBalance", BEN, "latest"), 16) == 0


def test_what_came_on_a_list_gets_no_higher_fee(
    open_desk: Callable[..., Paydesk], anvil_with: Callable[..., Anvil]
) -> None:
    desk = open_desk(anvil_with("--no-mining"))
    desk.submit("w-1")
    assert desk.pay() == {"w-1": "broadcast"}
    list_address(desk.run, desk.folder, ANN)
    done = desk.run("withdraw", "bump", "w-1", "--operator", "ops")
    assert (done.exit_code, "w-1 is not paid" in done.stderr) == (3, True)
    (pooled,) = desk.node.rpc("txpool_content")["pending"].values()
    assert [each["hash"] for each in pooled.values()] == [desk.run("withdraw", "show", "w-1", "--json").json["txid"]]
    found = desk.run("withdraw", "explain", "w-1", "--json").json["payouts"][-1]["attempts"]
    assert [each["signed_at"] is None for each in found] == [False, True]


def test_a_list_that_is_too_old_by_then_waits_and_goes_on(paydesk: Paydesk) -> None:
    reserved(paydesk)
    desk = paydesk.folder / "configs" / "desk.toml"
    desk.write_text('[screening]\nlists = ["ofac"]\n', encoding="utf-8")
    desk.chmod(0o600)
    done = paydesk.run("withdraw", "run")
    assert (done.exit_code, paydesk.balance(ANN)) == (0, 0)
    assert "w-1 is not paid now: the list ofac is not there" in done.stderr
    desk.unlink()
    assert paydesk.pay() == {"w-1": "broadcast"}


def test_what_was_taken_back_and_is_released_blocks_no_nonce(
    open_desk: Callable[..., Paydesk], anvil_with: Callable[..., Anvil]
) -> None:
    """Its signer never signs for it with another nonce: what compliance lets go is cancelled, as it was to be."""
    desk = open_desk(anvil_with("--no-mining"))
    with_people(desk)
    submitted(desk, "w-1", "alice")
    assert desk.pay() == {"w-1": "broadcast"}
    list_address(lambda *it: desk.run(*it, "--operator", "carol"), desk.folder, ANN)
    assert desk.run("withdraw", "kill", "w-1", "--operator", "alice").exit_code == 0
    desk.settle()
    assert desk.pay() == {"w-1": "held"}
    release = ("withdraw", "release", "w-1", "--reason", "not him", "--operator", "carol")
    assert desk.run(*release).exit_code == 9
    assert desk.state("w-1") == "held"  # the list itself is still to be released
    assert desk.run(*release).exit_code == 0
    assert desk.state("w-1") == "cancelled"
    desk.submit("w-2", destination=BEN)
    assert desk.pay() == {"w-2": "broadcast"}
    desk.settle()
    assert desk.pay() == {"w-2": "final"}
    assert (desk.balance(ANN), desk.run("reconcile").exit_code) == (0, 0)
    assert desk.run("audit", "verify").exit_code == 0
