"""`screen import`, `list`, `status` and `check`: what is printed, and with which code they end."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, update

from cryptosupport.context import SystemClock
from cryptosupport.domain.screening import key_of
from cryptosupport.ledger import tables
from cryptosupport.ledger.engine import writing
from tests.commands.test_freeze import people, signed
from tests.commands.withdrawkit import ON_BITCOIN, ON_ETHEREUM, desk, in_this_process
from tests.conftest import Program
from tests.outside.sdnkit import Party, advanced

ON_TRON, THE_SAME = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "0xA614f803B6FD780986A42c78Ec9c7f77e6DeD13C"
OFAC = advanced([Party(27307, ["LAZARUS GROUP"], [("ETH", ON_ETHEREUM), ("TRX", ON_TRON)])])
BOOK = f"customer,address\nc-7,{THE_SAME}\nc-7,{ON_BITCOIN}\n"


@pytest.fixture
def folder(tmp_path: Path, ledger_url: str) -> Path:
    """A settings folder, and files with lists beside it."""
    desk(tmp_path / "configs", url=ledger_url)
    (tmp_path / "sdn_advanced.xml").write_text(OFAC, encoding="utf-8")
    (tmp_path / "book.csv").write_text(BOOK, encoding="utf-8")
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Program:
    """Run the program in this process."""
    return in_this_process(folder)


def taken(run: Program, folder: Path) -> None:
    assert run("screen", "import", str(folder / "sdn_advanced.xml"), "--list", "ofac").exit_code == 0


def test_an_import_says_what_it_brought_about(run: Program, folder: Path) -> None:
    done = run("screen", "import", str(folder / "sdn_advanced.xml"), "--list", "ofac", "--operator", "alice", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    told = done.json
    assert list(told)[:7] == ["schema", "list", "kind", "source", "as_of", "imported_at", "entries"]
    assert told["schema"] == "cryptosupport.import/1"
    assert (told["list"], told["kind"], told["source"]) == ("ofac", "sanctions", "sdn_advanced.xml")
    assert (told["as_of"], told["entries"], told["added"]) == ("2026-11-20T00:00:00Z", 2, 2)
    assert told["sha256"] == hashlib.sha256(OFAC.encode()).hexdigest()
    assert told["examples"]["added"] == [ON_ETHEREUM, ON_TRON]


def test_a_person_reads_it(run: Program, folder: Path) -> None:
    taken(run, folder)
    done = run("screen", "import", str(folder / "book.csv"), "--list", "book", "--kind", "allow")
    assert done.exit_code == 0
    assert f"{THE_SAME} on the allow list of c-7 is stopped by ofac" in done.stderr
    assert "list       book (allow)\n" in done.stdout
    assert f"added      2: {THE_SAME}, {ON_BITCOIN}\n" in done.stdout
    assert "delisted   0\n" in done.stdout
    assert f"stopped    {THE_SAME} of c-7 (ofac)\n" in done.stdout


def test_where_there_are_operators_cron_renews_what_is_there_and_two_of_them_remove_it(
    run: Program, folder: Path, ledger_url: str
) -> None:
    taken(run, folder)
    people(folder / "configs", ledger_url, folder / "data")
    taken(run, folder)
    file = str(folder / "sdn_advanced.xml")
    for arguments in (["--list", "ofacc"], ["--list", "own", "--kind", "block"], ["--list", "ofac", "--accept-shrink"]):
        done = run("screen", "import", file, *arguments)
        assert done.exit_code == 3, arguments
        assert "that takes --operator NAME, of ops or compliance, who signs" in done.stderr
    assert run("screen", "import", file, "--list", "ofacc", "--operator", "alice").exit_code == 8  # no key is here
    remove = ("screen", "remove", "ofac", "--reason", "a typo")
    assert run(*remove, "--operator", "mallory").exit_code == 3
    assert [signed(run, folder, name, *remove).exit_code for name in ("alice", "carol")] == [9, 0]
    assert run("screen", "list", "--json").json == []
    assert run("audit", "verify").exit_code == 0
    assert run("screen", "import", file, "--list", "ofac").exit_code == 3  # a new one again


def test_without_operators_one_name_removes_a_list(run: Program, folder: Path) -> None:
    taken(run, folder)
    remove = ("screen", "remove", "ofac", "--reason", "a typo", "--operator", "alice", "--json")
    done = run(*remove)
    assert (done.exit_code, done.json["said_by"], done.json["missing"]) == (0, ["alice"], 0)
    assert run(*remove).exit_code == 4
    assert run("screen", "status").exit_code == 0
    assert run("audit", "verify").exit_code == 0
    settings = folder / "configs" / "desk.toml"
    settings.write_text(f'{settings.read_text(encoding="utf-8")}[screening]\nlists = ["ofac"]\n', encoding="utf-8")
    assert run("screen", "status").exit_code == 8
    taken(run, folder)
    assert "nothing is paid" in run(*remove).stderr


def test_a_list_comes_through_a_pipe_too(run: Program) -> None:
    done = run("screen", "import", "-", "--list", "own", "--kind", "block", "--json", stdin=f"{ON_BITCOIN}\n")
    assert (done.exit_code, done.json["source"], done.json["as_of"]) == (0, "stdin", None)


def test_what_cannot_be_used_ends_with_2_and_leaves_the_list(run: Program, folder: Path) -> None:
    taken(run, folder)
    for text, why in ((OFAC[:900], "sdn.xml: line"), ("<html/>", "no list that is known"), ("", "no address in it")):
        (folder / "sdn.xml").write_text(text, encoding="utf-8")
        done = run("screen", "import", str(folder / "sdn.xml"), "--list", "ofac", "--json")
        assert (done.exit_code, done.stdout) == (2, "")
        assert why in json.loads(done.stderr)["error"]["message"]
    assert run("screen", "import", str(folder / "book.csv"), "--list", "ofac", "--kind", "allow").exit_code == 2
    assert run("screen", "import", str(folder / "none.xml"), "--list", "ofac").exit_code == 2
    assert len(run("screen", "list", "--list", "ofac", "--json").json) == 2


def test_an_older_or_much_shorter_file_ends_with_3_unless_it_is_accepted(run: Program, folder: Path) -> None:
    taken(run, folder)
    path = folder / "next.xml"
    older = advanced([Party(1, ["X"], [("ETH", ON_ETHEREUM), ("TRX", ON_TRON)])], date=(2026, 11, 19))
    path.write_text(older, encoding="utf-8")
    done = run("screen", "import", str(path), "--list", "ofac")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "ofac was imported as of 2026-11-20T00:00:00Z" in done.stderr
    assert run("screen", "import", str(path), "--list", "ofac", "--accept-older").exit_code == 0
    many = "".join(f"0x{number:040x}\n" for number in range(10))
    assert run("screen", "import", "-", "--list", "own", "--kind", "block", stdin=many).exit_code == 0
    few = many[: 43 * 4]
    assert run("screen", "import", "-", "--list", "own", "--kind", "block", stdin=few).exit_code == 3
    taken_now = run("screen", "import", "-", "--list", "own", "--kind", "block", "--accept-shrink", "--json", stdin=few)
    assert (taken_now.exit_code, taken_now.json["delisted"]) == (0, 6)


def test_it_is_not_imported_by_settings_that_others_can_write(run: Program, folder: Path) -> None:
    (folder / "configs" / "desk.toml").chmod(0o666)
    done = run("screen", "import", str(folder / "sdn_advanced.xml"), "--list", "ofac")
    assert done.exit_code == 8
    (folder / "configs" / "desk.toml").chmod(0o600)
    assert run("screen", "list", "--json").json == []


def test_the_lists_and_what_is_on_them_are_shown(run: Program, folder: Path) -> None:
    taken(run, folder)
    run("screen", "import", str(folder / "book.csv"), "--list", "book", "--kind", "allow")
    book, ofac = run("screen", "list", "--json").json
    assert (book["list"], book["kind"], book["entries"], book["state"]) == ("book", "allow", 2, "good")
    assert (ofac["schema"], ofac["as_of"]) == ("cryptosupport.list/1", "2026-11-20T00:00:00Z")
    rows = list(csv.DictReader(io.StringIO(run("screen", "list", "--list", "ofac", "-o", "csv").stdout)))
    assert [(row["address"], row["tag"], row["label"]) for row in rows] == [
        (ON_ETHEREUM, "ETH", "LAZARUS GROUP"),
        (ON_TRON, "TRX", "LAZARUS GROUP"),
    ]
    of_customer = run("screen", "list", "--customer", "c-7", "-o", "jsonl").jsonl
    assert {each["key"] for each in of_customer} == {key_of(THE_SAME), ON_BITCOIN}
    assert run("screen", "list", "--customer", "c-8", "--json").json == []
    assert run("screen", "list", "--list", "none").exit_code == 4


def test_without_a_list_that_is_told(run: Program) -> None:
    for command in (("list",), ("status",), ("check", ON_BITCOIN)):
        done = run("screen", *command, "-o", "jsonl")
        assert done.exit_code == 0
        assert "no list was imported: nothing is screened" in done.stderr


def test_what_an_address_hits_ends_with_3(run: Program, folder: Path) -> None:
    taken(run, folder)
    run("screen", "import", str(folder / "book.csv"), "--list", "book", "--kind", "allow")
    done = run("screen", "check", THE_SAME, "--customer", "c-7", "--json")
    assert done.exit_code == 3
    assert (done.json["stopped"], done.json["allowed"], done.json["blocked"]) == (True, True, [])
    (hit,) = done.json["sanctions"]
    assert (hit["list"], hit["label"], hit["entry"], hit["tag"]) == ("ofac", "LAZARUS GROUP", "27307", "TRX")
    clean = run("screen", "check", ON_BITCOIN, "--json")
    assert (clean.exit_code, clean.json["allowed"], clean.json["sanctions"]) == (0, None, [])
    assert run("screen", "check", "1nobody", "--customer", "c-7", "--json").json["allowed"] is False
    both = run("screen", "check", ON_BITCOIN, ON_TRON)
    assert both.exit_code == 3
    assert "ofac (LAZARUS GROUP, 27307, TRX)" in both.stdout
    person = run("screen", "check", ON_TRON, "--customer", "c-7").stdout
    assert "on the customer's allow list  yes" in person


def test_a_private_key_is_shown_nowhere(run: Program) -> None:
    done = run("screen", "check", "5" + "J" * 50, "--json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "JJJ" not in done.stderr


def test_a_list_that_is_too_old_ends_with_8_and_an_old_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk(tmp_path / "configs")
    run, now = in_this_process(tmp_path), SystemClock.milliseconds
    done = run("screen", "import", "-", "--list", "ofac", stdin=f"{ON_BITCOIN}\n")
    assert (done.exit_code, run("screen", "status").exit_code) == (0, 0)

    def later(hours: int) -> None:
        monkeypatch.setattr(SystemClock, "milliseconds", lambda clock: now(clock) + hours * 3_600_000)

    later(25)
    done = run("screen", "status", "--json")
    assert (done.exit_code, done.json[0]["state"]) == (0, "old")
    assert "the list ofac: imported 1d 2h ago, and 24h is the most" in done.stderr
    later(73)
    done = run("screen", "status", "--json")
    assert (done.exit_code, done.json[0]["state"]) == (8, "too_old")


def test_a_list_that_was_changed_in_the_database_is_not_relied_on(
    run: Program, folder: Path, ledger_engine: Engine
) -> None:
    taken(run, folder)
    run("screen", "import", str(folder / "book.csv"), "--list", "book", "--kind", "allow")
    with writing(ledger_engine) as connection:
        listed = tables.screen_entry.c
        connection.execute(delete(tables.screen_entry).where(listed.list == "ofac", listed.key == key_of(ON_TRON)))
    done = run("screen", "check", ON_TRON)
    assert (done.exit_code, done.stdout) == (3, "")
    assert "the list ofac was changed in the database behind this program" in done.stderr
    status = run("screen", "status", "--json")
    assert status.exit_code == 8
    assert [each["state"] for each in status.json] == ["good", "damaged"]
    again = run("screen", "import", str(folder / "sdn_advanced.xml"), "--list", "ofac")
    assert again.exit_code == 0
    assert "had been changed in the database" in again.stderr
    with writing(ledger_engine) as connection:
        connection.execute(update(tables.screen_list).values(kind="memo"))
    assert run("screen", "check", ON_TRON).exit_code == 3


def test_killed_at_any_statement_and_commit_the_list_is_the_earlier_or_the_new_one(folder: Path) -> None:
    files = [folder / "earlier.txt", folder / "new.txt"]
    for path, numbers in zip(files, (range(3), range(1, 5)), strict=True):
        path.write_text("".join(f"0x{number:040x}\n" for number in numbers), encoding="utf-8")
    command = [sys.executable, "-m", "tests.commands.importing", folder / "configs", folder / "data", *files]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["wrong"] == []
    assert (len(told["before"]), len(told["after"])) == (3, 4)
    assert told["points"] > 8
