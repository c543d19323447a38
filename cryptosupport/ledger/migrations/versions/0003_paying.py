"""Paying: wallets bound to this ledger, payouts with their claims and attempts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, Numeric, Text

revision = "0003"
down_revision = "0002"

_MONEY = Text().with_variant(Numeric(78, 0), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    _wallets()
    _payouts()
    _attempts()


def _wallets() -> None:
    op.create_table(
        "purse",
        Column("chain", Text, primary_key=True),
        Column("source", Text, primary_key=True),
        Column("wallet", Text, nullable=False),
        Column("place", BigInteger, nullable=False),
        Column("adopted", BigInteger, nullable=False),
        Column("fence", BigInteger, nullable=False),
        Column("holder", Text, nullable=False),
        Column("until", BigInteger, nullable=False),
    )


def _payouts() -> None:
    op.create_table(
        "payout",
        Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
        Column("chain", Text, nullable=False),
        Column("wallet", Text, nullable=False),
        Column("source", Text, nullable=False),
        Column("claims", Text, nullable=False),
        Column("items", Text, nullable=False),
        Column("step", Text, nullable=False),
        Column("fence", BigInteger, nullable=False),
        Column("made_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
        Column("height", BigInteger),
        Column("block", Text),
        Column("counts", Integer),
        Column("fee", _MONEY),
    )
    live = sa.text("step not in ('final', 'reverted', 'cancelled', 'dead')")
    op.create_index("payout_live", "payout", ["chain", "source", "id"], sqlite_where=live, postgresql_where=live)
    op.create_table(
        "payout_claim",
        Column("chain", Text, primary_key=True),
        Column("source", Text, primary_key=True),
        Column("claim", Text, primary_key=True),
        Column("payout_id", BigInteger, sa.ForeignKey("payout.id"), nullable=False),
    )
    op.create_table(
        "payout_item",
        Column("payout_id", BigInteger, sa.ForeignKey("payout.id"), primary_key=True),
        Column("withdrawal_id", BigInteger, sa.ForeignKey("withdrawal.id"), primary_key=True),
        Column("live", Boolean, nullable=False),
    )
    op.create_index(
        "payout_item_live", "payout_item", ["withdrawal_id"], unique=True,
        sqlite_where=sa.text("live"), postgresql_where=sa.text("live"),
    )  # fmt: skip
    op.create_index("payout_item_withdrawal_id", "payout_item", ["withdrawal_id"])


def _attempts() -> None:
    op.create_table(
        "attempt",
        Column("payout_id", BigInteger, sa.ForeignKey("payout.id"), primary_key=True),
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("kind", Text, nullable=False),
        Column("plan", Text, nullable=False),
        Column("max_fee", _MONEY, nullable=False),
        Column("made_at", BigInteger, nullable=False),
        Column("raw", LargeBinary),
        Column("txid", Text, unique=True),
        Column("signed_at", BigInteger),
        Column("sent", Integer, nullable=False),
        Column("sent_at", BigInteger),
        Column("said", Text),
    )
