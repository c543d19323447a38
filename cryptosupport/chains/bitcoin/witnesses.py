"""Whether signatures are those of our keys: for P2WPKH and for taproot by its key, over the whole transaction.

python-bitcoinlib cannot tell (it knows nothing of the witness when it runs a script), so that the hashes are made here.
Sources: BIP 143 (P2WPKH), BIP 341 (taproot), BIP 340 (Schnorr signatures).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from cryptosupport.chains.bitcoin.transactions import Tx

ALL = 1
"""SIGHASH_ALL: a signature covers all inputs and outputs. In taproot, none written means the same (SIGHASH_DEFAULT)."""

DEFAULT = 0


@dataclass(frozen=True, slots=True)
class Spent:
    """An output of ours that is spent: its script, satoshis, and key (33 bytes; in taproot, the internal one)."""

    script: bytes
    satoshis: int
    key: bytes


def fault(tx: Tx, kind: str, spent: tuple[Spent, ...]) -> str | None:
    """What is wrong with the signatures of ``tx``, which spends ``spent`` in this order; None when all are good."""
    check = _fault_of_tr if kind == "tr" else _fault_of_wpkh
    return check(tx, spent)


def _fault_of_wpkh(tx: Tx, spent: tuple[Spent, ...]) -> str | None:
    from coincurve import PublicKey

    outpoints, sequences, outputs = (_twice(each) for each in _parts(tx))
    for number, (spends, coin) in enumerate(zip(tx.spends, spent, strict=True)):
        if len(spends.witness) != 2 or spends.witness[1] != coin.key:
            return f"input {number} is not signed by the key of its output"
        signature = spends.witness[0]
        if signature[-1:] != bytes((ALL,)):
            return f"the signature of input {number} does not cover all that is done"
        code = b"\x19\x76\xa9\x14" + coin.script[2:] + b"\x88\xac"
        preimage = (
            _u32(tx.version) + outpoints + sequences + _outpoint(spends.txid, spends.vout) + code
            + coin.satoshis.to_bytes(8, "little") + _u32(spends.sequence) + outputs + _u32(tx.locktime) + _u32(ALL)
        )  # fmt: skip
        try:
            good = PublicKey(coin.key).verify(signature[:-1], _twice(preimage), hasher=None)
        except ValueError:  # no signature in DER
            good = False
        if not good:
            return f"the signature of input {number} is not one of this transaction"
    return None


def _fault_of_tr(tx: Tx, spent: tuple[Spent, ...]) -> str | None:
    from coincurve import PublicKeyXOnly

    outpoints, sequences, outputs = (sha256(each).digest() for each in _parts(tx))
    amounts = sha256(b"".join(each.satoshis.to_bytes(8, "little") for each in spent)).digest()
    scripts = sha256(b"".join(_sized(each.script) for each in spent)).digest()
    common = _u32(tx.version) + _u32(tx.locktime) + outpoints + amounts + scripts + sequences + outputs
    tag = sha256(b"TapSighash").digest()
    for number, (spends, coin) in enumerate(zip(tx.spends, spent, strict=True)):
        signature = spends.witness[0] if len(spends.witness) == 1 else b""
        if len(signature) not in (64, 65):
            return f"input {number} is not signed by the key of its output"
        covers = signature[64] if len(signature) == 65 else DEFAULT
        if len(signature) == 65 and covers != ALL:
            return f"the signature of input {number} does not cover all that is done"
        message = bytes((0, covers)) + common + b"\x00" + _u32(number)  # no annex, by its key
        try:
            good = PublicKeyXOnly(coin.script[2:]).verify(signature[:64], sha256(tag + tag + message).digest())
        except ValueError:
            good = False
        if not good:
            return f"the signature of input {number} is not one of this transaction"
    return None


def _parts(tx: Tx) -> tuple[bytes, bytes, bytes]:
    """Outpoints, sequences and outputs, each as one piece of the transaction."""
    return (
        b"".join(_outpoint(each.txid, each.vout) for each in tx.spends),
        b"".join(_u32(each.sequence) for each in tx.spends),
        b"".join(satoshis.to_bytes(8, "little") + _sized(script) for script, satoshis in tx.outputs),
    )


def _outpoint(txid: str, vout: int) -> bytes:
    return bytes.fromhex(txid)[::-1] + _u32(vout)


def _sized(data: bytes) -> bytes:
    """Bytes behind their number, as a transaction has them."""
    size = len(data)
    if size < 0xFD:
        return bytes((size,)) + data
    return (b"\xfd" + size.to_bytes(2, "little") if size < 1 << 16 else b"\xfe" + _u32(size)) + data


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "little")


def _twice(data: bytes) -> bytes:
    return sha256(sha256(data).digest()).digest()
