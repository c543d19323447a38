"""A nonce that a stranger's transaction took: the withdrawal is recorded as paid by it, or paid with another nonce."""

from __future__ import annotations

import pytest

from tests.commands.hostilenode import SEND, Attacked, Open, attacked, wipe
from tests.commands.payingdesk import ANN, ETHER, HOT, sealed, with_people
from tests.commands.peopledesk import refused
from tests.commands.test_wallet import lifted

__all__ = ["attacked", "sealed"]  # fixtures


def held(attacked: Open, to: str = HOT) -> tuple[Attacked, str]:
    """A desk with people, whose w-1 lost its nonce to a stranger's transaction; its txid."""
    desk = attacked()
    with_people(desk)
    facts = {
        "request-id": "w-1",
        "customer": "c",
        "asset": "ETH",
        "chain": "ethereum",
        "amount": "1",
        "destination": ANN,
    }
    options = [part for key, text in facts.items() for part in (f"--{key}", text)]
    assert desk.run("withdraw", "submit", *options, "--operator", "alice").exit_code == 0
    desk.owed["w-1"] = ANN, ETHER
    desk.run_pass()
    wipe(desk)
    txid: str = desk.node.rpc(SEND, desk.conflicting(0, to, ETHER))
    return desk, txid


def released(desk: Attacked) -> None:
    """The wallet's freeze is lifted, and w-1 let go."""
    lifted(desk, "bob", "carol")
    assert desk.run("withdraw", "release", "w-1", "--reason", "not by us", "--operator", "carol").exit_code == 0


def test_what_lost_its_nonce_is_paid_with_another_once_the_signer_knows_that(attacked: Open) -> None:
    """M2: a second conflict set only when the first is dead, and the signer asks the chain for that itself (B12)."""
    desk, txid = held(attacked)
    desk.node.mine(1)
    refused(desk.run("signer", "retire", "hot", "0", "--json"), 7, "not certain yet")
    desk.settle()
    assert desk.run_pass("w-1")[1] == {"w-1": "held"}
    released(desk)
    code, states = desk.run_pass("w-1")
    assert (code, states) == (3, {"w-1": "held"})  # and no nonce waits for what nobody signs
    assert "cryptosupport signer retire" in desk.said
    assert desk.balance(ANN) == 0
    done = desk.run("signer", "retire", "hot", "0", "--json")
    assert (done.exit_code, done.json["taken_by"], done.json["request_ids"]) == (0, txid, ["w-1"])
    assert desk.run("withdraw", "release", "w-1", "--reason", "retired", "--operator", "carol").exit_code == 0
    assert desk.run_pass() == (0, {"w-1": "broadcast"})
    desk.settle()
    assert desk.run_pass() == (0, {"w-1": "final"})
    assert desk.balance(ANN) == ETHER
    refused(desk.run("signer", "retire", "hot", "1", "--json"), 3, "a transaction that was signed here has it")
    refused(desk.run("signer", "retire", "hot", "2", "--json"), 4, "nothing was signed with nonce 2")
    assert desk.run("audit", "verify").exit_code == 0


def test_what_a_stranger_paid_is_recorded_and_never_paid_again(attacked: Open) -> None:
    """It was paid by hand, with the same key."""
    desk, txid = held(attacked, ANN)
    desk.settle()
    desk.run_pass("w-1")
    say = ("withdraw", "record-external", "w-1", "--txid", txid, "--operator")
    assert [desk.run(*say, who).exit_code for who in ("bob", "carol")] == [9, 0]
    lifted(desk, "bob", "carol")
    assert desk.run_pass() == (0, {"w-1": "final"})
    assert desk.balance(ANN) == ETHER


@pytest.mark.parametrize("pooled_still", [True, False])
def test_a_nonce_that_is_not_lost_is_not_retired(attacked: Open, pooled_still: bool) -> None:
    desk = attacked()
    desk.ask("w-1", ANN)
    desk.run_pass()
    if not pooled_still:
        wipe(desk)
    refused(desk.run("signer", "retire", "hot", "0", "--json"), 3, "nonce 0 of hot is not lost")
    desk.node.mine(1)
    desk.ends_well()
