"""Measure, say it, and write docs/benchmarks.md: `make bench`; `python -m bench PART...` for some parts alone."""

from __future__ import annotations

import datetime
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.measuring import ROOT
from bench.report import DOCUMENT, Measured, facts, say, write


def lookups(folder: Path) -> Measured:
    """Looking up transactions."""
    from bench.lookups import lookups

    return lookups(folder)


def deciding(folder: Path) -> Measured:
    """Deciding and recording requests."""
    from bench.deciding import measured

    return measured(folder)


def paying(folder: Path) -> Measured:
    """Paying on an EVM chain, and signing."""
    from bench.paying import measured

    return measured(folder)


def bitcoin(folder: Path) -> Measured:
    """Paying on Bitcoin, many at once."""
    from bench.batches import measured

    return measured(folder)


def reconcile(folder: Path) -> Measured:
    """Reconciling a wallet."""
    from bench.reconciling import measured

    return measured(folder)


PARTS: dict[str, Callable[[Path], Measured]] = {
    each.__name__: each for each in (lookups, deciding, paying, bitcoin, reconcile)
}


def main(wanted: Sequence[str]) -> int:
    """Measure some parts, or all, and write the report."""
    if unknown := [name for name in wanted if name not in PARTS]:
        say(f"there is no part {unknown[0]}: {', '.join(PARTS)}")
        return 2
    os.environ["PATH"] = f"{ROOT / '.tools' / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    began = time.monotonic()
    values: dict[str, str] = {}
    tools: list[str] = []
    for name in wanted or PARTS:
        alone = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="cryptosupport-bench-") as folder:
            measured = PARTS[name](Path(folder))
        if wanted:  # each is written at once: what comes after it may fail
            told = f"Of {_today()}, by `make bench PART={name}` in {_minutes(alone)} minutes: {facts(measured.tools)}."
            write(measured.values, told)
        values |= measured.values
        tools += measured.tools
    if not wanted:
        write(values | {"date": _today(), "minutes": _minutes(began), "facts": facts(tools)})
    print(DOCUMENT.read_text(encoding="utf-8"))
    return 0


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _minutes(since: float) -> str:
    return f"{(time.monotonic() - since) / 60:.1f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
