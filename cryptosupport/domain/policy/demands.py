"""What a rule demands of the requests that it matches, one test at a time, and whether another rule demands as much.

Each test of a rule stands alone: a request passes when it passes all of them. So a policy is at least as strict as
another one when each single demand of the other is kept by one of its rules. What cannot be told is taken for less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from cryptosupport.domain.policy.rules import Per, Rule
from cryptosupport.domain.policy.spelling import SCOPE, changed
from cryptosupport.domain.policy.windows import Measure

_LIMITS = ("max_amount", "max_value", "max_count", "max_percent")
_THRESHOLDS = ("above_amount", "above_value")
_REQUIRE = "require."
_TIMELESS = ("beneficiary", "balance")
"""Evidence whose age is never asked."""

Box: TypeAlias = Mapping[str, frozenset[str]]
"""The requests that a match speaks of: all of which each fact is among the values; any, where a fact is not named."""


def demands(rule: Rule) -> list[str]:
    """Its tests, each by the key that makes it; evidence as ``require.identity``.

    >>> demands(Rule("shown", require=("identity", "two_factor")))
    ['require.identity', 'require.two_factor']
    """
    found = [key for key in _LIMITS if getattr(rule, key) is not None]
    found += [key for key in _THRESHOLDS if getattr(rule, key) is not None]
    if rule.approvals and not _watches(rule):
        found.append("approvals")
    if rule.cooling is not None:
        found.append("cooling")
    return found + (["deny"] if rule.deny else []) + [f"{_REQUIRE}{name}" for name in dict.fromkeys(rule.require)]


def measure_of(rule: Rule, demand: str) -> Measure | None:
    """What the demand sums over the rule's period; None where each request is looked at alone."""
    if rule.period is None or demand not in (*_LIMITS, *_THRESHOLDS):
        return None
    match demand:
        case "max_value" | "above_value":
            return Measure.VALUE
        case "max_count":
            return Measure.COUNT
        case _:
            return Measure.AMOUNT


def lacking(demand: str, before: Rule, after: Rule) -> Iterator[str]:
    """The keys by which ``after`` demands less than ``before`` does, of any request that both match; none: as much.

    Where both sum, they are taken to have counted the same, or ``after`` more. Whom they match is not looked at.
    """
    if after.deny:
        return
    if demand in _LIMITS:
        yield from _lower_limit(demand, before, after)
    elif demand in _THRESHOLDS:
        yield from _fewer_people_above(demand, before, after)
    elif demand == "approvals":
        if after.approvals < before.approvals:
            yield "approvals"
        yield from (key for key in _THRESHOLDS if getattr(after, key) is not None)
    elif demand == "cooling":
        if after.cooling is None or before.cooling is None or after.cooling < before.cooling:
            yield "cooling"
        elif _milder(before, after):
            yield "on_exceed"
    elif demand.startswith(_REQUIRE):
        yield from _less_shown(demand[len(_REQUIRE) :], before, after)
    else:
        yield demand


def _lower_limit(key: str, before: Rule, after: Rule) -> Iterator[str]:
    if _is_more(getattr(before, key), getattr(after, key)):
        yield key
        return
    yield from _other_scope(before, after)
    if _milder(before, after):
        yield "on_exceed"
    # Without a price a rule goes by its own amount where it has one, and holds the request where it has none.
    if key == "max_value" and before.max_amount is None and after.max_amount is not None:
        yield "max_amount"


def _fewer_people_above(key: str, before: Rule, after: Rule) -> Iterator[str]:
    if after.approvals < before.approvals:
        yield "approvals"
    # Who asks always asks above any sum; but only a threshold holds what it cannot measure.
    unmeasured = before.per is Per.WALLET or (key == "above_value" and before.above_amount is None)
    if after.approvals and not _watches(after) and not unmeasured:
        return
    if _is_more(getattr(before, key), getattr(after, key)):
        yield key
        return
    yield from _other_scope(before, after)
    if key == "above_value" and before.above_amount is None and after.above_amount is not None:
        yield "above_amount"


def _less_shown(name: str, before: Rule, after: Rule) -> Iterator[str]:
    if name not in after.require:
        yield "require"
        return
    if _milder(before, after):
        yield "on_exceed"
    if (
        name not in _TIMELESS
        and before.max_age is not None
        and (after.max_age is None or after.max_age > before.max_age)
    ):
        yield "max_age"


def _is_more(before: Any, after: Any) -> bool:
    """Whether the limit ``after`` (of the same kind as ``before``) lets more through; no limit lets all through."""
    return after is None or not after <= before


def _other_scope(before: Rule, after: Rule) -> Iterator[str]:
    """What is summed has to be the same: of no other two scopes it is said here which holds more."""
    if (before.per, before.period) != (after.per, after.period):
        yield from (key for key in changed(before, after) if key in SCOPE)


def _milder(before: Rule, after: Rule) -> bool:
    return after.exceeded.strictness < before.exceeded.strictness


def _watches(rule: Rule) -> bool:
    return rule.above_amount is not None or rule.above_value is not None


# -- of whom it is demanded


def within(box: Box, other: Box) -> bool:
    """Whether ``other`` speaks of all that ``box`` speaks of."""
    return is_empty(box) or all(name in box and box[name] <= values for name, values in other.items())


def both(one: Box, other: Box) -> Box:
    """What both speak of."""
    return {**one, **other, **{name: one[name] & other[name] for name in one.keys() & other.keys()}}


def is_empty(box: Box) -> bool:
    """Whether nothing can be in it."""
    return not all(box.values())


def in_parts(box: Box, fits: Callable[[Box], bool], others: list[Box]) -> bool:
    """Whether all of ``box`` fits, cut where ``others`` end if need be. False where that takes too many cuts to tell.

    >>> two, ones = {"asset": frozenset({"BTC", "ETH"})}, [{"asset": frozenset({name})} for name in ("BTC", "ETH")]
    >>> in_parts(two, lambda part: any(within(part, one) for one in ones), ones)
    True
    """
    parts = [box]
    for _ in range(_MOST_PARTS):
        if not parts:
            return True
        part = parts.pop()
        if is_empty(part) or fits(part):
            continue
        cut = next(_cuts(part, others), None)
        if cut is None:
            return False
        name, inside = cut
        parts += [{**part, name: inside}, {**part, name: part[name] - inside}]
    return False


def _cuts(part: Box, others: list[Box]) -> Iterator[tuple[str, frozenset[str]]]:
    for other in others:
        for name in sorted(part.keys() & other.keys()):
            inside = part[name] & other[name]
            if inside and inside != part[name]:
                yield name, inside


_MOST_PARTS = 5000


def in_the_same_sums(rule: Rule, demand: str, asked: Box) -> Box:
    """All requests whose past counts when ``demand`` looks at one of ``asked``: a rule that misses some counts less.

    A sum is of one customer (destination, wallet, asset), and a sum of amounts is of one asset: others do not matter.
    """
    measure = measure_of(rule, demand)
    if measure is None:
        return asked
    apart = {"asset"} if measure is Measure.AMOUNT else set()
    if rule.per is not None and rule.per is not Per.GLOBAL:
        apart.add(str(rule.per))
    return {**rule.match, **{name: asked[name] for name in apart & asked.keys()}}
