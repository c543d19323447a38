"""What EVM nodes answer, as typed structs: only the fields that are used; the decoder skips the rest.

Numbers come as hex text (`quantity` reads them), hashes and addresses are checked where they are shown or kept. Source
of the shapes: the Ethereum execution API specification, and the recorded answers of the nodes named beside a field.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import msgspec

from cryptosupport.chains.evm.codec import to_checksum

UINT63 = 1 << 63  # heights and gas: what SQLite and everybody else can hold
NONCES = (1 << 64) - 1  # a nonce is less (EIP-2681); a sender's next one may come to this
UINT256 = 1 << 256
LONGEST_SHOWN = 1000  # of a senseless answer in an error; cut further once the endpoint's secrets are out of it
END_OF_TIME = 253_402_300_800  # the year 10000, which no calendar here can print

_HASH = re.compile(r"0x[0-9a-f]{64}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def quantity(text: str, limit: int = UINT63) -> int:
    """Read a number in hex below ``limit``. Raises `ValueError` for anything else."""
    try:
        value = int(text, 16) if text.isalnum() and text.isascii() else -1  # int takes 1_0, " 1" and foreign digits
    except ValueError:
        value = -1
    if 0 <= value < limit and text[:2] == "0x":
        return value
    raise ValueError(f"{text[:LONGEST_SHOWN]!r} is not a number in hex, or out of range")


def checked_hash(text: str) -> str:
    """``text`` when it is a hash as nodes print it. Raises `ValueError`."""
    if _HASH.fullmatch(text) is None:
        raise ValueError(f"{text[:LONGEST_SHOWN]!r} is not a hash")
    return text


@lru_cache(maxsize=65_536)
def address(text: str) -> str:
    """A node's spelling of an address with the checksum of EIP-55. Raises `ValueError`."""
    if _ADDRESS.fullmatch(text) is None:
        raise ValueError(f"{text[:LONGEST_SHOWN]!r} is not an address")
    return to_checksum(text)


class Log(msgspec.Struct, gc=False):
    """An event of a contract."""

    address: str
    topics: list[str]
    data: str = "0x"
    removed: bool = False


class BriefReceipt(msgspec.Struct, gc=False, rename="camel"):
    """As much of a receipt as the state needs. ``block_hash`` is None in a Parity receipt of a waiting transaction."""

    transaction_hash: str
    sender: str = msgspec.field(name="from")
    block_hash: str | None = None
    block_number: str | None = None
    status: str | None = None  # absent before Byzantium (EIP-658), where ``root`` stood in its place


class Receipt(BriefReceipt, gc=False, rename="camel", kw_only=True):
    """What a mined transaction did."""

    gas_used: str
    logs: list[Log] = []
    contract_address: str | None = None
    effective_gas_price: str | None = None  # absent before EIP-1559 and on old nodes
    type: str | None = None
    blob_gas_used: str | None = None  # EIP-4844; OP Stack chains since Jovian put something else here
    blob_gas_price: str | None = None
    l1_fee: str | None = None  # OP Stack
    operator_fee_scalar: str | int | None = None  # OP Stack since Isthmus, only when not zero
    operator_fee_constant: str | int | None = None
    da_footprint_gas_scalar: str | int | None = None  # OP Stack since Jovian


class Tx(msgspec.Struct, gc=False, rename="camel", kw_only=True):
    """A transaction as it was signed, with the block that holds it, if any."""

    hash: str
    sender: str = msgspec.field(name="from")
    nonce: str
    gas: str
    value: str
    to: str | None = None
    input: str = "0x"
    block_hash: str | None = None
    block_number: str | None = None
    transaction_index: str | None = None
    type: str | None = None
    gas_price: str | None = None
    max_fee_per_gas: str | None = None
    max_priority_fee_per_gas: str | None = None


class Header(msgspec.Struct, gc=False, rename="camel"):
    """A block without its transactions."""

    number: str
    hash: str
    timestamp: str
    base_fee_per_gas: str | None = None


class Listed(msgspec.Struct, gc=False, rename="camel"):
    """As much of a transaction as tells whose it is."""

    hash: str
    sender: str = msgspec.field(name="from")
    nonce: str
    block_number: str | None = None


class Block(msgspec.Struct, gc=False):
    """A block with its transactions."""

    hash: str
    transactions: list[Listed]


class PoolContent(msgspec.Struct, gc=False):
    """A sender's waiting transactions by nonce (in decimal), those that can be mined and those that cannot yet."""

    pending: dict[str, Listed] = {}
    queued: dict[str, Listed] = {}


class FeeHistory(msgspec.Struct, gc=False, rename="camel"):
    """What the latest blocks cost. The last base fee is of the block to come."""

    base_fee_per_gas: list[str] = []
    gas_used_ratio: list[float] = []
    reward: list[list[str]] | None = None


class Trace(msgspec.Struct, gc=False, rename="camel"):
    """The outermost call of a traced transaction (callTracer)."""

    error: str | None = None
    output: str | None = None
    revert_reason: str | None = None


QUANTITY = msgspec.json.Decoder(str)
SYNCING = msgspec.json.Decoder(bool | dict[str, Any])  # false, or how far it has come
BRIEF_RECEIPT = msgspec.json.Decoder(BriefReceipt | None)
RECEIPT = msgspec.json.Decoder(Receipt | None)
TX = msgspec.json.Decoder(Tx | None)
HEADER = msgspec.json.Decoder(Header | None)
BLOCK = msgspec.json.Decoder(Block | None)
LISTED = msgspec.json.Decoder(Listed | str | None)  # reth and anvil give the transaction, geth its hash alone
POOL_CONTENT = msgspec.json.Decoder(PoolContent | None)
FEE_HISTORY = msgspec.json.Decoder(FeeHistory | None)
TRACE = msgspec.json.Decoder(Trace | None)
