"""Whatever a node answers: a report, or an error that names the node; never anything else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cryptosupport.chains.evm.revert import read_data, read_replay, read_trace
from cryptosupport.chains.evm.text import LONGEST, plain
from cryptosupport.chains.evm.wire import Trace
from cryptosupport.domain.addresses import Address
from cryptosupport.domain.errors import NodesFailed
from cryptosupport.domain.transactions import (
    STATE_NAMES,
    Confirmed,
    Detail,
    Failed,
    NotFound,
    Replaced,
    Sighting,
    TxReport,
    Unknown,
)
from tests.chains.evmkit import (
    ALICE,
    FINALIZED,
    HASH,
    HEAD,
    NOW,
    TXID,
    chain_over,
    header,
    node_of,
    receipt,
    transaction,
)
from tests.hostile import BAD_ANSWERS, BAD_RESULTS, HostileNode, RpcError, honest, with_result

MINED = {"blockHash": HASH, "blockNumber": hex(800)}
TRACE = {"error": "execution reverted", "output": "0x08c379a0", "gasUsed": "0x1"}
WINNER = transaction("0x" + "cd" * 32, **MINED)


def block(tag: str, **fields: Any) -> dict[str, Any]:
    """The block at a height or tag, with the winner of the nonce in each."""
    height = {"latest": HEAD, "finalized": FINALIZED}.get(tag) or int(tag, 16)
    return {**header(height), "transactions": [WINNER], **fields}


METHODS: dict[str, Any] = {
    "eth_chainId": "0x7a69",
    "eth_blockNumber": hex(HEAD),
    "eth_syncing": False,
    "eth_getBlockByNumber": lambda tag, full: block(tag),
    "eth_getTransactionByHash": transaction(**MINED),
    "eth_getTransactionReceipt": receipt(status="0x0"),
    "eth_getTransactionCount": lambda sender, tag: (
        "0x6" if tag in ("latest", "pending") or int(tag, 16) > 700 else "0x0"
    ),
    "eth_gasPrice": "0x1",
    "eth_feeHistory": {"gasUsedRatio": [0.5], "reward": [["0x1"]], "baseFeePerGas": ["0x1", "0x2"]},
    "debug_traceTransaction": TRACE,
    "eth_call": RpcError(3, "execution reverted", "0x08c379a0"),
    "txpool_contentFrom": {"pending": {"5": WINNER}, "queued": {}},
    "eth_getTransactionBySenderAndNonce": WINNER,
    "eth_getBlockByHash": header(800),
    "eth_getCode": "0x",
}
SITUATIONS: dict[str, dict[str, Any]] = {
    "mined": {},
    "waiting": {"eth_getTransactionByHash": transaction(), "eth_getTransactionReceipt": None},
    "first": {
        "eth_getTransactionByHash": transaction(),
        "eth_getTransactionReceipt": None,
        "eth_getTransactionCount": "0x1",
    },
    "gone": {"eth_getTransactionByHash": None, "eth_getTransactionReceipt": None},
    "unnamed": {
        "eth_getTransactionByHash": None,
        "eth_getTransactionReceipt": None,
        "eth_getTransactionBySenderAndNonce": RpcError(-32601, "no such method"),
    },
}
MEMORY = {TXID: Sighting("dev", TXID, NOW, NOW, "confirming", "0x" + "22" * 32, 790, ALICE, 5)}

NUMBERS = st.integers(min_value=-(2**70), max_value=2**300)
HEX = st.one_of(NUMBERS.map(hex), st.sampled_from(["0x", "0xzz", "0x" + "f" * 64, "-0x1", " 0x1", "0x_1", "1"]))
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(allow_nan=False), HEX, st.text())
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=8,
)


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[str, object]:
    """A method, and what is answered to it: any JSON, an error, or the right answer with one member spoiled."""
    method = draw(st.sampled_from(sorted(METHODS)))
    good = METHODS[method]
    kinds = ["json", "error"]
    kinds += ["member"] * 3 if isinstance(good, dict) else ["block"] * 3 if method == "eth_getBlockByNumber" else []
    match draw(st.sampled_from(kinds)):
        case "member":
            name = draw(st.sampled_from(sorted(good)))
            return method, {**good, name: draw(JSON)}
        case "block":
            spoilt = {draw(st.sampled_from(sorted(block("latest")))): draw(JSON)}
            return method, lambda tag, full: block(tag, **spoilt)
        case "error":
            return method, RpcError(draw(st.integers(-(2**31), 2**31)), draw(st.text()), draw(JSON))
        case _:
            return method, draw(JSON)


@pytest.fixture(scope="module")
def node() -> Iterator[HostileNode]:
    with HostileNode() as running:
        yield running


@contextmanager
def names_the_node() -> Iterator[None]:
    """What may go wrong inside is that no node gave an answer, with its name in plain text."""
    try:
        yield
    except NodesFailed as failed:
        named = [failure.node for failure in failed.failures]
        if not failed.message.isprintable() or not named or any("127.0.0.1" not in name for name in named):
            raise


def check(report: TxReport) -> None:
    assert type(report.status) in STATE_NAMES
    assert report.txid == TXID
    if isinstance(report.status, Unknown):
        assert report.status.nodes
        assert all("127.0.0.1" in name for name in report.status.nodes)
        assert report.status.message.isprintable()
    if isinstance(report.status, Failed) and report.status.failure.message is not None:
        assert report.status.failure.message.isprintable()
        assert len(report.status.failure.message) <= LONGEST
    assert all(fact.value.isprintable() for fact in report.facts)
    if report.remember is not None:
        assert all(number is None or 0 <= number < 2**63 for number in (report.remember.height, report.remember.nonce))


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(SITUATIONS)), st.lists(spoiled(), min_size=1, max_size=2), st.sampled_from(list(Detail)))
def test_any_answer_gives_a_report_or_names_the_node(
    node: HostileNode, situation: str, answers: list[tuple[str, object]], detail: Detail
) -> None:
    node.answer = node_of({**METHODS, **SITUATIONS[situation], **dict(answers)})
    for memory in ({}, MEMORY):
        chain = chain_over(node.url, finality="finalized")
        with names_the_node():
            (report,) = chain.look_up([TXID], detail, memory)
            check(report)


@pytest.mark.parametrize("detail", list(Detail))
@pytest.mark.parametrize("situation", sorted(SITUATIONS))
def test_no_member_of_an_answer_is_taken_on_trust(node: HostileNode, situation: str, detail: Detail) -> None:
    without_traces = {"debug_traceTransaction": RpcError(-32601, "no such method"), "eth_call": "0x"}
    good = {**METHODS, **SITUATIONS[situation]}
    for method in ("eth_getTransactionByHash", "eth_getTransactionReceipt", "eth_getTransactionBySenderAndNonce"):
        if not isinstance(good[method], dict):
            continue
        for member in good[method]:
            for bad in ("0xzz", "0x" + "f" * 64, "-0x1", "", None, 7):
                spoilt = {**good, **without_traces, method: {**good[method], member: bad}}
                node.answer = node_of(spoilt)
                with names_the_node():
                    check(*chain_over(node.url, finality="finalized").look_up([TXID], detail, MEMORY))
    for member in block("latest"):
        for strange in ("0xzz", "0x" + "f" * 64, "-0x1", "", None, 7, [None]):
            spoilt = {**good, "eth_getBlockByNumber": lambda tag, full, spoil={member: strange}: block(tag, **spoil)}
            node.answer = node_of(spoilt)
            with names_the_node():
                check(*chain_over(node.url, finality="finalized").look_up([TXID], detail, MEMORY))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(spoiled(), min_size=1, max_size=2))
def test_the_other_questions_stand_any_answer_too(node: HostileNode, answers: list[tuple[str, object]]) -> None:
    node.answer = node_of({**METHODS, **dict(answers)})
    chain = chain_over(node.url, finality="finalized")
    (verdict,) = chain.health()
    assert "127.0.0.1" in verdict.message
    assert chain.recognise(TXID) is None or chain.recognise(HASH) is not None
    with names_the_node():
        chain.describe_address(Address(ALICE, "account", 2, False))


@pytest.mark.parametrize("bad", sorted(BAD_ANSWERS))
def test_every_way_to_break_http_names_the_node(node: HostileNode, bad: str) -> None:
    node.always(BAD_ANSWERS[bad])
    try:
        with pytest.raises(NodesFailed, match=r"127\.0\.0\.1"):
            chain_over(node.url).look_up([TXID], Detail.FULL, {})
        (verdict,) = chain_over(node.url).health()
        assert not verdict.ok
        assert chain_over(node.url).recognise(TXID) is None
    finally:
        node.always(with_result("null"))


@pytest.mark.parametrize("bad", BAD_RESULTS, ids=range(len(BAD_RESULTS)))
def test_every_strange_result_names_the_node(node: HostileNode, bad: str) -> None:
    node.always(with_result(bad))
    with pytest.raises(NodesFailed, match=r"127\.0\.0\.1"):
        chain_over(node.url).look_up([TXID], Detail.FULL, MEMORY)


def test_the_untouched_answers_say_what_the_fuzz_starts_from(node: HostileNode) -> None:
    node.always(honest)
    states = {}
    for situation, answers in SITUATIONS.items():
        node.answer = node_of({**METHODS, **answers})
        (report,) = chain_over(node.url, finality="finalized").look_up([TXID], Detail.FULL, MEMORY)
        states[situation] = report.state
    assert states == {
        "mined": "failed",
        "waiting": "replaced",
        "first": "pending",
        "gone": "replaced",
        "unnamed": "replaced",
    }
    assert isinstance(report.status, Replaced)
    assert report.status.by == WINNER["hash"]  # found by searching the blocks


@given(st.text())
@example("\x1b]0;title\x07\u202e")
def test_plain_text_is_printable_short_and_stays_as_it_is(text: str) -> None:
    shown = plain(text)
    assert shown.isprintable()
    assert len(shown) <= LONGEST
    assert plain(shown) == shown


@given(st.binary(max_size=400), st.sampled_from(["", "08c379a0", "4e487b71", "e450d38c"]))
def test_any_revert_data_can_be_read(data: bytes, selector: str) -> None:
    told = read_data(f"0x{selector}{data.hex()}")
    if told is not None and told.message is not None:
        assert told.message.isprintable()
        assert len(told.message) <= LONGEST


@given(st.integers(), st.text(), JSON, st.text(), st.text())
def test_any_error_of_a_replay_or_trace_can_be_read(code: int, message: str, data: object, one: str, two: str) -> None:
    read_replay(code, message, data)
    read_trace(Trace(one, two, message))


def test_a_mined_state_needs_no_more_than_its_answers(node: HostileNode) -> None:
    node.always(honest)
    node.answer = node_of({**METHODS, "eth_getTransactionReceipt": receipt()})
    (report,) = chain_over(node.url, finality="finalized").look_up([TXID], Detail.FULL, {})
    assert isinstance(report.status, Confirmed)
    node.answer = node_of({})
    (report,) = chain_over(node.url, finality="finalized").look_up([TXID], Detail.FULL, {})
    assert isinstance(report.status, NotFound)
