"""EVM addresses: Keccak-256, the checksum in the case of the letters (EIP-55), and what is no place to pay to."""

from __future__ import annotations

import re
from functools import lru_cache
from string import hexdigits

from sha3 import keccak_256

from cryptosupport.domain.addresses import Address
from cryptosupport.domain.errors import BadInput

_FORM = re.compile(r"0[xX][0-9a-fA-F]{40}")
_WITHOUT_0X = re.compile(r"[0-9a-fA-F]{40}")
_NEARLY = re.compile(r"0[xX][0-9a-zA-Z]{32,48}")

# Addresses at which coins are parked for good by custom; nobody has shown a key for any of them.
_BURNED = frozenset(
    {
        "000000000000000000000000000000000000dead",
        "dead000000000000000042069420694206942069",
        "dead000000000000000000000000000000000000",
        "deaddeaddeaddeaddeaddeaddeaddeaddeaddead",
    }
)
_LAST_RESERVED = 0xFF  # EIP-1352 keeps the first addresses for precompiled contracts: no key leads to them


def keccak256(data: bytes) -> bytes:
    """The Keccak-256 hash as Ethereum uses it, from before the padding of SHA-3 changed.

    >>> keccak256(b"").hex()
    'c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470'
    """
    digest: bytes = keccak_256(data).digest()
    return digest


def to_checksum(address: str) -> str:
    """``address`` (0x and 40 hex digits in any case) in the spelling of EIP-55; the digits are not checked.

    >>> to_checksum("0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed")
    '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed'
    """
    return _spelt(address[2:].lower())


@lru_cache(maxsize=65_536)
def _spelt(digits: str) -> str:
    """Digits in lower case with 0x and the checksum."""
    mask = keccak256(digits.encode("ascii")).hex()
    return "0x" + "".join([c.upper() if m > "7" else c for c, m in zip(digits, mask, strict=False)])


def parse_address(text: str) -> Address | None:
    """Read an account's address, or None when ``text`` has another form.

    Letters of one case carry no checksum, unless EIP-55 happens to ask for just that case; they are taken as they are.
    Raises `BadInput` for a checksum that fails (its fact ``reason`` is `bad_checksum`), and for what can only be meant
    as an address but has lost its 0x, has too many or too few digits, or holds other letters (`bad_form`).
    """
    if _FORM.fullmatch(text) is None:
        _refuse_what_was_meant(text)
        return None
    digits = text[2:]
    right = to_checksum("0x" + digits.lower())
    fits = digits == right[2:]
    if not fits and digits not in (digits.lower(), digits.upper()):
        raise BadInput(
            "the checksum (EIP-55) fails: a digit, or the case of a letter, is wrong. "
            "Copy the address again from where it came from; the right spelling cannot be guessed",
            reason="bad_checksum",
        )
    return Address(right, "account", 2, fits and not digits.isdigit(), _is_burn(digits.lower()))


def _refuse_what_was_meant(text: str) -> None:
    """Raise `BadInput` where ``text`` is nearly an address."""
    if _WITHOUT_0X.fullmatch(text):
        raise BadInput("this looks like an EVM address without its 0x: copy it again, whole", reason="bad_form")
    if _NEARLY.fullmatch(text) is None:
        return
    foreign = next((character for character in text[2:] if character not in hexdigits), None)
    if foreign is not None:
        raise BadInput(f"{foreign!r} is no hex digit: a character is wrong. Copy the address again", reason="bad_form")
    raise BadInput(
        f"this has {len(text) - 2} hex digits after 0x, and an EVM address has 40: copy it again, whole",
        reason="bad_form",
    )


def _is_burn(digits: str) -> bool:
    # One digit forty times: 0x0…0, 0xf…f, and the 0xe…e that stands for the coin itself in many token lists.
    return int(digits, 16) <= _LAST_RESERVED or len(set(digits)) == 1 or digits in _BURNED
