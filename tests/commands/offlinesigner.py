"""A signer on a machine of its own: it gets a mnemonic on standard input, sees one file, and writes another.

python -I offlinesigner.py KIND IN OUT [partial] [base64] [any-sighash]
"""

from __future__ import annotations

import sys
from base64 import b64decode, b64encode
from pathlib import Path

import bdkpython as bdk


def main(kind: str, source: str, target: str, *options: str) -> int:
    """Sign with the keys of the mnemonic; 1 where not every input could be signed."""
    key = bdk.DescriptorSecretKey(bdk.NetworkKind.TEST, bdk.Mnemonic.from_string(sys.stdin.read().strip()), None)
    make = {"wpkh": bdk.Descriptor.new_bip84, "tr": bdk.Descriptor.new_bip86}[kind]
    branches = [
        make(key, each, bdk.NetworkKind.TEST) for each in (bdk.KeychainKind.EXTERNAL, bdk.KeychainKind.INTERNAL)
    ]
    wallet = bdk.Wallet(*branches, bdk.Network.REGTEST, bdk.Persister.new_in_memory(), lookahead=1)
    terms = bdk.SignOptions(
        trust_witness_utxo=False,
        assume_height=None,
        allow_all_sighashes="any-sighash" in options,
        try_finalize="partial" not in options,
        sign_with_tap_internal_key=True,
        allow_grinding=True,
    )
    psbt = bdk.Psbt(b64encode(Path(source).read_bytes()).decode())
    whole = wallet.sign(psbt, terms)
    text = psbt.serialize()
    Path(target).write_bytes(text.encode() if "base64" in options else b64decode(text))
    return 0 if whole or "partial" in options else 1


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
