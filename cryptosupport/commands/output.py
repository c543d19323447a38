"""Results on stdout: a table for people; json, jsonl and csv for programs. Everything else goes to stderr."""

from __future__ import annotations

import csv
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import click
import msgspec

from cryptosupport.context import at_terminal
from cryptosupport.context.machine import printable as printable
from cryptosupport.domain.errors import SupportError

R = TypeVar("R")
Record: TypeAlias = Mapping[str, Any]

TABLE_ROWS = 500
"""A long table is printed in pieces of this many rows, so that memory stays flat."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class Input(Protocol):
    """What a command reads its subjects from: ``position`` of ``size`` bytes, None where it has no size."""

    position: int
    size: int | None


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
                _write(msgspec.json.format(_json(record), indent=2) + b"\n")
        case "json":
            _json_list(records)
        case "jsonl":
            _lines(_json(record) + b"\n" for record in records)
        case "csv":
            _lines(_csv(records, fields or columns))
        case _ if single and detail is not None:
            for record in records:
                _write("\n".join(map(printable, detail(record).split("\n"))))
        case _:
            _tables(records, columns)


class CannotWrite(SupportError):
    """Standard output is closed: the result has no place to go."""


def draws_blocks() -> bool:
    """Whether standard output can show block characters."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        "█▓▒░".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _write(data: bytes | str) -> None:
    """Write bytes, or text in the encoding of the terminal, at once. Raises `CannotWrite`, `BrokenPipeError`."""
    if sys.stdout is None:
        raise CannotWrite
    try:
        if isinstance(data, str):
            click.echo(data, nl=False)
        else:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _let_go()
        raise CannotWrite(f"the result cannot be written to standard output: {error.strerror}") from error


def _let_go() -> None:
    """Nothing more can be written to stdout, and the interpreter must not try at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _json(record: Record) -> bytes:
    try:
        return msgspec.json.encode(record)
    except UnicodeEncodeError:  # the name of a file that is no UTF-8
        return json.dumps(record, ensure_ascii=False).encode(errors="replace")


def _lines(lines: Iterable[bytes]) -> None:
    """Write lines, flushed as they go."""
    for line in lines:
        _write(line)


def _json_list(records: Iterable[Record]) -> None:
    opened = False
    try:
        for record in records:
            _write((b",\n " if opened else b"[\n ") + _json(record))
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
    yield line.text.encode(errors="replace")
    for record in records:
        writer.writerow(_cell_csv(look(record, field)) for field in fields)
        yield line.text.encode(errors="replace")


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
    while True:
        cells: list[list[str]] = []
        try:
            for record in itertools.islice(rows, TABLE_ROWS):
                cells.append([printable(_text(look(record, column))) for column in columns])
        finally:  # interrupted: what is known is told
            if cells:
                _write(tabulate(cells, headers=heads, disable_numparse=True) + "\n")
        if not cells:
            return


def aligned(lines: Iterable[tuple[str, Any]]) -> str:
    """Names and values in two columns; a name without a value is left out."""
    pairs = [(printable(name), printable(_text(value))) for name, value in lines if value not in (None, "", [], {})]
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


def confirm(question: str, lines: Iterable[str]) -> None:
    """At a terminal show what is asked about, and go on only when that is wanted; elsewhere go on."""
    if sys.stdin is None or not sys.stdin.isatty() or not at_terminal():
        return
    for line in lines:
        click.echo(printable(line), err=True)
    click.confirm(question, abort=True, err=True)


def progress(rows: Iterable[R], lines: Input | None, quiet: bool, label: str = "looking up") -> Iterator[R]:
    """The rows, with a bar on stderr when that is a terminal of its own, by the share of the input that was read."""
    if quiet or lines is None or lines.size is None or not at_terminal() or (sys.stdout and sys.stdout.isatty()):
        yield from rows
        return
    with click.progressbar(length=lines.size, file=sys.stderr, show_pos=False, label=label) as bar:
        for row in rows:
            if lines.position != bar.pos:
                bar.update(lines.position - bar.pos)
            yield row
