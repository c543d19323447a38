"""Descriptors: what is read, what is refused, and which scripts are ours."""

from __future__ import annotations

from typing import Any

import pytest

from cryptosupport.chains.bitcoin.codec import script_pubkey
from cryptosupport.chains.bitcoin.descriptors import Watched, checksum_of
from cryptosupport.domain.errors import BadInput
from tests.chains.evmkit import vector

WPKH, TR = vector("bip84"), vector("bip86")
TEXT = WPKH["descriptor"]
XPUB = TEXT.partition("]")[2].partition("/")[0]
TPUB = "tpubDCTWGikxWyFgCbe4KEumTUKHpoh7DuSHbeWVjtcuu6A22zFMZCUgjW3Dnjihghd9yn15HKQMo8iLHXvMDfMMmwSLedPkJp8WCRvYN84TZ5J"
XPRV = "xprv9s21ZrQH143K3GJpoapnV8SFfukcVBSfeCficPSGfubmSFDxo1kuHnLisriDvSnRRuL2Qrg5ggqHKNVpxR86QEC8w35uxmGoggxtQTPvfUu"


def of(text: str, network: str = "mainnet") -> Watched:
    return Watched.of(text, network)


# -- published vectors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("published", [WPKH, TR], ids=["bip84", "bip86"])
def test_published_addresses_are_derived(published: dict[str, Any]) -> None:
    watched = of(published["descriptor"])
    assert watched.source == published["descriptor"]
    for row in published["addresses"]:
        address = watched.address(row["change"], row["index"])
        assert address == row["address"]
        assert watched.script(row["change"], row["index"]) == script_pubkey(address, "mainnet")


def test_published_checksums_are_computed() -> None:
    for text in vector("bip380")["valid"]:
        body, _, checksum = text.partition("#")
        assert checksum_of(body) == checksum


@pytest.mark.parametrize("ending", [each.partition("#")[2] for each in vector("bip380")["invalid"]])
def test_a_checksum_that_does_not_fit_is_refused(ending: str) -> None:
    with pytest.raises(BadInput, match="checksum") as refused:
        of(f"{TEXT}#{ending}")
    assert refused.value.facts["reason"] == "bad_checksum"


# -- spellings -------------------------------------------------------------------------------------------------------


def test_every_spelling_is_one_wallet() -> None:
    apostrophes = TEXT.replace("h/", "'/").replace("h]", "']")
    capitals = TEXT.replace("73c5da0a", "73C5DA0A")
    texts = [
        TEXT,
        apostrophes,
        capitals,
        f" {TEXT}\n",
        *(f"{each}#{checksum_of(each)}" for each in (TEXT, apostrophes)),
    ]
    assert {of(text) for text in texts} == {of(TEXT)}
    assert of(apostrophes).source == TEXT


def test_the_two_branches_are_what_bdk_makes_of_them() -> None:
    import bdkpython as bdk

    for published in (WPKH, TR):
        watched = of(published["descriptor"])
        both = bdk.Descriptor(watched.source, bdk.NetworkKind.MAIN).to_single_descriptors()
        assert [str(each) for each in both] == [
            str(bdk.Descriptor(each, bdk.NetworkKind.MAIN)) for each in watched.singles
        ]


@pytest.mark.parametrize("network", ["testnet4", "signet", "regtest"])
def test_test_networks_have_their_own_addresses(network: str) -> None:
    watched = of(f"tr([114cd667/86h/1h/0h]{TPUB}/<0;1>/*)", network)
    address = watched.address(True, 2**31 - 1)
    assert address.startswith("bcrt1p" if network == "regtest" else "tb1p")
    assert script_pubkey(address, network) == watched.script(True, 2**31 - 1)
    assert watched.script(False, 7) != watched.script(True, 7) != watched.script(True, 8)


@pytest.mark.parametrize("index", [-1, 2**31, 2**40])
def test_an_index_that_there_is_not_is_refused(index: int) -> None:
    with pytest.raises(BadInput, match="there is no address"):
        of(TEXT).script(False, index)


# -- what is refused -------------------------------------------------------------------------------------------------

OTHER_FORMS = {
    "nothing": "",
    "a key": XPUB,
    "pkh": TEXT.replace("wpkh", "pkh"),
    "sh": f"sh({TEXT})",
    "wsh": f"wsh(pk([73c5da0a/84h/0h/0h]{XPUB}/<0;1>/*))",
    "script_tree": TR["descriptor"].replace("/*)", f"/*,pk({XPUB}/<0;1>/*))"),
    "one_branch": TEXT.replace("<0;1>", "0"),
    "other_branches": TEXT.replace("<0;1>", "<0;2>"),
    "branches_swapped": TEXT.replace("<0;1>", "<1;0>"),
    "three_branches": TEXT.replace("<0;1>", "<0;1;2>"),
    "two_pairs": TEXT.replace("<0;1>", "<0;1>/<0;1>"),
    "hardened_branches": TEXT.replace("<0;1>", "<0h;1h>"),
    "no_range": TEXT.replace("/*", ""),
    "hardened_range": TEXT.replace("/*", "/*h"),
    "steps_between": TEXT.replace("/<", "/5/<"),
    "no_origin": f"wpkh({XPUB}/<0;1>/*)",
    "short_fingerprint": TEXT.replace("73c5da0a", "73c5da0"),
    "a_step_out_of_range": TEXT.replace("84h", "2147483648h"),
    "leading_zero": TEXT.replace("84h", "084h"),
    "capital_h": TEXT.replace("84h", "84H"),
    "slip132": TEXT.replace(XPUB, WPKH["account_slip132"]),
    "one_character_wrong": TEXT.replace("7PW6V", "7PW6W"),
    "key_in_hex": "wpkh(0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798)",
    "uncompressed": "wpkh(0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798483ada7726a3c4655da4fbfc0e"
    "1108a8fd17b448a68554199c47d08ffb10d4b8)",
    "two_lines": f"{TEXT}\n{TEXT}",
    "full_width": TEXT.replace("0h", "０h"),
}


@pytest.mark.parametrize("text", OTHER_FORMS.values(), ids=OTHER_FORMS)
def test_other_descriptors_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        of(text)


@pytest.mark.parametrize(
    ("text", "network"), [(TEXT, "regtest"), (TEXT, "testnet4"), (TEXT.replace(XPUB, TPUB), "mainnet")]
)
def test_a_key_of_another_network_is_refused(text: str, network: str) -> None:
    with pytest.raises(BadInput, match=f"not of {network}") as refused:
        of(text, network)
    assert refused.value.facts["reason"] == "wrong_network"


@pytest.mark.parametrize("text", [XPRV, f"wpkh({XPRV}/<0;1>/*)", f"wpkh([73c5da0a/84h/0h/0h]{XPRV}/<0;1>/*)#zzzzzzzz"])
def test_a_private_key_is_refused_and_never_shown(text: str) -> None:
    with pytest.raises(BadInput, match="private") as refused:
        of(text)
    shown = f"{refused.value!r} {refused.value.facts} {refused.value.__cause__!r} {refused.value.__context__!r}"
    assert XPRV[4:20] not in shown
    assert refused.value.facts["reason"] == "private"


def test_a_key_that_is_no_point_is_refused() -> None:
    from cryptosupport.domain.base58 import decode_base58check, encode_base58check

    data = decode_base58check(XPUB)
    for key in (b"\x02" + (5).to_bytes(32, "big"), b"\x04" + data[46:], b"\x02" + b"\xff" * 32):
        with pytest.raises(BadInput, match="no point"):
            of(TEXT.replace(XPUB, encode_base58check(data[:45] + key)))
