"""The installers: what is on PATH is used, and what they cannot do they say."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / "tools"
INSTALLERS = {"install-anvil.sh": ("anvil",), "install-bitcoind.sh": ("bitcoind", "bitcoin-cli")}


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder for PATH with what every machine has, and nothing that fetches."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("dirname", "mkdir", "uname", "cat"):
        (folder / name).symlink_to(shutil.which(name) or "/none")
    return folder


def install(script: str, path: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(TOOLS / script), str(target)]
    return subprocess.run(command, env={"PATH": str(path)}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", INSTALLERS)
def test_a_program_on_path_is_left_as_it_is(script: str, bare: Path, tmp_path: Path) -> None:
    for name in INSTALLERS[script]:
        (bare / name).write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
        (bare / name).chmod(0o755)
    done = install(script, bare, tmp_path / "target")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(("script", "needed"), [("install-anvil.sh", "npm"), ("install-bitcoind.sh", "apt-get")])
def test_without_a_way_to_fetch_it_says_what_to_do(script: str, needed: str, bare: Path, tmp_path: Path) -> None:
    done = install(script, bare, tmp_path / "target")
    assert done.returncode == 1
    assert f"no {needed} on this machine" in done.stderr
    assert "on PATH do" in done.stderr


@pytest.mark.parametrize("script", sorted(TOOLS.glob("*.sh")), ids=lambda path: path.name)
def test_no_script_names_a_host(script: Path) -> None:
    assert "://" not in script.read_text(encoding="utf-8")
