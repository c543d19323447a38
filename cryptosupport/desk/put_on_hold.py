"""A withdrawal that is held for a reason that is no rule's: by a person, or by what paying found."""

from __future__ import annotations

from dataclasses import replace

from cryptosupport.domain.policy.decision import ON_HOLD, Outcome, Voice
from cryptosupport.domain.withdrawals import State, Withdrawal


def put_on_hold(before: Withdrawal, reason: str, now: int, policy: str, booked: bool = False) -> Withdrawal:
    """The withdrawal, held for ``reason`` beside what else held it; ``booked``: it goes on counting in limits."""
    spoke = tuple(voice for voice in before.decision.voices if voice.rule != ON_HOLD)
    decision = replace(
        before.decision, outcome=Outcome.HOLD, voices=(*spoke, Voice(ON_HOLD, Outcome.HOLD, reason)), at=now,
        booked=booked, policy=policy,
    )  # fmt: skip
    return replace(
        before,
        state=State.HELD,
        decision=decision,
        booked_at=before.booked_at if booked else None,
        unbooked=before.unbooked if booked else (),
        expires_at=None,
        turn=before.turn + 1,
        updated_at=now,
    )
