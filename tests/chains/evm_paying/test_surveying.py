"""Nodes that fail, lag, lie or contradict each other: what a payer makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from cryptosupport.domain.errors import NodesFailed
from cryptosupport.domain.paying import Short, Unpayable
from cryptosupport.domain.payouts import Absent, Mined, Payout, Plan, Step, Taken, Unclear, conclude
from cryptosupport.outside.nodes import Anvil, NodeError
from tests.chains.evm_paying import tokens as code
from tests.chains.evm_paying.kit import CONTRACT, ETHER, OTHER, OURS, Desk, coins, named, payer_over, tokens
from tests.chains.evm_paying.test_paying import foreign
from tests.hostile import BAD_ANSWERS, HostileNode, RpcError

Changes = dict[str, Any]
Proxy = Callable[..., HostileNode]


@pytest.fixture
def anvil(anvil_with: Callable[..., Anvil]) -> Anvil:
    anvil = anvil_with("--no-mining")
    code.place(anvil, CONTRACT, code.HONEST, **{OURS: 1_000_000_000})
    return anvil


@pytest.fixture
def proxy(anvil: Anvil) -> Iterator[Proxy]:
    """A node that answers as anvil does, but for ``changes``: a value, or a function of the parameters and anvil's."""
    with ExitStack() as nodes:

        def start(**changes: Any) -> HostileNode:
            def answer(method: str, params: Sequence[Any]) -> Any:
                try:
                    honest = json.loads(json.dumps(anvil.rpc(method, *params), default=float))
                except NodeError as error:
                    honest = RpcError(error.code, error.message, error.data)
                change = changes.get(method, honest)
                return change(params, honest) if callable(change) else change

            return nodes.enter_context(HostileNode(answer))

        yield start


@pytest.fixture
def payout(anvil: Anvil) -> Payout:
    """A payment in a final block."""
    return final_payment(Desk(anvil, payer_over(anvil.url)))


def final_payment(desk: Desk) -> Payout:
    payout = desk.paid(coins(), 0)
    desk.anvil.mine(3)
    return payout


def over(anvil: Anvil, *nodes: HostileNode, **settings: Any) -> Desk:
    endpoints = [named(node.url, name) for name, node in zip(("Alpha", "Beta", "Gamma"), nodes, strict=False)]
    return Desk(anvil, payer_over(*endpoints, **settings))


# -- one node after the other ----------------------------------------------------------------------------------------


def test_a_node_that_fails_says_nothing_and_the_next_one_is_asked(anvil: Anvil, proxy: Proxy, payout: Payout) -> None:
    bad, good = proxy(), proxy()
    bad.always(BAD_ANSWERS["html_page"])
    survey = over(anvil, bad, good).survey(payout)
    assert isinstance(survey.seen[payout.id], Mined)
    assert len(survey.troubles) == 1
    assert survey.troubles[0].startswith("Alpha: ")


def test_when_every_node_fails_nothing_is_said(anvil: Anvil, proxy: Proxy, payout: Payout) -> None:
    bad = [proxy(), proxy()]
    for node in bad:
        node.always(BAD_ANSWERS["html_page"])
    for quorum in (1, 2):
        with pytest.raises(NodesFailed) as caught:
            over(anvil, *bad, quorum=quorum).survey(payout)
        assert [failure.node for failure in caught.value.failures] == ["Alpha", "Beta"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"eth_chainId": "0x1"}, "chain 1"), ({"eth_syncing": {"currentBlock": "0x1"}}, "syncing")],
    ids=["another_chain", "syncing"],
)
def test_a_node_of_another_chain_or_one_that_syncs_is_not_believed(
    anvil: Anvil, proxy: Proxy, payout: Payout, changes: Changes, reason: str
) -> None:
    with pytest.raises(NodesFailed, match=reason):
        over(anvil, proxy(**changes)).survey(payout)


@pytest.mark.parametrize(
    "receipt",
    [
        RpcError(-32000, "missing trie node"),
        {"transactionHash": 5},
        [],
        lambda params, honest: {**honest, "transactionHash": "0x" + "ab" * 32},
        lambda params, honest: {**honest, "from": CONTRACT},
        lambda params, honest: {**honest, "blockNumber": "3"},
        lambda params, honest: {**honest, "status": "0x2"},
        lambda params, honest: {**honest, "status": None},
        lambda params, honest: {**honest, "effectiveGasPrice": None},
    ],
)
def test_a_receipt_that_makes_no_sense_is_nothing_seen(
    anvil: Anvil, proxy: Proxy, payout: Payout, receipt: Any
) -> None:
    bad = proxy(eth_getTransactionReceipt=receipt)
    alone = over(anvil, bad).survey(payout)
    assert alone.seen == {}
    assert alone.troubles[0].startswith("payout 1: Alpha: ")
    assert alone.used == 1
    together = over(anvil, bad, proxy()).survey(payout)
    assert isinstance(together.seen[payout.id], Mined)


def test_a_receipt_of_another_block_than_the_chains_is_unclear(anvil: Anvil, proxy: Proxy, payout: Payout) -> None:
    moved = proxy(eth_getTransactionReceipt=lambda params, honest: {**honest, "blockHash": "0x" + "cd" * 32})
    seen = over(anvil, moved).seen(payout)
    assert isinstance(seen, Unclear)
    assert "a block that its chain does not have at height 1" in seen.why


def test_no_receipt_and_no_transaction_with_a_used_nonce_frees_nothing(
    anvil: Anvil, proxy: Proxy, payout: Payout
) -> None:
    """D3, D4: the count comes from a node that is up to date, the receipt from one that lags."""
    lags = proxy(eth_getTransactionReceipt=None, eth_getTransactionByHash=None)
    seen = over(anvil, lags).seen(payout)
    assert not (isinstance(seen, Taken) and seen.by is not None)
    assert conclude(payout, seen) is Step.UNKNOWN


def test_no_receipt_of_a_transaction_that_is_in_a_block_is_unclear(anvil: Anvil, proxy: Proxy, payout: Payout) -> None:
    seen = over(anvil, proxy(eth_getTransactionReceipt=None)).seen(payout)
    assert isinstance(seen, Unclear)
    assert "and no receipt of it" in seen.why


def test_no_receipt_and_an_unused_nonce_is_absent(anvil: Anvil, proxy: Proxy, payout: Payout) -> None:
    lags = proxy(eth_getTransactionReceipt=None, eth_getTransactionByHash=None, eth_getTransactionCount="0x0")
    assert over(anvil, lags).seen(payout) == Absent(pooled=False)


@pytest.mark.parametrize("method", ["eth_getTransactionByHash", "eth_getBlockByNumber"])
def test_a_winner_that_cannot_be_proven_kills_nothing(anvil: Anvil, proxy: Proxy, method: str) -> None:
    desk = Desk(anvil, payer_over(anvil.url))
    payout = desk.planned(coins(), 0)
    thief = foreign(desk, 0)
    anvil.mine(3)
    assert desk.seen(payout) == Taken(thief, True)

    def lying(params: Sequence[Any], honest: Any) -> Any:
        if method == "eth_getTransactionByHash":
            return None if honest is None else {**honest, "nonce": "0x5"}
        return honest if params[0] == "latest" else {**honest, "hash": "0x" + "ab" * 32}

    assert over(anvil, proxy(**{method: lying})).seen(payout) == Taken(None, True)


def test_the_winner_is_searched_for_where_the_node_cannot_name_it(anvil: Anvil, proxy: Proxy) -> None:
    desk = Desk(anvil, payer_over(anvil.url))
    payout = desk.planned(coins(), 0)
    thief = foreign(desk, 0)
    anvil.mine(40)
    lacks = proxy(eth_getTransactionBySenderAndNonce=RpcError(-32601, "method not found"))
    assert over(anvil, lacks).seen(payout) == Taken(thief, True)


@pytest.mark.parametrize(
    "tx",
    [RpcError(-32000, "still indexing"), {"hash": 5}, lambda params, honest: {**honest, "hash": "0x" + "ab" * 32}],
    ids=["indexing", "senseless", "another"],
)
def test_a_transaction_that_makes_no_sense_is_nothing_seen(anvil: Anvil, proxy: Proxy, payout: Payout, tx: Any) -> None:
    survey = over(anvil, proxy(eth_getTransactionReceipt=None, eth_getTransactionByHash=tx)).survey(payout)
    assert survey.seen == {}
    assert survey.troubles[0].startswith("payout 1: Alpha: ")


@pytest.mark.parametrize("block", [RpcError(-32000, "busy"), None], ids=["fails", "has_none"])
def test_a_block_that_the_node_does_not_show_makes_nothing_final(
    anvil: Anvil, proxy: Proxy, payout: Payout, block: Any
) -> None:
    hides = proxy(eth_getBlockByNumber=lambda params, honest: honest if params[0] == "latest" else block)
    seen = over(anvil, hides).survey(payout).seen.get(payout.id)
    assert seen is None or isinstance(seen, Unclear)


def test_a_node_that_does_not_know_the_tag_makes_nothing_final(anvil: Anvil, proxy: Proxy, payout: Payout) -> None:
    unknown = RpcError(-32602, "unknown block tag")
    old = proxy(eth_getBlockByNumber=lambda params, honest: unknown if params[0] == "finalized" else honest)
    anvil.mine(100)
    seen = over(anvil, old, finality="finalized").seen(payout)
    assert isinstance(seen, Mined)
    assert not seen.final


def test_two_receipts_for_one_nonce_are_unclear(anvil: Anvil, proxy: Proxy, payout: Payout) -> None:
    second = Desk(anvil, payer_over(anvil.url)).planned(coins(2 * ETHER), 0, attempt_number=2).last
    honest = anvil.rpc("eth_getTransactionReceipt", payout.last.txid)
    lying = proxy(eth_getTransactionReceipt=lambda params, _: {**honest, "transactionHash": params[0]})
    seen = over(anvil, lying).seen(payout.with_attempt(second))
    assert isinstance(seen, Unclear)
    assert "receipts of 2" in seen.why


def test_a_plan_that_somebody_has_edited_is_unclear(anvil: Anvil, payout: Payout) -> None:
    attempt = replace(payout.last, plan=replace(payout.last.plan, text=payout.last.plan.text.replace(":", ": ", 1)))
    seen = Desk(anvil, payer_over(anvil.url)).seen(payout.with_attempt(attempt))
    assert isinstance(seen, Unclear)
    assert "no plan" in seen.why


def test_what_is_mined_between_two_questions_is_no_contradiction(anvil: Anvil, proxy: Proxy) -> None:
    """The receipt is asked for before the transaction, and the block comes in between: it is asked once more."""
    desk = Desk(anvil, payer_over(anvil.url))
    payout = desk.paid(coins(), 0)
    seen_before: list[Any] = []

    def late(params: Sequence[Any], honest: Any) -> Any:
        if not seen_before:
            seen_before.append(honest)
            anvil.mine()
        return honest

    assert isinstance(over(anvil, proxy(eth_getTransactionReceipt=late)).seen(payout), Mined)


def test_a_node_without_the_extras_still_serves(anvil: Anvil, proxy: Proxy, payout: Payout) -> None:
    none = RpcError(-32601, "the method does not exist")
    names = ("eth_simulateV1", "eth_feeHistory", "eth_estimateGas")
    poor = over(anvil, proxy(**dict.fromkeys(names, none)))
    survey = poor.survey(payout)
    assert isinstance(survey.seen[payout.id], Mined)
    assert "does not tell what blocks ask for" in survey.troubles[0]
    (draft,) = poor.draft(coins())
    assert "no node tells" in draft.reason
    plain = over(anvil, proxy(eth_simulateV1=none))
    code.place(anvil, CONTRACT, code.TAKES_FEES)
    (draft,) = plain.draft(tokens(1_000))  # nothing can be simulated: the receipt will tell
    assert hasattr(draft, "max_fee")


def test_a_token_whose_balance_nobody_tells_is_not_paid(anvil: Anvil) -> None:
    anvil.rpc("anvil_setCode", CONTRACT, "0x5f5ffd")
    desk = Desk(anvil, payer_over(anvil.url))
    survey = desk.survey()
    assert list(survey.holds) == [None]
    assert "gives no balance of USDT" in survey.troubles[0]
    (draft,) = desk.draft(tokens(5), survey=survey)
    assert "no node says what the wallet holds of USDT" in draft.reason


def test_the_layer_below_is_paid_for_too(anvil: Anvil, proxy: Proxy) -> None:
    def oracle(params: Sequence[Any], honest: Any) -> Any:
        return f"0x{10**15:064x}" if params[0]["to"].lower().startswith("0x42000000") else honest

    stack = over(anvil, proxy(eth_call=oracle))
    (plan,) = stack.draft(coins())
    anvil.rpc("anvil_setBalance", OURS, hex(10**18 + plan.max_fee + 10**15 - 1))
    (short,) = stack.draft(coins())
    assert (short.symbol, short.needs) == ("ETH", 10**18 + plan.max_fee + 10**15)


def test_a_token_is_not_paid_while_the_node_cannot_ask_its_blacklist(anvil: Anvil, proxy: Proxy) -> None:
    def slow(params: Sequence[Any], honest: Any) -> Any:
        asks = params[0].get("data", "").startswith(("0xe47d6060", "0xfe575a87"))
        return RpcError(-32000, "execution timeout") if asks else honest

    token, coin = over(anvil, proxy(eth_call=slow)).draft(tokens(5), coins())
    assert isinstance(token, Unpayable)
    assert "it cannot be tried out: Alpha: answers with an error: execution timeout" in token.reason
    assert isinstance(coin, Plan)


@pytest.mark.parametrize("method", ["eth_call", "eth_estimateGas", "eth_getCode"])
@pytest.mark.parametrize("answer", [RpcError(-32000, "write protection"), 5, "nonsense"], ids=str)
def test_one_recipient_never_holds_up_the_others(anvil: Anvil, proxy: Proxy, method: str, answer: Any) -> None:
    def odd(params: Sequence[Any], honest: Any) -> Any:
        return answer if OTHER in str(params) or OTHER.lower() in str(params) else honest

    bad, good = over(anvil, proxy(**{method: odd})).draft(coins(destination=OTHER), coins())
    assert isinstance(good, Plan)
    if (method, answer) not in (("eth_call", "nonsense"), ("eth_getCode", "nonsense")):  # whatever an account returns
        assert isinstance(bad, Unpayable)


def test_what_the_node_says_that_we_do_not_hold_is_short(anvil: Anvil, proxy: Proxy) -> None:
    poor = RpcError(-32000, "insufficient funds for transfer")
    (draft,) = over(anvil, proxy(eth_estimateGas=poor)).draft(coins(2 * ETHER))
    assert draft == Short("ETH", 2 * ETHER, 10_000 * ETHER)


def test_a_node_that_can_try_out_nothing_says_nothing_of_anybody(anvil: Anvil, proxy: Proxy) -> None:
    bad = over(anvil, proxy(eth_call=RpcError(-32000, "missing trie node")))
    with pytest.raises(NodesFailed, match="missing trie node"):
        bad.draft(coins())


# -- several operators -----------------------------------------------------------------------------------------------


def test_a_quorum_of_operators_makes_final(anvil: Anvil, proxy: Proxy, payout: Payout) -> None:
    desk = over(anvil, proxy(), proxy(), quorum=2)
    assert conclude(payout, desk.seen(payout)) is Step.FINAL


def test_one_operator_alone_makes_nothing_final(anvil: Anvil, proxy: Proxy, payout: Payout) -> None:
    down = proxy()
    down.always(BAD_ANSWERS["html_page"])
    desk = over(anvil, proxy(), down, quorum=2)
    survey = desk.survey(payout)
    assert conclude(payout, survey.seen[payout.id]) is Step.CONFIRMING
    assert survey.troubles[0].startswith("Beta: ")
    endpoints = [named(proxy().url, "Alpha"), named(proxy().url, "Alpha")]
    same = Desk(anvil, payer_over(*endpoints, quorum=2))
    assert conclude(payout, same.seen(payout)) is Step.CONFIRMING
    unnamed = Desk(anvil, payer_over(proxy().url, proxy().url, quorum=2))  # two ports of one host
    assert conclude(payout, unnamed.seen(payout)) is Step.CONFIRMING


def test_a_final_winner_needs_the_quorum_too(anvil: Anvil, proxy: Proxy) -> None:
    desk = Desk(anvil, payer_over(anvil.url))
    payout = desk.planned(coins(), 0)
    thief = foreign(desk, 0)
    anvil.mine(3)
    assert over(anvil, proxy(), proxy(), quorum=2).seen(payout) == Taken(thief, True)
    blind = proxy(eth_getTransactionBySenderAndNonce=None, eth_getBlockByNumber=lambda params, honest: honest)
    assert over(anvil, proxy(), blind, quorum=3).seen(payout) == Taken(thief, False)


def test_operators_that_contradict_each_other_are_both_named(anvil: Anvil, proxy: Proxy, payout: Payout) -> None:
    failed = proxy(eth_getTransactionReceipt=lambda params, honest: {**honest, "status": "0x0"})
    seen = over(anvil, proxy(), failed, quorum=2).seen(payout)
    assert isinstance(seen, Unclear)
    assert "Alpha says" in seen.why
    assert "Beta says" in seen.why
    lost = proxy(eth_getTransactionReceipt=None, eth_getTransactionByHash=None, eth_getTransactionCount="0x0")
    assert isinstance(over(anvil, proxy(), lost, quorum=2).seen(payout), Unclear)
    survey = over(anvil, proxy(), lost, quorum=2).survey()
    assert survey.used == 1


def test_a_lagging_node_holds_the_final_back(anvil: Anvil, proxy: Proxy, payout: Payout) -> None:
    lags = proxy(eth_blockNumber="0x1")
    seen = over(anvil, proxy(), lags, quorum=2).seen(payout)
    assert isinstance(seen, Mined)
    assert not seen.final


def test_a_node_of_another_chain_tries_nothing_out(anvil: Anvil, proxy: Proxy) -> None:
    survey = Desk(anvil, payer_over(anvil.url)).survey()
    with pytest.raises(NodesFailed, match="chain 1"):
        over(anvil, proxy(eth_chainId="0x1")).draft(coins(), survey=survey)
