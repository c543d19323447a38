"""Bitcoin addresses and the scripts they stand for: base58check (BIP 13), bech32 (BIP 173), bech32m (BIP 350)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import xor
from typing import NoReturn

from cryptosupport.domain.addresses import Address
from cryptosupport.domain.base58 import CHECKSUM_FAILS, decode_base58check, encode_base58check
from cryptosupport.domain.errors import BadInput

BECH32 = 1
BECH32M = 0x2BC830A3
"""What the checksum of each encoding comes out as (BIP 173, BIP 350)."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """What one kind of network writes in front of its addresses; several networks may share it."""

    networks: tuple[str, ...]
    hrp: str
    p2pkh: int
    p2sh: int


_MAINNET = Encoding(("mainnet",), "bc", 0x00, 0x05)
_TESTNET = Encoding(("testnet4", "signet"), "tb", 0x6F, 0xC4)
_REGTEST = Encoding(("regtest",), "bcrt", 0x6F, 0xC4)
_ENCODINGS = (_MAINNET, _TESTNET, _REGTEST)
ENCODINGS = {network: encoding for encoding in _ENCODINGS for network in encoding.networks}
"""By network, as the settings name it."""

_BASE58_FORM = re.compile(r"[123mn][0-9A-Za-z]{24,34}")
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_VALUES = {c: i for i, c in enumerate(_BECH32)}
_BECH32_FORM = re.compile(r"(?:bc|tb|bcrt)1[0-9a-z]{0,200}", re.IGNORECASE | re.ASCII)
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_FOLDED = tuple(
    reduce(xor, (generator for bit, generator in enumerate(_GENERATORS) if top >> bit & 1), 0) for top in range(32)
)
"""What each value of the 5 bits that leave the residue puts back into it."""
_PAY_TO_ANCHOR = b"\x4e\x73"  # Bitcoin Core 28: witness version 1 with this program can be spent by anyone

# Spelt out by hand, so that no key can be known; coins sent there stay there.
_BURNED = frozenset(
    {
        "1BitcoinEaterAddressDontSendf59kuE",
        "1CounterpartyXXXXXXXXXXXXXXXUWLpVr",
    }
)


# -- addresses -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Parts:
    """What an address holds. ``version`` is the witness version, or None in base58check."""

    text: str
    networks: tuple[str, ...]
    kind: str
    prefix: int
    version: int | None
    payload: bytes


def parse_address(text: str, network: str) -> Address | None:
    """Read an address of ``network`` (mainnet, testnet4, signet or regtest), or None when ``text`` has another form.

    The kind is `p2pkh`, `p2sh`, `p2wpkh`, `p2wsh`, `p2tr`, `p2a` or `witness_vN`. Raises `BadInput` when it has the
    form of a Bitcoin address but is wrong; its fact ``reason`` is `bad_checksum`, `bad_form` or `wrong_network`.

    >>> parse_address("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "mainnet").kind
    'p2wpkh'
    """
    parts = _read(text)
    if parts is None:
        return None
    if network not in parts.networks:
        raise BadInput(
            f"this is a Bitcoin address of {' or '.join(parts.networks)}, not of {network}",
            reason="wrong_network",
            networks=parts.networks,
        )
    burn = parts.text in _BURNED or (len(parts.payload) >= 20 and set(parts.payload) in ({0x00}, {0xFF}))
    return Address(parts.text, parts.kind, parts.prefix, True, burn)


def script_pubkey(address: str, network: str) -> bytes:
    """The output script that pays ``address``. Raises `BadInput` when it is no address of ``network``."""
    if parse_address(address, network) is None:
        raise BadInput("this is no Bitcoin address", reason="bad_form")
    parts = _read(address)
    assert parts is not None  # parse_address has just read it
    if parts.kind == "p2pkh":
        return b"\x76\xa9\x14" + parts.payload + b"\x88\xac"
    if parts.kind == "p2sh":
        return b"\xa9\x14" + parts.payload + b"\x87"
    assert parts.version is not None  # all other kinds are witness programs
    opcode = parts.version + 0x50 if parts.version else 0x00
    return bytes((opcode, len(parts.payload))) + parts.payload


def address_of(script: bytes, network: str) -> str | None:
    """The address that ``script`` (an output's) belongs to on ``network``, or None where it has none."""
    encoding = ENCODINGS[network]
    if len(script) == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":
        return encode_base58check(bytes((encoding.p2pkh,)) + script[3:23])
    if len(script) == 23 and script[:2] == b"\xa9\x14" and script[22] == 0x87:
        return encode_base58check(bytes((encoding.p2sh,)) + script[2:22])
    if 4 <= len(script) <= 42 and script[1] == len(script) - 2 and (script[0] == 0 or 0x51 <= script[0] <= 0x60):
        version = script[0] - 0x50 if script[0] else 0
        if version or len(script) in (22, 34):
            return encode_segwit(encoding.hrp, version, script[2:])
    return None


@lru_cache(maxsize=10_000)  # what is paid is read by whoever plans, signs, checks and sends it
def _read(text: str) -> _Parts | None:
    if _BECH32_FORM.fullmatch(text):
        return _read_segwit(text)
    if _BASE58_FORM.fullmatch(text):
        return _read_base58(text)
    return None


def _read_base58(text: str) -> _Parts | None:
    data = decode_base58check(text)
    if len(data) != 21:
        return None
    version, payload = data[0], data[1:]
    for kind in ("p2pkh", "p2sh"):
        networks = tuple(name for name, encoding in ENCODINGS.items() if getattr(encoding, kind) == version)
        if networks:
            return _Parts(text, networks, kind, 1, None, payload)
    return None


def _read_segwit(text: str) -> _Parts:
    hrp, version, program = decode_segwit(text)
    networks = next((encoding.networks for encoding in _ENCODINGS if encoding.hrp == hrp), None)
    if networks is None:  # a second 1 further on made the prefix longer
        _refuse("'1' never stands inside a bech32 address: a character is wrong. Copy the address again")
    return _Parts(text.lower(), networks, _witness_kind(version, program), len(hrp) + 2, version, program)


def _witness_kind(version: int, program: bytes) -> str:
    if version == 0:
        return "p2wpkh" if len(program) == 20 else "p2wsh"
    if version == 1 and len(program) == 32:
        return "p2tr"
    if version == 1 and program == _PAY_TO_ANCHOR:
        return "p2a"
    return f"witness_v{version}"


def _refuse(message: str, reason: str = "bad_form") -> NoReturn:
    raise BadInput(message, reason=reason)


# -- bech32 and bech32m ----------------------------------------------------------------------------------------------


def encode_segwit(hrp: str, version: int, program: bytes) -> str:
    """The address of a witness program: bech32 for version 0, bech32m from version 1 on (BIP 350)."""
    data = [version, *_regroup(program, 8, 5, pad=True)]
    return encode_bech32(hrp, data, BECH32M if version else BECH32)


def decode_segwit(text: str) -> tuple[str, int, bytes]:
    """The prefix, witness version and program of a segwit address. Raises `BadInput` for what BIP 173 or 350 refuse."""
    hrp, data, constant = decode_bech32(text)
    if not data:
        _refuse("the address is too short to hold a witness program")
    version, program = data[0], bytes(_regroup(data[1:], 5, 8, pad=False))
    if version > 16:
        _refuse(f"witness version {version} does not exist: they end at 16")
    if not 2 <= len(program) <= 40 or (version == 0 and len(program) not in (20, 32)):
        _refuse(f"a witness program of version {version} cannot have {len(program)} bytes")
    if constant != (BECH32M if version else BECH32):
        given, needed = ("bech32m", "bech32") if version == 0 else ("bech32", "bech32m")
        _refuse(
            f"the checksum is {given}, but witness version {version} needs {needed} (BIP 350): the software that wrote "
            "this address is wrong or too old, and it must not be paid to",
            "bad_checksum",
        )
    return hrp, version, program


def encode_bech32(hrp: str, data: list[int], constant: int) -> str:
    """``data`` (values of 5 bits) behind ``hrp``, with the checksum that ``constant`` asks for."""
    residue = _polymod([*_expand(hrp), *data, 0, 0, 0, 0, 0, 0]) ^ constant
    checksum = [(residue >> 5 * (5 - i)) & 31 for i in range(6)]
    return hrp + "1" + "".join(_BECH32[value] for value in [*data, *checksum])


def decode_bech32(text: str) -> tuple[str, list[int], int]:
    """The prefix in lower case, the values of 5 bits, and which of `BECH32` and `BECH32M` the checksum fits.

    Raises `BadInput` for mixed case, a foreign character, a wrong length, or a checksum that fits neither.
    """
    if any(not "!" <= character <= "~" for character in text):
        _refuse("a character is neither a letter nor a digit of the Latin alphabet: copy the address again")
    if text not in (text.lower(), text.upper()):
        _refuse("capital and small letters are mixed, which bech32 forbids. Copy the address again")
    hrp, separator, rest = text.lower().rpartition("1")
    if not separator or not hrp or len(rest) < 6:
        _refuse("the address is too short: its end is missing, or a 1 stands where bech32 has none")
    if len(text) > 90:
        _refuse(f"the address has {len(text)} characters, and bech32 ends at 90")
    foreign = next((character for character in rest if character not in _BECH32_VALUES), None)
    if foreign is not None:
        _refuse(f"{foreign!r} never stands in a bech32 address: a character is wrong. Copy the address again")
    values = [_BECH32_VALUES[character] for character in rest]
    constant = _polymod([*_expand(hrp), *values])
    if constant not in (BECH32, BECH32M):
        _refuse(CHECKSUM_FAILS, "bad_checksum")
    return hrp, values[:-6], constant


def _expand(hrp: str) -> list[int]:
    return [ord(c) >> 5 for c in hrp] + [0] + [ord(c) & 31 for c in hrp]


def _polymod(values: list[int]) -> int:
    """The remainder of the BCH code of BIP 173 over ``values``."""
    residue = 1
    for value in values:
        residue = (residue & 0x1FFFFFF) << 5 ^ value ^ _FOLDED[residue >> 25]
    return residue


def _regroup(values: bytes | list[int], width: int, into: int, *, pad: bool) -> list[int]:
    """``values`` of ``width`` bits cut anew into ``into`` bits. Without ``pad``, only zero bits may be left over."""
    buffer = bits = 0
    out = []
    for value in values:
        buffer = buffer << width | value
        bits += width
        while bits >= into:
            bits -= into
            out.append(buffer >> bits & ((1 << into) - 1))
        buffer &= (1 << bits) - 1
    if pad and bits:
        out.append(buffer << (into - bits) & ((1 << into) - 1))
    elif not pad and (bits >= width or buffer):
        _refuse("the address does not hold whole bytes: the software that wrote it is wrong")
    return out
