"""`keys`: what is kept, refused, listed, found weak and deleted; and that no value is ever shown."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import keyring
import pytest

from cryptosupport.outside.keyfile import FILE, PASSPHRASE, PASSPHRASE_FILE, Keyring
from tests.conftest import ROOT, Configs, Program, Run
from tests.outside.weakrings import FORGETS, PLAINTEXT, weak_rings

SECRET = "hunter2hunter2"
WALLETS = """[hot-eth]
chain = "ethereum"
role = "hot"
signer = "keyring:hot-eth"
"""
RPC = {"endpoints": [{"url": "http://127.0.0.1:9", "rpc_user": "u", "rpc_password": "keyring:rpc"}]}


@pytest.fixture(autouse=True)
def sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sealed keyring is in use; the file of it."""
    path = tmp_path / "keyring"
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "cryptosupport.outside.keyfile.Keyring")
    monkeypatch.setenv(FILE, str(path))
    monkeypatch.setenv(PASSPHRASE, "correct horse")
    monkeypatch.delenv(PASSPHRASE_FILE, raising=False)
    return path


@pytest.fixture
def weak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A keyring that keeps secrets in clear is in use; the file of it."""
    for name, value in weak_rings(tmp_path).items():
        monkeypatch.setenv(name, f"{value}{os.pathsep}{ROOT}" if name == "PYTHONPATH" else value)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", PLAINTEXT)
    return tmp_path / "in-clear.json"


def kept(name: str) -> str | None:
    return Keyring().get_password("cryptosupport", name)


def verdicts(done: Run) -> dict[str, tuple[str, str]]:
    return {record["name"]: (record["verdict"], record["message"]) for record in done.json}


def listed(done: Run) -> dict[str, tuple[str, str]]:
    return {record["name"]: (record["kind"], record["state"]) for record in done.json}


# -- set -------------------------------------------------------------------------------------------------------------


def test_a_secret_from_stdin_is_kept_without_its_newline_and_not_shown(run: Program, configs: Configs) -> None:
    configs({"bitcoin": ""}, bitcoin=RPC)
    done = run("keys", "set", "rpc", "--json", stdin=f"{SECRET}\n")
    assert done.exit_code == 0
    assert done.json == {
        "schema": "cryptosupport.key/1",
        "name": "rpc",
        "kind": "other",
        "state": "set",
        "referred_to": ["chains/bitcoin.toml endpoints.1.rpc_password"],
        "replaced": False,
    }
    assert SECRET not in done.stdout + done.stderr
    assert kept("rpc") == SECRET
    done = run("keys", "set", "other", stdin=SECRET)
    assert done.stdout == "kept other (other); referred to by no setting yet\n"
    assert keyring.core.load_keyring("cryptosupport.outside.keyfile.Keyring").get_password("cryptosupport", "other")


@pytest.mark.parametrize(("piped", "value"), [("a\n\n", "a\n"), ("a\r\n", "a"), (" a b ", " a b "), ("a\nb\n", "a\nb")])
def test_one_newline_is_taken_off_and_nothing_else(run: Program, piped: str, value: str) -> None:
    assert run("keys", "set", "x", stdin=piped).exit_code == 0
    assert kept("x") == value


@pytest.mark.parametrize("piped", [b"", b"\n", b" \t\n", b"\xff\xfesecret", b"x" * 65537])
def test_an_empty_secret_and_one_that_is_no_text_is_refused(command: list[str], sealed: Path, piped: bytes) -> None:
    done = subprocess.run([*command, "keys", "set", "x"], input=piped, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"the secret for x " in done.stderr
    assert b"xxxx" not in done.stderr
    assert not sealed.exists()


def test_a_secret_that_is_set_is_lost_only_when_that_is_said(run: Program) -> None:
    assert run("keys", "set", "x", stdin="first").exit_code == 0
    done = run("keys", "set", "x", stdin="second")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "x is set already, and was left as it is: to lose what it was, add --replace" in done.stderr
    assert run("keys", "set", "x", "--random").exit_code == 2
    assert kept("x") == "first"
    assert run("keys", "set", "x", "--replace", "--json", stdin="second").json["replaced"] is True
    assert kept("x") == "second"


def test_of_two_at_once_one_is_kept_and_the_other_is_told(command: list[str]) -> None:
    arguments = [*command, "keys", "set", "x", "--random"]
    both = [subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for each in both:
        each.communicate(timeout=60)
    assert sorted(each.returncode for each in both) == [0, 2]


def test_a_random_secret_is_32_bytes_and_nobody_sees_it(run: Program) -> None:
    done = run("keys", "set", "personal-data", "--random", stdin="not read")
    value = kept("personal-data")
    assert value is not None
    assert len(bytes.fromhex(value)) == 32
    assert value not in done.stdout + done.stderr
    assert done.stdout == "kept personal-data (personal data); referred to by desk.toml privacy.key (its default)\n"
    assert run("keys", "set", "another", "--random").exit_code == 0
    assert kept("another") != value


@pytest.mark.parametrize("name", ["", " x", "a\nb", "keyring:hot-eth", "env:X", "x" * 101])
def test_what_is_no_name_is_refused(run: Program, sealed: Path, name: str) -> None:
    done = run("keys", "set", name, stdin=SECRET)
    assert done.exit_code == 2
    assert SECRET not in done.stderr
    assert not sealed.exists()


def test_a_closed_stdin_is_told(command: list[str]) -> None:
    line = " ".join([*command, "keys", "set", "x", "<&-"])
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "stdin is closed" in done.stderr


# -- at a terminal ---------------------------------------------------------------------------------------------------


AS_ITS_OWN = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


def at_terminal(command: list[str], *arguments: str, typed: list[tuple[str, str]]) -> tuple[int, str]:
    """Run it at a terminal, typing each answer when its question is there: exit code, all that was to be seen."""
    terminal, its_end = pty.openpty()
    line = [sys.executable, "-c", AS_ITS_OWN, *command, *arguments]
    child = subprocess.Popen(line, stdin=its_end, stdout=its_end, stderr=its_end, start_new_session=True)
    os.close(its_end)
    seen, until = "", time.monotonic() + 60
    for question, answer in [*typed, ("", "")]:
        start = len(seen)
        while not question or question not in seen[start:]:
            assert time.monotonic() < until, seen
            try:
                piece = os.read(terminal, 4096)
            except OSError:  # it has ended
                piece = b""
            if not piece:
                assert not question, f"no {question!r} in {seen!r}"
                break
            seen += piece.decode()
        os.write(terminal, answer.encode()) if answer else None
    os.close(terminal)
    return child.wait(timeout=60), seen


def test_at_a_terminal_it_is_asked_twice_and_not_shown(command: list[str]) -> None:
    typed = [("secret for x:", f"{SECRET}\n"), ("confirmation:", f"{SECRET}\n")]
    code, seen = at_terminal(command, "keys", "set", "x", typed=typed)
    assert code == 0, seen
    assert SECRET not in seen
    assert kept("x") == SECRET


def test_two_that_differ_are_asked_for_again_and_ctrl_c_keeps_nothing(command: list[str], sealed: Path) -> None:
    typed = [("secret for x:", "one\n"), ("confirmation:", "two\n"), ("secret for x:", "\x03")]
    code, seen = at_terminal(command, "keys", "set", "x", typed=typed)
    assert code == 130, seen
    assert not sealed.exists()


def test_a_name_that_is_taken_is_told_before_anything_is_typed(command: list[str], run: Program) -> None:
    run("keys", "set", "x", stdin="first")
    code, seen = at_terminal(command, "keys", "set", "x", typed=[])
    assert code == 2
    assert "x is set already" in seen


def test_deleting_is_asked_for_at_a_terminal(command: list[str], run: Program) -> None:
    run("keys", "set", "x", stdin="first")
    code, seen = at_terminal(command, "keys", "delete", "x", typed=[("delete x for good?", "n\n")])
    assert (code, kept("x")) == (2, "first"), seen
    code, seen = at_terminal(command, "keys", "delete", "x", typed=[("delete x for good?", "y\n")])
    assert (code, kept("x")) == (0, None), seen


# -- list ------------------------------------------------------------------------------------------------------------


def test_the_list_has_every_name_of_the_settings_and_no_value(run: Program, configs: Configs) -> None:
    desk = '[ledger]\nurl = "keyring:ledger"\n'
    operators = '[alice]\nroles = ["ops"]\n[bob]\nroles = ["ops"]\n'
    configs({"bitcoin": ""}, bitcoin=RPC, wallets=WALLETS, desk=desk, operators=operators)
    for name in ("hot-eth", "operator-alice", "unrelated"):
        assert run("keys", "set", name, stdin=SECRET).exit_code == 0
    done = run("keys", "list", "--json")
    assert done.exit_code == 0
    assert listed(done) == {
        "hot-eth": ("signer", "set"),
        "ledger": ("other", "missing"),
        "personal-data": ("personal data", "missing"),
        "rpc": ("other", "missing"),
        "operator-alice": ("operator", "set"),
    }
    assert {record["name"]: record["referred_to"] for record in done.json}["hot-eth"] == ["wallets.toml hot-eth.signer"]
    assert SECRET not in done.stdout
    for form in ("table", "jsonl", "csv"):
        other = run("keys", "list", "-o", form)
        assert "hot-eth" in other.stdout
        assert SECRET not in other.stdout


def test_without_a_keyring_every_name_is_missing(run: Program, configs: Configs) -> None:
    configs({"bitcoin": ""}, bitcoin=RPC)
    env = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    assert listed(run("keys", "list", "--json", env=env)) == {
        "personal-data": ("personal data", "missing"),
        "rpc": ("other", "missing"),
    }
    done = run("keys", "set", "rpc", "--random", env=env)
    assert (done.exit_code, done.stdout) == (8, "")
    assert "this machine has no keyring: set $CRYPTOSUPPORT_KEYRING_PASSPHRASE_FILE" in done.stderr


def test_settings_or_a_keyring_that_cannot_be_read_exit_8(run: Program, configs: Configs) -> None:
    run("keys", "set", "x", stdin=SECRET)
    for command in (("list",), ("set", "y", "--random"), ("delete", "x", "--yes"), ("check",)):
        done = run("keys", *command, env={PASSPHRASE: "wrong horse"})
        assert done.exit_code == 8
        assert "the passphrase is not the one" in done.stdout + done.stderr
        assert not [part for part in (SECRET, "horse") if part in done.stdout + done.stderr]
    assert kept("x") == SECRET
    configs({}, wallets="[hot")
    assert run("keys", "list").exit_code == 8


def test_the_hint_of_a_missing_secret_works_as_it_stands(run: Program, configs: Configs) -> None:
    configs({"ethereum": ""}, ethereum={"endpoints": ["keyring:node"]})
    done = run("tx", "status", "0x" + "ab" * 32)
    assert done.exit_code == 8
    assert "run `cryptosupport keys set node`" in done.stderr
    assert run("keys", "set", "node", stdin="http://127.0.0.1:9").exit_code == 0
    assert run("tx", "status", "0x" + "ab" * 32).exit_code == 6


# -- check -----------------------------------------------------------------------------------------------------------


def test_a_sealed_keyring_with_all_that_is_referred_to_is_in_order(run: Program, configs: Configs) -> None:
    configs({"bitcoin": ""}, bitcoin=RPC, wallets=WALLETS)
    for name in ("hot-eth", "rpc", "personal-data"):
        run("keys", "set", name, "--random")
    done = run("keys", "check", "--json")
    assert done.exit_code == 0
    assert {name: verdict for name, (verdict, _) in verdicts(done).items()} == dict.fromkeys(
        ("keyring", "key hot-eth", "key personal-data", "key rpc"), "ok"
    )


def test_a_name_that_is_missing_fails_but_for_keys_of_people(run: Program, configs: Configs) -> None:
    configs({}, wallets=WALLETS, operators='[alice]\nkey = "keyring:operator-alice"\n')
    done = run("keys", "check", "--json")
    assert done.exit_code == 8
    assert {name: verdict for name, (verdict, _) in verdicts(done).items()} == {
        "keyring": "ok",
        "key hot-eth": "fail",
        "key operator-alice": "ok",
        "key personal-data": "warn",
    }
    assert "wallets.toml hot-eth.signer refers to it" in verdicts(done)["key hot-eth"][1]


def test_the_keys_of_two_operators_in_one_keyring_are_a_warning(run: Program, configs: Configs) -> None:
    configs({}, operators='[alice]\nroles = ["ops"]\n[bob]\nkey = "keyring:operator-bob"\n')
    run("keys", "set", "operator-alice", "--random")
    assert "operators" not in verdicts(run("keys", "check", "--json"))
    run("keys", "set", "operator-bob", "--random")
    done = run("keys", "check", "--json")
    assert done.exit_code == 0
    said = "this keyring holds the keys of 2 operators: operator-alice, operator-bob"
    assert verdicts(done)["operators"] == ("warn", said)


# -- keyrings in clear -----------------------------------------------------------------------------------------------


def in_clear(weak: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(weak.read_text(encoding="utf-8")) if weak.exists() else {}
    return found


@pytest.mark.parametrize("name", ["hot-eth", "operator-alice", "personal-data"])
def test_what_guards_money_or_people_goes_into_no_keyring_in_clear(
    run: Program, configs: Configs, weak: Path, name: str
) -> None:
    configs({}, wallets=WALLETS)
    done = run("keys", "set", name, stdin=SECRET)
    assert (done.exit_code, done.stdout) == (8, "")
    assert f"the keyring {PLAINTEXT} keeps secrets in clear" in done.stderr
    assert not weak.exists()
    configs({}, wallets=WALLETS, desk=f'[keys]\nallow_backends = ["{PLAINTEXT}"]\n')
    assert run("keys", "set", name, stdin=SECRET).exit_code == 0
    assert in_clear(weak) == {f"cryptosupport {name}": SECRET}


def test_other_secrets_may_be_in_clear_with_a_warning(run: Program, configs: Configs, weak: Path) -> None:
    configs({"bitcoin": ""}, bitcoin=RPC)
    assert run("keys", "set", "rpc", stdin=SECRET).exit_code == 0
    done = run("keys", "check", "--json")
    assert done.exit_code == 0
    assert verdicts(done)["keyring"] == ("warn", f"{PLAINTEXT} keeps secrets in clear")
    assert verdicts(done)["key rpc"] == ("ok", "is set (other)")


def test_a_hot_key_that_is_in_clear_fails_unless_that_is_allowed(run: Program, configs: Configs, weak: Path) -> None:
    weak.write_text(json.dumps({"cryptosupport hot-eth": SECRET, "cryptosupport operator-alice": SECRET}))
    configs({}, wallets=WALLETS, operators='[alice]\nroles = ["ops"]\n')
    done = run("keys", "check", "--json")
    assert done.exit_code == 8
    for name in ("key hot-eth", "key operator-alice"):
        verdict, message = verdicts(done)[name]
        assert verdict == "fail"
        assert f"{PLAINTEXT} keeps it in clear" in message
    assert SECRET not in done.stdout
    configs({}, wallets=WALLETS, desk=f'[keys]\nallow_backends = ["{PLAINTEXT}"]\n')
    assert run("keys", "check", "--json").exit_code == 0


def test_a_keyring_that_forgets_is_found_out(run: Program, weak: Path) -> None:
    done = run("keys", "set", "x", stdin=SECRET, env={"PYTHON_KEYRING_BACKEND": FORGETS})
    assert (done.exit_code, done.stdout) == (8, "")
    assert f"{FORGETS} did not keep what it was given as x" in done.stderr
    assert SECRET not in done.stderr


# -- delete ----------------------------------------------------------------------------------------------------------


def test_deleting_needs_yes_where_nobody_can_be_asked(run: Program) -> None:
    run("keys", "set", "x", stdin=SECRET)
    done = run("keys", "delete", "x")
    assert (done.exit_code, kept("x")) == (2, SECRET)
    assert "add --yes" in done.stderr
    assert run("keys", "delete", "x", "--yes", "--json").json["state"] == "deleted"
    assert kept("x") is None
    assert run("keys", "delete", "x", "--yes").exit_code == 4


def test_the_key_of_a_wallet_is_deleted_only_by_force(run: Program, configs: Configs) -> None:
    configs({}, wallets=WALLETS)
    run("keys", "set", "hot-eth", stdin=SECRET)
    done = run("keys", "delete", "hot-eth", "--yes")
    assert (done.exit_code, kept("hot-eth")) == (2, SECRET)
    assert "all that the wallet holds is lost; to delete it all the same, add --force" in done.stderr
    assert run("keys", "delete", "hot-eth", "--force").exit_code == 2  # nobody was asked
    done = run("keys", "delete", "hot-eth", "--yes", "--force")
    assert done.stdout == "deleted hot-eth (signer); still referred to by wallets.toml hot-eth.signer\n"
    assert kept("hot-eth") is None


# -- whoever signs ---------------------------------------------------------------------------------------------------

SIGN = """
import sys
from cryptosupport.context import Context
from cryptosupport.domain.errors import BadSettings
context = Context()
context.options.configs = sys.argv[1]
try:
    print(context.guarded_secret("keyring:hot-eth"))
except BadSettings as error:
    print("refused:", error.message)
"""


def test_who_signs_takes_no_key_from_a_keyring_in_clear(configs: Configs, weak: Path) -> None:
    weak.write_text(json.dumps({"cryptosupport hot-eth": SECRET}))
    folder = configs({}, wallets=WALLETS)

    def told() -> str:
        line = [sys.executable, "-W", "error", "-c", SIGN, str(folder)]
        return subprocess.run(line, capture_output=True, text=True, check=True).stdout

    assert told().startswith(f"refused: the keyring {PLAINTEXT} keeps secrets in clear")
    configs({}, desk=f'[keys]\nallow_backends = ["{PLAINTEXT}"]\n')
    assert told() == f"{SECRET}\n"
