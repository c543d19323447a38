"""The progress bar: on a terminal's stderr, never in the results."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from cryptosupport.outside.nodes import Anvil
from tests.conftest import Configs


def watched(command: list[str], *arguments: str, results: Path) -> str:
    """Run with a terminal as stderr and a file as stdout; what the terminal showed."""
    ours, theirs = pty.openpty()
    with results.open("wb") as out:
        process = subprocess.Popen([*command, *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:  # the other side has closed
        pass
    finally:
        os.close(ours)
    assert process.wait(90) == 0
    return shown.decode()


@pytest.fixture
def ids(anvil: Anvil, configs: Configs, tmp_path: Path) -> Path:
    configs({"dev": anvil}, dev={"confirmations": 1})
    sender = anvil.rpc("eth_accounts")[0]
    txid = anvil.rpc("eth_sendTransaction", {"from": sender, "to": sender, "value": "0x1"})
    (tmp_path / "ids").write_text(f"{txid}\n" * 3000)
    return tmp_path / "ids"


def test_a_bar_grows_on_the_terminal_and_the_results_stay_clean(command: list[str], ids: Path, tmp_path: Path) -> None:
    shown = watched(command, "tx", "status", "--input", str(ids), "--brief", "-o", "jsonl", results=tmp_path / "out")
    assert "looking up" in shown
    assert "100%" in shown
    lines = (tmp_path / "out").read_text().splitlines()
    assert len(lines) == 3000
    assert all(line.startswith("{") for line in lines)


def test_quiet_shows_no_bar(command: list[str], ids: Path, tmp_path: Path) -> None:
    arguments = ("tx", "status", "--input", str(ids), "--brief", "-o", "jsonl", "--quiet")
    assert watched(command, *arguments, results=tmp_path / "out") == ""
