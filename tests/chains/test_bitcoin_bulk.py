"""Many at once: the state alone and everything, across new blocks and reorgs, from several threads."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cryptosupport.chains.bitcoin import prevouts, recent
from cryptosupport.domain.transactions import Confirmed, Confirming, Detail, TxReport
from cryptosupport.outside.nodes import Bitcoind
from tests.chains.bitcoinkit import (
    ELSEWHERE,
    FOREIGN,
    Clock,
    Desk,
    Purse,
    chain_over,
    endpoint,
    invalidate_tip,
    satoshis,
)


@pytest.fixture
def desk(bitcoind: Bitcoind, tmp_path: Path) -> Desk:
    return Desk(chain_over(endpoint(bitcoind)), tmp_path)


def check(node: Bitcoind, report: TxReport, detail: Detail = Detail.FULL) -> None:
    """Compare ``report`` of a mined transaction with what the node says."""
    truth = node.rpc("getrawtransaction", report.txid, 2)
    assert isinstance(report.status, Confirming | Confirmed), report
    assert report.status.confirmations == truth["confirmations"]
    assert report.status.block.hash == truth["blockhash"]
    assert report.status.block.height == node.rpc("getblockheader", truth["blockhash"])["height"]
    assert report.status.block.time == truth["blocktime"]
    if detail is Detail.BRIEF:
        return
    coinbase = "coinbase" in truth["vin"][0]
    assert report.coinbase is coinbase
    if coinbase:
        assert report.fee is None
    else:
        assert report.fee is not None
        assert report.fee.base_units == satoshis(truth["fee"])
    senders = {vin["prevout"]["scriptPubKey"]["address"] for vin in truth["vin"] if not coinbase}
    sender = senders.pop() if len(senders) == 1 else None
    told = [(each.vout, each.amount.base_units, each.sender, each.recipient) for each in report.transfers]
    assert told == [
        (out["n"], satoshis(out["value"]), sender, out["scriptPubKey"].get("address"))
        for out in truth["vout"]
        if out["value"] > 0
    ]
    assert report.remember is not None
    spent = [f"{vin['txid']}:{vin['vout']}" for vin in truth["vin"] if not coinbase]
    assert report.remember.inputs == tuple(spent)


def test_a_chunk_over_many_blocks_is_told_as_the_node_tells_it(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 200)
    txids = []
    for size in (1, 2, 60, 30):
        txids += [purse.pay() for _ in range(size)]
        txids += [purse.pay(purse.coin(), purse.coin())]
        txids += bitcoind.rpc("getblock", bitcoind.mine(1)[0])["tx"][:1]
    txids += [bitcoind.rpc("sendmany", "", {FOREIGN: "0.1", ELSEWHERE: "0.2"}, wallet="miner")]
    bitcoind.mine(1)
    shuffled = random.Random(1).sample(txids, len(txids))
    for _ in range(2):
        reports = desk.look_at(shuffled)
        assert [report.txid for report in reports] == shuffled
        for report in reports:
            check(bitcoind, report)
        bitcoind.mine(1)


def test_transactions_of_many_inputs_are_told_as_the_node_tells_them(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 90)
    coins = [[purse.coin() for _ in range(count)] for count in (1, 3, 80)]
    txids = [purse.pay(*some, fee=20_000) for some in coins]
    bitcoind.mine(1)
    for report in desk.look_at(txids):
        check(bitcoind, report)
    assert prevouts.WHOLE_COST < 80 * prevouts.PARENT_COST


def test_many_of_one_block_wait_again_when_it_leaves_the_chain(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 60)
    txids = [purse.pay() for _ in range(60)]
    bitcoind.mine(1)
    for _ in range(2):
        assert {report.state for report in desk.look_at(txids)} == {"confirming"}
    left = invalidate_tip(bitcoind)
    for report in desk.look_at(txids):
        assert report.state == "pending"
        assert report.status.was_in == left  # type: ignore[union-attr]
    bitcoind.mine(1, ELSEWHERE)
    for report in desk.look_at(txids):
        check(bitcoind, report)


@pytest.mark.parametrize("detail", [Detail.BRIEF, Detail.FULL])
def test_states_stay_right_while_blocks_come_and_go(bitcoind: Bitcoind, tmp_path: Path, detail: Detail) -> None:
    clock = Clock()
    desk = Desk(chain_over(endpoint(bitcoind), clock=clock), tmp_path)
    purse = Purse(bitcoind, 160)
    old = [purse.pay() for _ in range(40)]
    bitcoind.mine(2)
    young = [purse.pay() for _ in range(40)]
    bitcoind.mine(1)
    waiting = [purse.pay() for _ in range(40)]
    absent = [f"{number:064x}" for number in range(1, 4)]
    txids = random.Random(2).sample(old + young + waiting + absent, 123)

    def states(*expected: str) -> None:
        clock.ahead += recent.MEMPOOL_AGE + 1
        by_txid = {report.txid: report for report in desk.look_at(txids, detail)}
        for some, state in zip((old, young, waiting, absent), expected, strict=True):
            assert {by_txid[txid].state for txid in some} == {state}, (detail, expected)
        for txid in old + young + waiting:
            if by_txid[txid].state in ("confirming", "confirmed"):
                check(bitcoind, by_txid[txid], detail)

    states("confirmed", "confirming", "pending", "not_found")
    bitcoind.mine(2)
    states("confirmed", "confirmed", "confirming", "not_found")
    invalidate_tip(bitcoind, 2)
    states("confirmed", "confirming", "pending", "not_found")
    invalidate_tip(bitcoind, 1)
    states("confirming", "pending", "pending", "not_found")
    bitcoind.mine(4, ELSEWHERE)
    states("confirmed", "confirmed", "confirmed", "not_found")


def test_a_replacement_shows_in_the_state_alone_within_a_second(bitcoind: Bitcoind, tmp_path: Path) -> None:
    clock = Clock()
    desk = Desk(chain_over(endpoint(bitcoind), clock=clock), tmp_path)
    purse = Purse(bitcoind, 30)
    coins = [purse.coin() for _ in range(30)]
    txids = [purse.pay(coin, fee=500) for coin in coins]
    reports = desk.look_at(txids, Detail.BRIEF)
    assert {report.state for report in reports} == {"pending"}
    purse.pay(coins[3], fee=5000)
    clock.ahead += recent.MEMPOOL_AGE
    assert [report.state for report in desk.look_at(txids, Detail.BRIEF)][2:5] == ["pending", "replaced", "pending"]


def test_the_state_alone_of_old_blocks_comes_from_their_lists_once_they_are_known_to_matter(
    bitcoind: Bitcoind, desk: Desk
) -> None:
    purse = Purse(bitcoind, 80)
    txids = [purse.pay() for _ in range(80)]
    bitcoind.mine(recent.LAST_BLOCKS + 5)
    for start in (0, 25, 50):
        for report in desk.look_at(txids[start : start + 25], Detail.BRIEF):
            check(bitcoind, report, Detail.BRIEF)


def test_several_threads_look_at_once_while_blocks_arrive(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 200)
    txids = [purse.pay() for _ in range(200)]
    bitcoind.mine(1)

    def look(number: int) -> set[str]:
        detail = Detail.BRIEF if number % 2 else Detail.FULL
        if number % 7 == 0:
            bitcoind.mine(1)
        start = number * 5 % 100
        return {report.state for report in desk.chain.look_up(txids[start : start + 100], detail, {})}

    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(look, range(40)))
    assert set().union(*seen) <= {"confirming", "confirmed"}
    assert seen[-1] == {"confirmed"}


def test_a_pruned_or_unindexed_node_says_unknown_for_what_it_cannot_tell_and_finds_the_rest(
    bitcoind_with: Callable[..., Bitcoind], tmp_path: Path
) -> None:
    node = bitcoind_with("-txindex=0")
    waiting = node.rpc("sendtoaddress", FOREIGN, "1", wallet="miner")
    desk = Desk(chain_over(endpoint(node)), tmp_path)
    absent = [f"{number:064x}" for number in range(1, 30)]
    states = [report.state for report in desk.look_at([waiting, *absent], Detail.BRIEF)]
    assert states == ["pending", *["unknown"] * 29]
    node.mine(1)
    states = [report.state for report in desk.look_at([waiting, *absent], Detail.BRIEF)]
    assert states == ["confirming", *["unknown"] * 29]
