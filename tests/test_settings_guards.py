"""desk.toml's sections that stand guard: screening, approvals, freeze, privacy, and the hooks that they ask."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cryptosupport.domain.errors import BadSettings
from cryptosupport.settings import DeskSettings, Hook, load_desk

Desk = Callable[[str], DeskSettings]
HOUR = 3_600_000


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """desk.toml as a text says it."""

    def load(text: str) -> DeskSettings:
        (tmp_path / "desk.toml").write_text(text, encoding="utf-8")
        return load_desk(tmp_path)

    return load


def refusal(desk: Desk, text: str) -> str:
    with pytest.raises(BadSettings) as refused:
        desk(text)
    return refused.value.message


# -- without a word --------------------------------------------------------------------------------------------------


def test_without_a_file_nobody_is_asked_and_no_list_has_to_be_there(tmp_path: Path) -> None:
    screening = load_desk(tmp_path).screening
    assert (screening.lists, screening.provider, screening.travel_rule, screening.programs) == ((), None, None, ())
    assert (screening.warn_after_ms, screening.hold_after_ms) == (24 * HOUR, 72 * HOUR)
    assert (screening.contracts, screening.allowlist_cooling_ms) == ("allow", None)
    assert screening.travel_rule_above_value is None


def test_without_a_file_approvals_expire_loosening_waits_and_the_desk_freezes_by_itself(tmp_path: Path) -> None:
    desk = load_desk(tmp_path)
    approvals = desk.approvals
    assert (approvals.expire_ms, approvals.lock_ms, approvals.fresh_ms) == (24 * HOUR, 48 * HOUR, 900_000)
    assert desk.freeze.path(Path("/data")) == Path("/data/freeze")
    assert desk.freeze.auto == ("audit", "screening", "prices", "funds", "unknown")
    assert desk.freeze.unknown_in_a_row == 5
    assert (desk.freeze.lists_older_than_ms, desk.freeze.prices_older_than_ms) == (7 * 24 * HOUR, HOUR)
    assert (desk.privacy.key, desk.privacy.reveals_per_hour) == ("keyring:personal-data", 20)


def test_what_is_written_is_what_counts(desk: Desk) -> None:
    read = desk(
        '[screening]\nlists = ["ofac", "EU"]\nwarn_after = "12h"\nhold_after = "12h"\ncontracts = "hold"\n'
        'allowlist_cooling = "48h"\ntravel_rule_above = "1000.000001 USD"\n'
        'provider = { command = ["/opt/screen", "--fast"], timeout = "1500ms" }\n'
        'travel_rule = { url = "https://travel.example/ask", header = "env:TRAVEL" }\n'
        '[approvals]\nexpire = "2d"\nlock = "1s"\nfresh = "1m"\n'
        '[freeze]\nfile = "/run/freeze"\nauto = []\nlists_older_than = "1d"\nprices_older_than = "5m"\n'
        '[privacy]\nkey = "env:PERSONAL"\nreveals_per_hour = 10000\n'
    )
    screening = read.screening
    assert (screening.lists, screening.contracts) == (("ofac", "EU"), "hold")
    assert (screening.allowlist_cooling_ms, screening.travel_rule_above_value) == (48 * HOUR, 1_000_000_001)
    assert screening.provider == Hook(command=("/opt/screen", "--fast"), timeout="1500ms")
    assert screening.provider.timeout_ms == 1500
    assert screening.programs == (Path("/opt/screen"),)
    assert screening.travel_rule is not None
    assert (screening.travel_rule.program, screening.travel_rule.timeout_ms) == (None, 5000)
    assert (read.approvals.expire_ms, read.approvals.lock_ms, read.approvals.fresh_ms) == (48 * HOUR, 1000, 60_000)
    assert (read.freeze.path(Path("/data")), read.freeze.auto) == (Path("/run/freeze"), ())
    assert (read.privacy.key, read.privacy.reveals_per_hour) == ("env:PERSONAL", 10_000)


# -- hooks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ("", 'give one of command = ["/path/program", "argument"] and url = "https://..."'),
        ('command = ["/x"], url = "https://h.example/"', "give one of command"),
        ("command = []", "command: begin with the whole path of the program"),
        ('command = [""]', "command: begin with the whole path"),
        ('command = ["screen"]', "command: begin with the whole path"),
        ('command = ["./screen"]', "command: begin with the whole path"),
        ('command = "/x --fast"', "Expected `array | null`, got `str`"),
        ('command = ["/x", 3]', "Expected `str`, got `int`"),
        ('command = ["/x", "a\\u0000b"]', "command: it holds a NUL character"),
        ('command = ["/x", "keyring:HUNTER2"]', "command: a secret on a command line can be read by all"),
        ('command = ["/x"], header = "keyring:HUNTER2"', "header: it goes with a url"),
        ('command = ["/x"], timeout = "0s"', "timeout: '0s': it has to be above zero"),
        ('command = ["/x"], timeout = "60001ms"', "timeout: '60001ms': use at most 60s"),
        ('command = ["/x"], timeout = "2m"', "timeout: '2m': use at most 60s"),
        ('command = ["/x"], timeout = "5"', "timeout: '5' is not a duration"),
        ('command = ["/x"], timout = "5s"', "unknown key 'timout'; did you mean 'timeout'?"),
        ('url = "ftp://HUNTER2.example/"', "url: use http:// or https://"),
        ('url = "https://"', "url: it names no host"),
        ('url = "https://u:HUNTER2@x@h.example/"', "url: in a user, password or path write %40"),
        ('url = "http://h.example/HUNTER2"', "url: use https://; http:// only on this machine"),
        ('url = "http://127.0.0.1.HUNTER2.example/"', "url: use https://; http:// only on this machine"),
        ('url = "http://10.0.0.1/HUNTER2"', "url: use https://; http:// only on this machine"),
        ('url = "http://localhost@HUNTER2.example/"', "url: use https://; http:// only on this machine"),
        ('url = "https://h.example/", header = "Bearer HUNTER2"', "header: write keyring:NAME or env:NAME, never the"),
        ('url = "https://h.example/", header = "keyring:"', "header: write keyring:NAME"),
        ('url = "https://h.example/", header = ""', "header: write keyring:NAME"),
    ],
)
def test_a_hook_that_cannot_be_asked_is_refused_and_no_secret_shown(desk: Desk, hook: str, said: str) -> None:
    message = refusal(desk, f"[screening]\nprovider = {{ {hook} }}")
    assert re.search(rf"desk\.toml.*: .*{re.escape(said)}", message)
    assert "HUNTER2" not in message


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/x", "http://127.8.8.8/", "http://[::1]:80/", "http://localhost/", "keyring:screen"]
)
def test_only_this_machine_is_asked_in_clear(url: str) -> None:
    assert Hook(url=url).url == url


def test_what_a_reference_stands_for_has_to_be_as_good_as_what_is_written(desk: Desk) -> None:
    hook = Hook(url="keyring:screening", header="keyring:token")
    with pytest.raises(ValueError, match="url: use https://"):
        msgspec.structs.replace(hook, url="http://h.example/")


def test_a_hook_does_not_show_its_url() -> None:
    assert "HUNTER2" not in repr(Hook(url="https://h.example/HUNTER2", header="keyring:x"))
    assert "60s" in repr(Hook(url="https://h.example/HUNTER2", timeout="60s"))


# -- the other keys --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[screening]\nlists = [""]', "lists: '' is not a name"),
        ('[screening]\nlists = ["a\\u001bb"]', "is not a name"),
        ('[screening]\nlists = "ofac"', "Expected `array`, got `str`"),
        ('[screening]\nwarn_after = "73h"', "warn_after '73h': use at most hold_after, '72h'"),
        ('[screening]\nhold_after = "23h"', "warn_after '24h': use at most hold_after, '23h'"),
        ('[screening]\nhold_after = "0h"', "hold_after: '0h': it has to be above zero"),
        ('[screening]\ncontracts = "deny"', "contracts 'deny': use allow or hold"),
        ('[screening]\nallowlist_cooling = "0s"', "allowlist_cooling: '0s': it has to be above zero"),
        ('[screening]\ntravel_rule_above = "1000"', "travel_rule_above: '1000': write it like \"2000 USD\""),
        ('[screening]\ntravel_rule_above = "1000 USD"', "travel_rule and travel_rule_above: give both"),
        ('[screening]\ntravel_rule = { command = ["/x"] }', "travel_rule and travel_rule_above: give both"),
        ('[screening]\nprovider = "/x"', "Expected `object | null`, got `str`"),
        ('[approvals]\nexpire = "0s"', "expire: '0s': it has to be above zero"),
        ('[approvals]\nlock = "0s"', "lock: '0s': it has to be above zero"),
        ('[approvals]\nfresh = "15"', "fresh: '15' is not a duration"),
        ('[approvals]\nlocked = "1h"', "unknown key 'locked'; did you mean 'lock'?"),
        ('[freeze]\nfile = ""', "file: '' names no file"),
        ('[freeze]\nauto = ["audits"]', "auto: 'audits' freezes nothing; did you mean 'audit'?"),
        ('[freeze]\nauto = ["xyzzy"]', "'xyzzy' freezes nothing; known here: audit, funds, prices, screening, unknown"),
        ("[freeze]\nunknown_in_a_row = 1", "unknown_in_a_row 1: use 2 to 1000"),
        ("[freeze]\nunknown_in_a_row = 1001", "unknown_in_a_row 1001: use 2 to 1000"),
        ('[freeze]\nauto = "audit"', "Expected `array`, got `str`"),
        ('[freeze]\nlists_older_than = "0d"', "lists_older_than: '0d': it has to be above zero"),
        ('[freeze]\nprices_older_than = "soon"', "prices_older_than: 'soon' is not a duration"),
        ('[privacy]\nkey = "HUNTER2"', "key: write keyring:NAME or env:NAME, never the secret itself"),
        ('[privacy]\nkey = "keyring: "', "key: write keyring:NAME"),
        ("[privacy]\nreveals_per_hour = 0", "reveals_per_hour 0: use 1 to 10000"),
        ("[privacy]\nreveals_per_hour = 10001", "reveals_per_hour 10001: use 1 to 10000"),
        ("[privacy]\nreveals_per_hour = true", "Expected `int`, got `bool`"),
    ],
)
def test_a_guard_that_cannot_be_kept_is_refused(desk: Desk, text: str, said: str) -> None:
    message = refusal(desk, text)
    assert said in message
    assert "HUNTER2" not in message
