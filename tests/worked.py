"""The worked examples of the documents: found, run as they stand, and compared.

With CRYPTOSUPPORT_UPDATE_README=1 in the environment they are written anew, to be read before they are kept. An example
is a console block behind `<!-- example: NAME -->`; a block behind `<!-- file: PATH -->` is a file that it needs.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.conftest import Program

UPDATE = bool(os.environ.get("CRYPTOSUPPORT_UPDATE_README"))

ID = re.compile(r"(?<![0-9a-f])(?:0x)?[0-9a-f]{64}(?![0-9a-f])")
EXAMPLE = re.compile(r"<!-- example: ([\w, -]+) -->\n```console\n(.*?)```\n", re.DOTALL)
FILE = re.compile(r"<!-- file: ([\w./-]+) -->\n```\w*\n(.*?)```\n", re.DOTALL)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
# What differs from run to run: ids, addresses of nodes' wallets, times, ports, and fees, which follow the length of
# signatures.
VARIES = (
    (ID, "ID"),
    (re.compile(r"0x[0-9a-fA-F]{40}\b"), "ADDRESS"),
    (re.compile(r"\bbcrt1[0-9a-z]+"), "ADDRESS"),
    (TIME, "TIME"),
    (re.compile(r"127\.0\.0\.1:\d+"), "NODE"),
    (re.compile(r"\d+\.\d{5,}"), "AMOUNT"),  # fees, and the change after them
)

Same = Callable[[str], str]
"""Makes a command of today out of the one that is written, or a document's text out of what happened."""


def text(path: Path) -> str:
    """What the file holds."""
    return path.read_text(encoding="utf-8")


def examples(document: Path) -> dict[str, str]:
    """The examples by name, as they are written."""
    return dict(EXAMPLE.findall(text(document)))


def commands(written: str) -> list[str]:
    """The commands of an example."""
    return [line[2:] for line in written.splitlines() if line.startswith("$ ")]


def steady(said: str) -> str:
    """The text without what differs from run to run; the columns of a table move with their content."""
    for pattern, name in VARIES:
        said = pattern.sub(name, said)
    return re.sub(r"(?m) +$", "", said)


def lay_out(document: Path, folder: Path) -> None:
    """Write the files that the document shows into ``folder``; a time in them is now."""
    for name, content in FILE.findall(text(document)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TIME.sub(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", content), encoding="utf-8")


def as_is(written: str) -> str:
    """The text itself."""
    return written


def play(written: str, run: Program, folder: Path, today: Same = as_is) -> str:
    """Run the commands of an example in ``folder``; return the example as it would have to be written."""
    exit_code, happened = 0, ""
    for command in map(today, commands(written)):
        match shlex.split(command):
            case ["cryptosupport", *arguments]:
                done = run(*arguments)
                exit_code, said = done.exit_code, done.stdout
                assert "Traceback" not in done.stderr
                assert "an error of the program itself" not in done.stderr
            case ["cat", file]:
                said = text(folder / file)
            case ["echo", "$?"]:
                said = f"{exit_code}\n"
            case other:
                raise AssertionError(f"the examples know no {other}")
        happened += f"$ {command}\n{said}"
    return happened


def compare(document: Path, name: str, happened: str, as_written: Same = as_is) -> None:
    """See that the example ``name`` is written as it ``happened``; write it so where that is asked for."""
    written = examples(document)[name]
    if UPDATE and steady(happened) != steady(written):
        document.write_text(text(document).replace(written, as_written(happened)), encoding="utf-8")
    assert steady(happened) == steady(examples(document)[name])
