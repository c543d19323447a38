"""The machine the program runs on: its clock, its terminal, and the options given to every command."""

from __future__ import annotations

import math
import sys
import time


class SystemClock:
    """The machine's time."""

    ends_at = math.inf

    def now(self) -> int:
        """Whole seconds since 1970, UTC."""
        return int(time.time())

    def milliseconds(self) -> int:
        """Whole milliseconds since 1970, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds on a clock that only moves forward."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def printable(text: str) -> str:
    """The text on one line, without characters that could steer a terminal or turn the reading direction.

    Blanks of any kind become spaces, and bytes of a file name that are no UTF-8 question marks.

    >>> printable("red\\x1b[31m,\\nnot \\udcff")
    'red[31m, not ?'
    """
    if text.isprintable():
        return text
    encoded = text.encode(errors="replace").decode()
    return "".join(each if each.isprintable() else " " if each.isspace() else "" for each in encoded)


def say(*lines: str) -> None:
    """Write lines to stderr, printable. Where that is closed or full nobody is told, and the work goes on."""
    import click

    try:
        for line in lines:
            click.echo(printable(line), err=True)
    except OSError:
        sys.stderr = None  # else the interpreter would fail on it once more at exit


def at_terminal() -> bool:
    """Whether stderr is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


class Options:
    """The common options, as far as given."""

    configs: str | None = None
    data: str | None = None
    locale: str | None = None
    quiet: bool = False
    log: str = "text"
