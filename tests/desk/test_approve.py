"""People approve, reject, release and hold: who may not, and what was not signed for this, counts for nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from cryptosupport.desk.approve import speak, who_said
from cryptosupport.desk.cancel import cancel
from cryptosupport.desk.change_desk import draft_of, propose, sign, without_operator
from cryptosupport.desk.people import People, same_versions
from cryptosupport.desk.run_once import run_once
from cryptosupport.desk.take_in import Intake, Line
from cryptosupport.domain.errors import BadSettings, NoSuchRecord, Refused
from cryptosupport.domain.money import Quantity
from cryptosupport.domain.operators import OPERATORS, Operators, Role
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.policy.rules import Per
from cryptosupport.domain.statements import Signed, Statement
from cryptosupport.domain.withdrawals import Signature, State, Withdrawal, intent
from cryptosupport.outside.sshkeys import public_line
from cryptosupport.outside.sshsig import sign as sign_bytes
from tests.desk.auditkit import entries, verified
from tests.desk.deskkit import HOUR, Desk, policy, request, rule, sums
from tests.desk.peoplekit import FRESH, KEYS, A, Hand, I, O, enrol, hand, nobody, operator, people_of, say

EYES = rule("eyes", above_amount=Quantity(1, 0), approvals=1)
FOUR_EYES = rule("four eyes", above_amount=Quantity(5, 0), approvals=2)
CAREFUL = rule("careful", "20", match={"country": "DE"}, require=("identity",), on_exceed=Outcome.HOLD)
RULES = (rule("hour", "20", hours=1), EYES, FOUR_EYES, CAREFUL)


@pytest.fixture
def desk(desk_with: Callable[..., Desk]) -> Desk:
    """A desk where more than 1 takes one approval, more than 5 two, and Germans are held."""
    return desk_with(policy(*RULES))


@pytest.fixture
def people(desk: Desk) -> People:
    """Alice and bob approve, carol is compliance, dave both."""
    return enrol(desk)


def brought(
    desk: Desk, name: str, amount: str = "2", maker: str | None = "alice", proven: bool = True, **rest: Any
) -> Withdrawal:
    """A request that somebody brought."""
    line = Line(1, name, request(name, amount, **rest), "file", maker)
    (taken,) = Intake(desk.ledger, desk.premises, proven=proven, due=2**62).take_in([[line]])
    assert isinstance(taken.result, Withdrawal)
    return taken.result


def signed_for(desk: Desk, by: str, action: str, subject: str, **other: Any) -> Signed:
    """A statement with a good signature of ``by``."""
    with desk.ledger.look() as records:
        facts: dict[str, Any] = {"at": records.now, "ledger": records.ledger_id, "operator": by} | other
    statement = Statement(action, subject, **facts)
    return Signed(statement, sign_bytes(KEYS[by], statement.signed))


def handed_in(desk: Desk, people: People, by: str, signed: Signed, action: str = "approve", name: str = "w-1") -> Any:
    """What comes of a statement that is handed in in the name of ``by``."""
    return speak(desk.ledger, desk.premises, people, name, action, by, Hand(KEYS[by], signed))


def subject_of(desk: Desk, people: People, name: str = "w-1") -> str:
    found = desk.ledger.withdrawal(name)
    assert found is not None
    return intent(found, people.operators.version)


# -- who may ---------------------------------------------------------------------------------------------------------


def test_one_other_person_approves_what_a_proven_maker_brought(desk: Desk, people: People) -> None:
    assert brought(desk, "w-1").state is State.AWAITING_APPROVAL
    spoken = say(desk, people, "approve", "w-1", "bob")
    assert (spoken.withdrawal.state, spoken.by, spoken.missing) == (State.APPROVED, ("bob",), 0)


def test_the_maker_never_counts(desk: Desk, people: People) -> None:
    brought(desk, "w-1")
    with pytest.raises(Refused, match="alice brought w-1: somebody else"):
        say(desk, people, "approve", "w-1", "alice")
    assert desk.recorded("w-1") == ["awaiting_approval"]


@pytest.mark.parametrize("maker", [None, "somebody", "alice"])
def test_an_unproven_maker_needs_one_more_person(desk: Desk, people: People, maker: str | None) -> None:
    brought(desk, "w-1", maker=maker, proven=False)
    assert say(desk, people, "approve", "w-1", "bob").missing == 1
    assert say(desk, people, "approve", "w-1", "bob").missing == 1  # the same person once more is one person
    assert desk.recorded("w-1") == ["awaiting_approval"]
    assert say(desk, people, "approve", "w-1", "dave").withdrawal.state is State.APPROVED


def test_a_maker_who_signs_requests_with_the_own_key_is_known_by_it(desk: Desk) -> None:
    enrol(desk)
    people = people_of(desk, {"backend": public_line(KEYS["bob"])})
    assert not keyed(desk, people).proven
    with pytest.raises(Refused, match="bob brought w-1"):
        say(desk, people, "approve", "w-1", "bob")
    hexadecimal = people_of(desk, {"backend": KEYS["bob"].public_key().public_bytes_raw().hex()})
    with pytest.raises(Refused, match="bob brought w-1"):
        say(desk, hexadecimal, "approve", "w-1", "bob")
    assert say(desk, people, "approve", "w-1", "alice").missing == 1
    assert say(desk, people, "approve", "w-1", "dave").withdrawal.state is State.APPROVED


def keyed(desk: Desk, people: People) -> Withdrawal:
    """A request that the key backend signed."""
    asked = replace(request("w-1", "2"), signature=Signature("backend", "x"), signed=b"{}")
    intake = Intake(desk.ledger, desk.premises, vouched=people.vouched, due=2**62)
    (taken,) = intake.take_in([[Line(1, "w-1", asked, "file")]])
    assert isinstance(taken.result, Withdrawal)
    return taken.result


def test_a_key_that_two_vouched_for_proves_the_maker(desk: Desk) -> None:
    everyone = {name: operator(name) for name in ("alice", "bob")}
    backend = replace(operator("mallory", I), name="backend")
    key = {"backend": KEYS["mallory"].public_key().public_bytes_raw().hex()}
    before = replace(nobody(desk), intake=key)
    draft = draft_of({}, {**everyone, "backend": backend}, "file")
    propose(desk.ledger, before, draft, "alice", hand("alice"), 0)
    sign(desk.ledger, before, OPERATORS, "bob", hand("bob"))
    people = people_of(desk, key)
    assert keyed(desk, people).proven
    assert say(desk, people, "approve", "w-1", "bob").withdrawal.state is State.APPROVED


@pytest.mark.parametrize(
    ("name", "role", "key"), [("backend", O, "mallory"), ("other", I, "mallory"), ("backend", I, "dave")]
)
def test_no_other_key_proves_a_maker(desk: Desk, name: str, role: Role, key: str) -> None:
    """Whoever can write desk.toml could name a key of their own there."""
    enrol(desk)
    people = people_of(desk, {"backend": public_line(KEYS[key])})
    vouching = replace(operator("mallory", role), name=name)
    people = replace(people, operators=Operators({**people.operators.people, name: vouching}, people.operators.version))
    assert people.vouched == set()
    assert not keyed(desk, people).proven


def test_two_different_people_are_needed_where_two_are_asked_for(desk: Desk, people: People) -> None:
    brought(desk, "w-1", "6", maker="backend")
    assert [say(desk, people, "approve", "w-1", name).missing for name in ("bob", "bob")] == [1, 1]
    assert say(desk, people, "approve", "w-1", "alice").withdrawal.state is State.APPROVED


@pytest.mark.parametrize(
    ("action", "by", "why"),
    [
        ("approve", "carol", "carol has the role compliance, policy, and this takes approver"),
        ("release", "bob", "bob has the role approver, policy, and this takes compliance"),
        ("approve", "mallory", "mallory is no operator of this desk: alice, bob, carol, dave"),
        ("reject", "mallory", "mallory is no operator"),
        ("hold", "mallory", "mallory is no operator"),
    ],
)
def test_the_wrong_role_is_refused_before_anybody_signs(
    desk: Desk, people: People, action: str, by: str, why: str
) -> None:
    brought(desk, "w-1")
    signing = hand(by)
    with pytest.raises(Refused, match=why) as told:
        speak(desk.ledger, desk.premises, people, "w-1", action, by, signing)
    assert told.value.exit_code == 3
    assert signing.signed == []


def test_who_was_removed_since_no_longer_counts(desk: Desk, people: People) -> None:
    brought(desk, "w-1", "6", maker="backend")
    say(desk, people, "approve", "w-1", "bob")
    left = without_operator(people.operators.people, "bob")
    propose(desk.ledger, people, draft_of(people.operators.people, left, "file"), "alice", hand("alice"), HOUR)
    assert sign(desk.ledger, people, OPERATORS, "carol", hand("carol")).waits_for == ""
    now = people_of(desk)
    with pytest.raises(Refused, match="bob is no operator"):
        say(desk, now, "approve", "w-1", "bob")
    assert say(desk, now, "approve", "w-1", "alice").missing == 1  # bob's approval fell with the operators of then
    assert say(desk, now, "approve", "w-1", "dave").withdrawal.state is State.APPROVED


def test_who_was_removed_while_the_key_was_touched_is_told_to_begin_anew(desk: Desk, people: People) -> None:
    brought(desk, "w-1")

    def still(records: Any) -> None:
        same_versions(records, people.operators.version, [])

    left = without_operator(people.operators.people, "bob")
    propose(desk.ledger, people, draft_of(people.operators.people, left, "file"), "alice", hand("alice"), HOUR)
    sign(desk.ledger, people, OPERATORS, "carol", hand("carol"))
    stale = replace(desk, further={"still": still})
    with pytest.raises(BadSettings, match="the operators changed meanwhile"):
        say(stale, people, "approve", "w-1", "bob")
    assert desk.recorded("w-1") == ["awaiting_approval"]


def test_without_operators_nobody_approves(desk: Desk) -> None:
    brought(desk, "w-1")
    with pytest.raises(BadSettings, match="there are no operators") as told:
        say(desk, people_of(desk), "approve", "w-1", "bob")
    assert told.value.exit_code == 8


# -- what was signed -------------------------------------------------------------------------------------------------


def test_a_signature_of_another_key_counts_for_nothing(desk: Desk, people: People) -> None:
    brought(desk, "w-1")
    with pytest.raises(Refused, match="the signature of bob does not count: the signature is by another key"):
        speak(desk.ledger, desk.premises, people, "w-1", "approve", "bob", hand("mallory"))
    assert desk.recorded("w-1") == ["awaiting_approval"]


@pytest.mark.parametrize("damage", ["", "x", "-----BEGIN SSH SIGNATURE-----\n", "ü" * 40_000])
def test_what_is_no_signature_counts_for_nothing(desk: Desk, people: People, damage: str) -> None:
    brought(desk, "w-1")
    good = signed_for(desk, "bob", "approve", subject_of(desk, people))
    with pytest.raises(Refused, match="the signature of bob does not count: "):
        handed_in(desk, people, "bob", replace(good, signature=damage))


def test_a_signature_of_other_bytes_counts_for_nothing(desk: Desk, people: People) -> None:
    brought(desk, "w-1")
    good = signed_for(desk, "bob", "approve", subject_of(desk, people))
    other = signed_for(desk, "bob", "approve", "ab" * 32)
    with pytest.raises(Refused, match="does not fit the message"):
        handed_in(desk, people, "bob", replace(good, signature=other.signature))
    bare = sign_bytes(KEYS["bob"], good.statement.text.encode())  # without what every statement begins with
    with pytest.raises(Refused, match="does not fit the message"):
        handed_in(desk, people, "bob", replace(good, signature=bare))


def test_a_statement_of_something_else_counts_for_nothing(desk: Desk, people: People) -> None:
    brought(desk, "w-1")
    brought(desk, "w-2")
    this, that = subject_of(desk, people), subject_of(desk, people, "w-2")
    for signed in (
        signed_for(desk, "bob", "approve", that),
        signed_for(desk, "bob", "reject", this),
        signed_for(desk, "bob", "release", this),
        signed_for(desk, "bob", "operators", this),
    ):
        with pytest.raises(Refused, match=r"bob signed something else than to .* this, or it has changed since"):
            handed_in(desk, people, "bob", signed)
    with pytest.raises(Refused, match="bob signed this for another ledger"):
        handed_in(desk, people, "bob", signed_for(desk, "bob", "approve", this, ledger="another"))
    assert desk.recorded("w-1", "w-2") == ["awaiting_approval"] * 2


def test_what_somebody_else_signed_counts_once_and_for_them(desk: Desk, people: People) -> None:
    brought(desk, "w-1", "6", maker="backend")
    signed = signed_for(desk, "bob", "approve", subject_of(desk, people))
    assert handed_in(desk, people, "bob", signed).missing == 1
    assert handed_in(desk, people, "alice", signed).by == ("bob",)  # whoever hands it in, bob said so, and once
    in_the_name_of_alice = replace(signed, statement=replace(signed.statement, operator="alice"))
    with pytest.raises(Refused, match="signature of alice does not count"):
        handed_in(desk, people, "alice", in_the_name_of_alice)
    assert desk.recorded("w-1") == ["awaiting_approval"]


@pytest.mark.parametrize(
    ("late", "told"),
    [
        *((FRESH, None), (FRESH + 1, "15m 1s ago"), (10**18, "ago")),
        *((-5000, None), (-5001, "from now"), (-(10**30), "from now")),
    ],
)
def test_a_signature_counts_while_it_is_fresh(desk: Desk, people: People, late: int, told: str | None) -> None:
    brought(desk, "w-1")
    signed = signed_for(desk, "bob", "approve", subject_of(desk, people), at=desk.clock.at - late)
    if told is None:
        assert handed_in(desk, people, "bob", signed).withdrawal.state is State.APPROVED
    else:
        with pytest.raises(Refused, match=f"bob signed this .*{told}.*: sign anew"):
            handed_in(desk, people, "bob", signed)


def test_an_approval_of_an_earlier_turn_counts_for_nothing(desk: Desk, people: People) -> None:
    brought(desk, "w-1", "6", maker="backend")
    early = signed_for(desk, "bob", "approve", subject_of(desk, people))
    assert handed_in(desk, people, "bob", early).missing == 1
    say(desk, people, "hold", "w-1", "alice", "look again")
    assert say(desk, people, "release", "w-1", "carol", "fine").withdrawal.state is State.AWAITING_APPROVAL
    with pytest.raises(Refused, match="it has changed since"):
        handed_in(desk, people, "bob", early)
    assert say(desk, people, "approve", "w-1", "alice").missing == 1


def test_what_was_seen_is_what_is_signed(desk: Desk, people: People) -> None:
    seen = brought(desk, "w-1")
    say(desk, people, "hold", "w-1", "bob", "wait")
    say(desk, people, "release", "w-1", "carol", "fine")  # it waits for approval again: another decision
    with pytest.raises(Refused, match="it has changed since"):
        speak(desk.ledger, desk.premises, people, "w-1", "approve", "bob", hand("bob"), None, seen)
    shown = replace(seen, request=replace(seen.request, destination="d9"))  # a row that was put back before the signing
    with pytest.raises(Refused, match="it has changed since"):
        speak(desk.ledger, desk.premises, people, "w-1", "approve", "bob", hand("bob"), None, shown)


# -- when ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "by"), [("approve", "bob"), ("reject", "bob"), ("hold", "alice")])
def test_what_is_over_expires_whatever_is_said(desk: Desk, people: People, action: str, by: str) -> None:
    brought(desk, "w-1")
    desk.clock.at += 24 * HOUR
    with pytest.raises(Refused, match=r"w-1 expired at .*: nobody had approved it by then"):
        say(desk, people, action, "w-1", by)
    assert desk.recorded("w-1") == ["expired"]
    assert {booked for booked, _ in sums(desk).values()} <= {"0"}
    for again in ("approve", "reject", "release", "hold"):
        with pytest.raises(Refused, match="w-1 is expired, which is final"):
            say(desk, people, again, "w-1", "dave")


def test_a_run_ends_what_nobody_approved_in_time(desk: Desk, people: People) -> None:
    brought(desk, "w-1", "6", maker="backend")
    brought(desk, "w-2")
    say(desk, people, "approve", "w-1", "bob")
    say(desk, people, "approve", "w-2", "bob")
    desk.clock.at += 24 * HOUR - 1
    assert run_once(desk.ledger, desk.premises) == []
    desk.clock.at += 1
    assert [each.request.request_id for each in run_once(desk.ledger, desk.premises)] == ["w-1"]
    assert desk.recorded("w-1", "w-2") == ["expired", "approved"]


def test_what_has_ended_or_stands_elsewhere_is_not_approved(desk: Desk, people: People) -> None:
    for name in ("rejected", "cancelled", "held"):
        brought(desk, name)
    say(desk, people, "reject", "rejected", "bob", "no")
    cancel(desk.ledger, desk.premises, "cancelled", "bob")
    say(desk, people, "hold", "held", "bob", "wait")
    for name in ("rejected", "cancelled", "held"):
        with pytest.raises(Refused, match=f"{name} is {name}.*: it waits for no approval"):
            say(desk, people, "approve", name, "dave")
        with pytest.raises(Refused, match="it cannot be held"):
            say(desk, people, "hold", name, "dave", "wait")
    for name in ("rejected", "cancelled"):
        with pytest.raises(Refused, match="which is final: it is not held"):
            say(desk, people, "release", name, "dave", "go")
    with pytest.raises(Refused, match="cancelled is cancelled, which is final: it can no longer be rejected"):
        say(desk, people, "reject", "cancelled", "bob", "no")
    with pytest.raises(NoSuchRecord):
        say(desk, people, "approve", "w-9", "bob")


def test_the_same_word_once_more_after_a_lost_answer_is_told_what_is_there(desk: Desk, people: People) -> None:
    brought(desk, "w-1")
    brought(desk, "w-2")
    say(desk, people, "approve", "w-1", "bob")
    say(desk, people, "reject", "w-2", "bob", "no")
    assert say(desk, people, "approve", "w-1", "bob").by == ("bob",)
    assert say(desk, people, "reject", "w-2", "bob", "no").by == ("bob",)
    for action, name in (("approve", "w-1"), ("reject", "w-2")):
        with pytest.raises(Refused):
            say(desk, people, action, name, "dave")


def test_approvals_fall_when_the_policy_changes(desk: Desk, people: People) -> None:
    brought(desk, "w-1", "6", maker="backend")
    say(desk, people, "approve", "w-1", "bob")
    changed = replace(desk, policy=policy(*RULES, rule("more", "30")))
    with pytest.raises(Refused, match=r"the policy has changed .* decided anew and is awaiting approval"):
        say(changed, people, "approve", "w-1", "alice")
    assert say(changed, people, "approve", "w-1", "alice").missing == 1
    assert say(changed, people, "approve", "w-1", "bob").withdrawal.state is State.APPROVED


# -- releasing and rejecting -----------------------------------------------------------------------------------------


def test_compliance_releases_and_approvals_are_asked_for_as_ever(desk: Desk, people: People) -> None:
    assert brought(desk, "w-1", "2", country="DE").state is State.HELD
    assert say(desk, people, "release", "w-1", "carol", "seen").withdrawal.state is State.AWAITING_APPROVAL


def test_an_unproven_one_is_released_by_two(desk: Desk, people: People) -> None:
    brought(desk, "w-1", "1", maker=None, proven=False, country="DE")
    assert say(desk, people, "release", "w-1", "carol", "seen").missing == 1
    assert say(desk, people, "release", "w-1", "carol", "seen").missing == 1
    assert desk.recorded("w-1") == ["held"]
    assert say(desk, people, "release", "w-1", "dave", "seen").withdrawal.state is State.APPROVED


def test_the_maker_does_not_release(desk: Desk, people: People) -> None:
    brought(desk, "w-1", "1", maker="carol", country="DE")
    with pytest.raises(Refused, match="carol brought w-1"):
        say(desk, people, "release", "w-1", "carol", "seen")


def test_rejecting_gives_limits_their_room_back(desk: Desk, people: People) -> None:
    brought(desk, "w-1", "18", maker="backend")
    assert brought(desk, "w-2", "3").state is not State.AWAITING_APPROVAL
    say(desk, people, "reject", "w-1", "bob", "no")
    assert brought(desk, "w-3", "3").state is State.AWAITING_APPROVAL


def test_the_log_has_who_spoke_with_which_key_and_is_sound(desk: Desk, people: People, engine: Engine) -> None:
    brought(desk, "w-1")
    brought(desk, "w-2")
    say(desk, people, "approve", "w-1", "bob")
    say(desk, people, "reject", "w-2", "dave", "no")
    spoken = [each for each in entries(engine) if each["who"] in ("operator bob", "operator dave")]
    kinds = [each["kind"] for each in spoken if each["kind"].startswith("withdrawal")]
    assert kinds == ["withdrawal.approval", "withdrawal.approved", "withdrawal.rejection", "withdrawal.rejected"]
    assert all(public_line(KEYS["bob"]) in each["facts"] for each in spoken if each["kind"] == "withdrawal.approval")
    assert verified(engine).sound


@pytest.mark.parametrize("name", ["alice", "bob", "carol", "dave"])
def test_no_single_person_moves_what_nobody_is_proven_to_have_brought(desk: Desk, people: People, name: str) -> None:
    brought(desk, "w-1", maker=None, proven=False)
    brought(desk, "w-2", "1", maker=None, proven=False, country="DE")
    for action in ("approve", "release", "approve", "release") * 2:
        for what in ("w-1", "w-2"):
            with suppress(Refused):
                say(desk, people, action, what, name, "now")
    assert desk.recorded("w-1", "w-2") == ["awaiting_approval", "held"]


def test_an_operator_of_a_forged_list_is_nobody(desk: Desk, people: People) -> None:
    """People are proven along the chain of changes: whoever brings a list of their own speaks of another intent."""
    brought(desk, "w-1")
    forged = replace(people, operators=Operators({"mallory": operator("mallory", A)}, "forged"))
    say(desk, forged, "approve", "w-1", "mallory")  # a program that was changed may say what it likes
    found = desk.ledger.withdrawal("w-1")
    assert found is not None
    with desk.ledger.look() as records:
        assert who_said(records, people_of(desk), found, "approve") == ()  # and nobody else hears it


# -- what a release lets through -------------------------------------------------------------------------------------


def test_what_is_released_over_a_limit_counts_in_it(desk_with: Callable[..., Desk]) -> None:
    limit = rule("day", "10", hours=24, per=Per.CUSTOMER, on_exceed=Outcome.HOLD)
    desk = desk_with(policy(limit))
    people = enrol(desk)
    brought(desk, "large", "15")
    assert desk.recorded("large") == ["held"]
    say(desk, people, "release", "large", "carol", "a known customer")
    assert desk.recorded("large") == ["approved"]
    assert [used for used, _ in sums(desk).values()] == ["15"]
    brought(desk, "next", "1")
    assert desk.recorded("next") == ["held"]


def test_what_could_not_be_found_out_is_not_released_with_what_could(desk_with: Callable[..., Desk]) -> None:
    both = rule("both", value="1000", max_count=1, hours=24, per=Per.CUSTOMER, on_exceed=Outcome.HOLD)
    desk = desk_with(policy(both, rule("permit", allow=True)), prices={"BTC": "1000"})
    people = enrol(desk)
    brought(desk, "first", "0.5")
    desk.prices = {}
    brought(desk, "second", "50")
    assert desk.recorded("first", "second") == ["approved", "held"]
    say(desk, people, "release", "second", "carol", "looks fine")
    assert desk.recorded("second") == ["held"], "nobody knows what it is worth"


def test_a_release_speaks_of_the_policy_that_held(desk_with: Callable[..., Desk]) -> None:
    desk = desk_with(policy(rule("single", "10", on_exceed=Outcome.HOLD)))
    people = enrol(desk)
    brought(desk, "large", "15")
    desk.policy = policy(rule("single", "1", on_exceed=Outcome.HOLD), rule("other", "100"))
    say(desk, people, "release", "large", "carol", "looks fine")
    assert desk.recorded("large") == ["held"], "another rule of that name says something else"
    say(desk, people, "release", "large", "carol", "seen again")
    assert desk.recorded("large") == ["approved"]
