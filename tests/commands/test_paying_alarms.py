"""What freezes a wallet while it is paid from (S36): less money than is reserved, payments that nobody can tell of."""

from __future__ import annotations

from typing import Any

import pytest

from tests.commands.hostilenode import GARBLED, SEND, TX, Attacked, Open, always, attacked
from tests.commands.payingdesk import ANN, BEN, ETHER, HOT, sealed
from tests.commands.test_wallet import lifted

__all__ = ["attacked", "sealed"]  # fixtures

AT_ONCE = 'after = "1ms"\n'


def frozen(desk: Attacked) -> list[str]:
    """Why the wallet is frozen."""
    listed: list[dict[str, Any]] = desk.run("freeze", "list", "-o", "jsonl").jsonl
    assert all(each["scope"] == "wallet=hot" for each in listed)
    return [str(each["reason"]) for each in listed]


def holds(desk: Attacked, ether: int) -> None:
    """The node says that the wallet has so much."""
    desk.node.rpc("anvil_setBalance", HOT, hex(ether * ETHER))


def test_a_wallet_that_holds_less_than_is_reserved_is_frozen(attacked: Open, ledger_url: str) -> None:
    """Somebody else takes its coins, by whatever way: what is left must not go too, and nothing is given up."""
    desk = attacked(desk=AT_ONCE, ledger=ledger_url)
    desk.ask("w-1", ANN, 3)
    desk.ask("w-2", BEN, 4)
    assert desk.run_pass() == (0, {"w-1": "broadcast", "w-2": "broadcast"})
    holds(desk, 6)
    desk.ask("w-3", BEN)
    assert desk.run_pass() == (3, {"w-1": "broadcast", "w-2": "broadcast", "w-3": "approved"})
    assert frozen(desk) == ["funds: hot holds less ETH than is reserved: 6 of 7"]
    assert "funds: hot holds less ETH than is reserved: 6 of 7. It is frozen" in desk.said
    holds(desk, 50)
    assert desk.run_pass()[1]["w-3"] == "approved"
    lifted(desk, "ann", "ben")
    desk.ends_well()


def test_people_who_lift_it_know_its_cause(attacked: Open) -> None:
    """As with the alarms of the desk, it does not ring again for the same; what is there is paid."""
    desk = attacked(desk=AT_ONCE)
    desk.ask("w-1", ANN, 3)
    assert desk.run_pass()[0] == 0
    holds(desk, 2)
    assert desk.run_pass()[0] == 3
    lifted(desk, "ann", "ben")
    assert desk.run_pass()[0] == 0
    assert frozen(desk) == []


@pytest.mark.parametrize("desk", ['after = "1h"\n', AT_ONCE + '[freeze]\nauto = ["unknown"]\n'])
def test_what_was_reserved_a_moment_ago_may_be_news_to_a_node(attacked: Open, desk: str) -> None:
    """A node that is some blocks behind does not know a refill yet; and people may turn the alarm off."""
    opened = attacked(desk=desk)
    opened.ask("w-1", ANN, 3)
    assert opened.run_pass()[0] == 0
    holds(opened, 2)
    assert opened.run_pass()[0] == 0
    assert frozen(opened) == []


def lose(desk: Attacked) -> None:
    """The node says nothing of what it is given, and answers everything else."""
    desk.proxy.faults[SEND] = GARBLED["web page"]
    desk.proxy.lies[TX] = always(None)


def three(attacked: Open, desk: str, ledger: str = "") -> Attacked:
    """Three payments that nobody can tell of, each sent once."""
    opened = attacked(desk=desk, resend="1h", ledger=ledger)
    lose(opened)
    for name, to in (("w-1", ANN), ("w-2", BEN), ("w-3", ANN)):
        opened.ask(name, to)
    assert opened.run_pass() == (7, dict.fromkeys(opened.owed, "unknown"))
    assert opened.run_pass()[0] == 7
    assert frozen(opened) == []  # one lost answer each is no alarm
    settings = opened.folder / "configs" / "desk.toml"
    settings.write_text(settings.read_text(encoding="utf-8").replace('"1h"', '"1ms"'), encoding="utf-8")
    return opened


def test_several_unknown_in_a_row_freeze_the_wallet(attacked: Open, ledger_url: str) -> None:
    desk = three(attacked, "[freeze]\nunknown_in_a_row = 3\n", ledger_url)
    assert desk.run_pass() == (7, dict.fromkeys(desk.owed, "unknown"))
    assert frozen(desk) == ["unknown: nobody can tell what became of payments of hot, from payout 1 on: 3 in a row"]
    assert "3 in a row. It is frozen" in desk.said
    desk.honest_again()
    assert desk.run_pass() == (0, dict.fromkeys(desk.owed, "broadcast"))  # a frozen wallet is followed
    lifted(desk, "ann", "ben")
    desk.ends_well()


@pytest.mark.parametrize(
    "desk", ["[freeze]\nunknown_in_a_row = 4\n", '[freeze]\nunknown_in_a_row = 2\nauto = ["funds"]\n']
)
def test_fewer_do_not_nor_does_an_alarm_that_is_off(attacked: Open, desk: str) -> None:
    opened = three(attacked, desk)
    assert opened.run_pass()[0] == 7
    assert frozen(opened) == []
    opened.ends_well()


def test_one_that_is_known_breaks_the_row(attacked: Open) -> None:
    desk = three(attacked, "[freeze]\nunknown_in_a_row = 2\n")
    known = desk.txid("w-2")

    desk.proxy.lies[TX] = lambda params, honest: honest() if params[0] == known else None
    code, states = desk.run_pass()
    assert (code, states) == (7, {"w-1": "unknown", "w-2": "broadcast", "w-3": "unknown"})
    assert frozen(desk) == []
    desk.ends_well()
