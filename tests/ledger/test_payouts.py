"""Payouts in the ledger: one place, one live payout, no write of a worker that was overtaken, no row changed unseen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, insert, update

from cryptosupport.desk.verify_audit import verify
from cryptosupport.domain.audit import Act
from cryptosupport.domain.errors import Locked, OutcomeUnknown, Tampered
from cryptosupport.domain.payouts import Attempt, Item, Kind, Payout, Plan, Purse, Step
from cryptosupport.ledger import tables
from cryptosupport.ledger.engine import open_engine, writing
from cryptosupport.ledger.ledger import SqlLedger
from cryptosupport.ledger.schema import ready
from cryptosupport.ledger.verifying import SqlAuditLog
from tests.ledger.ledgerkit import a_row, unguarded

AT = 1_790_000_000_000
SOURCE = "0x1"
PURSE = Purse("ethereum", SOURCE, "hot", 0, 0, 1, "one", AT + 60_000)
SIGNED = {"raw": b"\x02\xff", "txid": "0xa", "signed_at": AT}


@pytest.fixture
def engine(ledger_url: str, tmp_path: Path) -> Iterator[Engine]:
    """A ledger with two withdrawals and a wallet."""
    engine = open_engine(ledger_url, tmp_path / "data")
    ready(engine)
    with writing(engine) as connection:
        for number in (1, 2):
            row = a_row(tables.withdrawal, id=number, request_id=f"w-{number}", base_units=1, value=1)
            connection.execute(insert(tables.withdrawal), [row | {"fee_units": 0}])
    with SqlLedger(engine, lambda _: AT).act() as records:
        records.payouts.set_purse(PURSE, Act("wallet.bound", "hot"))
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(engine: Engine) -> SqlLedger:
    return SqlLedger(engine, lambda _: AT)


def payout(id: int = 1, withdrawal: int = 1, claim: str = "0", **changes: object) -> Payout:
    attempt = Attempt(1, Kind.PAY, Plan('{"to":"0x2"}', 2**200), AT)
    made = Payout(
        id, "ethereum", "hot", SOURCE, (claim,), (Item(withdrawal, f"w-{withdrawal}"),), Step.RESERVED, 1, AT, AT,
        (attempt,),
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def test_the_fee_of_a_withdrawal_is_that_of_its_last_payout(ledger: SqlLedger) -> None:
    add(ledger, payout(), payout(2, 2, "1"))
    with ledger.act() as records:
        records.payouts.change(payout(), payout(step=Step.DEAD, updated_at=AT + 1))
        records.payouts.change(
            payout(2, 2, "1"), payout(2, 2, "1", step=Step.FINAL, fee=7, counts=1, block=(5, "0xb"), updated_at=AT + 1)
        )
    with ledger.look() as records:
        assert records.payouts.fees([1, 2, 3]) == {1: None, 2: 7}
    again = payout(3, 1, "2")
    add(ledger, again)
    with ledger.act() as records:
        after = replace(again, step=Step.CONFIRMING, fee=2**200, counts=1, block=(6, "0xc"), updated_at=AT + 1)
        records.payouts.change(again, after)
    with ledger.look() as records:
        assert records.payouts.fees([1]) == {1: 2**200}
        assert records.payouts.fees([]) == {}


def add(ledger: SqlLedger, *payouts: Payout) -> None:
    with ledger.act() as records:
        records.payouts.add(payouts)


def live(ledger: SqlLedger) -> list[Payout]:
    with ledger.look() as records:
        return records.payouts.live("ethereum", SOURCE)


def test_a_payout_is_read_as_it_was_written(ledger: SqlLedger, engine: Engine) -> None:
    add(ledger, payout(), payout(2, 2, "1"))
    assert live(ledger) == [payout(), payout(2, 2, "1")]
    signed = payout(step=Step.SIGNED, updated_at=AT + 1).with_attempt(replace(payout().last, **SIGNED))  # type: ignore[arg-type]
    with ledger.act() as records:
        records.payouts.change(payout(), signed)
        assert records.payouts.of(1) == [signed]
        assert records.payouts.with_txid(["0xa", "0xb"]) == {"0xa": 1}
        assert records.payouts.sources() == [("ethereum", SOURCE)]
        assert records.payouts.next_id == 3
    second = replace(signed, updated_at=AT + 2).with_attempt(Attempt(2, Kind.CANCEL, Plan("{}", 3), AT))
    with ledger.act() as records:
        records.payouts.change(signed, second)
    assert live(ledger)[0] == second
    with SqlAuditLog(engine).evidence() as evidence:
        assert [it.message for it in verify(evidence).found if "payout" in it.message] == []


@pytest.mark.parametrize("other", [payout(2, 2, "0"), payout(2, 1, "1")], ids=["the same place", "the same withdrawal"])
def test_no_two_payouts_have_one_place_or_pay_one_withdrawal(ledger: SqlLedger, other: Payout) -> None:
    add(ledger, payout())
    with pytest.raises(OutcomeUnknown, match="another payout has this place"):
        add(ledger, other)
    assert live(ledger) == [payout()]


def test_a_withdrawal_may_be_paid_anew_when_its_payout_is_over_and_never_at_the_same_place(ledger: SqlLedger) -> None:
    add(ledger, payout())
    with ledger.act() as records:
        records.payouts.change(payout(), payout(step=Step.DEAD, updated_at=AT + 1))
    assert live(ledger) == []
    with pytest.raises(OutcomeUnknown):
        add(ledger, payout(2))
    add(ledger, payout(2, 1, "1"))
    with ledger.look() as records:
        assert [each.step for each in records.payouts.of(1)] == [Step.DEAD, Step.RESERVED]


def test_what_is_over_moves_no_more(ledger: SqlLedger) -> None:
    add(ledger, payout())
    final = payout(step=Step.FINAL, updated_at=AT + 1)
    with ledger.act() as records:
        records.payouts.change(payout(), final)
    with pytest.raises(OutcomeUnknown), ledger.act() as records:
        records.payouts.change(final, replace(final, step=Step.BROADCAST))


def test_a_change_of_what_somebody_else_has_changed_is_refused(ledger: SqlLedger) -> None:
    add(ledger, payout())
    with ledger.act() as records:
        records.payouts.change(payout(), payout(updated_at=AT + 1))
    with pytest.raises(OutcomeUnknown, match="changed by somebody else"), ledger.act() as records:
        records.payouts.change(payout(), payout(step=Step.SIGNED, updated_at=AT + 2))


def test_a_worker_whose_lease_another_has_taken_writes_nothing(ledger: SqlLedger) -> None:
    with ledger.act() as records:
        assert records.payouts.fenced(PURSE) == PURSE
        taken = replace(PURSE, fence=2, holder="two")
        records.payouts.set_purse(taken)
    with pytest.raises(Locked, match="another worker has taken over"), ledger.act() as records:
        records.payouts.fenced(PURSE)


EDITS = {
    "the bytes": update(tables.attempt).values(raw=b"\x02\xfe"),
    "the plan": update(tables.attempt).values(plan='{"to":"0x3"}'),
    "the fee": update(tables.attempt).values(max_fee=7),
    "the step": update(tables.payout).values(step="unknown"),
    "the place": update(tables.payout).values(claims='["9"]'),
    "the items": update(tables.payout).values(items='[[2,"w-2",0]]'),
    "the wallet": update(tables.payout).values(wallet="cold"),
    "an attempt gone": delete(tables.attempt),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_row_that_was_changed_is_not_gone_by_and_verify_finds_it(
    ledger: SqlLedger, engine: Engine, edit: str
) -> None:
    add(ledger, payout())
    with writing(engine) as connection:
        unguarded(connection)
        connection.execute(EDITS[edit])
    with pytest.raises(Tampered, match="payout 1"):
        live(ledger)
    with SqlAuditLog(engine).evidence() as evidence:
        assert [it for it in verify(evidence).found if it.table == "payout"]


def test_the_coins_of_a_dead_payout_are_claimed_by_another_and_its_nonce_never_is(ledger: SqlLedger) -> None:
    first = replace(payout(), claims=("aa:0", "bb:1", "7"))
    other = payout(2, 2, "1")
    add(ledger, first)
    with pytest.raises(OutcomeUnknown, match="another payout has this place"):
        add(ledger, replace(other, claims=("bb:1",)))
    lost = replace(first, step=Step.DEAD, updated_at=AT + 1).with_attempt(replace(first.last, **SIGNED))  # type: ignore[arg-type]
    with ledger.act() as records:
        records.payouts.change(first, lost)
        assert records.payouts.claimed("ethereum", SOURCE, first.claims) == {"7": 1}
        assert records.payouts.with_txid(["0xa"]) == {"0xa": 1}
        assert records.payouts.with_txid(["0xa"], dead=False) == {}
    with pytest.raises(OutcomeUnknown, match="another payout has this place"):
        add(ledger, replace(other, claims=("7",)))
    add(ledger, replace(other, claims=("bb:1",)))
    with ledger.look() as records:
        assert records.payouts.claimed("ethereum", SOURCE, first.claims) == {"7": 1, "bb:1": 2}


@pytest.mark.parametrize("step", [Step.FINAL, Step.CANCELLED, Step.REVERTED, Step.UNKNOWN, Step.CONFIRMING])
def test_whatever_is_not_dead_keeps_its_coins(ledger: SqlLedger, step: Step) -> None:
    first = replace(payout(), claims=("aa:0", "bb:1"))
    add(ledger, first)
    with ledger.act() as records:
        records.payouts.change(first, replace(first, step=step, updated_at=AT + 1))
        assert set(records.payouts.claimed("ethereum", SOURCE, first.claims)) == {"aa:0", "bb:1"}
