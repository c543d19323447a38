"""Raw blocks: which transaction spends an output, and which one has a witness hash.

The serialisation is that of BIP 144; a txid is the double SHA-256 of a transaction without its witnesses (BIP 141).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from hashlib import sha256

_HEADER = 80

FEW = 50
"""Outpoints up to which it is quicker to search a block for their bytes than to read all its transactions."""


@dataclass(frozen=True, slots=True)
class RawTx:
    """One transaction inside a block: where it lies, and where each of its inputs begins."""

    block: bytes
    start: int
    end: int
    body: int
    body_end: int
    segwit: bool
    inputs: tuple[int, ...]

    @property
    def txid(self) -> str:
        """Its id, as nodes print it."""
        data = self.block
        if not self.segwit:
            return _hash(data[self.start : self.end])
        stripped = data[self.start : self.start + 4] + data[self.body : self.body_end] + data[self.end - 4 : self.end]
        return _hash(stripped)

    @property
    def wtxid(self) -> str:
        """The hash of all of it, witnesses too."""
        return _hash(self.block[self.start : self.end])


def outpoint_bytes(txid: str, vout: int) -> bytes:
    """How an input names the output that it spends: the id backwards, then the number."""
    return bytes.fromhex(txid)[::-1] + vout.to_bytes(4, "little")


def find_spenders(block: bytes, outpoints: Collection[bytes]) -> dict[bytes, str]:
    """Which of ``outpoints`` are spent in ``block``, and the id of the transaction that spends each.

    Raises `ValueError` when the block cannot be read.
    """
    if len(outpoints) <= FEW and not any(outpoint in block for outpoint in outpoints):
        return {}
    found = {}
    for tx in read_block(block):
        for place in tx.inputs:
            if (outpoint := block[place : place + 36]) in outpoints:
                found[outpoint] = tx.txid
    return found


def find_wtxid(block: bytes, wtxid: str) -> str | None:
    """The id of the transaction in ``block`` whose witness hash is ``wtxid``.

    Raises `ValueError` for an unreadable block.
    """
    return next((tx.txid for tx in read_block(block) if tx.wtxid == wtxid), None)


def read_block(block: bytes) -> Iterator[RawTx]:
    """The transactions of a serialised block. Raises `ValueError` when it is cut or damaged."""
    count, place = _number(block, _HEADER)
    for _ in range(count):
        tx = _read_tx(block, place)
        yield tx
        place = tx.end
    if place != len(block):
        raise ValueError("a block with something behind it")


def _read_tx(block: bytes, start: int) -> RawTx:
    body = start + 4
    segwit = block[body : body + 2] == b"\x00\x01"
    if segwit:
        body += 2
    count, place = _number(block, body)
    inputs = []
    for _ in range(count):
        inputs.append(place)
        length, place = _number(block, place + 36)
        place = _within(block, place + length + 4)
    count, place = _number(block, place)
    for _ in range(count):
        length, place = _number(block, place + 8)
        place = _within(block, place + length)
    body_end = place
    if segwit:
        for _ in inputs:
            items, place = _number(block, place)
            for _ in range(items):
                length, place = _number(block, place)
                place = _within(block, place + length)
    return RawTx(block, start, _within(block, place + 4), body, body_end, segwit, tuple(inputs))


def inputs_of(raw: bytes) -> list[tuple[str, int]]:
    """What a serialised transaction spends: (txid, vout). Raises `ValueError` when it is cut."""
    tx = _read_tx(raw, 0)
    return [
        (raw[place : place + 32][::-1].hex(), int.from_bytes(raw[place + 32 : place + 36], "little"))
        for place in tx.inputs
    ]


def outputs_of(raw: bytes, most: int) -> list[tuple[int, bytes]]:
    """The first ``most`` outputs of a serialised transaction: satoshis and script.

    Raises `ValueError` when it is cut.
    """
    place = 6 if raw[4:6] == b"\x00\x01" else 4
    count, place = _number(raw, place)
    for _ in range(count):
        length, place = _number(raw, place + 36)
        place += length + 4
    count, place = _number(raw, place)
    found = []
    for _ in range(min(count, most)):
        satoshis = int.from_bytes(raw[place : place + 8], "little")
        length, place = _number(raw, place + 8)
        found.append((satoshis, raw[place : place + length]))
        place += length
    _within(raw, place)
    return found


def _number(block: bytes, place: int) -> tuple[int, int]:
    """A compact size and where it ends."""
    if place >= len(block):
        raise ValueError("a block that is cut short")
    first = block[place]
    if first < 0xFD:
        return first, place + 1
    width = 2 << (first - 0xFD)
    return int.from_bytes(block[place + 1 : place + 1 + width], "little"), _within(block, place + 1 + width)


def _within(block: bytes, place: int) -> int:
    if place > len(block):
        raise ValueError("a block that is cut short")
    return place


def _hash(data: bytes) -> str:
    return sha256(sha256(data).digest()).digest()[::-1].hex()
