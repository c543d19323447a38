"""What signed bytes do on Bitcoin, read by python-bitcoinlib, with every previous output fetched again (M50)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cryptosupport.chains.bitcoin.codec import address_of
from cryptosupport.chains.bitcoin.hotwallet import HotWallet, Outpoint
from cryptosupport.chains.bitcoin.plans import Planned
from cryptosupport.chains.bitcoin.transactions import Tx, decode
from cryptosupport.domain.errors import Refused
from cryptosupport.domain.paying import Decoded, Paid

_MAGIC, _UNSIGNED = b"psbt\xff", b"\x01\x00"


@dataclass(frozen=True, slots=True)
class Previous:
    """An output that is spent: its script, and what it holds."""

    script: bytes
    satoshis: int


def previous_of(home: HotWallet, outpoints: Sequence[Outpoint]) -> dict[Outpoint, Previous]:
    """The outputs that are spent, each out of a transaction that hashes to its id. Raises `Refused`, `NodeFailed`."""
    txids = list(dict.fromkeys(txid for txid, _ in outpoints))
    transactions = {}
    for txid, raw in home.raws(txids).items():
        transactions[txid] = tx = decode(raw)
        if tx.txid != txid:
            raise Refused(f"the node gives another transaction for {txid}: it lies")
    found = {}
    for txid, vout in outpoints:
        if txid not in transactions or vout >= len(transactions[txid].outputs):
            raise Refused(f"{txid}:{vout} is no coin of this wallet, as far as its node knows")
        found[txid, vout] = Previous(*transactions[txid].outputs[vout])
    return found


def read(
    raw: bytes, previous: Mapping[Outpoint, Previous], network: str, own: Collection[bytes], source: str
) -> Decoded:
    """What the bytes pay and cost, where ``own`` are the scripts that are ours; whose they are is left open ("")."""
    tx = decode(raw)
    inputs = [(each.txid, each.vout) for each in tx.spends]
    fee = sum(previous[each].satoshis for each in inputs) - sum(satoshis for _, satoshis in tx.outputs)
    if fee < 0:
        raise Refused(f"{tx.txid} pays more than it spends")
    pays = tuple(
        Paid(source if script in own else address_of(script, network) or f"script:{script.hex()}", None, satoshis)
        for script, satoshis in tx.outputs
    )
    claims = tuple(f"{txid}:{vout}" for txid, vout in inputs)
    return Decoded(tx.txid, network, "", claims, pays, fee)


def unsigned_of(planned: Planned) -> Tx:
    """The transaction of a plan, before it is signed. Raises `Refused`."""
    return decode(unsigned_bytes(planned))


def unsigned_bytes(planned: Planned) -> bytes:
    """The bytes of that: the first entry of its PSBT (BIP 174). Raises `Refused`."""
    raw = planned.raw
    if raw[:5] != _MAGIC or raw[5:7] != _UNSIGNED:
        raise Refused("this plan holds no PSBT that begins with its transaction")
    size, start = _compact(raw, 7)
    return raw[start : start + size]


def _compact(raw: bytes, at: int) -> tuple[int, int]:
    """A length in the compact form, and where what it is of begins."""
    first = raw[at] if at < len(raw) else 0
    width = {0xFD: 2, 0xFE: 4, 0xFF: 8}.get(first, 0)
    return (int.from_bytes(raw[at + 1 : at + 1 + width], "little") if width else first), at + 1 + width
