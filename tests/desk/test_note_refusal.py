"""Refusals in the audit log."""

from collections.abc import Callable
from typing import Protocol

import pytest
from sqlalchemy import Engine

from cryptosupport.desk.note_refusal import REFUSED, note_refusal
from cryptosupport.domain.audit import PROGRAM, Entry
from cryptosupport.domain.errors import BadList, Edited, Refused, SupportError
from cryptosupport.ledger.auditing import entries
from cryptosupport.ledger.engine import reading
from tests.desk.deskkit import Desk, policy

MAKER = Refused("alice brought w-1: somebody else has to look at it", state="held")
OLD = BadList("list.csv is old", sha256="ab" * 32)
EDITED = Edited("policy.toml is not the policy that two operators signed")
DAY = 86_400_000


@pytest.fixture
def desk(desk_with: Callable[..., Desk]) -> Desk:
    return desk_with(policy())


class Told(Protocol):
    """Write down a refusal; all that the log has of refusals then."""

    def __call__(self, error: SupportError, about: str = "w-1", by: str | None = None) -> list[Entry]: ...


@pytest.fixture
def told(desk: Desk, engine: Engine) -> Told:
    def tell(error: SupportError, about: str = "w-1", by: str | None = None) -> list[Entry]:
        note_refusal(desk.ledger, "cryptosupport test", about, by, error)
        with reading(engine) as connection:
            return [each for each in entries(connection) if each.act.kind == REFUSED]

    return tell


def test_what_a_person_said_is_logged_each_time(told: Told) -> None:
    assert len(told(MAKER, by="alice")) == 1
    (_, entry) = told(MAKER, by="alice")
    assert (entry.act.subject, entry.act.who) == ("w-1", "alice (unproven)")
    assert entry.act.facts == {
        "state": "held", "command": "cryptosupport test", "exit_code": "3", "why": MAKER.message,
    }  # fmt: skip


def test_what_a_program_runs_into_is_logged_once_a_day(told: Told, desk: Desk) -> None:
    for _ in range(3):
        (entry,) = told(OLD, "ofac")
    assert (entry.act.subject, entry.act.who, entry.act.facts["sha256"]) == ("ofac", PROGRAM, "ab" * 32)
    desk.clock.at += DAY - 1
    assert len(told(OLD, "ofac")) == 1
    assert len(told(OLD, "other")) == 2
    assert len(told(BadList("list.csv is empty"), "ofac")) == 3
    desk.clock.at += DAY
    assert len(told(BadList("list.csv is empty"), "ofac")) == 4
    assert len(told(BadList("list.csv is empty"), "ofac", "carol")) == 5
    assert len(told(BadList("list.csv is empty"), "ofac")) == 6


def test_an_edited_file_is_of_no_request_and_nobodys_word(told: Told) -> None:
    told(EDITED, "w-1")
    (entry,) = told(EDITED, "w-2", "bob")
    assert (entry.act.subject, entry.act.who) == ("", PROGRAM)


@pytest.mark.parametrize("text", ["\udcff", "\x00", "a" * 1_000_000, "\x1b[2J", "☃"], ids=ascii)
def test_whatever_was_typed_fits_the_log(told: Told, text: str) -> None:
    (entry,) = told(Refused(text, name=text), text, text)
    assert len(entry.act.facts["why"] or "") <= 500
    assert len(entry.act.subject) <= 80
    assert len(entry.act.who) <= 100
