"""People at the command line: they come into force, approve, change the policy, and hear plainly what is refused."""

from __future__ import annotations

import csv
import io
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.commands.peopledesk import (
    LOOSER,
    POLICY,
    TIGHTER,
    bare,
    configs,
    kinds,
    refused,
    run,
    sealed,
    sql,
    state,
    submitted,
)
from tests.commands.withdrawkit import asked, options
from tests.conftest import ROOT, Program

__all__ = ["bare", "configs", "run", "sealed"]  # fixtures

# -- approving -------------------------------------------------------------------------------------------------------


def test_a_second_person_approves(run: Program) -> None:
    assert submitted(run) == "awaiting_approval"
    refused(run("withdraw", "approve", "w-1", "--operator", "alice"), 3, "alice brought w-1")
    refused(run("withdraw", "approve", "w-1", "--operator", "mallory", "--json"), 3, '"refused"', "no operator")
    dry = run("withdraw", "approve", "w-1", "--operator", "bob", "--dry-run", "--json")
    assert (dry.exit_code, dry.json["state"], dry.json["review"]["maker_proven"]) == (0, "awaiting_approval", True)
    assert state(run) == "awaiting_approval"
    done = run("withdraw", "approve", "w-1", "--operator", "bob", "--json")
    assert (done.exit_code, done.json["state"], done.json["said_by"], done.json["missing"]) == (
        *(0, "approved", ["bob"], 0),
    )
    assert done.json["review"]["address"].startswith("bc1q w508")
    refused(run("withdraw", "approve", "w-9", "--operator", "bob"), 4, "no withdrawal has the request_id w-9")
    assert run("audit", "verify").exit_code == 0


def test_an_unproven_one_takes_two(run: Program) -> None:
    submitted(run, by=None)
    done = run("withdraw", "approve", "w-1", "--operator", "bob", "-o", "csv")
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert (done.exit_code, row["state"], row["missing"]) == (9, "awaiting_approval", "1")
    assert run("withdraw", "approve", "w-1", "--operator", "carol").exit_code == 0


def test_release_hold_reject_and_the_list_of_holds(run: Program) -> None:
    assert submitted(run, "w-1", "1", country="DE") == "held"
    assert submitted(run, "w-2") == "awaiting_approval"
    done = run("withdraw", "hold", "w-2", "--reason", "ask them", "--operator", "bob", "--json")
    assert (done.exit_code, done.json["state"]) == (0, "held")
    assert run("withdraw", "hold", "w-2", "--note", "called", "--owner", "carol", "--operator", "bob").exit_code == 0
    (_, second) = csv.DictReader(io.StringIO(run("withdraw", "holds", "-o", "csv").stdout))
    assert (second["request_id"], second["owner"], second["notes"]) == ("w-2", "carol", "1")
    refused(run("withdraw", "hold", "w-2", "--operator", "bob"), 2, "give --reason")
    refused(run("withdraw", "release", "w-1", "--reason", "x", "--operator", "bob"), 3, "this takes compliance")
    done = run("withdraw", "release", "w-1", "--reason", "seen", "--operator", "carol", "--json")
    assert (done.exit_code, done.json["state"]) == (0, "approved"), done.stderr
    assert run("withdraw", "release", "w-2", "--reason", "seen", "--operator", "carol").exit_code == 9
    done = run("withdraw", "reject", "w-2", "--reason", "no", "--operator", "bob", "--json")
    assert (done.exit_code, done.json["state"]) == (0, "rejected")
    refused(run("withdraw", "approve", "w-2", "--operator", "bob"), 3, "w-2 is rejected, which is final")


def test_without_operators_nobody_is_asked(bare: Program) -> None:
    submitted(bare, by=None)
    refused(bare("withdraw", "approve", "w-1", "--operator", "bob"), 8, "there are no operators", "operator add")


def test_rows_that_were_edited_freeze_the_desk(run: Program, tmp_path: Path) -> None:
    submitted(run)
    submitted(run, "w-2")
    sql(tmp_path, "update withdrawal set destination = 'bc1qrp33' where request_id = 'w-1'")
    refused(run("withdraw", "approve", "w-1", "--operator", "bob"), 3, "changed in the database behind this program")
    assert set(kinds(run)[-2:]) == {"audit.tampered", "freeze.added"}
    refused(run("withdraw", "approve", "w-2", "--operator", "bob"), 3, "w-2 is frozen: all since")


@pytest.mark.parametrize(
    "statement",
    [
        "update withdrawal set state = 'nonsense'",
        "update withdrawal set base_units = 'many'",
        "update decision set voices = '[['",
        "update change set content = '{}' where kind = 'operators'",
        "update change set loosens = '[[' where kind = 'policy'",
        "update change set active_at = null where kind = 'policy'",
        "delete from change where kind = 'policy'",
        "delete from change",
    ],
)
def test_whatever_is_edited_is_told_in_a_sentence_and_freezes(run: Program, tmp_path: Path, statement: str) -> None:
    submitted(run)
    sql(tmp_path, statement)
    done = run("withdraw", "approve", "w-1", "--operator", "bob", "--json")
    refused(done, 3, '"tampered"', "behind this program")
    assert set(kinds(run)[-2:]) == {"audit.tampered", "freeze.added"}


# -- files -----------------------------------------------------------------------------------------------------------


def test_an_edited_policy_stops_the_desk_and_an_older_one_warns(run: Program, configs: Path) -> None:
    submitted(run)
    (configs / "policy.toml").write_text(LOOSER)
    refused(run("withdraw", "approve", "w-1", "--operator", "bob"), 8, "not the policy that two operators signed")
    refused(run("withdraw", "submit", *options(asked("w-2"))), 8, "it was edited")
    (configs / "policy.toml").write_text("")
    assert run("withdraw", "approve", "w-1", "--operator", "bob").exit_code == 8
    (configs / "policy.toml").unlink()
    assert run("withdraw", "approve", "w-1", "--operator", "bob").exit_code == 8
    (configs / "tighter.toml").write_text(TIGHTER)
    (configs / "policy.toml").write_text(POLICY)
    assert run("policy", "propose", str(configs / "tighter.toml"), "--operator", "alice").exit_code == 9
    assert run("policy", "sign", "--operator", "bob").exit_code == 0  # what only tightens counts at once
    assert (configs / "policy.toml").read_text() == TIGHTER
    (configs / "policy.toml").write_text(POLICY)  # another machine, or a crash before the file was written
    done = run("withdraw", "submit", *options(asked("w-3", "7")), "--json")
    assert (done.exit_code, done.json["state"]) == (3, "rejected")
    assert "is an older policy; the one in force counts" in done.stderr
    assert run("policy", "activate").exit_code == 0
    assert (configs / "policy.toml").read_text() == TIGHTER


def test_edited_operators_stop_the_desk_and_older_ones_warn(run: Program, configs: Path) -> None:
    submitted(run)
    path = configs / "operators.toml"
    whole = path.read_text()
    approve = ("withdraw", "approve", "w-1", "--operator", "bob")
    for bad in (whole.replace('"compliance"', '"compliance", "ops"'), whole[: whole.index("[bob]")], "", None):
        path.unlink(missing_ok=True)
        if bad is not None:
            path.write_text(bad)
        refused(run(*approve), 8, "operators.toml is not what two operators signed")
    path.write_text(whole)
    assert run("operator", "remove", "carol", "--operator", "alice").exit_code == 9
    done = run("operator", "sign", "--operator", "bob", "--json")
    assert (done.exit_code, done.json["state"]) == (0, "active")
    assert "[carol]" not in path.read_text()
    path.write_text(whole)
    done = run(*approve)
    assert done.exit_code == 0
    assert "is an older version" in done.stderr
    assert run("operator", "activate").exit_code == 0
    assert "[carol]" not in path.read_text()


def test_what_loosens_waits(run: Program, configs: Path) -> None:
    (configs / "looser.toml").write_text(LOOSER)
    assert run("policy", "propose", str(configs / "looser.toml"), "--operator", "alice").exit_code == 9
    done = run("policy", "sign", "--operator", "bob", "--json")
    assert (done.exit_code, done.json["state"]) == (9, "proposed")
    assert done.json["waits_for"].startswith("its time")
    assert run("policy", "activate").exit_code == 9
    assert submitted(run, "w-1", "10") == "awaiting_approval"
    assert run("policy", "discard", "--operator", "bob").exit_code == 0
    refused(run("policy", "sign", "--operator", "carol"), 4, "no change of the policy is proposed")
    add = ("operator", "add", "mallory", "--role", "approver", "--public-key", "keyring")
    assert run(*add, "--operator", "alice").exit_code == 9
    assert run(*add, "--operator", "bob").exit_code == 9
    listed = {each["name"]: each["state"] for each in run("operator", "list", "--json").json}
    assert listed["mallory"] == "proposed, signed by alice, bob"
    assert run("operator", "discard", "--operator", "alice").exit_code == 0


def test_one_key_is_one_person(run: Program) -> None:
    (alice,) = (each["key"] for each in run("operator", "list", "--json").json if each["name"] == "alice")
    done = run("operator", "add", "eve", "--role", "approver", "--public-key", alice, "--operator", "alice")
    refused(done, 3, "this key is that of alice already")


# -- signing ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def erin(run: Program, tmp_path: Path) -> Path:
    """The key of erin, who approves with a key of OpenSSH; another one's beside it."""
    for name in ("erin", "other"):
        made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(made, check=True, stdin=subprocess.DEVNULL)
    (tmp_path / "configs" / "desk.toml").write_text('[approvals]\nlock = "1s"\n')
    key = str(tmp_path / "erin.pub")
    add = ("operator", "add", "erin", "--role", "approver", "--role", "policy", "--public-key", key)
    assert run(*add, "--operator", "alice").exit_code == 9
    assert run("operator", "sign", "--operator", "bob").exit_code == 9
    time.sleep(1.1)
    done = run("operator", "activate")
    assert done.exit_code == 0, done.stderr
    return tmp_path / "erin"


def signed_elsewhere(key: Path, statement: Path) -> None:
    Path(f"{statement}.sig").unlink(missing_ok=True)
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", "cryptosupport", "-f", str(key), str(statement)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def test_a_key_of_openssh_signs(run: Program, erin: Path) -> None:
    submitted(run)
    refused(run("withdraw", "approve", "w-1", "--operator", "erin"), 3, "the keyring holds no operator-erin")
    other = str(erin.with_name("other"))
    refused(run("withdraw", "approve", "w-1", "--operator", "erin", "--key", other), 3, "by another key")
    done = run("withdraw", "approve", "w-1", "--operator", "erin", "--key", str(erin), "--json")
    assert (done.exit_code, done.json["said_by"]) == (0, ["erin"]), done.stderr


def test_what_is_signed_elsewhere_comes_back(run: Program, erin: Path, tmp_path: Path, configs: Path) -> None:
    submitted(run)
    (configs / "tighter.toml").write_text(TIGHTER)
    held = tmp_path / "said"
    for words in (
        ("withdraw", "approve", "w-1"),
        ("policy", "propose", str(configs / "tighter.toml")),
        ("operator", "remove", "carol"),
        ("withdraw", "cancel", "w-1"),
    ):
        if words[1] == "remove":
            assert run("policy", "discard", "--operator", "alice").exit_code == 0
        say = (*words, "--operator", "erin")
        done = run(*say, "--write-statement", str(held))
        assert done.exit_code == 9, (words, done.stderr)
        assert "ssh-keygen -Y sign -n cryptosupport" in done.stderr
        signed_elsewhere(erin.with_name("other"), held)
        refused(run(*say, "--statement", str(held)), 3, "the signature of erin does not count")
        signed_elsewhere(erin, held)
        done = run(*say, "--statement", str(held), "--json")
        assert done.exit_code == (9 if words[1] in ("propose", "remove") else 0), (words, done.stderr)
    refused(run("withdraw", "reject", "w-1", "--reason", "x", "--operator", "bob", "--statement", str(held)), 3, "erin")
    by = ("--operator", "erin", "--write-statement", str(held))
    refused(run("withdraw", "submit", *options(asked("w-2")), *by), 2, "signed at once")


def test_odd_files_are_told_in_a_sentence(run: Program, erin: Path, tmp_path: Path) -> None:
    submitted(run)
    odd = tmp_path / "odd"
    odd.mkdir()
    (tmp_path / "bytes").write_bytes(b"\xff\xfe" * 100)
    (tmp_path / "bytes.sig").write_bytes(b"\xff\xfe")
    (tmp_path / "huge").write_bytes(b"cryptosupport.statement/1\n" + b"[" * 3_000_000)
    (tmp_path / "deep").write_bytes(b"cryptosupport.statement/1\n" + b"[" * 500_000)
    surrogate = '{"action":"a","at":"1","facts":{},"ledger":"l","operator":"\\ud800","subject":"s"}'
    (tmp_path / "half").write_text(f"cryptosupport.statement/1\n{surrogate}")
    for name in ("odd", "bytes", "huge", "deep", "half", "none", "x" * 5000, "/dev/zero"):
        for way in ("--statement", "--key"):
            done = run("withdraw", "approve", "w-1", "--operator", "erin", way, str(tmp_path / name))
            assert done.exit_code == 2, (name, way, done.exit_code, done.stderr)
            assert "Traceback" not in done.stderr
    for name in ("odd", "none/x"):
        done = run("withdraw", "approve", "w-1", "--operator", "erin", "--write-statement", str(tmp_path / name))
        refused(done, 2, "cannot be written")
    for name in ("odd", "bytes", "huge", "none"):
        add = ("operator", "add", "frank", "--role", "ops", "--operator", "alice")
        refused(run(*add, "--public-key", str(tmp_path / name)), 2, "no public key that can be used")
        refused(run("policy", "propose", str(tmp_path / name), "--operator", "alice"), 2, "cannot be read")
    refused(run("withdraw", "reject", "w-1", "--reason", "\udcff", "--operator", "bob"), 2)
    refused(run("withdraw", "hold", "w-1", "--reason", "\udcff", "--operator", "bob"), 2)
    add = ("operator", "add", "../x", "--role", "ops", "--public-key", "keyring", "--operator", "alice")
    refused(run(*add), 2, "cannot be the name of an operator")
    two = ("--key", str(erin), "--statement", str(erin))
    refused(run("withdraw", "approve", "w-1", "--operator", "erin", *two), 2, "three ways")
    assert state(run) == "awaiting_approval"


# -- at a terminal ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["n", "y"])
def test_at_a_terminal_the_sheet_is_shown_and_asked_about(run: Program, tmp_path: Path, answer: str) -> None:
    submitted(run)
    parent, child = pty.openpty()
    folders = ("--configs", str(tmp_path / "configs"), "--data", str(tmp_path / "data"))
    command = [sys.executable, "-m", "cryptosupport", *folders, "withdraw", "approve", "w-1", "--operator", "bob"]
    process = subprocess.Popen(command, stdin=child, stdout=child, stderr=child, cwd=ROOT, env=dict(os.environ))
    os.close(child)
    shown = b""
    while b"approve w-1? [y/N]" not in shown:
        shown += os.read(parent, 4096)
    os.write(parent, f"{answer}\n".encode())
    while True:
        try:
            more = os.read(parent, 4096)
        except OSError:
            break
        if not more:
            break
        shown += more
    os.close(parent)
    code = process.wait(timeout=60)
    assert b"bc1q w508 d6qe jxtd g4y5 r3za rvar y0c5 xw7k v8f3 t4" in shown
    assert b"never to this address" in shown
    assert state(run) == {"n": "awaiting_approval", "y": "approved"}[answer]
    assert (code == 0) is (answer == "y")


@pytest.mark.parametrize(
    "words",
    [("operator", each) for each in ("add", "remove", "sign", "activate", "discard", "list")]
    + [("policy", each) for each in ("propose", "sign", "activate", "discard")]
    + [("withdraw", each) for each in ("approve", "reject", "release", "hold", "holds")],
    ids=" ".join,
)
def test_every_command_has_an_example_and_its_exit_codes(bare: Program, words: tuple[str, str]) -> None:
    done = bare(*words, "--help")
    assert done.exit_code == 0
    assert f"Example: cryptosupport {' '.join(words)}" in " ".join(done.stdout.split())
    assert "Exit codes: 0" in done.stdout
