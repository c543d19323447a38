"""The freeze file of this machine: it stops work here while the ledger is away; the ledger remembers what it said.

Anybody who may write it can freeze, with an editor or `echo all > freeze`. Deleting it lifts nothing that a run has
seen.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from cryptosupport.domain.errors import BadSettings
from cryptosupport.domain.freezes import ALL, FileLine, Scope, read_lines
from cryptosupport.settings.reading import content, is_there


def read(path: Path) -> list[FileLine]:
    """What the file says; nothing where there is none. A file that cannot be read freezes everything."""
    if not is_there(path):
        return []
    try:
        written_at = path.stat().st_mtime_ns // 10**6
        return read_lines(content(path).decode(errors="replace"), written_at)
    except OSError as error:
        return [FileLine(None, Scope(ALL), f"the freeze file cannot be read: {error.strerror}", 0)]


def append(path: Path, lines: Sequence[str]) -> None:
    """Add lines, made for good before this returns. Raises `BadSettings`."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(number, "wb") as file:
            file.write("".join(lines).encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise BadSettings(f"the freeze file {path} cannot be written: {error.strerror}") from error


def forget(path: Path, ids: Collection[str]) -> None:
    """Take out the lines of freezes that were lifted; a file without a line is removed. Raises `BadSettings`."""
    if not is_there(path):
        return
    try:
        written_at = path.stat().st_mtime_ns // 10**6
        text = content(path).decode(errors="replace")
        if all(line.freeze_id in ids for line in read_lines(text, written_at)):
            path.unlink()
            return
        kept = [
            line
            for line in text.splitlines(keepends=True)
            if not all(read.freeze_id in ids for read in read_lines(line, written_at))
        ]
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(number, "wb") as file:
            file.write("".join(kept).encode())
            file.flush()
            os.fsync(file.fileno())
        os.utime(name, ns=(written_at * 10**6, written_at * 10**6))  # lines without an id are known by this time
        os.replace(name, path)
    except OSError as error:
        raise BadSettings(f"the freeze file {path} cannot be written: {error.strerror}") from error
