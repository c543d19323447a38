"""One pass of cron: what is over expires, what lists have found is held, and a second pass has nothing to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, event, text

from cryptosupport.desk import run_once as module
from cryptosupport.desk.alarms import Alarms, note
from cryptosupport.desk.run_once import RESCREENED, run_once
from cryptosupport.desk.verify_audit import verify
from cryptosupport.domain.books import Records
from cryptosupport.domain.errors import Tampered
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.ledger.verifying import SqlAuditLog
from tests.desk.deskkit import HOUR, Desk, policy, request, rule, sums
from tests.desk.guardkit import ALLOW, ANN, BEN, BLOCK, HOT, SANCTIONS, found, listed, screening, to
from tests.desk.peoplekit import enrol, guarded, people_of, say

OpenDesk = Callable[..., Desk]
PERMIT = rule("permit", allow=True)
EYES = policy(PERMIT, rule("eyes", approvals=1, match={"customer": "seen"}), rule("day", "100", hours=24))
DAY = 24 * HOUR


@pytest.fixture
def desk(desk_with: OpenDesk) -> Desk:
    return screening(desk_with, EYES)


def run(desk: Desk) -> dict[str, str]:
    return {each.request.request_id: each.state.value for each in run_once(desk.ledger, desk.premises)}


@contextmanager
def written(engine: Engine) -> Iterator[list[str]]:
    """The statements that write rows meanwhile, but for the time of the last pass, and sums that are over."""
    found: list[str] = []

    def hear(connection: object, cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(("INSERT", "UPDATE")) and not statement.startswith("UPDATE book "):
            found.append(statement)

    event.listen(engine, "before_cursor_execute", hear)
    yield found
    event.remove(engine, "before_cursor_execute", hear)


def test_what_nobody_approved_in_time_is_over_and_gives_its_room_back(desk: Desk) -> None:
    desk.take(request("w-1", "60", customer="seen"), request("w-2", customer="c2"))
    desk.clock.at += DAY - 1
    assert run(desk) == {}
    desk.clock.at += 1
    assert run(desk) == {"w-1": "expired"}
    assert run(desk) == {}
    assert {booked for booked, _ in sums(desk).values()} <= {"0", "1"}


@pytest.mark.parametrize(("kind", "state"), [(SANCTIONS, "held"), (BLOCK, "rejected")])
def test_what_was_let_through_is_held_against_lists_that_came_since(desk: Desk, kind: object, state: str) -> None:
    enrol(desk)
    desk.take(to(ANN), to(ANN, "w-2", customer="seen"), to(BEN, "w-3"), to(ANN, "w-4", customer="seen"))
    say(desk, people_of(desk), "approve", "w-4", "alice")
    say(desk, people_of(desk), "approve", "w-4", "bob")
    assert desk.recorded("w-4") == ["approved"]
    listed(desk, "one", kind, ANN.lower())  # type: ignore[arg-type]
    assert run(desk) == {"w-1": state, "w-2": state, "w-4": state}
    with desk.ledger.look() as records:
        assert records.last_acts("withdrawal.screened").keys() == {"w-1", "w-2", "w-4"}


def test_what_came_off_a_customers_allow_list_is_denied(desk: Desk) -> None:
    listed(desk, "own", ALLOW, ANN, BEN, customer="c1")
    assert desk.states(to(ANN), to(BEN, "w-2")) == ["approved", "approved"]
    listed(desk, "own", ALLOW, BEN, customer="c1")
    assert run(desk) == {"w-1": "rejected"}


def test_a_second_pass_does_no_work_until_a_list_changes(desk: Desk, engine: Engine) -> None:
    desk.take(*(to(BEN, f"w-{number}") for number in range(5)))
    listed(desk, "sdn", SANCTIONS, ANN)
    with written(engine) as first:
        run(desk)
    with written(engine) as second:
        run(desk)
    with written(engine) as third:
        listed(desk, "sdn", SANCTIONS, ANN)  # read again, and it has not changed
        third.clear()
        run(desk)
    assert [bool(each) for each in (first, second, third)] == [True, False, False]
    listed(desk, "sdn", SANCTIONS, ANN, BEN)
    assert set(run(desk).values()) == {"held"}
    with desk.ledger.look() as records:
        assert "sdn=" in str(records.last_acts(RESCREENED)[""].act.facts["lists"])


def test_a_pass_without_lists_writes_nothing(desk: Desk, engine: Engine) -> None:
    desk.take(to(ANN))
    with written(engine) as statements:
        assert run(desk) == {}
    assert statements == []


def test_all_of_many_are_held_against_the_lists(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 2)
    desk.take(*(to(ANN if number % 2 else BEN, f"w-{number}") for number in range(9)))
    listed(desk, "sdn", SANCTIONS, ANN)
    assert sorted(run(desk)) == ["w-1", "w-3", "w-5", "w-7"]


def test_own_wallets_that_were_added_are_found_with_the_next_list(desk: Desk) -> None:
    fresh = guarded(desk, own={})
    fresh.take(to(HOT))
    listed(desk, "sdn", SANCTIONS, ANN)
    assert run(desk) == {"w-1": "rejected"}


def test_who_waits_is_held_when_the_list_has_come(desk_with: OpenDesk) -> None:
    desk = screening(desk_with, policy(PERMIT, rule("hour", "1", hours=1, on_exceed=Outcome.WAIT)))
    assert desk.states(to(BEN), to(ANN, "w-2")) == ["approved", "waiting"]
    listed(desk, "sdn", SANCTIONS, ANN)
    assert run(desk) == {"w-2": "held"}
    assert list(found(desk.ledger.withdrawal("w-2"))) == ["sanctions", "hour"]  # type: ignore[arg-type]


def test_the_log_tells_all_of_it_and_verifies(desk: Desk, engine: Engine) -> None:
    desk.take(to(ANN), to(BEN, "w-2", customer="seen"), request("w-3", customer="seen"))
    listed(desk, "sdn", SANCTIONS, ANN)
    run(desk)
    desk.clock.at += DAY
    run(desk)
    assert desk.recorded("w-1", "w-2", "w-3") == ["held", "expired", "expired"]
    with SqlAuditLog(engine).evidence() as evidence:
        assert verify(evidence, ()).found == []


# -- a row that somebody changed behind the program ------------------------------------------------------------------


def test_a_changed_row_moves_nowhere_the_desk_is_frozen_and_the_others_are_kept(
    desk_with: OpenDesk, engine: Engine
) -> None:
    desk = desk_with(policy(rule("desk", "1", hours=1)))
    desk.take(request("first", "1"), request("changed", "0.5"), request("other", "0.5"))
    with engine.begin() as connection:
        connection.execute(text("update withdrawal set destination = 'mallory' where request_id = 'changed'"))
    found: list[str] = []

    def tampered(records: Records, error: Tampered) -> None:
        note(records, Alarms(), error)
        found.append(error.message)

    desk = guarded(desk, tampered=tampered)
    desk.clock.at += HOUR
    assert run_once(desk.ledger, desk.premises) == []  # all would have had room
    assert [message.split()[0] for message in found] == ["changed"]
    assert desk.recorded("changed", "other") == ["waiting", "waiting"]
    with desk.ledger.look() as records:
        assert [(freeze.scope.text, freeze.source) for freeze in records.freezes()] == [("all", "auto")]


def test_a_row_made_to_look_as_if_it_had_no_value_is_not_sealed_anew(desk_with: OpenDesk, engine: Engine) -> None:
    desk = desk_with(policy(rule("desk", value="100", hours=1)), prices={"BTC": "1000"})
    assert desk.states(request("denied", "5")) == ["waiting"]
    with engine.begin() as connection:
        made = "update withdrawal set state = 'approved', booked_at = created_at, value = null"
        connection.execute(text(f"{made} where request_id = 'denied'"))
    with pytest.raises(Tampered):
        run_once(desk.ledger, desk.premises)
    with pytest.raises(Tampered), desk.ledger.write(desk.premises.judge) as books:
        books.sealed([books.find(["denied"])["denied"]])
