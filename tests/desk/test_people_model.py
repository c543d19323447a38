"""Whatever people do in whatever order: nothing is let through that not enough of the right ones have said so of."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, run_state_machine_as_test
from hypothesis.stateful import rule as step
from sqlalchemy import Engine

from cryptosupport.desk.approve import speak
from cryptosupport.desk.cancel import cancel
from cryptosupport.desk.change_desk import activate, discard, draft_of, propose, sign, with_operator, without_operator
from cryptosupport.desk.people import People, same_versions
from cryptosupport.desk.run_once import run_once
from cryptosupport.desk.take_in import Intake, Line
from cryptosupport.domain.books import Wanted
from cryptosupport.domain.errors import BadInput, NoSuchRecord, Refused
from cryptosupport.domain.money import Quantity
from cryptosupport.domain.operators import OPERATORS, Operator, Role
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.policy.windows import Window, measures
from cryptosupport.domain.statements import Signed, Statement
from cryptosupport.domain.withdrawals import ENDED, Signature, State, Withdrawal, intent
from cryptosupport.outside.sshkeys import public_line
from cryptosupport.outside.sshsig import sign as sign_bytes
from tests.desk.auditkit import verified
from tests.desk.deskkit import HOUR, START, Desk, Turned, ledger_in, policy, request, rule
from tests.desk.peoplekit import FRESH, KEYS, A, C, P, enrol, key, people_of
from tests.desk.test_ledger_model import positions
from tests.ledger.ledgerkit import emptied

EYES = rule("eyes", above_amount=Quantity(1, 0), approvals=1)
FOUR_EYES = rule("four eyes", above_amount=Quantity(3, 0), approvals=2)
CAREFUL = rule("careful", "20", match={"country": "DE"}, require=("identity",), on_exceed=Outcome.HOLD)
POLICIES = [
    policy(rule("hour", "30", hours=1), EYES, FOUR_EYES, CAREFUL),
    policy(rule("hour", "14", hours=1, on_exceed=Outcome.WAIT), EYES, CAREFUL),
]
BACKEND = key(9)
INTAKE = {"backend": public_line(BACKEND)}
EVERYBODY = sorted(KEYS)
NEW = {name: [frozenset({A}), frozenset({C, P}), frozenset({A, C})] for name in ("mallory", "bob", "dave")}
SAID = {"approve": {A}, "release": {C}, "reject": {A, C}, "hold": {A, C, Role.OPS}}
EXPIRE = 24 * HOUR


@dataclass
class Word:
    """What the model heard: who said what, of which withdrawal as it was, under which operators."""

    by: str
    action: str
    name: str
    subject: str


@dataclass
class Recorder:
    """Signs with a key, keeps all that it ever signed; hands in ``instead`` something that was signed before."""

    by: str
    kept: list[Signed]
    instead: Signed | None = None
    last: Signed | None = field(default=None)

    def at(self, now: int) -> int:
        return now

    def sign(self, statement: Statement) -> Signed:
        made = self.instead or Signed(statement, sign_bytes(KEYS[self.by], statement.signed))
        self.last = made
        self.kept.append(made)
        return made


class Crowd(RuleBasedStateMachine):
    """A desk among people, some of whom should not be listened to."""

    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        emptied(self.engine)
        self.clock = Turned(START)
        self.kept: list[Signed] = []
        self.heard: list[Word] = []
        self.states: dict[str, State] = {}
        self.count = 0

    @initialize()
    def open(self) -> None:
        self.policy = POLICIES[0]
        self.desk = Desk(ledger_in(self.engine, self.clock), self.clock, self.policy)
        enrol(self.desk)
        self.clock.at += 1
        for maker, proven in ((None, False), ("alice", True), ("bob", False), ("backend", True)):
            for amount, country in (("2", None), ("1", "DE")):
                self.submit(amount, maker, proven, country, "c1")

    # -- what the program of one command sees

    def people(self) -> People:
        return people_of(self.desk, INTAKE)

    def at_the_desk(self, people: People) -> Desk:
        """The desk as a command opens it: it holds the operators in force against those that it began with."""
        return replace(
            self.desk,
            policy=self.policy,
            further={"expire": EXPIRE, "still": lambda records: same_versions(records, people.operators.version, [])},
        )

    def rows(self) -> dict[str, Withdrawal]:
        return {each.request.request_id: each for each in self.desk.ledger.withdrawals(Wanted())}

    # -- what happens

    @step(
        amount=st.sampled_from(["1", "2", "4"]),
        maker=st.sampled_from([None, "alice", "bob", "carol", "backend"]),
        proven=st.booleans(),
        country=st.sampled_from([None, "DE"]),
        customer=st.sampled_from(["c1", "c2"]),
    )
    def ask(self, amount: str, maker: str | None, proven: bool, country: str | None, customer: str) -> None:
        self.submit(amount, maker, proven, country, customer)

    def submit(self, amount: str, maker: str | None, proven: bool, country: str | None, customer: str) -> None:
        self.count += 1
        name = f"w-{self.count}"
        asked = request(name, amount, country=country, customer=customer)
        if maker == "backend":
            asked = replace(asked, signature=Signature("backend", "x"), signed=b"{}")
        desk = self.at_the_desk(self.people())
        intake = Intake(desk.ledger, desk.premises, due=2**62, proven=proven and maker is not None)
        list(intake.take_in([[Line(1, name, asked, "file", None if maker == "backend" else maker)]]))

    @step(data=st.data(), by=st.lists(st.sampled_from(EVERYBODY), min_size=1, max_size=4))
    def approve(self, data: st.DataObject, by: list[str]) -> None:
        self.say(data, "approve", by, State.AWAITING_APPROVAL)

    @step(data=st.data(), by=st.lists(st.sampled_from(EVERYBODY), min_size=1, max_size=3))
    def release(self, data: st.DataObject, by: list[str]) -> None:
        self.say(data, "release", by, State.HELD)

    @step(data=st.data(), by=st.sampled_from(EVERYBODY), action=st.sampled_from(["hold", "hold", "reject", "approve"]))
    def say_anything(self, data: st.DataObject, by: str, action: str) -> None:
        self.say(data, action, [by], None)

    def say(self, data: st.DataObject, action: str, by: list[str], fit: State | None) -> None:
        rows = self.rows()
        names = [name for name, row in rows.items() if fit is None or row.state is fit]
        if names:
            name = data.draw(st.sampled_from(names))
            for each in by:
                self.speak(name, action, each, None)
                self.what_was_let_through_was_said_so_of()

    @step(data=st.data(), by=st.sampled_from(EVERYBODY), action=st.sampled_from(["approve", "release"]))
    def replay(self, data: st.DataObject, by: str, action: str) -> None:
        rows = self.rows()
        if rows and self.kept:
            instead = data.draw(st.sampled_from(self.kept))
            by = data.draw(st.sampled_from([by, instead.statement.operator]))
            self.speak(data.draw(st.sampled_from(sorted(rows))), action, by, instead)

    def speak(self, name: str, action: str, by: str, instead: Signed | None) -> None:
        people = self.people()
        desk, before = self.at_the_desk(people), self.rows()[name]
        recorder = Recorder(by, self.kept, instead)
        subject = intent(before, people.operators.version)
        try:
            spoken = speak(desk.ledger, desk.premises, people, name, action, by, recorder, "because")
        except Refused:
            return
        said = recorder.last
        if (said is not None and before.state is not spoken.withdrawal.state) or spoken.missing:
            assert said is not None
            self.must_be_genuine(said, by, action, subject, people)
        self.heard.append(Word(by, action, name, subject))

    def must_be_genuine(self, said: Signed, by: str, action: str, subject: str, people: People) -> None:
        """What counted was signed by this person, of this, just now."""
        told = said.statement
        assert (told.operator, told.action, told.subject) == (by, action, subject)
        assert self.clock.at - told.at <= FRESH
        assert people.operators.people[by].roles & SAID[action]

    @step(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        names = sorted(self.rows())
        if names:
            with suppress(Refused):
                cancel(self.desk.ledger, self.at_the_desk(self.people()).premises, data.draw(st.sampled_from(names)))

    @step(by=st.sampled_from([1, FRESH, FRESH + 1, HOUR, 25 * HOUR]))
    def time_goes_on(self, by: int) -> None:
        self.clock.at += by

    @step()
    def run_once(self) -> None:
        run_once(self.desk.ledger, self.at_the_desk(self.people()).premises)

    @step(data=st.data(), by=st.sampled_from(EVERYBODY), second=st.sampled_from(EVERYBODY), add=st.booleans())
    def change_people(self, data: st.DataObject, by: str, second: str, add: bool) -> None:
        people = self.people()
        before = people.operators.people
        who = data.draw(st.sampled_from(sorted(NEW)))
        lock = data.draw(st.sampled_from([0, 0, HOUR]))
        try:
            new = Operator(who, data.draw(st.sampled_from(NEW[who])), public_line(KEYS[who]))
            after = with_operator(before, new, people.same_key, INTAKE) if add else without_operator(before, who)
            stand = propose(self.desk.ledger, people, draft_of(before, after, "f"), by, Recorder(by, self.kept), lock)
            if stand.waits_for:
                stand = sign(self.desk.ledger, people, OPERATORS, second, Recorder(second, self.kept))
            if not stand.waits_for:
                # Others may have signed it before: then one more word, or the time that has come, puts it in force.
                assert len(set(stand.signed_by)) >= 2
                assert set(stand.signed_by) <= before.keys()
                assert stand.change.counts_from <= self.clock.at
        except (Refused, BadInput, NoSuchRecord):
            pass

    @step(by=st.sampled_from(EVERYBODY))
    def take_back(self, by: str) -> None:
        with suppress(Refused, NoSuchRecord):
            discard(self.desk.ledger, self.people(), OPERATORS, by, Recorder(by, self.kept))

    @step()
    def activate(self) -> None:
        before = self.people().operators.version
        stand = activate(self.desk.ledger, self.people(), OPERATORS)
        if self.people().operators.version != before:
            assert stand.change.counts_from <= self.clock.at

    @step(chosen=st.sampled_from(POLICIES))
    def change_policy(self, chosen: Any) -> None:
        self.policy = chosen

    # -- what never happens

    @invariant()
    def what_was_let_through_was_said_so_of(self) -> None:
        if not hasattr(self, "desk"):
            return
        rows = self.rows()
        people = self.people()
        for name, row in rows.items():
            was = self.states.get(name)
            if was in ENDED:
                assert row.state is was, (name, was, row.state)
            if row.state is State.APPROVED and was is not State.APPROVED:
                self.enough_said_so(name, row, people)
            if was is State.HELD and row.state not in {State.HELD, *ENDED}:
                self.was_released(name, row)
            self.states[name] = row.state

    def enough_said_so(self, name: str, row: Withdrawal, people: People) -> None:
        asked = row.decision.approvals
        if row.decision.outcome is not Outcome.APPROVAL:
            assert asked == 0
            return
        subject = intent(row, people.operators.version)
        said = {each.by for each in self.heard if (each.action, each.name, each.subject) == ("approve", name, subject)}
        able = {each for each in said if Role.APPROVER in people.operators.people[each].roles} - {row.maker}
        assert len(able) >= asked + (0 if row.proven else 1), (name, able)

    def was_released(self, name: str, row: Withdrawal) -> None:
        last = [each for each in self.heard if (each.action, each.name) == ("release", name)]
        subject = last[-1].subject
        who = {each.by for each in last if each.subject == subject} - {row.maker}
        assert len(who) >= (1 if row.proven else 2), (name, who)

    @invariant()
    def no_limit_is_passed(self) -> None:
        if self.count:
            rows = [each for each in self.rows().values() if each.decision.policy == POLICIES[1].hash]
            for one in POLICIES[1].rules[:1]:
                for measure in measures(one):
                    for total in positions(Window.of(one, measure), rows):
                        assert one.max_amount is None or total <= one.max_amount

    def teardown(self) -> None:
        """The log tells all of it, and the sums are what the rows give."""
        if not self.count:
            return
        desk = self.at_the_desk(self.people())
        with desk.ledger.write(desk.premises.judge) as books:
            now = books.now
        rows = self.rows().values()
        for window in desk.premises.judge.windows.values():
            total = Quantity(0, 0)
            for each in rows:
                counts = each.booked_at is not None and window.id not in each.unbooked
                if counts and each.booked_at > now - HOUR and each.state is not State.WAITING:  # type: ignore[operator]
                    total += window.counts(each.booking)
            recorded = sum((tally.booked for _, tally in desk.ledger.sums([window.id])), Quantity(0, 0))
            assert recorded == total
        found = verified(self.engine, judge=desk.premises.judge, now=now)
        assert found.sound, [each.message for each in found.found]


def test_nothing_is_let_through_that_too_few_said_so_of(engine: Engine) -> None:
    machine = type("Crowd", (Crowd,), {"engine": engine})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15 if engine.dialect.name == "sqlite" else 4,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
