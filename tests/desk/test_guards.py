"""What a destination brings about: lists, places nobody may be paid at, look-alikes, and those who are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cryptosupport.desk.ask_provider import AskedProvider
from cryptosupport.desk.cancel import cancel
from cryptosupport.desk.contracts import Contracts
from cryptosupport.desk.run_once import run_once
from cryptosupport.domain.addresses import AddressOnChain
from cryptosupport.domain.errors import NodeFailed, Refused
from cryptosupport.domain.policy.decision import PROVIDER, TRAVEL_RULE, Outcome
from cryptosupport.domain.verdicts import ProviderVerdict
from cryptosupport.domain.withdrawals import Beneficiary
from tests.desk.deskkit import HOUR, Desk, policy, rule
from tests.desk.guardkit import (
    ALLOW,
    ANN,
    ANN_ALIKE,
    BEN,
    BLOCK,
    COLD,
    DEPOSIT,
    HOT,
    MEMO,
    SANCTIONS,
    TRON,
    TRON_HEX,
    USDT,
    Outside,
    found,
    listed,
    read_address,
    screening,
    to,
)
from tests.desk.peoplekit import enrol, guarded, people_of, say

OpenDesk = Callable[..., Desk]
PERMIT = rule("permit", allow=True)
DAY = 24 * HOUR
CLEAN = ProviderVerdict(Outcome.ALLOW, "clean")
SILENT = ProviderVerdict.no_answer("no answer within 5 s")


@pytest.fixture
def desk(desk_with: OpenDesk) -> Desk:
    return screening(desk_with, policy(PERMIT))


def speak(desk: Desk, action: str, request_id: str, by: str) -> str:
    return say(desk, people_of(desk), action, request_id, by, "looked at it").withdrawal.state.value


# -- places ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("destination", "state", "rule_name"),
    [
        (ANN, "approved", None),
        (HOT, "rejected", "own address"),
        (COLD, "rejected", "own address"),
        (DEPOSIT, "rejected", "own address"),
        (DEPOSIT.upper().replace("X", "x"), "rejected", "own address"),
        (USDT, "rejected", "token contract"),
        (USDT.lower(), "rejected", "token contract"),
        ("0x" + "0" * 40, "rejected", "no receiver"),
        ("0x000000000000000000000000000000000000dEaD", "rejected", "no receiver"),
        ("0x" + "0" * 39 + "1", "rejected", "no receiver"),
        ("0x" + "0" * 37 + "1ff", "rejected", "no receiver"),
        ("0x" + "0" * 37 + "200", "approved", None),
    ],
)
def test_places_that_no_withdrawal_may_go_to(desk: Desk, destination: str, state: str, rule_name: str | None) -> None:
    (taken,) = desk.take(to(destination))
    assert taken.state == state
    assert list(found(taken)) == ([] if rule_name is None else [rule_name])


# -- lists -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "address", "asked", "state"),
    [
        (SANCTIONS, ANN, ANN, "held"),
        (SANCTIONS, ANN.lower(), ANN, "held"),
        (SANCTIONS, ANN, ANN.lower(), "held"),
        (SANCTIONS, TRON, TRON_HEX, "held"),
        (SANCTIONS, f"41{TRON_HEX[2:]}", TRON_HEX, "held"),
        (SANCTIONS, BEN, ANN, "approved"),
        (BLOCK, ANN.lower(), ANN, "rejected"),
        (BLOCK, TRON, TRON_HEX, "rejected"),
        (MEMO, ANN.lower(), ANN, "held"),
    ],
)
def test_a_list_finds_an_address_in_any_spelling(desk: Desk, kind: Any, address: str, asked: str, state: str) -> None:
    listed(desk, "one", kind, address)
    assert desk.states(to(asked)) == [state]


def test_a_memo_is_what_a_memo_list_asks_for(desk: Desk) -> None:
    listed(desk, "memos", MEMO, ANN)
    (without, with_one) = desk.take(to(ANN), to(ANN, "w-2", memo="7"))
    assert (without.state, with_one.state) == ("held", "approved")
    assert found(without) == {"missing memo": f"{ANN} credits nobody without a memo (memos), and the request has none"}


def test_a_customer_with_an_allow_list_may_use_no_other_address(desk: Desk) -> None:
    listed(desk, "own", ALLOW, ANN.lower(), customer="c1")
    taken = desk.take(to(ANN), to(BEN, "w-2"), to(BEN, "w-3", customer="c2"))
    assert [each.state for each in taken] == ["approved", "rejected", "approved"]


def test_a_new_entry_of_an_allow_list_waits_until_it_is_old_enough(desk: Desk) -> None:
    cooling = guarded(desk, allowlist_cooling=DAY)
    listed(desk, "own", ALLOW, ANN, customer="c1")
    desk.clock.at += DAY - 1
    assert cooling.states(to(ANN)) == ["waiting"]
    assert run_once(cooling.ledger, cooling.premises) == []
    desk.clock.at += 1
    assert [each.state for each in run_once(cooling.ledger, cooling.premises)] == ["approved"]


def test_a_hit_of_sanctions_is_blocked_whatever_else_speaks(desk_with: OpenDesk) -> None:
    desk = screening(desk_with, policy(PERMIT, rule("no", deny=True), rule("day", amount="1", hours=24)))
    listed(desk, "sdn", SANCTIONS, ANN, label="Ann", entry="17")
    listed(desk, "ours", BLOCK, ANN)
    (taken,) = desk.take(to(ANN, amount="5"))
    assert taken.state == "held"
    reason = f"{ANN} is on the list sdn as Ann, entry 17: blocked until compliance has looked"
    assert found(taken)["sanctions"] == reason


def test_nothing_that_is_blocked_is_cancelled_or_rejected(desk: Desk) -> None:
    listed(desk, "sdn", SANCTIONS, ANN)
    enrol(desk)
    desk.take(to(ANN))
    with pytest.raises(Refused, match="is blocked") as refused:
        cancel(desk.ledger, desk.premises, "w-1", "alice")
    assert refused.value.exit_code == 3
    for by in ("alice", "carol"):
        with pytest.raises(Refused, match="is blocked"):
            speak(desk, "reject", "w-1", by)
    with pytest.raises(Refused, match="this takes compliance"):
        speak(desk, "release", "w-1", "alice")
    assert desk.recorded("w-1") == ["held"]


@pytest.mark.parametrize("state", ["approved", "awaiting_approval", "waiting", "held"])
def test_what_came_on_a_list_since_is_neither_cancelled_nor_rejected(desk_with: OpenDesk, state: str) -> None:
    by_amount = [
        rule("eyes", match={"customer": "awaiting_approval"}, approvals=1),
        rule("queue", "0.5", hours=1, match={"customer": "waiting"}, on_exceed=Outcome.WAIT),
        rule("odd", "0.5", match={"customer": "held"}, on_exceed=Outcome.HOLD),
    ]
    desk = screening(desk_with, policy(PERMIT, *by_amount))
    enrol(desk)
    desk.take(to(ANN, customer="waiting", amount="0.2", request_id="before"))
    assert desk.states(to(ANN, customer=state)) == [state]
    listed(desk, "sdn", SANCTIONS, ANN)
    with pytest.raises(Refused, match="is blocked"):
        cancel(desk.ledger, desk.premises, "w-1", "alice")
    with pytest.raises(Refused, match="is blocked"):
        speak(desk, "reject", "w-1", "alice")
    assert desk.recorded("w-1") == [state]


def test_what_is_blocked_goes_on_by_the_other_rules_when_it_is_released(desk_with: OpenDesk) -> None:
    rules = rule("no", deny=True, match={"customer": "bad"}), rule("eyes", approvals=1, match={"customer": "seen"})
    desk = screening(desk_with, policy(PERMIT, *rules))
    listed(desk, "sdn", SANCTIONS, ANN)
    enrol(desk)
    desk.take(*(to(ANN, name, customer=name) for name in ("bad", "seen", "good")))
    states = {}
    for name in ("bad", "seen", "good"):
        assert speak(desk, "release", name, "carol") == "held"  # nobody is proven to have brought it
        states[name] = speak(desk, "release", name, "dave")
    assert states == {"bad": "rejected", "seen": "awaiting_approval", "good": "approved"}
    assert run_once(desk.ledger, desk.premises) == []  # what was released stays released


def test_a_hit_on_another_list_holds_again_what_was_released(desk: Desk) -> None:
    listed(desk, "sdn", SANCTIONS, ANN)
    enrol(desk)
    desk.take(to(ANN))
    for by in ("carol", "dave"):
        state = speak(desk, "release", "w-1", by)
    assert state == "approved"
    listed(desk, "eu", SANCTIONS, ANN)
    (held,) = run_once(desk.ledger, desk.premises)
    assert held.state == "held"
    assert list(found(held).values()) == [f"{ANN} is on the list eu: blocked until compliance has looked"]


# -- lists that cannot be relied on ----------------------------------------------------------------------------------


def test_a_list_that_has_to_be_there_and_is_not_holds_for_want_of_facts(desk: Desk) -> None:
    demanding = guarded(desk, lists=("sdn",))
    (taken,) = demanding.take(to(ANN))
    assert taken.state == "held"
    assert taken.decision.for_want_of_facts
    assert "the list sdn is not there" in found(taken)["screening lists"]


@pytest.mark.parametrize(
    ("kind", "age", "state"),
    [
        (SANCTIONS, 3 * DAY, "approved"),
        (SANCTIONS, 3 * DAY + 1, "held"),
        (BLOCK, 3 * DAY + 1, "approved"),
        (MEMO, 3 * DAY + 1, "approved"),
    ],
)
def test_a_list_that_is_too_old_holds(desk: Desk, kind: Any, age: int, state: str) -> None:
    demanding = guarded(desk, hold_after=3 * DAY)
    listed(desk, "one", kind, BEN)
    desk.clock.at += age
    assert demanding.states(to(ANN)) == [state]


def test_who_waits_goes_on_waiting_while_a_list_is_too_old(desk_with: OpenDesk) -> None:
    hour = rule("hour", "1", hours=1, on_exceed=Outcome.WAIT)
    desk = guarded(screening(desk_with, policy(PERMIT, hour)), hold_after=HOUR // 2)
    listed(desk, "sdn", SANCTIONS, BEN)
    assert desk.states(to(ANN), to(ANN, "w-2")) == ["approved", "waiting"]
    desk.clock.at += HOUR
    assert run_once(desk.ledger, desk.premises) == []
    assert desk.recorded("w-2") == ["waiting"]
    listed(desk, "sdn", SANCTIONS, BEN)
    assert [each.request.request_id for each in run_once(desk.ledger, desk.premises)] == ["w-2"]


# -- look-alikes -----------------------------------------------------------------------------------------------------


def test_what_looks_like_an_address_of_before_is_held_with_both_told(desk: Desk) -> None:
    desk.take(to(ANN))
    (plant,) = desk.take(to(ANN_ALIKE, "w-2"))
    assert plant.state == "held"
    said = f"{ANN_ALIKE} looks like {ANN} (used by c1 before), and is another: compare every character"
    assert found(plant) == {"look-alike": said}


def test_in_one_batch_too(desk: Desk) -> None:
    assert desk.states(to(ANN), to(ANN_ALIKE, "w-2")) == ["approved", "held"]


def test_nothing_is_learned_from_others_or_from_what_was_not_let_through(desk_with: OpenDesk) -> None:
    rules = (
        rule("odd", "5", on_exceed=Outcome.HOLD), rule("no", "50"), rule("eyes", above_amount=None, approvals=1,
        match={"customer": "c4"}),
    )  # fmt: skip
    desk = screening(desk_with, policy(PERMIT, *rules))
    before = desk.states(to(ANN, "1"), to(ANN, "2", "9", customer="c2"), to(ANN, "3", "99", customer="c3"),
                         to(ANN, "4", customer="c4"))  # fmt: skip
    assert before == ["approved", "held", "rejected", "awaiting_approval"]
    later = [to(ANN_ALIKE, f"x{n}", customer=f"c{n}") for n in (2, 3, 5)]
    assert desk.states(*later) == ["approved", "approved", "approved"]
    assert desk.states(to(ANN_ALIKE, "x1"), to(ANN_ALIKE, "x4", customer="c4")) == ["held", "awaiting_approval"]


def test_what_looks_like_a_wallet_of_the_desk_is_held(desk: Desk) -> None:
    plant = "0x3737373" + "1" * 26 + "7373737"
    (taken,) = desk.take(to(plant))
    assert taken.state == "held"
    assert "(the hot wallet hot-eth of the desk)" in found(taken)["look-alike"]


def test_once_released_a_look_alike_is_an_address_that_was_used(desk: Desk) -> None:
    enrol(desk)
    desk.take(to(ANN), to(ANN_ALIKE, "w-2"))
    for by in ("carol", "dave"):
        state = speak(desk, "release", "w-2", by)
    assert state == "approved"
    assert desk.states(to(ANN_ALIKE, "w-3"), to(ANN, "w-4")) == ["approved", "approved"]


# -- who is asked ----------------------------------------------------------------------------------------------------


def asking(desk: Desk, *answers: ProviderVerdict, rule_name: str = PROVIDER, **guards: Any) -> tuple[Desk, Outside]:
    outside = Outside(list(answers), ledger=desk.ledger)
    name = {PROVIDER: "provider", TRAVEL_RULE: "travel_rule"}[rule_name]
    return guarded(desk, **{name: AskedProvider(rule_name, outside)}, **guards), outside


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        (CLEAN, "approved"),
        (SILENT, "held"),
        (ProviderVerdict(Outcome.HOLD, "a mixer"), "held"),
        (ProviderVerdict(Outcome.DENY, "stolen coins"), "rejected"),
    ],
)
def test_a_provider_decides_with_and_is_asked_before_the_transaction(
    desk: Desk, verdict: ProviderVerdict, state: str
) -> None:
    asked, outside = asking(desk, verdict)  # it takes the ledger while it is asked: else this would never end
    (taken,) = asked.take(to(ANN))
    assert taken.state == state
    assert [each["destination"] for each in outside.asked] == [ANN]
    assert "beneficiary" not in outside.asked[0]


def test_who_gave_no_answer_is_asked_again_when_it_is_released(desk: Desk) -> None:
    enrol(desk)
    asked, outside = asking(desk, SILENT, SILENT, SILENT, CLEAN)
    asked.take(to(ANN))
    states = [speak(asked, "release", "w-1", by) for by in ("carol", "dave")]
    assert states == ["held", "held"]  # it could not be found out, and nobody can release that
    assert len(outside.asked) == 3
    people = [speak(asked, "release", "w-1", by) for by in ("carol", "dave")]
    assert people[-1] == "approved"
    assert len(outside.asked) == 4


def test_a_finding_of_a_provider_is_released_and_another_one_is_not(desk: Desk) -> None:
    enrol(desk)
    mixer, theft = ProviderVerdict(Outcome.HOLD, "a mixer"), ProviderVerdict(Outcome.HOLD, "a theft")
    first, _ = asking(desk, mixer)
    first.take(to(ANN))
    later, _ = asking(desk, theft)
    speak(later, "release", "w-1", "carol")
    assert speak(later, "release", "w-1", "dave") == "held"
    assert found(desk.ledger.withdrawal("w-1")) == {"screening provider": "a theft"}  # type: ignore[arg-type]


def test_who_waits_is_asked_about_before_the_transaction(desk_with: OpenDesk) -> None:
    hour = rule("hour", "1", hours=1, on_exceed=Outcome.WAIT)
    desk, outside = asking(screening(desk_with, policy(PERMIT, hour)), CLEAN, CLEAN, SILENT, CLEAN)
    assert desk.states(to(ANN)) == ["approved"]
    assert desk.states(to(ANN, "w-2")) == ["waiting"]
    desk.clock.at += HOUR
    anew, again = asking(desk, SILENT, CLEAN)  # as another run does
    assert run_once(anew.ledger, anew.premises) == []
    assert [each.state for each in run_once(anew.ledger, anew.premises)] == ["approved"]
    assert [each["request_id"] for each in again.asked] == ["w-2", "w-2"]
    assert [each["request_id"] for each in outside.asked] == ["w-1", "w-2"]


NAMED, NAMELESS = Beneficiary("Ann", provider="Bank"), Beneficiary(provider="Bank")


@pytest.mark.parametrize(
    ("amount", "beneficiary", "answer", "state", "asked"),
    [
        ("1", None, CLEAN, "approved", 0),
        ("1.000001", None, CLEAN, "held", 1),
        ("2", NAMELESS, CLEAN, "held", 1),
        ("2", NAMED, CLEAN, "approved", 1),
        ("2", NAMED, SILENT, "held", 1),
        ("2", NAMED, ProviderVerdict(Outcome.DENY, "nobody of that name"), "rejected", 1),
    ],
)
def test_above_a_value_it_has_to_be_told_who_receives_it(
    desk: Desk, amount: str, beneficiary: Beneficiary | None, answer: ProviderVerdict, state: str, asked: int
) -> None:
    above, outside = asking(desk, answer, rule_name=TRAVEL_RULE, travel_rule_above=1000 * 10**6)
    above = replace(above, prices={"ETH": "1000"})
    (taken,) = above.take(to(ANN, amount=amount, beneficiary=beneficiary))
    assert taken.state == state
    assert len(outside.asked) <= asked
    if state == "approved" and asked:
        assert outside.asked[0]["beneficiary"] == {
            "name": "Ann", "provider": "Bank", "self_hosted": False, "proof": None,
        }  # fmt: skip


def test_what_has_no_value_may_be_above_it(desk: Desk) -> None:
    above = guarded(desk, travel_rule_above=1000 * 10**6)
    (taken,) = above.take(to(ANN, beneficiary=NAMED))
    assert (taken.state, taken.decision.for_want_of_facts) == ("held", True)


class _Node:
    """A chain that knows which addresses are contracts; one that answers nothing fails."""

    def __init__(self, contracts: tuple[str, ...] | None, ledger: Any) -> None:
        self.contracts, self.ledger, self.asked = contracts, ledger, 0

    def parse_address(self, text: str) -> Any:
        return read_address("ethereum", text)

    def describe_address(self, address: Any) -> AddressOnChain:
        self.asked += 1
        with self.ledger.act():
            pass
        if self.contracts is None:
            raise NodeFailed("node.example", "timeout", "no answer in 10 s")
        return AddressOnChain(address.text in self.contracts, "eth_getCode")


@pytest.mark.parametrize(
    ("contracts", "state", "unknown"), [((), "approved", False), ((ANN,), "held", False), (None, "held", True)]
)
def test_a_contract_is_held_where_the_settings_want_to_know(
    desk: Desk, contracts: tuple[str, ...] | None, state: str, unknown: bool
) -> None:
    node = _Node(contracts, desk.ledger)
    asked = guarded(desk, contracts=Contracts(lambda name: node))  # type: ignore[arg-type, return-value]
    (taken,) = asked.take(to(ANN))
    assert (taken.state, taken.decision.for_want_of_facts) == (state, unknown)
    assert node.asked == 1


# -- when it is screened ---------------------------------------------------------------------------------------------


def test_what_came_on_a_list_meanwhile_is_found_when_it_is_approved(desk_with: OpenDesk) -> None:
    desk = screening(desk_with, policy(PERMIT, rule("eyes", approvals=1)))
    enrol(desk)
    assert desk.states(to(ANN), to(BEN, "w-2")) == ["awaiting_approval", "awaiting_approval"]
    listed(desk, "sdn", SANCTIONS, ANN)
    listed(desk, "ours", BLOCK, BEN)
    for name, state in (("w-1", "held"), ("w-2", "rejected")):
        with pytest.raises(Refused, match=f"{name} was decided anew and is {state}"):
            speak(desk, "approve", name, "bob")
    assert desk.recorded("w-1", "w-2") == ["held", "rejected"]


def test_what_is_blocked_when_its_time_is_over_is_held_and_not_ended(desk_with: OpenDesk) -> None:
    desk = screening(desk_with, policy(PERMIT, rule("eyes", approvals=1)))
    enrol(desk)
    desk.take(to(ANN), to(ANN, "w-2"), to(BEN, "w-3"))
    desk.clock.at += DAY
    listed(desk, "sdn", SANCTIONS, ANN)
    with pytest.raises(Refused, match="w-2 was decided anew and is held"):
        speak(desk, "approve", "w-2", "bob")
    run_once(desk.ledger, desk.premises)
    assert desk.recorded("w-1", "w-2", "w-3") == ["held", "held", "expired"]
