"""Addresses and scripts: published vectors, the nodes' own opinion, and whatever hypothesis thinks of."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from cryptosupport.chains.bitcoin import codec as bitcoin
from cryptosupport.chains.evm import codec as evm
from cryptosupport.domain.base58 import decode_base58check, encode_base58check
from cryptosupport.domain.errors import BadInput

NETWORKS = ("mainnet", "testnet4", "signet", "regtest")
BECH32_CHARACTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
BASE58_CHARACTERS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def vectors(name: str) -> Any:
    return json.loads((Path(__file__).parents[1] / "vectors" / f"{name}.json").read_text(encoding="utf-8"))


BIP173 = vectors("bip173")
BIP350 = vectors("bip350")
SCRIPTS = [(n, a, s) for n, pairs in vectors("bitcoin_addresses")["scripts"].items() for a, s in pairs.items()]
EIP55 = vectors("eip55")["addresses"]


# -- Bitcoin: published vectors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", BIP173["valid_bech32"])
def test_bip173_valid_strings_are_bech32_and_nothing_else(text: str) -> None:
    hrp, data, constant = bitcoin.decode_bech32(text)
    assert constant == bitcoin.BECH32
    assert bitcoin.encode_bech32(hrp, data, constant) == text.lower()


@pytest.mark.parametrize("text", BIP350["valid_bech32m"])
def test_bip350_valid_strings_are_bech32m_and_nothing_else(text: str) -> None:
    hrp, data, constant = bitcoin.decode_bech32(text)
    assert constant == bitcoin.BECH32M
    assert bitcoin.encode_bech32(hrp, data, constant) == text.lower()


@pytest.mark.parametrize("text", BIP173["invalid_bech32"] + BIP350["invalid_bech32m"])
def test_strings_that_the_bips_refuse_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        bitcoin.decode_bech32(text)


@pytest.mark.parametrize(("text", "script"), [*BIP173["valid_version_0"].items(), *BIP350["valid_addresses"].items()])
def test_segwit_addresses_of_the_bips_pay_the_scripts_of_the_bips(text: str, script: str) -> None:
    network = "mainnet" if text.lower().startswith("bc1") else "signet"
    address = bitcoin.parse_address(text, network)
    assert address is not None
    assert address.text == text.lower()
    assert bitcoin.script_pubkey(text, network).hex() == script
    assert bitcoin.address_of(bytes.fromhex(script), network) == text.lower()


@pytest.mark.parametrize(
    "text", BIP173["invalid_addresses"] + BIP173["superseded_by_bip350"] + BIP350["invalid_addresses"]
)
@pytest.mark.parametrize("network", ["mainnet", "testnet4"])
def test_segwit_addresses_that_the_bips_refuse_are_never_taken(text: str, network: str) -> None:
    if text.lower().startswith("tc1"):  # a prefix of nobody: not this chain's form at all
        assert bitcoin.parse_address(text, network) is None
    else:
        with pytest.raises(BadInput):
            bitcoin.parse_address(text, network)


@pytest.mark.parametrize(("network", "text", "script"), SCRIPTS)
def test_an_address_and_its_script_lead_to_each_other(network: str, text: str, script: str) -> None:
    assert bitcoin.script_pubkey(text, network).hex() == script
    assert bitcoin.address_of(bytes.fromhex(script), network) == text


@pytest.mark.parametrize(
    ("text", "kind", "prefix"),
    [
        ("1FsSia9rv4NeEwvJ2GvXrX7LyxYspbN2mo", "p2pkh", 1),
        ("36j4NfKv6Akva9amjWrLG6MuSQym1GuEmm", "p2sh", 1),
        ("bc1qvyq0cc6rahyvsazfdje0twl7ez82ndmuac2lhv", "p2wpkh", 4),
        ("bc1qyucykdlhp62tezs0hagqury402qwhk589q80tqs5myh3rxq34nwqhkdhv7", "p2wsh", 4),
        ("bc1p83n3au0rjylefxq2nc2xh2y4jzz4pm6zxj4mw5pagdjjr2a9f36s6jjnnu", "p2tr", 4),
        ("bc1pfeessrawgf", "p2a", 4),
        ("bc1z2rksukkjr8", "witness_v2", 4),
    ],
)
def test_the_kind_is_told_and_the_prefix_that_proves_nothing(text: str, kind: str, prefix: int) -> None:
    address = bitcoin.parse_address(text, "mainnet")
    assert address is not None
    assert (address.kind, address.prefix, address.checksummed) == (kind, prefix, True)


# -- Bitcoin: networks and what is wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "network", "named"),
    [
        ("tb1qcrh3yqn4nlleplcez2yndq2ry8h9ncg3qh7n54", "mainnet", "testnet4 or signet"),
        ("tb1qcrh3yqn4nlleplcez2yndq2ry8h9ncg3qh7n54", "regtest", "testnet4 or signet"),
        ("bcrt1qdavt4j2sd7dlhqsavtnfxvzppw6k7qy97tmnu9", "mainnet", "regtest"),
        ("bc1qvyq0cc6rahyvsazfdje0twl7ez82ndmuac2lhv", "signet", "mainnet"),
        ("1FsSia9rv4NeEwvJ2GvXrX7LyxYspbN2mo", "testnet4", "mainnet"),
        ("36j4NfKv6Akva9amjWrLG6MuSQym1GuEmm", "regtest", "mainnet"),
        ("mzK2FFDEhxqHcmrJw1ysqFkVyhUULo45hZ", "mainnet", "testnet4 or signet or regtest"),
        ("2NC2hEhe28ULKAJkW5MjZ3jtTMJdvXmByvK", "mainnet", "testnet4 or signet or regtest"),
    ],
)
def test_another_networks_address_is_refused_by_the_name_of_its_network(text: str, network: str, named: str) -> None:
    with pytest.raises(BadInput, match=f"of {named}, not of {network}") as caught:
        bitcoin.parse_address(text, network)
    assert caught.value.facts["reason"] == "wrong_network"


@pytest.mark.parametrize("network", ["testnet4", "signet"])
def test_testnet4_and_signet_share_their_addresses(network: str) -> None:
    assert bitcoin.parse_address("tb1qcrh3yqn4nlleplcez2yndq2ry8h9ncg3qh7n54", network) is not None


@pytest.mark.parametrize(
    ("text", "reason", "said"),
    [
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", "bad_checksum", "checksum fails"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7Divf", "bad_checksum", "checksum fails"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNO", "bad_form", "'O' never stands in a base58 address"),
        ("bc1qvyq0cc6rahyvsazfdje0twl7ez82ndmuac2lhw", "bad_checksum", "checksum fails"),
        ("bc1qvyq0cc6rahyvsazfdje0twl7ez82ndmuac2lhV", "bad_form", "mixed"),
        ("bc1qvyq0cc6rahyvsazfdje0twl7ez82ndmuac2lho", "bad_form", "'o' never stands in a bech32 address"),
        ("bc1q", "bad_form", "too short"),
        ("bc1q" + "q" * 100, "bad_form", "bech32 ends at 90"),
        ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd", "bad_checksum", "needs bech32m"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh", "bad_checksum", "needs bech32 "),
        ("BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R", "bad_form", "witness version 17"),
        ("BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P", "bad_form", "cannot have 16 bytes"),
        ("bc1gmk9yu", "bad_form", "too short to hold a witness program"),
    ],
)
def test_a_wrong_address_is_refused_with_what_is_wrong(text: str, reason: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        bitcoin.parse_address(text, "mainnet")
    assert caught.value.facts["reason"] == reason


def test_a_valid_bech32_string_behind_a_longer_prefix_is_no_bitcoin_address() -> None:
    disguised = bitcoin.encode_segwit("bc1q", 0, bytes(range(20)))
    with pytest.raises(BadInput, match="'1' never stands inside"):
        bitcoin.parse_address(disguised, "mainnet")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "TJRabPrwbZy45sbavfcjinPJC18kjpRTv8",  # TRON
        "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9",  # another chain's bech32
        encode_base58check(b"\x30" + bytes(20)),  # Litecoin's version byte
        encode_base58check(b"\x6e" + bytes(range(20))),  # nobody's version byte, but an m in front
        encode_base58check(b"\x00" + bytes(range(19))),  # a byte short
        "a" * 64,
        "bc1q…lhv",
        "1А1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",  # a Cyrillic letter
    ],
)
def test_what_has_another_form_is_left_to_other_chains(text: str) -> None:
    assert bitcoin.parse_address(text, "mainnet") is None
    with pytest.raises(BadInput):
        bitcoin.script_pubkey(text, "mainnet")


@pytest.mark.parametrize(
    "text",
    [
        "1111111111111111111114oLvT2",
        "1BitcoinEaterAddressDontSendf59kuE",
        "1CounterpartyXXXXXXXXXXXXXXXUWLpVr",
        bitcoin.encode_segwit("bc", 0, bytes(20)),
        bitcoin.encode_segwit("bc", 1, bytes(32)),
    ],
)
def test_bitcoins_burn_addresses_are_marked(text: str) -> None:
    address = bitcoin.parse_address(text, "mainnet")
    assert address is not None
    assert address.burn


@pytest.mark.parametrize("text", ["1FsSia9rv4NeEwvJ2GvXrX7LyxYspbN2mo", "bc1pfeessrawgf"])
def test_an_address_that_somebody_can_spend_from_is_no_burn_address(text: str) -> None:
    address = bitcoin.parse_address(text, "mainnet")
    assert address is not None
    assert not address.burn


@pytest.mark.parametrize(
    "script",
    [
        "",
        "6a0b68656c6c6f20776f726c64",  # OP_RETURN
        "21" + "02" * 33 + "ac",  # a bare public key has no address
        "0010" + "00" * 16,  # version 0 has programs of 20 and 32 bytes only
        "0029" + "00" * 41,
        "5101" + "00",
        "5120" + "00" * 31,  # a push that is longer than the script
        "4f20" + "00" * 32,
        "76a914" + "00" * 20 + "88ad",
        "a914" + "00" * 20 + "88",
    ],
)
def test_a_script_without_an_address_has_none(script: str) -> None:
    assert bitcoin.address_of(bytes.fromhex(script), "mainnet") is None


# -- EVM -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", EIP55)
def test_eip55_vectors_keep_their_spelling(text: str) -> None:
    assert evm.to_checksum(text.lower()) == text
    address = evm.parse_address(text)
    assert address is not None
    assert (address.text, address.kind, address.prefix, address.checksummed) == (text, "account", 2, True)


@pytest.mark.parametrize("text", EIP55[4:])
def test_one_case_throughout_is_taken_but_carries_no_checksum(text: str) -> None:
    for spelling in (text.lower(), "0x" + text[2:].upper(), "0X" + text[2:].upper()):
        address = evm.parse_address(spelling)
        assert address is not None
        assert (address.text, address.checksummed) == (text, False)


@pytest.mark.parametrize("text", EIP55[4:])
def test_a_wrong_case_fails_and_the_right_one_is_not_guessed(text: str) -> None:
    wrong = text[:2] + text[2:].swapcase()
    with pytest.raises(BadInput, match="EIP-55") as caught:
        evm.parse_address(wrong)
    assert caught.value.facts["reason"] == "bad_checksum"
    assert text not in caught.value.message


def test_digits_alone_carry_no_checksum() -> None:
    address = evm.parse_address("0x1234567890123456789012345678901234567890")
    assert address is not None
    assert not address.checksummed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "without its 0x"),
        ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe", "39 hex digits"),
        ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAedd", "41 hex digits"),
        ("0x5aAeb6053F3E94C9b9AO9f33669435E7Ef1BeAed", "'O' is no hex digit"),
    ],
)
def test_what_is_nearly_an_address_is_refused_with_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        evm.parse_address(text)


@pytest.mark.parametrize("text", ["", "0x", "0x" + "ab" * 32, "bc1pfeessrawgf", "0x1234", "vitalik.eth"])
def test_what_has_another_form_is_no_evm_address(text: str) -> None:
    assert evm.parse_address(text) is None


@pytest.mark.parametrize(
    "digits",
    ["0" * 40, "f" * 40, "e" * 40, "0" * 36 + "dead", "dead" + "0" * 16 + "42069420694206942069", "0" * 39 + "9"],
)
def test_evm_burn_addresses_are_marked(digits: str) -> None:
    address = evm.parse_address("0x" + digits)
    assert address is not None
    assert address.burn


def test_a_token_contract_is_no_burn_address() -> None:
    address = evm.parse_address("0xdAC17F958D2ee523a2206206994597C13D831ec7")
    assert address is not None
    assert not address.burn


# -- peers and nodes -------------------------------------------------------------------------------------------------


def test_checksums_are_those_of_web3() -> None:
    from web3 import Web3

    for _ in range(500):
        text = "0x" + os.urandom(20).hex()
        assert evm.to_checksum(text) == Web3.to_checksum_address(text)


def test_keccak_is_that_of_web3() -> None:
    from web3 import Web3

    for length in (0, 1, 31, 32, 135, 136, 137, 1000):
        data = os.urandom(length)
        assert evm.keccak256(data) == bytes(Web3.keccak(data))


def test_account_addresses_are_those_of_eth_account() -> None:
    from eth_account import Account

    for _ in range(20):
        made = Account.create().address
        address = evm.parse_address(made)
        assert address is not None
        assert (address.text, address.checksummed) == (made, True)


def test_bitcoind_agrees_on_every_kind_of_script(bitcoind: Any) -> None:
    scripts = [
        *(b"\x76\xa9\x14" + os.urandom(20) + b"\x88\xac" for _ in range(20)),
        *(b"\xa9\x14" + os.urandom(20) + b"\x87" for _ in range(20)),
        *(b"\x00\x14" + os.urandom(20) for _ in range(20)),
        *(b"\x00\x20" + os.urandom(32) for _ in range(20)),
        *(bytes((0x50 + v, n)) + os.urandom(n) for v in range(1, 17) for n in (2, 20, 32, 40)),
        b"\x51\x02\x4e\x73",
    ]
    addresses = [bitcoin.address_of(script, "regtest") for script in scripts]
    answers = bitcoind.batch([("validateaddress", [address]) for address in addresses])
    for script, address, answer in zip(scripts, addresses, answers, strict=True):
        assert answer["isvalid"], address
        assert answer["scriptPubKey"] == script.hex()
        assert answer["address"] == address
        assert bitcoin.script_pubkey(answer["address"], "regtest") == script
        parsed = bitcoin.parse_address(answer["address"], "regtest")
        assert parsed is not None
        assert parsed.kind.startswith(("p2w", "p2tr", "p2a", "witness")) == answer["iswitness"]


def test_bitcoind_and_we_refuse_the_same_damaged_addresses(bitcoind: Any) -> None:
    good = [text for network, text, _ in SCRIPTS if network == "regtest"]
    damaged = [text[:i] + c + text[i + 1 :] for text in good for i in range(len(text)) for c in "qpzZ2"]
    answers = bitcoind.batch([("validateaddress", [text]) for text in damaged])
    for text, answer in zip(damaged, answers, strict=True):
        assert answer["isvalid"] == _is_valid(text, "regtest"), text


def test_addresses_of_a_wallet_are_read_as_the_wallet_made_them(bitcoind: Any) -> None:
    for kind, ours in (("legacy", "p2pkh"), ("p2sh-segwit", "p2sh"), ("bech32", "p2wpkh"), ("bech32m", "p2tr")):
        made = bitcoind.rpc("getnewaddress", "", kind, wallet="miner")
        told = bitcoind.rpc("getaddressinfo", made, wallet="miner")
        address = bitcoin.parse_address(made, "regtest")
        assert address is not None
        assert (address.text, address.kind) == (made, ours)
        assert bitcoin.script_pubkey(made, "regtest").hex() == told["scriptPubKey"]


# -- whatever hypothesis thinks of -----------------------------------------------------------------------------------

addressish = st.one_of(
    st.text(max_size=120),
    st.from_regex(r"(bc|tb|bcrt|BC|Bc)1[02-9ac-hj-np-zA-Z1]{0,100}", fullmatch=True),
    st.from_regex(r"[123mn][1-9A-HJ-NP-Za-km-z]{20,40}", fullmatch=True),
    st.from_regex(r"(0[xX])?[0-9a-fA-F]{30,66}", fullmatch=True),
)
programs = st.tuples(st.integers(0, 16), st.binary(min_size=2, max_size=40)).filter(
    lambda pair: pair[0] > 0 or len(pair[1]) in (20, 32)
)


def _is_valid(text: str, network: str) -> bool:
    try:
        return bitcoin.parse_address(text, network) is not None
    except BadInput:
        return False


@settings(max_examples=500)
@given(addressish, st.sampled_from(NETWORKS))
@example("bc1", "mainnet")
@example("İ" * 40, "mainnet")
@example("bc1q１２３", "mainnet")  # digits, but not ASCII's
def test_no_text_raises_anything_but_bad_input(text: str, network: str) -> None:
    for parse in (evm.parse_address, lambda text: bitcoin.parse_address(text, network)):
        try:
            address = parse(text)
        except BadInput as error:
            told = bool(error.message) and error.facts["reason"] in ("bad_checksum", "bad_form", "wrong_network")
        else:
            told = address is None or parse(address.text) is not None
        assert told


@given(programs, st.sampled_from(NETWORKS))
def test_witness_programs_survive_the_round_trip(program: tuple[int, bytes], network: str) -> None:
    hrp = bitcoin.ENCODINGS[network].hrp
    text = bitcoin.encode_segwit(hrp, *program)
    assert bitcoin.decode_segwit(text) == (hrp, *program)
    assert bitcoin.decode_segwit(text.upper()) == (hrp, *program)
    assert bitcoin.address_of(bitcoin.script_pubkey(text, network), network) == text


@given(st.binary(max_size=60))
def test_base58check_survives_the_round_trip(data: bytes) -> None:
    if data:
        assert decode_base58check(encode_base58check(data)) == data


@given(st.sampled_from(["p2pkh", "p2sh"]), st.binary(min_size=20, max_size=20), st.sampled_from(NETWORKS))
def test_base58_addresses_survive_the_round_trip(kind: str, payload: bytes, network: str) -> None:
    version = getattr(bitcoin.ENCODINGS[network], kind)
    text = encode_base58check(bytes((version,)) + payload)
    address = bitcoin.parse_address(text, network)
    assert address is not None
    assert (address.text, address.kind) == (text, kind)
    assert bitcoin.address_of(bitcoin.script_pubkey(text, network), network) == text


@given(st.binary(max_size=45), st.sampled_from(NETWORKS))
def test_any_bytes_are_a_script_with_an_address_or_without(script: bytes, network: str) -> None:
    text = bitcoin.address_of(script, network)
    assert text is None or bitcoin.script_pubkey(text, network) == script


@settings(max_examples=300)
@given(programs, st.data())
def test_one_changed_character_never_passes_for_a_segwit_address(
    program: tuple[int, bytes], data: st.DataObject
) -> None:
    text = bitcoin.encode_segwit("bc", *program)
    place = data.draw(st.integers(3, len(text) - 1))
    changed = data.draw(st.sampled_from(BECH32_CHARACTERS))
    assume(changed != text[place])
    assert not _is_valid(text[:place] + changed + text[place + 1 :], "mainnet")


@settings(max_examples=300)
@given(st.binary(min_size=20, max_size=20), st.data())
def test_one_changed_character_does_not_pass_for_a_base58_address(payload: bytes, data: st.DataObject) -> None:
    text = encode_base58check(b"\0" + payload)
    place = data.draw(st.integers(0, len(text) - 1))
    changed = data.draw(st.sampled_from(BASE58_CHARACTERS))
    assume(changed != text[place])
    # Four bytes of checksum: one in 4,294,967,296 passes.
    assert not _is_valid(text[:place] + changed + text[place + 1 :], "mainnet")


@given(st.binary(min_size=20, max_size=20))
def test_evm_addresses_survive_the_round_trip(payload: bytes) -> None:
    for spelling in (f"0x{payload.hex()}", f"0x{payload.hex().upper()}", evm.to_checksum(f"0x{payload.hex()}")):
        address = evm.parse_address(spelling)
        assert address is not None
        assert bytes.fromhex(address.text[2:]) == payload
