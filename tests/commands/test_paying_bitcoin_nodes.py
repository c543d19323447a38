"""Paying on Bitcoin with several nodes of our own: none of them decides alone what another one knows better."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cryptosupport.outside.nodes import Bitcoind, start_bitcoind
from tests.commands.bitcoindesk import Bitcoindesk, open_bitcoindesk, sealed
from tests.commands.bitcoinproxy import BitcoinProxy

__all__ = ["open_bitcoindesk", "sealed"]  # fixtures

TEST, GIVEN = "testmempoolaccept", "sendrawtransaction"


@dataclass
class Fleet:
    """A desk that asks two nodes of its own through proxies; the second one has what it was brought."""

    desk: Bitcoindesk
    second: Bitcoind
    proxies: list[BitcoinProxy]

    def bring(self) -> None:
        """The second node has all blocks of the first one."""
        first = self.desk.node
        for height in range(self.second.rpc("getblockcount") + 1, first.rpc("getblockcount") + 1):
            block = first.rpc("getblock", first.rpc("getblockhash", height), 0)
            assert self.second.rpc("submitblock", block) is None

    def asked(self, place: int, method: str) -> int:
        """How often a node was asked something."""
        return self.proxies[place].methods().count(method)


@pytest.fixture
def fleet(open_bitcoindesk: Callable[..., Bitcoindesk]) -> Iterator[Fleet]:
    with ExitStack() as stack:
        desk = open_bitcoindesk(coins=("1", "1"))
        second = stack.enter_context(start_bitcoind())
        proxies = [stack.enter_context(BitcoinProxy(each)) for each in (desk.node, second)]
        write_endpoints(desk.folder / "configs", *(each.url for each in proxies))
        found = Fleet(desk, second, proxies)
        found.bring()
        assert desk.run("wallet", "import", "hot").exit_code == 0
        yield found


def write_endpoints(folder: Path, *urls: str) -> None:
    """chains/bitcoin.toml of these nodes, all our own."""
    path = folder / "chains" / "bitcoin.toml"
    nodes = ", ".join(f'{{ url = {json.dumps(url)}, own = true, timeout = "10s" }}' for url in urls)
    lines = path.read_text(encoding="utf-8").splitlines()
    told = [f"endpoints = [{nodes}]" if each.startswith("endpoints") else each for each in lines]
    path.write_text("\n".join(told) + "\n", encoding="utf-8")


def final(fleet: Fleet, *names: str) -> None:
    """Honest nodes and blocks: all is paid, once."""
    for proxy in fleet.proxies:
        proxy.lies.clear()
    fleet.desk.pay()
    fleet.desk.node.mine(3)
    fleet.bring()
    fleet.desk.pay()
    assert [fleet.desk.show(name)["state"] for name in names] == ["final"] * len(names)
    assert fleet.desk.run("reconcile").exit_code == 0
    assert fleet.desk.run("audit", "verify").exit_code == 0


def test_both_are_given_a_payment_that_both_have_tested(fleet: Fleet) -> None:
    fleet.desk.submit(a="0.1")
    assert fleet.desk.pay() == {"a": "broadcast"}
    txid = fleet.desk.show("a")["txid"]
    assert [each.rpc("getrawmempool") for each in (fleet.desk.node, fleet.second)] == [[txid], [txid]]
    for proxy in fleet.proxies:
        methods = proxy.methods()
        assert methods.index(TEST) < methods.index(GIVEN)
    final(fleet, "a")


def dearer(params: list[Any], honest: Callable[[], Any]) -> Any:
    """A test that finds it a satoshi dearer than it is."""
    told = honest()
    return [{**each, "fees": {**each["fees"], "base": each["fees"]["base"] + 1e-8}} for each in told]


@pytest.mark.parametrize("liar", [0, 1])
def test_a_node_that_tells_another_fee_keeps_it_from_being_sent(fleet: Fleet, liar: int) -> None:
    fleet.desk.resend_at_once()
    fleet.proxies[liar].lies[TEST] = dearer
    fleet.desk.submit(a="0.1")
    done = fleet.desk.run("withdraw", "run")
    assert "It is given to no node: find out which is wrong" in done.stderr
    assert fleet.desk.show("a")["state"] == "signed"
    assert [fleet.asked(place, GIVEN) for place in (0, 1)] == [0, 0]
    final(fleet, "a")


def test_what_our_nodes_refuse_is_sent_nowhere_and_is_sent_when_they_take_it(fleet: Fleet) -> None:
    def refuses(params: list[Any], honest: Callable[[], Any]) -> Any:
        return [{**honest()[0], "allowed": False, "reject-reason": "mempool min fee not met"}]

    for proxy in fleet.proxies:
        proxy.lies[TEST] = refuses
    fleet.desk.submit(a="0.1")
    done = fleet.desk.run("withdraw", "run")
    assert "refuses it: mempool min fee not met" in done.stderr
    assert fleet.desk.show("a")["state"] == "signed"
    assert [fleet.asked(place, GIVEN) for place in (0, 1)] == [0, 0]
    fleet.desk.resend_at_once()
    final(fleet, "a")


def test_a_node_that_is_behind_chooses_no_coins(fleet: Fleet) -> None:
    """It would spend what is spent: the first one of the settings stopped some blocks ago."""
    write_endpoints(fleet.desk.folder / "configs", *(each.url for each in reversed(fleet.proxies)))
    fleet.desk.submit(a="0.1")
    fleet.desk.pay()
    fleet.desk.node.mine(3)  # and the second node hears of none of them
    fleet.desk.pay()
    assert fleet.desk.show("a")["state"] == "final"
    chosen = fleet.asked(1, "walletcreatefundedpsbt")
    fleet.desk.submit(b="0.5")
    assert fleet.desk.pay() == {"b": "broadcast"}
    assert fleet.asked(1, "walletcreatefundedpsbt") == chosen
    spent = fleet.desk.node.rpc("getrawtransaction", fleet.desk.show("b")["txid"], True)["vin"]
    paid = fleet.desk.node.rpc("getrawtransaction", fleet.desk.show("a")["txid"], True)["vin"]
    assert not {(each["txid"], each["vout"]) for each in spent} & {(each["txid"], each["vout"]) for each in paid}
    final(fleet, "a", "b")


@pytest.mark.parametrize("blind", [0, 1])
def test_a_theft_that_one_of_two_hides_is_found(fleet: Fleet, blind: int) -> None:
    """S36: what any of our nodes saw spent was spent."""
    fleet.desk.submit(a="0.1")
    fleet.desk.pay()
    fleet.desk.node.mine(3)
    fleet.bring()
    fleet.desk.pay()
    fleet.desk.steal()
    fleet.desk.node.mine(3)
    fleet.bring()

    def hides(params: list[Any], honest: Callable[[], Any]) -> Any:
        told = honest()
        known = {fleet.desk.show("a")["txid"]}
        return {**told, "transactions": [each for each in told["transactions"] if each["txid"] in known]}

    fleet.proxies[blind].lies["listsinceblock"] = hides
    fleet.desk.submit(b="0.1")
    assert fleet.desk.pay(3) == {}
    assert "wallet=hot" in fleet.desk.run("freeze", "list").stdout
    assert fleet.desk.show("b")["state"] == "approved"


def test_a_coin_that_another_node_holds_for_spent_is_not_paid_from(fleet: Fleet) -> None:
    fleet.desk.submit(a="0.1")
    fleet.proxies[1].lies["gettxout"] = lambda params, honest: None
    done = fleet.desk.run("withdraw", "run")
    assert done.exit_code == 6
    assert "is spent, and 127.0.0.1" in done.stderr
    assert "nothing is paid from it until they agree" in done.stderr
    assert fleet.desk.show("a")["state"] == "approved"
    assert fleet.desk.node.rpc("getrawmempool") == []
    final(fleet, "a")
    assert fleet.desk.node.rpc("listlockunspent", wallet="hot") == []


def test_a_node_that_is_down_keeps_nothing_from_being_paid(fleet: Fleet) -> None:
    fleet.second.kill()
    fleet.desk.submit(a="0.1")
    assert fleet.desk.pay() == {"a": "broadcast"}
    fleet.desk.node.mine(3)
    assert fleet.desk.pay() == {"a": "final"}
