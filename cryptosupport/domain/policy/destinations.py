"""Destinations that rules name, in the spelling that requests have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from cryptosupport.domain.addresses import Address
from cryptosupport.domain.errors import BadInput, BadSettings
from cryptosupport.domain.policy.rules import Policy, Rule

Readers: TypeAlias = Sequence[Callable[[str], Address | None]]
"""They read addresses, one a chain."""


def with_normal_destinations(policy: Policy, readers: Readers, where: str | None) -> Policy:
    """The policy with every destination that its rules match in normal form.

    Raises `BadSettings` for one that no reader knows, as its rule would pass by what it is about; ``where`` the policy
    is. With None for it such a one stays as it is: that policy has decided, and is only told of.
    """
    return replace(policy, rules=tuple(_normal(rule, readers, where) for rule in policy.rules))


def _normal(rule: Rule, readers: Readers, where: str | None) -> Rule:
    named = rule.match.get("destination")
    if named is None:
        return rule
    normal = frozenset(_read(each, rule, readers, where) for each in named)
    return replace(rule, match={**rule.match, "destination": normal})


def _read(text: str, rule: Rule, readers: Readers, where: str | None) -> str:
    said = "it is an address of no chain in the settings"
    for read in readers:
        try:
            address = read(text)
        except BadInput as error:
            said = error.message
        else:
            if address is not None:
                return address.text
    if where is None:
        return text
    raise BadSettings(f"{where} rule {rule.name!r}: match.destination {text!r} cannot be used: {said}")
