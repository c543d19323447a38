"""A million payments that were never made: what ledger and chain have of each, from its number alone.

Four in five move the coin, one in five a token. The bytes are those of EIP-1559 but for the signature, which is made
up: to sign a million takes too long, and `reconcile` leaves signatures to the chain that has the bytes in a block.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptosupport.chains.evm.codec import keccak256, to_checksum
from cryptosupport.chains.evm.transfers import Unsigned, transfer_call

HOT = "0xA88B710FAfFF68e3D7BB4B3DD72c358B5bDb9a18"
CONTRACT = "0xdAC17F958D2ee523a2206206994597C13D831ec7"
CHAIN_ID = 31337
IN_BLOCK = 200
"""What is paid later is in later blocks, where sizes are multiples of this."""

TOKEN_PART = 5
GWEI = 10**9
MAX_FEE, TIP, PRICE = 20 * GWEI, GWEI, 8 * GWEI
GAS = {False: 21_000, True: 60_000}
USED = {False: 21_000, True: 46_000}
COINS, TOKENS = 10**28, 10**20
"""What the wallet held before its first payment, in base units."""

_R, _S = hashlib.sha256(b"r").digest(), hashlib.sha256(b"s").digest()[:31]
_CALL = bytes.fromhex("a9059cbb")


@dataclass(frozen=True, slots=True)
class Paid:
    """One payment, by its number, which is its nonce too."""

    number: int
    destination: str
    base_units: int

    @property
    def is_token(self) -> bool:
        """Whether it moves the token."""
        return self.number % TOKEN_PART == TOKEN_PART - 1

    @property
    def height(self) -> int:
        """The block that has it."""
        return self.number // IN_BLOCK + 1

    @property
    def fee(self) -> int:
        """What it cost, in wei."""
        return USED[self.is_token] * PRICE


def paid(number: int) -> Paid:
    """The payment with this number."""
    drawn = hashlib.sha256(number.to_bytes(8, "big")).digest()
    units = 1 + int.from_bytes(drawn[20:24], "big")
    is_token = number % TOKEN_PART == TOKEN_PART - 1
    return Paid(number, "0x" + drawn[:20].hex(), units if is_token else units * GWEI)


def block_hash(height: int) -> str:
    """The hash of a block."""
    return "0x" + hashlib.sha256(f"block {height}".encode()).hexdigest()


def unsigned(each: Paid) -> Unsigned:
    """The plan of a payment."""
    to, gas = to_checksum(each.destination), GAS[each.is_token]
    if each.is_token:
        data = transfer_call(each.destination, each.base_units)
        return Unsigned(CHAIN_ID, each.number, CONTRACT, 0, data, gas, MAX_FEE, TIP)
    return Unsigned(CHAIN_ID, each.number, to, each.base_units, b"", gas, MAX_FEE, TIP)


def raw(plan: Unsigned) -> bytes:
    """The bytes of a plan with a signature that is none."""
    numbers = (plan.chain_id, plan.nonce or 0, plan.max_priority_fee_per_gas, plan.max_fee_per_gas, plan.gas)
    fields = [*map(_number, numbers), _text(bytes.fromhex(plan.to[2:])), _number(plan.value), _text(plan.data)]
    body = b"".join([*fields, b"\xc0", b"\x01", _text(_R), _text(_S)])
    size = len(body)
    head = bytes([0xF8, size]) if size < 256 else bytes([0xF9]) + size.to_bytes(2, "big")
    return b"\x02" + head + body


def txid(data: bytes) -> bytes:
    """The id of signed bytes."""
    return keccak256(data)


def _number(value: int) -> bytes:
    return _text(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _text(data: bytes) -> bytes:
    """A string in RLP (the yellow paper, appendix B); none here has more than 255 bytes."""
    if len(data) == 1 and data[0] < 0x80:
        return data
    return (bytes([0x80 + len(data)]) if len(data) < 56 else bytes([0xB8, len(data)])) + data
