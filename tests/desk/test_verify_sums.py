"""The sums that limits rest on are what the withdrawals give, whatever a desk has done; any other is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import Engine, select, text

from cryptosupport.desk.cancel import cancel
from cryptosupport.desk.run_once import run_once
from cryptosupport.desk.verify_audit import verify
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.policy.judging import Judge
from cryptosupport.domain.policy.periods import Calendar, Unit
from cryptosupport.domain.policy.rules import Per, Policy
from cryptosupport.ledger import tables
from cryptosupport.ledger.engine import writing
from cryptosupport.ledger.verifying import SqlAuditLog
from tests.desk.deskkit import HOUR, Desk, policy, request, rule
from tests.desk.lives import POLICIES, STEPS, live, new_desk

OpenDesk = Callable[..., Desk]
DAY = rule("day", "9", hours=24, per=Per.CUSTOMER)
TODAY = replace(rule("today", "9", hours=24), period=Calendar(Unit.DAY, "Europe/Berlin"))
QUEUE = rule("queue", "2", hours=1, on_exceed=Outcome.WAIT)


def told(desk: Desk, engine: Engine) -> list[str]:
    """What is found now."""
    with SqlAuditLog(engine).evidence() as evidence:
        return [each.message for each in verify(evidence, (), Judge(desk.policy), desk.clock.at).found]


def tamper(engine: Engine, statement: str) -> None:
    with writing(engine) as connection:
        assert connection.execute(text(statement)).rowcount


def sums(engine: Engine) -> list[dict[str, Any]]:
    """All that is recorded of sums."""
    with engine.connect() as connection:
        queries = [select(table).order_by(*table.primary_key) for table in (tables.window, tables.tally)]
        return [dict(row) for query in queries for row in connection.execute(query).mappings()]


@pytest.fixture
def desk(desk_with: OpenDesk) -> Desk:
    """Sums over a day, a calendar day and a queue; something waits."""
    desk = desk_with(policy(DAY, TODAY, QUEUE))
    assert desk.states(request("w-1", "1.5"), request("w-2", "1"), request("w-3", "0.25", customer="c2")) == [
        "approved", "waiting", "waiting",
    ]  # fmt: skip
    return desk


def test_what_was_decided_cancelled_and_waited_for_is_sound_at_any_time(desk: Desk, engine: Engine) -> None:
    assert told(desk, engine) == []
    cancel(desk.ledger, desk.premises, "w-3")
    assert told(desk, engine) == []
    for by in (HOUR - 1, 1, 24 * HOUR, 30 * 24 * HOUR):
        desk.clock.at += by
        before = sums(engine)
        assert told(desk, engine) == []
        assert sums(engine) == before  # nothing is written
        run_once(desk.ledger, desk.premises)
        assert told(desk, engine) == []


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(chosen=POLICIES, another=POLICIES, steps=STEPS)
def test_any_life_is_sound(engine: Engine, chosen: Policy, another: Policy, steps: list[tuple[str, Any]]) -> None:
    desk = new_desk(engine, chosen)
    for one in steps:
        live(desk, [one])
        assert told(desk, engine) == []
        assert told(replace(desk, policy=another), engine) == []
    live(replace(desk, policy=another), steps)
    assert told(desk, engine) == told(replace(desk, policy=another), engine) == []


TAMPERINGS = {
    "update tally set booked = 0 where who = 'c1'": "the sum of rule day for c1 (BTC) says 0 BTC, and the withdrawals "
    "give 1.5 BTC: it was changed in the database, and limits rest on it",
    "update tally set waiting = 0 where who = 'c2'": "says 0 BTC waiting, and the withdrawals give 0.25 BTC waiting",
    "update tally set decimals = 12 where who = 'c1'": "says 0.00015 BTC",
    "delete from tally where who = 'c1'": "says 0 BTC, and the withdrawals give 1.5 BTC; 0 BTC waiting, and",
    "update tally set who = 'c9' where who = 'c2'": "rule day for c9 (BTC)",
    "update tally set ends_at = ends_at - 1 where ends_at is not null": "rule today (2026-09-21 BTC) says that it ends",
    "insert into tally values ('0123456789abcdef', 'BTC', 'c1', '-9', '0', 0, null)": "window 0123456789abcdef, which",
    'delete from "window" where period is null': "rule today sums over is not as the program left it: it is gone",
    'delete from "window" where period = 3600000': "rule queue sums over is not as the program left it: it is gone",
    "insert into \"window\" values ('0123456789abcdef', 1, 1)": "is not as the program left it: it was put in",
    'update "window" set period = 1 where period = 3600000': "its period is 1 ms, and has to be 3600000",
    'update "window" set advanced_to = advanced_to + 86400000': "how far it has aged is not so",
}


@pytest.mark.parametrize("statement", TAMPERINGS)
def test_a_sum_or_window_that_was_changed_is_found(desk: Desk, engine: Engine, statement: str) -> None:
    tamper(engine, statement)
    found = told(desk, engine)
    assert any(TAMPERINGS[statement] in each for each in found), found
    assert found == told(desk, engine)


def test_what_ages_twice_or_never_is_found_when_it_matters(desk: Desk, engine: Engine) -> None:
    desk.clock.at += 2 * HOUR
    run_once(desk.ledger, desk.premises)
    tamper(engine, 'update "window" set advanced_to = advanced_to - 86400000')
    assert any("rule queue" in each for each in told(desk, engine))


def test_a_window_of_another_policy_that_was_put_in_beforehand_is_found(desk: Desk, engine: Engine) -> None:
    """It would count as built, with nothing in it."""
    stricter = replace(desk, policy=policy(DAY, TODAY, QUEUE, rule("further", "3", hours=48)))
    (further,) = stricter.premises.judge.windows.keys() - desk.premises.judge.windows.keys()
    assert told(stricter, engine) == []
    tamper(engine, f"insert into \"window\" values ('{further}', {48 * HOUR}, {desk.clock.at - 48 * HOUR})")
    assert any("rule further (BTC) says 0 BTC" in each for each in told(stricter, engine))
    assert any("it was put in" in each for each in told(desk, engine))


def test_what_cannot_be_read_is_told_and_not_the_end(desk: Desk, engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        tamper(engine, "update tally set booked = 'none' where who = 'c1'")
        assert any("the sums that limits rest on cannot be worked out" in each for each in told(desk, engine))


def test_a_ledger_that_never_decided_is_sound(desk_with: OpenDesk, engine: Engine) -> None:
    assert told(desk_with(policy(DAY)), engine) == []
