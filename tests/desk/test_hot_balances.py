"""What a hot wallet holds is asked once, and that nobody answers is remembered as well."""

from __future__ import annotations

from typing import cast

from cryptosupport.desk.hot_balances import HotBalances
from cryptosupport.domain.errors import NodesFailed
from cryptosupport.domain.money import Asset, Quantity
from cryptosupport.domain.policy.judging import NotKnown
from cryptosupport.domain.ports import Chain, Clock

ETH = Asset("ETH", 18)


class Slow:
    """A clock that a question moves on, and the chain that is asked."""

    ends_at = 0.0

    def __init__(self, answer: int | None) -> None:
        self.now = 0.0
        self.asked = 0
        self.answer = answer

    def monotonic(self) -> float:
        return self.now

    def balance(self, wallet: str, address: str | None, asset: Asset) -> int:
        self.asked += 1
        self.now += 12
        if self.answer is None:
            raise NodesFailed("ethereum", ())
        return self.answer


def balances(slow: Slow) -> HotBalances:
    return HotBalances(lambda name: cast(Chain, slow), {"hot": "0x1"}, cast(Clock, slow))


def test_an_answer_counts_for_ten_seconds_from_when_it_came() -> None:
    slow = Slow(5)
    asked = balances(slow)
    assert isinstance(asked("hot", ETH), NotKnown)
    for _ in range(3):
        asked.ask("hot", "ethereum", ETH)
    assert (slow.asked, asked("hot", ETH)) == (1, Quantity(5, 18))
    slow.now += 10.1
    asked.ask("hot", "ethereum", ETH)
    assert slow.asked == 2


def test_that_nobody_answers_is_not_asked_again_at_once() -> None:
    slow = Slow(None)
    asked = balances(slow)
    for _ in range(3):
        asked.ask("hot", "ethereum", ETH)
    assert slow.asked == 1
    told = asked("hot", ETH)
    assert isinstance(told, NotKnown)
    assert "ethereum" in told.reason
