"""PSBTs that come back from a signer elsewhere: what was asked for, with signatures. Pure.

Nothing is taken from them but signatures, and those are put to the transaction that was asked for: whatever else was
changed cannot get into what is sent, and is refused all the same. Whether the signatures are good is for `witnesses` to
say. Sources: BIP 174 (fields, finalisers), BIP 371 (the fields of taproot), BIP 144 (how a witness is serialised).
"""

from __future__ import annotations

from base64 import b64decode

from cryptosupport.chains.bitcoin import psbts
from cryptosupport.chains.bitcoin.psbts import MAGIC, Coin, Fields, Reader
from cryptosupport.chains.bitcoin.transactions import Tx, decode
from cryptosupport.domain.errors import Refused, Unsigned

_UNSIGNED_TX, _PREVIOUS_TX = 0x00, 0x00
_PARTIAL, _FINAL_SCRIPT, _FINAL_WITNESS, _TAP_SIGNATURE = 0x02, 0x07, 0x08, 0x13
_TEXT = b"cHNidP"
"""What a PSBT in base64 begins with."""


def bytes_of(content: bytes) -> bytes:
    """The PSBT of a file, in bytes or in base64. Raises `Unsigned` for what is none, or not all of one."""
    found = content
    if content.strip().startswith(_TEXT):
        try:
            found = b64decode(b"".join(content.split()), validate=True)
        except ValueError:
            raise _torn() from None
    if not found.startswith(MAGIC):
        raise Unsigned("it does not begin as a PSBT: is it still being copied?")
    return found


def transaction_of(psbt: bytes) -> bytes:
    """The unsigned transaction of a PSBT. Raises `Unsigned` where that is cut short, `Refused`."""
    return _head(Reader(psbt, len(MAGIC)))


def merged(asked: bytes, psbt: bytes) -> bytes:
    """The transaction that ``asked`` is the PSBT of, with the signatures of ``psbt``.

    Raises `Unsigned` where ``psbt`` is not complete, `Refused` where it is of anything else than was asked.
    """
    wanted = psbts.read(asked)
    unsigned = transaction_of(asked)
    reader = Reader(psbt, len(MAGIC))
    if (found := _head(reader)) != unsigned:
        raise Refused(f"it is not what was asked for: {_difference(wanted.tx, decode(found))}")
    before = Reader(asked, len(MAGIC))
    before.fields()
    try:
        inputs = [reader.fields() for _ in wanted.tx.spends]
        for _ in wanted.tx.outputs:
            reader.fields()
    except (ValueError, IndexError):
        raise _torn() from None
    if reader.at != len(psbt):
        raise Refused("it is not what was asked for: something follows the PSBT")
    stacks = []
    for number, (coin, fields) in enumerate(zip(wanted.coins, inputs, strict=True)):
        _check_same(number, before.fields(), fields)
        stacks.append(_witness(number, coin, fields))
    return unsigned[:4] + b"\x00\x01" + unsigned[4:-4] + b"".join(map(_stack, stacks)) + unsigned[-4:]


def _head(reader: Reader) -> bytes:
    try:
        head = reader.fields()
    except (ValueError, IndexError):
        raise _torn() from None
    if _UNSIGNED_TX not in head or set(head[_UNSIGNED_TX]) != {b""}:
        raise Refused("it is not what was asked for: it is a PSBT of another version than 0")
    return head[_UNSIGNED_TX][b""]


def _torn() -> Unsigned:
    return Unsigned("it is cut short, or no PSBT: is it still being copied?")


def _difference(wanted: Tx, found: Tx) -> str:
    """In what way a transaction is another one, in words."""
    if wanted.inputs != found.inputs:
        return "it spends other coins, or with another sequence"
    if len(wanted.outputs) != len(found.outputs):
        return f"it has {len(found.outputs)} outputs in the place of {len(wanted.outputs)}"
    for number, (ours, theirs) in enumerate(zip(wanted.outputs, found.outputs, strict=True)):
        if ours[0] != theirs[0]:
            return f"its output {number} pays somebody else"
        if ours[1] != theirs[1]:
            return f"its output {number} pays {theirs[1]} satoshis in the place of {ours[1]}"
    return "its version or locktime is another"


def _check_same(number: int, wanted: Fields, found: Fields) -> None:
    """Refuse where anything that was said of an input is said otherwise; what a finaliser takes away may be missing."""
    for kind, values in wanted.items():
        for key, value in values.items():
            said = found.get(kind, {}).get(key)
            if said is None or said == value:
                continue
            if kind == _PREVIOUS_TX and decode(said).txid == decode(value).txid:
                continue  # without its witness
            raise Refused(f"it is not what was asked for: of input {number} it says something else (0x{kind:02x})")


def _witness(number: int, coin: Coin, fields: Fields) -> tuple[bytes, ...]:
    """What proves that an input may be spent, as it goes into the transaction."""
    if any(fields.get(_FINAL_SCRIPT, {}).values()):
        raise Refused(f"input {number} has a script of signatures, which spends no coin of this wallet")
    final = fields.get(_FINAL_WITNESS, {}).get(b"")
    if final is not None:
        return _items(number, final)
    signature = fields.get(_TAP_SIGNATURE, {}).get(b"")
    if signature is not None:
        return (signature,)
    partial = fields.get(_PARTIAL, {})
    keys = [hint.key for hint in coin.hints if hint.key in partial]
    if keys:
        return partial[keys[0]], keys[0]
    if partial:
        raise Refused(f"input {number} is signed by another key than that of its coin")
    raise Unsigned(f"it is not complete: input {number} has no signature")


def _items(number: int, final: bytes) -> tuple[bytes, ...]:
    reader = Reader(final, 0)
    try:
        found = tuple(reader.sized() for _ in range(reader.number()))
    except (ValueError, IndexError):
        found = ()
    if not found or reader.at != len(final):
        raise Refused(f"the final witness of input {number} cannot be read")
    return found


def _stack(items: tuple[bytes, ...]) -> bytes:
    return _number(len(items)) + b"".join(_number(len(each)) + each for each in items)


def _number(size: int) -> bytes:
    if size < 0xFD:
        return bytes((size,))
    return b"\xfd" + size.to_bytes(2, "little") if size < 1 << 16 else b"\xfe" + size.to_bytes(4, "little")
