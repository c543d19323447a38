"""`withdraw run` behind nodes that lie, fail and forget while it sends and looks: each withdrawal once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.commands.hostilenode import (
    BY_NONCE,
    COUNT,
    GARBLED,
    HIDES,
    RECEIPT,
    SEND,
    TX,
    WORDS,
    Attacked,
    Fault,
    Open,
    after,
    always,
    attacked,
    lost_its_place_for_good,
    pooled,
    says,
    wipe,
)
from tests.commands.payingdesk import ANN, BEN, ETHER, sealed
from tests.hostile import Reply

__all__ = ["attacked", "sealed"]  # fixtures

# -- sending ---------------------------------------------------------------------------------------------------------


LOST: dict[str, Fault] = {**GARBLED, "too late": lambda exchange: Reply(exchange.encoded(), delay=1.2)}


def lose_answers(desk: Attacked, fault: Fault, blind: bool) -> None:
    """The node has what is sent, and says ``fault``; ``blind``: nor does it say what it has."""
    desk.proxy.faults[SEND] = lambda exchange: fault if isinstance(fault, Reply) else fault(exchange)
    if blind:
        desk.proxy.lies[TX] = always(None)


@pytest.mark.parametrize("name", LOST)
def test_the_answer_to_what_a_node_has_taken_is_lost(attacked: Open, name: str) -> None:
    """Accept, then anything but an answer: unknown, then found, and never made anew."""
    desk = attacked(timeout="1s" if name == "too late" else "5s")
    desk.ask("w-1", ANN)
    lose_answers(desk, LOST[name], blind=True)
    assert desk.run_pass() == (7, {"w-1": "unknown"})
    assert pooled(desk) == [desk.txid("w-1")]
    desk.honest_again()
    assert desk.run_pass() == (0, {"w-1": "broadcast"})
    assert pooled(desk) == desk.attempts("w-1")
    desk.ends_well()


def test_a_lost_answer_is_made_up_for_in_the_same_pass(attacked: Open) -> None:
    desk = attacked()
    desk.ask("w-1", ANN)
    lose_answers(desk, GARBLED["HTTP 503"], blind=False)
    assert desk.run_pass() == (0, {"w-1": "broadcast"})
    desk.ends_well()


def node_goes_down_after_it_took_one(attacked: Open) -> tuple[Attacked, int]:
    """The desk, and how the pass ended."""
    desk = attacked()
    desk.ask("w-1", ANN)
    sent: list[str] = []

    def down(methods: list[str]) -> Fault | None:
        lost = sent or SEND in methods
        sent.extend(methods if lost else [])
        return GARBLED["web page"] if lost else None

    desk.proxy.choose = down
    code, states = desk.run_pass()
    assert states == {"w-1": "unknown"}
    return desk, code


def test_a_node_that_goes_down_after_it_took_one(attacked: Open) -> None:
    desk, _ = node_goes_down_after_it_took_one(attacked)
    assert desk.run_pass()[1] == {"w-1": "unknown"}
    desk.node.mine(1)
    desk.honest_again()
    assert desk.run_pass() == (0, {"w-1": "confirming"})
    desk.ends_well()
    assert len(desk.attempts("w-1")) == 1


def test_what_is_unknown_is_told_when_the_node_is_down_too(attacked: Open) -> None:
    """7 comes before 6 (context/paying.py): whoever watches the exit code has to hear of it."""
    desk, code = node_goes_down_after_it_took_one(attacked)
    assert (code, desk.run_pass()[0]) == (7, 7)


@pytest.mark.parametrize("name", ["HTTP 429", "web page", "hangs up"])
def test_a_node_that_fails_at_sending_gets_it_later(attacked: Open, name: str) -> None:
    desk = attacked()
    desk.ask("w-1", ANN)
    desk.ask("w-2", BEN)
    desk.proxy.lies[SEND] = always(None)  # the node never hears of it
    desk.proxy.faults[SEND] = GARBLED[name]
    assert desk.run_pass() == (7, {"w-1": "unknown", "w-2": "unknown"})
    assert pooled(desk) == []
    desk.honest_again()
    assert desk.run_pass() == (0, {"w-1": "broadcast", "w-2": "broadcast"})
    desk.ends_well()


@pytest.mark.parametrize("forwards", [True, False])
@pytest.mark.parametrize("words", WORDS)
def test_what_a_node_says_of_a_transaction_settles_nothing_for_good(attacked: Open, words: str, forwards: bool) -> None:
    """Refuse, then include; or take, and never forward it."""
    desk = attacked()
    desk.ask("w-1", ANN)
    desk.proxy.lies[SEND] = after(says(words)) if forwards else always(says(words))
    state, code = WORDS[words]
    if forwards:
        desk.proxy.lies[TX] = always(None)  # else it is found in the same pass
    assert desk.run_pass() == (code, {"w-1": state})
    txid = desk.txid("w-1")
    assert pooled(desk) == ([txid] if forwards else [])
    desk.node.mine(1)
    assert desk.run_pass()[1] == {"w-1": "confirming" if forwards else state}
    desk.honest_again()
    desk.ends_well()
    assert desk.attempts("w-1") == [txid]


def test_what_no_node_takes_is_told(attacked: Open) -> None:
    """It holds up all that comes after it in its wallet."""
    desk = attacked()
    desk.ask("w-1", ANN)
    desk.proxy.lies[SEND] = always(says("insufficient funds for gas * price + value"))
    assert desk.run_pass()[1] == {"w-1": "signed"}
    assert "w-1" in desk.said
    assert "insufficient funds" in desk.said


def test_what_is_refused_for_its_fee_gets_a_higher_one(attacked: Open) -> None:
    desk = attacked(desk='after = "1ms"\n')
    desk.ask("w-1", ANN)
    first: list[str] = []

    def too_low(params: list[Any], honest: Callable[[], Any]) -> Any:
        first.extend(params[: not first])
        return says("max fee per gas less than block base fee") if params == first else honest()

    desk.proxy.lies[SEND] = too_low
    desk.run_pass()
    assert desk.run_pass() == (0, {"w-1": "broadcast"})
    desk.ends_well()


def test_a_node_that_really_has_it_says_so(attacked: Open) -> None:
    desk = attacked()
    desk.ask("w-1", ANN)

    def twice(params: list[Any], honest: Callable[[], Any]) -> Any:
        honest()
        return honest()

    desk.proxy.lies[SEND] = twice
    assert desk.run_pass() == (0, {"w-1": "broadcast"})
    desk.ends_well()


def test_another_transaction_really_waits_in_its_place(attacked: Open) -> None:
    """A stranger with the key outbids it in the pool, and is forgotten: the same bytes are paid."""
    desk = attacked()
    desk.ask("w-1", ANN)

    def outbid(params: list[Any], honest: Callable[[], Any]) -> Any:
        desk.node.rpc(SEND, desk.conflicting(0))
        return honest()

    desk.proxy.lies[SEND] = outbid
    assert desk.run_pass() == (7, {"w-1": "unknown"})
    assert desk.run_pass() == (7, {"w-1": "unknown"})
    wipe(desk)
    desk.honest_again()
    assert desk.run_pass() == (0, {"w-1": "broadcast"})
    desk.ends_well()
    assert len(desk.attempts("w-1")) == 1


def test_another_transaction_really_has_its_nonce(attacked: Open) -> None:
    """Nonce too low, and true: unknown until it is final, then held; nothing is paid in another place."""
    desk = attacked()
    desk.ask("w-1", ANN)

    def overtake(params: list[Any], honest: Callable[[], Any]) -> Any:
        desk.node.rpc(SEND, desk.conflicting(0))
        desk.node.mine(1)
        return honest()

    desk.proxy.lies[SEND] = overtake
    assert desk.run_pass() == (7, {"w-1": "unknown"})
    desk.honest_again()
    assert desk.run_pass() == (7, {"w-1": "unknown"})
    lost_its_place_for_good(desk)


# -- surveying -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*GARBLED, "wrong chain"])
def test_a_node_that_fails_at_surveying_moves_nothing(attacked: Open, name: str) -> None:
    desk = attacked()
    fail = {"": GARBLED[name]} if name in GARBLED else {}
    lie = {} if fail else {"eth_chainId": always("0x1")}

    def fails(**states: str) -> None:
        desk.proxy.faults.update(fail)
        desk.proxy.lies.update(lie)
        assert desk.run_pass() == (6, states)
        desk.honest_again()

    desk.ask("w-1", ANN)
    fails(**{"w-1": "approved"})
    assert desk.run_pass() == (0, {"w-1": "broadcast"})
    desk.node.mine(1)
    fails(**{"w-1": "broadcast"})
    desk.run_pass()
    desk.settle()
    fails(**{"w-1": "confirming"})
    desk.ends_well()


@pytest.mark.parametrize("method", ["eth_estimateGas", RECEIPT, TX, BY_NONCE, "eth_getBlockByNumber"])
def test_a_node_that_fails_at_one_question(attacked: Open, method: str) -> None:
    desk = attacked()
    desk.ask("w-1", ANN)
    for _ in range(2):
        desk.proxy.faults[method] = GARBLED["truncated"]
        desk.run_pass()
        desk.honest_again()
        desk.run_pass()
        desk.node.mine(1)
    desk.ends_well()
    assert len(desk.attempts("w-1")) == 1


@pytest.mark.parametrize("hides", HIDES)
def test_no_receipt_for_a_while(attacked: Open, hides: str) -> None:
    """The nonce is used, and nobody can say by what: D3 and D4 paid that again."""
    desk = attacked()
    desk.ask("w-1", ANN)
    desk.run_pass()
    desk.ask("w-2", BEN)
    desk.node.mine(1)
    desk.proxy.lies.update(HIDES[hides])
    assert desk.run_pass()[1]["w-1"] == "unknown"
    desk.settle()
    code, states = desk.run_pass()
    assert (code, states["w-1"]) == (7, "unknown")
    desk.ends_well()


def test_a_count_that_is_ahead_of_receipts(attacked: Open) -> None:
    """The nonce is said to be used while the transaction waits."""
    desk = attacked()
    desk.ask("w-1", ANN)
    desk.run_pass()
    desk.proxy.lies[COUNT] = always("0x1")
    assert desk.run_pass() == (7, {"w-1": "unknown"})
    wipe(desk)
    assert desk.run_pass() == (7, {"w-1": "unknown"})
    desk.ends_well()
    assert len(desk.attempts("w-1")) == 1


def test_a_count_of_more_than_was_ever_given_out_freezes_the_wallet(attacked: Open) -> None:
    """What is under way is followed to its end all the same."""
    desk = attacked()
    desk.ask("w-1", ANN)
    desk.run_pass()
    desk.submit("w-2", "1", BEN)
    desk.proxy.lies[COUNT] = always("0x5")
    assert desk.run_pass() == (7, {"w-1": "unknown"})
    desk.honest_again()
    desk.settle()
    assert desk.run_pass()[1] == {"w-1": "final"}
    assert desk.state("w-2") == "approved"
    assert "wallet=hot" in desk.run("freeze", "list").stdout
    assert (desk.balance(ANN), desk.balance(BEN)) == (ETHER, 0)
