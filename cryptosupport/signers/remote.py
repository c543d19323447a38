"""A signer that is a process of its own, asked over its Unix socket (see `signers.serving`)."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptosupport.domain.audit import Head, read_head
from cryptosupport.domain.errors import BadInput, Refused, Unreachable, Unsigned
from cryptosupport.domain.paying import HighWater, Order
from cryptosupport.domain.signing import sign_each
from cryptosupport.signers.orders import write_order
from cryptosupport.signers.wire import Garbled, raised, receive, send

SECONDS = 30.0
"""So long an answer is waited for: keyring and store may take their time."""
_AT_ONCE = 100


class RemoteSigner:
    """Asks the signer behind the socket at ``path`` (`domain.paying.Signer`); each question on a connection of its own.

    What it refuses is raised as it raised it: `Refused`, `Frozen`, `BadSettings`, `BadInput`. `Unreachable` is that
    nobody answered, or that the answer was lost: then the same order may be asked for again, and nothing else for its
    withdrawals.
    """

    def __init__(self, path: Path, seconds: float = SECONDS) -> None:
        self._path = path
        self._seconds = seconds

    def __repr__(self) -> str:
        return f"<RemoteSigner {self._path}>"

    def sign(self, order: Order) -> bytes:
        """The signed bytes. Raises as the class says."""
        raw = self._ask({"do": "sign", "order": write_order(order)}).get("raw")
        try:
            signed = bytes.fromhex(raw) if isinstance(raw, str) else b""
        except ValueError:
            signed = b""
        if not signed:
            raise self._lost("it holds no signed bytes")
        return signed

    def check_key(self) -> None:
        """Its process has seen to that before it answered at all (`signer serve`)."""

    def sign_all(self, orders: Sequence[Order]) -> list[bytes | Refused | Unsigned]:
        """The signed bytes of each, asked for one after the other, or why it must not be. Raises as the class says."""
        return sign_each(self.sign, orders)

    def signed(self, txid: str) -> bool:
        """Whether it has signed this transaction. Raises as the class says."""
        told = self._ask({"do": "signed", "txid": txid}).get("signed")
        if not isinstance(told, bool):
            raise self._lost("it does not say whether it has signed")
        return told

    def remembered(self, request_ids: Sequence[str]) -> Mapping[str, str]:
        """What it signed for those of these withdrawals that it has signed for. Raises as the class says."""
        found: dict[str, str] = {}
        for at in range(0, len(request_ids), _AT_ONCE):
            told = self._ask({"do": "remembered", "requests": [*request_ids[at : at + _AT_ONCE]]}).get("remembered")
            if not isinstance(told, dict) or not all(isinstance(each, str) for each in told.values()):
                raise self._lost("it does not say what it remembers")
            found |= told
        return found

    def head(self, ledger_id: str) -> Head | None:
        """How far the audit log of a ledger had come when it was told last. Raises as the class says."""
        told = self._ask({"do": "head", "ledger": ledger_id}).get("head")
        try:
            return None if told is None else read_head(str(told))
        except BadInput as error:
            raise self._lost("it holds no head of a log") from error

    def keep_head(self, ledger_id: str, head: Head) -> None:
        """Remember how far the audit log of a ledger has come. Raises as the class says."""
        self._ask({"do": "keep_head", "ledger": ledger_id, "head": head.text})

    def high_water(self) -> HighWater:
        """How much it has signed for its wallet. Raises as the class says."""
        told = self._ask({"do": "high_water"})
        try:
            highest = told["highest"]
            return HighWater(str(told["store"]), int(told["signatures"]), None if highest is None else int(highest))
        except (KeyError, TypeError, ValueError) as error:
            raise self._lost("it holds no high-water mark") from error

    def _ask(self, question: dict[str, object]) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(self._seconds)
            try:
                connection.connect(str(self._path))
            except OSError as error:
                raise Unreachable(f"no signer answers at {self._path}: {_why(error)}") from error
            try:
                send(connection, question, self._seconds)
            except Garbled as error:
                raise Refused(f"the order is too large for the signer: {error}") from error
            except OSError:
                pass  # it may have answered, and closed, without hearing us out
            try:
                answer = receive(connection, self._seconds)
            except (OSError, Garbled) as error:
                raise self._lost(_why(error)) from error
        if answer is None:
            raise self._lost("the signer closed the connection")
        if "error" in answer:
            raise raised(answer["error"])
        return answer

    def _lost(self, why: str) -> Unreachable:
        return Unreachable(
            f"the answer of the signer at {self._path} is lost: {why}. It may have signed; the same order can be asked "
            "for again"
        )


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
