"""A Bitcoin wallet that has paid without this ledger, or before it was restored: adopted by two, and nothing twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from tests.commands.bitcoindesk import Bitcoindesk, open_bitcoindesk, sealed
from tests.commands.peopledesk import refused
from tests.commands.test_paying import restored
from tests.conftest import Run

__all__ = ["open_bitcoindesk", "sealed"]  # fixtures

Open = Callable[..., Bitcoindesk]
HALF = 10**8 // 2


def adopt(desk: Bitcoindesk, who: str) -> Run:
    return desk.run("wallet", "adopt", "hot", "--reason", "paid by hand", "--operator", who, "--json")


def adopted(desk: Bitcoindesk) -> None:
    assert adopt(desk, "ann").exit_code == 9
    done = adopt(desk, "ben")
    assert (done.exit_code, done.json["missing"]) == (0, 0), done.stderr


def lifted(desk: Bitcoindesk) -> None:
    codes = [desk.run("freeze", "lift", "wallet=hot", "--operator", who).exit_code for who in ("ann", "ben")]
    assert codes == [9, 0]


def frozen(desk: Bitcoindesk) -> str:
    """What freezes the wallet."""
    told = desk.run("freeze", "list", "-o", "jsonl").jsonl
    return " ".join(each["reason"] for each in told if each["scope"] == "wallet=hot")


# -- adopting --------------------------------------------------------------------------------------------------------


def test_a_wallet_with_a_history_pays_once_two_have_adopted_it(open_bitcoindesk: Open) -> None:
    desk = open_bitcoindesk(coins=("1", "1"))
    old = desk.steal()
    desk.submit(a="0.5")
    refused(desk.run("withdraw", "run"), 3, "wallet adopt hot")
    refused(adopt(desk, "ann"), 3, "1 wait for a block and 0 are in blocks", old)
    desk.node.mine(2)
    refused(adopt(desk, "ann"), 3, "0 wait for a block and 1 are in blocks that are not final yet")
    desk.node.mine(1)
    done = adopt(desk, "ann")
    assert (done.exit_code, done.json["missing"], done.json["spends"]) == (9, 1, 1), done.stderr
    assert adopt(desk, "ann").exit_code == 9  # the same person twice is one
    desk.node.mine(1)  # a block that does not concern it changes nothing of what was said
    done = adopt(desk, "ben")
    told = done.json
    assert (done.exit_code, told["next_nonce"], told["next_nonce_before"]) == (0, None, None), done.stderr
    block = desk.node.rpc("getblock", desk.node.rpc("getblockhash", told["height"]))
    assert old in block["tx"]
    (logged,) = desk.run("audit", "log", "--kind", "wallet.adopted", "-o", "jsonl").jsonl
    facts = logged["facts"]
    assert (facts["block"], facts["spends"], "nonces" in facts) == (block["hash"], "1", False)
    assert desk.pay() == {"a": "broadcast"}
    desk.node.mine(3)
    assert desk.pay() == {"a": "final"}
    assert desk.got(desk.show("a")["destination"]) == HALF
    assert desk.run("reconcile").exit_code == 0
    refused(adopt(desk, "ann"), 3, "nothing to adopt")
    assert desk.run("audit", "verify").exit_code == 0


def test_whatever_is_spent_after_it_was_adopted_is_an_alarm(open_bitcoindesk: Open) -> None:
    desk = open_bitcoindesk(coins=("1", "1", "1"))
    desk.steal()
    desk.node.mine(3)
    adopted(desk)
    later = desk.steal()
    desk.submit(a="0.5")
    assert desk.pay(3) == {}
    assert "outflow: hot has sent 1 transactions that this ledger does not know" in frozen(desk)
    done = desk.run("reconcile")
    assert (done.exit_code, later in done.stdout) == (3, True)
    desk.node.mine(3)
    adopted(desk)
    lifted(desk)
    assert desk.pay() == {"a": "broadcast"}


def test_what_was_said_counts_no_more_once_the_wallet_has_sent_again(open_bitcoindesk: Open) -> None:
    desk = open_bitcoindesk(coins=("1", "1", "1"))
    desk.steal()
    desk.node.mine(3)
    assert adopt(desk, "ann").json["spends"] == 1
    desk.steal()
    desk.node.mine(3)
    assert adopt(desk, "ben").exit_code == 9
    done = adopt(desk, "ann")
    assert (done.exit_code, done.json["spends"]) == (0, 2)


def test_there_is_nothing_to_adopt_of_a_wallet_that_the_ledger_knows(open_bitcoindesk: Open) -> None:
    desk = open_bitcoindesk(coins=("1",))
    refused(adopt(desk, "ann"), 3, "has sent nothing yet")
    desk.submit(a="0.5")
    desk.pay()
    refused(adopt(desk, "ann"), 3, "knows of all that it has sent (1 transactions)")


def test_a_history_that_is_rewritten_is_looked_at_again(open_bitcoindesk: Open) -> None:
    """Blocks that go, and are not as deep as what was adopted, change nothing; deeper ones do."""
    desk = open_bitcoindesk(coins=("1", "1"))
    old = desk.steal()
    (first, second, *_) = desk.node.mine(3)
    adopted(desk)
    raw = desk.node.rpc("getrawtransaction", old)
    desk.node.rpc("invalidateblock", second)
    desk.node.mine(3, desk.node.rpc("getnewaddress", wallet="miner"))
    desk.submit(a="0.1")
    assert desk.pay() == {"a": "broadcast"}
    desk.node.rpc("invalidateblock", first)
    elsewhere = desk.node.rpc("getnewaddress", wallet="miner")
    desk.node.rpc("generateblock", elsewhere, [])
    desk.node.rpc("generateblock", elsewhere, [raw])
    assert desk.pay(3) in ({}, {"a": "broadcast"})
    assert "outflow" in frozen(desk)


# -- a ledger of yesterday -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["pool", "block", "wallet of the node", "signer"])
def test_a_restored_ledger_pays_nothing_twice(open_bitcoindesk: Open, where: str) -> None:
    """The payment is known to the pool, a block, a node that has lost its pool, or to nobody but the signer."""
    desk = open_bitcoindesk(coins=("1", "1", "1"))
    desk.submit(z="0.1")
    desk.pay()
    desk.node.mine(3)
    desk.pay()
    desk.submit(a="0.5")
    sent: list[str] = []

    def paid() -> None:
        assert desk.pay() == {"a": "broadcast"}
        txid = desk.show("a")["txid"]
        sent.append(desk.node.rpc("getrawtransaction", txid))
        if where == "block":
            desk.node.mine(1)
        elif where != "pool":
            desk.forget(txid)
        if where == "signer":
            desk.node.rpc("unloadwallet", "hot")
            shutil.rmtree(desk.node.folder / "regtest" / "wallets" / "hot")
            assert desk.run("wallet", "import", "hot").exit_code == 0

    restored(desk, paid)
    to = desk.show("a")["destination"]
    assert desk.show("a")["state"] == "approved"
    done = desk.run("withdraw", "run")
    assert done.exit_code == 3, done.stderr
    if where == "signer":
        assert "the signer has signed for it" in done.stderr
        assert desk.show("a")["state"] == "held"
    if where in ("wallet of the node", "signer"):
        desk.node.rpc("sendrawtransaction", sent[0])  # whoever has it can still send it
        assert desk.run("withdraw", "run").exit_code == 3
    assert "outflow: hot has sent 1 transactions that this ledger does not know" in frozen(desk)
    desk.node.mine(3)
    assert desk.run("withdraw", "run").exit_code == 3
    assert desk.got(to) == HALF
    adopted(desk)
    lifted(desk)
    desk.run("withdraw", "run")
    assert desk.show("a")["state"] == "held"
    assert desk.got(to) == HALF
    desk.submit(b="0.2")
    assert desk.pay() == {"b": "broadcast"}
    desk.node.mine(3)
    assert desk.pay() == {"b": "final"}
    assert desk.got(to) == HALF


def test_a_restored_ledger_does_not_pay_what_was_cancelled_since(open_bitcoindesk: Open) -> None:
    """The signer knows how far the log had come, though it has signed nothing for it."""
    desk = open_bitcoindesk(coins=("1",))
    desk.submit(a="2")
    desk.pay(5)

    def cancelled() -> None:
        assert desk.run("withdraw", "cancel", "a", "--operator", "ops").exit_code == 0
        desk.pay()

    restored(desk, cancelled)
    desk.fund("3")
    refused(desk.run("withdraw", "run"), 3, "knows of entry", "it is an older copy")
    assert "restored" in frozen(desk)
    adopted(desk)  # though the wallet has sent nothing
    assert desk.run("withdraw", "cancel", "a", "--operator", "ops").exit_code == 0
    lifted(desk)
    desk.submit(b="0.5")
    assert desk.pay() == {"b": "broadcast"}


def test_an_empty_ledger_pays_nothing_that_another_has_paid(open_bitcoindesk: Open) -> None:
    desk = open_bitcoindesk(coins=("1", "1"))
    desk.submit(a="0.5")
    desk.pay()
    to, amount = desk.show("a")["destination"], "0.5"
    desk.node.mine(3)
    for path in (desk.folder / "data").glob("cryptosupport.db*"):
        path.unlink()
    desk.submit_to(a=(to, amount))
    refused(desk.run("withdraw", "run"), 3, "has sent 1 transactions that this ledger does not know")
    adopted(desk)
    assert desk.pay(3) == {"a": "held"}
    assert desk.got(to) == HALF
