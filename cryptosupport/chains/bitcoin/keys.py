"""The key of a wallet, and signing with it by bdk, which is loaded when the first one is needed.

A key is a mnemonic of BIP 39 in English and without a passphrase, or an extended private key of BIP 32: the master's,
or that of the descriptor's account. Nothing that is raised here holds any of it: what bdk says of a failure is dropped.
The same PSBT and key make the same bytes (RFC 6979; taproot without randomness of its own).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from cryptosupport.chains.bitcoin.descriptors import Watched, bdk_kind, bdk_network, hash160
from cryptosupport.chains.bitcoin.plans import HARDENED
from cryptosupport.domain.base58 import decode_base58check
from cryptosupport.domain.errors import BadSettings, Refused, SupportError

T = TypeVar("T")

_EXTENDED = re.compile(r"[xt]prv[1-9A-HJ-NP-Za-km-z]{100,115}", re.ASCII)
_WORDS = re.compile(r"[a-z]+(?: [a-z]+){11,23}", re.ASCII)
_VERSIONS = {bytes.fromhex("0488ade4"): True, bytes.fromhex("04358394"): False}  # xprv, tprv: whether it is mainnet's
_NO_KEY = (
    "the wallet's key is neither a mnemonic of BIP 39 (12 to 24 English words) nor an extended private key of BIP 32 "
    "(xprv... or tprv...)"
)


def account_of(secret: str, watched: Watched) -> str | None:
    """The extended private key of the descriptor's account, None where the secret is of another wallet.

    Raises `BadSettings` for what is no key, or one of another network.
    """
    text = _extended(secret, watched.network)
    data = _parsed(text)
    if _is_account(data, watched) and (watched.path or _fingerprint(data) == watched.fingerprint):
        return text
    if data[4] != 0 or _fingerprint(data) != watched.fingerprint:
        return None
    below = _child(text, watched)
    return below if _is_account(_parsed(below), watched) else None


def sign(psbt: str, watched: Watched, account: str) -> bytes:
    """The final transaction of a PSBT in base64, signed by the key ``account`` of the descriptor.

    Raises `Refused` where not every input could be signed.
    """
    raw = _quietly(lambda: _signed(psbt, watched, account), Refused("nothing was signed: bdk did not take the PSBT"))
    if raw is None:
        raise Refused("nothing was signed: the key signs not every input of the PSBT")
    return raw


def _signed(psbt: str, watched: Watched, account: str) -> bytes | None:
    import bdkpython as bdk

    origin = "/".join((watched.fingerprint, *_steps(watched)))
    both = (f"{watched.kind}([{origin}]{account}/{branch}/*)" for branch in (0, 1))
    external, internal = (bdk.Descriptor(each, bdk_kind(watched.network)) for each in both)
    memory = bdk.Persister.new_in_memory()
    wallet = bdk.Wallet(external, internal, bdk_network(watched.network), memory, lookahead=1)
    options = bdk.SignOptions(
        trust_witness_utxo=False,
        assume_height=None,
        allow_all_sighashes=False,
        try_finalize=True,
        sign_with_tap_internal_key=True,
        allow_grinding=True,
    )
    signed = bdk.Psbt(psbt)
    if not wallet.sign(signed, options):  # it says so and raises nothing
        return None
    return bytes(signed.extract_tx().serialize())


def _extended(secret: str, network: str) -> str:
    """The secret as an extended private key. Raises `BadSettings`."""
    text = " ".join(secret.split())
    if _EXTENDED.fullmatch(text) is None:
        text = _master_of(text.lower(), network)
    version = _parsed(text)[:4]
    if _VERSIONS[version] != (network == "mainnet"):
        kind = "mainnet" if _VERSIONS[version] else "test networks"
        raise BadSettings(f"the wallet's key is one of {kind}, not of {network}")
    return text


def _master_of(words: str, network: str) -> str:
    import bdkpython as bdk

    if _WORDS.fullmatch(words) is None:
        raise BadSettings(_NO_KEY)
    wrong = "the wallet's mnemonic is none of BIP 39 in English: a word is wrong, missing, or out of its place"
    mnemonic = _quietly(lambda: bdk.Mnemonic.from_string(words), BadSettings(wrong))
    return _of_bdk(bdk.DescriptorSecretKey(bdk_kind(network), mnemonic, None))


def _child(text: str, watched: Watched) -> str:
    """The extended private key at the descriptor's origin below the master ``text``."""
    import bdkpython as bdk

    path = "/".join(("m", *_steps(watched)))
    failure = BadSettings("the wallet's key has no child at the origin of the descriptor")
    return _quietly(
        lambda: _of_bdk(bdk.DescriptorSecretKey.from_string(text).derive(bdk.DerivationPath(path))), failure
    )


def _of_bdk(key: object) -> str:
    """The extended key alone: bdk writes its origin before it, and a range behind."""
    return str(key).rpartition("]")[2].partition("/")[0]


def _parsed(text: str) -> bytes:
    """The 78 bytes of an extended private key. Raises `BadSettings`."""
    failure = BadSettings("the wallet's extended private key is damaged: its checksum fails")
    data = _quietly(lambda: decode_base58check(text), failure)
    if len(data) != 78 or data[:4] not in _VERSIONS or data[45] != 0:
        raise BadSettings(_NO_KEY)
    return data


def _public(data: bytes) -> bytes:
    from coincurve import PrivateKey

    key = _quietly(lambda: PrivateKey(data[46:]), BadSettings("the wallet's key is no private key of secp256k1"))
    return key.public_key.format()


def _is_account(data: bytes, watched: Watched) -> bool:
    return (data[13:45], _public(data)) == (watched.chain_code, watched.key)


def _fingerprint(data: bytes) -> str:
    return hash160(_public(data))[:4].hex()


def _steps(watched: Watched) -> list[str]:
    return [f"{each - HARDENED}h" if each >= HARDENED else str(each) for each in watched.path]


def _quietly(work: Callable[[], T], failure: SupportError) -> T:
    """Do ``work``, and raise ``failure`` where it fails: without a context, which could quote a key."""
    with suppress(Exception):
        return work()
    raise failure
