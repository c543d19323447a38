"""What is summed over which period under which key: the windows that a policy's rules count in."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from cryptosupport.domain.money import Quantity
from cryptosupport.domain.policy.periods import Calendar, Lifetime, Period, Sliding, current
from cryptosupport.domain.policy.rules import Booking, Per, Rule


class Measure(StrEnum):
    """What of a request is summed: its amount (by symbol), its value in micro-USD, or 1."""

    AMOUNT = "amount"
    VALUE = "value"
    COUNT = "count"


class Place(NamedTuple):
    """One sum: of window ``window``, for ``who`` (a customer, a wallet, "" for all), in ``part`` (symbol, period)."""

    window: str
    who: str
    part: str


@dataclass(frozen=True, slots=True)
class Window:
    """Sums of one ``measure`` over ``period``, one for each key that ``per`` makes, of the requests that match.

    ``id`` is made of just these, so that a changed limit goes on with the same sums, and any other change starts new
    ones. Sums of a wallet and of the whole desk hold the fee too, at its cap (M23).
    """

    measure: Measure
    per: Per
    period: Period
    matching: Rule
    id: str = field(default="")

    @classmethod
    def of(cls, rule: Rule, measure: Measure) -> Window:
        """The window that ``rule``, which has a period, counts ``measure`` in."""
        assert rule.per is not None
        assert rule.period is not None
        period = rule.period
        definition = {
            "match": {name: sorted(values) for name, values in rule.match.items()},
            "measure": measure,
            "per": rule.per,
            "period": [type(period).__name__, *(str(getattr(period, name)) for name in period.__dataclass_fields__)],
        }
        digest = hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
        return cls(measure, rule.per, period, rule, digest[:16])

    def key(self, booking: Booking) -> str | None:
        """Whose sum the request counts in; None where it has no such key (no wallet), or does not match."""
        if not self.matching.matches(booking):
            return None
        match self.per:
            case Per.CUSTOMER:
                return booking.customer
            case Per.DESTINATION:
                return booking.destination
            case Per.WALLET:
                return booking.wallet
            case Per.ASSET:
                return booking.asset
            case Per.GLOBAL:
                return ""

    def place(self, booking: Booking, at: int) -> Place | None:
        """The sum that the request counts in when it is booked ``at`` (milliseconds since 1970), if any."""
        who = self.key(booking)
        if who is None:
            return None
        part = booking.asset if self.measure is Measure.AMOUNT else ""
        if isinstance(self.period, Calendar):
            part = f"{current(self.period, at)[0]} {part}".rstrip()
        return Place(self.id, who, part)

    def counts(self, booking: Booking) -> Quantity:
        """What the request adds. One without a value adds none: it cannot go on before it has one."""
        with_fee = self.per in (Per.WALLET, Per.GLOBAL)
        match self.measure:
            case Measure.COUNT:
                return Quantity(1, 0)
            case Measure.AMOUNT:
                return booking.amount + booking.fee if with_fee else booking.amount
            case Measure.VALUE:
                return Quantity((booking.value or 0) + (booking.fee_value if with_fee else 0), 6)

    def since(self, now: int) -> int | None:
        """Bookings at or before this moment are out (milliseconds since 1970); None: none is out by its age."""
        return now - self.period.milliseconds if isinstance(self.period, Sliding) else None

    def holds(self, booked_at: int, now: int, waiting: bool) -> bool:
        """Whether what was booked then is still in the window. What waits does not age in a sliding window."""
        match self.period:
            case Sliding(milliseconds):
                return waiting or booked_at > now - milliseconds
            case Calendar():
                return current(self.period, booked_at) == current(self.period, now)
            case Lifetime():
                return True

    def ends(self, now: int) -> int | None:
        """When the present sums end, as calendar periods do."""
        return current(self.period, now)[1] if isinstance(self.period, Calendar) else None


def measures(rule: Rule) -> list[Measure]:
    """What the rule counts over its period: what it limits, or watches for approvals."""
    if rule.period is None:
        return []
    wanted = {
        Measure.AMOUNT: rule.max_amount is not None or rule.max_percent is not None or rule.above_amount is not None,
        Measure.VALUE: rule.max_value is not None or rule.above_value is not None,
        Measure.COUNT: rule.max_count is not None,
    }
    return [measure for measure, asked in wanted.items() if asked]
