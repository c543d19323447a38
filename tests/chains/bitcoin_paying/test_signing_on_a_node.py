"""Plans that a real node makes, signed here: it takes them, and what is read is what was asked for."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from cryptosupport.chains.bitcoin.plans import Planned
from cryptosupport.chains.bitcoin.transactions import decode
from cryptosupport.domain.paying import Paid
from cryptosupport.outside.nodes import Bitcoind
from tests.chains.bitcoin_paying.kit import OTHER_WORDS, PURPOSES, WORDS, account, master, tools, watched
from tests.chains.bitcoinkit import satoshis

TYPES = {"wpkh": "bech32", "tr": "bech32m"}


def hot_wallet(node: Bitcoind, kind: str, coins: int = 3) -> None:
    """A wallet of the node that only watches, with ``coins`` of 0.1 BTC."""
    node.rpc("createwallet", kind, True, True)
    imports = [
        {"desc": each, "active": True, "internal": bool(branch), "range": [0, 99], "timestamp": "now"}
        for branch, each in enumerate(watched(kind).singles)
    ]
    assert all(each["success"] for each in node.rpc("importdescriptors", imports, wallet=kind))
    addresses = [node.rpc("getnewaddress", "", TYPES[kind], wallet=kind) for _ in range(coins)]
    assert addresses == [watched(kind).address(False, index) for index in range(coins)]
    node.rpc("sendmany", "", dict.fromkeys(addresses, "0.1"), wallet="miner")
    node.mine(1)


def planned_by(node: Bitcoind, kind: str, pays: list[tuple[str, int]], **options: Any) -> tuple[Planned, int]:
    """A plan that the node funds, with its fee."""
    outputs = [{address: f"{Decimal(value) / 10**8:.8f}"} for address, value in pays]
    terms = {"fee_rate": 5, "change_type": TYPES[kind], "changePosition": len(pays), "replaceable": True, **options}
    made = node.rpc("walletcreatefundedpsbt", [], outputs, 0, terms, True, wallet=kind)
    vout = made["changepos"]
    if vout < 0:
        return Planned(made["psbt"]), satoshis(made["fee"])
    script = node.rpc("decodepsbt", made["psbt"])["tx"]["vout"][vout]["scriptPubKey"]["hex"]
    index = next(index for index in range(100) if watched(kind).script(True, index).hex() == script)
    return Planned(made["psbt"], (vout, index)), satoshis(made["fee"])


def five_kinds(node: Bitcoind) -> list[tuple[str, int]]:
    """An address of each type, with what it is to get."""
    kinds = ["legacy", "p2sh-segwit", "bech32", "bech32m"]
    addresses = [node.rpc("getnewaddress", "", kind, wallet="miner") for kind in kinds]
    keys = [node.rpc("getaddressinfo", addresses[2], wallet="miner")["pubkey"]] * 2
    addresses.append(node.rpc("createmultisig", 1, keys[:1], "bech32")["address"])
    assert len(decode_kinds(node, addresses)) == 5
    return [(address, 1_000_000 + number) for number, address in enumerate(addresses)]


def decode_kinds(node: Bitcoind, addresses: list[str]) -> set[tuple[str, int]]:
    scripts = [node.rpc("validateaddress", each)["scriptPubKey"] for each in addresses]
    return {(script[:4], len(script)) for script in scripts}


@pytest.mark.parametrize("kind", PURPOSES)
def test_a_node_takes_what_is_signed_and_it_does_what_was_asked(bitcoind: Bitcoind, kind: str) -> None:
    hot_wallet(bitcoind, kind)
    pays = five_kinds(bitcoind)
    for wanted in (pays, [(pays[2][0], 25_000_000)]):  # of one coin, and of three
        planned, fee = planned_by(bitcoind, kind, wanted)
        assert planned.change is not None
        raw = tools(kind).sign(planned.text, WORDS)
        allowed = bitcoind.rpc("testmempoolaccept", [raw.hex()])[0]
        assert allowed["allowed"], allowed
        told, read = bitcoind.rpc("decoderawtransaction", raw.hex()), tools(kind).read(raw, planned.text)
        tx = decode(raw)
        assert read.txid == tx.txid == allowed["txid"] == told["txid"]
        assert (tx.wtxid, tx.vsize, tx.weight) == (allowed["wtxid"], allowed["vsize"], told["weight"])
        assert read.max_fee == fee == satoshis(allowed["fees"]["base"])
        assert (read.network, read.source) == ("regtest", watched(kind).source)
        assert read.claims == tuple(f"{each['txid']}:{each['vout']}" for each in told["vin"])
        back = satoshis(told["vout"][len(wanted)]["value"])
        assert read.pays == (
            *(Paid(address, None, value) for address, value in wanted),
            Paid(watched(kind).source, None, back),
        )
        assert len(read.claims) * 10_000_000 == sum(each.base_units for each in read.pays) + fee
        unsigned = tools(kind).read(bytes.fromhex(unsigned_of(bitcoind, planned)), planned.text)
        assert (unsigned.source, unsigned.pays) == ("", read.pays)
    assert bitcoind.rpc("sendrawtransaction", raw.hex()) == read.txid
    bitcoind.mine(1)
    assert bitcoind.rpc("gettransaction", read.txid, wallet=kind)["confirmations"] == 1


def unsigned_of(node: Bitcoind, planned: Planned) -> str:
    """The transaction of a plan as the node writes it without signatures."""
    told = node.rpc("decodepsbt", planned.psbt)["tx"]
    inputs = [{"txid": each["txid"], "vout": each["vout"], "sequence": each["sequence"]} for each in told["vin"]]
    outputs = [{each["scriptPubKey"]["address"]: f"{each['value']:.8f}"} for each in told["vout"]]
    raw: str = node.rpc("createrawtransaction", inputs, outputs, told["locktime"])
    return raw


@pytest.mark.parametrize("kind", PURPOSES)
def test_every_form_of_the_key_makes_the_same_bytes_and_no_other_key_does(bitcoind: Bitcoind, kind: str) -> None:
    hot_wallet(bitcoind, kind, coins=1)
    planned, _ = planned_by(bitcoind, kind, [(watched(kind, OTHER_WORDS).address(False, 0), 50_000)])
    made = {tools(kind).sign(planned.text, secret) for secret in (WORDS, master(), account(kind))}
    assert len(made) == 1
    assert bitcoind.rpc("testmempoolaccept", [made.pop().hex()])[0]["allowed"]
    everything, _ = planned_by(
        bitcoind, kind, [(watched(kind, OTHER_WORDS).address(False, 0), 10_000_000)], subtractFeeFromOutputs=[0]
    )
    assert everything.change is None
    raw = tools(kind).sign(everything.text, WORDS)
    assert bitcoind.rpc("testmempoolaccept", [raw.hex()])[0]["allowed"]
    assert [each.destination for each in tools(kind).read(raw, everything.text).pays] == [
        watched(kind, OTHER_WORDS).address(False, 0)
    ]
