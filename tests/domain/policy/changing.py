"""Policies changed a little: by steps that only tighten, and by any steps at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from cryptosupport.domain.money import Quantity
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.policy.rules import Per, Policy, Rule
from tests.domain.policy.making import (
    AMOUNTS,
    FACTS,
    HOUR,
    MINUTE,
    ON_EXCEED,
    TIERS,
    VALUES,
    matches,
    periods,
    q,
    rules,
    some,
)

NUMBERS = ("max_amount", "max_value", "max_count", "max_percent", "above_amount", "above_value")

Step = Callable[[st.DrawFn, tuple[Rule, ...]], tuple[Rule, ...]]


def at_one(change: Callable[[st.DrawFn, Rule], Rule]) -> Step:
    """A step that changes one rule."""

    def step(draw: st.DrawFn, made: tuple[Rule, ...]) -> tuple[Rule, ...]:
        if not made:
            return made
        place = draw(st.integers(0, len(made) - 1))
        return (*made[:place], change(draw, made[place]), *made[place + 1 :])

    return step


# -- steps that only tighten


def lower(draw: st.DrawFn, rule: Rule) -> Rule:
    less: dict[str, Any] = {}
    for name in NUMBERS:
        limit = getattr(rule, name)
        if isinstance(limit, Quantity):
            less[name] = Quantity(draw(st.integers(0, limit.units)), limit.decimals)
        elif limit is not None:
            less[name] = draw(st.integers(0, limit))
    return replace(rule, **less)


def ask_more(draw: st.DrawFn, rule: Rule) -> Rule:
    more: dict[str, Any] = {}
    if rule.approvals:
        more["approvals"] = rule.approvals + draw(st.integers(0, 2))
    if rule.cooling is not None:
        more["cooling"] = rule.cooling + draw(st.sampled_from([0, MINUTE]))
    if rule.require:
        more["require"] = tuple(dict.fromkeys((*rule.require, draw(st.sampled_from(["identity", "balance"])))))
        more["max_age"] = MINUTE if rule.max_age is None else rule.max_age // 2
    return replace(rule, **more)


def answer_more_strictly(draw: st.DrawFn, rule: Rule) -> Rule:
    if not (rule.limits or rule.cooling is not None or rule.require):
        return rule
    answers = [Outcome.WAIT, Outcome.HOLD, Outcome.DENY]
    return replace(rule, on_exceed=draw(st.sampled_from(answers[answers.index(rule.exceeded) :])))


def rename_and_shuffle(draw: st.DrawFn, made: tuple[Rule, ...]) -> tuple[Rule, ...]:
    renamed = [replace(rule, name=f"{rule.name}-{draw(st.sampled_from(['', 'b']))}") for rule in made]
    return tuple(draw(st.permutations(renamed)))


def add_restriction(draw: st.DrawFn, made: tuple[Rule, ...]) -> tuple[Rule, ...]:
    return (*made, draw(rules(f"more-{len(made)}-{draw(st.integers(0, 999))}", permits=False)))


def add_limit(draw: st.DrawFn, made: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """One more limit on what some rule permits already."""
    permitting = [rule for rule in made if rule.permits]
    added = draw(rules(f"limit-{len(made)}-{draw(st.integers(0, 999))}", permits=True))
    return (*made, replace(added, match=draw(st.sampled_from(permitting)).match)) if permitting else made


TIGHTER: list[Step] = [
    at_one(lower),
    at_one(ask_more),
    at_one(answer_more_strictly),
    rename_and_shuffle,
    add_restriction,
    add_limit,
]


# -- any steps


def any_number(draw: st.DrawFn, rule: Rule) -> Rule:
    made: dict[str, Any] = {"max_amount": AMOUNTS, "max_value": VALUES}
    if rule.approvals:
        made = {"above_amount": AMOUNTS, "above_value": VALUES}
    elif rule.period is not None:
        made["max_count"] = st.integers(0, 4)
    name = draw(st.sampled_from(sorted(made)))
    return replace(rule, **{name: draw(st.one_of(st.none(), made[name]))})


def any_other(draw: st.DrawFn, rule: Rule) -> Rule:
    changes: list[dict[str, Any]] = [{"on_exceed": draw(ON_EXCEED)}, {"match": draw(matches())}]
    if rule.period is not None:
        changes += [{"per": draw(st.sampled_from(Per))}, {"period": draw(periods())}]
        if rule.max_count is None:
            changes.append({"per": None, "period": None})
    if rule.approvals:
        changes.append({"approvals": draw(st.integers(1, 3))})
    if rule.cooling is not None:
        changes.append({"cooling": draw(st.sampled_from([MINUTE, HOUR, 2 * HOUR]))})
    if rule.require:
        changes += [{"max_age": draw(st.sampled_from([None, MINUTE, HOUR]))}, {"require": ("identity",)}]
    changes += [{"deny": not rule.deny}, {"max_percent": draw(st.sampled_from([None, q("5"), q("50")]))}]
    return replace(rule, **draw(st.sampled_from(changes)))


def match_other(draw: st.DrawFn, rule: Rule) -> Rule:
    """Narrower or wider by one fact."""
    name = draw(st.sampled_from(sorted(FACTS)))
    here = draw(st.sampled_from(sorted(rule.match))) if rule.match else name
    fewer = {key: values for key, values in rule.match.items() if key != here}
    one = {here: frozenset(sorted(rule.match[here])[:1])} if rule.match else {}
    more = {**rule.match, name: draw(some(FACTS[name]))}
    return replace(rule, match=draw(st.sampled_from([fewer, {**fewer, **one}, more])))


def drop(draw: st.DrawFn, made: tuple[Rule, ...]) -> tuple[Rule, ...]:
    place = draw(st.integers(0, max(len(made) - 1, 0)))
    return (*made[:place], *made[place + 1 :])


def add_any(draw: st.DrawFn, made: tuple[Rule, ...]) -> tuple[Rule, ...]:
    return (*made, draw(rules(f"any-{len(made)}-{draw(st.integers(0, 999))}")))


def split(draw: st.DrawFn, made: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """One rule of two values as two rules of one."""
    for place, rule in enumerate(made):
        for name, values in sorted(rule.match.items()):
            if len(values) == 2:
                ones = [{**rule.match, name: frozenset({value})} for value in values]
                two = [replace(rule, name=f"{rule.name}-{number}", match=one) for number, one in enumerate(ones)]
                return (*made[:place], *two, *made[place + 1 :])
    return made


LOOSE: list[Step] = [at_one(any_number), at_one(any_other), at_one(match_other), drop, add_any, split]
ANY: list[Step] = [*TIGHTER, *LOOSE]


@st.composite
def changed(draw: st.DrawFn, before: Policy, steps: list[Step], most: int = 3) -> Policy:
    """The policy after up to ``most`` steps."""
    made = before.rules
    for _ in range(draw(st.integers(1, most))):
        made = draw(st.sampled_from(steps))(draw, made)
    named = {rule.name: rule for rule in made}
    return Policy(tuple(named.values()), TIERS)


@st.composite
def alike(draw: st.DrawFn) -> Policy:
    """A policy of few kinds of rules over few requests: much in it is nearly covered by something else."""
    made = [Rule("ceiling", draw(st.sampled_from([{}, {"asset": frozenset({"BTC", "ETH"})}])), max_amount=q("4"))]
    for number in range(draw(st.integers(1, 4))):
        per = draw(st.sampled_from([Per.CUSTOMER, Per.GLOBAL, Per.ASSET]))
        scope: dict[str, Any] = {"per": per, "period": draw(periods())}
        does: dict[str, Any] = draw(
            st.sampled_from(
                [
                    {"max_amount": q("2"), **scope},
                    {"max_amount": q("3"), **scope, "on_exceed": Outcome.HOLD},
                    {"max_count": 2, **scope, "on_exceed": Outcome.WAIT},
                    {"max_value": 10**9, **scope},
                    {"max_value": 10**9, "max_amount": q("2"), **scope},
                    {"above_value": 10**9, "approvals": 1, **scope},
                    {"max_amount": q("2"), "on_exceed": Outcome.HOLD},
                    {"max_value": 10**9},
                    {"above_amount": q("1"), "approvals": 2},
                    {"approvals": 1},
                    {"deny": True},
                ]
            )
        )
        match: dict[str, frozenset[str]] = {}
        if draw(st.booleans()):
            match["asset"] = draw(some(("BTC", "ETH")))
        if draw(st.booleans()):
            match["customer"] = draw(some(("c-1", "c-2")))
        made.append(Rule(f"r{number}", match, **does))
    return Policy(tuple(made), TIERS)


@st.composite
def few(draw: st.DrawFn) -> Policy:
    """One or two rules over a ceiling that hardly anything reaches, so that a change of one of them is felt."""
    made = [Rule("ceiling", max_amount=q("100"))]
    for number in range(draw(st.integers(1, 2))):
        rule = draw(rules(f"r{number}"))
        made.append(replace(rule, match=draw(st.sampled_from([{}, rule.match]))))
    return Policy(tuple(made), TIERS)
