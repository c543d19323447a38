"""Real nodes, settings folders that name them, and the program run as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keyring
import pytest

from cryptosupport.ledger import schema
from cryptosupport.outside.nodes import Bitcoind, Node
from tests.ledger import steps
from tests.nodes.fixtures import (
    _module_anvil,
    anvil,
    anvil_with,
    bitcoind,
    bitcoind_with,
    mined,
    shared_anvil,
    shared_bitcoind,
)
from tests.nodes.postgres import ledger_engine, ledger_url, postgres, postgres_database

ROOT = Path(__file__).parents[1]
os.environ["PATH"] = f"{ROOT / '.tools' / 'bin'}{os.pathsep}{os.environ['PATH']}"


__all__ = ["_module_anvil", "anvil", "anvil_with", "bitcoind", "bitcoind_with", "mined"]
__all__ += ["shared_anvil", "shared_bitcoind"]
__all__ += ["ledger_engine", "ledger_url", "postgres", "postgres_database"]


# -- what tests tell in the end --------------------------------------------------------------------------------------

_TOLD = "told: "


class Tell(Protocol):
    """Have a line printed after all tests, whether they pass or fail: counts and measures that no test asserts."""

    def __call__(self, title: str, line: str) -> None:
        """Print ``line`` under ``title``."""


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Tell a line; it comes through from other processes of tests too."""
    return lambda title, line: record_property(f"{_TOLD}{title}", line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests told, by title, in order."""
    reports = [each for some in terminalreporter.stats.values() for each in some if getattr(each, "when", "") == "call"]
    told = [pair for each in reports for pair in each.user_properties if pair[0].startswith(_TOLD)]
    for title in dict.fromkeys(title for title, _ in sorted(told)):
        terminalreporter.section(title.removeprefix(_TOLD))
        for line in sorted(line for its, line in told if its == title):
            terminalreporter.line(str(line))


@pytest.fixture(autouse=True, scope="session")
def tables_by_statements() -> None:
    """An empty ledger gets its tables without alembic, but in tests of the ledger itself."""
    schema._migrate = steps.by_statements


_KEYRING = keyring.get_keyring()
"""Found before any test: which backends can be used keyring finds out once, and ours cannot be without a passphrase."""


@pytest.fixture(autouse=True)
def usual_keyring() -> Iterator[None]:
    """Each test begins with the keyring of this machine, whichever one the test before it has used."""
    yield
    keyring.set_keyring(_KEYRING)


@pytest.fixture(autouse=True)
def usual_depth() -> None:
    """Python's own limit of recursion: hypothesis raises it while it runs, and does not always take that back."""
    sys.setrecursionlimit(1000)


# -- settings --------------------------------------------------------------------------------------------------------


class Configs(Protocol):
    """Write a settings folder: ``configs({"bitcoin": node}, bitcoin={"confirmations": 1}, desk="[desk]...")``."""

    def __call__(self, nodes: dict[str, Node | str], **sections: dict[str, Any] | str) -> Path:
        """Return the folder. A string in ``nodes`` is the URL of an EVM node; a string section a whole file."""


def chain_toml(node: Node | str, settings: dict[str, Any]) -> str:
    """chains/NAME.toml for ``node``: three confirmations, own endpoint; ``settings`` are added or replace."""
    if isinstance(node, Bitcoind):
        endpoint = {"url": node.url, "own": True, "rpc_user": node.user, "rpc_password": node.password}
        table: dict[str, Any] = {"family": "bitcoin", "network": "regtest", "assets": {"BTC": {"decimals": 8}}}
    else:
        endpoint = {"url": node if isinstance(node, str) else node.url, "own": True}
        table = {"family": "evm", "chain_id": 31337, "assets": {"ETH": {"decimals": 18}}}
    table |= {"endpoints": [endpoint], "block_time": "1s"}
    if "finality" not in settings:
        table["confirmations"] = 3
    return "".join(f"{key} = {_toml(value)}\n" for key, value in (table | settings).items())


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value)


@pytest.fixture
def configs(tmp_path: Path) -> Configs:
    """Write the settings folder that `run` uses, with a file for each chain."""

    def write(nodes: dict[str, Node | str], **sections: dict[str, Any] | str) -> Path:
        folder = tmp_path / "configs"
        (folder / "chains").mkdir(parents=True, exist_ok=True)
        for name, node in nodes.items():
            settings = sections.pop(name, {})
            assert isinstance(settings, dict)
            (folder / "chains" / f"{name}.toml").write_text(chain_toml(node, settings), encoding="utf-8")
        for name, text in sections.items():
            assert isinstance(text, str), f"{name} is no chain of nodes"
            (folder / f"{name}.toml").write_text(text, encoding="utf-8")
        return folder

    return write


# -- the program -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """What a run of the program left behind."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.stdout)

    @property
    def jsonl(self) -> list[Any]:
        """Standard output as one JSON value a line."""
        return [json.loads(line) for line in self.stdout.splitlines()]


class Program(Protocol):
    """Run `cryptosupport ARGUMENTS` to its end."""

    def __call__(self, *arguments: str, stdin: str = "", env: dict[str, str] | None = None, timeout: float = 60) -> Run:
        """Return exit code and output; standard input is no terminal."""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """The start of a command line: the interpreter, the program, the settings folder and the data of this test."""
    (tmp_path / "configs").mkdir(exist_ok=True)
    folders = ["--configs", str(tmp_path / "configs"), "--data", str(tmp_path / "data")]
    return [sys.executable, "-W", "error", "-m", "cryptosupport", *folders]


@pytest.fixture
def run(command: list[str]) -> Program:
    """Run the program in a process of its own, with the folder that `configs` wrote."""

    def start(*arguments: str, stdin: str = "", env: dict[str, str] | None = None, timeout: float = 60) -> Run:
        done = subprocess.run(
            [*command, *arguments],
            input=stdin,
            env=os.environ | (env or {}),
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
            check=False,
        )
        return Run(done.returncode, done.stdout, done.stderr)

    return start
