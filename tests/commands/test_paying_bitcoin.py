"""`withdraw run` pays on Bitcoin: many at once, from coins that a node watches, with keys that it never has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cryptosupport.outside.nodes import ANYONE
from tests.commands.bitcoindesk import KINDS, Bitcoindesk, open_bitcoindesk, sealed

__all__ = ["open_bitcoindesk", "sealed"]  # fixtures

Open = Callable[..., Bitcoindesk]


@pytest.mark.parametrize("kind", KINDS)
def test_withdrawals_are_paid_together_and_once(open_bitcoindesk: Open, kind: str) -> None:
    desk = open_bitcoindesk(kind)
    desk.submit(a="0.1", b="0.2", c="0.3")
    assert desk.pay() == dict.fromkeys("abc", "broadcast")
    shown = {name: desk.show(name) for name in "abc"}
    (txid,) = {each["txid"] for each in shown.values()}
    assert sorted(each["vout"] for each in shown.values()) == [0, 1, 2]
    assert desk.node.rpc("getmempoolentry", txid)["bip125-replaceable"] is True
    desk.node.mine(1)
    assert desk.pay() == dict.fromkeys("abc", "confirming")
    desk.node.mine(2)
    assert desk.pay() == dict.fromkeys("abc", "final")
    assert [desk.got(each["destination"]) for each in shown.values()] == [10_000_000, 20_000_000, 30_000_000]
    assert desk.pay() == {}
    assert desk.run("audit", "verify").exit_code == 0
    done = desk.run("reconcile")
    assert done.exit_code == 0, done.stdout + done.stderr
    assert desk.run("reconcile").exit_code == 0


def test_a_receipt_proves_one_output_of_a_batch(open_bitcoindesk: Open) -> None:
    desk = open_bitcoindesk()
    desk.submit(a="0.1", b="0.2")
    desk.pay()
    assert desk.run("withdraw", "bump", "a", "--operator", "ops").exit_code == 0
    desk.node.mine(3)
    desk.pay()
    done = desk.run("withdraw", "receipt", "b", "--json")
    assert done.exit_code == 0, done.stderr
    proven, shown = done.json, desk.show("b")
    assert (proven["txid"], proven["vout"]) == (shown["txid"], shown["vout"])
    assert [each["counts"] for each in proven["attempts"]] == [False, True]
    assert (proven["fee_share"], int(proven["fee"]["base_units"])) == (shown["fee"], _fee_of(desk, shown["txid"]))
    assert proven["fee_share"] != proven["fee"]
    assert f"of which this one bears {shown['fee']['amount']}\n" in desk.run("withdraw", "receipt", "b").stdout
    assert "the inputs" in " ".join(proven["why"])


def test_a_wallet_tells_what_it_holds_and_what_is_under_way(open_bitcoindesk: Open) -> None:
    desk = open_bitcoindesk(coins=("1", "2"))
    (hot,) = desk.run("wallet", "list", "--json").json
    assert (hot["name"], hot["signer"], hot["bound"]) == ("hot", "keyring", False)
    desk.submit(a="0.5")
    desk.pay()
    (hot,) = desk.run("wallet", "list", "--json").json
    assert (hot["bound"], hot["under_way"]) == (True, 1)
    done = desk.run("wallet", "balance", "hot", "--json")
    assert done.exit_code == 0, done.stderr
    (held,) = done.json["balances"]
    assert held["on_chain"]["amount"].startswith("2.49")  # what is paid has left it, and its change is trusted
    assert (held["reserved"]["amount"], held["free"]) == ("0", held["on_chain"])


def test_a_wallet_that_has_paid_before_is_refused(open_bitcoindesk: Open) -> None:
    """B13: another ledger, or an old backup, may have paid the same already."""
    desk = open_bitcoindesk(coins=("1", "1"))
    desk.steal()
    desk.node.mine(1)
    desk.submit(a="0.1")
    done = desk.run("withdraw", "run")
    assert (done.exit_code, "has sent 1 transactions that this ledger does not know" in done.stderr) == (3, True)
    assert desk.show("a")["state"] == "approved"


def test_a_node_watches_a_wallet_once(open_bitcoindesk: Open) -> None:
    desk = open_bitcoindesk(coins=())
    done = desk.run("wallet", "import", "hot", "--json")
    assert (done.exit_code, done.json[0]["said"]) == (0, "watches it already")
    assert desk.node.rpc("getwalletinfo", wallet="hot")["private_keys_enabled"] is False


# -- batches ---------------------------------------------------------------------------------------------------------


def test_a_batch_waits_until_it_is_due(open_bitcoindesk: Open) -> None:
    desk = open_bitcoindesk(batch='count = 3\nage = "1h"')
    desk.submit(a="0.1", b="0.1")
    assert desk.pay() == {}
    desk.submit(c="0.1")
    assert desk.pay() == dict.fromkeys("abc", "broadcast")
    assert len({desk.show(name)["txid"] for name in "abc"}) == 1


def test_an_address_that_is_paid_twice_is_paid_by_two_transactions(open_bitcoindesk: Open) -> None:
    desk = open_bitcoindesk()
    to = desk.node.rpc("getnewaddress", "", "bech32", wallet="miner")
    desk.submit_to(a=(to, "0.1"), b=(to, "0.2"))
    assert desk.pay() == {"a": "broadcast", "b": "broadcast"}
    assert desk.show("a")["txid"] != desk.show("b")["txid"]
    desk.node.mine(3)
    desk.pay()
    assert desk.got(to) == 30_000_000


TYPES = ["legacy", "p2sh-segwit", "bech32", "bech32m"]


def test_every_type_of_address_is_paid(open_bitcoindesk: Open) -> None:
    desk = open_bitcoindesk()
    addresses = {each: desk.node.rpc("getnewaddress", "", each, wallet="miner") for each in TYPES}
    wsh = "bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85"
    desk.submit_to(**{each.replace("-", "_"): (to, "0.1") for each, to in addresses.items()}, wsh=(wsh, "0.1"))
    assert set(desk.pay().values()) == {"broadcast"}
    desk.node.mine(3)
    assert set(desk.pay().values()) == {"final"}
    assert [desk.got(to) for to in addresses.values()] == [10_000_000] * 4
    txid, vout = desk.show("wsh")["txid"], desk.show("wsh")["vout"]
    assert desk.node.rpc("gettxout", txid, vout)["scriptPubKey"]["address"] == wsh


def test_one_bad_item_keeps_no_other_from_being_paid(open_bitcoindesk: Open) -> None:
    """Dust is told before anything is reserved, a frozen customer waits, and the rest goes out together."""
    desk = open_bitcoindesk()
    desk.submit(good="0.1", dust="0.00000293", frozen="0.1", other="0.1")
    assert desk.run("freeze", "add", "customer=c-frozen", "--reason", "a drill", "--operator", "ann").exit_code == 0
    assert desk.pay() == {"good": "broadcast", "other": "broadcast", "dust": "held"}
    (voice,) = (each for each in desk.show("dust")["decision"]["rules"] if each["outcome"] == "hold")
    assert "293 satoshis are too little: nodes relay 294 at least" in voice["reason"]
    assert desk.show("frozen")["state"] == "approved"
    assert desk.show("good")["txid"] == desk.show("other")["txid"]


def test_what_the_wallet_cannot_pay_waits_and_its_coins_stay_free(open_bitcoindesk: Open) -> None:
    desk = open_bitcoindesk(coins=("1",))
    desk.submit(a="2")
    assert desk.pay(5) == {"a": "waiting_liquidity"}
    assert desk.node.rpc("listlockunspent", wallet="hot") == []
    desk.fund("1.5")
    assert desk.pay() == {"a": "broadcast"}


def test_the_fee_is_shared_by_all_that_a_transaction_pays(open_bitcoindesk: Open) -> None:
    desk = open_bitcoindesk()
    desk.submit(a="0.1", b="0.2", c="0.3")
    desk.pay()
    desk.node.mine(3)
    desk.pay()
    shown = [desk.show(name) for name in "abc"]
    assert sum(int(each["fee"]["base_units"]) for each in shown) == _fee_of(desk, shown[0]["txid"])


def _fee_of(desk: Bitcoindesk, txid: str) -> int:
    """What a transaction cost, in satoshis, as the node has it."""
    return round(-desk.node.rpc("gettransaction", txid, wallet="hot")["fee"] * 10**8)


# -- replacing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_bump_keeps_inputs_and_recipients(open_bitcoindesk: Open, kind: str) -> None:
    desk = open_bitcoindesk(kind)
    desk.submit(a="0.1", b="0.2")
    desk.pay()
    first = desk.node.rpc("getrawtransaction", desk.show("a")["txid"], True)
    assert desk.run("withdraw", "bump", "a", "--operator", "ops").exit_code == 0
    second = desk.node.rpc("getrawtransaction", desk.show("b")["txid"], True)
    assert first["txid"] != second["txid"]
    assert desk.node.rpc("getrawmempool") == [second["txid"]]

    def inputs(tx: dict[str, Any]) -> list[tuple[str, int]]:
        return [(each["txid"], each["vout"]) for each in tx["vin"]]

    assert inputs(first) == inputs(second)
    assert first["vout"][:2] == second["vout"][:2]
    assert second["vout"][2]["value"] < first["vout"][2]["value"]
    desk.node.mine(3)
    assert desk.pay() == {"a": "final", "b": "final"}
    payout = desk.show("a")["payouts"][0]
    assert (len(payout["attempts"]), payout["counts"]) == (2, 2)


def test_a_payment_that_nearly_empties_the_wallet_can_be_bumped_too(open_bitcoindesk: Open) -> None:
    """M52: one coin fits to the satoshi, and would leave nothing to raise the fee from; the other is too small for all
    that a fee may come to.
    """
    desk = open_bitcoindesk(coins=("0.10000110", "0.002"))
    desk.submit(a="0.1")
    assert desk.pay() == {"a": "broadcast"}
    assert len(desk.node.rpc("getrawtransaction", desk.show("a")["txid"], True)["vin"]) == 2
    done = desk.run("withdraw", "bump", "a", "--operator", "ops")
    assert done.exit_code == 0, done.stderr
    desk.node.mine(3)
    assert desk.pay() == {"a": "final"}
    assert desk.show("a")["payouts"][0]["counts"] == 2


def test_the_last_bump_takes_all_of_the_change(open_bitcoindesk: Open) -> None:
    desk = open_bitcoindesk(coins=("0.10000700",))
    desk.submit(a="0.1")
    desk.pay()
    outputs = [2]
    while (done := desk.run("withdraw", "bump", "a", "--operator", "ops")).exit_code == 0:
        (waits,) = desk.node.rpc("getrawmempool")
        outputs.append(len(desk.node.rpc("getrawtransaction", waits, True)["vout"]))
    assert (done.exit_code, "it has no change that a higher fee could come from" in done.stderr) == (3, True)
    assert outputs == [2, 2, 1]
    desk.node.mine(3)
    assert desk.pay() == {"a": "final"}
    assert desk.show("a")["fee"]["base_units"] == "700"
    assert desk.run("reconcile").exit_code == 0


def test_the_first_attempt_may_be_the_one_that_counts(open_bitcoindesk: Open) -> None:
    """D9: what was replaced comes back, in a block of somebody who never heard of the replacement."""
    desk = open_bitcoindesk()
    desk.submit(a="0.1")
    desk.pay()
    first = desk.show("a")["txid"]
    raw = desk.node.rpc("getrawtransaction", first)
    assert desk.run("withdraw", "bump", "a", "--operator", "ops").exit_code == 0
    desk.node.rpc("generateblock", ANYONE, [raw])
    desk.node.mine(2)
    assert desk.pay() == {"a": "final"}
    assert (desk.show("a")["txid"], desk.got(desk.show("a")["destination"])) == (first, 10_000_000)


def test_what_is_killed_comes_back_to_us(open_bitcoindesk: Open) -> None:
    desk = open_bitcoindesk(coins=("1",))
    desk.submit(a="0.1", b="0.2")
    desk.pay()
    assert desk.run("withdraw", "kill", "a", "--operator", "ops").exit_code == 0
    assert (desk.show("a")["state"], desk.show("b")["state"]) == ("cancelling", "cancelling")
    desk.node.mine(3)
    assert desk.pay() == {"a": "cancelled", "b": "cancelled"}
    assert desk.got(desk.show("a")["destination"]) == 0
    assert 0.99 < desk.node.rpc("getbalances", wallet="hot")["mine"]["trusted"] < 1
    desk.submit(c="0.5")
    assert desk.pay() == {"c": "broadcast"}


# -- what nodes do ---------------------------------------------------------------------------------------------------


def test_a_node_that_lost_its_pool_gets_it_again(open_bitcoindesk: Open) -> None:
    desk = open_bitcoindesk()
    desk.submit(a="0.1")
    desk.pay()
    txid = desk.show("a")["txid"]
    evicted(desk, txid)
    desk.resend_at_once()
    assert desk.pay() in ({}, {"a": "broadcast"})
    assert desk.node.rpc("getrawmempool") == [txid]
    desk.node.mine(3)
    assert desk.pay() == {"a": "final"}


def test_a_block_that_goes_takes_nothing_with_it(open_bitcoindesk: Open) -> None:
    desk = open_bitcoindesk()
    desk.submit(a="0.1")
    desk.pay()
    (block,) = desk.node.mine(1)
    assert desk.pay() == {"a": "confirming"}
    desk.node.rpc("invalidateblock", block)
    assert desk.pay() == {"a": "broadcast"}
    desk.node.mine(4, desk.node.rpc("getnewaddress", wallet="miner"))  # else it would be the very block that is gone
    assert desk.pay() == {"a": "final"}
    assert len(desk.show("a")["payouts"][0]["attempts"]) == 1


def test_coins_that_somebody_else_spends_hold_what_they_were_to_pay(open_bitcoindesk: Open) -> None:
    """A second program has the same keys: the wallet is frozen, and nothing is paid from it until people know why."""
    desk = open_bitcoindesk(coins=("1",))
    desk.submit(a="0.1", b="0.2")
    desk.pay()
    evicted(desk, desk.show("a")["txid"])
    stolen(desk)
    desk.node.mine(3)
    assert desk.pay(3) == {"a": "held", "b": "held"}
    assert "wallet=hot" in desk.run("freeze", "list").stdout
    assert desk.got(desk.show("a")["destination"]) == 0


def test_coins_that_no_payment_has_are_missed_too(open_bitcoindesk: Open) -> None:
    """S36: whoever has the keys need not touch what is under way."""
    desk = open_bitcoindesk(coins=("1",))
    desk.submit(a="0.1")
    desk.pay()
    desk.node.mine(3)
    assert desk.pay() == {"a": "final"}
    desk.steal()
    desk.node.mine(3)
    desk.submit(b="0.1")
    assert desk.pay(3) == {}
    assert "outflow: hot has sent 1 transactions that this ledger does not know" in desk.run("freeze", "list").stdout


def test_what_waits_in_the_pool_is_no_money_that_is_missing(open_bitcoindesk: Open) -> None:
    """The coins of a payment are not held any more as soon as it is sent: that is no alarm (S36)."""
    desk = open_bitcoindesk(coins=("1",))
    desk.submit(a="0.9")
    desk.pay()
    with (desk.folder / "configs" / "desk.toml").open("a", encoding="utf-8") as file:
        file.write('[bump]\nafter = "1ms"\n')
    desk.pay()
    assert desk.run("freeze", "list", "-o", "jsonl").jsonl == []


def test_what_only_reads_leaves_the_coins_of_payments_locked(open_bitcoindesk: Open) -> None:
    """A payment that no node has heard of yet keeps its coins while somebody looks at the wallet."""
    desk = open_bitcoindesk(coins=("1", "1"))
    desk.submit(a="0.5")
    assert desk.run("keys", "delete", "hot", "--force", "--yes").exit_code == 0
    assert desk.pay(8) == {"a": "reserved"}
    locked = desk.node.rpc("listlockunspent", wallet="hot")
    assert len(locked) == 1
    for look in (("wallet", "balance"), ("reconcile",)):
        desk.run(*look)
        assert desk.node.rpc("listlockunspent", wallet="hot") == locked


def test_locks_that_no_payout_has_are_let_go(open_bitcoindesk: Open) -> None:
    """A run that died between choosing coins and recording them leaks nothing."""
    desk = open_bitcoindesk(coins=("1",))
    (coin,) = desk.node.rpc("listunspent", wallet="hot")
    assert desk.node.rpc("lockunspent", False, [{"txid": coin["txid"], "vout": coin["vout"]}], wallet="hot")
    desk.submit(a="0.1")
    assert desk.pay() == {"a": "broadcast"}


def evicted(desk: Bitcoindesk, txid: str) -> None:
    """The node forgets a transaction: it is restarted without its pool, and the wallet does not give it back."""
    desk.forget(txid)


def stolen(desk: Bitcoindesk) -> None:
    """Somebody with the same keys spends a coin of the wallet."""
    desk.steal()
