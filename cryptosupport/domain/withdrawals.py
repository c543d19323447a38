"""A withdrawal: what the customer asked for, what was decided, and where it stands."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cryptosupport.domain.money import Asset, Quantity
from cryptosupport.domain.personal import Sealed, opened
from cryptosupport.domain.policy.decision import Decision, Outcome
from cryptosupport.domain.policy.rules import Booking


class State(StrEnum):
    """Where a withdrawal stands. `signed` is not `broadcast`, and neither is paid: only `final` is."""

    REQUESTED = "requested"
    WAITING = "waiting"
    HELD = "held"
    AWAITING_APPROVAL = "awaiting_approval"
    APPROVED = "approved"
    WAITING_LIQUIDITY = "waiting_liquidity"
    RESERVED = "reserved"
    SIGNED = "signed"
    BROADCAST = "broadcast"
    CONFIRMING = "confirming"
    FINAL = "final"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    REVERTED = "reverted"
    UNKNOWN = "unknown"


DECIDED = {
    Outcome.ALLOW: State.APPROVED,
    Outcome.APPROVAL: State.AWAITING_APPROVAL,
    Outcome.WAIT: State.WAITING,
    Outcome.HOLD: State.HELD,
    Outcome.DENY: State.REJECTED,
}
"""The state that a decision brings about."""

ENDED = frozenset({State.FINAL, State.REJECTED, State.EXPIRED, State.CANCELLED, State.REVERTED})
"""The states that nothing leaves again."""

UNSIGNED = frozenset(
    {State.REQUESTED, State.WAITING, State.HELD, State.AWAITING_APPROVAL, State.APPROVED, State.WAITING_LIQUIDITY}
)
"""The states in which nothing has been signed: here, and only here, a cancel takes effect at once."""

PAYING = frozenset(
    {State.RESERVED, State.SIGNED, State.BROADCAST, State.CONFIRMING, State.CANCELLING, State.UNKNOWN}
)
"""The states in which a payout is under way: nobody knows yet whether it will have been paid."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What the backend says that it checked of the customer; ``at`` is when, in seconds since 1970."""

    identity: bool = False
    two_factor: bool = False
    email_confirmed: bool = False
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Beneficiary:
    """Who receives: a ``provider`` (another company's wallet) or the person's own (``self_hosted``)."""

    name: str | None = None
    provider: str | None = None
    self_hosted: bool = False
    proof: str | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """The backend's Ed25519 signature of `Request.signed`: the name of its key in the settings, and base64."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Request:
    """What came in, checked and in normal form.

    ``destination`` is the chain's normal form. ``tier`` and ``country`` are as given. ``signed`` are the bytes that a
    ``signature`` covers; empty without one. What is personal (beneficiary, note, signed) may still be sealed, as the
    ledger has it.
    """

    request_id: str
    customer: str
    asset: Asset
    chain: str
    base_units: int
    destination: str
    memo: str | None = None
    tier: str | None = None
    country: str | None = None
    verification: Verification | None = None
    beneficiary: Beneficiary | Sealed[Beneficiary] | None = None
    note: str | Sealed[str] | None = None
    signature: Signature | None = None
    signed: bytes | Sealed[bytes] = b""

    @property
    def amount(self) -> Quantity:
        """The amount as a decimal number of its asset."""
        assert self.asset.decimals is not None  # intake takes known assets only
        return Quantity(self.base_units, self.asset.decimals)

    @property
    def content(self) -> str:
        """SHA-256 (hex) over all that makes it this request: two with one content are the same request.

        Everything counts but note and signature; the amount as base units, the destination in normal form. Raises as
        `Sealed.open` does.
        """
        facts = {
            "request_id": self.request_id,
            "customer": self.customer,
            "asset": self.asset.symbol,
            "chain": self.chain,
            "base_units": str(self.base_units),
            "destination": self.destination,
            "memo": self.memo,
            "tier": self.tier,
            "country": self.country,
            "verification": _told(self.verification),
            "beneficiary": _told(opened(self.beneficiary)),
        }
        return hashlib.sha256(canonical(facts)).hexdigest()


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A request as the ledger has it. Times are milliseconds since 1970, values micro-USD.

    ``id`` counts in order of arrival. ``effective_tier`` is what rules saw: the policy's lowest for a request without
    one. ``fee_units`` is the most that paying it may cost in base units of its own asset (0 where the fee is in another
    coin), ``fee_value`` the same in micro-USD. ``booked_at`` is None while nothing of it counts against any limit, and
    ``unbooked`` names the windows in which it does not count (`Decision.unbooked`). ``source`` is how it came and
    ``maker`` who brought it: the key that signed it, else the operator. ``turn`` counts the decisions; ``decision`` is
    the last one. ``ended_by`` is who cancelled or rejected it. ``proven`` is whether a signature showed the maker.
    ``waived`` are holds that compliance released, as (rule, reason); ``expires_at`` is when it ends unless it was
    approved by then.
    """

    id: int
    request: Request
    state: State
    decision: Decision
    source: str
    maker: str | None
    effective_tier: str | None
    wallet: str | None
    fee_units: int
    fee_value: int
    value: int | None
    booked_at: int | None
    unbooked: tuple[str, ...]
    created_at: int
    updated_at: int
    turn: int = 1
    ended_by: str | None = None
    proven: bool = False
    waived: tuple[tuple[str, str], ...] = ()
    expires_at: int | None = None
    txid: str | None = None
    vout: int | None = None
    nonce: int | None = None

    @property
    def booking(self) -> Booking:
        """How windows count it as it is recorded."""
        request = self.request
        return Booking(
            customer=request.customer,
            tier=self.effective_tier,
            country=request.country,
            asset=request.asset.symbol,
            chain=request.chain,
            wallet=self.wallet,
            destination=request.destination,
            source=self.source,
            amount=request.amount,
            value=self.value,
            fee=Quantity(self.fee_units, request.amount.decimals),
            fee_value=self.fee_value,
        )


@dataclass(frozen=True, slots=True)
class Note:
    """What somebody wrote about a withdrawal, or who is to look after it.

    ``kind`` is `note`, `owner` (``text`` is a name) or `report` (to an authority: ``text`` is the reference). ``at`` is
    milliseconds since 1970.
    """

    number: int
    at: int
    who: str
    kind: str
    text: str | Sealed[str]


def seal(withdrawal: Withdrawal) -> str:
    """SHA-256 (hex) over all that decides what becomes of a withdrawal: a row that was changed has another one.

    Personal data (note, beneficiary, the signed bytes) is no part of it.
    """
    request, decision = withdrawal.request, withdrawal.decision
    facts = {
        "id": str(withdrawal.id),
        "asked": _asked(request),
        "tier": request.tier,
        "country": request.country,
        "verification": _told(request.verification),
        "maker": [withdrawal.source, withdrawal.maker, withdrawal.proven],
        "state": withdrawal.state,
        "effective_tier": withdrawal.effective_tier,
        "wallet": withdrawal.wallet,
        "counts": _texts(withdrawal.fee_units, withdrawal.fee_value, withdrawal.value, withdrawal.booked_at),
        "unbooked": list(withdrawal.unbooked),
        "times": _texts(withdrawal.created_at, withdrawal.updated_at, withdrawal.expires_at, withdrawal.turn),
        "ended_by": withdrawal.ended_by,
        "waived": [list(each) for each in withdrawal.waived],
        "decided": [decision.outcome, decision.policy, *_texts(decision.at, decision.value)],
        "voices": [[each.rule, each.outcome, each.reason, str(each.approvals)] for each in decision.voices],
        "prices": [list(each) for each in decision.prices],
        "paid": [withdrawal.txid, *_texts(withdrawal.vout, withdrawal.nonce)],
    }
    return hashlib.sha256(canonical(facts)).hexdigest()


def intent(withdrawal: Withdrawal, operators: str) -> str:
    """SHA-256 (hex) of what people approve, release or reject: it fits this withdrawal as it is now, and no other.

    It covers the request, wallet and highest fee, maker, the decision with its policy, when it expires, and the version
    of the ``operators`` that speak (M31).
    """
    decision = withdrawal.decision
    facts = {
        "asked": _asked(withdrawal.request),
        "wallet": withdrawal.wallet,
        "max_fee": _texts(withdrawal.fee_units, withdrawal.fee_value),
        "maker": [withdrawal.source, withdrawal.maker, withdrawal.proven],
        "turn": str(withdrawal.turn),
        "decided": [decision.outcome, decision.policy, *_texts(decision.at, decision.value)],
        "voices": [[each.rule, each.outcome, each.reason, str(each.approvals)] for each in decision.voices],
        "expires_at": _texts(withdrawal.expires_at),
        "operators": operators,
    }
    return hashlib.sha256(canonical(facts)).hexdigest()


def _asked(request: Request) -> dict[str, object]:
    asset = request.asset
    return {
        "request_id": request.request_id,
        "customer": request.customer,
        "asset": [asset.symbol, *_texts(asset.decimals), asset.contract],
        "chain": request.chain,
        "base_units": str(request.base_units),
        "destination": request.destination,
        "memo": request.memo,
    }


def _texts(*numbers: int | None) -> list[str | None]:
    return [None if each is None else str(each) for each in numbers]


def canonical(facts: Any) -> bytes:
    """JSON of strings, booleans, None, lists and mappings with one spelling: keys sorted, no spaces, UTF-8.

    For such values this is the canonical form of RFC 8785, but for keys beyond the Basic Multilingual Plane.

    >>> canonical({"b": "é", "a": None})
    b'{"a":null,"b":"\\xc3\\xa9"}'
    """
    return _spell(facts).encode()


_spell = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def _told(record: Verification | Beneficiary | None) -> dict[str, object] | None:
    return None if record is None else {name: getattr(record, name) for name in record.__dataclass_fields__}
