"""Lines of a file, a pipe or the command line as requests, in batches to be decided together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from cryptosupport.desk.take_in import Line
from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.identifiers import shortened
from cryptosupport.domain.requestlines import CsvForm, json_fields
from cryptosupport.domain.requests import Intake, read_request
from cryptosupport.domain.withdrawals import Request

AT_ONCE = 1000
"""The most requests that are decided in one transaction."""

_MAYBE_A_SECRET = re.compile(r"""(?:0x)?[0-9a-fA-F]{64}|\b[A-Za-z]{1,8}(?:[\s,;"']+[A-Za-z]{1,8}){11,}\b""")
"""What can be a private key or a recovery phrase, pasted where something else belongs."""

Raw: TypeAlias = tuple[int, bytes | BadInput]
"""A line with its number, or why it is none."""

Parse: TypeAlias = Callable[[bytes], Mapping[str, object]]


def one_request(fields: Mapping[str, object], intake: Intake, maker: str | None) -> Line:
    """A request that was named by options. Raises `BadInput`."""
    return Line(1, "", read_request(fields, intake), "option", maker)


def requests_of(
    lines: Iterable[Raw], form: str, intake: Intake, source: str, maker: str | None, ready: Callable[[], bool]
) -> Iterator[list[Line]]:
    """Read ``lines`` of the ``form`` jsonl or csv, and give them out in batches.

    A batch is full at `AT_ONCE` lines, or when the next one would have to be waited for (``ready``). Raises `BadInput`
    for a header that cannot be used.
    """
    rows = iter(lines)
    parse: Parse = json_fields if form == "jsonl" else _header(rows)
    batch: list[Line] = []
    for number, raw in rows:
        batch.append(_line(number, raw, parse, intake, source, maker))
        if len(batch) == AT_ONCE or not ready():
            yield batch
            batch = []
    if batch:
        yield batch


def _header(rows: Iterator[Raw]) -> Parse:
    number, raw = next(rows, (1, BadInput("the input is empty: its first line names the columns")))
    if isinstance(raw, BadInput):
        raise BadInput(f"line {number}: {raw.message}", line=number)
    if raw.startswith(b"{"):
        raise BadInput(f"line {number} is JSON, and the input was said to be CSV: say jsonl", line=number)
    try:
        return CsvForm(raw).fields
    except BadInput as error:
        raise BadInput(f"line {number}: {error.message}", line=number) from error


def _line(number: int, raw: bytes | BadInput, parse: Parse, intake: Intake, source: str, maker: str | None) -> Line:
    if isinstance(raw, BadInput):
        return Line(number, "", raw, source, maker)
    text = shortened(_MAYBE_A_SECRET.sub("…", raw[:4096].decode("utf-8", "replace")))
    read: Request | BadInput
    fields: Mapping[str, object] = {}
    try:
        fields = parse(raw)
        read = read_request(fields, intake)
    except BadInput as error:
        read = BadInput(error.message, **{**error.facts, "request_id": fields.get("request_id")})
        if parse is json_fields and b"," in raw and not raw.lstrip().startswith((b"{", b"[")):
            read = BadInput(f"{error.message}; is this CSV? add --format csv", **error.facts)
    return Line(number, text, read, source, maker)
