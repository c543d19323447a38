"""Every rule that matches speaks; the strictest voice counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from cryptosupport.domain.money import Quantity
from cryptosupport.domain.policy.decision import Decision, Outcome, Voice, strictest
from cryptosupport.domain.policy.periods import describe, duration
from cryptosupport.domain.policy.rules import Booking, Policy, Rule
from cryptosupport.domain.policy.windows import Measure, Place, Window, measures
from cryptosupport.domain.prices import MICRO, usd

Used: TypeAlias = Callable[[Place], Quantity]
"""What is used already, by place."""

DEFAULT_DENY = "default deny"
"""The name under which it speaks that no rule permits."""


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
    voices beside the rules', such as an asset's hard cap.
    """

    booking: Booking
    now: int
    prices: tuple[tuple[str, str], ...] = ()
    no_value: str = ""
    known_since: int | None = None
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    hot_balance: Quantity | NotKnown = NotKnown("it was not asked")  # noqa: RUF009  frozen
    customer_balance: Quantity | NotKnown | None = None
    further: tuple[Voice, ...] = ()


@dataclass(frozen=True, slots=True)
class _Finding:
    """One test of a rule. ``place`` is False where the request alone is more than the whole limit of ``window``."""

    outcome: Outcome
    reason: str
    window: Window | None = None
    place: bool = True
    booked: bool = True


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
        voices, findings, permitted = list(case.further), list[_Finding](), False
        for rule in self.policy.rules:
            if rule.matches(case.booking):
                permitted = permitted or rule.permits
                found = list(self._test(rule, case, used))
                findings.extend(found)
                voices.append(_voice(rule, found))
        if not permitted:
            booking = case.booking
            voices.append(Voice(DEFAULT_DENY, Outcome.DENY, f"no rule permits {booking.asset} on {booking.chain} here"))
        outcome = strictest(voice.outcome for voice in voices)
        booked = outcome is not Outcome.DENY and all(finding.booked for finding in findings)
        unbooked = self._unbooked(findings, outcome) if booked else ()
        policy, value = self.policy.hash, case.booking.value
        return Decision(outcome, tuple(voices), policy, case.now, booked, unbooked, value, case.prices)

    def _unbooked(self, findings: list[_Finding], outcome: Outcome) -> tuple[str, ...]:
        """The windows in which the request takes no place.

        Where it is more than the whole limit; where it is held and would have to queue; and where it waits, in the
        queues that it could pass.
        """
        out = {finding.window.id for finding in findings if finding.window is not None and not finding.place}
        if outcome in (Outcome.WAIT, Outcome.HOLD):
            queued = {
                finding.window.id
                for finding in findings
                if finding.window is not None and finding.outcome is Outcome.WAIT
            }
            if outcome is Outcome.HOLD:
                out |= queued
            else:
                entered = {finding.window.id for finding in findings if finding.window is not None}
                out |= entered - queued - self._kept
        return tuple(sorted(out))

    def _test(self, rule: Rule, case: Case, used: Used) -> Iterator[_Finding]:
        """All that the rule has to say of the request."""
        booking = case.booking
        if rule.deny:
            yield _Finding(Outcome.DENY, "this rule denies it")
        if rule.allow:
            yield _Finding(Outcome.ALLOW, "this rule allows it without a limit")
        if rule.cooling is not None:
            yield _cooled(rule, rule.cooling, case)
        for name in rule.require:
            yield _shown(rule, name, case)
        if rule.period is None:
            yield from _of_one(rule, case)
        for window in self._of[rule.name]:
            place = window.place(booking, case.now)
            if place is None:
                yield _Finding(Outcome.HOLD, f"{booking.chain} has no hot wallet whose sum could be told")
            else:
                yield from _of_a_sum(rule, window, case, used(place))


def _voice(rule: Rule, findings: list[_Finding]) -> Voice:
    outcome = strictest(finding.outcome for finding in findings)
    approvals = rule.approvals if any(finding.outcome is Outcome.APPROVAL for finding in findings) else 0
    return Voice(rule.name, outcome, "; ".join(finding.reason for finding in findings), approvals)


def _of_one(rule: Rule, case: Case) -> Iterator[_Finding]:
    """Limits and approvals by this request alone."""
    booking = case.booking
    amount = booking.amount
    if rule.max_amount is not None:
        yield _within(rule, amount, rule.max_amount, booking.asset)
    if rule.max_value is not None:
        if booking.value is None:
            yield _unvalued(case, rule.max_amount is not None)
        else:
            yield _within(rule, Quantity(booking.value, MICRO), Quantity(rule.max_value, MICRO), "USD")
    if rule.max_percent is not None:
        limit = _share(rule.max_percent, case)
        yield limit if isinstance(limit, _Finding) else _within(rule, amount, limit, booking.asset)
    if rule.approvals:
        yield from _to_approve(rule, case, amount, booking.value)


def _within(rule: Rule, asked: Quantity, limit: Quantity, unit: str) -> _Finding:
    if asked <= limit:
        return _Finding(Outcome.ALLOW, f"{asked} {unit} is within the limit of {limit} {unit}")
    return _Finding(rule.exceeded, f"{asked} {unit} is over the limit of {limit} {unit} by {asked - limit}")


def _of_a_sum(rule: Rule, window: Window, case: Case, used: Quantity) -> Iterator[_Finding]:
    """Limits and approvals by the sum that this request brings about in one window."""
    booking = case.booking
    adds = window.counts(booking)
    match window.measure:
        case Measure.COUNT:
            assert rule.max_count is not None
            yield _fits(rule, window, used, adds, Quantity(rule.max_count, 0), "withdrawals")
        case Measure.VALUE:
            if booking.value is None:
                yield _unvalued(case, rule.max_amount is not None or rule.above_amount is not None)
            elif rule.max_value is not None:
                yield _fits(rule, window, used, adds, Quantity(rule.max_value, MICRO), "USD")
            else:
                yield from _to_approve(rule, case, None, (used + adds).at(MICRO), window)
        case Measure.AMOUNT:
            if rule.max_amount is not None:
                yield _fits(rule, window, used, adds, rule.max_amount, booking.asset)
            if rule.max_percent is not None:
                limit = _share(rule.max_percent, case)
                if isinstance(limit, Quantity):
                    yield _fits(rule, window, used, adds, limit, booking.asset)
                else:
                    yield limit
            if rule.above_amount is not None:
                yield from _to_approve(rule, case, used + adds, None, window)


def _fits(rule: Rule, window: Window, used: Quantity, adds: Quantity, limit: Quantity, unit: str) -> _Finding:
    """Whether what is used and this request together are within the limit, the limit itself included (M22)."""
    period, whose = describe(window.period), window.per
    total = used + adds
    if total <= limit:
        reason = f"{total} of {limit} {unit} with this one, over {period} per {whose} ({used} used before)"
        return _Finding(Outcome.ALLOW, reason, window)
    reason = f"{total} {unit} would be over the limit of {limit} {unit} over {period} per {whose}"
    reason += f": {used} used, {adds} asked"
    if adds <= limit:
        return _Finding(rule.exceeded, reason, window)
    reason += "; alone it is more than the whole limit, so it fits only when the limit is raised"
    return _Finding(rule.exceeded, reason, window, place=False)


def _share(percent: Quantity, case: Case) -> Quantity | _Finding:
    """That percentage of the hot wallet's balance, rounded down to base units."""
    balance, decimals = case.hot_balance, case.booking.amount.decimals
    if isinstance(balance, NotKnown):
        return _Finding(Outcome.HOLD, f"the hot wallet's balance is not known: {balance.reason}")
    return Quantity(balance.at(decimals) * percent.units // 10 ** (percent.decimals + 2), decimals)


def _unvalued(case: Case, by_amount: bool) -> _Finding:
    """There is no usable price: the amount's limit speaks where the rule has one, else a person decides (M26)."""
    if by_amount:
        return _Finding(Outcome.ALLOW, f"value not checked, the amount counts: {case.no_value}")
    return _Finding(Outcome.HOLD, f"its value is not known: {case.no_value}")


def _to_approve(
    rule: Rule, case: Case, amount: Quantity | None, value: int | None, window: Window | None = None
) -> Iterator[_Finding]:
    """Whether people have to approve: always where the rule names no threshold, else above it."""
    people = "1 person has" if rule.approvals == 1 else f"{rule.approvals} people have"
    over = f" over {describe(window.period)} per {window.per}" if window is not None else ""
    if rule.above_amount is None and rule.above_value is None:
        yield _Finding(Outcome.APPROVAL, f"{people} to approve", window)
    if rule.above_amount is not None and amount is not None:
        unit = case.booking.asset
        if amount <= rule.above_amount:
            yield _Finding(Outcome.ALLOW, f"{amount} {unit}{over} is not above {rule.above_amount}", window)
        else:
            reason = f"{amount} {unit}{over} is above {rule.above_amount}: {people} to approve"
            yield _Finding(Outcome.APPROVAL, reason, window)
    if rule.above_value is not None and (window is None or amount is None):
        if value is None:
            yield _unvalued(case, rule.above_amount is not None)
        elif value <= rule.above_value:
            yield _Finding(Outcome.ALLOW, f"{usd(value)}{over} is not above {usd(rule.above_value)}", window)
        else:
            reason = f"{usd(value)}{over} is above {usd(rule.above_value)}: {people} to approve"
            yield _Finding(Outcome.APPROVAL, reason, window)


def _cooled(rule: Rule, cooling: int, case: Case) -> _Finding:
    """Whether this customer has known this destination for long enough."""
    since = case.known_since
    age = 0 if since is None else case.now - since
    if age >= cooling:
        return _Finding(Outcome.ALLOW, f"the destination has been known for {duration(age)} of {duration(cooling)}")
    left = duration(cooling - age)
    reason = f"the destination is new to this customer: {left} of {duration(cooling)} are left"
    return _Finding(rule.exceeded, reason, booked=rule.exceeded is not Outcome.WAIT)


def _shown(rule: Rule, name: str, case: Case) -> _Finding:
    """Whether the evidence ``name`` was given, and is young enough."""
    if name == "balance":
        return _has_the_money(rule, case)
    words = name.replace("_", " ")
    evidence = case.evidence.get(name)
    if evidence is None or not evidence.given:
        return _Finding(rule.exceeded, f"{words}: not shown")
    if rule.max_age is None or name == "beneficiary":
        return _Finding(Outcome.ALLOW, f"{words}: shown")
    if evidence.at is None:
        return _Finding(rule.exceeded, f"{words}: shown without its time, and {duration(rule.max_age)} is its limit")
    age = case.now - evidence.at
    if age < -_AHEAD:
        return _Finding(rule.exceeded, f"{words}: its time lies {duration(-age)} ahead")
    if age > rule.max_age:
        return _Finding(rule.exceeded, f"{words}: {duration(age)} old, at most {duration(rule.max_age)} is asked for")
    return _Finding(Outcome.ALLOW, f"{words}: shown {duration(max(age, 0))} ago")


_AHEAD = 300_000
"""The backend's clock may be ahead of ours by 5 minutes."""


def _has_the_money(rule: Rule, case: Case) -> _Finding:
    balance, amount, unit = case.customer_balance, case.booking.amount, case.booking.asset
    if balance is None:
        return _Finding(Outcome.ALLOW, "balance: not checked, the desk has no feed of balances")
    if isinstance(balance, NotKnown):
        return _Finding(Outcome.HOLD, f"balance: not known: {balance.reason}")
    if amount <= balance:
        return _Finding(Outcome.ALLOW, f"balance: {balance} {unit} covers {amount}")
    return _Finding(rule.exceeded, f"balance: {balance} {unit} does not cover {amount}")
