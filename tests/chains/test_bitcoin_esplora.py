"""Esplora servers as a second kind of endpoint: over a live node, and as recorded."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cryptosupport.chains.bitcoin import esplora_open
from cryptosupport.chains.bitcoin.networks import NETWORKS
from cryptosupport.domain.errors import NodesFailed
from cryptosupport.domain.money import Amount, FeeRate
from cryptosupport.domain.transactions import (
    Confirmed,
    Confirming,
    Detail,
    Dropped,
    Hint,
    NotFound,
    Pending,
    PendingReason,
    Replaced,
    Sighting,
    Unknown,
)
from cryptosupport.outside.nodes import Bitcoind
from cryptosupport.settings import Endpoint
from tests.chains.bitcoinkit import (
    BTC,
    COIN,
    ELSEWHERE,
    FOREIGN,
    Desk,
    Purse,
    chain_over,
    endpoint,
    invalidate_tip,
    satoshis,
)
from tests.chains.esplorakit import EsploraOf
from tests.hostile import JSON, PLAIN, HostileNode, Reply
from tests.shared import fixture


@pytest.fixture
def server(bitcoind: Bitcoind) -> Iterator[EsploraOf]:
    with EsploraOf(bitcoind) as server:
        yield server


@pytest.fixture
def desk(server: EsploraOf, tmp_path: Path) -> Desk:
    return Desk(chain_over(server.endpoint), tmp_path)


# -- over a live node ------------------------------------------------------------------------------------------------


def test_it_tells_the_same_as_the_node_itself(bitcoind: Bitcoind, desk: Desk, tmp_path: Path) -> None:
    purse = Purse(bitcoind, 6)
    own = bitcoind.rpc("getnewaddress", "", "bech32m", wallet="miner")
    first = purse.coin()
    mine = bitcoind.rpc("getrawtransaction", first[0], 1)["vout"][first[1]]["scriptPubKey"]["address"]
    txids = [
        purse.pay(),
        purse.pay(purse.coin(), purse.coin()),
        purse.pay(to={FOREIGN: "0.004", own: "0.005", "data": "00aabb"}),
        purse.pay(first, to={FOREIGN: "0.004", mine: "0.005"}),
    ]
    txids += bitcoind.rpc("getblock", bitcoind.mine(1)[0])["tx"][:1]
    waiting = purse.pay()
    itself = chain_over(endpoint(bitcoind))
    for _ in range(3):
        told = desk.look_at([*txids, waiting, "ab" * 32])
        truth = itself.look_up([*txids, waiting, "ab" * 32], Detail.FULL, {})
        for report, node in zip(told, truth, strict=True):
            assert (report.txid, report.state, report.final) == (node.txid, node.state, node.final)
            assert (report.fee, report.coinbase) == (node.fee, node.coinbase)
            assert report.transfers == node.transfers
            if isinstance(report.status, Confirming | Confirmed):
                assert report.status == node.status
            if report.remember is not None:
                assert node.remember is not None
                assert report.remember.inputs == node.remember.inputs
                assert report.remember.block_hash == node.remember.block_hash
        brief = desk.chain.look_up([*txids, waiting, "ab" * 32], Detail.BRIEF, {})
        assert [(each.state, each.final) for each in brief] == [(each.state, each.final) for each in told]
        bitcoind.mine(1)
        waiting = txids[0]


def test_an_unknown_id_is_not_found_though_its_status_is_called_unconfirmed(desk: Desk) -> None:
    for detail in Detail:
        report = desk.look("ab" * 32, detail)
        assert isinstance(report.status, NotFound)
        assert len(report.status.nodes) == 1


def test_a_waiting_payment_is_judged_by_the_queue_and_its_ancestors(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 2)
    own = bitcoind.rpc("getnewaddress", "", "bech32", wallet="miner")
    parent = purse.pay(to=own, fee=110)
    child = purse.pay((parent, 0), fee=5500, worth=COIN - 110 * COIN / 10**6)
    report = desk.look(child)
    entry = bitcoind.rpc("getmempoolentry", child)
    assert isinstance(report.status, Pending)
    assert report.status.ancestors == entry["ancestorcount"] - 1 == 1
    assert report.status.feerate == FeeRate.of(satoshis(entry["fees"]["ancestor"]), entry["ancestorsize"])
    assert report.status.eta_blocks == 1
    assert report.status.replaceable is True
    assert report.status.reason is PendingReason.WAITING  # the queue shows that nothing holds it
    assert report.fee == Amount(5500, BTC)
    final = purse.pay(sequence=0xFFFFFFFF)
    status = desk.look(final).status
    assert isinstance(status, Pending)
    assert status.replaceable is None  # what the miners' nodes would take is not known
    facts = {fact.name: fact.value for fact in desk.look(child, Detail.EXPLAIN).facts}
    assert facts["vsize"] == str(entry["vsize"])
    assert facts["ancestors"] == "1"
    assert facts["last_state"] == "pending"


def test_estimates_of_the_server_are_the_market(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 110)
    for _ in range(5):
        for _ in range(20):
            purse.pay(fee=2200)
        bitcoind.mine(1)
    estimate = bitcoind.rpc("estimatesmartfee", 2)["feerate"]
    status = desk.look(purse.pay(fee=220)).status
    assert isinstance(status, Pending)
    assert status.market == FeeRate(satoshis(estimate))


def test_a_replacement_is_found_through_what_was_spent(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 1)
    coin = purse.coin()
    first = purse.pay(coin, fee=500)
    desk.look(first)
    second = purse.pay(coin, fee=5000)
    for depth in range(5):
        status = desk.look(first).status
        assert isinstance(status, Replaced)
        assert (status.by, status.outpoint) == (second, f"{coin[0]}:{coin[1]}")
        assert status.final is (depth >= 3)
        bitcoind.mine(1)


def test_a_replacement_tree_without_any_memory_tells_that_it_was_replaced_and_proves_no_more(
    bitcoind: Bitcoind, tmp_path: Path
) -> None:
    purse = Purse(bitcoind, 1)
    coin = purse.coin()
    first, second = purse.pay(coin, fee=500), purse.pay(coin, fee=5000)
    tree = {"replacements": {"tx": {"txid": second}, "replaces": [{"tx": {"txid": first}}]}, "replaces": None}
    with EsploraOf(bitcoind, {first: tree, "ab" * 32: {"replacements": None}}) as server:
        desk = Desk(chain_over(server.endpoint), tmp_path)
        for _ in range(4):
            report = desk.look(first, Detail.EXPLAIN)
            assert report.status == Replaced(None, False)
            assert ("newest_replacement", second) in [(fact.name, fact.value) for fact in report.facts]
            bitcoind.mine(1)
        assert desk.look("ab" * 32).state == "not_found"
        assert desk.look("cd" * 32).state == "not_found"


def test_a_replacement_that_was_itself_replaced_for_another_coin_leaves_the_first_free_to_come_back(
    bitcoind: Bitcoind, tmp_path: Path
) -> None:
    purse = Purse(bitcoind, 2)
    coin, other = purse.coin(), purse.coin()
    signed = [purse.signed([coin]), purse.signed([coin, other], fee=6000), purse.signed([other], fee=30_000)]
    first, second, third = [bitcoind.rpc("decoderawtransaction", each)["txid"] for each in signed]
    replaced = {"tx": {"txid": second}, "replaces": [{"tx": {"txid": first}}]}
    with EsploraOf(bitcoind, {first: {"replacements": {"tx": {"txid": third}, "replaces": [replaced]}}}) as server:
        desk = Desk(chain_over(server.endpoint), tmp_path)
        bitcoind.rpc("sendrawtransaction", signed[0])
        assert desk.look(first).state == "pending"
        bitcoind.rpc("sendrawtransaction", signed[1])
        bitcoind.rpc("sendrawtransaction", signed[2])
        bitcoind.mine(4)
        assert desk.look(first).status == Dropped(False)
        (blank,) = desk.chain.look_up([first], Detail.FULL, {})
        assert blank.status == Replaced(None, False)
        assert bitcoind.rpc("sendrawtransaction", signed[0]) == first
        bitcoind.mine(1)
        assert desk.look(first).state == "confirming"


def test_a_tree_s_newest_is_the_winner_where_it_spends_the_same_coin(bitcoind: Bitcoind, tmp_path: Path) -> None:
    purse = Purse(bitcoind, 1)
    coin = purse.coin()
    first, second = purse.pay(coin, fee=500), purse.pay(coin, fee=5000)
    tree = {"replacements": {"tx": {"txid": second}, "replaces": [{"tx": {"txid": first}}]}}
    spent = (f"{coin[0]}:{coin[1]}",)
    memory = {first: Sighting("bitcoin", first, 1, 1, "pending", None, None, None, None, spent)}
    with EsploraOf(bitcoind, {first: tree}) as server:
        honest = server._translate

        def mute(exchange: Any) -> Reply:  # a server that cannot tell who spent it
            nobody = b'{"spent": true, "status": {"confirmed": true}}'
            return Reply(nobody, headers=JSON) if "/outspend/" in exchange.request.path else honest(exchange)

        server.always(mute)
        chain = chain_over(server.endpoint)
        for depth in range(5):
            (report,) = chain.look_up([first], Detail.FULL, memory)
            assert report.status == Replaced(second, depth >= 3, None, spent[0])
            bitcoind.mine(1)


def test_the_reward_of_a_block_that_left_the_chain_does_not_wait(bitcoind: Bitcoind, desk: Desk) -> None:
    reward = bitcoind.rpc("getblock", block := bitcoind.mine(1)[0])["tx"][0]
    assert desk.look(reward).state == "confirming"
    invalidate_tip(bitcoind)
    bitcoind.mine(1, ELSEWHERE)
    assert desk.look(reward).status == Dropped(False, block)
    (blank,) = desk.chain.look_up([reward], Detail.FULL, {})
    assert blank.status == Dropped(False)
    bitcoind.mine(2, ELSEWHERE)
    for report in (desk.look(reward), *desk.look_at([reward, reward]), desk.look(reward, Detail.BRIEF)):
        assert (report.status, report.coinbase) == (Dropped(True, block), True)


def test_a_server_that_has_the_spend_and_not_the_transaction_is_not_believed(
    bitcoind: Bitcoind, server: EsploraOf, desk: Desk
) -> None:
    txid = Purse(bitcoind, 1).pay()
    assert desk.look(txid).state == "pending"
    bitcoind.mine(1)
    honest = server._translate
    lacking = Reply(b"Transaction not found", 404, PLAIN)
    server.always(lambda exchange: lacking if exchange.request.path == f"/tx/{txid}" else honest(exchange))
    status = desk.look(txid).status
    assert isinstance(status, Unknown)
    assert status.code == "busy"


def test_a_reorg_shows_as_waiting_again_and_the_winner_of_a_fork_as_replacement(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 2)
    coin, other = purse.coin(), purse.coin()
    loser, winner = purse.signed([coin], fee=500), purse.signed([coin], fee=9000)
    unlucky = bitcoind.rpc("sendrawtransaction", purse.signed([other]))
    txid = bitcoind.rpc("sendrawtransaction", loser)
    bitcoind.mine(1)
    assert {desk.look(txid).state, desk.look(unlucky).state} == {"confirming"}
    left = invalidate_tip(bitcoind)
    # A server at a lower height might only lag behind; at the same height it has seen another block there.
    assert desk.look(txid).status.reason is PendingReason.WAITING  # type: ignore[union-attr]
    bitcoind.rpc("generateblock", ELSEWHERE, [])
    for each in (txid, unlucky):
        status = desk.look(each).status
        assert isinstance(status, Pending)
        assert (status.reason, status.was_in) == (PendingReason.REORGED, left)
    by = bitcoind.rpc("sendrawtransaction", winner)
    # electrs still serves the loser, as an unconfirmed transaction: what it spent tells.
    assert bitcoind.rpc("getrawtransaction", txid, 1)["confirmations"] == 0
    status = desk.look(txid).status
    assert isinstance(status, Replaced)
    assert (status.by, status.final) == (by, False)
    bitcoind.mine(3, ELSEWHERE)
    for report in (desk.look(txid), *desk.look_at([txid, txid]), desk.look(txid, Detail.BRIEF)):
        assert isinstance(report.status, Replaced)
        assert (report.status.by, report.status.final) == (by, True)


def test_a_block_hash_is_recognised_and_health_is_told(bitcoind: Bitcoind, desk: Desk) -> None:
    assert desk.chain.recognise(bitcoind.mine(1)[0]) == (Hint.BLOCK_HASH, None)
    assert desk.chain.recognise("ab" * 32) is None
    (verdict,) = desk.chain.health()
    assert (verdict.ok, verdict.height) == (True, bitcoind.rpc("getblockcount"))
    assert verdict.time == bitcoind.rpc("getblockheader", bitcoind.rpc("getbestblockhash"))["time"]


def test_a_server_of_another_network_is_refused(bitcoind: Bitcoind, server: EsploraOf) -> None:
    chain = chain_over(server.endpoint, network="mainnet")
    with pytest.raises(NodesFailed, match="first block") as caught:
        chain.look_up(["ab" * 32], Detail.FULL, {})
    assert caught.value.failures[0].reason == "wrong_chain"
    assert chain.health()[0].ok is False


def test_what_the_own_node_lacks_is_asked_of_the_server_too(
    bitcoind: Bitcoind, server: EsploraOf, bitcoind_with: Callable[..., Bitcoind]
) -> None:
    txid = Purse(bitcoind, 1).pay()
    bitcoind.mine(1)
    chain = chain_over(endpoint(bitcoind_with("-txindex=0")), server.endpoint)
    found, missing = chain.look_up([txid, "ab" * 32], Detail.FULL, {})
    assert (found.state, found.source) == ("confirming", server.url.removeprefix("http://"))
    assert isinstance(missing.status, Unknown)
    assert missing.status.code == "no_index"
    # An unsynced or failing server does not take from what the other says.
    server.always(Reply(b"busy", 503, PLAIN))
    found, missing = chain.look_up([txid, "ab" * 32], Detail.FULL, {})
    assert isinstance(found.status, Unknown)
    assert (found.status.code, len(found.status.nodes)) == ("no_index", 2)


# -- as recorded -----------------------------------------------------------------------------------------------------

MAINNET = NETWORKS["mainnet"].genesis
TIP = "00000000000000000000a1" + "0" * 42


def recorded(routes: dict[str, Any], tip: int, age: int = 60) -> HostileNode:
    """A mainnet server at height ``tip`` that answers ``routes``; its last block is ``age`` seconds old."""
    told: dict[str, Any] = {
        "/block-height/0": MAINNET.encode(),
        "/blocks/tip/height": str(tip).encode(),
        "/blocks/tip/hash": TIP.encode(),
        f"/block/{TIP}": {"height": tip, "timestamp": int(time.time()) - age},
        **routes,
    }
    return HostileNode(
        routes={
            path: body if isinstance(body, bytes) else Reply(json.dumps(body).encode(), headers=JSON)
            for path, body in told.items()
        }
    )


def over(server: HostileNode, **settings: Any) -> Any:
    return chain_over(Endpoint(url=server.url, kind="esplora", timeout="3s"), network="mainnet", **settings)


def test_the_recorded_unconfirmed_transaction_is_pending_with_all_its_money() -> None:
    tx = fixture("bitcoin/esplora_tx_unconfirmed.json")["response"]
    txid, vin = tx["txid"], tx["vin"][0]
    routes = {
        f"/tx/{txid}": tx,
        f"/tx/{vin['txid']}/outspend/{vin['vout']}": {"spent": True, "txid": txid, "status": {"confirmed": False}},
        "/fee-estimates": {"2": 87.882, "6": 68.285, "144": 1.027, "1008": 1.027},
        "/mempool": {
            "count": 1,
            "vsize": 3_444_604,
            "fee_histogram": [[53.01, 1_021_310], [4.5, 990_000], [4.0, 138_976]],
        },
    }
    with recorded(routes, 790_000) as server:
        (report,) = over(server).look_up([txid], Detail.FULL, {})
    assert isinstance(report.status, Pending)
    assert report.status.feerate == FeeRate.of(960, 224)
    assert report.status.market == FeeRate(87_882)
    assert report.status.eta_blocks == 3
    assert report.status.reason is PendingReason.WAITING
    assert report.status.replaceable is True
    assert report.fee == Amount(960, BTC)
    (moved,) = report.transfers
    assert moved.amount == Amount(49_040, BTC)
    assert moved.sender == moved.recipient == "1stAprEZapjCYGUACUcXohQqSHF9MU5Kj"
    assert moved.change is True


def test_recorded_spenders_prove_a_replacement() -> None:
    spend = fixture("bitcoin/esplora_outspend_confirmed.json")
    parent, vout = "15e10745f15593a899cef391191bdd3d7c12412cc4696b7bcb669d0feadc8521", 3
    lost = "cd" * 32
    memory = {lost: Sighting("bitcoin", lost, 1, 1, "pending", None, None, None, None, (f"{parent}:{vout}",))}
    height = spend["response"]["status"]["block_height"]
    for tip, final in ((height, False), (height + 2, True)):
        with recorded({f"/tx/{parent}/outspend/{vout}": spend["response"]}, tip) as server:
            (report,) = over(server).look_up([lost], Detail.FULL, memory)
        assert isinstance(report.status, Replaced)
        assert (report.status.by, report.status.final) == (spend["response"]["txid"], final)
        assert report.remember is None  # the transaction itself was not seen


def test_the_recorded_replacement_tree_of_mempool_space_tells_of_a_replacement() -> None:
    tree = fixture("bitcoin/mempoolspace_rbf_tree.json")["response"]
    newest = tree["replacements"]["tx"]["txid"]
    old = tree["replacements"]["replaces"][0]["tx"]["txid"]
    cached = fixture("bitcoin/mempoolspace_cached_replaced_tx.json")["response"]
    with recorded({f"/v1/tx/{old}/rbf": tree, f"/tx/{newest}": {**cached, "txid": newest}}, 790_000) as server:
        (report,) = over(server).look_up([old], Detail.FULL, {})
    assert isinstance(report.status, Replaced)
    assert (report.status.by, report.status.final) == (None, False)


def test_a_server_whose_last_block_is_old_proves_no_absence_on_mainnet() -> None:
    absent = "ab" * 32
    memory = {absent: Sighting("bitcoin", absent, 1, 1, "pending")}
    with recorded({}, 790_000, age=5 * 3600) as server:
        (report,) = over(server).look_up([absent], Detail.FULL, {})
        assert isinstance(report.status, Unknown)
        assert report.status.code == "not_synced"
        assert "5 hours" in report.status.message
        assert over(server).look_up([absent], Detail.FULL, memory)[0].state == "unknown"
        assert over(server).health()[0].ok is False
    with recorded({}, 790_000) as server:
        (report,) = over(server).look_up([absent], Detail.FULL, memory)
        assert isinstance(report.status, Dropped)


def test_a_server_whose_last_block_is_old_does_not_say_that_it_waits() -> None:
    tx = fixture("bitcoin/esplora_tx_unconfirmed.json")["response"]
    for age, state in ((60, "pending"), (5 * 3600, "unknown")):
        with recorded({f"/tx/{tx['txid']}": tx}, 790_000, age) as server:
            (report,) = over(server).look_up([tx["txid"]], Detail.FULL, {})
        assert report.state == state


def test_what_spends_more_than_can_be_followed_is_not_called_gone() -> None:
    absent = "ab" * 32
    spent = tuple(f"{number:064x}:0" for number in range(esplora_open.MOST_INPUTS + 1))
    for inputs, state in ((spent[1:], "dropped"), (spent, "unknown")):
        memory = {absent: Sighting("bitcoin", absent, 1, 1, "pending", None, None, None, None, inputs)}
        with recorded({f"/tx/{each[:64]}/outspend/0": {"spent": False} for each in spent}, 790_000) as server:
            (report,) = over(server).look_up([absent], Detail.FULL, memory)
        assert report.state == state


def test_a_tip_from_before_the_block_still_counts_one_confirmation() -> None:
    tx = fixture("bitcoin/esplora_tx_unconfirmed.json")["response"]
    status = {
        "confirmed": True,
        "block_height": 800_000,
        "block_hash": "0" * 20 + "a" * 44,
        "block_time": 1_690_168_629,
    }
    with recorded({f"/tx/{tx['txid']}": {**tx, "status": status}}, 799_999) as server:
        (report,) = over(server).look_up([tx["txid"]], Detail.FULL, {})
    assert isinstance(report.status, Confirming)
    assert report.status.confirmations == 1


def test_servers_that_cannot_tell_who_spent_an_output_do_not_decide() -> None:
    tx = fixture("bitcoin/esplora_tx_unconfirmed.json")["response"]
    vin = tx["vin"][0]
    # mempool.space without an electrs behind it says this of any output.
    nobody = {"spent": True, "status": {"confirmed": True}}
    with recorded({f"/tx/{tx['txid']}": tx, f"/tx/{vin['txid']}/outspend/{vin['vout']}": nobody}, 790_000) as server:
        (report,) = over(server).look_up([tx["txid"]], Detail.FULL, {})
    assert isinstance(report.status, Pending)
    assert report.status.eta_blocks is None
