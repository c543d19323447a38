"""Addresses: what one is, and when two look alike. Encodings live with their chains."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """A well-formed address of one network.

    ``text`` is its normal form (EIP-55 on EVM chains, lower case bech32). ``kind`` is the chain's own word: `p2wpkh`,
    `account`. ``prefix`` counts the leading characters that every address of this encoding shares (`bc1q`: 4), which
    prove nothing. ``checksummed`` is False where the text carried no checksum to test (an EVM address in one case).
    ``burn`` marks the zero address and known places that nobody can spend from.
    """

    text: str
    kind: str
    prefix: int
    checksummed: bool
    burn: bool = False


@dataclass(frozen=True, slots=True)
class AddressOnChain:
    """What the chain itself says of an address: ``contract`` is None where a chain has no contracts."""

    contract: bool | None
    source: str


# Address poisoning plants an address whose ends equal those of a real one, for a reader who sees 0xbaf…f8b5. The plant
# that took 50 million USDT on 2025-12-20 shared 3 hex digits in front and 4 behind, so 3 at each end is the least that
# counts; in all it takes 7 hex digits, or 6 characters of base58 or bech32 (5.9 and 5 bits each). By chance, an
# address then resembles one of 100,000 known ones in 1 of 1,340 cases for hex (2 ways x 16^-7 x 100,000), in 1 of
# 10,700 for bech32 (32^-6 x 100,000), and in 1 of 380,000 for base58 (58^-6 x 100,000; more often in truth, as its
# first character is uneven).
_LEAST_AT_EACH_END = 3
_LEAST_IN_ALL = 6
_LEAST_IN_ALL_HEX = 7


def looks_alike(address: Address, other: str) -> bool:
    """Whether ``other``, the normal form of another address, can be taken for ``address`` by its ends.

    Both have to start with the same constant prefix, which does not count. Case counts in base58 only: on EVM chains it
    is a checksum, and bech32 is in lower case anyway.
    """
    text, prefix = address.text, address.prefix
    if len(other) - prefix < 2 * _LEAST_AT_EACH_END or other[:prefix] != text[:prefix]:
        return False
    hexadecimal = text.startswith("0x")
    if hexadecimal:
        text, other = text.lower(), other.lower()
    edge = prefix + _LEAST_AT_EACH_END
    # First the test that rules out nearly everything, as there may be many others.
    if other[prefix:edge] != text[prefix:edge] or other[-_LEAST_AT_EACH_END:] != text[-_LEAST_AT_EACH_END:]:
        return False
    if other == text:
        return False
    shared = _shared(text[prefix:], other[prefix:]) + _shared(text[::-1], other[::-1])
    return shared >= (_LEAST_IN_ALL_HEX if hexadecimal else _LEAST_IN_ALL)


def _shared(one: str, other: str) -> int:
    """How many leading characters are the same."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


_IN_FOURS = re.compile(r"^0x|.{1,4}")


def in_fours(address: str) -> str:
    """The whole address in groups of four characters, as people compare it.

    >>> in_fours("bc1qw508d6")
    'bc1q w508 d6'
    """
    return " ".join(_IN_FOURS.findall(address))
