"""desk.toml [bump] and [batch]: how long a payment waits for a block, or for others, before something is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cryptosupport.settings.reading import Section
from cryptosupport.settings.values import check, milliseconds, number

if TYPE_CHECKING:
    from cryptosupport.domain.batching import Batching


class BumpSettings(Section, frozen=True):
    """desk.toml [bump].

    What no block has taken is given to the nodes again after ``resend``, and gets a higher fee after ``after``. What is
    not signed, and holds up others, is given up after ``give_up``.
    """

    resend: str = "15s"
    after: str = "3m"
    give_up: str = "30m"

    def __post_init__(self) -> None:
        for name in ("resend", "after", "give_up"):
            if not 0 < milliseconds(getattr(self, name)) <= milliseconds("7d"):
                raise ValueError(f"{name}: use more than zero and at most 7d")


class BatchSettings(Section, frozen=True):
    """desk.toml [batch]: when withdrawals that one transaction can pay are paid.

    When ``count`` wait, when the first has waited for ``age``, or when they come to one of ``amounts``, whole coins by
    symbol.
    """

    count: int = 50
    age: str = "10m"
    amounts: dict[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 500:
            raise ValueError(f"count {self.count}: use 1 to 500")
        if not 0 <= milliseconds(self.age) <= milliseconds("1d"):
            raise ValueError("age: use at most 1d")
        for symbol, text in self.amounts.items():
            check(f"amounts.{symbol}", number, text)

    @property
    def rules(self) -> Batching:
        """The same as the rules of a batch."""
        from cryptosupport.domain.batching import Batching

        amounts = {symbol: number(text) for symbol, text in self.amounts.items()}
        return Batching(self.count, milliseconds(self.age), amounts)
