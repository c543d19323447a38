"""EVM transactions in no block, on anvil: why they wait, and what took their place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cryptosupport.domain.money import Amount, GasFees
from cryptosupport.domain.transactions import Detail, Dropped, NotFound, Pending, PendingReason, Replaced
from cryptosupport.outside.nodes import Anvil
from tests.chains.evmkit import ETH, GWEI, chain_over, look, number, seen, send


@pytest.fixture
def pool(anvil_with: Callable[..., Anvil]) -> Anvil:
    """A chain that mines on demand, two blocks to an epoch."""
    node = anvil_with("--no-mining", "--slots-in-an-epoch", "1")
    node.mine()
    return node


def pending(anvil: Anvil, txid: str, detail: Detail = Detail.FULL) -> Pending:
    status = look(chain_over(anvil.url), txid, detail=detail).status
    assert isinstance(status, Pending)
    return status


def test_a_transaction_waits_for_the_next_block(pool: Anvil) -> None:
    txid = send(pool, value=5, maxFeePerGas=30 * GWEI, maxPriorityFeePerGas=2 * GWEI)
    report = look(chain_over(pool.url), txid)
    assert isinstance(report.status, Pending)
    assert report.status.reason is PendingReason.WAITING
    assert report.status.feerate == GasFees(30 * GWEI, 2 * GWEI)
    assert report.status.nonce == 0
    assert report.status.missing_nonce is None
    assert report.fee is None
    assert [transfer.amount for transfer in report.transfers] == [Amount(5, ETH)]
    assert (seen(report).sender, seen(report).nonce) == (report.transfers[0].sender, 0)


def test_the_market_is_the_base_fee_and_what_others_tip(pool: Anvil) -> None:
    for nonce in range(3):
        send(pool, nonce=nonce, maxFeePerGas=30 * GWEI, maxPriorityFeePerGas=3 * GWEI)
        pool.mine()
    txid = send(pool, sender=1, maxFeePerGas=10 * GWEI, maxPriorityFeePerGas=1)
    status = pending(pool, txid)
    # Under load anvil's history can be a block behind, so any of the last ones counts.
    base_fees = pool.rpc("eth_feeHistory", "0x3", "latest", [50])["baseFeePerGas"]
    assert status.market in [GasFees(number(each) + 3 * GWEI, 3 * GWEI) for each in base_fees]
    assert status.reason is PendingReason.WAITING


def test_a_gas_price_of_the_old_kind_fills_both_numbers(pool: Anvil) -> None:
    txid = send(pool, gasPrice=7 * GWEI)
    assert pending(pool, txid).feerate == GasFees(7 * GWEI, 7 * GWEI)


def test_an_underpriced_transaction_is_told_with_the_market(pool: Anvil) -> None:
    txid = send(pool, maxFeePerGas=2 * GWEI, maxPriorityFeePerGas=1)
    pool.rpc("anvil_setNextBlockBaseFeePerGas", hex(50 * GWEI))
    assert number(pool.rpc("eth_feeHistory", "0x1", "latest", [])["baseFeePerGas"][-1]) == 50 * GWEI
    status = pending(pool, txid)
    assert status.reason is PendingReason.LOW_FEE
    assert status.feerate == GasFees(2 * GWEI, 1)
    assert isinstance(status.market, GasFees)
    assert status.market.max_fee_per_gas >= 50 * GWEI


def test_what_the_latest_block_asked_for_counts_too(pool: Anvil) -> None:
    pool.rpc("anvil_setNextBlockBaseFeePerGas", hex(50 * GWEI))
    pool.mine()
    pool.rpc("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    txid = send(pool, maxFeePerGas=2 * GWEI, maxPriorityFeePerGas=1)
    assert pending(pool, txid).reason is PendingReason.LOW_FEE


def test_a_nonce_gap_names_the_nonce_that_is_missing(pool: Anvil) -> None:
    send(pool, nonce=0)
    txids = {nonce: send(pool, nonce=nonce) for nonce in (1, 3, 4, 6)}
    assert [pending(pool, txid).missing_nonce for txid in txids.values()] == [None, 2, 2, 2]
    assert pending(pool, txids[3]).reason is PendingReason.NONCE_GAP
    assert pending(pool, txids[1]).reason is PendingReason.WAITING
    send(pool, nonce=2)
    assert [pending(pool, txid).missing_nonce for txid in txids.values()] == [None, None, None, 5]


@pytest.mark.parametrize("nonce", [2**63, 2**64 - 2])
def test_the_highest_nonces_are_nonces_too(pool: Anvil, nonce: int) -> None:
    txid = send(pool, nonce=nonce)
    assert number(pool.rpc("eth_getTransactionByHash", txid)["nonce"]) == nonce
    for detail in Detail:
        report = look(chain_over(pool.url), txid, detail=detail)
        assert isinstance(report.status, Pending)
        assert (report.status.nonce, seen(report).nonce) == (nonce, nonce)
    assert pending(pool, txid).missing_nonce == 0


def test_the_last_nonce_can_be_used_up(pool: Anvil) -> None:
    sender = pool.rpc("eth_accounts")[0]
    pool.rpc("anvil_setNonce", sender, hex(2**64 - 2))
    old = send(pool, nonce=2**64 - 2, maxFeePerGas=5 * GWEI, maxPriorityFeePerGas=GWEI)
    memory = seen(look(chain_over(pool.url), old))
    new = send(pool, nonce=2**64 - 2, value=2, maxFeePerGas=10 * GWEI, maxPriorityFeePerGas=3 * GWEI)
    pool.mine()
    assert number(pool.rpc("eth_getTransactionCount", sender, "latest")) == 2**64 - 1
    assert look(chain_over(pool.url), old, memory).status == Replaced(new, True, 2**64 - 2)
    assert look(chain_over(pool.url), new, detail=Detail.EXPLAIN).state == "confirmed"


def test_many_waiting_transactions_are_told_apart_at_once(pool: Anvil) -> None:
    txids = [send(pool, sender=1, nonce=0), send(pool, sender=1, nonce=2), send(pool, sender=2, nonce=0)]
    reports = chain_over(pool.url).look_up([*txids, "0x" + "cd" * 32], Detail.FULL, {})
    assert [report.state for report in reports] == ["pending", "pending", "pending", "not_found"]
    assert [isinstance(r.status, Pending) and r.status.missing_nonce for r in reports] == [None, 1, None, False]


def test_a_replacement_in_the_pool_is_named_and_not_final(pool: Anvil) -> None:
    old = send(pool, nonce=0, maxFeePerGas=5 * GWEI, maxPriorityFeePerGas=GWEI)
    memory = seen(look(chain_over(pool.url), old))
    new = send(pool, nonce=0, value=2, maxFeePerGas=10 * GWEI, maxPriorityFeePerGas=3 * GWEI)
    assert pool.rpc("eth_getTransactionByHash", old) is None
    for detail in Detail:
        report = look(chain_over(pool.url), old, memory, detail)
        assert report.status == Replaced(new, False, 0)


def test_a_mined_replacement_is_named_and_final_once_its_block_is(pool: Anvil) -> None:
    chain = chain_over(pool.url, finality="finalized")
    old = send(pool, nonce=0, maxFeePerGas=5 * GWEI, maxPriorityFeePerGas=GWEI)
    memory = seen(look(chain, old))
    new = send(pool, nonce=0, value=2, maxFeePerGas=10 * GWEI, maxPriorityFeePerGas=3 * GWEI)
    pool.mine()
    height = number(pool.rpc("eth_getTransactionReceipt", new)["blockNumber"])
    finals = []
    for _ in range(4):
        report = look(chain, old, memory)
        finalized = number(pool.rpc("eth_getBlockByNumber", "finalized", False)["number"])
        assert report.status == Replaced(new, height <= finalized, 0)
        assert report.final is (height <= finalized)
        finals.append(report.final)
        pool.mine()
    assert set(finals) == {False, True}


def test_many_replaced_transactions_are_named_at_once(pool: Anvil) -> None:
    old = [send(pool, sender=n, nonce=0, maxFeePerGas=5 * GWEI, maxPriorityFeePerGas=GWEI) for n in range(3)]
    chain = chain_over(pool.url)
    memory = {report.txid: seen(report) for report in chain.look_up(old, Detail.FULL, {})}
    new = [
        send(pool, sender=n, nonce=0, value=3, maxFeePerGas=10 * GWEI, maxPriorityFeePerGas=3 * GWEI) for n in range(2)
    ]
    pool.rpc("anvil_dropTransaction", old[2])
    pool.mine()
    statuses = [report.status for report in chain.look_up(old, Detail.FULL, memory)]
    assert statuses == [Replaced(new[0], True, 0), Replaced(new[1], True, 0), Dropped(False, None)]


def test_a_transaction_that_left_the_pool_is_dropped_and_not_for_good(pool: Anvil) -> None:
    txid = send(pool)
    memory = seen(look(chain_over(pool.url), txid))
    pool.rpc("anvil_dropTransaction", txid)
    for detail in Detail:
        report = look(chain_over(pool.url), txid, memory, detail)
        assert report.status == Dropped(False, None)
        assert not report.final


def test_without_memory_a_lost_transaction_is_just_not_found(pool: Anvil) -> None:
    txid = send(pool)
    pool.rpc("anvil_dropTransaction", txid)
    report = look(chain_over(pool.url), txid)
    assert report.status == NotFound((pool.url.removeprefix("http://"),))


def test_brief_asks_for_no_prices(pool: Anvil) -> None:
    status = pending(pool, send(pool), Detail.BRIEF)
    assert (status.reason, status.market, status.nonce) == (PendingReason.WAITING, None, 0)
