"""Take approved withdrawals for payment: each gets its place and its unsigned attempt in one transaction (M4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cryptosupport.desk.approve import findings
from cryptosupport.desk.cases import Incoming, ask_ahead
from cryptosupport.desk.decide_anew import decide_anew
from cryptosupport.desk.fee_caps import most_fees
from cryptosupport.desk.freeze import refusal
from cryptosupport.desk.guards import Guards
from cryptosupport.desk.put_on_hold import put_on_hold
from cryptosupport.desk.till import Shift
from cryptosupport.domain.audit import Act
from cryptosupport.domain.books import Books
from cryptosupport.domain.errors import InsufficientFunds, Waits
from cryptosupport.domain.money import format_base_units
from cryptosupport.domain.paying import Draft, Payment, Short, Survey, TooDear, Unpayable
from cryptosupport.domain.payouts import Attempt, Item, Kind, Payout, Plan, Step
from cryptosupport.domain.withdrawals import State, Withdrawal

_TAKES = (State.APPROVED, State.WAITING_LIQUIDITY)


@dataclass
class _Reserving:
    """One transaction in which withdrawals are taken."""

    shift: Shift
    books: Books
    guards: Guards
    place: int
    next_id: int
    short: set[str]

    def take(self, before: Withdrawal, draft: Draft) -> Payout | None:
        """The payout of a withdrawal, None where it is not to be paid now."""
        if self._kept_back(before):
            return None
        match draft:
            case Plan():
                return self._payout(before, draft)
            case Unpayable(reason=reason):
                policy = self.shift.paying.premises.judge.policy.hash
                after = put_on_hold(before, f"it cannot be paid: {reason}", self.books.now, policy, booked=True)
                self._move(before, after, "withdrawal.held", reason)
            case Short():
                self._wait(before, draft)
            case TooDear(reason=reason):
                self.shift.errors.append(Waits(f"{before.request.request_id} waits for lower fees: {reason}"))
        return None

    def _kept_back(self, before: Withdrawal) -> bool:
        """Whether something keeps it from being paid that was not there when it was let through (M28)."""
        request, premises = before.request, self.shift.paying.premises
        if before.request.asset.symbol in self.short:
            return True
        if (frozen := refusal(self.guards.freezes, before.booking, request.request_id)) is not None:
            self.shift.errors.append(Waits(frozen.message))
            return True
        if found := findings(self.guards, before):
            told = "; ".join(each.reason for each in found)
            act = Act("withdrawal.screened", request.request_id, facts={"found": told})
            after = decide_anew(self.books, premises, before, act)
            self.shift.moved[after.id] = after
            return True
        return False

    def _payout(self, before: Withdrawal, plan: Plan) -> Payout:
        till, now = self.shift.till, self.books.now
        placed, claims = till.payer.place(plan, self.place)
        item = Item(before.id, before.request.request_id)
        attempt = Attempt(1, Kind.PAY, placed, now)
        payout = Payout(
            self.next_id, till.chain, till.wallet, till.payer.source, claims, (item,), Step.RESERVED,
            self.shift.lease.fence, now, now, (attempt,),
        )  # fmt: skip
        self.place, self.next_id = self.place + 1, self.next_id + 1
        nonce = int(claims[0]) if len(claims) == 1 and claims[0].isdigit() else None
        after = replace(before, state=State.RESERVED, nonce=nonce, txid=None, vout=None, updated_at=now)
        self._move(before, after, "withdrawal.reserved", f"payout {payout.id}")
        return payout

    def _wait(self, before: Withdrawal, short: Short) -> None:
        """Of one asset nothing is paid before this one: those who came first are paid first."""
        self.short.add(before.request.asset.symbol)
        decimals = before.request.asset.decimals or 0
        needs, has = (format_base_units(units, decimals) for units in (short.needs, short.has))
        wallet = self.shift.till.wallet
        said = f"{before.request.request_id} needs {needs} {short.symbol}, and {wallet} has {has}: refill the wallet"
        self.shift.errors.append(InsufficientFunds(said, wallet=wallet, needs=needs, has=has))
        if before.state is State.APPROVED:
            after = replace(before, state=State.WAITING_LIQUIDITY, updated_at=self.books.now)
            self._move(before, after, "withdrawal.waiting_liquidity", said)

    def _move(self, before: Withdrawal, after: Withdrawal, kind: str, why: str) -> None:
        self.books.change(before, after, Act(kind, before.request.request_id, facts={"why": why}))
        self.shift.moved[after.id] = after


def reserve(shift: Shift, survey: Survey, room: int) -> list[Payout]:
    """Take up to ``room`` withdrawals that the wallet is to pay, the first ones first; their payouts.

    Raises `Locked` where another worker has the wallet by now, `NodesFailed`, `BadSettings`.
    """
    paying, till = shift.paying, shift.till
    with paying.ledger.look() as records:
        wanted = records.payouts.payable(till.chain, till.wallet, room)
    if not wanted:
        return []
    ask_ahead([Incoming(each.request, each.source, each) for each in wanted], paying.premises)
    most = most_fees(paying, till.chain, [[each] for each in wanted])
    payments = [_payment(each, fee) for each, fee in zip(wanted, most, strict=True)]
    drafts = till.payer.draft(payments, survey)
    with paying.ledger.write(paying.premises.judge) as books:
        paying.premises.still(books.records)
        purse = books.records.payouts.fenced(shift.lease)
        guards = Guards(paying.premises.guarding, books.records, [each.request.customer for each in wanted])
        taking = _Reserving(shift, books, guards, purse.place, books.records.payouts.next_id, set())
        pairs = list(_as_they_are(shift, books, wanted, drafts))
        payouts = [payout for before, draft in pairs if (payout := taking.take(before, draft)) is not None]
        books.records.payouts.add(payouts)
        books.records.payouts.set_purse(shift.renewed(replace(purse, place=taking.place), books.now))
    return payouts


def _payment(withdrawal: Withdrawal, most_fee: int | None) -> Payment:
    request = withdrawal.request
    return Payment(request.request_id, request.asset, request.base_units, request.destination, most_fee)


def _as_they_are(
    shift: Shift, books: Books, wanted: Sequence[Withdrawal], drafts: Sequence[Draft]
) -> Iterator[tuple[Withdrawal, Draft]]:
    """The withdrawals that are still as they were when their drafts were made, and as this program wrote them."""
    found = books.find([each.request.request_id for each in wanted])
    sound = {each.id for each in books.sound(list(found.values()), shift.paying.premises.guarding.tampered)}
    for each, draft in zip(wanted, drafts, strict=True):
        now = found.get(each.request.request_id)
        if now is not None and now.id in sound and now.state in _TAKES and now.updated_at == each.updated_at:
            yield now, draft
