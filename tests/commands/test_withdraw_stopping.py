"""How `withdraw submit` ends before its input does: what was recorded stays, and a second run says the same."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cryptosupport.outside.locks import lock
from tests.commands.test_progress import watched
from tests.commands.test_streams import shell
from tests.commands.withdrawkit import asked, desk, in_this_process, jsonl
from tests.conftest import Program

LIMITED = '[[rules]]\nname = "few"\nper = "global"\nwindow = "24h"\nmax_count = 2500\non_exceed = "deny"\n'


@pytest.fixture(autouse=True)
def configs(tmp_path: Path) -> Path:
    """The settings folder, with a policy that allows 2,500 withdrawals."""
    return desk(tmp_path / "configs", LIMITED)


@pytest.fixture
def run(tmp_path: Path) -> Program:
    """The program, with the settings and the data of this test."""
    return in_this_process(tmp_path)


def requests(path: Path, number: int = 3000) -> Path:
    """A file of so many requests, of which 2,500 are allowed."""
    path.write_text(jsonl(*(asked(f"w-{n}", "0.001") for n in range(number))), encoding="utf-8")
    return path


def states(run: Program) -> list[tuple[str, str]]:
    """What is recorded, in order of arrival."""
    return [(row["request_id"], row["state"]) for row in run("withdraw", "list", "-o", "jsonl").jsonl]


@pytest.mark.parametrize(("by", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_between_batches_leaves_what_was_recorded_and_a_whole_list(
    command: list[str], run: Program, by: signal.Signals, code: int
) -> None:
    arguments = [*command, "withdraw", "submit", "--input", "-", "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(jsonl(asked("a"), asked("b")).encode())
        process.stdin.flush()
        told = b""
        while told.count(b'"repeated":false') < 2:
            told += (piece := process.stdout.read1())  # type: ignore[attr-defined]
            assert piece, "it has ended"
        process.send_signal(by)
        rest, complaint = process.communicate(timeout=90)
    assert process.returncode == code
    rows = json.loads(told + rest)
    assert [row["state"] for row in rows] == ["approved", "approved"]
    assert json.loads(complaint)["error"]["code"] == "interrupted"
    assert states(run) == [("a", "approved"), ("b", "approved")]
    again = run("withdraw", "submit", "--input", "-", "--json", stdin=jsonl(asked("a"), asked("b"), asked("c")))
    assert [row["repeated"] for row in again.json] == [True, True, False]
    assert [row | {"repeated": False} for row in again.json[:2]] == rows


def killed(command: list[str], source: Path, by: signal.Signals) -> list[dict[str, Any]]:
    """The rows of a run that gets a signal when it has told the first of its batches."""
    arguments = [*command, "withdraw", "submit", "--input", str(source), "-o", "jsonl"]
    # Unbuffered: what `readline` reads ahead would be lost to `communicate`.
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(by)
        rest, _ = process.communicate(timeout=90)
    whole = (first + rest).rpartition(b"\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_was_cut_short_is_run_again_and_ends_as_if_it_had_not_been(
    command: list[str], run: Program, tmp_path: Path, by: signal.Signals
) -> None:
    source = requests(tmp_path / "requests")
    told = killed(command, source, by)
    assert told
    recorded = dict(states(run))
    assert all(recorded[row["request_id"]] == row["state"] for row in told), "what was told is recorded"
    again = run("withdraw", "submit", "--input", str(source), "-o", "jsonl")
    assert again.exit_code == 3
    assert [row["state"] for row in again.jsonl] == ["approved"] * 2500 + ["rejected"] * 500
    assert len(states(run)) == 3000


def test_a_reader_that_goes_away_leaves_what_was_recorded(command: list[str], run: Program, tmp_path: Path) -> None:
    source = requests(tmp_path / "requests")
    piped = "| head -n 1; exit ${PIPESTATUS[0]}"
    done = shell(command, "withdraw", "submit", "--input", str(source), "-o", "jsonl", redirect=piped)
    assert (done.returncode, done.stderr) == (141, b"")
    recorded = len(states(run))
    assert 1000 <= recorded < 3000
    assert recorded % 1000 == 0
    again = run("withdraw", "submit", "--input", str(source), "-o", "jsonl").jsonl
    assert sum(row["repeated"] for row in again) == recorded
    assert again[0] | {"repeated": False} == json.loads(done.stdout)


@pytest.mark.parametrize("redirect", [">&-", ">/dev/full"])
def test_a_result_without_a_place_to_go_is_recorded_all_the_same(
    command: list[str], run: Program, tmp_path: Path, redirect: str
) -> None:
    source = requests(tmp_path / "requests", 2)
    done = shell(command, "withdraw", "submit", "--input", str(source), "-o", "jsonl", redirect=redirect)
    assert done.returncode == 1
    assert b"tandard output" in done.stderr
    assert [state for _, state in states(run)] == ["approved"] * 2


def test_a_closed_stdin_is_bad_usage(command: list[str]) -> None:
    done = shell(command, "withdraw", "submit", "--input", "-", "--json", redirect="<&-")
    assert (done.returncode, done.stdout) == (2, b"")
    assert "stdin is closed" in json.loads(done.stderr)["error"]["message"]


def test_a_bar_grows_on_the_terminal_and_the_results_stay_clean(command: list[str], tmp_path: Path) -> None:
    arguments = ("withdraw", "submit", "--input", str(requests(tmp_path / "requests", 2500)), "-o", "jsonl")
    shown = watched(command, *arguments, results=tmp_path / "out")
    assert "taking in" in shown
    assert "100%" in shown
    assert all(line.startswith("{") for line in (tmp_path / "out").read_text().splitlines())
    assert watched(command, *arguments, "--quiet", results=tmp_path / "out") == ""


def test_the_lock_of_a_run_that_was_killed_is_free(tmp_path: Path, command: list[str], run: Program) -> None:
    hold = "import sys, time\nfrom pathlib import Path\nfrom cryptosupport.outside.locks import lock\n"
    hold += "with lock(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    path = tmp_path / "data" / "withdraw-run.lock"
    with subprocess.Popen([command[0], "-c", hold, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert run("withdraw", "run", "--fail-if-locked").exit_code == 75
        process.kill()
    assert run("withdraw", "run", "--fail-if-locked").exit_code == 0


def test_a_lock_file_is_for_its_owner_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "data" / "withdraw-run.lock"
    with lock(path):
        pass
    assert path.stat().st_mode & 0o777 == 0o600
    with lock(path):
        pass


def test_no_place_for_the_lock_is_bad_settings(command: list[str], configs: Path) -> None:
    done = subprocess.run([*command, "--data", "/proc/nope", "withdraw", "run"], capture_output=True, check=False)
    assert done.returncode == 8
    assert b"/proc/nope" in done.stderr
