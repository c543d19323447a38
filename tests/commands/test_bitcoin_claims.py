"""Coins of a payment that somebody else has made impossible: they pay again, and what they were to pay is paid once."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from cryptosupport.commands import run
from cryptosupport.signers.store import Store
from tests.commands.bitcoindesk import Bitcoindesk, open_bitcoindesk, sealed
from tests.commands.payingdesk import with_people
from tests.commands.peopledesk import refused
from tests.commands.submitting import Points, in_a_child
from tests.crashing import EVERYWHERE

__all__ = ["open_bitcoindesk", "sealed"]  # fixtures

Open = Callable[..., Bitcoindesk]
WHOLE = 10**8


@dataclass
class Lost:
    """w-1 has lost ``taken``, one of its two coins, to the transaction ``thief``; ``left`` is the other one, ``raw``
    the transaction that was to pay it, and ``to`` whom.
    """

    desk: Bitcoindesk
    to: str
    raw: str
    thief: str
    taken: str
    left: str

    def explained(self) -> None:
        """Two people have found out what it was, and the wallet goes on."""
        say = ("wallet", "adopt", "hot", "--reason", "a lost laptop", "--operator")
        assert [self.desk.run(*say, who).exit_code for who in ("alice", "carol")] == [9, 0]
        lift = ("freeze", "lift", "wallet=hot", "--operator")
        assert [self.desk.run(*lift, who).exit_code for who in ("bob", "carol")] == [9, 0]

    def released(self) -> None:
        """Compliance lets w-1 go."""
        done = self.desk.run("withdraw", "release", "w-1", "--reason", "not by us", "--operator", "carol")
        assert done.exit_code == 0, done.stderr

    def retired(self, coin: str = "", *by: str) -> None:
        """The signer has seen on the chain that nothing of it can count any more."""
        coin = coin or self.taken
        done = self.desk.run("signer", "retire", "hot", coin, "--json")
        assert done.exit_code == 0, done.stderr
        told = done.json
        assert (told["nonce"], told["coin"], told["request_ids"]) == (None, coin, ["w-1"])
        assert told["taken_by"] in (self.thief, *by)

    def claims(self, name: str = "w-1") -> list[str]:
        """The coins of its last payment."""
        found: list[str] = self.desk.show(name)["payouts"][-1]["claims"]
        return found


def ask(desk: Bitcoindesk, name: str, amount: str) -> str:
    """A request that alice brings; whom it pays."""
    to: str = desk.node.rpc("getnewaddress", "", "bech32", wallet="miner")
    facts = {"request-id": name, "customer": f"c-{name}", "asset": "BTC", "chain": "bitcoin", "amount": amount}
    options = [part for key, text in {**facts, "destination": to}.items() for part in (f"--{key}", text)]
    done = desk.run("withdraw", "submit", *options, "--operator", "alice")
    assert done.exit_code == 0, done.stderr
    return to


def fund(desk: Bitcoindesk, amount: str) -> None:
    """One more coin, deep enough to be spent, of a node that no longer sends by itself."""
    to = desk.node.rpc("getnewaddress", "", "bech32", wallet="hot")
    options = {"add_to_wallet": False, "fee_rate": 5}
    made = desk.node.rpc("send", [{to: amount}], None, "unset", None, options, wallet="miner")
    desk.node.rpc("sendrawtransaction", made["hex"])
    desk.node.mine(3)


@pytest.fixture
def lost(open_bitcoindesk: Open) -> Lost:
    """A desk with people, whose w-1 has just lost one of its two coins, and has not noticed yet."""
    desk = open_bitcoindesk(coins=("0.6", "0.6"))
    with_people(desk)
    to = ask(desk, "w-1", "1")
    assert desk.pay() == {"w-1": "broadcast"}
    txid = desk.show("w-1")["txid"]
    raw = desk.node.rpc("getrawtransaction", txid)
    desk.forget(txid)
    thief = desk.steal()
    spent = {f"{each['txid']}:{each['vout']}" for each in desk.node.rpc("getrawtransaction", thief, True)["vin"]}
    claims = set(desk.show("w-1")["payouts"][0]["claims"])
    (taken,), (left,) = claims & spent, claims - spent
    return Lost(desk, to, raw, thief, taken, left)


def test_the_other_coins_of_a_dead_payment_are_used_again(lost: Lost) -> None:
    desk = lost.desk
    desk.node.mine(1)
    refused(desk.run("signer", "retire", "hot", lost.taken), 7, "not certain yet")
    desk.node.mine(2)
    assert desk.pay(3) == {"w-1": "held"}
    lost.explained()
    lost.released()
    assert desk.pay(3) == {"w-1": "held"}  # the signer has not asked the chain yet
    assert desk.got(lost.to) == 0
    lost.retired()
    lost.retired()  # no harm is in asking again
    lost.released()
    fund(desk, "0.5")
    assert desk.pay() == {"w-1": "broadcast"}
    assert lost.left in lost.claims()
    assert lost.taken not in lost.claims()
    desk.node.mine(3)
    assert desk.pay() == {"w-1": "final"}
    assert desk.got(lost.to) == WHOLE
    assert desk.pay() == {}
    assert desk.run("withdraw", "receipt", "w-1").exit_code == 0
    done = desk.run("reconcile")
    assert done.exit_code == 0, done.stdout + done.stderr
    assert desk.run("audit", "verify").exit_code == 0


def test_what_is_paid_again_spends_a_coin_of_the_dead_payment(lost: Lost) -> None:
    """Also where other coins would do: should the chain ever take the thief's back, only one of both can count."""
    desk = lost.desk
    fund(desk, "3")
    desk.node.mine(3)
    assert desk.pay(3) == {"w-1": "held"}
    lost.explained()
    lost.retired()
    lost.released()
    assert desk.pay() == {"w-1": "broadcast"}
    assert lost.left in lost.claims()


def test_a_coin_of_a_dead_payment_pays_something_else(lost: Lost) -> None:
    """The signer signs with it for another withdrawal: that excludes the dead payment once more."""
    desk = lost.desk
    desk.node.mine(3)
    assert desk.pay(3) == {"w-1": "held"}
    lost.explained()
    to = ask(desk, "w-2", "0.5")
    assert desk.pay() == {"w-2": "broadcast"}
    assert lost.left in lost.claims("w-2")
    desk.node.mine(3)
    assert desk.pay() == {"w-2": "final"}
    assert desk.got(to) == WHOLE // 2
    refused(desk.run("signer", "retire", "hot", "ab" * 32 + ":0"), 4, "nothing was signed with coin ab")
    lost.retired(lost.left, desk.show("w-2")["txid"])  # that one has its other coin, and pays w-2 alone
    lost.released()
    fund(desk, "1.5")
    assert desk.pay() == {"w-1": "broadcast"}
    desk.node.mine(3)
    assert desk.pay() == {"w-1": "final"}
    assert desk.got(lost.to) == WHOLE
    assert desk.run("reconcile").exit_code == 0


def test_a_payment_that_lives_keeps_its_coins(open_bitcoindesk: Open) -> None:
    """Nothing is let go on a word: the signer asks the chain."""
    desk = open_bitcoindesk(coins=("1",))
    desk.submit(a="0.5")
    desk.pay()
    (coin,) = desk.show("a")["payouts"][0]["claims"]
    refused(desk.run("signer", "retire", "hot", coin), 3, f"coin {coin} of hot is not lost")
    desk.forget(desk.show("a")["txid"])
    refused(desk.run("signer", "retire", "hot", coin), 3, f"coin {coin} of hot is not lost")
    desk.resend_at_once()
    desk.pay()
    desk.node.mine(3)
    assert desk.pay() == {"a": "final"}
    refused(desk.run("signer", "retire", "hot", coin), 3, "a transaction that was signed here has it")
    refused(desk.run("signer", "retire", "hot", "ab:0"), 2, "write TXID:VOUT")


def test_what_a_reorganisation_brings_back_is_not_paid_twice(lost: Lost) -> None:
    """Deeper than what is final: the first payment comes back, and only one of both can count."""
    desk = lost.desk
    (first, *_) = desk.node.mine(3)
    assert desk.pay(3) == {"w-1": "held"}
    lost.explained()
    lost.retired()
    lost.released()
    fund(desk, "0.5")
    assert desk.pay() == {"w-1": "broadcast"}
    second = desk.show("w-1")["txid"]
    desk.node.mine(1)
    assert desk.pay() == {"w-1": "confirming"}
    desk.node.rpc("invalidateblock", first)
    desk.node.rpc("generateblock", desk.node.rpc("getnewaddress", wallet="miner"), [lost.raw])
    desk.node.mine(5, desk.node.rpc("getnewaddress", wallet="miner"))
    assert desk.got(lost.to) == WHOLE
    assert second not in desk.node.rpc("getrawmempool")
    assert desk.pay(7) == {"w-1": "unknown"}  # and not dead: what has its coin was signed for w-1 as well
    assert "does not know" in desk.run("freeze", "list").stdout
    desk.node.mine(3)
    desk.pay(7)
    assert desk.got(lost.to) == WHOLE
    for coin in (lost.taken, lost.left):
        refused(desk.run("signer", "retire", "hot", coin), 3, "what it paid is paid")
    refused(desk.run("signer", "retire", "hot", (set(lost.claims()) - {lost.left}).pop()), 3, "what it paid is paid")
    assert desk.run("reconcile").exit_code == 3


def test_killed_at_any_commit_it_is_paid_once_all_the_same(lost: Lost) -> None:
    desk = lost.desk
    desk.node.mine(3)
    killed_everywhere(desk, "withdraw", "run")
    assert desk.show("w-1")["state"] == "held"
    lost.explained()
    killed_everywhere(desk, "signer", "retire", "hot", lost.taken)
    lost.released()
    fund(desk, "0.5")
    desk.resend_at_once()
    killed_everywhere(desk, "withdraw", "run")
    assert desk.show("w-1")["state"] == "broadcast"
    assert len(desk.show("w-1")["payouts"]) == 2
    assert lost.left in lost.claims()
    desk.node.mine(3)
    killed_everywhere(desk, "withdraw", "run")
    assert desk.show("w-1")["state"] == "final"
    assert desk.got(lost.to) == WHOLE
    assert desk.run("reconcile").exit_code == 0


def killed_everywhere(desk: Bitcoindesk, *arguments: str) -> None:
    """Run the program again and again, each time killed at a later point, until it is not killed any more."""
    folders = ("--configs", str(desk.folder / "configs"), "--data", str(desk.folder / "data"))

    def one(fatal: int) -> Callable[[], Any]:
        def work() -> int:
            points = Points(fatal)
            points.watch(statements=False)
            for name in ("keep", "retire"):
                points.around(Store, name, "memory of the signer")
            return run([*folders, *arguments])

        return work

    step, killed = 1 if EVERYWHERE else 3, 0
    while in_a_child(one(killed * step + 1))[0] == -signal.SIGKILL:
        killed += 1
    assert killed > 0
