"""What a signer elsewhere is asked for, and how what it signed is held against that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cryptosupport.chains.evm.elsewhere import EvmWords, open_words
from cryptosupport.chains.evm.signing import address, sign
from cryptosupport.chains.evm.transfers import Unsigned, transfer_call
from cryptosupport.domain.errors import Refused
from cryptosupport.domain.paying import Paid
from cryptosupport.settings import load_chain
from tests.commands.web3signerdesk import signed

KEY = "1f" * 32
ANN, TOKEN = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
COIN_PLAN = Unsigned(31337, 7, ANN, 5, b"", 21_000, 30 * 10**9, 10**9)
TOKEN_PLAN = Unsigned(31337, 0, TOKEN, 0, transfer_call(ANN, 9), 60_000, 30 * 10**9, 0)


@pytest.fixture
def words(tmp_path: Path) -> EvmWords:
    (tmp_path / "chains").mkdir()
    (tmp_path / "chains" / "ethereum.toml").write_text(
        'family = "evm"\nchain_id = 31337\n[assets.ETH]\ndecimals = 18\n'
        f'[assets.T]\ndecimals = 6\ncontract = "{TOKEN}"\n'
    )
    return open_words(load_chain(tmp_path, "ethereum"))


@pytest.mark.parametrize("plan", [COIN_PLAN, TOKEN_PLAN])
def test_what_is_signed_as_asked_reads_as_asked(words: EvmWords, plan: Unsigned) -> None:
    asked = words.asked(plan.text)
    raw = signed(asked, KEY)
    assert raw == sign(plan.text, KEY)
    assert words.told(raw) == asked
    read, preview = words.read(raw), words.preview(asked)
    assert (read.source, preview.source, preview.txid) == (address(KEY), "", "")
    assert (read.network, read.claims, read.pays) == (preview.network, preview.claims, preview.pays)
    assert read.max_fee == preview.max_fee == plan.gas * plan.max_fee_per_gas


def test_a_token_is_told_by_its_contract(words: EvmWords) -> None:
    assert words.preview(words.asked(TOKEN_PLAN.text)).pays == (Paid(ANN, TOKEN, 9),)


OTHERWISE: dict[str, Mapping[str, Any]] = {
    "to": {"to": TOKEN},
    "value": {"value": hex(6)},
    "nonce": {"nonce": hex(8)},
    "chain": {"chainId": hex(1)},
    "gas": {"gas": hex(42_000), "maxFeePerGas": hex(15 * 10**9)},
    "tip": {"maxPriorityFeePerGas": hex(2 * 10**9)},
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_each_field_that_is_signed_otherwise_is_seen(words: EvmWords, name: str) -> None:
    asked = words.asked(COIN_PLAN.text)
    assert words.told(signed({**asked, **OTHERWISE[name]}, KEY)) != asked


def test_a_plan_without_a_place_and_what_is_no_plan_are_never_asked_for(words: EvmWords) -> None:
    for text in (Unsigned(1, None, ANN, 5, b"", 21_000, 2, 1).text, "{}", ""):
        with pytest.raises(Refused):
            words.asked(text)


def test_a_plan_that_is_no_payment_is_never_asked_for(words: EvmWords) -> None:
    approve = bytes.fromhex("095ea7b3") + bytes(64)
    with pytest.raises(Refused, match="no payment"):
        words.preview(words.asked(Unsigned(31337, 0, TOKEN, 0, approve, 60_000, 2, 1).text))


@pytest.mark.parametrize("raw", [b"", b"\x02", b"\x02\xc0", bytes(100), b"\xf8\x6b" + bytes(107)])
def test_what_is_no_transaction_is_refused(words: EvmWords, raw: bytes) -> None:
    with pytest.raises(Refused):
        words.told(raw)
    with pytest.raises(Refused):
        words.read(raw)
