"""What was there and is not any more: replaced, dropped, undone. Truth is what the node says over its raw RPC."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cryptosupport.chains.bitcoin import winners
from cryptosupport.domain.transactions import (
    Confirming,
    Detail,
    Dropped,
    NotFound,
    Pending,
    Replaced,
    Sighting,
    TxReport,
    Unknown,
)
from cryptosupport.outside.nodes import Bitcoind
from tests.chains.bitcoinkit import COIN, ELSEWHERE, FOREIGN, Desk, Purse, chain_over, endpoint, invalidate_tip


@pytest.fixture
def desk(bitcoind: Bitcoind, tmp_path: Path) -> Desk:
    return Desk(chain_over(endpoint(bitcoind)), tmp_path)


def replaced(report: TxReport) -> Replaced:
    assert isinstance(report.status, Replaced), report
    assert (report.state, report.final) == ("replaced", report.status.final)
    assert (report.fee, report.transfers) == (None, ())
    return report.status


def dropped(report: TxReport) -> Dropped:
    assert isinstance(report.status, Dropped), report
    assert (report.state, report.final) == ("dropped", report.status.final)
    return report.status


def expire(node: Bitcoind, signed: str) -> str:
    """Let two weeks go by for the mempool, which forgets what it holds when ``signed`` comes; the id of that."""
    node.rpc("setmocktime", int(time.time()) + 15 * 86400)
    txid: str = node.rpc("sendrawtransaction", signed)
    assert node.rpc("getrawmempool") == [txid]
    node.rpc("setmocktime", 0)
    return txid


# -- replaced --------------------------------------------------------------------------------------------------------


def test_a_replacement_is_named_while_it_waits_and_final_only_when_deep_enough(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 1)
    coin = purse.coin()
    first = purse.pay(coin, fee=500)
    assert desk.look(first).state == "pending"
    second = purse.pay(coin, fee=5000)
    bitcoind.rpc("unloadwallet", "miner")  # memory alone has to do
    status = replaced(desk.look(first))
    assert (status.by, status.final, status.outpoint) == (second, False, f"{coin[0]}:{coin[1]}")
    for depth in (1, 2, 3):
        bitcoind.mine(1)
        assert bitcoind.rpc("getrawtransaction", second, 1)["confirmations"] == depth
        status = replaced(desk.look(first))
        assert (status.by, status.final) == (second, depth >= 3)
        assert status.outpoint == f"{coin[0]}:{coin[1]}"
    assert desk.look(second).state == "confirmed"


def test_a_bulk_look_says_replaced_too_and_names_who_waits(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 30)
    coins = [purse.coin() for _ in range(30)]
    firsts = [purse.pay(coin, fee=500) for coin in coins]
    desk.look_at(firsts)
    seconds = [purse.pay(coin, fee=5000) for coin in coins]
    bitcoind.rpc("unloadwallet", "miner")
    assert [replaced(report).by for report in desk.look_at(firsts)] == seconds
    bitcoind.mine(3)
    for report, second in zip(desk.look_at(firsts), seconds, strict=True):
        assert (replaced(report).by, report.final) == (second, True)
    assert desk.look(firsts[7]).status == desk.look_at(firsts)[7].status


def test_a_winner_too_deep_to_be_named_is_still_final(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 3)
    coins = [purse.coin() for _ in range(3)]
    firsts = [purse.pay(coin, fee=500) for coin in coins]
    desk.memory.remember(
        [
            Sighting("bitcoin", txid, 1, 1, "pending", None, None, None, None, (f"{coin[0]}:{coin[1]}",))
            for txid, coin in zip(firsts, coins, strict=True)
        ]
    )
    for coin in coins[:2]:
        purse.pay(coin, fee=5000)
    late = purse.signed([coins[2]], fee=5000)
    bitcoind.rpc("unloadwallet", "miner")
    bitcoind.mine(1, ELSEWHERE)
    bitcoind.mine(winners.MOST_BLOCKS)
    for report in (desk.look(firsts[0]), *desk.look_at(firsts[:2])):
        assert (replaced(report).by, report.final) == (None, True)
    assert (late, desk.look(firsts[2]).state) == (late, "confirmed")


def test_a_rival_for_the_last_of_many_coins_is_found_in_bulk_too(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 25)
    txid = purse.pay(*sorted(purse.coin() for _ in range(25)), fee=2500)
    last = bitcoind.rpc("getrawtransaction", txid, 1)["vin"][-1]
    assert {report.state for report in desk.look_at([txid, txid])} == {"pending"}
    winner = purse.pay((last["txid"], last["vout"]), fee=30_000)
    bitcoind.rpc("unloadwallet", "miner")
    for depth in (0, 4):
        bitcoind.mine(depth)
        for report in (desk.look(txid), *desk.look_at([txid, "ab" * 32])[:1]):
            assert (replaced(report).by, report.final) == (winner, depth >= 3)


@pytest.mark.parametrize("ids", [1, 25])
def test_what_was_seen_by_its_state_alone_is_known_to_be_replaced_later(
    bitcoind: Bitcoind, desk: Desk, ids: int
) -> None:
    purse = Purse(bitcoind, 1)
    coin = purse.coin()
    first, absent = purse.pay(coin, fee=500), [f"{number:064x}" for number in range(1, ids)]
    for _ in range(2):
        assert desk.look_at([first, *absent], Detail.BRIEF)[0].state == "pending"
        assert desk.recall(first).inputs == (f"{coin[0]}:{coin[1]}",)
    second = purse.pay(coin, fee=5000)
    bitcoind.mine(3)
    bitcoind.rpc("unloadwallet", "miner")
    assert replaced(desk.look(first)) == Replaced(second, True, None, f"{coin[0]}:{coin[1]}")


def test_a_conflict_first_seen_without_memory_is_told_by_the_node_s_wallet(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 1)
    coin = purse.coin()
    own = bitcoind.rpc("getnewaddress", "", "bech32", wallet="miner")
    first = purse.pay(coin, fee=500)
    bitcoind.rpc("gettransaction", first, wallet="miner")
    second = purse.pay(coin, to=own, fee=5000)
    assert bitcoind.rpc("gettransaction", first, wallet="miner")["mempoolconflicts"] == [second]
    status = replaced(desk.look(first))
    assert (status.by, status.final) == (second, False)
    for depth in (1, 2, 3):
        bitcoind.mine(1)
        assert bitcoind.rpc("gettransaction", first, wallet="miner")["confirmations"] == -depth
        for report in (desk.look(first), desk.look_at([first, second])[0]):
            status = replaced(report)
            assert (status.by, status.final, status.outpoint) == (second, depth >= 3, f"{coin[0]}:{coin[1]}")


def test_a_conflict_that_no_wallet_knows_is_found_in_the_blocks(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 2)
    coin = purse.coin()
    loser, winner = purse.signed([coin], fee=500), purse.signed([coin, purse.coin()], fee=9000)
    txid = bitcoind.rpc("sendrawtransaction", loser)
    assert desk.look(txid).state == "pending"
    bitcoind.rpc("unloadwallet", "miner")
    by = bitcoind.rpc("sendrawtransaction", winner)
    bitcoind.mine(6)
    report = desk.look(txid, Detail.EXPLAIN)
    status = replaced(report)
    assert (status.by, status.final, status.outpoint) == (by, True, f"{coin[0]}:{coin[1]}")
    truth = bitcoind.rpc("getrawtransaction", by, 1)
    facts = {fact.name: fact.value for fact in report.facts}
    assert facts["winner_block"] == truth["blockhash"]
    assert facts["winner_confirmations"] == str(truth["confirmations"])


def test_a_payment_whose_parent_lost_is_gone_with_it(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 1)
    coin = purse.coin()
    own = bitcoind.rpc("getnewaddress", "", "bech32", wallet="miner")
    parent = purse.pay(coin, to=own, fee=1000)
    child = purse.pay((parent, 0), fee=1000, worth=COIN - 1000 * COIN / 10**6)
    desk.look(parent)
    assert desk.look(child).state == "pending"
    winner = purse.pay(coin, fee=9000)
    assert (replaced(desk.look(child)).by, desk.look(child).final) == (winner, False)
    bitcoind.mine(3)
    assert replaced(desk.look(parent)).by == winner
    # The wallet knows that the child conflicts with the chain, three blocks deep.
    assert bitcoind.rpc("gettransaction", child, wallet="miner")["confirmations"] == -3
    assert replaced(desk.look(child)).final is True
    bitcoind.rpc("unloadwallet", "miner")
    assert dropped(desk.look(child)).final is False
    # Memory of the parent proves it too.
    assert [replaced(report).final for report in desk.look_at([child, parent])] == [True, True]


# -- dropped ---------------------------------------------------------------------------------------------------------


def test_what_left_the_mempool_with_its_coins_unspent_is_dropped_and_can_come_back(
    bitcoind: Bitcoind, desk: Desk
) -> None:
    purse = Purse(bitcoind, 3)
    known, unknown, later = (purse.signed([purse.coin()]) for _ in range(3))
    txids = [bitcoind.rpc("sendrawtransaction", each) for each in (known, unknown)]
    desk.look(txids[0])
    bitcoind.rpc("unloadwallet", "miner")
    expire(bitcoind, later)
    assert dropped(desk.look(txids[0])).final is False
    assert [report.state for report in desk.look_at(txids)] == ["dropped", "not_found"]
    assert desk.look(txids[1]).state == "not_found"
    bitcoind.rpc("sendrawtransaction", known)
    assert desk.look(txids[0]).state == "pending"


def test_a_wallet_s_own_payment_that_the_mempool_forgot_is_dropped(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 2)
    later, txid = purse.signed([purse.coin()]), purse.pay()
    expire(bitcoind, later)
    assert dropped(desk.look(txid)).final is False
    assert desk.recall(txid).inputs
    bitcoind.rpc("abandontransaction", txid, wallet="miner")
    assert dropped(desk.look(txid)).final is False


# -- undone ----------------------------------------------------------------------------------------------------------


def test_a_conflict_that_was_confirmed_instead_after_a_reorg_is_named(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 1)
    coin = purse.coin()
    loser, winner = purse.signed([coin], fee=500), purse.signed([coin], fee=9000)
    txid = bitcoind.rpc("sendrawtransaction", loser)
    stale_block = bitcoind.mine(1)[0]
    assert isinstance(desk.look(txid).status, Confirming)
    invalidate_tip(bitcoind)
    by = bitcoind.rpc("sendrawtransaction", winner)
    bitcoind.mine(4, ELSEWHERE)
    # The trap: the node still finds it through its index, in a block that has left the chain.
    trap = bitcoind.rpc("getrawtransaction", txid, 1)
    assert (trap["confirmations"], trap["blockhash"]) == (0, stale_block)
    for wallet in (True, False):
        for report in (desk.look(txid), desk.look(txid, Detail.BRIEF)):
            status = replaced(report)
            assert (status.by, status.final, status.outpoint) == (by, True, f"{coin[0]}:{coin[1]}")
        if wallet:
            bitcoind.rpc("unloadwallet", "miner")


def test_the_stale_block_trap_without_any_memory(bitcoind: Bitcoind, tmp_path: Path) -> None:
    purse = Purse(bitcoind, 3)
    coin, other, later = purse.coin(), purse.coin(), purse.signed([purse.coin()])
    loser, winner = purse.signed([coin], fee=500), purse.signed([coin], fee=9000)
    unlucky = purse.signed([other], fee=500)
    bitcoind.rpc("unloadwallet", "miner")
    lost, gone = (bitcoind.rpc("sendrawtransaction", each) for each in (loser, unlucky))
    reward = bitcoind.rpc("getblock", stale := bitcoind.mine(1)[0])["tx"][0]
    invalidate_tip(bitcoind)
    expire(bitcoind, later)
    by = bitcoind.rpc("sendrawtransaction", winner)
    bitcoind.mine(1, ELSEWHERE)
    desk = Desk(chain_over(endpoint(bitcoind)), tmp_path)
    assert (replaced(desk.look(lost)).by, replaced(desk.look(lost)).final) == (by, False)
    status = dropped(desk.look(gone))
    assert (status.was_in, status.final) == (stale, False)
    # A reward goes with its block.
    status = dropped(desk.look(reward))
    assert (status.was_in, status.final) == (stale, False)
    bitcoind.mine(2, ELSEWHERE)
    assert dropped(desk.look(reward)).final is True
    assert replaced(desk.look(lost)).final is True
    assert [report.state for report in desk.look_at([lost, gone, reward])] == ["replaced", "dropped", "dropped"]
    # What the node still held is remembered, with what it spent.
    assert desk.recall(gone).inputs == (f"{other[0]}:{other[1]}",)


@pytest.mark.parametrize("index", [0, 1])
def test_a_wallet_s_reward_of_a_block_that_left_the_chain_has_no_rival(
    bitcoind_with: Callable[..., Bitcoind], tmp_path: Path, index: int
) -> None:
    node = bitcoind_with(f"-txindex={index}")
    block = node.mine(1, node.rpc("getnewaddress", wallet="miner"))[0]
    reward = node.rpc("getblock", block)["tx"][0]
    invalidate_tip(node)
    node.mine(2, ELSEWHERE)
    assert node.rpc("gettransaction", reward, wallet="miner")["confirmations"] == 0
    desk = Desk(chain_over(endpoint(node)), tmp_path)
    for report in (desk.look(reward), *desk.look_at([reward, "ab" * 32])[:1]):
        assert dropped(report).final is False
        assert report.coinbase is True


def test_a_chain_that_comes_back_makes_it_confirmed_again(bitcoind: Bitcoind, desk: Desk) -> None:
    txid = Purse(bitcoind, 1).pay()
    block = bitcoind.mine(1)[0]
    desk.look(txid)
    invalidate_tip(bitcoind)
    assert isinstance(desk.look(txid).status, Pending)
    bitcoind.rpc("reconsiderblock", block)
    report = desk.look(txid)
    assert isinstance(report.status, Confirming)
    assert report.status.block.hash == block


# -- nodes without an index ------------------------------------------------------------------------------------------


@pytest.fixture
def unindexed(bitcoind_with: Callable[..., Bitcoind]) -> Bitcoind:
    return bitcoind_with("-txindex=0")


def test_without_an_index_an_unknown_id_proves_nothing(unindexed: Bitcoind, tmp_path: Path) -> None:
    desk = Desk(chain_over(endpoint(unindexed)), tmp_path)
    for report in (desk.look("ab" * 32), *desk.look_at(["ab" * 32, "cd" * 32]), desk.look("ab" * 32, Detail.BRIEF)):
        assert isinstance(report.status, Unknown)
        assert report.status.code == "no_index"
        assert report.status.nodes == (unindexed.url.removeprefix("http://"),)


def spend_all(purse: Purse, node: Bitcoind) -> tuple[str, str]:
    """A transaction whose only output is spent again, both mined."""
    own = node.rpc("getnewaddress", "", "bech32", wallet="miner")
    txid = purse.pay(to=own, fee=1000)
    block: str = node.mine(1)[0]
    purse.pay((txid, 0), fee=1000, worth=COIN - 1000 * COIN / 10**6)
    node.mine(1)
    return txid, block


def test_without_an_index_the_wallet_the_outputs_the_blocks_and_memory_still_find_it(
    unindexed: Bitcoind, tmp_path: Path
) -> None:
    own = unindexed.rpc("getnewaddress", "", "bech32", wallet="miner")
    coins = unindexed.rpc("sendmany", "", {own: COIN}, wallet="miner")
    purse = Purse.of(unindexed, coins)
    unindexed.mine(1)
    txid, block = spend_all(purse, unindexed)
    unindexed.mine(20)
    for number, way in enumerate(("wallet", "memory")):
        folder = tmp_path / str(number)
        folder.mkdir()
        desk = Desk(chain_over(endpoint(unindexed)), folder)
        if way == "memory":
            unindexed.rpc("unloadwallet", "miner")
            desk.memory.remember([Sighting("bitcoin", txid, 1, 1, "confirming", block, 104)])
        for report in (desk.look(txid), desk.look_at([txid, "ab" * 32])[0]):
            assert report.state == "confirmed", way
            assert report.remember is not None
            assert report.remember.block_hash == block
            assert report.fee is not None
            assert report.fee.base_units == 1000
    # An unspent output gives its block away.
    stranger = Desk(chain_over(endpoint(unindexed)), tmp_path)
    assert stranger.look(coins).state == "confirmed"
    # Spent altogether, long ago, unknown to all: the node cannot tell.
    assert stranger.look(txid).state == "unknown"
    # In one of the last blocks it is found again.
    block = unindexed.mine(1)[0]
    reward = unindexed.rpc("getblock", block)["tx"][0]
    assert stranger.look(reward).state == "confirming"


def test_without_an_index_what_was_seen_waiting_is_found_in_the_block_that_took_it(
    unindexed: Bitcoind, tmp_path: Path
) -> None:
    txid = unindexed.rpc("sendtoaddress", FOREIGN, "1", wallet="miner")
    desk = Desk(chain_over(endpoint(unindexed)), tmp_path)
    assert desk.look(txid).state == "pending"
    unindexed.rpc("unloadwallet", "miner")
    unindexed.mine(10)
    assert desk.look(txid).state == "confirmed"


def test_without_an_index_a_stale_block_is_not_taken_for_the_chain(unindexed: Bitcoind, tmp_path: Path) -> None:
    own = [unindexed.rpc("getnewaddress", "", "bech32", wallet="miner") for _ in range(2)]
    purse = Purse.of(unindexed, unindexed.rpc("sendmany", "", dict.fromkeys(own, COIN), wallet="miner"))
    unindexed.mine(1)
    coin, later = purse.coin(), purse.signed([purse.coin()])
    txid = purse.pay(coin)
    block = unindexed.mine(1)[0]
    desk = Desk(chain_over(endpoint(unindexed)), tmp_path)
    assert desk.look(txid).state == "confirming"
    invalidate_tip(unindexed)
    unindexed.rpc("unloadwallet", "miner")
    expire(unindexed, later)
    unindexed.mine(1, ELSEWHERE)
    status = dropped(desk.look(txid))
    assert status.was_in == block
    assert desk.recall(txid).inputs == (f"{coin[0]}:{coin[1]}",)


# -- memory that is no use -------------------------------------------------------------------------------------------


def test_a_sighting_without_inputs_is_at_least_not_called_not_found(bitcoind: Bitcoind, desk: Desk) -> None:
    desk.memory.remember([Sighting("bitcoin", "ab" * 32, 1, 1, "pending")])
    assert dropped(desk.look("ab" * 32)).final is False


def test_a_damaged_memory_does_no_harm(bitcoind: Bitcoind, desk: Desk) -> None:
    for number, inputs in enumerate(("zz:1", "ab" * 32, "ab" * 32 + ":-1", "ab" * 32 + ":99999999999", ":")):
        txid = f"{number:064x}"
        desk.memory.remember([Sighting("bitcoin", txid, 1, 1, "pending", "nothex", 5, None, None, (inputs,))])
        assert desk.look(txid).state == "dropped"
    assert isinstance(desk.look("ab" * 32).status, NotFound)
