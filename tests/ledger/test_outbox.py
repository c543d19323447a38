"""What is due to hooks: taken over from the log page by page, told by one worker at a time, the first change first."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from sqlalchemy import Connection, Engine, select

from cryptosupport.domain.audit import Act
from cryptosupport.domain.errors import Locked, Tampered
from cryptosupport.domain.events import Due, Standing, Turn
from cryptosupport.domain.withdrawals import State
from cryptosupport.ledger import schema, tables
from cryptosupport.ledger.engine import reading, writing
from cryptosupport.ledger.ledger import SqlLedger
from cryptosupport.ledger.outbox import FORGOTTEN, SqlOutbox
from tests.ledger.ledgerkit import unguarded

ALL = frozenset(State)
LASTS = 60_000


@dataclass
class Time:
    """A clock that goes when it is told to; milliseconds."""

    now: int = 1_790_000_000_000

    def __call__(self, connection: Connection) -> int:
        return self.now


class Log:
    """A ledger, whose log a test writes."""

    def __init__(self, engine: Engine) -> None:
        schema.ready(engine)
        self.engine, self.time = engine, Time()
        self.outbox = SqlOutbox(engine, self.time)
        self._ledger = SqlLedger(engine, self.time)

    def change(self, *changes: tuple[str, str | None, str]) -> None:
        """Changes, as request id and the states before and after."""
        with self._ledger.act() as records:
            records.log_book.add(
                [Act(f"withdrawal.{to}", name, facts={"from": before, "to": to}) for name, before, to in changes]
            )

    def log(self, *acts: Act) -> None:
        """Acts that change no state."""
        with self._ledger.act() as records:
            records.log_book.add(acts)

    def begun(self, hook: str = "h") -> Turn:
        """The turn of a hook that has taken over all."""
        while self.outbox.take_over(hook, ALL):
            pass
        turn = self.outbox.begin(hook, "me", LASTS, never)
        assert turn is not None
        return turn

    def may_be_told(self, turn: Turn, taken: dict[int, bool], most: int = 8) -> list[tuple[str, str]]:
        """What may be told now."""
        return [(each.request_id, each.state) for each in self.outbox.go_on(turn, LASTS, taken, most)]


def never(holder: str) -> bool:
    return False


@pytest.fixture
def log(ledger_engine: Engine) -> Log:
    return Log(ledger_engine)


def test_a_hook_hears_of_what_comes_after_it_and_only_of_changes_in_its_states(log: Log) -> None:
    log.change(("w-0", None, "approved"))
    log.outbox.meet(["h", "ends"])
    log.outbox.meet(["h", "ends"])
    log.change(("w-0", "approved", "reserved"), ("w-1", None, "waiting"), ("w-1", "waiting", "waiting"))
    log.log(Act("withdrawal.note", "w-1", facts={"number": "1"}), Act("freeze.added", facts={"to": "final"}))
    log.change(("w-0", "reserved", "final"))
    assert not log.outbox.take_over("h", ALL)
    assert not log.outbox.take_over("ends", {State.FINAL})
    assert not log.outbox.take_over("nobody", ALL)
    now = log.time.now
    assert log.outbox.standings(["h", "ends", "nobody"]) == {"h": Standing(3, now), "ends": Standing(1, now)}
    turn = log.outbox.begin("ends", "me", LASTS, never)
    assert turn is not None
    assert log.may_be_told(turn, {}) == [("w-0", "final")]


def test_what_is_taken_over_comes_page_by_page_and_once(log: Log) -> None:
    log.outbox.meet(["h"])
    log.change(*((f"w-{number}", None, "approved") for number in range(2500)))
    more = [log.outbox.take_over("h", ALL) for _ in range(4)]
    assert more == [True, True, False, False]
    assert log.outbox.standings(["h"])["h"].due == 2500


def test_of_each_withdrawal_the_first_one_may_be_told_and_the_next_when_it_was_taken(log: Log) -> None:
    log.outbox.meet(["h"])
    log.change(("a", None, "approved"), ("b", None, "approved"), ("a", "approved", "reserved"))
    log.change(("a", "reserved", "signed"), ("b", "approved", "cancelled"))
    turn = log.begun()
    first = log.outbox.go_on(turn, LASTS, {}, 8)
    assert first == [Due(1, "a", "approved", 0), Due(2, "b", "approved", 0)]
    assert log.may_be_told(turn, {1: True, 2: False}) == [("a", "reserved")]
    assert log.outbox.standings(["h"])["h"].tries == 1
    log.time.now += 5_000
    assert log.outbox.go_on(turn, LASTS, {3: False}, 8) == [Due(2, "b", "approved", 1)]
    log.time.now += 5_000
    assert log.outbox.go_on(turn, LASTS, {2: False}, 8) == [Due(3, "a", "reserved", 1)]
    log.time.now += 10_000
    assert log.may_be_told(turn, {3: True}, 1) == [("b", "approved")]
    assert log.may_be_told(turn, {2: True}) == [("a", "signed"), ("b", "cancelled")]
    assert log.may_be_told(turn, {4: True, 5: True}) == []
    assert log.outbox.standings(["h"]) == {"h": Standing()}


def test_one_worker_tells_a_hook_until_it_ends_or_is_gone_or_its_time_is_up(log: Log) -> None:
    log.outbox.meet(["h"])
    log.change(("a", None, "approved"), ("a", "approved", "cancelled"))
    mine = log.begun()
    assert log.outbox.begin("h", "other", LASTS, never) is None
    assert log.outbox.begin("h", "other", LASTS, lambda holder: holder == "me") == Turn("h", "other", mine.fence + 1)
    for late in (lambda: log.outbox.go_on(mine, LASTS, {1: True}, 8), lambda: log.outbox.end(mine, True, True)):
        with pytest.raises(Locked, match="another worker has taken over"):
            late()
    assert log.outbox.standings(["h"])["h"].due == 2  # what it wrote does not count
    log.time.now += LASTS
    third = log.outbox.begin("h", "third", LASTS, never)
    assert third is not None
    log.time.now += LASTS - 1
    assert log.may_be_told(third, {}) == [("a", "approved")]  # from here on it lasts anew
    log.time.now += LASTS - 1
    assert log.outbox.begin("h", "other", LASTS, never) is None
    assert log.outbox.end(third, False, True) == 0
    assert log.outbox.begin("h", "other", LASTS, never) is not None


def test_a_hook_is_left_alone_for_longer_each_time_until_it_takes_something(log: Log) -> None:
    log.outbox.meet(["h"])
    log.change(("a", None, "approved"))
    pauses = []
    for _ in range(8):
        pauses.append(log.outbox.end(log.begun(), True, False))
        log.time.now += pauses[-1] - 1
        assert log.outbox.begin("h", "me", LASTS, never) is None
        log.time.now += 1
    assert pauses == [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]
    assert log.outbox.standings(["h"])["h"].rests == 8
    assert log.outbox.end(log.begun(), False, False) == 0
    assert log.outbox.standings(["h"])["h"].rests == 8
    assert log.outbox.end(log.begun(), True, True) == 5_000
    log.time.now += 5_000
    assert log.outbox.end(log.begun(), False, True) == 0
    assert log.outbox.standings(["h"])["h"].rests == 0


def test_one_that_some_worker_still_names_is_not_forgotten(log: Log) -> None:
    log.outbox.meet(["h", "gone"])
    log.change(("a", None, "approved"))
    for hook in ("h", "gone"):
        log.outbox.end(log.begun(hook), False, False)
    for _ in range(3):  # one machine has both, another one has only the first
        log.time.now += FORGOTTEN - 1
        log.outbox.meet(["h"])
        log.outbox.meet(["h", "gone"])
    assert log.outbox.standings(["h", "gone"]).keys() == {"h", "gone"}
    log.time.now += FORGOTTEN
    log.outbox.meet(["h"])
    assert log.outbox.standings(["h", "gone"]).keys() == {"h"}
    with reading(log.engine) as connection:
        assert connection.scalars(select(tables.hook_due.c.hook)).all() == ["h"]
    log.outbox.meet(["h", "gone"])  # it begins anew
    log.change(("a", "approved", "cancelled"))
    assert log.may_be_told(log.begun("gone"), {}) == [("a", "cancelled")]


def test_entries_that_somebody_put_behind_the_end_are_not_taken_over_and_changed_ones_are_told_of(log: Log) -> None:
    log.outbox.meet(["h"])
    log.change(("a", None, "approved"))
    forged = {"number": 2, "at": 0, "kind": "withdrawal.final", "subject": "a", "who": "x", "hash": ""}
    with writing(log.engine) as connection:
        unguarded(connection)
        connection.execute(tables.audit.insert().values(facts='{"from":"approved","to":"final"}', **forged))
    turn = log.begun()
    assert log.may_be_told(turn, {}) == [("a", "approved")]
    assert log.outbox.read([Due(1, "a", "approved", 0), Due(2, "a", "final", 0)]) == {}  # there is no such withdrawal
    log.outbox.end(turn, False, False)
    with writing(log.engine) as connection:
        connection.execute(tables.audit.delete().where(tables.audit.c.number == 2))
    log.change(("a", "approved", "cancelled"))
    with writing(log.engine) as connection:
        connection.execute(tables.audit.update().where(tables.audit.c.number == 2).values(facts="[]"))
    with pytest.raises(Tampered, match="entry 2 of the audit log was changed"):
        log.outbox.take_over("h", ALL)
