"""Plans as text, and what signs them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptosupport.chains.evm import signing
from cryptosupport.chains.evm.codec import to_checksum
from cryptosupport.chains.evm.transfers import Unsigned, transfer_call
from cryptosupport.domain.errors import BadSettings, Refused, SupportError
from cryptosupport.domain.money import GasFees
from tests.chains.evm_paying.test_decoding import CUSTOMER, KEY, OURS, unsigned

PLAN = unsigned()


def test_the_text_of_a_plan_never_changes() -> None:
    assert PLAN.text == (
        '{"chain_id":"1","data":"0x","gas":"21000","max_fee_per_gas":"30000000000",'
        '"max_priority_fee_per_gas":"1000000000","nonce":"7",'
        '"to":"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed","value":"1000000000000000000"}'
    )
    assert PLAN.plan.max_fee == 21_000 * 30 * 10**9


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 2**63 - 1),
    st.none() | st.integers(0, 2**64 - 2),
    st.binary(min_size=20, max_size=20),
    st.integers(0, 2**256 - 1),
    st.binary(max_size=100),
    st.integers(0, 2**63 - 1),
    st.tuples(st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1)).map(sorted),
)
def test_a_plan_is_read_back_from_its_text(
    chain_id: int, nonce: int | None, to: bytes, value: int, data: bytes, gas: int, fees: list[int]
) -> None:
    plan = Unsigned(chain_id, nonce, to_checksum("0x" + to.hex()), value, data, gas, fees[1], fees[0])
    assert Unsigned.of(plan.text) == plan


def other(**fields: Any) -> str:
    return json.dumps({**json.loads(PLAN.text), **fields}, sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[" * 3000,
        "[]",
        PLAN.text + " ",
        PLAN.text.replace(":", ": ", 1),
        PLAN.text.replace('"chain_id":"1"', '"chain_id":"1","chain_id":"1"'),
        PLAN.text.replace("7", "\\u0037", 1),
        other(value=1),
        other(value="01"),
        other(value="-1"),
        other(value="1.0"),
        other(value=str(2**256)),
        other(value="１"),
        other(nonce=str(2**64 - 1)),
        other(nonce=7),
        other(gas=None),
        other(chain_id="0"),
        other(to=CUSTOMER.lower()),
        other(to="0x"),
        other(to=None),
        other(data="0X"),
        other(data="0xabc"),
        other(data="0xAB"),
        other(max_priority_fee_per_gas="30000000001"),
        other(access_list="[]"),
        other(value="1" * 5000),
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="no plan of an EVM payment"):
        Unsigned.of(text)


def test_a_plan_is_given_its_place_once() -> None:
    drafted = replace(PLAN, nonce=None)
    assert drafted.at(9) == drafted.at(9).at(9) == replace(PLAN, nonce=9)
    with pytest.raises(Refused, match="nonce 9 already"):
        drafted.at(9).at(10)
    assert PLAN.offering(GasFees(5, 4)) == replace(PLAN, max_fee_per_gas=5, max_priority_fee_per_gas=4)


def test_the_call_of_a_token_is_the_one_of_eip_20() -> None:
    call = transfer_call(CUSTOMER, 250).hex()
    assert call == "a9059cbb" + CUSTOMER[2:].lower().rjust(64, "0") + f"{250:064x}"


# -- signing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [KEY, "0x" + KEY, "0X" + KEY.upper(), f" {KEY}\n"])
def test_a_key_has_its_address_however_it_is_written(secret: str) -> None:
    assert signing.address(secret) == OURS
    assert signing.sign(PLAN.text, secret) == signing.sign(PLAN.text, KEY)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "0x",
        KEY[:-1],
        KEY + "0",
        "0" * 64,
        "f" * 64,
        "z" + KEY[1:],
        "test test test junk",
        KEY[:32] + " " + KEY[32:],
    ],
)
def test_a_bad_key_is_told_without_a_word_of_it(secret: str) -> None:
    for use in (signing.address, lambda key: signing.sign(PLAN.text, key)):
        with pytest.raises(BadSettings) as caught:
            use(secret)
        shown = f"{caught.value!r} {caught.value.__cause__} {caught.value.__context__} {caught.value.facts}"
        assert not secret.strip("0x ") or secret not in shown


def test_what_the_library_says_when_it_fails_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import web3

    def fail(fields: object, key: bytes) -> None:
        raise ValueError(f"bad key {key.hex()}")

    monkeypatch.setattr(web3.Account, "sign_transaction", fail)
    with pytest.raises(SupportError, match="ValueError") as caught:
        signing.sign(PLAN.text, KEY)
    assert KEY not in f"{caught.value!r} {caught.value.__cause__}"
    assert caught.value.__suppress_context__


def test_a_plan_without_a_place_is_not_signed() -> None:
    with pytest.raises(Refused, match="no nonce"):
        signing.sign(replace(PLAN, nonce=None).text, KEY)


def test_reading_and_planning_load_no_signing_library() -> None:
    code = (
        "import sys; from cryptosupport.chains.evm import paying, signing, decoding; "
        "print([name for name in ('web3', 'eth_account', 'eth_keys', 'rlp', 'coincurve') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
