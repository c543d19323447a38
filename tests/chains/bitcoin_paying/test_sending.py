"""Signed bytes are tested by nodes of our own before any node is given them, and nothing is concluded from the rest."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from cryptosupport.chains.bitcoin.sending import Measured, send
from cryptosupport.domain.errors import Refused
from cryptosupport.domain.paying import Sent
from cryptosupport.settings import Endpoint
from cryptosupport.transport import JsonRpcNode, open_nodes
from tests.chains.bitcoinkit import Clock, chain_settings
from tests.hostile import HostileNode, Reply, RpcError

RAW, TXID = b"\x01\x02", "5a" * 32
MEASURED = Measured(TXID, 141, 282)
GIVEN = "sendrawtransaction"
Answer = Callable[[str, list[Any]], object]


def says(test: object, given: object = TXID) -> Answer:
    """A node that answers a test so, and what it is given so."""

    def answer(method: str, params: list[Any]) -> object:
        assert method in ("testmempoolaccept", GIVEN)
        assert params == ([[RAW.hex()], 0] if method == "testmempoolaccept" else [RAW.hex(), 0])
        return test if method == "testmempoolaccept" else given

    return answer


def takes(vsize: int = 141, fee: object = 0.00000282, txid: str = TXID) -> list[dict[str, Any]]:
    return [{"txid": txid, "wtxid": txid, "allowed": True, "vsize": vsize, "fees": {"base": fee}}]


def rejects(reason: str) -> list[dict[str, Any]]:
    return [{"txid": TXID, "wtxid": TXID, "allowed": False, "reject-reason": reason}]


class Wire:
    """Nodes that answer as told, the first ones our own."""

    def __init__(self, nodes: list[HostileNode], own: int) -> None:
        self.nodes, self.own = nodes, own

    def send(self, measure: Callable[[bytes], Measured] = lambda raw: MEASURED) -> Sent:
        settings = chain_settings(*(Endpoint(url=each.url, timeout="2s") for each in self.nodes))
        nodes = open_nodes(settings, Clock())
        own = [each for each in nodes.all[: self.own] if isinstance(each, JsonRpcNode)]
        (sent,) = send(nodes, own, [RAW], measure)
        nodes.close()
        return sent

    @property
    def given(self) -> list[bool]:
        """Whether each was given it."""
        return [GIVEN in [method for method, _ in each.calls] for each in self.nodes]


@pytest.fixture
def wire() -> Any:
    with ExitStack() as stack:
        yield lambda *answers, own=1: Wire([stack.enter_context(HostileNode(each)) for each in answers], own)


Open = Callable[..., Wire]


def test_what_our_node_would_take_is_given_to_all(wire: Open) -> None:
    desk = wire(says(takes()), says(None))
    sent = desk.send()
    assert sent.taken is True
    assert desk.given == [True, True]
    assert [method for method, _ in desk.nodes[0].calls] == ["testmempoolaccept", GIVEN]
    assert [method for method, _ in desk.nodes[1].calls] == [GIVEN]  # a stranger's test is nothing to go by


REFUSED = [
    "dust",
    "tx-size",
    "scriptpubkey",
    "min relay fee not met",
    "mempool min fee not met",
    "max-fee-exceeded",
    "bad-txns-in-belowout",
    "mempool-script-verify-flag-failed (Signature must be zero for failed CHECK(MULTI)SIG operation)",
]


@pytest.mark.parametrize("reason", REFUSED)
def test_what_our_node_refuses_for_what_it_is_is_given_to_nobody(wire: Open, reason: str) -> None:
    desk = wire(says(rejects(reason)), says(None))
    sent = desk.send()
    assert (sent.taken, desk.given) == (False, [False, False])
    assert reason in sent.said
    assert "given to no node" in sent.said


OPEN = [
    "missing-inputs",
    "bad-txns-inputs-missingorspent",
    "bad-txns-spends-conflicting-tx",
    "txn-mempool-conflict",
    "insufficient fee",
    "too-long-mempool-chain",
    "words that nobody knows",
    "",
]


@pytest.mark.parametrize("reason", OPEN)
def test_nothing_is_concluded_from_what_settles_nothing(wire: Open, reason: str) -> None:
    lost = RpcError(-25, "bad-txns-inputs-missingorspent")
    desk = wire(says(rejects(reason), lost), says(None, lost))
    sent = desk.send()
    assert (sent.taken, desk.given) == (None, [True, True])
    assert wire(says(rejects(reason), lost), says(None, TXID)).send().taken is True


@pytest.mark.parametrize(
    "reason", ["txn-already-in-mempool", "txn-already-known", "txn-same-nonwitness-data-in-mempool"]
)
def test_what_our_node_has_is_given_to_the_others(wire: Open, reason: str) -> None:
    desk = wire(says(rejects(reason)), says(None))
    assert (desk.send().taken, desk.given) == (True, [False, True])


@pytest.mark.parametrize(
    "test", [takes(vsize=140), takes(vsize=142), takes(fee=0.00000283), takes(fee=0), takes(fee=19.82)]
)
def test_a_node_that_measures_it_otherwise_keeps_it_from_all(wire: Open, test: object) -> None:
    """D14: one that lies, or a decoder of ours that is wrong; both are told with numbers."""
    desk = wire(says(takes()), says(test), says(None), own=2)
    sent = desk.send()
    assert (sent.taken, desk.given) == (False, [False, False, False])
    assert "141 vB for 282" in sent.said
    assert "find out which is wrong" in sent.said


BROKEN = [
    RpcError(-32601, "Method not found"),
    RpcError(-1, "warming up in some other way"),
    takes(txid="00" * 32),
    [],
    takes() * 2,
    [{"txid": TXID, "allowed": True, "vsize": 141}],
    [{"txid": TXID, "package-error": "package-mempool-limits"}],
    takes(fee=-1),
    takes(fee="much"),
    {"allowed": True},
    None,
    "yes",
]


@pytest.mark.parametrize("test", BROKEN)
def test_an_answer_that_cannot_be_used_settles_nothing(wire: Open, test: object) -> None:
    desk = wire(says(test), says(None))
    assert (desk.send().taken, desk.given) == (True, [True, True])
    assert wire(says(test, RpcError(-25, "missing"))).send().taken is None


def test_a_node_that_hangs_up_keeps_no_other_from_being_given_it(wire: Open) -> None:
    desk = wire(says(takes()), says(takes()), own=2)
    desk.nodes[0].always(Reply(reset=True))
    assert (desk.send().taken, desk.given[1]) == (True, True)


def test_one_of_two_that_would_take_it_is_enough(wire: Open) -> None:
    """One of our own has a fuller pool: it is not given it, and keeps it from nobody."""
    desk = wire(says(rejects("mempool min fee not met")), says(takes()), own=2)
    assert (desk.send().taken, desk.given) == (True, [False, True])


def test_what_cannot_be_measured_goes_nowhere(wire: Open) -> None:
    def unknown(raw: bytes) -> Measured:
        raise Refused("its coins are not ours")

    desk = wire(says(takes()))
    assert (desk.send(unknown).taken, desk.given) == (None, [False])


def test_a_transaction_that_cannot_be_read_by_our_node_goes_nowhere(wire: Open) -> None:
    desk = wire(says(RpcError(-22, "TX decode failed. Make sure the tx has at least one input.")), says(None))
    assert (desk.send().taken, desk.given) == (False, [False, False])
