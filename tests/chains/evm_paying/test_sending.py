"""What the answers of nodes mean for bytes that were given to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.chains.evm.sending import classify
from cryptosupport.chains.evm.transfers import Unsigned
from cryptosupport.domain.payouts import Absent, Mined
from cryptosupport.outside.nodes import Anvil
from cryptosupport.transport import RpcFault
from tests.chains.evm_paying.kit import CHAIN, CUSTOMER, ETHER, OTHER, Desk, attempt, coins, named, payer_over
from tests.chains.evmkit import GWEI, without
from tests.hostile import BAD_ANSWERS, HostileNode, Reply, RpcError

HAS_IT = [
    "already known",
    "ALREADY_EXISTS: already known",
    "AlreadyKnown",
    "Known transaction",
    "known transaction: 0xab",
    "transaction already imported",
    "Tx: [0xab] already Imported",
    "INTERNAL_ERROR: existing tx with same hash",
    "existing txn with same hash",
    "Transaction with the same hash was already imported.",
]
OPEN = [
    "nonce too low",
    "nonce too low: next nonce 5, tx nonce 4",
    "Nonce too low",
    "OldNonce",
    "Transaction nonce is too low. Try incrementing the nonce.",
    "invalid transaction nonce",
    "replacement transaction underpriced",
    "replacement transaction underpriced: new tx gas fee cap 5 < 6 queued",
    "Replacement transaction underpriced",
    "ReplacementNotAllowed",
    "INTERNAL_ERROR: could not replace existing tx",
    "Tx: [0xab] insufficient gas price to replace existing transaction",
    "transaction underpriced",
    "txpool is full",
    "nonce too high",
    "account limit exceeded",
    "Internal error",
    "header not found",
    "daily request count exceeded",
    "unknown transaction",
    "",
    "already known, but insufficient funds",
]
REFUSED = [
    "insufficient funds for gas * price + value: balance 0, tx cost 5, overshot 5",
    "insufficient funds for transfer",
    "INTERNAL_ERROR: insufficient funds",
    "InsufficientFunds, Account balance: 1",
    "Upfront cost exceeds account balance",
    "intrinsic gas too low: gas 1, minimum needed 2",
    "IntrinsicGas",
    "Intrinsic gas exceeds gas limit",
    "exceeds block gas limit",
    "Transaction gas limit exceeds block gas limit",
    "transaction gas limit too high (cap: 1, tx: 2)",
    "gas limit is too high",
    "invalid sender",
    "invalid sender: invalid chain id for signer: have 1 want 2",
    "Invalid signature",
    "invalid chain id",
    "Wrong chainId",
    "ChainId not supported",
    "max fee per gas less than block base fee: address 0x, maxFeePerGas: 1, baseFee: 2",
    "Gas price below current base fee",
    "max priority fee per gas higher than max fee per gas",
    "tx fee (1.20 ether) exceeds the configured cap (1.00 ether)",
    "Transaction fee cap exceeded",
    "transaction type not supported",
    "transaction type not supported: type 2 rejected, pool not yet in London",
    "Invalid transaction type",
]


@pytest.mark.parametrize(("texts", "taken"), [(HAS_IT, True), (OPEN, None), (REFUSED, False)])
def test_the_words_of_nodes_mean_what_they_mean(texts: list[str], taken: bool | None) -> None:
    for text in texts:
        for code in (-32000, -32003, -32603):
            assert classify(RpcFault(code, text)).taken is taken, text


@given(st.text(max_size=60), st.integers(-40000, 40000))
def test_any_other_words_leave_it_open(text: str, code: int) -> None:
    sent = classify(RpcFault(code, text))
    assert sent.taken is None or any(word in text.lower() for word in ("known", "imported", "gas", "fee", "invalid"))
    assert sent.said.isprintable()


# -- on a real node --------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(anvil_with: Callable[..., Anvil]) -> Desk:
    anvil = anvil_with("--no-mining")
    return Desk(anvil, payer_over(anvil.url))


def raw_of(nonce: int = 0, **fields: Any) -> bytes:
    usual: dict[str, Any] = {"chain_id": CHAIN, "to": CUSTOMER, "value": 1, "data": b"", "gas": 21_000}
    fees = {"max_fee_per_gas": 20 * GWEI, "max_priority_fee_per_gas": GWEI}
    plan = Unsigned(**{"nonce": nonce, **usual, **fees, **fields})
    raw = attempt(1, plan.plan).raw
    assert raw is not None
    return raw


def test_what_a_real_node_says_is_understood(desk: Desk) -> None:
    def taken(raw: bytes) -> bool | None:
        (sent,) = desk.payer.send([raw])
        return sent.taken

    assert taken(raw_of()) is True
    assert taken(raw_of()) is True  # it knows it already
    assert taken(raw_of(value=2)) is None  # the first one has the nonce
    assert taken(raw_of(1, value=ETHER * 10**6)) is False
    assert taken(raw_of(1, gas=20_000)) is False
    assert taken(raw_of(1, gas=10**9)) is False
    assert taken(raw_of(1, chain_id=1)) is False
    assert taken(raw_of(1, max_fee_per_gas=1, max_priority_fee_per_gas=1)) is False
    assert taken(b"\x02\xc0") is None
    desk.anvil.mine()
    assert taken(raw_of()) is None  # it is in a block: that has to be looked up


# -- nodes that fail -------------------------------------------------------------------------------------------------


def sender(*nodes: HostileNode) -> Any:
    return payer_over(*(named(node.url, name) for name, node in zip(("Alpha", "Beta"), nodes, strict=False)))


def anvil_of(desk: Desk) -> Callable[[str, Sequence[Any]], Any]:
    return lambda method, params: desk.anvil.rpc(method, *params)


def test_a_lost_answer_leaves_it_open_and_is_never_sent_twice_to_one_node(desk: Desk) -> None:
    """D1, D2: the node takes it, and its answer does not arrive."""
    with HostileNode(anvil_of(desk)) as node:
        node.always(lambda exchange: Reply(reset=True))
        payout = desk.planned(coins(), 0)
        (sent,) = sender(node).send([payout.last.raw or b""])
        assert sent.taken is None
        assert len([call for call in node.calls if call[0] == "eth_sendRawTransaction"]) == 1
    assert desk.seen(payout) == Absent(pooled=True)
    desk.anvil.mine()
    assert isinstance(desk.seen(payout), Mined)


@pytest.mark.parametrize("how", sorted(BAD_ANSWERS))
def test_a_node_that_fails_settles_nothing_and_the_next_is_tried(desk: Desk, how: str) -> None:
    with HostileNode(lambda method, params: RpcError(-32000, "no")) as bad, HostileNode(anvil_of(desk)) as good:
        bad.always(BAD_ANSWERS[how])
        (alone,) = sender(bad).send([raw_of(5)])
        assert alone.taken is None
        assert alone.said.startswith("Alpha: ")
        (sent,) = sender(bad, good).send([raw_of()])
        assert sent.taken is True
        assert "Beta: takes it" in sent.said


def test_a_refusal_after_a_lost_answer_settles_nothing() -> None:
    def refuses(method: str, params: Sequence[Any]) -> Any:
        return RpcError(-32000, "insufficient funds for gas * price + value")

    with HostileNode(refuses) as lost, HostileNode(refuses) as refusing:
        lost.always(lambda exchange: Reply(reset=True))
        (sent,) = sender(lost, refusing).send([raw_of()])
        assert sent.taken is None
        assert "Alpha: " in sent.said
        assert "Beta: refuses it: insufficient funds" in sent.said
        (sent,) = sender(refusing).send([raw_of()])
        assert sent.taken is False


def test_each_transaction_has_its_own_answer(desk: Desk) -> None:
    raws = [raw_of(0), raw_of(1, gas=20_000), raw_of(0), raw_of(0, value=9), raw_of(1)]
    with HostileNode(without(desk.anvil)) as first, HostileNode(without(desk.anvil)) as second:
        sent = sender(first, second).send(raws)
        assert [each.taken for each in sent] == [True, False, True, None, True]
        given = [params[0] for method, params in second.calls if method == "eth_sendRawTransaction"]
        assert given == ["0x" + raws[3].hex()]  # only what is open goes to the next node
    assert sender(first).send([]) == []


def always(answer: Any, method: str, params: Sequence[Any]) -> Any:
    return answer


def test_another_id_or_no_id_for_an_answer_settles_nothing() -> None:
    for answer in ("0x" + "ab" * 32, None, 5, "", {"hash": OTHER}):
        with HostileNode(partial(always, answer)) as node:
            (sent,) = sender(node).send([raw_of()])
            assert sent.taken is None, answer


def test_secrets_of_an_endpoint_are_not_told() -> None:
    def told(method: str, params: Sequence[Any]) -> Any:
        return RpcError(-32000, "no such project: s3cr3tk3y0123456789")

    with HostileNode(told) as node:
        payer = payer_over(f"{node.url}/v3/s3cr3tk3y0123456789")
        (sent,) = payer.send([raw_of()])
        assert sent.taken is None
        assert "s3cr3t" not in sent.said


def test_a_large_number_goes_in_pieces(desk: Desk) -> None:
    raws = [raw_of(nonce) for nonce in range(70)]
    assert {sent.taken for sent in desk.payer.send(raws)} == {True}
    desk.anvil.mine()
    assert (
        int(desk.anvil.rpc("eth_getTransactionCount", "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266", "latest"), 16) == 70
    )
