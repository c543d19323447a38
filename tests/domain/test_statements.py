"""Statements: one spelling, and nothing in them that cannot be shown or kept."""

from __future__ import annotations

import pytest

from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.statements import LONGEST_FACT, Statement, read_statement


def statement(**facts: str) -> Statement:
    return Statement("reject", "ab" * 32, "alice", 5, "a ledger", facts)


def test_a_statement_is_read_as_it_was_written() -> None:
    for each in (statement(), statement(reason="not theirs: 客户 7"), statement(reason="x" * LONGEST_FACT)):
        assert read_statement(each.text) == each


@pytest.mark.parametrize(
    "text",
    [
        statement(reason="why").text.replace("why", "\\ud800"),
        statement(reason="why").text.replace("why", "\ud800"),
        statement().text.replace("alice", "\\ud800"),
        statement().text.replace('"5"', '" 5"'),
        statement().text.replace('"5"', "5"),
        statement().text.replace(":", ": "),
        statement().text.replace('"facts":{}', '"facts":[]'),
        statement().text.replace("alice", "\\u0061lice"),
        "[" * 100_000,
        "{}",
        "null",
        "",
    ],
)
def test_any_other_text_is_bad_input(text: str) -> None:
    for kept in (False, True):
        with pytest.raises(BadInput, match="no statement as the program writes it"):
            read_statement(text, kept=kept)


@pytest.mark.parametrize("reason", ["two\nlines", "\x00", "\x1b[2J", "\u202e", "x" * (LONGEST_FACT + 1)])
def test_what_is_handed_in_can_be_shown_and_is_not_endless(reason: str) -> None:
    with pytest.raises(BadInput, match="no printable text of at most 2000 characters"):
        read_statement(statement(reason=reason).text)
    assert read_statement(statement(reason=reason).text, kept=True) == statement(reason=reason)
