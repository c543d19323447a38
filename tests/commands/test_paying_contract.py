"""What any family that pays has to do, on a real node: the contract of `domain.paying.Payer`, seen from the desk."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.commands.dying import PLACES
from tests.commands.families import AnyDesk, any_desk
from tests.commands.payingdesk import sealed
from tests.conftest import ROOT

__all__ = ["any_desk", "sealed"]  # fixtures

Open = Callable[..., AnyDesk]


# -- paying ----------------------------------------------------------------------------------------------------------


def test_each_is_paid_once_and_proven(any_desk: Open) -> None:
    desk = any_desk()
    desk.ask("a", 1)
    desk.ask("b", 12)
    assert desk.pay() == {"a": "broadcast", "b": "broadcast"}
    assert set(desk.coins.pooled()) == {desk.txid("a"), desk.txid("b")}
    assert desk.pay() == {"a": "broadcast", "b": "broadcast"}
    desk.coins.mine(1)
    assert desk.pay() == {"a": "confirming", "b": "confirming"}
    desk.ends_well()
    for name, (to, units) in desk.owed.items():
        done = desk.run("withdraw", "receipt", name, "--json")
        assert done.exit_code == 0, done.stderr
        proven = done.json
        assert (proven["txid"], proven["destination"]) == (desk.txid(name), to)
        assert [each["counts"] for each in proven["attempts"]] == [True]
        assert proven["amount"] == ("0.1" if units == desk.coins.unit // 10 else "1.2")


def test_what_the_wallet_cannot_pay_waits_and_is_paid_when_it_can(any_desk: Open) -> None:
    desk = any_desk(coins=1)
    desk.ask("a", 15)
    assert desk.pay(5) == {"a": "waiting_liquidity"}
    assert desk.coins.pooled() == []
    desk.coins.fund(1)
    assert desk.pay() == {"a": "broadcast"}
    desk.ends_well()


def test_without_its_key_nothing_is_sent_and_with_it_the_same_is(any_desk: Open) -> None:
    desk = any_desk()
    desk.ask("a")
    key = desk.keep_key()
    assert desk.pay(8) == {"a": "reserved"}
    assert desk.coins.pooled() == []
    desk.give_key(key)
    assert desk.pay() == {"a": "broadcast"}
    desk.ends_well()
    assert len(desk.attempts("a")) == 1


# -- replacing -------------------------------------------------------------------------------------------------------


def test_a_bump_takes_the_place_of_what_waits(any_desk: Open) -> None:
    desk = any_desk()
    desk.ask("a")
    desk.pay()
    desk.does("withdraw", "bump", "a")
    first, second = desk.attempts("a")
    assert desk.coins.pooled() == [second]
    desk.ends_well()
    assert desk.txid("a") == second != first


def test_what_was_outbid_may_be_what_counts(any_desk: Open) -> None:
    """D9: the first attempt comes back, and a block takes it."""
    desk = any_desk()
    desk.ask("a")
    desk.pay()
    raw = desk.coins.raw(desk.txid("a"))
    desk.does("withdraw", "bump", "a")
    first, _ = desk.attempts("a")
    desk.coins.forget()
    desk.coins.give(raw)
    desk.coins.mine(1)
    assert desk.pay() == {"a": "confirming"}
    desk.ends_well()
    assert desk.txid("a") == first


def test_what_is_killed_pays_nobody_and_what_comes_later_is_paid(any_desk: Open) -> None:
    desk = any_desk()
    desk.ask("a")
    desk.pay()
    desk.does("withdraw", "kill", "a")
    assert desk.pay() == {"a": "cancelling"}
    desk.ask("b")
    desk.pay()
    desk.ends_well("a")


def test_what_is_killed_may_have_been_quicker(any_desk: Open) -> None:
    desk = any_desk()
    desk.ask("a")
    desk.pay()
    raw = desk.coins.raw(desk.txid("a"))
    desk.does("withdraw", "kill", "a")
    desk.coins.forget()
    desk.coins.give(raw)
    desk.ends_well()
    assert len(desk.attempts("a")) == 2


def test_what_a_block_has_is_neither_raised_nor_killed(any_desk: Open) -> None:
    desk = any_desk()
    desk.ask("a")
    desk.pay()
    desk.coins.mine(1)
    for what in ("bump", "kill"):
        assert "is in a block already" in desk.does("withdraw", what, "a", code=3)
    desk.ends_well()
    assert len(desk.attempts("a")) == 1


# -- what nodes forget, and blocks undo -------------------------------------------------------------------------------


def test_what_the_pool_lost_is_given_to_it_again(any_desk: Open) -> None:
    desk = any_desk()
    desk.ask("a")
    desk.pay()
    (txid,) = desk.coins.pooled()
    for _ in range(2):
        desk.coins.forget()
        assert desk.pay() == {"a": "broadcast"}
        assert desk.coins.pooled() == [txid]
    desk.ends_well()
    assert desk.attempts("a") == [txid]


@pytest.mark.parametrize("depth", [1, 2])
def test_a_block_that_is_undone_takes_nothing_with_it(any_desk: Open, depth: int) -> None:
    desk = any_desk()
    desk.ask("a")
    desk.pay()
    undo = desk.coins.mark()
    desk.coins.mine(depth)
    assert desk.pay() == {"a": "confirming"}
    undo()
    assert desk.pay() == {"a": "broadcast"}
    assert desk.coins.pooled() == desk.attempts("a")
    desk.ends_well()
    assert len(desk.attempts("a")) == 1


def test_another_attempt_may_be_in_the_new_block(any_desk: Open) -> None:
    desk = any_desk()
    desk.ask("a")
    desk.pay()
    raw = desk.coins.raw(desk.txid("a"))
    desk.does("withdraw", "bump", "a")
    first, second = desk.attempts("a")
    undo = desk.coins.mark()
    desk.coins.mine(2)
    assert (desk.pay(), desk.txid("a")) == ({"a": "confirming"}, second)
    undo()
    desk.coins.give(raw)
    desk.coins.mine(1)
    assert (desk.pay(), desk.txid("a")) == ({"a": "confirming"}, first)
    desk.ends_well()
    assert desk.attempts("a") == [first, second]


def test_a_stranger_in_its_place_holds_it_and_freezes_the_wallet(any_desk: Open) -> None:
    """Somebody has the key: what was not paid is held for people, and nothing more is paid."""
    desk = any_desk()
    desk.ask("a")
    desk.pay()
    desk.coins.conflict(desk.txid("a"))
    assert desk.pay(7) == {"a": "unknown"}
    desk.coins.finish()
    assert desk.pay(3) == {"a": "held"}
    assert "wallet=hot" in desk.run("freeze", "list").stdout
    assert [desk.coins.got(to) for to, _ in desk.owed.values()] == [0]
    assert desk.run("audit", "verify").exit_code == 0


def test_a_stranger_that_goes_with_its_block_has_ended_nothing(any_desk: Open) -> None:
    """The same bytes can still pay, and are not given up; where the wallet was frozen for him, nobody else is paid."""
    desk = any_desk()
    desk.ask("a")
    desk.pay()
    raw = desk.coins.raw(desk.txid("a"))
    undo = desk.coins.mark()
    desk.coins.conflict(desk.txid("a"))
    assert desk.pay(7) == {"a": "unknown"}
    undo()
    frozen = "wallet=hot" in desk.run("freeze", "list").stdout
    if frozen:
        assert desk.pay(7) == {"a": "unknown"}
        desk.coins.give(raw)
    else:
        assert desk.pay() == {"a": "broadcast"}
    desk.coins.finish()
    assert desk.pay() == {"a": "final"}
    ((to, units),) = desk.owed.values()
    assert (desk.coins.got(to), len(desk.attempts("a"))) == (units, 1)


# -- dying -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
def test_who_dies_is_taken_over_from(any_desk: Open, place: str) -> None:
    desk = any_desk()
    desk.ask("a")
    folders = ["--configs", str(desk.folder / "configs"), "--data", str(desk.folder / "data")]
    command = [sys.executable, "-m", "tests.commands.dying", place, desk.coins.chain, *folders, "withdraw", "run"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(desk.coins.pooled()) == (place == "sent")
    assert desk.pay() == {"a": "broadcast"}
    assert desk.coins.pooled() == desk.attempts("a")
    desk.ends_well()
