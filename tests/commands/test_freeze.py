"""`freeze` as people type it: with operators and without, by the ledger and by the file alone."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from cryptosupport.domain.screening import key_of
from cryptosupport.ledger import tables
from cryptosupport.ledger.engine import open_engine, writing
from cryptosupport.ledger.schema import ready
from cryptosupport.outside.sshsig import sign
from cryptosupport.settings.operators import operators_text
from tests.commands.withdrawkit import ANOTHER, ON_BITCOIN, ON_ETHEREUM, asked, desk, in_this_process, jsonl
from tests.conftest import Program, Run
from tests.desk.deskkit import Desk, Turned, policy
from tests.desk.peoplekit import KEYS, ROLES, enrol, operator

PERMIT = '[[rules]]\nname = "permit"\nallow = true\n'
IN_ETH = {"asset": "ETH", "chain": "ethereum", "destination": ON_ETHEREUM}
WALLETS = f'[hot-eth]\nchain = "ethereum"\nrole = "hot"\naddress = "0x{"37" * 20}"\n'


@pytest.fixture
def run(tmp_path: Path) -> Program:
    """The program, with the settings and the data of this test."""
    return in_this_process(tmp_path)


@pytest.fixture
def configs(tmp_path: Path, ledger_url: str) -> Path:
    """A settings folder with a ledger, that allows everything."""
    folder = desk(tmp_path / "configs", PERMIT, url=ledger_url)
    (folder / "wallets.toml").write_text(WALLETS, encoding="utf-8")
    return folder


@pytest.fixture
def file(tmp_path: Path, configs: Path) -> Path:
    """The freeze file, which is not there."""
    (tmp_path / "data").mkdir(mode=0o700, exist_ok=True)
    return tmp_path / "data" / "freeze"


def submit(run: Program, *requests: dict[str, Any]) -> dict[str, str]:
    done = run("withdraw", "submit", "--input", "-", "-o", "jsonl", stdin=jsonl(*requests))
    assert done.exit_code in (0, 9), done.stderr
    return {each["request_id"]: each["state"] for each in done.jsonl}


def pass_of_cron(run: Program) -> dict[str, str]:
    done = run("withdraw", "run", "-o", "jsonl")
    assert done.exit_code == 0, done.stderr
    return {each["request_id"]: each["state"] for each in done.jsonl}


def frozen(run: Program, *more: str) -> list[str]:
    done = run("freeze", "list", "-o", "jsonl", *more)
    assert done.exit_code == 0, done.stderr
    return [each["scope"] for each in done.jsonl]


def lift(run: Program, scope: str, *names: str) -> list[int]:
    return [run("freeze", "lift", scope, "--operator", name).exit_code for name in names]


def test_one_freezes_two_lift_and_what_waited_goes_on(run: Program, file: Path) -> None:
    done = run("freeze", "add", "asset=BTC", "--reason", "strange outflow", "--json")
    assert done.exit_code == 0, done.stderr
    record = done.json
    assert (record["scope"], record["by"], record["proven"], record["source"]) == (
        "asset=BTC", "somebody", False, "operator",
    )  # fmt: skip
    waits = run("withdraw", "submit", "--input", "-", "-o", "jsonl", stdin=jsonl(asked()))
    assert waits.exit_code == 9
    assert [voice["name"] for voice in waits.jsonl[0]["decision"]["rules"] if voice["outcome"] == "wait"] == ["freeze"]
    assert submit(run, asked("w-2", **IN_ETH)) == {"w-2": "approved"}
    assert lift(run, "asset=BTC", "ann", "ann") == [9, 9]
    assert pass_of_cron(run) == {}
    assert lift(run, "asset=BTC", "ben", "ben") == [0, 4]
    assert pass_of_cron(run) == {"w-1": "approved"}
    assert not file.exists()
    assert (frozen(run), frozen(run, "--lifted")) == ([], ["asset=BTC"])


def test_one_scope_is_told_as_one_object_and_several_as_a_list(run: Program, file: Path) -> None:
    add = ("freeze", "add", "--reason", "drill", "--json")
    assert [each["scope"] for each in run(*add, "asset=BTC", "asset=ETH").json] == ["asset=BTC", "asset=ETH"]
    file.write_bytes(b"asset=BTC by hand\n")  # another freeze of the same
    one = run("freeze", "lift", "asset=BTC", "--operator", "ann", "--json")
    assert one.exit_code == 9
    assert (one.json["scope"], one.json["lifted_at"], one.json["lift_asked_by"]) == ("asset=BTC", None, ["ann"])
    (other,) = one.json["others"]
    assert {one.json["reason"], other["reason"]} == {"drill", "by hand"}
    assert run("freeze", "lift", "asset=ETH", "--operator", "ann", "--json").json["others"] == []
    both = run("freeze", "lift", "asset=ETH", "asset=BTC", "--operator", "ben", "--json")
    assert both.exit_code == 0
    assert sorted(each["scope"] for each in both.json) == ["asset=BTC", "asset=BTC", "asset=ETH"]
    table = run("freeze", "add", "all", "--reason", "x").stdout
    assert table.split()[:2] == ["scope", "reason"]


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        ("asset=UDST", "did you mean 'USDT'?"),
        ("asset=btc", "known here: BTC, ETH, USDT"),
        ("chain=etherium", "did you mean 'ethereum'?"),
        ("wallet=hot-et", "did you mean 'hot-eth'?"),
        ("destination=bc1qnonsense", "no configured chain reads bc1qnonsense as an address"),
        (f"destination={ON_ETHEREUM.replace('a', 'A', 1)}", "no configured chain reads"),
        ("everything", "is no scope of a freeze"),
        ("customer=", "names nothing"),
    ],
)
def test_what_would_cover_nothing_is_refused_and_nothing_is_frozen(
    run: Program, file: Path, scope: str, told: str
) -> None:
    done = run("freeze", "add", "chain=bitcoin", scope, "--reason", "x")
    assert done.exit_code == 2
    assert told in done.stderr
    assert not file.exists()
    assert frozen(run) == []


def test_a_destination_is_frozen_and_lifted_in_any_spelling(run: Program, file: Path) -> None:
    small, capitals = f"destination={ON_ETHEREUM.lower()}", f"destination={ON_BITCOIN.upper()}"
    assert run("freeze", "add", small, capitals, "--reason", "theft").exit_code == 0
    assert sorted(frozen(run)) == [f"destination={ON_ETHEREUM}", f"destination={ON_BITCOIN}"]
    requests = asked(), asked("w-2", **IN_ETH), asked("w-3", destination=ANOTHER)
    assert submit(run, *requests) == {"w-1": "waiting", "w-2": "waiting", "w-3": "approved"}
    assert lift(run, small, "ann", "ben") == [9, 0]
    assert pass_of_cron(run) == {"w-2": "approved"}


def test_a_customer_of_any_name_is_frozen(run: Program, file: Path) -> None:
    assert run("freeze", "add", "customer=Ann 100% B", "--reason", "x").exit_code == 0
    assert frozen(run) == ["customer=Ann 100% B"]  # the file and the ledger agree
    both = asked(customer="Ann 100% B"), asked("w-2", customer="Ann")
    assert submit(run, *both) == {"w-1": "waiting", "w-2": "approved"}


def test_what_is_frozen_already_has_one_line_and_one_freeze(run: Program, file: Path) -> None:
    for reason in ("one", "two"):
        assert run("freeze", "add", "all", "--reason", reason).exit_code == 0
    assert frozen(run) == ["all"]
    assert file.read_text(encoding="utf-8").count("\n") == 1
    assert lift(run, "all", "ann", "ben") == [9, 0]
    assert (frozen(run), file.exists()) == ([], False)


def test_settings_that_cannot_be_read_keep_nobody_from_freezing(run: Program, configs: Path, file: Path) -> None:
    (configs / "chains" / "ethereum.toml").write_text("nonsense", encoding="utf-8")
    done = run("freeze", "add", "chain=bitcoin", "--reason", "x")
    assert done.exit_code == 0
    assert "whether chain=bitcoin covers anything cannot be told" in done.stderr


# -- the file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"all\n", b"", b"chain=\xff\xfe garbage", b"all\n" * 20_000])
def test_a_file_freezes_and_deleting_it_lifts_nothing(run: Program, file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert submit(run, asked()) == {"w-1": "waiting"}
    file.unlink()
    assert pass_of_cron(run) == {}
    assert submit(run, asked("w-2")) == {"w-2": "waiting"}
    assert lift(run, "all", "ann", "ben") == [9, 0]
    assert pass_of_cron(run) == {"w-1": "approved", "w-2": "approved"}


def test_a_line_on_another_machine_does_not_freeze_again_what_was_lifted(run: Program, file: Path) -> None:
    run("freeze", "add", "all", "--reason", "drill")
    line = file.read_bytes()
    assert lift(run, "all", "ann", "ben") == [9, 0]
    file.write_bytes(line)
    assert submit(run, asked()) == {"w-1": "approved"}
    file.write_bytes(b"all\n")
    assert submit(run, asked("w-2")) == {"w-2": "waiting"}
    assert lift(run, "all", "ann", "ben") == [9, 0]
    file.write_bytes(b"all\n")
    assert submit(run, asked("w-3")) == {"w-3": "waiting"}


def test_two_freezes_of_the_same_leave_nothing_that_freezes_again_after_a_lift_elsewhere(
    run: Program, file: Path, configs: Path, tmp_path: Path, ledger_url: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "configs").symlink_to(configs)
    other = in_this_process(elsewhere)
    if ledger_url.startswith("sqlite"):
        (elsewhere / "data").mkdir(mode=0o700)
        desk(configs, PERMIT, url=f"sqlite:///{tmp_path / 'data' / 'shared.db'}")
    for reason in ("one", "two"):
        assert run("freeze", "add", "all", "--reason", reason).exit_code == 0
    assert [other("freeze", "lift", "all", "--operator", name).exit_code for name in ("ann", "ben")] == [9, 0]
    assert file.exists()
    assert submit(run, asked()) == {"w-1": "approved"}
    assert (frozen(run), frozen(other)) == ([], [])
    run("freeze", "add", "all", "--reason", "three")
    assert other("freeze", "lift", "all", "--operator", "ann").exit_code == 9
    run("freeze", "add", "all", "--reason", "four")  # who wanted it lifted did not know of this one
    assert other("freeze", "lift", "all", "--operator", "ben").exit_code == 9
    assert [other("freeze", "lift", "all", "--operator", name).exit_code for name in ("ann", "ben")] == [0, 4]
    assert submit(run, asked("w-2")) == {"w-2": "approved"}


def test_a_folder_of_that_name_freezes_and_can_be_lifted(run: Program, file: Path) -> None:
    file.mkdir()
    assert submit(run, asked()) == {"w-1": "waiting"}
    done = run("freeze", "lift", "all", "--operator", "ann")
    assert done.exit_code == 9
    done = run("freeze", "lift", "all", "--operator", "ben")
    assert done.exit_code == 0
    assert "take out yourself what was lifted" in done.stderr
    assert pass_of_cron(run) == {"w-1": "approved"}
    added = run("freeze", "add", "asset=BTC", "--reason", "x")
    assert added.exit_code == 0
    assert "it can count by the ledger alone" in added.stderr
    assert frozen(run) == ["asset=BTC"]


def test_with_the_ledger_down_the_file_stops_this_machine(tmp_path: Path) -> None:
    run = in_this_process(tmp_path)
    folder = desk(tmp_path / "configs", PERMIT, url="postgresql+psycopg://desk@127.0.0.1:1/ledger")
    done = run("freeze", "add", "all", "--reason", "the database is gone", "--operator", "ann", "--json")
    assert done.exit_code == 0
    assert done.json["scope"] == "all"
    assert "the ledger does not know of it yet" in done.stderr
    assert run("withdraw", "run").exit_code == 6
    assert run("freeze", "lift", "all", "--operator", "ann").exit_code == 6
    desk(folder, PERMIT)  # another ledger, which is there: it hears of it from the file
    assert frozen(run) == ["all"]
    assert submit(run, asked()) == {"w-1": "waiting"}


def test_with_neither_file_nor_ledger_it_fails(tmp_path: Path) -> None:
    run = in_this_process(tmp_path)
    desk(tmp_path / "configs", PERMIT, url="postgresql+psycopg://desk@127.0.0.1:1/ledger")
    (tmp_path / "data" / "freeze").mkdir(parents=True)
    assert run("freeze", "add", "all", "--reason", "x").exit_code == 6


def test_a_ledger_that_is_damaged_keeps_nobody_from_freezing(tmp_path: Path) -> None:
    run = in_this_process(tmp_path)
    desk(tmp_path / "configs", PERMIT)
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "cryptosupport.db").write_bytes(b"this is no database" * 100)
    assert run("freeze", "add", "all", "--reason", "x").exit_code == 0
    assert (tmp_path / "data" / "freeze").read_text(encoding="utf-8").endswith(" all x\n")


def test_many_at_once_freeze_all_that_they_were_asked_to(run: Program, configs: Path, command: list[str]) -> None:
    import subprocess

    assert frozen(run) == []
    add = [*command, "freeze", "add", "--reason", "x"]
    started = [subprocess.Popen([*add, f"customer=c-{n}", "all"], stderr=subprocess.PIPE) for n in range(4)]
    for each in started:
        _, complaint = each.communicate(timeout=60)
        assert each.returncode == 0, complaint
    assert sorted(frozen(run)) == ["all", "customer=c-0", "customer=c-1", "customer=c-2", "customer=c-3"]


# -- warnings --------------------------------------------------------------------------------------------------------


def test_a_freeze_that_is_over_is_warned_of_and_counts(run: Program, file: Path) -> None:
    run("freeze", "add", "all", "--reason", "drill", "--expires", "1s")
    assert submit(run, asked()) == {"w-1": "waiting"}
    threading.Event().wait(1.1)
    for arguments in (["withdraw", "run"], ["freeze", "list"]):
        done = run(*arguments)
        assert done.exit_code == 0
        assert "all was to be frozen until" in done.stderr
    assert "all was to be frozen until" in run("doctor", "--json").stdout
    assert submit(run, asked("w-2")) == {"w-2": "waiting"}


def test_a_line_that_covers_nothing_is_warned_of(run: Program, file: Path) -> None:
    file.write_text("asset=UDST depeg\n", encoding="utf-8")
    for arguments in (["withdraw", "run"], ["freeze", "list"]):
        assert "asset=UDST is in no settings of this desk; did you mean 'USDT'?" in run(*arguments).stderr


# -- operators -------------------------------------------------------------------------------------------------------


def people(configs: Path, url: str, data: Path) -> None:
    """Four operators, in force, and the policy signed."""
    engine = open_engine(url, data)
    ready(engine)
    clock = Turned(at=_now())
    from cryptosupport.ledger.ledger import SqlLedger

    enrol(Desk(SqlLedger(engine, clock), clock, policy()))
    engine.dispose()
    (configs / "operators.toml").write_text(operators_text([operator(name) for name in ROLES]), encoding="utf-8")


def _now() -> int:
    import time

    return time.time_ns() // 10**6


def signed(run: Program, folder: Path, name: str, *arguments: str) -> Run:
    """The command, signed elsewhere by ``name``."""
    path = folder / f"{name}-{_now()}"
    asks = run(*arguments, "--operator", name, "--write-statement", str(path))
    assert asks.exit_code in (0, 9), asks.stderr
    Path(f"{path}.sig").write_text(sign(KEYS[name], path.read_bytes()), encoding="ascii")
    return run(*arguments, "--operator", name, "--statement", str(path))


def test_with_operators_the_same_one_lifts_nothing_and_a_stranger_neither(
    run: Program, configs: Path, file: Path, ledger_url: str, tmp_path: Path
) -> None:
    people(configs, ledger_url, tmp_path / "data")
    done = run("freeze", "add", "all", "--reason", "x", "--operator", "alice")
    assert done.exit_code == 0
    assert "it is not proven who freezes" in done.stderr
    assert lift(run, "all", "mallory") == [3]
    assert lift(run, "all", "alice")[0] != 0  # her key is not here
    codes = [signed(run, tmp_path, name, "freeze", "lift", "all").exit_code for name in ("alice", "alice", "bob")]
    assert codes == [9, 9, 0]
    assert frozen(run) == []


# -- tampering -------------------------------------------------------------------------------------------------------


def tamper(url: str, data: Path) -> None:
    engine = open_engine(url, data)
    with writing(engine) as connection:
        connection.execute(update(tables.withdrawal).values(destination=ANOTHER))
    engine.dispose()


@pytest.mark.parametrize("arguments", [["withdraw", "cancel", "w-1"], ["withdraw", "run"], ["audit", "verify"]])
def test_whoever_finds_tampering_freezes_the_desk_once(
    run: Program, file: Path, ledger_url: str, tmp_path: Path, arguments: list[str]
) -> None:
    file.write_bytes(b"asset=BTC\n")
    assert submit(run, asked()) == {"w-1": "waiting"}
    tamper(ledger_url, tmp_path / "data")
    for _ in range(2):
        done = run(*arguments)
        assert done.exit_code == 3, done.stderr
    assert sorted(frozen(run)) == ["all", "asset=BTC"]
    log = run("audit", "log", "-o", "jsonl").jsonl
    assert [each["kind"] for each in log].count("audit.tampered") == 1
    assert lift(run, "all", "ann", "ben") == [9, 0]
    assert run(*arguments).exit_code == 3
    assert frozen(run) == ["asset=BTC"]


def test_an_export_that_is_broken_freezes_nothing(run: Program, file: Path) -> None:
    submit(run, asked())
    export = run("audit", "export").stdout.replace("w-1", "w-2", 1)
    assert run("audit", "verify", "--file", "-", stdin=export).exit_code == 3
    assert frozen(run) == []


def tamper_with_list(url: str, data: Path) -> None:
    engine = open_engine(url, data)
    with writing(engine) as connection:
        connection.execute(update(tables.screen_entry).values(key=key_of(ON_BITCOIN)))
    engine.dispose()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["screen", "status"], 8),
        (["screen", "list"], 0),
        (["screen", "check", ON_ETHEREUM], 3),
        (["address", "check", "--offline", ON_ETHEREUM], 0),
        (["doctor"], 8),
    ],
)
def test_whoever_finds_a_list_that_was_changed_freezes_the_desk_once(
    run: Program, file: Path, ledger_url: str, tmp_path: Path, arguments: list[str], code: int
) -> None:
    (tmp_path / "list.txt").write_text(f"{ON_ETHEREUM}\n", encoding="utf-8")
    assert run("screen", "import", str(tmp_path / "list.txt"), "--list", "ofac").exit_code == 0
    tamper_with_list(ledger_url, tmp_path / "data")
    for _ in range(2):
        done = run(*arguments)
        assert done.exit_code == code, (done.exit_code, done.stderr)
        assert "Traceback" not in done.stderr
    assert frozen(run) == ["all"]
    log = run("audit", "log", "-o", "jsonl").jsonl
    (found,) = [each for each in log if each["kind"] == "audit.tampered"]
    assert found["facts"]["found"].startswith("the list ofac was changed in the database behind this program: ")
    assert run("audit", "verify").exit_code in (0, 3)
    assert lift(run, "all", "ann", "ben") == [9, 0]
    run(*arguments)
    submit_code = run("withdraw", "submit", "--input", "-", "-o", "jsonl", stdin=jsonl(asked())).exit_code
    assert submit_code != 0  # nothing is paid past a list that is not as it was imported
    assert frozen(run) == []  # whoever lifted it knows this cause, in whichever command it is found
