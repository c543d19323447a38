"""What the rules said of a request, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """deny > hold > wait > approval > allow: the strictest that any rule speaks counts."""

    ALLOW = "allow"
    APPROVAL = "approval"
    WAIT = "wait"
    HOLD = "hold"
    DENY = "deny"

    @property
    def strictness(self) -> int:
        """How strict, 0 for allow."""
        return _STRICTNESS[self]


DEFAULT_DENY, HARD_CAP, RUN_CAP = "default deny", "hard cap", "run cap"
HOT_WALLET, SETTINGS = "hot wallet", "settings"
"""What speaks beside the rules: that none of them permits, an asset's hard cap, the cap of one run; a wallet that rules
ask for and nobody has, settings that no longer have the asset."""

FREEZE, ON_HOLD = "freeze", "put on hold"
"""A freeze that covers it; a person who stopped it."""

SWEEPS, COLD_SET = "sweeps", "cold set"
"""What lets a sweep through, and what stops it."""

SANCTIONS, BLOCK_LIST, ALLOW_LIST, LOOK_ALIKE = "sanctions", "block list", "allow list", "look-alike"
OWN_ADDRESS, NO_RECEIVER, TOKEN_CONTRACT, CONTRACT, MEMO = (
    "own address", "no receiver", "token contract", "contract address", "missing memo",
)  # fmt: skip
SCREENING, PROVIDER, TRAVEL_RULE = "screening lists", "screening provider", "travel rule"
"""What the destination brings about: see `domain.screening`. SCREENING speaks where a list cannot be relied on."""

SCREENED = frozenset(
    {SANCTIONS, BLOCK_LIST, ALLOW_LIST, LOOK_ALIKE, OWN_ADDRESS, NO_RECEIVER, TOKEN_CONTRACT, CONTRACT, MEMO}
    | {SCREENING, PROVIDER, TRAVEL_RULE}
)
"""The voices of screening, whose reasons name what was found: a release speaks of that, and of nothing found later."""

BESIDE = SCREENED | {DEFAULT_DENY, HARD_CAP, RUN_CAP, HOT_WALLET, SETTINGS, FREEZE, ON_HOLD, SWEEPS, COLD_SET}

_STRICTNESS = {outcome: place for place, outcome in enumerate(Outcome)}


@dataclass(frozen=True, slots=True)
class Voice:
    """What one rule said, with its numbers in ``reason``; ``approvals`` is how many people an `APPROVAL` asks for.

    ``unknown``: it says so only because something could not be found out just now; ``doubtful``: for that too.
    """

    rule: str
    outcome: Outcome
    reason: str
    approvals: int = 0
    unknown: bool = False
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The strictest of all voices. ``policy`` is the hash of the rules that spoke, ``at`` milliseconds since 1970.

    ``booked`` is whether the request counts against limits, ``unbooked`` names the windows in which it does not.
    ``value`` in micro-USD and the ``prices`` that made it (symbol, USD) are those of that moment.
    """

    outcome: Outcome
    voices: tuple[Voice, ...]
    policy: str
    at: int
    booked: bool = True
    unbooked: tuple[str, ...] = ()
    value: int | None = None
    prices: tuple[tuple[str, str], ...] = ()

    @property
    def for_want_of_facts(self) -> bool:
        """Whether a person is asked for only because something could not be found out just now."""
        stops = [voice for voice in self.voices if voice.outcome is self.outcome]
        return self.outcome is Outcome.HOLD and all(voice.unknown for voice in stops)

    @property
    def approvals(self) -> int:
        """How many people have to approve: the most that a rule asks for."""
        return max((voice.approvals for voice in self.voices), default=0)


def strictest(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome that counts; ALLOW where there is none.

    >>> strictest([Outcome.WAIT, Outcome.APPROVAL])
    <Outcome.WAIT: 'wait'>
    """
    return max(outcomes, key=_STRICTNESS.__getitem__, default=Outcome.ALLOW)
