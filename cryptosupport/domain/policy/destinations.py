"""Destinations that rules name, in the spelling that requests have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from cryptosupport.domain.addresses import Address
from cryptosupport.domain.errors import BadInput, BadSettings
from cryptosupport.domain.policy.rules import Policy, Rule


def with_normal_destinations(policy: Policy, readers: Sequence[Callable[[str], Address | None]]) -> Policy:
    """The policy with every destination that its rules match in normal form; ``readers`` read addresses, one a chain.

    Raises `BadSettings` for one that none of them can read: its rule would pass by what it is about.
    """
    return replace(policy, rules=tuple(_normal(rule, readers) for rule in policy.rules))


def _normal(rule: Rule, readers: Sequence[Callable[[str], Address | None]]) -> Rule:
    named = rule.match.get("destination")
    if named is None:
        return rule
    return replace(rule, match={**rule.match, "destination": frozenset(_read(each, rule, readers) for each in named)})


def _read(text: str, rule: Rule, readers: Sequence[Callable[[str], Address | None]]) -> str:
    said = "it is an address of no chain in the settings"
    for read in readers:
        try:
            address = read(text)
        except BadInput as error:
            said = error.message
        else:
            if address is not None:
                return address.text
    raise BadSettings(f"policy rule {rule.name!r}: match.destination {text!r} cannot be used: {said}")
