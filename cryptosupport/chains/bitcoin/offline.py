"""What a signer elsewhere is given on Bitcoin, and what comes back of it (`signers.psbt.Papers`)."""

from __future__ import annotations

from base64 import b64encode

from cryptosupport.chains.bitcoin import returned
from cryptosupport.chains.bitcoin.plans import Planned


def asked(text: str) -> tuple[bytes, bytes]:
    """Of a plan's text, the unsigned transaction and its PSBT. Raises `Refused`."""
    psbt = Planned.of(text).raw
    return returned.transaction_of(psbt), psbt


def plan_of(psbt: bytes) -> str:
    """The text of a plan of this PSBT, whose change nobody knows."""
    return Planned(b64encode(psbt).decode()).text


def transaction_of(content: bytes) -> bytes:
    """The unsigned transaction of a PSBT in a file. Raises `Unsigned` where it is not whole, `Refused`."""
    return returned.transaction_of(returned.bytes_of(content))


def merged(psbt: bytes, content: bytes) -> bytes:
    """The transaction of ``psbt`` with the signatures of a file. Raises `Unsigned` where any is missing, `Refused`."""
    return returned.merged(psbt, returned.bytes_of(content))
