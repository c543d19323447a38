"""Reconcile hot wallets three ways, to the base unit: withdrawals, payouts with their bytes, and the chain (M82).

Of each wallet that this ledger pays from:

a. every withdrawal that is final has one final payout, whose bytes pay exactly that, and which the chain has in a final
   block, with status 1 (and the token's own log where it is a token), or was paid by hand, as two people recorded;
b. the chain has used no more nonces than were given out, and each that was given out is of a payout, or was adopted;
c. every withdrawal that is being paid has a payout that lives, with its nonce, and stands where that one stands;
d. no withdrawal is in two payouts that paid;
e. who was paid the same within a day is told, as a remark;
f. balances add up since the last time: see `balance_books` for what can be told of what comes in;
g. what is final is so by as many operators as the settings ask for.

A fault freezes the wallet and is written into the audit log, once a day. Payouts are gone through some at a time,
however many there are, and each page of the ledger is of one moment: workers may pay meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cryptosupport.desk.balance_books import Sums, balanced, opening_of
from cryptosupport.desk.match_payouts import Page, Pending, Spent, hold_against_chain, hold_against_ledger, read_page
from cryptosupport.desk.record_external import paid_by_hand
from cryptosupport.desk.watch_wallet import freeze_wallet, strangers
from cryptosupport.domain.adoption import ADOPTED, Places, first_unadopted, places_in
from cryptosupport.domain.audit import Act
from cryptosupport.domain.books import Ledger
from cryptosupport.domain.errors import NodesFailed, Tampered
from cryptosupport.domain.findings import KINDS, Finding, Weight
from cryptosupport.domain.paying import Payer
from cryptosupport.domain.payouts import Payout, Purse, Step
from cryptosupport.domain.withdrawals import PAYING, State

FAULT, ENDED = "reconcile.fault", "reconcile.ended"
"""What the audit log calls a fault that was found, and the end of a reconcile."""

_AT_ONCE = 400
"""How many payouts are read, and asked about, together."""

_MOST_LOGGED = 100
"""So many faults of a wallet are written into the audit log one by one; the rest is counted."""

_DAY = 86_400_000
_TO_BE_PAID = (State.FINAL, State.REVERTED, *sorted(PAYING))
"""The states that only a payout brings about."""


@dataclass(frozen=True, slots=True)
class Teller:
    """One wallet with its chain, and without a key; ``pays`` is whether the settings let it pay."""

    chain: str
    wallet: str
    payer: Payer
    pays: bool


@dataclass
class Tally:
    """What a reconcile has found so far: how many of each weight, and how much was gone through."""

    found: dict[Weight, int] = field(default_factory=dict)
    wallets: int = 0
    payouts: int = 0

    @property
    def sentence(self) -> str:
        """The same in a line."""
        told = [f"{self.found.get(weight, 0)} {weight.name.lower()}" for weight in Weight]
        return f"{self.wallets} wallets, {self.payouts} payouts: {', '.join(told)}"


def reconcile(ledger: Ledger, tellers: Iterable[Teller], tally: Tally) -> Iterator[Finding]:
    """Everything that does not fit, as it is found; ``tally`` counts.

    What fails for one wallet keeps no other from being reconciled. Raises `Unreachable` where the ledger is, and in the
    end the first `Tampered`.
    """
    tampered: list[Tampered] = []
    for teller in tellers:
        yield from _Reconciling(ledger, teller, tally, tampered).run()
    for error in tampered:
        raise error


def finding_record(finding: Finding) -> dict[str, str]:
    """A finding as a record."""
    return {name: getattr(finding, name) for name in ("wallet", "kind", "subject", "message")}


class _Reconciling:
    """One wallet."""

    def __init__(self, ledger: Ledger, teller: Teller, tally: Tally, tampered: list[Tampered]) -> None:
        self._ledger = ledger
        self._teller = teller
        self._tally = tally
        self._tampered = tampered
        self._weights: dict[Weight, int] = {}
        self._purse: Purse | None = None
        self._places: Places = ()
        self._next = 0
        self._count, self._in_order = 0, True  # coins have no order: then payouts are counted

    def run(self) -> Iterator[Finding]:
        """What is found, and what follows from it."""
        self._tally.wallets += 1
        for finding in self._found():
            self._note(finding)
            yield finding
        self._end()

    def _found(self) -> Iterator[Finding]:
        try:
            yield from self._hold()
        except NodesFailed as failure:
            yield self._finding("unreachable", "", f"it cannot be reconciled: {failure.message}")
        except Tampered as error:
            self._tampered.append(error)
            yield self._finding("tampered", str(error.facts.get("request_id", "")), error.message)

    def _hold(self) -> Iterator[Finding]:
        chain, wallet, payer = self._teller.chain, self._teller.wallet, self._teller.payer
        with self._ledger.look() as records:
            opening, why = opening_of(records, chain, payer.source, wallet)
            adopted = records.last_acts(ADOPTED, {wallet}).get(wallet)
        if adopted is not None and adopted.act.facts.get("address") == payer.source:
            self._places = places_in(adopted.act.facts)
        if why:
            yield self._finding("begun", "", f"balances are summed up anew: {why}")
        standing = payer.standing()
        sums = Sums(wallet, opening, standing)
        for words in standing.disagree:
            yield self._finding("disagree", "", words)
        yield from self._hold_outflow()
        if self._purse is None:
            return
        yield from self._hold_payouts(sums)
        yield from self._hold_withdrawals()
        if not self._broken:
            yield from sums.compare(payer)
        if not self._broken and not self._weights.get(Weight.FAULT) and sums.exact:
            with self._ledger.act() as records:
                records.log(balanced(chain, payer.source, wallet, standing))

    @property
    def _broken(self) -> bool:
        """Whether something could not be told: then sums would be wrong."""
        return bool(self._weights.get(Weight.UNREACHABLE) or self._weights.get(Weight.UNKNOWN))

    def _hold_outflow(self) -> Iterator[Finding]:
        """The chain is asked first, and the ledger then: what is paid in between is no outflow."""
        survey = self._teller.payer.survey(())
        with self._ledger.look() as records:
            self._purse = purse = records.payouts.purse(self._teller.chain, self._teller.payer.source)
            found = [] if purse is None else strangers(records, purse, survey)
        if purse is None:
            if survey.used and self._teller.pays:
                what = f"it has sent {survey.used} transactions, and is not bound to this ledger"
                adopt = f"is it the wallet of another? If not: `cryptosupport wallet adopt {self._teller.wallet}`"
                yield self._finding("unbound", "", f"{what}: {adopt}")
        elif found:
            what = f"it has sent {len(found)} transactions that this ledger does not know, from {found[0]} on"
            yield self._finding("outflow", found[0], f"{what}: a restored backup, or a stolen key")

    def _hold_payouts(self, sums: Sums) -> Iterator[Finding]:
        payer, after = self._teller.payer, 0
        while True:
            with self._ledger.look() as records:
                page = read_page(records, self._teller.chain, payer.source, after, _AT_ONCE)
                purse = records.payouts.purse(self._teller.chain, payer.source)
            last = len(page.payouts) < _AT_ONCE
            for payout in page.payouts:
                yield from self._hold_place(payout, sums)
            yield from hold_against_ledger(page)
            yield from self._hold_chain(page, sums)
            self._tally.payouts += len(page.payouts)
            if last:
                yield from self._hold_rest(purse)
                return
            after = page.payouts[-1].id

    def _hold_chain(self, page: Page, sums: Sums) -> Iterator[Finding]:
        if not page.payouts:
            return
        survey = self._teller.payer.survey(page.payouts)
        for each in hold_against_chain(page, survey, self._teller.payer):
            if isinstance(each, Spent | Pending):
                sums.add(each)
            else:
                yield each

    def _hold_place(self, payout: Payout, sums: Sums) -> Iterator[Finding]:
        """Nonces are given out in the order of payouts, each once."""
        if payout.step is Step.DEAD and sums.opening is not None and payout.updated_at >= sums.opening.at:
            sums.opening = None
            yield self._finding("begun", "", "balances are summed up anew: a stranger's transaction came in between")
        self._count += 1
        for claim in payout.claims:
            if not claim.isdigit():
                self._in_order = False
                continue
            place = int(claim)
            if place < self._next:
                what = f"payout {payout.id} has nonce {place}, which was used before"
                yield self._finding("order", f"nonce {place}", what)
                continue
            yield from self._hold_gap(place - 1)
            self._next = place + 1

    def _hold_rest(self, purse: Purse | None) -> Iterator[Finding]:
        place = 0 if purse is None else purse.place
        if not self._in_order:
            if self._count < place:
                what = f"{place} payouts were made, and {self._count} are there: somebody took one out of the database"
                yield self._finding("gap", f"payout {self._count}", what)
            return
        yield from self._hold_gap(place - 1)
        if self._next > place:
            what = f"a payout has nonce {self._next - 1}, and the ledger would give out nonce {place} next"
            yield self._finding("order", f"nonce {place}", what)

    def _hold_gap(self, last: int) -> Iterator[Finding]:
        if (missing := first_unadopted(self._next, last, self._places)) is not None:
            many = f"nonces {missing} to {last}" if missing < last else f"nonce {missing}"
            what = f"no payout has {many}: somebody took it out of the database"
            yield self._finding("gap", f"nonce {missing}", what)

    def _hold_withdrawals(self) -> Iterator[Finding]:
        chain, wallet = self._teller.chain, self._teller.wallet
        for state in _TO_BE_PAID:
            found = [(0, "")]
            while found:
                with self._ledger.look() as records:
                    found = records.payouts.unmatched(chain, wallet, state, found[-1][0], _AT_ONCE)
                    explained = paid_by_hand(records, [name for _, name in found]) if state is State.FINAL else {}
                for _, name in found:
                    if name not in explained:
                        yield self._finding("unpaid", name, f"{name} is {state.value}, and no payout made it so")
        with self._ledger.look() as records:
            for name, earlier in records.payouts.repeats(chain, wallet, _DAY):
                what = f"{name} pays the same customer the same, to the same destination, as {earlier} within a day"
                yield self._finding("repeat", name, what)

    # -- what follows

    def _note(self, finding: Finding) -> None:
        """Count a finding; a fault freezes the wallet, and is written down."""
        weight = finding.weight
        self._weights[weight] = count = self._weights.get(weight, 0) + 1
        self._tally.found[weight] = self._tally.found.get(weight, 0) + 1
        if weight is not Weight.FAULT or count > _MOST_LOGGED:
            return
        facts = {"kind": finding.kind, "about": finding.subject, "found": finding.message}
        about = f"{finding.wallet} {finding.kind} {finding.subject}"
        with self._ledger.act() as records:
            if count == 1:
                freeze_wallet(records, finding.wallet, f"reconcile: {KINDS[finding.kind][1]} ({finding.subject})")
            last = records.last_acts(FAULT, {about}).get(about)
            if last is None or records.now - last.at > _DAY:
                records.log(Act(FAULT, about, facts=facts))

    def _end(self) -> None:
        """Say in the log how it ended, where it did not end well."""
        counts = {weight.name.lower(): str(count) for weight, count in sorted(self._weights.items())}
        if self._broken or self._weights.get(Weight.FAULT):
            with self._ledger.act() as records:
                records.log(Act(ENDED, self._teller.wallet, facts=dict[str, str | None](counts)))

    def _finding(self, kind: str, subject: str, what: str) -> Finding:
        wallet = self._teller.wallet
        return Finding(wallet, kind, subject or wallet, f"{wallet}: {what}")
