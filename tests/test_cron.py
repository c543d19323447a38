"""configs/cron: what stands there to be copied can be run as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import ROOT, Program

CRON = ROOT / "configs" / "cron"
FIELD = r"[0-9*/,-]+"


def jobs() -> list[str]:
    """The lines of the crontab that run something."""
    lines = (CRON / "crontab").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#") and not re.match(r"[A-Z_]+=", line)]


def services() -> list[Path]:
    """The units that systemd starts."""
    return sorted(CRON.glob("*.service"))


def arguments(line: str) -> list[list[str]]:
    """The arguments of each `cryptosupport` in a line of shell, without where its output goes."""
    found = re.findall(r"\bcryptosupport ((?:(?!>|\||;|2>).)*)", line.replace("\\%", "%"))
    return [shlex.split(each) for each in found]


@pytest.mark.parametrize("line", jobs())
def test_each_line_of_the_crontab_is_one_and_its_options_exist(line: str, run: Program) -> None:
    assert re.match(rf"{FIELD} {FIELD} {FIELD} {FIELD} {FIELD} +\S", line)
    assert "%" not in line.replace("\\%", ""), "cron takes a bare % for the end of the line"
    (words,) = [each for each in arguments(line) if each]
    done = run(*words, "--help")
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize("path", services(), ids=lambda path: path.name)
def test_each_service_has_its_timer_and_runs_what_there_is(path: Path, run: Program) -> None:
    (command,) = re.findall(r"^ExecStart=/usr/local/bin/cryptosupport (.*)$", path.read_text(encoding="utf-8"), re.M)
    done = run(*shlex.split(command), "--help")
    assert done.exit_code == 0, done.stderr
    timer = path.with_suffix(".timer").read_text(encoding="utf-8")
    assert re.search(r"^OnCalendar=\S+$", timer, re.M)
    assert re.search(r"^WantedBy=timers.target$", timer, re.M)
