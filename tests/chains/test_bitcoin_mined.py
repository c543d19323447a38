"""What is in a block: depth, money, change, rewards. Truth is what the node says over its raw RPC."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cryptosupport.chains.bitcoin.codec import encode_segwit
from cryptosupport.domain.errors import BadSettings, NodesFailed
from cryptosupport.domain.money import Amount
from cryptosupport.domain.transactions import Confirmed, Confirming, Detail, Hint, NotFound, Unknown
from cryptosupport.outside.nodes import Bitcoind
from cryptosupport.settings import AssetSettings
from tests.chains.bitcoinkit import (
    BTC,
    ELSEWHERE,
    FOREIGN,
    Desk,
    Purse,
    chain_over,
    chain_settings,
    endpoint,
    satoshis,
)


@pytest.fixture
def desk(bitcoind: Bitcoind, tmp_path: Path) -> Desk:
    return Desk(chain_over(endpoint(bitcoind), explorer="https://explorer.example/tx/{txid}"), tmp_path)


def new_address(node: Bitcoind, kind: str, wallet: str = "miner") -> str:
    address: str = node.rpc("getnewaddress", "", kind, wallet=wallet)
    return address


# -- depth -----------------------------------------------------------------------------------------------------------


def test_a_payment_counts_confirmations_up_to_the_required_number(bitcoind: Bitcoind, desk: Desk) -> None:
    txid = Purse(bitcoind, 1).pay()
    for depth in range(1, 5):
        bitcoind.mine(1)
        report = desk.look(txid)
        truth = bitcoind.rpc("getrawtransaction", txid, 1)
        header = bitcoind.rpc("getblockheader", truth["blockhash"])
        assert isinstance(report.status, Confirming if depth < 3 else Confirmed)
        assert report.status.confirmations == truth["confirmations"] == depth
        assert report.status.block.hash == truth["blockhash"]
        assert (report.status.block.height, report.status.block.time) == (header["height"], header["time"])
        assert report.status.required == 3
        assert report.final is (depth >= 3)


def test_the_settings_say_how_many_confirmations_are_required(bitcoind: Bitcoind) -> None:
    txid = Purse(bitcoind, 1).pay()
    bitcoind.mine(2)
    for required, state in ((1, "confirmed"), (2, "confirmed"), (None, "confirming"), (6, "confirming")):
        (report,) = chain_over(endpoint(bitcoind), confirmations=required).look_up([txid], Detail.FULL, {})
        assert report.state == state
        assert isinstance(report.status, Confirming | Confirmed)
        assert report.status.required == (required or 3)


def test_a_block_reward_is_confirmed_but_cannot_be_spent_for_a_hundred_blocks(bitcoind: Bitcoind, desk: Desk) -> None:
    reward = bitcoind.rpc("getblock", bitcoind.mine(1)[0])["tx"][0]
    bitcoind.mine(2)
    report = desk.look(reward)
    assert report.coinbase
    assert report.fee is None
    assert isinstance(report.status, Confirmed)
    assert report.status.spendable_at == report.status.block.height + 100
    assert [(transfer.sender, transfer.change) for transfer in report.transfers] == [(None, False)]
    brief = desk.look_at([reward] * 30, Detail.BRIEF)[29]
    assert brief.coinbase
    assert isinstance(brief.status, Confirmed)
    assert brief.status.spendable_at == report.status.spendable_at
    bitcoind.mine(97)
    report = desk.look(reward)
    assert isinstance(report.status, Confirmed)
    # The next block has the height at which the reward may be spent (COINBASE_MATURITY).
    assert report.status.confirmations == 100
    assert report.status.spendable_at is None
    assert bitcoind.rpc("getblockcount") + 1 == report.status.block.height + 100


def test_the_reward_of_the_first_block_is_found_though_the_node_refuses_to_give_it(
    bitcoind: Bitcoind, desk: Desk
) -> None:
    genesis = bitcoind.rpc("getblockhash", 0)
    reward = bitcoind.rpc("getblock", genesis, 1)["tx"][0]
    report = desk.look(reward)
    assert isinstance(report.status, Confirmed)
    assert (report.status.block.hash, report.status.block.height) == (genesis, 0)
    assert report.status.spendable_at is None  # it can never be spent
    assert [transfer.amount.base_units for transfer in report.transfers] == [50 * 10**8]


# -- money -----------------------------------------------------------------------------------------------------------


def test_every_kind_of_output_is_paid_to_its_address(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 1)
    kinds = ("legacy", "p2sh-segwit", "bech32", "bech32m")
    paid: dict[str, Any] = {new_address(bitcoind, kind): f"0.000{digit}" for digit, kind in enumerate(kinds, 1)}
    script = bitcoind.rpc("getdescriptorinfo", f"wsh(multi(1,{_key(bitcoind)}))")["descriptor"]
    paid[bitcoind.rpc("deriveaddresses", script)[0]] = "0.0005"
    paid["data"] = "00aabb"
    txid = purse.pay(to=paid)
    bitcoind.mine(1)
    report = desk.look(txid)
    truth = bitcoind.rpc("getrawtransaction", txid, 2)
    told = [(each.vout, each.recipient, each.amount.base_units) for each in report.transfers]
    assert told == [
        (out["n"], out["scriptPubKey"]["address"], satoshis(out["value"])) for out in truth["vout"] if out["value"] > 0
    ]
    types = {out["scriptPubKey"]["type"] for out in truth["vout"]}
    assert types == {
        "pubkeyhash",
        "scripthash",
        "witness_v0_keyhash",
        "witness_v0_scripthash",
        "witness_v1_taproot",
        "nulldata",
    }
    assert report.fee == Amount(satoshis(truth["fee"]), BTC)


def _key(node: Bitcoind) -> str:
    key: str = node.rpc("getaddressinfo", new_address(node, "bech32"), wallet="miner")["pubkey"]
    return key


def test_an_output_without_an_address_has_no_recipient(bitcoind: Bitcoind, desk: Desk) -> None:
    key = _key(bitcoind)
    bare = bitcoind.rpc("getdescriptorinfo", f"pk({key})")["descriptor"]
    block = bitcoind.rpc("generatetodescriptor", 1, bare)[0]
    report = desk.look(bitcoind.rpc("getblock", block)["tx"][0])
    assert [(transfer.recipient, transfer.vout) for transfer in report.transfers] == [(None, 0)]


def test_the_sender_is_named_only_when_all_inputs_share_an_address(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 3)
    one = purse.coin()
    alone, together = purse.pay(one), purse.pay(purse.coin(), purse.coin())
    bitcoind.mine(1)
    prevout = bitcoind.rpc("getrawtransaction", alone, 2)["vin"][0]["prevout"]
    assert {each.sender for each in desk.look(alone).transfers} == {prevout["scriptPubKey"]["address"]}
    assert {each.sender for each in desk.look(together).transfers} == {None}
    waiting = purse.node.rpc("sendtoaddress", FOREIGN, "0.5", wallet="miner")
    spends = purse.node.rpc("getrawtransaction", waiting, 1)["vin"]
    parent = purse.node.rpc("getrawtransaction", spends[0]["txid"], 1)["vout"][spends[0]["vout"]]
    assert len(spends) == 1
    assert {each.sender for each in desk.look(waiting).transfers} == {parent["scriptPubKey"]["address"]}


def test_change_is_told_apart_where_the_script_or_a_wallet_of_the_node_shows_it(bitcoind: Bitcoind, desk: Desk) -> None:
    bitcoind.rpc("createwallet", "shop/ä b")
    customer = new_address(
        bitcoind, "bech32", "shop/ä b".replace("/", "%2F").replace("ä", "%C3%A4").replace(" ", "%20")
    )
    txid = bitcoind.rpc("sendtoaddress", customer, "1", wallet="miner")
    for _ in ("waiting", "mined"):
        report = desk.look(txid)
        change = {each.recipient == customer: each.change for each in report.transfers}
        assert change == {True: False, False: True}
        bitcoind.mine(1)
    # In bulk the wallets are not asked: nobody can tell.
    in_bulk = desk.look_at([txid, txid])[0].transfers
    assert {each.recipient: each.change for each in in_bulk}[customer] is None
    purse = Purse(bitcoind, 1)
    coin = purse.coin()
    own = bitcoind.rpc("getrawtransaction", coin[0], 1)["vout"][coin[1]]["scriptPubKey"]["address"]
    txid = purse.pay(coin, to={own: "0.004", FOREIGN: "0.005"})
    bitcoind.mine(1)
    bitcoind.rpc("unloadwallet", "miner")
    for report in (desk.look(txid), desk.look_at([txid, txid])[0]):
        assert [each.change for each in report.transfers] == [True, None]


def test_a_wallet_that_only_watches_a_part_does_not_deny_change(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 1)
    coin = purse.coin()
    source = bitcoind.rpc("gettxout", *coin)["scriptPubKey"]["address"]
    change = bitcoind.rpc("getrawchangeaddress", "bech32", wallet="miner")
    bitcoind.rpc("createwallet", "watch", True, True)
    watched = bitcoind.rpc("getdescriptorinfo", f"addr({source})")["descriptor"]
    bitcoind.rpc("importdescriptors", [{"desc": watched, "timestamp": "now"}], wallet="watch")
    txid = purse.pay(coin, to={FOREIGN: "0.002", change: "0.00799"})
    assert {each.recipient: each.change for each in desk.look(txid).transfers} == {FOREIGN: False, change: True}
    bitcoind.rpc("unloadwallet", "miner")
    assert len(bitcoind.rpc("gettransaction", txid, wallet="watch")["details"]) == 2
    stranger = chain_over(endpoint(bitcoind))
    (report,) = stranger.look_up([txid], Detail.FULL, {})
    assert {each.recipient: each.change for each in report.transfers} == {FOREIGN: None, change: None}


def test_a_thousand_outputs_are_all_told(bitcoind: Bitcoind, desk: Desk) -> None:
    addresses = [encode_segwit("bcrt", 0, number.to_bytes(20, "big")) for number in range(1, 1001)]
    txid = bitcoind.rpc("sendmany", "", dict.fromkeys(addresses, "0.0001"), wallet="miner")
    bitcoind.mine(1)
    report = desk.look(txid)
    truth = bitcoind.rpc("getrawtransaction", txid, 2)
    assert [each.amount.base_units for each in report.transfers] == [satoshis(out["value"]) for out in truth["vout"]]
    assert report.fee is not None
    total = sum(each.amount.base_units for each in report.transfers) + report.fee.base_units
    assert total == sum(satoshis(vin["prevout"]["value"]) for vin in truth["vin"])


# -- the long explanation --------------------------------------------------------------------------------------------


def test_the_long_explanation_gives_each_fact_with_the_call_that_told_it(bitcoind: Bitcoind, desk: Desk) -> None:
    txid = bitcoind.rpc("sendtoaddress", FOREIGN, "1", wallet="miner")
    desk.look(txid)
    bitcoind.mine(1)
    report = desk.look(txid, Detail.EXPLAIN)
    truth = bitcoind.rpc("getrawtransaction", txid, 2)
    facts = {fact.name: fact.value for fact in report.facts}
    for name in ("version", "size", "vsize", "weight", "locktime"):
        assert facts[name] == str(truth[name])
    assert facts["wtxid"] == truth["hash"]
    assert (facts["inputs"], facts["outputs"]) == (str(len(truth["vin"])), str(len(truth["vout"])))
    assert facts["block_hash"] == truth["blockhash"]
    assert facts["feerate"] == "10 sat/vB"
    assert (facts["wallet"], facts["wallet_paid"]) == ("miner", "true")
    assert facts["last_state"] == "pending"
    node = bitcoind.url.removeprefix("http://")
    assert {fact.source for fact in report.facts} == {
        f"getrawtransaction @ {node}",
        f"getblockheader @ {node}",
        f"gettransaction @ {node}",
        f"getblockchaininfo @ {node}",
        "memory",
    }
    assert report.explorer == f"https://explorer.example/tx/{txid}"
    assert report.source == node


# -- nodes -----------------------------------------------------------------------------------------------------------


def test_the_cookie_file_is_login_enough(bitcoind: Bitcoind, tmp_path: Path) -> None:
    txid = Purse(bitcoind, 1).pay()
    chain = chain_over(endpoint(bitcoind, cookie_file=str(bitcoind.cookie_file)))
    assert chain.look_up([txid], Detail.FULL, {})[0].state == "pending"


def test_a_node_of_another_network_is_refused_by_name(bitcoind: Bitcoind) -> None:
    chain = chain_over(endpoint(bitcoind), network="mainnet")
    with pytest.raises(NodesFailed, match=r"127\.0\.0\.1:\d+: is on 'regtest'.*mainnet") as caught:
        chain.look_up(["ab" * 32], Detail.FULL, {})
    assert [failure.reason for failure in caught.value.failures] == ["wrong_chain"]
    with pytest.raises(NodesFailed, match="is on 'regtest'"):
        chain.look_up([f"{n:064x}" for n in range(30)], Detail.BRIEF, {})
    (verdict,) = chain.health()
    assert not verdict.ok
    assert "is on 'regtest'" in verdict.message


def test_found_on_one_node_is_found_though_another_has_never_heard_of_it(
    bitcoind_with: Callable[..., Bitcoind], tmp_path: Path
) -> None:
    one, other = bitcoind_with(), bitcoind_with()
    txid = Purse(other, 1).pay()
    chain = chain_over(endpoint(one), endpoint(other))
    absent = "ab" * 32
    found, missing = chain.look_up([txid, absent], Detail.FULL, {})
    assert (found.state, found.source) == ("pending", other.url.removeprefix("http://"))
    assert isinstance(missing.status, NotFound)
    assert missing.status.nodes == tuple(node.url.removeprefix("http://") for node in (one, other))


def test_a_node_without_blocks_of_today_cannot_prove_absence(bitcoind_with: Callable[..., Bitcoind]) -> None:
    # By its clock its last block is a week old: it believes that it has still to catch up.
    node = bitcoind_with(f"-mocktime={int(time.time()) + 7 * 86400}")
    (report,) = chain_over(endpoint(node)).look_up(["ab" * 32], Detail.FULL, {})
    assert isinstance(report.status, Unknown)
    assert report.status.code == "not_synced"
    assert report.status.nodes == (node.url.removeprefix("http://"),)


def test_health_says_what_is_wrong_with_a_node(bitcoind_with: Callable[..., Bitcoind]) -> None:
    good, unindexed = bitcoind_with(), bitcoind_with("-txindex=0")
    verdicts = chain_over(endpoint(good), endpoint(unindexed)).health()
    assert [verdict.ok for verdict in verdicts] == [True, False]
    assert verdicts[0].height == good.rpc("getblockcount")
    assert "no transaction index" in verdicts[1].message


# -- ids -------------------------------------------------------------------------------------------------------------


def test_a_block_hash_and_a_wtxid_are_recognised(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 2)
    mined = purse.pay()
    block = bitcoind.mine(3)[0]
    waiting = purse.pay()
    assert desk.chain.recognise(block) == (Hint.BLOCK_HASH, None)
    for txid in (mined, waiting):
        wtxid = bitcoind.rpc("getrawtransaction", txid, 1)["hash"]
        assert wtxid != txid
        assert desk.look(wtxid).state == "not_found"
        assert desk.chain.recognise(wtxid) == (Hint.WTXID, txid)
    assert desk.chain.recognise("ab" * 32) is None
    assert desk.chain.recognise("hello") is None


def test_an_id_with_many_zeros_looks_like_a_block_of_mainnet_even_to_silent_nodes(bitcoind: Bitcoind) -> None:
    chain = chain_over(network="mainnet")
    assert chain.recognise("0" * 19 + "a" * 45) == (Hint.BLOCK_HASH, None)
    assert chain.recognise("0" * 15 + "a" * 49) is None
    assert chain_over(endpoint(bitcoind)).recognise("0" * 19 + "a" * 45) is None


def test_an_id_is_sixty_four_hex_digits_and_0x_is_not_its_way() -> None:
    chain = chain_over()
    assert chain.txid("ab" * 32) == chain.txid("0x" + "ab" * 32) == "ab" * 32
    assert [chain.txid(text) for text in ("ab" * 31, "AB" * 32, "zz" * 32, "", "0x", "ab" * 32 + "\n")] == [None] * 6
    assert (chain.native("ab" * 32), chain.native("0x" + "ab" * 32)) == (True, False)


def test_settings_that_bitcoin_does_not_have_are_refused() -> None:
    for wrong in (
        {"network": "testnet"},
        {"finality": "finalized"},
        {"assets": {"BTC": AssetSettings(decimals=18)}},
        {"assets": {}},
    ):
        with pytest.raises(BadSettings, match=r"chains/bitcoin\.toml"):
            chain_over(**wrong)
    assert chain_settings().network == "regtest"


def test_an_address_of_this_network_is_read(bitcoind: Bitcoind, desk: Desk) -> None:
    address = desk.chain.parse_address(ELSEWHERE)
    assert address is not None
    assert desk.chain.describe_address(address).contract is None
