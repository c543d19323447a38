"""The verdict of a provider: it can allow, hold or deny, and who does not answer has held."""

from __future__ import annotations

import pytest

from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.verdicts import ProviderVerdict


def test_no_answer_is_a_hold_with_its_reason() -> None:
    assert ProviderVerdict.no_answer("gone") == ProviderVerdict(Outcome.HOLD, "gone", unknown=True)


@pytest.mark.parametrize("outcome", [Outcome.WAIT, Outcome.APPROVAL])
def test_a_provider_cannot_queue_and_cannot_ask_for_approvals(outcome: Outcome) -> None:
    with pytest.raises(ValueError, match=f"{outcome} is no answer of a provider"):
        ProviderVerdict(outcome, "")


@pytest.mark.parametrize("outcome", [Outcome.ALLOW, Outcome.DENY])
def test_what_is_unknown_never_allows_and_never_denies(outcome: Outcome) -> None:
    with pytest.raises(ValueError, match="what is not known is held"):
        ProviderVerdict(outcome, "", unknown=True)
