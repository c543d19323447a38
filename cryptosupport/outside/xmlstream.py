"""XML that somebody else wrote, however long: only elements that are asked for are kept, one at a time.

A document type is refused, and with it every entity of its own (nothing expands, nothing is fetched). So is nesting
beyond any sense, and a single element or tag that would fill the memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers.expat import ExpatError, ParserCreate

from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.identifiers import shortened

DEEPEST = 64
LONGEST_ELEMENT = 2 << 20
"""Bytes of one element that is kept; the longest party of the SDN list has some 70,000."""

_LONGEST_TAG = 1 << 20
_PIECE = 65536
"""Whatever was fed and has not been understood yet is kept by the parser: a tag, a comment."""


def elements(pieces: Iterable[bytes], wanted: Mapping[str, Collection[str]]) -> Iterator[tuple[str, Element]]:
    """The elements of a document that are ``wanted`` by the name of its root, each with that name, as they end.

    Names are without their namespaces, which publishers change. Raises `BadInput` with the line for anything else
    than a whole document with such a root.
    """
    parts = (piece[start : start + _PIECE] for piece in pieces for start in range(0, len(piece), _PIECE))
    reader = _Reader(wanted)
    for part in parts:
        reader.feed(part)
        yield from reader.taken()
    reader.feed(b"", last=True)
    yield from reader.taken()


class _Reader:
    def __init__(self, wanted: Mapping[str, Collection[str]]) -> None:
        self._parser = ParserCreate(namespace_separator="}")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._roots = wanted
        self._wanted: Collection[str] = ()
        self._names: dict[str, str] = {}
        self._root = ""
        self._depth = 0
        self._fed = 0
        self._builder: TreeBuilder | None = None
        self._from, self._from_depth = 0, 0
        self._done: list[Element] = []

    def feed(self, part: bytes, last: bool = False) -> None:
        """Read on. Raises `BadInput`."""
        try:
            self._parser.Parse(part, last)
        except ExpatError as error:
            self._refuse(_said(error, last), error.lineno)
        self._fed += len(part)
        if self._fed - self._parser.CurrentByteIndex > _LONGEST_TAG:
            self._refuse(f"a tag or a comment of more than {_LONGEST_TAG} bytes")
        if self._builder is not None and self._fed - self._from > LONGEST_ELEMENT:
            self._refuse(f"an element of more than {LONGEST_ELEMENT} bytes")

    def taken(self) -> Iterator[tuple[str, Element]]:
        """What has ended by now."""
        done, self._done = self._done, []
        for element in done:
            yield self._root, element

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = self._names.get(name) or self._local(name)
        self._depth += 1
        if self._depth == 1:
            self._begin(local)
        elif self._depth > DEEPEST:
            self._refuse(f"elements within elements, more than {DEEPEST} deep")
        if self._builder is None:
            if local not in self._wanted:
                return
            self._builder = TreeBuilder()
            self._from, self._from_depth = self._parser.CurrentByteIndex, self._depth
            self._parser.CharacterDataHandler = self._builder.data
        self._builder.start(local, attributes)

    def _end(self, name: str) -> None:
        if self._builder is not None:
            self._builder.end(self._names[name])
            if self._depth == self._from_depth:
                self._done.append(self._builder.close())
                self._builder = None
                self._parser.CharacterDataHandler = None
        self._depth -= 1

    def _begin(self, root: str) -> None:
        if root not in self._roots:
            known = " or ".join(f"<{name}>" for name in self._roots)
            self._refuse(f"this is no list that is known: it begins with <{shortened(root)}>, not {known}")
        self._root, self._wanted = root, self._roots[root]

    def _doctype(self, *declared: object) -> NoReturn:
        self._refuse("it declares a document type, which no list has and which could hide anything")

    def _local(self, name: str) -> str:
        if len(self._names) >= 1000:
            self._refuse("more than 1000 names of elements")
        return self._names.setdefault(name, name.rpartition("}")[2])

    def _refuse(self, message: str, line: int | None = None) -> NoReturn:
        line = line or self._parser.CurrentLineNumber
        raise BadInput(f"line {line}: {message}", line=line)


def _said(error: ExpatError, last: bool) -> str:
    what = str(error).partition(":")[0]
    return f"it ends before its end ({what}): the file was cut short" if last else f"it is no XML: {what}"
