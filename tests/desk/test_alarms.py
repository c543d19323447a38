"""What freezes the desk by itself: once for each cause, told, and lifted by two people for a day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Engine, update

from cryptosupport.desk.alarms import AUDIT, PRICES, RINGS_AGAIN, SCREENING, TAMPERED, Alarms, prices_matter, write_down
from cryptosupport.desk.freeze import add, lift
from cryptosupport.desk.run_once import run_once
from cryptosupport.domain.errors import Tampered
from cryptosupport.domain.freezes import Freeze, Scope
from cryptosupport.domain.policy.rules import Per
from cryptosupport.domain.withdrawals import Withdrawal
from cryptosupport.ledger import tables
from cryptosupport.ledger.engine import writing
from tests.desk.deskkit import HOUR, START, Desk, policy, request, rule
from tests.desk.guardkit import ALLOW, ANN, BEN, BLOCK, MEMO, SANCTIONS, listed, screening, to
from tests.desk.peoplekit import hand, nobody

OpenDesk = Callable[..., Desk]
PERMIT = rule("permit", allow=True)
DAY = 24 * HOUR
ALARMS = Alarms()


@pytest.fixture
def desk(desk_with: OpenDesk) -> Desk:
    return screening(desk_with, policy(PERMIT))


def run(desk: Desk, alarms: Alarms = ALARMS) -> list[Withdrawal]:
    return run_once(desk.ledger, desk.premises, alarms)


def rung(desk: Desk, lifted: bool = False) -> list[Freeze]:
    with desk.ledger.look() as records:
        return [each for each in records.freezes(lifted) if each.source == "auto"]


def two_lift(desk: Desk) -> None:
    for name in ("ann", "ben"):
        lift(desk.ledger, nobody(desk), [Scope("all")], name, hand("alice"))
    assert rung(desk) == []


# -- lists -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "needed", "age", "rings"),
    [
        (SANCTIONS, (), 7 * DAY, False),
        (SANCTIONS, (), 7 * DAY + 1, True),
        (BLOCK, (), 7 * DAY + 1, False),
        (MEMO, (), 7 * DAY + 1, False),
        (ALLOW, (), 7 * DAY + 1, False),
        (MEMO, ("one",), 7 * DAY + 1, True),
    ],
)
def test_a_list_that_nobody_reads_any_more_freezes_the_desk(
    desk: Desk, kind: object, needed: tuple[str, ...], age: int, rings: bool
) -> None:
    listed(desk, "one", kind, BEN, customer="c9" if kind is ALLOW else "")  # type: ignore[arg-type]
    desk.clock.at += age
    run(desk, replace(ALARMS, lists=needed))
    assert [(each.scope, each.reason) for each in rung(desk)] == [
        (Scope("all"), "screening: the list one was read last at 2026-09-21T14:13:20Z")
    ] * rings
    assert desk.states(to(ANN)) == ["waiting" if rings else "approved"]


def test_it_rings_once_and_not_once_a_run(desk: Desk) -> None:
    listed(desk, "sdn", SANCTIONS, BEN)
    for _ in range(3):
        desk.clock.at += 8 * DAY
        run(desk)
    (freeze,) = rung(desk, lifted=True)
    with desk.ledger.look() as records:
        assert list(records.last_acts("freeze.added")) == [freeze.id]


def test_an_alarm_that_is_off_does_not_ring(desk: Desk) -> None:
    listed(desk, "sdn", SANCTIONS, BEN)
    desk.clock.at += 8 * DAY
    run(desk, replace(ALARMS, on=(AUDIT, PRICES)))
    write_down(desk.ledger, replace(ALARMS, on=(SCREENING,)), Tampered("w-1 was changed", request_id="w-1"))
    assert rung(desk) == []
    with desk.ledger.look() as records:
        assert list(records.last_acts(TAMPERED)) == ["w-1"]  # it is told all the same


def test_a_cause_that_two_people_lifted_lets_the_desk_work_for_a_day(desk: Desk) -> None:
    listed(desk, "sdn", SANCTIONS, BEN)
    desk.clock.at += 8 * DAY
    run(desk)
    two_lift(desk)
    for after, rings in ((0, False), (RINGS_AGAIN - 1, False), (1, True)):
        desk.clock.at += after
        run(desk)
        assert len(rung(desk)) == rings


def test_a_cause_that_is_new_rings_at_once(desk: Desk) -> None:
    listed(desk, "sdn", SANCTIONS, BEN)
    desk.clock.at += HOUR
    listed(desk, "eu", SANCTIONS, BEN)
    desk.clock.at += 7 * DAY - HOUR + 1
    run(desk)
    two_lift(desk)
    run(desk)
    assert rung(desk) == []
    desk.clock.at += HOUR
    run(desk)
    (freeze,) = rung(desk)
    assert "the list eu was" in freeze.reason
    assert "the list sdn was" in freeze.reason


def test_of_two_causes_that_were_lifted_one_that_is_left_is_none_that_is_new(desk: Desk) -> None:
    listed(desk, "a", SANCTIONS, BEN)
    listed(desk, "aa", SANCTIONS, BEN)
    desk.clock.at += 8 * DAY
    run(desk)
    two_lift(desk)
    listed(desk, "a", SANCTIONS, BEN)
    run(desk)
    assert rung(desk) == []


def test_a_cause_that_went_away_and_comes_back_rings(desk: Desk) -> None:
    listed(desk, "sdn", SANCTIONS, BEN)
    desk.clock.at += 8 * DAY
    run(desk, replace(ALARMS, lists_older_than=HOUR))
    two_lift(desk)
    listed(desk, "sdn", SANCTIONS, BEN)
    desk.clock.at += HOUR + 1
    run(desk, replace(ALARMS, lists_older_than=HOUR))
    assert len(rung(desk)) == 1


# -- prices ----------------------------------------------------------------------------------------------------------

IN_USD = policy(rule("each", value="100000"))


@pytest.mark.parametrize(
    ("rules", "matter"),
    [
        (IN_USD, True),
        (policy(rule("day", value="9", hours=24)), True),
        (policy(PERMIT, rule("eyes", above_value=10**6, approvals=1)), True),
        (policy(PERMIT, rule("day", amount="9", hours=24, per=Per.CUSTOMER)), False),
    ],
)
def test_prices_matter_where_limits_are_in_usd(desk_with: OpenDesk, rules: object, matter: bool) -> None:
    assert prices_matter(rules) == matter  # type: ignore[arg-type]
    desk = desk_with(rules, prices={"BTC": "50000"})
    run(desk)
    desk.prices = {}
    desk.clock.at += HOUR
    run(desk)
    assert rung(desk) == []
    desk.clock.at += 1
    run(desk)
    assert [each.reason for each in rung(desk)] == [
        "prices: no price has counted since about 2026-09-21T14:13:20Z"
    ] * matter


def test_a_desk_that_never_had_a_price_is_not_frozen_for_want_of_one(desk_with: OpenDesk) -> None:
    desk = desk_with(IN_USD)
    desk.clock.at += 9 * DAY
    run(desk)
    assert rung(desk) == []


def test_prices_that_are_there_ring_for_nothing_however_short_the_time(desk_with: OpenDesk) -> None:
    desk = desk_with(IN_USD, prices={"BTC": "50000"})
    for _ in range(40):
        desk.clock.at += 60_000
        run(desk, replace(ALARMS, prices_older_than=60_000))
    desk.prices = {}
    run(desk, replace(ALARMS, prices_older_than=60_000))
    assert rung(desk) == []


def test_prices_that_came_back_and_went_again_ring_again(desk_with: OpenDesk) -> None:
    desk = desk_with(IN_USD, prices={"BTC": "50000"})
    run(desk)
    for _ in range(2):
        desk.prices = {}
        desk.clock.at += HOUR + 1
        run(desk)
        two_lift(desk)
        run(desk)
        assert rung(desk) == []
        desk.prices = {"BTC": "50000"}
        run(desk)
    assert len(rung(desk, lifted=True)) == 2


def test_alarms_of_two_kinds_are_two_freezes(desk_with: OpenDesk) -> None:
    desk = screening(desk_with, IN_USD)
    desk = replace(desk, prices={"BTC": "50000"})
    listed(desk, "sdn", SANCTIONS, BEN)
    run(desk)
    desk = replace(desk, prices={})
    desk.clock.at += 8 * DAY
    run(desk)
    assert sorted(each.reason.partition(":")[0] for each in rung(desk)) == [PRICES, SCREENING]
    two_lift(desk)


# -- tampering -------------------------------------------------------------------------------------------------------


def test_what_was_changed_behind_the_program_freezes_the_desk_once_and_is_told(desk: Desk) -> None:
    with desk.ledger.act() as records:
        first = records.log_book.number  # type: ignore[attr-defined]
    for _ in range(3):
        write_down(desk.ledger, ALARMS, Tampered("w-1 was changed", request_id="w-1"))
    (freeze,) = rung(desk)
    assert (freeze.scope, freeze.reason, freeze.by) == (Scope("all"), "audit: w-1 was changed", "cryptosupport")
    with desk.ledger.act() as records:
        assert records.log_book.number - first == 2  # type: ignore[attr-defined]
        assert records.last_acts(TAMPERED)["w-1"].act.facts == {"found": "w-1 was changed"}
    two_lift(desk)
    write_down(desk.ledger, ALARMS, Tampered("w-1 was changed", request_id="w-1"))
    assert rung(desk) == []
    write_down(desk.ledger, ALARMS, Tampered("w-2 was changed", request_id="w-2"))
    assert len(rung(desk)) == 1


def test_a_row_that_was_changed_stops_the_pass(desk_with: OpenDesk, engine: Engine) -> None:
    desk = desk_with(policy(PERMIT, rule("no", "9", match={"customer": "c9"})))
    with desk.ledger.act() as records:
        add(records, Freeze("f", Scope("all"), "a drill", "alice", True, START, "operator"))
    assert desk.states(request("w-1")) == ["waiting"]
    with writing(engine) as connection:
        connection.execute(update(tables.withdrawal).values(destination="d2"))
    with pytest.raises(Tampered, match="w-1 was changed in the database"):
        run(desk)
