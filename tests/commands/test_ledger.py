"""`ledger upgrade`, `status` and `backup`: what is printed, and with which code they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, update

from cryptosupport.ledger import schema, tables
from cryptosupport.ledger.engine import bare_url, writing
from tests.conftest import Configs, Program
from tests.ledger.ledgerkit import a_row, stamp
from tests.nodes.postgres import Postgres


@pytest.fixture
def desk(configs: Configs, ledger_url: str) -> None:
    """Settings that name the ledger of this test."""
    configs({}, desk=f'[ledger]\nurl = "{ledger_url}"\n')


@pytest.mark.usefixtures("desk")
def test_an_upgrade_makes_a_ledger_and_says_so(run: Program, ledger_engine: Engine) -> None:
    done = run("ledger", "upgrade")
    url = bare_url(ledger_engine)
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"{url}: a new ledger, at revision 0004\n", "")
    assert run("ledger", "upgrade").stdout == f"{url}: up to date, at revision 0004\n"
    assert run("ledger", "upgrade", "--json").json == {"url": url, "before": "0004", "after": "0004"}


@pytest.mark.usefixtures("desk")
def test_the_status_of_a_ledger_that_is_not_there_makes_none(
    run: Program, ledger_engine: Engine, tmp_path: Path
) -> None:
    done = run("ledger", "status", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.json["url"] == bare_url(ledger_engine)
    assert (done.json["revision"], done.json["head"], done.json["withdrawals"]) == (None, "0004", {})
    assert "none: the first `withdraw submit` makes the tables" in run("ledger", "status").stdout
    assert not (tmp_path / "data").exists()


def test_the_status_of_a_ledger_that_cannot_be_made_ends_with_8(run: Program, configs: Configs, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    configs({}, desk=f'[ledger]\nurl = "sqlite:///{tmp_path}/file/ledger.db"\n')
    done = run("ledger", "status")
    assert (done.exit_code, done.stdout) == (8, "")
    assert "file/ledger.db cannot be read: Not a directory" in done.stderr


@pytest.mark.usefixtures("desk")
def test_the_status_counts_withdrawals_by_state(run: Program, ledger_engine: Engine) -> None:
    schema.ready(ledger_engine)
    states = ["approved", "held", "approved"]
    with writing(ledger_engine) as connection:
        rows = [a_row(tables.withdrawal, id=n, request_id=str(n), state=state) for n, state in enumerate(states)]
        connection.execute(insert(tables.withdrawal), rows)
        connection.execute(update(tables.book).values(last_at=1_795_262_400_999))
    told = run("ledger", "status", "--json").json
    assert (told["withdrawals"], told["last_decision_at"]) == ({"approved": 2, "held": 1}, "2026-11-21T12:00:00Z")
    lines = [line.split() for line in run("ledger", "status").stdout.splitlines()]
    assert lines[2:3] + lines[4:7] == [["revision", "0004"], ["withdrawals", "3"], ["approved", "2"], ["held", "1"]]
    assert lines[7] == ["last", "decision", "2026-11-21T12:00:00Z"]


@pytest.mark.usefixtures("desk")
def test_an_older_ledger_is_shown_with_what_to_do(run: Program, ledger_engine: Engine) -> None:
    schema.ready(ledger_engine)
    stamp(ledger_engine, "0000")
    done = run("ledger", "status")
    assert done.exit_code == 0
    assert "0000 (this program needs 0004: run `cryptosupport ledger upgrade`)" in done.stdout


@pytest.mark.usefixtures("desk")
def test_a_newer_ledger_ends_with_8(run: Program, ledger_engine: Engine) -> None:
    schema.ready(ledger_engine)
    stamp(ledger_engine, "9999")
    for command in ("upgrade", "status"):
        done = run("ledger", command, "--json")
        assert (done.exit_code, done.stdout) == (8, "")
        assert "made by a newer version" in json.loads(done.stderr)["error"]["message"]


@pytest.mark.usefixtures("desk")
def test_a_backup_tells_the_rows_and_opens_as_a_ledger(
    run: Program, ledger_engine: Engine, configs: Configs, tmp_path: Path
) -> None:
    schema.ready(ledger_engine)
    with writing(ledger_engine) as connection:
        connection.execute(insert(tables.withdrawal), [a_row(tables.withdrawal, id=1, state="held")])
    copy = tmp_path / "copy.db"
    done = run("ledger", "backup", str(copy), "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.json["file"] == str(copy)
    assert (done.json["rows"]["withdrawal"], done.json["rows"]["book"]) == (1, 1)
    assert "  1 withdrawal\n" in run("ledger", "backup", str(tmp_path / "second.db")).stdout
    configs({}, desk=f'[ledger]\nurl = "sqlite:///{copy}"\n')
    assert run("ledger", "status", "--json").json["withdrawals"] == {"held": 1}


@pytest.mark.usefixtures("desk")
def test_a_backup_over_a_file_ends_with_2(run: Program, ledger_engine: Engine, tmp_path: Path) -> None:
    schema.ready(ledger_engine)
    (tmp_path / "copy.db").touch()
    done = run("ledger", "backup", str(tmp_path / "copy.db"))
    assert (done.exit_code, done.stdout) == (2, "")
    assert "is there already: name a new file" in done.stderr
    assert run("ledger", "backup", str(tmp_path / "nowhere" / "copy.db")).exit_code == 2


@pytest.mark.usefixtures("desk")
def test_a_backup_of_no_ledger_ends_with_8(run: Program, tmp_path: Path) -> None:
    done = run("ledger", "backup", str(tmp_path / "copy.db"))
    assert (done.exit_code, done.stdout) == (8, "")
    assert "nothing to back up" in done.stderr
    assert not list(tmp_path.glob("*copy*"))


def test_a_server_that_is_not_there_ends_with_6(run: Program, configs: Configs, tmp_path: Path) -> None:
    configs({}, desk='[ledger]\nurl = "postgresql+psycopg://desk@127.0.0.1:1/ledger"\n')
    for command in (["upgrade"], ["status"], ["backup", str(tmp_path / "copy.db")]):
        done = run("ledger", *command)
        assert (done.exit_code, done.stdout) == (6, "")
        assert "Connection refused" in done.stderr
    assert not list(tmp_path.glob("*copy*"))


def test_a_password_in_desk_toml_ends_with_8_and_is_not_shown(run: Program, configs: Configs) -> None:
    configs({}, desk='[ledger]\nurl = "postgresql+psycopg://desk:hunter2@127.0.0.1/ledger"\n')
    done = run("ledger", "status")
    assert (done.exit_code, done.stdout) == (8, "")
    assert 'url = "keyring:ledger"' in done.stderr
    assert "hunter2" not in done.stderr


def test_the_whole_url_may_stand_in_a_variable(run: Program, configs: Configs, postgres: Postgres) -> None:
    configs({}, desk='[ledger]\nurl = "env:LEDGER"\n')
    right = postgres.url("postgres", "guest:correct%20horse")
    done = run("ledger", "status", "--json", env={"LEDGER": right})
    assert (done.exit_code, done.json["url"]) == (0, postgres.url("postgres", "guest"))
    wrong = run("ledger", "status", env={"LEDGER": right.replace("horse", "hunter2")})
    assert (wrong.exit_code, wrong.stdout) == (8, "")
    assert "password authentication failed" in wrong.stderr
    assert "hunter2" not in wrong.stderr
