"""`wallet`: own wallets, what they hold, and how one that has paid before comes to this ledger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cryptosupport.outside.nodes import Anvil
from tests.commands.payingdesk import ANN, BEN, ETHER, HOT, Paydesk, by_hand, open_desk, paydesk, sealed, with_people
from tests.commands.peopledesk import refused
from tests.commands.test_paying import restored
from tests.conftest import Run

__all__ = ["open_desk", "paydesk", "sealed"]  # fixtures

COLD = f'[cold]\nchain = "ethereum"\nrole = "cold"\naddress = "{BEN}"\n'


def adopt(paydesk: Paydesk, who: str, name: str = "hot") -> Run:
    return paydesk.run("wallet", "adopt", name, "--reason", "paid by hand", "--operator", who, "--json")


def adopted(paydesk: Paydesk, *who: str) -> None:
    first, second = who
    assert adopt(paydesk, first).exit_code == 9
    done = adopt(paydesk, second)
    assert (done.exit_code, done.json["missing"]) == (0, 0), done.stderr


def lifted(paydesk: Paydesk, *who: str) -> None:
    assert [paydesk.run("freeze", "lift", "wallet=hot", "--operator", each).exit_code for each in who] == [9, 0]


def add_wallet(paydesk: Paydesk, text: str) -> None:
    with (paydesk.folder / "configs" / "wallets.toml").open("a", encoding="utf-8") as file:
        file.write(text)


# -- looking ---------------------------------------------------------------------------------------------------------


def test_wallets_are_listed_without_what_leads_to_a_key(paydesk: Paydesk) -> None:
    add_wallet(paydesk, COLD)
    done = paydesk.run("wallet", "list", "--json")
    assert done.exit_code == 0, done.stderr
    hot, cold = done.json
    facts = {"chain": "ethereum", "bound": False, "next_nonce": None, "under_way": 0}
    assert hot == facts | {"name": "hot", "role": "hot", "address": HOT, "signer": "keyring"}
    assert cold == facts | {"name": "cold", "role": "cold", "address": BEN, "signer": "none"}
    assert "keyring:hot" not in done.stdout
    paydesk.submit("w-1")
    paydesk.pay()
    hot, _ = paydesk.run("wallet", "list", "--json").json
    assert (hot["bound"], hot["next_nonce"], hot["under_way"]) == (True, 1, 1)
    assert "keyring" in paydesk.run("wallet", "list").stdout


def test_what_payments_under_way_may_spend_is_not_free(
    open_desk: Callable[..., Paydesk], anvil_with: Callable[..., Anvil]
) -> None:
    paydesk = open_desk(anvil_with("--no-mining"))
    add_wallet(paydesk, COLD)
    paydesk.submit("w-1", "2")
    paydesk.pay()
    (hot,) = paydesk.run("wallet", "balance", "hot", "--json").json["balances"]
    assert (hot["asset"], hot["on_chain"]) == ("ETH", {"amount": "100", "base_units": str(100 * ETHER)})
    reserved = int(hot["reserved"]["base_units"])
    assert 2 * ETHER < reserved < 2 * ETHER + ETHER // 10
    assert int(hot["free"]["base_units"]) == 100 * ETHER - reserved
    paydesk.node.mine(1)  # the ledger has not heard of it yet
    both = paydesk.run("wallet", "balance", "--json").json
    assert [each["wallet"] for each in both] == ["hot", "cold"]
    assert both[0]["balances"][0]["reserved"]["base_units"] == "0"
    assert both[1]["balances"][0]["on_chain"]["amount"] == "0"
    assert "97.99" in paydesk.run("wallet", "balance", "hot").stdout


def test_a_balance_that_no_node_tells_is_told_as_such(paydesk: Paydesk) -> None:
    chain = paydesk.folder / "configs" / "chains" / "ethereum.toml"
    chain.write_text(chain.read_text().replace(paydesk.node.url, "http://127.0.0.1:9"), encoding="utf-8")
    done = paydesk.run("wallet", "balance", "hot", "--json")
    assert done.exit_code == 6
    assert done.json["balances"] == []
    assert done.json["error"] is not None


def test_there_is_no_balance_of_a_wallet_that_is_not_there(paydesk: Paydesk) -> None:
    refused(paydesk.run("wallet", "balance", "hott"), 4, "hott", "hot")
    refused(adopt(paydesk, "ann", "hott"), 4, "hott")


# -- adopting --------------------------------------------------------------------------------------------------------


def test_a_wallet_with_a_history_pays_once_two_have_adopted_it(
    open_desk: Callable[..., Paydesk], anvil: Anvil, ledger_url: str
) -> None:
    paydesk = open_desk(anvil, ledger_url)
    for nonce in range(3):
        by_hand(anvil, nonce)
    paydesk.submit("w-1")
    assert paydesk.run("withdraw", "run").exit_code == 3
    done = adopt(paydesk, "ann")
    assert (done.exit_code, done.json["missing"], done.json["adopted_at"]) == (9, 1, None)
    assert adopt(paydesk, "ann").exit_code == 9  # the same person twice is one
    done = adopt(paydesk, "ben")
    told = done.json
    assert (done.exit_code, told["next_nonce"], told["next_nonce_before"], told["address"]) == (0, 3, None, HOT)
    paydesk.pay()
    paydesk.settle()
    assert paydesk.pay() == {"w-1": "final"}
    assert paydesk.run("withdraw", "show", "w-1", "--json").json["nonce"] == 3
    (logged,) = paydesk.run("audit", "log", "--kind", "wallet.adopted", "-o", "jsonl").jsonl
    assert (logged["subject"], logged["who"]) == ("hot", "ben (unproven)")
    assert (logged["facts"]["nonces"], logged["facts"]["reason"]) == ("0-2", "paid by hand")
    assert paydesk.run("audit", "verify").exit_code == 0
    assert paydesk.run("reconcile").exit_code == 0


def test_there_is_nothing_to_adopt_of_a_wallet_that_the_ledger_knows(paydesk: Paydesk) -> None:
    refused(adopt(paydesk, "ann"), 3, "has sent nothing yet")
    paydesk.submit("w-1")
    paydesk.pay()
    refused(adopt(paydesk, "ann"), 3, "knows of all that it has sent")


def test_a_wallet_that_never_pays_is_not_adopted(paydesk: Paydesk) -> None:
    add_wallet(paydesk, COLD)
    refused(adopt(paydesk, "ann", "cold"), 2, "never pays")


def test_an_outflow_that_people_explain_is_adopted_and_the_freeze_stays(paydesk: Paydesk) -> None:
    paydesk.submit("w-1")
    paydesk.pay()
    by_hand(paydesk.node, 1)
    by_hand(paydesk.node, 2)
    paydesk.submit("w-2")
    assert paydesk.run("withdraw", "run").exit_code == 3
    adopted(paydesk, "ann", "ben")
    paydesk.settle()
    paydesk.pay()
    assert (paydesk.state("w-1"), paydesk.state("w-2")) == ("final", "approved")
    lifted(paydesk, "ann", "ben")
    paydesk.pay()
    assert paydesk.run("withdraw", "show", "w-2", "--json").json["nonce"] == 3
    refused(adopt(paydesk, "ann"), 3, "nothing to adopt")


def test_what_was_said_counts_no_more_once_the_wallet_has_sent_again(paydesk: Paydesk) -> None:
    by_hand(paydesk.node, 0)
    assert adopt(paydesk, "ann").exit_code == 9
    by_hand(paydesk.node, 1)
    assert adopt(paydesk, "ben").exit_code == 9
    assert adopt(paydesk, "ann").json["next_nonce"] == 2


def test_what_waits_in_the_pool_is_not_adopted(
    open_desk: Callable[..., Paydesk], anvil_with: Callable[..., Anvil]
) -> None:
    paydesk = open_desk(anvil_with("--no-mining"))
    by_hand(paydesk.node, 0)
    refused(adopt(paydesk, "ann"), 3, "wait for a block")
    paydesk.node.mine(1)
    adopted(paydesk, "ann", "ben")


def test_what_the_signer_has_signed_and_the_chain_has_not_used_is_not_jumped_over(
    open_desk: Callable[..., Paydesk], anvil_with: Callable[..., Anvil]
) -> None:
    paydesk = open_desk(anvil_with("--no-mining"))
    paydesk.submit("w-1")
    restored(paydesk, paydesk.pay)
    paydesk.node.rpc("anvil_dropAllTransactions")
    assert paydesk.run("withdraw", "run").exit_code == 3
    refused(adopt(paydesk, "ann"), 3)


def test_a_restored_ledger_goes_on_once_two_have_adopted_the_wallet(paydesk: Paydesk) -> None:
    paydesk.submit("w-0", "0.1", BEN)
    paydesk.pay()
    paydesk.submit("w-1")
    restored(paydesk, paydesk.pay)
    assert paydesk.run("withdraw", "run").exit_code == 3
    adopted(paydesk, "ann", "ben")
    assert paydesk.run("withdraw", "cancel", "w-1", "--operator", "ann").exit_code == 0  # it was paid, they found out
    lifted(paydesk, "ann", "ben")
    paydesk.submit("w-2", "2", BEN)
    paydesk.pay()
    paydesk.settle()
    paydesk.pay()
    assert (paydesk.state("w-0"), paydesk.state("w-2")) == ("final", "final")
    assert paydesk.balance(ANN) == ETHER
    done = paydesk.run("reconcile")
    assert done.exit_code == 0, done.stdout


# -- with people -----------------------------------------------------------------------------------------------------


@pytest.fixture
def peopled(paydesk: Paydesk) -> Paydesk:
    """A desk with people, and a wallet that has sent before."""
    with_people(paydesk)
    by_hand(paydesk.node, 0)
    return paydesk


def test_two_operators_sign_for_a_wallet(peopled: Paydesk, tmp_path: Path) -> None:
    refused(adopt(peopled, "bob"), 3, "bob")
    assert adopt(peopled, "alice").exit_code == 9
    assert adopt(peopled, "alice").exit_code == 9
    refused(adopt(peopled, "mallory"), 3, "mallory")
    done = adopt(peopled, "carol")
    assert (done.exit_code, done.json["said_by"]) == (0, ["alice", "carol"])
    (logged,) = peopled.run("audit", "log", "--kind", "wallet.adopted", "-o", "jsonl").jsonl
    assert logged["who"] == "operator carol"
    statement = tmp_path / "statement"
    by_hand(peopled.node, 1)
    args = ("wallet", "adopt", "hot", "--reason", "again", "--operator", "alice")
    assert peopled.run(*args, "--write-statement", str(statement)).exit_code == 9
    told = statement.read_text()
    assert all(part in told for part in ('"nonce":"2"', HOT, '"wallet":"hot"'))


# -- what doctor says of paying ---------------------------------------------------------------------------------------


def told(desk: Paydesk, name: str) -> dict[str, str]:
    found: dict[str, str] = next(each for each in desk.run("doctor", "--json").json if each["name"] == name)
    return found


def test_doctor_says_beforehand_what_would_stop_a_payment(paydesk: Paydesk) -> None:
    assert told(paydesk, "paying on ethereum")["verdict"] == "ok"
    assert told(paydesk, "wallet hot")["message"] == "hot on ethereum; its key is that of its address"
    assert told(paydesk, "signer of hot")["message"] == "its signer lets any amount of ETH leave by itself"
    path = paydesk.folder / "configs" / "chains" / "ethereum.toml"
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace('max_fee = "0.1 ETH"\n', ""), encoding="utf-8")
    done = paydesk.run("doctor")
    assert done.exit_code == 8
    assert "[fees] has to name max_fee and max_fee_per_gas" in done.stdout
    path.write_text("quorum = 2\n" + whole, encoding="utf-8")
    done = paydesk.run("doctor")
    assert done.exit_code == 8
    assert "no payment ever ends" in done.stdout


def test_doctor_finds_copies_of_the_ledger_beside_the_signers_store(paydesk: Paydesk) -> None:
    paydesk.submit("w-1")
    paydesk.pay()
    assert told(paydesk, "signer store")["verdict"] == "ok"
    copy = paydesk.folder / "data" / "signer" / "monday.db"
    assert paydesk.run("ledger", "backup", str(copy)).exit_code == 0
    (paydesk.folder / "data" / "signer" / "notes.txt").write_text("nothing")
    found = told(paydesk, "signer store")
    assert (found["verdict"], str(copy) in found["message"]) == ("warn", True)
    assert not list(copy.parent.glob("monday.db-*"))


def test_a_float_that_does_not_rise_stops_what_reads_it(paydesk: Paydesk) -> None:
    path = paydesk.folder / "configs" / "wallets.toml"
    with path.open("a", encoding="utf-8") as file:
        file.write('[hot.float.ETH]\nfloor = "3"\ntarget = "2"\nceiling = "4"\nsweep_to = "cold"\n')
    done = paydesk.run("withdraw", "run")
    assert done.exit_code == 8
    assert f"{path} [hot]: float.ETH: floor 3, target 2 and ceiling 4 have to rise in this order" in done.stderr
    assert "float.ETH: sweep_to names cold" in paydesk.run("doctor").stdout  # all of it, not the first only
