"""Approve, reject, release and hold: what people say of a withdrawal, signed and bound to what they saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from cryptosupport.desk.cases import Incoming, Premises, ask_ahead
from cryptosupport.desk.decide_anew import decide_anew, ended, give_back
from cryptosupport.desk.freeze import refusal, take_file
from cryptosupport.desk.guards import Guards
from cryptosupport.desk.people import Hand, People
from cryptosupport.desk.put_on_hold import put_on_hold
from cryptosupport.domain.audit import Act
from cryptosupport.domain.books import Books, Ledger, Records
from cryptosupport.domain.errors import NoSuchRecord, Refused, SupportError, Tampered
from cryptosupport.domain.operators import Operator, Role
from cryptosupport.domain.payouts import Step
from cryptosupport.domain.policy.decision import SCREENED, Outcome, Voice
from cryptosupport.domain.policy.judging import blocks
from cryptosupport.domain.statements import Signed, Statement
from cryptosupport.domain.withdrawal_record import moment
from cryptosupport.domain.withdrawals import ENDED, UNSIGNED, State, Withdrawal, intent

APPROVE, REJECT, RELEASE, HOLD = "approve", "reject", "release", "hold"

_ROLES = {
    APPROVE: frozenset({Role.APPROVER}),
    REJECT: frozenset({Role.APPROVER, Role.COMPLIANCE}),
    RELEASE: frozenset({Role.COMPLIANCE}),
    HOLD: frozenset({Role.OPS, Role.APPROVER, Role.COMPLIANCE}),
}
_STOPPABLE = frozenset({State.APPROVED, State.AWAITING_APPROVAL, State.WAITING, State.WAITING_LIQUIDITY})


@dataclass(frozen=True, slots=True)
class Spoken:
    """What came of a person's word: the withdrawal as it is now, who has said so, and how many more it takes.

    ``refusal`` is why the word did not count, where something else was recorded instead.
    """

    withdrawal: Withdrawal
    by: tuple[str, ...] = ()
    missing: int = 0
    refusal: SupportError | None = None


@dataclass(frozen=True, slots=True)
class Speaking:
    """One person's word in one transaction."""

    books: Books
    premises: Premises
    people: People
    before: Withdrawal
    person: Operator
    signed: Signed

    @property
    def name(self) -> str:
        """The request id."""
        return self.before.request.request_id

    def act(self, kind: str, **facts: str | None) -> Act:
        """What the audit log hears: who spoke, of what, with which key."""
        told = {"key": self.person.key, "intent": self.signed.statement.subject}
        return Act(f"withdrawal.{kind}", self.name, f"operator {self.person.name}", told | facts)


def speak(
    ledger: Ledger, premises: Premises, people: People, request_id: str, action: str, by: str, hand: Hand,
    reason: str | None = None, seen: Withdrawal | None = None,
) -> Spoken:  # fmt: skip
    """Say ``action`` of a withdrawal in the name of ``by``, who signs it as they have ``seen`` it: else as it is
    recorded at this moment.

    Raises `NoSuchRecord`, `Refused` (a role, the maker, a state, a signature), `Frozen`, `Tampered`, and `BadSettings`
    where there are no operators.
    """
    people.need()
    people.person(by, _ROLES[action])  # before anybody is asked to touch a key
    seen = seen or ledger.withdrawal(request_id)
    if seen is None:
        raise NoSuchRecord(f"no withdrawal has the request_id {request_id}")
    with ledger.look() as records:
        now, ledger_id = records.now, records.ledger_id
    facts = {} if reason is None else {"reason": reason}
    statement = Statement(action, intent(seen, people.operators.version), by, now, ledger_id, facts)
    signed = hand.sign(statement)
    ask_ahead([Incoming(seen.request, seen.source, seen)], premises)
    with ledger.write(premises.judge) as books:
        premises.still(books.records)
        before = books.find([request_id]).get(request_id)
        if before is None:
            raise Tampered(f"{request_id} is gone from the database: run `cryptosupport audit verify`, and pay nothing")
        books.sealed([before])
        if (settled := _settled(action, before, by, books, people)) is not None:
            return settled
        subject = intent(before, people.operators.version)
        person = people.speaks(signed, action, subject, books.records, _ROLES[action])
        speaking = Speaking(books, premises, people, before, person, signed)
        over = is_over(before, books.now) and not sanctioned(books, premises, before)
        spoken = _expired(speaking) if over else _ACTIONS[action](speaking)
    if spoken.refusal is not None:
        raise spoken.refusal
    return spoken


def _settled(action: str, before: Withdrawal, by: str, books: Books, people: People) -> Spoken | None:
    """What is there already, when the same person says the same once more after a lost answer."""
    done = {APPROVE: State.APPROVED, REJECT: State.REJECTED}.get(action)
    if before.state is not done:
        return None
    if action == REJECT:
        return Spoken(before, (before.ended_by or "",)) if before.ended_by == by else None
    names = approvers(books, people, before)
    return Spoken(before, names) if by in names else None


# -- approving -------------------------------------------------------------------------------------------------------


def approvers(books: Books, people: People, withdrawal: Withdrawal) -> tuple[str, ...]:
    """Who has approved a withdrawal exactly as it is, and may: never who brought it."""
    return who_said(books.records, people, withdrawal, APPROVE)


def needed(withdrawal: Withdrawal) -> int:
    """How many people have to approve: as the rules say; one more where nobody is proven to have brought it, since it
    could be one of them.
    """
    return withdrawal.decision.approvals + (0 if withdrawal.proven else 1)


def who_said(records: Records, people: People, withdrawal: Withdrawal, action: str) -> tuple[str, ...]:
    """Who has said ``action`` of a withdrawal exactly as it is, and may: never who brought it."""
    subject = intent(withdrawal, people.operators.version)
    names = []
    for signed in records.statements(action, subject):
        if people.still_said(signed, action, subject, records.ledger_id, _ROLES[action]):
            person = people.operators.people[signed.statement.operator]
            if not people.is_maker(person, withdrawal.maker, withdrawal.source):
                names.append(person.name)
    return tuple(dict.fromkeys(names))


def _approve(it: Speaking) -> Spoken:
    before, books = it.before, it.books
    if before.state is not State.AWAITING_APPROVAL:
        raise Refused(_not_in(it, "it waits for no approval"), state=before.state)
    _refuse_maker(it)
    if (frozen := _frozen(it)) is not None:
        return frozen
    if before.decision.policy != it.premises.judge.policy.hash:
        after = decide_anew(books, it.premises, before, it.act("decided", why="the policy has changed"))
        return Spoken(after, refusal=_changed(it, after, "the policy has changed since it was decided"))
    if found := "; ".join(each.reason for each in _new_findings(it)):
        after = decide_anew(books, it.premises, before, it.act("decided", why=found))
        return Spoken(after, refusal=_changed(it, after, found))
    books.records.add_statement(it.signed, it.act("approval", reason=it.signed.statement.facts.get("reason")))
    names = approvers(books, it.people, before)
    missing = max(needed(before) - len(names), 0)
    if missing:
        return Spoken(before, names, missing)
    after = replace(before, state=State.APPROVED, updated_at=books.now)
    books.change(before, after, it.act("approved", by=", ".join(names)))
    return Spoken(after, names)


def is_over(withdrawal: Withdrawal, now: int) -> bool:
    """Whether nobody may approve it any more: its time is over, be it that no run has ended it yet."""
    waits, until = withdrawal.state is State.AWAITING_APPROVAL, withdrawal.expires_at
    return waits and until is not None and now >= until


def _expired(it: Speaking) -> Spoken:
    after = expire(it.books, it.before)
    when = moment(it.before.expires_at or 0)
    return Spoken(after, refusal=Refused(f"{it.name} expired at {when}: nobody had approved it by then"))


def expire(books: Books, before: Withdrawal) -> Withdrawal:
    """End a withdrawal that people have not approved in time."""
    give_back(books, before)
    after = ended(before, State.EXPIRED, None, books.now)
    books.change(before, after, Act("withdrawal.expired", before.request.request_id))
    return after


def _new_findings(it: Speaking) -> list[Voice]:
    """What screening finds today that would stop it: lists change, and so do the desk's own addresses."""
    before = it.before
    guards = Guards(it.premises.guarding, it.books.records, [before.request.customer])
    return findings(guards, before)


def findings(guards: Guards, withdrawal: Withdrawal) -> list[Voice]:
    """What stops a withdrawal that was let through: the guards that hold or deny, unless released."""
    waived = set(withdrawal.waived)
    return [
        voice
        for voice in guards.screened(withdrawal.request, withdrawal.booking)
        if voice.outcome in (Outcome.HOLD, Outcome.DENY) and (voice.unknown or (voice.rule, voice.reason) not in waived)
    ]


# -- rejecting, releasing, holding -----------------------------------------------------------------------------------


def _reject(it: Speaking) -> Spoken:
    before = it.before
    if before.state not in UNSIGNED:
        raise Refused(_not_in(it, "it can no longer be rejected"), state=before.state)
    refuse_blocked(it.books, it.premises, before, "rejected")
    give_back(it.books, before)
    after = ended(before, State.REJECTED, it.person.name, it.books.now)
    reason = it.signed.statement.facts.get("reason")
    it.books.records.add_statement(it.signed, it.act("rejection", reason=reason))
    it.books.change(before, after, it.act("rejected", reason=reason))
    return Spoken(after, (it.person.name,))


def is_blocked(withdrawal: Withdrawal) -> bool:
    """Whether a sanctions list stops it: then it is neither paid nor denied, cancelled or refunded."""
    return withdrawal.state is State.HELD and any(map(blocks, withdrawal.decision.voices))


def sanctioned(books: Books, premises: Premises, withdrawal: Withdrawal) -> bool:
    """Whether its destination is on a sanctions list by now, and nobody has released that."""
    placed = Guards(premises.guarding, books.records, ()).placed(withdrawal.request)
    return any(blocks(voice) and (voice.rule, voice.reason) not in withdrawal.waived for voice in placed)


def refuse_blocked(books: Books, premises: Premises, withdrawal: Withdrawal, what: str) -> None:
    """Raise `Refused` where a sanctions list stops it, be it since today."""
    if is_blocked(withdrawal) or sanctioned(books, premises, withdrawal):
        raise Refused(
            f"{withdrawal.request.request_id} is blocked: its destination is on a sanctions list. It is not {what}: "
            "compliance releases it, or reports it (`cryptosupport withdraw hold ID --reported REFERENCE`)"
        )


def _release(it: Speaking) -> Spoken:
    before, books = it.before, it.books
    if before.state is not State.HELD:
        raise Refused(_not_in(it, "it is not held"), state=before.state)
    _refuse_maker(it)
    if (frozen := _frozen(it)) is not None:
        return frozen
    reason = it.signed.statement.facts.get("reason")
    books.records.add_statement(it.signed, it.act("release", reason=reason))
    names = who_said(books.records, it.people, before, RELEASE)
    missing = max((1 if before.proven else 2) - len(names), 0)
    if missing:
        return Spoken(before, names, missing)
    holds = [voice for voice in before.decision.voices if voice.outcome is Outcome.HOLD]
    # What a rule says is released under the policy that said it; under another one it speaks anew.
    policy = before.decision.policy
    waived = tuple((each.rule, each.reason if each.rule in SCREENED else policy) for each in holds)
    let_go = replace(before, waived=(*before.waived, *waived))
    if _was_taken_back(books, before) and not sanctioned(books, it.premises, let_go):
        return Spoken(_cancelled(it, names), names)
    after = decide_anew(books, it.premises, before, it.act("released", reason=reason, by=", ".join(names)), waived)
    return Spoken(after, names)


def _was_taken_back(books: Books, withdrawal: Withdrawal) -> bool:
    """Whether its last payment was killed, for good: then no signer signs for it with another place."""
    return [each.step for each in books.records.payouts.of(withdrawal.id)][-1:] == [Step.CANCELLED]


def _cancelled(it: Speaking, names: tuple[str, ...]) -> Withdrawal:
    """What only a list of sanctions has kept from being cancelled."""
    give_back(it.books, it.before)
    after = ended(it.before, State.CANCELLED, it.person.name, it.books.now)
    reason = it.signed.statement.facts.get("reason")
    it.books.change(it.before, after, it.act("cancelled", why="released", reason=reason, by=", ".join(names)))
    return after


def _hold(it: Speaking) -> Spoken:
    before, books = it.before, it.books
    reason = it.signed.statement.facts.get("reason") or "no reason was given"
    if before.state not in _STOPPABLE:
        raise Refused(_not_in(it, "it cannot be held"), state=before.state)
    waited = before.state is State.WAITING
    if waited:  # who is held leaves the queue, and is decided as new when it is released
        give_back(books, before)
    booked = before.booked_at is not None and not waited
    told = f"{it.person.name} holds it: {reason}"
    after = put_on_hold(before, told, books.now, it.premises.judge.policy.hash, booked)
    books.records.add_statement(it.signed, it.act("hold", reason=reason))
    books.change(before, after, it.act("held", reason=reason))
    return Spoken(after, (it.person.name,))


_ACTIONS: dict[str, Callable[[Speaking], Spoken]] = {
    APPROVE: _approve,
    REJECT: _reject,
    RELEASE: _release,
    HOLD: _hold,
}


def _refuse_maker(it: Speaking) -> None:
    if it.people.is_maker(it.person, it.before.maker, it.before.source):
        raise Refused(f"{it.person.name} brought {it.name}: somebody else has to look at it")


def _frozen(it: Speaking) -> Spoken | None:
    """What comes of a word while a freeze covers it: nothing, but that the ledger knows what the freeze file says."""
    records = it.books.records
    take_file(records, it.premises.guarding.freeze_file())
    found = refusal(records.freezes(), it.before.booking, it.name)
    return None if found is None else Spoken(it.before, refusal=found)


def _not_in(it: Speaking, what: str) -> str:
    state = it.before.state
    final = ", which is final" if state in ENDED else ""
    return f"{it.name} is {state.replace('_', ' ')}{final}: {what}"


def _changed(it: Speaking, after: Withdrawal, why: str) -> Refused:
    state = after.state.replace("_", " ")
    return Refused(
        f"{why}: {it.name} was decided anew and is {state}. Approvals given before no longer count; look at it again",
        state=after.state,
    )
