"""When withdrawals that one transaction can pay are paid together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cryptosupport.domain.batching import Batching
from cryptosupport.domain.money import Asset, Quantity
from cryptosupport.domain.policy.decision import Decision, Outcome
from cryptosupport.domain.withdrawals import Request, State, Withdrawal

BTC = Asset("BTC", 8)
RULES = Batching(count=3, age=1000, amounts={"BTC": Quantity.parse("2")})


def waiting(*satoshis: int, since: int = 0) -> list[Withdrawal]:
    request, decision = Request("w", "c", BTC, "bitcoin", 1, "x"), Decision(Outcome.ALLOW, (), "", 0)
    one = Withdrawal(1, request, State.APPROVED, decision, "options", None, None, "hot", 0, 0, None, 0, (), 0, since)
    return [replace(one, request=replace(request, base_units=each)) for each in satoshis]


@pytest.mark.parametrize(
    ("satoshis", "now", "due"),
    [
        ((), 5000, False),
        ((1, 1), 999, False),
        ((1, 1), 1000, True),
        ((1, 1, 1), 0, True),
        ((10**8, 10**8 - 1), 0, False),
        ((10**8, 10**8), 0, True),
    ],
)
def test_a_batch_is_due_by_count_by_age_or_by_what_it_comes_to(satoshis: tuple[int, ...], now: int, due: bool) -> None:
    assert RULES.is_due(waiting(*satoshis), now) is due
