"""What does not fit is told: payouts against withdrawals, tables and chain, where every row is as it was written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cryptosupport.desk.match_payouts import Page, Pending, Spent, hold_against_chain, hold_against_ledger
from cryptosupport.domain.errors import Refused
from cryptosupport.domain.money import Asset
from cryptosupport.domain.paying import Decoded, Paid, Survey
from cryptosupport.domain.payouts import (
    Absent,
    Attempt,
    Item,
    Kind,
    Link,
    Mined,
    Payout,
    Plan,
    Seen,
    Step,
    Taken,
    Unclear,
)
from cryptosupport.domain.policy.decision import Decision, Outcome
from cryptosupport.domain.withdrawals import Request, State, Withdrawal

PLAN = Plan("{}", 1)
PAY = Attempt(1, Kind.PAY, PLAN, 0, b"pay", "0xa", 1, 1, 1)
CANCEL = Attempt(2, Kind.CANCEL, PLAN, 0, b"cancel", "0xb", 1, 1, 1)
MINED = Mined(1, 100, "0xbb", True, True, 21_000)
OURS, THEIRS = "0x1", "0x2"


class Reader:
    """A payer that reads three kinds of bytes."""

    def contents(self, raw: bytes) -> Decoded:
        """What they do."""
        if raw == b"noise":
            raise Refused("these bytes are noise")
        pays = {b"pay": Paid(THEIRS, None, 5), b"more": Paid(THEIRS, None, 6), b"cancel": Paid(OURS, None, 0)}[raw]
        return Decoded("0xb" if raw == b"cancel" else "0xa", "1", "", ("7",), (pays,), 1)


@pytest.fixture
def whole() -> Page:
    """A payout that is final, as it should be."""
    request = Request("w-1", "c-1", Asset("ETH", 18), "ethereum", 5, THEIRS)
    withdrawal = Withdrawal(
        1, request, State.FINAL, Decision(Outcome.ALLOW, (), "", 0), "cli", None, None, "hot", 0, 0, None, 0, (), 0, 0,
        txid="0xa", nonce=7,
    )  # fmt: skip
    payout = Payout(
        3, "ethereum", "hot", OURS, ("7",), (Item(1, "w-1"),), Step.FINAL, 1, 0, 0, (PAY,),
        block=(100, "0xbb"), counts=1, fee=21_000,
    )  # fmt: skip
    return Page([payout], {1: withdrawal}, {1: [Link(3, 1, False, Step.FINAL)]}, {"7": 3})


def by_ledger(page: Page) -> list[str]:
    return [each.kind for each in hold_against_ledger(page)]


def by_chain(page: Page, seen: Seen | None = MINED) -> list[str]:
    answers = {} if seen is None else {3: seen}
    reader: Any = Reader()
    found = hold_against_chain(page, Survey(8, 8, {}, None, answers), reader)
    return [each.kind for each in found if not isinstance(each, Spent | Pending)]


def payout(page: Page, **changes: Any) -> Page:
    return replace(page, payouts=[replace(page.payouts[0], **changes)])


def withdrawal(page: Page, **changes: Any) -> Page:
    ((id, it),) = page.withdrawals.items()
    return replace(page, withdrawals={id: replace(it, **changes)})


def linked(page: Page, *links: tuple[int, bool, Step]) -> Page:
    ((id, _),) = page.withdrawals.items()
    return replace(page, links={id: [Link(payout_id, id, live, step) for payout_id, live, step in links]})


def test_nothing_is_said_of_what_fits(whole: Page) -> None:
    assert (by_ledger(whole), by_chain(whole)) == ([], [])
    reader: Any = Reader()
    assert list(hold_against_chain(whole, Survey(8, 8, {}, None, {3: MINED}), reader)) == [Spent(100, {None: 21_005})]


def test_a_payout_has_its_place_for_itself(whole: Page) -> None:
    assert by_ledger(replace(whole, claimed={})) == ["claim"]
    assert by_ledger(replace(whole, claimed={"7": 4})) == ["claim"]
    dead = payout(withdrawal(linked(whole, (3, False, Step.DEAD)), state=State.HELD), step=Step.DEAD, claims=("ab:0",))
    assert by_ledger(replace(dead, claimed={"ab:0": 4})) == ["taken"]  # its coins may be another's
    assert by_ledger(payout(replace(dead, claimed={"7": 4}), claims=("7",))) == ["claim", "taken"]


def test_a_withdrawal_is_there_and_stands_where_its_payout_stands(whole: Page) -> None:
    assert by_ledger(replace(whole, withdrawals={})) == ["missing"]
    assert by_ledger(withdrawal(whole, state=State.APPROVED)) == ["state"]
    assert by_ledger(withdrawal(whole, txid="0xc")) == ["state"]
    live = linked(payout(whole, step=Step.BROADCAST), (3, True, Step.BROADCAST))
    assert by_ledger(live) == ["state"]
    assert by_ledger(withdrawal(live, state=State.BROADCAST)) == []


def test_a_withdrawal_is_in_one_payout_that_pays(whole: Page) -> None:
    final = 3, False, Step.FINAL
    assert by_ledger(linked(whole)) == ["link"]
    assert by_ledger(linked(whole, (3, True, Step.FINAL))) == ["link"]
    assert by_ledger(linked(whole, final, (2, False, Step.FINAL))) == ["double"]
    assert by_ledger(linked(whole, final, (9, True, Step.BROADCAST))) == ["double"]
    assert by_ledger(linked(whole, final, (2, False, Step.DEAD))) == []


def test_what_a_stranger_took_is_a_fault_until_people_have_dealt_with_it(whole: Page) -> None:
    dead = linked(payout(whole, step=Step.DEAD), (3, False, Step.DEAD))
    assert by_ledger(withdrawal(dead, state=State.HELD)) == ["taken"]
    assert by_ledger(withdrawal(dead, state=State.REJECTED)) == ["explained"]
    assert by_chain(dead, Taken("0xc", True)) == []


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        (None, "unreachable"),
        (Absent(), "vanished"),
        (Absent(pooled=True), "vanished"),
        (Taken("0xc", True), "vanished"),
        (Taken("0xc", False), "unknown"),
        (Taken(None, True), "unknown"),
        (Unclear("two nodes contradict each other"), "disagree"),
        (replace(MINED, final=False), "unknown"),
        (replace(MINED, ok=False), "vanished"),
        (replace(MINED, height=101), "differs"),
        (replace(MINED, block_hash="0xcc"), "differs"),
        (replace(MINED, fee=1), "differs"),
    ],
)
def test_what_is_final_here_is_so_on_the_chain(whole: Page, seen: Seen | None, kind: str) -> None:
    assert by_chain(whole, seen) == [kind]


def test_a_payment_that_won_over_its_cancel_is_not_cancelled(whole: Page) -> None:
    both = payout(whole, attempts=(PAY, CANCEL), step=Step.CANCELLED, counts=2)
    assert by_chain(both, replace(MINED, number=2)) == []
    assert by_chain(both, MINED) == ["vanished"]


@pytest.mark.parametrize("raw", [b"noise", b"more", b"cancel"])
def test_the_bytes_pay_what_was_asked(whole: Page, raw: bytes) -> None:
    assert by_chain(payout(whole, attempts=(replace(PAY, raw=raw),))) == ["bytes"]
    live = payout(whole, attempts=(replace(PAY, raw=raw),), step=Step.BROADCAST)
    assert by_chain(live, Absent(pooled=True)) == ["bytes"]


def test_a_payout_under_way_may_be_anywhere(whole: Page) -> None:
    live = payout(whole, step=Step.BROADCAST, block=None, counts=None, fee=None)
    for seen in (Absent(), Absent(pooled=True), MINED, replace(MINED, final=False)):
        assert by_chain(live, seen) == []
    assert by_chain(live, Taken("0xc", False)) == ["unknown"]
    assert by_chain(payout(live, step=Step.UNKNOWN), Absent()) == ["unknown"]
    assert by_chain(payout(live, step=Step.RESERVED, attempts=(replace(PAY, raw=None, txid=None),)), Absent()) == []
