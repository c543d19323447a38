"""Raw transactions: what is read of them, and what is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptosupport.chains.bitcoin.transactions import Tx, decode
from cryptosupport.domain.errors import Refused
from cryptosupport.outside.nodes import Bitcoind
from tests.chains.bitcoinkit import COIN, Purse, satoshis

# The native P2WPKH example of BIP 143: the first input is P2PK, the second P2WPKH.
BIP143 = bytes.fromhex(
    "01000000000102fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f00000000494830450221008b9d1dc26ba6a9cb"
    "62127b02742fa9d754cd3bebf337f7a55d114c8e5cdd30be022040529b194ba3f9281a99f2b1c0a19c0489bc22ede944ccf4ecbab4cc618ef3ed"
    "01eeffffffef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202cb206000000001976a9"
    "148280b37df378db99f66f85c95a783a76ac7a6d5988ac9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac00"
    "0247304402203609e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366d7f01cc44a0220573a954c4518331561406f90300e8f335"
    "8f51928d43c212a8caed02de67eebee0121025476c2e83188368da1ff3e292e7acafcdb3566bb0ad253f62fc70f07aeee635711000000"
)
UNSIGNED = bytes.fromhex(
    "0100000002fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f0000000000eeffffffef51e1b804cc89d182d27965"
    "5c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202cb206000000001976a9148280b37df378db99f66f85c95a783a76"
    "ac7a6d5988ac9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac11000000"
)


def test_the_published_transaction_is_read() -> None:
    read = decode(BIP143)
    assert read.inputs == (
        ("9f96ade4b41d5433f4eda31e1738ec2b36f6e7d1420d94a6af99801a88f7f7ff", 0, 0xFFFFFFEE),
        ("8ac60eb9575db5b2d987e29f301b5b819ea83a5c6579d282d189cc04b8e151ef", 1, 0xFFFFFFFF),
    )
    assert [value for _, value in read.outputs] == [112340000, 223450000]
    assert read.outputs[0][0].hex() == "76a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac"
    assert (read.version, read.locktime, read.has_witness) == (1, 17, (False, True))
    assert read.spends[1].outpoint == "8ac60eb9575db5b2d987e29f301b5b819ea83a5c6579d282d189cc04b8e151ef:1"
    unsigned = decode(UNSIGNED)
    assert unsigned.inputs == read.inputs
    assert unsigned.has_witness == (False, False)
    assert unsigned.txid == unsigned.wtxid != read.txid != read.wtxid  # its P2PK input is signed in the scriptSig


def test_what_is_read_is_what_a_node_reads(bitcoind: Bitcoind) -> None:
    purse = Purse(bitcoind, 3)
    for spent, to in ((1, 1), (2, 40)):
        addresses = [bitcoind.rpc("getnewaddress", "", kind, wallet="miner") for kind in KINDS * 8][:to]
        amount = str(COIN / 100)
        raw = purse.signed([purse.coin() for _ in range(spent)], to=dict.fromkeys(addresses, amount), sequence=5)
        told = bitcoind.rpc("decoderawtransaction", raw)
        read = decode(bytes.fromhex(raw))
        assert (read.txid, read.wtxid, read.weight, read.vsize) == (
            told["txid"], told["hash"], told["weight"], told["vsize"]
        )  # fmt: skip
        assert read.inputs == tuple((each["txid"], each["vout"], each["sequence"]) for each in told["vin"])
        assert read.outputs == tuple(
            (bytes.fromhex(each["scriptPubKey"]["hex"]), satoshis(each["value"])) for each in told["vout"]
        )
        assert (read.version, read.locktime) == (told["version"], told["locktime"])


KINDS = ["legacy", "p2sh-segwit", "bech32", "bech32m", "bech32"]


def changed(raw: bytes, at: int, to: bytes, length: int | None = None) -> bytes:
    return raw[:at] + to + raw[at + (len(to) if length is None else length) :]


VALUE = UNSIGNED.index(bytes.fromhex("202cb206"))
SECOND = UNSIGNED.index(bytes.fromhex("ef51e1b8"))
OTHERS = {
    "nothing": b"",
    "cut_short": BIP143[:-1],
    "cut_in_a_script": BIP143[:120],
    "more_behind": BIP143 + b"\x00",
    "two_of_them": BIP143 + BIP143,
    "no_inputs": bytes.fromhex("02000000000001e8030000000000000000000000"),
    "no_inputs_and_no_outputs": bytes.fromhex("02000000000000000000"),
    "no_outputs": UNSIGNED[: VALUE - 1] + b"\x00" + UNSIGNED[-4:],
    "a_witness_that_says_nothing": changed(
        changed(UNSIGNED[:-4] + b"\x00\x00" + UNSIGNED[-4:], 4, b"\x00\x01", 0), 0, b"\x02"
    ),
    "another_flag": changed(BIP143, 5, b"\x02"),
    "a_count_in_three_bytes": changed(UNSIGNED, 4, b"\xfd\x02\x00", 1),
    "a_count_of_all_there_can_be": changed(UNSIGNED, 4, b"\xff" * 9, 1),
    "an_output_spent_twice": changed(UNSIGNED, SECOND, UNSIGNED[5:41]),
    "more_than_there_is": changed(UNSIGNED, VALUE, (21 * 10**14).to_bytes(8, "little")),
    "less_than_nothing": changed(UNSIGNED, VALUE, (-1).to_bytes(8, "little", signed=True)),
    "too_long": b"\x02" + bytes(4_000_000),
    "text": BIP143.hex().encode(),
}


@pytest.mark.parametrize("raw", OTHERS.values(), ids=OTHERS)
def test_other_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(Refused, match="no transaction of Bitcoin"):
        decode(raw)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(BIP143) - 1), st.integers(0, 255), st.booleans())
def test_whatever_byte_changes_nothing_but_a_refusal_or_another_transaction_comes_of_it(
    at: int, byte: int, cut: bool
) -> None:
    raw = BIP143[:at] if cut else changed(BIP143, at, bytes([byte]))
    try:
        read = decode(raw)
    except Refused:
        return
    assert isinstance(read, Tx)
    assert (read.wtxid == decode(BIP143).wtxid) is (raw == BIP143)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with suppress(Refused):
        assert decode(b"\x02\x00\x00\x00" + raw).inputs
