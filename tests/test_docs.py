"""What the documents say is what the program does; the examples of README.md run on real nodes and a real ledger."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cryptosupport.domain.errors import SupportError
from cryptosupport.domain.record import BRIEF_FIELDS, FIELDS
from cryptosupport.domain.transactions import STATE_NAMES, FailureCode, PendingReason
from cryptosupport.outside.nodes import Anvil, Bitcoind
from tests.conftest import ROOT, Configs, Program
from tests.worked import ID, commands, compare, examples, lay_out, play, text

README = ROOT / "README.md"
LOOKUP = ROOT / "docs" / "lookup.md"


def table_keys(path: Path, heading: str) -> list[str]:
    """The first cells of the table under ``heading``, without backquotes."""
    under = text(path).partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1].strip() for line in under.splitlines() if line.startswith("|")]
    return [key.strip("`") for key in rows[2:]]


# -- help, codes, words ----------------------------------------------------------------------------------------------


def help_pages() -> list[tuple[str, str]]:
    from cryptosupport.commands import root

    pages: Callable[..., Iterator[tuple[str, str]]] = runpy.run_path(str(ROOT / "tools" / "readme_help.py"))["pages"]
    return list(pages(root, "cryptosupport"))


@pytest.mark.parametrize("path", [path for path, _ in help_pages()])
def test_the_help_of_every_command_stands_in_the_readme_as_it_is_printed(path: str, run: Program) -> None:
    done = run(*path.split()[1:], "--help", env={"COLUMNS": "80"})
    assert done.exit_code == 0
    assert f"### {path}\n```text\n{done.stdout.rstrip()}\n```\n" in text(README)
    assert "Example: cryptosupport " in done.stdout


def test_the_generator_finds_the_readme_true() -> None:
    tool = [sys.executable, str(ROOT / "tools" / "readme_help.py"), "--check"]
    done = subprocess.run(tool, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stderr) == (0, "")


def families(error: type[SupportError]) -> Iterator[type[SupportError]]:
    yield error
    for child in error.__subclasses__():
        yield from families(child)


def test_every_exit_code_is_documented() -> None:
    codes = {error.exit_code for error in families(SupportError)}
    assert codes | {0, 10, 11, 12, 130, 141, 143} == {int(key) for key in table_keys(README, "Exit codes")}


def test_every_state_and_every_reason_to_wait_is_explained() -> None:
    assert set(table_keys(README, "What the states mean")) == set(STATE_NAMES.values())
    assert set(table_keys(README, "How to read a pending transaction")) == {reason.value for reason in PendingReason}


def test_every_field_of_the_record_is_documented() -> None:
    fields = {field.partition(".")[0] for field in (*FIELDS, *BRIEF_FIELDS)}
    documented = table_keys(LOOKUP, "The record of a look-up")
    assert {field.partition(" ")[0].strip("`") for field in documented} >= fields
    for field in FIELDS:
        assert field.rpartition(".")[2] in text(LOOKUP), field


def test_every_failure_code_is_documented() -> None:
    for code in FailureCode:
        assert f"`{code.value}`" in text(LOOKUP)


def test_links_between_the_documents_lead_somewhere() -> None:
    for path in (README, *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", text(path)):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


# -- the worked examples ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Nodes:
    """The two private chains of the examples, and the folder where the commands run."""

    anvil: Anvil
    bitcoind: Bitcoind
    run: Program
    folder: Path


def pay(node: Bitcoind, amount: str, feerate: int = 20) -> str:
    """Pay a stranger, whose address is of no wallet of the node, out of the wallet "miner", with the change last."""
    stranger = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
    options = {"change_position": 1, "replaceable": True}
    sent = node.rpc("send", {stranger: amount}, None, "unset", feerate, options, wallet="miner")
    txid: str = sent["txid"]
    return txid


def confirmed(nodes: Nodes) -> list[str]:
    txid = pay(nodes.bitcoind, "0.25")
    nodes.bitcoind.mine(3)
    return [txid]


def reverted(nodes: Nodes) -> list[str]:
    reason = b"transfer amount exceeds balance"
    data = bytes.fromhex("08c379a0") + (32).to_bytes(32) + len(reason).to_bytes(32) + reason.ljust(32, b"\0")
    sender, *_ = nodes.anvil.rpc("eth_accounts")
    code = "0x" + returns(b"\x60\x64\x60\x0c\x60\x00\x39\x60\x64\x60\x00\xfd" + data).hex()
    deployed = nodes.anvil.rpc("eth_sendTransaction", {"from": sender, "data": code, "gas": "0xf4240"})
    nodes.anvil.mine()
    contract = nodes.anvil.rpc("eth_getTransactionReceipt", deployed)["contractAddress"]
    call = {"from": sender, "to": contract, "gas": "0x186a0"}
    txid: str = nodes.anvil.rpc("eth_sendTransaction", call)
    nodes.anvil.mine(5)
    return [txid]


def returns(runtime: bytes) -> bytes:
    """Creation code that leaves ``runtime`` at the new address."""
    return bytes([0x60, len(runtime), 0x60, 0x0C, 0x60, 0x00, 0x39, 0x60, len(runtime), 0x60, 0x00, 0xF3]) + runtime


def nonce_gap(nodes: Nodes) -> list[str]:
    sender, receiver, *_ = nodes.anvil.rpc("eth_accounts")
    payment = {"from": sender, "to": receiver, "value": hex(10**18), "gas": "0x5208", "nonce": "0x7"}
    txid: str = nodes.anvil.rpc("eth_sendTransaction", payment)
    return [txid]


def replaced(nodes: Nodes) -> list[str]:
    txid = pay(nodes.bitcoind, "0.5", feerate=2)
    assert nodes.run("tx", "status", txid).exit_code == 10
    bumped = nodes.bitcoind.rpc("bumpfee", txid, {"fee_rate": 50}, wallet="miner")["txid"]
    nodes.bitcoind.mine(3)
    return [txid, bumped]


def a_list(nodes: Nodes) -> list[str]:
    first = pay(nodes.bitcoind, "0.1")
    nodes.bitcoind.mine(3)
    second = pay(nodes.bitcoind, "0.2")
    sender, receiver, *_ = nodes.anvil.rpc("eth_accounts")
    third: str = nodes.anvil.rpc("eth_sendTransaction", {"from": sender, "to": receiver, "value": "0x1"})
    nodes.anvil.mine(5)
    lines = [first, second, third, "0x12…ab"]
    (nodes.folder / "txids.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [first, second, third]


SCENARIOS = {
    "confirmed": confirmed,
    "reverted": reverted,
    "nonce gap": nonce_gap,
    "replaced": replaced,
    "list": a_list,
}


AT_THE_DESK = ["submit", "explain"]


def test_there_are_seven_worked_examples() -> None:
    assert list(examples(README)) == [*SCENARIOS, *AT_THE_DESK]


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_worked_example_of_the_readme_says_what_really_happens(
    name: str,
    run: Program,
    configs: Configs,
    anvil_with: Callable[..., Anvil],
    bitcoind: Bitcoind,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    anvil = anvil_with("--no-mining")  # blocks only where the scenario makes them: heights are the same each time
    configs({"ethereum": anvil, "bitcoin": bitcoind})
    ids = SCENARIOS[name](Nodes(anvil, bitcoind, run, tmp_path))
    written = examples(README)[name]
    old = dict.fromkeys(ID.findall("\n".join(commands(written))))

    def today(command: str) -> str:
        for before, now in zip(old, ids, strict=False):
            command = command.replace(before, now)
        return command

    def as_written(happened: str) -> str:
        return happened.replace(f":{anvil.port}", ":8545").replace(f":{bitcoind.port}", ":8332")

    compare(README, name, play(written, run, tmp_path, today), as_written)


def test_the_worked_examples_at_the_desk_say_what_really_happens(
    run: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    lay_out(README, tmp_path)
    assert run("init", "--chain", "bitcoin").exit_code == 0
    for name in AT_THE_DESK:
        compare(README, name, play(examples(README)[name], run, tmp_path))
