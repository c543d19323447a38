"""Requests from a file or a pipe, line by line, however long it is."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from select import select
from typing import IO

from cryptosupport.domain.errors import BadInput


class RequestLines:
    """The lines of ``source`` with their numbers, from 1; blank ones are left out, and count.

    Of a line of more than `LONGEST` bytes nothing is kept: a `BadInput` that tells its length stands in its place.
    ``position`` counts the bytes read; ``size`` is the file's, None where it has none. ``single`` is False: nothing
    here was named as an argument. Raises `BadInput` where the source cannot be read.
    """

    LONGEST = 65536
    _PIECE = 65536
    single = False

    def __init__(self, source: IO[bytes]) -> None:
        self.position = 0
        self.size = _size(source)
        self._source = source
        self._read: deque[tuple[int, bytes | BadInput]] = deque()
        self._ended = False
        self._number = 1  # of the line that has not ended yet,
        self._start = b""  # what is kept of it,
        self._length = 0  # and how long it is so far

    def __iter__(self) -> Iterator[tuple[int, bytes | BadInput]]:
        while self._read or not self._ended:
            while self._read:
                yield self._read.popleft()
            if not self._ended:
                self._read_on()

    def ready(self) -> bool:
        """Whether another line, or the end, can be had without waiting for whoever writes into the pipe."""
        if self._read or self._ended:
            return True
        try:
            return bool(select([self._source], [], [], 0)[0])
        except (OSError, ValueError):  # no pipe that can be asked
            return True

    def _read_on(self) -> None:
        """Take what is there, at least one byte; `read1` does not wait for more."""
        try:
            piece = self._source.read1(self._PIECE)  # type: ignore[attr-defined]
        except OSError as error:
            raise BadInput(f"the input cannot be read: {error.strerror}") from error
        self.position += len(piece)
        *ends, start = piece.split(b"\n")
        for end in ends:
            self._keep(end)
            self._end_line()
        self._keep(start)
        if not piece:
            self._ended = True
            self._end_line()

    def _keep(self, part: bytes) -> None:
        self._length += len(part)
        if self._length <= self.LONGEST:
            self._start += part

    def _end_line(self) -> None:
        if self._length > self.LONGEST:
            fault = f"this line is {self._length} bytes long, and a request has at most {self.LONGEST}"
            self._read.append((self._number, BadInput(fault)))
        elif self._start.strip(b" \t"):
            self._read.append((self._number, self._start))
        self._number, self._start, self._length = self._number + 1, b"", 0


def _size(source: IO[bytes]) -> int | None:
    """The size of a regular file."""
    try:
        return os.fstat(source.fileno()).st_size or None
    except OSError:
        return None
