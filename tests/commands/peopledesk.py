"""A desk with people for tests of commands: alice, bob and carol in force, with keys in a keyring of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from sqlalchemy import create_engine, text

from cryptosupport.outside.keyfile import FILE, PASSPHRASE, PASSPHRASE_FILE
from tests.commands.withdrawkit import asked, desk, in_this_process, options
from tests.conftest import Program, Run

POLICY = """
[[rules]]
name = "one"
max_amount = "10"
[[rules]]
name = "hour"
per = "global"
window = "1h"
max_amount = "100"
[[rules]]
name = "eyes"
above_amount = "1"
approvals = 1
[[rules]]
name = "known people"
match = { country = "DE" }
require = ["identity"]
on_exceed = "hold"
"""
LOOSER = POLICY.replace('max_amount = "10"\n', 'max_amount = "20"\n')
TIGHTER = POLICY.replace('max_amount = "10"\n', 'max_amount = "5"\n')
ROLES = {"alice": ("approver", "policy", "ops"), "bob": ("approver", "policy"), "carol": ("compliance", "approver")}


@pytest.fixture(autouse=True)
def sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The sealed keyring is in use, whichever this process has used before."""
    before = keyring.get_keyring()
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "cryptosupport.outside.keyfile.Keyring")
    monkeypatch.setenv(FILE, str(tmp_path / "keyring"))
    monkeypatch.setenv(PASSPHRASE, "correct horse")
    monkeypatch.delenv(PASSPHRASE_FILE, raising=False)
    keyring.core.init_backend()
    yield
    keyring.set_keyring(before)


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    return desk(tmp_path / "configs", POLICY)


@pytest.fixture
def bare(tmp_path: Path, configs: Path) -> Program:
    """The program before there are people."""
    assert configs.is_dir()
    return in_this_process(tmp_path)


@pytest.fixture
def run(tmp_path: Path, bare: Program, configs: Path, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The program where alice, bob and carol are in force, and the policy of the folder is."""
    written = tuple((str(path), path.read_text(encoding="utf-8")) for path in sorted(configs.rglob("*.toml")))
    place = tuple((name.removeprefix(str(tmp_path)), text) for name, text in written)
    if place in _in_force:
        shutil.copytree(_in_force[place], tmp_path, dirs_exist_ok=True)
    else:
        put_in_force(bare)
        _in_force[place] = shutil.copytree(tmp_path, tmp_path_factory.mktemp("in-force"), dirs_exist_ok=True)
    assert "[carol]" in (configs / "operators.toml").read_text()
    return bare


_in_force: dict[tuple[tuple[str, str], ...], Path] = {}
"""Folders of tests as they were when all were in force, by the settings that they had: to be copied, not used."""


def put_in_force(bare: Program) -> None:
    """Propose and sign alice, bob and carol, and the policy of the folder."""
    for name, roles in ROLES.items():
        given = [part for role in roles for part in ("--role", role)]
        done = bare("operator", "add", name, *given, "--public-key", "keyring", "--operator", "alice", "--json")
        assert done.exit_code == 9, done.stderr
    done = bare("operator", "sign", "--operator", "bob", "--json")
    assert (done.exit_code, done.json["state"], done.json["signed_by"]) == (0, "active", ["alice", "bob"])
    assert bare("policy", "propose", "--operator", "alice").exit_code == 9
    done = bare("policy", "sign", "--operator", "bob", "--json")
    assert (done.exit_code, done.json["state"]) == (0, "active"), done.stderr


def submitted(run: Program, name: str = "w-1", amount: str = "2", by: str | None = "alice", **rest: Any) -> str:
    who = () if by is None else ("--operator", by)
    done = run("withdraw", "submit", *options(asked(name, amount, **rest)), *who, "--json")
    assert done.exit_code in (0, 9), done.stderr
    state: str = done.json["state"]
    return state


def state(run: Program, name: str = "w-1") -> str:
    found: str = run("withdraw", "show", name, "--json").json["state"]
    return found


def sql(folder: Path, statement: str) -> None:
    """Change the database behind the program."""
    engine = create_engine(f"sqlite:///{folder / 'data' / 'cryptosupport.db'}")
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def kinds(run: Program) -> list[str]:
    return [each["kind"] for each in run("audit", "log", "-o", "jsonl").jsonl]


def refused(done: Run, code: int, *words: str) -> None:
    """One error, told in a sentence, without a traceback."""
    assert done.exit_code == code, (done.exit_code, done.stderr)
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
