"""What is in no block yet: why, how long, and against which prices. Truth is what the node says over its raw RPC."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from cryptosupport.chains.bitcoin.feemarket import Market, Waiting, judge
from cryptosupport.domain.money import Amount, FeeRate
from cryptosupport.domain.transactions import Detail, Pending, PendingReason, TxReport
from cryptosupport.outside.nodes import Bitcoind
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


@pytest.fixture
def desk(bitcoind: Bitcoind, tmp_path: Path) -> Desk:
    return Desk(chain_over(endpoint(bitcoind)), tmp_path)


def pending(report: TxReport) -> Pending:
    assert isinstance(report.status, Pending), report
    assert report.state == "pending"
    assert not report.final
    return report.status


def test_a_waiting_payment_is_told_with_its_feerate_and_eta(bitcoind: Bitcoind, desk: Desk) -> None:
    txid = Purse(bitcoind, 1).pay(fee=1110)
    report = desk.look(txid)
    status, truth = pending(report), bitcoind.rpc("getmempoolentry", txid)
    assert status.feerate == FeeRate.of(satoshis(truth["fees"]["base"]), truth["vsize"])
    assert status.mempool_min == FeeRate(satoshis(bitcoind.rpc("getmempoolinfo")["mempoolminfee"]))
    assert status.ancestors == 0
    assert status.eta_blocks == 1  # the whole mempool fits into one block
    assert status.market is None  # a new chain has no estimates
    assert status.replaceable is True
    assert report.fee == Amount(satoshis(truth["fees"]["base"]), BTC)
    assert sum(each.amount.base_units for each in report.transfers) == satoshis(COIN) - 1110


def test_what_no_other_node_has_fetched_is_unbroadcast(bitcoind: Bitcoind, desk: Desk) -> None:
    txid = Purse(bitcoind, 1).pay()
    assert bitcoind.rpc("getmempoolentry", txid)["unbroadcast"] is True
    assert pending(desk.look(txid)).reason is PendingReason.UNBROADCAST


def test_what_others_have_fetched_just_waits(bitcoind_with: Callable[..., Bitcoind], tmp_path: Path) -> None:
    # The node marks what it was given over RPC; what came with a block that was undone it does not.
    node = bitcoind_with()
    txid = Purse(node, 1).pay()
    node.mine(1)
    invalidate_tip(node)
    assert node.rpc("getmempoolentry", txid)["unbroadcast"] is False
    assert pending(Desk(chain_over(endpoint(node)), tmp_path).look(txid)).reason is PendingReason.WAITING


def family(purse: Purse, parent_fee: int, child_fee: int) -> tuple[str, str]:
    """A waiting transaction and one that spends it."""
    own = purse.node.rpc("getnewaddress", "", "bech32", wallet="miner")
    parent = purse.pay(to=own, fee=parent_fee)
    return parent, purse.pay((parent, 0), fee=child_fee, worth=COIN - Decimal(parent_fee) / 10**8)


def a_market(node: Bitcoind) -> Purse:
    """Coins on a node whose last blocks were paid 20 sat/vB."""
    purse = Purse(node, 130)
    for _ in range(6):
        for _ in range(20):
            purse.pay(fee=2200)
        node.mine(1)
    assert satoshis(node.rpc("estimatesmartfee", 2)["feerate"]) > 15_000
    return purse


def test_low_paying_ancestors_hold_a_well_paying_transaction(bitcoind: Bitcoind, desk: Desk) -> None:
    parent, child = family(a_market(bitcoind), 110, 2800)
    status, truth = pending(desk.look(child)), bitcoind.rpc("getmempoolentry", child)
    assert status.reason is PendingReason.ANCESTOR
    assert status.ancestors == truth["ancestorcount"] - 1 == 1
    assert status.feerate == FeeRate.of(satoshis(truth["fees"]["ancestor"]), truth["ancestorsize"])
    first = pending(desk.look(parent))
    assert (first.ancestors, first.reason) == (0, PendingReason.LOW_FEE)


def test_in_an_empty_mempool_nothing_is_held_back(bitcoind: Bitcoind, desk: Desk) -> None:
    _, child = family(Purse(bitcoind, 1), 110, 5500)
    status = pending(desk.look(child))
    assert (status.reason, status.eta_blocks, status.ancestors) == (PendingReason.UNBROADCAST, 1, 1)


def test_a_child_that_pays_for_its_parent_makes_up_for_the_low_fee(bitcoind: Bitcoind, desk: Desk) -> None:
    parent, _ = family(a_market(bitcoind), 110, 9900)
    status, truth = pending(desk.look(parent)), bitcoind.rpc("getmempoolentry", parent)
    assert (status.reason, status.eta_blocks) == (PendingReason.UNBROADCAST, 2)
    assert status.feerate == FeeRate.of(satoshis(truth["fees"]["descendant"]), truth["descendantsize"])


def test_ancestors_that_pay_as_well_do_not_hold_anything(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 1)
    own = bitcoind.rpc("getnewaddress", "", "bech32", wallet="miner")
    parent = purse.pay(to=own, fee=1100)
    child = purse.pay((parent, 0), fee=1100, worth=COIN - Decimal(1100) / 10**8)
    status = pending(desk.look(child))
    assert (status.reason, status.ancestors) == (PendingReason.UNBROADCAST, 1)


def test_a_fee_below_what_the_mempool_keeps_is_low(bitcoind: Bitcoind, desk: Desk) -> None:
    txid = Purse(bitcoind, 1).pay(fee=1000)
    bitcoind.rpc("prioritisetransaction", txid, 0, -995)  # by the node's own reckoning it pays 5 satoshis
    status = pending(desk.look(txid))
    assert status.reason is PendingReason.LOW_FEE
    assert status.feerate is not None
    assert isinstance(status.feerate, FeeRate)
    assert status.mempool_min is not None
    assert status.feerate < status.mempool_min
    assert status.eta_blocks is None


def test_a_fee_far_below_the_estimates_is_low_and_one_above_them_is_soon_mined(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = a_market(bitcoind)
    estimate = bitcoind.rpc("estimatesmartfee", 2)
    asked = FeeRate(satoshis(estimate["feerate"]))
    low, high = purse.pay(fee=220), purse.pay(fee=4400)
    status = pending(desk.look(low))
    assert status.reason is PendingReason.LOW_FEE
    assert status.market == asked
    assert status.feerate is not None
    assert isinstance(status.feerate, FeeRate)
    assert status.feerate < asked
    assert status.eta_blocks is None
    status = pending(desk.look(high))
    assert status.eta_blocks == estimate["blocks"] == 2
    assert status.reason is PendingReason.UNBROADCAST
    facts = {fact.name: fact.value for fact in desk.look(high, Detail.EXPLAIN).facts}
    assert facts["estimate_2_blocks"] == str(asked)
    entry = bitcoind.rpc("getmempoolentry", high)
    assert facts["first_seen_by_node"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry["time"]))
    assert (facts["ancestors"], facts["descendants"], facts["unbroadcast"]) == ("0", "0", "true")
    assert facts["mempool_min_feerate"] == str(FeeRate(satoshis(bitcoind.rpc("getmempoolinfo")["mempoolminfee"])))


def test_a_wallet_s_transaction_for_later_waits_for_its_locktime(bitcoind: Bitcoind, desk: Desk) -> None:
    height = bitcoind.rpc("getblockcount")
    told = bitcoind.rpc(
        "send", [{FOREIGN: "0.5"}], None, "unset", 5, {"locktime": height + 5, "add_to_wallet": True}, wallet="miner"
    )
    report = desk.look(told["txid"])
    status = pending(report)
    # The height that is locked is the last one that may not hold it.
    assert (status.reason, status.locktime) == (PendingReason.LOCKTIME, height + 6)
    assert 50_000_000 in [each.amount.base_units for each in report.transfers]
    assert report.fee == Amount(-satoshis(bitcoind.rpc("gettransaction", told["txid"], wallet="miner")["fee"]), BTC)
    bitcoind.mine(5)
    hexed = bitcoind.rpc("gettransaction", told["txid"], wallet="miner")["hex"]
    bitcoind.rpc("sendrawtransaction", hexed)
    assert pending(desk.look(told["txid"])).reason is PendingReason.UNBROADCAST


@pytest.mark.parametrize("by_time", [False, True])
def test_a_wallet_s_transaction_whose_coins_are_too_young_waits_for_them(
    bitcoind: Bitcoind, desk: Desk, by_time: bool
) -> None:
    purse = Purse(bitcoind, 1)
    txid, vout = purse.coin()
    made = bitcoind.rpc("getblockcount")
    own = {"inputs": [{"txid": txid, "vout": vout, "sequence": 1 << 22 | 3 if by_time else 5}], "add_inputs": False}
    told = bitcoind.rpc("send", [{FOREIGN: "0.005"}], None, "unset", 5, own, wallet="miner")
    hexed = bitcoind.rpc("gettransaction", told["txid"], wallet="miner")["hex"]
    before = bitcoind.rpc("getblockheader", bitcoind.rpc("getblockhash", made - 1))["mediantime"]
    expected = before + 3 * 512 - 1 if by_time else made + 5
    for report in (desk.look(told["txid"]), desk.look_at([told["txid"], "ab" * 32])[0]):
        status = pending(report)
        assert (status.reason, status.locktime) == (PendingReason.LOCKTIME, expected)
    if not by_time:
        bitcoind.mine(3)
        assert bitcoind.rpc("testmempoolaccept", [hexed])[0]["reject-reason"] == "non-BIP68-final"
        assert pending(desk.look(told["txid"])).locktime == expected == bitcoind.rpc("getblockcount") + 2
        bitcoind.mine(1)
        bitcoind.rpc("sendrawtransaction", hexed)
        assert bitcoind.mine(1)
        assert bitcoind.rpc("gettransaction", told["txid"], wallet="miner")["blockheight"] == expected


def test_after_a_reorg_it_waits_again_and_says_so(bitcoind: Bitcoind, desk: Desk) -> None:
    txid = Purse(bitcoind, 1).pay()
    bitcoind.mine(2)
    assert desk.look(txid).state == "confirming"
    left = invalidate_tip(bitcoind, 2)
    assert bitcoind.rpc("getmempoolentry", txid)
    status = pending(desk.look(txid))
    assert (status.reason, status.was_in) == (PendingReason.REORGED, left)
    (again, _) = desk.look_at([txid, "ab" * 32])
    assert pending(again).reason is PendingReason.REORGED
    assert desk.recall(txid).block_hash == left
    bitcoind.mine(1, ELSEWHERE)
    assert desk.look(txid).state == "confirming"


def test_a_node_that_lags_behind_does_not_make_it_a_reorg(
    bitcoind_with: Callable[..., Bitcoind], tmp_path: Path
) -> None:
    ahead, behind = bitcoind_with(), bitcoind_with()
    purse = Purse(ahead, 1)
    for node_block in range(ahead.rpc("getblockcount") - behind.rpc("getblockcount")):
        block_hash = ahead.rpc("getblockhash", behind.rpc("getblockcount") + 1)
        assert behind.rpc("submitblock", ahead.rpc("getblock", block_hash, 0)) is None, node_block
    signed = purse.signed([purse.coin()])
    txid = ahead.rpc("sendrawtransaction", signed)
    behind.rpc("sendrawtransaction", signed)
    ahead.mine(1)
    desk = Desk(chain_over(endpoint(ahead)), tmp_path)
    assert desk.look(txid).state == "confirming"
    desk.chain = chain_over(endpoint(behind))
    assert pending(desk.look(txid)).reason is PendingReason.UNBROADCAST


def test_hundreds_of_waiting_payments_are_told_together(bitcoind: Bitcoind, desk: Desk) -> None:
    purse = Purse(bitcoind, 120)
    txids = [purse.pay(fee=1000 + number) for number in range(120)]
    reports = desk.look_at(txids)
    for number, report in enumerate(reports):
        assert pending(report).reason is PendingReason.UNBROADCAST
        assert report.fee == Amount(1000 + number, BTC)
        assert report.transfers[0].sender is not None


# -- the judgement alone ---------------------------------------------------------------------------------------------

ESTIMATES = ((2, 20_000), (6, 10_000), (24, 5_000), (144, 1_000))


@pytest.mark.parametrize(
    ("rate", "reason", "eta"),
    [
        (25_000, "waiting", 2),
        (20_000, "waiting", 2),
        (19_999, "waiting", 6),
        (9_999, "low_fee", 24),
        (4_999, "low_fee", 144),
        (999, "low_fee", None),
        (499, "low_fee", None),
    ],
)
def test_the_estimates_say_how_long_it_takes(rate: int, reason: str, eta: int | None) -> None:
    status = judge(Waiting(rate, rate, 0), Market(ESTIMATES, 500, 5_000_000))
    assert (status.reason.value, status.eta_blocks) == (reason, eta)
    assert status.market == FeeRate(20_000)


@pytest.mark.parametrize(
    ("own", "package", "reason"),
    [
        (25_000, 25_000, "waiting"),
        (25_000, 20_000, "waiting"),  # still in the next blocks
        (25_000, 12_000, "ancestor"),
        (25_000, 600, "ancestor"),
        (25_000, 100, "ancestor"),
        (900, 600, "low_fee"),  # its own fee would not do either
        (600, 25_000, "waiting"),  # paid for by its ancestors
    ],
)
def test_ancestors_are_blamed_only_for_what_they_hold_back(own: int, package: int, reason: str) -> None:
    assert judge(Waiting(own, package, 3), Market(ESTIMATES, 500, 5_000_000)).reason.value == reason


def test_the_cause_to_act_on_first_is_told() -> None:
    market = Market(ESTIMATES, 500, 5_000_000)
    assert judge(Waiting(100, 100, 2, True, was_in="ab"), market).reason is PendingReason.REORGED
    assert judge(Waiting(100, 100, 2, True), market).reason is PendingReason.LOW_FEE
    assert judge(Waiting(30_000, 100, 2, True), market).reason is PendingReason.ANCESTOR
    assert judge(Waiting(30_000, 30_000, 2, True), market).reason is PendingReason.UNBROADCAST


def test_without_estimates_a_mempool_that_fits_a_block_is_mined_next_and_a_full_one_nobody_knows() -> None:
    assert judge(Waiting(500, 500, 0), Market((), 500, 900_000)).eta_blocks == 1
    assert judge(Waiting(500, 500, 0), Market((), 500, 1_000_001)).eta_blocks is None
    assert judge(Waiting(500, 500, 0), Market((), 500, 1_000_001)).reason is PendingReason.WAITING
    assert judge(Waiting(499, 499, 0), Market((), 500, 900_000)).eta_blocks is None
    assert judge(Waiting(500, 500, 0), Market()).eta_blocks is None


def test_the_queue_before_it_is_counted_in_blocks() -> None:
    market = Market((), None, None, None, ((50_000, 400_000), (20_000, 700_000), (1_000, 9_000_000)))
    assert judge(Waiting(60_000, 60_000, 0), market).eta_blocks == 1
    assert judge(Waiting(20_000, 20_000, 0), market).eta_blocks == 1
    assert judge(Waiting(10_000, 10_000, 0), market).eta_blocks == 2
    assert judge(Waiting(900, 900, 0), market).eta_blocks == 11
    assert judge(Waiting(900, 900, 0), market).reason is PendingReason.LOW_FEE


def test_replaceable_is_said_only_where_it_is_known() -> None:
    for signals, full_rbf, told in (
        (True, None, True),
        (True, False, True),
        (False, True, True),
        (False, False, False),
        (None, True, True),
        (False, None, None),
        (None, None, None),
    ):
        status = judge(Waiting(500, 500, 0, signals_rbf=signals), Market(full_rbf=full_rbf))
        assert status.replaceable is told
