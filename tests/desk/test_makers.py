"""Who brought a request has no say in it, whatever they are called today."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cryptosupport.desk.approve import speak
from cryptosupport.desk.change_desk import draft_of, propose, sign, with_operator, without_operator
from cryptosupport.desk.people import People
from cryptosupport.domain.errors import Refused
from cryptosupport.domain.operators import OPERATORS
from cryptosupport.domain.paying import Order
from cryptosupport.domain.payouts import Kind, Plan
from cryptosupport.domain.signing import Electors
from tests.desk.deskkit import Desk
from tests.desk.peoplekit import hand, people_of
from tests.desk.test_approve import brought, desk, people, signed_for, subject_of

__all__ = ["desk", "people"]  # fixtures


def test_the_maker_never_counts_under_another_name_either(desk: Desk, people: People) -> None:
    brought(desk, "w-1", maker="alice")
    before = people.operators.people
    renamed = replace(before["alice"], name="alice-smith")
    after = with_operator(without_operator(before, "alice"), renamed, people.same_key, {})
    propose(desk.ledger, people, draft_of(before, after, "file"), "bob", hand("bob"), 0)
    assert sign(desk.ledger, people, OPERATORS, "carol", hand("carol")).waits_for == ""
    now = people_of(desk)
    with pytest.raises(Refused, match="alice-smith brought w-1"):
        speak(desk.ledger, desk.premises, now, "w-1", "approve", "alice-smith", hand("alice"))
    electors = Electors(tuple(now.versions), now.fault, now.same_key)
    found = desk.ledger.withdrawal("w-1")
    assert found is not None
    names = {"bob": "bob", "alice-smith": "alice"}
    said = [signed_for(desk, key, "approve", subject_of(desk, now), operator=name) for name, key in names.items()]
    asked = (said[0].statement.ledger, "ethereum", "hot", "0x", ("0",), Kind.PAY, Plan("{}", 0))
    order = Order(*asked, (found,), tuple(said))
    assert electors.approvers(found, order) == ("bob",)  # the signer knows it too
