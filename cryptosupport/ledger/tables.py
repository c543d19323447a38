"""The tables of the ledger, for SQLite and PostgreSQL alike. Times are milliseconds since 1970."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    TypeDecorator,
    false,
    text,
)
from sqlalchemy.types import TypeEngine

from cryptosupport.domain.errors import Tampered


class Money(TypeDecorator[int]):
    """A whole number of base units, micro-USD or the like, of any size: text in SQLite, NUMERIC in PostgreSQL.

    SQLite's own NUMERIC turns 2**256 - 1 into a float. ``digits`` bounds it in PostgreSQL; None is for sums.
    """

    impl = Text
    cache_ok = True

    def __init__(self, digits: int | None = 78) -> None:
        super().__init__()
        self.digits = digits

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """NUMERIC without a fraction on PostgreSQL."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(Numeric(self.digits, 0) if self.digits else Numeric())
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Any:
        """To the database."""
        return value if value is None or dialect.name == "postgresql" else str(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        """From the database. Raises `Tampered`: SQLite lets anybody put anything in."""
        try:
            return None if value is None else int(value)
        except (ValueError, ArithmeticError) as error:
            raise Tampered(
                "an amount in the ledger is no whole number: it was changed in the database behind this program; pay "
                "nothing, run `cryptosupport audit verify` and find out who did it"
            ) from error


REVISION = "schema_revision"
"""The table in which the migrations keep where they are; it is not in `metadata`."""

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    }
)

# One row. Whoever decides locks it first, so that decisions come one after another (M24).
book = Table(
    "book",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("last_at", BigInteger, nullable=False),  # time of the last deciding transaction
    Column("last_id", BigInteger, nullable=False),  # id of the last withdrawal
    Column("policy", Text, nullable=False),  # hash of the policy whose windows are kept
    Column("ledger_id", Text, nullable=False, server_default=""),
    Column("audit_number", BigInteger, nullable=False, server_default="0"),  # of the audit log's last entry, and
    Column("audit_hash", Text, nullable=False, server_default=""),  # its hash
    Column("sealed_from", BigInteger, nullable=False, server_default="0"),  # smaller ids are older than the audit log
)

# Every policy that ever decided, by its hash.
policy = Table(
    "policy",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("first_at", BigInteger, nullable=False),
)

UNVALUED = "value is null and booked_at is not null"
"""What counts in limits and has no value yet."""

withdrawal = Table(
    "withdrawal",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("request_id", Text, nullable=False, unique=True),
    Column("customer", Text, nullable=False),
    Column("asset", Text, nullable=False),  # the symbol
    Column("contract", Text),
    Column("decimals", Integer, nullable=False),
    Column("chain", Text, nullable=False),
    Column("base_units", Money(), nullable=False),
    Column("destination", Text, nullable=False),
    Column("memo", Text),
    Column("tier", Text),
    Column("effective_tier", Text),  # the policy's lowest where the request has none
    Column("country", Text),
    Column("verification", Text),  # JSON
    Column("beneficiary", Text),  # JSON
    Column("note", Text),
    Column("signature_key", Text),
    Column("signature", Text),
    Column("signed", LargeBinary),  # the bytes that the signature covers
    Column("source", Text, nullable=False),
    Column("maker", Text),
    Column("state", Text, nullable=False),
    Column("wallet", Text),
    Column("fee_units", Money(None), nullable=False),
    Column("fee_value", Money(None), nullable=False),
    Column("value", Money(None)),  # micro-USD, frozen when decided
    Column("booked_at", BigInteger),  # NULL: counts against no limit
    Column("unbooked", Text),  # ids of windows in which it does not count, by blanks
    Column("turn", Integer, nullable=False),  # the last decision's
    Column("ended_by", Text),  # who cancelled or rejected it
    Column("txid", Text),
    Column("vout", Integer),
    Column("nonce", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("proven", Boolean, nullable=False, server_default=false()),  # a signature showed who the maker is
    Column("waived", Text),  # JSON: [[rule, reason], ...] that compliance released
    Column("expires_at", BigInteger),
    Index(None, "customer", "destination"),
    Index(None, "destination"),
    Index(None, "txid"),
    Index(None, "state", "id"),
    Index(None, "booked_at"),
    Index(None, "created_at"),
    Index("withdrawal_unvalued", "id", sqlite_where=text(UNVALUED), postgresql_where=text(UNVALUED)),
)

# What was decided, each time.
decision = Table(
    "decision",
    metadata,
    Column("withdrawal_id", BigInteger, ForeignKey("withdrawal.id"), primary_key=True),
    Column("turn", Integer, primary_key=True, autoincrement=False),  # 1 for the first decision
    Column("at", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("voices", Text, nullable=False),  # JSON: [[rule, outcome, reason, approvals], ...]
    Column("policy", Text, nullable=False),
    Column("value", Money(None)),  # micro-USD at that time, and the prices that made it
    Column("prices", Text),  # JSON
)

# Running sums of the policy's windows. `advanced_to`: bookings at or before it are no longer in a sliding window.
window = Table(
    "window",
    metadata,
    Column("id", Text, primary_key=True),
    Column("period", BigInteger),  # milliseconds of a sliding one
    Column("advanced_to", BigInteger),
)

tally = Table(
    "tally",
    metadata,
    Column("window_id", Text, primary_key=True),
    Column("part", Text, primary_key=True),
    Column("who", Text, primary_key=True),
    Column("booked", Money(None), nullable=False),
    Column("waiting", Money(None), nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("ends_at", BigInteger),  # when a calendar period is over
    Index(None, "ends_at"),
    sqlite_with_rowid=False,
)

# The last price of each symbol that counted, in USD: units / 10**decimals.
last_price = Table(
    "last_price",
    metadata,
    Column("symbol", Text, primary_key=True),
    Column("usd", Money(None), nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
)

REVEALED = "kind = 'privacy.revealed'"
"""What is limited by the hour."""
BESIDE = "substr(kind, 1, 11) <> 'withdrawal.'"
"""The few acts that are about no withdrawal: lists, freezes and versions are held against them when they are read."""

# What was done, each entry bound to the one before it. Triggers refuse to change or remove any.
audit = Table(
    "audit",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("facts", Text, nullable=False),  # JSON
    Column("hash", Text, nullable=False),
    Index(None, "subject", "number"),
    Index("audit_revealed", "who", "at", sqlite_where=text(REVEALED), postgresql_where=text(REVEALED)),
    Index("audit_beside", "kind", "subject", "number", sqlite_where=text(BESIDE), postgresql_where=text(BESIDE)),
)

# What people signed. The subject is the hash or id of what they spoke of.
statement = Table(
    "statement",
    metadata,
    Column("action", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("operator", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Column("number", BigInteger, nullable=False),  # of its entry in the audit log
)

# The versions of operators and policy, each bound to the one before it.
change = Table(
    "change",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("previous", Text, nullable=False),
    Column("operators", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("loosens", Text, nullable=False),  # JSON
    Column("proposed_by", Text, nullable=False),
    Column("proposed_at", BigInteger, nullable=False),
    Column("counts_from", BigInteger, nullable=False),
    Column("active_at", BigInteger),
)

freeze = Table(
    "freeze_order",
    metadata,
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

note = Table(
    "note",
    metadata,
    Column("withdrawal_id", BigInteger, ForeignKey("withdrawal.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("text", Text, nullable=False),
)

screen_list = Table(
    "screen_list",
    metadata,
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("as_of", BigInteger),
    Column("imported_at", BigInteger, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("digest", Text, nullable=False),
)

LISTED = "delisted_at IS NULL"
"""What is read of a list, however much was on it once."""

screen_entry = Table(
    "screen_entry",
    metadata,
    Column("list", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("customer", Text, primary_key=True),
    Column("address", Text, nullable=False),
    Column("entry", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("tag", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("delisted_at", BigInteger),  # NULL while it is on the list
    Index("screen_entry_listed", "list", "key", "customer", sqlite_where=text(LISTED), postgresql_where=text(LISTED)),
)

# -- paying ----------------------------------------------------------------------------------------------------------

# The wallets that this ledger pays from, and who has the lease of each.
purse = Table(
    "purse",
    metadata,
    Column("chain", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("wallet", Text, nullable=False),
    Column("place", BigInteger, nullable=False),  # the next that nothing has (a nonce)
    Column("adopted", BigInteger, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
    Column("until", BigInteger, nullable=False),
)

LIVE = "step not in ('final', 'reverted', 'cancelled', 'dead')"
"""Payouts that may still move."""

payout = Table(
    "payout",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("chain", Text, nullable=False),
    Column("wallet", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("claims", Text, nullable=False),  # JSON
    Column("items", Text, nullable=False),  # JSON: [[withdrawal id, request id, place], ...]
    Column("step", Text, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("height", BigInteger),
    Column("block", Text),
    Column("counts", Integer),
    Column("fee", Money()),
    Index("payout_live", "chain", "source", "id", sqlite_where=text(LIVE), postgresql_where=text(LIVE)),
)

# What no two payouts of a wallet may have: a nonce for ever, an input until its payout is dead (M6).
payout_claim = Table(
    "payout_claim",
    metadata,
    Column("chain", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("claim", Text, primary_key=True),
    Column("payout_id", BigInteger, ForeignKey("payout.id"), nullable=False),
)

# A withdrawal is in one payout that lives at most (M6).
payout_item = Table(
    "payout_item",
    metadata,
    Column("payout_id", BigInteger, ForeignKey("payout.id"), primary_key=True),
    Column("withdrawal_id", BigInteger, ForeignKey("withdrawal.id"), primary_key=True),
    Column("live", Boolean, nullable=False),
    Index(
        "payout_item_live", "withdrawal_id", unique=True, sqlite_where=text("live"), postgresql_where=text("live")
    ),
    Index(None, "withdrawal_id"),
)

attempt = Table(
    "attempt",
    metadata,
    Column("payout_id", BigInteger, ForeignKey("payout.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Column("max_fee", Money(), nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("raw", LargeBinary),  # the signed bytes, stored before any node hears of them
    Column("txid", Text, unique=True),
    Column("signed_at", BigInteger),
    Column("sent", Integer, nullable=False),
    Column("sent_at", BigInteger),
    Column("said", Text),
)

# -- hooks -----------------------------------------------------------------------------------------------------------

# Who is told of changes, and which worker does that.
hook = Table(
    "hook",
    metadata,
    Column("name", Text, primary_key=True),
    Column("heard", BigInteger, nullable=False),  # the last entry of the audit log that was looked at for it
    Column("named_at", BigInteger, nullable=False),  # when a worker last had it in its settings
    Column("rests", Integer, nullable=False),
    Column("rests_until", BigInteger, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
    Column("until", BigInteger, nullable=False),
)

# What it has not taken yet; of each withdrawal only the first one may be told.
hook_due = Table(
    "hook_due",
    metadata,
    Column("hook", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # of the entry in the audit log
    Column("request_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_at", BigInteger, nullable=False),
    Index(None, "hook", "request_id", "number"),
)
