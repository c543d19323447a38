"""Replay what was asked for against a draft of the policy, and say what would have come of it.

Every request comes at its time, with its wallet, its value and its fee as they were recorded; what was cancelled is
cancelled when it was. What waits under the draft is decided again when the desk decided again, and before each request
that comes later, as `withdraw submit` does; where many wait, less often.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from cryptosupport.desk.cases import without_wallet
from cryptosupport.desk.read_history import Past
from cryptosupport.domain.money import Quantity, format_base_units
from cryptosupport.domain.policy.decision import Decision, Outcome
from cryptosupport.domain.policy.judging import Case, Judge, NotKnown
from cryptosupport.domain.policy.replay import Replay
from cryptosupport.domain.policy.rules import Booking, Per, Policy, Rule
from cryptosupport.domain.prices import MICRO
from cryptosupport.domain.withdrawal_record import moment

SCHEMA = "cryptosupport.backtest/1"

_ENDLESS = Quantity(10**100, 0)
"""A hot balance that nothing is too large for: what it was is not recorded."""


@dataclass(frozen=True, slots=True)
class Change:
    """A request that the draft decides otherwise."""

    past: Past
    after: Decision


@dataclass
class Comparison:
    """What came of it, and what would have: how many requests of each outcome, and up to ``most`` changes, the first
    to come first.
    """

    most: int
    before: Counter[Outcome] = field(default_factory=Counter)
    after: Counter[Outcome] = field(default_factory=Counter)
    changed: int = 0
    _listed: list[tuple[int, Change]] = field(default_factory=list)  # a heap, the last to come on top

    @property
    def changes(self) -> list[Change]:
        """The changes that are listed."""
        return [change for _, change in sorted(self._listed, key=lambda each: -each[0])]

    def count(self, number: int, past: Past, after: Decision) -> None:
        """Count the request that came as the ``number``-th."""
        self.before[past.outcome] += 1
        self.after[after.outcome] += 1
        asked = past.approvals in (after.approvals, None) or after.outcome is not Outcome.APPROVAL
        if past.outcome is not after.outcome or not asked:
            self.changed += 1
            keep = heapq.heappush if len(self._listed) < self.most else heapq.heappushpop
            keep(self._listed, (-number, Change(past, after)))


def backtest(history: Iterable[Past], draft: Policy, most: int, since: int | None = None) -> Comparison:
    """Decide the ``history``, which is in order of arrival, by the ``draft``.

    Only what came at or after ``since`` (milliseconds since 1970) is compared; what came before counts in the sums all
    the same. Memory holds what waits or counts in a window, up to ``most`` changes and, where the draft has cooling
    rules, who asked for which destination.
    """
    comparison = Comparison(most)

    def settle(number: int, past: Past, after: Decision) -> None:
        if since is None or past.created_at >= since:
            comparison.count(number, past, after)

    course = _Course(draft, settle)
    for number, past in enumerate(history):
        course.arrive(number, past)
    course.end()
    return comparison


class _Course:
    """How things go under the draft; ``settle`` is told what came of each request when it waits no longer."""

    def __init__(self, draft: Policy, settle: Callable[[int, Past, Decision], None]) -> None:
        self._settle = settle
        self._replay = Replay(Judge(draft))
        self._waiting: dict[int, tuple[Past, Decision]] = {}
        self._ahead: list[tuple[int, int]] = []  # a heap: when, and which one is given back; _TURN for none
        self._last = self._turned = -1
        self._came = 0  # how many since those who wait had their turn
        self._cooling = any(rule.cooling is not None for rule in draft.rules)
        self._known: dict[bytes, int] = {}
        self._wallets = draft.speaks_of_wallets

    def arrive(self, number: int, past: Past) -> None:
        """The next request."""
        self._go_to(past.created_at)
        self._came += 1
        if past.created_at > self._last and self._replay.waiting <= _AGAIN * self._came:
            self._turn(past.created_at)
        self._last = past.created_at
        decision = self._replay.arrive(str(number), self._case(past), lasts=past.given_back is None)
        if past.decided_again is not None:
            heapq.heappush(self._ahead, (past.decided_again, _TURN))
        if past.given_back is not None:
            heapq.heappush(self._ahead, (past.given_back, number))
        if decision.outcome is Outcome.WAIT:
            self._waiting[number] = past, decision
        else:
            self._settle(number, past, decision)

    def end(self) -> None:
        """No more requests come."""
        self._go_to(_END)
        for number, (past, decision) in self._waiting.items():
            self._settle(number, past, decision)

    def _go_to(self, now: int) -> None:
        """Let happen what happened by then between the requests."""
        while self._ahead and self._ahead[0][0] <= now:
            at, number = heapq.heappop(self._ahead)
            if number == _TURN:
                self._turn(at)
            else:
                self._replay.cancel(str(number), at)
                if number in self._waiting:
                    self._settle(number, *self._waiting.pop(number))

    def _turn(self, now: int) -> None:
        """Decide again what waits, once at one time."""
        if self._replay.waiting and now > self._turned:
            self._turned, self._came = now, 0
            for name, decision in self._replay.advance(now):
                past, _ = self._waiting.pop(int(name))
                self._settle(int(name), past, decision)

    def _case(self, past: Past) -> Case:
        booking = past.booking
        beside = past.beside
        if booking.wallet is None and self._wallets:
            beside += (without_wallet(booking.chain),)
        return Case(
            booking,
            past.created_at,
            no_value="no usable price was recorded",
            known_since=self._known_since(booking, past.created_at) if self._cooling else None,
            evidence=past.evidence,
            hot_balance=NotKnown(f"{booking.chain} had no hot wallet") if booking.wallet is None else _ENDLESS,
            customer_balance=None,
            further=beside,
        )

    def _known_since(self, booking: Booking, now: int) -> int:
        """When this customer first asked for this destination; a hash of both stands for them."""
        pair = hashlib.blake2b(f"{booking.customer}\0{booking.destination}".encode(), digest_size=12).digest()
        return self._known.setdefault(pair, now)


_AGAIN = 10
"""So many of those who wait are decided again for each request that comes; where more wait, it is not for each one."""

_TURN, _END = 2**62, 2**62
"""No request has this number, and it sorts behind all; no time is as late."""


# -- what is told ----------------------------------------------------------------------------------------------------


def notes(draft: Policy, from_file: bool) -> list[str]:
    """What the history does not tell, and what was taken in its place, rule by rule of the draft."""

    def named(which: Callable[[Rule], object]) -> str:
        return ", ".join(rule.name for rule in draft.rules if which(rule))

    told = [
        (
            "what hot wallets held is not recorded: max_percent is not checked in",
            named(lambda rule: rule.max_percent is not None),
        ),
        (
            "what customers had is not recorded: their balance is not checked in",
            named(lambda rule: "balance" in rule.require),
        ),
    ]
    if from_file:
        told += [
            (
                "the file does not tell what customers showed: all of it counts as shown in",
                named(lambda rule: {*rule.require} - {"balance"}),
            ),
            (
                "the file does not tell country and source: these rules match nothing:",
                named(lambda rule: {"country", "source"} & rule.match.keys()),
            ),
            (
                "the file does not tell network fees: they are left out of the sums of",
                named(lambda rule: rule.per in (Per.WALLET, Per.GLOBAL) and rule.max_count is None),
            ),
            (
                "destinations are new where the file begins, in",
                named(lambda rule: rule.cooling is not None),
            ),
        ]
    return [f"{what} {rules}" for what, rules in told if rules]


def as_record(comparison: Comparison, draft: Policy, from_file: bool) -> dict[str, Any]:
    """The whole comparison; ``changes`` are up to as many as were asked for."""
    return {
        "schema": SCHEMA,
        "policy": draft.hash,
        "requests": comparison.before.total(),
        "changed": comparison.changed,
        "before": {outcome.value: comparison.before[outcome] for outcome in Outcome},
        "after": {outcome.value: comparison.after[outcome] for outcome in Outcome},
        "changes": [_change_record(change) for change in comparison.changes],
        "notes": notes(draft, from_file),
    }


def _change_record(change: Change) -> dict[str, Any]:
    past, booking, after = change.past, change.past.booking, change.after
    return {
        "request_id": past.request_id,
        "created_at": moment(past.created_at),
        "customer": booking.customer,
        "amount": str(booking.amount),
        "asset": booking.asset,
        "value_usd": None if booking.value is None else format_base_units(booking.value, MICRO),
        "before": past.outcome.value,
        "after": after.outcome.value,
        "approvals": {"before": past.approvals, "after": after.approvals},
        "why": _why(after),
    }


def _why(decision: Decision) -> str:
    """What the strictest rule says."""
    if decision.outcome is Outcome.ALLOW:
        return "all rules that match let it pass"
    return next(f"{voice.rule}: {voice.reason}" for voice in decision.voices if voice.outcome is decision.outcome)
