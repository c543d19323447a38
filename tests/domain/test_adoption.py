"""What was adopted of a wallet whose places are coins: known for ever, and nothing that came later."""

from __future__ import annotations

from dataclasses import replace

from cryptosupport.domain.adoption import history_facts, unadopted
from cryptosupport.domain.paying import Spend

OLD = [Spend(f"{number:064x}", (100 + number // 10, f"{number // 10:064x}"), True) for number in range(5_000)]
LATER = Spend("aa" * 32, (700, "bb" * 32), True)
WAITING = Spend("cc" * 32, None, False)
FACTS = history_facts(OLD)


def test_thousands_of_old_transactions_are_known_by_a_few_facts() -> None:
    assert (FACTS["height"], FACTS["spends"], len(FACTS["digest"])) == ("599", "5000", 64)
    assert unadopted(OLD, FACTS) == []
    assert unadopted([*reversed(OLD)], FACTS) == []


def test_what_came_later_or_waits_was_not_adopted() -> None:
    assert unadopted([*OLD, LATER, WAITING], FACTS) == [LATER, WAITING]
    assert unadopted([LATER], {}) == [LATER]
    both = history_facts([*OLD, LATER])
    assert unadopted([*OLD, LATER, WAITING], both) == [WAITING]


def test_what_was_hidden_when_it_was_adopted_makes_people_look_at_all_of_it() -> None:
    hidden = Spend("dd" * 32, (300, "ee" * 32), True)
    assert unadopted([*OLD, hidden], FACTS) == [*OLD, hidden]
    assert unadopted(OLD[1:], FACTS) == OLD[1:]


def test_another_block_changes_nothing_unless_it_comes_after_all_that_was_adopted() -> None:
    moved = [*OLD[:-1], replace(OLD[-1], block=(598, "ff" * 32))]
    assert unadopted(moved, FACTS) == []
    moved = [*OLD[:-1], replace(OLD[-1], block=(600, "ff" * 32))]
    assert unadopted(moved, FACTS) == moved


def test_nothing_at_all_is_adopted_where_only_the_ledger_was_restored() -> None:
    assert unadopted([], history_facts([])) == []
    assert unadopted([LATER], history_facts([])) == [LATER]
