"""Wallets made from fixed entropy, and plans of them, whose PSBTs can be spoiled field by field."""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha256
from typing import Any

import bdkpython as bdk

from cryptosupport.chains.bitcoin.codec import script_pubkey
from cryptosupport.chains.bitcoin.descriptors import Watched
from cryptosupport.chains.bitcoin.plans import Planned
from cryptosupport.chains.bitcoin.tools import REPLACEABLE, BitcoinTools, open_tools
from tests.chains.bitcoinkit import FOREIGN, chain_settings

Map = dict[bytes, bytes]
Maps = list[Map]

PURPOSES = {"wpkh": 84, "tr": 86}
WORDS = str(bdk.Mnemonic.from_entropy(b"\x07" * 16))
OTHER_WORDS = str(bdk.Mnemonic.from_entropy(b"\x08" * 16))


@cache
def master(words: str = WORDS, mainnet: bool = False) -> str:
    """The extended private key of a mnemonic."""
    kind = bdk.NetworkKind.MAIN if mainnet else bdk.NetworkKind.TEST
    return _bare(bdk.DescriptorSecretKey(kind, bdk.Mnemonic.from_string(words), None))


@cache
def account(kind: str, words: str = WORDS, number: int = 0) -> str:
    """The extended private key of one of its accounts."""
    return _bare(_account(kind, words, number))


@cache
def watched(kind: str, words: str = WORDS, number: int = 0) -> Watched:
    """The descriptor of one of its accounts on regtest."""
    public = str(_account(kind, words, number).as_public()).removesuffix("/*")
    return Watched.of(f"{kind}({public}/<0;1>/*)", "regtest")


@cache
def tools(kind: str) -> BitcoinTools:
    """The tools of the first account."""
    return open_tools(chain_settings(), watched(kind).source)


def _account(kind: str, words: str, number: int) -> Any:
    key = bdk.DescriptorSecretKey(bdk.NetworkKind.TEST, bdk.Mnemonic.from_string(words), None)
    return key.derive(bdk.DerivationPath(f"m/{PURPOSES[kind]}h/1h/{number}h"))


def _bare(key: Any) -> str:
    return str(key).rpartition("]")[2].partition("/")[0]


# -- transactions in bytes --------------------------------------------------------------------------------------------


def sized(data: bytes) -> bytes:
    """Bytes behind their number."""
    return number(len(data)) + data


def number(count: int) -> bytes:
    """A number as nodes spell it."""
    if count < 0xFD:
        return bytes([count])
    return b"\xfd" + struct.pack("<H", count) if count < 1 << 16 else b"\xfe" + struct.pack("<I", count)


def transaction(
    inputs: Sequence[tuple[str, int]], outputs: Sequence[tuple[bytes, int]], sequence: int = REPLACEABLE,
    version: int = 2, locktime: int = 0,
) -> bytes:  # fmt: skip
    """An unsigned transaction."""
    ins = b"".join(bytes.fromhex(txid)[::-1] + struct.pack("<IBI", vout, 0, sequence) for txid, vout in inputs)
    outs = b"".join(struct.pack("<q", satoshis) + sized(script) for script, satoshis in outputs)
    head = struct.pack("<i", version) + number(len(inputs))
    return head + ins + number(len(outputs)) + outs + struct.pack("<I", locktime)


def funding(script: bytes, satoshis: int, salt: int = 0) -> bytes:
    """A transaction whose output 1 pays ``script``."""
    return transaction([(sha256(bytes([salt])).hexdigest(), 0)], [(script_of(FOREIGN), 7), (script, satoshis)])


def txid_of(raw: bytes) -> str:
    """The id of a transaction without a witness."""
    return sha256(sha256(raw).digest()).digest()[::-1].hex()


def script_of(address: str) -> bytes:
    """The script of an address on regtest."""
    return script_pubkey(address, "regtest")


# -- plans ------------------------------------------------------------------------------------------------------------


def coin(kind: str, script: bytes, satoshis: int, salt: int, place: tuple[bool, int]) -> Map:
    """What a node says of an output of the wallet ``kind`` that is at ``place``."""
    ours = watched(kind)
    key = ours.public_key(*place)
    origin = bytes.fromhex(ours.fingerprint) + struct.pack("<5I", *ours.path, *map(int, place))
    said = {b"\x01": struct.pack("<q", satoshis) + sized(script)}
    if kind == "tr":
        return said | {b"\x16" + key[1:]: b"\x00" + origin, b"\x17": key[1:]}
    return {b"\x00": funding(script, satoshis, salt)} | said | {b"\x06" + key: origin}


def plan(
    kind: str,
    *,
    coins: Sequence[tuple[bool, int, int]] = ((False, 0, 100_000), (True, 3, 50_000)),
    pays: Sequence[tuple[bytes, int]] = ((script_of(FOREIGN), 120_000),),
    change: tuple[int, int] | None = (5, 29_000),
    sequence: int = REPLACEABLE,
    version: int = 2,
    locktime: int = 0,
    spoil: Callable[[Maps], object] | None = None,
) -> Planned:
    """A plan: ``coins`` are (branch, index, satoshis), ``change`` (index, satoshis) of the last output.

    ``spoil`` changes the maps of the PSBT, the global one first.
    """
    ours = watched(kind)
    scripts = [ours.script(branch, index) for branch, index, _ in coins]
    outputs = [*pays] if change is None else [*pays, (ours.script(True, change[0]), change[1])]
    made = [funding(script, coin[2], salt) for salt, (script, coin) in enumerate(zip(scripts, coins, strict=True))]
    tx = transaction([(txid_of(each), 1) for each in made], outputs, sequence, version, locktime)
    maps: Maps = [{b"\x00": tx}]
    maps += [
        coin(kind, script, satoshis, salt, (branch, index))
        for salt, (script, (branch, index, satoshis)) in enumerate(zip(scripts, coins, strict=True))
    ]
    maps += [{} for _ in outputs]
    if spoil is not None:
        spoil(maps)
    return Planned(b64encode(joined(maps)).decode(), None if change is None else (len(pays), change[0]))


def joined(maps: Maps) -> bytes:
    """The PSBT of maps."""
    return b"psbt\xff" + b"".join(
        b"".join(sized(key) + sized(value) for key, value in each.items()) + b"\x00" for each in maps
    )


def psbt_bytes(planned: Planned) -> bytes:
    """The bytes of its PSBT."""
    return b64decode(planned.psbt)
