"""What a rule is, and what a request is to it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from cryptosupport.domain.errors import BadSettings
from cryptosupport.domain.money import NOTHING, Quantity
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.policy.periods import Lifetime, Period

MATCHABLE = ("customer", "tier", "country", "asset", "chain", "wallet", "destination", "source")
"""What a rule can match on."""

EVIDENCE = ("identity", "two_factor", "email_confirmed", "beneficiary", "balance")
"""What a rule can require."""


class Per(StrEnum):
    """Whose withdrawals are summed. ASSET is by symbol, over all chains."""

    CUSTOMER = "customer"
    DESTINATION = "destination"
    WALLET = "wallet"
    ASSET = "asset"
    GLOBAL = "global"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the policy; all that match a request have to pass.

    It does one thing: it limits (max_*), allows, denies, asks for approvals, for a cooling time or for evidence.
    Without ``per`` and ``period`` it speaks of one request, with them of a sum. ``max_value`` and ``above_value`` are
    micro-USD, ``max_percent`` is a percentage of the hot wallet's balance, ``cooling`` and ``max_age`` milliseconds.
    ``on_exceed`` is None where the policy does not say; `exceeded` then tells. Raises `BadSettings` for what would
    restrict less than it seems to.
    """

    name: str
    match: Mapping[str, frozenset[str]] = field(default_factory=dict)
    per: Per | None = None
    period: Period | None = None
    max_amount: Quantity | None = None
    max_value: int | None = None
    max_count: int | None = None
    max_percent: Quantity | None = None
    allow: bool = False
    deny: bool = False
    above_amount: Quantity | None = None
    above_value: int | None = None
    approvals: int = 0
    cooling: int | None = None
    require: tuple[str, ...] = ()
    max_age: int | None = None
    on_exceed: Outcome | None = None

    def __post_init__(self) -> None:
        """Refuse a rule that would restrict less than it seems to. Raises `BadSettings`."""
        if (self.per is None) != (self.period is None):
            raise BadSettings(f"rule {self.name!r} needs both per and a window, calendar or lifetime, or none of them")
        if self.max_count is not None and self.period is None:
            raise BadSettings(f"rule {self.name!r} counts over no time: max_count needs per and a window")
        if (self.above_amount is not None or self.above_value is not None) and self.approvals < 1:
            raise BadSettings(
                f"rule {self.name!r} asks nobody: above_amount and above_value need approvals = 1 or more"
            )
        if self.on_exceed in (Outcome.ALLOW, Outcome.APPROVAL):
            raise BadSettings(f"rule {self.name!r}: on_exceed is deny, hold or wait, not {self.on_exceed}")

    @property
    def limits(self) -> bool:
        """Whether it sets a limit."""
        limits = (self.max_amount, self.max_value, self.max_count, self.max_percent)
        return any(limit is not None for limit in limits)

    @property
    def permits(self) -> bool:
        """Whether it can permit a request; approvals, evidence and cooling only restrict."""
        return self.limits or self.allow

    @property
    def exceeded(self) -> Outcome:
        """What comes of a request that does not pass.

        As the rule says; else what exceeds a limit of a wallet, an asset or the whole desk waits for headroom, so does
        a destination that has to cool down, and all else is denied. No headroom ever returns to a lifetime limit.
        """
        if self.on_exceed is not None:
            return self.on_exceed
        if self.cooling is not None:
            return Outcome.WAIT
        shared = self.per in (Per.WALLET, Per.ASSET, Per.GLOBAL) and not isinstance(self.period, Lifetime)
        return Outcome.WAIT if shared or self.max_percent is not None else Outcome.DENY

    def matches(self, booking: Booking) -> bool:
        """Whether it speaks of this request."""
        return all(getattr(booking, name) in values for name, values in self.match.items())


@dataclass(frozen=True, slots=True)
class Booking:
    """A request as rules see it and as windows count it.

    ``asset`` is the symbol. ``value`` and ``fee_value`` are micro-USD, ``value`` None where there is no usable price;
    ``fee`` is the most that paying may cost, in the request's own asset (nothing where the fee is in another coin).
    """

    customer: str
    tier: str | None
    country: str | None
    asset: str
    chain: str
    wallet: str | None
    destination: str
    source: str
    amount: Quantity
    value: int | None
    fee: Quantity = NOTHING
    fee_value: int = 0


@dataclass(frozen=True)
class Policy:
    """All rules in force. ``tiers`` has the lowest first; ``text`` is the whole policy in one spelling.

    Raises `BadSettings` when two rules have one name.
    """

    rules: tuple[Rule, ...]
    tiers: tuple[str, ...] = ()
    text: str = ""

    def __post_init__(self) -> None:
        """Refuse two rules of one name: nobody could tell which of them spoke. Raises `BadSettings`."""
        names = [rule.name for rule in self.rules]
        for name in names:
            if names.count(name) > 1:
                raise BadSettings(f"{names.count(name)} rules are named {name!r}: give each its own name")

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @cached_property
    def speaks_of_wallets(self) -> bool:
        """Whether any rule matches on wallets or sums by wallet."""
        return any(rule.per is Per.WALLET or "wallet" in rule.match for rule in self.rules)

    def tier(self, given: str | None) -> str | None:
        """The tier that counts: a request without one has the lowest, and so has one whose tier is no longer known."""
        return given if given in self.tiers or not self.tiers else self.tiers[0]
