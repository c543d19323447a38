"""A FIDO2 token in software: what it hands out and what it signs, after PROTOCOL.u2f of OpenSSH."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ED25519, ECDSA_P256 = "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"
PRESENT, VERIFIED = 0x01, 0x04


def strings(*parts: bytes) -> bytes:
    """Each part behind four bytes of its length."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def mpint(number: int) -> bytes:
    """A number with room for its sign."""
    return strings(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def armor(blob: bytes) -> str:
    """A blob as ssh-keygen writes it."""
    text = base64.b64encode(blob).decode()
    lines = [text[at : at + 70] for at in range(0, len(text), 70)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


@dataclass(frozen=True)
class Token:
    """Holds one key. ``flags``: what it says of the person before it. ``counter``: how often it has signed."""

    key: Ed25519PrivateKey | EllipticCurvePrivateKey
    application: bytes = b"ssh:"
    flags: int = PRESENT
    counter: int = 7

    @classmethod
    def of(cls, kind: str, flags: int = PRESENT, application: bytes = b"ssh:") -> Token:
        """A new one."""
        key = Ed25519PrivateKey.generate() if kind == ED25519 else generate_private_key(SECP256R1())
        return cls(key, application, flags)

    @property
    def kind(self) -> str:
        """The type name of its key."""
        return ED25519 if isinstance(self.key, Ed25519PrivateKey) else ECDSA_P256

    @property
    def point(self) -> bytes:
        """The public half, raw."""
        if isinstance(self.key, Ed25519PrivateKey):
            return self.key.public_key().public_bytes_raw()
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    @property
    def blob(self) -> bytes:
        """The public half in the encoding of OpenSSH."""
        curve = [] if isinstance(self.key, Ed25519PrivateKey) else [b"nistp256"]
        return strings(self.kind.encode(), *curve, self.point, self.application)

    @property
    def line(self) -> str:
        """The public half as a line."""
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"

    def touch(self, data: bytes) -> bytes:
        """Sign ``data``: the innermost signature of SSHSIG."""
        said = bytes([self.flags]) + self.counter.to_bytes(4, "big")
        signed = hashlib.sha256(self.application).digest() + said + hashlib.sha256(data).digest()
        if isinstance(self.key, Ed25519PrivateKey):
            value = self.key.sign(signed)
        else:
            value = b"".join(map(mpint, decode_dss_signature(self.key.sign(signed, ECDSA(SHA256())))))
        return strings(self.kind.encode(), value) + said

    def sign(self, message: bytes, namespace: bytes = b"cryptosupport", algorithm: str = "sha512") -> str:
        """Sign ``message`` as ssh-keygen -Y sign has it signed."""
        digest = hashlib.new(algorithm, message).digest()
        inner = self.touch(b"SSHSIG" + strings(namespace, b"", algorithm.encode(), digest))
        return armor(b"SSHSIG\0\0\0\1" + strings(self.blob, namespace, b"", algorithm.encode(), inner))
