"""EVM transactions in blocks, on anvil: when they are final, and what a reorganisation does to them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cryptosupport.domain.transactions import (
    Confirmed,
    Confirming,
    Detail,
    Dropped,
    Failed,
    Pending,
    PendingReason,
    Replaced,
    Unknown,
)
from cryptosupport.outside.nodes import Anvil
from tests.chains.evmkit import GWEI, REFUSES_WITH_CALLDATA, chain_over, deploy, look, mined, number, seen, send


def block_of(anvil: Anvil, txid: str) -> tuple[int, str]:
    receipt = anvil.rpc("eth_getTransactionReceipt", txid)
    return number(receipt["blockNumber"]), receipt["blockHash"]


@pytest.mark.parametrize("tag", ["finalized", "safe"])
def test_final_is_what_the_tag_says(anvil_with: Callable[..., Anvil], tag: str) -> None:
    anvil = anvil_with("--slots-in-an-epoch", "2")
    chain = chain_over(anvil.url, finality=tag)
    txid = mined(anvil)
    height, block_hash = block_of(anvil, txid)
    states = []
    for _ in range(6):
        report = look(chain, txid)
        tagged = number(anvil.rpc("eth_getBlockByNumber", tag, False)["number"])
        head = number(anvil.rpc("eth_blockNumber"))
        assert isinstance(report.status, Confirmed if height <= tagged else Confirming)
        assert (report.status.block.height, report.status.block.hash) == (height, block_hash)
        assert report.status.confirmations == head - height + 1
        assert report.status.required is None
        assert report.final is (height <= tagged)
        assert look(chain, txid, detail=Detail.BRIEF).state == report.state
        states.append(report.state)
        anvil.mine()
    assert {"confirming", "confirmed"} == set(states)


def test_final_is_so_many_confirmations_where_the_settings_say_so(anvil: Anvil) -> None:
    chain = chain_over(anvil.url, confirmations=3)
    txid = mined(anvil)
    for confirmations in (1, 2, 3, 4):
        status = look(chain, txid).status
        assert isinstance(status, Confirmed if confirmations >= 3 else Confirming)
        assert (status.confirmations, status.required) == (confirmations, 3)
        anvil.mine()


def test_the_time_of_the_block_is_told(anvil: Anvil) -> None:
    anvil.rpc("evm_setNextBlockTimestamp", 1_900_000_000)
    txid = mined(anvil)
    status = look(chain_over(anvil.url), txid).status
    assert isinstance(status, Confirmed)
    assert status.block.time == 1_900_000_000


def test_a_failed_transaction_may_not_be_final_yet(anvil: Anvil) -> None:
    contract = deploy(anvil, REFUSES_WITH_CALLDATA)
    chain = chain_over(anvil.url, confirmations=2)
    txid = mined(anvil, to=contract)
    first = look(chain, txid)
    anvil.mine()
    second = look(chain, txid)
    assert isinstance(first.status, Failed)
    assert isinstance(second.status, Failed)
    assert (first.final, second.final) == (False, True)


def test_a_transaction_that_fell_out_of_its_block_waits_again(anvil: Anvil) -> None:
    chain = chain_over(anvil.url, confirmations=5)
    txid = mined(anvil)
    raw = anvil.rpc("eth_getRawTransactionByHash", txid)
    memory = seen(look(chain, txid))
    _, old_hash = block_of(anvil, txid)
    anvil.rpc("evm_setAutomine", False)
    anvil.rpc("anvil_reorg", 1, [])
    anvil.rpc("eth_sendRawTransaction", raw)
    assert anvil.rpc("eth_getTransactionByHash", txid)["blockHash"] is None
    for detail in Detail:
        status = look(chain, txid, memory, detail).status
        assert isinstance(status, Pending)
        assert status.reason is PendingReason.REORGED
        assert status.was_in == old_hash


def test_a_transaction_mined_in_another_block_is_no_news(anvil: Anvil) -> None:
    chain = chain_over(anvil.url, confirmations=5)
    txid = mined(anvil)
    raw = anvil.rpc("eth_getRawTransactionByHash", txid)
    memory = seen(look(chain, txid))
    anvil.rpc("evm_setAutomine", False)
    anvil.rpc("anvil_reorg", 1, [])
    anvil.rpc("eth_sendRawTransaction", raw)
    anvil.mine()
    height, block_hash = block_of(anvil, txid)
    assert block_hash != memory.block_hash
    for detail in Detail:
        status = look(chain, txid, memory, detail).status
        assert isinstance(status, Confirming)
        assert (status.block.height, status.block.hash) == (height, block_hash)


def test_a_transaction_lost_with_its_block_is_dropped_and_not_for_good(anvil: Anvil) -> None:
    chain = chain_over(anvil.url)
    txid = mined(anvil)
    memory = seen(look(chain, txid))
    anvil.rpc("anvil_reorg", 1, [])
    assert anvil.rpc("eth_getTransactionByHash", txid) is None
    for detail in Detail:
        report = look(chain, txid, memory, detail)
        assert report.status == Dropped(False, memory.block_hash)
        assert report.final is False
        assert report.remember is None


def test_a_transaction_whose_place_was_taken_in_a_reorganisation_is_replaced(anvil: Anvil) -> None:
    chain = chain_over(anvil.url, confirmations=2)
    txid = mined(anvil)
    memory = seen(look(chain, txid))
    accounts = anvil.rpc("eth_accounts")
    rival = {"from": accounts[0], "to": accounts[5], "value": "0x7", "nonce": "0x0", "gas": "0x5208"}
    anvil.rpc("anvil_reorg", 1, [[rival, 0]])
    winner = anvil.rpc("eth_getTransactionBySenderAndNonce", accounts[0], "0x0")["hash"]
    assert winner != txid
    assert look(chain, txid, memory).status == Replaced(winner, False, 0)
    anvil.mine()
    assert look(chain, txid, memory).status == Replaced(winner, True, 0)


def test_a_block_kept_from_before_a_reorganisation_is_not_trusted_after_it(anvil: Anvil) -> None:
    chain = chain_over(anvil.url, confirmations=10)
    old = mined(anvil)
    look(chain, old)  # keeps the block
    anvil.rpc("evm_setAutomine", False)
    anvil.rpc("anvil_reorg", 1, [])
    head = number(anvil.rpc("eth_blockNumber"))
    raw = send(anvil, sender=1, maxFeePerGas=10 * GWEI, maxPriorityFeePerGas=GWEI)
    anvil.mine()
    report = look(chain, raw)
    assert isinstance(report.status, Confirming)
    assert (report.status.block.height, report.status.block.hash) == block_of(anvil, raw)
    assert report.status.block.height == head + 1


def test_a_node_that_has_not_come_to_the_block_yet_cannot_speak_for_it(anvil_with: Callable[..., Anvil]) -> None:
    ahead, behind = anvil_with("--chain-id", "1"), anvil_with("--chain-id", "1")
    ahead.mine(5)
    txid = mined(ahead)
    now = number(ahead.rpc("eth_getBlockByNumber", "latest", False)["timestamp"])
    memory = seen(look(chain_over(ahead.url, chain_id=1, now=now), txid))
    late = chain_over(behind.url, chain_id=1, now=now)
    status = look(late, txid, memory).status
    assert isinstance(status, Unknown)
    assert status.code == "not_synced"
    assert "block 0" in status.message


def test_a_block_hash_pasted_for_a_txid_is_recognised(anvil: Anvil) -> None:
    anvil.mine()
    block_hash = anvil.rpc("eth_getBlockByNumber", "latest", False)["hash"]
    hint = chain_over(anvil.url).recognise(block_hash.removeprefix("0x"))
    assert hint is not None
    assert hint[0].value == "block_hash"
    assert chain_over(anvil.url).recognise(mined(anvil)) is None
