"""Processes timed from start to end, with the memory that they took at most."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Ran:
    """How long a process took, the most memory it held, and its exit code."""

    seconds: float
    peak_mb: float
    exit_code: int


def run(arguments: Sequence[str], output: Path | None = None, expected: Sequence[int] = (0,)) -> Ran:
    """Run the interpreter with ``arguments``. Raises `RuntimeError` for an exit code that is not ``expected``."""
    with open(output or os.devnull, "wb") as stream:
        began = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], stdout=stream, stderr=subprocess.PIPE, cwd=ROOT)
        assert process.stderr is not None
        complaints = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
    process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in expected:
        raise RuntimeError(f"{' '.join(arguments)}: exit code {process.returncode}: {complaints[-2000:].decode()}")
    return Ran(seconds, usage.ru_maxrss / 1024, process.returncode)


def interleaved(rounds: int, *measures: Callable[[int], float]) -> list[float]:
    """Run every measure once a round, so that all meet the same weather; return the median of each."""
    taken: list[list[float]] = [[] for _ in measures]
    for number in range(rounds):
        for place, measure in enumerate(measures):
            taken[place].append(measure(number))
    return [statistics.median(each) for each in taken]
