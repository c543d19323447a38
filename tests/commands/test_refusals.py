"""Each attack is refused with its exit code, told in a sentence, and in the audit log: who said to be whom, and why."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from cryptosupport.outside import keyrings
from cryptosupport.outside.sshkeys import private_key, public_line
from cryptosupport.outside.sshsig import sign
from tests.commands.peopledesk import LOOSER, bare, configs, refused, run, sealed, sql, state, submitted
from tests.commands.test_withdraw_input import PHRASE
from tests.commands.withdrawkit import asked, options
from tests.conftest import Program, Run

__all__ = ["bare", "configs", "run", "sealed"]  # fixtures

APPROVE = ("withdraw", "approve", "w-1", "--operator", "bob")
OTHER = "22" * 32
"""A private key that belongs to nobody at the desk."""
ADDRESS = "0x098B716B8Aaf21512996dC57EB0615e2383E2f96"


@pytest.fixture
def waiting(run: Program) -> Program:
    """The program where w-1, which alice brought, waits for somebody else."""
    assert submitted(run) == "awaiting_approval"
    return run


def refusals(run: Program) -> list[dict[str, Any]]:
    """What the log has of refusals."""
    return [each for each in run("audit", "log", "-o", "jsonl").jsonl if each["kind"] == "refused"]


def logged(run: Program, done: Run, command: str, subject: str, who: str) -> None:
    """The last refusal in the log is this one; the log is whole."""
    told = refusals(run)[-1]
    assert (told["subject"], told["who"], told["facts"]["command"]) == (subject, who, f"cryptosupport {command}")
    assert told["facts"]["exit_code"] == str(done.exit_code)
    assert told["facts"]["why"] in done.stderr
    assert run("audit", "verify").exit_code == 0


# -- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "said", "who"),
    [
        ("alice", "alice brought w-1", "operator alice"),
        ("mallory", "mallory is no operator", "mallory (unproven)"),
    ],
)
def test_who_may_not_approve_is_logged(waiting: Program, by: str, said: str, who: str) -> None:
    done = waiting("withdraw", "approve", "w-1", "--operator", by)
    refused(done, 3, said)
    logged(waiting, done, "withdraw approve", "w-1", who)
    assert state(waiting) == "awaiting_approval"


def test_a_wrong_role_is_logged(waiting: Program) -> None:
    done = waiting("withdraw", "release", "w-1", "--reason", "x", "--operator", "bob")
    refused(done, 3, "this takes compliance")
    logged(waiting, done, "withdraw release", "w-1", "bob (unproven)")


def test_a_forged_word_is_logged(waiting: Program) -> None:
    keyrings.set_password("operator-bob", OTHER)
    done = waiting(*APPROVE)
    refused(done, 3, "the signature of bob does not count")
    logged(waiting, done, "withdraw approve", "w-1", "bob (unproven)")
    assert state(waiting) == "awaiting_approval"


def statement_of_bob(run: Program, file: Path) -> tuple[str, ...]:
    """Have bob sign elsewhere that he approves w-1; how to hand that in."""
    assert run(*APPROVE, "--write-statement", str(file)).exit_code == 9
    secret = keyrings.password("operator-bob")
    assert secret is not None
    file.with_name(f"{file.name}.sig").write_text(sign(private_key(secret), file.read_bytes()))
    return ("--statement", str(file))


def test_a_replayed_word_is_logged(waiting: Program, tmp_path: Path) -> None:
    given = statement_of_bob(waiting, tmp_path / "said")
    submitted(waiting, "w-2")
    done = waiting("withdraw", "approve", "w-2", "--operator", "bob", *given)
    refused(done, 3, "bob signed something else than to approve this")
    logged(waiting, done, "withdraw approve", "w-2", "bob (unproven)")
    assert waiting("withdraw", "hold", "w-1", "--reason", "look", "--operator", "carol").exit_code == 0
    assert waiting("withdraw", "release", "w-1", "--reason", "seen", "--operator", "carol").exit_code == 9
    done = waiting(*APPROVE, *given)
    refused(done, 3, "or it has changed since")
    logged(waiting, done, "withdraw approve", "w-1", "bob (unproven)")
    assert (state(waiting), state(waiting, "w-2")) == ("awaiting_approval", "awaiting_approval")


def test_a_word_that_is_too_old_is_logged(waiting: Program, configs: Path, tmp_path: Path) -> None:
    given = statement_of_bob(waiting, tmp_path / "said")
    (configs / "desk.toml").write_text('[approvals]\nfresh = "1s"\n')
    time.sleep(1.1)
    done = waiting(*APPROVE, *given)
    refused(done, 3, "and a signature counts for 1s: sign anew")
    logged(waiting, done, "withdraw approve", "w-1", "bob (unproven)")


def test_a_word_after_the_time_to_approve_is_logged(run: Program, configs: Path) -> None:
    (configs / "desk.toml").write_text('[approvals]\nexpire = "1s"\n')
    submitted(run)
    time.sleep(1.1)
    done = run(*APPROVE)
    refused(done, 3, "w-1 expired at")
    logged(run, done, "withdraw approve", "w-1", "operator bob")
    assert state(run) == "expired"


def test_a_second_self_is_logged(run: Program) -> None:
    secret = keyrings.password("operator-alice")
    assert secret is not None
    key = public_line(private_key(secret))
    done = run("operator", "add", "eve", "--role", "approver", "--public-key", key, "--operator", "alice")
    refused(done, 3, "this key is that of alice already")
    logged(run, done, "operator add", "eve", "alice (unproven)")


def test_a_word_under_a_freeze_is_logged(waiting: Program) -> None:
    assert waiting("freeze", "add", "all", "--reason", "look", "--operator", "carol").exit_code == 0
    done = waiting(*APPROVE)
    refused(done, 3, "w-1 is frozen")
    logged(waiting, done, "withdraw approve", "w-1", "operator bob")


def test_each_attempt_of_a_person_is_logged(waiting: Program) -> None:
    for count in (1, 2, 3):
        assert waiting("withdraw", "approve", "w-1", "--operator", "alice").exit_code == 3
        assert len(refusals(waiting)) == count


def test_what_is_no_refusal_is_not_logged(waiting: Program) -> None:
    assert waiting("withdraw", "approve", "w-9", "--operator", "bob").exit_code == 4
    assert waiting(*APPROVE, "--statement", "nowhere").exit_code == 2
    assert refusals(waiting) == []


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["policy.toml", "operators.toml"])
def test_an_edited_settings_file_is_logged_once_a_day(waiting: Program, configs: Path, file: str) -> None:
    path = configs / file
    whole = path.read_text()
    path.write_text(LOOSER if file == "policy.toml" else whole.replace('"compliance"', '"compliance", "ops"'))
    done = waiting("withdraw", "run")
    refused(done, 8, file)
    path.write_text(whole)
    logged(waiting, done, "withdraw run", file, "cryptosupport")
    path.unlink()
    assert waiting("withdraw", "run").exit_code == 8
    assert waiting("withdraw", "submit", *options(asked("w-2"))).exit_code == 8
    path.write_text("[[[")
    done = waiting("withdraw", "run", "--json")
    assert (done.exit_code, json.loads(done.stderr)["error"]["code"]) == (8, "edited")
    path.write_text(whole)
    whys = [each["facts"]["why"] for each in refusals(waiting)]
    assert len(whys) == len(set(whys)) == 2  # edited or deleted is told alike, once
    assert waiting("withdraw", "show", "w-2").exit_code == 4


def sdn(folder: Path, text: str) -> str:
    path = folder / "list.csv"
    path.write_text(text)
    return str(path)


def test_a_list_that_is_cut_short_or_old_is_logged(run: Program, tmp_path: Path) -> None:
    ofac = ("--list", "ofac", "--operator", "carol")
    rows = "".join(f"0x{number:040x}\n" for number in range(1, 9))
    assert run("screen", "import", sdn(tmp_path, f"# as_of 2026-11-21T12:00:00Z\n{rows}"), *ofac).exit_code == 0
    cases = {
        "# as_of 2026-11-22T12:00:00Z\n0x%040x\n" % 1: (3, "was the file cut short?"),  # noqa: UP031
        f"# as_of 2026-11-20T12:00:00Z\n{rows}": (3, "older files take back what came since"),
        "<sanctions><Sanctions": (2, "nothing was imported"),
        "": (2, "has no address in it"),
    }
    for text, (code, said) in cases.items():
        done = run("screen", "import", sdn(tmp_path, text), *ofac)
        refused(done, code, said)
        logged(run, done, "screen import", "ofac", "operator carol")
    (_, old, _, empty) = refusals(run)
    assert old["facts"]["source"] == "list.csv"
    assert len(old["facts"]["sha256"]) == len(empty["facts"]["sha256"]) == 64
    for _ in range(2):
        assert run("screen", "import", sdn(tmp_path, ""), "--list", "ofac").exit_code == 2
    assert len(refusals(run)) == 5


# -- when it cannot be written down ----------------------------------------------------------------------------------


def test_without_a_ledger_none_is_made(bare: Program, tmp_path: Path) -> None:
    done = bare("screen", "import", sdn(tmp_path, ""), "--list", "ofac")
    assert done.exit_code in (2, 3)
    assert bare("screen", "import", sdn(tmp_path, "<x"), "--list", "ofac").exit_code == 2


@pytest.mark.parametrize("more", [(), ("--quiet",)])
def test_a_log_that_takes_nothing_hides_no_refusal(waiting: Program, tmp_path: Path, more: tuple[str, ...]) -> None:
    sql(tmp_path, "create trigger full before insert on audit begin select raise(abort, 'disk full'); end")
    done = waiting("withdraw", "approve", "w-1", "--operator", "alice", *more)
    refused(done, 3, "error: alice brought w-1", "cannot be written down")
    assert state(waiting) == "awaiting_approval"


def test_tampering_that_cannot_be_written_down_is_told_under_quiet_too(waiting: Program, tmp_path: Path) -> None:
    ofac = ("--list", "ofac", "--operator", "carol")
    assert waiting("screen", "import", sdn(tmp_path, f"{ADDRESS}\n"), *ofac).exit_code == 0
    sql(tmp_path, "update screen_entry set key = 'x'")
    sql(tmp_path, "create trigger full before insert on audit begin select raise(abort, 'disk full'); end")
    for command in (("screen", "list"), ("screen", "status"), ("address", "check", ADDRESS, "--offline")):
        done = waiting(*command, "--quiet")
        assert "cannot be written down, nor freeze the desk" in done.stderr, (command, done.stderr)
        assert done.stderr.count("\n") == 1


def test_doctor_writes_down_what_it_meets(waiting: Program, configs: Path) -> None:
    path = configs / "policy.toml"
    whole = path.read_text()
    path.write_text(LOOSER)
    done = waiting("doctor", "--json")
    assert done.exit_code == 8
    assert [each["verdict"] for each in done.json if each["name"] == "policy.toml"] == ["fail"]
    assert waiting("doctor").exit_code == 8
    path.write_text(whole)
    (told,) = refusals(waiting)
    assert (told["subject"], told["who"], told["facts"]["command"]) == (
        "policy.toml", "cryptosupport", "cryptosupport doctor",
    )  # fmt: skip
    assert waiting("doctor").exit_code in (0, 6)
    assert len(refusals(waiting)) == 1


# -- what the log must not say ---------------------------------------------------------------------------------------

WIF = "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ"
"""The private key of the Bitcoin wiki's page on the wallet import format."""


def test_no_secret_that_was_put_in_the_wrong_place_is_kept(waiting: Program, configs: Path, tmp_path: Path) -> None:
    whole = {name: (configs / name).read_text() for name in ("policy.toml", "operators.toml")}
    for secret in (WIF, PHRASE):
        for name, text in (("policy.toml", f'"{secret}" = 1\n'), ("operators.toml", f'["{secret}"]\n')):
            (configs / name).write_text(text + whole[name])
            done = waiting("withdraw", "run")
            refused(done, 8)
            assert secret not in done.stderr
            (configs / name).write_text(whole[name])
        ofac = ("--list", "ofac", "--operator", "carol")
        for text in (f"seed: {secret}", f"1. {secret}", f"address,{secret}\n", secret):
            done = waiting("screen", "import", sdn(tmp_path, text), *ofac)
            refused(done, 2)
            assert secret.lower() not in done.stderr.lower()
        for given in (("--reason", secret, "--operator", "bob"), ("--reason", "x", "--operator", f"my seed {secret}")):
            done = waiting("withdraw", "hold", "w-1", *given)
            refused(done, 2, "a private key or a recovery phrase")
            assert secret not in done.stderr
        name = "zoo-" * 11 + "wrong" if secret == PHRASE else secret
        add = ("--role", "ops", "--public-key", "keyring", "--operator", "alice")
        assert waiting("operator", "add", name, *add).exit_code == 2
        assert waiting("freeze", "add", f"customer={secret}", "--reason", "x").exit_code == 2
    log = waiting("audit", "export").stdout.lower()
    assert WIF.lower() not in log
    assert PHRASE not in log
    assert "zoo-zoo" not in log


def test_what_stood_in_a_list_that_is_none_is_not_kept(waiting: Program, tmp_path: Path) -> None:
    rows = "customer,address\n0x1,Jane Doe b. 1970-01-01\n"
    done = waiting("screen", "import", sdn(tmp_path, rows), "--list", "book", "--kind", "allow", "--operator", "carol")
    refused(done, 2, "Jane Doe")
    assert "line 2" in refusals(waiting)[-1]["facts"]["why"]
    assert "Jane" not in waiting("audit", "export").stdout


def test_words_that_nobody_signed_are_not_put_into_anybodys_mouth(waiting: Program, tmp_path: Path) -> None:
    given = statement_of_bob(waiting, tmp_path / "said")
    text = (tmp_path / "said").read_text()
    (tmp_path / "said").write_text(text.replace('"action":"approve"', '"action":"steal all the coins"'))
    done = waiting(*APPROVE, *given)
    refused(done, 3, "the signature of bob does not count")
    assert "steal" not in done.stderr
    logged(waiting, done, "withdraw approve", "w-1", "bob (unproven)")


def test_an_insider_and_an_impostor_are_told_apart(waiting: Program) -> None:
    done = waiting("screen", "import", "-", "--list", "ofac", "--operator", "carol", stdin="")
    refused(done, 2, "has no address in it")
    logged(waiting, done, "screen import", "ofac", "operator carol")


def test_who_wanted_to_see_personal_data_is_named_each_time(waiting: Program) -> None:
    for count in (1, 2):
        done = waiting("withdraw", "show", "w-1", "--reveal", "--reason", "x", "--operator", "mallory")
        refused(done, 3, "mallory is no operator")
        logged(waiting, done, "withdraw show", "w-1", "mallory (unproven)")
        assert len(refusals(waiting)) == count


def test_a_forged_freeze_counts_and_is_logged(waiting: Program) -> None:
    keyrings.set_password("operator-bob", OTHER)
    done = waiting("freeze", "add", "customer=c-1", "--reason", "x", "--operator", "bob")
    assert done.exit_code == 0
    assert "it is not proven who freezes" in done.stderr
    assert refusals(waiting)[-1]["who"] == "bob (unproven)"


def test_a_dry_run_is_not_logged(waiting: Program) -> None:
    done = waiting("withdraw", "reject", "w-1", "--reason", "x", "--operator", "mallory", "--dry-run")
    assert done.exit_code in (0, 3)
    assert refusals(waiting) == []


def test_an_entry_that_somebody_put_in_hides_no_refusal(waiting: Program, configs: Path, tmp_path: Path) -> None:
    sql(
        tmp_path,
        "insert into audit (number, at, kind, subject, who, facts, hash) select 999, at, 'refused', 'policy.toml', "
        "'cryptosupport', '{}', hash from audit where number = 1",
    )
    (configs / "policy.toml").write_text(LOOSER)
    refused(waiting("withdraw", "run"), 8, "it was edited")
