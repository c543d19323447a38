"""What a signer has signed, in a small SQLite file of its own that is only added to (B12).

**What it keeps apart.** A withdrawal that was once signed for with some claims (a nonce, inputs) is never signed for
with others, whatever a ledger says: all that was ever signed for one withdrawal excludes each other on chain. Only
`Store.retire` opens the way to other claims, with a proof that the former ones are dead.

A nonce never serves other withdrawals either: a ledger that gives it out twice has forgotten something. A coin may: it
is free again when the payment that had it has lost another coin for good, which only the chain knows. To spend it for
another withdrawal excludes what was signed with it before, and so pays nothing twice; and whoever wants to take the
place of a payment could have it cancelled as well.

**What it survives.** A signature is committed, and on the disk (WAL, synchronous = FULL), before it is handed out. A
crash before that loses bytes that nobody has seen; a crash after it loses an answer, and the same may be signed again.
Two processes with one file wait for each other (BEGIN IMMEDIATE). Triggers refuse changes made by mistake; who may drop
a trigger is found out when the file is opened next.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptosupport.domain.audit import Head
from cryptosupport.domain.errors import BadInput, NoSuchRecord, Refused
from cryptosupport.domain.paying import HighWater
from cryptosupport.domain.payouts import Kind, is_coin
from cryptosupport.domain.signing import HOUR
from cryptosupport.domain.withdrawals import canonical
from cryptosupport.signers.storefile import LOCK_SECONDS, StoreFile


@dataclass(frozen=True, slots=True)
class Entry:
    """One signing. ``pays`` is what each withdrawal is paid, by request id, as canonical JSON; ``at`` milliseconds.

    ``base_units`` are the sums by symbol, ``handed_out`` the withdrawals that the ledger says were signed for before.
    """

    chain: str
    source: str
    ledger_id: str
    claims: tuple[str, ...]
    kind: Kind
    pays: Mapping[str, str]
    base_units: Mapping[str, int]
    handed_out: tuple[str, ...]
    plan_hash: str
    txid: str
    at: int

    @property
    def claims_text(self) -> str:
        """The claims in one spelling."""
        return _text(sorted(self.claims))

    @property
    def ids_text(self) -> str:
        """The request ids in one spelling."""
        return _text(sorted(self.pays))


class Store:
    """The memory of a signer. It is opened at the first use, and made where there is none; for any thread.

    Whatever it does raises `BadSettings` for a file that cannot be used, `Unreachable` where another process has it
    for too long or the disk is full.
    """

    def __init__(self, path: Path, lock_seconds: int = LOCK_SECONDS) -> None:
        self._path = path
        self._file = StoreFile(path, lock_seconds)
        self._hours: dict[tuple[str, str], _Hour] = {}  # by wallet; used within transactions only, one at a time

    def __repr__(self) -> str:
        return f"<Store {self._path}>"

    @contextmanager
    def together(self) -> Iterator[None]:
        """Have all that is kept meanwhile on the disk at once, before this ends; others wait."""
        try:
            with self._file.together():
                yield
        except BaseException:
            self._hours.clear()  # it may have counted what was undone
            raise

    def check(self, entry: Entry, most_per_hour: Mapping[str, int]) -> None:
        """Raise `Refused` where this must not be signed as things are; nothing is kept."""
        with self._file.transaction() as connection:
            self._check(connection, entry, most_per_hour)

    def keep(self, entry: Entry, most_per_hour: Mapping[str, int]) -> None:
        """Remember a signature, on the disk before this returns. Raises `Refused` where it must not be handed out."""
        with self._file.transaction(write=True) as connection:
            check = self._check(connection, entry, most_per_hour)
            _insert(connection, entry, check)

    def _check(self, connection: sqlite3.Connection, entry: Entry, most_per_hour: Mapping[str, int]) -> _Check:
        hour = self._hours.setdefault((entry.chain, entry.source), _Hour())
        check = _Check(connection, entry, most_per_hour, hour)
        check.all()
        return check

    def retire(self, chain: str, source: str, claims: tuple[str, ...], proof: str, at: int) -> tuple[str, ...]:
        """Record that nothing that has these claims can count any more, so that its withdrawals may get others.

        Returns their request ids. ``proof`` is what shows it, for people; ``at`` is milliseconds since 1970. To do it
        again does no harm. Raises `BadInput` without a proof, `NoSuchRecord` for claims that nothing was signed with.
        """
        if not proof.strip():
            raise BadInput("say what proves that the former claims are dead: the transaction that took their place")
        text = _text(sorted(claims))
        with self._file.transaction(write=True) as connection:
            found = connection.execute(
                "select request_id, round from payment where chain = ? and source = ? and claims = ? "
                "order by request_id", (chain, source, text),
            ).fetchall()  # fmt: skip
            if not found:
                raise NoSuchRecord(f"nothing was signed with {', '.join(claims)} of {source} on {chain}")
            for request_id, number in found:
                known = connection.execute(
                    "select 1 from retired where request_id = ? and round = ?", (request_id, number)
                ).fetchone()
                if known is None:
                    row = (request_id, number, text, proof, at)
                    connection.execute("insert into retired values (?, ?, ?, ?, ?)", row)
        return tuple(request_id for request_id, _ in found)

    def ids_with(self, chain: str, source: str, claims: tuple[str, ...]) -> tuple[str, ...]:
        """The request ids of the withdrawals that were signed for with exactly these claims."""
        with self._file.transaction() as connection:
            found = connection.execute(
                "select distinct request_id from payment where chain = ? and source = ? and claims = ?",
                (chain, source, _text(sorted(claims))),
            ).fetchall()
        return tuple(request_id for (request_id,) in found)

    def signed_with(self, chain: str, source: str, claims: tuple[str, ...]) -> list[tuple[Kind, str]]:
        """The transactions of a wallet that were signed with these claims, the first one first: kind and txid, "" where
        the key is elsewhere and was about to be asked.
        """
        with self._file.transaction() as connection:
            found = connection.execute(
                "select kind, txid from signature where chain = ? and source = ? and claims = ? order by number",
                (chain, source, _text(sorted(claims))),
            ).fetchall()
        return [(Kind(kind), txid) for kind, txid in found]

    def claims_with(self, chain: str, source: str, claim: str) -> list[tuple[str, ...]]:
        """All claims that payments of a wallet were signed with and that ``claim`` is one of, the first ones first."""
        with self._file.transaction() as connection:
            found = connection.execute(
                "select claims from payment where chain = ? and source = ? and instr(claims, ?) > 0 "
                "group by claims order by min(first_at), claims", (chain, source, json.dumps(claim)),
            ).fetchall()  # fmt: skip
        return [tuple(json.loads(text)) for (text,) in found]

    def paid_by(self, chain: str, source: str, txid: str) -> tuple[str, ...]:
        """The request ids of what a transaction that was signed here pays; none for one to ourselves, or another."""
        with self._file.transaction() as connection:
            found = connection.execute(
                "select request_ids from signature where chain = ? and source = ? and txid = ? and kind = ? limit 1",
                (chain, source, txid, Kind.PAY.value),
            ).fetchone()
        return () if found is None else tuple(json.loads(found[0]))

    def signed(self, chain: str, source: str, txid: str) -> bool:
        """Whether a transaction of a wallet was signed here, whatever a ledger remembers of it."""
        with self._file.transaction() as connection:
            found = connection.execute(
                "select 1 from signature where chain = ? and source = ? and txid = ? limit 1", (chain, source, txid)
            ).fetchone()
        return found is not None

    def remembered(self, request_ids: Sequence[str]) -> dict[str, str]:
        """What was signed for those of these withdrawals that have not been retired since, in words, by request id."""
        with self._file.transaction() as connection:
            found = ((name, connection.execute(_LAST_PAYMENT, (name, name)).fetchone()) for name in request_ids)
            return {name: f"{_words(row[2])} of {row[1]} on {row[0]}" for name, row in found if row is not None}

    def head(self, ledger_id: str) -> Head | None:
        """How far the audit log of a ledger had come when it was told last, None for never."""
        with self._file.transaction() as connection:
            found = connection.execute(
                "select number, hash from head where ledger_id = ? order by number desc limit 1", (ledger_id,)
            ).fetchone()
        return None if found is None else Head(*found)

    def keep_head(self, ledger_id: str, head: Head, at: int) -> None:
        """Remember how far the audit log of a ledger has come; ``at`` is milliseconds since 1970."""
        with self._file.transaction(write=True) as connection:
            connection.execute(
                "insert into head select ?, ?, ?, ? where not exists (select 1 from head where ledger_id = ? and "
                "number >= ?)", (ledger_id, head.number, head.hash, at, ledger_id, head.number),
            )  # fmt: skip

    def high_water(self, chain: str, source: str) -> HighWater:
        """How much was signed for one wallet."""
        with self._file.transaction() as connection:
            (store,) = connection.execute("select id from store").fetchone()
            (count,) = connection.execute(
                "select count(*) from signature where chain = ? and source = ?", (chain, source)
            ).fetchone()
            highest = connection.execute(
                "select claim from claim where chain = ? and source = ? and claim != '' and claim not glob '*[^0-9]*' "
                "order by length(ltrim(claim, '0')) desc, ltrim(claim, '0') desc limit 1", (chain, source),
            ).fetchone()  # fmt: skip
        return HighWater(store, count, None if highest is None else int(highest[0]))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


_LAST_PAYMENT = (
    "select chain, source, claims from payment where request_id = ? and round = "
    "(select count(*) from retired where request_id = ?)"
)


# -- what must not be signed ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Check:
    """One signing against what was signed before, within one transaction."""

    connection: sqlite3.Connection
    entry: Entry
    most_per_hour: Mapping[str, int]
    hour: _Hour

    def all(self) -> None:
        """Raise `Refused` with what to look at."""
        for request_id in sorted(self.entry.pays):
            self._check_payment(request_id)
        self._check_claims()
        self._check_hour()

    def round(self, request_id: str) -> int:
        """How often the claims of a withdrawal were retired."""
        (count,) = self.connection.execute(
            "select count(*) from retired where request_id = ?", (request_id,)
        ).fetchone()  # fmt: skip
        return int(count)

    def is_new(self, request_id: str) -> bool:
        """Whether nothing was signed for a withdrawal in this round."""
        return self._payment(request_id, self.round(request_id)) is None

    @property
    def set_id(self) -> str:
        """What a claim belongs to: these withdrawals, each in its round, with these claims."""
        entry = self.entry
        rounds = [[name, str(self.round(name))] for name in sorted(entry.pays)]
        return hashlib.sha256(canonical([entry.ledger_id, rounds, sorted(entry.claims)])).hexdigest()

    @property
    def leaves(self) -> Mapping[str, int]:
        """What leaves because of it that has not been counted yet, in base units by symbol."""
        entry = self.entry
        if entry.kind is Kind.CANCEL:
            return {}
        counted = self.connection.execute(
            "select 1 from signature where chain = ? and source = ? and claims = ? and request_ids = ? and kind = ? "
            "limit 1", (entry.chain, entry.source, entry.claims_text, entry.ids_text, Kind.PAY.value),
        ).fetchone()  # fmt: skip
        return entry.base_units if counted is None else {}

    def _payment(self, request_id: str, number: int) -> tuple[str, ...] | None:
        row: tuple[str, ...] | None = self.connection.execute(
            "select chain, source, claims, pays, ledger_id from payment where request_id = ? and round = ?",
            (request_id, number),
        ).fetchone()
        return row

    def _check_payment(self, request_id: str) -> None:
        entry, number = self.entry, self.round(request_id)
        row = self._payment(request_id, number)
        if row is None:
            if request_id in entry.handed_out and not number:
                raise Refused(
                    f"the ledger says that {request_id} was signed for, and this signer remembers nothing of it: was "
                    "its store replaced by an older or an empty one, or is this another signer? Restore the store, and "
                    "run `cryptosupport reconcile`"
                )
            return
        chain, source, claims, pays, ledger_id = row
        if (chain, source, claims) != (entry.chain, entry.source, entry.claims_text):
            raise Refused(
                f"{request_id} was signed for with {_words(claims)} of {source} on {chain}, and is never signed for "
                f"with {_words(entry.claims_text)} of {entry.source} on {entry.chain}: it could be paid twice. Was the "
                "ledger restored from a backup? Run `cryptosupport reconcile`. Where a stranger's transaction has that "
                "place, `cryptosupport signer retire` lets it have another"
            )
        if pays != entry.pays[request_id]:
            raise Refused(
                f"{request_id} was signed for to pay {pays}, and is never signed for to pay {entry.pays[request_id]}: "
                "the ledger was changed. Run `cryptosupport audit verify`"
            )
        if ledger_id != entry.ledger_id:
            raise Refused(f"{request_id} was signed for the ledger {ledger_id}, and is not for {entry.ledger_id}")

    def _check_claims(self) -> None:
        entry, set_id = self.entry, self.set_id
        for claim in sorted(each for each in entry.claims if not is_coin(each)):
            row = self.connection.execute(
                "select set_id, request_ids from claim where chain = ? and source = ? and claim = ?",
                (entry.chain, entry.source, claim),
            ).fetchone()
            if row is not None and row[0] != set_id:
                raise Refused(
                    f"{claim} of {entry.source} on {entry.chain} was signed for to pay {_words(row[1])}, and never "
                    f"serves {_words(entry.ids_text)}: was the ledger restored from a backup, or are there two? Run "
                    "`cryptosupport reconcile`"
                )

    def _check_hour(self) -> None:
        leaves = self.leaves
        if not leaves:
            return
        totals = self.hour.totals(self.connection, self.entry)
        for symbol, base_units in leaves.items():
            most, used = self.most_per_hour.get(symbol, 0), totals.get(symbol, 0)
            if used + base_units > most:
                raise Refused(
                    f"this signer signs for at most {most} base units of {symbol} in an hour; {used} are signed for, "
                    f"and this is for {base_units}",
                    symbol=symbol, base_units=base_units, used=used, most=most,
                )  # fmt: skip


_OF_AN_HOUR = "number > ? and chain = ? and source = ? and at > ?"


class _Hour:
    """What one wallet was signed for within the last hour, kept from one signing to the next: rows are only added.

    SQLite cannot add these numbers up, and to read them all each time would make a long run slow.
    """

    def __init__(self) -> None:
        self._since = self._last = 0
        self._rows: list[tuple[int, int, dict[str, int]]] = []  # a heap by time
        self._totals: Counter[str] = Counter()

    def totals(self, connection: sqlite3.Connection, entry: Entry) -> Mapping[str, int]:
        """What leaves by symbol because of signatures later than an hour before ``entry``."""
        since = entry.at - HOUR
        if since < self._since or not self._last:  # the clock was turned back: what was forgotten counts again
            self._rows, self._totals, self._last = [], Counter(), 0
        self._since = since
        # By number, of which few are new, and not by the hour: the signs keep SQLite from its index of that.
        by = "number > ? and +chain = ? and +source = ? and +at > ?" if self._last else _OF_AN_HOUR
        rows = connection.execute(
            f"select at, number, base_units from signature where {by}", (self._last, entry.chain, entry.source, since)
        )
        for at, number, text in rows.fetchall():
            sums = {symbol: int(base_units) for symbol, base_units in json.loads(text).items()}
            heapq.heappush(self._rows, (at, number, sums))
            self._totals.update(sums)
            self._last = max(self._last, number)
        while self._rows and self._rows[0][0] <= since:
            self._totals.subtract(heapq.heappop(self._rows)[2])
        return self._totals


def _insert(connection: sqlite3.Connection, entry: Entry, check: _Check) -> None:
    leaves, set_id = check.leaves, check.set_id
    for request_id, pays in sorted(entry.pays.items()):
        if check.is_new(request_id):
            connection.execute(
                "insert into payment values (?, ?, ?, ?, ?, ?, ?, ?)",
                (request_id, check.round(request_id), entry.chain, entry.source, entry.claims_text, pays,
                 entry.ledger_id, entry.at),
            )  # fmt: skip
    for claim in sorted(entry.claims):
        row = (entry.chain, entry.source, claim)
        known = connection.execute("select 1 from claim where chain = ? and source = ? and claim = ?", row).fetchone()
        if known is None:
            connection.execute("insert into claim values (?, ?, ?, ?, ?, ?)", (*row, set_id, entry.ids_text, entry.at))
    base_units = canonical({symbol: str(each) for symbol, each in leaves.items()}).decode()
    connection.execute(
        "insert into signature (at, chain, source, request_ids, kind, claims, plan_hash, txid, base_units) "
        "values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (entry.at, entry.chain, entry.source, entry.ids_text, entry.kind.value, entry.claims_text, entry.plan_hash,
         entry.txid, base_units),
    )  # fmt: skip


def _text(names: list[str]) -> str:
    return canonical(names).decode()


def _words(text: str) -> str:
    return ", ".join(json.loads(text))
