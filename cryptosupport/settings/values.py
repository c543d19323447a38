"""What the texts of settings mean: time spans, percentages, sums of USD, time zones, references to secrets."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection
from functools import cache

from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.money import Quantity, parse_base_units

_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_MICRO = 6
_LONGEST = 100
"""No sensible number has more characters; 2**256 has 78 digits."""


def milliseconds(text: str) -> int:
    """Read a duration such as "250ms", "12s", "15m", "48h" or "2d" as milliseconds. Raises `ValueError`."""
    match = re.fullmatch(r"([0-9]{1,9})(ms|s|m|h|d)", text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write 250ms, 12s, 15m, 48h or 2d")
    return int(match[1]) * _UNITS[match[2]]


def time_span(text: str) -> int:
    """Read a duration above zero as milliseconds. Raises `ValueError`."""
    if not (read := milliseconds(text)):
        raise ValueError(f"{text!r}: it has to be above zero")
    return read


def number(text: str, decimals: int | None = None) -> Quantity:
    """Read a plain decimal, with at most ``decimals`` digits after the point. Raises `ValueError`."""
    if len(text) > _LONGEST:
        raise ValueError(f"{text[:20]!r}... is too long for a number")
    try:
        return Quantity.parse(text) if decimals is None else Quantity(parse_base_units(text, decimals), decimals)
    except BadInput as error:
        raise ValueError(error.message) from error


def percent(text: str) -> Quantity:
    """Read "20%" as 20. Raises `ValueError`."""
    if not text.endswith("%"):
        raise ValueError(f"{text!r}: write it like 20%")
    return number(text.removesuffix("%"))


def micro_usd(text: str) -> int:
    """Read "2000 USD" as micro-USD. Raises `ValueError`."""
    if not text.endswith(" USD"):
        raise ValueError(f'{text!r}: write it like "2000 USD"')
    read = number(text.removesuffix(" USD"))
    if read.decimals > _MICRO:
        raise ValueError(f"{text!r} has {read.decimals} decimals, and USD has at most {_MICRO} here")
    return read.at(_MICRO)


def file_name(text: str) -> str:
    """The name of a file as it is. Raises `ValueError` for what no file can be named."""
    if not text or "\0" in text:
        raise ValueError(f"{text!r} names no file")
    return text


def timezone(text: str) -> str:
    """The name of an IANA time zone as it is. Raises `ValueError` with the nearest one for any other text."""
    if text != "UTC" and text not in _timezones():
        raise ValueError(f"{text!r} is not a time zone{nearest(text, _timezones())}")
    return text


@cache
def _timezones() -> frozenset[str]:
    """All names: of the package, since what the machine has may hold names that mean something else elsewhere."""
    from importlib import resources

    import tzdata  # type: ignore[import-untyped]

    return frozenset(resources.files(tzdata).joinpath("zones").read_text(encoding="ascii").split())


def nearest(text: str, known: Collection[str]) -> str:
    """What was probably meant, as the end of a message; all that is known where nothing is near and that is little."""
    near = difflib.get_close_matches(text, known, 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known here: {', '.join(sorted(known))}" if len(known) <= 50 else ""


def check(setting: str, read: Callable[[str], object], text: str | None) -> None:
    """Raise `ValueError`, which names the setting, where ``text`` is given and ``read`` refuses it."""
    if text is not None:
        try:
            read(text)
        except ValueError as error:
            raise ValueError(f"{setting}: {error}") from error


def is_reference(text: str) -> bool:
    """Whether ``text`` names a secret ("keyring:NAME", "env:NAME") in place of being one."""
    return text.startswith(("keyring:", "env:"))


def reference(text: str) -> str:
    """A reference to a secret as it is. Raises `ValueError`, which does not show what stands there instead."""
    if not is_reference(text) or not text.partition(":")[2].strip():
        raise ValueError("write keyring:NAME or env:NAME, never the secret itself")
    return text
