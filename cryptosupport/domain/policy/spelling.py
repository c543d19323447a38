"""A rule in words, key by key as policy.toml spells them, and how two of them differ. Nothing is shortened or rounded:
people sign what they read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from cryptosupport.domain.money import Quantity
from cryptosupport.domain.policy.periods import Calendar, Lifetime, Sliding
from cryptosupport.domain.policy.rules import MATCHABLE, Rule
from cryptosupport.domain.prices import MICRO

SCOPE = ("per", "window", "calendar", "timezone", "lifetime")
"""The keys that say what is summed, and over how long."""

_MATCH = "match."
_PLAIN = re.compile(r"[\w.:/@+-]+", re.ASCII)
_MANY = 5
"""Of lists longer than this only what comes and goes is told."""


def spelt(rule: Rule) -> dict[str, str]:
    """All that the rule says but its name, each key with its value; what it matches on as ``match.asset``.

    >>> spelt(Rule("vips", {"tier": frozenset({"vip"})}, max_amount=Quantity(25, 1)))
    {'match.tier': 'vip', 'max_amount': '2.5', 'on_exceed': 'deny by default'}
    """
    told: dict[str, str | None] = {f"{_MATCH}{name}": _list(rule.match.get(name)) for name in MATCHABLE}
    told |= {"per": rule.per}
    match rule.period:
        case Sliding(milliseconds):
            told |= {"window": span(milliseconds)}
        case Calendar(unit, timezone):
            told |= {"calendar": unit, "timezone": timezone}
        case Lifetime():
            told |= {"lifetime": "true"}
        case None:
            pass
    told |= {
        "max_amount": _text(rule.max_amount),
        "max_value": _usd(rule.max_value),
        "max_count": _text(rule.max_count),
        "max_percent": None if rule.max_percent is None else f"{rule.max_percent}%",
        "allow": "true" if rule.allow else None,
        "deny": "true" if rule.deny else None,
        "above_amount": _text(rule.above_amount),
        "above_value": _usd(rule.above_value),
        "approvals": str(rule.approvals) if rule.approvals else None,
        "cooling": None if rule.cooling is None else span(rule.cooling),
        "require": ", ".join(sorted(set(rule.require))) or None,
        "max_age": None if rule.max_age is None else span(rule.max_age),
    }
    if rule.on_exceed is not None:
        told["on_exceed"] = rule.on_exceed
    elif rule.limits or rule.cooling is not None or rule.require:
        told["on_exceed"] = f"{rule.exceeded} by default"
    return {key: str(value) for key, value in told.items() if value is not None}


def change(key: str, before: Rule, after: Rule) -> str:
    """What became of one key: ``max_value goes from 250000 USD to 300000 USD``."""
    if key.startswith(_MATCH):
        one, other = before.match.get(key[len(_MATCH) :]), after.match.get(key[len(_MATCH) :])
        if one is not None and other is not None and max(len(one), len(other)) > _MANY:
            told = [f"gains {_list(other - one)}"] if other - one else []
            told += [f"loses {_list(one - other)}"] if one - other else []
            return f"{key} {' and '.join(told)} (of {len(one)} before, {len(other)} now)"
    absent = "any" if key.startswith(_MATCH) else "none"
    return f"{key} goes from {spelt(before).get(key, absent)} to {spelt(after).get(key, absent)}"


def changed(before: Rule, after: Rule) -> list[str]:
    """The keys in which two rules differ, but for their names."""
    one, other = spelt(before), spelt(after)
    return [key for key in dict.fromkeys((*one, *other)) if one.get(key) != other.get(key)]


def said(rule: Rule) -> str:
    """All of a rule in one line."""
    return ", ".join(f"{key} {value}" for key, value in spelt(rule).items())


def span(milliseconds: int) -> str:
    """A time span exactly, in the largest unit that holds it whole.

    >>> span(86_400_000), span(5_400_000), span(1_500)
    ('24h', '90m', '1500ms')
    """
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds % size == 0 and milliseconds:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def _text(number: Quantity | int | None) -> str | None:
    return None if number is None else str(number)


def _usd(micro_usd: int | None) -> str | None:
    return None if micro_usd is None else f"{Quantity(micro_usd, MICRO)} USD"


def _list(names: Iterable[str] | None) -> str | None:
    """The names as a choice; one that could be taken for more than one is quoted."""
    if names is None:
        return None
    return " or ".join(name if _PLAIN.fullmatch(name) else repr(name) for name in sorted(names)) or "nothing"
