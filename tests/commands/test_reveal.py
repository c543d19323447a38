"""Personal data at the command line: masked unless somebody says who looks and why; told to the log, and limited."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from sqlalchemy import select, text

from cryptosupport.desk.reveal import reveal
from cryptosupport.domain.errors import Refused
from cryptosupport.domain.withdrawal_record import moment
from cryptosupport.ledger import tables
from cryptosupport.ledger.engine import open_engine, reading
from cryptosupport.ledger.schema import ready
from cryptosupport.outside.locks import lock
from tests.commands.withdrawkit import UNSCREENED, asked, desk, in_this_process, jsonl
from tests.conftest import ROOT, Program, Run
from tests.jsonring import Keyring
from tests.ledger.personalkit import desk_of, personal, ring_with_a_key, write_about

KEY = "ab" * 32
SECRETS = ("quetzal", "Xochitl", "Tlaloc Exchange", "proof-7")
BENEFICIARY = {"name": "Xochitl", "provider": "Tlaloc Exchange", "proof": "proof-7"}
SHOWN = BENEFICIARY | {"self_hosted": False}
REQUEST = asked("w-1", note="quetzal", beneficiary=BENEFICIARY)
REVEAL = ("--reveal", "--reason", "ticket 7", "--operator", "alice")
FORMS = ["table", "json", "jsonl", "csv"]


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Keyring]:
    """A keyring of this test's own, with a key for personal data."""
    before, made = keyring.get_keyring(), Keyring(tmp_path / "keyring.json")
    made.set_password("cryptosupport", "personal-data", KEY)
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


@pytest.fixture
def run(tmp_path: Path, ring: Keyring) -> Program:
    """The program on a desk that has taken w-1 and w-2 in; the latter has nothing personal."""
    desk(tmp_path / "configs")
    start = in_this_process(tmp_path)
    done = start("withdraw", "submit", "--input", "-", stdin=jsonl(REQUEST, asked("w-2")))
    assert (done.exit_code, done.stderr) == (0, UNSCREENED)
    return start


def log(tmp_path: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """Who looked at what, and why."""
    engine = open_engine("sqlite:///cryptosupport.db", tmp_path / "data")
    acts = tables.audit.c
    with reading(engine) as connection:
        query = select(acts.subject, acts.who, acts.facts).where(acts.kind == "privacy.revealed").order_by(acts.number)
        found = [(subject, who, json.loads(facts)) for subject, who, facts in connection.execute(query)]
    engine.dispose()
    return found


def leaks(done: Run) -> list[str]:
    """The secrets that a run shows."""
    return [secret for secret in SECRETS if secret in done.stdout + done.stderr]


# -- masked ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_nothing_personal_is_shown_unless_it_is_asked_for(run: Program, form: str, tmp_path: Path) -> None:
    assert run("withdraw", "submit", "--input", "-", "-o", form, stdin=jsonl(REQUEST)).exit_code == 0
    lines = jsonl(REQUEST, REQUEST | {"note": "n", "beneficiary": {"name": "Another"}})
    for arguments, stdin in (
        (("withdraw", "submit", "--input", "-"), lines),
        (("withdraw", "submit", "--input", "-", "--dry-run"), jsonl(REQUEST | {"request_id": "w-3"})),
        (("withdraw", "list"), ""),
        (("withdraw", "show", "w-1"), ""),
        (("withdraw", "show", "w-1", "w-2"), ""),
        (("withdraw", "explain", "w-1"), ""),
        (("withdraw", "run"), ""),
        (("withdraw", "cancel", "w-1"), ""),
        (("policy", "backtest", str(tmp_path / "configs" / "policy.toml")), ""),
        (("policy", "usage"), ""),
        (("ledger", "status"), ""),
        (("privacy", "status"), ""),
        (("privacy", "rotate"), ""),
    ):
        done = run(*arguments, "-o", form, "--log", "json", stdin=stdin)
        assert done.exit_code in (0, 2), done.stderr
        assert leaks(done) == [], arguments
    assert log(tmp_path) == []


def test_explain_says_that_there_is_something(run: Program) -> None:
    told = run("withdraw", "explain", "w-1", "--json").json
    assert {key: told[key] for key in ("note", "beneficiary", "notes", "masked")} == {
        "note": "•••", "beneficiary": "•••", "notes": [], "masked": True
    }  # fmt: skip
    assert "personal" not in told
    nothing = run("withdraw", "explain", "w-2", "--json").json
    assert (nothing["note"], nothing["beneficiary"], nothing["masked"]) == (None, None, False)
    said = run("withdraw", "explain", "w-1").stdout
    assert "note              •••" in said
    assert "beneficiary       •••" in said
    assert "note" not in run("withdraw", "explain", "w-2").stdout


# -- revealed --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["show", "explain"])
def test_what_is_revealed_is_shown_and_told_to_the_log(run: Program, tmp_path: Path, command: str) -> None:
    told = run("withdraw", command, "w-1", *REVEAL, "--json").json
    assert told["personal"] == {"note": "quetzal", "beneficiary": SHOWN, "notes": []}
    for form in ("table", "csv", "jsonl"):
        done = run("withdraw", command, "w-1", *REVEAL, "-o", form)
        assert leaks(done) == [*SECRETS], form
    assert log(tmp_path) == [("w-1", "alice (unproven)", {"reason": "ticket 7"})] * 4
    if command == "explain":
        assert (told["masked"], told["note"], told["beneficiary"]) == (False, "quetzal", SHOWN)


def test_of_several_each_is_told(run: Program, tmp_path: Path) -> None:
    done = run("withdraw", "show", "w-2", "nope", "w-1", *REVEAL, "--json")
    assert done.exit_code == 4
    assert [row.get("personal") for row in done.json] == [
        {"note": None, "beneficiary": None, "notes": []}, None, {"note": "quetzal", "beneficiary": SHOWN, "notes": []}
    ]  # fmt: skip
    assert [subject for subject, _, _ in log(tmp_path)] == ["w-2", "w-1"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--reveal",),
        ("--reveal", "--reason", "why"),
        ("--reveal", "--operator", "alice"),
        ("--reason", "why"),
        ("--operator", "alice"),
        ("--reveal", "--operator", "alice", "--reason", ""),
        ("--reveal", "--operator", "alice", "--reason", " "),
        ("--reveal", "--operator", "alice", "--reason", "a\x1b[2J"),
        ("--reveal", "--operator", "alice", "--reason", "a" * 501),
        ("--reveal", "--operator", " ", "--reason", "why"),
    ],
)
def test_who_looks_says_who_and_why(run: Program, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    for command in ("show", "explain"):
        done = run("withdraw", command, "w-1", *arguments)
        assert (done.exit_code, done.stdout) == (2, "")
    assert log(tmp_path) == []


def test_beyond_the_limit_nothing_is_shown_and_it_says_when_it_goes_on(run: Program, tmp_path: Path) -> None:
    for _ in range(20):
        assert run("withdraw", "show", "w-1", *REVEAL).exit_code == 0
    done = run("withdraw", "show", "w-1", *REVEAL, "--json")
    assert (done.exit_code, done.stdout) == (3, "[]\n" if done.stdout else "")
    assert "alice (unproven) has looked at personal data 20 times" in done.stderr
    assert leaks(done) == []
    other = (*REVEAL[:-1], "bob")
    assert run("withdraw", "show", "w-1", *other).exit_code == 0, "each has a limit of their own"
    assert [who for _, who, _ in log(tmp_path)] == ["alice (unproven)"] * 20 + ["bob (unproven)"]


def test_the_limit_is_of_any_hour(ledger_url: str, tmp_path: Path) -> None:
    engine = open_engine(ledger_url, tmp_path)
    ready(engine)
    one = desk_of(engine, ring_with_a_key())
    one.take(personal("w-1"))
    write_about(one, "w-1")
    withdrawal = one.ledger.withdrawal("w-1")
    assert withdrawal is not None
    hour, start = 3_600_000, one.clock.at
    for after in (0, 600_000, 1_200_000):
        one.clock.at = start + after
        found = reveal(one.ledger, withdrawal, "operator alice", "why", 3)
        assert found.note == "quetzalnote w-1"
        assert [each.text for each in found.notes] == ["tlalocwritten"]
    for after, limit, goes_on in ((1_300_000, 3, 0), (hour - 1, 3, 0), (hour, 2, 600_000), (hour, 1, 1_200_000)):
        one.clock.at = start + after
        with pytest.raises(Refused, match="are allowed: it goes on after") as caught:
            reveal(one.ledger, withdrawal, "operator alice", "why", limit)
        assert moment(start + goes_on + hour) in caught.value.message
    one.clock.at = start + hour
    assert reveal(one.ledger, withdrawal, "operator alice", "why", 3).note == "quetzalnote w-1"
    engine.dispose()


# -- keys ------------------------------------------------------------------------------------------------------------


def test_without_a_key_there_is_one_warning_and_no_more(tmp_path: Path, ring: Keyring) -> None:
    ring.delete_password("cryptosupport", "personal-data")
    desk(tmp_path / "configs")
    run = in_this_process(tmp_path)
    plain = run("withdraw", "submit", "--input", "-", stdin=jsonl(asked("w-0")))
    assert plain.stderr == UNSCREENED
    lines = jsonl(*(asked(f"w-{n}", "0.001", note="quetzal") for n in range(1, 1200)))
    done = run("withdraw", "submit", "--input", "-", "-o", "jsonl", stdin=lines)
    said = "note and beneficiary are kept in clear: run `cryptosupport keys set personal-data --random`"
    assert next(json.loads(line)["message"] for line in done.stderr.splitlines()) == said
    assert len(done.stderr.splitlines()) == 2, "the other one is of the lists that are not there"
    assert run("withdraw", "explain", "w-1", "--json").json["note"] == "•••"
    assert run("withdraw", "show", "w-1", *REVEAL, "--json").json["personal"]["note"] == "quetzal"


def test_a_key_that_is_lost_stops_what_needs_it_and_nothing_else(run: Program, ring: Keyring) -> None:
    for secret in (None, "cd" * 32, "no key"):
        ring.delete_password("cryptosupport", "personal-data")
        if secret is not None:
            ring.set_password("cryptosupport", "personal-data", secret)
        in_need = run("withdraw", "submit", "--input", "-", "--json", stdin=jsonl(asked("w-9", note="quetzal")))
        assert (in_need.exit_code, leaks(in_need)) == (8, [])
        assert run("withdraw", "show", "w-1", *REVEAL).exit_code == 8
        assert run("privacy", "rotate").exit_code == 8
        assert run("privacy", "status").exit_code == 8
        assert "cryptosupport keys set personal-data" in in_need.stderr
        for arguments in (("list",), ("show", "w-1"), ("explain", "w-1"), ("cancel", "w-2")):
            assert run("withdraw", *arguments).exit_code == 0
        ring.set_password("cryptosupport", "personal-data", KEY)
    ring.path.write_text("locked")
    done = run("withdraw", "submit", "--input", "-", stdin=jsonl(asked("w-9", note="quetzal")))
    assert done.exit_code == 8, "a locked keyring is no empty one"
    assert "the keyring cannot be read" in done.stderr


def test_rotate_and_status_tell_ids_and_no_keys(run: Program, ring: Keyring) -> None:
    before = run("privacy", "status", "--json").json
    (old,) = before["keys"]
    assert before == {
        "key": old, "rotating": False, "keys": [old], "clear": 0, "sealed": {old: 2}, "missing": []
    }  # fmt: skip
    done = run("privacy", "rotate", "--operator", "alice", "--json")
    told = done.json
    assert (done.exit_code, told) == (
        0,
        {"key": told["key"], "before": old, "sealed": 2, "unopened": [], "forgotten": []},
    )
    kept = ring.entries["personal-data"].split()
    assert (len(kept), kept[1]) == (2, KEY)
    forgot = run("privacy", "rotate", "--forget-old")
    assert (forgot.exit_code, f"forgotten: {told['key']}, {old};" in forgot.stdout) == (0, True)
    assert len(ring.entries["personal-data"]) == 64
    for secret in (*kept, ring.entries["personal-data"]):
        assert secret not in done.stdout + done.stderr + forgot.stdout + forgot.stderr
    assert run("withdraw", "show", "w-1", *REVEAL, "--json").json["personal"]["note"] == "quetzal"
    assert "key in force" in run("privacy", "status").stdout


def test_a_text_that_was_changed_is_told_and_the_rest_is_sealed_anew(run: Program, tmp_path: Path) -> None:
    engine = open_engine("sqlite:///cryptosupport.db", tmp_path / "data")
    with engine.begin() as connection:
        connection.execute(text("update withdrawal set note = beneficiary where request_id = 'w-1'"))
    engine.dispose()
    done = run("privacy", "rotate")
    assert done.exit_code == 3
    assert "warning: withdrawal.note of w-1 was changed in the database" in done.stderr
    assert "1 texts do not open" in done.stdout
    shown = run("withdraw", "show", "w-1", *REVEAL)
    assert (shown.exit_code, leaks(shown)) == (3, [])


def test_doctor_says_how_personal_data_is_kept(run: Program, ring: Keyring) -> None:
    def verdict() -> tuple[str, str]:
        rows = {row["name"]: row for row in run("doctor", "--json").json}
        return rows["personal data"]["verdict"], rows["personal data"]["message"]

    assert verdict()[0] == "ok"
    ring.delete_password("cryptosupport", "personal-data")
    assert verdict()[0] == "fail"
    assert "which the keyring does not hold" in verdict()[1]


def test_a_run_without_personal_data_loads_no_keyring(tmp_path: Path) -> None:
    desk(tmp_path / "configs")
    script = (
        "import sys; from cryptosupport.commands import run; code = run(sys.argv[1:]); "
        "print(code, [each for each in ('keyring', 'cryptography') if each in sys.modules], file=sys.stderr)"
    )
    folders = ("--configs", str(tmp_path / "configs"), "--data", str(tmp_path / "data"))
    given = jsonl(asked("w-1"), asked("w-1"), asked("w-2", "2"))
    command = [sys.executable, "-W", "error", "-c", script, *folders, "withdraw", "submit", "--input", "-"]
    done = subprocess.run(command, input=given, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stderr.split("\n")[-2].startswith("9 ")
    assert "keyring" not in done.stderr.split("[")[1]


def test_of_two_rotations_at_once_one_is_turned_away(run: Program, ring: Keyring, tmp_path: Path) -> None:
    with lock(tmp_path / "data" / "privacy-rotate.lock"):
        assert run("privacy", "rotate").exit_code == 75
    assert ring.entries["personal-data"] == KEY
