"""An address has one spelling that lists are searched for; lists say what it hits, and whom it is allowed to."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.domain.base58 import encode_base58check
from cryptosupport.domain.screening import Hit, Listed, ListHead, ListKind, Lists, digest, key_of

# The contract of USDT on TRON, as its explorer shows it in both spellings.
ON_TRON, IN_HEX = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "41a614f803b6fd780986a42c78ec9c7f77e6ded13c"
ON_EVM = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
BECH32 = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"  # BIP 173

SAME = {
    "EVM, with and without its checksum": (ON_EVM, ON_EVM.lower(), "0x" + ON_EVM[2:].upper(), ON_EVM.upper()),
    "EVM as some write it": (ON_EVM, ON_EVM[2:], f" {ON_EVM}\n", f"\u200b{ON_EVM}\u00a0", f'"{ON_EVM}"'),
    "TRON": (ON_TRON, IN_HEX, IN_HEX.upper(), f"0x{IN_HEX}", f"0x{IN_HEX[2:]}", f" {ON_TRON} "),
    "bech32": (BECH32, BECH32.upper(), f"\t{BECH32}"),
    "another coin's bech32": (f"ltc1{BECH32[3:]}", f"LTC1{BECH32[3:].upper()}"),
    "base58": ("12QtD5BFwRsdNsAZY76UVE1xyCGNTojH9h", " 12QtD5BFwRsdNsAZY76UVE1xyCGNTojH9h "),
}


@pytest.mark.parametrize("spellings", SAME.values(), ids=list(SAME))
def test_all_spellings_of_an_address_have_one_key(spellings: tuple[str, ...]) -> None:
    assert {key_of(each) for each in spellings} == {key_of(spellings[0])}


DIFFERENT = {
    "base58 minds capitals": ("12QtD5BFwRsdNsAZY76UVE1xyCGNTojH9h", "12qtD5BFwRsdNsAZY76UVE1xyCGNTojH9h"),
    "TRON with a checksum that fails": (ON_TRON, ON_TRON[:-1] + "u"),
    "bech32 in both": (BECH32, BECH32[:10] + BECH32[10:].upper()),
    "41 in front of an EVM address without its end": (f"0x{IN_HEX[:40]}", f"0x{IN_HEX}"),
    "a hash": (f"0x{IN_HEX}", f"0x{IN_HEX}{'0' * 22}"),
}


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=list(DIFFERENT))
def test_what_is_another_address_has_another_key(one: str, other: str) -> None:
    assert key_of(one) != key_of(other)


def test_what_only_looks_like_tron_stays_as_it_is() -> None:
    other = encode_base58check(b"\x42" + bytes(range(20)))
    for text in (other, "T" + "1" * 33, ON_TRON[:-1] + "u", ON_TRON[:-1]):
        assert key_of(text) == text
    assert key_of("T" + "\u0661" * 33) == "T" + "\u0661" * 33


@given(st.binary(min_size=20, max_size=20))
def test_every_key_pair_is_the_same_on_tron_and_on_evm_chains(address: bytes) -> None:
    assert key_of(encode_base58check(b"\x41" + address)) == key_of(f"0x{address.hex()}") == f"0x{address.hex()}"


_HEX, _CAPITALS = st.from_regex(r"\A(0x)?(41)?[0-9a-fA-F]{40}\Z"), st.from_regex(r"\ABC1[02-9AC-HJ-NP-Z]+\Z")


@given(st.text(max_size=70) | _HEX | _CAPITALS)
def test_a_key_is_its_own_key(text: str) -> None:
    assert key_of(key_of(text)) == key_of(text)


# -- lists -----------------------------------------------------------------------------------------------------------


def head(name: str, kind: ListKind) -> ListHead:
    return ListHead(name, kind, "file", None, 0, 0, "")


def entry(address: str, customer: str = "", label: str = "") -> Listed:
    return Listed(key_of(address), address, label=label, customer=customer, since=1)


def test_an_address_is_found_on_every_list_of_a_kind_whatever_its_coin() -> None:
    tron, evm = entry(ON_TRON, label="A"), entry(f"0x{IN_HEX[2:]}", label="B")
    lists = Lists([(head("ofac", ListKind.SANCTIONS), [tron]), (head("eu", ListKind.SANCTIONS), [evm, entry(BECH32)])])
    for spelling in SAME["TRON"]:
        assert lists.sanctions(spelling) == (Hit("ofac", tron), Hit("eu", evm))
        assert not lists.blocked(spelling)
        assert not lists.needs_memo(spelling)
    assert lists.sanctions(ON_EVM) == ()
    assert [each.name for each in lists.heads] == ["ofac", "eu"]


def test_each_kind_has_its_own_answer() -> None:
    lists = Lists([(head("bad", ListKind.BLOCK), [entry(BECH32)]), (head("tag", ListKind.MEMO), [entry(ON_EVM)])])
    assert [hit.name for hit in lists.blocked(BECH32.upper())] == ["bad"]
    assert [hit.name for hit in lists.needs_memo(ON_EVM.lower())] == ["tag"]
    assert not lists.sanctions(BECH32)
    assert not lists.blocked(ON_EVM)


def test_of_several_allow_lists_each_allows_and_who_has_none_is_told_apart() -> None:
    one, other = head("own", ListKind.ALLOW), head("firm", ListKind.ALLOW)
    lists = Lists([(one, [entry(ON_EVM, "c-7"), entry(BECH32, "c-8")]), (other, [entry(BECH32, "c-7")])])
    allowed = lists.allowed("c-7")
    assert allowed is not None
    assert allowed.keys() == {key_of(ON_EVM), BECH32}
    assert lists.allowed("c-9") is None
    assert Lists().allowed("c-7") is None


def test_allowed_addresses_that_are_stopped_are_named_with_the_list_that_does() -> None:
    allowed = head("own", ListKind.ALLOW), [entry(ON_EVM, "c-7"), entry(BECH32, "c-7"), entry(ON_EVM, "c-8")]
    stopping = head("ofac", ListKind.SANCTIONS), [entry(ON_EVM)]
    lists = Lists([allowed, stopping, (head("tag", ListKind.MEMO), [entry(BECH32)])])
    assert [(each.customer, hit.name) for each, hit in lists.stopped_allowed()] == [("c-7", "ofac"), ("c-8", "ofac")]


def test_the_digest_is_of_what_counts_in_any_order() -> None:
    entries = [entry(ON_EVM, "c-7"), entry(BECH32, "c-7"), entry(BECH32, "c-8")]
    whole = digest(entries)
    assert digest(reversed(entries)) == whole
    assert digest([replace(each, label="x", tag="y", entry="z") for each in entries]) == whole
    assert digest(entries[1:]) != whole
    assert digest([*entries[1:], replace(entries[0], customer="c-8")]) != whole
    assert digest([*entries[1:], replace(entries[0], since=0)]) != whole


def test_a_hundred_thousand_entries_fit_beside_what_they_are() -> None:
    entries = [entry(f"0x{number:040x}") for number in range(100_000)]
    lists = Lists([(head("long", ListKind.BLOCK), entries)])
    found = lists._found[ListKind.BLOCK][0][1]
    assert sys.getsizeof(found) < 8_000_000
    assert lists.blocked(f"0x{99_999:040X}")[0].entry is entries[-1]
