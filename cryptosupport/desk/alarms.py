"""What freezes the desk by itself (S36): a ledger changed behind this program, lists or prices that are gone.

Two people who lift such a freeze know its cause, and that cause does not ring again for a day. Another one does, at
once; and so does the same when it went away meanwhile and came back.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from secrets import token_hex

from cryptosupport.desk.freeze import add
from cryptosupport.domain.audit import PROGRAM, Act
from cryptosupport.domain.books import Ledger, Records
from cryptosupport.domain.errors import Tampered
from cryptosupport.domain.freezes import ALL, Freeze, Scope
from cryptosupport.domain.policy.rules import Policy
from cryptosupport.domain.prices import STANDS
from cryptosupport.domain.screening import ListHead, ListKind
from cryptosupport.domain.withdrawal_record import moment

AUDIT, SCREENING, PRICES = "audit", "screening", "prices"
"""What may freeze the desk, as [freeze] auto names it."""

FUNDS, UNKNOWN = "funds", "unknown"
"""What may freeze a wallet, as [freeze] auto names it."""

TAMPERED = "audit.tampered"
"""What the audit log calls something that was found changed behind this program."""

RINGS_AGAIN = 86_400_000
"""A cause that people have lifted rings again after so many milliseconds."""


@dataclass(frozen=True, slots=True)
class Alarms:
    """Which alarms are on. ``lists`` have to be there; times are milliseconds, after which one rings.

    ``unknown_in_a_row`` is how many payouts in a row nobody may be able to tell of before their wallet is frozen.
    """

    on: Collection[str] = (AUDIT, SCREENING, PRICES, FUNDS, UNKNOWN)
    lists: tuple[str, ...] = ()
    lists_older_than: int = 7 * 86_400_000
    prices_older_than: int = 3_600_000
    unknown_in_a_row: int = 5

    def ring(self, records: Records, alarm: str, causes: Sequence[str]) -> bool:
        """Freeze everything, and say whether that was done: not where this alarm has done so already, is off, or where
        people have lifted it within a day, with all of ``causes`` in sight.

        A cause is told in the same words for as long as it lasts, and in others when it comes back.
        """
        if alarm not in self.on or not causes:
            return False
        rung = [
            each
            for each in records.freezes(lifted=True)
            if each.source == "auto" and each.reason.startswith(f"{alarm}: ")
            if each.lifted_at is None or records.now - each.lifted_at < RINGS_AGAIN
        ]
        known = "".join(f"; {each.reason.removeprefix(f'{alarm}: ')};" for each in rung)
        if any(each.lifted_at is None for each in rung) or all(f"; {cause};" in known for cause in causes):
            return False
        reason = f"{alarm}: {'; '.join(causes)}"
        add(records, Freeze(token_hex(8), Scope(ALL), reason, PROGRAM, False, records.now, "auto"))
        return True

    def examine(self, records: Records, prices_matter: bool, any_price: bool) -> None:
        """Ring for lists that are too old, and for prices that are gone where limits in USD rest on them."""
        old = [why for head in records.lists() if (why := self._too_old(head, records.now)) is not None]
        self.ring(records, SCREENING, old)
        last = records.last_price_at()
        most = max(self.prices_older_than, STANDS)  # while a price stands, the next one is not written down
        if prices_matter and not any_price and last is not None and records.now - last > most:
            self.ring(records, PRICES, [f"no price has counted since about {moment(last)}"])

    def _too_old(self, head: ListHead, now: int) -> str | None:
        counts = head.kind is ListKind.SANCTIONS or head.name in self.lists
        if not counts or now - head.imported_at <= self.lists_older_than:
            return None
        return f"the list {head.name} was read last at {moment(head.imported_at)}"


def prices_matter(policy: Policy) -> bool:
    """Whether limits in USD rest on prices."""
    return any(rule.max_value is not None or rule.above_value is not None for rule in policy.rules)


def write_down(ledger: Ledger, alarms: Alarms, error: Tampered) -> None:
    """Write down what was found to be changed behind this program, once a day, and freeze the desk for it.

    Raises `Unreachable`, and `Tampered` where the audit log itself takes no more.
    """
    with ledger.act() as records:
        note(records, alarms, error)


def note(records: Records, alarms: Alarms, error: Tampered) -> None:
    """The same, in a transaction that goes on: nobody who is decided after it slips through."""
    about = str(error.facts.get("request_id", ""))
    last = records.last_acts(TAMPERED).get(about)
    told = last is not None and last.act.facts.get("found") == error.message and records.now - last.at < RINGS_AGAIN
    if alarms.ring(records, AUDIT, [error.message]) or not told:
        records.log(Act(TAMPERED, about, facts={"found": error.message}))
