"""Lists of addresses as text: one a line, or CSV with a header line.

    # as_of 2026-11-21T12:00:00Z
    # whatever else follows a # is for people
    address,tag,entry,label,customer,since
    0x098B716B8Aaf21512996dC57EB0615e2383E2f96,ETH,27307,Lazarus Group,,

Without a header line each line is an address. A list of kind allow needs the columns customer and address, and no
other list may have customers. Every line has an end: the last one of a file that was cut short has none.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.identifiers import about_secret, is_secret, shortened, without_secrets
from cryptosupport.domain.requests import utc_milliseconds
from cryptosupport.domain.screening import AsOf, Listed, ListKind, key_of

COLUMNS = ("address", "tag", "entry", "label", "customer", "since")
LONGEST_LINE = 4096

_AS_OF = re.compile(r"#\s*as_of\b\s*(.*)")
_ADDRESS = re.compile(r"[0-9A-Za-z][0-9A-Za-z:._-]{0,255}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LONGEST_CELL = 300


def read_lines(pieces: Iterable[bytes], kind: ListKind) -> Iterator[AsOf | Listed]:
    """The addresses of a text. Raises `BadInput` with the number of the first line that cannot be used."""
    reader = _Reader(kind)
    number = 0
    for number, line in enumerate(_lines(pieces), 1):
        try:
            yield from reader.take(line, number)
        except (ValueError, csv.Error) as error:  # no UTF-8, no CSV, no time
            what = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            raise BadInput(f"line {number}: {what}", line=number) from error
    if reader.columns is None and kind is ListKind.ALLOW:
        raise _no_customers(number)


def _no_customers(line: int) -> BadInput:
    return BadInput(f"line {max(line, 1)}: an allow list needs a header line such as customer,address", line=line)


class _Reader:
    """Reads line after line; ``columns`` are those of the header line, or an address alone where there is none."""

    def __init__(self, kind: ListKind) -> None:
        self.columns: Sequence[str] | None = None
        self._kind = kind
        self._as_of = False

    def take(self, line: bytes, number: int) -> Iterator[AsOf | Listed]:
        """What a line says. Raises `ValueError`."""
        if not line.endswith(b"\n"):
            cut = "is longer than any" if len(line) > LONGEST_LINE else "has no end: the file was cut short"
            raise ValueError(f"it {cut}")
        text = (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).decode().strip(" \t\r\n")
        if text.startswith("#"):
            yield from self._comment(text)
        elif text and self.columns is None:
            self.columns = self._header(text, number)
            if self.columns is _NO_HEADER:
                yield self._listed({"address": text})
        elif text:
            yield self._listed(self._cells(text))

    def _comment(self, text: str) -> Iterator[AsOf]:
        said = _AS_OF.fullmatch(text)
        if said is not None:
            if self._as_of:
                raise ValueError("it tells once more of when the list is")
            self._as_of = True
            yield AsOf(utc_milliseconds(said[1].strip()))

    def _header(self, text: str, number: int) -> Sequence[str]:
        if without_secrets(text) != text:
            raise ValueError(about_secret("a header line"))
        named = [cell.strip().lower() for cell in _row(text)]
        if "address" not in named:
            if len(named) > 1:
                raise ValueError(f"several columns need a header line with their names, of {', '.join(COLUMNS)}")
            if self._kind is ListKind.ALLOW:
                raise _no_customers(number)
            return _NO_HEADER
        for name in named:
            if name not in COLUMNS:
                raise ValueError(f'there is no column "{shortened(name)}": they are {", ".join(COLUMNS)}')
            if named.count(name) > 1:
                raise ValueError(f"the column {name} is there twice")
        if self._kind is ListKind.ALLOW and "customer" not in named:
            raise _no_customers(number)
        if self._kind is not ListKind.ALLOW and "customer" in named:
            raise ValueError(f"only a list of kind allow has customers, and this one is to be of kind {self._kind}")
        return named

    def _cells(self, text: str) -> Mapping[str, str]:
        assert self.columns is not None
        if self.columns is _NO_HEADER:
            return {"address": text}
        row = _row(text)
        if len(row) != len(self.columns):
            raise ValueError(f"it has {len(row)} of the {len(self.columns)} columns of the header line")
        return {name: cell.strip() for name, cell in zip(self.columns, row, strict=True)}

    def _listed(self, cells: Mapping[str, str]) -> Listed:
        address = cells["address"]
        if len(address) > _SHORTER_THAN_KEYS and is_secret(address):
            raise ValueError(about_secret("an address"))
        if not _ADDRESS.fullmatch(address):
            raise ValueError(f'"{shortened(address)}" is no address')
        for name, cell in cells.items():
            if len(cell) > _LONGEST_CELL or _CONTROL.search(cell):
                raise ValueError(f"its {name} is longer than {_LONGEST_CELL} characters, or has some for no eye")
        if self._kind is ListKind.ALLOW and not cells["customer"]:
            raise ValueError("it names no customer")
        rest = {name: cells.get(name, "") for name in ("entry", "label", "tag", "customer")}
        since = cells.get("since")
        return Listed(key_of(address), address, since=utc_milliseconds(since) if since else 0, **rest)


_NO_HEADER = ("address",)
_SHORTER_THAN_KEYS = 50


def _row(text: str) -> list[str]:
    # Nearly no line has quotes, and those without are read twice as fast so.
    return next(csv.reader([text], strict=True)) if '"' in text else text.split(",")


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines with their ends; of one that is too long the start, without an end, and nothing after it."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line[: LONGEST_LINE + 1] if len(line) > LONGEST_LINE else line + b"\n"
        if len(rest) > LONGEST_LINE:
            break
    if rest:
        yield rest
