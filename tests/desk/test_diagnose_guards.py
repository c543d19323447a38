"""`doctor` on people and lists: each its verdict, whatever the others say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from cryptosupport.context.signing import fault, same_key
from cryptosupport.desk.diagnose_guards import Guarded, examine_guards
from cryptosupport.desk.people import People
from cryptosupport.desk.show_lists import Freshness, ListAge, list_ages
from cryptosupport.domain.errors import BadSettings, Tampered
from cryptosupport.domain.operators import Operators, Role
from cryptosupport.domain.screening import ListHead, ListKind
from tests.desk.peoplekit import operator

HOUR = 3_600_000
NOW = 1_000 * HOUR
RULES = Freshness(("ofac",))


def people(*names: str, roles: Sequence[Role] = ()) -> Callable[[], People]:
    found = {name: operator(name, *roles) for name in names}
    return lambda: People(Operators(found, "version"), fault, same_key, HOUR)


def aged(hours: int) -> list[ListAge]:
    head = ListHead("ofac", ListKind.SANCTIONS, "sdn.xml", None, NOW - hours * HOUR, 1, "digest")
    return list_ages([head], NOW, RULES)


def verdicts(
    who: Callable[[], People] = people("alice", "bob", "carol"),  # noqa: B008 - frozen
    lists: Sequence[ListAge] = (),
    policy: Callable[[], object] = lambda: None,
) -> list[tuple[str, str, int]]:
    guarded = Guarded(who, policy, lambda: lists)
    return [(each.name, each.outcome.value, each.exit_code) for each in examine_guards(guarded)]


def test_people_and_a_fresh_list_are_all_well() -> None:
    assert verdicts(lists=aged(1)) == [("operators", "ok", 0), ("screening", "ok", 0)]


def test_nobody_to_ask_is_a_warning() -> None:
    assert ("operators", "warn", 0) in verdicts(people())


def test_a_role_that_nobody_has_is_a_warning() -> None:
    assert ("operators", "warn", 0) in verdicts(people("alice", "bob", roles=[Role.OPS]))


def test_two_who_cannot_replace_each_other_are_a_warning() -> None:
    roles = [Role.APPROVER, Role.COMPLIANCE, Role.POLICY]
    assert ("operators", "warn", 0) in verdicts(people("bob", "dave", roles=roles))


def test_operators_that_nobody_signed_fail_with_8() -> None:
    def unsigned() -> People:
        raise BadSettings("operators.toml was edited")

    assert ("operators", "fail", 8) in verdicts(unsigned)


def test_a_policy_that_nobody_signed_fails_with_8() -> None:
    def unsigned() -> object:
        raise BadSettings("policy.toml was edited")

    assert ("operators", "fail", 8) in verdicts(policy=unsigned)


def test_a_chain_of_operators_that_was_changed_fails_and_the_rest_is_told() -> None:
    def changed() -> People:
        raise Tampered("version 1 of the operators was changed")

    assert verdicts(changed, aged(1)) == [("operators", "fail", 8), ("screening", "ok", 0)]


@pytest.mark.parametrize(("hours", "told"), [(24, ("ok", 0)), (25, ("warn", 0)), (72, ("warn", 0)), (73, ("fail", 8))])
def test_an_old_list_is_a_warning_and_one_that_is_too_old_a_failure(hours: int, told: tuple[str, int]) -> None:
    assert verdicts(lists=aged(hours))[1:] == [("screening", *told)]


def test_a_list_that_is_missing_is_a_failure_and_none_at_all_a_warning() -> None:
    assert verdicts(lists=list_ages([], NOW, RULES))[1:] == [("screening", "warn", 0), ("screening", "fail", 8)]
    assert verdicts()[1:] == [("screening", "warn", 0)]
