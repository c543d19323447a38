"""Personal data for the tests of the ledger: a keyring in memory, requests that hold secrets, and all raw bytes."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine

from cryptosupport.domain.audit import Act
from cryptosupport.domain.personal import opened
from cryptosupport.domain.withdrawals import Beneficiary, Note, Request, Signature
from cryptosupport.ledger.engine import file_of
from cryptosupport.ledger.ledger import SqlLedger
from cryptosupport.outside.personal import KeptKeys
from tests.desk.deskkit import Desk, Turned, policy, request, rule
from tests.nodes.postgres import Postgres

NOTE, NAME, WRITTEN = "quetzalnote", "xochitlname", "tlalocwritten"
LIMIT = policy(rule("one", "100"))


class Ring:
    """A keyring in memory; ``reach`` is called before and after each change."""

    def __init__(self, text: str | None = None, reach: Callable[[], None] = lambda: None) -> None:
        self.text = text
        self.reach = reach
        self.warned = 0

    def write(self, text: str) -> None:
        """Keep it."""
        self.reach()
        self.text = text
        self.reach()

    def warn(self) -> None:
        """Hear that something is in clear."""
        self.warned += 1

    @property
    def keys(self) -> KeptKeys:
        """The keys as a new run opens them."""
        return KeptKeys(lambda: self.text, self.write, self.warn)


def ring_with_a_key() -> Ring:
    """A keyring with one random key."""
    ring = Ring()
    ring.keys.make()
    return ring


def desk_of(engine: Engine, ring: Ring) -> Desk:
    """A desk as a new run opens it, with the keys of ``ring``."""
    clock = Turned()
    return Desk(SqlLedger(engine, clock, ring.keys), clock, LIMIT)


def personal(request_id: str, note: str = NOTE, name: str = NAME) -> Request:
    """A request that is full of personal data."""
    return request(
        request_id,
        note=f"{note} {request_id}",
        beneficiary=Beneficiary(f"{name} {request_id}", self_hosted=True),
        signature=Signature("backend", "A" * 86 + "=="),
        signed=f"cryptosupport.request/1\n{note} {name} {request_id}".encode(),
    )


def write_about(desk: Desk, request_id: str, number: int = 1, text: str = WRITTEN) -> None:
    """Write something about a withdrawal."""
    withdrawal = desk.ledger.withdrawal(request_id)
    assert withdrawal is not None
    with desk.ledger.act() as records:
        records.add_note(withdrawal, Note(number, records.now, "alice", "note", text), Act("withdrawal.noted"))


def told(desk: Desk, request_id: str) -> tuple[str | None, Beneficiary | None, bytes, list[str]]:
    """All that is personal of a withdrawal, in clear."""
    withdrawal = desk.ledger.withdrawal(request_id)
    assert withdrawal is not None
    with desk.ledger.look() as records:
        notes = [opened(each.text) for each in records.notes(withdrawal.id)]
    asked = withdrawal.request
    return opened(asked.note), opened(asked.beneficiary), opened(asked.signed), notes


def wanted(request_id: str, *notes: str) -> tuple[str | None, Beneficiary | None, bytes, list[str]]:
    """What `told` tells of a request as `personal` makes them."""
    asked = personal(request_id)
    return opened(asked.note), opened(asked.beneficiary), opened(asked.signed), [*notes]


def raw_bytes(engine: Engine, server: Postgres | None) -> bytes:
    """All that the database has on the disk: of SQLite the file and its log, of PostgreSQL its tables, and its log."""
    file = file_of(engine)
    if file is not None:
        return b"".join(part.read_bytes() for part in sorted(file.parent.glob(f"{file.name}*")) if part.is_file())
    assert server is not None
    relations = "select pg_read_binary_file(pg_relation_filepath(oid)) from pg_class where relkind in ('r', 't', 'i')"
    logs = "select pg_read_binary_file('pg_wal/' || name) from pg_ls_waldir() where name ~ '^[0-9A-F]{24}$'"
    with server.connect(str(engine.url.database)) as connection:
        connection.execute("checkpoint")
        ours = f"{relations} and relnamespace in ('public'::regnamespace, 'pg_toast'::regnamespace)"
        return b"".join(bytes(data) for query in (ours, logs) for (data,) in connection.execute(query) if data)
