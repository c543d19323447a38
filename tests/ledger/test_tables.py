"""The columns hold what a desk has: money of any size, every letter, bytes, and no row without its owner."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, insert, select
from sqlalchemy.exc import IntegrityError

from cryptosupport.ledger import schema
from cryptosupport.ledger.engine import reading, writing
from cryptosupport.ledger.tables import book, decision, last_price, metadata, tally, withdrawal
from tests.ledger.ledgerkit import a_row

UINT256 = 2**256 - 1


@pytest.fixture
def ledger(ledger_engine: Engine) -> Engine:
    schema.ready(ledger_engine)
    return ledger_engine


@pytest.mark.parametrize("amount", [0, 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**77, UINT256 - 1, UINT256])
def test_every_uint256_comes_back_to_the_last_digit(ledger: Engine, amount: int) -> None:
    with writing(ledger) as connection:
        row = a_row(withdrawal, id=1, base_units=amount, fee_units=amount, fee_value=amount, value=amount)
        connection.execute(insert(withdrawal), [row])
    with reading(ledger) as connection:
        columns = withdrawal.c
        found = connection.execute(select(columns.base_units, columns.fee_units, columns.fee_value, columns.value))
        assert found.one() == (amount, amount, amount, amount)
        assert connection.scalar(select(columns.request_id).where(columns.base_units == amount)) == ""


@pytest.mark.parametrize("total", [-1, 0, UINT256, UINT256 * 10**6, UINT256 * 10**18 + 1, -(UINT256**2)])
def test_sums_of_many_amounts_come_back_to_the_last_digit(ledger: Engine, total: int) -> None:
    with writing(ledger) as connection:
        connection.execute(insert(tally), [a_row(tally, booked=total, waiting=-total)])
        connection.execute(insert(last_price), [a_row(last_price, usd=total)])
    with reading(ledger) as connection:
        assert connection.execute(select(tally.c.booked, tally.c.waiting)).one() == (total, -total)
        assert connection.scalar(select(last_price.c.usd)) == total


def test_no_value_stays_no_value(ledger: Engine) -> None:
    with writing(ledger) as connection:
        connection.execute(insert(withdrawal), [a_row(withdrawal, id=1, value=None)])
    with reading(ledger) as connection:
        assert connection.execute(select(withdrawal.c.value, withdrawal.c.signed)).one() == (None, None)


def test_text_of_every_script_and_any_bytes_come_back(ledger: Engine) -> None:
    note, signed = "客户 Ünï \u202e😀\n\t'\"%s:name \U0010ffff", bytes(range(256))
    with writing(ledger) as connection:
        connection.execute(insert(withdrawal), [a_row(withdrawal, id=1, note=note, signed=signed)])
    with reading(ledger) as connection:
        assert connection.execute(select(withdrawal.c.note, withdrawal.c.signed)).one() == (note, signed)


def test_ids_and_times_are_as_long_as_they_get(ledger: Engine) -> None:
    most = 2**63 - 1
    with writing(ledger) as connection:
        connection.execute(insert(withdrawal), [a_row(withdrawal, id=most, booked_at=most, nonce=most)])
        connection.execute(insert(decision), [a_row(decision, withdrawal_id=most, turn=1, at=most)])
        connection.execute(book.update().values(last_id=most, last_at=most))
    with reading(ledger) as connection:
        columns = withdrawal.c
        assert connection.execute(select(columns.id, columns.booked_at, columns.nonce)).one() == (most, most, most)
        assert connection.execute(select(book.c.last_id, book.c.last_at)).one() == (most, most)


def test_a_request_id_is_there_once_for_ever(ledger: Engine) -> None:
    with writing(ledger) as connection:
        connection.execute(insert(withdrawal), [a_row(withdrawal, id=1, request_id="r-1")])
    with pytest.raises(IntegrityError), writing(ledger) as connection:
        connection.execute(insert(withdrawal), [a_row(withdrawal, id=2, request_id="r-1")])
    with reading(ledger) as connection:
        assert connection.scalars(select(withdrawal.c.id)).all() == [1]


def test_there_is_no_decision_without_its_withdrawal(ledger: Engine) -> None:
    with pytest.raises(IntegrityError), writing(ledger) as connection:
        connection.execute(insert(decision), [a_row(decision, withdrawal_id=7, turn=1)])


def test_no_column_is_a_float() -> None:
    kinds = {type(column.type).__name__ for table in metadata.tables.values() for column in table.columns}
    assert kinds == {"Integer", "BigInteger", "Boolean", "Text", "LargeBinary", "Money"}
