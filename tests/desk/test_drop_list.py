"""A list is taken away by two people, who speak of the list as it is; then nobody misses it or puts it back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, delete, insert, select, update

from cryptosupport.desk.drop_list import Dropped, drop_list
from cryptosupport.desk.screen_lists import REMOVED, check_lists, import_list, load_lists
from cryptosupport.desk.show_lists import Freshness, list_states
from cryptosupport.domain.errors import NoSuchRecord, Refused, Tampered
from cryptosupport.domain.screening import ListKind
from cryptosupport.ledger import tables
from cryptosupport.ledger.engine import writing
from tests.desk.auditkit import entries, verified
from tests.desk.deskkit import HOUR, START, Desk, policy, rule
from tests.desk.peoplekit import Hand, enrol, hand, nobody, people_of, remove
from tests.desk.test_screen_lists import addresses


@pytest.fixture
def desk(desk_with: Callable[..., Desk]) -> Desk:
    """A desk of four, with the list ofacc."""
    desk = desk_with(policy(rule("permit", allow=True)))
    enrol(desk)
    take(desk, 1, 2)
    return desk


def take(desk: Desk, *numbers: int) -> None:
    import_list(desk.ledger, "ofacc", ListKind.SANCTIONS, "file", START, addresses(*numbers))


def removes(desk: Desk, by: str, signs: Hand | None = None) -> Dropped:
    desk.clock.at += 1
    return drop_list(desk.ledger, people_of(desk), "ofacc", "a typo", by, signs or hand(by))


def there(desk: Desk) -> list[str]:
    with desk.ledger.look() as records:
        return [head.name for head in load_lists(records).heads]


def test_two_different_people_remove_it_and_nobody_misses_it(desk: Desk, engine: Engine) -> None:
    assert [removes(desk, "carol").missing, removes(desk, "carol").missing] == [1, 1]
    assert there(desk) == ["ofacc"]
    done = removes(desk, "alice")
    assert (done.by, done.missing, done.kind, done.entries) == (("carol", "alice"), 0, "sanctions", 2)
    assert there(desk) == []
    with desk.ledger.look() as records:
        assert records.listed("ofacc") == []
        assert list_states(records, Freshness()) == []
        assert [each.state.value for each in list_states(records, Freshness(lists=("ofacc",)))] == ["missing"]
        told = records.last_acts(REMOVED)["ofacc"].act
    assert (told.who, told.facts["by"], told.facts["reason"]) == ("operator alice", "carol, alice", "a typo")
    assert verified(engine).sound
    with pytest.raises(NoSuchRecord):
        removes(desk, "alice")


def test_who_is_neither_of_ops_nor_of_compliance_has_no_say(desk: Desk) -> None:
    for name in ("bob", "mallory"):
        with pytest.raises(Refused):
            removes(desk, name)
    with pytest.raises(Refused, match="does not count"):
        removes(desk, "carol", hand("alice"))
    assert there(desk) == ["ofacc"]


def test_who_was_removed_while_the_key_was_touched_has_no_say(desk: Desk) -> None:
    before = people_of(desk)
    removes(desk, "carol")
    remove(desk, "alice", "bob", "carol")
    with pytest.raises(Refused, match="the operators changed meanwhile"):
        drop_list(desk.ledger, before, "ofacc", "a typo", "alice", hand("alice"))
    assert there(desk) == ["ofacc"]


def test_what_was_said_is_void_once_the_list_is_another(desk: Desk) -> None:
    removes(desk, "carol")
    take(desk, 1, 2, 3)
    assert removes(desk, "alice").missing == 1
    assert removes(desk, "carol").missing == 0
    take(desk, 1, 2, 3)  # the same once more
    assert removes(desk, "alice").missing == 1
    assert removes(desk, "dave").missing == 0


def test_a_list_that_was_removed_is_imported_anew(desk: Desk, engine: Engine) -> None:
    removes(desk, "carol"), removes(desk, "alice")
    desk.clock.at += HOUR
    take(desk, 2, 3)
    assert there(desk) == ["ofacc"]
    with desk.ledger.look() as records:
        assert [(each.entry, each.since) for each in records.listed("ofacc")] == [
            ("e2", desk.clock.at), ("e3", desk.clock.at),
        ]  # fmt: skip
    assert verified(engine).sound


def test_one_that_was_put_back_behind_the_program_is_not_relied_on(desk: Desk, engine: Engine) -> None:
    with engine.connect() as connection:
        row = dict(connection.execute(select(tables.screen_list)).mappings().one())
    removes(desk, "carol"), removes(desk, "alice")
    with writing(engine) as connection:
        connection.execute(insert(tables.screen_list), row)
        connection.execute(update(tables.screen_entry).values(delisted_at=None))
    with pytest.raises(Tampered, match="it was removed"):
        there(desk)
    assert not verified(engine).sound


def test_one_that_was_taken_out_behind_the_program_can_be_removed(desk: Desk, engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(delete(tables.screen_list))
    with pytest.raises(Tampered, match="it is gone"):
        there(desk)
    removes(desk, "carol"), removes(desk, "alice")
    assert there(desk) == []
    assert entries(engine)[-1]["kind"] == REMOVED
    assert "it is gone" in entries(engine)[-1]["facts"]


def test_without_operators_one_name_is_enough(desk_with: Callable[..., Desk]) -> None:
    desk = desk_with(policy(rule("permit", allow=True)))
    take(desk, 1)
    assert drop_list(desk.ledger, nobody(desk), "ofacc", "a typo", "ann", hand("alice")).missing == 0
    with desk.ledger.look() as records:
        assert check_lists(records) == []
        assert records.last_acts(REMOVED)["ofacc"].act.who == "ann (unproven)"
