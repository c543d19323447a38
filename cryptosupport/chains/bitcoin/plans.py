"""What a plan of the Bitcoin family holds: a PSBT without signatures, and which output is change. Pure.

    {"change":{"index":"7","vout":"1"},"psbt":"cHNidP8B..."}

on one line; without change, only the PSBT. Source: BIP 174.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Self

from cryptosupport.domain.errors import Refused
from cryptosupport.domain.withdrawals import canonical

LONGEST_PSBT = 8_000_000
"""Bytes; 1,400 inputs with a previous transaction of two outputs each take up a tenth of it."""

HARDENED = 1 << 31
"""Where the children of a key begin that only the private key has (BIP 32)."""

MOST_ADDRESSES = 1_000_000
"""Change goes to an address below this index: as far as a node searches at once for what a descriptor holds."""

_LONGEST_TEXT = LONGEST_PSBT // 3 * 4 + 1024
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Planned:
    """One transaction to be signed. ``psbt`` is in base64, ``change`` (vout, index of the address in the internal
    branch) or None where nothing comes back.
    """

    psbt: str
    change: tuple[int, int] | None = None

    @property
    def raw(self) -> bytes:
        """The bytes of the PSBT."""
        return b64decode(self.psbt)

    @property
    def text(self) -> str:
        """Its canonical JSON.

        >>> Planned("cHNidP8=", (1, 7)).text
        '{"change":{"index":"7","vout":"1"},"psbt":"cHNidP8="}'
        """
        facts: dict[str, object] = {"psbt": self.psbt}
        if self.change is not None:
            vout, index = self.change
            facts["change"] = {"vout": str(vout), "index": str(index)}
        return canonical(facts).decode()

    @classmethod
    def of(cls, text: str) -> Self:
        """Read the canonical JSON of one. Raises `Refused` for anything else, another spelling too."""
        try:
            if len(text) > _LONGEST_TEXT:
                raise ValueError(f"it is longer than {_LONGEST_TEXT} characters")
            read = json.loads(text)
            if not isinstance(read, dict) or not isinstance(read.get("psbt"), str):
                raise ValueError("it holds no PSBT")
            found = cls(read["psbt"], _change(read["change"]) if "change" in read else None)
            raw = b64decode(found.psbt, validate=True)
            if found.text != text or b64encode(raw).decode() != found.psbt:
                raise ValueError("it is not in canonical form")
            if len(raw) > LONGEST_PSBT:
                raise ValueError(f"its PSBT has more than {LONGEST_PSBT} bytes")
        except (ValueError, RecursionError) as error:
            raise Refused(f"this is no plan of a Bitcoin payment: {error}") from error
        return found


def _change(facts: object) -> tuple[int, int]:
    if not isinstance(facts, dict) or set(facts) != {"vout", "index"}:
        raise ValueError("its change has other fields than vout and index")
    vout, index = (_number(facts[name]) for name in ("vout", "index"))
    if index >= HARDENED:
        raise ValueError("the index of its change is out of range")
    return vout, index


def _number(text: object) -> int:
    if not isinstance(text, str) or _DECIMAL.fullmatch(text) is None:
        raise ValueError("a number is not in plain digits")
    return int(text)
