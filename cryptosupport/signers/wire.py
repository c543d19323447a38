"""Messages between a signer and whoever asks it: four bytes with the length (big-endian), then one JSON object.

A question is ``{"do": "sign", "order": {...}}`` or ``{"do": "high_water"}``; an answer holds what was asked for, or
``{"error": {"code": "refused", "message": "..."}}``. A message is at most `LONGEST` bytes.
"""

from __future__ import annotations

import json
import socket
import time
from typing import Any, NoReturn

from cryptosupport.domain.errors import BadInput, BadSettings, Frozen, Refused, SupportError, Tampered, Unreachable

LONGEST = 1 << 20
"""The most bytes of a message, without those of its length."""

LONGEST_REASON = 2000
"""So many characters of what went wrong are told."""

_HEAD = 4
_NEAREST = (Frozen, Tampered, Refused, BadInput, BadSettings, Unreachable)
"""The kinds of errors that are told, the more special ones first."""
_KINDS = {kind.code: kind for kind in _NEAREST}


class Garbled(Exception):
    """What arrived is no message: the connection is of no more use. What it says is for people."""


def send(connection: socket.socket, told: dict[str, object], seconds: float) -> None:
    """Send one message. Raises `Garbled` for one that is too long, `OSError` (`TimeoutError` when time is up)."""
    body = json.dumps(told, allow_nan=False, separators=(",", ":")).encode()
    if len(body) > LONGEST:
        raise Garbled(f"the message has {len(body)} bytes, and may have {LONGEST}")
    connection.settimeout(seconds)
    connection.sendall(len(body).to_bytes(_HEAD) + body)


def receive(connection: socket.socket, seconds: float) -> dict[str, Any] | None:
    """The next message, whole within ``seconds``; None where the other side has ended before it began.

    Raises `Garbled`, `OSError` (`TimeoutError` when time is up).
    """
    until = time.monotonic() + seconds
    head = _read(connection, _HEAD, until)
    if not head:
        return None
    length = int.from_bytes(head)
    if len(head) < _HEAD or not 0 < length <= LONGEST:
        raise Garbled(f"a message may have 1 to {LONGEST} bytes, and this is none")
    body = _read(connection, length, until)
    if len(body) < length:
        raise Garbled(f"the message ends after {len(body)} of {length} bytes")
    try:
        told = json.loads(
            body.decode(), object_pairs_hook=_once, parse_float=_refuse, parse_int=_refuse, parse_constant=_refuse
        )
    except (ValueError, RecursionError) as error:
        raise Garbled("the message is not JSON as it is written here") from error
    if not isinstance(told, dict):
        raise Garbled("the message is no JSON object")
    return told


def failure(error: SupportError) -> dict[str, object]:
    """An error as an answer: its nearest kind that is told, and its words."""
    code = next((kind.code for kind in _NEAREST if isinstance(error, kind)), SupportError.code)
    return {"error": {"code": code, "message": _legible(error.message)}}


def raised(error: object) -> SupportError:
    """The error that an answer tells of; one whose kind is not known says nothing of what was signed."""
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        message = _legible(error["message"])
        kind = _KINDS.get(str(error.get("code")))
        return Unreachable(f"the signer failed: {message}") if kind is None else kind(message)
    return Unreachable("the signer gave an answer that cannot be read")


def _read(connection: socket.socket, count: int, until: float) -> bytes:
    """So many bytes, or those before the other side ended."""
    read = bytearray()
    while len(read) < count:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the message does not end in time")
        connection.settimeout(left)
        some = connection.recv(min(count - len(read), 1 << 16))
        if not some:
            break
        read += some
    return bytes(read)


def _legible(message: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in message[:LONGEST_REASON])


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    told = dict(pairs)
    if len(told) < len(pairs):
        raise ValueError("a key stands there twice")
    return told


def _refuse(number: str) -> NoReturn:
    raise ValueError("numbers are written as strings")
