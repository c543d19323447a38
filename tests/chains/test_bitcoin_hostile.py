"""Hostile nodes: whatever they answer, it ends as a report or as an error that names the node.

Truncated, oversized and otherwise broken answers are the transport's to refuse; here they must only not get past it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryptosupport.chains.bitcoin import wire
from cryptosupport.chains.bitcoin.networks import NETWORKS
from cryptosupport.domain.errors import NodesFailed
from cryptosupport.domain.transactions import Detail, Sighting, TxReport
from cryptosupport.settings import Endpoint
from tests.chains.bitcoinkit import chain_over
from tests.chains.servedbitcoin import (
    ADDRESS,
    BLOCK,
    HONEST,
    MINED,
    OTHER,
    OUTPUT,
    PARENT,
    SCRIPT,
    TIP,
    TX,
    TXID,
    At,
    Node,
    pending_sighting,
)
from tests.hostile import BAD_ANSWERS, BAD_RESULTS, HostileNode, RpcError, with_result

MEMORY = pending_sighting(f"{PARENT}:1")
SITUATIONS: dict[str, dict[str, Any]] = {
    "mined": {"getrawtransaction": MINED},
    "bulk": {"getrawtransaction": lambda txid, *_: {**MINED, "txid": txid}},
    "waiting": {"getrawtransaction": TX},
    "stale": {"getrawtransaction": {**MINED, "confirmations": 0}},
    "missing": {},
    "wallet": {
        "listwallets": ["hot"],
        "gettransaction": {"confirmations": -3, "decoded": TX, "walletconflicts": [OTHER], "fee": -0.00001},
    },
    "unindexed": {
        "getindexinfo": {},
        "gettxout": {**OUTPUT, "confirmations": 3, "bestblock": TIP},
        "getblockhash": BLOCK,
    },
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_bad_answers_end_as_an_error_that_names_the_node(name: str) -> None:
    with Node() as node:
        node.always(BAD_ANSWERS[name])
        for detail in (Detail.FULL, Detail.BRIEF):
            with pytest.raises(NodesFailed, match="127") as caught:
                node.look(TXID, detail=detail)
            assert node.url.removeprefix("http://") in caught.value.message


@pytest.mark.parametrize("text", BAD_RESULTS)
def test_any_result_in_place_of_every_answer_ends_as_an_error(text: str) -> None:
    with Node() as node:
        node.always(with_result(text))
        for txids in ([TXID], [TXID, OTHER], [f"{number:064x}" for number in range(30)]):
            for detail in Detail:
                with pytest.raises(NodesFailed, match="127"):
                    node.look(*txids, detail=detail)


NAMES = [
    "txid",
    "vin",
    "vout",
    "value",
    "n",
    "fee",
    "blockhash",
    "confirmations",
    "scriptPubKey",
    "hex",
    "height",
    "time",
    "fees",
    "base",
    "ancestor",
    "synced",
    "loaded",
    "prevout",
    "details",
    "decoded",
    "spendingtxid",
    "bestblock",
    "txindex",
    "status",
    "confirmed",
    "block_height",
    "block_hash",
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "x", TXID, OTHER, BLOCK, TIP, "main", "ff" * 200, "\x1b[31m", "confirmed"])
    | st.text(max_size=8)
)
TABLES = st.dictionaries(st.sampled_from(NAMES), SCALARS, max_size=4)
JSON_VALUES = SCALARS | st.lists(SCALARS | TABLES, max_size=3) | TABLES


@st.composite
def broken(draw: st.DrawFn, honest: Any) -> Any:
    """``honest`` with something in it replaced by something else, or left out."""
    return mutated(draw, honest)


def mutated(draw: st.DrawFn, value: Any) -> Any:
    """``value`` with one thing in it replaced by something else, or left out."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(value)))
        if draw(st.booleans()):
            return {name: each for name, each in value.items() if name != key}
        return {**value, key: mutated(draw, value[key])}
    if isinstance(value, list) and value and draw(st.booleans()):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], mutated(draw, value[place]), *value[place + 1 :]]
    return draw(JSON_VALUES)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_answer_of_a_bitcoind_ends_in_a_traceback(data: st.DataObject) -> None:
    situation = data.draw(st.sampled_from(sorted(SITUATIONS)))
    asked = HONEST | SITUATIONS[situation]
    method = data.draw(st.sampled_from(sorted(asked)))
    honest = asked[method]
    if callable(honest) or isinstance(honest, RpcError):
        honest = TX
    answer = data.draw(broken(honest))
    many = 30 if situation == "bulk" else 0
    txids = [TXID, *[f"{number:064x}" for number in range(many)]]
    with Node(**{**SITUATIONS[situation], method: answer}) as node:
        for detail in data.draw(st.permutations(list(Detail)))[:2]:
            assert_told_or_refused(partial(node.look, *txids, detail=detail, memory=MEMORY, own=True))
        chain = chain_over(Endpoint(url=node.url, timeout="3s"), network="mainnet", clock=At())
        assert chain.health()[0].message
        chain.recognise(OTHER)


def assert_told_or_refused(look: Callable[[], list[TxReport]]) -> None:
    """Reports whose texts hold nothing that a terminal would obey, or an error that names the node."""
    reports: list[TxReport] = []
    with suppress(NodesFailed):
        reports = look()
    for report in reports:
        assert "\\x1b" not in repr(report)
        for transfer in report.transfers:
            assert 0 < transfer.amount.base_units <= wire.MAX_SATOSHIS


ROUTES: dict[str, Any] = {
    "/block-height/0": NETWORKS["mainnet"].genesis,
    "/blocks/tip/height": 900_000,
    "/blocks/tip/hash": TIP,
    f"/block/{TIP}": {"height": 900_000, "timestamp": 1_799_999_000},
    f"/block/{BLOCK}/status": {"in_best_chain": False},
    f"/tx/{TXID}": {
        **{"txid": TXID, "weight": 440, "fee": 300, "version": 2, "size": 110, "locktime": 0},
        "vin": [{"txid": PARENT, "vout": 1, "prevout": {"value": 5, "scriptpubkey": SCRIPT}, "sequence": 1}],
        "vout": [{"value": 4, "scriptpubkey": SCRIPT, "scriptpubkey_address": ADDRESS}],
        "status": {"confirmed": False},
    },
    f"/tx/{TXID}/status": {"confirmed": False},
    f"/tx/{PARENT}/outspend/1": {"spent": True, "txid": TXID, "status": {"confirmed": False}},
    f"/v1/tx/{TXID}/rbf": {"replacements": {"tx": {"txid": OTHER}}},
    "/fee-estimates": {"2": 10.5, "6": 5.1},
    "/mempool": {"vsize": 5, "fee_histogram": [[1.5, 100]]},
}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_answer_of_an_esplora_server_ends_in_a_traceback(data: st.DataObject) -> None:
    confirmed = {"confirmed": True, "block_height": 899_990, "block_hash": BLOCK, "block_time": 1_799_000_000}
    routes = dict(ROUTES)
    if data.draw(st.booleans()):
        routes[f"/tx/{TXID}"] = {**ROUTES[f"/tx/{TXID}"], "status": confirmed}
        routes[f"/tx/{TXID}/status"] = confirmed
    if data.draw(st.booleans()):
        del routes[f"/tx/{TXID}"]
    path = data.draw(st.sampled_from(sorted(routes)))
    routes[path] = data.draw(broken(routes[path]))
    texts = {
        path: body if isinstance(body, str) and path.startswith("/block") else json.dumps(body)
        for path, body in routes.items()
    }
    served = {path: text.encode("utf-8", "surrogatepass") for path, text in texts.items()}
    memory = {TXID: Sighting("bitcoin", TXID, 1, 1, "confirming", BLOCK, 899_990, None, None, (f"{PARENT}:1",))}
    with HostileNode(routes=served) as node:
        chain = chain_over(Endpoint(url=node.url, kind="esplora", timeout="3s"), network="mainnet", clock=At())
        for detail in data.draw(st.permutations(list(Detail)))[:2]:
            assert_told_or_refused(partial(chain.look_up, [TXID], detail, memory))
        assert chain.health()[0].message
        chain.recognise(OTHER)
