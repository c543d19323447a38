"""desk.toml [hooks.NAME]: who is told of changes, and never by an address without a secret that signs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cryptosupport.domain.errors import BadSettings
from cryptosupport.domain.withdrawals import State
from cryptosupport.settings import EventHook, load_desk
from cryptosupport.settings.references import key_references

SIGNED = 'url = "https://h.example/HUNTER2"\nsecret = "keyring:hook"\n'


def load(folder: Path, text: str) -> dict[str, EventHook]:
    (folder / "desk.toml").write_text(text, encoding="utf-8")
    return load_desk(folder).hooks


def test_without_a_word_nobody_is_told(tmp_path: Path) -> None:
    desk = load_desk(tmp_path)
    assert (desk.hooks, desk.programs) == ({}, ())


def test_what_is_written_is_what_counts(tmp_path: Path) -> None:
    hooks = load(
        tmp_path,
        f'[hooks.ledger]\n{SIGNED}header = "env:AUTH"\nstates = ["final", "reverted"]\ntimeout = "10s"\n'
        '[hooks.Stock_2]\ncommand = ["/opt/told", "--fast"]\n',
    )
    assert list(hooks) == ["ledger", "Stock_2"]
    assert hooks["ledger"].wanted == {State.FINAL, State.REVERTED}
    assert hooks["Stock_2"].wanted == set(State)
    assert (hooks["ledger"].timeout_ms, hooks["Stock_2"].timeout_ms) == (10_000, 5000)
    assert load_desk(tmp_path).programs == (Path("/opt/told"),)
    assert "HUNTER2" not in repr(hooks)
    assert ("hook", ("desk.toml hooks.ledger.secret",)) in {(it.name, it.places) for it in key_references(tmp_path)}


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/x", "http://[::1]:80/", "http://localhost/", "keyring:where"])
def test_only_this_machine_is_told_in_clear(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, f'[hooks.a]\nurl = "{url}"\nsecret = "keyring:hook"\n')["a"].url == url


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[hooks.a]\n", "give one of command"),
        (f'[hooks.a]\n{SIGNED}command = ["/x"]', "give one of command"),
        ('[hooks.a]\nurl = "https://h.example/HUNTER2"', "secret: a url needs one"),
        ('[hooks.a]\nurl = "http://127.0.0.1/HUNTER2"', "secret: a url needs one"),
        ('[hooks.a]\nurl = "http://h.example/HUNTER2"\nsecret = "keyring:x"', "url: use https://"),
        ('[hooks.a]\nurl = "https://h.example/"\nsecret = "HUNTER2"', "secret: write keyring:NAME or env:NAME"),
        ('[hooks.a]\nurl = "https://h.example/"\nsecret = "keyring:"', "secret: write keyring:NAME or env:NAME"),
        (f'[hooks.a]\n{SIGNED}header = "HUNTER2"', "header: write keyring:NAME or env:NAME"),
        ('[hooks.a]\ncommand = ["/x"]\nsecret = "keyring:x"', "secret: it goes with a url"),
        ('[hooks.a]\ncommand = ["x"]', "command: begin with the whole path of the program"),
        (f'[hooks.a]\n{SIGNED}timeout = "10001ms"', "timeout: '10001ms': use at most 10s, payments wait for it"),
        (f'[hooks.a]\n{SIGNED}timeout = "0s"', "timeout: '0s': it has to be above zero"),
        (f'[hooks.a]\n{SIGNED}states = ["final", "fnal"]', "states: 'fnal' is no state of a withdrawal; did you mean"),
        (f'[hooks.a]\n{SIGNED}states = "final"', "Expected `array`, got `str`"),
        (f'[hooks.a]\n{SIGNED}secrets = "x"', "[hooks.a]: unknown key 'secrets'; did you mean 'secret'?"),
        (f"[hooks]\n{SIGNED}", "Expected `object`, got `str`"),
        (f'[hooks."a b"]\n{SIGNED}', "hooks: 'a b' is no name"),
        (f'[hooks."a\\n"]\n{SIGNED}', "is no name"),
        (f'[hooks."{"a" * 41}"]\n{SIGNED}', "is no name: use up to 40 letters, digits, - and _"),
        (f"[[hooks.a]]\n{SIGNED}", "Expected `object`, got `array`"),
    ],
)
def test_a_hook_that_cannot_be_told_or_could_be_forged_is_refused_and_no_secret_shown(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(BadSettings) as refused:
        load(tmp_path, text)
    assert re.search(rf"desk\.toml.*{re.escape(said)}", refused.value.message), refused.value.message
    assert "HUNTER2" not in refused.value.message
