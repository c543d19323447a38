"""What a policy says that nobody can have meant: rules that never speak, assets left out, limits that leak."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, NamedTuple

from cryptosupport.domain.money import Asset, Quantity
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.policy.periods import Calendar, Lifetime, Sliding, describe
from cryptosupport.domain.policy.rules import Per, Policy, Rule
from cryptosupport.domain.prices import MICRO


@dataclass(frozen=True, slots=True)
class Remark:
    """One finding. An ``error`` cannot be meant so, a ``warning`` is worth a look; ``rule`` is None for the whole."""

    level: Literal["error", "warning"]
    rule: str | None
    message: str


class Shape(NamedTuple):
    """What the settings know of a request beforehand. ``tier`` and ``wallet`` are None where there are none."""

    chain: str
    asset: str
    tier: str | None
    wallet: str | None


def lint(
    policy: Policy,
    assets: Mapping[str, Mapping[str, Asset]],
    wallets: Mapping[str, tuple[str, str]],
    priced: Collection[str],
) -> list[Remark]:
    """Read a policy against the settings that it will meet.

    ``assets`` are those of each chain by symbol, ``wallets`` have their chain and role (`hot`, `cold`, `deposit`),
    ``priced`` are the symbols that have a source of prices. Whether there are people who can approve is not looked at.
    """
    shapes = list(shapes_of(policy, assets, wallets))
    remarks: list[Remark] = []
    for rule in policy.rules:
        matched = [shape for shape in shapes if can_match(rule, shape)]
        remarks += _never_matches(rule, policy, assets, wallets, shapes, matched)
        remarks += _stops_all(rule)
        remarks += _waits_in_vain(rule)
        remarks += _same_number(rule, matched)
        remarks += _without_price(rule, matched, assets, priced)
        remarks += _leaks_at_midnight(rule, policy.rules)
        remarks += _never_reached(rule, policy.rules)
    return remarks + list(_left_out(policy, shapes))


def shapes_of(
    policy: Policy, assets: Mapping[str, Mapping[str, Asset]], wallets: Mapping[str, tuple[str, str]]
) -> Iterator[Shape]:
    """Every kind of request that can come: each asset of each chain, in each tier, from each hot wallet."""
    for chain, known in assets.items():
        hot = [name for name, (where, role) in wallets.items() if where == chain and role == "hot"]
        for asset in known:
            for tier in policy.tiers or (None,):
                for wallet in hot or (None,):
                    yield Shape(chain, asset, tier, wallet)


def can_match(rule: Rule, shape: Shape) -> bool:
    """Whether the rule speaks of some request of this shape: of some customer, country, destination and source."""
    return all(fact in rule.match.get(name, (fact,)) for name, fact in zip(Shape._fields, shape, strict=True))


def is_covered(policy: Policy, shape: Shape) -> bool:
    """Whether some rule can permit a request of this shape; else all of them are denied."""
    return any(rule.permits and can_match(rule, shape) for rule in policy.rules)


# -- rules that never speak, or never let anything pass


def _never_matches(
    rule: Rule,
    policy: Policy,
    assets: Mapping[str, Mapping[str, Asset]],
    wallets: Mapping[str, tuple[str, str]],
    shapes: Sequence[Shape],
    matched: Sequence[Shape],
) -> Iterator[Remark]:
    known: dict[str, Collection[str]] = {
        "tier": policy.tiers,
        "chain": assets,
        "asset": {symbol for known in assets.values() for symbol in known},
        "wallet": wallets,
    }
    remarks = []
    for name, good in known.items():
        for value in sorted(rule.match.get(name, frozenset()).difference(good)):
            hint = f"the {name}s are {_and(sorted(good))}" if good else f"there are no {name}s"
            remarks.append(Remark("error", rule.name, f"speaks of {name} {value}, which nobody knows: {hint}"))
    for name in sorted(rule.match.get("wallet", frozenset()).intersection(wallets)):
        if (role := wallets[name][1]) != "hot":
            message = f"speaks of wallet {name}, which is {role}: withdrawals are paid from hot wallets"
            remarks.append(Remark("error", rule.name, message))
    if not remarks and not matched and shapes:
        remarks.append(Remark("error", rule.name, f"can never match: {_contradiction(rule, shapes)}"))
    yield from remarks


def _contradiction(rule: Rule, shapes: Sequence[Shape]) -> str:
    """Which of its facts never come together."""
    names = [name for name in Shape._fields if name in rule.match]
    for pair in combinations(names, 2):
        only = Rule(rule.name, {name: rule.match[name] for name in pair})
        if not any(can_match(only, shape) for shape in shapes):
            names = list(pair)
            break
    return "no request has " + " with ".join(f"{name} {_or(sorted(rule.match[name]))}" for name in names)


def _stops_all(rule: Rule) -> Iterator[Remark]:
    done = {Outcome.DENY: "is denied", Outcome.HOLD: "is held", Outcome.WAIT: "waits for ever"}
    for name, limit in _limits(rule):
        if limit == Quantity(0, 0):
            message = f"{name} = 0 lets nothing pass: all that it matches {done[rule.exceeded]}"
            yield Remark("warning", rule.name, message)


def _waits_in_vain(rule: Rule) -> Iterator[Remark]:
    """It waits for headroom, and none will ever return."""
    lasting = isinstance(rule.period, Lifetime) or (rule.period is None and rule.max_percent is None)
    asked = rule.limits or bool(rule.require)
    if rule.on_exceed is Outcome.WAIT and lasting and asked:
        what = "a lifetime limit" if rule.period is not None else "what one request is or shows"
        message = f'on_exceed = "wait" waits for ever: time changes nothing about {what}; say "hold" or "deny"'
        yield Remark("warning", rule.name, message)


def _never_reached(rule: Rule, rules: Sequence[Rule]) -> Iterator[Remark]:
    """Another rule of the same scope always speaks first, and at least as strictly."""
    alike = [other for other in rules if other is not rule and _scope(other) == _scope(rule)]
    for name, limit, strictness in _thresholds(rule):
        for other in alike:
            earlier = rules.index(other) < rules.index(rule)
            if any(
                _measure(name) == _measure(theirs)
                and reached <= limit
                and first >= strictness
                and (earlier or (reached, first) != (limit, strictness))  # of two that are the same, the second is told
                for theirs, reached, first in _thresholds(other)
            ):
                yield Remark("warning", rule.name, f"{name} = {limit} is never reached: {other.name} speaks before it")
                break


def _scope(rule: Rule) -> tuple[object, ...]:
    return dict(rule.match), rule.per, rule.period


def _measure(name: str) -> str:
    """What a limit measures: max_value and above_value measure the same."""
    return name.partition("_")[2]


_Threshold = tuple[str, Quantity, tuple[int, int]]


def _thresholds(rule: Rule) -> list[_Threshold]:
    """Its limits and approval thresholds, each with how strict it is."""
    limits = [(name, limit, (rule.exceeded.strictness, 0)) for name, limit in _limits(rule)]
    people = (Outcome.APPROVAL.strictness, rule.approvals)
    if rule.above_amount is not None:
        limits.append(("above_amount", rule.above_amount, people))
    if rule.above_value is not None:
        limits.append(("above_value", Quantity(rule.above_value, MICRO), people))
    return limits


# -- limits that leak, or measure what they cannot


def _leaks_at_midnight(rule: Rule, rules: Sequence[Rule]) -> Iterator[Remark]:
    """A calendar limit of a wallet or the desk lets twice as much through around midnight (M22)."""
    if not isinstance(rule.period, Calendar) or rule.per not in (Per.WALLET, Per.GLOBAL):
        return
    for name, limit in _limits(rule):
        if not any(_guards(other, rule, name, limit) for other in rules):
            unit = rule.period.unit
            message = (
                f"{name} = {limit} over {describe(rule.period)} lets twice as much leave within minutes: once before "
                f"the {unit} ends and once after. Add a rule of the same scope with a sliding window and the same "
                f"{name} or less"
            )
            yield Remark("error", rule.name, message)


def _guards(other: Rule, rule: Rule, what: str, limit: Quantity) -> bool:
    """Whether ``other`` is a sliding limit on all that ``rule`` sums, and lets no more through."""
    wider = all(name in rule.match and rule.match[name] <= values for name, values in other.match.items())
    sliding = isinstance(other.period, Sliding) and other.per in (rule.per, Per.GLOBAL)
    return wider and sliding and any(what == theirs and most <= limit for theirs, most in _limits(other))


def _same_number(rule: Rule, matched: Sequence[Shape]) -> Iterator[Remark]:
    symbols = sorted({shape.asset for shape in matched})
    for name, limit in (("max_amount", rule.max_amount), ("above_amount", rule.above_amount)):
        if limit is not None and len(symbols) > 1:
            message = f"{name} = {limit} counts for {_and(symbols)} alike: name one asset, or use a value"
            yield Remark("warning", rule.name, message)


def _without_price(
    rule: Rule, matched: Sequence[Shape], assets: Mapping[str, Mapping[str, Asset]], priced: Collection[str]
) -> Iterator[Remark]:
    """A value that cannot be told holds each request, unless the rule has an amount to go by."""
    by_value = (("max_value", rule.max_value, rule.max_amount), ("above_value", rule.above_value, rule.above_amount))
    for name, limit, instead in by_value:
        if limit is None or instead is not None:
            continue
        needed = {shape.asset for shape in matched}
        needed |= {coin for shape in matched for coin, asset in assets[shape.chain].items() if asset.contract is None}
        if missing := sorted(needed.difference(priced)):
            message = f"{name} needs prices, and {_and(missing)} {_has(missing)} no source of them: "
            yield Remark("warning", rule.name, f"{message}all requests that need them are held")


def _limits(rule: Rule) -> Iterator[tuple[str, Quantity]]:
    """Its limits by name; values in USD."""
    if rule.max_amount is not None:
        yield "max_amount", rule.max_amount
    if rule.max_value is not None:
        yield "max_value", Quantity(rule.max_value, MICRO)
    if rule.max_count is not None:
        yield "max_count", Quantity(rule.max_count, 0)
    if rule.max_percent is not None:
        yield "max_percent", rule.max_percent


# -- assets that the rules leave out


def _left_out(policy: Policy, shapes: Sequence[Shape]) -> Iterator[Remark]:
    """Assets that nothing permits, and those that nothing but the whole desk's limit holds back."""

    def permitting(shape: Shape) -> list[Rule]:
        return [rule for rule in policy.rules if rule.permits and can_match(rule, shape)]

    def desk_wide(shape: Shape) -> bool:
        rules = permitting(shape)
        return bool(rules) and all(rule.per is Per.GLOBAL for rule in rules)

    def unsummed(shape: Shape) -> bool:
        rules = permitting(shape)
        return bool(rules) and all(rule.per is None and not rule.allow for rule in rules)

    told: list[tuple[Callable[[Shape], bool], str]] = [
        (lambda shape: not is_covered(policy, shape), "no rule permits {}: each such request is denied"),
        (desk_wide, "nothing but desk-wide rules permits {}: one customer may take all of it"),
        (unsummed, "{} is limited by the single request only: any number of them may leave"),
    ]
    for concerned, message in told:
        for which in _grouped(shapes, concerned):
            yield Remark("warning", None, message.format(which))


def _grouped(shapes: Sequence[Shape], concerned: Callable[[Shape], bool]) -> Iterator[str]:
    """The shapes concerned in few words: ``BTC and ETH on bitcoin for tier vip``."""
    asked: defaultdict[tuple[str, str], list[Shape]] = defaultdict(list)
    for shape in shapes:
        asked[shape.chain, shape.asset].append(shape)
    groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for (chain, asset), all_of_it in asked.items():
        some = [shape for shape in all_of_it if concerned(shape)]
        if some:
            groups[chain, _which(some, all_of_it)].append(asset)
    for (chain, which), symbols in groups.items():
        yield f"{_and(sorted(symbols))} on {chain}{which}"


def _which(some: Sequence[Shape], all_of_it: Sequence[Shape]) -> str:
    """What tells some shapes of one asset from the others of it: their tiers, or their wallets, or both."""
    tiers, wallets = _each(some, "tier"), _each(some, "wallet")
    if len(some) != len(tiers) * len(wallets):
        return " for " + _and([f"tier {shape.tier} from {shape.wallet}" for shape in some])
    of_tiers = f" for {_and([f'tier {tier}' for tier in tiers])}" if tiers != _each(all_of_it, "tier") else ""
    return of_tiers + (f" from {_and(wallets)}" if wallets != _each(all_of_it, "wallet") else "")


def _each(shapes: Sequence[Shape], name: str) -> list[str]:
    return list(dict.fromkeys(str(getattr(shape, name)) for shape in shapes))


def _and(names: Sequence[str]) -> str:
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)


def _or(names: Sequence[str]) -> str:
    return " or ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)


def _has(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"
