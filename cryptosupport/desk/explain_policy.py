"""Ask "what if": how a request would be decided now, and what every rule says of it. Nothing is recorded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from cryptosupport.desk import take_in
from cryptosupport.desk.cases import Premises
from cryptosupport.desk.rehearse import rehearsal
from cryptosupport.domain.books import Ledger
from cryptosupport.domain.policy.decision import Decision
from cryptosupport.domain.policy.judging import Case, Judge, Used
from cryptosupport.domain.policy.why import Spoken, explain
from cryptosupport.domain.requests import Intake, read_request
from cryptosupport.domain.withdrawal_record import asked_record, decision_record
from cryptosupport.domain.withdrawals import Beneficiary, Verification, Withdrawal

SCHEMA = "cryptosupport.what_if/1"

_NAME = "what if"
"""The request id: with its blank no recorded one can be the same."""

_CHECKED = ("identity", "two_factor", "email_confirmed")


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A request as it would be recorded, and what every rule of the policy says of it."""

    withdrawal: Withdrawal
    spoken: tuple[Spoken, ...]


class _Listening(Judge):
    """Keeps what every rule says of the last request that it decided."""

    spoken: tuple[Spoken, ...] = ()

    def decide(self, case: Case, used: Used) -> Decision:
        self.spoken = tuple(explain(self, case, used))
        return super().decide(case, used)


def explain_policy(
    ledger: Ledger,
    premises: Premises,
    intake: Intake,
    fields: Mapping[str, object],
    source: str = "option",
    shown: Collection[str] = (),
    now: int = 0,
) -> WhatIf:
    """Decide a request as `withdraw submit` would at this moment, in a transaction that is undone.

    ``fields`` are those of a request but its id. ``shown`` is the evidence that the customer is taken to have shown at
    ``now`` (seconds since 1970). Raises `BadInput` for what intake would not take; a signature is not asked for.
    """
    read = read_request({"request_id": "what-if", **fields}, replace(intake, signature_required=False))
    flags = {name: name in shown for name in _CHECKED}
    request = replace(
        read,
        request_id=_NAME,
        verification=Verification(**flags, at=now) if any(flags.values()) else None,
        beneficiary=Beneficiary(name=_NAME, self_hosted=True) if "beneficiary" in shown else None,
    )
    judge = _Listening(premises.judge.policy)
    with rehearsal(ledger, judge) as undone:
        desk = take_in.Intake(undone, replace(premises, judge=judge))
        (taken,) = desk.take_in([[take_in.Line(1, "", request, source)]])
    assert isinstance(taken.result, Withdrawal)  # it was read before, and its id is new
    return WhatIf(taken.result, judge.spoken)


def as_record(what_if: WhatIf) -> dict[str, Any]:
    """The answer: the request, the decision, and in ``rules`` all rules, also those that do not match."""
    request, withdrawal = what_if.withdrawal.request, what_if.withdrawal
    return {
        "schema": SCHEMA,
        **asked_record(request),
        "country": request.country,
        "source": withdrawal.source,
        "wallet": withdrawal.wallet,
        "state": withdrawal.state.value,
        **decision_record(withdrawal.decision),
        "rules": [_rule_record(spoken) for spoken in what_if.spoken],
    }


def _rule_record(spoken: Spoken) -> dict[str, Any]:
    return {
        "name": spoken.rule,
        "matches": spoken.matches,
        "outcome": None if spoken.outcome is None else spoken.outcome.value,
        "reason": spoken.reason,
        "approvals": spoken.approvals,
        "numbers": [asdict(measured) for measured in spoken.measured],
    }
