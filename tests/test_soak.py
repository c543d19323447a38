"""A short siege, and that one which is broken off leaves nothing behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Tell


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short name: the path of a socket may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="cs-") as made:
        yield Path(made)


def besiege(place: Path, *options: str) -> subprocess.Popen[str]:
    """Start a siege, whose folder is below ``place``."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.soak", "--under", str(place), *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("chain", "ledger"), [("ethereum", "sqlite"), ("ethereum", "postgresql"), ("bitcoin", "postgresql")]
)
def test_a_desk_under_siege_settles_each_withdrawal_once(place: Path, tell: Tell, chain: str, ledger: str) -> None:
    siege = besiege(place, "--minutes", "0.15", "--ledger", ledger, "--chain", chain)
    said, complaint = siege.communicate(timeout=900)
    for line in said.splitlines()[1:]:
        tell("a short siege", f"{chain}, {ledger}, {line}")
    assert siege.returncode == 0, (said, complaint)
    assert re.search(r"seed \d+: \d+ withdrawals, each settled exactly once; reconciled and verified", said)
    assert not list(place.glob("cryptosupport-soak-*"))


def test_a_siege_that_is_broken_off_ends_all_that_it_started_and_says_where_it_was(place: Path) -> None:
    siege = besiege(place, "--minutes", "5", "--ledger", "postgresql", "--chain", "ethereum")
    assert siege.stdout is not None
    first = siege.stdout.readline()
    folder = Path(re.search(r", in (\S+)$", first.strip()).group(1))  # type: ignore[union-attr]
    while not list(folder.glob("run/*.sock")):  # until signers answer
        assert siege.poll() is None
    started = below(siege.pid)
    assert len(started) > 5  # the node, the server and the signers
    siege.send_signal(signal.SIGINT)
    said, _ = siege.communicate(timeout=60)
    assert siege.returncode != 0
    assert f"what there is of it is kept in {folder}" in said
    assert [each for each in started if each in everybody()] == []


def everybody() -> dict[tuple[int, str], int]:
    """Who runs: the parent's id, by id and time of start."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            facts = (process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        found[int(process.name), facts[19]] = int(facts[1])
    return found


def below(pid: int) -> list[tuple[int, str]]:
    """All that a process has started, and what that has started."""
    runs = everybody()
    found: list[tuple[int, str]] = []
    parents = {pid}
    while more := [each for each, parent in runs.items() if parent in parents and each not in found]:
        found += more
        parents |= {number for number, _ in more}
    return found
