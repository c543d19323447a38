"""Base58check: a version byte and a payload with a checksum, as Bitcoin (BIP 13) and TRON write addresses."""

from __future__ import annotations

from hashlib import sha256

from cryptosupport.domain.errors import BadInput

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

CHECKSUM_FAILS = (
    "the checksum fails: a character is wrong, missing or one too many. Copy the address again from where it came from"
)
"""What to say of an address whose checksum, of whatever kind, does not fit."""

_VALUES = {c: i for i, c in enumerate(ALPHABET)}


def encode_base58check(data: bytes) -> str:
    """``data`` (a version byte and a payload) with its checksum in base58."""
    data += _checksum(data)
    number = int.from_bytes(data, "big")
    characters = []
    while number:
        number, digit = divmod(number, 58)
        characters.append(ALPHABET[digit])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(characters))


def decode_base58check(text: str) -> bytes:
    """The version byte and payload of ``text``. Raises `BadInput` for a foreign character or a checksum that fails.

    >>> decode_base58check("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t").hex()
    '41a614f803b6fd780986a42c78ec9c7f77e6ded13c'
    """
    number = 0
    for character in text:
        digit = _VALUES.get(character)
        if digit is None:
            raise BadInput(
                f"{character!r} never stands in a base58 address: a character is wrong. Copy the address again",
                reason="bad_form",
            )
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    data = b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")
    if len(data) < 5 or _checksum(data[:-4]) != data[-4:]:
        raise BadInput(CHECKSUM_FAILS, reason="bad_checksum")
    return data[:-4]


def _checksum(data: bytes) -> bytes:
    return sha256(sha256(data).digest()).digest()[:4]
