"""What hooks are told: each change of a withdrawal, at least once, in the order of its changes.

A change is an entry of the audit log that says from which state to which. It is due to a hook until that hook has said
that it took it; while one of a withdrawal is due, the later ones of that withdrawal wait.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptosupport.domain.audit import Entry
from cryptosupport.domain.withdrawal_record import moment
from cryptosupport.domain.withdrawals import State, Withdrawal

SCHEMA = "cryptosupport.event/1"

FROM, TO, TXID, VOUT, NONCE = "from", "to", "txid", "vout", "nonce"
"""The facts of an entry that say what changed: the states before and after, and what pays it."""

_FIRST, _MOST = 5_000, 300_000
"""The pause after a first failure, and the longest one, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Due:
    """A change that a hook has not taken yet: the ``number`` of its entry in the log, and how often it was tried."""

    number: int
    request_id: str
    state: str
    tries: int


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to tell a hook, of one worker at a time: each has a higher ``fence`` than the one before."""

    hook: str
    holder: str
    fence: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a hook stands: how many changes are due to it, and when the first of them happened (None: nothing is due).

    ``tries`` is how often one of them was tried, at the most; ``rests`` how often in a row the hook was left alone.
    Times are milliseconds since 1970.
    """

    due: int = 0
    since: int | None = None
    tries: int = 0
    rests: int = 0


def reached(facts: Mapping[str, str | None]) -> str | None:
    """The state that an entry with these facts brought a withdrawal to; None where it changed none.

    >>> reached({"from": "approved", "to": "reserved"}), reached({"from": "waiting", "to": "waiting"}), reached({})
    ('reserved', None, None)
    """
    state = facts.get(TO)
    return None if state == facts.get(FROM) else state


def pause(failures: int) -> int:
    """How long to wait after so many failures in a row, in milliseconds.

    >>> pause(1), pause(2), pause(9)
    (5000, 10000, 300000)
    """
    return min(_FIRST << min(failures - 1, 16), _MOST)


def body(ledger_id: str, entry: Entry, withdrawal: Withdrawal) -> bytes:
    """What is told of a change, as JSON on one line: the same each time.

    Nothing of the customer is in it but the request id that the desk's own systems gave. The `id` names this ledger,
    the entry, and the start of its hash: where an older copy of the ledger goes on, it gives no id twice.
    """
    facts, request = entry.act.facts, withdrawal.request
    told = {
        "schema": SCHEMA,
        "id": f"{ledger_id}:{entry.number}:{entry.hash[:16]}",
        "number": entry.number,
        "at": moment(entry.at),
        "request_id": entry.act.subject,
        "state": facts.get(TO),
        "previous": facts.get(FROM),
        "chain": request.chain,
        "asset": request.asset.symbol,
        "amount": str(request.amount),
        "base_units": str(request.base_units),
        "txid": facts.get(TXID),
        "vout": _number(facts.get(VOUT)),
        "nonce": _number(facts.get(NONCE)),
    }
    return json.dumps(told, separators=(",", ":")).encode()


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """What shows that ``body`` comes from whoever knows ``secret``, told at ``timestamp`` (seconds since 1970).

    >>> signature(b"secret", "1790000000", b"{}")[:11]
    'v1=d0cadd43'
    """
    return f"v1={hmac.new(secret, timestamp.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


class Outbox(Protocol):
    """What the ledger knows of hooks; each call is a transaction of its own. All raise `Unreachable`."""

    def meet(self, names: Collection[str]) -> None:
        """Hear which hooks there are: a new one is told of what happens from now on.

        One that no worker has named for a day is forgotten, with what is due to it.
        """

    def take_over(self, name: str, states: Collection[State]) -> bool:
        """Make due what the log has in ``states`` and the hook has not heard of, page by page; is there more?."""

    def standings(self, names: Collection[str]) -> dict[str, Standing]:
        """How each hook stands that the ledger knows."""

    def begin(self, name: str, holder: str, lasts: int, gone: Callable[[str], bool]) -> Turn | None:
        """Take the turn of a hook for ``lasts`` milliseconds; None while another worker has it, who is not known to be
        ``gone``, or while the hook is left alone.
        """

    def go_on(self, turn: Turn, lasts: int, taken: Mapping[int, bool], most: int) -> list[Due]:
        """Record which changes the hook has ``taken`` and which not, and say up to ``most`` that may be told now.

        They are of as many withdrawals. The turn begins anew. Raises `Locked` where another worker has it by now.
        """

    def read(self, due: Sequence[Due]) -> dict[int, bytes]:
        """What is told of each change, by number; nothing of what is not as the log has it."""

    def end(self, turn: Turn, rest: bool, went: bool) -> int:
        """Give the turn back; how long the hook is left alone now, in milliseconds: not at all without ``rest``.

        ``went``: it has taken something, so that earlier rests do not count any more.
        """


class Receiver(Protocol):
    """Who is told."""

    @property
    def longest(self) -> float:
        """The seconds after which `tell` has returned."""

    def tell(self, bodies: Mapping[int, bytes]) -> dict[int, str | None]:
        """Tell all of them at the same time; of each None where it was taken, else why not, as people may read it."""

    def close(self) -> None:
        """Let go of what was opened."""
