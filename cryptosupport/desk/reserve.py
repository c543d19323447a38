"""Take approved withdrawals for payment: each gets its place and its unsigned attempt in one transaction (M4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from cryptosupport.desk.approve import findings
from cryptosupport.desk.cases import Incoming, ask_ahead
from cryptosupport.desk.decide_anew import decide_anew, ended
from cryptosupport.desk.fee_caps import most_fees
from cryptosupport.desk.freeze import refusal
from cryptosupport.desk.guards import Guards
from cryptosupport.desk.put_on_hold import put_on_hold
from cryptosupport.desk.till import Shift
from cryptosupport.domain.audit import Act
from cryptosupport.domain.books import Books
from cryptosupport.domain.errors import InsufficientFunds, Refused, Waits
from cryptosupport.domain.money import format_base_units
from cryptosupport.domain.paying import Draft, Output, Payment, Short, Survey, TooDear, Unpayable
from cryptosupport.domain.payouts import Attempt, Item, Kind, Payout, Plan, Step, is_coin
from cryptosupport.domain.sweeps import is_sweep
from cryptosupport.domain.withdrawals import State, Withdrawal

_TAKES = (State.APPROVED, State.WAITING_LIQUIDITY)
_FURTHER = 64
"""So many are looked at together where what came before them cannot be paid now."""


@dataclass
class _Reserving:
    """One transaction of the ledger in which withdrawals are taken.

    ``spoilt`` are those that kept others from being paid, which one transaction was to pay with them.
    """

    shift: Shift
    books: Books
    guards: Guards
    place: int
    next_id: int
    room: int
    remembered: Mapping[str, str]
    payouts: list[Payout] = field(default_factory=list)
    spoilt: set[int] = field(default_factory=set)

    def take(self, wanted: Sequence[Withdrawal], drafts: Sequence[Draft]) -> None:
        """Take what can be paid now of ``wanted``, by up to ``room`` transactions.

        What one of them is to pay is taken together, or not at all.
        """
        sound = self._as_they_are(wanted)
        batches: dict[str, list[tuple[Withdrawal, Output]]] = {}
        for each, draft in zip(wanted, drafts, strict=True):
            if isinstance(draft, Output):
                batches.setdefault(draft.plan.text, []).append((each, draft))
            elif len(self.payouts) >= self.room:
                break
            elif each.id in sound and not self._kept_back(sound[each.id]):
                self._take(sound[each.id], draft)
        for members in batches.values():
            out = {each.id for each, _ in members if each.id not in sound or self._kept_back(sound[each.id])}
            if out:
                self.spoilt |= out
            else:
                paid = [(sound[each.id], draft.number) for each, draft in members]
                self._pay(paid, members[0][1].plan)

    def _take(self, before: Withdrawal, draft: Plan | Unpayable | TooDear | Short) -> None:
        match draft:
            case Plan():
                self._pay([(before, 0)], draft)
            case Unpayable(reason=reason):
                policy = self.shift.paying.premises.judge.policy.hash
                after = put_on_hold(before, f"it cannot be paid: {reason}", self.books.now, policy, booked=True)
                self._move(before, after, "withdrawal.held", reason)
            case Short() if is_sweep(before.request.request_id):
                self._drop(before, draft)
            case Short():
                self._wait(before, draft)
            case TooDear(reason=reason):
                self.shift.errors.append(Waits(f"{before.request.request_id} waits for lower fees: {reason}"))

    def _as_they_are(self, wanted: Sequence[Withdrawal]) -> dict[int, Withdrawal]:
        """Those that are still as they were when their drafts were made, and as this program wrote them, by id."""
        found = self.books.find([each.request.request_id for each in wanted])
        tampered = self.shift.paying.premises.guarding.tampered
        sound = {each.id: each for each in self.books.sound(list(found.values()), tampered)}
        seen = {each.id: each.updated_at for each in wanted}
        return {id: it for id, it in sound.items() if it.state in _TAKES and it.updated_at == seen.get(id)}

    def _kept_back(self, before: Withdrawal) -> bool:
        """Whether something keeps it from being paid that was not there when it was let through (M28)."""
        request, premises = before.request, self.shift.paying.premises
        if before.request.asset.symbol in self.shift.short:
            return True
        if (frozen := refusal(self.guards.freezes, before.booking, request.request_id)) is not None:
            self.shift.errors.append(Waits(frozen.message))
            return True
        if (signed := self.remembered.get(request.request_id)) is not None:
            self._hold_signed(before, signed)
            return True
        if found := findings(self.guards, before):
            told = "; ".join(each.reason for each in found)
            act = Act("withdrawal.screened", request.request_id, facts={"found": told})
            after = decide_anew(self.books, premises, before, act)
            self.shift.moved[after.id] = after
            return True
        return False

    def _hold_signed(self, before: Withdrawal, signed: str) -> None:
        """Hold what the signer has signed for with another place: with a new one it would sign neither it nor a payment
        to ourselves, and everything later would wait for that.
        """
        name, policy = before.request.request_id, self.shift.paying.premises.judge.policy.hash
        reason = (
            f"the signer has signed for it with {signed}, which this ledger does not know, or holds for lost: what has "
            "that place may have paid it. Have it recorded (`cryptosupport withdraw record-external`), or reject it; "
            "where a stranger's transaction has that place, `cryptosupport signer retire` first"
        )
        after = put_on_hold(before, reason, self.books.now, policy, booked=True)
        self._move(before, after, "withdrawal.held", reason)
        self.shift.errors.append(Refused(f"{name} is held: {reason}", wallet=self.shift.till.wallet, request_id=name))

    def _pay(self, paid: Sequence[tuple[Withdrawal, int]], plan: Plan) -> None:
        """One payout of these withdrawals, each by its output."""
        till, now = self.shift.till, self.books.now
        placed, claims = till.payer.place(plan, self.place)
        items = tuple(Item(each.id, each.request.request_id, number) for each, number in paid)
        attempt = Attempt(1, Kind.PAY, placed, now)
        payout = Payout(
            self.next_id, till.chain, till.wallet, till.payer.source, claims, items, Step.RESERVED,
            self.shift.lease.fence, now, now, (attempt,),
        )  # fmt: skip
        self.place, self.next_id = self.place + 1, self.next_id + 1
        nonce = int(claims[0]) if len(claims) == 1 and claims[0].isdigit() else None
        for before, _ in paid:
            after = replace(before, state=State.RESERVED, nonce=nonce, txid=None, vout=None, updated_at=now)
            self._move(before, after, "withdrawal.reserved", f"payout {payout.id}")
        self.payouts.append(payout)

    def _drop(self, before: Withdrawal, short: Short) -> None:
        """Give up a sweep that there is no surplus for any more: customers never wait behind one."""
        needs, has = self._in_words(before, short)
        said = f"it needs {needs} {short.symbol}, and {self.shift.till.wallet} has {has}"
        self._move(before, ended(before, State.CANCELLED, None, self.books.now), "withdrawal.cancelled", said)

    def _wait(self, before: Withdrawal, short: Short) -> None:
        """Of one asset nothing is paid before this one: those who came first are paid first."""
        self.shift.short.add(before.request.asset.symbol)
        needs, has = self._in_words(before, short)
        wallet = self.shift.till.wallet
        said = f"{before.request.request_id} needs {needs} {short.symbol}, and {wallet} has {has}: refill the wallet"
        self.shift.errors.append(InsufficientFunds(said, wallet=wallet, needs=needs, has=has))
        if before.state is State.APPROVED:
            after = replace(before, state=State.WAITING_LIQUIDITY, updated_at=self.books.now)
            self._move(before, after, "withdrawal.waiting_liquidity", said)

    def _in_words(self, before: Withdrawal, short: Short) -> tuple[str, str]:
        """What is needed and what there is, as decimals: of its own asset, or of the coin that fees are paid in."""
        asset = before.request.asset
        if short.symbol != asset.symbol:
            asset = self.shift.paying.premises.chains[before.request.chain].coin or asset
        return format_base_units(short.needs, asset.decimals or 0), format_base_units(short.has, asset.decimals or 0)

    def _move(self, before: Withdrawal, after: Withdrawal, kind: str, why: str) -> None:
        self.books.change(before, after, Act(kind, before.request.request_id, facts={"why": why}))
        self.shift.moved[after.id] = after


def reserve(shift: Shift, survey: Survey, room: int) -> list[Payout]:
    """Take withdrawals that the wallet is to pay, the first ones first, for up to ``room`` transactions; their payouts.

    What spoils a transaction that was to pay others too is left out of the next one, and where nothing of what came
    first can be paid now (a customer is frozen, it costs too much) what came later is looked at. Raises `Locked` where
    another worker has the wallet by now, `NodesFailed`, `BadSettings`.
    """
    left_out: set[int] = set()
    while wanted := _wanted(shift, room, left_out):
        taking, for_all = _reserve(shift, survey, wanted, room)
        if taking.payouts:
            return taking.payouts
        if taking.spoilt:
            left_out |= taking.spoilt
        elif for_all:
            break
        else:
            shift.passed = wanted[-1].id
    return []


def _wanted(shift: Shift, room: int, left_out: set[int]) -> list[Withdrawal]:
    """What is to be paid now; of customers none where a batch is not due yet."""
    paying, till = shift.paying, shift.till
    most = max(room * till.payer.together + len(left_out), _FURTHER if shift.passed else 0)
    with paying.ledger.look() as records:
        found = records.payouts.payable(till.chain, till.wallet, most, shift.passed)
        wanted = [each for each in found if each.id not in left_out]
        sweeps = [each for each in wanted if is_sweep(each.request.request_id)]
        others = [each for each in wanted if each not in sweeps]
        due = till.payer.together == 1 or paying.batching.is_due(others, records.now)
    return wanted if due else sweeps


def _reserve(shift: Shift, survey: Survey, wanted: Sequence[Withdrawal], room: int) -> tuple[_Reserving, bool]:
    """What was taken, and whether fees are too high for anything to be paid."""
    paying, till = shift.paying, shift.till
    ask_ahead([Incoming(each.request, each.source, each) for each in wanted], paying.premises)
    most = most_fees(paying, till.chain, [[each] for each in wanted])
    coins = _dead_coins(shift, wanted)
    payments = [_payment(each, fee, coins.get(each.id, ())) for each, fee in zip(wanted, most, strict=True)]
    drafts = till.payer.draft(payments, survey)
    remembered = till.signer.remembered([each.request.request_id for each in wanted])
    with paying.ledger.write(paying.premises.judge) as books:
        paying.premises.still(books.records)
        purse = books.records.payouts.fenced(shift.lease)
        guards = Guards(paying.premises.guarding, books.records, [each.request.customer for each in wanted])
        taking = _Reserving(shift, books, guards, purse.place, books.records.payouts.next_id, room, remembered)
        taking.take(wanted, drafts)
        books.records.payouts.add(taking.payouts)
        books.records.payouts.set_purse(shift.renewed(replace(purse, place=taking.place), books.now))
    return taking, any(isinstance(each, TooDear) and each.for_all for each in drafts)


def _dead_coins(shift: Shift, wanted: Sequence[Withdrawal]) -> dict[int, tuple[str, ...]]:
    """The coins of former payments that are dead, by the id of what they were to pay."""
    with shift.paying.ledger.look() as records:
        former = {it.id: records.payouts.of(it.id) for it in wanted if it.txid is not None}
    return {
        id: tuple(claim for each in payouts if each.step is Step.DEAD for claim in each.claims if is_coin(claim))
        for id, payouts in former.items()
    }


def _payment(withdrawal: Withdrawal, most_fee: int | None, before: tuple[str, ...]) -> Payment:
    request = withdrawal.request
    return Payment(request.request_id, request.asset, request.base_units, request.destination, most_fee, before)
