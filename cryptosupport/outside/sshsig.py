"""Signatures as `ssh-keygen -Y sign` makes them and `ssh-keygen -Y verify` checks them: SSHSIG, in its armour.

Source: PROTOCOL.sshsig of OpenSSH, and PROTOCOL.u2f for what a FIDO2 token signs. To check one by hand, with the
message in `statement` and the signature in `statement.sig`:

    echo "alice ssh-ed25519 AAAA..." >allowed
    ssh-keygen -Y verify -f allowed -I alice -n cryptosupport -s statement.sig <statement

What is read here is read more strictly than OpenSSH does: one spelling of the armour's base64 and of every number, an
empty reserved field, and a token that was touched (`ssh-keygen -Y verify` takes one that was not, too). A signature is
still no identifier: ECDSA has two for each.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA512

from cryptosupport.domain.errors import BadInput, BadSettings
from cryptosupport.domain.identifiers import shortened
from cryptosupport.outside.sshkeys import Malformed, PublicKey, Wire, fingerprint, public_blob, wire

NAMESPACE = "cryptosupport"

_MAGIC = b"SSHSIG"
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_ARMOR = re.compile(rf"{_BEGIN}\n((?:[A-Za-z0-9+/=]{{1,76}}\n)+){_END}\n?")
_LONGEST_ARMOR = 16_384  # characters; one of RSA with 16,384 bits has 6,000
_HASHES = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}
_RSA_HASHES = {b"rsa-sha2-256": SHA256, b"rsa-sha2-512": SHA512}  # never ssh-rsa, which is SHA-1
_USER_PRESENT = 0x01


def fault(key: PublicKey, message: bytes, armored: str, namespace: str = NAMESPACE) -> str | None:
    """What is wrong with the ``armored`` signature of ``key`` over ``message``, in a sentence; None when it is good.

    Never raises, whatever the text holds.
    """
    try:
        blob = _unarmored(armored)
        if blob is None:
            return f'the signature is not armored: it must be the lines from "{_BEGIN}" to "{_END}", and nothing else'
        return _fault(key, message, blob, namespace.encode())
    except Malformed as error:
        return f"the signature is cut or damaged: {error}"


def sign(private: Ed25519PrivateKey, message: bytes) -> str:
    """Sign ``message`` in the namespace of this program; what `ssh-keygen -Y sign` prints for the same key."""
    space = NAMESPACE.encode()
    signature = wire(b"ssh-ed25519", private.sign(_signed(space, b"sha512", message)))
    blob = _MAGIC + (1).to_bytes(4) + wire(public_blob(private), space, b"", b"sha512", signature)
    text = base64.b64encode(blob).decode()
    return "\n".join([_BEGIN, *(text[at : at + 70] for at in range(0, len(text), 70)), _END, ""])


def sign_with_ssh_keygen(key_file: Path, message: bytes) -> str:
    """Have ssh-keygen sign ``message`` with a key file; a public one when an agent or a token holds the other half.

    It asks for a passphrase or a touch on the terminal; what it says goes to stderr as it is.
    Raises `BadSettings` when there is no ssh-keygen, `BadInput` when it does not sign with that file.
    """
    program = shutil.which("ssh-keygen")
    if program is None:
        raise BadSettings("ssh-keygen is not on PATH: install OpenSSH's client, or sign with a key of the keyring")
    shown = shortened(str(key_file))
    try:
        there = key_file.is_file()
    except OSError:
        there = False
    if not there:
        raise BadInput(f"no key file {shown} can be read: name the file of a private or a public OpenSSH key")
    command = [program, "-Y", "sign", "-n", NAMESPACE, "-f", str(key_file)]
    try:
        done = subprocess.run(command, input=message, stdout=subprocess.PIPE, check=False)
    except OSError as error:
        raise BadSettings(f"ssh-keygen cannot be run: {error.strerror}") from error
    if done.returncode != 0:
        raise BadInput(
            f"ssh-keygen did not sign with {shown} (exit {done.returncode}), and says why above: "
            "check the file, its passphrase, and that the agent or the token is there"
        )
    armored = done.stdout.decode("ascii", "replace")
    if not _ARMOR.fullmatch(armored):
        raise BadSettings("ssh-keygen printed no signature: OpenSSH 8.2 or later is needed")
    return armored


# -- the parts of one ------------------------------------------------------------------------------------------------


def _unarmored(armored: str) -> bytes | None:
    """The blob in the armour; None when it is not exactly one armour."""
    match = _ARMOR.fullmatch(armored) if len(armored) <= _LONGEST_ARMOR else None
    if match is None:
        return None
    text = match[1].replace("\n", "")
    try:
        blob = base64.b64decode(text, validate=True)
    except binascii.Error:
        blob = b""
    if base64.b64encode(blob).decode() != text:
        raise Malformed("its base64 is damaged")
    return blob


def _signed(namespace: bytes, algorithm: bytes, message: bytes) -> bytes:
    """What a key signs for ``message``: PROTOCOL.sshsig, section 3."""
    return _MAGIC + wire(namespace, b"", algorithm, _HASHES[algorithm](message).digest())


def _fault(key: PublicKey, message: bytes, blob: bytes, namespace: bytes) -> str | None:
    data = Wire(blob)
    if data.take(len(_MAGIC)) != _MAGIC or data.take(4) != b"\0\0\0\1":
        return "the signature is not of the format SSHSIG, version 1"
    signer, space, reserved, algorithm, signature = (data.string() for _ in range(5))
    data.end()
    if not space or space != namespace:
        return f'the signature is for the namespace "{_shown(space)}", not "{_shown(namespace)}"'
    if reserved:
        return "the signature says something in its reserved field, which is not signed"
    if algorithm not in _HASHES:
        return f'the signature is over the hash "{_shown(algorithm)}": only sha256 and sha512 are taken'
    if signer != key.blob:
        return f"the signature is by another key: {fingerprint(signer)}, not {key.fingerprint}"
    return _misfit(key, signature, _signed(namespace, algorithm, message))


def _misfit(key: PublicKey, signature: bytes, signed: bytes) -> str | None:
    """What is wrong with the innermost ``signature`` of ``key`` over the bytes ``signed``."""
    data = Wire(signature)
    scheme, value = data.string(), data.string()
    flags, counter = (data.take(1), data.take(4)) if key.token else (b"", b"")
    data.end()
    if scheme not in (_RSA_HASHES if key.kind == "ssh-rsa" else {key.kind.encode()}):
        return f'the signature is of the scheme "{_shown(scheme)}", which is not taken from a key {key.kind}'
    if key.token:
        if not flags[0] & _USER_PRESENT:
            return "the signature was made without a touch of the token: nobody was there"
        signed = hashlib.sha256(key.application).digest() + flags + counter + hashlib.sha256(signed).digest()
    try:
        _verify(key, scheme, value, signed)
    except InvalidSignature:
        return "the signature does not fit the message: sign exactly what is shown, with that key"
    return None


def _verify(key: PublicKey, scheme: bytes, value: bytes, signed: bytes) -> None:
    """Raises `InvalidSignature` or `Malformed`."""
    if key.kind == "ssh-rsa":
        if len(value) != len(key.material):
            raise Malformed(f"its value has {len(value)} bytes, the key {len(key.material)}")
        numbers = RSAPublicNumbers(key.exponent, int.from_bytes(key.material))
        numbers.public_key().verify(value, signed, PKCS1v15(), _RSA_HASHES[scheme]())
    elif len(key.material) == 32:
        if len(value) != 64:
            raise Malformed(f"its value has {len(value)} bytes, not 64")
        Ed25519PublicKey.from_public_bytes(key.material).verify(value, signed)
    else:
        pair = Wire(value)
        r, s = pair.number(), pair.number()
        pair.end()
        if max(r, s).bit_length() > 256:
            raise Malformed("a number in it is too large for its curve")
        point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), key.material)
        point.verify(encode_dss_signature(r, s), signed, ECDSA(SHA256()))


def _shown(data: bytes) -> str:
    return shortened(data.decode("ascii", "replace"))
