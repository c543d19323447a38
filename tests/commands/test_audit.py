"""`audit` as people, scripts and cron run it, on a real ledger."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from cryptosupport.domain.audit import BEGINNING
from cryptosupport.ledger.engine import open_engine
from tests.commands.withdrawkit import asked, desk, in_this_process, jsonl
from tests.conftest import Program
from tests.ledger.ledgerkit import unguarded


@pytest.fixture
def run(tmp_path: Path) -> Program:
    """The program, with the settings and the data of this test."""
    return in_this_process(tmp_path)


@pytest.fixture
def ledger(run: Program, tmp_path: Path, ledger_url: str) -> Engine:
    """A ledger with five entries; whose last one is of somebody with a name that starts like a formula."""
    desk(tmp_path / "configs", url=ledger_url)
    requests = [asked("w-1"), asked("w-2", "2"), asked("w-3", "0.25")]
    submit = ("withdraw", "submit", "--input", "-", "-o", "jsonl")
    assert run(*submit, stdin=jsonl(*requests)).exit_code == 9
    assert run("withdraw", "cancel", "w-1", "--operator", "alice").exit_code == 0
    assert run(*submit, "--operator", "=bob", stdin=jsonl(asked("w-4"))).exit_code == 0
    return open_engine(ledger_url, tmp_path / "data")


def tamper(ledger: Engine, *statements: str) -> None:
    """Change the ledger behind the program."""
    with ledger.begin() as connection:
        unguarded(connection)
        for each in statements:
            connection.execute(text(each))
    ledger.dispose()


# -- verify ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ledger")
def test_a_sound_ledger_ends_with_0(run: Program) -> None:
    done = run("audit", "verify")
    head = run("audit", "head").stdout.strip()
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"sound: 5 entries, 4 rows; the log ends with {head}\n"
    assert run("audit", "verify", "--json").json == {
        "sound": True, "entries": 5, "rows": 4, "head": head, "count": 0, "findings": [],
    }  # fmt: skip


def test_sums_that_limits_rest_on_are_held_against_the_withdrawals(
    run: Program, ledger: Engine, tmp_path: Path, ledger_url: str
) -> None:
    limit = '[[rules]]\nname = "day"\nper = "customer"\nwindow = "24h"\nmax_amount = "9"\nmatch = { asset = "BTC" }\n'
    desk(tmp_path / "configs", limit, url=ledger_url)
    assert run("audit", "verify").exit_code == 0  # a policy that has not decided yet
    assert run("withdraw", "run").exit_code == 0
    assert run("audit", "verify").exit_code == 0
    nothing = "'0'" if ledger_url.startswith("sqlite") else "0"
    tamper(ledger, f"update tally set booked = {nothing}")
    done = run("audit", "verify")
    assert done.exit_code == 3
    assert "\n  the sum of rule day for c-7 (BTC) says 0 BTC, and the withdrawals give " in done.stdout
    assert done.stdout.startswith("CHANGED: 1 findings in")
    (tmp_path / "configs" / "policy.toml").unlink()
    done = run("audit", "verify")
    assert done.exit_code == 0
    assert "the sums that limits rest on were not held against the withdrawals: " in done.stderr


def test_all_that_was_changed_is_printed_with_3_and_written_into_the_log(run: Program, ledger: Engine) -> None:
    tamper(
        ledger,
        "update audit set who = 'mallory' where number = 2",
        "delete from audit where number = 4",
        "update withdrawal set destination = 'mallory' where request_id = 'w-2'",
    )
    done = run("audit", "verify")
    assert done.exit_code == 3
    assert done.stdout.startswith("CHANGED: 4 findings in 4 entries, 4 rows\n  entry 2 is not as written")
    assert "\n  entry 4 is missing: somebody has taken away what stood there\n" in done.stdout
    assert "\n  withdrawal w-1 is not as entry 1 of the log has it" in done.stdout  # its cancel was taken away
    assert "\n  withdrawal w-2 is not as entry 2 of the log has it" in done.stdout
    assert "error: the ledger was changed behind this program (4 findings): pay nothing" in done.stderr
    told = run("audit", "verify", "--json")
    assert (told.exit_code, json.loads(told.stderr.splitlines()[-1])["error"]["code"]) == (3, "tampered")
    wanted = ["entry_changed", "entry_missing", "row_changed", "row_changed"]
    assert [each["what"] for each in told.json["findings"]] == wanted
    assert [each["first"] for each in told.json["findings"]] == [2, 4, None, None]
    broken = run("audit", "log", "--kind", "audit.broken", "--json").json
    assert [each["facts"]["findings"] for each in broken] == ["4", "4"]


def test_a_head_that_was_kept_shows_a_log_that_was_written_anew(run: Program, ledger: Engine, tmp_path: Path) -> None:
    kept = tmp_path / "heads.txt"
    kept.write_text(run("audit", "head").stdout + "\n", encoding="utf-8")
    assert run("audit", "verify", "--head-file", str(kept)).exit_code == 0
    tamper(ledger, "delete from audit where number = 5", "update withdrawal set state = state")
    rest = run("audit", "export").jsonl[-1]
    tamper(ledger, f"update book set audit_number = 4, audit_hash = '{rest['hash']}'")
    done = run("audit", "verify", "--head-file", str(kept))
    assert done.exit_code == 3
    assert "entry 5 is missing, which was kept elsewhere" in done.stdout
    assert "withdrawal w-4 is in no entry of the log" in done.stdout
    other = run("audit", "verify", "--head", f"2:{'0' * 64}")
    assert "entry 2 is another one than was kept elsewhere" in other.stdout


@pytest.mark.usefixtures("ledger")
def test_what_is_no_head_ends_with_2(run: Program) -> None:
    for given in ("5", "x:y", "", f"5:{'0' * 63}", f"-1:{'0' * 64}"):
        done = run("audit", "verify", f"--head={given}")
        assert (done.exit_code, done.stdout) == (2 if given else 0, done.stdout if not given else "")
    assert run("audit", "verify", "--since", "3").exit_code == 2


def test_without_a_ledger_nothing_is_sound(run: Program, tmp_path: Path) -> None:
    desk(tmp_path / "configs")
    for command in ("verify", "head", "export", "log"):
        done = run("audit", command)
        assert (done.exit_code, done.stdout) == (8, "")
        assert "there is no ledger at" in done.stderr
    assert not (tmp_path / "data" / "cryptosupport.db").exists()


def test_a_ledger_that_cannot_be_reached_ends_with_6(run: Program, tmp_path: Path) -> None:
    desk(tmp_path / "configs", url="postgresql+psycopg://desk@127.0.0.1:1/ledger")
    for command in ("verify", "head", "export", "log"):
        assert run("audit", command).exit_code == 6


# -- head ------------------------------------------------------------------------------------------------------------


def test_the_head_is_one_line_for_cron(run: Program, ledger: Engine) -> None:
    done = run("audit", "head")
    record = run("audit", "head", "--json").json
    assert done.stdout == f"{record['number']}:{record['hash']}\n"
    assert (record["number"], len(record["hash"])) == (5, 64)
    assert record["at"].endswith("Z")
    tamper(ledger, "delete from audit where number = 5")
    cut = run("audit", "head")
    assert (cut.exit_code, cut.stdout) == (3, "")
    assert "the audit log ends with 4:" in cut.stderr


# -- export ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ledger")
def test_anybody_can_compute_the_chain_from_an_export(run: Program) -> None:
    lines = run("audit", "export").jsonl
    previous = BEGINNING
    for number, line in enumerate(lines, 1):
        assert (line["number"], line["previous"]) == (number, previous)
        previous = hashlib.sha256(f"{previous}\n{line['entry']}".encode()).hexdigest()
        assert previous == line["hash"]
    assert run("audit", "head").stdout == f"{len(lines)}:{previous}\n"


@pytest.mark.parametrize("form", ["jsonl", "csv", "json"])
def test_an_export_is_verified_without_a_ledger(run: Program, ledger: Engine, tmp_path: Path, form: str) -> None:
    head = run("audit", "head").stdout.strip()
    file = tmp_path / "log"
    file.write_text(run("audit", "export", "-o", form).stdout, encoding="utf-8")
    part = tmp_path / "part"
    part.write_text(run("audit", "export", "--since", "2", "-o", form).stdout, encoding="utf-8")
    ledger.dispose()
    desk(tmp_path / "configs", url="postgresql+psycopg://desk@127.0.0.1:1/ledger")
    assert run("audit", "verify", "--file", str(file), "--head", head).exit_code == 0
    assert run("audit", "verify", "--file", "-", stdin=file.read_text(encoding="utf-8")).exit_code == 0
    assert run("audit", "verify", "--file", str(part), "--since", "2", "--head", head).exit_code == 0
    late = run("audit", "verify", "--file", str(part))
    assert (late.exit_code, "entries 1 to 2 are missing" in late.stdout) == (3, True)


@pytest.mark.usefixtures("ledger")
def test_whatever_is_changed_in_an_export_is_found(run: Program, tmp_path: Path) -> None:
    lines = run("audit", "export").stdout.splitlines(keepends=True)
    head = run("audit", "head").stdout.strip()
    file = tmp_path / "log.jsonl"

    def found(changed: list[str]) -> list[tuple[str, int | None]]:
        file.write_text("".join(changed), encoding="utf-8")
        done = run("audit", "verify", "--file", str(file), "--head", head, "--json")
        assert done.exit_code == 3
        return [(each["what"], each["first"]) for each in done.json["findings"]]

    def with_field(line: str, **fields: object) -> str:
        return json.dumps(json.loads(line) | fields) + "\n"

    for n, line in enumerate(lines):
        read = json.loads(line)
        end = [] if n < len(lines) - 1 else [("head_missing", 5)]
        forged = read["entry"].replace(f'"kind":"{read["kind"]}"', '"kind":"x"')
        assert ("entry_changed", n + 1) in found([*lines[:n], with_field(line, entry=forged), *lines[n + 1 :]])
        assert ("entry_changed", n + 1) in found([*lines[:n], with_field(line, hash="0" * 64), *lines[n + 1 :]])
        for name in ("number", "at", "kind", "subject", "who"):
            changed = [*lines[:n], with_field(line, **{name: "7"}), *lines[n + 1 :]]
            assert found(changed) == [("entry_misspelt", n + 1)]
        gone = [("entry_missing", n + 1)] if n < len(lines) - 1 else end
        assert found([*lines[:n], *lines[n + 1 :]]) == gone
        assert ("line_unreadable", None) in found([*lines[:n], "{\n", *lines[n + 1 :]])
        assert ("entry_moved", n + 1) in found([*lines[: n + 1], *lines[n:]])
    assert ("entry_moved", 1) in found(lines[::-1])
    assert found([]) == [("head_missing", 5)]


@pytest.mark.usefixtures("ledger")
def test_what_is_no_export_ends_with_2(run: Program) -> None:
    done = run("audit", "verify", "--file", "-", stdin="a,b\n1,2\n")
    assert (done.exit_code, done.stdout) == (2, "")
    assert run("audit", "export", "--since", "6").exit_code == 4


@pytest.mark.usefixtures("ledger")
def test_a_spreadsheet_runs_nothing_of_an_export(run: Program) -> None:
    rows = list(csv.DictReader(io.StringIO(run("audit", "export", "-o", "csv").stdout)))
    assert rows[4]["who"] == "'=bob (unproven)"
    assert json.loads(rows[4]["entry"])["who"] == "=bob (unproven)"


# -- log -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ledger")
def test_the_log_tells_what_was_done_the_newest_last(run: Program) -> None:
    everything = run("audit", "log", "--json").json
    assert [each["number"] for each in everything] == [1, 2, 3, 4, 5]
    one = run("audit", "log", "--subject", "w-1", "-o", "jsonl").jsonl
    assert [each["kind"] for each in one] == ["withdrawal.requested", "withdrawal.cancelled"]
    assert one[1]["facts"]["from"] == "approved"
    assert [each["number"] for each in run("audit", "log", "--limit", "2", "--json").json] == [4, 5]
    assert run("audit", "log", "--kind", "withdrawal.cancelled", "--json").json == [everything[3]]
    assert run("audit", "log", "--who", everything[0]["who"], "--since", "1h", "--json").json[0] == everything[0]
    assert run("audit", "log", "--since", "2100-01-01", "--json").json == []
    table = run("audit", "log").stdout
    assert "withdrawal.cancelled" in table
    assert run("audit", "log", "-o", "csv").stdout.startswith("number,at,kind,subject,who,facts,hash\n1,")


def test_an_entry_that_cannot_be_read_ends_with_3(run: Program, ledger: Engine) -> None:
    tamper(ledger, "update audit set facts = '[[' where number = 2")
    done = run("audit", "log")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "entry 2 of the audit log was changed" in done.stderr
    assert run("audit", "export").exit_code == 0
