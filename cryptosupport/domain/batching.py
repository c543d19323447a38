"""When withdrawals that one transaction can pay are paid: together, and not each at once (M60). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptosupport.domain.money import NOTHING, Quantity
from cryptosupport.domain.withdrawals import Withdrawal


@dataclass(frozen=True, slots=True)
class Batching:
    """A batch is paid when ``count`` withdrawals wait, when the first one has waited for ``age`` milliseconds, or when
    they come to one of ``amounts`` (whole coins by symbol) together.
    """

    count: int = 50
    age: int = 600_000
    amounts: Mapping[str, Quantity] = field(default_factory=dict)

    def is_due(self, waiting: Sequence[Withdrawal], now: int) -> bool:
        """Whether ``waiting``, the first one first, are to be paid now."""
        if not waiting or len(waiting) >= self.count:
            return bool(waiting)
        if now - min(each.updated_at for each in waiting) >= self.age:
            return True
        sums: dict[str, Quantity] = {}
        for each in waiting:
            sums[each.request.asset.symbol] = sums.get(each.request.asset.symbol, NOTHING) + each.request.amount
        return any(sums.get(symbol, NOTHING) >= amount for symbol, amount in self.amounts.items())
