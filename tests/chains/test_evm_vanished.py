"""EVM transactions that were seen and are gone, over real HTTP: replaced, dropped, or only out of the node's reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cryptosupport.domain.transactions import (
    Confirmed,
    Detail,
    Dropped,
    Pending,
    PendingReason,
    Replaced,
    Sighting,
    Unknown,
)
from cryptosupport.outside.nodes import Anvil
from tests.chains.evmkit import (
    ALICE,
    GWEI,
    HEAD,
    MINED,
    NOW,
    OTHER,
    SEEN_MINED,
    SEEN_WAITING,
    TXID,
    chain_over,
    header,
    in_turn,
    look,
    mined,
    node_of,
    receipt,
    seen,
    send,
    status_of,
    transaction,
    without,
)
from tests.hostile import HostileNode, RpcError


def counts(latest: int, pending: int | None = None, final: int = 0) -> Callable[[str, str], str]:
    """eth_getTransactionCount of a sender whose next nonces these are."""

    def answer(sender: str, tag: str) -> str:
        assert sender.lower() == ALICE
        by_tag = {"latest": latest, "pending": latest if pending is None else pending}
        return hex(by_tag.get(tag, final))

    return answer


def test_a_nonce_that_is_used_and_a_winner_nobody_names() -> None:
    assert status_of({"eth_getTransactionCount": counts(6)}, SEEN_WAITING) == Replaced(None, False, 5)
    assert status_of({"eth_getTransactionCount": counts(6, final=5)}, SEEN_WAITING) == Replaced(None, False, 5)
    assert status_of({"eth_getTransactionCount": counts(6, final=6)}, SEEN_WAITING) == Replaced(None, True, 5)


def test_a_nonce_that_the_transaction_itself_has_just_used_is_no_replacement() -> None:
    mined_meanwhile = {
        "eth_getTransactionByHash": in_turn(None, transaction(**MINED)),
        "eth_getTransactionReceipt": in_turn(None, receipt()),
        "eth_getTransactionCount": counts(6),
    }
    assert isinstance(status_of(mined_meanwhile, SEEN_WAITING), Confirmed)
    was_waiting = {**mined_meanwhile, "eth_getTransactionByHash": in_turn(transaction(), transaction(**MINED))}
    assert isinstance(status_of(was_waiting), Confirmed)


def test_a_pool_that_keeps_a_transaction_whose_nonce_is_used_has_a_replaced_one() -> None:
    stale = {
        "eth_getTransactionByHash": transaction(),
        "eth_getTransactionCount": counts(6, final=6),
        "eth_getTransactionBySenderAndNonce": OTHER,  # the hash alone, as geth gives it
    }
    for detail in Detail:
        assert status_of(stale, detail=detail) == Replaced(OTHER, True, 5)


def test_a_node_that_names_the_transaction_itself_as_winner_has_lost_its_index() -> None:
    own = {"eth_getTransactionCount": counts(6), "eth_getTransactionBySenderAndNonce": transaction(**MINED)}
    status = status_of(own, SEEN_WAITING)
    assert isinstance(status, Unknown)
    assert status.code == "no_index"


def test_a_pool_count_past_the_nonce_tells_of_a_rival_without_a_name() -> None:
    assert status_of({"eth_getTransactionCount": counts(5, 6)}, SEEN_WAITING) == Replaced(None, False, 5)


def test_a_rival_in_the_pool_is_named_by_the_pool_itself() -> None:
    pool = {"pending": {"5": transaction(OTHER)}, "queued": {"x": transaction()}}
    answers = {"eth_getTransactionCount": counts(5, 6), "txpool_contentFrom": pool}
    assert status_of(answers, SEEN_WAITING) == Replaced(OTHER, False, 5)


def test_a_pool_that_holds_what_cannot_be_looked_up_contradicts_itself() -> None:
    pool = {"pending": {"5": transaction()}, "queued": {}}
    status = status_of({"eth_getTransactionCount": counts(5, 6), "txpool_contentFrom": pool}, SEEN_WAITING)
    assert isinstance(status, Unknown)
    assert "contradicts itself" in status.message


def test_a_nonce_gap_is_found_in_the_pool_itself() -> None:
    pool = {"pending": {"2": transaction(OTHER)}, "queued": {"4": transaction(OTHER), "5": transaction()}}
    answers = {
        "eth_getTransactionByHash": transaction(),
        "eth_getTransactionCount": counts(2),
        "txpool_contentFrom": pool,
    }
    status = status_of(answers)
    assert isinstance(status, Pending)
    assert (status.reason, status.missing_nonce) == (PendingReason.NONCE_GAP, 3)


def test_a_nonce_gap_is_the_pools_own_count_where_nothing_else_answers() -> None:
    status = status_of({"eth_getTransactionByHash": transaction(), "eth_getTransactionCount": counts(2, 4)})
    assert isinstance(status, Pending)
    assert (status.reason, status.missing_nonce) == (PendingReason.NONCE_GAP, 4)


@pytest.mark.parametrize("error", [RpcError(-32602, "pending tag is not supported"), "0x1_0", None])
def test_no_nonce_gap_is_made_up_where_the_node_cannot_tell(error: object) -> None:
    def count(sender: str, tag: str) -> Any:
        return error if tag == "pending" else "0x2"

    waiting = {"eth_getTransactionByHash": transaction(), "eth_getTransactionCount": count}
    assert (status_of(waiting).reason, status_of(waiting).missing_nonce) == (PendingReason.WAITING, None)
    cheap = {**waiting, "eth_feeHistory": {"gasUsedRatio": [], "baseFeePerGas": [hex(9 * GWEI)]}}
    assert (status_of(cheap).reason, status_of(cheap).missing_nonce) == (PendingReason.LOW_FEE, None)
    shown = {**waiting, "txpool_contentFrom": {"pending": {"2": transaction(OTHER)}, "queued": {"5": transaction()}}}
    assert status_of(shown).missing_nonce == 3


def test_a_node_that_fails_to_look_by_nonce_has_not_said_that_nothing_is_there() -> None:
    limited = RpcError(-32000, "try again")
    answers = {"eth_getTransactionByHash": transaction(), "eth_getTransactionBySenderAndNonce": limited}
    assert status_of({**answers, "eth_getTransactionCount": counts(2, 4)}).missing_nonce == 4
    uncounted = lambda sender, tag: limited if tag == "pending" else "0x2"  # noqa: E731
    assert status_of({**answers, "eth_getTransactionCount": uncounted}).reason is PendingReason.WAITING


def test_a_block_that_left_the_chain_is_named() -> None:
    assert status_of({}, SEEN_MINED) == Dropped(False, "0x" + "22" * 32)
    waiting = status_of({"eth_getTransactionByHash": transaction()}, SEEN_MINED)
    assert isinstance(waiting, Pending)
    assert (waiting.reason, waiting.was_in) == (PendingReason.REORGED, "0x" + "22" * 32)


@pytest.mark.parametrize("answers", [{}, {"eth_getTransactionByHash": transaction()}])
def test_a_block_that_is_still_in_the_chain_was_not_left(answers: dict[str, Any]) -> None:
    kept = {"eth_getBlockByNumber": lambda tag, full: header(990, "0x" + "22" * 32)}
    status = status_of({**answers, **kept}, SEEN_MINED)
    assert isinstance(status, Unknown)
    assert status.code == "no_index"


def test_without_its_nonce_nobody_says_what_became_of_a_transaction() -> None:
    mined = Sighting("dev", TXID, NOW, NOW, "confirmed", "0x" + "22" * 32, 990, ALICE)
    waiting = Sighting("dev", TXID, NOW, NOW, "pending")
    for memory, words in ((mined, "0x" + "22" * 32 + " has left the chain"), (waiting, "not remembered")):
        for detail in Detail:
            status = status_of({}, memory, detail=detail)
            assert isinstance(status, Unknown)
            assert status.code == "no_nonce"
            assert words in status.message


def test_a_brief_look_remembers_the_nonce_of_what_is_not_final(anvil: Anvil) -> None:
    chain = chain_over(anvil.url, confirmations=2)
    snapshot = anvil.rpc("evm_snapshot")
    txid = mined(anvil)
    memory = seen(look(chain, txid, detail=Detail.BRIEF))
    assert memory.nonce == 0
    anvil.rpc("evm_revert", snapshot)
    rival = mined(anvil, nonce=0, value=5, maxFeePerGas=100 * GWEI, maxPriorityFeePerGas=10 * GWEI)
    assert look(chain, txid, memory).status == Replaced(rival, False, 0)
    assert look(chain, txid, memory, Detail.BRIEF).status == Replaced(rival, False, 0)


def test_a_remembered_nonce_outlives_a_brief_look_at_an_orphaned_receipt() -> None:
    orphaned = {
        "eth_getTransactionReceipt": in_turn(receipt(blockHash="0x" + "44" * 32), None),
        "eth_getTransactionCount": counts(6),
        "eth_getTransactionBySenderAndNonce": OTHER,
    }
    memory = Sighting("dev", TXID, NOW, NOW, "confirming", "0x" + "44" * 32, 800, ALICE, 5)
    with HostileNode(node_of(orphaned)) as node:
        assert look(chain_over(node.url), TXID, memory, Detail.BRIEF).status == Replaced(OTHER, False, 5)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (3, 40), (70, 1), (40, 300)])
def test_the_winner_is_searched_for_in_the_blocks(anvil_with: Callable[..., Anvil], before: int, after: int) -> None:
    anvil = anvil_with("--no-mining")
    if before:
        anvil.mine(before)
    old = send(anvil, nonce=0, maxFeePerGas=5 * GWEI, maxPriorityFeePerGas=GWEI)
    memory = seen(look(chain_over(anvil.url), old))
    new = send(anvil, nonce=0, value=2, maxFeePerGas=10 * GWEI, maxPriorityFeePerGas=3 * GWEI)
    anvil.mine(1)
    if after:
        anvil.mine(after)
    with HostileNode(without(anvil, "eth_getTransactionBySenderAndNonce", "txpool_contentFrom")) as node:
        chain = chain_over(node.url, confirmations=5)
        report = look(chain, old, memory)
        assert report.status == Replaced(new, after + 1 >= 5, 0)
        assert len(node.calls) < 150
        several = chain.look_up([old, TXID], Detail.FULL, {old: memory})  # too dear for many
        assert several[0].status == Replaced(None, after + 1 >= 5, 0)


def test_a_search_without_the_old_states_names_nobody() -> None:
    def count(sender: str, tag: str) -> Any:
        if tag in ("latest", "pending"):
            return "0x6"
        if int(tag, 16) < HEAD - 128:
            return RpcError(-32000, "missing trie node")
        return "0x6"

    assert status_of({"eth_getTransactionCount": count}, SEEN_WAITING) == Replaced(None, True, 5)
