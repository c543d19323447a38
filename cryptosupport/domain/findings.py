"""What reconciling finds: each kind of finding, and what it means for the wallet."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum


class Weight(IntEnum):
    """How bad a finding is; the value is the exit code that it brings about."""

    REMARK = 0
    FAULT = 3
    UNREACHABLE = 6
    UNKNOWN = 7


KINDS = {
    "unbound": (Weight.FAULT, "the wallet has a history that this ledger does not know"),
    "outflow": (Weight.FAULT, "the chain knows of more transactions than the ledger"),
    "gap": (Weight.FAULT, "no payout of the ledger has this nonce"),
    "order": (Weight.FAULT, "a nonce is used twice, or was not given out"),
    "claim": (Weight.FAULT, "nothing keeps the nonce of this payout from being given out again"),
    "link": (Weight.FAULT, "nothing keeps the withdrawal of this payout from being paid again"),
    "missing": (Weight.FAULT, "a payout pays a withdrawal that is not there"),
    "state": (Weight.FAULT, "a withdrawal stands elsewhere than its payout"),
    "unpaid": (Weight.FAULT, "a withdrawal is said to be paid, or under way, and no payout pays it"),
    "double": (Weight.FAULT, "a withdrawal is in two payouts that paid it, or may"),
    "bytes": (Weight.FAULT, "what was signed is not what was asked"),
    "vanished": (Weight.FAULT, "the chain does not have what the ledger calls final"),
    "differs": (Weight.FAULT, "the chain has what is final otherwise than the ledger"),
    "taken": (Weight.FAULT, "a transaction that is not of this ledger has the nonce of a payout"),
    "balance": (Weight.FAULT, "the wallet holds less, or of a token more, than it should"),
    "tampered": (Weight.FAULT, "the ledger was changed behind this program"),
    "unknown": (Weight.UNKNOWN, "nobody can tell what became of a payout"),
    "disagree": (Weight.UNKNOWN, "nodes contradict each other"),
    "unreachable": (Weight.UNREACHABLE, "no node could be asked"),
    "repeat": (Weight.REMARK, "the same customer was paid the same within a day"),
    "explained": (Weight.REMARK, "a transaction of a stranger, which people have dealt with"),
    "begun": (Weight.REMARK, "balances are summed up anew from here"),
}
"""Every kind of finding, with its weight and what it means."""

_WORST = (Weight.FAULT, Weight.UNKNOWN, Weight.UNREACHABLE)


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding about a wallet; ``kind`` is a key of `KINDS`, ``subject`` a payout, request id, nonce or asset."""

    wallet: str
    kind: str
    subject: str
    message: str

    @property
    def weight(self) -> Weight:
        """How bad it is."""
        return KINDS[self.kind][0]


def exit_code(weights: Collection[Weight]) -> int:
    """The exit code of a run that found these: a fault before what is unknown, that before what cannot be asked.

    >>> exit_code([Weight.REMARK, Weight.UNREACHABLE, Weight.UNKNOWN]), exit_code([])
    (7, 0)
    """
    return next((int(weight) for weight in _WORST if weight in weights), 0)
