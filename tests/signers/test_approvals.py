"""Approvals as the signer counts them by itself: signed, for exactly this withdrawal, and never of its maker."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cryptosupport.domain.operators import Operators, Role
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.statements import Signed
from tests.signers.signerkit import (
    MALLORY,
    NOW,
    PEOPLE,
    A,
    Bench,
    O,
    approval,
    for_approval,
    operator,
    order,
    refused,
    withdrawal,
)


def approved(bench: Bench, held: Any, *statements: Signed) -> None:
    bench.sign(order(held, statements=statements))


def test_enough_approvals_let_it_through(bench: Bench) -> None:
    held = for_approval(2)
    refused(bench, order(held), "needs the approval of 2, and signatures that count are there of nobody")
    refused(bench, order(held, statements=(approval(held, "alice"),)), "are there of alice")
    approved(bench, held, approval(held, "alice"), approval(held, "bob"))


def test_one_more_has_to_approve_where_nobody_is_proven_to_have_brought_it(bench: Bench) -> None:
    held = for_approval(1, proven=False, maker=None)
    refused(bench, order(held, statements=(approval(held, "alice"),)), "needs the approval of 2")
    approved(bench, held, approval(held, "alice"), approval(held, "bob"))


def test_a_decision_that_asks_for_people_and_names_none_still_asks_for_one(bench: Bench) -> None:
    refused(bench, order(for_approval(0)), "needs the approval of 1")


def test_a_voice_that_asks_for_people_counts_under_a_decision_that_allows(bench: Bench) -> None:
    forged = replace(for_approval(2).decision, outcome=Outcome.ALLOW)
    refused(bench, order(withdrawal(decision=forged)), "needs the approval of 2")


HELD = for_approval(maker="alice")
FALSE: dict[str, Signed] = {
    "the maker's": approval(HELD, "alice"),
    "signed by another key": approval(HELD, "bob", by="mallory"),
    "signed by another operator": approval(HELD, "bob", by="alice"),
    "of somebody unknown": approval(HELD, "mallory"),
    "of somebody without the role": approval(HELD, "carol"),
    "for another ledger": approval(HELD, "bob", ledger="ledger-2"),
    "of something else": approval(HELD, "bob", action="release"),
    "of another amount": approval(for_approval(maker="alice", base_units=4), "bob"),
    "of another destination": approval(for_approval(maker="alice", destination=MALLORY), "bob"),
    "of another decision": approval(replace(HELD, turn=2), "bob"),
    "under operators that are not known": approval(HELD, "bob", "v0"),
    "not signed": replace(approval(HELD, "bob"), signature=""),
    "changed after it was signed": Signed(
        replace(approval(HELD, "bob").statement, facts={"reason": "changed"}), approval(HELD, "bob").signature
    ),
}


@pytest.mark.parametrize("name", FALSE)
def test_an_approval_that_does_not_count(bench: Bench, name: str) -> None:
    refused(bench, order(HELD, statements=(FALSE[name],)), "needs the approval of 1")
    assert bench.asked == 0
    approved(bench, HELD, FALSE[name], approval(HELD, "bob"))


def test_one_person_counts_once(bench: Bench) -> None:
    held = for_approval(2)
    twice = approval(held, "alice"), approval(held, "alice", at=NOW + 1)
    refused(bench, order(held, statements=twice), "are there of alice:")


def test_who_brought_it_by_a_key_that_signs_requests_does_not_approve_it(bench: Bench) -> None:
    held = for_approval(source="backend", maker="backend")
    bench.intake = {"backend": operator("alice").key}
    refused(bench, order(held, statements=(approval(held, "alice"),)), "needs the approval")
    approved(bench, held, approval(held, "bob"))


def test_approvals_outlive_a_change_of_operators_for_those_who_stay(bench: Bench) -> None:
    held = for_approval(2)
    stay = {name: operator(name) for name in ("alice", "carol")}
    stay |= {"erin": replace(operator("dave", A, O), name="erin")}
    bench.versions = (PEOPLE, Operators(stay, "v2", NOW))
    before = approval(held, "alice"), approval(held, "bob")
    refused(bench, order(held, statements=before), "are there of alice:")  # bob has left
    mixed = approval(held, "alice"), approval(held, "erin", "v2", by="dave")
    refused(bench, order(held, statements=mixed), "needs the approval of 2")  # each under another version
    now = approval(held, "alice", "v2"), approval(held, "erin", "v2", by="dave")
    approved(bench, held, *now)
    bench.versions = (PEOPLE, Operators(PEOPLE.people, "v2", NOW))
    approved(bench, held, *before)


@pytest.mark.parametrize("roles", [(A, O), (O, A)])
def test_who_approves_has_the_role_today_and_had_it_then(bench: Bench, roles: tuple[Role, Role]) -> None:
    held = for_approval()
    bench.versions = tuple(
        Operators({"alice": operator("alice", role)}, f"v{number}", NOW) for number, role in enumerate(roles)
    )
    refused(bench, order(held, statements=(approval(held, "alice", "v0"),)), "nobody")


def test_a_key_that_was_changed_speaks_for_nobody_any_more(bench: Bench) -> None:
    held = for_approval()
    bench.versions = (PEOPLE, Operators({"alice": replace(operator("mallory", A), name="alice")}, "v2", NOW))
    refused(bench, order(held, statements=(approval(held, "alice"),)), "nobody")
    refused(bench, order(held, statements=(approval(held, "alice", by="mallory"),)), "nobody")


def test_without_operators_nobody_can_approve(bench: Bench) -> None:
    bench.versions = ()
    held = for_approval()
    refused(bench, order(held, statements=(approval(held, "alice"),)), "needs the approval of 1")
    bench.sign(order())


# -- a signer without a ledger, which knows the people and no version of them ------------------------------------------


@pytest.fixture
def alone(bench: Bench) -> Bench:
    bench.alone = True
    bench.versions = (Operators(PEOPLE.people),)
    return bench


def test_alone_it_counts_approvals_under_the_versions_that_the_order_names(alone: Bench) -> None:
    held = for_approval(2)
    statements = approval(held, "alice"), approval(held, "bob")
    refused(alone, order(held, statements=statements), "needs the approval of 2")
    refused(alone, order(held, statements=statements, versions=("v0", "")), "needs the approval of 2")
    alone.sign(order(held, statements=statements, versions=("v0", "v1")))


@pytest.mark.parametrize("name", FALSE)
def test_alone_no_version_that_an_order_makes_up_lets_anybody_in(alone: Bench, name: str) -> None:
    versions = ("", "v1", "v2", FALSE[name].statement.subject)
    refused(alone, order(HELD, statements=(FALSE[name],), versions=versions), "needs the approval of 1")
    alone.sign(order(HELD, statements=(FALSE[name], approval(HELD, "bob")), versions=versions))


def test_alone_approvals_of_two_versions_do_not_count_together(alone: Bench) -> None:
    held = for_approval(2)
    mixed = approval(held, "alice"), approval(held, "bob", "v2")
    refused(alone, order(held, statements=mixed, versions=("v1", "v2")), "needs the approval of 2")
    alone.sign(order(held, statements=(*mixed, approval(held, "alice", "v2")), versions=("v1", "v2")))


def test_alone_one_person_counts_once_however_often_a_version_is_named(alone: Bench) -> None:
    held = for_approval(2)
    refused(alone, order(held, statements=(approval(held, "alice"),), versions=("v1", "v1")), "are there of alice:")


def test_alone_who_left_by_its_own_settings_has_left_whatever_version_is_named(alone: Bench) -> None:
    held = for_approval()
    alone.versions = (Operators({"alice": operator("alice")}),)
    refused(alone, order(held, statements=(approval(held, "bob"),), versions=("v1",)), "are there of nobody")
    alone.versions = ()
    refused(alone, order(held, statements=(approval(held, "alice"),), versions=("v1",)), "are there of nobody")


def test_with_a_ledger_what_an_order_says_of_versions_does_not_count(bench: Bench) -> None:
    held = for_approval()
    refused(bench, order(held, statements=(approval(held, "bob", "v0"),), versions=("v0",)), "are there of nobody")
