"""What paying works with: the ledger, who may say what, and for each wallet its chain and its key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from cryptosupport.desk.alarms import Alarms
from cryptosupport.desk.cases import Premises
from cryptosupport.desk.people import People
from cryptosupport.domain.batching import Batching
from cryptosupport.domain.books import Ledger
from cryptosupport.domain.errors import SupportError
from cryptosupport.domain.operators import Operators
from cryptosupport.domain.paying import Payer, Signer
from cryptosupport.domain.payouts import Purse
from cryptosupport.domain.withdrawals import Withdrawal


@dataclass(frozen=True, slots=True)
class Till:
    """One wallet that pays: through ``payer`` to its chain, and with the key that ``signer`` holds."""

    chain: str
    wallet: str
    payer: Payer
    signer: Signer


@dataclass(frozen=True)
class Paying:
    """What all wallets have in common. Times are milliseconds.

    ``holder`` names this worker among all others, for a lease that ``lasts`` so long without being renewed; ``gone``
    says of another one whether its process has ended. What no block has taken is sent again after ``resend``, and with
    a higher fee after ``bump``; what the signer does not sign gives its place to a payment to ourselves after
    ``give_up``, where others wait for it. ``versions`` are the operators there were, the last ones in force.
    """

    ledger: Ledger
    premises: Premises
    people: People
    versions: tuple[Operators, ...]
    holder: str
    gone: Callable[[str], bool] = lambda holder: False
    lasts: int = 60_000
    resend: int = 15_000
    bump: int = 180_000
    give_up: int = 1_800_000
    alarms: Alarms = Alarms()  # noqa: RUF009 - it is frozen
    batching: Batching = Batching()  # noqa: RUF009 - it is frozen


@dataclass
class Shift:
    """One wallet's turn in a pass: what moved, and what a person has to be told.

    ``lease`` is the wallet as this worker has it. ``moved`` are withdrawals as they are now, by id. ``holds`` is what
    the nodes said last that the wallet has (`Survey.holds`), ``refused`` the payouts that the signer refused. Nothing
    that waits up to the id ``passed`` can be paid in this pass, nor any more of the assets that are ``short``.
    """

    paying: Paying
    till: Till
    lease: Purse
    moved: dict[int, Withdrawal] = field(default_factory=dict)
    errors: list[SupportError] = field(default_factory=list)
    holds: Mapping[str | None, int] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    passed: int = 0
    short: set[str] = field(default_factory=set)

    def renewed(self, purse: Purse, now: int) -> Purse:
        """``purse`` with the lease for longer."""
        self.lease = replace(purse, until=now + self.paying.lasts)
        return self.lease
