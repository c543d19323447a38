"""What happened to a transaction: one record per look-up, one class per state, each with its own facts only.

Times are whole seconds since 1970 (UTC). Hashes and ids are in the form that the chain's own nodes print.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.money import Amount, FeeRate, GasFees


class Detail(Enum):
    """How much to find out: the state alone, all facts of the record, or the facts with their sources too."""

    BRIEF = "brief"
    FULL = "full"
    EXPLAIN = "explain"


class PendingReason(Enum):
    """Why a transaction is not in a block yet."""

    WAITING = "waiting"
    LOW_FEE = "low_fee"
    NONCE_GAP = "nonce_gap"
    ANCESTOR = "ancestor"
    UNBROADCAST = "unbroadcast"
    LOCKTIME = "locktime"
    REORGED = "reorged"


class FailureCode(Enum):
    """Why a mined transaction failed."""

    REVERTED = "reverted"
    PANIC = "panic"
    CUSTOM_ERROR = "custom_error"
    OUT_OF_GAS = "out_of_gas"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Block:
    """The block that holds a transaction. ``time`` is None where it was not asked for."""

    height: int
    hash: str
    time: int | None


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money that a transaction moved. ``vout`` and ``change`` are Bitcoin's; ``change`` is None where nobody can
    tell.
    """

    amount: Amount
    sender: str | None
    recipient: str | None
    vout: int | None = None
    change: bool | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a mined transaction failed. ``message`` is the bare reason; ``replayed`` says that it comes from a replay."""

    code: FailureCode
    message: str | None
    replayed: bool = False


# -- states ----------------------------------------------------------------------------------------------------------


class Hint(Enum):
    """What an id that finds nothing turned out to be."""

    BLOCK_HASH = "block_hash"
    WTXID = "wtxid"


@dataclass(frozen=True, slots=True)
class NotFound:
    """Every node that was asked is synced and does not know it. ``nodes`` names them.

    ``hint`` says what the id is instead, and ``meant`` is then the id to use (for a wtxid: the txid).
    """

    nodes: tuple[str, ...] = ()
    hint: Hint | None = None
    meant: str | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """Known to a node, in no block.

    ``feerate`` is what it pays (on Bitcoin with its unconfirmed family), ``market`` what the next blocks ask,
    ``mempool_min`` what the node's mempool keeps. ``nonce`` and ``missing_nonce`` (the lowest one that has to come
    first) are EVM's.
    """

    reason: PendingReason
    feerate: FeeRate | GasFees | None = None
    mempool_min: FeeRate | None = None
    market: FeeRate | GasFees | None = None
    eta_blocks: int | None = None
    replaceable: bool | None = None
    nonce: int | None = None
    missing_nonce: int | None = None
    ancestors: int | None = None
    was_in: str | None = None  # reorged: the hash of the block that is no longer in the chain
    locktime: int | None = None  # locktime: the first height (below 500,000,000) that may hold it, or the time to pass


@dataclass(frozen=True, slots=True)
class Confirming:
    """In a block, not yet deep enough. ``required`` is None where a finality tag decides."""

    block: Block
    confirmations: int
    required: int | None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """In a block, and final by the chain's rule. ``spendable_at`` is the height at which a young coinbase can be
    spent.
    """

    block: Block
    confirmations: int
    required: int | None
    spendable_at: int | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """In a block, the fee is spent, nothing was moved."""

    block: Block
    confirmations: int
    required: int | None
    final: bool
    failure: Failure


@dataclass(frozen=True, slots=True)
class Replaced:
    """Another transaction took its place. ``by`` is None where the winner could not be named; ``final`` needs proof."""

    by: str | None
    final: bool
    nonce: int | None = None
    outpoint: str | None = None


@dataclass(frozen=True, slots=True)
class Dropped:
    """Was seen, is gone, and nothing took its place: it can come back. ``final`` needs proof."""

    final: bool = False
    was_in: str | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Could not be looked up.

    ``code`` is a `NodeFailed` reason, or `indexing`, `no_index`, `no_nonce`, `no_endpoint`.
    """

    code: str
    message: str
    nodes: tuple[str, ...] = ()


TxStatus: TypeAlias = NotFound | Pending | Confirming | Confirmed | Failed | Replaced | Dropped | Unknown


# -- what a look-up says and remembers -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is known, and where from (``source``: the call and the node, or `memory`)."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """What is remembered of a transaction, so that a later look can say replaced, dropped or reorged.

    ``inputs`` are Bitcoin outpoints ("txid:vout"); ``sender`` and ``nonce`` are EVM's. ``block_hash`` and ``height``
    are of the block that held it when last seen in one.
    """

    chain: str
    txid: str
    first_seen: int
    last_seen: int
    state: str
    block_hash: str | None = None
    height: int | None = None
    sender: str | None = None
    nonce: int | None = None
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TxReport:
    """What one look-up found out about one transaction.

    ``chain`` is None when it was found on none. ``source`` names the node that answered. ``remember`` is what should
    be kept (its
    ``first_seen`` and ``last_seen`` are ``as_of``). ``created`` is the contract that it deployed; ``coinbase`` tells
    a block reward.
    ``also_on`` names other chains that hold the same id.
    """

    txid: str
    chain: str | None
    status: TxStatus
    as_of: int
    source: str | None = None
    fee: Amount | None = None
    transfers: tuple[Transfer, ...] = ()
    created: str | None = None
    coinbase: bool = False
    outcome_known: bool = True  # False: mined before Byzantium, success or failure is not recorded
    explorer: str | None = None
    remember: Sighting | None = None
    facts: tuple[Fact, ...] = field(default=())
    also_on: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()  # the chains that were asked, when it was found on none

    @property
    def state(self) -> str:
        """The state's name in the contract: `not_found`, `pending`, ..."""
        return STATE_NAMES[type(self.status)]

    @property
    def final(self) -> bool:
        """Whether nothing will change this any more, by the chain's rule or by proof."""
        status = self.status
        if isinstance(status, Confirmed):
            return True
        return isinstance(status, Failed | Replaced | Dropped) and status.final


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line of the input that holds no transaction id. ``line`` counts from 1."""

    line: int
    input: str
    error: BadInput


STATE_NAMES: dict[type, str] = {
    NotFound: "not_found",
    Pending: "pending",
    Confirming: "confirming",
    Confirmed: "confirmed",
    Failed: "failed",
    Replaced: "replaced",
    Dropped: "dropped",
    Unknown: "unknown",
}
