"""What a rule speaks of, what it permits, and what comes of exceeding it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cryptosupport.domain.errors import BadSettings
from cryptosupport.domain.policy.decision import Decision, Outcome, Voice, strictest
from cryptosupport.domain.policy.periods import Calendar, Lifetime, Sliding, Unit
from cryptosupport.domain.policy.rules import MATCHABLE, Per, Policy, Rule
from tests.domain.policy.making import DAY, HOUR, NOW, booking, only, q

LIMIT: dict[str, Any] = {"max_amount": q("1")}


@pytest.mark.parametrize("name", MATCHABLE)
def test_a_rule_speaks_of_the_facts_that_it_names(name: str) -> None:
    asked = booking(**{name: "this"})
    assert Rule("r", {name: frozenset({"this", "that"})}).matches(asked)
    assert not Rule("r", {name: frozenset({"that"})}).matches(asked)
    assert not Rule("r", {name: frozenset({"None"})}).matches(booking(**{name: None}))


def test_all_facts_have_to_match_and_no_fact_matches_all() -> None:
    assert Rule("r").matches(booking())
    assert Rule("r", only(asset="BTC ETH", tier="basic")).matches(booking())
    assert not Rule("r", only(asset="BTC", tier="vip")).matches(booking())


@pytest.mark.parametrize(
    ("does", "permits"),
    [
        (LIMIT, True),
        ({"max_value": 1}, True),
        ({"max_percent": q("5")}, True),
        ({"max_count": 0, "per": Per.GLOBAL, "period": Lifetime()}, True),
        ({"allow": True}, True),
        ({"deny": True}, False),
        ({"approvals": 1}, False),
        ({"approvals": 1, "above_value": 1, "per": Per.CUSTOMER, "period": Sliding(DAY)}, False),
        ({"cooling": HOUR}, False),
        ({"require": ("identity",)}, False),
    ],
)
def test_only_limits_and_allow_permit(does: dict[str, Any], permits: bool) -> None:
    assert Rule("r", **does).permits is permits


@pytest.mark.parametrize(
    ("does", "outcome"),
    [
        (LIMIT, Outcome.DENY),
        (LIMIT | {"per": Per.CUSTOMER, "period": Sliding(DAY)}, Outcome.DENY),
        (LIMIT | {"per": Per.DESTINATION, "period": Sliding(DAY)}, Outcome.DENY),
        (LIMIT | {"per": Per.WALLET, "period": Sliding(DAY)}, Outcome.WAIT),
        (LIMIT | {"per": Per.ASSET, "period": Calendar(Unit.DAY, "UTC")}, Outcome.WAIT),
        (LIMIT | {"per": Per.GLOBAL, "period": Sliding(DAY)}, Outcome.WAIT),
        (LIMIT | {"per": Per.GLOBAL, "period": Lifetime()}, Outcome.DENY),
        ({"max_percent": q("5")}, Outcome.WAIT),
        ({"cooling": HOUR}, Outcome.WAIT),
        ({"require": ("identity",)}, Outcome.DENY),
    ],
)
def test_what_exceeds_waits_for_shared_room_and_is_denied_its_own(does: dict[str, Any], outcome: Outcome) -> None:
    assert Rule("r", **does).exceeded is outcome
    for said in (Outcome.DENY, Outcome.HOLD, Outcome.WAIT):
        assert Rule("r", **does, on_exceed=said).exceeded is said


@pytest.mark.parametrize(
    "does",
    [
        LIMIT | {"per": Per.CUSTOMER},
        LIMIT | {"period": Sliding(DAY)},
        {"max_count": 3},
        {"above_value": 1},
        {"above_amount": q("1")},
        LIMIT | {"on_exceed": Outcome.ALLOW},
        LIMIT | {"on_exceed": Outcome.APPROVAL},
    ],
)
def test_a_rule_that_would_restrict_less_than_it_seems_to_is_refused(does: dict[str, Any]) -> None:
    with pytest.raises(BadSettings, match="rule 'mine'"):
        Rule("mine", **does)


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(BadSettings, match="2 rules are named 'same'"):
        Policy((Rule("same", **LIMIT), Rule("other", **LIMIT), Rule("same", deny=True)))


def test_who_has_no_tier_has_the_lowest() -> None:
    policy = Policy((), ("basic", "vip"))
    assert policy.tier(None) == "basic"
    assert policy.tier("vip") == "vip"
    assert Policy(()).tier(None) is None


def test_the_hash_is_that_of_the_text() -> None:
    assert Policy((), text="a").hash == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    assert Policy((), text="a").hash != Policy((), text="b").hash


def test_the_strictest_voice_counts() -> None:
    ordered = [Outcome.DENY, Outcome.HOLD, Outcome.WAIT, Outcome.APPROVAL, Outcome.ALLOW]
    for place, outcome in enumerate(ordered):
        assert strictest(reversed(ordered[place:])) is outcome
        assert outcome.strictness == len(ordered) - 1 - place
    assert strictest([]) is Outcome.ALLOW


def test_the_most_approvals_that_a_rule_asks_for_count() -> None:
    voices = tuple(Voice(f"r{people}", Outcome.APPROVAL, "", people) for people in (1, 3, 2))
    decision = Decision(Outcome.APPROVAL, voices, "", NOW)
    assert decision.approvals == 3
    assert replace(decision, voices=()).approvals == 0
