"""Hooks: how far each has heard of the audit log, and what is due to it."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, Text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "hook",
        Column("name", Text, primary_key=True),
        Column("heard", BigInteger, nullable=False),
        Column("named_at", BigInteger, nullable=False),
        Column("rests", Integer, nullable=False),
        Column("rests_until", BigInteger, nullable=False),
        Column("fence", BigInteger, nullable=False),
        Column("holder", Text, nullable=False),
        Column("until", BigInteger, nullable=False),
    )
    op.create_table(
        "hook_due",
        Column("hook", Text, primary_key=True),
        Column("number", BigInteger, primary_key=True),
        Column("request_id", Text, nullable=False),
        Column("state", Text, nullable=False),
        Column("at", BigInteger, nullable=False),
        Column("tries", Integer, nullable=False),
        Column("next_at", BigInteger, nullable=False),
    )
    op.create_index("hook_due_hook_request_id_number", "hook_due", ["hook", "request_id", "number"])
