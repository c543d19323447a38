"""Signatures of operators: ssh-keygen and this program take each other's, and nothing that was bent in any way."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.domain.errors import BadInput, BadSettings, SupportError
from cryptosupport.outside.sshkeys import PublicKey, private_key, public_line
from cryptosupport.outside.sshsig import NAMESPACE, fault, sign, sign_with_ssh_keygen
from tests.outside.tokens import ECDSA_P256, ED25519, PRESENT, VERIFIED, Token, armor, mpint, strings

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "sshsig.json").read_text(encoding="utf-8")
)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = PublicKey.read(public_line(KEY))
MESSAGE = b'cryptosupport.statement/1\n{"approve":"w-1"}\n'
HEAD = b"SSHSIG\0\0\0\1"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
KINDS = ["ed25519", "ecdsa -b 256", "rsa -b 3072"]

needs_ssh_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")


@pytest.fixture(scope="module")
def key_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One key file of each kind that ssh-keygen makes without a token."""
    folder = tmp_path_factory.mktemp("keys")
    files = {kind: folder / f"-{kind.split()[0]} key" for kind in KINDS}
    for kind, file in files.items():
        subprocess.run(["ssh-keygen", "-q", "-t", *kind.split(), "-N", "", "-f", file], check=True)
    return files


def public(file: Path) -> PublicKey:
    return PublicKey.read(file.with_name(file.name + ".pub").read_text(encoding="utf-8"))


def blob_of(armored: str) -> bytes:
    return base64.b64decode("".join(armored.splitlines()[1:-1]))


def verified_by_ssh_keygen(line: str, message: bytes, armored: str, folder: Path) -> bool:
    """What `ssh-keygen -Y verify` says with a file of allowed signers."""
    (folder / "allowed").write_text(f'alice namespaces="{NAMESPACE}" {line}\n', encoding="utf-8")
    (folder / "sig").write_text(armored, encoding="utf-8")
    command = ["ssh-keygen", "-Y", "verify", "-f", "allowed", "-I", "alice", "-n", NAMESPACE, "-s", "sig"]
    done = subprocess.run(command, cwd=folder, input=message, capture_output=True, check=False)
    return done.returncode == 0


# -- good ones -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["name"])
def test_the_signatures_that_openssh_tests_itself_with_fit(vector: dict[str, str]) -> None:
    key, message = PublicKey.read(vector["public_key"]), VECTORS["message"].encode()
    assert fault(key, message, vector["signature"], VECTORS["namespace"]) is None
    assert "does not fit" in (fault(key, message + b"\n", vector["signature"], VECTORS["namespace"]) or "")
    assert 'namespace "unittest", not "cryptosupport"' in (fault(key, message, vector["signature"]) or "")


@needs_ssh_keygen
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("message", [b"", MESSAGE, bytes(range(256)) * 4096], ids=["empty", "short", "1 MiB"])
def test_what_ssh_keygen_signs_is_good_here(kind: str, message: bytes, key_files: dict[str, Path]) -> None:
    armored = sign_with_ssh_keygen(key_files[kind], message)
    assert fault(public(key_files[kind]), message, armored) is None
    assert "does not fit" in (fault(public(key_files[kind]), message + b"\0", armored) or "")


@needs_ssh_keygen
@pytest.mark.parametrize("kind", KINDS)
def test_the_shorter_hash_of_ssh_keygen_is_good_too(kind: str, key_files: dict[str, Path]) -> None:
    command = ["ssh-keygen", "-Y", "sign", "-n", NAMESPACE, "-O", "hashalg=sha256", "-f", key_files[kind]]
    done = subprocess.run(command, input=MESSAGE, capture_output=True, check=True)
    assert b"sha256" in blob_of(done.stdout.decode())
    assert fault(public(key_files[kind]), MESSAGE, done.stdout.decode()) is None


@needs_ssh_keygen
def test_what_is_signed_here_is_good_for_ssh_keygen_and_the_same_to_the_byte(tmp_path: Path) -> None:
    file = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    private = private_key(file.read_text(encoding="utf-8"))
    armored = sign(private, MESSAGE)
    assert verified_by_ssh_keygen(public_line(private), MESSAGE, armored, tmp_path)
    assert not verified_by_ssh_keygen(public_line(private), MESSAGE + b"\0", armored, tmp_path)
    assert armored == sign_with_ssh_keygen(file, MESSAGE)
    assert fault(public(file), MESSAGE, armored) is None


@needs_ssh_keygen
@pytest.mark.parametrize("kind", [ED25519, ECDSA_P256])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_what_a_token_signs_is_good_here_and_for_ssh_keygen(kind: str, algorithm: str, tmp_path: Path) -> None:
    for flags in (PRESENT, PRESENT | VERIFIED):
        token = Token.of(kind, flags, b"ssh:desk")
        armored = token.sign(MESSAGE, algorithm=algorithm)
        assert fault(PublicKey.read(token.line), MESSAGE, armored) is None
        assert verified_by_ssh_keygen(token.line, MESSAGE, armored, tmp_path)


@pytest.mark.parametrize("change", [lambda text: text, str.rstrip])
def test_the_last_line_may_lack_its_end(change: Any) -> None:
    assert fault(PUBLIC, MESSAGE, change(sign(KEY, MESSAGE))) is None


@given(st.binary())
def test_every_message_that_is_signed_is_good(message: bytes) -> None:
    assert fault(PUBLIC, message, sign(KEY, message)) is None


# -- bad ones --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ED25519, ECDSA_P256])
@pytest.mark.parametrize("flags", [0, VERIFIED, 0xFE])
def test_a_token_that_nobody_touched_signs_nothing(kind: str, flags: int) -> None:
    """ssh-keygen -Y verify takes these: it leaves the touch to who calls it."""
    token = Token.of(kind, flags)
    key = PublicKey.read(token.line)
    assert "without a touch" in (fault(key, MESSAGE, token.sign(MESSAGE)) or "")
    assert fault(key, MESSAGE, replace(token, flags=flags | PRESENT).sign(MESSAGE)) is None


@pytest.mark.parametrize("kind", [ED25519, ECDSA_P256])
def test_flags_counter_and_application_of_a_token_are_signed(kind: str) -> None:
    token = Token.of(kind)
    key, blob = PublicKey.read(token.line), blob_of(token.sign(MESSAGE))
    said = bytes([PRESENT]) + token.counter.to_bytes(4, "big")
    assert blob.endswith(said)
    for other in (bytes([PRESENT | VERIFIED]) + said[1:], said[:4] + b"\x08"):
        assert "does not fit" in (fault(key, MESSAGE, armor(blob[:-5] + other)) or "")
    elsewhere = replace(token, application=b"ssh:elsewhere")
    assert "by another key" in (fault(key, MESSAGE, elsewhere.sign(MESSAGE)) or "")
    stolen = blob_of(elsewhere.sign(MESSAGE)).replace(strings(elsewhere.blob), strings(token.blob))
    assert "does not fit" in (fault(key, MESSAGE, armor(stolen)) or "")


def test_a_token_and_a_plain_key_with_the_same_point_do_not_stand_for_each_other() -> None:
    token = Token(KEY)
    assert "by another key" in (fault(PUBLIC, MESSAGE, token.sign(MESSAGE)) or "")
    assert "by another key" in (fault(PublicKey.read(token.line), MESSAGE, sign(KEY, MESSAGE)) or "")
    assert "by another key" in (fault(PublicKey.read(token.line), MESSAGE, made(key=PUBLIC.blob)) or "")


def test_another_key_is_told_by_both_fingerprints() -> None:
    other = Ed25519PrivateKey.generate()
    key = PublicKey.read(public_line(other))
    told = fault(key, MESSAGE, sign(KEY, MESSAGE))
    assert told == f"the signature is by another key: {PUBLIC.fingerprint}, not {key.fingerprint}"
    assert "does not fit" in (fault(key, MESSAGE, made(key=key.blob)) or "")


def made(
    head: bytes = HEAD,
    key: bytes = PUBLIC.blob,
    space: bytes = b"cryptosupport",
    reserved: bytes = b"",
    algorithm: bytes = b"sha512",
    scheme: bytes = b"ssh-ed25519",
    tail: bytes = b"",
    inner_tail: bytes = b"",
) -> str:
    """A signature of KEY over MESSAGE in which something is another way, and which fits what it says of itself."""
    name = algorithm.decode() if algorithm in (b"sha1", b"sha256", b"sha384", b"md5") else "sha512"
    signed = b"SSHSIG" + strings(space, reserved, algorithm, hashlib.new(name, MESSAGE).digest())
    inner = strings(scheme, KEY.sign(signed)) + inner_tail
    return armor(head + strings(key, space, reserved, algorithm, inner) + tail)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"head": b"SSHSIG\0\0\0\2"}, "not of the format SSHSIG, version 1"),
        ({"head": b"SSHSIG\0\0\0\0"}, "not of the format SSHSIG, version 1"),
        ({"head": b"sshsig\0\0\0\1"}, "not of the format SSHSIG, version 1"),
        ({"space": b"git"}, 'for the namespace "git", not "cryptosupport"'),
        ({"space": b""}, 'for the namespace "", not "cryptosupport"'),
        ({"space": b"cryptosupport\0"}, 'for the namespace "cryptosupport?", not'),
        ({"space": b"\x1b[31m" + b"x" * 99}, 'for the namespace "?[31mxx'),
        ({"reserved": b"x"}, "reserved field"),
        ({"algorithm": b"sha1"}, 'over the hash "sha1": only sha256 and sha512'),
        ({"algorithm": b"md5"}, 'over the hash "md5"'),
        ({"algorithm": b"sha384"}, 'over the hash "sha384"'),
        ({"algorithm": b"SHA512"}, 'over the hash "SHA512"'),
        ({"algorithm": b""}, 'over the hash ""'),
        ({"key": b""}, "by another key"),
        ({"key": PUBLIC.blob + b"\0"}, "by another key"),
        ({"scheme": b"ssh-rsa"}, 'of the scheme "ssh-rsa", which is not taken from a key ssh-ed25519'),
        ({"scheme": ED25519.encode()}, "of the scheme"),
        ({"tail": b"\0"}, "1 bytes follow its end"),
        ({"inner_tail": b"\0" * 5}, "5 bytes follow its end"),
    ],
    ids=str,
)
def test_what_is_not_exactly_such_a_signature_is_told_by_what_it_is(changed: dict[str, bytes], why: str) -> None:
    assert fault(PUBLIC, MESSAGE, made()) is None
    assert why in (fault(PUBLIC, MESSAGE, made(**changed)) or "")


def test_an_empty_namespace_is_never_good() -> None:
    assert "namespace" in (fault(PUBLIC, MESSAGE, made(space=b""), "") or "")


GOOD = sign(KEY, MESSAGE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n" + GOOD,
        " " + GOOD,
        GOOD + "\n",
        GOOD + "x",
        GOOD + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\n\n"),
        GOOD.replace("\n", ""),
        GOOD.replace("SSH SIGNATURE", "SSH  SIGNATURE"),
        GOOD.replace("SSH SIGNATURE", "PGP SIGNATURE"),
        GOOD.replace("\nU1NI", "\nHash: x\n\nU1NI"),
        GOOD.replace("\nU1NI", "\n\ud800U1NI"),
        GOOD.replace("\nU1NI", "\nÜ1NI"),
        blob_of(GOOD).hex(),
        "-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n",
        armor(b"\0" * 20_000),
    ],
    ids=range(17),
)
def test_what_is_not_exactly_one_armour_is_refused(text: str) -> None:
    assert "is not armored" in (fault(PUBLIC, MESSAGE, text) or "")


def test_base64_has_one_spelling() -> None:
    vector = VECTORS["vectors"][0]
    head, *lines, foot = vector["signature"].splitlines()
    body = "".join(lines)
    assert body.endswith("g=")
    for other in (body.rstrip("="), body + "=", body + "====", "=" + body, body[:-2] + chr(ord(body[-2]) + 1) + "="):
        lines = [other[at : at + 70] for at in range(0, len(other), 70)]
        bent = "\n".join([head, *lines, foot, ""])
        assert "base64" in (fault(PublicKey.read(vector["public_key"]), MESSAGE, bent) or "")


def samples() -> Iterator[tuple[PublicKey, str]]:
    """A good signature of each kind of key."""
    yield PUBLIC, GOOD
    for kind in (ED25519, ECDSA_P256):
        token = Token.of(kind)
        yield PublicKey.read(token.line), token.sign(MESSAGE)
    yield curve_signed()
    yield rsa_signed(b"rsa-sha2-512", SHA512())


def curve_signed(bend: Any = lambda r, s: mpint(r) + mpint(s)) -> tuple[PublicKey, str]:
    """A signature on nistp256, whose two numbers are written by ``bend``."""
    private = derive_private_key(7, SECP256R1())
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    kind = b"ecdsa-sha2-nistp256"
    blob = strings(kind, b"nistp256", point)
    signed = b"SSHSIG" + strings(b"cryptosupport", b"", b"sha512", hashlib.sha512(MESSAGE).digest())
    value = bend(*decode_dss_signature(private.sign(signed, ECDSA(SHA256()))))
    key = PublicKey.read(f"{kind.decode()} {base64.b64encode(blob).decode()}")
    return key, armor(HEAD + strings(blob, b"cryptosupport", b"", b"sha512", strings(kind, value)))


RSA = generate_private_key(65537, 3072)


def rsa_signed(scheme: bytes, algorithm: HashAlgorithm, short: int = 0) -> tuple[PublicKey, str]:
    """A signature of RSA; of its value ``short`` bytes in front are left out."""
    numbers = RSA.public_key().public_numbers()
    blob = strings(b"ssh-rsa") + mpint(numbers.e) + mpint(numbers.n)
    signed = b"SSHSIG" + strings(b"cryptosupport", b"", b"sha512", hashlib.sha512(MESSAGE).digest())
    inner = strings(scheme, RSA.sign(signed, PKCS1v15(), algorithm)[short:])
    key = PublicKey.read(f"ssh-rsa {base64.b64encode(blob).decode()}")
    return key, armor(HEAD + strings(blob, b"cryptosupport", b"", b"sha512", inner))


def test_cut_after_any_byte_none_is_good() -> None:
    for key, armored in samples():
        blob = blob_of(armored)
        assert fault(key, MESSAGE, armored) is None
        assert all(fault(key, MESSAGE, armor(blob[:end])) for end in range(len(blob)))
        assert all(fault(key, MESSAGE, armor(blob[start:])) for start in range(1, len(blob)))
        # Without its last character, the end of the last line, it is still whole.
        assert all(fault(key, MESSAGE, armored[:end]) for end in range(len(armored) - 1))


def test_with_any_byte_bent_none_is_good() -> None:
    for key, armored in samples():
        blob, text = blob_of(armored), armored.encode()
        for at in range(len(blob)):
            for bits in (0x01, 0x80, 0xFF):
                bent = blob[:at] + bytes([blob[at] ^ bits]) + blob[at + 1 :]
                assert fault(key, MESSAGE, armor(bent)) is not None, (key.kind, at, bits)
        for at in range(len(text)):
            for bits in (0x01, 0x20, 0x40):
                bent = text[:at] + bytes([text[at] ^ bits]) + text[at + 1 :]
                assert fault(key, MESSAGE, bent.decode("latin-1")) is not None, (key.kind, at, bits)


def test_with_a_byte_more_anywhere_none_is_good() -> None:
    for key, armored in samples():
        blob = blob_of(armored)
        for at in range(len(blob) + 1):
            assert fault(key, MESSAGE, armor(blob[:at] + b"\0" + blob[at:])) is not None, (key.kind, at)


@pytest.mark.parametrize(
    "bend",
    [
        lambda r, s: strings(b"\0" + r.to_bytes(33, "big"), s.to_bytes(33, "big")),
        lambda r, s: strings(r.to_bytes(34, "big")) + mpint(s),
        lambda r, s: strings(b"") + mpint(s),
        lambda r, s: mpint(r) + strings(b"\0"),
        lambda r, s: mpint(r) + strings((s - (1 << 256)).to_bytes(33, "big", signed=True)),
        lambda r, s: mpint(r + ORDER) + mpint(s),
        lambda r, s: mpint(r) + mpint(s + ORDER),
        lambda r, s: mpint(r) + mpint(s + (ORDER << 4000)),
        lambda r, s: mpint(ORDER) + mpint(ORDER),
        lambda r, s: mpint(r) + mpint(s) + b"\0",
        lambda r, s: mpint(s) + mpint(r),
        lambda r, s: mpint(r),
    ],
    ids=range(12),
)
def test_the_two_numbers_of_a_curve_have_one_spelling(bend: Any) -> None:
    key, armored = curve_signed(bend)
    assert fault(key, MESSAGE, armored) is not None


@pytest.mark.parametrize(
    ("scheme", "algorithm", "good"),
    [
        (b"rsa-sha2-512", SHA512(), True),
        (b"rsa-sha2-256", SHA256(), True),
        (b"rsa-sha2-256", SHA512(), False),
        (b"rsa-sha2-512", SHA1(), False),
        (b"ssh-rsa", SHA1(), False),
        (b"ssh-rsa", SHA512(), False),
        (b"ssh-ed25519", SHA512(), False),
    ],
)
def test_rsa_is_taken_with_sha2_and_never_with_sha1(scheme: bytes, algorithm: HashAlgorithm, good: bool) -> None:
    key, armored = rsa_signed(scheme, algorithm)
    assert (fault(key, MESSAGE, armored) is None) == good
    key, armored = rsa_signed(scheme, algorithm, short=1)
    assert fault(key, MESSAGE, armored) is not None


@given(st.text(), st.binary(max_size=400))
def test_no_text_and_no_bytes_in_the_armour_raise_or_are_good(text: str, blob: bytes) -> None:
    frame = "-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n"
    blobs = (blob, HEAD + blob, HEAD + strings(PUBLIC.blob) + blob)
    for armored in (text, frame.format(text), *map(armor, blobs)):
        assert fault(PUBLIC, MESSAGE, armored) is not None


@given(st.lists(st.binary(max_size=90), min_size=1, max_size=7), st.sampled_from([ED25519, ECDSA_P256]))
def test_no_strings_in_the_innermost_signature_raise_or_are_good(parts: list[bytes], kind: str) -> None:
    for key in (PUBLIC, PublicKey.read(Token.of(kind).line), PublicKey.read(Token(KEY).line)):
        for inner in (strings(*parts), strings(key.kind.encode(), *parts), strings(key.kind.encode(), strings(*parts))):
            blob = HEAD + strings(key.blob, b"cryptosupport", b"", b"sha512", inner + b"\1\0\0\0\0" * key.token)
            assert fault(key, MESSAGE, armor(blob)) is not None


# -- ssh-keygen at work ----------------------------------------------------------------------------------------------


@needs_ssh_keygen
def test_without_a_usable_file_or_program_it_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    for nothing in (tmp_path / "none", tmp_path, Path("x\0y"), Path("x" * 5000)):
        with pytest.raises(BadInput, match="no key file"):
            sign_with_ssh_keygen(nothing, MESSAGE)
    (tmp_path / "alone.pub").write_text(public_line(KEY), encoding="utf-8")
    (tmp_path / "text").write_text("no key", encoding="utf-8")
    capfd.readouterr()
    for name in ("alone.pub", "text"):
        with pytest.raises(BadInput, match=r"did not sign with .* \(exit 255\)"):
            sign_with_ssh_keygen(tmp_path / name, MESSAGE)
        assert capfd.readouterr().err  # ssh-keygen's own words
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadSettings, match="ssh-keygen is not on PATH"):
        sign_with_ssh_keygen(tmp_path / "text", MESSAGE)


@pytest.mark.parametrize("script", ["exit 0", "echo hello", "#!/none", "printf '\\377'"])
def test_a_program_that_prints_no_signature_is_told(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = script if script.startswith("#!") else f"#!/bin/sh\n{script}"
    (tmp_path / "ssh-keygen").write_text(f"{first}\n", encoding="utf-8")
    (tmp_path / "ssh-keygen").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SupportError, match=r"printed no signature|cannot be run") as caught:
        sign_with_ssh_keygen(tmp_path / "ssh-keygen", MESSAGE * 10_000)
    assert caught.value.exit_code == BadSettings.exit_code


@pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="ssh-agent is not installed")
def test_a_public_key_is_enough_when_an_agent_holds_the_private_half(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    with tempfile.TemporaryDirectory() as folder:  # the name of a socket has to be short
        command = ["ssh-agent", "-a", f"{folder}/agent", sys.executable, "-c", AGENT, str(tmp_path / "key")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not (tmp_path / "key").exists()
    assert fault(public(tmp_path / "key"), MESSAGE, done.stdout) is None, done.stderr


SIGN = f"""
import sys
from pathlib import Path
from cryptosupport.outside.sshsig import sign_with_ssh_keygen
sys.stdout.write(sign_with_ssh_keygen(Path(sys.argv[1]), {MESSAGE!r}))
"""
AGENT = (
    """
import os, subprocess, sys
subprocess.run(["ssh-add", "-q", sys.argv[1]], check=True)
os.unlink(sys.argv[1])
sys.argv[1] += ".pub"
"""
    + SIGN
)
AT_A_TERMINAL = "import os; os.open(os.ttyname(0), os.O_RDWR)\n" + SIGN  # who leads a session gets the terminal so


@needs_ssh_keygen
def test_the_passphrase_is_asked_at_the_terminal_while_the_message_comes_by_stdin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SSH_AUTH_SOCK", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "open sesame", "-f", tmp_path / "key"], check=True)
    user, terminal = os.openpty()
    command = [sys.executable, "-c", AT_A_TERMINAL, str(tmp_path / "key")]
    with subprocess.Popen(
        command, stdin=terminal, stderr=terminal, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        os.close(terminal)
        seen = b""
        while b"passphrase" not in seen:
            seen += os.read(user, 1000)
        os.write(user, b"open sesame\n")
        printed, _ = process.communicate(timeout=60)
    os.close(user)
    assert fault(public(tmp_path / "key"), MESSAGE, printed.decode()) is None
