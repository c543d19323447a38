"""policy.toml as a `Policy`. A rule that cannot be kept as it is written is refused: file, rule, key, what to write.

A rule does one kind of thing: it limits, allows, denies, or asks for approvals, for a cooling time or for evidence.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from cryptosupport.domain.errors import BadSettings
from cryptosupport.domain.policy.decision import BESIDE, Outcome
from cryptosupport.domain.policy.periods import Calendar, Lifetime, Period, Sliding, Unit
from cryptosupport.domain.policy.rules import EVIDENCE, MATCHABLE, Per, Policy, Rule
from cryptosupport.domain.withdrawals import canonical
from cryptosupport.settings.reading import is_there, parse
from cryptosupport.settings.values import micro_usd, nearest, number, percent, time_span, timezone

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

_COUNTRY = re.compile("[A-Z]{2}")
_LONGEST_NAME = 100
_MOST_PEOPLE = 20
_MOST_WITHDRAWALS = 10**9
_TIMELESS = {"beneficiary", "balance"}
"""The evidence that comes without a time of its own."""


def load_policy(folder: Path, timezone: str = "UTC") -> Policy:
    """Read policy.toml; without the file, a policy without rules, which denies everything.

    ``timezone`` is the desk's, for calendar limits that name none. Raises `BadSettings`.
    """
    path = folder / "policy.toml"
    return load_policy_file(path, timezone) if is_there(path) else _policy({}, str(path), timezone)


def load_policy_file(path: Path, timezone: str = "UTC") -> Policy:
    """Read a file as `load_policy` does, whatever its name. Raises `BadSettings`."""
    return _policy(parse(path), str(path), timezone)


def policy_of_toml(text: str, where: str, timezone: str = "UTC") -> Policy:
    """The policy in the text of a policy.toml; ``where`` it was found. Raises `BadSettings`."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadSettings(f"{where} is not valid TOML: {error}") from error
    return _policy(table, where, timezone)


def policy_of(text: str, where: str) -> Policy:
    """The policy whose `Policy.text` this is; ``where`` it was found. Raises `BadSettings`."""
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadSettings(f"{where} is not the text of a policy: {error}") from error
    if not isinstance(table, dict):
        raise BadSettings(f"{where} is not the text of a policy")
    return _policy(table, where, "UTC")


def _policy(table: Mapping[str, Any], where: str, desk: str) -> Policy:
    for key in table:
        if key not in ("tiers", "rules"):
            raise BadSettings(f"{where}: unknown key {key!r}{nearest(key, ('tiers', 'rules'))}", key=key)
    try:
        tiers = _texts(table.get("tiers", []))
    except ValueError as error:
        raise BadSettings(f"{where}: tiers: {error}", key="tiers") from error
    if len(set(tiers)) < len(tiers):
        raise BadSettings(f"{where}: tiers: one is named twice", key="tiers")
    given = table.get("rules", [])
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise BadSettings(f"{where}: rules: begin each with [[rules]] on a line of its own", key="rules")
    rules: dict[str, tuple[Rule, dict[str, Any]]] = {}
    for position, each in enumerate(given, 1):
        spelt = _spelt(each, desk)
        rule = _rule(spelt, where, position)
        if rule.name in rules:
            raise BadSettings(f"{where}: two rules have the name {rule.name!r}: give each its own", key="name")
        rules[rule.name] = rule, spelt
    ordered = [rules[name] for name in sorted(rules)]
    facts = {"rules": [spelt for _, spelt in ordered]} | ({"tiers": tiers} if tiers else {})
    return Policy(tuple(rule for rule, _ in ordered), tuple(tiers), canonical(facts).decode())


def _spelt(table: Mapping[str, Any], desk: str) -> dict[str, Any]:
    """A rule as the text of the policy has it: all lists in one order, and the time zone told."""
    spelt = dict(table)
    if "calendar" in spelt:
        spelt.setdefault("timezone", desk)
    match, require = spelt.get("match"), spelt.get("require")
    if isinstance(match, dict):
        spelt["match"] = {key: _in_order([value] if isinstance(value, str) else value) for key, value in match.items()}
    if isinstance(require, list):
        spelt["require"] = _in_order(require)
    return spelt


def _in_order(values: Any) -> Any:
    """A list of texts sorted, each once; anything else as it is, to be refused."""
    if isinstance(values, list) and all(isinstance(each, str) for each in values):
        return sorted(set(values))
    return values


def _rule(table: Mapping[str, Any], where: str, position: int) -> Rule:
    """One rule of ``table``, whose name or position stands in what is said about it."""
    name = table.get("name")
    place = f"{where} rule {name[:_LONGEST_NAME]!r}" if isinstance(name, str) and name else f"{where} rule {position}"
    read: dict[str, Any] = {}
    for key, value in table.items():
        if key not in _READERS:
            raise BadSettings(f"{place}: unknown key {key!r}{nearest(key, _READERS)}", key=key)
        try:
            read[key] = _READERS[key](value)
        except ValueError as error:
            raise BadSettings(f"{place}: {key}: {error}", key=key) from error
    for fault in _faults(read):
        raise BadSettings(f"{place}: {fault}")
    return Rule(**{key: value for key, value in read.items() if key not in _TIMES}, period=_period(read))


def _period(read: Mapping[str, Any]) -> Period | None:
    if "window" in read:
        return Sliding(read["window"])
    if "calendar" in read:
        return Calendar(read["calendar"], read["timezone"])
    return Lifetime() if "lifetime" in read else None


# -- what does not go together ---------------------------------------------------------------------------------------

_PERIODS = ("window", "calendar", "lifetime")
_TIMES = (*_PERIODS, "timezone")
_KINDS = {
    "limits": ("max_amount", "max_value", "max_count", "max_percent"),
    "allow": ("allow",),
    "deny": ("deny",),
    "approvals": ("approvals", "above_amount", "above_value"),
    "cooling": ("cooling",),
    "require": ("require", "max_age"),
}


def _faults(read: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a rule whose keys are sound one by one."""
    if "name" not in read:
        yield 'it has no name: add name = "..."'
    kinds = [kind for kind, keys in _KINDS.items() if any(key in read for key in keys)]
    if not kinds:
        yield f"it does nothing: add {', '.join(_KINDS['limits'])}, allow, deny, approvals, cooling or require"
        return
    if len(kinds) > 1:
        yield f"it mixes {' and '.join(kinds)}: write two rules"
    if "approvals" not in read and kinds == ["approvals"]:
        yield "above_amount and above_value say when to ask: add approvals = 1"
    yield from _faults_of_period(read, kinds)
    if "require" not in read and "max_age" in read:
        yield "max_age is how old evidence may be: add require"
    if "max_age" in read and _TIMELESS.issuperset(read["require"]):
        yield f"max_age: {' and '.join(read['require'])} comes without a time: leave max_age out"
    if "on_exceed" in read and not {"limits", "cooling", "require"} & {*kinds}:
        yield f"on_exceed: {kinds[0]} exceeds nothing: leave it out"
    if "lifetime" in read and read.get("on_exceed") is Outcome.WAIT:
        yield 'on_exceed "wait": no headroom ever returns to a lifetime limit: write "deny" or "hold"'


def _faults_of_period(read: Mapping[str, Any], kinds: list[str]) -> Iterator[str]:
    periods = [key for key in _PERIODS if key in read]
    if len(periods) > 1:
        yield f"{' and '.join(periods)}: give one of them"
    if "timezone" in read and "calendar" not in read:
        yield "timezone is for calendar periods: leave it out"
    if periods and "per" not in read:
        yield f"{periods[0]} needs per, whose withdrawals to sum: {', '.join(Per)}"
    if "per" in read and not periods:
        yield 'per needs a period to sum over: window = "24h", calendar = "day" or lifetime = true'
    if periods and kinds[0] not in ("limits", "approvals"):
        yield f"{kinds[0]} speaks of one request: leave per and {periods[0]} out"
    if "max_count" in read and not periods:
        yield 'max_count counts over a period: add per and window = "24h"'
    if periods and "approvals" in read and "above_amount" not in read and "above_value" not in read:
        yield "approvals over a period need above_amount or above_value: add one, or leave the period out"


# -- key by key ------------------------------------------------------------------------------------------------------


def _quoted(read: Callable[[str], T], example: str) -> Callable[[Any], T]:
    """A reader of texts; a number in TOML may have lost digits before it gets here."""

    def reader(value: Any) -> T:
        if isinstance(value, str):
            return read(value)
        what = f"{value} is a number" if isinstance(value, int | float) and value is not True else "this is no text"
        raise ValueError(f'{what}: write it in quotes, like "{example}"')

    return reader


def _one_of(words: Iterable[E]) -> Callable[[Any], E]:
    known = {word.value: word for word in words}

    def reader(value: Any) -> E:
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"{value!r}: write one of {', '.join(known)}, in quotes")
        return known[value]

    return reader


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def reader(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"{value!r}: write a whole number from {least} to {most}, without quotes")
        return value

    return reader


def _true(value: Any) -> bool:
    if value is not True:
        raise ValueError(f"{value!r}: write true, or leave it out")
    return True


def _name(text: str) -> str:
    if not text or len(text) > _LONGEST_NAME or not text.isprintable() or text != text.strip():
        raise ValueError(f"use 1 to {_LONGEST_NAME} characters that can be seen, and no blank at an end")
    if text in BESIDE:
        raise ValueError("the program itself speaks under this name: choose another")
    return text


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError('write texts in quotes, like ["one", "two"]')
    for each in value:
        if not each or not each.isprintable():
            raise ValueError(f"{each!r} is empty or holds what cannot be seen")
    return value


def _match(value: Any) -> dict[str, frozenset[str]]:
    if not isinstance(value, dict) or not value:
        raise ValueError('write it like { asset = "BTC" }, or leave it out')
    for key, values in value.items():
        if key not in MATCHABLE:
            raise ValueError(f"unknown key {key!r}{nearest(key, MATCHABLE)}")
        if not values:
            raise ValueError(f"{key}: nothing would match: name at least one")
    for each in _texts(value.get("country", [])):
        if not _COUNTRY.fullmatch(each):
            raise ValueError(f'country {each!r}: write two capital letters, such as "DE"')
    return {key: frozenset(_texts(values)) for key, values in value.items()}


def _evidence(value: Any) -> tuple[str, ...]:
    for name in (names := _texts(value)):
        if name not in EVIDENCE:
            raise ValueError(f"{name!r} is no evidence{nearest(name, EVIDENCE)}")
    if not names:
        raise ValueError(f"name at least one of {', '.join(EVIDENCE)}")
    return tuple(names)


_READERS: dict[str, Callable[[Any], object]] = {
    "name": _quoted(_name, "customer-day"),
    "match": _match,
    "per": _one_of(Per),
    "window": _quoted(time_span, "24h"),
    "calendar": _one_of(Unit),
    "timezone": _quoted(timezone, "Europe/Berlin"),
    "lifetime": _true,
    "max_amount": _quoted(number, "2.5"),
    "max_value": _quoted(micro_usd, "2000 USD"),
    "max_count": _whole(0, _MOST_WITHDRAWALS),
    "max_percent": _quoted(percent, "5%"),
    "allow": _true,
    "deny": _true,
    "above_amount": _quoted(number, "2.5"),
    "above_value": _quoted(micro_usd, "10000 USD"),
    "approvals": _whole(1, _MOST_PEOPLE),
    "cooling": _quoted(time_span, "24h"),
    "require": _evidence,
    "max_age": _quoted(time_span, "24h"),
    "on_exceed": _one_of((Outcome.DENY, Outcome.HOLD, Outcome.WAIT)),
}
