"""Files of screening lists: which form one has, what is on it, of when it is, and its SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import IO

from cryptosupport.domain.errors import BadInput, BadList
from cryptosupport.domain.identifiers import shortened
from cryptosupport.domain.screening import AsOf, Listed, ListKind
from cryptosupport.outside.addresslines import read_lines
from cryptosupport.outside.sdn import read_sdn

FORMS = ("xml", "text")
"""The SDN list of OFAC (`sdn`), and addresses line by line (`addresslines`)."""

MOST_ENTRIES = 2_000_000
"""A file with more is not read to its end: no list is as long."""

_PIECE = 1 << 18
_BLANKS_AND_MARK = b" \t\r\n\xef\xbb\xbf"
_PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class ListFile:
    """What was read; ``as_of`` (milliseconds since 1970) is the moment that the file names, if it names one."""

    entries: list[Listed]
    as_of: int | None
    sha256: str


def read_list(source: IO[bytes], name: str, kind: ListKind, form: str | None = None) -> ListFile:
    """Read a file or pipe, called ``name``, to its end: all of it or, with `BadList` that tells the line, nothing.

    ``form`` is one of `FORMS`; without one a `<` in front makes it XML. Of an XML file of any length only the entries
    are kept in memory.
    """
    try:
        return _read(source, kind, form)
    except BadInput as error:
        raise BadList(f"{shortened(name)}: {error.message}; nothing was imported", **error.facts) from error


def _read(source: IO[bytes], kind: ListKind, form: str | None) -> ListFile:
    pieces = _Pieces(source)
    first = next(pieces, b"")
    if first.startswith(_PACKED):
        raise BadInput("it is compressed: unpack it first")
    if form is None:
        form = "xml" if first.startswith(_UTF_16) or first.lstrip(_BLANKS_AND_MARK).startswith(b"<") else "text"
    all_pieces = chain([first], pieces)
    said = _sdn(all_pieces, kind) if form == "xml" else read_lines(all_pieces, kind)
    entries: list[Listed] = []
    as_of: int | None = None
    for each in said:
        if isinstance(each, AsOf):
            as_of = each.at
        elif len(entries) == MOST_ENTRIES:
            raise BadInput(f"it has more than {MOST_ENTRIES} entries, which no list has")
        else:
            entries.append(each)
    return ListFile(entries, as_of, pieces.sha256)


def _sdn(pieces: Iterable[bytes], kind: ListKind) -> Iterator[AsOf | Listed]:
    if kind is ListKind.ALLOW:
        raise BadInput("the list of OFAC allows nobody anything: an allow list is CSV with customer,address")
    return read_sdn(pieces)


class _Pieces:
    """What is in a source, piece by piece, and the hash of what was read so far."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._hash = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            piece = self._source.read(_PIECE)
        except OSError as error:
            raise BadInput(f"it cannot be read: {error.strerror}") from error
        if not piece:
            raise StopIteration
        self._hash.update(piece)
        return piece

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()
