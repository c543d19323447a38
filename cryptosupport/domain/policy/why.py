"""Every rule on one request: those that speak with their numbers, the others with what keeps them silent."""

from __future__ import annotations

from dataclasses import dataclass

from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.policy.judging import Case, Finding, Judge, Numbers, Used, unpermitted, voice
from cryptosupport.domain.policy.periods import describe
from cryptosupport.domain.policy.rules import MATCHABLE, Booking, Rule


@dataclass(frozen=True, slots=True)
class Measured:
    """The numbers of one test as shortest exact decimals, in ``unit``.

    ``used`` before, what the request ``adds``, the ``limit`` (or the threshold above which people approve), and what is
    ``left`` before this request. ``period`` and ``per`` say what is summed; None where the request alone counts.
    """

    used: str
    adds: str
    limit: str
    left: str
    unit: str
    period: str | None
    per: str | None


@dataclass(frozen=True, slots=True)
class Spoken:
    """What one rule says. ``outcome`` is None where it does not match; ``reason`` then says which fact differs."""

    rule: str
    matches: bool
    outcome: Outcome | None
    reason: str
    approvals: int = 0
    measured: tuple[Measured, ...] = ()


def explain(judge: Judge, case: Case, used: Used) -> list[Spoken]:
    """What every rule says of a request, in the order of the policy, then whatever speaks beside the rules.

    The strictest outcome in it is that of `Judge.decide` with the same ``used``.
    """
    told = [_spoken(judge, rule, case, used) for rule in judge.policy.rules]
    further = list(case.further)
    if not any(rule.permits and rule.matches(case.booking) for rule in judge.policy.rules):
        further.append(unpermitted(case.booking))
    return told + [Spoken(voice.rule, True, voice.outcome, voice.reason, voice.approvals) for voice in further]


def _spoken(judge: Judge, rule: Rule, case: Case, used: Used) -> Spoken:
    if not rule.matches(case.booking):
        return Spoken(rule.name, False, None, _differs(rule, case.booking))
    found = list(judge.findings(rule, case, used))
    said = voice(rule, found)
    measured = tuple(_measured(finding, finding.numbers) for finding in found if finding.numbers is not None)
    return Spoken(rule.name, True, said.outcome, said.reason, said.approvals, measured)


def _measured(finding: Finding, numbers: Numbers) -> Measured:
    window = finding.window
    return Measured(
        used=str(numbers.used),
        adds=str(numbers.adds),
        limit=str(numbers.limit),
        left=str(numbers.left),
        unit=numbers.unit,
        period=None if window is None else describe(window.period),
        per=None if window is None else str(window.per),
    )


def _differs(rule: Rule, booking: Booking) -> str:
    """Which facts keep the rule from matching.

    >>> from cryptosupport.domain.money import Quantity
    >>> ours = Booking("c-1", "basic", None, "BTC", "bitcoin", "hot-btc", "bc1q", "file", Quantity(1, 8), None)
    >>> _differs(Rule("vips", {"tier": frozenset({"vip"}), "country": frozenset({"CH", "DE"})}), ours)
    'speaks of tier vip, this is basic; speaks of country CH or DE, this has none'
    """
    told = []
    for name in MATCHABLE:
        wanted, given = rule.match.get(name), getattr(booking, name)
        if wanted is not None and given not in wanted:
            this = "this has none" if given is None else f"this is {given}"
            told.append(f"speaks of {name} {_or(sorted(wanted))}, {this}")
    return "; ".join(told)


def _or(names: list[str]) -> str:
    """The names as a choice; of many only the first."""
    if len(names) > _MOST:
        return f"{', '.join(names[:_MOST])} or {len(names) - _MOST} more"
    return " or ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)


_MOST = 5
