"""The second decoder against published vectors, and against the library that signs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptosupport.chains.evm import decoding, rlp, secp256k1, signing
from cryptosupport.chains.evm.codec import to_checksum
from cryptosupport.chains.evm.transfers import Unsigned, transfer_call
from cryptosupport.domain.errors import Refused
from cryptosupport.domain.paying import Decoded, Paid
from tests.chains.evmkit import vector

VECTORS = vector("eip1559")
KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
OURS = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"
CUSTOMER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
TOKEN = "0xdAC17F958D2ee523a2206206994597C13D831ec7"


def unsigned(**fields: Any) -> Unsigned:
    usual = {"chain_id": 1, "nonce": 7, "to": CUSTOMER, "value": 10**18, "data": b"", "gas": 21_000}
    fees = {"max_fee_per_gas": 30 * 10**9, "max_priority_fee_per_gas": 10**9}
    return Unsigned(**{**usual, **fees, **fields})


def signed(**fields: Any) -> bytes:
    return signing.sign(unsigned(**fields).text, KEY)


def by_the_library(**fields: Any) -> bytes:
    """Signed by eth_account as it is, so that what `Unsigned` cannot say can be tried."""
    from web3 import Account

    usual = {"type": 2, "chainId": 1, "nonce": 7, "to": CUSTOMER, "value": 5, "data": b"", "gas": 21_000}
    fees = {"maxFeePerGas": 10**9, "maxPriorityFeePerGas": 1}
    return bytes(Account.sign_transaction({**usual, **fields, **fees}, KEY).raw_transaction)


# -- published vectors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", VECTORS["signed"], ids=lambda row: f"nonce_{row['nonce']}")
def test_published_transactions_are_read_and_signed_alike(row: dict[str, Any]) -> None:
    raw = rlp.read(bytes.fromhex(row["wrapped"][2:]))
    assert isinstance(raw, bytes)
    read = decoding.decode(raw)
    key, to = VECTORS["private_key"], to_checksum(VECTORS["to"])
    assert read.network == str(VECTORS["chain_id"])
    assert read.claims == (str(row["nonce"]),)
    assert read.source == signing.address(key)
    assert read.pays == (Paid(to, None, row["value"]),)
    assert read.max_fee == row["gasLimit" if "gasLimit" in row else "gas"] * row["max_fee_per_gas"]
    fees = {name: row[name] for name in ("gas", "max_fee_per_gas", "max_priority_fee_per_gas", "nonce", "value")}
    plan = Unsigned(chain_id=VECTORS["chain_id"], to=to, data=b"", **fees)
    assert signing.sign(plan.text, key) == raw


@pytest.mark.parametrize("name", VECTORS["refused"])
def test_published_transactions_that_no_chain_takes_are_refused(name: str) -> None:
    with pytest.raises(Refused):
        decoding.decode(bytes.fromhex(VECTORS["refused"][name][2:]))


@pytest.mark.parametrize("name", vector("rlp_invalid")["invalid"])
def test_published_bytes_that_are_no_rlp_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"short|length|follow"):
        rlp.read(bytes.fromhex(vector("rlp_invalid")["invalid"][name]))


# -- against the encoder ---------------------------------------------------------------------------------------------

AMOUNTS = st.integers(0, 2**256 - 1) | st.integers(0, 300)
ADDRESSES = st.binary(min_size=20, max_size=20).map(lambda raw: to_checksum("0x" + raw.hex()))
FEES = st.tuples(st.integers(0, 2**120), st.integers(0, 2**120)).map(sorted)


@settings(max_examples=150, deadline=None)
@given(AMOUNTS, ADDRESSES, st.integers(0, 2**64 - 2), st.integers(1, 2**62), st.integers(0, 2**60), FEES)
def test_what_the_library_signs_is_read_back(
    value: int, to: str, nonce: int, chain_id: int, gas: int, fees: list[int]
) -> None:
    plan = Unsigned(chain_id, nonce, to, value, b"", gas, fees[1], fees[0])
    read = decoding.decode(signing.sign(plan.text, KEY))
    assert read == Decoded(read.txid, str(chain_id), OURS, (str(nonce),), (Paid(to, None, value),), plan.plan.max_fee)


@settings(max_examples=100, deadline=None)
@given(AMOUNTS, ADDRESSES)
def test_a_token_payment_is_read_back(amount: int, to: str) -> None:
    raw = signed(to=TOKEN, value=0, data=transfer_call(to, amount), gas=60_000)
    assert decoding.decode(raw).pays == (Paid(to, TOKEN, amount),)
    spelled = decoding.decode(raw, {TOKEN.lower(): TOKEN.lower()})
    assert spelled.pays == (Paid(to, TOKEN.lower(), amount),)


def test_the_txid_is_the_one_that_the_library_gives() -> None:
    from web3 import Account

    plan = unsigned()
    fields = {"type": 2, "chainId": 1, "nonce": 7, "to": CUSTOMER, "value": 10**18, "gas": 21_000}
    fees = {"maxFeePerGas": plan.max_fee_per_gas, "maxPriorityFeePerGas": plan.max_priority_fee_per_gas}
    theirs = Account.sign_transaction({**fields, **fees}, KEY)
    assert decoding.decode(signing.sign(plan.text, KEY)).txid == "0x" + bytes(theirs.hash).hex()


RAWS = [signed(), signed(to=TOKEN, value=0, data=transfer_call(CUSTOMER, 250_000_000), gas=65_000), signed(nonce=0)]


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(RAWS), st.data())
def test_every_byte_that_is_changed_is_noticed(raw: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(raw) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != raw[place]))
    changed = raw[:place] + bytes([byte]) + raw[place + 1 :]
    before = decoding.decode(raw)
    try:
        after = decoding.decode(changed)
    except Refused:
        return
    assert (after.source, after.network) != (before.source, before.network)
    assert after.txid != before.txid


def test_one_changed_bit_anywhere_is_noticed() -> None:
    raw = RAWS[0]
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        try:
            assert decoding.decode(changed).source != OURS
        except Refused:
            continue


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_the_readers_break(raw: bytes) -> None:
    for junk in (raw, b"\x02" + raw):
        with pytest.raises(Refused):
            decoding.decode(junk)


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.binary(max_size=70), lambda inner: st.lists(inner, max_size=5), max_leaves=20))
def test_what_another_encoder_writes_is_read_back(item: Any) -> None:
    import rlp as theirs

    written = theirs.encode(item)
    if depth(item) > 8:
        with pytest.raises(ValueError, match="lists within lists"):
            rlp.read(written)
    else:
        assert rlp.read(written) == item


def depth(item: Any) -> int:
    """How many lists are within each other."""
    return 1 + max(map(depth, item), default=0) if isinstance(item, list) else 0


# -- what is no payment ----------------------------------------------------------------------------------------------


def cut(raw: bytes) -> bytes:
    return raw[:-1]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "type"),
        (b"\x01" + RAWS[0][1:], "type"),
        (RAWS[0] + b"\0", "follow"),
        (cut(RAWS[0]), "short"),
        (b"\x02\xc0", "fields"),
        (b"\x02" + b"\x80", "fields"),
        (b"\x02" * 2000, "bytes"),
        (by_the_library(to=b"", data=b"\x60\x00"), "contract"),
        (by_the_library(accessList=[{"address": TOKEN, "storageKeys": []}]), "access list"),
        (by_the_library(data=b"\x01"), "no transfer"),
        (by_the_library(to=TOKEN, data=transfer_call(CUSTOMER, 1)), "coin"),
        (by_the_library(to=TOKEN, value=0, data=transfer_call(CUSTOMER, 1)[:-1]), "no transfer"),
        (by_the_library(to=TOKEN, value=0, data=transfer_call(CUSTOMER, 1) + b"\0"), "no transfer"),
        (by_the_library(to=TOKEN, value=0, data=bytes.fromhex("095ea7b3") + bytes(64)), "no transfer"),
        (by_the_library(to=TOKEN, value=0, data=bytes.fromhex("a9059cbb") + b"\1" * 64), "no transfer"),
    ],
)
def test_anything_else_than_a_payment_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(Refused, match=why):
        decoding.decode(raw)


def test_a_payment_of_nothing_to_ourselves_pays_ourselves_nothing() -> None:
    read = decoding.decode(signed(to=OURS, value=0))
    assert read.source == OURS
    assert read.pays == (Paid(OURS, None, 0),)


def malleated(raw: bytes) -> bytes:
    """The same signature with the other s, which is as good on the curve (EIP-2)."""
    fields: Any = rlp.read(raw[1:])
    import rlp as theirs

    s = secp256k1.N - int.from_bytes(fields[11], "big")
    parity = b"" if fields[9] == b"\1" else b"\1"
    return b"\x02" + theirs.encode([*fields[:9], parity, fields[10], s.to_bytes(32, "big").lstrip(b"\0")])


def test_the_upper_half_of_s_is_refused() -> None:
    with pytest.raises(Refused, match="out of range"):
        decoding.decode(malleated(RAWS[0]))


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.integers(1, secp256k1.N - 1))
def test_keys_are_recovered_as_the_library_recovers_them(digest: bytes, secret: int) -> None:
    from eth_keys import keys

    key = keys.PrivateKey(secret.to_bytes(32, "big"))
    signature = key.sign_msg_hash(digest)
    assert secp256k1.recover(digest, signature.r, signature.s, signature.v) == key.public_key.to_bytes()


@pytest.mark.parametrize(
    ("r", "s", "parity"),
    [(0, 1, 0), (1, 0, 0), (secp256k1.N, 1, 0), (1, secp256k1.N // 2 + 1, 0), (1, 1, 2), (5, 1, 0)],
)
def test_what_is_no_signature_has_no_key(r: int, s: int, parity: int) -> None:
    with pytest.raises(ValueError, match=r"range|point"):
        secp256k1.recover(bytes(32), r, s, parity)
