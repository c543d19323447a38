"""Read what `audit export` wrote: JSON or CSV, one entry of the audit log a line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any

from cryptosupport.domain.errors import BadInput

_LONGEST_CELL = 2**30


@dataclass(frozen=True, slots=True)
class ExportLine:
    """One line: ``number`` counts from 1; ``fields`` is empty where it cannot be read."""

    number: int
    fields: Mapping[str, Any]
    is_csv: bool = False

    def shows(self, name: str, text: str) -> bool:
        """Whether a field has this text; CSV may have an apostrophe before it, so that no spreadsheet runs it."""
        shown = str(self.fields.get(name))
        return shown == text or (self.is_csv and shown == f"'{text}")


def read_export(source: IO[bytes]) -> Iterator[ExportLine]:
    """The lines of an export, in either form. Raises `BadInput` for a file that holds no export."""
    text = (line.decode("utf-8", "surrogateescape") for line in source)
    try:
        first = next(text, "")
        if first.startswith(("{", "[")):
            for number, line in enumerate(chain([first], text), 1):
                if (bare := line.strip().rstrip(",")) not in ("[", "]"):
                    yield _json(number, bare)
        elif first:
            yield from _csv(first, text)
    except (OSError, csv.Error) as error:
        raise BadInput(f"the export cannot be read: {error}") from error


def _json(number: int, line: str) -> ExportLine:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        fields = None
    return ExportLine(number, fields if isinstance(fields, dict) else {})


def _csv(first: str, rest: Iterator[str]) -> Iterator[ExportLine]:
    csv.field_size_limit(_LONGEST_CELL)
    names = next(csv.reader([first]))
    if not {"entry", "hash"} <= set(names):
        raise BadInput("this is no export of an audit log: write one with `cryptosupport audit export`")
    for number, row in enumerate(csv.DictReader(rest, names), 2):
        yield ExportLine(number, {name: value for name, value in row.items() if name is not None}, True)
