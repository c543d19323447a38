"""Withdrawals, what was decided on them, and the sums that limits are held against."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import BigInteger, Column, Integer, Text

from cryptosupport.ledger.tables import Money

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the first tables, and the one row of `book`."""
    _policies()
    _withdrawals()
    _decisions()
    _sums()


def _policies() -> None:
    book = op.create_table(
        "book",
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("last_at", BigInteger, nullable=False),
        Column("last_id", BigInteger, nullable=False),
        Column("policy", Text, nullable=False),
    )
    op.bulk_insert(book, [{"id": 1, "last_at": 0, "last_id": 0, "policy": ""}])
    op.create_table(
        "policy",
        Column("hash", Text, primary_key=True),
        Column("text", Text, nullable=False),
        Column("first_at", BigInteger, nullable=False),
    )


def _withdrawals() -> None:
    op.create_table(
        "withdrawal",
        Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
        Column("request_id", Text, nullable=False, unique=True),
        Column("content", Text, nullable=False),
        Column("customer", Text, nullable=False),
        Column("asset", Text, nullable=False),
        Column("contract", Text),
        Column("decimals", Integer, nullable=False),
        Column("chain", Text, nullable=False),
        Column("base_units", Money(), nullable=False),
        Column("destination", Text, nullable=False),
        Column("memo", Text),
        Column("tier", Text),
        Column("effective_tier", Text),
        Column("country", Text),
        Column("verification", Text),
        Column("beneficiary", Text),
        Column("note", Text),
        Column("signature_key", Text),
        Column("signature", Text),
        Column("signed", sa.LargeBinary),
        Column("source", Text, nullable=False),
        Column("maker", Text),
        Column("state", Text, nullable=False),
        Column("wallet", Text),
        Column("fee_units", Money(None), nullable=False),
        Column("fee_value", Money(None), nullable=False),
        Column("value", Money(None)),
        Column("booked_at", BigInteger),
        Column("unbooked", Text),
        Column("turn", Integer, nullable=False),
        Column("ended_by", Text),
        Column("txid", Text),
        Column("vout", Integer),
        Column("nonce", BigInteger),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
    )
    op.create_index("withdrawal_customer_destination", "withdrawal", ["customer", "destination"])
    op.create_index("withdrawal_destination", "withdrawal", ["destination"])
    op.create_index("withdrawal_txid", "withdrawal", ["txid"])
    op.create_index("withdrawal_state_id", "withdrawal", ["state", "id"])
    op.create_index("withdrawal_booked_at", "withdrawal", ["booked_at"])
    op.create_index("withdrawal_created_at", "withdrawal", ["created_at"])
    unvalued = sa.text("value is null and booked_at is not null")
    op.create_index("withdrawal_unvalued", "withdrawal", ["id"], sqlite_where=unvalued, postgresql_where=unvalued)


def _decisions() -> None:
    op.create_table(
        "decision",
        Column("withdrawal_id", BigInteger, sa.ForeignKey("withdrawal.id"), primary_key=True),
        Column("turn", Integer, primary_key=True, autoincrement=False),
        Column("at", BigInteger, nullable=False),
        Column("outcome", Text, nullable=False),
        Column("voices", Text, nullable=False),
        Column("policy", Text, nullable=False),
        Column("value", Money(None)),
        Column("prices", Text),
    )


def _sums() -> None:
    op.create_table(
        "window",
        Column("id", Text, primary_key=True),
        Column("period", BigInteger),
        Column("advanced_to", BigInteger),
    )
    op.create_table(
        "tally",
        Column("window_id", Text, primary_key=True),
        Column("part", Text, primary_key=True),
        Column("who", Text, primary_key=True),
        Column("booked", Money(None), nullable=False),
        Column("waiting", Money(None), nullable=False),
        Column("decimals", Integer, nullable=False),
        Column("ends_at", BigInteger),
        sqlite_with_rowid=False,
    )
    op.create_index("tally_ends_at", "tally", ["ends_at"])
    op.create_table(
        "last_price",
        Column("symbol", Text, primary_key=True),
        Column("usd", Money(None), nullable=False),
        Column("decimals", Integer, nullable=False),
        Column("at", BigInteger, nullable=False),
    )
