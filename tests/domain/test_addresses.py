"""When two addresses look alike."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.domain.addresses import Address, looks_alike


def evm(digits: str) -> Address:
    return Address("0x" + digits, "account", 2, True)


def spread(front: str, back: str, filling: str, length: int = 40) -> str:
    return front + filling * (length - len(front) - len(back)) + back


def test_the_plant_that_took_fifty_million_dollars_is_recognised() -> None:
    # 2025-12-20: the address meant, and the one copied out of the history instead (told by Web3 Antivirus and others).
    meant = evm("baf4b1aF7E3B560d937DA0458514552B6495F8b5")
    assert looks_alike(meant, "0xBaFF2F13638C04B10F8119760B2D2aE86b08f8b5")


@pytest.mark.parametrize(
    ("front", "back", "alike"),
    [
        ("abcd", "1234", True),
        ("abc", "1234", True),
        ("abcd", "123", True),
        ("abc", "123", False),
        ("ab", "12345678", False),
        ("abcdef12", "34", False),
        ("", "", False),
    ],
)
def test_hex_addresses_need_three_digits_at_each_end_and_seven_in_all(front: str, back: str, alike: bool) -> None:
    assert looks_alike(evm(spread(front, back, "5")), "0x" + spread(front, back, "7")) is alike


@pytest.mark.parametrize(
    ("front", "back", "alike"), [("xyz", "acd", True), ("xy", "acdef", False), ("xyz", "cd", False)]
)
def test_bech32_addresses_need_three_characters_at_each_end(front: str, back: str, alike: bool) -> None:
    one = Address("bc1q" + spread(front, back, "5", 38), "p2wpkh", 4, True)
    assert looks_alike(one, "bc1q" + spread(front, back, "7", 38)) is alike


def test_the_constant_prefix_does_not_count() -> None:
    one = Address("bc1q" + spread("5xyz", "acd", "5", 38), "p2wpkh", 4, True)
    assert not looks_alike(one, "bc1q" + spread("7xyz", "acd", "7", 38))
    assert not looks_alike(evm(spread("0", "1234567", "5")), "0x" + spread("0", "1234567", "7"))


def test_another_encoding_is_not_taken_for_it() -> None:
    one = Address("bc1q" + spread("xyz", "acd", "5", 38), "p2wpkh", 4, True)
    assert not looks_alike(one, "bc1p" + spread("xyz", "acd", "7", 58))
    assert not looks_alike(one, "0x" + spread("xyz", "acd", "7"))


def test_a_longer_address_of_the_same_prefix_looks_alike_once_it_is_shortened() -> None:
    one = Address("bc1q" + spread("xyz", "acd", "5", 38), "p2wpkh", 4, True)
    assert looks_alike(one, "bc1q" + spread("xyz", "acd", "7", 58))


def test_case_is_a_checksum_on_evm_chains_but_counts_in_base58() -> None:
    assert looks_alike(evm(spread("abcd", "ef12", "5")), "0x" + spread("ABCD", "EF12", "7"))
    base58 = Address("1" + spread("abc", "xyz", "5", 33), "p2pkh", 1, True)
    assert looks_alike(base58, "1" + spread("abc", "xyz", "7", 33))
    assert not looks_alike(base58, "1" + spread("aBc", "xyz", "7", 33))


def test_an_address_does_not_resemble_itself_in_any_case() -> None:
    one = evm("baf4b1aF7E3B560d937DA0458514552B6495F8b5")
    assert not looks_alike(one, one.text)
    assert not looks_alike(one, one.text.lower())


def test_one_wrong_character_in_the_middle_looks_alike() -> None:
    text = spread("", "", "5")
    assert looks_alike(evm(text), "0x" + text[:20] + "6" + text[21:])


def test_a_hundred_thousand_strangers_rarely_look_alike() -> None:
    chance = random.Random(7)  # 10 addresses among 100,000: 0.0075 hits are expected
    known = [f"0x{chance.getrandbits(160):040x}" for _ in range(100_000)]
    checked = [evm(f"{chance.getrandbits(160):040x}") for _ in range(10)]
    assert sum(looks_alike(one, other) for one in checked for other in known) <= 1


@given(st.text(max_size=80), st.text(max_size=80), st.integers(0, 6))
def test_any_two_texts_can_be_compared(one: str, other: str, prefix: int) -> None:
    address = Address(one, "account", prefix, True)
    if looks_alike(address, other):
        assert one != other
        assert looks_alike(Address(other, "account", prefix, True), one)
