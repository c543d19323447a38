"""`withdraw run` with two nodes of which one lies, and on chains that change their mind: each withdrawal once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cryptosupport.outside.nodes import Anvil
from tests.commands.hostilenode import (
    BY_NONCE,
    COUNT,
    GARBLED,
    GWEI,
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
    lagging,
    lost_its_place_for_good,
    pooled,
    says,
    wipe,
)
from tests.commands.payingdesk import ANN, BEN, HOT, sealed
from tests.hostile import Exchange, Reply

__all__ = ["attacked", "sealed"]  # fixtures

# -- two nodes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behind", [0, 1])
def test_nothing_is_final_as_long_as_one_of_two_nodes_lags(attacked: Open, behind: int) -> None:
    desk = attacked(proxies=2, quorum=2)
    desk.ask("w-1", ANN)
    desk.run_pass()
    desk.node.mine(1)
    desk.proxies[behind].lies.update(lagging(0))
    assert desk.run_pass() == (0, {"w-1": "confirming"})
    desk.settle()
    assert desk.run_pass() == (0, {"w-1": "confirming"})
    desk.proxies[behind].lies.update(lagging(30))  # it has the block, and does not call it final
    assert desk.run_pass() == (0, {"w-1": "confirming"})
    desk.ends_well()


@pytest.mark.parametrize("behind", [0, 1])
def test_counts_of_one_node_are_not_judged_by_receipts_of_a_lagging_one(attacked: Open, behind: int) -> None:
    """D4, with one node enough: the transaction is sent again at most, and is never another."""
    desk = attacked(proxies=2)
    desk.ask("w-1", ANN)
    desk.run_pass()
    desk.node.mine(1)
    for counts in (False, True):
        lies = lagging(0)
        if counts:
            del lies[COUNT]
        desk.proxies[behind].lies = lies
        assert desk.run_pass()[1]["w-1"] in ("broadcast", "confirming", "unknown")
        desk.proxies[behind].faults[SEND] = GARBLED["web page"]
        assert desk.run_pass()[1]["w-1"] in ("broadcast", "confirming", "unknown")
        desk.honest_again()
    desk.ends_well()
    assert len(desk.attempts("w-1")) == 1


@pytest.mark.parametrize("liar", [0, 1])
def test_a_false_failure_from_one_of_two_nodes_never_counts(attacked: Open, liar: int) -> None:
    desk = attacked(proxies=2, quorum=2)
    desk.ask("w-1", ANN)
    desk.run_pass()
    desk.node.mine(1)
    desk.proxies[liar].lies[RECEIPT] = lambda params, honest: {**honest(), "status": "0x0"}
    assert desk.run_pass()[1] == {"w-1": "confirming"}
    desk.settle()
    for _ in range(2):
        assert desk.run_pass() == (7, {"w-1": "unknown"})
    desk.honest_again()
    assert desk.run_pass() == (0, {"w-1": "final"})
    desk.ends_well()


def forged(desk: Attacked, place: int, name: str) -> None:
    """From now on a node calls a payment final that no block ever had."""
    block = desk.node.rpc("eth_getBlockByNumber", "0x1", False)
    receipt = {
        "transactionHash": desk.txid(name),
        **{"blockHash": block["hash"], "blockNumber": block["number"], "transactionIndex": "0x0"},
        **{"from": HOT.lower(), "to": ANN.lower(), "status": "0x1", "gasUsed": "0x5208", "type": "0x2"},
        **{"effectiveGasPrice": "0x3b9aca00", "cumulativeGasUsed": "0x5208", "logs": [], "contractAddress": None},
    }
    desk.proxies[place].lies.update({RECEIPT: always(receipt), COUNT: always("0x1")})


@pytest.mark.parametrize("liar", [0, 1])
@pytest.mark.parametrize("still_pooled", [True, False])
def test_one_node_alone_makes_nothing_final(attacked: Open, liar: int, still_pooled: bool) -> None:
    """It says that a payment is final that never was: two operators have to."""
    desk = attacked(proxies=2, quorum=2)
    desk.settle()
    desk.ask("w-1", ANN)
    desk.run_pass()
    if not still_pooled:
        wipe(desk)
    forged(desk, liar, "w-1")
    assert desk.run_pass() == (7, {"w-1": "unknown"})
    desk.proxies[1 - liar].faults[""] = GARBLED["HTTP 503"]  # the honest one is silent
    assert desk.run_pass()[1]["w-1"] in ("confirming", "unknown")
    assert desk.balance(ANN) == 0
    desk.ends_well()
    assert len(desk.attempts("w-1")) == 1


@pytest.mark.parametrize("liar", [0, 1])
def test_one_node_alone_takes_no_place_away(attacked: Open, liar: int) -> None:
    """It shows a stranger's transaction in a final block, as whole as can be: nothing is held for that."""
    desk = attacked(proxies=2, quorum=2)
    funder = desk.node.rpc("eth_accounts")[0]
    stranger = desk.node.rpc("eth_sendTransaction", {"from": funder, "to": BEN, "value": "0x0"})
    desk.settle()
    shown = {**desk.node.rpc(TX, stranger), "from": HOT.lower(), "nonce": "0x0"}
    desk.ask("w-1", ANN)
    desk.run_pass()
    desk.proxies[liar].lies = {
        COUNT: always("0x1"),
        BY_NONCE: always(shown),
        TX: lambda params, honest: shown if params[0] == stranger else None,
    }
    for _ in range(2):
        assert desk.run_pass() == (7, {"w-1": "unknown"})
    desk.proxies[1 - liar].faults[""] = GARBLED["HTTP 503"]  # the honest one is silent
    assert desk.run_pass() == (7, {"w-1": "unknown"})
    desk.ends_well()
    assert len(desk.attempts("w-1")) == 1


@pytest.mark.parametrize("liar", [0, 1])
def test_one_node_alone_cancels_nothing(attacked: Open, liar: int) -> None:
    """It says that the cancel is final, and the payment is mined."""
    desk = attacked(proxies=2, quorum=2)
    desk.settle()
    desk.ask("w-1", ANN)
    desk.run_pass()
    raw = desk.node.rpc("eth_getRawTransactionByHash", desk.txid("w-1"))
    assert desk.run("withdraw", "kill", "w-1", "--operator", "ops").exit_code == 0
    paid, _ = desk.attempts("w-1")
    forged(desk, liar, "w-1")
    assert desk.run_pass() == (7, {"w-1": "unknown"})
    wipe(desk)
    desk.node.rpc(SEND, raw)
    desk.node.mine(1)
    assert desk.run_pass()[1]["w-1"] in ("cancelling", "unknown")
    desk.ends_well()
    assert desk.txid("w-1") == paid


# -- reorganisations -------------------------------------------------------------------------------------------------


def in_a_block_that_goes(desk: Attacked, depth: int) -> str:
    """w-1 is confirming, ``depth`` deep, and its blocks are undone, the pool too; its bytes."""
    desk.ask("w-1", ANN)
    desk.run_pass()
    raw: str = desk.node.rpc("eth_getRawTransactionByHash", desk.txid("w-1"))
    before = desk.node.rpc("evm_snapshot")
    desk.node.mine(depth)
    assert desk.run_pass() == (0, {"w-1": "confirming"})
    desk.node.rpc("evm_revert", before)
    wipe(desk)
    return raw


@pytest.mark.parametrize("depth", [1, 7, 20])
def test_its_block_goes_and_the_same_bytes_are_sent_again(attacked: Open, depth: int) -> None:
    desk = attacked()
    in_a_block_that_goes(desk, depth)
    desk.node.mine(depth + 1)
    assert desk.run_pass() == (0, {"w-1": "broadcast"})
    assert pooled(desk) == desk.attempts("w-1")
    desk.ends_well()


@pytest.mark.parametrize("depth", [1, 20])
def test_it_moves_to_another_block(attacked: Open, depth: int) -> None:
    desk = attacked()
    raw = in_a_block_that_goes(desk, depth)
    desk.node.mine(1)
    desk.node.rpc(SEND, raw)
    desk.node.mine(depth)
    assert desk.run_pass() == (0, {"w-1": "confirming"})
    desk.ends_well()
    assert len(desk.attempts("w-1")) == 1


@pytest.mark.parametrize("depth", [1, 20])
def test_another_transaction_takes_its_place_after_a_reorganisation(attacked: Open, depth: int) -> None:
    desk = attacked()
    in_a_block_that_goes(desk, depth)
    desk.node.rpc(SEND, desk.conflicting(0))
    desk.node.mine(depth + 1)
    for _ in range(2):
        assert desk.run_pass() == (7, {"w-1": "unknown"})
    lost_its_place_for_good(desk)


def test_a_stranger_that_goes_with_its_block_leaves_it_paid(attacked: Open) -> None:
    """The other transaction was never final: the same bytes go out again, and are paid."""
    desk = attacked()
    in_a_block_that_goes(desk, 3)
    before = desk.node.rpc("evm_snapshot")
    desk.node.rpc(SEND, desk.conflicting(0))
    desk.node.mine(4)
    assert desk.run_pass() == (7, {"w-1": "unknown"})
    desk.node.rpc("evm_revert", before)
    wipe(desk)
    desk.node.mine(5)
    assert desk.run_pass() == (0, {"w-1": "broadcast"})
    desk.ends_well()
    assert len(desk.attempts("w-1")) == 1


def test_a_wallet_whose_nonce_a_stranger_has_is_frozen(attacked: Open) -> None:
    """docs/paying.md: the withdrawal is held, and the wallet is frozen; the key may be stolen."""
    desk = attacked()
    in_a_block_that_goes(desk, 2)
    desk.node.rpc(SEND, desk.conflicting(0))
    desk.settle()
    assert desk.run_pass("w-1")[1] == {"w-1": "held"}
    assert "wallet=hot" in desk.run("freeze", "list").stdout


@pytest.mark.parametrize("depth", [1, 20])
def test_anvil_reorganises(attacked: Open, depth: int) -> None:
    desk = attacked()
    desk.node.mine(30)
    desk.ask("w-1", ANN)
    desk.ask("w-2", BEN)
    desk.run_pass()
    desk.node.mine(depth)
    assert set(desk.run_pass()[1].values()) == {"confirming"}
    desk.node.rpc("anvil_reorg", depth, [])
    assert set(desk.run_pass()[1].values()) <= {"broadcast", "confirming"}
    desk.ends_well()
    assert len(desk.attempts("w-1") + desk.attempts("w-2")) == 2


# -- the pool --------------------------------------------------------------------------------------------------------


def test_the_pool_is_wiped(attacked: Open) -> None:
    desk = attacked()
    desk.ask("w-1", ANN)
    desk.ask("w-2", BEN)
    for _ in range(3):
        assert desk.run_pass() == (0, {"w-1": "broadcast", "w-2": "broadcast"})
        assert sorted(pooled(desk)) == sorted(desk.attempts("w-1") + desk.attempts("w-2"))
        wipe(desk)
    desk.ends_well()


@pytest.mark.parametrize("mined_before", [False, True])
def test_an_old_attempt_comes_back_and_is_mined(attacked: Open, mined_before: bool) -> None:
    """D9: what was outbid is not gone, not even when what outbid it was in a block."""
    desk = attacked()
    desk.ask("w-1", ANN)
    desk.run_pass()
    raw = desk.node.rpc("eth_getRawTransactionByHash", desk.txid("w-1"))
    assert desk.run("withdraw", "bump", "w-1", "--operator", "ops").exit_code == 0
    old, new = desk.attempts("w-1")
    assert pooled(desk) == [new]
    before = desk.node.rpc("evm_snapshot")
    if mined_before:
        desk.node.mine(2)
        assert desk.run_pass() == (0, {"w-1": "confirming"})
        assert desk.txid("w-1") == new
        desk.node.rpc("evm_revert", before)
    wipe(desk)
    desk.node.rpc(SEND, raw)
    desk.node.mine(1)
    assert desk.run_pass() == (0, {"w-1": "confirming"})
    assert desk.txid("w-1") == old
    desk.ends_well()
    assert desk.attempts("w-1") == [old, new]


# -- fees ------------------------------------------------------------------------------------------------------------


def blocks_ask_for(desk: Attacked, gwei: int) -> None:
    """The next block has this base fee."""
    desk.node.rpc("anvil_setNextBlockBaseFeePerGas", hex(gwei * GWEI))
    desk.node.mine(1)


def test_nothing_is_paid_while_blocks_ask_for_more_than_the_cap(attacked: Open) -> None:
    desk = attacked()
    blocks_ask_for(desk, 500)
    desk.ask("w-1", ANN)
    assert desk.run_pass()[1] == {"w-1": "approved"}
    assert (pooled(desk), desk.balance(ANN)) == ([], 0)
    blocks_ask_for(desk, 1)
    assert desk.run_pass() == (0, {"w-1": "broadcast"})
    desk.ends_well()


def test_what_waits_when_fees_jump_over_the_cap_goes_on_waiting(attacked: Open) -> None:
    desk = attacked(desk='after = "1ms"\n')
    desk.ask("w-1", ANN)
    desk.run_pass()
    blocks_ask_for(desk, 500)
    made = desk.attempts("w-1")
    for _ in range(2):
        assert desk.run_pass()[1] == {"w-1": "broadcast"}
        assert "and the cap is 200 gwei" in desk.said
        assert desk.balance(ANN) == 0
    assert desk.attempts("w-1") == made
    blocks_ask_for(desk, 1)
    desk.ends_well()


# -- all of it at random ---------------------------------------------------------------------------------------------


def lost(exchange: Exchange) -> Reply:
    """The node has it, and the answer never comes."""
    return Reply(b"", 504, {"Content-Type": "text/plain", "Retry-After": "60"})


def said_of_sending(words: str, forwards: bool) -> dict[str, Any]:
    """An error in answer to a transaction that the node has all the same, or never hears of."""
    return {"lies": {SEND: (after if forwards else always)(says(words))}}


QUICK = [fault for name, fault in GARBLED.items() if name != "hangs up"]
RANDOM: Sequence[dict[str, Any]] = [
    {},
    *({"fault": fault} for fault in (*QUICK, lost)),
    *({"fault": fault, "at": SEND} for fault in (*GARBLED.values(), lost)),
    *(said_of_sending(words, forwards) for words in WORDS for forwards in (True, False)),
    *({"lies": lies} for lies in HIDES.values()),
    *({"lies": lagging(height)} for height in (0, 2)),
    {"lies": {"eth_chainId": always("0x1")}},
    {"lies": {RECEIPT: lambda params, honest: None, COUNT: always("0x0")}},
]
"""What may happen to a request."""


class Misfortunes:
    """One after the other, each for one request of a pass; then honesty."""

    def __init__(self, desk: Attacked, place: int, fates: Sequence[int]) -> None:
        self._proxy = desk.proxies[place]
        self._fates = iter(fates)

    def __call__(self, methods: list[str]) -> Fault | None:
        fate = RANDOM[next(self._fates, 0)]
        self._proxy.lies = dict(fate.get("lies", {}))
        meant = fate.get("at") is None or fate["at"] in methods
        fault: Fault | None = fate.get("fault") if meant else None
        return fault


fates = st.lists(st.integers(0, len(RANDOM) - 1), max_size=12)
passes = st.lists(
    st.tuples(fates, fates, st.integers(0, 3), st.sampled_from(["", "wiped", "reorganised", "bumped"])),
    min_size=2, max_size=4,
)  # fmt: skip


@settings(
    max_examples=8, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(happens=passes, quorum=st.sampled_from([1, 2]))
def test_whatever_happens_each_is_paid_once(
    attacked: Open, anvil_with: Callable[..., Anvil], tmp_path: Path, happens: Any, quorum: int
) -> None:
    """Two nodes, and at each request of each pass another misfortune; blocks come, and some go again."""
    with anvil_with("--no-mining") as node:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        desk = attacked(2, quorum, node=node, folder=folder)
        desk.ask("w-1", ANN)
        desk.ask("w-2", BEN, 2)
        for first, second, blocks, event in happens:
            for place, some in enumerate((first, second)):
                desk.proxies[place].choose = Misfortunes(desk, place, some)
            if event == "bumped":
                desk.run("withdraw", "bump", "w-1", "--operator", "ops")
            code, _ = desk.run_pass()
            assert code in (0, 5, 6, 7)
            before = node.rpc("evm_snapshot")
            desk.node.mine(blocks)
            if event in ("wiped", "reorganised"):
                wipe(desk)
            if event == "reorganised":
                desk.honest_again()
                desk.run_pass()
                node.rpc("evm_revert", before)
                desk.node.mine(blocks)
        desk.ends_well()
