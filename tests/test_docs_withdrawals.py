"""docs/withdrawals.md says what the desk does: its example runs, and no rule key, state or field is left out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cryptosupport.commands.withdraw import command as withdraw
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.policy.rules import EVIDENCE, MATCHABLE, Per
from cryptosupport.domain.requests import FIELDS as ASKED
from cryptosupport.domain.requests import PARTS
from cryptosupport.domain.withdrawal_record import FIELDS, exit_code
from cryptosupport.domain.withdrawals import DECIDED, State
from cryptosupport.settings.policy import _READERS
from tests.conftest import ROOT, Program
from tests.test_docs import table_keys
from tests.worked import compare, examples, lay_out, play, text

MANUAL = ROOT / "docs" / "withdrawals.md"
SCRIPT = re.compile(r"<!-- script: ([\w.]+) -->\n```\w+\n(.*?)```\n", re.DOTALL)


def section(heading: str) -> str:
    return text(MANUAL).partition(f"# {heading}\n")[2].partition("\n## ")[0].partition("\n### ")[0]


def rows(heading: str) -> list[list[str]]:
    """The table under ``heading`` without its head, cell by cell, without backquotes."""
    lines = [line for line in section(heading).splitlines() if line.startswith("|")]
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.fixture
def desk(run: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """The program in the folder of the worked example, with all files that the manual shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "cryptosupport.outside.keyfile.Keyring")
    monkeypatch.setenv("CRYPTOSUPPORT_KEYRING_FILE", str(tmp_path / "keyring"))
    monkeypatch.setenv("CRYPTOSUPPORT_KEYRING_PASSPHRASE", "for this test")
    lay_out(MANUAL, tmp_path)
    assert run("init", "--chain", "bitcoin", "--chain", "ethereum").exit_code == 0
    return run


def test_the_worked_example_says_what_really_happens(desk: Program, tmp_path: Path) -> None:
    for name, written in examples(MANUAL).items():
        compare(MANUAL, name, play(written, desk, tmp_path))


def test_the_requests_of_the_worked_example_can_be_run_again(desk: Program) -> None:
    again = [desk("withdraw", "submit", "--input", "requests.jsonl", "-o", "jsonl") for _ in range(2)]
    assert [done.exit_code for done in again] == [2, 2]
    first, second = ([row.get("decision") for row in done.jsonl] for done in again)
    assert first == second
    assert len(desk("withdraw", "list", "-o", "jsonl").jsonl) == 4


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_what_the_manual_signs_is_taken_and_nothing_else(desk: Program, tmp_path: Path) -> None:
    scripts = dict(SCRIPT.findall(text(MANUAL)))

    def shell(command: str) -> str:
        done = subprocess.run(["bash", "-eu", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout

    settings = tmp_path / "configs" / "desk.toml"
    settings.write_text(text(settings) + shell(scripts["key"]), encoding="utf-8")
    sign = [sys.executable, "-c", scripts["sign.py"]]
    line = subprocess.run(sign, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    (tmp_path / "signed.jsonl").write_text(line + line.replace("0.01", "0.02"), encoding="utf-8")
    done = desk("withdraw", "submit", "--input", "signed.jsonl", "-o", "jsonl")
    assert done.exit_code == 2
    taken, refused = done.jsonl
    assert taken["state"] == "approved"
    assert "does not fit" in refused["error"]["message"]
    assert desk("withdraw", "explain", "w-6", "--json").json["source"] == "backend"

    request = {key: value for key, value in json.loads(line).items() if key != "signature"} | {"request_id": "w-7"}
    body = json.dumps(request, sort_keys=True, separators=(",", ":"))
    (tmp_path / "request.bytes").write_text(f"cryptosupport.request/1\n{body}", encoding="utf-8")
    (openssl,) = re.findall(r"openssl pkeyutl [^`]+", text(MANUAL))
    signed = request | {"signature": {"key": "backend", "value": shell(openssl)}}
    (tmp_path / "signed.jsonl").write_text(json.dumps(signed), encoding="utf-8")
    assert desk("withdraw", "submit", "--input", "signed.jsonl").exit_code == 0


# -- nothing is left out ---------------------------------------------------------------------------------------------


def test_every_key_of_a_rule_is_explained_and_no_other() -> None:
    assert sorted(key for key, *_ in rows("Rules")) == sorted(_READERS)
    for word in (*MATCHABLE, *EVIDENCE, *Per, *(outcome for outcome in Outcome if outcome is not Outcome.APPROVAL)):
        assert f"`{word}`" in section("Rules"), word


def test_every_outcome_is_explained_strictest_first_with_its_state_and_exit_code() -> None:
    strictest_first = sorted(Outcome, key=lambda outcome: -outcome.strictness)
    told = [(outcome, state, code) for outcome, state, code, *_ in rows("Deciding")]
    assert told == [(outcome, DECIDED[outcome], str(exit_code(outcome))) for outcome in strictest_first]


def test_every_state_is_explained() -> None:
    told = {state for states, _ in rows("Looking at withdrawals") for state in states.split(", ")}
    assert told == {*State}


def test_every_field_of_a_request_and_of_the_record_is_explained() -> None:
    assert [name for name, _ in rows("Taking requests in")] == [
        *ASKED[: ASKED.index("signature")],
        "note",
        "signature",
    ]
    for part, members in PARTS.items():
        told = next(said for name, said in rows("Taking requests in") if name == part)
        assert [member for member in members if not re.search(rf"\b{member}\b", told)] == []
    for field in FIELDS:
        for name in field.split("."):
            assert f"`{name}`" in section("Looking at withdrawals"), field


def test_every_command_of_a_desk_is_named() -> None:
    from cryptosupport.commands import audit, freeze, keys, ledger, operator, policy, price, privacy, screen

    groups = (withdraw, *(each.command for each in (audit, freeze, keys, ledger, policy, price, privacy, screen)))
    for group in groups:
        for name in group.commands:
            assert f"{group.name} {name}" in text(MANUAL), f"{group.name} {name}"
    for name in operator.command.commands:
        assert f"`{name}`" in section("People") or f"operator {name}" in section("People"), name
    for each in (*withdraw.commands["submit"].params, *withdraw.commands["list"].params):
        names = [name for name in each.opts if name.startswith("--")]
        if names[0] not in ("--json", "--output", "--configs", "--data", "--locale", "--quiet", "--log"):
            assert f"`{names[0]}" in text(MANUAL), names[0]


def test_settings_that_the_manual_names_are_those_of_desk_toml() -> None:
    """What stands in backquotes behind `[intake]` or in the section on prices is a key that the settings know."""
    from cryptosupport.settings.desk import IntakeSettings, PriceSettings

    for name in re.findall(r"`\[intake\] (\w+)`", text(MANUAL)):
        assert name in IntakeSettings.__struct_fields__, name
    for name in set(PriceSettings.__struct_fields__) - {"files"}:
        assert f"`{name}`" in section("Prices and values"), name


def test_the_limits_of_this_version_are_told() -> None:
    assert table_keys(MANUAL, "Limits of this version") == []
    for word in ("held", "awaiting_approval", "cancelled"):
        assert word in section("Limits of this version")
