"""One line of a file of requests, as JSON or as CSV, made into the fields that `read_request` takes.

Nothing is guessed and nothing is repaired: two programs that read the same line have to see the same request.
"""

from __future__ import annotations

import csv
import difflib
import json
import re
from collections import Counter
from typing import Any

from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.identifiers import shortened
from cryptosupport.domain.requests import FIELDS, FLAGS, FORMULA, PARTS, REQUIRED, Number

DEEPEST = 8
"""Levels of objects and lists in one line; a request has two."""

_BOM = b"\xef\xbb\xbf"
_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # an escape that may be half a surrogate pair


# -- JSON ------------------------------------------------------------------------------------------------------------


def json_fields(line: bytes) -> dict[str, object]:
    """Read a line that holds one JSON object. Numbers come as `Number`, whatever they are.

    Raises `BadInput` for anything else, for a key that stands twice in any object, and for more than `DEEPEST` levels.

    >>> json_fields(b'{"request_id": "w-1", "amount": 1.5}')
    {'request_id': 'w-1', 'amount': Number(text='1.5')}
    """
    text = _text(line)
    if line.count(b"{") + line.count(b"[") > DEEPEST:
        _refuse_depth(text)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadInput(f"this is not one JSON object: {error.msg} (character {error.pos + 1})") from error
    if not isinstance(value, dict):
        raise BadInput("this is JSON, but not an object: write one request in { } on each line")
    if _HALF.search(text):
        _refuse_halves(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise BadInput(f'the key "{shortened(twice)}" stands twice in one object: write it once')
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=Number)
_MARKS = re.compile(r'"(?:[^"\\]|\\.)*+"|[][{}]', re.DOTALL)
"""What opens and closes, and texts, in which nothing does."""


def _refuse_depth(text: str) -> None:
    """Before it is decoded: the decoder goes as deep as the line does."""
    depth = 0
    for mark in _MARKS.findall(text):
        depth += (mark in "[{") - (mark in "]}")
        if depth > DEEPEST:
            raise BadInput(f"this is nested deeper than {DEEPEST} levels: a request has two")


def _refuse_halves(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        half = f"U+{ord(error.object[error.start]):04X}"
        raise BadInput(f"this holds {half}, half of a surrogate pair: write the whole character") from error


# -- CSV -------------------------------------------------------------------------------------------------------------

COLUMNS = {
    (f"{field}_{member}" if member else field): (field, member)
    for field in FIELDS
    for member in PARTS.get(field, ("",))
}
"""By column: the field, and the member of it ("" where it has none)."""

_QUOTED = re.compile(r'(?:"(?:[^"]|"")*+"|[^",]*+)(?:,(?:"(?:[^"]|"")*+"|[^",]*+))*+')  # as RFC 4180 has it
_BASE64 = "signature_value"  # may start with +


class CsvForm:
    """The first line of a CSV file, and how the others are read by it.

    ``columns`` are those of `COLUMNS` in the file's order. Raises `BadInput` for a header that cannot be used; no line
    of that file can be read then.
    """

    def __init__(self, header_line: bytes) -> None:
        self.columns = tuple(_cells(_text(header_line)))
        for column in self.columns:
            if column not in COLUMNS:
                near = difflib.get_close_matches(column[:64].casefold(), COLUMNS, 1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(COLUMNS)}"
                raise BadInput(f'the header has an unknown column "{shortened(column)}": {hint}')
            if self.columns.count(column) > 1:
                raise BadInput(f"the header has the column {column} twice")
        missing = [column for column in REQUIRED if column not in self.columns]
        if missing:
            raise BadInput(f"the header has no column {', '.join(missing)}: the first line names the columns")
        self._places = [(column, *COLUMNS[column]) for column in self.columns]

    def fields(self, line: bytes) -> dict[str, object]:
        """The fields of one line; an empty cell is a field that is not there. Raises `BadInput`."""
        cells = _cells(_text(line))
        if len(cells) != len(self._places):
            raise BadInput(f"this line has {len(cells)} cells, and the header has {len(self._places)}")
        fields: dict[str, object] = {}
        parts: dict[str, dict[str, object]] = {}
        for (column, field, member), cell in zip(self._places, cells, strict=True):
            if not cell:
                continue
            if cell.startswith(FORMULA) and column != _BASE64:
                fault = "starts like a spreadsheet formula"
                raise BadInput(f'{column} is "{shortened(cell)}", which {fault}', field=column)
            if member:
                flag = f"{field}.{member}" in FLAGS
                fields[field] = part = parts.setdefault(field, {})
                part[member] = _flag(column, cell) if flag else cell
            else:
                fields[field] = cell
        return fields


def _cells(text: str) -> list[str]:
    if '"' not in text:
        return text.split(",")
    if _QUOTED.fullmatch(text) is None:
        raise BadInput(
            'the quotes are wrong: a cell with a quote in it starts and ends with ", has "" for each quote, and is on '
            "one line"
        )
    try:
        (cells,) = csv.reader([text], strict=True)
    except csv.Error as error:  # a cell of more characters than the module takes
        raise BadInput(f"this is not CSV: {error}") from error
    return cells


def _flag(column: str, cell: str) -> bool:
    if cell not in ("true", "false"):
        raise BadInput(f'{column} is "{shortened(cell)}": write true or false', field=column)
    return cell == "true"


# -- both ------------------------------------------------------------------------------------------------------------


def _text(line: bytes) -> str:
    """The line as text. Raises `BadInput` for what two programs could read differently."""
    if line.startswith(_BOM):
        raise BadInput("this line starts with a byte order mark: save the file as UTF-8 without it")
    if b"\r" in line:
        if line.endswith(b"\r"):
            raise BadInput("this line ends in CR LF: save the file with LF line ends")
        raise BadInput("this line holds a carriage return: save the file with LF line ends")
    if b"\n" in line:
        raise BadInput("this is more than one line")
    if b"\0" in line:
        raise BadInput("this line holds a NUL byte: save the file as UTF-8 text")
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"this line is not UTF-8: byte {error.start + 1} cannot be read") from error
