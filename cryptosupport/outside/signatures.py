"""The backend's signatures: Ed25519 (RFC 8032), with the keys that the settings name.

Who signs with openssl (3.0 or later) makes a key, shows its public half as the 64 hex digits that the settings take,
and signs the bytes of `cryptosupport.domain.requests`:

    openssl genpkey -algorithm ed25519 -out backend.pem
    openssl pkey -in backend.pem -pubout -outform DER | tail -c 32 | od -An -v -tx1 | tr -d ' \\n'
    openssl pkeyutl -sign -rawin -inkey backend.pem -in request.bytes | base64 -w 0
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from cryptosupport.domain.errors import BadSettings
from cryptosupport.domain.identifiers import shortened
from cryptosupport.domain.withdrawals import Signature

_HEX = re.compile(r"[0-9a-fA-F]{64}")


class Verifier:
    """Knows the keys by name. A key is 64 hex digits, or a line "ssh-ed25519 AAAA... comment" as OpenSSH writes it.

    Raises `BadSettings` for any other key.
    """

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = {name: _read(name, text) for name, text in keys.items()}

    def fault(self, signature: Signature, data: bytes) -> str | None:
        """What is wrong with ``signature`` over ``data``; None when it is good."""
        key = self._keys.get(signature.key)
        if key is None:
            known = f"known are {', '.join(self._keys)}" if self._keys else "[intake] keys names none"
            return f'has no key that is known by the name "{shortened(signature.key)}": {known}'
        try:
            value = base64.b64decode(signature.value, validate=True)
        except (binascii.Error, ValueError):
            value = b""
        if len(value) != 64:
            return "has a value that is not base64 of 64 bytes"
        try:
            key.verify(value, data)
        except InvalidSignature:
            return f"of {signature.key} does not fit the request: sign exactly what is sent, with that key"
        return None


def _read(name: str, text: str) -> Ed25519PublicKey:
    if _HEX.fullmatch(text):
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
    try:
        key = load_ssh_public_key(text.encode()) if text.startswith("ssh-ed25519 ") else None
    except ValueError:
        key = None
    if isinstance(key, Ed25519PublicKey):
        return key
    raise BadSettings(
        f"[intake] keys.{name} is no Ed25519 public key: write the 64 hex digits of one, or the line "
        '"ssh-ed25519 AAAA..." of one',  # what stands there may be a private key: it is not repeated
        key=f"intake.keys.{name}",
    )
