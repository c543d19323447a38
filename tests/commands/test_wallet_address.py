"""`wallet address`, and what belongs to a wallet of many addresses: nobody's withdrawal goes there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cryptosupport.chains.bitcoin.descriptors import Watched
from tests.chains.bitcoin_paying.test_receiving import cold, cold_address
from tests.commands.bitcoindesk import KINDS, Bitcoindesk, descriptor, open_bitcoindesk, sealed, write_chain
from tests.commands.bitcoinproxy import BitcoinProxy
from tests.commands.withdrawkit import jsonl

__all__ = ["open_bitcoindesk", "sealed"]  # fixtures

Open = Callable[..., Bitcoindesk]


def add_cold(desk: Bitcoindesk) -> None:
    """A cold wallet of several keys comes to the settings."""
    with (desk.folder / "configs" / "wallets.toml").open("a", encoding="utf-8") as file:
        file.write(f'[vault]\nchain = "bitcoin"\nrole = "cold"\ndescriptor = "{cold("0")}"\n')


def submitted(desk: Bitcoindesk, name: str, to: str) -> tuple[int, dict[str, Any]]:
    """A request, and what was decided."""
    facts = {"request_id": name, "customer": "c", "asset": "BTC", "chain": "bitcoin", "amount": "0.1"}
    done = desk.run("withdraw", "submit", "--input", "-", stdin=jsonl({**facts, "destination": to}))
    return done.exit_code, desk.show(name)


@pytest.mark.parametrize("kind", KINDS)
def test_each_address_is_a_fresh_one_of_the_descriptor(open_bitcoindesk: Open, kind: str) -> None:
    desk = open_bitcoindesk(kind, coins=())
    told = [desk.run("wallet", "address", "hot", "--json").json for _ in range(3)]
    ours = Watched.of(descriptor(kind), "regtest")
    assert [each["address"] for each in told] == [ours.address(False, each["index"]) for each in told]
    assert [each["index"] for each in told] == [0, 1, 2]
    assert desk.run("wallet", "address", "hot").stdout == f"{ours.address(False, 3)}\n"
    acts = [each for each in desk.run("audit", "log", "-o", "jsonl").jsonl if each["kind"] == "wallet.address"]
    assert [each["facts"]["index"] for each in acts] == ["0", "1", "2", "3"]
    desk.node.rpc("sendtoaddress", told[2]["address"], "1", wallet="miner")
    desk.node.mine(1)
    assert desk.run("wallet", "balance", "hot", "--json").json["balances"][0]["on_chain"]["amount"] == "1"


def test_a_node_that_forgot_gives_no_address_twice(open_bitcoindesk: Open) -> None:
    """Its wallet was made anew: it begins with the first address again."""
    desk = open_bitcoindesk(coins=())
    for _ in range(3):
        desk.run("wallet", "address", "hot")
    desk.node.rpc("unloadwallet", "hot")
    (desk.node.folder / "regtest" / "wallets" / "hot").rename(desk.folder / "forgotten")
    assert desk.run("wallet", "import", "hot").exit_code == 0
    assert desk.run("wallet", "address", "hot", "--json").json["index"] == 3


def test_an_address_that_the_descriptor_does_not_make_is_not_given_out(open_bitcoindesk: Open) -> None:
    """A node that was broken into would have our money sent elsewhere."""
    desk = open_bitcoindesk(coins=())
    foreign = desk.node.rpc("getnewaddress", "", "bech32", wallet="miner")
    with BitcoinProxy(desk.node) as proxy:
        path = desk.folder / "configs" / "chains" / "bitcoin.toml"
        path.write_text(path.read_text(encoding="utf-8").replace(desk.node.url, proxy.url), encoding="utf-8")
        proxy.lies["getnewaddress"] = lambda params, honest: foreign
        proxy.lies["getaddressinfo"] = lambda params, honest: {"ismine": True, "hdkeypath": "m/84h/1h/0h/0/7"}
        done = desk.run("wallet", "address", "hot")
        assert (done.exit_code, done.stdout) == (6, "")
        assert "its descriptor makes another: it is not used" in done.stderr
    write_chain(desk.folder / "configs", desk.node)
    assert desk.run("wallet", "address", "nothing").exit_code == 4
    add_cold(desk)
    done = desk.run("wallet", "address", "vault")
    assert (done.exit_code, "only a hot wallet with a descriptor does" in done.stderr) == (2, True)


@pytest.mark.parametrize("kind", KINDS)
def test_no_withdrawal_goes_to_an_address_of_ours(open_bitcoindesk: Open, kind: str) -> None:
    """M41: whatever branch it is of, and whether a node has ever heard of it."""
    desk = open_bitcoindesk(kind)
    add_cold(desk)
    ours = Watched.of(descriptor(kind), "regtest")
    own = {"external": ours.address(False, 0), "change": ours.address(True, 999), "vault": cold_address("0", 500)}
    for name, to in own.items():
        code, shown = submitted(desk, name, to)
        assert (code, shown["state"]) == (3, "rejected")
        whose = "the cold wallet vault" if name == "vault" else "the hot wallet hot"
        assert f"is an address of {whose} of the desk itself" in str(shown["decision"])
        checked = desk.run("address", "check", to, "--json").json
        assert checked["own"] == {"wallet": "vault" if name == "vault" else "hot", "role": whose.split()[1]}
    foreign = desk.node.rpc("getnewaddress", "", "bech32", wallet="miner")
    assert submitted(desk, "foreign", foreign) == (0, desk.show("foreign"))
    assert desk.run("address", "check", foreign, "--json").json["own"] is None


def test_addresses_far_beyond_the_first_ones_are_ours_once_they_are_given_out(open_bitcoindesk: Open) -> None:
    desk = open_bitcoindesk()
    ours = Watched.of(descriptor("wpkh"), "regtest")
    assert submitted(desk, "far", ours.address(False, 1001))[0] == 0
    for _ in range(2):
        desk.run("wallet", "address", "hot")
    assert submitted(desk, "again", ours.address(False, 1001))[0] == 3


def test_what_was_let_through_before_the_wallet_was_ours_is_not_paid(open_bitcoindesk: Open) -> None:
    desk = open_bitcoindesk()
    assert submitted(desk, "a", cold_address("0", 4))[0] == 0
    add_cold(desk)
    desk.run("withdraw", "run")
    assert desk.show("a")["state"] in ("rejected", "held")
    assert desk.node.rpc("getrawmempool") == []
