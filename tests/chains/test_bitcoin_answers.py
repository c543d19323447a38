"""What bitcoind and Esplora may answer: recorded, and in other versions' words."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from cryptosupport.chains.bitcoin import rawblocks, spends
from cryptosupport.domain.errors import NodesFailed
from cryptosupport.domain.money import Amount, FeeRate
from cryptosupport.domain.transactions import (
    Confirmed,
    Detail,
    Dropped,
    NotFound,
    Pending,
    Replaced,
    Sighting,
    TxReport,
    Unknown,
)
from cryptosupport.outside.nodes import Bitcoind
from cryptosupport.settings import Endpoint
from tests.chains.bitcoinkit import BTC, chain_over
from tests.chains.servedbitcoin import (
    ADDRESS,
    BLOCK,
    ENTRY,
    HEADER,
    INFO,
    MEMPOOL,
    MINED,
    NO_TX,
    OTHER,
    OUTPUT,
    PARENT,
    SCRIPT,
    TX,
    TXID,
    UNKNOWN_METHOD,
    At,
    Node,
    pending_sighting,
)
from tests.hostile import HostileNode, Reply, RpcError
from tests.shared import fixture

# -- recorded --------------------------------------------------------------------------------------------------------


def test_the_recorded_answer_of_an_old_node_without_fee_and_prevouts_is_completed_from_the_parents() -> None:
    recorded = fixture("bitcoin/getrawtransaction_confirmed.json")["response"]["result"]
    spent = {vin["txid"]: vin["vout"] for vin in recorded["vin"]}

    def transaction(txid: str, verbosity: int, block: str | None = None) -> object:
        if txid == recorded["txid"]:
            return recorded
        # a parent with outputs of 1 BTC up to the one that is spent
        outputs = bytes.fromhex("00e1f50500000000" + "16" + SCRIPT) * (spent[txid] + 1)
        return "0100000000" + f"{spent[txid] + 1:02x}" + outputs.hex() + "00000000"

    with Node(getrawtransaction=transaction) as node:
        (report,) = node.look(recorded["txid"])
    assert isinstance(report.status, Confirmed)
    paid = [int(Decimal(str(out["value"])) * 10**8) for out in recorded["vout"]]
    assert [each.amount.base_units for each in report.transfers] == paid
    assert {each.sender for each in report.transfers} == {ADDRESS}
    assert report.fee == Amount(len(spent) * 10**8 - sum(paid), BTC) if sum(paid) < len(spent) * 10**8 else True
    # Core before 22 printed lists of addresses.
    assert [each.recipient for each in report.transfers] == [
        out["scriptPubKey"]["addresses"][0] for out in recorded["vout"]
    ]


@pytest.mark.parametrize("name", ["gettransaction_replaced_in_mempool", "gettransaction_bumpfee_replacement"])
def test_a_recorded_wallet_of_an_old_node_knows_what_was_spent(name: str) -> None:
    recorded = fixture(f"bitcoin/{name}.json")["response"]
    assert "decoded" not in recorded  # the inputs are read from its hex
    (rival,) = recorded["walletconflicts"]
    with Node(
        listwallets=["hot"],
        gettransaction=lambda txid, *_: recorded if txid == recorded["txid"] else RpcError(-5, "Invalid id"),
        gettxspendingprevout=lambda outputs: [{**each, "spendingtxid": rival} for each in outputs],
    ) as node:
        (report,) = node.look(recorded["txid"], own=True)
    assert isinstance(report.status, Replaced)
    assert (report.status.by, report.status.final) == (rival, False)
    raw = bytes.fromhex(recorded["hex"])
    assert report.remember is not None
    assert report.remember.inputs == tuple(f"{txid}:{vout}" for txid, vout in rawblocks.inputs_of(raw))


def test_a_stranger_s_wallets_are_not_asked() -> None:
    with Node(listwallets=["hot"], getrawtransaction=lambda txid, *_: MINED if txid == TXID else NO_TX) as node:
        node.look(TXID)
        node.look(OTHER)
        assert {"listwallets", "gettransaction"}.isdisjoint(method for method, _ in node.calls)
        node.look(TXID, own=True)
        assert {"listwallets", "gettransaction"} <= {method for method, _ in node.calls}


# -- other versions' words -------------------------------------------------------------------------------------------


def test_amounts_in_any_notation_are_exact() -> None:
    outputs = [{**OUTPUT, "n": number, "value": 0} for number in range(4)]
    body = json.dumps({**TX, "blockhash": BLOCK, "confirmations": 11, "vout": outputs, "fee": 0})
    for text in ("20999999.97690000", "7.1E-7", "1e-8", "0.10000000"):
        body = body.replace('"value": 0,', f'"value": {text},', 1)
    body = body.replace('"fee": 0', '"fee": 0.00000001')
    told: list[int] = []
    with HostileNode(lambda method, params: INFO if method == "getblockchaininfo" else HEADER) as node:

        def behave(exchange: Any) -> Reply:
            replies = [
                {**reply, "result": "@"} if call[0] == "getrawtransaction" else reply
                for reply, call in zip(exchange.replies, exchange.request.calls, strict=True)
            ]
            return Reply(exchange.encoded(replies).replace(b'"@"', body.encode()))

        node.always(behave)
        chain = chain_over(Endpoint(url=node.url, timeout="3s"), network="mainnet", clock=At())
        (report,) = chain.look_up([TXID], Detail.FULL, {})
        told = [each.amount.base_units for each in report.transfers]
    assert told == [2_099_999_997_690_000, 71, 1, 10_000_000]
    assert report.fee == Amount(1, BTC)


def test_replaceable_is_unknown_where_the_node_does_not_say() -> None:
    for entry, pool, told in (
        ({"bip125-replaceable": True}, {}, True),
        ({"bip125-replaceable": False}, {"fullrbf": True}, True),
        ({"bip125-replaceable": False}, {"fullrbf": False}, False),
        ({}, {}, None),
    ):
        with Node(getrawtransaction=TX, getmempoolentry={**ENTRY, **entry}, getmempoolinfo={**MEMPOOL, **pool}) as node:
            (report,) = node.look(TXID)
        assert isinstance(report.status, Pending)
        assert report.status.replaceable is told


def test_a_node_without_an_estimator_still_tells_the_rest() -> None:
    with Node(getrawtransaction=TX, estimatesmartfee=RpcError(-32603, "Fee estimation disabled")) as node:
        (report,) = node.look(TXID)
    assert isinstance(report.status, Pending)
    assert report.status.market is None
    assert report.status.eta_blocks == 1


@pytest.mark.parametrize(
    ("info", "indexes", "pool", "code"),
    [
        ({}, None, {}, None),
        ({"initialblockdownload": True, "blocks": 5}, None, {}, "not_synced"),
        ({"blocks": 899_990}, None, {}, "not_synced"),
        ({"blocks": 899_999}, None, {}, None),  # a header is always a moment ahead of its block
        ({"time": 1_800_000_000 - 4 * 3600}, None, {}, "not_synced"),
        ({}, {}, {}, "no_index"),
        ({}, {"txindex": {"synced": False, "best_block_height": 5}}, {}, "indexing"),
        ({}, None, {"loaded": False}, "not_synced"),
        ({}, UNKNOWN_METHOD, {}, None),  # before Bitcoin Core 0.21
    ],
)
def test_not_found_needs_a_node_that_is_synced_and_has_its_index(
    info: dict[str, Any], indexes: object, pool: dict[str, Any], code: str | None
) -> None:
    answers = {} if indexes is None else {"getindexinfo": indexes}
    with Node(getblockchaininfo={**INFO, **info}, getmempoolinfo={**MEMPOOL, **pool}, **answers) as node:
        reports = [*node.look(TXID), *node.look(TXID, OTHER), *node.look(TXID, detail=Detail.BRIEF)]
    for report in reports:
        assert report.remember is None
        if code is None:
            assert isinstance(report.status, NotFound)
        else:
            assert isinstance(report.status, Unknown)
            assert report.status.code == code


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("No such mempool transaction. Use -txindex or provide a block hash to enable such queries.", "no_index"),
        ("No such mempool transaction. Blockchain transactions are still in the process of being indexed.", "indexing"),
        ("No such mempool or blockchain transaction. Use gettransaction for wallet transactions.", None),
    ],
)
def test_the_words_of_nodes_without_getindexinfo_are_understood(message: str, code: str | None) -> None:
    with Node(getindexinfo=UNKNOWN_METHOD, getrawtransaction=RpcError(-5, message)) as node:
        (report,) = node.look(TXID)
    assert (report.status.code if isinstance(report.status, Unknown) else None) == code


def test_an_index_of_spent_outputs_names_the_winner_at_once() -> None:
    # Bitcoin Core with -txospenderindex: gettxspendingprevout tells spends in the chain too, with their block.
    winner = {**TX, "txid": OTHER, "blockhash": BLOCK, "confirmations": 11}
    with Node(
        getrawtransaction=lambda txid, *_: winner if txid == OTHER else NO_TX,
        gettxspendingprevout=lambda outputs: [{**each, "spendingtxid": OTHER, "blockhash": BLOCK} for each in outputs],
    ) as node:
        (report, _) = node.look(TXID, PARENT, memory=pending_sighting(f"{PARENT}:1"))
    assert isinstance(report.status, Replaced)
    assert (report.status.by, report.status.final, report.status.outpoint) == (OTHER, True, f"{PARENT}:1")


def test_a_node_that_cannot_tell_mempool_spenders_leaves_dropped(  # before Bitcoin Core 24
) -> None:
    with Node(gettxspendingprevout=UNKNOWN_METHOD) as node:
        (report,) = node.look(TXID, memory=pending_sighting(f"{PARENT}:1"))
    assert isinstance(report.status, Dropped)


def test_a_transaction_that_is_mined_while_it_is_looked_up_is_asked_for_again() -> None:
    seen: list[str] = []

    def transaction(txid: str, *_: object) -> object:
        seen.append(txid)
        mined = {"blockhash": BLOCK, "confirmations": 1, "fee": 0.00001}
        return {**TX, **mined} if len(seen) > 1 else TX

    with Node(getrawtransaction=transaction, getmempoolentry=RpcError(-5, "Transaction not in mempool")) as node:
        (report,) = node.look(TXID)
        assert report.state == "confirming"
    with Node(getrawtransaction=TX, getmempoolentry=RpcError(-5, "Transaction not in mempool")) as node:
        (report,) = node.look(TXID)
    assert isinstance(report.status, Unknown)
    assert report.status.code == "busy"


def test_a_transaction_that_is_mined_while_its_coins_are_followed_is_not_called_replaced() -> None:
    asked: list[str] = []

    def transaction(txid: str, *_: object) -> object:
        asked.append(txid)
        mined = {"blockhash": BLOCK, "confirmations": 1, "fee": 0.00001}
        if txid == PARENT:
            return {**MINED, "txid": PARENT}
        return {**TX, **mined} if txid == TXID and asked.count(TXID) > 1 else NO_TX

    with Node(getrawtransaction=transaction) as node:
        (report, _) = node.look(TXID, OTHER, memory=pending_sighting(f"{PARENT}:1"))
    assert report.state == "confirming"
    with Node(getrawtransaction=lambda txid, *_: {**MINED, "txid": PARENT} if txid == PARENT else NO_TX) as node:
        (report, _) = node.look(TXID, OTHER, memory=pending_sighting(f"{PARENT}:1"))
    assert isinstance(report.status, Replaced)
    assert (report.status.by, report.status.final) == (None, False)


def both(first: Node, second: Node, memory: dict[str, Sighting], detail: Detail = Detail.FULL) -> TxReport:
    """One look through two nodes, asked in this order."""
    endpoints = (Endpoint(url=node.url, timeout="3s") for node in (first, second))
    ids = [TXID] if detail is Detail.FULL else [TXID, *(f"{number:064x}" for number in range(30))]
    return chain_over(*endpoints, network="mainnet", clock=At()).look_up(ids, detail, memory)[0]


@pytest.mark.parametrize("detail", [Detail.FULL, Detail.BRIEF])
def test_a_node_that_is_far_behind_does_not_say_that_it_waits(detail: Detail) -> None:
    late = {**INFO, "blocks": 899_000, "time": 1_800_000_000 - 3 * 86_400}
    memory = pending_sighting(f"{PARENT}:1")
    pool = {"getrawtransaction": lambda txid, *_: TX if txid == TXID else NO_TX, "getrawmempool": [TXID]}
    with (
        Node(getblockchaininfo=late, **pool) as behind,
        Node(getrawtransaction=lambda txid, *_: MINED if txid == TXID else NO_TX) as synced,
        Node() as unknowing,
        Node(**pool) as waiting,
    ):
        assert both(behind, synced, memory, detail).state == "confirmed"
        assert both(behind, waiting, memory, detail).state == "pending"
        status = both(behind, unknowing, {}, detail).status
    assert isinstance(status, Unknown)
    assert status.code == "not_synced"


def test_gone_is_not_said_while_a_node_that_may_have_it_is_silent() -> None:
    memory = pending_sighting(f"{PARENT}:1")
    coin = {"value": 0.5, "confirmations": 9, "scriptPubKey": {"hex": SCRIPT}}
    with Node(gettxout=coin) as node, Node(gettxout=coin) as other:
        assert both(node, other, memory).state == "dropped"
        other.always(Reply(b"", 503))
        status = both(node, other, memory).status
    assert isinstance(status, Unknown)
    assert status.nodes == (other.url.removeprefix("http://"),)


def test_what_spends_more_than_can_be_followed_is_not_called_gone() -> None:
    spent = [f"{number:064x}:0" for number in range(1, spends.MOST_INPUTS + 2)]
    coin = {"value": 0.5, "confirmations": 9, "scriptPubKey": {"hex": SCRIPT}}
    for inputs, state in ((spent[1:], "dropped"), (spent, "unknown")):
        with Node(gettxout=coin) as node:
            (report,) = node.look(TXID, memory=pending_sighting(*inputs))
        assert report.state == state


def test_a_user_who_may_not_see_the_wallets_is_told_the_rest(bitcoind_with: Callable[..., Bitcoind]) -> None:
    salt = "ab" * 16
    password = hmac.new(salt.encode(), b"reader", "sha256").hexdigest()
    methods = "getblockchaininfo,getrawtransaction,getblockheader,getindexinfo,getmempoolinfo,gettransaction"
    options = (f"-rpcauth=reader:{salt}${password}", f"-rpcwhitelist=reader:{methods}", "-rpcwhitelistdefault=0")
    node = bitcoind_with(*options)
    chain = chain_over(Endpoint(url=node.url, own=True, rpc_user="reader", rpc_password="reader"))
    (report,) = chain.look_up(["ab" * 32], Detail.FULL, {})
    assert isinstance(report.status, NotFound)


def test_words_of_a_node_are_not_passed_on_with_a_password_in_them() -> None:
    secret = "Pa55word-of-the-desk"
    with Node(
        getnetworkinfo={"version": 1, "subversion": f"/{secret}/", "connections": 1},
        getrawtransaction={**MINED, "vout": [{**OUTPUT, "value": secret}]},
    ) as node:
        mine = Endpoint(url=node.url, timeout="3s", own=True, rpc_user="desk", rpc_password=secret)
        chain = chain_over(mine, network="mainnet", clock=At())
        assert secret not in chain.health()[0].message
        with pytest.raises(NodesFailed) as caught:
            chain.look_up([TXID], Detail.FULL, {})
        assert "number" in caught.value.message
        assert secret not in caught.value.message


def test_what_is_mined_together_is_what_the_node_says_it_is() -> None:
    entry = {**ENTRY, "descendantsize": 220, "chunkweight": 880}
    for fees, rate in (
        ({"descendant": 0.00022}, 100_000),
        ({"descendant": 0.00002}, 18_181),
        ({"descendant": 0.00022, "chunk": 0.00011}, 50_000),
    ):
        told = {**entry, "fees": {**ENTRY["fees"], **fees}}  # type: ignore[dict-item]
        with Node(getrawtransaction=TX, getmempoolentry=told) as node:
            (report,) = node.look(TXID)
        assert isinstance(report.status, Pending)
        assert report.status.feerate == FeeRate(rate)


def test_a_node_of_another_kind_is_named_as_such() -> None:
    with (
        HostileNode(lambda method, params: UNKNOWN_METHOD) as node,
        pytest.raises(NodesFailed, match="is no bitcoind") as caught,
    ):
        chain_over(Endpoint(url=node.url, timeout="3s")).look_up([TXID], Detail.FULL, {})
    assert caught.value.failures[0].reason == "wrong_chain"
