"""What freezes the desk by itself (S36): a ledger changed behind this program, lists or prices that are gone."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_hex

from cryptosupport.desk.freeze import add
from cryptosupport.domain.audit import Act
from cryptosupport.domain.books import Ledger, Records
from cryptosupport.domain.errors import SupportError, Tampered
from cryptosupport.domain.freezes import ALL, Freeze, Scope
from cryptosupport.domain.policy.periods import duration
from cryptosupport.domain.screening import ListHead, ListKind

AUDIT, SCREENING, PRICES = "audit", "screening", "prices"
"""What may freeze the desk, as [freeze] auto names it."""


@dataclass(frozen=True, slots=True)
class Alarms:
    """Which alarms are on. ``lists`` have to be there; times are milliseconds, after which one rings."""

    on: Collection[str] = (AUDIT, SCREENING, PRICES)
    lists: tuple[str, ...] = ()
    lists_older_than: int = 7 * 86_400_000
    prices_older_than: int = 3_600_000

    def ring(self, records: Records, alarm: str, reason: str) -> bool:
        """Freeze everything, unless this alarm has done so already, or is off; say whether it did."""
        scope, reason = Scope(ALL), f"{alarm}: {reason}"
        if alarm not in self.on:
            return False
        ringing = [each for each in records.freezes() if each.source == "auto" and each.reason.startswith(f"{alarm}:")]
        if not ringing:
            add(records, Freeze(token_hex(8), scope, reason, "cryptosupport", False, records.now, "auto"))
        return not ringing

    def examine(self, records: Records, prices_matter: bool, any_price: bool) -> None:
        """Ring for lists that are too old, and for prices that are gone where limits in USD rest on them."""
        for head in records.lists():
            if (why := self._too_old(head, records.now)) is not None:
                self.ring(records, SCREENING, why)
        last = records.last_price_at()
        if prices_matter and not any_price and last is not None and records.now - last > self.prices_older_than:
            self.ring(records, PRICES, f"no price has counted for {duration(records.now - last)}")

    def _too_old(self, head: ListHead, now: int) -> str | None:
        counts = head.kind is ListKind.SANCTIONS or head.name in self.lists
        age = now - head.imported_at
        if not counts or age <= self.lists_older_than:
            return None
        return f"the list {head.name} was read {duration(age)} ago"


def ring_for_tampering(ledger: Ledger, alarms: Alarms, found: str) -> bool:
    """Freeze everything for what was found changed in the ledger; say whether this did it."""
    with ledger.act() as records:
        return alarms.ring(records, AUDIT, found)


@contextmanager
def on_guard(ledger: Ledger, alarms: Alarms) -> Iterator[None]:
    """Meanwhile, what turns out to be changed behind this program is written down and freezes the desk."""
    try:
        yield
    except Tampered as error:
        try:
            with ledger.act() as records:
                about = str(error.facts.get("request_id", ""))
                records.log(Act("audit.tampered", about, facts={"found": error.message}))
                alarms.ring(records, AUDIT, error.message)
        except SupportError as other:  # the ledger is away by now: what was found is told all the same
            raise error from other
        raise
