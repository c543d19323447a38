"""Adopt a wallet that has paid before: two people say that what it has sent is not for this ledger to explain (B13).

Only places beyond those that this ledger has given out are adopted: the payouts of this ledger keep theirs, and none is
jumped over. So that the wallet cannot get stuck behind what may vanish, nothing unknown may wait in the pool, and the
signer may have signed nothing for a place that the chain has not used.

Where places are coins, what is adopted are the transactions that this ledger does not know, each in a final block: the
log has the height of the last one, how many there are and their digest. Whatever comes later is an alarm again, and so
are all of them where up to that height there are others. What the signer has signed and no block has keeps nothing
waiting there; the withdrawals that it was for are held, as the signer remembers them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cryptosupport.desk.people import SIGNERS, Hand, People, refuse_former
from cryptosupport.desk.till import Till
from cryptosupport.desk.watch_wallet import strangers, unknown
from cryptosupport.domain.adoption import ADOPTED, SIGNER_HEAD, Places, history_facts, places_in, places_text
from cryptosupport.domain.audit import Act, Head
from cryptosupport.domain.books import Ledger, Records
from cryptosupport.domain.errors import Refused
from cryptosupport.domain.operators import Role
from cryptosupport.domain.paying import HighWater, Survey
from cryptosupport.domain.payouts import Purse
from cryptosupport.domain.statements import Signed, Statement
from cryptosupport.domain.withdrawal_record import moment
from cryptosupport.domain.withdrawals import canonical

ADOPT = "wallet.adopt"
MAY = frozenset({Role.OPS, Role.COMPLIANCE})
"""The roles whose holders adopt wallets."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """A wallet that is to go on from the nonce ``place``; it does once ``missing`` is 0. ``at`` is milliseconds since
    1970, ``before`` its next place until then, None where it was not bound. Where places are coins there are no nonces:
    ``spends`` transactions are adopted, in blocks up to ``height``.
    """

    wallet: str
    chain: str
    address: str
    place: int | None
    before: int | None
    height: int | None
    spends: int | None
    reason: str
    by: tuple[str, ...]
    missing: int
    at: int


@dataclass(frozen=True, slots=True)
class _Outside:
    """What chain and signer say of the wallet of ``till``; ``known`` is how far its signer knows the log."""

    till: Till
    survey: Survey
    mark: HighWater
    known: Head | None


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is spoken of: the ``purse`` as it is, and as it is to be; ``last`` is the entry of the last adoption.

    ``history`` is what is adopted where places are coins, in words for the log.
    """

    till: Till
    purse: Purse | None
    place: int
    places: Places
    last: int
    history: Mapping[str, str] | None = None

    @property
    def subject(self) -> str:
        """What a statement is bound to."""
        before = None if self.purse is None else str(self.purse.place)
        told = [self.till.wallet, self.till.chain, self.till.payer.source, str(self.place), before, str(self.last)]
        listed = [] if self.history is None else [self.history["height"], self.history["digest"]]
        return hashlib.sha256(canonical([*told, *listed])).hexdigest()

    @property
    def facts(self) -> Mapping[str, str]:
        """The same in words."""
        till = self.till
        history = {"nonce": str(self.place)} if self.history is None else self.history
        return {"wallet": till.wallet, "chain": till.chain, "address": till.payer.source, **history}

    @property
    def adopted(self) -> Purse:
        """The purse as it is to be."""
        till = self.till
        purse = self.purse or Purse(till.chain, till.payer.source, till.wallet, 0, 0)
        if self.history is not None:
            return replace(purse, adopted=int(self.history["height"]) + 1)
        adopted = self.place if self.place > purse.place else purse.adopted
        return replace(purse, place=self.place, adopted=adopted)

    def said(self, reason: str, by: tuple[str, ...], at: int) -> Adopted:
        """What has come of it, said by these."""
        till, history = self.till, self.history
        before = None if self.purse is None or history is not None else self.purse.place
        return Adopted(
            till.wallet, till.chain, till.payer.source, self.place if history is None else None, before,
            None if history is None else int(history["height"]), None if history is None else int(history["spends"]),
            reason, by, max(SIGNERS - len(by), 0), at,
        )  # fmt: skip


def adopt(ledger: Ledger, people: People, till: Till, reason: str, by: str, hand: Hand) -> Adopted:
    """Have this ledger pay from a wallet that has a history, in the name of ``by``; the second person's word does it.

    With operators both sign; without, two names do which nobody proves. What was said counts no more once the wallet
    has sent something again. Freezes stay. Raises `Refused`, `NodesFailed`.
    """
    if people.operators:
        people.person(by, MAY)
    with ledger.look() as records:
        ledger_id = records.ledger_id
    outside = _Outside(till, till.payer.survey(()), till.signer.high_water(), till.signer.head(ledger_id))
    with ledger.look() as records:
        wanted = _wanted(records, outside)
        facts = dict(wanted.facts)
        statement = Statement(ADOPT, wanted.subject, by, records.now, records.ledger_id, facts)
    signed = hand.sign(statement) if people.operators else Signed(statement, "")
    with ledger.act() as records:
        refuse_former(records, people)
        if _wanted(records, outside).subject != wanted.subject:
            raise Refused(f"{till.wallet} changed meanwhile: look at it, and say so again", wallet=till.wallet)
        wanted = _wanted(records, outside)  # with its lease as it is by now
        names = _said(records, people, wanted, signed, reason)
        adopted = wanted.said(reason, names, records.now)
        if not adopted.missing:
            records.payouts.set_purse(wanted.adopted, _act(people, wanted, outside, reason, by, names))
        return adopted


def adopted_record(adopted: Adopted) -> dict[str, Any]:
    """What came of it, as a record."""
    names = ("wallet", "chain", "address", "height", "spends", "reason", "missing")
    told = {name: getattr(adopted, name) for name in names} | {"said_by": list(adopted.by)}
    adopted_at = None if adopted.missing else moment(adopted.at)
    return told | {"next_nonce": adopted.place, "next_nonce_before": adopted.before, "adopted_at": adopted_at}


def _wanted(records: Records, outside: _Outside) -> _Wanted:
    """What adopting means now. Raises `Refused` where there is nothing to adopt, or it is too early."""
    till, survey, known = outside.till, outside.survey, outside.known
    wallet, source = till.wallet, till.payer.source
    purse = records.payouts.purse(till.chain, source)
    given_out = 0 if purse is None else purse.place
    forgot = known is not None and known.number > 0 and records.log_hash(known.number) != known.hash
    if survey.spends is not None:
        history = _history(records, till, purse, survey, forgot)
        return _Wanted(till, purse, given_out, (), _last(records, wallet)[0], history)
    if survey.pending <= given_out and not forgot:
        raise _nothing(wallet, purse, given_out)
    if survey.pending > max(survey.used, given_out):
        raise Refused(
            f"{wallet}: of its transactions that this ledger does not know, {survey.pending - survey.used} wait for a "
            "block, and may still vanish: adopt it when they are mined",
            wallet=wallet,
        )
    place = max(survey.pending, given_out)
    _refuse_jumps(records, outside, given_out, place)
    last, facts = _last(records, wallet)
    places = places_in(facts) if (facts.get("chain"), facts.get("address")) == (till.chain, source) else ()
    added = ((given_out, place - 1),) if place > given_out else ()
    return _Wanted(till, purse, place, (*places, *added), last)


def _last(records: Records, wallet: str) -> tuple[int, Mapping[str, str | None]]:
    """The number of the entry of the last adoption, and its facts; 0 where there was none."""
    entry = records.last_acts(ADOPTED, {wallet}).get(wallet)
    return (0, {}) if entry is None else (entry.number, entry.act.facts)


def _nothing(wallet: str, purse: Purse | None, sent: int) -> Refused:
    why = "has sent nothing yet: it is bound with its first payment" if purse is None else (
        f"is bound to this ledger, which knows of all that it has sent ({sent} transactions)"
    )  # fmt: skip
    return Refused(f"{wallet} {why}; there is nothing to adopt", wallet=wallet)


def _history(records: Records, till: Till, purse: Purse | None, survey: Survey, forgot: bool) -> Mapping[str, str]:
    """The transactions that are adopted where places are coins: all that this ledger does not know, old and new.

    Raises `Refused` where there is nothing new, or one of them may still vanish.
    """
    wallet, spends = till.wallet, survey.spends or ()
    foreign = unknown(records, spends)
    bare = purse or Purse(till.chain, till.payer.source, wallet, 0, 0)
    if not strangers(records, bare, survey) and not forgot:
        raise _nothing(wallet, purse, len(spends))
    early = [each for each in foreign if not each.final]
    if early:
        waiting = sum(each.block is None for each in early)
        raise Refused(
            f"{wallet}: of its transactions that this ledger does not know, {waiting} wait for a block and "
            f"{len(early) - waiting} are in blocks that are not final yet ({early[0].txid}): they may still vanish. "
            "Adopt it when they are final",
            wallet=wallet,
            txid=early[0].txid,
        )
    return history_facts(foreign)


def _refuse_jumps(records: Records, outside: _Outside, given_out: int, place: int) -> None:
    """Raise `Refused` where something that is signed, or under way, would be left behind."""
    till, mark = outside.till, outside.mark
    if mark.highest is not None and mark.highest >= place:
        raise Refused(
            f"the signer of {till.wallet} has signed a payment with nonce {mark.highest}, which the chain has not used "
            "yet: whoever has those bytes can still send them. Use that nonce up, and adopt the wallet then",
            wallet=till.wallet,
            place=mark.highest,
        )
    for payout in records.payouts.live(till.chain, till.payer.source):
        if any(claim.isdigit() and int(claim) >= given_out for claim in payout.claims):
            raise Refused(f"payout {payout.id} of {till.wallet} is under way, and would be jumped over: look at it")


def _said(records: Records, people: People, wanted: _Wanted, signed: Signed, reason: str) -> tuple[str, ...]:
    """Keep what somebody says now; all who say so today."""
    subject, by = wanted.subject, signed.statement.operator
    if people.operators:
        people.speaks(signed, ADOPT, subject, records, MAY)
    facts: dict[str, str | None] = {**wanted.facts, "reason": reason}
    records.add_statement(signed, Act("wallet.adopt_asked", wanted.till.wallet, _who(people, by), facts))
    said = records.statements(ADOPT, subject)
    if not people.operators:
        return tuple(each.statement.operator for each in said if not each.signature)
    counting = (each for each in said if people.still_said(each, ADOPT, subject, records.ledger_id, MAY))
    return tuple(each.statement.operator for each in counting)


def _act(people: People, wanted: _Wanted, outside: _Outside, reason: str, by: str, names: tuple[str, ...]) -> Act:
    facts: dict[str, str | None] = {**wanted.facts, "reason": reason, "by": ", ".join(names)}
    if wanted.history is None:
        facts["nonces"] = places_text(wanted.places)
    facts[SIGNER_HEAD] = None if outside.known is None else outside.known.text
    return Act(ADOPTED, wanted.till.wallet, _who(people, by), facts)


def _who(people: People, by: str) -> str:
    return f"operator {by}" if people.operators else f"{by} (unproven)"
