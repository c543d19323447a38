"""Keys as OpenSSH writes them: public halves of operators (FIDO2 tokens too), and private Ed25519 keys of the keyring.

A public key is a line "type base64 comment". Its bytes are read as strictly as they can be: one key has one spelling.
A FIDO2 key is told by its type name, "sk-...". Sources: RFC 4251 section 5 (the wire), RFC 4253 section 6.6 (RSA),
RFC 5656 section 3.1 (ECDSA), RFC 8709 section 4 (Ed25519), PROTOCOL.u2f of OpenSSH (the sk- kinds).

Whatever is refused may be a private key that stands in the wrong place: no message repeats any of it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

from cryptosupport.domain.errors import BadSettings

_LINE = re.compile(r"([a-z0-9][a-z0-9@.-]*)[ \t]+([A-Za-z0-9+/]+={0,2})(?:[ \t][^\r\n]*)?")
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_LONGEST_LINE = 16_384  # characters; the longest key below, with a comment of any sane length
_RSA_BITS = range(3072, 16_384 + 1)
_PRIME = 2**255 - 19
_D = -121_665 * pow(121_666, -1, _PRIME) % _PRIME
_LOADERS = {
    "-----BEGIN OPENSSH PRIVATE KEY-----": load_ssh_private_key,
    "-----BEGIN PRIVATE KEY-----": load_pem_private_key,
    "-----BEGIN ENCRYPTED PRIVATE KEY-----": load_pem_private_key,
}


class Malformed(ValueError):
    """These bytes are not what they should be. The message holds none of them."""


class Wire:
    """Reads bytes in the encoding of RFC 4251, from the front. Raises `Malformed` for whatever is not exactly that."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        if count > len(self._data) - self._at:
            raise Malformed("it ends too early")
        self._at += count
        return self._data[self._at - count : self._at]

    def string(self) -> bytes:
        """A string: four bytes of length, and so many bytes."""
        return self.take(int.from_bytes(self.take(4)))

    def number(self) -> int:
        """A positive mpint, in the one shortest form that it has."""
        data = self.string()
        # A leading zero byte is there when the next bit would read as a sign, and never otherwise.
        if not data or data[0] >= 0x80 or (data[0] == 0 and (len(data) == 1 or data[1] < 0x80)):
            raise Malformed("a number in it is not positive, or not in its shortest form")
        return int.from_bytes(data)

    def end(self) -> None:
        """Nothing may follow."""
        if self._at != len(self._data):
            raise Malformed(f"{len(self._data) - self._at} bytes follow its end")


def wire(*strings: bytes) -> bytes:
    """``strings`` one after the other in the encoding of RFC 4251.

    >>> wire(b"ssh", b"").hex()
    '0000000373736800000000'
    """
    return b"".join(len(each).to_bytes(4) + each for each in strings)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public half of a key. Two are equal when their lines are; made by `read` only.

    ``kind``: the type name. ``blob``: what the base64 holds. ``material``: the point of Ed25519 (32 bytes) or of ECDSA
    (65 bytes, uncompressed), or the modulus of RSA. ``exponent``: of RSA, else 0. ``application``: of a FIDO2 key
    ("ssh:..."), else empty.
    """

    kind: str
    blob: bytes = field(repr=False)
    material: bytes = field(repr=False)
    exponent: int = field(default=0, repr=False)
    application: bytes = b""

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a line "ssh-ed25519 AAAA... comment", of any kind in `KINDS`. Raises `BadSettings`, without the text."""
        line = _LINE.fullmatch(text.rstrip(" \t\r\n")) if len(text) <= _LONGEST_LINE else None
        try:
            if line is None:
                raise Malformed('it is not a line "type base64 comment"')
            return cls(*_parsed(line[1], _unpacked(line[2])))
        except Malformed as error:
            fault = str(error)
        # Raised out here, so that nothing of the text hangs on the error as its context.
        raise BadSettings(f'this is no public key that can be used: {fault}. Write its line "type AAAA...": {_WANTED}')

    @property
    def line(self) -> str:
        """The line "type base64": the one way to write it, without the comment."""
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"

    @property
    def fingerprint(self) -> str:
        """The fingerprint "SHA256:...", as ssh-keygen -l shows it."""
        return fingerprint(self.blob)

    @property
    def token(self) -> bool:
        """Whether a FIDO2 token holds the private half."""
        return self.kind.startswith("sk-")

    def same_key_as(self, other: PublicKey) -> bool:
        """Whether one private half stands behind both: the point or the modulus counts, not the name or application."""
        return self.material == other.material


def fingerprint(blob: bytes) -> str:
    """The fingerprint of a public key's ``blob``: "SHA256:" and the hash in base64 without padding."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def private_key(secret: str) -> Ed25519PrivateKey:
    """Read an Ed25519 key as the keyring holds it: 64 hex digits, or OpenSSH's or PKCS #8's PEM without a passphrase.

    Raises `BadSettings`, which says nothing of the secret.
    """
    text = secret.strip()
    if _HEX.fullmatch(text):
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text))
    load = _LOADERS.get(text.partition("\n")[0].rstrip())
    why = "it is neither 64 hex digits nor a PEM that begins with PRIVATE KEY or OPENSSH PRIVATE KEY"
    if load is not None:
        try:
            key = load(text.encode() + b"\n", password=None)
        except TypeError:  # so cryptography tells that a passphrase is needed
            why = "it is locked with a passphrase: take that off, the keyring is what protects it"
        except (ValueError, UnsupportedAlgorithm):
            why = "its PEM is damaged, locked, or of an unknown kind"
        else:
            if isinstance(key, Ed25519PrivateKey):
                return key
            why = "it is a key of another kind"
    raise BadSettings(f"the keyring's secret is no Ed25519 private key that can be used: {why}")


def public_line(private: Ed25519PrivateKey) -> str:
    """The public half of ``private`` as a line "ssh-ed25519 base64"."""
    return f"ssh-ed25519 {base64.b64encode(public_blob(private)).decode()}"


def public_blob(private: Ed25519PrivateKey) -> bytes:
    """The public half of ``private`` as OpenSSH's blob."""
    return wire(b"ssh-ed25519", private.public_key().public_bytes_raw())


# -- what stands in a blob -------------------------------------------------------------------------------------------

_Facts = tuple[bytes, int, bytes]  # material, exponent, application


def _unpacked(text: str) -> bytes:
    try:
        blob = base64.b64decode(text, validate=True)
    except binascii.Error:
        blob = b""
    if base64.b64encode(blob).decode() != text:  # bits that base64 leaves over would give a second spelling
        raise Malformed("its base64 is damaged")
    return blob


def _parsed(kind: str, blob: bytes) -> tuple[str, bytes, bytes, int, bytes]:
    read = KINDS.get(kind)
    if read is None:
        raise Malformed("it is of a kind that is not taken (no DSA, no certificates, no other curves)")
    data = Wire(blob)
    if data.string() != kind.encode():
        raise Malformed("its base64 holds a key of another kind than the name in front")
    facts = read(data)
    data.end()
    return (kind, blob, *facts)


def _ed25519(data: Wire) -> _Facts:
    point = data.string()
    if len(point) != 32 or not _sound(point):
        raise Malformed("its point is not one of Ed25519 that a private key can have")
    return point, 0, b""


def _ecdsa(data: Wire) -> _Facts:
    curve, point = data.string(), data.string()
    sound = curve == b"nistp256" and len(point) == 65 and point[0] == 4
    if sound:
        try:
            EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
        except ValueError:
            sound = False
    if not sound:
        raise Malformed("its point is not one of the curve nistp256")
    return point, 0, b""


def _rsa(data: Wire) -> _Facts:
    exponent, modulus = data.number(), data.number()
    if modulus.bit_length() not in _RSA_BITS:
        raise Malformed(f"an RSA key needs {_RSA_BITS[0]} to {_RSA_BITS[-1]} bits, this one has {modulus.bit_length()}")
    if not (modulus & exponent & 1 and 3 <= exponent < 2**64):
        raise Malformed("its RSA numbers are not those of a key")
    return modulus.to_bytes((modulus.bit_length() + 7) // 8), exponent, b""


def _with_application(read: Callable[[Wire], _Facts]) -> Callable[[Wire], _Facts]:
    """The same with the application that a FIDO2 key is bound to; with ssh-keygen it begins with "ssh:"."""

    def both(data: Wire) -> _Facts:
        point, exponent, _ = read(data)
        application = data.string()
        if not (application.startswith(b"ssh:") and application.isascii() and application.decode().isprintable()):
            raise Malformed('its application does not begin with "ssh:"')
        return point, exponent, application

    return both


def _sound(point: bytes) -> bool:
    """Whether 32 bytes are the one encoding of a point of edwards25519 (RFC 8032, section 5.1.3) of no small order.

    For a point of order 1, 2, 4 or 8 anybody can make signatures, and for one off the curve nobody.
    """
    y = int.from_bytes(point, "little") & (2**255 - 1)
    x_squared = (y * y - 1) * pow(_D * y * y + 1, -1, _PRIME) % _PRIME
    small = y == 0 or (x_squared + y * y) % _PRIME == 0  # order 4, and order 8: doubled, its y is 0
    # A square (Euler's criterion), and not 0 either: that is order 1 or 2.
    return y < _PRIME and not small and pow(x_squared, (_PRIME - 1) // 2, _PRIME) == 1


KINDS: dict[str, Callable[[Wire], _Facts]] = {
    "ssh-ed25519": _ed25519,
    "sk-ssh-ed25519@openssh.com": _with_application(_ed25519),
    "ecdsa-sha2-nistp256": _ecdsa,
    "sk-ecdsa-sha2-nistp256@openssh.com": _with_application(_ecdsa),
    "ssh-rsa": _rsa,
}
_WANTED = f"{', '.join(KINDS)} of {_RSA_BITS[0]} bits or more"
