"""What earlier look-ups saw, in a small SQLite file of its own, so that `tx status` needs no ledger.

One statement carries a whole chunk as JSON: SQLite then works outside the interpreter's lock while other threads
decode answers.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec

from cryptosupport.domain.transactions import Sighting
from cryptosupport.ledger.sqlite import patiently

_TABLE = """
create table if not exists sighting (
    chain text not null,
    txid text not null,
    first_seen integer not null,
    last_seen integer not null,
    state text not null,
    block_hash text,
    height integer,
    sender text,
    nonce text, -- up to 2^64 - 2 (EIP-2681), more than SQLite's integers hold
    inputs text,
    primary key (chain, txid)
) without rowid
"""

# Keep a chunk of sightings: the first time it was seen stays, and so do facts that the new sighting lacks.
_REMEMBER = """
insert into sighting (chain, txid, first_seen, last_seen, state, block_hash, height, sender, nonce, inputs)
select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4,
       value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9
from json_each(?) where true
on conflict (chain, txid) do update set
    last_seen = excluded.last_seen,
    state = excluded.state,
    block_hash = coalesce(excluded.block_hash, block_hash),
    height = coalesce(excluded.height, height),
    sender = coalesce(excluded.sender, sender),
    nonce = coalesce(excluded.nonce, nonce),
    inputs = coalesce(excluded.inputs, inputs)
"""

# The sightings of a chunk of ids, as one JSON text.
_RECALL = """
select json_group_array(json_array(
    chain, txid, first_seen, last_seen, state, block_hash, height, sender, nonce, inputs))
from sighting where chain = ? and txid in (select value from json_each(?))
"""

# The senders that were seen, each once; a limit, as `address check` compares with every one of them.
_ADDRESSES = "select distinct sender from sighting where typeof(sender) = 'text' limit 100000"

_END_OF_TIME = 253_402_300_799
"""The last second of the year 9999, which a date can still show."""

_LOCK_SECONDS = 2

_Whole = Annotated[int, msgspec.Meta(ge=0)]
_Row: TypeAlias = tuple[str, str, _Whole, _Whole, str, str | None, _Whole | None, str | None, str | None, str | None]
_ROW = msgspec.json.Decoder(_Row)
_ROWS = msgspec.json.Decoder(list[_Row])
_EACH_ROW = msgspec.json.Decoder(list[msgspec.Raw])


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


class Sightings:
    """The memory on disk. A file that cannot be used is a warning, told once; the look-up goes on without it."""

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self._path = path
        self._warn = warn
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._broken = False

    def recall(self, chain: str, txids: Sequence[str]) -> dict[str, Sighting]:
        """The sightings among ``txids``, by txid; none when the file cannot be read, and none of a damaged row."""
        with self._lock:
            connection = self._open()
            if connection is None:
                return {}
            try:
                (found,) = connection.execute(_RECALL, (chain, _text(list(txids)))).fetchone()
            except sqlite3.Error as error:
                self._give_up(error)
                return {}
        try:
            return {row[1]: _sighting(row) for row in _ROWS.decode(found)}
        except ValueError:
            return self._sound(found)

    def remember(self, sightings: Sequence[Sighting]) -> None:
        """Keep them."""
        if not sightings:
            return
        rows = [
            (s.chain, s.txid, s.first_seen, s.last_seen, s.state, s.block_hash, s.height, s.sender,
             None if s.nonce is None else str(s.nonce),             " ".join(s.inputs) or None)
            for s in sightings
        ]  # fmt: skip
        with self._lock:
            connection = self._open()
            if connection is None:
                return
            try:
                connection.execute(_REMEMBER, (_text(rows),))
            except sqlite3.Error as error:
                self._give_up(error)

    def addresses(self) -> list[str]:
        """The addresses that earlier look-ups met, at most 100,000; none when the file cannot be read."""
        with self._lock:
            connection = self._open()
            if connection is None:
                return []
            try:
                return [sender for (sender,) in connection.execute(_ADDRESSES)]
            except sqlite3.Error as error:
                self._give_up(error)
                return []

    def _sound(self, found: str) -> dict[str, Sighting]:
        """The sightings of those rows that can be read; a warning of the others."""
        sightings = {}
        for raw in _EACH_ROW.decode(found):
            try:
                sighting = _sighting(_ROW.decode(raw))
            except ValueError:
                self._warn(f"a damaged entry in {self._path} is passed over")
            else:
                sightings[sighting.txid] = sighting
        return sightings

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> sqlite3.Connection | None:
        if self._connection is None and not self._broken:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
                self._connection = connection
                patiently(connection, "pragma journal_mode = wal", _LOCK_SECONDS)
                connection.execute("pragma synchronous = off")  # a lost sighting costs a sentence, not money
                connection.execute(_TABLE)
            except (sqlite3.Error, OSError) as error:
                self._give_up(error)
        return self._connection

    def _give_up(self, error: Exception) -> None:
        self._broken = True
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._warn(f"what was seen is not remembered: {self._path}: {error}")


class Forgetful:
    """A memory that knows nothing and keeps nothing (`--no-remember`)."""

    def recall(self, chain: str, txids: Sequence[str]) -> dict[str, Sighting]:
        """Nothing."""
        return {}

    def remember(self, sightings: Sequence[Sighting]) -> None:
        """Keep nothing."""

    def addresses(self) -> list[str]:
        """None."""
        return []

    def close(self) -> None:
        """Nothing to let go of."""


def _sighting(row: _Row) -> Sighting:
    """Raises `ValueError` for a row that none of our writes left behind."""
    chain, txid, first, last, state, block_hash, height, sender, nonce, inputs = row
    number = None if nonce is None else int(nonce)
    if number is not None and not 0 <= number < 2**64:
        raise ValueError(f"nonce {nonce}")
    first, last = min(first, _END_OF_TIME), min(last, _END_OF_TIME)
    return Sighting(
        chain, txid, first, last, state, block_hash, height, sender, number, tuple(inputs.split()) if inputs else ()
    )
