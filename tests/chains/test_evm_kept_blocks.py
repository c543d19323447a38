"""Which blocks of a node need not be asked for again."""

from __future__ import annotations

from typing import Any

from cryptosupport.chains.evm.asking import BlockAt, Blocks
from cryptosupport.domain.transactions import Detail
from tests.chains.evmkit import FINALIZED, HASH, HEAD, TXID, chain_over, in_turn, node_of, receipt, transaction
from tests.hostile import HostileNode


def blocks(*heights: int) -> list[BlockAt]:
    return [BlockAt(height, HASH, 0, None) for height in heights]


def test_a_final_block_is_kept_and_another_only_while_the_head_stands_still() -> None:
    kept = Blocks()
    kept.keep(blocks(5, 9), head=10, final_height=5)
    assert set(kept.known([4, 5, 9], head=10)) == {5, 9}
    assert set(kept.known([4, 5, 9], head=11)) == {5}


def test_the_least_recently_used_block_goes_first() -> None:
    kept = Blocks(most=2)
    kept.keep(blocks(1, 2), head=9, final_height=9)
    kept.known([1], head=9)
    kept.keep(blocks(3), head=9, final_height=9)
    assert set(kept.known([1, 2, 3], head=9)) == {1, 3}


def test_a_forgotten_block_is_asked_for() -> None:
    kept = Blocks()
    kept.keep(blocks(1), head=9, final_height=9)
    kept.forget(1)
    assert kept.known([1], head=9) == {}


def asked_heights(node: HostileNode) -> list[int]:
    tags = [params[0] for method, params in node.calls if method == "eth_getBlockByNumber"]
    return [int(tag, 16) for tag in tags if tag.startswith("0x")]


def test_each_block_is_asked_for_once_however_many_transactions_it_holds() -> None:
    txids = ["0x" + f"{n:064x}" for n in range(30)]

    def height(txid: str) -> int:
        return FINALIZED - int(txid, 16) % 3

    def sent(txid: str) -> dict[str, Any]:
        return transaction(txid, blockHash=HASH, blockNumber=hex(height(txid)))

    answers = {
        "eth_getTransactionByHash": sent,
        "eth_getTransactionReceipt": lambda txid: receipt(txid, height(txid)),
    }
    with HostileNode(node_of(answers)) as node:
        chain = chain_over(node.url, finality="finalized")
        for start in (0, 10, 20):
            reports = chain.look_up(txids[start : start + 10], Detail.FULL, {})
            assert {report.state for report in reports} == {"confirmed"}
        assert sorted(asked_heights(node)) == [FINALIZED - 2, FINALIZED - 1, FINALIZED]


def test_a_young_block_is_asked_for_again_when_the_head_has_moved() -> None:
    young = {"blockHash": HASH, "blockNumber": hex(HEAD - 1)}
    answers = {
        "eth_blockNumber": in_turn(hex(HEAD), hex(HEAD), hex(HEAD + 1)),
        "eth_getTransactionByHash": transaction(**young),
        "eth_getTransactionReceipt": receipt(height=HEAD - 1),
    }
    with HostileNode(node_of(answers)) as node:
        chain = chain_over(node.url, finality="finalized")
        for _ in range(3):
            assert chain.look_up([TXID], Detail.FULL, {})[0].state == "confirming"
        assert asked_heights(node) == [HEAD - 1] * 2


def test_brief_asks_once_for_each_block_that_is_not_final() -> None:
    txids = ["0x" + f"{n:064x}" for n in range(30)]
    answers = {"eth_getTransactionReceipt": lambda txid: receipt(txid, HEAD - int(txid, 16) % 3)}
    with HostileNode(node_of(answers)) as node:
        chain = chain_over(node.url, finality="finalized")
        for _ in range(2):
            assert {report.state for report in chain.look_up(txids, Detail.BRIEF, {})} == {"confirming"}
        assert sorted(asked_heights(node)) == [HEAD - 2, HEAD - 1, HEAD]


def test_brief_asks_for_no_blocks_that_are_final() -> None:
    answers = {"eth_getTransactionReceipt": receipt()}
    with HostileNode(node_of(answers)) as node:
        chain = chain_over(node.url, finality="finalized")
        assert chain.look_up([TXID], Detail.BRIEF, {})[0].state == "confirmed"
        assert asked_heights(node) == []
        assert "eth_getTransactionByHash" not in [method for method, _ in node.calls]
