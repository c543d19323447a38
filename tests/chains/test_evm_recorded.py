"""Answers recorded from nodes of the real networks, served over HTTP; what is expected is read off the recordings."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cryptosupport.chains.evm.codec import to_checksum
from cryptosupport.chains.evm.money import POLYGON_COIN, Ledger
from cryptosupport.chains.evm.revert import read_trace
from cryptosupport.chains.evm.wire import RECEIPT, TRACE, TX, Receipt
from cryptosupport.domain.money import Asset
from cryptosupport.domain.transactions import (
    Confirmed,
    Detail,
    Failed,
    Failure,
    FailureCode,
    NotFound,
    Pending,
    PendingReason,
    TxReport,
    Unknown,
)
from cryptosupport.settings import AssetSettings
from tests.chains.evmkit import chain_over, header, look, node_of, number
from tests.hostile import HostileNode, RpcError
from tests.shared import fixture

USDT = "0xdAC17F958D2ee523a2206206994597C13D831ec7"


def result(name: str) -> Any:
    """The result in a recording, which may be the whole answer or the result alone."""
    response = fixture(name)["response"]
    return response.get("result", response) if "jsonrpc" in response else response


def error(name: str) -> RpcError:
    recorded = fixture(name)["response"]["error"]
    return RpcError(recorded["code"], recorded["message"], recorded.get("data"))


def report_of(
    txid: str, answers: dict[str, Any], detail: Detail = Detail.FULL, chain_id: int = 1, **settings: Any
) -> TxReport:
    """What is said of ``txid`` by a node that recorded ``answers``, thousands of blocks later."""
    receipt = answers.get("eth_getTransactionReceipt")
    own = (receipt or {}).get("blockNumber")

    def block(tag: str, full: bool) -> dict[str, Any]:
        return header(number(tag), receipt["blockHash"]) if tag == own and receipt else header(number(hex(10**9)))

    standard = {"eth_chainId": hex(chain_id), "eth_blockNumber": hex(10**9), "eth_getBlockByNumber": block}
    with HostileNode(node_of({**standard, **answers})) as node:
        chain = chain_over(node.url, chain_id=chain_id, now=0, finality="finalized", **settings)
        return look(chain, txid, detail=detail)


def pair(tx: str, receipt: str, **settings: Any) -> tuple[TxReport, Any, Any]:
    """The report on a recorded transaction with its receipt, and both recordings."""
    sent, got = result(tx), result(receipt)
    answers = {"eth_getTransactionByHash": sent, "eth_getTransactionReceipt": got}
    return report_of(got["transactionHash"], answers, **settings), sent, got


def test_a_swap_on_ethereum() -> None:
    assets = {"ETH": AssetSettings(decimals=18), "USDT": AssetSettings(decimals=6, contract=USDT)}
    report, _, receipt = pair(
        "ethereum/tx_success_contract_call.json", "ethereum/receipt_success_contract_call.json", assets=assets
    )
    assert isinstance(report.status, Confirmed)
    assert report.fee is not None
    assert report.fee.base_units == number(receipt["gasUsed"]) * number(receipt["effectiveGasPrice"])
    usdt = [moved for moved in report.transfers if moved.amount.asset.symbol == "USDT"]
    assert [moved.amount.base_units for moved in usdt] == [0x103F1BFEF]
    assert usdt[0].recipient == to_checksum(receipt["from"])
    assert all(moved.amount.asset.decimals is None for moved in report.transfers if moved not in usdt)


def test_a_token_call_with_two_transfer_logs() -> None:
    report, _, receipt = pair(
        "ethereum/rinkeby_tx_erc20_transfer.json", "ethereum/rinkeby_receipt_erc20_transfer_two_logs.json", chain_id=4
    )
    contracts = [moved.amount.asset.contract for moved in report.transfers]
    assert contracts == [to_checksum(log["address"]) for log in receipt["logs"]]
    assert [moved.amount.base_units for moved in report.transfers] == [2_000_000, 2_000_000]


def test_one_ether() -> None:
    report, sent, receipt = pair(
        "ethereum/rinkeby_tx_native_1eth.json", "ethereum/rinkeby_receipt_native_1eth.json", chain_id=4
    )
    (moved,) = report.transfers
    assert (str(moved.amount), moved.recipient) == ("1 ETH", to_checksum(sent["to"]))
    assert report.fee is not None  # an old receipt holds no price: the transaction's counts
    assert report.fee.base_units == number(receipt["gasUsed"]) * number(sent["gasPrice"])


def test_a_token_payment_on_arbitrum() -> None:
    report, _, receipt = pair(
        "evm_other/arbitrum_tx_token_call.json", "evm_other/arbitrum_receipt_token_call.json", chain_id=42161
    )
    assert report.fee is not None  # gasUsedForL1 is part of gasUsed there
    assert report.fee.base_units == number(receipt["gasUsed"]) * number(receipt["effectiveGasPrice"])
    assert [moved.amount.base_units for moved in report.transfers] == [0x3779077B]


def test_a_failed_transaction() -> None:
    receipt = result("ethereum/receipt_failed_status0.json")
    report = report_of(receipt["transactionHash"], {"eth_getTransactionReceipt": receipt}, Detail.BRIEF)
    assert isinstance(report.status, Failed)
    assert report.status.block.height == 9_008_914
    assert report.final


def test_polygons_own_logs_are_no_transfers() -> None:
    recorded = result("polygon/receipt_success_usdt_logs.json")
    assert POLYGON_COIN in [log["address"] for log in recorded["logs"]]
    receipt = RECEIPT.decode(msgspec.json.encode(recorded))
    tx = TX.decode(msgspec.json.encode(result("polygon/tx_success_contract_call.json")))
    assert isinstance(receipt, Receipt)
    assert tx is not None
    usdt = Asset("USDT", 6, "0xc2132D05D31c914a87C6611C10748AEb04B58e8F")
    moved = Ledger(Asset("POL", 18), {str(usdt.contract).lower(): usdt}, 137).transfers(tx, receipt)
    assert "POL" not in [one.amount.asset.symbol for one in moved]
    assert ("USDT", 0x49040440) in [(one.amount.asset.symbol, one.amount.base_units) for one in moved]


def test_a_transaction_in_the_pool() -> None:
    waiting = result("ethereum/tx_pending_txpool_entry.json")
    nonce = number(waiting["nonce"])
    answers = {"eth_getTransactionByHash": waiting, "eth_getTransactionCount": hex(nonce)}
    status = report_of(waiting["hash"], answers).status
    assert isinstance(status, Pending)
    assert (status.reason, status.nonce) == (PendingReason.WAITING, nonce)
    assert str(status.feerate) == "42.18 gwei"


def test_an_index_in_the_making_is_unknown_and_not_missing() -> None:
    indexing = error("ethereum/tx_indexing_in_progress.json")
    status = report_of("0x" + "ab" * 32, {"eth_getTransactionByHash": indexing}).status
    assert isinstance(status, Unknown)
    assert status.code == "indexing"


def test_a_refused_id_is_unknown_with_the_nodes_words() -> None:
    status = report_of("0x" + "ab" * 32, {"eth_getTransactionByHash": error("ethereum/tx_bad_hash_32602.json")}).status
    assert isinstance(status, Unknown)
    assert "want 64 for common.Hash" in status.message


def test_an_unknown_id_is_not_found() -> None:
    assert result("ethereum/tx_not_found_null.json") is None
    assert isinstance(report_of("0x" + "ab" * 32, {}).status, NotFound)


def test_a_traced_revert_reason() -> None:
    trace = TRACE.decode(msgspec.json.encode(fixture("ethereum/goerli_trace_revert_reason.json")["response"]))
    assert trace is not None
    assert read_trace(trace) == Failure(FailureCode.REVERTED, "Self-delegation is disallowed.")


@pytest.mark.parametrize("name", ["bsc/tx_success_swap.json", "ethereum/rinkeby_tx_success_native.json"])
def test_transactions_of_other_networks_have_the_same_shape(name: str) -> None:
    recorded = result(name)
    tx = TX.decode(msgspec.json.encode(recorded))
    assert tx is not None
    assert (tx.hash, tx.block_hash, tx.value) == (recorded["hash"], recorded["blockHash"], recorded["value"])
