"""`withdraw run` pays, on a real chain: once, in order, and never more than was asked."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

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


def test_a_wallet_that_cannot_pay_is_told_and_keeps_no_other_from_paying(paydesk: Paydesk) -> None:
    configs = paydesk.folder / "configs"
    bitcoin = (
        'family = "bitcoin"\nnetwork = "regtest"\nendpoints = ["http://127.0.0.1:9"]\n[assets.BTC]\ndecimals = 8\n'
    )
    (configs / "chains" / "bitcoin.toml").write_text(bitcoin, encoding="utf-8")
    with (configs / "wallets.toml").open("a", encoding="utf-8") as file:
        file.write('[hot-btc]\nchain = "bitcoin"\nrole = "hot"\nsigner = "keyring:x"\n')
    paydesk.submit("w-1")
    paydesk.pay(8)
    paydesk.settle()
    done = paydesk.run("withdraw", "run", "-o", "jsonl")
    assert "chains/bitcoin.toml: to pay, [fees] has to name max_fee and max_feerate" in done.stderr
    assert (done.exit_code, [each["state"] for each in done.jsonl]) == (8, ["final"])


def test_what_waits_for_a_refill_can_be_cancelled_and_held(open_desk: Callable[..., Paydesk], anvil: Anvil) -> None:
    paydesk = open_desk(anvil, funds=1)
    paydesk.submit("w-1", "5")
    paydesk.submit("w-2", "0.5")
    assert paydesk.pay(5) == {"w-1": "waiting_liquidity"}
    assert paydesk.run("withdraw", "cancel", "w-1", "--operator", "ops").exit_code == 0
    paydesk.pay()
    paydesk.settle()
    assert paydesk.pay() == {"w-2": "final"}
    assert paydesk.balance(ANN) == ETHER // 2


def test_what_is_on_its_way_is_not_cancelled_but_killed(paydesk: Paydesk) -> None:
    paydesk.submit("w-1")
    paydesk.pay()
    done = paydesk.run("withdraw", "cancel", "w-1", "--operator", "ops")
    assert done.exit_code == 3
    assert "`cryptosupport withdraw kill w-1` takes its place" in done.stderr


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


# -- what does not get into a block ----------------------------------------------------------------------------------


def attempts(paydesk: Paydesk, name: str) -> list[tuple[str, str]]:
    """The attempts of a withdrawal's payout: kind and txid."""
    found = paydesk.run("withdraw", "explain", name, "--json").json["payouts"][-1]["attempts"]
    return [(each["kind"], each["txid"]) for each in found]


@pytest.fixture
def stuck(open_desk: Callable[..., Paydesk], anvil_with: Callable[..., Anvil]) -> Paydesk:
    """w-1 waits for a block."""
    paydesk = open_desk(anvil_with("--no-mining"))
    paydesk.submit("w-1")
    assert paydesk.pay() == {"w-1": "broadcast"}
    return paydesk


def test_what_waits_too_long_gets_a_higher_fee_and_is_paid_once(stuck: Paydesk) -> None:
    stuck.submit("w-2", "1", BEN)
    stuck.pay()
    (stuck.folder / "configs" / "desk.toml").write_text('[bump]\nafter = "1ms"\n', encoding="utf-8")
    stuck.pay()
    stuck.pay()
    assert len(attempts(stuck, "w-1")) == 3
    assert len(attempts(stuck, "w-2")) == 1  # it waits for the first
    stuck.settle()
    assert stuck.pay() == {"w-1": "final", "w-2": "final"}
    assert (stuck.balance(ANN), stuck.balance(BEN)) == (ETHER, ETHER)
    assert stuck.run("withdraw", "show", "w-1", "--json").json["txid"] == attempts(stuck, "w-1")[-1][1]


def test_a_person_bumps(stuck: Paydesk) -> None:
    done = stuck.run("withdraw", "bump", "w-1", "--operator", "ops", "--json")
    assert (done.exit_code, done.json["state"]) == (0, "broadcast"), done.stderr
    first, second = attempts(stuck, "w-1")
    assert (first[0], second[0], first[1] == second[1]) == ("pay", "pay", False)
    stuck.settle()
    assert stuck.pay() == {"w-1": "final"}
    assert stuck.balance(ANN) == ETHER
    assert stuck.run("withdraw", "bump", "w-1", "--operator", "ops").exit_code == 4


def test_what_is_killed_is_cancelled_only_when_that_is_final(stuck: Paydesk) -> None:
    done = stuck.run("withdraw", "kill", "w-1", "--operator", "ops", "--json")
    assert (done.exit_code, done.json["state"]) == (0, "cancelling"), done.stderr
    stuck.node.mine(1)
    assert stuck.pay() == {}
    assert stuck.state("w-1") == "cancelling"
    stuck.settle()
    assert stuck.pay() == {"w-1": "cancelled"}
    assert stuck.balance(ANN) == 0
    assert [kind for kind, _ in attempts(stuck, "w-1")] == ["pay", "cancel"]


def test_a_kill_that_comes_too_late_leaves_it_paid(stuck: Paydesk) -> None:
    stuck.node.mine(1)
    done = stuck.run("withdraw", "kill", "w-1", "--operator", "ops")
    assert done.exit_code == 3
    assert "is in a block already" in done.stderr
    stuck.settle()
    assert stuck.pay() == {"w-1": "final"}


def test_the_payment_that_wins_over_its_cancel_is_final(stuck: Paydesk) -> None:
    """The node forgets the cancel, and mines the payment."""
    ((_, paid),) = attempts(stuck, "w-1")
    raw = stuck.node.rpc("eth_getRawTransactionByHash", paid)
    assert stuck.run("withdraw", "kill", "w-1", "--operator", "ops").exit_code == 0
    stuck.node.rpc("anvil_dropAllTransactions")
    stuck.node.rpc("eth_sendRawTransaction", raw)
    stuck.settle()
    assert stuck.pay() == {"w-1": "final"}
    assert stuck.balance(ANN) == ETHER


# -- a ledger of yesterday -------------------------------------------------------------------------------------------


def restored(paydesk: Paydesk, meanwhile: Callable[[], object]) -> None:
    """Take a backup, do something, and put the backup in the ledger's place; the signer's memory stays."""
    data = paydesk.folder / "data"
    copy = str(paydesk.folder / "backup.db")
    assert paydesk.run("ledger", "backup", copy).exit_code == 0
    meanwhile()
    for path in data.glob("cryptosupport.db*"):
        path.unlink()
    shutil.copy(copy, data / "cryptosupport.db")


def refused_as_restored(paydesk: Paydesk, words: str) -> None:
    done = paydesk.run("withdraw", "run")
    assert done.exit_code == 3, done.stderr
    assert words in done.stderr
    assert "and this ledger does not: it is an older copy" in done.stderr
    assert "wallet=hot" in paydesk.run("freeze", "list").stdout


@pytest.mark.parametrize("mined", [True, False])
def test_a_restored_ledger_pays_nothing_twice(
    open_desk: Callable[..., Paydesk], anvil_with: Callable[..., Anvil], mined: bool
) -> None:
    paydesk = open_desk(anvil_with(*(() if mined else ("--no-mining",))))
    paydesk.submit("w-0", "0.1", BEN)
    paydesk.pay()
    paydesk.submit("w-1")
    restored(paydesk, paydesk.pay)
    assert paydesk.state("w-1") == "approved"
    refused_as_restored(paydesk, "the signer of hot knows of")
    paydesk.settle()
    assert paydesk.run("withdraw", "run").exit_code == 3
    assert paydesk.balance(ANN) == ETHER


def test_a_restored_ledger_does_not_pay_what_was_cancelled_since(paydesk: Paydesk) -> None:
    (paydesk.folder / "configs" / "desk.toml").write_text('[bump]\nafter = "1h"\n', encoding="utf-8")
    paydesk.submit("w-0", "0.1", BEN)
    paydesk.pay()
    paydesk.submit("w-1", "500")

    def cancelled_and_a_pass() -> None:
        assert paydesk.run("withdraw", "cancel", "w-1", "--operator", "ops").exit_code == 0
        paydesk.pay()

    restored(paydesk, cancelled_and_a_pass)
    paydesk.node.rpc("anvil_setBalance", HOT, hex(900 * ETHER))
    refused_as_restored(paydesk, "knows of entry")
    assert paydesk.balance(ANN) == 0


def test_an_empty_ledger_does_not_pay_from_a_wallet_of_another(paydesk: Paydesk) -> None:
    paydesk.submit("w-1")
    paydesk.pay()
    for path in (paydesk.folder / "data").glob("cryptosupport.db*"):
        path.unlink()
    paydesk.submit("w-1")
    done = paydesk.run("withdraw", "run")
    assert done.exit_code == 3
    assert "does not know" in done.stderr
    assert paydesk.balance(ANN) == ETHER


def test_what_a_forgotten_ledger_has_paid_is_held_and_blocks_no_nonce(paydesk: Paydesk) -> None:
    """The signer remembers what people have not recorded: it would sign neither a payment nor a cancel for it."""
    paydesk.submit("w-1")
    paydesk.pay()
    paydesk.settle()
    for path in (paydesk.folder / "data").glob("cryptosupport.db*"):
        path.unlink()
    assert paydesk.run("withdraw", "run").exit_code == 3
    for who, code in (("ann", 9), ("ben", 0)):
        done = paydesk.run("wallet", "adopt", "hot", "--reason", "an empty ledger", "--operator", who)
        assert done.exit_code == code, done.stderr
    paydesk.submit("w-1")
    paydesk.submit("w-2", destination=BEN)
    done = paydesk.run("withdraw", "run")
    assert done.exit_code == 3
    assert "w-1 is held: the signer has signed for it with 0 of" in done.stderr
    paydesk.settle()
    paydesk.pay()
    assert (paydesk.state("w-1"), paydesk.state("w-2")) == ("held", "final")
    assert (paydesk.balance(ANN), paydesk.balance(BEN)) == (ETHER, ETHER)
    assert paydesk.run("audit", "verify").exit_code == 0


# -- gaps ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def gap(open_desk: Callable[..., Paydesk], anvil_with: Callable[..., Anvil]) -> Paydesk:
    """The signer takes 2 ETH at most: w-1 asks for more, and has the nonce that w-2 and w-3 wait for."""
    desk = open_desk(anvil_with("--no-mining"))
    with (desk.folder / "configs" / "wallets.toml").open("a", encoding="utf-8") as file:
        file.write('[hot.caps.ETH]\nper_transaction = "2"\nper_hour = "50"\n')
    for name, amount, to in (("w-1", "3", ANN), ("w-2", "1", BEN), ("w-3", "1", BEN)):
        desk.submit(name, amount, to)
    assert desk.pay(3) == {"w-1": "reserved", "w-2": "broadcast", "w-3": "broadcast"}
    desk.node.mine(1)
    assert desk.balance(BEN) == 0
    return desk


def patience(desk: Paydesk, give_up: str) -> None:
    (desk.folder / "configs" / "desk.toml").write_text(f'[bump]\ngive_up = "{give_up}"\n', encoding="utf-8")


def test_what_the_signer_refuses_is_given_up_when_others_have_waited_for_long(gap: Paydesk) -> None:
    patience(gap, "1h")
    assert gap.pay(3) == {}
    assert gap.balance(BEN) == 0
    patience(gap, "1ms")
    done = gap.run("withdraw", "run", "-o", "jsonl")
    assert "w-1 is given up: the signer refuses it, and 2 payments waited for its place" in done.stderr
    assert {each["request_id"]: each["state"] for each in done.jsonl} == {"w-1": "cancelling"}
    gap.settle()
    assert gap.pay() == {"w-1": "cancelled", "w-2": "final", "w-3": "final"}
    assert (gap.balance(ANN), gap.balance(BEN)) == (0, 2 * ETHER)
    kinds = [kind for kind, _ in attempts(gap, "w-1")]
    assert kinds == ["pay", "cancel"]
    assert gap.run("reconcile").exit_code == 0
    assert gap.run("audit", "verify").exit_code == 0


def test_what_the_signer_takes_after_all_is_paid(gap: Paydesk) -> None:
    wallets = gap.folder / "configs" / "wallets.toml"
    wallets.write_text(wallets.read_text(encoding="utf-8").replace('"2"', '"3"'), encoding="utf-8")
    assert gap.pay()["w-1"] == "broadcast"
    gap.settle()
    assert set(gap.pay().values()) == {"final"}
    assert gap.balance(ANN) == 3 * ETHER


@pytest.mark.parametrize("scope", ["wallet=hot", "customer=c-1", "all"])
def test_what_is_frozen_is_not_given_up(gap: Paydesk, scope: str) -> None:
    patience(gap, "1ms")
    assert gap.run("freeze", "add", scope, "--reason", "a drill", "--operator", "ann").exit_code == 0
    gap.run("withdraw", "run")
    assert gap.state("w-1") == "reserved"


def test_a_gap_raises_no_fees_of_what_waits_for_it(gap: Paydesk) -> None:
    (gap.folder / "configs" / "desk.toml").write_text('[bump]\nafter = "1ms"\n', encoding="utf-8")
    assert gap.pay(3) == {}
    assert len(attempts(gap, "w-2")) == 1
