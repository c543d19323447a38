"""Whether another policy only tightens: a proof, rule by rule, that nothing can leave that could not leave before.

With the same request, facts and history the new policy then says nothing milder (deny > hold > wait > approval > allow,
and no fewer people have to approve). It is the case where

- the tiers are the same, and a chain without a hot wallet is held where it was held;
- all that a new rule permits was permitted before;
- each single demand of an old rule is kept, for all that the new policy permits, by one new rule that demands as much.
  One that sums has to know all that the old one had counted: its window has the same scope and matches no less; and it
  is the same window, or one that the old policy did not have. Of a window that both have, requests may have been left
  out (`Decision.unbooked`) that count in another one.

What this does not prove counts as loosening.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cryptosupport.domain.policy.demands import (
    Box,
    both,
    demands,
    in_parts,
    in_the_same_sums,
    lacking,
    measure_of,
    within,
)
from cryptosupport.domain.policy.rules import MATCHABLE, Policy, Rule
from cryptosupport.domain.policy.spelling import change, changed, said, spelt
from cryptosupport.domain.policy.windows import Window, measures


def loosens(before: Policy, after: Policy) -> tuple[str, ...]:
    """Why something may leave under ``after`` that could not leave under ``before``, a sentence each.

    Nothing is said where ``after`` is proven to be at least as strict. The names and the order of rules do not matter.
    """
    told = [*_of_the_whole(before, after), *_permits_more(before, after), *_demands_less(before, after)]
    return tuple(dict.fromkeys(told))


def differences(before: Policy, after: Policy) -> tuple[str, ...]:
    """All that differs, a sentence each: rules added, taken away, renamed, changed; nothing where all is the same."""
    told = [] if before.tiers == after.tiers else [_tiers(before, after)]
    old, new = ({rule.name: rule for rule in policy.rules} for policy in (before, after))
    added = {name: rule for name, rule in new.items() if name not in old}
    for name, rule in old.items():
        if name in new:
            told += [f"rule {name!r}: {change(key, rule, new[name])}" for key in changed(rule, new[name])]
            continue
        same = next((other for other in added.values() if not changed(rule, other)), None)
        if same is not None:
            del added[same.name]
            told.append(f"rule {name!r} is renamed {same.name!r}")
        else:
            told.append(f"rule {name!r} is taken away: {said(rule)}")
    return (*told, *(f"rule {name!r} is added: {said(rule)}" for name, rule in added.items()))


# -- the policy as a whole


def _of_the_whole(before: Policy, after: Policy) -> Iterator[str]:
    if before.tiers != after.tiers:
        yield f"{_tiers(before, after)}: requests change their tier, and other rules speak of them"
    if before.speaks_of_wallets and not after.speaks_of_wallets:
        names = ", ".join(repr(rule.name) for rule in before.rules if Policy((rule,)).speaks_of_wallets)
        yield f"no rule speaks of wallets as {names} did: a chain without a hot wallet is no longer held"


def _tiers(before: Policy, after: Policy) -> str:
    one, other = (", ".join(policy.tiers) or "none" for policy in (before, after))
    return f"tiers goes from {one} to {other}"


# -- what is permitted


def _permits_more(before: Policy, after: Policy) -> Iterator[str]:
    permitted = [rule.match for rule in before.rules if rule.permits]
    for rule in after.rules:
        if rule.permits and not in_parts(rule.match, lambda part: _is_within_one(part, permitted), permitted):
            yield from _permitting(rule, _named(before, rule.name))


def _is_within_one(part: Box, boxes: Sequence[Box]) -> bool:
    return any(within(part, box) for box in boxes)


def _permitting(rule: Rule, was: Rule | None) -> Iterator[str]:
    more = "so it permits what no rule was seen to permit"
    if was is None:
        yield f"rule {rule.name!r} is added, {more}: {said(rule)}"
    elif was.permits:
        for key in _matched_less(rule.match, was.match):
            yield f"rule {rule.name!r}: {change(key, was, rule)}, {more}"
    else:
        for key in changed(was, rule):
            yield f"rule {rule.name!r}: {change(key, was, rule)}, {more}"


# -- what is demanded


def _demands_less(before: Policy, after: Policy) -> Iterator[str]:
    permitted = [rule.match for rule in after.rules if rule.permits]
    counted = _windows(before.rules)
    for rule in before.rules:
        asked = [both(rule.match, each) for each in permitted]
        for demand in demands(rule):
            keepers = [
                other
                for other in after.rules
                if not any(lacking(demand, rule, other)) and _knows_the_past(demand, rule, other, counted)
            ]
            if not all(_is_kept(demand, rule, box, keepers) for box in asked):
                yield from _given_up(demand, rule, _named(after, rule.name))


def _is_kept(demand: str, rule: Rule, asked: Box, keepers: Sequence[Rule]) -> bool:
    """Whether each of ``asked`` meets one of the rules that demand as much, with sums of no less."""

    def fits(part: Box) -> bool:
        counted = in_the_same_sums(rule, demand, part)
        return any(within(part if other.deny else counted, other.match) for other in keepers)

    return in_parts(asked, fits, [other.match for other in keepers])


def _windows(rules: Sequence[Rule]) -> set[str]:
    return {Window.of(rule, measure).id for rule in rules for measure in measures(rule)}


def _knows_the_past(demand: str, rule: Rule, other: Rule, counted: set[str]) -> bool:
    """Whether the window in which ``other`` sums holds all that the one of ``rule`` does, as far as it matches.

    It is the same one; or it is new, and then it is built from the whole ledger.
    """
    measure = measure_of(rule, demand)
    if measure is None or measure_of(other, demand) is None:
        return True
    theirs = Window.of(other, measure).id
    return theirs == Window.of(rule, measure).id or theirs not in counted


def _given_up(demand: str, rule: Rule, now: Rule | None) -> Iterator[str]:
    """Why nobody keeps what ``rule`` demanded; ``now`` is the new rule of its name."""
    key = demand.partition(".")[0]
    if now is None:
        yield f"rule {rule.name!r} is taken away, and no other is seen to keep its {_demanded(rule, key)}"
        return
    keys = [*lacking(demand, rule, now), *_matched_less(rule.match, now.match)]
    for each in dict.fromkeys(keys):
        yield f"rule {rule.name!r}: {change(each, rule, now)}{_aside(demand, each)}"
    if not keys:
        yield f"rule {rule.name!r}: its sum becomes that of another rule, which may have left out what {key} counted"


def _demanded(rule: Rule, key: str) -> str:
    facts = spelt(rule)
    kept = [key, "approvals", "max_age", *(name for name in facts if name in ("per", "window", "calendar", "lifetime"))]
    return ", ".join(f"{name} {facts[name]}" for name in dict.fromkeys(kept) if name in facts)


def _aside(demand: str, key: str) -> str:
    """What an added amount has to do with a value."""
    instead = {"max_value": "max_amount", "above_value": "above_amount"}
    return ", and counts instead where there is no price" if instead.get(demand) == key else ""


def _matched_less(box: Box, other: Box) -> list[str]:
    """The keys by which ``other`` leaves out some of ``box``."""
    left_out = [name for name in other if name not in box or not box[name] <= other[name]]
    return [f"match.{name}" for name in MATCHABLE if name in left_out]


def _named(policy: Policy, name: str) -> Rule | None:
    return next((rule for rule in policy.rules if rule.name == name), None)
