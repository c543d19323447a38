"""Results on stdout: a table for people; json, jsonl and csv for programs. Everything else goes to stderr."""

from __future__ import annotations

import csv
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import click
import msgspec

from cryptosupport.commands import params

R = TypeVar("R")
Record: TypeAlias = Mapping[str, Any]

TABLE_ROWS = 500
"""A long table is printed in pieces of this many rows, so that memory stays flat."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def show(
    output: str,
    records: Iterable[Record],
    *,
    columns: Sequence[str],
    fields: Sequence[str] = (),
    single: bool = False,
    detail: Callable[[Record], str] | None = None,
) -> None:
    """Print records as they come.

    ``columns`` are the table's, by dotted key (`fee.amount`); ``fields`` the CSV's (default: columns). ``single``
    prints one object for json, and for a table the text of ``detail``.
    """
    match output:
        case "json" if single:
            for record in records:
                _write(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
        case "json":
            _json_list(records)
        case "jsonl":
            _lines(msgspec.json.encode(record) + b"\n" for record in records)
        case "csv":
            _lines(_csv(records, fields or columns))
        case _ if single and detail is not None:
            for record in records:
                _write(detail(record).encode())
        case _:
            _tables(records, columns)


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _lines(lines: Iterable[bytes]) -> None:
    """Write lines, flushed as they go."""
    for line in lines:
        _write(line)


def _json_list(records: Iterable[Record]) -> None:
    opened = False
    try:
        for record in records:
            _write((b",\n " if opened else b"[\n ") + msgspec.json.encode(record))
            opened = True
    finally:  # an interrupted list is still a list
        _write(b"\n]\n" if opened else b"[]\n")


def _csv(records: Iterable[Record], fields: Sequence[str]) -> Iterator[bytes]:
    class Line:
        text = ""

        def write(self, text: str) -> None:
            self.text = text

    line = Line()
    writer = csv.writer(line, lineterminator="\n")
    writer.writerow(field.replace(".", "_") for field in fields)
    yield line.text.encode()
    for record in records:
        writer.writerow(_cell_csv(look(record, field)) for field in fields)
        yield line.text.encode()


def _cell_csv(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = _text(value)
    # A spreadsheet runs a cell that starts like a formula, and chain text can start like one.
    return f"'{text}" if text.startswith(_FORMULA) and not text.lstrip("-").replace(".", "").isdigit() else text


def _tables(records: Iterable[Record], columns: Sequence[str]) -> None:
    from tabulate import tabulate

    rows = iter(records)
    heads = [
        column.rsplit(".", 1)[-1] if column.endswith("message") else column.replace(".", " ") for column in columns
    ]
    while piece := list(itertools.islice(rows, TABLE_ROWS)):
        cells = [[printable(_text(look(record, column))) for column in columns] for record in piece]
        click.echo(tabulate(cells, headers=heads, disable_numparse=True))


def aligned(lines: Iterable[tuple[str, Any]]) -> str:
    """Names and values in two columns; a name without a value is left out."""
    pairs = [(name, printable(_text(value))) for name, value in lines if value not in (None, "", [], {})]
    width = max((len(name) for name, _ in pairs), default=0)
    return "".join(f"{name:<{width}}  {value}".rstrip() + "\n" for name, value in pairs)


def look(record: Any, dotted: str) -> Any:
    """The value at a dotted key, None where something on the way is absent."""
    for key in dotted.split("."):
        record = record.get(key) if isinstance(record, Mapping) else None
    return record


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    if isinstance(value, list | tuple | dict):
        return msgspec.json.encode(value).decode() if value else ""
    return str(value)


def printable(text: str) -> str:
    """The text without characters that could steer a terminal or turn the reading direction."""
    return "".join(character for character in text if character.isprintable() or character == " ")


def progress(rows: Iterable[R], lines: params.Lines, quiet: bool) -> Iterator[R]:
    """The rows, with a bar on stderr when that is a terminal of its own, by the share of the input that was read."""
    if quiet or lines.single or lines.size is None or not sys.stderr.isatty() or sys.stdout.isatty():
        yield from rows
        return
    with click.progressbar(length=lines.size, file=sys.stderr, show_pos=False, label="looking up") as bar:
        for row in rows:
            if lines.position != bar.pos:
                bar.update(lines.position - bar.pos)
            yield row
