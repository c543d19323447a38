"""Requests from files and pipes: every line has its number, and no line is too long to go on after."""

from __future__ import annotations

import io
import os
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.domain.errors import BadInput
from cryptosupport.outside.requestfiles import RequestLines


def told(source: IO[bytes]) -> list[tuple[int, bytes | str]]:
    return [(number, line.message if isinstance(line, BadInput) else line) for number, line in RequestLines(source)]


class Endless(io.RawIOBase):
    """So many bytes of one line, made when they are read, and then a line end."""

    def __init__(self, size: int, *, piece: bytes = b"x" * 65536) -> None:
        self._left, self._piece, self._ended = size, piece, False

    def read1(self, size: int) -> bytes:
        if not self._left:
            last, self._ended = b"" if self._ended else b"\nafter", True
            return last
        part = self._piece[: min(size, self._left)]
        self._left -= len(part)
        return part


def test_lines_come_with_their_numbers() -> None:
    assert told(io.BytesIO(b"one\ntwo\nthree\n")) == [(1, b"one"), (2, b"two"), (3, b"three")]


def test_the_last_line_needs_no_line_end() -> None:
    assert told(io.BytesIO(b"one\ntwo")) == [(1, b"one"), (2, b"two")]
    assert told(io.BytesIO(b"")) == []


def test_blank_lines_are_left_out_and_count() -> None:
    assert told(io.BytesIO(b"\n\none\n \t\n\ntwo\n\n\n")) == [(3, b"one"), (6, b"two")]


def test_nothing_of_a_line_is_taken_away() -> None:
    assert told(io.BytesIO(b" one \r\n\xff\0\r\n\r\n")) == [(1, b" one \r"), (2, b"\xff\0\r"), (3, b"\r")]


def test_a_line_may_have_64_kib_and_not_a_byte_more() -> None:
    most = b"x" * RequestLines.LONGEST
    for end in (b"\n", b""):
        assert told(io.BytesIO(most + end)) == [(1, most)]
        assert told(io.BytesIO(b"a\n" + most + b"x" + end)) == [
            (1, b"a"),
            (2, "this line is 65537 bytes long, and a request has at most 65536"),
        ]


@pytest.mark.parametrize("size", [10_000_000, 1_000_000_000])
def test_a_line_of_any_length_is_refused_in_flat_memory_and_the_next_is_read(size: int) -> None:
    tracemalloc.start()
    lines = told(Endless(size))  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lines == [(1, f"this line is {size} bytes long, and a request has at most 65536"), (2, b"after")]
    assert peak < 1_000_000


def test_many_lines_are_never_held_at_once() -> None:
    piece = b"a line of a request\n" * 3000
    tracemalloc.start()
    lines = RequestLines(Endless(len(piece) * 50, piece=piece))  # type: ignore[arg-type]
    assert sum(1 for _ in lines) == 3000 * 50 + 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000


@given(st.binary(max_size=400).map(lambda data: data.replace(b"x", b"\n")), st.integers(1, 9))
def test_how_it_is_cut_into_pieces_makes_no_difference(data: bytes, size: int) -> None:
    class Slow(io.BytesIO):
        def read1(self, wanted: int | None = -1, /) -> bytes:
            return super().read1(size)

    expected = [(n, line) for n, line in enumerate(data.split(b"\n"), 1) if line.strip(b" \t")]
    assert told(io.BytesIO(data)) == told(Slow(data)) == expected


# -- what is told of the source --------------------------------------------------------------------------------------


@contextmanager
def pipe() -> Iterator[tuple[IO[bytes], int]]:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source:
        yield source, writing


def test_a_file_has_a_size_and_a_position(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b"one\ntwo\n")
    with path.open("rb") as source:
        lines = RequestLines(source)
        assert (lines.size, lines.position, lines.ready(), lines.single) == (8, 0, True, False)
        assert len(list(lines)) == 2
        assert lines.position == 8


def test_a_pipe_has_no_size_and_tells_whether_there_is_more() -> None:
    with pipe() as (source, writing):
        lines = RequestLines(source)
        assert lines.size is None
        assert not lines.ready()
        os.write(writing, b"one\n\ntwo\n\n")
        assert lines.ready()
        each = iter(lines)
        assert next(each) == (1, b"one")
        assert lines.ready(), "the second line has been read already"
        assert next(each) == (3, b"two")
        assert not lines.ready(), "the blank line at the end is nothing to wait for"
        os.write(writing, b"three")
        os.close(writing)
        assert lines.ready()
        assert list(each) == [(5, b"three")]
        assert lines.ready()


def test_a_line_is_handed_over_before_the_pipe_ends() -> None:
    with pipe() as (source, writing):
        found = []
        lines = iter(RequestLines(source))
        reader = threading.Thread(target=lambda: found.append(next(lines)), daemon=True)
        reader.start()
        os.write(writing, b"one\ntw")
        reader.join(10)
        assert found == [(1, b"one")]
        os.close(writing)


class Broken(io.RawIOBase):
    """A disk that fails."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        raise OSError(5, "Input/output error")


def test_what_cannot_be_read_is_told() -> None:
    with pytest.raises(BadInput, match="the input cannot be read: Input/output error"):
        list(RequestLines(io.BufferedReader(Broken())))
