"""People, freezes, screening lists and the audit log; each withdrawal says who is proven to have brought it."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Integer, Text

from cryptosupport.domain.audit import BEGINNING

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables, and give the ledger its name."""
    _book()
    _withdrawals()
    _audit()
    _people()
    _lists()


def _book() -> None:
    op.add_column("book", Column("ledger_id", Text, nullable=False, server_default=""))
    op.add_column("book", Column("audit_number", BigInteger, nullable=False, server_default="0"))
    op.add_column("book", Column("audit_hash", Text, nullable=False, server_default=""))
    op.add_column("book", Column("sealed_from", BigInteger, nullable=False, server_default="0"))
    book = sa.table("book", *(sa.column(name) for name in ("ledger_id", "audit_hash", "sealed_from", "last_id")))
    named = {"ledger_id": secrets.token_hex(16), "audit_hash": BEGINNING, "sealed_from": book.c.last_id + 1}
    op.execute(book.update().values(named))


def _withdrawals() -> None:
    op.drop_column("withdrawal", "content")
    op.add_column("withdrawal", Column("proven", Boolean, nullable=False, server_default=sa.false()))
    op.add_column("withdrawal", Column("waived", Text))
    op.add_column("withdrawal", Column("expires_at", BigInteger))
    withdrawal = sa.table("withdrawal", sa.column("note", Text))  # from now on "box1:" begins what is sealed
    op.execute(withdrawal.update().where(withdrawal.c.note.like("box1:%")).values(note="\x01" + withdrawal.c.note))


def _audit() -> None:
    op.create_table(
        "audit",
        Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
        Column("at", BigInteger, nullable=False),
        Column("kind", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("who", Text, nullable=False),
        Column("facts", Text, nullable=False),
        Column("hash", Text, nullable=False),
    )
    op.create_index("audit_subject_number", "audit", ["subject", "number"])
    revealed = sa.text("kind = 'privacy.revealed'")
    op.create_index("audit_revealed", "audit", ["who", "at"], sqlite_where=revealed, postgresql_where=revealed)
    beside, columns = sa.text("substr(kind, 1, 11) <> 'withdrawal.'"), ["kind", "subject", "number"]
    op.create_index("audit_beside", "audit", columns, sqlite_where=beside, postgresql_where=beside)
    for statement in _KEPT[op.get_bind().dialect.name]:
        op.execute(statement)


_KEPT = {
    "sqlite": [
        f"create trigger audit_no_{change} before {change} on audit "
        "begin select raise(abort, 'the audit log is only added to'); end"
        for change in ("update", "delete")
    ],
    "postgresql": [
        "create function audit_is_kept() returns trigger language plpgsql as "
        "$$ begin raise exception 'the audit log is only added to'; end $$",
        "create trigger audit_no_change before update or delete on audit "
        "for each row execute function audit_is_kept()",
        "create trigger audit_no_truncate before truncate on audit "
        "for each statement execute function audit_is_kept()",
    ],
}  # fmt: skip
"""What keeps the log from being changed by mistake; who may drop a trigger is stopped by `audit verify` alone."""


def _people() -> None:
    op.create_table(
        "statement",
        Column("action", Text, primary_key=True),
        Column("subject", Text, primary_key=True),
        Column("operator", Text, primary_key=True),
        Column("at", BigInteger, nullable=False),
        Column("text", Text, nullable=False),
        Column("signature", Text, nullable=False),
        Column("number", BigInteger, nullable=False),
    )
    op.create_table(
        "change",
        Column("kind", Text, primary_key=True),
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("previous", Text, nullable=False),
        Column("operators", Text, nullable=False),
        Column("content", Text, nullable=False),
        Column("file", Text, nullable=False),
        Column("loosens", Text, nullable=False),
        Column("proposed_by", Text, nullable=False),
        Column("proposed_at", BigInteger, nullable=False),
        Column("counts_from", BigInteger, nullable=False),
        Column("active_at", BigInteger),
    )
    op.create_table(
        "freeze_order",
        Column("id", Text, primary_key=True),
        Column("kind", Text, nullable=False),
        Column("value", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("by", Text, nullable=False),
        Column("proven", Boolean, nullable=False),
        Column("at", BigInteger, nullable=False),
        Column("source", Text, nullable=False),
        Column("expires_at", BigInteger),
        Column("lifted_at", BigInteger),
    )
    op.create_table(
        "note",
        Column("withdrawal_id", BigInteger, sa.ForeignKey("withdrawal.id"), primary_key=True),
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("at", BigInteger, nullable=False),
        Column("who", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("text", Text, nullable=False),
    )


def _lists() -> None:
    op.create_table(
        "screen_list",
        Column("name", Text, primary_key=True),
        Column("kind", Text, nullable=False),
        Column("source", Text, nullable=False),
        Column("as_of", BigInteger),
        Column("imported_at", BigInteger, nullable=False),
        Column("entries", Integer, nullable=False),
        Column("digest", Text, nullable=False),
    )
    op.create_table(
        "screen_entry",
        Column("list", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("customer", Text, primary_key=True),
        Column("address", Text, nullable=False),
        Column("entry", Text, nullable=False),
        Column("label", Text, nullable=False),
        Column("tag", Text, nullable=False),
        Column("since", BigInteger, nullable=False),
        Column("delisted_at", BigInteger),
    )
    names, listed = ["list", "key", "customer"], sa.text("delisted_at IS NULL")
    op.create_index("screen_entry_listed", "screen_entry", names, sqlite_where=listed, postgresql_where=listed)
