"""The second decoder: what signed bytes do, read by code that shares nothing with what wrote and signed them.

Only what the desk sends is read: an EIP-1559 transaction with an empty access list that pays the coin, or calls
transfer(address,uint256) of EIP-20 with the coin's value 0. Anything else is refused. Sources: EIP-2718 (typed
transactions), EIP-1559 (their fields), EIP-2 (the lower half of s), EIP-2681 (nonces), the yellow paper (addresses).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from cryptosupport.chains.evm import rlp
from cryptosupport.chains.evm.codec import keccak256, to_checksum
from cryptosupport.chains.evm.secp256k1 import recover
from cryptosupport.chains.evm.wire import NONCES, UINT63, UINT256
from cryptosupport.domain.errors import Refused
from cryptosupport.domain.paying import Decoded, Paid

_TYPE = b"\x02"
_LONGEST = 1024  # bytes: what is read here has 200 at most
_TRANSFER = bytes.fromhex("a9059cbb") + bytes(12)  # the selector, and what an address is filled up with
_CALL = 4 + 32 + 32
_FIELDS = 12


@dataclass(frozen=True, slots=True)
class _Signed:
    """The fields of EIP-1559 in words of ours. ``payload`` is what the signature covers."""

    chain_id: int
    nonce: int
    gas: int
    max_fee_per_gas: int
    max_priority_fee_per_gas: int
    to: str
    value: int
    data: bytes
    parity: int
    r: int
    s: int
    payload: bytes


def decode(raw: bytes, contracts: Mapping[str, str] | None = None) -> Decoded:
    """What the signed transaction ``raw`` does.

    ``contracts`` are known tokens by address in lower case, as their contract is to be spelled; others have the
    checksum of EIP-55. ``claims`` is the nonce, ``max_fee`` gas times max_fee_per_gas in wei (without what an OP Stack
    chain takes for its L1). Raises `Refused` for all that is no payment of the desk's kind.
    """
    decoded, signed = _decoded(raw, contracts or {})
    try:
        return replace(decoded, source=_signer(signed))
    except ValueError as error:
        raise _other(error) from error


def contents(raw: bytes, contracts: Mapping[str, str]) -> Decoded:
    """The same without its ``source``, some hundred times as fast: a chain that has it in a block knows who signed.

    Raises `Refused`.
    """
    return _decoded(raw, contracts)[0]


def transaction(raw: bytes) -> dict[str, str]:
    """All that was signed, as `eth_signTransaction` names it, but `from`. Raises `Refused`."""
    try:
        signed = _read(raw)
    except ValueError as error:
        raise _other(error) from error
    numbers = {
        "chainId": signed.chain_id,
        "nonce": signed.nonce,
        "gas": signed.gas,
        "maxFeePerGas": signed.max_fee_per_gas,
        "maxPriorityFeePerGas": signed.max_priority_fee_per_gas,
        "value": signed.value,
    }
    told = {name: hex(number) for name, number in numbers.items()}
    return told | {"to": to_checksum(signed.to), "data": "0x" + signed.data.hex()}


def _decoded(raw: bytes, contracts: Mapping[str, str]) -> tuple[Decoded, _Signed]:
    try:
        signed = _read(raw)
        pays = paid(signed.to, signed.value, signed.data, contracts)
    except ValueError as error:
        raise _other(error) from error
    txid = "0x" + keccak256(raw).hex()
    claims, max_fee = (str(signed.nonce),), signed.gas * signed.max_fee_per_gas
    return Decoded(txid, str(signed.chain_id), "", claims, (pays,), max_fee), signed


def _other(error: ValueError) -> Refused:
    return Refused(f"these bytes are no payment of this desk's kind: {error}")


def paid(to: str, value: int, data: bytes, contracts: Mapping[str, str]) -> Paid:
    """The one payment that a call of ``to`` (any spelling) makes. Raises `ValueError` for what is none."""
    if not data:
        return Paid(to_checksum(to), None, value)
    if len(data) != _CALL or not data.startswith(_TRANSFER):
        raise ValueError("its call data is no transfer of a token")
    if value:
        raise ValueError("it gives the coin to a token's contract")
    destination = to_checksum("0x" + data[16:36].hex())
    return Paid(destination, contracts.get(to.lower()) or to_checksum(to), int.from_bytes(data[36:], "big"))


def _read(raw: bytes) -> _Signed:
    """The fields of a signed transaction. Raises `ValueError`."""
    if len(raw) > _LONGEST:
        raise ValueError(f"{len(raw)} bytes are more than any payment has")
    if raw[:1] != _TYPE:
        raise ValueError("its type is not 2 (EIP-1559)")
    fields = rlp.read(raw[1:])
    if not isinstance(fields, list) or len(fields) != _FIELDS:
        raise ValueError(f"it has not the {_FIELDS} fields of EIP-1559")
    chain_id, nonce, tip, fee, gas, to, value, data, access, parity, r, s = fields
    if access != []:
        raise ValueError("its access list is not empty")
    if not isinstance(to, bytes) or len(to) != 20:
        raise ValueError("it creates a contract, or its recipient is no address")
    if not isinstance(data, bytes):
        raise ValueError("a list stands where its call data has to be")
    max_fee = rlp.number(fee, UINT256)
    priority = rlp.number(tip, UINT256)
    if priority > max_fee:
        raise ValueError("its max_priority_fee_per_gas is above its max_fee_per_gas")
    limit = rlp.number(gas, UINT63)
    if limit * max_fee >= UINT256:
        raise ValueError("its gas times max_fee_per_gas is more than any account holds")
    return _Signed(
        rlp.number(chain_id, UINT63),
        rlp.number(nonce, NONCES),
        limit,
        max_fee,
        priority,
        "0x" + to.hex(),
        rlp.number(value, UINT256),
        data,
        rlp.number(parity, 2),
        rlp.number(r, UINT256),
        rlp.number(s, UINT256),
        _payload(raw, len(_tail(parity)) + len(_tail(r)) + len(_tail(s))),
    )


def _tail(item: rlp.Item) -> bytes:
    """One of the last three fields as it stands in the bytes: a number of at most 32 bytes."""
    assert isinstance(item, bytes)  # `rlp.number` took it
    return item if len(item) == 1 and item[0] < 0x80 else bytes([0x80 + len(item)]) + item


def _payload(raw: bytes, signature: int) -> bytes:
    """What is signed: the same list without its last fields, which take up ``signature`` bytes."""
    start = 2 if raw[1] < 0xF8 else 2 + raw[1] - 0xF7
    body = raw[start : len(raw) - signature]
    size = len(body)
    if size <= 55:
        return _TYPE + bytes([0xC0 + size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return _TYPE + bytes([0xF7 + len(length)]) + length + body


def _signer(signed: _Signed) -> str:
    """The address whose key signed: the last 20 bytes of the hash of the public key. Raises `ValueError`."""
    key = _recovered(keccak256(signed.payload), signed.r, signed.s, signed.parity)
    return to_checksum("0x" + keccak256(key)[12:].hex())


_recovered = lru_cache(maxsize=8192)(recover)  # the desk and the signer read the same bytes
