"""Every rule that matches speaks; the strictest voice counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from cryptosupport.domain.money import NOTHING, Quantity
from cryptosupport.domain.policy.decision import DEFAULT_DENY, SANCTIONS, Decision, Outcome, Voice, strictest
from cryptosupport.domain.policy.periods import describe, duration
from cryptosupport.domain.policy.rules import Booking, Policy, Rule
from cryptosupport.domain.policy.windows import Measure, Place, Window, measures
from cryptosupport.domain.prices import MICRO

Used: TypeAlias = Callable[[Place], Quantity]
"""What is used already, by place."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the backend showed of one requirement; ``at`` is when (milliseconds since 1970), None for not told."""

    given: bool
    at: int | None = None


@dataclass(frozen=True, slots=True)
class NotKnown:
    """What could not be found out, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Case:
    """A request with all that rules may ask about it; times in milliseconds since 1970.

    ``prices`` made the value (symbol, USD); ``no_value`` says why ``booking.value`` is None. ``known_since`` is when
    this customer first asked for this destination, None for never before. ``hot_balance`` is of the wallet and asset;
    ``customer_balance`` what the customer has left of the asset, None where the desk has no feed. ``further`` are
    voices beside the rules', such as an asset's hard cap. ``asked_at`` is when the request came, None for now: what it
    showed then does not grow old while it waits. ``waived`` are the holds that compliance released, as (rule, reason);
    for whatever a rule of a policy says the reason is the hash of that policy.
    """

    booking: Booking
    now: int
    prices: tuple[tuple[str, str], ...] = ()
    no_value: str = ""
    known_since: int | None = None
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    hot_balance: Quantity | NotKnown = NotKnown("it was not asked")
    customer_balance: Quantity | NotKnown | None = None
    further: tuple[Voice, ...] = ()
    asked_at: int | None = None
    waived: frozenset[tuple[str, str]] = frozenset()

    def later(self, now: int) -> Case:
        """The same request at a later time, with the facts of its first day."""
        asked_at = self.now if self.asked_at is None else self.asked_at
        known_since = asked_at if self.known_since is None else self.known_since
        return replace(self, now=now, asked_at=asked_at, known_since=known_since)


@dataclass(frozen=True, slots=True)
class Numbers:
    """What is ``used`` of a ``limit`` (or threshold) already and what the request ``adds``, in ``unit``."""

    used: Quantity
    adds: Quantity
    limit: Quantity
    unit: str

    @property
    def total(self) -> Quantity:
        """What it comes to with this request."""
        return self.used + self.adds

    @property
    def left(self) -> Quantity:
        """How much a request may add; nothing where more than the limit is used."""
        left = self.limit - self.used
        return left if left.units > 0 else NOTHING


@dataclass(frozen=True, slots=True)
class Finding:
    """One test of a rule: what comes of it, why, and the ``numbers`` where it measures something, over ``window``.

    ``place`` is False where the request alone is more than the whole limit of the window, ``booked`` where it must not
    count anywhere yet. ``unknown``: it holds only because something could not be found out just now.
    """

    outcome: Outcome
    reason: str
    numbers: Numbers | None = None
    window: Window | None = None
    place: bool = True
    booked: bool = True
    unknown: bool = False


class Judge:
    """A policy, made ready to decide many requests. ``windows`` are all that its rules count in, by id."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.windows: dict[str, Window] = {}
        self._of: dict[str, list[Window]] = {}
        for rule in policy.rules:
            counted = [Window.of(rule, measure) for measure in measures(rule)]
            self._of[rule.name] = [self.windows.setdefault(window.id, window) for window in counted]
        # A request that waits elsewhere stays in these: it will need the room. In a queue that it is not in, it must
        # not be in the way of those who can go.
        self._kept = {
            window.id for rule in policy.rules if rule.exceeded is not Outcome.WAIT for window in self._of[rule.name]
        }

    def decide(self, case: Case, used: Used) -> Decision:
        """Say whether the request may be paid.

        Every rule that matches speaks, the strictest voice counts (deny > hold > wait > approval > allow), and a
        request that no rule permits is denied. ``used`` says what is booked already, without this request. The order of
        the rules does not matter.
        """
        voices, findings, permitted = [self._heard(each, case) for each in case.further], list[Finding](), False
        for rule in self.policy.rules:
            if rule.matches(case.booking):
                permitted = permitted or rule.permits
                found = list(self.findings(rule, case, used))
                findings.extend(found)
                voices.append(self._heard(voice(rule, found), case))
        if not permitted:
            voices.append(unpermitted(case.booking))
        outcome = strictest(each.outcome for each in voices)
        if any(blocks(each) for each in voices):
            outcome = Outcome.HOLD  # it is neither paid nor denied, whatever else speaks
        booked = outcome is not Outcome.DENY and all(finding.booked for finding in findings)
        unbooked = self._unbooked(findings, outcome) if booked else ()
        policy, value = self.policy.hash, case.booking.value
        return Decision(outcome, tuple(voices), policy, case.now, booked, unbooked, value, case.prices)

    def findings(self, rule: Rule, case: Case, used: Used) -> Iterator[Finding]:
        """All that one of the policy's rules, which matches, has to say of the request."""
        booking = case.booking
        if rule.deny:
            yield Finding(Outcome.DENY, "this rule denies it")
        if rule.allow:
            yield Finding(Outcome.ALLOW, "this rule allows it without a limit")
        if rule.approvals and rule.above_amount is None and rule.above_value is None:
            yield Finding(Outcome.APPROVAL, f"{_people(rule)} to approve")
        if rule.cooling is not None:
            yield _cooled(rule, rule.cooling, case)
        for name in rule.require:
            yield _shown(rule, name, case)
        if rule.period is None:
            yield from _of_one(rule, case)
        for window in self._of[rule.name]:
            place = window.place(booking, case.now)
            if place is None:
                yield Finding(Outcome.HOLD, f"{booking.chain} has no hot wallet whose sum could be told", unknown=True)
            else:
                yield from _of_a_sum(rule, window, case, used(place))

    def _heard(self, voice: Voice, case: Case) -> Voice:
        """The voice, or that compliance released what it says; what could not be found out is never released."""
        released = not case.waived.isdisjoint({(voice.rule, voice.reason), (voice.rule, self.policy.hash)})
        if voice.outcome is Outcome.HOLD and released and not voice.unknown and not voice.doubtful:
            return Voice(voice.rule, Outcome.ALLOW, f"released by compliance: {voice.reason}")
        return voice

    def _unbooked(self, findings: list[Finding], outcome: Outcome) -> tuple[str, ...]:
        """The windows in which the request takes no place.

        Where it is more than the whole limit; where it is held and would have to queue; and where it waits, in the
        queues that it could pass. What is let through counts everywhere, also where a person let it pass a limit.
        """
        if outcome not in (Outcome.WAIT, Outcome.HOLD):
            return ()
        out = {finding.window.id for finding in findings if finding.window is not None and not finding.place}
        queued = {
            finding.window.id for finding in findings if finding.window is not None and finding.outcome is Outcome.WAIT
        }
        if outcome is Outcome.HOLD:
            out |= queued
        else:
            entered = {finding.window.id for finding in findings if finding.window is not None}
            out |= entered - queued - self._kept
        return tuple(sorted(out))


def blocks(voice: Voice) -> bool:
    """Whether it is a hit on a sanctions list: what is blocked is neither paid nor denied, cancelled or refunded."""
    return voice.rule == SANCTIONS and voice.outcome is Outcome.HOLD


def unpermitted(booking: Booking) -> Voice:
    """What speaks where no rule permits the request."""
    return Voice(DEFAULT_DENY, Outcome.DENY, f"no rule permits {booking.asset} on {booking.chain} here")


def voice(rule: Rule, findings: Sequence[Finding]) -> Voice:
    """What a rule says in all, out of what it found."""
    outcome = strictest(finding.outcome for finding in findings)
    approvals = rule.approvals if any(finding.outcome is Outcome.APPROVAL for finding in findings) else 0
    found_out = [not finding.unknown for finding in findings if finding.outcome is outcome]
    reason = "; ".join(finding.reason for finding in findings)
    return Voice(rule.name, outcome, reason, approvals, unknown=not any(found_out), doubtful=not all(found_out))


def _of_one(rule: Rule, case: Case) -> Iterator[Finding]:
    """Limits and approvals by this request alone."""
    booking = case.booking
    amount, unit = booking.amount, booking.asset
    if rule.max_amount is not None:
        yield _within(rule, Numbers(NOTHING, amount, rule.max_amount, unit))
    if rule.max_percent is not None:
        limit = _share(rule.max_percent, case)
        yield limit if isinstance(limit, Finding) else _within(rule, Numbers(NOTHING, amount, limit, unit))
    if rule.above_amount is not None:
        yield _above(rule, Numbers(NOTHING, amount, rule.above_amount, unit))
    if rule.max_value is not None:
        numbers = _valued(case, NOTHING, Quantity(booking.value or 0, MICRO), rule.max_value, rule.max_amount)
        yield numbers if isinstance(numbers, Finding) else _within(rule, numbers)
    if rule.above_value is not None:
        numbers = _valued(case, NOTHING, Quantity(booking.value or 0, MICRO), rule.above_value, rule.above_amount)
        yield numbers if isinstance(numbers, Finding) else _above(rule, numbers)


def _of_a_sum(rule: Rule, window: Window, case: Case, used: Quantity) -> Iterator[Finding]:
    """Limits and approvals by the sum that this request brings about in one window."""
    adds, unit = window.counts(case.booking), case.booking.asset
    match window.measure:
        case Measure.COUNT:
            assert rule.max_count is not None
            yield _fits(rule, window, Numbers(used, adds, Quantity(rule.max_count, 0), "withdrawals"))
        case Measure.VALUE:
            if rule.max_value is not None:
                numbers = _valued(case, used, adds, rule.max_value, rule.max_amount)
                yield numbers if isinstance(numbers, Finding) else _fits(rule, window, numbers)
            if rule.above_value is not None:
                numbers = _valued(case, used, adds, rule.above_value, rule.above_amount)
                yield numbers if isinstance(numbers, Finding) else _above(rule, numbers, window)
        case Measure.AMOUNT:
            if rule.max_amount is not None:
                yield _fits(rule, window, Numbers(used, adds, rule.max_amount, unit))
            if rule.max_percent is not None:
                limit = _share(rule.max_percent, case)
                yield limit if isinstance(limit, Finding) else _fits(rule, window, Numbers(used, adds, limit, unit))
            if rule.above_amount is not None:
                yield _above(rule, Numbers(used, adds, rule.above_amount, unit), window)


def _within(rule: Rule, numbers: Numbers) -> Finding:
    asked, limit, unit = numbers.adds, numbers.limit, numbers.unit
    if asked <= limit:
        return Finding(Outcome.ALLOW, f"{asked} {unit} is within the limit of {limit} {unit}", numbers)
    return Finding(rule.exceeded, f"{asked} {unit} is over the limit of {limit} {unit} by {asked - limit}", numbers)


def _fits(rule: Rule, window: Window, numbers: Numbers) -> Finding:
    """Whether what is used and this request together are within the limit, the limit itself included (M22)."""
    used, limit, unit = numbers.used, numbers.limit, numbers.unit
    period, whose = describe(window.period), window.per
    if numbers.total <= limit:
        reason = f"{numbers.total} of {limit} {unit} with this one, over {period} per {whose} ({used} used before)"
        return Finding(Outcome.ALLOW, reason, numbers, window)
    reason = f"{numbers.total} {unit} would be over the limit of {limit} {unit} over {period} per {whose}"
    reason += f": {used} used, {numbers.adds} asked"
    if numbers.adds <= limit:
        return Finding(rule.exceeded, reason, numbers, window)
    reason += "; alone it is more than the whole limit, so it fits only when the limit is raised"
    return Finding(rule.exceeded, reason, numbers, window, place=False)


def _above(rule: Rule, numbers: Numbers, window: Window | None = None) -> Finding:
    """Whether people have to approve: above the threshold, not at it."""
    over = f" over {describe(window.period)} per {window.per}" if window is not None else ""
    told = f"{numbers.total} {numbers.unit}{over}"
    if numbers.total <= numbers.limit:
        return Finding(Outcome.ALLOW, f"{told} is not above {numbers.limit} {numbers.unit}", numbers, window)
    reason = f"{told} is above {numbers.limit} {numbers.unit}: {_people(rule)} to approve"
    return Finding(Outcome.APPROVAL, reason, numbers, window)


def _people(rule: Rule) -> str:
    return "1 person has" if rule.approvals == 1 else f"{rule.approvals} people have"


def _share(percent: Quantity, case: Case) -> Quantity | Finding:
    """That percentage of the hot wallet's balance, rounded down to base units."""
    balance = case.hot_balance
    if isinstance(balance, NotKnown):
        return Finding(Outcome.HOLD, f"the hot wallet's balance is not known: {balance.reason}", unknown=True)
    decimals = max(balance.decimals, case.booking.amount.decimals)
    return Quantity(balance.at(decimals) * percent.units // 10 ** (percent.decimals + 2), decimals)


def _valued(case: Case, used: Quantity, adds: Quantity, limit: int, by_amount: Quantity | None) -> Numbers | Finding:
    """The numbers of a value limit in micro-USD.

    Without a usable price the same rule's limit ``by_amount`` speaks, where it has one; else a person decides (M26).
    """
    if case.booking.value is not None:
        return Numbers(used, adds, Quantity(limit, MICRO), "USD")
    if by_amount is not None:
        return Finding(Outcome.ALLOW, f"value not checked, the amount counts: {case.no_value}")
    return Finding(Outcome.HOLD, f"its value is not known: {case.no_value}", unknown=True)


def _cooled(rule: Rule, cooling: int, case: Case) -> Finding:
    """Whether this customer has known this destination for long enough."""
    since = case.known_since
    age = 0 if since is None else case.now - since
    if age >= cooling:
        return Finding(Outcome.ALLOW, f"the destination has been known for {duration(age)} of {duration(cooling)}")
    left = duration(cooling - age)
    reason = f"the destination is new to this customer: {left} of {duration(cooling)} are left"
    return Finding(rule.exceeded, reason, booked=rule.exceeded is not Outcome.WAIT)


def _shown(rule: Rule, name: str, case: Case) -> Finding:
    """Whether the evidence ``name`` was given, and is young enough."""
    if name == "balance":
        return _has_the_money(rule, case)
    words = name.replace("_", " ")
    evidence = case.evidence.get(name)
    if evidence is None or not evidence.given:
        return Finding(rule.exceeded, f"{words}: not shown")
    if rule.max_age is None or name == "beneficiary":
        return Finding(Outcome.ALLOW, f"{words}: shown")
    if evidence.at is None:
        return Finding(rule.exceeded, f"{words}: shown without its time, and {duration(rule.max_age)} is its limit")
    age = (case.now if case.asked_at is None else case.asked_at) - evidence.at
    if age < -_AHEAD:
        return Finding(rule.exceeded, f"{words}: its time lies {duration(-age)} ahead")
    if age > rule.max_age:
        return Finding(rule.exceeded, f"{words}: {duration(age)} old, at most {duration(rule.max_age)} is asked for")
    return Finding(Outcome.ALLOW, f"{words}: shown {duration(max(age, 0))} ago")


_AHEAD = 300_000
"""The backend's clock may be ahead of ours by 5 minutes."""


def _has_the_money(rule: Rule, case: Case) -> Finding:
    balance, amount, unit = case.customer_balance, case.booking.amount, case.booking.asset
    if balance is None:
        return Finding(Outcome.ALLOW, "balance: not checked, the desk has no feed of balances")
    if isinstance(balance, NotKnown):
        return Finding(Outcome.HOLD, f"balance: not known: {balance.reason}", unknown=True)
    if amount <= balance:
        return Finding(Outcome.ALLOW, f"balance: {balance} {unit} covers {amount}")
    return Finding(rule.exceeded, f"balance: {balance} {unit} does not cover {amount}")
