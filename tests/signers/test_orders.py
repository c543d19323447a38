"""Orders as JSON: all that people and the ledger vouch for survives, and nothing else is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.money import Asset
from cryptosupport.domain.paying import Order
from cryptosupport.domain.payouts import Kind, Plan
from cryptosupport.domain.policy.decision import Decision, Outcome, Voice
from cryptosupport.domain.statements import Signed, Statement
from cryptosupport.domain.withdrawals import (
    Beneficiary,
    Request,
    Signature,
    State,
    Verification,
    Withdrawal,
    intent,
    seal,
)
from cryptosupport.signers.orders import read_order, write_order
from tests.signers.signerkit import approval, for_approval, order

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
MAYBE = st.none() | TEXTS
NUMBERS = st.integers(-(2**260), 2**260)
MAYBE_NUMBER = st.none() | NUMBERS
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), max_size=2).map(tuple)


def tuples(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(of, max_size=2).map(tuple)


ASSETS = st.builds(Asset, TEXTS, MAYBE_NUMBER, MAYBE)
REQUESTS = st.builds(
    Request, request_id=TEXTS, customer=TEXTS, asset=ASSETS, chain=TEXTS, base_units=NUMBERS, destination=TEXTS,
    memo=MAYBE, tier=MAYBE, country=MAYBE,
    verification=st.none() | st.builds(Verification, st.booleans(), st.booleans(), st.booleans(), MAYBE_NUMBER),
)  # fmt: skip
VOICES = st.builds(Voice, TEXTS, st.sampled_from(Outcome), TEXTS, NUMBERS, st.booleans(), st.booleans())
DECISIONS = st.builds(
    Decision, st.sampled_from(Outcome), tuples(VOICES), TEXTS, NUMBERS, st.booleans(), tuples(TEXTS), MAYBE_NUMBER,
    PAIRS,
)  # fmt: skip
WITHDRAWALS = st.builds(
    Withdrawal, id=NUMBERS, request=REQUESTS, state=st.sampled_from(State), decision=DECISIONS, source=TEXTS,
    maker=MAYBE, effective_tier=MAYBE, wallet=MAYBE, fee_units=NUMBERS, fee_value=NUMBERS, value=MAYBE_NUMBER,
    booked_at=MAYBE_NUMBER, unbooked=tuples(TEXTS), created_at=NUMBERS, updated_at=NUMBERS, turn=NUMBERS,
    ended_by=MAYBE, proven=st.booleans(), waived=PAIRS, expires_at=MAYBE_NUMBER, txid=MAYBE, vout=MAYBE_NUMBER,
    nonce=MAYBE_NUMBER,
)  # fmt: skip
STATEMENTS = st.builds(
    Signed,
    st.builds(Statement, TEXTS, TEXTS, TEXTS, NUMBERS, TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=2)),
    TEXTS,
)
ORDERS = st.builds(
    Order, TEXTS, TEXTS, TEXTS, TEXTS, tuples(TEXTS), st.sampled_from(Kind), st.builds(Plan, TEXTS, NUMBERS),
    tuples(WITHDRAWALS), tuples(STATEMENTS), tuples(TEXTS),
)  # fmt: skip


def through(told: Order) -> Order:
    """An order that went over the wire."""
    return read_order(json.loads(json.dumps(write_order(told))))


@given(ORDERS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_an_order_holds_survives(told: Order) -> None:
    read = through(told)
    assert read == told
    assert [seal(each) for each in read.withdrawals] == [seal(each) for each in told.withdrawals]
    assert [intent(each, "v1") for each in read.withdrawals] == [intent(each, "v1") for each in told.withdrawals]
    assert [each.statement.signed for each in read.statements] == [each.statement.signed for each in told.statements]
    kinds = [(type(each.state), type(each.decision.outcome)) for each in read.withdrawals]
    assert kinds == [(State, Outcome)] * len(kinds)


def test_the_strategies_fill_every_field_that_is_written() -> None:
    """A field that is added later has to be added here, or the property above says nothing of it."""
    personal = {"beneficiary", "note", "signature", "signed"}
    counted = {each.__name__: len(fields(each)) for each in (Order, Withdrawal, Request, Decision, Voice, Statement)}
    assert counted == {"Order": 10, "Withdrawal": 23, "Request": 10 + len(personal), "Decision": 8, "Voice": 6,
                       "Statement": 6}  # fmt: skip


def test_personal_data_stays_where_it_is() -> None:
    held = for_approval()
    secret = replace(
        held.request, note="for his divorce", beneficiary=Beneficiary("Ann B"), signed=b"Ann B",
        signature=Signature("k", "v"),
    )  # fmt: skip
    told = order(replace(held, request=secret), statements=(approval(held, "alice"),))
    written = json.dumps(write_order(told))
    assert not any(each in written for each in ("divorce", "Ann B", "signature\": {"))
    assert through(told).withdrawals == (held,)
    assert seal(through(told).withdrawals[0]) == seal(told.withdrawals[0])


@pytest.mark.parametrize("wrong", [1.0, b"5", object()])
def test_floats_and_bytes_are_not_written(wrong: Any) -> None:
    with pytest.raises(TypeError, match="is not written"):
        write_order(replace(order(), ledger_id=wrong))


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a float": lambda told: told["plan"].update(max_fee=10.0),
    "a bare integer": lambda told: told["plan"].update(max_fee=10),
    "an exponent": lambda told: told["plan"].update(max_fee="1e1"),
    "a leading zero": lambda told: told["plan"].update(max_fee="010"),
    "other digits": lambda told: told["plan"].update(max_fee="\u0661"),
    "a line after a number": lambda told: told["plan"].update(max_fee="10\n"),
    "no end of digits": lambda told: told["plan"].update(max_fee="1" * 5000),
    "true as a number": lambda told: told["plan"].update(max_fee=True),
    "a text as a truth": lambda told: told["withdrawals"][0].update(proven="true"),
    "a number as a text": lambda told: told.update(chain=1),
    "null as a text": lambda told: told.update(chain=None),
    "a field less": lambda told: told["withdrawals"][0].pop("waived"),
    "a field more": lambda told: told["withdrawals"][0]["request"].update(note="x"),
    "a state that is none": lambda told: told["withdrawals"][0].update(state="paid"),
    "an outcome that is none": lambda told: told["withdrawals"][0]["decision"].update(outcome=None),
    "a list as an object": lambda told: told.update(plan=["x"]),
    "a text as a list": lambda told: told.update(claims="7"),
    "a pair of three": lambda told: told["withdrawals"][0].update(waived=[["a", "b", "c"]]),
    "an object as a number": lambda told: told["plan"].update(max_fee={}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_anything_else_is_no_order(name: str) -> None:
    told = json.loads(json.dumps(write_order(order())))
    CHANGES[name](told)
    with pytest.raises(BadInput, match="this is no order"):
        read_order(told)


@pytest.mark.parametrize("told", [None, [], "order", {}, 5, {"plan": {}}])
def test_what_is_no_object_of_an_order_is_refused(told: object) -> None:
    with pytest.raises(BadInput, match="this is no order"):
        read_order(told)
