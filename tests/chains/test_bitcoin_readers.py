"""The readers of amounts, blocks and raw transactions by themselves, and what is kept of blocks."""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.chains.bitcoin import rawblocks, wire
from cryptosupport.chains.bitcoin.heldblocks import HeldBlocks
from cryptosupport.chains.bitcoin.networks import NETWORKS
from cryptosupport.chains.bitcoin.winners import find_winners, txid_of_wtxid
from cryptosupport.outside.nodes import Bitcoind
from cryptosupport.transport import JsonRpcNode
from tests.chains.bitcoinkit import ELSEWHERE, Clock, Purse, endpoint, invalidate_tip


@given(st.integers(-wire.MAX_SATOSHIS, wire.MAX_SATOSHIS))
def test_every_amount_that_can_be_is_read_in_every_notation(satoshis: int) -> None:
    exact = Decimal(satoshis) / 10**8
    for text in (f"{exact:.8f}", f"{exact:f}", f"{exact:E}", f"{exact:.10f}"):
        assert wire.satoshis(text.encode()) == satoshis


@pytest.mark.parametrize("text", ["0.000000001", "21000000.00000001", "1e9", '"1"', "null", "", "1e999", "0x1", "NaN"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"number|decimals|BTC"):
        wire.satoshis(text.encode())


def test_a_real_block_is_read_as_the_node_reads_it(bitcoind: Bitcoind) -> None:
    purse = Purse(bitcoind, 5)
    first, second = purse.coin(), purse.coin()
    spender = purse.pay(first, second)
    purse.pay(to={bitcoind.rpc("getnewaddress", "", "legacy", wallet="miner"): "0.001", "data": first[0] + "00000000"})
    block = bitcoind.mine(1)[0]
    raw = bytes.fromhex(bitcoind.rpc("getblock", block, 0))
    truth = bitcoind.rpc("getblock", block, 2)["tx"]
    read = list(rawblocks.read_block(raw))
    assert [tx.txid for tx in read] == [tx["txid"] for tx in truth]
    assert [tx.wtxid for tx in read] == [tx["hash"] for tx in truth]
    for tx in truth:
        assert rawblocks.find_wtxid(raw, tx["hash"]) == tx["txid"]
        outputs = rawblocks.outputs_of(bytes.fromhex(tx["hex"]), 10)
        told = [(int(out["value"] * 10**8), bytes.fromhex(out["scriptPubKey"]["hex"])) for out in tx["vout"]]
        assert outputs == told
    outpoint = rawblocks.outpoint_bytes(*second)
    assert rawblocks.find_spenders(raw, [outpoint]) == {outpoint: spender}
    assert rawblocks.find_spenders(raw, {outpoint, *(bytes(35) + bytes([n]) for n in range(99))}) == {outpoint: spender}
    # The bytes of an outpoint in an OP_RETURN do not spend it.
    decoy = bytes.fromhex(first[0]) + b"\0\0\0\0"
    assert decoy in raw
    assert rawblocks.find_spenders(raw, [decoy]) == {}


@given(st.binary(max_size=400))
def test_damaged_blocks_are_refused_not_believed(data: bytes) -> None:
    for read in (lambda: list(rawblocks.read_block(bytes(80) + data)), lambda: rawblocks.outputs_of(data, 5)):
        with suppress(ValueError):
            read()


def test_the_genesis_hashes_are_the_published_ones(bitcoind: Bitcoind) -> None:
    published = json.loads(
        (Path(__file__).parents[1] / "vectors" / "bitcoin_networks.json").read_text(encoding="utf-8")
    )
    assert {name: [each.core, each.genesis] for name, each in NETWORKS.items()} == published["networks"]
    assert bitcoind.rpc("getblockhash", 0) == NETWORKS["regtest"].genesis
    assert bitcoind.rpc("getblockchaininfo")["chain"] == NETWORKS["regtest"].core


# -- blocks ----------------------------------------------------------------------------------------------------------


def test_only_so_many_blocks_are_kept_the_last_ones_read(bitcoind: Bitcoind) -> None:
    node = JsonRpcNode(endpoint(bitcoind), Clock())
    held = HeldBlocks(node, most=4)
    hashes = bitcoind.mine(6)
    held.follow(hashes[-1], 6)
    assert set(held.mined) == {bitcoind.rpc("getblock", each)["tx"][0] for each in hashes[2:]}
    assert len(held) <= 4
    asked = [each for each in hashes if held.get(each) is None]
    held.found_in(asked[:1], 2)
    assert held.get(asked[0]) is None  # one id is no reason to read a block
    held.found_in(asked[:1], 2)
    kept = held.get(asked[0])
    assert kept is not None
    assert len(held) <= 4
    assert held.mined[kept.txids[0]] is kept
    invalidate_tip(bitcoind, 6)
    held.follow(bitcoind.mine(1, ELSEWHERE)[0])
    assert len(held.mined) == len(held) == 0
    held.found_in(["ab" * 32], 1)  # a block that the node does not know
    assert len(held) == 0
    node.close()


def test_the_search_for_a_winner_has_an_end(bitcoind: Bitcoind) -> None:
    clock, node = Clock(), JsonRpcNode(endpoint(bitcoind), Clock())
    purse = Purse(bitcoind, 1)
    coin = purse.coin()
    txid = purse.pay(coin)
    wtxid = bitcoind.rpc("getrawtransaction", txid, 1)["hash"]
    block = bitcoind.mine(1)[0]
    height = bitcoind.rpc("getblockcount")
    tip = (bitcoind.mine(5)[-1], height + 5)

    def search(lowest: int = 0, since: int | None = None, tip: tuple[str, int] = tip) -> str | None:
        winner = find_winners(node, clock, {"ab": [coin]}, tip, lowest, since)[0].get("ab")
        return None if winner is None else f"{winner.txid} {winner.block_hash} {winner.height}"

    found = f"{txid} {block} {height}"
    assert search() == search(lowest=height) == search(since=clock.now()) == found
    assert search(lowest=height + 1) is None
    one, none = ("ab", [coin, ("ab" * 32, 0)]), ("cd", [("cd" * 32, 0)])
    winners, searched = find_winners(node, clock, dict([one, none]), tip, height - 2, None)
    assert (winners["ab"].txid, list(winners), searched) == (txid, ["ab"], 8)
    assert find_winners(node, clock, dict([one]), tip, height - 2, None)[1] == 6
    assert search(since=clock.now() + 86_400) is None
    assert txid_of_wtxid(node, wtxid, tip[0], 6) == txid
    assert txid_of_wtxid(node, wtxid, tip[0], 5) is None
    assert txid_of_wtxid(node, "ab" * 32, NETWORKS["regtest"].genesis, 5) is None
    assert txid_of_wtxid(node, wtxid, "ab" * 32, 5) is None
    node.close()
