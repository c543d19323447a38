"""Nobody alone changes operators or policy; what loosens waits; what is in force was signed by two who could."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from cryptosupport.desk.change_desk import (
    Draft,
    activate,
    discard,
    draft_of,
    propose,
    sign,
    standing,
    with_operator,
    without_operator,
)
from cryptosupport.desk.people import People, agree, operators_of, policies_of, policy_content
from cryptosupport.domain.audit import Act
from cryptosupport.domain.errors import BadInput, BadSettings, NoSuchRecord, Refused, Tampered
from cryptosupport.domain.operators import OPERATORS, POLICY, Change, Operator, Operators, Role
from cryptosupport.domain.statements import Signed, Statement
from cryptosupport.outside.sshkeys import public_line, wire
from cryptosupport.outside.sshsig import sign as sign_bytes
from tests.desk.auditkit import verified
from tests.desk.deskkit import HOUR, Desk, policy, rule
from tests.desk.peoplekit import KEYS, ROLES, A, C, Hand, P, enrol, fault, hand, nobody, operator, people_of, same_key

LOCK = 48 * HOUR
MALLORY = operator("mallory", A)


@pytest.fixture
def desk(desk_with: Callable[..., Desk]) -> Desk:
    return desk_with(policy(rule("limit", "10")))


@pytest.fixture
def people(desk: Desk) -> People:
    return enrol(desk)


def with_(people: People, new: Operator) -> Draft:
    before = people.operators.people
    return draft_of(before, with_operator(before, new, same_key, people.intake), "file")


def without(people: People, name: str) -> Draft:
    before = people.operators.people
    return draft_of(before, without_operator(before, name), "file")


def by(desk: Desk, people: People, draft: Draft, name: str, lock: int = LOCK) -> Any:
    return propose(desk.ledger, people, draft, name, hand(name), lock)


def new_policy(text: str, *loosens: str) -> Draft:
    return Draft(POLICY, policy_content(text), text, loosens)


def names(desk: Desk) -> list[str]:
    return sorted(people_of(desk).operators.people)


# -- the first -------------------------------------------------------------------------------------------------------


def test_the_first_two_sign_for_each_other(desk: Desk) -> None:
    first = draft_of({}, {name: operator(name) for name in ("alice", "bob")}, "file")
    assert by(desk, nobody(desk), first, "alice").waits_for == "1 more person to sign it"
    assert names(desk) == []
    assert by(desk, nobody(desk), first, "alice").signed_by == ("alice",)  # twice is once
    assert sign(desk.ledger, nobody(desk), OPERATORS, "bob", hand("bob")).waits_for == ""
    assert names(desk) == ["alice", "bob"]


def test_nobody_from_outside_signs_the_first(desk: Desk) -> None:
    first = draft_of({}, {name: operator(name) for name in ("alice", "bob")}, "file")
    by(desk, nobody(desk), first, "alice")
    for name, key in (("mallory", "mallory"), ("bob", "mallory"), ("bob", "alice")):
        with pytest.raises(Refused):
            sign(desk.ledger, nobody(desk), OPERATORS, name, hand(key))
    assert names(desk) == []


def test_one_key_under_two_names_is_refused_whatever_brings_it(desk: Desk) -> None:
    one = operator("alice")
    twice = {"alice": one, "alicia": replace(one, name="alicia")}
    with pytest.raises(Refused, match="this key is that of alicia already"):
        propose(desk.ledger, nobody(desk), draft_of({}, twice, "file"), "alice", hand("alice"), 0)
    point = KEYS["alice"].public_key().public_bytes_raw()
    kind = "sk-ssh-ed25519@openssh.com"
    as_token = f"{kind} {b64encode(wire(kind.encode(), point, b'ssh:')).decode()}"
    both = {"alice": one, "alicia": Operator("alicia", frozenset({A}), as_token)}
    with pytest.raises(Refused, match="one person is one operator, with one key"):
        propose(desk.ledger, nobody(desk), draft_of({}, both, "file"), "alice", hand("alice"), 0)


def test_a_key_that_signs_requests_is_no_operators(desk: Desk) -> None:
    intake = {"backend": public_line(KEYS["bob"])}
    people = replace(nobody(desk), intake=intake)
    first = draft_of({}, {name: operator(name) for name in ("alice", "bob")}, "file")
    with pytest.raises(Refused, match="this key signs requests as backend"):
        propose(desk.ledger, people, first, "alice", hand("alice"), 0)
    hexadecimal = {"backend": KEYS["mallory"].public_key().public_bytes_raw().hex()}
    with pytest.raises(Refused, match="this key signs requests as backend"):
        with_operator({}, MALLORY, same_key, hexadecimal)


# -- operators -------------------------------------------------------------------------------------------------------


def test_nobody_alone_adds_or_removes(desk: Desk, people: People) -> None:
    by(desk, people, with_(people, MALLORY), "alice", 0)
    for _ in range(2):
        assert sign(desk.ledger, people, OPERATORS, "alice", hand("alice")).waits_for == "1 more person to sign it"
    assert activate(desk.ledger, people, OPERATORS).waits_for == "1 more person to sign it"
    with pytest.raises(Refused, match="mallory is no operator"):
        sign(desk.ledger, people, OPERATORS, "mallory", hand("mallory"))
    assert names(desk) == sorted(ROLES)


def test_programs_and_support_sign_no_change(desk: Desk) -> None:
    chosen = {name: operator(name) for name in ("alice", "bob")} | {"carol": operator("carol", Role.SUPPORT)}
    propose(desk.ledger, nobody(desk), draft_of({}, chosen, "file"), "alice", hand("alice"), 0)
    with pytest.raises(Refused, match="carol has the role support"):
        sign(desk.ledger, nobody(desk), OPERATORS, "carol", hand("carol"))


def test_what_loosens_waits_for_the_lock(desk: Desk, people: People) -> None:
    by(desk, people, with_(people, MALLORY), "alice")
    assert "in 48h" in sign(desk.ledger, people, OPERATORS, "bob", hand("bob")).waits_for
    desk.clock.at += LOCK - 1
    assert activate(desk.ledger, people, OPERATORS).waits_for != ""
    assert "mallory" not in names(desk)
    desk.clock.at += 1
    stand = activate(desk.ledger, people, OPERATORS)
    assert (stand.waits_for, stand.change.loosens) == ("", ("mallory becomes an operator: approver",))
    assert "mallory" in names(desk)


@pytest.mark.parametrize(
    "new", [operator("bob", A, P, C), replace(operator("bob"), key=public_line(KEYS["mallory"]))], ids=["role", "key"]
)
def test_more_roles_and_other_keys_loosen(desk: Desk, people: People, new: Operator) -> None:
    by(desk, people, with_(people, new), "alice")
    assert sign(desk.ledger, people, OPERATORS, "carol", hand("carol")).waits_for.startswith("its time")


def test_what_tightens_counts_at_once(desk: Desk, people: People) -> None:
    by(desk, people, without(people, "dave"), "alice")
    assert sign(desk.ledger, people, OPERATORS, "bob", hand("bob")).waits_for == ""
    assert names(desk) == ["alice", "bob", "carol"]
    fewer = people_of(desk)
    by(desk, fewer, with_(fewer, operator("alice", A)), "bob")
    assert sign(desk.ledger, fewer, OPERATORS, "carol", hand("carol")).waits_for == ""


def test_a_change_that_hides_what_it_loosens_is_signed_by_nobody(desk: Desk, people: People) -> None:
    hidden = replace(with_(people, MALLORY), loosens=())
    with pytest.raises(Refused, match="does not say all that it loosens"):
        by(desk, people, hidden, "alice")
    assert names(desk) == sorted(ROLES)


def test_two_are_always_left_who_can_sign(desk: Desk) -> None:
    people = enrol(desk, "alice", "bob")
    with pytest.raises(Refused, match="1 would be left to sign changes, and it takes 2"):
        without_operator(people.operators.people, "bob")
    with pytest.raises(Refused, match="1 would be left to sign changes"):  # nor by taking the roles away
        with_(people, operator("bob", Role.SUPPORT))
    with pytest.raises(NoSuchRecord):
        without_operator(people.operators.people, "carol")
    with pytest.raises(BadInput, match="nothing would change"):
        with_(people, operator("bob"))


def test_one_change_at_a_time(desk: Desk, people: People) -> None:
    by(desk, people, with_(people, MALLORY), "alice")
    with pytest.raises(Refused, match="version 2 of the operators is proposed by alice and not in force"):
        by(desk, people, without(people, "dave"), "bob")
    discard(desk.ledger, people, OPERATORS, "bob", hand("bob"))
    by(desk, people, without(people, "dave"), "bob")
    assert sign(desk.ledger, people, OPERATORS, "alice", hand("alice")).waits_for == ""


def test_what_was_taken_back_has_to_be_signed_anew(desk: Desk, people: People) -> None:
    by(desk, people, with_(people, MALLORY), "alice", 0)
    discard(desk.ledger, people, OPERATORS, "alice", hand("alice"))
    with pytest.raises(NoSuchRecord, match="no change of the operators is proposed"):
        sign(desk.ledger, people, OPERATORS, "carol", hand("carol"))
    with pytest.raises(NoSuchRecord):
        discard(desk.ledger, people, OPERATORS, "alice", hand("alice"))
    desk.clock.at += 1
    assert by(desk, people, with_(people, MALLORY), "bob", 0).signed_by == ("bob",)


def test_a_change_that_was_replaced_while_somebody_took_it_back_stays(desk: Desk, people: People) -> None:
    by(desk, people, with_(people, MALLORY), "alice")

    class Slow(Hand):
        def sign(self, statement: Statement) -> Signed:
            discard(desk.ledger, people, OPERATORS, "alice", hand("alice"))
            by(desk, people, without(people, "dave"), "alice")
            return Signed(statement, sign_bytes(self.private, statement.signed))

    with pytest.raises(Refused, match="changed meanwhile"):
        discard(desk.ledger, people, OPERATORS, "bob", Slow(KEYS["bob"]))
    assert sign(desk.ledger, people, OPERATORS, "bob", hand("bob")).waits_for == ""


def test_forged_and_replayed_words_change_nothing(desk: Desk, people: People) -> None:
    stand = by(desk, people, with_(people, MALLORY), "alice", 0)
    with desk.ledger.look() as records:
        ledger_id, now = records.ledger_id, records.now

    def said(action: str = OPERATORS, subject: str = stand.change.hash, **other: Any) -> Signed:
        facts: dict[str, Any] = {"operator": "bob", "at": now, "ledger": ledger_id} | other
        statement = Statement(action, subject, **facts)
        return Signed(statement, sign_bytes(KEYS["bob"], statement.signed))

    forged = replace(said(), signature=sign_bytes(KEYS["mallory"], said().statement.signed))
    for bad in (said("policy"), said("discard operators"), said(subject="ab"), said(ledger="x"), said(at=1), forged):
        with pytest.raises(Refused):
            sign(desk.ledger, people, OPERATORS, "bob", Hand(KEYS["bob"], bad))
    assert names(desk) == sorted(ROLES)
    assert sign(desk.ledger, people, OPERATORS, "bob", Hand(KEYS["bob"], said())).waits_for == ""


# -- the policy ------------------------------------------------------------------------------------------------------


def test_the_policy_takes_two_with_the_role(desk: Desk, people: People) -> None:
    assert by(desk, people, new_policy("one", "all"), "alice").waits_for == "1 more person to sign it"
    with pytest.raises(Refused, match=r"dave has the role .* this takes policy"):
        sign(desk.ledger, people, POLICY, "dave", hand("dave"))
    assert sign(desk.ledger, people, POLICY, "bob", hand("bob")).waits_for == ""  # the first one does not wait
    by(desk, people, new_policy("two", "a limit"), "alice")
    assert sign(desk.ledger, people, POLICY, "carol", hand("carol")).waits_for.startswith("its time")
    desk.clock.at += LOCK
    assert activate(desk.ledger, people, POLICY).change.file == "two"
    by(desk, people, new_policy("three"), "carol")
    assert sign(desk.ledger, people, POLICY, "bob", hand("bob")).waits_for == ""


def test_a_policy_falls_with_the_operators_that_it_was_proposed_to(desk: Desk, people: People) -> None:
    """Counted by the operators of now and proven by those of then, it would never be proven again."""
    by(desk, people, new_policy("one"), "alice")
    by(desk, people, with_(people, operator("mallory", P)), "alice", 0)
    sign(desk.ledger, people, OPERATORS, "bob", hand("bob"))
    now = people_of(desk)
    for late in (
        lambda: sign(desk.ledger, now, POLICY, "mallory", hand("mallory")),
        lambda: activate(desk.ledger, now, POLICY),
    ):
        with pytest.raises(Refused, match="the operators changed since this policy was proposed"):
            late()
    by(desk, now, new_policy("one"), "mallory")
    assert sign(desk.ledger, now, POLICY, "bob", hand("bob")).waits_for == ""
    with desk.ledger.look() as records:
        _, versions = operators_of(records, fault)
        assert len(policies_of(records, versions, fault)) == 1


def test_who_was_removed_while_the_key_was_touched_signs_no_policy(desk: Desk, people: People, engine: Engine) -> None:
    by(desk, people, new_policy("one"), "alice")

    class Slow(Hand):
        def sign(self, statement: Statement) -> Signed:
            by(desk, people, without(people, "bob"), "alice")
            sign(desk.ledger, people, OPERATORS, "carol", hand("carol"))
            return Signed(statement, sign_bytes(self.private, statement.signed))

    with pytest.raises(Refused, match="those who sign them changed meanwhile"):
        sign(desk.ledger, people, POLICY, "bob", Slow(KEYS["bob"]))
    with desk.ledger.look() as records:
        assert standing(records, POLICY, fault).active == ()
    assert verified(engine).sound


def test_two_at_once_leave_one_change(desk: Desk, people: People) -> None:
    """Two machines look, and both propose: the second one is refused, or signs what is the same."""

    class Slow(Hand):
        def sign(self, statement: Statement) -> Signed:
            by(desk, people, without(people, "dave"), "bob")
            return Signed(statement, sign_bytes(self.private, statement.signed))

    with pytest.raises(Refused):
        propose(desk.ledger, people, with_(people, MALLORY), "alice", Slow(KEYS["alice"]), LOCK)
    with desk.ledger.look() as records:
        proposed = standing(records, OPERATORS, fault).proposed
    assert proposed is not None
    assert proposed.proposed_by == "bob"


# -- files -----------------------------------------------------------------------------------------------------------


def test_the_file_has_to_be_what_two_signed(desk: Desk, people: People) -> None:
    in_force = dict(people.operators.people)
    with desk.ledger.look() as records:
        operators, versions = operators_of(records, fault)
    assert agree(operators, versions, in_force, "f") == ""
    for bad in (None, {}, in_force | {"mallory": MALLORY}, {"alice": in_force["alice"]}):
        with pytest.raises(BadSettings, match="f is not what two operators signed"):
            agree(operators, versions, bad, "f")
    by(desk, people, without(people, "dave"), "alice")
    sign(desk.ledger, people, OPERATORS, "bob", hand("bob"))
    with desk.ledger.look() as records:
        operators, versions = operators_of(records, fault)
    assert "f is an older version" in agree(operators, versions, in_force, "f")
    with pytest.raises(BadSettings, match="nobody has signed it"):
        agree(Operators({}), [], in_force, "f")


# -- what the second one sees ----------------------------------------------------------------------------------------


def test_a_policy_that_hides_what_it_loosens_is_not_signed_by_the_second(desk: Desk, people: People) -> None:
    first = new_policy("one")
    by(desk, people, first, "alice")
    sign(desk.ledger, people, POLICY, "bob", hand("bob"))
    by(desk, people, new_policy("two"), "alice")  # its machine says that nothing is loosened
    with pytest.raises(Refused, match="does not say all that it loosens, as this machine sees it"):
        sign(desk.ledger, people, POLICY, "bob", hand("bob"), LOCK, lambda change: ["max_value goes up"])
    with pytest.raises(Refused, match="does not say all that it loosens"):
        by(desk, people, new_policy("two", "max_value goes up"), "bob")


def test_the_lock_of_the_proposer_alone_does_not_count(desk: Desk, people: People) -> None:
    by(desk, people, new_policy("one"), "alice")
    sign(desk.ledger, people, POLICY, "bob", hand("bob"))
    hurried = new_policy("two", "max_value goes up")
    by(desk, people, hurried, "alice", lock=1)
    with pytest.raises(Refused, match=r"what loosens waits for 48h here \(\[approvals\] lock\)"):
        sign(desk.ledger, people, POLICY, "bob", hand("bob"), LOCK, lambda change: ["max_value goes up"])
    assert sign(desk.ledger, people, POLICY, "bob", hand("bob"), 1, lambda change: ["max_value goes up"]).waits_for


def test_former_operators_make_no_policy(desk: Desk, people: People) -> None:
    """As somebody does who can write the database, log and all: who signed it must have been in force by then."""
    version = people.operators.version
    by(desk, people, without(people, "alice"), "bob")
    sign(desk.ledger, people, OPERATORS, "carol", hand("carol"))
    with desk.ledger.act() as records:
        made = Change(POLICY, 1, "", version, policy_content("theirs"), "theirs", (), "alice", records.now, records.now)
        for name in ("alice", "bob"):
            statement = Statement(POLICY, made.hash, name, records.now, records.ledger_id)
            act = Act("policy.signed", POLICY, f"operator {name}")
            records.add_statement(hand(name).sign(statement), act)
        records.set_change(replace(made, active_at=records.now), Act("policy.activated", POLICY))
    with desk.ledger.look() as records, pytest.raises(Tampered, match="were not in force when it came into force"):
        policies_of(records, operators_of(records, fault)[1], fault)


def test_what_came_into_force_in_the_future_or_too_early_is_not_believed(desk: Desk, people: People) -> None:
    with desk.ledger.act() as records:
        at = records.now + LOCK
        made = Change(POLICY, 1, "", people.operators.version, policy_content("one"), "one", ("x",), "alice", 0, at)
        for name in ("alice", "bob"):
            statement = Statement(POLICY, made.hash, name, records.now, records.ledger_id)
            records.add_statement(hand(name).sign(statement), Act("policy.signed", POLICY, f"operator {name}"))
        records.set_change(replace(made, active_at=at), Act("policy.activated", POLICY))
    with desk.ledger.look() as records, pytest.raises(Tampered, match="before its time"):
        policies_of(records, operators_of(records, fault)[1], fault)
