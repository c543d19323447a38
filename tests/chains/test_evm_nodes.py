"""EVM nodes that lag, lack methods, contradict themselves or lie, over real HTTP: nothing is concluded too early."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cryptosupport.domain.addresses import AddressOnChain
from cryptosupport.domain.errors import BadSettings, NodesFailed
from cryptosupport.domain.transactions import (
    Confirmed,
    Confirming,
    Detail,
    Dropped,
    Failed,
    NotFound,
    Pending,
    PendingReason,
    Replaced,
    Sighting,
    Unknown,
)
from cryptosupport.domain.wording import summary
from cryptosupport.outside.nodes import Anvil
from cryptosupport.settings import AssetSettings, Endpoint
from tests.chains.evmkit import (
    ALICE,
    FINALIZED,
    FOUND,
    GWEI,
    HASH,
    HEAD,
    MINED,
    NOW,
    OTHER,
    SEEN_MINED,
    SEEN_WAITING,
    TXID,
    chain_over,
    deploy,
    header,
    in_turn,
    look,
    mined,
    node_of,
    number,
    receipt,
    send,
    status_of,
    text_words,
    transaction,
    vector,
    words,
)
from tests.hostile import HostileNode, RpcError

# -- what is final ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "kind"), [(FINALIZED, Confirmed), (FINALIZED + 1, Confirming), (HEAD, Confirming)])
def test_a_block_is_final_up_to_and_with_the_finalized_one(height: int, kind: type[Confirmed | Confirming]) -> None:
    block = {"blockHash": HASH, "blockNumber": hex(height)}
    answers = {
        "eth_getTransactionByHash": transaction(**block),
        "eth_getTransactionReceipt": receipt(height=height),
    }
    status = status_of(answers)
    assert isinstance(status, kind)
    assert status.confirmations == HEAD - height + 1


@pytest.mark.parametrize("tagged", [None, RpcError(-32000, "'finalized' tag not supported on pre-merge network")])
def test_a_node_that_does_not_know_the_tag_makes_nothing_final(tagged: object) -> None:
    blocks = {"eth_getBlockByNumber": lambda tag, full: tagged if tag == "finalized" else header(800)}
    assert isinstance(status_of({**FOUND, **blocks}), Confirming)
    failed = {**FOUND, **blocks, "eth_getTransactionReceipt": receipt(status="0x0")}
    status = status_of(failed)
    assert isinstance(status, Failed)
    assert status.final is False


def test_a_block_that_arrives_between_two_questions_counts_one_confirmation() -> None:
    block = {"blockHash": HASH, "blockNumber": hex(HEAD + 1)}
    answers = {
        "eth_getTransactionByHash": transaction(**block),
        "eth_getTransactionReceipt": receipt(height=HEAD + 1),
    }
    status = status_of(answers)
    assert isinstance(status, Confirming)
    assert status.confirmations == 1


# -- receipts and transactions that do not fit -----------------------------------------------------------------------


RECEIPTS = vector("synthetic_evm_receipts")["cases"]


@pytest.mark.parametrize("case", RECEIPTS, ids=[case["name"] for case in RECEIPTS])
def test_unusual_receipts_are_read_for_what_they_say(case: dict[str, Any]) -> None:
    answers = {"eth_getTransactionByHash": case["transaction"], "eth_getTransactionReceipt": case["receipt"]}
    with HostileNode(node_of(answers)) as node:
        for detail in Detail:
            report = look(chain_over(node.url, finality="finalized"), TXID, detail=detail)
            assert report.state == case["state"]
            assert report.outcome_known is case["outcome_known"]
            if detail is not Detail.BRIEF:
                assert (None if report.fee is None else str(report.fee.base_units)) == case["fee"]
                assert len(report.transfers) == case["transfers"]


def test_a_transaction_mined_between_two_questions_counts_as_mined() -> None:
    assert isinstance(status_of({**FOUND, "eth_getTransactionByHash": transaction()}), Confirmed)


@pytest.mark.parametrize(
    "answers",
    [
        {"eth_getTransactionReceipt": receipt()},
        {"eth_getTransactionByHash": transaction(**MINED)},
        {**FOUND, "eth_getTransactionReceipt": receipt(blockHash="0x" + "44" * 32)},
    ],
    ids=["receipt_alone", "transaction_alone", "two_blocks"],
)
def test_what_contradicts_itself_is_asked_again_and_then_unknown(answers: dict[str, Any]) -> None:
    status = status_of(answers)
    assert isinstance(status, Unknown)
    assert status.code == "bad_answer"
    assert "contradicts itself" in status.message
    assert len(status.nodes) == 1
    healed = {method: in_turn(value, FOUND[method]) for method, value in answers.items()}
    assert isinstance(status_of({**FOUND, **healed}), Confirmed)


def test_a_receipt_of_a_block_that_left_the_chain_is_asked_for_again() -> None:
    orphaned = receipt(blockHash="0x" + "44" * 32)
    moved = {
        "eth_getTransactionByHash": in_turn(transaction(**{**MINED, "blockHash": "0x" + "44" * 32}), transaction()),
        "eth_getTransactionReceipt": in_turn(orphaned, None),
    }
    status = status_of(moved)
    assert isinstance(status, Pending)
    assert (status.reason, status.was_in) == (PendingReason.REORGED, "0x" + "44" * 32)


@pytest.mark.parametrize(("height", "finality"), [(HEAD - 1, {"finality": "finalized"}), (800, {"confirmations": 1})])
@pytest.mark.parametrize("detail", Detail)
def test_a_receipt_of_a_block_outside_the_chain_counts_in_no_look(
    detail: Detail, height: int, finality: dict[str, Any]
) -> None:
    block = {"blockHash": "0x" + "44" * 32, "blockNumber": hex(height)}
    answers = {
        "eth_getTransactionByHash": transaction(**block),
        "eth_getTransactionReceipt": receipt(height=height, blockHash=block["blockHash"]),
    }
    with HostileNode(node_of(answers)) as node:
        status = look(chain_over(node.url, **finality), TXID, detail=detail).status
    assert isinstance(status, Unknown)
    assert "names a block that the chain does not have" in status.message


def test_answers_about_another_transaction_are_refused() -> None:
    for answers in (
        {**FOUND, "eth_getTransactionByHash": transaction(OTHER, **MINED)},
        {**FOUND, "eth_getTransactionReceipt": receipt(OTHER)},
    ):
        status = status_of(answers)
        assert isinstance(status, Unknown)
        assert "another transaction" in status.message


def test_one_strange_answer_does_not_spoil_the_others() -> None:
    good = {"0x" + f"{n:064x}": n for n in range(20)}

    def by_hash(txid: str) -> Any:
        return transaction(txid, **MINED) if txid in good else {"hash": 7}

    answers = {"eth_getTransactionByHash": by_hash, "eth_getTransactionReceipt": lambda txid: receipt(txid)}
    with HostileNode(node_of(answers)) as node:
        reports = chain_over(node.url, finality="finalized").look_up([*good, OTHER], Detail.FULL, {})
    assert [report.state for report in reports] == ["confirmed"] * 20 + ["unknown"]


# -- nodes that cannot say -------------------------------------------------------------------------------------------


def test_a_node_that_builds_its_index_knows_no_old_transaction() -> None:
    indexing = RpcError(-32000, "transaction indexing is in progress", "transaction indexing is in progress")
    for answers in (
        {"eth_getTransactionByHash": indexing, "eth_getTransactionReceipt": indexing},
        {"eth_getTransactionReceipt": indexing},
    ):
        for detail in (Detail.FULL, Detail.BRIEF):
            status = status_of(answers, detail=detail)
            assert isinstance(status, Unknown)
            assert status.code == "indexing"


def test_a_syncing_node_does_not_say_not_found() -> None:
    status = status_of({"eth_syncing": {"currentBlock": "0x1", "highestBlock": "0x64"}})
    assert isinstance(status, Unknown)
    assert status.code == "not_synced"
    assert isinstance(status_of({}), NotFound)


def test_a_node_without_new_blocks_does_not_say_not_found() -> None:
    late = {"eth_chainId": "0x1"}
    assert isinstance(status_of(late, chain_id=1, now=NOW + 599), NotFound)
    status = status_of(late, chain_id=1, now=NOW + 601)
    assert isinstance(status, Unknown)
    assert status.code == "not_synced"
    assert "10 minutes" in status.message
    assert isinstance(status_of({}, now=NOW + 10**6), NotFound)  # a development chain rests between blocks


def test_a_node_of_another_chain_is_refused() -> None:
    with HostileNode(node_of({**FOUND, "eth_chainId": "0x5"})) as node:
        chain = chain_over(node.url)
        with pytest.raises(NodesFailed, match=r"chain 5.*chain_id = 31337") as caught:
            chain.look_up([TXID], Detail.FULL, {})
        assert [failure.reason for failure in caught.value.failures] == ["wrong_chain"]
        with pytest.raises(NodesFailed, match="chain 5"):
            chain.describe_address(chain.parse_address(ALICE) or pytest.fail("no address"))
        (verdict,) = chain.health()
        assert (verdict.ok, "chain 5" in verdict.message) == (False, True)


def test_the_chain_is_checked_once_a_node(anvil: Anvil) -> None:
    with HostileNode(node_of(FOUND)) as node:
        chain = chain_over(node.url)
        for _ in range(3):
            look(chain, TXID)
        assert [method for method, _ in node.calls].count("eth_chainId") == 1


# -- several nodes ---------------------------------------------------------------------------------------------------


def statuses_over(*answers: dict[str, Any], memory: Sighting | None = None) -> Any:
    """What is said of TXID by a chain of several nodes, asked in this order."""
    nodes = [HostileNode(node_of(one)) for one in answers]
    for node in nodes:
        node.__enter__()
    try:
        return look(chain_over(*(node.url for node in nodes), finality="finalized"), TXID, memory).status
    finally:
        for node in nodes:
            node.__exit__(None, None, None)


SYNCING = {"eth_syncing": {"currentBlock": "0x1"}}
BROKEN = {"eth_blockNumber": "soon"}


def test_found_on_any_node_is_found() -> None:
    assert isinstance(statuses_over({}, FOUND), Confirmed)
    assert isinstance(statuses_over(SYNCING, {}, {"eth_getTransactionByHash": transaction()}), Pending)
    assert isinstance(statuses_over(BROKEN, {}, FOUND), Confirmed)
    assert isinstance(statuses_over({}, {"eth_getTransactionByHash": transaction()}, FOUND), Confirmed)


@pytest.mark.parametrize("count", ["0x5", "0x6"], ids=["waiting", "used"])
def test_the_pool_of_a_node_out_of_step_is_not_believed(count: str) -> None:
    winner = {"eth_getTransactionBySenderAndNonce": transaction(OTHER, **MINED)}
    stale = {**SYNCING, **winner, "eth_getTransactionByHash": transaction(), "eth_getTransactionCount": count}
    assert isinstance(statuses_over(stale, FOUND), Confirmed)
    for detail in Detail:
        status = status_of(stale, detail=detail)
        assert isinstance(status, Unknown)
        assert status.code == "not_synced"


def test_a_stuck_nodes_pool_is_not_believed_and_the_next_node_is_asked(anvil_with: Callable[..., Anvil]) -> None:
    options = ("--chain-id", "1", "--no-mining", "--timestamp", "1800000000")
    stuck, good = anvil_with(*options), anvil_with(*options)
    fees = {"maxFeePerGas": 5 * GWEI, "maxPriorityFeePerGas": GWEI, "nonce": 0}
    txid = send(stuck, **fees)
    assert send(good, **fees) == txid
    good.rpc("evm_setNextBlockTimestamp", 1_800_007_200)
    good.mine()
    for detail in Detail:
        assert look(chain_over(stuck.url, chain_id=1, now=1_800_000_010), txid, detail=detail).state == "pending"
        alone = look(chain_over(stuck.url, chain_id=1, now=1_800_007_200), txid, detail=detail).status
        assert isinstance(alone, Unknown)
        assert (alone.code, "120 minutes" in alone.message) == ("not_synced", True)
        both = look(chain_over(stuck.url, good.url, chain_id=1, now=1_800_007_200), txid, detail=detail)
        assert both.state == "confirmed"


def test_not_found_names_every_node_that_was_asked() -> None:
    status = statuses_over({}, {}, {})
    assert isinstance(status, NotFound)
    assert len(set(status.nodes)) == 3


def test_not_found_on_one_is_unknown_while_another_cannot_say() -> None:
    for answers, code in (((SYNCING, {}), "not_synced"), (({}, SYNCING), "not_synced"), (({}, BROKEN), "bad_answer")):
        status = statuses_over(*answers)
        assert isinstance(status, Unknown)
        assert status.code == code
        assert len(status.nodes) == 1


def test_dropped_needs_every_node_too() -> None:
    assert statuses_over({}, {}, memory=SEEN_WAITING) == Dropped(False, None)
    assert isinstance(statuses_over({}, SYNCING, memory=SEEN_WAITING), Unknown)
    assert isinstance(statuses_over({}, {"eth_getTransactionByHash": transaction()}, memory=SEEN_WAITING), Pending)


def test_a_named_winner_counts_though_another_node_is_down() -> None:
    winner = transaction(OTHER, **MINED)
    used = {"eth_getTransactionCount": "0x6", "eth_getTransactionBySenderAndNonce": winner}
    assert statuses_over(used, BROKEN, memory=SEEN_WAITING) == Replaced(OTHER, True, 5)
    unnamed = {"eth_getTransactionCount": "0x6"}
    assert isinstance(statuses_over(unnamed, BROKEN, memory=SEEN_WAITING), Unknown)
    assert statuses_over(unnamed, used, memory=SEEN_WAITING) == Replaced(OTHER, True, 5)


# -- what a node writes ---


KEY = "s3cr3tkey0123456789abcdef"
KEYED = f"bad https://user:hunter2@node.example/v2/{KEY}?k={KEY} {'x' * 120} {KEY}"
FAILED = {**FOUND, "eth_getTransactionReceipt": receipt(status="0x0")}


@pytest.mark.parametrize(
    "answers",
    [
        {**FAILED, "debug_traceTransaction": {"error": KEYED}},
        {**FAILED, "debug_traceTransaction": {"error": "execution reverted", "revertReason": KEYED}},
        {**FAILED, "debug_traceTransaction": {"error": "reverted", "output": "0x08c379a0" + text_words(KEYED)}},
        {**FAILED, "eth_call": RpcError(3, KEYED)},
        {**FAILED, "eth_call": RpcError(3, "execution reverted", "0x08c379a0" + text_words(KEYED))},
        {**FOUND, "eth_getTransactionReceipt": receipt(status=KEYED)},
        {**FOUND, "eth_getTransactionReceipt": receipt(gasUsed=KEYED)},
        {**FOUND, "eth_getTransactionReceipt": receipt(gasUsed="0x" + "y" * 60 + KEY)},
        {**FOUND, "eth_getTransactionReceipt": receipt(blockHash=KEYED)},
        {**FOUND, "eth_getTransactionByHash": transaction(**{**MINED, "from": KEYED})},
        {**FOUND, "eth_getTransactionByHash": transaction(**{**MINED, "type": KEYED})},
        {"eth_getTransactionByHash": RpcError(-32000, KEYED)},
        {"eth_getTransactionByHash": RpcError(-32000, f"transaction indexing is in progress {KEYED}")},
    ],
)
def test_an_endpoints_key_in_an_answer_is_told_to_nobody(answers: dict[str, Any]) -> None:
    with HostileNode(node_of(answers)) as node:
        report = look(chain_over(f"{node.url}/v2/{KEY}", finality="finalized"), TXID, detail=Detail.EXPLAIN)
    assert report.state in ("failed", "confirmed", "unknown")
    for start in range(0, len(KEY) - 8, 4):
        assert KEY[start : start + 8] not in repr(report)
    assert "hunter2" not in repr(report)


@pytest.mark.parametrize(
    "text", ["0x1_0", "0x5 ", " 0x5", "0x 5", "0x+5", "0x", "", "5", "0X5", "0x\u0665", "0x0x5", "-0x5"]
)
def test_a_number_is_0x_and_hex_digits_and_nothing_else(text: str) -> None:
    status = status_of({"eth_getTransactionByHash": transaction(nonce=text)})
    assert isinstance(status, Unknown)
    assert "is not a number in hex" in status.message


def test_a_nonce_past_the_last_one_is_refused() -> None:
    assert isinstance(status_of({"eth_getTransactionByHash": transaction(nonce=hex(2**64 - 1))}), Unknown)


def test_a_contract_that_pays_out_is_not_said_to_have_moved_nothing(anvil: Anvil) -> None:
    forwards = "5f5f5f5f475f355af100"  # CALL with the whole balance to the address in the calldata
    contract, payee = deploy(anvil, forwards), anvil.rpc("eth_accounts")[5]
    anvil.rpc("anvil_setBalance", contract, hex(10**18))
    before = number(anvil.rpc("eth_getBalance", payee, "latest"))
    txid = mined(anvil, to=contract, value=0, data="0x" + words(payee))
    assert number(anvil.rpc("eth_getBalance", payee, "latest")) == before + 10**18
    report = look(chain_over(anvil.url, confirmations=5), txid)
    assert (report.state, report.transfers) == ("confirming", ())
    assert summary(report, "en").endswith(": 1 confirmation of 5 so far.")


# -- everything else -------------------------------------------------------------------------------------------------


def test_a_contract_is_told_from_an_account(anvil: Anvil) -> None:
    chain = chain_over(anvil.url)
    account = chain.parse_address(ALICE)
    assert account is not None
    told = chain.describe_address(account)
    assert told == AddressOnChain(False, f"eth_getCode @ {anvil.url.removeprefix('http://')}")
    anvil.rpc("anvil_setCode", ALICE, "0x00")
    assert chain.describe_address(account).contract is True
    anvil.rpc("anvil_setCode", ALICE, "0xef0100" + "11" * 20)  # EIP-7702: still an account
    assert chain.describe_address(account).contract is False


def test_health_is_a_verdict_on_each_node(anvil: Anvil) -> None:
    anvil.mine(7)
    nodes = [HostileNode(node_of(one)) for one in (SYNCING, {"eth_getBlockByNumber": in_turn(header(5), None)})]
    for node in nodes:
        node.__enter__()
    try:
        urls = [anvil.url, *(node.url for node in nodes), "http://127.0.0.1:9"]
        verdicts = chain_over(*urls, finality="finalized").health()
    finally:
        for node in nodes:
            node.__exit__(None, None, None)
    assert [verdict.ok for verdict in verdicts] == [True, False, False, False]
    assert verdicts[0].height == 7
    assert "syncing" in verdicts[1].message
    assert "'finalized'" in verdicts[2].message
    assert all(url.removeprefix("http://") in one.message for url, one in zip(urls, verdicts, strict=True))


def test_an_esplora_endpoint_is_refused_for_an_evm_chain() -> None:
    with pytest.raises(BadSettings, match="kind jsonrpc"):
        chain_over(endpoints=(Endpoint(url="http://127.0.0.1:9", kind="esplora"),))


def test_more_ids_at_once_on_own_nodes() -> None:
    own = Endpoint(url="http://127.0.0.1:9", own=True)
    hosted = Endpoint(url="http://127.0.0.1:10")
    assert chain_over(endpoints=(own,)).lookups_per_call > chain_over(endpoints=(own, hosted)).lookups_per_call
    assert 2 * chain_over(endpoints=(hosted,)).lookups_per_call + 3 <= 100  # what Bor takes in a batch


def test_polling_follows_the_chains_blocks() -> None:
    assert [chain_over(block_time=time).poll_seconds for time in ("1ms", "2s", "10m")] == [0.2, 2.0, 15.0]


def test_explain_names_every_fact_with_its_source(anvil: Anvil) -> None:
    txid = mined(anvil)
    source = anvil.url.removeprefix("http://")
    report = look(chain_over(anvil.url), txid, detail=Detail.EXPLAIN)
    facts = {fact.name: fact for fact in report.facts}
    assert len(facts) == len(report.facts)
    receipt = anvil.rpc("eth_getTransactionReceipt", txid)
    assert facts["gas_used"].value == str(int(receipt["gasUsed"], 16))
    assert facts["gas_used"].source == f"eth_getTransactionReceipt @ {source}"
    assert facts["sender_nonce"].value == "1"
    assert facts["canonical_block_hash"].value == receipt["blockHash"]
    assert {"chain_id", "head", "nonce", "gas_limit", "effective_gas_price", "base_fee", "type", "value"} <= set(facts)
    anvil.rpc("evm_setAutomine", False)
    waiting = look(chain_over(anvil.url), send(anvil), detail=Detail.EXPLAIN)
    assert {"sender_nonce", "sender_nonce_with_pool", "latest_base_fee", "nonce"} <= {f.name for f in waiting.facts}


def test_explain_of_a_lost_transaction_names_what_is_remembered() -> None:
    with HostileNode(node_of({})) as node:
        report = look(chain_over(node.url), TXID, SEEN_MINED, Detail.EXPLAIN)
    facts = {fact.name: (fact.value, fact.source) for fact in report.facts}
    assert facts["was_in_block"] == ("0x" + "22" * 32, "memory")
    assert facts["nonce"] == ("5", "memory")
    assert "sender_nonce" in facts


def test_a_chain_without_a_base_fee_tells_its_gas_price() -> None:
    old = header(HEAD)
    del old["baseFeePerGas"]
    answers = {
        "eth_getTransactionByHash": transaction(maxFeePerGas=None, maxPriorityFeePerGas=None),
        "eth_getBlockByNumber": old,
        "eth_feeHistory": RpcError(-32601, "method not found"),
        "eth_gasPrice": hex(3 * GWEI),
    }
    status = status_of(answers, assets={"OKT": AssetSettings(decimals=18)})
    assert isinstance(status, Pending)
    assert (status.reason, str(status.feerate), str(status.market)) == (PendingReason.WAITING, "2 gwei", "3 gwei")
