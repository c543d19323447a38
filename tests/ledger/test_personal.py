"""Personal data in the ledger: sealed where there is a key, bound to its row, and rotated whoever dies or works on."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, select, text, update

from cryptosupport.desk import rotate_key as rotation
from cryptosupport.desk.cases import evidence_of
from cryptosupport.desk.rotate_key import rotate_key, status_record
from cryptosupport.domain.audit import PROGRAM
from cryptosupport.domain.books import Wanted
from cryptosupport.domain.errors import BadInput, BadSettings, Refused, Tampered
from cryptosupport.domain.personal import Sealed
from cryptosupport.domain.withdrawals import Beneficiary
from cryptosupport.ledger import schema, tables
from cryptosupport.ledger.auditing import entries
from cryptosupport.ledger.engine import open_engine, reading, writing
from tests.desk.deskkit import request
from tests.ledger.personalkit import (
    NOTE,
    WRITTEN,
    Ring,
    desk_of,
    personal,
    raw_bytes,
    ring_with_a_key,
    told,
    wanted,
    write_about,
)
from tests.nodes.postgres import Postgres

W, N = tables.withdrawal.c, tables.note.c


@pytest.fixture
def engine(ledger_engine: Engine) -> Engine:
    """A ledger with empty tables."""
    schema.ready(ledger_engine)
    return ledger_engine


@pytest.fixture
def server(request: pytest.FixtureRequest, ledger_url: str) -> Postgres | None:
    """The server where there is one."""
    return request.getfixturevalue("postgres") if ledger_url.startswith("postgres") else None


def change(engine: Engine, **values: Any) -> None:
    """Change the row of w-1 as somebody does who can write to the database."""
    with writing(engine) as connection:
        connection.execute(update(tables.withdrawal).where(W.request_id == "w-1").values(values))


def row(engine: Engine, request_id: str) -> Any:
    """The columns of a row with personal data."""
    with reading(engine) as connection:
        query = select(W.note, W.beneficiary, W.signed).where(W.request_id == request_id)
        return connection.execute(query).one()


def acts(engine: Engine) -> list[tuple[str, str, dict[str, str | None]]]:
    """What the audit log says of keys."""
    with reading(engine) as connection:
        log = [entry.act for entry in entries(connection)]
    return [(act.kind, act.who, dict(act.facts)) for act in log if act.kind.startswith("privacy.")]


# -- at rest ---------------------------------------------------------------------------------------------------------


def test_the_bytes_of_the_database_hold_nothing_personal(engine: Engine, server: Postgres | None) -> None:
    desk, mark = desk_of(engine, ring_with_a_key()), secrets.token_hex(8)
    desk.take(*(personal(f"w-{n}", f"note{mark}", f"name{mark}") for n in range(40)))
    write_about(desk, "w-7", text=f"written{mark}")
    desk.take(personal("w-7", f"note{mark}", f"name{mark}"))
    data = raw_bytes(engine, server)
    assert b"box1:" in data, "this looks where the rows are"
    assert mark.encode() not in data
    assert told(desk, "w-7")[3] == [f"written{mark}"]


def test_what_was_in_clear_is_gone_from_the_files_after_a_rotation(engine: Engine, server: Postgres | None) -> None:
    ring, mark = Ring(), secrets.token_hex(8)
    desk = desk_of(engine, ring)
    for n in range(3):
        desk.take(*(personal(f"w-{n}-{m}", f"note{mark}", f"name{mark}") for m in range(20)))
    write_about(desk, "w-1-1", text=f"written{mark}")
    assert mark.encode() in raw_bytes(engine, server)
    assert rotate_key(desk.ledger, ring.keys).sealed == 3 * 60 + 1
    if server is None:  # the log of a server before it forgets is its administrator's
        assert mark.encode() not in raw_bytes(engine, server)
    assert status_record(desk.ledger, ring.keys)["clear"] == 0


def test_what_is_sealed_comes_back_and_a_repeat_is_known_by_it(engine: Engine) -> None:
    ring = ring_with_a_key()
    desk_of(engine, ring).take(personal("w-1"), request("plain"))
    desk = desk_of(engine, ring)
    write_about(desk, "w-1")
    assert told(desk, "w-1") == wanted("w-1", WRITTEN)
    assert told(desk, "plain") == (None, None, b"", [])
    assert desk.states(personal("w-1", note="another")) == ["approved"]
    with pytest.raises(BadInput, match="recorded with another beneficiary"):
        desk.take(personal("w-1", name="another"))
    assert row(engine, "plain") == (None, None, None)
    assert [kind for kind, _, _ in acts(engine)] == ["privacy.enabled"]


def test_without_a_key_it_is_in_clear_and_somebody_is_told(engine: Engine) -> None:
    ring = Ring()
    desk = desk_of(engine, ring)
    desk.take(request("plain"))
    assert ring.warned == 0, "there was nothing to seal"
    desk.take(personal("w-1"))
    assert ring.warned == 1
    assert row(engine, "w-1").note == f"{NOTE} w-1"
    assert (told(desk, "w-1"), acts(engine)) == (wanted("w-1"), [])


@pytest.mark.parametrize("ring", [Ring(), ring_with_a_key()], ids=["in clear", "sealed"])
def test_a_note_that_looks_like_a_sealed_one_is_a_note(engine: Engine, ring: Ring) -> None:
    desk = desk_of(engine, ring)
    notes = ["box1:", "box1:00000000:AAAA", "\x01box1:", "\x01", f"box1:{ring.keys.key_ids()[:1]}:AAAA"]
    desk.take(*(request(f"w-{n}", note=note) for n, note in enumerate(notes)))
    assert [told(desk, f"w-{n}")[0] for n in range(len(notes))] == notes
    rotate_key(desk.ledger, ring.keys)
    assert [told(desk, f"w-{n}")[0] for n in range(len(notes))] == notes


def test_an_older_ledger_with_such_a_note_keeps_it(tmp_path: Path) -> None:
    engine = open_engine("sqlite:///older.db", tmp_path)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(schema, "HEAD", "0001")
            schema.upgrade(engine)
        with writing(engine) as connection:
            values = {"id": 1, "request_id": "'w-1'", "content": "''", "note": "'box1:x'", "customer": "'c'"}
            values |= dict.fromkeys(("asset", "chain", "base_units", "destination", "source", "state"), "'approved'")
            values |= {"base_units": "'1'", "decimals": 8, "turn": 1, "created_at": 1, "updated_at": 1}
            values |= {"fee_units": "'0'", "fee_value": "'0'"}
            names, given = ", ".join(values), ", ".join(map(str, values.values()))
            connection.execute(text(f"insert into withdrawal ({names}) values ({given})"))
            policy = "insert into decision (withdrawal_id, turn, at, outcome, voices, policy)"
            connection.execute(text(f"{policy} values (1, 1, 1, 'allow', '[]', '')"))
        schema.upgrade(engine)
        assert told(desk_of(engine, Ring()), "w-1")[0] == "box1:x"
    finally:
        engine.dispose()


# -- keys that are missing -------------------------------------------------------------------------------------------


def test_nobody_needs_a_key_who_does_not_look_inside(engine: Engine) -> None:
    desk_of(engine, ring_with_a_key()).take(personal("w-1"))
    found = list(desk_of(engine, Ring("no key at all")).ledger.withdrawals(Wanted()))
    assert isinstance(found[0].request.note, Sealed)
    assert NOTE not in repr(found[0]) + str(found[0].request)


@pytest.mark.parametrize("other", [Ring(), ring_with_a_key()], ids=["none", "another"])
def test_once_sealed_nothing_is_kept_in_clear_or_under_another_key(engine: Engine, other: Ring) -> None:
    ring = ring_with_a_key()
    desk_of(engine, ring).take(personal("w-1"))
    desk, (key,) = desk_of(engine, other), ring.keys.key_ids()
    said = f"sealed with the key {key}.*`cryptosupport keys set personal-data`"
    with pytest.raises(BadSettings, match=said):
        desk.take(personal("w-2"))
    with pytest.raises(BadSettings, match=said):
        write_about(desk, "w-1")
    with pytest.raises(BadSettings, match=said):
        told(desk, "w-1")
    with pytest.raises(BadSettings, match=said):
        rotate_key(desk.ledger, other.keys)
    assert desk.recorded("w-1", "w-2") == ["approved", "absent"]
    assert desk.states(request("plain")) == ["approved"], "what has nothing personal needs no key"
    assert (other.warned, [kind for kind, _, _ in acts(engine)]) == (0, ["privacy.enabled"])


# -- moved and changed -----------------------------------------------------------------------------------------------


def test_what_is_moved_to_another_row_or_column_does_not_open(engine: Engine) -> None:
    desk = desk_of(engine, ring_with_a_key())
    desk.take(personal("w-1"), personal("w-2"))
    for number in (1, 2):
        write_about(desk, "w-1", number)
    mine, other = row(engine, "w-1"), row(engine, "w-2")
    with reading(engine) as connection:
        written = connection.scalars(select(N.text).order_by(N.number)).all()
    for name, value in (
        *(("note", each) for each in (other.note, mine.beneficiary, mine.signed.decode(), written[0])),
        *(("beneficiary", each) for each in (other.beneficiary, mine.note, "box1:", mine.beneficiary[:-4])),
        *(("signed", each) for each in (other.signed, mine.note.encode(), b"box1:\xff\xfe", mine.signed + b"=")),
    ):
        change(engine, **{name: value})
        with pytest.raises(Tampered, match=f"withdrawal.{name} of w-1 was changed"):
            told(desk, "w-1")
        change(engine, **{name: getattr(mine, name)})
    assert told(desk, "w-1") == wanted("w-1", WRITTEN, WRITTEN)
    with writing(engine) as connection:
        connection.execute(update(tables.note).where(N.number == 2).values(text=written[0]))
    with pytest.raises(Tampered, match=r"note.text of 2/w-1"):
        told(desk, "w-1")


# -- rotation --------------------------------------------------------------------------------------------------------


def test_a_rotation_seals_everything_anew_and_keeps_the_old_key(engine: Engine) -> None:
    ring = Ring()
    desk_of(engine, ring).take(personal("clear"))
    first = ring.keys.make()
    desk = desk_of(engine, ring)
    desk.take(personal("w-1"), request("plain"))
    write_about(desk, "w-1")
    before = status_record(desk.ledger, ring.keys)
    assert before == {
        "key": first, "rotating": False, "keys": [first], "clear": 3, "sealed": {first: 4}, "missing": []
    }  # fmt: skip
    rotated = rotate_key(desk.ledger, ring.keys, "operator alice")
    second = rotated.key_id
    assert (rotated.before, rotated.sealed, rotated.unopened, rotated.forgotten) == (first, 7, (), ())
    assert status_record(desk.ledger, ring.keys) == before | {
        "key": second, "keys": [second, first], "clear": 0, "sealed": {second: 7}
    }  # fmt: skip
    assert told(desk, "w-1") == wanted("w-1", WRITTEN)
    assert told(desk, "clear") == wanted("clear")
    assert acts(engine) == [
        ("privacy.enabled", PROGRAM, {"key": first}),
        ("privacy.rotating", "operator alice", {"key": second, "before": first}),
        ("privacy.rotated", "operator alice", {"key": second, "sealed": "7"}),
    ]


def test_forgotten_keys_are_gone_when_nothing_needs_them(engine: Engine) -> None:
    ring = ring_with_a_key()
    desk = desk_of(engine, ring)
    desk.take(personal("w-1"), personal("w-2"))
    (old,) = ring.keys.key_ids()
    damaged = row(engine, "w-1").note
    change(engine, note=row(engine, "w-2").note)
    with pytest.raises(Refused, match=rf"old keys are still needed \(1 under {old}\) and were kept"):
        rotate_key(desk.ledger, ring.keys, forget_old=True)
    again = rotate_key(desk.ledger, ring.keys)
    assert [where for where, _ in again.unopened] == ["withdrawal.note/w-1"]
    assert ring.keys.key_ids() == (again.key_id, old), "the same rotation, not one more"
    change(engine, note=damaged)
    done = rotate_key(desk.ledger, ring.keys, forget_old=True)
    assert (done.key_id, done.sealed, done.unopened, done.forgotten) == (again.key_id, 1, (), (old,))
    assert ring.keys.key_ids() == (done.key_id,)
    assert told(desk_of(engine, ring), "w-1") == wanted("w-1")
    assert acts(engine)[-1] == ("privacy.forgotten", PROGRAM, {"keys": old, "key": done.key_id})


def test_a_key_that_was_put_in_front_by_hand_is_taken(engine: Engine) -> None:
    ring = ring_with_a_key()
    desk = desk_of(engine, ring)
    desk.take(personal("w-1"))
    new = ring.keys.make()
    desk_of(engine, ring).take(personal("w-2"))
    assert status_record(desk.ledger, ring.keys)["sealed"].keys() == {ring.keys.key_ids()[1]}, "it is not in force yet"
    assert rotate_key(desk.ledger, ring.keys).key_id == new
    assert len(ring.keys.key_ids()) == 2


def test_who_began_before_a_rotation_seals_with_the_new_key_after_it(engine: Engine) -> None:
    ring = ring_with_a_key()
    long_running = desk_of(engine, ring)
    long_running.take(personal("w-1"))
    done = rotate_key(desk_of(engine, ring).ledger, ring.keys, forget_old=True)
    long_running.take(personal("w-2"))
    assert status_record(long_running.ledger, ring.keys)["sealed"] == {done.key_id: 6}
    assert told(long_running, "w-1") == wanted("w-1")


class Killed(BaseException):
    """The process died here."""


@contextmanager
def dying(engine: Engine, ring: Ring, fatal: int) -> Iterator[Callable[[], int]]:
    """Die at the point with this number (0: never): any statement, before and after any commit, any keyring write."""
    passed = itertools.count(1)
    last = [0]

    def reach(*_: object) -> None:
        last[0] = next(passed)
        if last[0] == fatal:
            raise Killed

    before, event_names = ring.reach, ("before_cursor_execute", "commit")
    ring.reach = reach
    for name in event_names:
        event.listen(engine, name, reach)
    try:
        yield lambda: last[0]
    finally:
        ring.reach = before
        for name in event_names:
            event.remove(engine, name, reach)


def test_a_rotation_that_dies_anywhere_is_run_again_and_is_whole(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "AT_ONCE", 2)
    ring = Ring()
    desk_of(engine, ring).take(personal("clear"))
    ring.keys.make()
    desk = desk_of(engine, ring)
    desk.take(personal("w-0"), personal("w-1"))
    write_about(desk, "w-1")
    everyone = ["clear", "w-0", "w-1"]
    whole = {each: told(desk, each) for each in everyone}
    deaths = 0
    for fatal in itertools.count(1):
        held = ring.keys.key_ids()
        with dying(engine, ring, fatal):
            try:
                rotate_key(desk_of(engine, ring).ledger, ring.keys, forget_old=True)
            except Killed:
                deaths += 1
            else:
                break
        now = desk_of(engine, ring)
        assert {each: told(now, each) for each in everyone} == whole, f"dead at {fatal}, nothing is lost"
        done = rotate_key(now.ledger, ring.keys, forget_old=True)
        status = status_record(now.ledger, ring.keys)
        assert status == {
            "key": done.key_id, "rotating": False, "keys": [done.key_id], "clear": 0, "sealed": {done.key_id: 10},
            "missing": [],
        }, f"dead at {fatal}"  # fmt: skip
        assert {each: told(desk_of(engine, ring), each) for each in everyone} == whole
        assert held[0] not in ring.keys.key_ids()
    assert deaths > 20


def test_submits_in_parallel_lose_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "AT_ONCE", 10)
    ring = ring_with_a_key()
    desk_of(engine, ring).take(*(personal(f"old-{n}") for n in range(20)))
    stop, faults, taken = threading.Event(), list[BaseException](), list[str]()

    def submit(name: str) -> None:
        desk = desk_of(engine, ring)  # one run, from before the rotations until after them
        try:
            for n in itertools.count():
                desk.take(personal(f"{name}-{n}"))
                taken.append(f"{name}-{n}")
                if stop.is_set():
                    return
        except BaseException as fault:
            faults.append(fault)
            raise

    threads = [threading.Thread(target=submit, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            rotate_key(desk_of(engine, ring).ledger, ring.keys, forget_old=True)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert faults == []
    last = rotate_key(desk_of(engine, ring).ledger, ring.keys, forget_old=True)
    desk = desk_of(engine, ring)
    everyone = [*taken, *(f"old-{n}" for n in range(20))]
    assert [told(desk, each) for each in everyone] == [wanted(each) for each in everyone]
    assert status_record(desk.ledger, ring.keys)["sealed"] == {last.key_id: 3 * len(everyone)}


def test_a_beneficiary_that_is_sealed_shows_what_rules_ask_for(engine: Engine) -> None:
    desk = desk_of(engine, ring_with_a_key())
    desk.take(personal("w-1"))
    recorded = desk.ledger.withdrawal("w-1")
    assert recorded is not None
    assert isinstance(recorded.request.beneficiary, Sealed)
    assert evidence_of(recorded.request)["beneficiary"].given is True
    assert recorded.request.beneficiary.open() == Beneficiary("xochitlname w-1", self_hosted=True)
