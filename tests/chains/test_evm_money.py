"""What EVM transactions move and cost, on anvil; fees of other chains from vectors."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cryptosupport.chains.evm.codec import to_checksum
from cryptosupport.chains.evm.money import Ledger
from cryptosupport.chains.evm.wire import RECEIPT, TX, Receipt, Tx
from cryptosupport.domain.money import Amount, Asset
from cryptosupport.domain.transactions import Confirmed, Transfer
from cryptosupport.outside.nodes import Anvil
from cryptosupport.settings import AssetSettings
from tests.chains.evmkit import (
    ALICE,
    BOB,
    ETH,
    LOGS_A_TRANSFER,
    LOGS_AN_NFT,
    chain_over,
    deploy,
    look,
    mined,
    number,
    vector,
    words,
)


def test_a_payment_moves_its_value_between_checksummed_addresses(anvil: Anvil) -> None:
    accounts = anvil.rpc("eth_accounts")
    txid = mined(anvil, to=accounts[1], value=15 * 10**17)
    report = look(chain_over(anvil.url), txid)
    (moved,) = report.transfers
    assert moved == Transfer(Amount(15 * 10**17, ETH), to_checksum(accounts[0]), to_checksum(accounts[1]))
    assert moved.amount.text == "1.5"


def test_the_fee_is_gas_used_times_the_price_that_was_paid(anvil: Anvil) -> None:
    txid = mined(anvil)
    receipt = anvil.rpc("eth_getTransactionReceipt", txid)
    fee = number(receipt["gasUsed"]) * number(receipt["effectiveGasPrice"])
    assert look(chain_over(anvil.url), txid).fee == Amount(fee, ETH)
    before = number(anvil.rpc("eth_getBalance", receipt["from"], hex(number(receipt["blockNumber"]) - 1)))
    after = number(anvil.rpc("eth_getBalance", receipt["from"], receipt["blockNumber"]))
    assert before - after == fee + 1  # and the wei that was sent


def test_a_call_without_value_moves_nothing(anvil: Anvil) -> None:
    assert look(chain_over(anvil.url), mined(anvil, value=0)).transfers == ()


def test_a_token_of_the_settings_is_told_by_its_symbol(anvil: Anvil) -> None:
    contract = deploy(anvil, LOGS_A_TRANSFER)
    txid = mined(anvil, to=contract, data="0x" + words(ALICE, BOB, 2_500_000), value=0)
    assets = {"ETH": AssetSettings(decimals=18), "USDT": AssetSettings(decimals=6, contract=to_checksum(contract))}
    (moved,) = look(chain_over(anvil.url, assets=assets), txid).transfers
    assert moved.amount == Amount(2_500_000, Asset("USDT", 6, to_checksum(contract)))
    assert moved.amount.text == "2.5"
    assert (moved.sender, moved.recipient) == (to_checksum(ALICE), to_checksum(BOB))


def test_an_unknown_token_is_told_by_its_contract_without_decimals(anvil: Anvil) -> None:
    contract = deploy(anvil, LOGS_A_TRANSFER)
    txid = mined(anvil, to=contract, data="0x" + words(ALICE, BOB, 7), value=3)
    native, token = look(chain_over(anvil.url), txid).transfers
    assert native.amount == Amount(3, ETH)
    shown = to_checksum(contract)
    assert token.amount == Amount(7, Asset(shown, None, shown))
    assert token.amount.text is None


@pytest.mark.parametrize(("code", "amount"), [(LOGS_A_TRANSFER, 0), (LOGS_AN_NFT, 17)])
def test_logs_of_zero_amounts_and_of_collectibles_are_no_money(anvil: Anvil, code: str, amount: int) -> None:
    contract = deploy(anvil, code)
    txid = mined(anvil, to=contract, data="0x" + words(ALICE, BOB, amount), value=0)
    assert len(anvil.rpc("eth_getTransactionReceipt", txid)["logs"]) == 1
    assert look(chain_over(anvil.url), txid).transfers == ()


def test_a_log_whose_addresses_are_no_addresses_is_no_transfer(anvil: Anvil) -> None:
    contract = deploy(anvil, LOGS_A_TRANSFER)
    txid = mined(anvil, to=contract, data="0x" + words(2**200, BOB, 5), value=0)
    assert look(chain_over(anvil.url), txid).transfers == ()


def test_a_new_contract_is_told_and_its_endowment_goes_to_it(anvil: Anvil) -> None:
    txid = mined(anvil, to=None, data="0x60016000f3", value=9, gas=200_000)
    receipt = anvil.rpc("eth_getTransactionReceipt", txid)
    assert receipt["status"] == "0x1"
    report = look(chain_over(anvil.url), txid)
    assert isinstance(report.status, Confirmed)
    assert report.created == to_checksum(receipt["contractAddress"])
    assert [(moved.amount.base_units, moved.recipient) for moved in report.transfers] == [(9, report.created)]


# -- chains of which no node can be had ------------------------------------------------------------------------------


def read(case: dict[str, Any]) -> tuple[Tx, Receipt]:
    tx = TX.decode(msgspec.json.encode(case["transaction"]))
    receipt = RECEIPT.decode(msgspec.json.encode(case["receipt"]))
    assert tx is not None
    assert isinstance(receipt, Receipt)
    return tx, receipt


def ledger(case: dict[str, Any]) -> Ledger:
    return Ledger(Asset(case["coin"], 18), {}, case["chain_id"])


FEES = vector("synthetic_evm_fees")["cases"]


@pytest.mark.parametrize("case", FEES, ids=[case["name"] for case in FEES])
def test_fees_of_other_chains_are_whole(case: dict[str, Any]) -> None:
    tx, receipt = read(case)
    fee = ledger(case).fee(tx, receipt)
    assert (None if fee is None else str(fee.base_units)) == case["fee"]


MOVES = vector("synthetic_evm_transfers")["cases"]


@pytest.mark.parametrize("case", MOVES, ids=[case["name"] for case in MOVES])
def test_money_of_other_chains_is_counted_once(case: dict[str, Any]) -> None:
    tx, receipt = read(case)
    moved = [
        {
            "asset": one.amount.asset.symbol,
            "amount": str(one.amount.base_units),
            "from": one.sender,
            "to": one.recipient,
        }
        for one in ledger(case).transfers(tx, receipt)
    ]
    assert moved == case["transfers"]
