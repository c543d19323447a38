"""`withdraw` as people, scripts and cron run it, on a real ledger."""

from __future__ import annotations

import base64
import csv
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cryptosupport.domain.requests import signed_bytes
from cryptosupport.domain.withdrawal_record import FIELDS
from cryptosupport.outside.locks import lock
from tests.commands.withdrawkit import (
    ANOTHER,
    ON_BITCOIN,
    ON_ETHEREUM,
    UNSCREENED,
    asked,
    desk,
    in_this_process,
    jsonl,
    options,
)
from tests.conftest import Program, Run

Submit = Callable[..., Run]


@pytest.fixture
def run(tmp_path: Path) -> Program:
    """The program, with the settings and the data of this test."""
    return in_this_process(tmp_path)


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    """The settings folder, on SQLite, with a policy that knows every outcome."""
    return desk(tmp_path / "configs")


@pytest.fixture
def submit(run: Program, configs: Path) -> Submit:
    """Submit requests as JSONL from stdin; other arguments follow."""

    def start(*requests: dict[str, Any], more: tuple[str, ...] = ("-o", "jsonl")) -> Run:
        return run("withdraw", "submit", "--input", "-", *more, stdin=jsonl(*requests))

    return start


def states(run: Program, *filters: str) -> dict[str, str]:
    """What is recorded: the state by request id, in order of arrival."""
    done = run("withdraw", "list", *filters, "-o", "jsonl")
    assert done.exit_code == 0, done.stderr
    return {record["request_id"]: record["state"] for record in done.jsonl}


# -- submitting ------------------------------------------------------------------------------------------------------


def test_one_request_by_options_is_one_object_and_is_recorded(run: Program, tmp_path: Path, ledger_url: str) -> None:
    desk(tmp_path / "configs", url=ledger_url)
    done = run("withdraw", "submit", *options(asked("w-1", "0.50", memo="tag 7", note="urgent")), "--json")
    record = done.json
    assert done.exit_code == 0
    assert "kept in clear" in done.stderr, "there is no key for the note"
    assert [*record] == [*dict.fromkeys(field.partition(".")[0] for field in ("schema", *FIELDS[:-4], "repeated"))]
    assert (record["schema"], record["state"], record["repeated"]) == ("cryptosupport.withdrawal/1", "approved", False)
    assert (record["amount"], record["base_units"], record["memo"]) == ("0.5", "50000000", "tag 7")
    assert record["decision"]["outcome"] == "allow"
    assert {"name": "one", "outcome": "allow", "reason": "0.5 BTC is within the limit of 10 BTC"} in (
        record["decision"]["rules"]
    )
    assert record["wallet"] is record["txid"] is record["fee"] is record["tier"] is None
    shown = {k: v for k, v in record.items() if k != "repeated"} | {"payouts": []}
    assert run("withdraw", "show", "w-1", "--json").json == shown


def test_exit_codes_tell_the_decision(run: Program, tmp_path: Path, ledger_url: str) -> None:
    desk(tmp_path / "configs", url=ledger_url)
    wanted = [("allow", "1", 0), ("approval", "2", 9), ("wait", "5", 9), ("deny", "11", 3)]
    for outcome, amount, code in wanted:
        done = run("withdraw", "submit", *options(asked(outcome, amount)), "--json")
        assert (done.json["decision"]["outcome"], done.exit_code) == (outcome, code)
    held = run("withdraw", "submit", *options(asked("hold", country="DE")), "--json")
    assert (held.json["state"], held.exit_code) == ("held", 9)
    assert states(run) == {
        "allow": "approved",
        "approval": "awaiting_approval",
        "wait": "waiting",
        "deny": "rejected",
        "hold": "held",
    }


def test_of_several_the_first_that_applies_of_2_3_9_0_is_the_exit_code(submit: Submit) -> None:
    good, waits, denied, bad = asked("a", "0.1"), asked("b", "5"), asked("c", "11"), asked("d", "-1")
    assert submit(good).exit_code == 0
    assert submit(good, waits).exit_code == 9
    assert submit(good, waits, denied).exit_code == 3
    assert submit(bad, denied, waits, good).exit_code == 2
    assert submit().exit_code == 0


def test_second_run_with_the_same_ids_records_nothing_and_says_the_same(
    run: Program, tmp_path: Path, ledger_url: str
) -> None:
    desk(tmp_path / "configs", url=ledger_url)
    lines = jsonl(asked("a"), asked("b", "2"), asked("c", "11"), asked("a"))
    first = run("withdraw", "submit", "--input", "-", "-o", "jsonl", stdin=lines)
    before = run("withdraw", "list", "--json").json
    again = run("withdraw", "submit", "--input", "-", "-o", "jsonl", stdin=lines)
    assert (first.exit_code, again.exit_code) == (3, 3)
    assert [record["repeated"] for record in first.jsonl] == [False, False, False, True]
    assert [record["repeated"] for record in again.jsonl] == [True] * 4
    assert [record | {"repeated": True} for record in first.jsonl] == again.jsonl
    assert run("withdraw", "list", "--json").json == before
    assert run("withdraw", "submit", *options(asked("b", "2.0"))).exit_code == 9, "by the decision that is stored"
    assert "It was recorded before" in run("withdraw", "submit", *options(asked("a"))).stdout


def test_another_request_under_a_known_id_is_refused_and_changes_nothing(run: Program, submit: Submit) -> None:
    submit(asked("a"))
    before = run("withdraw", "show", "a", "--json").json
    alone = run("withdraw", "submit", *options(asked("a", "1.5")), "--json")
    assert (alone.exit_code, alone.stdout) == (2, "")
    assert "request_id a is recorded with another amount" in json.loads(alone.stderr)["error"]["message"]
    several = submit(asked("a", customer="c-8", destination=ANOTHER), asked("b"))
    assert several.exit_code == 2
    refused, taken = several.jsonl
    assert (refused["line"], refused["error"]["code"], taken["state"]) == (1, "bad_input", "approved")
    assert "another customer, destination" in refused["error"]["message"]
    assert run("withdraw", "show", "a", "--json").json == before


def test_what_waits_goes_before_what_comes(run: Program, configs: Path, submit: Submit) -> None:
    desk(configs, '[[rules]]\nname = "second"\nper = "global"\nwindow = "2s"\nmax_amount = "1"\n')
    assert submit(asked("a", "0.8"), asked("b", "0.5")).exit_code == 9
    time.sleep(2)
    assert submit(asked("c", "0.6")).jsonl[0]["state"] == "waiting"
    assert states(run) == {"a": "approved", "b": "approved", "c": "waiting"}


def test_a_dry_run_decides_everything_and_records_nothing(run: Program, tmp_path: Path, ledger_url: str) -> None:
    folder = desk(tmp_path / "configs", '[[rules]]\nname = "few"\nper = "customer"\nwindow = "1h"\nmax_count = 1002\n')
    desk(folder, (folder / "policy.toml").read_text(), url=ledger_url)
    lines = jsonl(asked("first"))
    assert run("withdraw", "submit", "--input", "-", stdin=lines).exit_code == 0
    lines = jsonl(*(asked(f"w-{n}", "0.001") for n in range(1003)), asked("w-7", "0.001"))
    dry = run("withdraw", "submit", "--input", "-", "--dry-run", "-o", "jsonl", stdin=lines)
    assert dry.exit_code == 3
    rows = dry.jsonl
    assert [row["state"] for row in rows] == ["approved"] * 1001 + ["rejected"] * 2 + ["approved"]
    assert rows[-1]["repeated"] is True
    assert states(run) == {"first": "approved"}
    real = run("withdraw", "submit", "--input", "-", "-o", "jsonl", stdin=lines)
    assert [row["state"] for row in real.jsonl] == [row["state"] for row in rows]


def test_a_dry_run_of_one_says_what_would_be(run: Program, configs: Path) -> None:
    done = run("withdraw", "submit", *options(asked()), "--dry-run")
    assert (done.exit_code, done.stdout.splitlines()[0]) == (
        0,
        f"Would be approved: 1 BTC on bitcoin to {ON_BITCOIN} for c-7.",
    )
    assert states(run) == {}


# -- what a person reads ---------------------------------------------------------------------------------------------


def test_a_person_reads_the_sentence_the_reason_the_whole_address_and_every_rule(run: Program, configs: Path) -> None:
    done = run("withdraw", "submit", *options(asked("w-1", "11")))
    first, second, *rest = done.stdout.splitlines()
    assert first == f"Rejected: 11 BTC on bitcoin to {ON_BITCOIN} for c-7."
    assert second == "11 BTC is over the limit of 10 BTC by 1 (one)."
    assert f"destination  {ON_BITCOIN}" in rest
    assert "             bc1q w508 d6qe jxtd g4y5 r3za rvar y0c5 xw7k v8f3 t4" in rest
    assert "  approval  eyes: 11 BTC is above 1 BTC: 2 people have to approve" in rest
    on_ethereum = asked("w-2", "0.1", chain="ethereum", asset="ETH", destination=ON_ETHEREUM.lower())
    said = run("withdraw", "submit", *options(on_ethereum)).stdout
    assert f"to {ON_ETHEREUM} for" in said
    assert "0x 5aAe b605" in said


def test_a_table_says_why_of_everything_that_is_not_allowed(submit: Submit) -> None:
    done = submit(asked("a"), asked("b", "11"), asked("c", "1e3"), asked("d", "2"), more=())
    heads, _, allowed, denied, bad, approval = done.stdout.splitlines()
    assert heads.split() == ["request_id", "customer", "amount", "asset", "chain", "destination", "state", "why"]
    assert allowed.split() == ["a", "c-7", "1", "BTC", "bitcoin", ON_BITCOIN, "approved"]
    assert denied.endswith("rejected           11 BTC is over the limit of 10 BTC by 1 (one)")
    assert 'line 3: amount is "1e3"' in bad
    assert approval.endswith("2 BTC is above 1 BTC: 2 people have to approve (eyes)")


# -- who brings it ---------------------------------------------------------------------------------------------------


def test_where_signatures_are_required_only_what_is_signed_is_taken(
    run: Program, configs: Path, submit: Submit
) -> None:
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw().hex()
    desk(configs, settings=f'[intake]\nrequire_signature = true\nkeys = {{ backend = "{public}" }}\n')

    def signed(request: dict[str, Any], by: Ed25519PrivateKey = key, **afterwards: str) -> dict[str, Any]:
        value = base64.b64encode(by.sign(signed_bytes(request))).decode()
        return request | afterwards | {"signature": {"key": "backend", "value": value}}

    forged, changed = signed(asked("b"), by=other), signed(asked("c"), amount="2")
    done = submit(signed(asked("a")), forged, changed, asked("d"))
    assert done.exit_code == 2
    assert [row.get("state") for row in done.jsonl] == ["approved", None, None, None]
    said = [row["error"]["message"] for row in done.jsonl[1:]]
    assert ["does not fit" in each for each in said] == [True, True, False]
    assert said[2].startswith("signature is missing")
    assert run("withdraw", "submit", *options(asked("e"))).exit_code == 2
    assert states(run) == {"a": "approved"}
    told = run("withdraw", "explain", "a", "--json").json
    assert (told["maker"], told["source"]) == ("backend", "backend")


def test_the_operator_is_recorded_as_who_brought_it(run: Program, configs: Path, submit: Submit) -> None:
    assert submit(asked("a"), more=("--operator", "alice")).exit_code == 0
    run("withdraw", "submit", *options(asked("b")), "--operator", "bob")
    for request_id, maker, source in (("a", "alice", "stdin"), ("b", "bob", "option")):
        told = run("withdraw", "explain", request_id, "--json").json
        assert (told["maker"], told["source"]) == (maker, source)
    for name in ("", " bob", "b\x1bob", "x" * 101):
        assert run("withdraw", "submit", *options(asked("c")), "--operator", name).exit_code == 2
    assert states(run) == {"a": "approved", "b": "approved"}


# -- listing and showing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "table"])
def test_an_empty_list_is_no_error(run: Program, configs: Path, form: str) -> None:
    done = run("withdraw", "list", "-o", form)
    assert done.exit_code == 0
    assert "there is no ledger" in done.stderr
    assert not (configs.parent / "data" / "cryptosupport.db").exists(), "who only looks makes none"
    assert {"json": "[]\n", "jsonl": "", "table": ""}.get(form, done.stdout) == done.stdout


def test_the_list_is_filtered_by_what_is_asked_for(run: Program, configs: Path, submit: Submit) -> None:
    on_ethereum = asked("eth", "0.1", chain="ethereum", asset="ETH", destination=ON_ETHEREUM, customer="c-8")
    submit(asked("a"), asked("b", "2", destination=ANOTHER), asked("c", "11"), on_ethereum)
    everything = ["a", "b", "c", "eth"]
    for filters, wanted in {
        (): everything,
        ("--customer", "c-8"): ["eth"],
        ("--address", ON_BITCOIN.upper()): ["a", "c"],
        ("--address", ON_ETHEREUM.lower()): ["eth"],
        ("--state", "rejected"): ["c"],
        ("--state", "rejected", "--state", "approved"): ["a", "c", "eth"],
        ("--customer", "c-7", "--state", "awaiting_approval"): ["b"],
        ("--since", "1h"): everything,
        ("--since", "0s"): [],
        ("--since", "2020-01-01T00:00:00Z"): everything,
        ("--since", "2020-01-01"): everything,
        ("--since", "2099-01-01"): [],
        ("--txid", "ab" * 32): [],
        ("--overdue",): [],
    }.items():
        assert [*states(run, *filters)] == wanted, filters


def test_what_is_not_through_in_time_is_overdue(run: Program, configs: Path, submit: Submit) -> None:
    submit(asked("a"), asked("b", "2"), asked("c", "11"))
    desk(configs, settings='[intake]\noverdue = "1ms"\n')
    assert states(run, "--overdue") == {"a": "approved", "b": "awaiting_approval"}


def test_an_address_that_no_chain_reads_is_looked_for_and_told(run: Program, configs: Path) -> None:
    done = run("withdraw", "list", "--address", f"{ON_BITCOIN[:-1]}5", "--json")
    assert (done.exit_code, done.json) == (0, [])
    assert "no configured chain" in done.stderr


@pytest.mark.parametrize("since", ["yesterday", "2026-13-01", "2026-11-21T12:00:00", "-1h", ""])
def test_since_is_a_time_a_day_or_a_duration(run: Program, configs: Path, since: str) -> None:
    done = run("withdraw", "list", "--since", since)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "how long ago" in done.stderr


def test_show_tells_one_as_an_object_and_several_as_a_list(run: Program, submit: Submit) -> None:
    submit(asked("a"), asked("b", "11"))
    assert run("withdraw", "show", "b", "--json").json["state"] == "rejected"
    several = run("withdraw", "show", "b", "nope", "a", "--json")
    assert several.exit_code == 4
    assert [row.get("request_id") for row in several.json] == ["b", None, "a"]
    error = {"code": "no_such_record", "message": "no withdrawal has the request_id nope"}
    assert several.json[1] == {"input": "nope", "error": error}
    for command in ("show", "explain", "cancel"):
        alone = run("withdraw", command, "nope", "--json")
        assert (alone.exit_code, alone.stdout) == (4, "")
        assert json.loads(alone.stderr)["error"] == error | {"exit_code": 4}


def test_explain_tells_all_decisions_and_why_the_other_rules_were_silent(
    run: Program, tmp_path: Path, ledger_url: str
) -> None:
    settings = '[prices]\nfiles = ["prices.toml"]\nmax_age = "100d"\n'
    folder = desk(tmp_path / "configs", settings=settings, url=ledger_url)
    as_of = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
    (folder / "prices.toml").write_text(f'as_of = {as_of}\n[price_usd]\nBTC = "50000.5"\n', encoding="utf-8")
    lines = jsonl(asked("a", "3"), asked("b", "2", note="be quick"))
    assert run("withdraw", "submit", "--input", "-", stdin=lines).exit_code == 9
    assert run("withdraw", "cancel", "a").exit_code == 0
    assert [row["request_id"] for row in run("withdraw", "run", "--json").json] == ["b"]
    told = run("withdraw", "explain", "b", "--json").json
    assert (told["state"], told["note"], told["maker"]) == ("awaiting_approval", "•••", None)
    assert [(turn["turn"], turn["outcome"]) for turn in told["decisions"]] == [(1, "wait"), (2, "approval")]
    assert told["decisions"][1] == {"turn": 2} | told["decision"]
    assert told["decision"]["prices"] == {"BTC": "50000.5"}
    assert told["decision"]["value_usd"] == "100001"
    assert {rule["name"]: rule["reason"] for rule in told["silent"]} == {
        "known people": "speaks of country DE, this has none",
        "vips": "speaks of tier vip, this is basic",
    }
    booked = {key: told["booked"][key] for key in ("amount", "fee", "value_usd", "waits", "not_in")}
    assert booked == {"amount": "2", "fee": "0", "value_usd": "100001", "waits": False, "not_in": []}
    text = run("withdraw", "explain", "b").stdout
    for said in ("5 BTC would be over the limit", "speaks of tier vip", "•••", "50000.5", told["booked"]["since"]):
        assert said in text


def test_explain_goes_by_the_policy_that_decided(run: Program, configs: Path, submit: Submit) -> None:
    submit(asked("a"), asked("b", "11"))
    desk(configs, policy="")
    told = run("withdraw", "explain", "a", "--json").json
    assert [rule["name"] for rule in told["silent"]] == ["known people", "vips"]
    denied = run("withdraw", "explain", "b", "--json").json
    assert denied["booked"] is None
    assert "counts in limits  no" in run("withdraw", "explain", "b").stdout


def test_explain_names_the_sums_that_one_too_great_for_them_is_no_part_of(run: Program, submit: Submit) -> None:
    submit(asked("whale", "5"))
    booked = run("withdraw", "explain", "whale", "--json").json["booked"]
    assert (booked["waits"], booked["amount"], booked["not_in"]) == (True, "5", ["hour"])
    assert "5 BTC while it waits, since" in run("withdraw", "explain", "whale").stdout


def test_csv_has_a_row_a_line_and_no_formula(submit: Submit, run: Program) -> None:
    given = [asked("a", memo="=1+1"), asked("b", customer="=cmd"), asked("c", memo="-5"), asked("d", memo="\uff1d1")]
    done = submit(*given, more=("-o", "csv"))
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [*rows[0]][-1] == "repeated"
    assert [row["memo"] for row in rows] == ["'=1+1", "", "-5", "'\uff1d1"]
    assert [row["state"] for row in rows] == ["approved", "", "approved", "approved"]
    assert (rows[1]["line"], rows[1]["error_code"]) == ("2", "bad_input")
    assert json.loads(rows[0]["decision_rules"])[0]["outcome"] == "allow"
    (listed, *_) = csv.DictReader(io.StringIO(run("withdraw", "list", "-o", "csv").stdout))
    assert listed["memo"] == "'=1+1"


# -- cancelling and running ------------------------------------------------------------------------------------------


def test_a_cancelled_one_gives_its_room_to_who_waits(run: Program, tmp_path: Path, ledger_url: str) -> None:
    desk(tmp_path / "configs", url=ledger_url)
    lines = jsonl(asked("a", "0.9"), asked("b", "3"), asked("c", "0.5"), asked("d", "11"))
    run("withdraw", "submit", "--input", "-", stdin=lines)
    dry = run("withdraw", "cancel", "b", "--dry-run")
    assert (dry.exit_code, dry.stdout.split(":")[0]) == (0, "Would be cancelled")
    assert states(run)["b"] == "awaiting_approval"
    assert run("withdraw", "run").stdout == "", "cron says nothing where nothing happens"
    done = run("withdraw", "cancel", "b", "--operator", "alice", "--json")
    assert (done.exit_code, done.json["state"]) == (0, "cancelled")
    again = run("withdraw", "cancel", "b", "--json")
    assert (again.exit_code, again.json) == (0, done.json)
    assert run("withdraw", "cancel", "d").exit_code == 3
    assert [row["request_id"] for row in run("withdraw", "run", "--dry-run", "--json").json] == ["c"]
    assert states(run)["c"] == "waiting"
    moved = run("withdraw", "run")
    assert (moved.exit_code, moved.stderr) == (0, UNSCREENED)
    assert moved.stdout.splitlines()[2].split()[::6] == ["c", "approved"]
    assert run("withdraw", "run", "--json").json == []
    assert states(run) == {"a": "approved", "b": "cancelled", "c": "approved", "d": "rejected"}


def test_a_second_run_leaves_it_to_the_first(run: Program, configs: Path, tmp_path: Path) -> None:
    with lock(tmp_path / "data" / "withdraw-run.lock"):
        assert run("withdraw", "run") == Run(0, "", "")
        assert run("withdraw", "run", "--json") == Run(0, "[]\n", "")
        failed = run("withdraw", "run", "--fail-if-locked", "--json")
        assert (failed.exit_code, failed.stdout) == (75, "")
        assert json.loads(failed.stderr)["error"]["code"] == "locked"
        assert run("withdraw", "submit", *options(asked())).exit_code == 0
    assert run("withdraw", "run", "--fail-if-locked").exit_code == 0


# -- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("writable", ["", "policy.toml", "chains/bitcoin.toml"])
def test_settings_that_others_can_write_move_no_money(
    run: Program, submit: Submit, configs: Path, writable: str
) -> None:
    submit(asked("a"))
    (configs / writable).chmod(0o777)
    for arguments in (("submit", *options(asked("b"))), ("cancel", "a"), ("run",)):
        done = run("withdraw", *arguments)
        assert (done.exit_code, done.stdout) == (8, "")
        assert "chmod go-w" in done.stderr
    assert states(run) == {"a": "approved"}


def test_a_policy_that_cannot_be_read_decides_nothing(run: Program, configs: Path) -> None:
    desk(configs, policy='[[rules]]\nname = "x"\nmax_amout = "1"\n')
    done = run("withdraw", "submit", *options(asked()), "--json")
    assert (done.exit_code, done.stdout) == (8, "")
    assert "max_amount" in json.loads(done.stderr)["error"]["message"]


def test_a_policy_without_rules_denies_and_says_so(run: Program, configs: Path) -> None:
    desk(configs, policy="")
    done = run("withdraw", "submit", *options(asked()))
    assert done.exit_code == 3
    assert "no rule permits BTC on bitcoin" in done.stdout
    assert "has no rules" in done.stderr


def test_a_ledger_that_is_away_is_exit_6_and_its_password_stays_secret(run: Program, configs: Path) -> None:
    desk(configs, url="env:LEDGER")
    url = "postgresql+psycopg://desk:hunter2@127.0.0.1:9/ledger"
    for arguments in (("submit", *options(asked())), ("list",), ("run",)):
        done = run("withdraw", *arguments, "--json", env={"LEDGER": url})
        assert (done.exit_code, done.stdout) == (6, "")
        assert "hunter2" not in done.stderr
