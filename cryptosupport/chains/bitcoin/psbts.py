"""PSBTs as they come from a node: read by our own code, in bytes, apart from the library that signs them. Pure.

Only what the desk's own node writes for inputs of one key is read. Signatures, scripts, preimages, unknown and
proprietary fields of an input are refused: nothing that a signer may act on is left unread. Sources: BIP 174, BIP 371.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptosupport.chains.bitcoin.transactions import Tx, decode
from cryptosupport.domain.errors import Refused

MAGIC = b"psbt\xff"
"""What a PSBT begins with."""

Fields = dict[int, dict[bytes, bytes]]
"""One map: by type, then by what follows the type in the key."""

_UNSIGNED_TX, _XPUB, _VERSION = 0x00, 0x01, 0xFB  # the global fields that are read
_PREVIOUS_TX, _SPENT_OUTPUT, _SIGHASH, _DERIVATION, _TAP_DERIVATION, _TAP_KEY = 0x00, 0x01, 0x03, 0x06, 0x16, 0x17
_ALONE = (_PREVIOUS_TX, _SPENT_OUTPUT, _SIGHASH, _TAP_KEY)  # their keys are the type and nothing else


@dataclass(frozen=True, slots=True)
class Hint:
    """Where a key is said to come from: ``key`` has 33 bytes, or 32 where it is one of taproot."""

    key: bytes
    fingerprint: str
    path: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Coin:
    """What is said of the output that an input spends; nothing of it is proven.

    ``previous`` is the transaction that made it, ``output`` its (script, satoshis), ``sighash`` what signatures are to
    cover, ``internal`` the internal key of taproot.
    """

    previous: bytes | None
    output: tuple[bytes, int] | None
    sighash: int | None
    internal: bytes | None
    hints: tuple[Hint, ...]


@dataclass(frozen=True, slots=True)
class Psbt:
    """An unsigned transaction, and what is said of each output that it spends, in the order of its inputs."""

    tx: Tx
    coins: tuple[Coin, ...]


def read(raw: bytes) -> Psbt:
    """The PSBT that ``raw`` is, all of it. Raises `Refused`."""
    try:
        return _read(raw)
    except (ValueError, IndexError) as error:
        raise Refused(f"this PSBT is not one of the desk's kind: {error}") from error


def _read(raw: bytes) -> Psbt:
    if not raw.startswith(MAGIC):
        raise ValueError("it does not begin as one")
    reader = Reader(raw, len(MAGIC))
    head = reader.fields()
    if not set(head) <= {_UNSIGNED_TX, _XPUB, _VERSION} or head.get(_VERSION, {b"": bytes(4)}) != {b"": bytes(4)}:
        raise ValueError("it is of another version than 0, or has fields of its own")
    if set(head.get(_UNSIGNED_TX, {})) != {b""}:
        raise ValueError("it holds no transaction")
    tx = decode(head[_UNSIGNED_TX][b""])
    if any(each.script or each.witness for each in tx.spends):
        raise ValueError("its transaction holds signatures")
    coins = tuple(_coin(reader.fields()) for _ in tx.spends)
    for _ in tx.outputs:
        reader.fields()  # hints for who signs, and nobody here needs them
    if reader.at != len(raw):
        raise ValueError("something follows it")
    return Psbt(tx, coins)


def _coin(fields: Fields) -> Coin:
    foreign = set(fields) - {*_ALONE, _DERIVATION, _TAP_DERIVATION}
    if foreign:
        raise ValueError(f"an input has a field of type 0x{min(foreign):02x}, and is to have none but what it spends")
    if any(set(fields[each]) != {b""} for each in _ALONE if each in fields):
        raise ValueError("a field of an input has a key that it must not have")
    previous, output, sighash, internal = (fields[each][b""] if each in fields else None for each in _ALONE)
    if sighash is not None and len(sighash) != 4:
        raise ValueError("a sighash type has not 4 bytes")
    hints = [_hint(key, value) for key, value in fields.get(_DERIVATION, {}).items()]
    for key, value in fields.get(_TAP_DERIVATION, {}).items():
        if value[:1] != b"\x00":
            raise ValueError("an input is to be signed by a script of taproot")
        hints.append(_hint(key, value[1:]))
    return Coin(
        previous,
        None if output is None else _output(output),
        None if sighash is None else int.from_bytes(sighash, "little"),
        internal,
        tuple(hints),
    )


def _output(value: bytes) -> tuple[bytes, int]:
    reader = Reader(value, 8)
    script = reader.sized()
    if reader.at != len(value):
        raise ValueError("something follows an output that is spent")
    return script, int.from_bytes(value[:8], "little", signed=True)


def _hint(key: bytes, value: bytes) -> Hint:
    if len(value) < 4 or len(value) % 4:
        raise ValueError("the origin of a key is cut short")
    path = tuple(int.from_bytes(value[at : at + 4], "little") for at in range(4, len(value), 4))
    return Hint(key, value[:4].hex(), path)


class Reader:
    """Takes what BIP 174 writes from bytes, one after the other. Raises `ValueError`, `IndexError` at their end."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self.at = data, at

    def fields(self) -> Fields:
        """One map, up to the zero that ends it."""
        found: Fields = {}
        while key := self.sized():
            of_type = found.setdefault(key[0], {})
            if key[1:] in of_type:
                raise ValueError("it has a field twice")
            of_type[key[1:]] = self.sized()
        return found

    def sized(self) -> bytes:
        """Bytes behind their number."""
        size = self.number()
        if size > len(self._data) - self.at:
            raise ValueError("it is cut short")
        self.at += size
        return self._data[self.at - size : self.at]

    def number(self) -> int:
        """A number in the compact form."""
        first = self._data[self.at]
        size = {0xFD: 2, 0xFE: 4, 0xFF: 8}.get(first, 0)
        tail = self._data[self.at + 1 : self.at + 1 + size]
        if len(tail) < size:
            raise ValueError("it is cut short")
        self.at += 1 + size
        number = int.from_bytes(tail, "little") if size else first
        if size and number < {2: 0xFD, 4: 1 << 16, 8: 1 << 32}[size]:
            raise ValueError("a number is not spelt as nodes do")
        return number
