"""How large transactions are and what they cost, by what they spend and pay. Pure.

Sources: BIP 141 (weight), BIP 143 and 341 (the witnesses of P2WPKH and P2TR), Bitcoin Core's policy/policy.cpp
(GetDustThreshold, with -dustrelayfee at its default of 3,000 satoshis per kvB).
"""

from __future__ import annotations

from collections.abc import Iterable

WITNESS = {"wpkh": 107, "tr": 66}
"""Weight of the witness of one input, by kind of descriptor: its count, and a signature (71 bytes at most, for low R)
with a key of 33, or a signature of 64.
"""

_INPUT = 4 * 41
_MARKER = 2
_DUST_RATE = 3
_SPENT_PLAIN, _SPENT_WITNESS = 148, 67


def weight(kind: str, inputs: int, scripts: Iterable[bytes]) -> int:
    """The weight of a transaction that spends so many ``inputs`` of a ``kind`` and pays to ``scripts``.

    >>> weight("wpkh", 1, [bytes(22)] * 2)
    561
    """
    outputs = [output_bytes(script) for script in scripts]
    base = 4 + _varint(inputs) + _varint(len(outputs)) + sum(outputs) + 4
    return 4 * base + inputs * (_INPUT + WITNESS[kind]) + _MARKER


def vsize(weight: int) -> int:
    """Virtual bytes, rounded up."""
    return -(-weight // 4)


def fee_for(weight: int, rate: int) -> int:
    """The fee in satoshis at ``rate`` satoshis per kvB, rounded up."""
    return -(-vsize(weight) * rate // 1000)


def output_bytes(script: bytes) -> int:
    """The bytes of an output."""
    return 8 + _varint(len(script)) + len(script)


def dust(script: bytes) -> int:
    """The satoshis that an output has to have at least to be relayed.

    >>> dust(bytes((0, 20)) + bytes(20)), dust(b"\\x76\\xa9\\x14" + bytes(20) + b"\\x88\\xac")
    (294, 546)
    """
    witness = 4 <= len(script) <= 42 and (script[0] == 0 or 0x51 <= script[0] <= 0x60) and script[1] == len(script) - 2
    return _DUST_RATE * (output_bytes(script) + (_SPENT_WITNESS if witness else _SPENT_PLAIN))


def _varint(number: int) -> int:
    return 1 if number < 0xFD else 3 if number <= 0xFFFF else 5
