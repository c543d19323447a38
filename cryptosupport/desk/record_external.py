"""Record that a withdrawal was paid by hand, so that no run pays it once more (M10).

The chain has to show the payment, and two people have to say that it was for this withdrawal. The first word already
keeps runs from paying it; the second one, once the payment is final, makes the withdrawal final.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from cryptosupport.desk.approve import refuse_blocked
from cryptosupport.desk.cases import Premises
from cryptosupport.desk.list_withdrawals import find
from cryptosupport.desk.people import SIGNERS, Hand, People
from cryptosupport.desk.put_on_hold import put_on_hold
from cryptosupport.domain.audit import Act
from cryptosupport.domain.books import Books, Ledger, Records
from cryptosupport.domain.errors import Refused, Tampered
from cryptosupport.domain.handmade import Claimed, Handmade, shown_to_pay
from cryptosupport.domain.operators import Role
from cryptosupport.domain.payouts import OVER
from cryptosupport.domain.signing import wanted_of
from cryptosupport.domain.statements import Signed, Statement
from cryptosupport.domain.withdrawals import ENDED, State, Withdrawal, canonical

RECORD = "record_external"
ASKED = "withdrawal.external_asked"
"""What the audit log calls one person's word of it."""
BY_HAND = "withdrawal.paid_by_hand"
"""What the audit log calls a withdrawal that people have paid."""

MAY = frozenset({Role.OPS, Role.APPROVER, Role.COMPLIANCE})
_TAKES = frozenset({State.APPROVED, State.WAITING_LIQUIDITY, State.HELD})
"""The states in which no payout of this ledger may still pay it."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What came of it: ``missing`` more people have to say so; ``paid`` is what the chain shows."""

    withdrawal: Withdrawal
    paid: Handmade
    by: tuple[str, ...]
    missing: int


@dataclass(frozen=True, slots=True)
class _Word:
    """One person's word of one payment."""

    people: People
    premises: Premises
    signed: Signed
    paid: Handmade

    @property
    def by(self) -> str:
        """Who speaks."""
        return self.signed.statement.operator

    def act(self, kind: str, name: str, **facts: str | None) -> Act:
        """What the audit log hears."""
        told: dict[str, str | None] = {"txid": self.paid.txid, "block": self.paid.block.hash}
        who = f"operator {self.by}" if self.people.operators else f"{self.by} (unproven)"
        return Act(kind, name, who, told | facts)


def record_external(
    ledger: Ledger, premises: Premises, people: People, request_id: str, claimed: Claimed, by: str, hand: Hand
) -> Recorded:
    """Say in the name of ``by`` that a transaction paid a withdrawal; its chain is asked what it did.

    With operators two of them sign, neither of whom brought the request; without, two names say so which nobody
    proves. Raises `NoSuchRecord`, `Refused`, `OutcomeUnknown`, `Unreachable`, `Tampered`.
    """
    if people.operators:
        people.person(by, MAY)
    seen = find(ledger, request_id)
    if seen.txid != claimed.txid:  # else it may be the same once more, after a lost answer
        _refuse_state(seen)
    paid = shown_to_pay(seen.request, seen.created_at, claimed)
    with ledger.look() as records:
        now, ledger_id = records.now, records.ledger_id
    subject = _subject(seen, claimed.txid)
    statement = Statement(RECORD, subject, by, now, ledger_id, _facts(seen, claimed.txid))
    signed = hand.sign(statement) if people.operators else Signed(statement, "")
    with ledger.write(premises.judge) as books:
        before = books.find([request_id]).get(request_id)
        if before is None:
            raise Tampered(f"{request_id} is gone from the database: run `cryptosupport audit verify`, and pay nothing")
        books.sealed([before])
        return _say(books, _Word(people, premises, signed, paid), before, subject)


def _say(books: Books, word: _Word, before: Withdrawal, subject: str) -> Recorded:
    name, paid, people = before.request.request_id, word.paid, word.people
    if _subject(before, paid.txid) != subject:
        raise Refused(f"{name} was changed meanwhile: look at it again")
    if before.state is State.FINAL and _by_hand(books, name) == paid.txid:
        return Recorded(
            before, paid, _names(books, word, before, subject), 0
        )  # the same once more, after a lost answer
    _refuse_state(before)
    refuse_blocked(books, word.premises, before, "recorded as paid; write it down with `withdraw hold ID --note`")
    vout = _free_output(books, before, paid)
    if people.operators:
        person = people.speaks(word.signed, RECORD, subject, books.records, MAY)
        if people.is_maker(person, before.maker, before.source):
            raise Refused(f"{person.name} brought {name}: somebody else has to look at it")
    books.records.add_statement(word.signed, word.act(ASKED, name))
    names = _names(books, word, before, subject)
    missing = max(SIGNERS - len(names), 0)
    if missing or not paid.final:
        return Recorded(_kept_back(books, word, before), paid, names, missing)
    after = replace(
        before, state=State.FINAL, txid=paid.txid, vout=vout, nonce=None, expires_at=None, updated_at=books.now
    )
    books.change(before, after, word.act(BY_HAND, name, by=", ".join(names)))
    return Recorded(after, paid, names, 0)


def paid_by_hand(records: Records, names: Sequence[str]) -> dict[str, str]:
    """The transactions that people have paid these withdrawals by, by request id."""
    found = records.last_acts(BY_HAND, set(names))
    return {name: str(entry.act.facts.get("txid")) for name, entry in found.items()}


def _by_hand(books: Books, name: str) -> str | None:
    return paid_by_hand(books.records, [name]).get(name)


def _kept_back(books: Books, word: _Word, before: Withdrawal) -> Withdrawal:
    """The withdrawal, held from now on."""
    if before.state is State.HELD:
        return before
    reason = (
        f"{word.by} says that {word.paid.txid} paid it by hand: a second person has to say so, and it has to be final"
    )
    policy = word.premises.judge.policy.hash
    after = put_on_hold(before, reason, books.now, policy, booked=before.booked_at is not None)
    books.change(before, after, word.act("withdrawal.held", before.request.request_id, reason=reason))
    return after


def _names(books: Books, word: _Word, withdrawal: Withdrawal, subject: str) -> tuple[str, ...]:
    """Who says so today, each once."""
    records, people = books.records, word.people
    said = records.statements(RECORD, subject)
    if not people.operators:
        return tuple(each.statement.operator for each in said if not each.signature)
    names = []
    for each in said:
        if people.still_said(each, RECORD, subject, records.ledger_id, MAY):
            person = people.operators.people[each.statement.operator]
            if not people.is_maker(person, withdrawal.maker, withdrawal.source):
                names.append(person.name)
    return tuple(dict.fromkeys(names))


def _refuse_state(withdrawal: Withdrawal) -> None:
    """Raise `Refused` where something else has paid it, may pay it, or is to be said of it first."""
    name, state = withdrawal.request.request_id, withdrawal.state
    if state in _TAKES:
        return
    words = state.replace("_", " ")
    if state is State.FINAL:
        raise Refused(f"{name} is final: {withdrawal.txid} paid it", state=state)
    if state in ENDED:
        raise Refused(
            f"{name} is {words}, which is final: it is not paid by a run, and nothing is recorded", state=state
        )
    if state in (State.WAITING, State.AWAITING_APPROVAL, State.REQUESTED):
        raise Refused(f"{name} is {words}: hold it first (`cryptosupport withdraw hold {name}`)", state=state)
    raise Refused(
        f"{name} is {words}: a payment of this ledger is under way, and may pay it too. `cryptosupport withdraw kill "
        f"{name}` takes its place; only when that is final is it known whether both have paid",
        state=state,
    )


def _free_output(books: Books, before: Withdrawal, paid: Handmade) -> int | None:
    """The output of the payment that no other withdrawal has, by number where the chain has numbers.

    Raises `Refused` where each is somebody else's, or the transaction is one of this ledger.
    """
    name, payouts, asked = before.request.request_id, books.records.payouts, before.request
    ours = payouts.with_txid([paid.txid])
    live = [each for each in payouts.of(before.id) if each.step not in OVER]
    if ours or live:
        number = live[0].id if live else ours[paid.txid]
        raise Refused(f"{name}: payout {number} of this ledger has {paid.txid} or may pay it: nothing was paid by hand")
    others = payouts.recorded_with(asked.chain, paid.txid)
    same = [each for each in others if each.id != before.id and wanted_of(each) == wanted_of(before)]
    taken = {each.vout for each in same if each.vout is not None}
    free = [each for each in paid.outputs if each.vout is None or each.vout not in taken]
    if len(paid.outputs) <= len(same) or not free:
        names = ", ".join(each.request.request_id for each in same)
        raise Refused(f"{paid.txid} has paid {names} already, and pays this {len(paid.outputs)} times", txid=paid.txid)
    return free[0].vout


def _subject(withdrawal: Withdrawal, txid: str) -> str:
    """What a statement is bound to: this request, and this transaction."""
    request = withdrawal.request
    asked = [request.request_id, request.customer, request.chain, request.asset.symbol, request.asset.contract]
    return hashlib.sha256(canonical([*asked, str(request.base_units), request.destination, txid])).hexdigest()


def _facts(withdrawal: Withdrawal, txid: str) -> dict[str, str]:
    """The same in words."""
    request = withdrawal.request
    amount = f"{request.amount} {request.asset.symbol}"
    return {"request_id": request.request_id, "amount": amount, "destination": request.destination, "txid": txid}


def recorded_record(recorded: Recorded) -> dict[str, Any]:
    """What came of it, as further fields of the withdrawal's record."""
    paid = recorded.paid
    external = {
        "txid": paid.txid,
        "from": paid.outputs[0].sender,
        "height": paid.block.height,
        "block_hash": paid.block.hash,
        "final": paid.final,
    }
    return {"external": external, "said_by": list(recorded.by), "missing": recorded.missing}
