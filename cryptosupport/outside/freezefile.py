"""The freeze file of this machine: it stops work here while the ledger is away; the ledger remembers what it said.

Anybody who may write it can freeze, with an editor or `echo all > freeze`. Deleting it lifts nothing that a run has
seen.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from cryptosupport.domain.errors import BadSettings, Locked
from cryptosupport.domain.freezes import ALL, FileLine, Scope, read_lines
from cryptosupport.outside.locks import lock
from cryptosupport.settings.reading import content, is_there

_PATIENCE = 2.0


def read(path: Path) -> list[FileLine]:
    """What the file says; nothing where there is none. A file that cannot be read freezes everything."""
    if not is_there(path):
        return []
    status = None
    try:
        status = path.lstat()
        status = path.stat()
        return read_lines(content(path).decode(errors="replace"), status.st_mtime_ns // 10**6)
    except OSError as error:
        if not is_there(path):  # it was taken away meanwhile: the last line in it was lifted
            return []
        # By its times it is told from one that could not be read before, and was lifted: a change of mode is seen too.
        times = 0 if status is None else (status.st_mtime_ns + status.st_ctime_ns) // 10**6
        return [FileLine(None, Scope(ALL), f"the freeze file cannot be read: {error.strerror}", times, unread=True)]


def append(path: Path, lines: Sequence[str]) -> None:
    """Add lines, made for good before this returns. Raises `BadSettings`."""
    with _alone(path):
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Not to wait for whoever reads a pipe of this name, should there be one.
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
            number = os.open(path, flags, 0o600)
            with os.fdopen(number, "r+b", buffering=0) as file:
                file.write((_line_end(number) + "".join(lines)).encode())
                os.fsync(number)
            _settle(path.parent)
        except OSError as error:
            raise BadSettings(f"the freeze file {path} cannot be written: {error.strerror}") from error


def _line_end(number: int) -> str:
    """What ends the last line of the file, where whoever wrote it did not: the next would be part of it."""
    size = os.fstat(number).st_size
    return "\n" if size and os.pread(number, 1, size - 1) != b"\n" else ""


def forget(path: Path, ids: Collection[str]) -> None:
    """Take out the lines of freezes that were lifted; a file without a line is removed. Raises `BadSettings`."""
    with _alone(path):
        if not ids or not is_there(path):
            return
        try:
            status = path.stat()
            written_at = status.st_mtime_ns // 10**6
            text = content(path).decode(errors="replace")
            if _gone(text, written_at, ids):
                path.unlink()
                return
            kept = [line for line in text.splitlines(keepends=True) if not _gone(line, written_at, ids)]
            if len(kept) < len(text.splitlines()):
                _replace(path, "".join(kept), status)
        except OSError as error:
            raise BadSettings(f"the freeze file {path} cannot be written: {error.strerror}") from error


def _gone(text: str, written_at: int, ids: Collection[str]) -> bool:
    """Whether all that stands there was lifted."""
    return all({line.freeze_id, line.said_id}.intersection(ids) for line in read_lines(text, written_at))


def _replace(path: Path, text: str, status: os.stat_result) -> None:
    """Put ``text`` in the file's place: whole or not at all, as old as before, and for the same people."""
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(number, "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fchmod(number, status.st_mode & 0o777)
        os.fsync(number)
    os.utime(name, ns=(status.st_mtime_ns, status.st_mtime_ns))  # lines without an id are known by this time
    os.replace(name, path)
    _settle(path.parent)


def _settle(folder: Path) -> None:
    """Make a new name in a folder last."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Meanwhile no other run writes the file; where the lock cannot be had it goes on: a freeze waits for nobody."""
    with ExitStack() as stack:
        with suppress(Locked, BadSettings):
            stack.enter_context(lock(path.with_name(f".{path.name}.lock"), _PATIENCE))
        yield
