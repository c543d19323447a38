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


def say(message: str) -> None:
    """Write a line to stderr. Where that is closed or full nobody is told, and the work goes on."""
    import click

    try:
        click.echo(message, err=True)
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
