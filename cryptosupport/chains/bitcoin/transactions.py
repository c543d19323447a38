"""Raw transactions, read by python-bitcoinlib: it wrote and signed none of them. Pure; the library is loaded when the
first one is read.

Sources: BIP 141 (txid, wtxid, weight), BIP 144 (how a witness is serialised).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from cryptosupport.domain.errors import Refused

MOST_SATOSHIS = 21_000_000 * 10**8
"""MAX_MONEY in Bitcoin Core's consensus/amount.h."""

_LONGEST = 4_000_000  # bytes: no block holds more (MAX_BLOCK_WEIGHT)

_LONGEST_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Input:
    """One input. ``script`` is its scriptSig, ``witness`` its stack; both are empty before it is signed."""

    txid: str
    vout: int
    sequence: int
    script: bytes
    witness: tuple[bytes, ...]

    @property
    def outpoint(self) -> str:
        """The output that it spends, as ``txid:vout``."""
        return f"{self.txid}:{self.vout}"


@dataclass(frozen=True, slots=True)
class Tx:
    """A transaction. ``outputs`` are (script, satoshis), ``weight`` is in weight units and ``vsize`` in vB."""

    txid: str
    wtxid: str
    version: int
    locktime: int
    spends: tuple[Input, ...]
    outputs: tuple[tuple[bytes, int], ...]
    weight: int

    @property
    def inputs(self) -> tuple[tuple[str, int, int], ...]:
        """What it spends, as (txid, vout, sequence)."""
        return tuple((each.txid, each.vout, each.sequence) for each in self.spends)

    @property
    def has_witness(self) -> tuple[bool, ...]:
        """Of each input, whether it has a witness."""
        return tuple(bool(each.witness) for each in self.spends)

    @property
    def vsize(self) -> int:
        """A quarter of its weight, rounded up."""
        return -(-self.weight // 4)


def decode(raw: bytes) -> Tx:
    """The transaction that ``raw`` is, all of it.

    Raises `Refused` for what cannot be read, is followed by other bytes or is spelt in another way than nodes do, and
    for a transaction without inputs or outputs, that spends an output twice or pays what no output can hold.
    """
    data = bytes(raw)
    return _kept(data) if len(data) <= _LONGEST_KEPT else _decoded(data)


def _decoded(raw: bytes) -> Tx:
    try:
        return _read(raw)
    except ValueError as error:
        raise Refused(f"these bytes are no transaction of Bitcoin: {error}") from error


_kept = lru_cache(maxsize=64)(_decoded)  # engine, signer and check read the same bytes


def _read(raw: bytes) -> Tx:
    from bitcoin.core import CTransaction
    from bitcoin.core.serialize import SerializationError

    if len(raw) > _LONGEST:
        raise ValueError(f"{len(raw)} bytes are more than any transaction has")
    try:
        read = CTransaction.deserialize(raw)
        same = read.serialize() == raw
    except SerializationError as error:
        raise ValueError("they are cut short, or others follow") from error
    if not same:
        raise ValueError("they are not spelt as nodes do")
    if not read.vin or not read.vout:
        raise ValueError("it has no inputs or no outputs")
    bare = CTransaction(read.vin, read.vout, read.nLockTime, read.nVersion).serialize()
    stacks = [tuple(map(bytes, each.scriptWitness.stack)) for each in read.wit.vtxinwit] or [()] * len(read.vin)
    spends = tuple(
        Input(_shown(spent.prevout.hash), spent.prevout.n, spent.nSequence, bytes(spent.scriptSig), stack)
        for spent, stack in zip(read.vin, stacks, strict=True)
    )
    outputs = tuple((bytes(each.scriptPubKey), each.nValue) for each in read.vout)
    if len({each.outpoint for each in spends}) < len(spends):
        raise ValueError("it spends an output twice")
    satoshis = [value for _, value in outputs]
    if min(satoshis) < 0 or sum(satoshis) > MOST_SATOSHIS:
        raise ValueError("it pays what there never is")
    return Tx(
        _hash(bare), _hash(raw), read.nVersion & 0xFFFFFFFF, read.nLockTime, spends, outputs, 3 * len(bare) + len(raw)
    )


def _hash(data: bytes) -> str:
    return _shown(sha256(sha256(data).digest()).digest())


def _shown(digest: bytes) -> str:
    """A hash as people write it: the bytes in the opposite order."""
    return digest[::-1].hex()
