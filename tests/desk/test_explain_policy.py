"""What would come of a request: the very decision that intake then makes, with every rule, and nothing recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from cryptosupport.desk.explain_policy import WhatIf, as_record, explain_policy
from cryptosupport.desk.run_once import run_once
from cryptosupport.domain.addresses import Address
from cryptosupport.domain.books import Wanted
from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.policy.decision import Outcome, strictest
from cryptosupport.domain.policy.rules import Per, Policy
from cryptosupport.domain.requests import Intake
from cryptosupport.ledger import tables
from tests.desk.deskkit import BTC, ETH, HOUR, START, Desk, policy, request, rule
from tests.desk.lives import POLICIES, STEPS, live, new_desk

DeskWith = Callable[..., Desk]
FIELDS = {"customer": "c1", "asset": "BTC", "chain": "bitcoin", "amount": "1", "destination": "d1"}


def intake(tiers: tuple[str, ...] = ()) -> Intake:
    """Takes any address, and signed requests only."""
    assets = {"bitcoin": {"BTC": BTC}, "ethereum": {"ETH": ETH}}

    def read(chain: str, text: str) -> Address | None:
        return Address(text, "account", 0, True) if text.startswith("d") else None

    return Intake(assets, read, tiers, lambda signature, signed: None, signature_required=True)


def what_if(desk: Desk, shown: tuple[str, ...] = (), source: str = "option", **changed: Any) -> WhatIf:
    """What would come of one bitcoin for c1, but for what is ``changed``."""
    now = desk.clock.at // 1000
    reads = intake(desk.policy.tiers)
    return explain_policy(desk.ledger, desk.premises, reads, FIELDS | changed, source, shown, now)


def everything(engine: Engine) -> dict[str, list[Any]]:
    """All that the ledger holds."""
    with engine.begin() as connection:
        return {table.name: list(connection.execute(select(table))) for table in tables.metadata.sorted_tables}


def test_every_rule_is_told_with_its_numbers_or_why_it_is_silent(desk_with: DeskWith) -> None:
    rules = rule("own", "5", hours=24, per=Per.CUSTOMER), rule("ether", "2", match={"asset": "ETH"})
    desk = desk_with(policy(*rules), prices={"BTC": "1000"})
    desk.take(request("a", "4.5"))
    record = as_record(what_if(desk))
    assert record["rules"] == [
        {
            "name": "own",
            "matches": True,
            "outcome": "deny",
            "reason": "5.5 BTC would be over the limit of 5 BTC over 24h per customer: 4.5 used, 1 asked",
            "approvals": 0,
            "numbers": [
                {
                    "used": "4.5",
                    "adds": "1",
                    "limit": "5",
                    "left": "0.5",
                    "unit": "BTC",
                    "period": "24h",
                    "per": "customer",
                }
            ],
        },
        {
            "name": "ether",
            "matches": False,
            "outcome": None,
            "reason": "speaks of asset ETH, this is BTC",
            "approvals": 0,
            "numbers": [],
        },
    ]
    told = ("outcome", "state", "amount", "base_units", "value_usd", "prices", "wallet", "policy")
    assert {name: record[name] for name in told} == {
        "outcome": "deny",
        "state": "rejected",
        "amount": "1",
        "base_units": "100000000",
        "value_usd": "1000",
        "prices": {"BTC": "1000"},
        "wallet": "hot-btc",
        "policy": desk.policy.hash,
    }


def test_asking_records_nothing(desk_with: DeskWith, engine: Engine) -> None:
    desk = desk_with(policy(rule("own", "5", hours=1, per=Per.CUSTOMER)), prices={"BTC": "1000"})
    desk.take(request("a"))
    before = everything(engine)
    desk.clock.at += 2 * HOUR
    later = desk_with(policy(rule("other", "5", hours=2)), prices={"BTC": "1100"})
    assert what_if(later).withdrawal.decision.outcome is Outcome.ALLOW
    assert everything(engine) == before


def test_evidence_counts_as_shown_when_it_is_named(desk_with: DeskWith) -> None:
    seen = rule("seen", require=("identity", "two_factor"), max_age=HOUR)
    desk = desk_with(policy(rule("one", "5"), seen, rule("who", require=("beneficiary",))))
    assert what_if(desk).withdrawal.decision.outcome is Outcome.DENY
    assert what_if(desk, ("identity", "beneficiary")).withdrawal.decision.outcome is Outcome.DENY
    shown = ("identity", "two_factor", "beneficiary")
    assert what_if(desk, shown).withdrawal.decision.outcome is Outcome.ALLOW


def test_what_a_rule_matches_on_can_be_named(desk_with: DeskWith) -> None:
    match = {"tier": "vip", "country": "CH", "source": "backend"}
    desk = desk_with(policy(rule("one", "5", match=match), tiers=("basic", "vip")))
    assert what_if(desk, tier="vip", country="CH", source="backend").withdrawal.decision.outcome is Outcome.ALLOW
    assert what_if(desk, tier="vip", country="CH").withdrawal.decision.outcome is Outcome.DENY


def test_what_speaks_beside_the_rules_is_told_too(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("one", "5")), prices={"BTC": "1000"}, further={"run_cap": 500_000_000})
    asked = what_if(desk)
    assert asked.withdrawal.decision.outcome is Outcome.HOLD
    assert asked.spoken[-1].reason == "1000 USD in one run is over the cap of 500 USD"
    empty = what_if(desk_with(policy()))
    assert [spoken.rule for spoken in empty.spoken] == ["default deny"]


def test_what_nobody_could_ask_for_is_refused(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("one", "5")))
    with pytest.raises(BadInput, match="destination"):
        what_if(desk, destination="nowhere")
    with pytest.raises(BadInput, match="amount"):
        what_if(desk, amount="-1")


def test_the_answer_is_what_then_comes_of_it(engine: Engine) -> None:
    examples = 100 if engine.dialect.name == "sqlite" else 20

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(POLICIES, STEPS, st.sampled_from(["c-1", "c-2"]), st.sampled_from(["0.5", "2", "3.5"]))
    def holds(chosen: Policy, steps: list[tuple[str, Any]], customer: str, amount: str) -> None:
        desk = new_desk(engine, chosen)
        live(desk, steps)
        asked = what_if(desk, customer=customer, amount=amount, destination="d-1", source="file")
        (taken,) = desk.take(request("new", amount, customer=customer, destination="d-1"), due=0)
        assert replace(asked.withdrawal, request=taken.request) == taken
        outcomes = [each.outcome for each in asked.spoken if each.outcome is not None]
        assert strictest(outcomes) is taken.decision.outcome
        told = {each.rule: (each.outcome, each.reason) for each in asked.spoken if each.matches}
        assert told == {voice.rule: (voice.outcome, voice.reason) for voice in taken.decision.voices}
        assert {each.rule for each in asked.spoken} >= {rule.name for rule in chosen.rules}

    holds()


def test_asking_does_not_take_the_place_of_those_who_wait(desk_with: DeskWith) -> None:
    desk = desk_with(policy(rule("desk", "1", hours=1)))
    desk.take(request("a"), request("b"))
    assert what_if(desk).withdrawal.decision.outcome is Outcome.WAIT
    desk.clock.at = START + HOUR
    assert what_if(desk).withdrawal.decision.outcome is Outcome.WAIT, "b goes first"
    assert [each.request.request_id for each in run_once(desk.ledger, desk.premises)] == ["b"]
    assert len(list(desk.ledger.withdrawals(Wanted()))) == 2
