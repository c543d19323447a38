"""A payout: one conflict set. All its attempts exclude each other on chain, so at most one of them ever counts.

    reserved --> signed --> broadcast --> confirming --> final | reverted | cancelled
                    |           |   ^          |
                    |           v   |          v  (the block is gone: the same bytes are sent again)
                    +-------> unknown <--------+
                                |
                                v
                              dead   (something that is not ours holds the place, for good)

An attempt is recorded before it is signed, and its bytes are stored before any node hears of them. What all attempts of
a payout have in common, and no other transaction of the wallet may have, are its ``claims``: the nonce on an account
chain, the inputs on a chain of coins.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol, TypeAlias, assert_never

from cryptosupport.domain.audit import Act
from cryptosupport.domain.withdrawals import State, Withdrawal


class Step(StrEnum):
    """Where a payout stands."""

    RESERVED = "reserved"
    SIGNED = "signed"
    BROADCAST = "broadcast"
    CONFIRMING = "confirming"
    UNKNOWN = "unknown"
    FINAL = "final"
    REVERTED = "reverted"
    CANCELLED = "cancelled"
    DEAD = "dead"


OVER = frozenset({Step.FINAL, Step.REVERTED, Step.CANCELLED, Step.DEAD})
"""The steps that nothing leaves again: no attempt can count any more, or one counts for good."""

LIVE = frozenset(Step) - OVER
"""The steps of payouts that may still move."""


def is_coin(claim: str) -> bool:
    """Whether a claim is an output ("txid:vout"), which can be free again; a nonce is used for ever.

    >>> is_coin("ab" * 32 + ":0"), is_coin("17")
    (True, False)
    """
    return ":" in claim


class Kind(StrEnum):
    """What an attempt does: pay the withdrawals, or take their place with a payment to ourselves."""

    PAY = "pay"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Plan:
    """An unsigned transaction. ``text`` is canonical JSON in the words of its chain family.

    ``max_fee`` is the most that it can cost in base units of the chain's coin.
    """

    text: str
    max_fee: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One transaction of a payout. Times are milliseconds since 1970.

    ``raw`` and ``txid`` are None until the signed bytes are stored. ``sent`` counts how often nodes were given them,
    the last time at ``sent_at``; ``said`` is what was answered.
    """

    number: int
    kind: Kind
    plan: Plan
    made_at: int
    raw: bytes | None = None
    txid: str | None = None
    signed_at: int | None = None
    sent: int = 0
    sent_at: int | None = None
    said: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One withdrawal that a payout pays, by id in the ledger; ``place`` is that of its output, 0 where there is one."""

    withdrawal_id: int
    request_id: str
    place: int = 0


def fee_share(fee: int, members: int, place: int) -> int:
    """What one of so many withdrawals bears of the fee of their transaction, by its place among them: all bear the
    same, but for what cannot be divided, and all shares together are the fee.

    >>> [fee_share(11, 3, place) for place in range(3)]
    [4, 4, 3]
    """
    return fee // members + (place < fee % members)


@dataclass(frozen=True, slots=True)
class Payout:
    """One conflict set, as the ledger has it.

    ``source`` is the address or descriptor that pays, ``fence`` the token of the lease that made it. ``block`` is where
    an attempt was seen last: (height, hash); ``counts`` its number. Where it is dead its coins may be claimed anew.
    """

    id: int
    chain: str
    wallet: str
    source: str
    claims: tuple[str, ...]
    items: tuple[Item, ...]
    step: Step
    fence: int
    made_at: int
    updated_at: int
    attempts: tuple[Attempt, ...] = ()
    block: tuple[int, str] | None = None
    counts: int | None = None
    fee: int | None = None

    @property
    def last(self) -> Attempt:
        """The attempt that is to count: the newest."""
        return self.attempts[-1]

    @property
    def outgoing(self) -> Attempt | None:
        """The attempt that nodes are given: the newest that is signed, as long as what is newer and waits for its
        signature is of the same kind. What is to be taken back is not sent any more.
        """
        signed = [each for each in self.attempts if each.raw is not None and each.kind is self.last.kind]
        return signed[-1] if signed else None

    @property
    def cancelling(self) -> bool:
        """Whether its place is being taken by a payment to ourselves."""
        return any(each.kind is Kind.CANCEL for each in self.attempts)

    @property
    def was_sent(self) -> bool:
        """Whether a node may have heard of any attempt."""
        return any(each.sent for each in self.attempts)

    def fee_of(self, withdrawal_id: int) -> int | None:
        """What one of its withdrawals bears of the fee, None as long as that is not known."""
        members = [item.withdrawal_id for item in self.items]
        if self.fee is None or withdrawal_id not in members:
            return None
        return fee_share(self.fee, len(members), members.index(withdrawal_id))

    def with_attempt(self, attempt: Attempt) -> Payout:
        """The payout with one more attempt, or with one as it is now."""
        others = tuple(each for each in self.attempts if each.number != attempt.number)
        return replace(self, attempts=tuple(sorted((*others, attempt), key=lambda each: each.number)))

    @property
    def state(self) -> State:
        """Where the withdrawals that it pays stand because of it."""
        match self.step:
            case Step.DEAD:
                return State.HELD  # somebody has to find out what took its place
            case Step.FINAL | Step.REVERTED | Step.CANCELLED | Step.UNKNOWN:
                return State(self.step)
            case _:
                return State.CANCELLING if self.cancelling else State(self.step)


# -- what nodes say of one ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Absent:
    """None of the attempts is in a block, and nothing else has their place; ``pooled``: a node waits to mine one."""

    pooled: bool = False


@dataclass(frozen=True, slots=True)
class Mined:
    """The attempt ``number`` is in a block; ``ok``: it did what it was to do.

    ``final`` is what the chain's rule says and, for what releases money, as many operators as the settings ask for.
    ``fee`` is what it cost, in base units of the coin.
    """

    number: int
    height: int
    block_hash: str
    ok: bool
    final: bool
    fee: int
    confirmations: int = 1


@dataclass(frozen=True, slots=True)
class Taken:
    """Something that is none of the attempts has their place, the transaction ``by`` where it was found."""

    by: str | None
    final: bool


@dataclass(frozen=True, slots=True)
class Unclear:
    """Nodes contradict each other or themselves."""

    why: str


Seen: TypeAlias = Absent | Mined | Taken | Unclear
"""What nodes say of a payout. A node that does not answer says nothing."""


def conclude(payout: Payout, seen: Seen) -> Step:
    """The step that follows from what nodes say (M2, M7, M81); the same one where nothing follows.

    What no node finds neither ends a payout nor makes it known again: only a transaction that holds its place for good
    ends it. What is over stays as it is.
    """
    if payout.step in OVER:
        return payout.step
    match seen:
        case Absent(pooled=True):
            return Step.BROADCAST
        case Absent():
            return Step.BROADCAST if payout.step is Step.CONFIRMING else payout.step
        case Mined(final=False):
            return Step.CONFIRMING
        case Mined(number=number, ok=ok):
            if _kind(payout, number) is Kind.CANCEL:
                return Step.CANCELLED
            return Step.FINAL if ok else Step.REVERTED
        case Taken(by=by, final=final):
            return Step.DEAD if final and by is not None else Step.UNKNOWN
        case Unclear():
            return Step.UNKNOWN
        case _:
            assert_never(seen)


def _kind(payout: Payout, number: int) -> Kind:
    return next(each.kind for each in payout.attempts if each.number == number)


# -- who may pay ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Purse:
    """A wallet that this ledger pays from: the only one for its ``source`` on ``chain``.

    ``place`` is the next one that nothing of this ledger has (a nonce). ``fence`` counts the leases; ``holder`` has the
    last one until ``until`` (milliseconds since 1970). ``adopted``: places below it (blocks, where places are coins)
    have transactions from before this ledger.
    """

    chain: str
    source: str
    wallet: str
    place: int
    adopted: int
    fence: int = 0
    holder: str = ""
    until: int = 0

    def leased(self, holder: str, now: int, lasts: int, gone: Callable[[str], bool] = lambda _: False) -> Purse | None:
        """The purse with a lease for ``holder``; None while somebody else has one (M8), of whom it is not known that
        they are ``gone``.
        """
        if self.holder not in ("", holder) and now < self.until and not gone(self.holder):
            return None
        fence = self.fence if self.holder == holder and now < self.until else self.fence + 1
        return replace(self, holder=holder, until=now + lasts, fence=fence)


@dataclass(frozen=True, slots=True)
class Link:
    """That a withdrawal is in a payout, by the table that keeps it from being in two that live."""

    payout_id: int
    withdrawal_id: int
    live: bool
    step: Step


class Payouts(Protocol):
    """What one transaction of the ledger knows and keeps of paying; nobody else writes meanwhile."""

    def purse(self, chain: str, source: str) -> Purse | None:
        """The wallet as it is bound to this ledger, None where it is not."""

    def set_purse(self, purse: Purse, act: Act | None = None) -> None:
        """Record a wallet, its next place and its lease; leases alone are no ``act``."""

    def fenced(self, lease: Purse) -> Purse:
        """The wallet as it stands, for whoever has its ``lease``. Raises `Locked` where another one has it by now."""

    @property
    def next_id(self) -> int:
        """The id that the next payout gets."""

    def sources(self) -> list[tuple[str, str]]:
        """The wallets that have payouts which may still move, as (chain, source)."""

    def live(self, chain: str, source: str, steps: Collection[Step] = LIVE) -> list[Payout]:
        """The payouts of a wallet that may still move, or those at some ``steps``, the first one first.

        Raises `Tampered`.
        """

    def of(self, withdrawal_id: int) -> list[Payout]:
        """All payouts that a withdrawal was ever in, the first one first. Raises `Tampered`."""

    def fees(self, withdrawal_ids: Sequence[int]) -> dict[int, int | None]:
        """What each of these bears of the fee of its last payout, in base units of the coin; None in no block."""

    def after(self, chain: str, source: str, id: int, most: int) -> list[Payout]:
        """Up to ``most`` payouts of a wallet with ids beyond ``id``, in their order. Raises `Tampered`."""

    def withdrawals(self, ids: Sequence[int]) -> dict[int, Withdrawal]:
        """The withdrawals with these ids that there are. Raises `Tampered` for one that is not as the log has it."""

    def links(self, withdrawal_ids: Sequence[int]) -> list[Link]:
        """All payouts that these withdrawals are in."""

    def claimed(self, chain: str, source: str, claims: Sequence[str]) -> dict[str, int]:
        """Which payouts have these claims, by claim."""

    def unmatched(self, chain: str, wallet: str, state: State, id: int, most: int) -> list[tuple[int, str]]:
        """Up to ``most`` withdrawals of a wallet in ``state`` that no payout has brought there: id and request id.

        Those with ids beyond ``id``, in their order.
        """

    def repeats(self, chain: str, wallet: str, within: int) -> Iterator[tuple[str, str]]:
        """Withdrawals that were paid, or are being paid, each with the one before it of the same customer, destination,
        asset and amount, which came less than ``within`` milliseconds earlier: both request ids.
        """

    def payable(self, chain: str, wallet: str | None, most: int, after: int = 0) -> list[Withdrawal]:
        """Up to ``most`` withdrawals with ids beyond ``after`` that ``wallet`` is to pay, the first one first."""

    def with_txid(self, txids: Sequence[str], *, dead: bool = True) -> dict[str, int]:
        """The ids of the payouts that have an attempt with one of these txids; ``dead``: those that are dead too."""

    def recorded_with(self, chain: str, txid: str) -> list[Withdrawal]:
        """The withdrawals on a chain that are recorded with a transaction. Raises `Tampered`."""

    def add(self, payouts: Sequence[Payout]) -> None:
        """Record new payouts with their claims, items and attempts. Raises `OutcomeUnknown` where one claims what
        another has, or pays a withdrawal that another pays.
        """

    def change(self, before: Payout, after: Payout, act: Act | None = None) -> None:
        """Record that ``before`` became ``after``, with its new attempts; ``act`` says who did it and why.

        The coins of one that is dead may be claimed by another from then on: nothing of it can ever count, as one of
        them is spent for good.

        Raises `OutcomeUnknown` when it is no longer as ``before`` has it (M6, D7).
        """
