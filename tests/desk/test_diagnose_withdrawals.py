"""What `doctor` says of policy, intake, prices and ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

import pytest

from cryptosupport.desk.diagnose_withdrawals import Withdrawing, examine
from cryptosupport.domain.errors import BadSettings, Unreachable
from cryptosupport.domain.money import Quantity
from cryptosupport.domain.policy.lint import Remark
from cryptosupport.domain.prices import NoPrice, Price
from tests.desk.deskkit import policy, rule

NOW = 1_795_305_600_000
STATUS = {"url": "sqlite:///l.db", "revision": "0001", "head": "0001", "withdrawals": {"held": 2, "approved": 3}}
GOOD = Withdrawing(
    policy=lambda: policy(rule(value="9")),
    remarks=lambda policy: [],
    intake=lambda: None,
    prices=lambda: ([Price("BTC", Quantity(5, 0), 1, ())], []),
    min_sources=lambda: 2,
    ledger=lambda: STATUS | {"last_decision_at": "2026-11-22T00:00:00Z"},
    last_decision=lambda: NOW,
    now=lambda: NOW,
    personal=lambda: ("k1", ("k1",)),
    freezes=lambda: ((), ()),
)
AFTER_THE_LEDGER = [("personal data", "ok", 0), ("freezes", "ok", 0)]


def told(**changed: Any) -> list[tuple[str, str, int]]:
    """The verdicts: name, outcome, exit code."""
    return [(each.name, each.outcome.value, each.exit_code) for each in examine(replace(GOOD, **changed))]


def refusing(error: Exception) -> Callable[[], NoReturn]:
    def refuse() -> NoReturn:
        raise error

    return refuse


def test_all_is_well() -> None:
    assert told() == [("policy.toml", "ok", 0), ("prices", "ok", 0), ("ledger", "ok", 0), *AFTER_THE_LEDGER]


def test_without_a_policy_nothing_else_is_asked() -> None:
    assert told(policy=lambda: None, ledger=refusing(AssertionError())) == [("policy.toml", "ok", 0)]


def test_a_broken_policy_and_an_error_of_a_rule_stop_work() -> None:
    assert told(policy=refusing(BadSettings("rule 1"))) == [("policy.toml", "fail", 8)]
    assert told(remarks=lambda _: [Remark("error", "a", "never matches")])[0] == ("policy.toml", "fail", 8)
    assert told(remarks=lambda _: [Remark("warning", "a", "?")])[0] == ("policy.toml", "warn", 0)


def test_one_source_of_prices_is_a_warning() -> None:
    assert told(min_sources=lambda: 1)[1] == ("prices", "warn", 0)


def test_what_has_no_price_is_a_warning_where_rules_count_in_usd() -> None:
    missing = {"prices": lambda: ([NoPrice("BTC", "none")], ["prices.toml is too old"])}
    assert told(**missing)[1:3] == [("prices", "warn", 0), ("prices", "warn", 0)]
    by_amount = told(policy=lambda: policy(rule(amount="9")), prices=refusing(AssertionError()))
    assert [name for name, _, _ in by_amount] == ["policy.toml", "ledger", "personal data", "freezes"]


@pytest.mark.parametrize(
    ("ledger", "expected"),
    [
        (refusing(Unreachable("down")), ("ledger", "fail", 6)),
        (refusing(BadSettings("no such database")), ("ledger", "fail", 8)),
        (lambda: STATUS | {"revision": "0000"}, ("ledger", "fail", 8)),
        (lambda: STATUS | {"revision": None}, ("ledger", "ok", 0)),
    ],
)
def test_a_ledger_that_cannot_be_used_is_told(ledger: Callable[[], object], expected: tuple[str, str, int]) -> None:
    assert expected in told(ledger=ledger)


@pytest.mark.parametrize("error", [Unreachable("l.db is damaged: keep it"), BadSettings("install the newer version")])
def test_the_advice_on_a_ledger_contradicts_no_message(error: Exception) -> None:
    for each in ({"ledger": refusing(error)}, {"last_decision": refusing(error)}):
        verdict = list(examine(replace(GOOD, **each)))[-1]
        assert verdict.message == str(error)
        assert verdict.advice == "see the message; `cryptosupport ledger status` says more"


@pytest.mark.parametrize(("behind", "outcome"), [(-(10**9), "ok"), (0, "ok"), (1000, "ok"), (1001, "fail")])
def test_a_clock_behind_the_last_decision_is_told_before_nothing_is_decided(behind: int, outcome: str) -> None:
    verdict = list(examine(replace(GOOD, now=lambda: NOW - behind)))[2]
    assert (verdict.name, verdict.outcome.value) == ("ledger", outcome)
    if outcome == "fail":
        assert verdict.exit_code == 8
        assert verdict.message == (
            "the clock is 2s behind the last decision (2026-11-22T00:00:00Z); nothing is decided until it is right"
        )


def test_a_ledger_without_a_decision_has_no_clock_to_be_behind() -> None:
    assert told(last_decision=lambda: None, now=lambda: 0)[2] == ("ledger", "ok", 0)


def test_keys_that_cannot_be_read_stop_intake() -> None:
    assert ("intake", "fail", 8) in told(intake=refusing(BadSettings("keys.backend")))


@pytest.mark.parametrize(
    ("personal", "outcome", "code", "said"),
    [
        (lambda: ("0a1b2c3d", ("0a1b2c3d",)), "ok", 0, "sealed with the key 0a1b2c3d"),
        (lambda: (None, ("0a1b2c3d",)), "ok", 0, "sealed with the key 0a1b2c3d"),
        (lambda: (None, ()), "warn", 0, "note and beneficiary are kept in clear"),
        (lambda: ("0a1b2c3d", ()), "fail", 8, "which the keyring does not hold"),
        (lambda: ("0a1b2c3d", ("ffffffff",)), "fail", 8, "sealed with the key 0a1b2c3d"),
        (refusing(BadSettings("the keyring is locked")), "fail", 8, "the keyring is locked"),
        (refusing(Unreachable("the database went away")), "fail", 6, "the database went away"),
    ],
)
def test_how_personal_data_is_kept_is_told(
    personal: Callable[[], tuple[str | None, tuple[str, ...]]], outcome: str, code: int, said: str
) -> None:
    (verdict,) = [each for each in examine(replace(GOOD, personal=personal)) if each.name == "personal data"]
    assert (verdict.name, verdict.outcome.value, verdict.exit_code) == ("personal data", outcome, code)
    assert said in verdict.message


def test_what_is_frozen_is_told_and_so_is_a_freeze_that_lasts_longer_than_was_thought() -> None:
    frozen = {"freezes": lambda: (["all since 9:00 by alice: a drill"], ["all was to be frozen until 10:00"])}
    assert told(**frozen)[-2:] == [("freezes", "warn", 0), ("freezes", "warn", 0)]
    assert told(freezes=refusing(Unreachable("down")))[-1] == ("freezes", "fail", 6)
    assert told(freezes=refusing(BadSettings("no folder")))[-1] == ("freezes", "fail", 8)
