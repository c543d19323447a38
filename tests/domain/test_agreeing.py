"""What several nodes together say of a payout."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from cryptosupport.domain.agreeing import Voice, agree
from cryptosupport.domain.payouts import Absent, Mined, Seen, Taken, Unclear

FINAL = Mined(1, 100, "0xaa", True, True, 21_000, 40)
YOUNG = replace(FINAL, final=False, confirmations=2)
TAKEN = Taken("0xbb", True)


def voice(node: str, seen: Seen, head: int = 139, operator: str = "") -> Voice:
    return Voice(operator or node, node, head, seen)


def told(*seen: Seen, quorum: int = 2, head: int = 139) -> Seen:
    """What nodes of different operators come to, in whatever order they speak."""
    voices = [voice(name, each, head) for name, each in zip("abc", seen, strict=False)]
    kinds = {type(agree(order, quorum)) for order in permutations(voices)}
    assert len(kinds) == 1
    return agree(voices, quorum)


def test_one_node_is_enough_where_no_quorum_is_asked_for() -> None:
    for seen in (FINAL, YOUNG, TAKEN, Taken(None, True), Taken(None, False), Absent(), Absent(True), Unclear("x")):
        assert told(seen, quorum=1) == seen


@pytest.mark.parametrize("seen", [FINAL, replace(FINAL, ok=False), replace(FINAL, number=2), TAKEN])
def test_what_is_final_needs_as_many_operators_as_the_quorum(seen: Mined | Taken) -> None:
    assert told(seen, seen) == seen
    assert told(seen) == replace(seen, final=False)
    assert told(seen, seen, quorum=3) == replace(seen, final=False)
    same = [voice("a1", seen, operator="a"), voice("a2", seen, operator="a")]
    assert agree(same, 2) == replace(seen, final=False)
    assert agree([*same, voice("b", seen)], 2) == seen


@pytest.mark.parametrize(
    "behind", [YOUNG, Unclear("syncing"), Taken(None, False), Absent(), Absent(True)], ids=lambda seen: str(seen)[:16]
)
def test_a_node_that_is_behind_neither_agrees_nor_contradicts(behind: Seen) -> None:
    voices = [voice("a", FINAL), voice("b", behind, head=99)]
    assert agree(voices, 2) == replace(FINAL, final=False)
    assert agree([*voices, voice("c", FINAL)], 2) == FINAL


@pytest.mark.parametrize(
    "other",
    [
        replace(FINAL, ok=False),
        replace(FINAL, number=2),
        replace(FINAL, block_hash="0xcc"),
        replace(YOUNG, block_hash="0xcc"),
        replace(YOUNG, number=2),
        TAKEN,
        Taken("0xbb", False),
        Absent(),
    ],
    ids=str,
)
def test_nodes_that_contradict_each_other_are_both_named(other: Seen) -> None:
    for nodes in ([FINAL, other], [other, FINAL], [FINAL, FINAL, other]):
        for quorum in (1, 2):
            seen = told(*nodes, quorum=quorum)
            assert isinstance(seen, Unclear)
            assert len({name for name in "abc" if f"{name} says " in seen.why}) == 2


def test_two_winners_of_one_nonce_contradict_each_other() -> None:
    assert told(TAKEN, Taken("0xcc", True)) == Unclear("a says 0xbb has its place, b says 0xcc has its place")


def test_without_anything_final_the_most_settled_view_counts() -> None:
    assert told(Absent(), YOUNG, Absent(True)) == YOUNG
    assert told(YOUNG, replace(YOUNG, confirmations=5)) == replace(YOUNG, confirmations=5)
    assert told(Absent(), Absent(True)) == Absent(True)
    assert told(Absent(True), Unclear("x")) == Unclear("x")
    assert told(Taken(None, True), Absent()) == Taken(None, False)
    assert told(YOUNG, Taken(None, False)) == YOUNG
