"""Standard streams that are closed, full, or of another encoding."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chains.evmkit import FOUND, OTHER, TXID, node_of
from tests.conftest import Configs
from tests.hostile import HostileNode

UNWRITABLE = ("--data", "/proc/nope")
"""A data folder that makes a warning."""


@pytest.fixture(autouse=True)
def node(configs: Configs) -> Iterator[None]:
    """One chain, whose node knows one transaction."""
    with HostileNode(node_of(FOUND)) as server:
        configs({"dev": server.url})
        yield


def shell(command: list[str], *arguments: str | bytes, redirect: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Run with the streams as ``redirect`` says, in the words of the shell."""
    return subprocess.run(
        ["bash", "-c", f'"$@" {redirect}', "bash", *command, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=os.environ | env,
        timeout=90,
        check=False,
    )


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full"])
def test_without_a_stderr_the_result_is_the_same(command: list[str], redirect: str) -> None:
    for extra in (UNWRITABLE, (*UNWRITABLE, "--log", "json")):
        done = shell(command, "tx", "status", TXID, "--json", *extra, redirect=redirect)
        assert (done.returncode, json.loads(done.stdout)["state"]) == (0, "confirmed")
    nothing = shell(command, "tx", "status", "nonsense", "--json", redirect=redirect)
    assert (nothing.returncode, nothing.stdout) == (2, b"")
    usage = shell(command, "tx", "status", "--nope", redirect=redirect)
    assert (usage.returncode, usage.stdout) == (2, b"")


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full"])
def test_without_a_stderr_there_is_no_bar_and_no_note(command: list[str], redirect: str, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text(f"{TXID}\n{TXID}\n", encoding="utf-8")
    for wait in ((), ("--wait",)):
        arguments = ("--input", str(tmp_path / "ids"), "-o", "jsonl", *wait)
        done = shell(command, "tx", "status", *arguments, redirect=redirect)
        assert (done.returncode, done.stdout.count(b"confirmed")) == (0, 2)


@pytest.mark.parametrize("source", [("-",), ("--input", "-")])
def test_a_closed_stdin_is_bad_usage(command: list[str], source: tuple[str, ...]) -> None:
    done = shell(command, "tx", "status", *source, "--json", redirect="<&-")
    assert (done.returncode, done.stdout) == (2, b"")
    assert "stdin is closed" in json.loads(done.stderr)["error"]["message"]


@pytest.mark.parametrize("redirect", [">&-", ">/dev/full"])
@pytest.mark.parametrize("form", [(TXID,), (TXID, OTHER), (TXID, "--json"), (TXID, OTHER, "--json"), (TXID, "-ocsv")])
def test_a_result_without_a_place_to_go_is_said_so(command: list[str], redirect: str, form: tuple[str, ...]) -> None:
    done = shell(command, "tx", "status", *form, redirect=redirect)
    assert done.returncode == 1
    assert b"tandard output" in done.stderr
    assert b"report it" not in done.stderr


def test_a_reader_that_goes_away_is_141(command: list[str]) -> None:
    piped = "| head -c 1; exit ${PIPESTATUS[0]}"
    done = shell(command, "tx", "status", *[TXID] * 3000, "--brief", "-o", "jsonl", redirect=piped)
    assert (done.returncode, done.stdout, done.stderr) == (141, b"{", b"")


def test_names_that_are_no_utf8_are_shown_with_question_marks(command: list[str]) -> None:
    odd = b"/tmp/\xff"
    done = shell(command, "--configs", odd, "tx", "status", TXID, "--json", redirect="")
    assert done.returncode == 8
    assert "/tmp/?" in json.loads(done.stderr)["error"]["message"]
    assert b"/tmp/?" in shell(command, "--configs", odd, "tx", "status", TXID, redirect="").stderr
    done = shell(command, "tx", "status", b"\xff0x", TXID, "--json", redirect="")
    assert (done.returncode, json.loads(done.stdout)[0]["input"]) == (2, "?0x")


def test_letters_that_the_terminal_lacks_are_question_marks(command: list[str]) -> None:
    for subjects in ((TXID,), (TXID, OTHER)):
        done = shell(command, "tx", "status", *subjects, "--locale", "zh-CN", redirect="", PYTHONIOENCODING="latin-1")
        assert (b"?" in done.stdout, b"Traceback" in done.stderr, done.stdout.isascii()) == (True, False, True)


def test_bad_settings_leave_no_list_on_stdout(command: list[str], configs: Configs) -> None:
    configs({}, desk="x = 1\n")
    done = shell(command, "tx", "status", TXID, OTHER, "--json", redirect="")
    assert (done.returncode, done.stdout) == (8, b"")
