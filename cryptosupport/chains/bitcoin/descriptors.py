"""The descriptor that a wallet is known by, and the scripts that are its own.

Each script is derived by bdk and once more by our own code, and both have to say the same. bdk is loaded with the first
one. Sources: BIP 32 (public derivation), BIP 380 (key origins, checksums), BIP 382 (wpkh), BIP 386 (tr), BIP 389 (the
pair <0;1>), BIP 341 (how the key of a tr output is tweaked).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256, sha512
from typing import Any, NoReturn, Self

from cryptosupport.chains.bitcoin.codec import script_pubkey
from cryptosupport.chains.bitcoin.plans import HARDENED
from cryptosupport.domain.base58 import decode_base58check
from cryptosupport.domain.errors import BadInput, SupportError

_FORM = re.compile(
    r"(?P<kind>wpkh|tr)\(\[(?P<fingerprint>[0-9a-fA-F]{8})(?P<path>(?:/(?:0|[1-9][0-9]{0,9})['h]?){0,16})\]"
    r"(?P<xpub>[1-9A-HJ-NP-Za-km-z]{100,120})/<0;1>/\*\)",
    re.ASCII,
)
_SHAPE = "wpkh([fingerprint/84h/0h/0h]xpub.../<0;1>/*), or the same with tr"
_PRIVATE = re.compile(r"[a-zA-Z]prv", re.ASCII)
_CHARACTERS = (  # the INPUT_CHARSET of BIP 380
    "0123456789()[],'/*abcdefgh@:$%{}IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~ijklmnopqrstuvwxyzABCDEFGH`#\"\\ "
)
_CHECKSUM = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATORS = (0xF5DEE51989, 0xA9FDCA3312, 0x1BAB10E32D, 0x3706B1677A, 0x644D626FFD)
_VERSIONS = {bytes.fromhex("0488b21e"): True, bytes.fromhex("043587cf"): False}  # xpub, tpub: whether it is mainnet's
_PRIME = 2**256 - 2**32 - 977  # of the field of secp256k1


@dataclass(frozen=True, slots=True)
class Watched:
    """A public descriptor of two branches: what comes in (external), and change (internal).

    ``source`` is its one spelling, without a checksum: what the ledger calls the wallet. ``singles`` are the external
    and the internal branch with their checksums, as `importdescriptors` takes them. ``fingerprint`` and ``path`` say
    where the account's key comes from; ``key`` (33 bytes) and ``chain_code`` are the account's.
    """

    source: str
    kind: str
    network: str
    singles: tuple[str, str]
    fingerprint: str
    path: tuple[int, ...]
    key: bytes
    chain_code: bytes

    @classmethod
    def of(cls, text: str, network: str) -> Self:
        """Read a descriptor, with or without its checksum, for mainnet, testnet4, signet or regtest.

        Raises `BadInput` for anything else, and never shows what it was given; its fact ``reason`` is `bad_checksum`,
        `bad_form`, `private` or `wrong_network`.
        """
        body, mark, checksum = text.strip().partition("#")
        if _PRIVATE.search(text):
            _refuse("the descriptor holds a private key: give the public one, and the key to the keyring", "private")
        if mark and checksum != checksum_of(body):
            _refuse("the checksum of the descriptor fails: copy it again from where it came from", "bad_checksum")
        match = _FORM.fullmatch(body)
        if match is None:
            _refuse(f"this is no descriptor that can be paid from: use {_SHAPE}")
        steps = [each.replace("'", "h") for each in match["path"].split("/")[1:]]
        path = tuple(int(each.rstrip("h")) + (HARDENED if each.endswith("h") else 0) for each in steps)
        if any(int(each.rstrip("h")) >= HARDENED for each in steps):
            _refuse("a step in the origin of the descriptor's key is out of range")
        chain_code, key = _account(match["xpub"], network)
        fingerprint, kind = match["fingerprint"].lower(), match["kind"]
        origin = "/".join((fingerprint, *steps))
        bodies = [f"{kind}([{origin}]{match['xpub']}/{branch}/*)" for branch in ("<0;1>", "0", "1")]
        external, internal = (f"{body}#{checksum_of(body)}" for body in bodies[1:])
        return cls(bodies[0], kind, network, (external, internal), fingerprint, path, key, chain_code)

    def script(self, change: bool, index: int) -> bytes:
        """The output script of an address. Raises `BadInput` for an index that there is not."""
        return _derived(self, change, index)[0]

    def address(self, change: bool, index: int) -> str:
        """The address of an index of one branch. Raises `BadInput` for an index that there is not."""
        return _derived(self, change, index)[1]

    def public_key(self, change: bool, index: int) -> bytes:
        """The key of an address in 33 bytes; in a tr output, the internal one."""
        return _derived(self, change, index)[2]


def checksum_of(body: str) -> str:
    """The checksum of a descriptor without it (BIP 380). Raises `BadInput` for a character that has no place there.

    >>> checksum_of("raw(deadbeef)")
    '89f8spxm'
    """
    symbols: list[int] = []
    groups: list[int] = []
    for character in body:
        value = _CHARACTERS.find(character)
        if value < 0:
            _refuse(f"{character!r} never stands in a descriptor: copy it again")
        symbols.append(value & 31)
        groups.append(value >> 5)
        if len(groups) == 3:
            symbols.append(groups[0] * 9 + groups[1] * 3 + groups[2])
            groups.clear()
    if groups:
        symbols.append(groups[0] if len(groups) == 1 else groups[0] * 3 + groups[1])
    residue = 1
    for value in [*symbols, *[0] * 8]:
        top = residue >> 35
        residue = (residue & 0x7FFFFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATORS):
            residue ^= generator if top >> bit & 1 else 0
    residue ^= 1
    return "".join(_CHECKSUM[residue >> 5 * (7 - i) & 31] for i in range(8))


def _refuse(message: str, reason: str = "bad_form") -> NoReturn:
    raise BadInput(message, reason=reason)


def _account(xpub: str, network: str) -> tuple[bytes, bytes]:
    """Chain code and key of an extended public key (BIP 32). Raises `BadInput`."""
    data = decode_base58check(xpub)
    mainnet = _VERSIONS.get(data[:4])
    if mainnet is None or len(data) != 78:
        _refuse(f"the descriptor's key is no extended public key in the form of BIP 32: use {_SHAPE}")
    if mainnet != (network == "mainnet"):
        _refuse(f"the descriptor's key is one of {'mainnet' if mainnet else 'test networks'}, not of {network}",
                "wrong_network")  # fmt: skip
    key, x = data[45:], int.from_bytes(data[46:], "big")
    if key[0] not in (2, 3) or x >= _PRIME or pow(x**3 + 7, (_PRIME - 1) // 2, _PRIME) != 1:
        _refuse("the descriptor's key is no point of secp256k1: copy it again")
    return data[13:45], key


# -- deriving ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=65_536)
def _derived(watched: Watched, change: bool, index: int) -> tuple[bytes, str, bytes]:
    """Script, address and key. Raises `BadInput` for an index that there is not."""
    if not 0 <= index < HARDENED:
        _refuse(f"there is no address {index} of a descriptor")
    script, key = _by_our_own(watched, change, index)
    address, said = _by_bdk(watched, change, index)
    if said != script or script_pubkey(address, watched.network) != script:
        raise SupportError(
            f"address {index} of the descriptor is derived in two ways, and they differ: nothing is done"
        )
    return script, address, key


def derived(watched: Watched, change: bool, index: int) -> bytes:
    """The output script of an address by our own code alone: to recognise what is ours, and never to pay to it."""
    return _by_our_own(watched, change, index)[0]


def _by_our_own(watched: Watched, change: bool, index: int) -> tuple[bytes, bytes]:
    from coincurve import PublicKey

    key, _ = _child(*_branch(watched, change), index)
    if watched.kind == "wpkh":
        return b"\x00\x14" + hash160(key), key
    tag = sha256(b"TapTweak").digest()
    tweaked = PublicKey(b"\x02" + key[1:]).add(sha256(tag + tag + key[1:]).digest())
    return b"\x51\x20" + tweaked.format()[1:], key


def hash160(data: bytes) -> bytes:
    """RIPEMD-160 of SHA-256; some builds of OpenSSL have no it, and python-bitcoinlib's is slow."""
    try:
        return hashlib.new("ripemd160", sha256(data).digest()).digest()
    except ValueError:
        from bitcoin.core.serialize import Hash160

        return bytes(Hash160(data))


@lru_cache(maxsize=64)
def _branch(watched: Watched, change: bool) -> tuple[bytes, bytes]:
    return _child(watched.key, watched.chain_code, int(change))


def _child(key: bytes, chain_code: bytes, index: int) -> tuple[bytes, bytes]:
    """Key and chain code of a child that needs no private key (CKDpub of BIP 32)."""
    from coincurve import PublicKey

    digest = hmac.digest(chain_code, key + index.to_bytes(4, "big"), sha512)
    return PublicKey(key).add(digest[:32]).format(), digest[32:]


def _by_bdk(watched: Watched, change: bool, index: int) -> tuple[str, bytes]:
    found = _of_bdk(watched.singles[change], watched.network).derive_address(index, bdk_network(watched.network))
    return str(found), bytes(found.script_pubkey().to_bytes())


@lru_cache(maxsize=64)
def _of_bdk(single: str, network: str) -> Any:
    import bdkpython as bdk

    return bdk.Descriptor(single, bdk_kind(network))


def bdk_network(network: str) -> Any:
    """A network as bdk names it."""
    import bdkpython as bdk

    names = {"mainnet": bdk.Network.BITCOIN, "testnet4": bdk.Network.TESTNET4, "signet": bdk.Network.SIGNET}
    return names.get(network, bdk.Network.REGTEST)


def bdk_kind(network: str) -> Any:
    """Which keys a network has, as bdk names them."""
    import bdkpython as bdk

    return bdk.NetworkKind.MAIN if network == "mainnet" else bdk.NetworkKind.TEST
