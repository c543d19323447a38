"""What a provider says of withdrawals: each is asked about once a run, and an answer is a voice like any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cryptosupport.domain.money import format_base_units
from cryptosupport.domain.personal import opened
from cryptosupport.domain.policy.decision import PROVIDER, TRAVEL_RULE, Voice
from cryptosupport.domain.ports import Provider
from cryptosupport.domain.prices import MICRO
from cryptosupport.domain.withdrawals import Request

_PURPOSES = {PROVIDER: "destination", TRAVEL_RULE: "travel_rule"}


class AskedProvider:
    """Asks ``provider`` in the name of a rule: PROVIDER about destinations, TRAVEL_RULE about who receives."""

    def __init__(self, rule: str, provider: Provider) -> None:
        self._rule = rule
        self._provider = provider
        self._answers: dict[str, Voice] = {}

    def ask(self, requests: Sequence[tuple[Request, int | None]]) -> None:
        """Ask about requests with their values (micro-USD); who gave no answer before is asked again."""
        asked = {
            request.content: (request, value)
            for request, value in requests
            if (known := self._answers.get(request.content)) is None or known.unknown
        }
        if asked:
            verdicts = self._provider.ask([self._question(*each) for each in asked.values()])
            for content, verdict in zip(asked, verdicts, strict=True):
                self._answers[content] = Voice(self._rule, verdict.outcome, verdict.reason, unknown=verdict.unknown)

    def answer(self, request: Request) -> Voice | None:
        """What was said of a request; None where it was not asked about."""
        return self._answers.get(request.content)

    def _question(self, request: Request, value: int | None) -> dict[str, Any]:
        question: dict[str, Any] = {
            "purpose": _PURPOSES[self._rule],
            "request_id": request.request_id,
            "customer": request.customer,
            "asset": request.asset.symbol,
            "chain": request.chain,
            "amount": str(request.amount),
            "base_units": str(request.base_units),
            "destination": request.destination,
            "memo": request.memo,
            "country": request.country,
            "value_usd": None if value is None else format_base_units(value, MICRO),
        }
        if self._rule == TRAVEL_RULE:  # nobody else hears who receives it
            to = opened(request.beneficiary)
            names = ("name", "provider", "self_hosted", "proof")
            question["beneficiary"] = None if to is None else {name: getattr(to, name) for name in names}
        return question
