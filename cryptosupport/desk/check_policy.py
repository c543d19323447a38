"""Check a policy against the settings that it will meet, before a request meets it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from cryptosupport.domain.money import Asset
from cryptosupport.domain.operators import Operators, Role
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.policy.lint import Remark, lint
from cryptosupport.domain.policy.rules import Policy


def check_policy(
    policy: Policy,
    path: Path,
    assets: Mapping[str, Mapping[str, Asset]],
    wallets: Mapping[str, tuple[str, str]],
    priced: Collection[str],
    sources: Collection[str],
    operators: Operators,
) -> list[Remark]:
    """All that is to be said about the policy in the file ``path``, which may be missing.

    ``assets`` are those of each chain by symbol, ``wallets`` have their chain and role, ``priced`` are the symbols that
    have a source of prices, ``sources`` are the ways in which requests come, ``operators`` are in force.
    """
    if not policy.rules:
        fault = "has no rules" if os.path.lexists(path) else "is not there"
        return [Remark("warning", None, f"{path} {fault}: everything is denied")]
    return [*lint(policy, assets, wallets, priced), *_from_nowhere(policy, sources), *_nobody_to_ask(policy, operators)]


def _from_nowhere(policy: Policy, sources: Collection[str]) -> Iterator[Remark]:
    """Rules that speak of a source which no request has."""
    for rule in policy.rules:
        for name in sorted(rule.match.get("source", frozenset()) - frozenset(sources)):
            yield Remark("error", rule.name, f"speaks of source {name}: requests come by {', '.join(sorted(sources))}")


def _nobody_to_ask(policy: Policy, operators: Operators) -> Iterator[Remark]:
    """Rules that call for more people than there are."""
    approvers = sum(Role.APPROVER in person.roles for person in operators.people.values())
    compliance = sum(Role.COMPLIANCE in person.roles for person in operators.people.values())
    stay = "such requests stay where they are until they are cancelled"
    for rule in policy.rules:
        if rule.approvals > approvers:
            people = "1 person" if rule.approvals == 1 else f"{rule.approvals} people"
            there = f"and {approvers} operators may" if operators else "and there are no operators yet"
            yield Remark("warning", rule.name, f"asks {people} to approve, {there}: {stay}")
        elif not rule.approvals and rule.exceeded is Outcome.HOLD and not compliance:
            there = "and no operator has the role compliance" if operators else "and there are no operators yet"
            yield Remark("warning", rule.name, f"holds requests for a person to decide, {there}: {stay}")


def exit_code(remarks: Collection[Remark]) -> int:
    """The exit code of `policy check`: warnings are allowed."""
    return 8 if any(remark.level == "error" for remark in remarks) else 0


def as_record(remark: Remark) -> dict[str, Any]:
    """One remark; ``rule`` is None where it is about the whole policy."""
    return {"level": remark.level, "rule": remark.rule, "message": remark.message}
