"""Keys as OpenSSH writes them: what is read, under which one name, and that nothing refused is ever shown."""

from __future__ import annotations

import base64
import contextlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.domain.errors import BadSettings
from cryptosupport.outside.sshkeys import PublicKey, private_key, public_line
from tests.outside.tokens import ECDSA_P256, ED25519, Token, mpint, strings

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
POINT = KEY.public_key().public_bytes_raw()
LINE = public_line(KEY)
UNCOMPRESSED = (Encoding.X962, PublicFormat.UncompressedPoint)
CURVE_POINT = derive_private_key(7, SECP256R1()).public_key().public_bytes(*UNCOMPRESSED)
WIDE_POINT = derive_private_key(7, SECP384R1()).public_key().public_bytes(*UNCOMPRESSED)
MODULUS = (1 << 3071) + 12345
PRIME = 2**255 - 19

needs_ssh_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")


def line(kind: str, *parts: bytes, outer: str = "", tail: bytes = b"") -> str:
    return f"{outer or kind} {base64.b64encode(strings(kind.encode(), *parts) + tail).decode()}"


def rsa(exponent: bytes, modulus: bytes) -> str:
    blob = strings(b"ssh-rsa") + exponent + modulus
    return f"ssh-rsa {base64.b64encode(blob).decode()}"


def openssh(private: Ed25519PrivateKey) -> str:
    return private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def pkcs8(private: Ed25519PrivateKey) -> str:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def told(error: BadSettings) -> str:
    """Everything that a careless print of an error could show."""
    return f"{error} {error.facts} {error.__cause__} {error.__context__}"


# -- public halves ---------------------------------------------------------------------------------------------------


@needs_ssh_keygen
@pytest.mark.parametrize("options", ["ed25519", "ecdsa -b 256", "rsa -b 3072", "rsa -b 4096"])
def test_a_key_of_ssh_keygen_is_read_and_has_the_fingerprint_that_it_shows(options: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", *options.split(), "-N", "", "-C", "alice at", "-f", file], check=True)
    text = (tmp_path / "key.pub").read_text(encoding="utf-8")
    shown = subprocess.run(["ssh-keygen", "-l", "-f", file], capture_output=True, text=True, check=True).stdout
    key = PublicKey.read(text)
    assert key.fingerprint == shown.split()[1]
    assert key.line == " ".join(text.split()[:2])
    assert key.kind == text.split()[0]
    assert not key.token


@needs_ssh_keygen
@pytest.mark.parametrize("kind", [ED25519, ECDSA_P256])
def test_a_key_of_a_token_is_read_and_has_the_fingerprint_that_ssh_keygen_shows(kind: str, tmp_path: Path) -> None:
    token = Token.of(kind, application=b"ssh:desk")
    (tmp_path / "key.pub").write_text(f"{token.line} token\n", encoding="utf-8")
    command = ["ssh-keygen", "-l", "-f", tmp_path / "key.pub"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    key = PublicKey.read(f"{token.line} token\n")
    assert (key.kind, key.line, key.application, key.token) == (kind, token.line, b"ssh:desk", True)
    assert key.fingerprint == shown.split()[1]


@pytest.mark.parametrize("text", [LINE, f"{LINE} a@desk", f"{LINE}\n", f"{LINE} a\r\n", LINE.replace(" ", "\t ")])
def test_a_key_has_one_line_whatever_is_written_around_it(text: str) -> None:
    assert PublicKey.read(text) == PublicKey.read(LINE)
    assert PublicKey.read(text).line == LINE
    assert len({PublicKey.read(text), PublicKey.read(LINE)}) == 1


@pytest.mark.parametrize(
    ("plain", "kind", "point"),
    [
        (LINE, ED25519, (POINT,)),
        (line("ecdsa-sha2-nistp256", b"nistp256", CURVE_POINT), ECDSA_P256, (b"nistp256", CURVE_POINT)),
    ],
)
def test_one_key_under_two_names_or_applications_is_found(plain: str, kind: str, point: tuple[bytes, ...]) -> None:
    keys = [plain, line(kind, *point, b"ssh:"), line(kind, *point, b"ssh:desk")]
    read = [PublicKey.read(text) for text in keys]
    assert len({key.line for key in read}) == len(set(read)) == 3
    assert all(one.same_key_as(other) for one in read for other in read)
    assert not read[0].same_key_as(PublicKey.read(Token.of(kind).line))


def test_one_modulus_under_two_exponents_is_one_key() -> None:
    one, other = (PublicKey.read(rsa(mpint(exponent), mpint(MODULUS))) for exponent in (3, 65537))
    assert one != other
    assert one.same_key_as(other)


OTHERS: dict[str, str] = {
    "empty": "",
    "only a kind": "ssh-ed25519",
    "no kind": LINE.split()[1],
    "blank in front": " " + LINE,
    "options in front": f"cert-authority {LINE}",
    "quoted options in front": f'command="x" {LINE}',
    "two lines": f"{LINE}\n{LINE}\n",
    "very long": f"{LINE} {'x' * 20_000}",
    "base64 of another length": LINE[:-1],
    "base64 with a blank": f"{LINE[:40]} {LINE[40:]}",
    "base64 with left-over bits": line(ED25519, POINT, b"ssh:").removesuffix("o=") + "p=",
    "padding in the middle": LINE[:40] + "=" + LINE[41:],
    "not ASCII": LINE[:-1] + "é",
    "surrogate": LINE[:-1] + "\ud800",
    "another name in front": line("ssh-ed25519", POINT, outer="ecdsa-sha2-nistp256"),
    "another name inside": line("ssh-ed25518", POINT, outer="ssh-ed25519"),
    "another name inside, of a token": line("sk-ssh-ed25519", POINT, b"ssh:", outer=ED25519),
    "a token's key under a plain name": line(ED25519, POINT, b"ssh:", outer="ssh-ed25519"),
    "a plain key under a token's name": line("ssh-ed25519", POINT, outer=ED25519),
    "trailing byte": line("ssh-ed25519", POINT, tail=b"\0"),
    "trailing string": line("ssh-ed25519", POINT, b""),
    "token with a trailing byte": line(ED25519, POINT, b"ssh:", tail=b"\0"),
    "token without an application": line(ED25519, POINT),
    "token with an empty application": line(ED25519, POINT, b""),
    "token with another application": line(ED25519, POINT, b"https://example.com"),
    "token with a zero in its application": line(ED25519, POINT, b"ssh:\0"),
    "token with an application that is not ASCII": line(ED25519, POINT, "ssh:é".encode()),
    "point of 31 bytes": line("ssh-ed25519", POINT[:31]),
    "point of 33 bytes": line("ssh-ed25519", POINT + b"\0"),
    "point off the curve": line("ssh-ed25519", (2).to_bytes(32, "little")),
    "curve point of 33 bytes": line("ecdsa-sha2-nistp256", b"nistp256", b"\2" + CURVE_POINT[1:33]),
    "curve point off the curve": line("ecdsa-sha2-nistp256", b"nistp256", CURVE_POINT[:-1] + b"\0"),
    "curve point at infinity": line("ecdsa-sha2-nistp256", b"nistp256", b"\0"),
    "false curve name": line("ecdsa-sha2-nistp256", b"nistp384", CURVE_POINT),
    "another curve": line("ecdsa-sha2-nistp384", b"nistp384", WIDE_POINT),
    "DSA": line("ssh-dss", b"\1", b"\1", b"\1", b"\1"),
    "certificate": line("ssh-ed25519-cert-v01@openssh.com", b"n" * 32, POINT),
    "RSA of 2048 bits": rsa(mpint(65537), mpint((1 << 2047) + 1)),
    "RSA of 3071 bits": rsa(mpint(65537), mpint((1 << 3070) + 1)),
    "RSA of 16385 bits": rsa(mpint(65537), mpint((1 << 16384) + 1)),
    "RSA with an even modulus": rsa(mpint(65537), mpint(MODULUS - 1)),
    "RSA with an even exponent": rsa(mpint(65536), mpint(MODULUS)),
    "RSA with exponent 1": rsa(mpint(1), mpint(MODULUS)),
    "RSA with a vast exponent": rsa(mpint((1 << 64) + 1), mpint(MODULUS)),
    "RSA with a negative exponent": rsa(strings(b"\x81"), mpint(MODULUS)),
    "RSA with a padded exponent": rsa(strings(b"\0\1\0\1"), mpint(MODULUS)),
    "RSA with a zero exponent": rsa(strings(b""), mpint(MODULUS)),
    "RSA with a negative modulus": rsa(mpint(65537), strings(MODULUS.to_bytes(384, "big"))),
    "64 hex digits": POINT.hex(),
}


@pytest.mark.parametrize("text", OTHERS.values(), ids=list(OTHERS))
def test_whatever_else_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(BadSettings, match=r"^this is no public key that can be used: ") as caught:
        PublicKey.read(text)
    assert not [word for word in text.split() if len(word) > 40 and word in told(caught.value)]


def test_why_a_key_is_refused_is_told_with_its_numbers() -> None:
    with pytest.raises(BadSettings, match="its base64 is damaged"):
        PublicKey.read(OTHERS["base64 with left-over bits"])
    with pytest.raises(BadSettings, match=r"needs 3072 to 16384 bits, this one has 2048\."):
        PublicKey.read(OTHERS["RSA of 2048 bits"])
    with pytest.raises(BadSettings, match=r"no DSA, no certificates.*sk-ssh-ed25519@openssh\.com"):
        PublicKey.read(OTHERS["certificate"])


@pytest.mark.parametrize("sign", [0, 1 << 255])
def test_a_point_of_small_order_or_with_a_second_spelling_is_no_key(sign: int) -> None:
    """With such a point signatures can be made by anybody. The two of order 8 are the roots of their own polynomial."""
    d = -121665 * pow(121666, -1, PRIME) % PRIME
    root = square_root((1 + d) % PRIME)  # of order 8 is y with d*y^4 + 2*y^2 - 1 = 0: x^2 = -y^2 on the curve
    squared = [(-1 + each) * pow(d, -1, PRIME) % PRIME for each in (root, PRIME - root)]
    eight = [each for each in map(square_root, squared) if each]
    assert len(eight) == 1  # of the two roots one is no square
    assert (d * eight[0] ** 4 + 2 * eight[0] ** 2 - 1) % PRIME == 0
    for y in (0, 1, PRIME - 1, PRIME, PRIME + 1, PRIME + 2, PRIME + 18, eight[0], PRIME - eight[0]):
        with pytest.raises(BadSettings, match="point"):
            PublicKey.read(line("ssh-ed25519", (y | sign).to_bytes(32, "little")))


def square_root(square: int) -> int:
    """Modulo the prime of Ed25519 (RFC 8032, section 5.1.3); 0 when there is none."""
    root = pow(square, (PRIME + 3) // 8, PRIME)
    for each in (root, root * pow(2, (PRIME - 1) // 4, PRIME) % PRIME):
        if each * each % PRIME == square:
            return each
    return 0


@given(st.binary(min_size=32, max_size=32))
def test_the_public_half_of_every_private_key_is_read(seed: bytes) -> None:
    text = public_line(Ed25519PrivateKey.from_private_bytes(seed))
    assert PublicKey.read(text).line == text


@given(st.text() | st.binary().map(lambda raw: line("ssh-ed25519", raw)) | st.binary().map(lambda raw: rsa(raw, b"")))
def test_no_text_raises_anything_else(text: str) -> None:
    with contextlib.suppress(BadSettings):
        assert PublicKey.read(text).line == " ".join(text.split()[:2])


# -- private halves --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        lambda key: key.private_bytes_raw().hex(),
        lambda key: key.private_bytes_raw().hex().upper() + "\n",
        openssh,
        lambda key: openssh(key).strip(),
        lambda key: "\n" + openssh(key).replace("\n", "\r\n"),
        pkcs8,
        lambda key: pkcs8(key).strip(),
    ],
)
def test_a_private_key_is_read_as_hex_or_pem(written: Callable[[Ed25519PrivateKey], str]) -> None:
    key = private_key(written(KEY))
    assert key.private_bytes_raw() == KEY.private_bytes_raw()
    assert public_line(key) == LINE


@needs_ssh_keygen
def test_a_private_key_of_ssh_keygen_is_read(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    public = (tmp_path / "key.pub").read_text(encoding="utf-8")
    assert public_line(private_key((tmp_path / "key").read_text(encoding="utf-8"))) == PublicKey.read(public).line


def unusable() -> dict[str, str]:
    """Secrets that are none, or not this one."""
    curve = derive_private_key(7, SECP256R1())
    locked = BestAvailableEncryption(b"phrase")
    return {
        "empty": "",
        "63 digits": KEY.private_bytes_raw().hex()[1:],
        "66 digits": "0x" + KEY.private_bytes_raw().hex(),
        "128 digits": KEY.private_bytes_raw().hex() * 2,
        "digits of another script": "\u0661" * 64,
        "curve, PKCS8": curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "curve, OpenSSH": curve.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode(),
        "locked, PKCS8": KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked).decode(),
        "cut, PKCS8": pkcs8(KEY)[:60] + "\n-----END PRIVATE KEY-----\n",
        "cut, OpenSSH": openssh(KEY)[:200] + "\n-----END OPENSSH PRIVATE KEY-----\n",
        "surrogate": "-----BEGIN PRIVATE KEY-----\n\ud800",
        "public": LINE,
        "header only": "-----BEGIN OPENSSH PRIVATE KEY-----",
        "mnemonic": "abandon " * 11 + "about",
    }


@pytest.mark.parametrize("kind", unusable())
def test_a_secret_that_is_no_such_key_is_refused_and_never_shown(kind: str) -> None:
    text = unusable()[kind]
    with pytest.raises(BadSettings, match=r"^the keyring's secret is no Ed25519 private key") as caught:
        private_key(text)
    assert not [word for word in text.replace("-----", " ").split() if len(word) > 11 and word in told(caught.value)]


@needs_ssh_keygen
def test_a_key_with_a_passphrase_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="passphrase"):
        private_key(unusable()["locked, PKCS8"])
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "phrase", "-f", tmp_path / "key"], check=True)
    with pytest.raises(BadSettings, match=r"passphrase|locked"):
        private_key((tmp_path / "key").read_text(encoding="utf-8"))


@given(st.text())
def test_no_secret_raises_anything_else(text: str) -> None:
    for secret in (text, "-----BEGIN OPENSSH PRIVATE KEY-----\n" + text, "-----BEGIN PRIVATE KEY-----\n" + text):
        with pytest.raises(BadSettings):
            private_key(secret)
