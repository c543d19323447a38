"""What is frozen waits, takes nobody's place, and goes on when two people have lifted it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from cryptosupport.desk.freeze import Lifted, freeze_all_of, lift, list_freezes, overdue, take_file
from cryptosupport.desk.run_once import run_once
from cryptosupport.domain.errors import Frozen, NoSuchRecord, Refused
from cryptosupport.domain.freezes import FileLine, Freeze, Scope, read_lines, read_scope
from cryptosupport.domain.operators import Role
from cryptosupport.domain.policy.decision import FREEZE, Outcome, Voice
from cryptosupport.domain.policy.rules import Per
from tests.desk.deskkit import ETH, HOUR, START, Desk, policy, request, rule, sums
from tests.desk.peoplekit import Hand, enrol, guarded, hand, nobody, operator, people_of, remove, say

OpenDesk = Callable[..., Desk]
PERMIT = rule("permit", allow=True)
CHECKSUMMED = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
SEGWIT = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"


@pytest.fixture
def desk(desk_with: OpenDesk) -> Desk:
    return desk_with(policy(PERMIT))


def freeze(desk: Desk, *scopes: str, by: str = "alice", id: str | None = None, **facts: int) -> list[Freeze]:
    wanted = [
        Freeze(id or f"{scope}-{desk.clock.at}", read_scope(scope), "a drill", by, True, 0, "operator", **facts)
        for scope in scopes
    ]
    return freeze_all_of(desk.ledger, wanted)


def lifts(desk: Desk, scope: str, *names: str) -> list[Lifted]:
    """Each asks in turn; what came of the last."""
    people = people_of(desk)
    for name in names:
        done = lift(desk.ledger, people, [read_scope(scope)], name, hand(name))
    return done


def counting(desk: Desk) -> list[str]:
    with desk.ledger.look() as records:
        return [each.scope.text for each in records.freezes()]


def file_says(desk: Desk, text: str, at: int = START) -> list[str]:
    """What a run sees of the freeze file; what is frozen then."""
    with desk.ledger.act() as records:
        take_file(records, read_lines(text, at))
    return counting(desk)


def test_a_file_that_cannot_be_read_freezes_again_a_day_after_it_was_lifted(desk: Desk) -> None:
    def seen() -> list[str]:
        with desk.ledger.act() as records:
            take_file(records, [FileLine(None, Scope("all"), "it cannot be read", 7, unread=True)])
        return counting(desk)

    for _ in range(3):
        assert seen() == seen() == ["all"]
        lift(desk.ledger, nobody(desk), [Scope("all")], "ann", hand("alice"))
        lift(desk.ledger, nobody(desk), [Scope("all")], "ben", hand("alice"))
        desk.clock.at += 24 * HOUR - 1
        assert seen() == []
        desk.clock.at += 1
    assert seen() == ["all"]


# -- what a freeze covers --------------------------------------------------------------------------------------------

BITCOIN = request("on bitcoin")
ETHEREUM = request("on ethereum", asset=ETH, chain="ethereum", customer="c2", destination=CHECKSUMMED)


@pytest.mark.parametrize(
    ("scope", "waiting"),
    [
        ("all", ["on bitcoin", "on ethereum"]),
        ("chain=bitcoin", ["on bitcoin"]),
        ("chain=bsc", []),
        ("asset=ETH", ["on ethereum"]),
        ("asset=eth", []),
        ("wallet=hot-eth", ["on ethereum"]),
        ("wallet=hot", []),
        ("customer=c2", ["on ethereum"]),
        ("customer=c", []),
        ("destination=d1", ["on bitcoin"]),
        (f"destination={CHECKSUMMED}", ["on ethereum"]),
        (f"destination={CHECKSUMMED.lower()}", ["on ethereum"]),
        (f"destination={CHECKSUMMED.upper().replace('X', 'x')}", ["on ethereum"]),
        (f"destination={CHECKSUMMED[2:]}", ["on ethereum"]),
        ("destination=TJCnKsPa7y5okkXvQAidZBzqx3QyQ6sxMW", []),
    ],
)
def test_a_freeze_stops_what_it_covers_and_nothing_else(desk: Desk, scope: str, waiting: list[str]) -> None:
    freeze(desk, scope)
    taken = desk.take(BITCOIN, ETHEREUM)
    assert [each.request.request_id for each in taken if each.state == "waiting"] == waiting
    assert {each.state.value for each in taken} <= {"waiting", "approved"}
    for each in taken:
        spoke = [voice for voice in each.decision.voices if voice.rule == FREEZE]
        assert [voice.outcome for voice in spoke] == [Outcome.WAIT] * (each.request.request_id in waiting)


def test_bech32_in_capitals_is_the_same_destination(desk: Desk) -> None:
    freeze(desk, f"destination={SEGWIT.upper()}")
    assert desk.states(request("w-1", destination=SEGWIT)) == ["waiting"]


def test_a_denied_request_is_denied_and_a_held_one_held_under_a_freeze_too(desk_with: OpenDesk) -> None:
    dear = rule("dear", amount="5", match={"asset": "BTC"}, on_exceed=Outcome.HOLD)
    desk = desk_with(policy(PERMIT, dear, rule("no", deny=True, match={"customer": "bad"})))
    freeze(desk, "all")
    assert desk.states(request("1", customer="bad"), request("2", "6"), request("3")) == ["rejected", "held", "waiting"]


def test_what_waits_goes_on_after_two_have_lifted_it(desk: Desk) -> None:
    enrol(desk)
    freeze(desk, "chain=bitcoin")
    assert desk.states(request("w-1")) == ["waiting"]
    assert lifts(desk, "chain=bitcoin", "alice")[0].missing == 1
    assert run_once(desk.ledger, desk.premises) == []
    assert lifts(desk, "chain=bitcoin", "bob")[0].missing == 0
    assert [each.state for each in run_once(desk.ledger, desk.premises)] == ["approved"]


def test_the_same_request_waits_for_each_freeze_that_covers_it(desk: Desk) -> None:
    freeze(desk, "chain=bitcoin", "asset=BTC")
    (taken,) = desk.take(request("w-1"))
    assert len([voice for voice in taken.decision.voices if voice.rule == FREEZE]) == 2
    enrol(desk)
    lifts(desk, "asset=BTC", "alice", "bob")
    run_once(desk.ledger, desk.premises)
    assert desk.recorded("w-1") == ["waiting"]


def test_who_waits_for_a_freeze_takes_no_room_of_a_queue_from_others(desk_with: OpenDesk) -> None:
    hour = rule("hour", amount="4", hours=1, on_exceed=Outcome.WAIT, match={"asset": "BTC"})
    desk = desk_with(policy(PERMIT, hour))
    freeze(desk, "customer=c1")
    assert desk.states(request("1", "4"), request("2", "4", customer="c2")) == ["waiting", "approved"]
    enrol(desk)
    lifts(desk, "customer=c1", "alice", "bob")
    assert run_once(desk.ledger, desk.premises) == []  # there is no room now
    desk.clock.at += HOUR
    assert [each.request.request_id for each in run_once(desk.ledger, desk.premises)] == ["1"]


def test_who_waited_before_the_freeze_leaves_room_meanwhile_and_keeps_the_place(desk_with: OpenDesk) -> None:
    hour = rule("hour", amount="4", hours=1, on_exceed=Outcome.WAIT)
    desk = desk_with(policy(PERMIT, hour))
    assert desk.states(request("full", "4", customer="c0")) == ["approved"]
    assert desk.states(request("1", "4"), request("2", "4", customer="c2")) == ["waiting", "waiting"]
    freeze(desk, "customer=c1")
    desk.clock.at += HOUR
    assert [each.request.request_id for each in run_once(desk.ledger, desk.premises)] == ["2"]
    enrol(desk)
    lifts(desk, "customer=c1", "alice", "bob")
    assert desk.states(request("3", "4", customer="c3")) == ["waiting"]
    run_once(desk.ledger, desk.premises)
    desk.clock.at += HOUR
    assert [each.request.request_id for each in run_once(desk.ledger, desk.premises)] == ["1"]


def test_who_waits_for_a_freeze_counts_in_their_own_limits(desk_with: OpenDesk) -> None:
    desk = desk_with(policy(PERMIT, rule("own", "4", hours=1, per=Per.CUSTOMER)))
    freeze(desk, "all")
    assert desk.states(request("1", "3"), request("2", "3")) == ["waiting", "rejected"]


def test_a_freeze_and_its_end_leave_the_sums_as_they_would_have_been(desk_with: OpenDesk, engine: Engine) -> None:
    limits = rule("hour", "4", hours=1, on_exceed=Outcome.WAIT), rule("own", "9", hours=1, per=Per.CUSTOMER)
    desk = desk_with(policy(PERMIT, *limits))
    enrol(desk)
    freeze(desk, "all")
    desk.take(request("1", "3"))
    lifts(desk, "all", "alice", "bob")
    run_once(desk.ledger, desk.premises)
    assert desk.recorded("1") == ["approved"]
    assert {(booked, waiting) for booked, waiting in sums(desk).values()} == {("3", "0")}


# -- people ----------------------------------------------------------------------------------------------------------

EYES = policy(PERMIT, rule("eyes", approvals=1), rule("odd", "9", on_exceed=Outcome.HOLD))


@pytest.fixture
def eyes(desk_with: OpenDesk) -> Desk:
    """A desk with people, where one request waits for approval and one is held."""
    desk = desk_with(EYES)
    enrol(desk)
    assert desk.states(request("w-1"), request("w-2", "10")) == ["awaiting_approval", "held"]
    return desk


@pytest.mark.parametrize(("action", "name", "by"), [("approve", "w-1", "bob"), ("release", "w-2", "carol")])
def test_nothing_frozen_is_approved_or_released(eyes: Desk, action: str, name: str, by: str) -> None:
    freeze(eyes, "customer=c1")
    before = eyes.recorded(name)
    with pytest.raises(Frozen, match=r"customer=c1 since .* by alice: a drill") as refused:
        say(eyes, people_of(eyes), action, name, by, "fine")
    assert refused.value.exit_code == 3
    assert eyes.recorded(name) == before
    assert counting(eyes) == ["customer=c1"]


@pytest.mark.parametrize(("action", "name", "by"), [("approve", "w-1", "bob"), ("release", "w-2", "carol")])
def test_what_an_approver_sees_in_the_file_is_kept_though_it_is_refused(
    eyes: Desk, action: str, name: str, by: str
) -> None:
    with_file = guarded(eyes, freeze_file=lambda: read_lines("all\n", START))
    with pytest.raises(Frozen):
        say(with_file, people_of(eyes), action, name, by, "fine")
    assert counting(eyes) == ["all"]
    with pytest.raises(Frozen):  # the file is gone
        say(eyes, people_of(eyes), action, name, by, "fine")


def test_what_is_frozen_can_be_rejected(eyes: Desk) -> None:
    freeze(eyes, "all")
    assert say(eyes, people_of(eyes), "reject", "w-1", "bob", "no").withdrawal.state == "rejected"


def test_the_same_person_twice_lifts_nothing(desk: Desk) -> None:
    enrol(desk)
    freeze(desk, "all")
    for _ in range(3):
        (asked,) = lifts(desk, "all", "alice")
        assert (asked.by, asked.missing, asked.freeze.lifted_at) == (("alice",), 1, None)
    assert counting(desk) == ["all"]


def test_only_people_who_are_trusted_lift(desk: Desk) -> None:
    people = enrol(desk)
    freeze(desk, "all")
    extra = {"mallory": operator("mallory", Role.SUPPORT, Role.INTAKE)}
    with_support = replace(people, operators=replace(people.operators, people={**people.operators.people, **extra}))
    with pytest.raises(Refused, match="mallory has the role intake, support"):
        lift(desk.ledger, with_support, [Scope("all")], "mallory", hand("mallory"))
    with pytest.raises(Refused, match="mallory is no operator"):
        lift(desk.ledger, people, [Scope("all")], "mallory", hand("mallory"))
    with pytest.raises(Refused, match="does not count"):
        lift(desk.ledger, people, [Scope("all")], "bob", hand("mallory"))
    assert counting(desk) == ["all"]


def test_a_word_of_somebody_who_may_no_longer_say_it_does_not_count(desk: Desk) -> None:
    people = enrol(desk)
    freeze(desk, "all")
    lifts(desk, "all", "alice")
    left = {name: each for name, each in people.operators.people.items() if name != "alice"}
    without = replace(people, operators=replace(people.operators, people=left))
    (asked,) = lift(desk.ledger, without, [Scope("all")], "bob", hand("bob"))
    assert (asked.by, asked.missing) == (("bob",), 1)


def test_who_was_removed_while_the_key_was_touched_lifts_nothing(desk: Desk) -> None:
    before = enrol(desk)
    freeze(desk, "all")
    lifts(desk, "all", "alice")
    remove(desk, "bob", "alice", "carol")
    with pytest.raises(Refused, match="the operators changed meanwhile"):
        lift(desk.ledger, before, [Scope("all")], "bob", hand("bob"))
    assert counting(desk) == ["all"]
    assert lifts(desk, "all", "dave")[0].missing == 0


def test_without_operators_two_names_lift(desk: Desk) -> None:
    freeze(desk, "all")
    for name, missing in (("ann", 1), ("ann", 1), ("ben", 0)):
        (asked,) = lift(desk.ledger, nobody(desk), [Scope("all")], name, hand("alice"))
        assert asked.missing == missing
    assert counting(desk) == []


def test_names_that_were_only_said_do_not_count_once_there_are_operators(desk: Desk) -> None:
    freeze(desk, "all")
    lift(desk.ledger, nobody(desk), [Scope("all")], "alice", hand("alice"))
    enrol(desk)
    assert lifts(desk, "all", "bob")[0].missing == 1


def test_a_statement_that_is_replayed_lifts_no_later_freeze(desk: Desk) -> None:
    enrol(desk)
    freeze(desk, "all", id="one")
    hands = {name: hand(name) for name in ("alice", "bob")}
    for name in hands:
        lift(desk.ledger, people_of(desk), [Scope("all")], name, hands[name])
    assert counting(desk) == []
    freeze(desk, "all", id="two")
    for name, used in hands.items():
        again = Hand(used.private, instead=used.signed[0])
        with pytest.raises(Refused, match="signed something else than to lift this"):
            lift(desk.ledger, people_of(desk), [Scope("all")], name, again)
    assert counting(desk) == ["all"]


def test_who_wanted_it_lifted_before_something_new_was_found_does_not_count_for_that(desk: Desk) -> None:
    enrol(desk)
    freeze(desk, "all", id="one")
    lifts(desk, "all", "alice")
    (made,) = freeze(desk, "all", id="two", by="carol")
    assert made.id == "two"
    lifted = {each.freeze.id: each.missing for each in lifts(desk, "all", "bob")}
    assert lifted == {"one": 0, "two": 1}
    assert counting(desk) == ["all"]


def test_what_is_frozen_already_is_not_frozen_twice(desk: Desk) -> None:
    freeze(desk, "all", id="one")
    (made,) = freeze(desk, "all", id="two", by="bob")
    assert (made.id, made.by) == ("one", "alice")
    assert counting(desk) == ["all"]
    freeze(desk, f"destination={CHECKSUMMED}", id="three")
    assert freeze(desk, f"destination={CHECKSUMMED.lower()}", id="four")[0].id == "three"


@pytest.mark.parametrize("scope", ["chain=bsc", "all", "asset=btc"])
def test_what_is_not_frozen_is_not_lifted(desk: Desk, scope: str) -> None:
    freeze(desk, "asset=BTC")
    with pytest.raises(NoSuchRecord, match="is not frozen; frozen now: asset=BTC"):
        lift(desk.ledger, nobody(desk), [Scope("asset", "BTC"), read_scope(scope)], "ann", hand("alice"))
    with desk.ledger.look() as records:
        assert records.statements("lift", "asset=BTC-" + str(START)) == []


def test_a_destination_is_lifted_in_any_spelling(desk: Desk) -> None:
    freeze(desk, f"destination={CHECKSUMMED}")
    for name in ("ann", "ben"):
        lift(desk.ledger, nobody(desk), [read_scope(f"destination={CHECKSUMMED.lower()}")], name, hand("alice"))
    assert counting(desk) == []


def test_a_freeze_that_is_over_counts_until_two_lift_it(desk: Desk) -> None:
    freeze(desk, "all", expires_at=START + HOUR)
    desk.clock.at += HOUR - 1
    with desk.ledger.look() as records:
        assert overdue(records.freezes(), records.now) == []
    desk.clock.at += 1
    with desk.ledger.look() as records:
        (warning,) = overdue(records.freezes(), records.now)
    assert warning.startswith("all was to be frozen until 2026-09-21T15:13:20Z, and still is: two people lift it")
    assert desk.states(request("w-1")) == ["waiting"]
    run_once(desk.ledger, desk.premises)
    assert desk.recorded("w-1") == ["waiting"]
    (told,) = list_freezes(desk.ledger, lambda: nobody(desk), lifted=False)
    assert told["expired"] is True


# -- the file --------------------------------------------------------------------------------------------------------


def test_what_a_run_has_seen_in_the_file_stays_when_the_file_is_gone(desk: Desk) -> None:
    with_file = guarded(desk, freeze_file=lambda: read_lines("asset=BTC depeg\n", START))
    run_once(with_file.ledger, with_file.premises)
    assert desk.states(request("w-1")) == ["waiting"]
    run_once(desk.ledger, desk.premises)
    assert desk.recorded("w-1") == ["waiting"]
    (told,) = list_freezes(desk.ledger, lambda: nobody(desk), lifted=False)
    assert (told["by"], told["source"], told["proven"], told["reason"]) == ("freeze file", "file", False, "depeg")


def test_a_line_that_was_lifted_does_not_freeze_again_and_one_written_later_does(desk: Desk) -> None:
    enrol(desk)
    assert file_says(desk, "all\n") == ["all"]
    lifts(desk, "all", "alice", "bob")
    assert file_says(desk, "all\n") == []  # the same file, on whatever machine still has it
    assert file_says(desk, "all\n", START + 1) == ["all"]


def test_a_line_of_the_program_is_known_by_its_id_on_every_machine(desk: Desk) -> None:
    enrol(desk)
    line = "00112233aabbccdd all a drill\n"
    assert file_says(desk, line) == ["all"]
    assert file_says(desk, line, START + 77) == ["all"]
    lifts(desk, "all", "alice", "bob")
    assert file_says(desk, line, START + 99) == []


def test_a_line_of_the_program_that_somebody_edits_freezes_what_it_says_now(desk: Desk) -> None:
    assert file_says(desk, "00112233aabbccdd asset=BTC a drill\n") == ["asset=BTC"]
    assert sorted(file_says(desk, "00112233aabbccdd all a drill\n")) == ["all", "asset=BTC"]


def test_killed_between_file_and_ledger_the_next_run_freezes_it(desk: Desk) -> None:
    assert file_says(desk, "00112233aabbccdd asset=BTC a drill\n") == ["asset=BTC"]
    (made,) = freeze(desk, "asset=BTC", id="00112233aabbccdd")  # it was not killed after all, only slow
    assert (made.id, made.by, made.source) == ("00112233aabbccdd", "alice", "operator")
    assert counting(desk) == ["asset=BTC"]


def test_a_rule_of_a_freeze_is_told_in_words(desk: Desk) -> None:
    freeze(desk, "chain=bitcoin")
    (taken,) = desk.take(request("w-1"))
    said = "frozen: chain=bitcoin since 2026-09-21T14:13:20Z by alice: a drill"
    assert Voice(FREEZE, Outcome.WAIT, said) in taken.decision.voices
