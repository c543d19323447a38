"""`completion` prints a script that completes commands and options, without asking any node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Configs, Program


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(run: Program, shell: str) -> None:
    done = run("completion", shell)
    assert done.exit_code == 0
    assert f"_CRYPTOSUPPORT_COMPLETE={shell}_complete" in done.stdout


def test_another_shell_is_bad_input(run: Program) -> None:
    done = run("completion", "tcsh")
    assert (done.exit_code, done.stdout) == (2, "")


@pytest.mark.parametrize(
    ("words", "position", "expected"),
    [
        ("cryptosupport ", 1, {"tx", "doctor", "init", "completion"}),
        ("cryptosupport tx ", 2, {"status", "explain"}),
        ("cryptosupport tx status --", 3, {"--chain", "--input", "--wait", "--json"}),
    ],
)
def test_what_the_script_asks_for_is_answered(run: Program, words: str, position: int, expected: set[str]) -> None:
    # The shell calls the program without arguments; ours of the fixture are common options, which change nothing.
    env = {"COMP_WORDS": words, "COMP_CWORD": str(position), "_CRYPTOSUPPORT_COMPLETE": "bash_complete"}
    done = run(env=env)
    assert done.exit_code == 0
    assert expected <= {line.partition(",")[2] for line in done.stdout.splitlines()}


def test_the_chains_of_the_settings_are_completed(run: Program, configs: Configs) -> None:
    folder = configs({"dev": "http://127.0.0.1:9", "devnet": "http://127.0.0.1:9", "other": "http://127.0.0.1:9"})
    env = {
        "COMP_WORDS": f"cryptosupport --configs {folder} tx status --chain de",
        "COMP_CWORD": "6",
        "_CRYPTOSUPPORT_COMPLETE": "bash_complete",
    }
    assert {line.partition(",")[2] for line in run(env=env).stdout.splitlines()} == {"dev", "devnet"}


def test_bash_completes_a_command(run: Program, tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("this machine has no bash")
    script = tmp_path / "completion.bash"
    script.write_text(run("completion", "bash").stdout, encoding="utf-8")
    program = tmp_path / "cryptosupport"
    program.write_text(f'#!/bin/sh\nexec "{_python()}" -m cryptosupport "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    ask = f'source "{script}"; COMP_WORDS=(cryptosupport do); COMP_CWORD=1; compopt() {{ :; }}; '
    ask += f'_cryptosupport_completion "{program}"; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run([bash, "-c", ask], capture_output=True, encoding="utf-8", check=True, timeout=60)
    assert "doctor" in done.stdout.split()


def _python() -> str:
    import sys

    return sys.executable
