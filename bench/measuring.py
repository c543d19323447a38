"""Processes timed from start to end, with the memory that they took at most."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[1]


def run(
    arguments: Sequence[str],
    output: Path | None = None,
    expected: Sequence[int] = (0,),
    more: Mapping[str, str] | None = None,
    stdin: IO[bytes] | None = None,
) -> float:
    """Run the interpreter with ``arguments`` and return the seconds that it took, from start to end.

    ``more`` are variables of its environment beside ours. Raises `RuntimeError` for an exit code that is not
    ``expected``.
    """
    with open(output or os.devnull, "wb") as stream:
        began = time.perf_counter()
        command = [sys.executable, *arguments]
        env = {**os.environ, **(more or {})}
        streams: Any = {"stdin": stdin, "stdout": stream, "stderr": subprocess.PIPE}
        done = subprocess.run(command, **streams, cwd=ROOT, check=False, env=env)
        seconds = time.perf_counter() - began
    if done.returncode not in expected:
        raise RuntimeError(f"{' '.join(arguments)}: exit code {done.returncode}: {done.stderr[-2000:].decode()}")
    return seconds


def peak_mb(
    arguments: Sequence[str], output: Path, expected: Sequence[int], more: Mapping[str, str] | None = None
) -> tuple[float, float]:
    """Run the interpreter with ``arguments`` and return the seconds and the most memory (MB) that it took.

    Started by a small process: Linux counts what the one that forks holds as the child's. ``more`` as for `run`.
    """
    launcher = (
        "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:], stderr=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); sys.exit(code)"
    )
    with output.open("wb") as stream:
        began = time.perf_counter()
        command = [sys.executable, "-S", "-c", launcher, sys.executable, *arguments]
        env = {**os.environ, **(more or {})}
        done = subprocess.run(command, stdout=stream, stderr=subprocess.PIPE, cwd=ROOT, check=False, env=env)
        seconds = time.perf_counter() - began
    if done.returncode not in expected:
        raise RuntimeError(f"{' '.join(arguments)}: exit code {done.returncode}")
    return seconds, int(done.stderr.split()[-1]) / 1024


def interleaved(rounds: int, *measures: Callable[[int], float]) -> list[float]:
    """Run every measure once a round, so that all meet the same weather; return the median of each."""
    taken: list[list[float]] = [[] for _ in measures]
    for number in range(rounds):
        for place, measure in enumerate(measures):
            taken[place].append(measure(number))
    return [statistics.median(each) for each in taken]
