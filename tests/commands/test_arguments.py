"""What is typed after a command's name, whatever it holds: bytes that are no text, nothing, control characters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands.test_withdraw_input import PHRASE, ROOMY
from tests.commands.withdrawkit import asked, desk, in_this_process, jsonl, options
from tests.conftest import Program, Run

ODD = "w\udcff"
"""How Python has an argument with the byte FF, which no UTF-8 text holds."""

STEERING = "red\x1b[31m\x9b1m\u202eback"
"""Makes a terminal red, and turns the reading direction."""

ASKED = ("--customer", "c", "--asset", "BTC", "--chain", "bitcoin", "--amount", "1", "--destination", "d")


@pytest.fixture
def run(tmp_path: Path) -> Program:
    """The program, with a desk that allows nearly everything."""
    desk(tmp_path / "configs", ROOMY)
    return in_this_process(tmp_path)


def unprintable(done: Run) -> set[str]:
    """What could steer the terminal that shows this run."""
    return {each for each in done.stdout + done.stderr if not each.isprintable()} - {"\n"}


# -- bytes that are no UTF-8 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("withdraw", "show", ODD), "REQUEST_ID"),
        (("withdraw", "show", "w-1", ODD), "REQUEST_ID"),
        (("withdraw", "explain", ODD), "REQUEST_ID"),
        (("withdraw", "cancel", ODD), "REQUEST_ID"),
        (("withdraw", "cancel", "w-1", "--operator", ODD), "--operator"),
        (("withdraw", "list", "--customer", ODD), "--customer"),
        (("withdraw", "list", "--address", ODD), "--address"),
        (("withdraw", "list", "--txid", ODD), "--txid"),
        *((("withdraw", "submit", f"--{name}", ODD), f"--{name}") for name in ("request-id", "memo", "note", "chain")),
        (("withdraw", "submit", *options(asked()), "--operator", ODD), "--operator"),
        (("policy", "usage", "--customer", ODD), "--customer"),
        (("policy", "usage", "--destination", ODD), "--destination"),
        (("policy", "usage", "--rule", ODD), "--rule"),
        (("policy", "explain", *ASKED, "--source", ODD), "--source"),
        (("policy", "explain", *ASKED, "--memo", ODD), "--memo"),
        (("tx", "status", "ab" * 32, "--chain", ODD), "--chain"),
        (("address", "check", ODD), "ADDRESS"),
        (("init", "--chain", ODD), "--chain"),
    ],
)
def test_text_that_is_no_utf8_is_bad_input_with_the_option_named(
    run: Program, arguments: tuple[str, ...], named: str
) -> None:
    done = run(*arguments, "--json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert named in json.loads(done.stderr)["error"]["message"]
    assert run(*arguments).exit_code == 2


def test_a_file_may_have_a_name_that_is_no_utf8(run: Program, tmp_path: Path) -> None:
    source, copy, folder = (str(tmp_path / f"{kind}\udcff") for kind in ("requests", "copy", "settings"))
    Path(source).write_text(jsonl(asked()), encoding="utf-8")
    assert run("withdraw", "submit", "--input", source).exit_code == 0
    done = run("ledger", "backup", copy)
    assert (done.exit_code, done.stdout.partition(",")[0]) == (0, f"wrote {tmp_path}/copy?")
    assert run("ledger", "backup", f"{copy}2", "--json").json["file"] == f"{tmp_path}/copy?2"
    assert run("init", folder).exit_code == 0
    assert run("policy", "check", f"{folder}/policy.toml", "--configs", folder).exit_code == 0
    assert Path(copy).exists()


# -- nothing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--configs", "--data", "--locale"])
def test_an_empty_folder_or_language_is_not_the_default(run: Program, option: str) -> None:
    for arguments in ((option, "", "withdraw", "list"), ("withdraw", "list", option, ""), ("withdraw", f"{option}=")):
        done = run(*arguments)
        assert (done.exit_code, done.stdout) == (2, "")
        assert f"'{option}': it is empty" in done.stderr


def test_init_does_not_write_into_the_default_folder_when_the_named_one_is_empty(run: Program, tmp_path: Path) -> None:
    done = run("init", "", env={"HOME": str(tmp_path / "home")})
    assert (done.exit_code, done.stdout) == (2, "")
    assert "it is empty" in done.stderr


# -- control characters ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("policy", "check", f"/nowhere/{STEERING}"),
        ("--configs", f"/nowhere/{STEERING}", "withdraw", "list"),
        ("withdraw", "list", "--data", f"/dev/null/{STEERING}"),
        ("withdraw", "list", f"--{STEERING}"),
        ("withdraw", "list", "--since", STEERING),
        (STEERING,),
    ],
)
def test_an_error_does_not_steer_the_terminal(run: Program, arguments: tuple[str, ...]) -> None:
    for form in ((), ("--json",)):
        done = run(*arguments, *form)
        assert done.exit_code in (2, 6, 8)
        assert done.stderr
        assert not unprintable(done)


def test_a_warning_does_not_steer_the_terminal(run: Program, tmp_path: Path) -> None:
    desk(tmp_path / STEERING, "")
    for form in ("text", "json"):
        done = run("withdraw", "submit", *options(asked()), "--configs", str(tmp_path / STEERING), "--log", form)
        assert "has no rules" in done.stderr
        assert not unprintable(done)


def test_a_result_does_not_steer_the_terminal(run: Program, tmp_path: Path) -> None:
    data = ("--data", str(tmp_path / f"{STEERING}\nup to date"))
    for done in (
        run("ledger", "upgrade", *data),
        run("ledger", "upgrade", *data),
        run("ledger", "status", *data),
        run("ledger", "backup", str(tmp_path / f"copy {STEERING}\nall good"), *data),
        run("init", str(tmp_path / f"settings {STEERING}\nall good")),
    ):
        assert done.exit_code == 0
        assert "red[31m1mback " in done.stdout
        assert not unprintable(done)
        assert not [line for line in done.stdout.splitlines() if line.startswith(("up to date", "all good"))]


# -- warnings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [("--json",), ("-o", "json"), ("-o", "jsonl"), ("--log", "json")])
def test_where_results_are_json_warnings_are_too(run: Program, tmp_path: Path, form: tuple[str, ...]) -> None:
    desk(tmp_path / "configs", "")
    [warning] = map(json.loads, run("withdraw", "submit", *options(asked()), *form).stderr.splitlines())
    assert (warning["level"], set(warning)) == ("warning", {"level", "at", "message"})
    assert warning["message"].endswith("has no rules: every request is denied")
    assert warning["at"].endswith("Z")
    assert warning["at"][10] == "T"


def test_a_warning_and_an_error_are_one_json_object_a_line(run: Program, tmp_path: Path) -> None:
    desk(tmp_path / "configs", "")
    lines = run("withdraw", "submit", *options(asked(amount="x")), "--json").stderr.splitlines()
    assert [next(iter(json.loads(line))) for line in lines] == ["level", "error"]


def test_warnings_are_text_where_that_is_asked_for(run: Program, tmp_path: Path) -> None:
    desk(tmp_path / "configs", "")
    for form in ((), ("--json", "--log", "text"), ("--log", "text", "--json")):
        assert run("withdraw", "submit", *options(asked()), *form).stderr.startswith("warning: ")


# -- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [PHRASE, PHRASE.replace(" ", ", "), PHRASE.replace(" ", ",")])
@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_a_phrase_in_place_of_a_request_id_is_not_repeated(run: Program, secret: str, form: str) -> None:
    for subjects in ((secret, "w-1"), (secret,)):
        done = run("withdraw", "show", *subjects, "-o", form)
        assert done.exit_code == 4
        assert not [word for word in PHRASE.split() if word in done.stdout + done.stderr]
