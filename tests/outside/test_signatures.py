"""The backend's signatures: published vectors, keys as OpenSSH and openssl write them, and everything that is wrong."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cryptosupport.chains.evm.codec import parse_address
from cryptosupport.domain.errors import BadInput, BadSettings
from cryptosupport.domain.money import Asset
from cryptosupport.domain.requestlines import json_fields
from cryptosupport.domain.requests import SIGNED, Intake, read_request, signed_bytes
from cryptosupport.domain.withdrawals import Request, Signature
from cryptosupport.outside.signatures import Verifier

VECTORS: list[dict[str, str]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "ed25519.json").read_text(encoding="utf-8")
)["vectors"]
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LINE = KEY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
HEX = KEY.public_key().public_bytes_raw().hex()
FIELDS = {
    "request_id": "w-1",
    "customer": "c-7",
    "asset": "ETH",
    "chain": "ethereum",
    "amount": "1.50",
    "destination": "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
}


def signature(data: bytes, key: Ed25519PrivateKey = KEY, name: str = "backend") -> Signature:
    return Signature(name, base64.b64encode(key.sign(data)).decode())


def read(fields: dict[str, Any], verifier: Verifier) -> Request:
    intake = Intake(
        {"ethereum": {"ETH": Asset("ETH", 18)}}, lambda chain, text: parse_address(text), (), verifier.fault, True
    )
    return read_request(fields, intake)


# -- good ones -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_signatures_of_rfc_8032_fit_and_no_other_bit_does(vector: dict[str, str]) -> None:
    verifier = Verifier({"rfc": vector["public_key"]})
    message, value = bytes.fromhex(vector["message"]), bytes.fromhex(vector["signature"])
    assert verifier.fault(Signature("rfc", base64.b64encode(value).decode()), message) is None
    for bit in (0, 255, 256, 511):
        flipped = (int.from_bytes(value) ^ (1 << bit)).to_bytes(64)
        assert verifier.fault(Signature("rfc", base64.b64encode(flipped).decode()), message) is not None
    assert verifier.fault(Signature("rfc", base64.b64encode(value).decode()), message + b"\0") is not None


@pytest.mark.parametrize("text", [LINE, f"{LINE} backend@example.com", HEX, HEX.upper()])
def test_a_key_is_written_as_openssh_does_or_as_64_hex_digits(text: str) -> None:
    assert Verifier({"backend": text}).fault(signature(b"data"), b"data") is None


def test_each_key_is_known_by_its_name_only() -> None:
    other = Ed25519PrivateKey.generate()
    verifier = Verifier({"backend": HEX, "other": other.public_key().public_bytes_raw().hex()})
    assert verifier.fault(signature(b"data", other, "other"), b"data") is None
    assert "does not fit" in (verifier.fault(signature(b"data", other, "backend"), b"data") or "")


def test_a_signed_request_is_read_and_can_be_checked_again_later() -> None:
    verifier = Verifier({"backend": LINE})
    made = signature(signed_bytes(FIELDS))
    request = read({**FIELDS, "signature": {"key": made.key, "value": made.value}}, verifier)
    assert request.signature is not None
    assert verifier.fault(request.signature, request.signed) is None
    stored = {**json_fields(request.signed.removeprefix(SIGNED)), "signature": {"key": made.key, "value": made.value}}
    assert read(stored, verifier).content == request.content


@pytest.mark.parametrize("change", [{"amount": "15.0"}, {"customer": "c-8"}, {"memo": "1"}, {"amount": "1.5"}], ids=str)
def test_a_request_that_was_changed_on_the_way_does_not_fit(change: dict[str, str]) -> None:
    made = signature(signed_bytes(FIELDS))
    with pytest.raises(BadInput, match="signature of backend does not fit the request"):
        read({**FIELDS, **change, "signature": {"key": made.key, "value": made.value}}, Verifier({"backend": HEX}))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_signs_as_the_manual_says(tmp_path: Path) -> None:
    """The commands in the docstring of the module, on the bytes in the docstring of `requests`."""
    request = (
        b'cryptosupport.request/1\n{"amount":"1.50","asset":"ETH","chain":"ethereum","customer":"c-7",'
        b'"destination":"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed","request_id":"w-1"}'
    )
    (tmp_path / "request.bytes").write_bytes(request)

    def shell(command: str) -> str:
        done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout

    shell("openssl genpkey -algorithm ed25519 -out backend.pem")
    key = shell("openssl pkey -in backend.pem -pubout -outform DER | tail -c 32 | od -An -v -tx1 | tr -d ' \\n'")
    value = shell("openssl pkeyutl -sign -rawin -inkey backend.pem -in request.bytes | base64 -w 0")
    signed = read({**FIELDS, "signature": {"key": "backend", "value": value}}, Verifier({"backend": key}))
    assert signed.signed == request


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_a_public_key_of_ssh_keygen_is_taken_as_it_is(tmp_path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "backend", "-f", str(tmp_path / "key")]
    subprocess.run(command, check=True)
    text = (tmp_path / "key.pub").read_text(encoding="utf-8").strip()
    assert "does not fit" in (Verifier({"backend": text}).fault(signature(b"data"), b"data") or "")


# -- bad ones --------------------------------------------------------------------------------------------------------


def test_an_unknown_key_is_told_with_the_known_ones() -> None:
    fault = Verifier({"backend": HEX, "mobile": HEX}).fault(signature(b"", name="desk\x1b"), b"")
    assert fault == 'has no key that is known by the name "desk?": known are backend, mobile'
    assert "[intake] keys names none" in (Verifier({}).fault(signature(b""), b"") or "")


@pytest.mark.parametrize("value", ["", "AAAA", "A" * 88, "!" * 88, "é" * 88, "A" * 86 + "==" + "A" * 4, "A" * 43 + "="])
def test_what_is_not_base64_of_64_bytes_is_told_as_such(value: str) -> None:
    fault = Verifier({"backend": HEX}).fault(Signature("backend", value), b"data")
    assert fault == "has a value that is not base64 of 64 bytes"


def others() -> dict[str, str]:
    """Keys of other kinds, and texts that are none."""
    public = derive_private_key(7, SECP256R1()).public_key()
    curve = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    kind = b"sk-ssh-ed25519@openssh.com"
    parts = (kind, KEY.public_key().public_bytes_raw(), b"ssh:")
    blob = b"".join(len(part).to_bytes(4) + part for part in parts)
    fido = f"{kind.decode()} {base64.b64encode(blob).decode()}"
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return {
        "empty": "",
        "another kind": curve,
        "another kind under a false name": "ssh-ed25519 " + curve.split()[1],
        "PEM": pem,
        "cut": LINE[:-8],
        "only the kind": "ssh-ed25519 ",
        "no base64": "ssh-ed25519 !!!!",
        "63 digits": HEX[1:],
        "66 digits": "0x" + HEX,
        "blank in front": " " + LINE,
        "FIDO": fido,
        "FIDO under a false name": fido.removeprefix("sk-").replace("@openssh.com", ""),
        "not ASCII": "ssh-ed25519 é",
    }


@pytest.mark.parametrize(("kind", "text"), others().items(), ids=str)
def test_a_key_that_cannot_be_used_is_refused_by_its_name_in_the_settings(kind: str, text: str) -> None:
    with pytest.raises(BadSettings, match=r"^\[intake\] keys.backend is no Ed25519 public key: ") as caught:
        Verifier({"good": HEX, "backend": text})
    assert caught.value.facts["key"] == "intake.keys.backend"
    assert "64 hex digits" in caught.value.message


def private_keys() -> dict[str, str]:
    """What somebody may put in the place of the public half."""
    key = Ed25519PrivateKey.generate()
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return {
        "base64": base64.b64encode(der).decode(),
        "PEM": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "OpenSSH": key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode(),
        "hex with 0x": "0x" + key.private_bytes_raw().hex(),
        "under a false name": "ssh-ed25519 " + base64.b64encode(der).decode(),
    }


@pytest.mark.parametrize("kind", ["base64", "PEM", "OpenSSH", "hex with 0x", "under a false name"])
def test_a_private_key_in_the_place_of_the_public_one_is_never_shown(kind: str) -> None:
    text = private_keys()[kind]
    with pytest.raises(BadSettings) as caught:
        Verifier({"backend": text})
    told = f"{caught.value} {caught.value.facts} {caught.value.__cause__} {caught.value.__context__}"
    assert not [word for word in text.replace("-----", " ").split() if len(word) > 11 and word in told]
