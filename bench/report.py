"""docs/benchmarks.md: its sections are those of bench/report.md, each filled with what was measured for it."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from string import Formatter
from typing import TypeAlias

from bench.measuring import ROOT
from cryptosupport import __version__

DOCUMENT = ROOT / "docs" / "benchmarks.md"
TEMPLATE = Path(__file__).parent / "report.md"

Row: TypeAlias = tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """What a part found: what stands in its sections, by name, and the nodes and tools that it met, with versions."""

    values: Mapping[str, str]
    tools: tuple[str, ...] = ()


def say(text: str) -> None:
    """Tell how far things are."""
    print(text, file=sys.stderr, flush=True)


def table(heads: Row, rows: list[Row], words: int = 2) -> str:
    """A Markdown table; all columns but the first ``words`` are numbers."""
    line = "|".join("---" if place < words else "---:" for place in range(len(heads)))
    return "\n".join([f"| {' | '.join(heads)} |", f"|{line}|", *(f"| {' | '.join(row)} |" for row in rows), ""])


def facts(tools: Iterable[str]) -> str:
    """What it ran on, and what met: machine and versions."""
    own = [f"cryptosupport {__version__}", *(f"{each} {version(each)}" for each in ("web3", "python-bitcoinlib"))]
    return "; ".join(filter(None, (_machine(), ", ".join(own), ", ".join(dict.fromkeys(tools)))))


def write(values: Mapping[str, str], stamp: str = "") -> str:
    """Fill the sections whose values there are, leave the others as they stand in the document, and return it.

    With a ``stamp`` each that was filled begins with it.
    """
    before = _sections(DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.is_file() else "")
    told = []
    for heading, text in _sections(TEMPLATE.read_text(encoding="utf-8")).items():
        if _names(text) <= values.keys() and not (stamp and heading.startswith("# ")):
            filled = text.format(**values)
            told.append(filled.replace("\n\n", f"\n\n{stamp}\n\n", 1) if stamp else filled)
        elif heading in before:
            told.append(before[heading])
    text = "\n\n".join(each.strip("\n") for each in told) + "\n"
    DOCUMENT.write_text(text, encoding="utf-8")
    return text


def _sections(text: str) -> dict[str, str]:
    """The parts of a document by their headings, each with it."""
    parts = re.split(r"^(?=##? )", text, flags=re.MULTILINE)
    return {part.partition("\n")[0]: part for part in parts if part.strip()}


def _names(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def _machine() -> str:
    models = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    return f"{os.cpu_count()} cores ({model}), {platform.system()}, Python {platform.python_version()}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).is_file() else []
