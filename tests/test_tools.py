"""The installers: what is on PATH is used, and what they cannot do they say."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / "tools"
INSTALLERS = {
    "install-anvil.sh": ("anvil",),
    "install-bitcoind.sh": ("bitcoind", "bitcoin-cli"),
    "install-cast.sh": ("cast",),
    "install-spin.sh": ("spin",),
    "install-ssh-keygen.sh": ("ssh-keygen",),
}
FROM_NPM = ("install-anvil.sh", "install-cast.sh")
NEEDED = {name: "npm" if name in FROM_NPM else "apt-get" for name in INSTALLERS}
SAYS = {"spin": "Spin Version 6", "cast": "cast Version: 1.7.1"}


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
        (bare / name).write_text(f"#!/bin/sh\necho '{SAYS.get(name, '')}'\n", encoding="utf-8")
        (bare / name).chmod(0o755)
    done = install(script, bare, tmp_path / "target")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(("script", "needed"), NEEDED.items())
def test_without_a_way_to_fetch_it_says_what_to_do(script: str, needed: str, bare: Path, tmp_path: Path) -> None:
    done = install(script, bare, tmp_path / "target")
    assert done.returncode == 1
    assert f"no {needed} on this machine" in done.stderr
    assert "on PATH do" in done.stderr


@pytest.mark.parametrize("name", SAYS)
def test_another_program_of_that_name_is_not_taken_for_it(name: str, bare: Path, tmp_path: Path) -> None:
    (bare / name).write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    (bare / name).chmod(0o755)
    assert install(f"install-{name}.sh", bare, tmp_path / "target").returncode == 1


def test_an_archive_of_another_content_is_not_unpacked(bare: Path, tmp_path: Path) -> None:
    for name in ("flock", "mktemp", "openssl", "rm", "uname"):
        if not (bare / name).exists():
            (bare / name).symlink_to(shutil.which(name) or "/none")
    (bare / "npm").write_text("#!/bin/sh\necho other >it.tgz\necho it.tgz\n", encoding="utf-8")
    (bare / "npm").chmod(0o755)
    done = install("install-cast.sh", bare, tmp_path / "target")
    assert done.returncode == 1
    assert "is not the one that is expected" in done.stderr
    assert sorted(path.name for path in (tmp_path / "target").rglob("*")) == ["bin", "cast.lock"]


@pytest.fixture
def packaged(bare: Path) -> Path:
    """The same folder with a package tool whose openssh-client holds a program that does nothing, and a set-uid one."""
    for name in ("apt-cache", "chmod", "cp", "flock", "ln", "mktemp", "mv", "rm", "tail"):
        (bare / name).symlink_to(shutil.which(name) or "/none")
    unpack = """
    mkdir -p "$3/usr/bin" && cd "$3/usr/bin"
    for each in ssh-keygen ssh-keysign; do printf '#!/bin/sh\nexit 0\n' >$each; chmod 4755 $each; done
    """
    fetch = 'case "$*" in *download*) : >openssh-client.deb ;; esac'
    for name, script in {"apt-get": fetch, "dpkg-deb": unpack}.items():
        (bare / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (bare / name).chmod(0o755)
    return bare


needs_apt = pytest.mark.skipif(
    not (shutil.which("apt-cache") and shutil.which("flock")), reason="this machine has no apt or no flock"
)


@needs_apt
def test_of_the_package_the_one_program_is_kept_and_found_the_next_time(packaged: Path, tmp_path: Path) -> None:
    target = tmp_path / "a target"
    done = install("install-ssh-keygen.sh", packaged, target)
    assert (done.returncode, done.stderr) == (0, "")
    subprocess.run([target / "bin" / "ssh-keygen"], check=True)
    kept = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert kept == {"bin/ssh-keygen", "openssh/ssh-keygen", "openssh.lock"}
    assert not (target / "openssh" / "ssh-keygen").stat().st_mode & 0o4000
    (packaged / "apt-get").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    again = install("install-ssh-keygen.sh", packaged, target)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


@needs_apt
@pytest.mark.parametrize(
    ("tool", "script", "told"),
    [
        ("apt-get", "exit 1", "apt could not fetch openssh-client"),
        ("dpkg-deb", 'mkdir -p "$3/usr/bin"', "does not hold what it should"),
        ("dpkg-deb", "exit 1", "could not be unpacked"),
    ],
)
def test_what_cannot_be_fetched_leaves_nothing_that_looks_finished(
    tool: str, script: str, told: str, packaged: Path, tmp_path: Path
) -> None:
    (packaged / tool).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    done = install("install-ssh-keygen.sh", packaged, tmp_path / "target")
    assert done.returncode != 0
    assert told in done.stderr
    assert sorted(path.name for path in (tmp_path / "target").rglob("*")) == ["bin", "openssh.lock"]


@pytest.mark.parametrize("script", sorted(TOOLS.glob("*.sh")), ids=lambda path: path.name)
def test_no_script_names_a_host(script: Path) -> None:
    assert "://" not in script.read_text(encoding="utf-8")


def test_the_files_of_tests_are_where_tmpdir_says(tmp_path: Path) -> None:
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([TOOLS / "scratch.sh"], env=env, capture_output=True, text=True, check=True)
    assert list(tmp_path.iterdir()) == [made := Path(done.stdout.strip())]
    assert made.stat().st_mode & 0o777 == 0o711


def test_without_tmpdir_programs_run_in_the_folder_for_the_files_of_tests() -> None:
    env = {name: value for name, value in os.environ.items() if name != "TMPDIR"}
    done = subprocess.run([TOOLS / "scratch.sh"], env=env, capture_output=True, text=True, check=True)
    made = Path(done.stdout.strip())
    try:
        (made / "runs").write_text("#!/bin/sh\necho it runs\n", encoding="utf-8")
        (made / "runs").chmod(0o700)
        assert subprocess.run([made / "runs"], capture_output=True, text=True, check=True).stdout == "it runs\n"
    finally:
        shutil.rmtree(made)
