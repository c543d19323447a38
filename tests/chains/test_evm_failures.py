"""Failed EVM transactions, on anvil and on nodes that cannot trace: the reason in plain words."""

from __future__ import annotations

from typing import Any

import pytest

from cryptosupport.chains.evm.codec import keccak256
from cryptosupport.chains.evm.failures import REPLAY, TRACING
from cryptosupport.chains.evm.revert import CUSTOM_ERRORS, PANICS, read_data, read_replay, read_trace
from cryptosupport.chains.evm.text import plain
from cryptosupport.chains.evm.wire import Trace
from cryptosupport.domain.transactions import Detail, Failed, Failure, FailureCode
from cryptosupport.domain.wording import advice, summary
from cryptosupport.outside.nodes import Anvil
from tests.chains.evmkit import (
    ALICE,
    INVALID,
    REFUSES_WITH_CALLDATA,
    RUNS_FOR_EVER,
    TXID,
    chain_over,
    deploy,
    look,
    mined,
    node_of,
    receipt,
    send,
    text_words,
    transaction,
    without,
    words,
)
from tests.hostile import Exchange, HostileNode, Reply, RpcError, honest, hung_up


def selector(signature: str) -> str:
    return keccak256(signature.encode()).hex()[:8]


def refused_with(anvil: Anvil, data: str) -> Failure:
    """What is told of a transaction whose contract refuses it with ``data``."""
    contract = deploy(anvil, REFUSES_WITH_CALLDATA)
    txid = mined(anvil, to=contract, data="0x" + data, gas=200_000)
    assert anvil.rpc("eth_getTransactionReceipt", txid)["status"] == "0x0"
    return failure_of(anvil.url, txid)


def failure_of(url: str, txid: str) -> Failure:
    report = look(chain_over(url), txid)
    assert isinstance(report.status, Failed)
    assert report.transfers == ()
    assert report.created is None
    assert report.fee is not None
    return report.status.failure


def test_a_revert_reason_is_told_in_plain_words(anvil: Anvil) -> None:
    data = selector("Error(string)") + text_words("insufficient allowance")
    assert refused_with(anvil, data) == Failure(FailureCode.REVERTED, "insufficient allowance")


def test_a_revert_without_a_reason_has_none(anvil: Anvil) -> None:
    assert refused_with(anvil, "") == Failure(FailureCode.REVERTED, None)


def test_a_panic_is_told_by_its_meaning(anvil: Anvil) -> None:
    data = selector("Panic(uint256)") + words(0x11)
    assert refused_with(anvil, data) == Failure(FailureCode.PANIC, "arithmetic overflow or underflow, panic 0x11")


def test_a_known_custom_error_is_told_by_name(anvil: Anvil) -> None:
    data = selector("ERC20InsufficientBalance(address,uint256,uint256)") + words(ALICE, 5, 10)
    named = "ERC20InsufficientBalance(0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266, 5, 10)"
    assert refused_with(anvil, data) == Failure(FailureCode.CUSTOM_ERROR, named)


def test_an_unknown_custom_error_is_told_by_selector_and_arguments(anvil: Anvil) -> None:
    data = selector("SomethingNobodyKnows(uint256)") + words(7)
    told = refused_with(anvil, data)
    assert told == Failure(FailureCode.CUSTOM_ERROR, f"0x{data[:8]} {words(7)}")


def test_out_of_gas_is_told(anvil: Anvil) -> None:
    txid = mined(anvil, to=deploy(anvil, RUNS_FOR_EVER), gas=60_000, value=0)
    assert failure_of(anvil.url, txid) == Failure(FailureCode.OUT_OF_GAS, None)


def test_an_instruction_that_does_not_exist_is_not_out_of_gas(anvil: Anvil) -> None:
    txid = mined(anvil, to=deploy(anvil, INVALID), gas=60_000, value=0)
    told = failure_of(anvil.url, txid)
    assert told.code is FailureCode.UNKNOWN
    assert told.message


def test_a_contract_that_could_not_be_deployed_is_not_told_as_created(anvil: Anvil) -> None:
    txid = mined(anvil, to=None, data="0x" + REFUSES_WITH_CALLDATA, value=0)
    assert anvil.rpc("eth_getTransactionReceipt", txid)["contractAddress"] is not None
    assert failure_of(anvil.url, txid).code is FailureCode.REVERTED


def test_failed_ones_among_many_get_their_own_reasons(anvil: Anvil) -> None:
    contract = deploy(anvil, REFUSES_WITH_CALLDATA)
    reasons = [f"reason {n}" for n in range(23)]
    anvil.rpc("evm_setAutomine", False)
    error = selector("Error(string)")
    txids = [
        send(anvil, to=contract, data="0x" + error + text_words(reason), gas=200_000, sender=n % 5)
        for n, reason in enumerate(reasons)
    ]
    anvil.mine()
    reports = chain_over(anvil.url).look_up(txids, Detail.FULL, {})
    told = [report.status.failure.message for report in reports if isinstance(report.status, Failed)]
    assert told == reasons


def test_brief_tells_the_state_and_no_reason(anvil: Anvil) -> None:
    txid = mined(anvil, to=deploy(anvil, REFUSES_WITH_CALLDATA))
    status = look(chain_over(anvil.url), txid, detail=Detail.BRIEF).status
    assert isinstance(status, Failed)
    assert status.failure == Failure(FailureCode.UNKNOWN, None)


# -- nodes that do not trace -----------------------------------------------------------------------------------------

DATA = "0x08c379a0" + text_words("paused")


def told_by(gas_used: int = 30_000, **answers: Any) -> Failure:
    """What is told of a failed transaction with a gas limit of 50,000 by a node with ``answers``."""
    block = {"blockHash": "0x" + "11" * 32, "blockNumber": hex(800)}
    common = {
        "eth_getTransactionByHash": transaction(gas=hex(50_000), **block),
        "eth_getTransactionReceipt": receipt(status="0x0", gasUsed=hex(gas_used)),
    }
    with HostileNode(node_of({**common, **answers})) as node:
        return failure_of(node.url, TXID)


def test_a_node_without_traces_replays_the_call_and_says_so() -> None:
    asked = []

    def replay(call: dict[str, str], block: str) -> RpcError:
        asked.append((call, block))
        return RpcError(3, "execution reverted: paused", DATA)

    assert told_by(eth_call=replay) == Failure(FailureCode.REVERTED, "paused", replayed=True)
    ((call, block),) = asked
    assert block == hex(799)
    assert (call["from"], call["value"], call["gas"]) == (ALICE, "0x64", hex(50_000))
    assert "gasPrice" not in call


@pytest.mark.parametrize(
    "error",
    [
        RpcError(3, "execution reverted", DATA),
        RpcError(-32000, "execution reverted: paused"),
        RpcError(-32603, "VM Exception while processing transaction: revert paused"),
        RpcError(-32015, "VM execution error.", f"Reverted {DATA}"),
        RpcError(-32000, "reverted", {"data": DATA}),
    ],
    ids=["geth", "old_geth", "ganache", "parity", "nested"],
)
def test_the_dialects_of_a_replayed_revert_are_understood(error: RpcError) -> None:
    assert told_by(eth_call=error) == Failure(FailureCode.REVERTED, "paused", replayed=True)


@pytest.mark.parametrize(
    "error",
    [
        RpcError(-32000, "missing trie node 1ab2 (path ) state 0x1ab2 is not available"),
        RpcError(-32000, "header not found", "0x12345678"),
        RpcError(-32000, "insufficient funds for gas * price + value"),
    ],
)
def test_a_replay_that_fails_for_the_nodes_own_reasons_is_no_reason(error: RpcError) -> None:
    assert told_by(eth_call=error) == Failure(FailureCode.UNKNOWN, None)


PROBABLY = Failure(FailureCode.OUT_OF_GAS, "probably: all of its gas was used")


def test_all_gas_used_is_probably_out_of_gas_where_nothing_else_is_known() -> None:
    assert told_by(gas_used=50_000) == PROBABLY
    assert told_by(gas_used=50_000, eth_call="0x") == PROBABLY
    replayed = told_by(gas_used=50_000, eth_call=RpcError(-32000, "out of gas"))
    assert replayed == Failure(FailureCode.OUT_OF_GAS, None, replayed=True)
    assert told_by(gas_used=49_999) == Failure(FailureCode.UNKNOWN, None)


@pytest.mark.parametrize(
    "message",
    [
        "invalid opcode: INVALID",
        "invalid opcode: opcode 0xfe not defined",
        "EVM error InvalidFEOpcode",
        "BadInstruction",
    ],
)
def test_an_instruction_that_does_not_exist_is_not_out_of_gas_in_a_replay_either(message: str) -> None:
    told = told_by(gas_used=50_000, eth_call=RpcError(-32000, message))
    assert told == Failure(FailureCode.UNKNOWN, message, replayed=True)


def test_a_node_that_only_replays_tells_an_old_assertion_from_out_of_gas(anvil: Anvil) -> None:
    txid = mined(anvil, to=deploy(anvil, INVALID), gas=60_000, value=0)
    receipt = anvil.rpc("eth_getTransactionReceipt", txid)
    assert (receipt["status"], receipt["gasUsed"]) == ("0x0", hex(60_000))
    with HostileNode(without(anvil, TRACING)) as node:
        report = look(chain_over(node.url), txid)
    assert isinstance(report.status, Failed)
    assert report.status.failure == Failure(FailureCode.UNKNOWN, "EVM error InvalidFEOpcode", replayed=True)
    assert "gas" not in summary(report, "en") + advice(report, "en")


def test_a_node_that_neither_traces_nor_replays_leaves_a_doubt(anvil: Anvil) -> None:
    txid = mined(anvil, to=deploy(anvil, INVALID), gas=60_000, value=0)
    with HostileNode(without(anvil, TRACING, REPLAY)) as node:
        report = look(chain_over(node.url), txid)
    assert "probably" in summary(report, "en")


def test_a_replay_that_succeeds_proves_nothing() -> None:
    assert told_by(eth_call="0x") == Failure(FailureCode.UNKNOWN, None)


def test_a_trace_that_times_out_is_made_up_for_by_a_replay() -> None:
    slow = RpcError(-32000, "execution timeout")
    assert told_by(debug_traceTransaction=slow, eth_call=RpcError(3, "execution reverted", DATA)).message == "paused"


def failing_node() -> HostileNode:
    block = {"blockHash": "0x" + "11" * 32, "blockNumber": hex(800)}
    answers = {"eth_getTransactionByHash": transaction(**block), "eth_getTransactionReceipt": receipt(status="0x0")}
    return HostileNode(node_of(answers))


def test_a_node_that_hangs_up_while_tracing_costs_the_reason_alone() -> None:
    def hang_up(exchange: Exchange) -> Reply:
        return hung_up if exchange.request.calls[0][0] in (TRACING, REPLAY) else honest(exchange)

    with failing_node() as node:
        node.always(hang_up)
        assert failure_of(node.url, TXID) == PROBABLY


def test_a_method_that_the_node_lacks_is_asked_for_once() -> None:
    with failing_node() as node:
        chain = chain_over(node.url)
        for _ in range(3):
            assert look(chain, TXID).state == "failed"
        assert [method for method, _ in node.calls].count(TRACING) == 1


# -- what contracts write --------------------------------------------------------------------------------------------


def test_every_selector_of_the_table_is_the_hash_of_its_signature() -> None:
    for written, signature in CUSTOM_ERRORS.items():
        assert selector(signature) == written, signature


@pytest.mark.parametrize("code", [*PANICS, 0x77])
def test_every_panic_code_is_told(code: int) -> None:
    told = read_data("0x4e487b71" + words(code))
    assert told is not None
    assert told.code is FailureCode.PANIC
    assert told.message == f"{PANICS.get(code, 'of an unknown kind')}, panic 0x{code:02x}"


def test_known_errors_without_arguments_and_with_the_wrong_number_of_them() -> None:
    paused = selector("EnforcedPause()")
    assert read_data("0x" + paused) == Failure(FailureCode.CUSTOM_ERROR, "EnforcedPause()")
    assert read_data("0x" + paused + words(1)) == Failure(FailureCode.CUSTOM_ERROR, f"0x{paused} {words(1)}")


def test_long_arguments_are_cut() -> None:
    told = read_data("0xdeadbeef" + words(1, 2, 3))
    assert told == Failure(FailureCode.CUSTOM_ERROR, f"0xdeadbeef {words(1, 2)}…")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("two\nlines\r\n\x1b[2Jgone", "two lines [2Jgone"),
        ("pay \u202egnp.exe\u2066 now\u200b\ufeff", "pay gnp.exe now"),
        ("a\u2028b\u2029c\x85d", "a b c d"),
        ("x" * 5000, "x" * 199 + "…"),
        ("\u3164\u2800\u115f", ""),
        ("余额不足", "余额不足"),
    ],
)
def test_what_a_contract_writes_cannot_trick_the_reader(written: str, shown: str) -> None:
    assert plain(written) == shown
    told = read_data("0x08c379a0" + text_words(written))
    assert told == Failure(FailureCode.REVERTED, shown or None)


@pytest.mark.parametrize(
    "data",
    [
        "0x08c379a0",
        "0x08c379a0" + words(0x20),
        "0x08c379a0" + words(0x20, 2**255),
        "0x08c379a0" + words(2**255, 3),
        "0x08c379a0" + words(0x20, 4) + "ff",
    ],
)
def test_a_broken_reason_is_still_a_revert(data: str) -> None:
    told = read_data(data)
    assert told is not None
    assert told.code is FailureCode.REVERTED


@pytest.mark.parametrize("data", ["", "0x", "0x08c379", "0xzz", "08c379a0", "0x123"])
def test_no_data_is_no_reason(data: str) -> None:
    assert read_data(data) is None


def test_traces_of_other_nodes_are_understood() -> None:
    assert read_trace(Trace(error="out of gas")) == Failure(FailureCode.OUT_OF_GAS, None)
    assert read_trace(Trace(error="OutOfGas")) == Failure(FailureCode.OUT_OF_GAS, None)
    assert read_trace(Trace(error="Reverted", output=DATA)) == Failure(FailureCode.REVERTED, "paused")
    reason = Trace(error="execution reverted", revert_reason="paused")
    assert read_trace(reason) == Failure(FailureCode.REVERTED, "paused")
    assert read_trace(Trace(error="stack underflow")) == Failure(FailureCode.UNKNOWN, "stack underflow")
    assert read_trace(Trace()) is None
    assert read_replay(-32000, "out of gas", None) == Failure(FailureCode.OUT_OF_GAS, None, replayed=True)
