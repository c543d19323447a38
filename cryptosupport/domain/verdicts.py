"""What somebody outside says of a payment: a screening provider of its destination, a travel-rule service of it all."""

from __future__ import annotations

from dataclasses import dataclass

from cryptosupport.domain.policy.decision import Outcome


@dataclass(frozen=True, slots=True)
class ProviderVerdict:
    """One answer: ``outcome`` is ALLOW, HOLD or DENY, ``reason`` printable text on one line, of at most 200 characters.

    ``unknown``: there was no answer that counts, and the reason says why. That is a HOLD and never anything else: who
    cannot be asked has not allowed anything (M40).

    Raises `ValueError` for any other outcome.

    >>> ProviderVerdict.no_answer("screen: no answer within 5 s").outcome
    <Outcome.HOLD: 'hold'>
    """

    outcome: Outcome
    reason: str
    unknown: bool = False

    def __post_init__(self) -> None:
        if self.outcome not in (Outcome.ALLOW, Outcome.HOLD, Outcome.DENY):
            raise ValueError(f"{self.outcome} is no answer of a provider")
        if self.unknown and self.outcome is not Outcome.HOLD:
            raise ValueError(f"what is not known is held, never {self.outcome}")

    @classmethod
    def no_answer(cls, reason: str) -> ProviderVerdict:
        """The verdict where nobody answered, or not in a way that counts."""
        return cls(Outcome.HOLD, reason, unknown=True)
