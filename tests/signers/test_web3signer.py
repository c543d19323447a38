"""A signer elsewhere that speaks eth_signTransaction, honest or not: it is checked before and after."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from cryptosupport.domain.errors import BadSettings, Frozen, Refused, Unreachable
from cryptosupport.domain.paying import Decoded, Order
from cryptosupport.domain.payouts import Kind
from cryptosupport.signers.web3signer import Web3Signer
from tests.signers.signerkit import ANN, MALLORY, SECRET, SOURCE, Bench, Tools, frozen, order, withdrawal


class Words:
    """The little family, where it is signed elsewhere."""

    def asked(self, text: str) -> Mapping[str, object]:
        """The plan as an object."""
        told: dict[str, object] = json.loads(text)
        return told

    def preview(self, transaction: Mapping[str, object]) -> Decoded:
        """What it would do."""
        told = {key: value for key, value in transaction.items() if key != "from"}
        return replace(Tools().read(json.dumps(told).encode()), txid="")

    def read(self, raw: bytes) -> Decoded:
        """What it does."""
        return Tools().read(raw)

    def told(self, raw: bytes) -> Mapping[str, object]:
        """What was asked for."""
        return {key: value for key, value in json.loads(raw).items() if key not in ("source", "seal")}


class Elsewhere:
    """A server that signs whatever it is asked for. ``instead`` makes of a transaction what it signs."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.accounts: object = [MALLORY, SOURCE.upper().replace("X", "x")]
        self.instead: Callable[[dict[str, Any]], object] = lambda plan: None
        self.answer: Callable[[bytes], object] = lambda raw: "0x" + raw.hex()

    def __call__(self, method: str, params: Sequence[object]) -> object:
        """JSON-RPC."""
        self.calls.append(method)
        if method == "eth_accounts":
            return self.accounts
        (transaction,) = params
        assert isinstance(transaction, dict)
        assert transaction.pop("from") == SOURCE
        return self.answer(Tools(self.instead).sign(json.dumps(transaction), SECRET))


@pytest.fixture
def elsewhere() -> Elsewhere:
    return Elsewhere()


@pytest.fixture
def signer(bench: Bench, elsewhere: Elsewhere) -> Web3Signer:
    return Web3Signer(
        elsewhere, Words(), bench.account, bench.caps, bench.electors, store=bench.store,
        freezes=lambda: bench.freezes, clock=lambda: bench.now,
    )  # fmt: skip


def test_what_was_asked_for_comes_back_signed(signer: Web3Signer, elsewhere: Elsewhere) -> None:
    assert Tools().read(signer.sign(order())).pays[0].destination == ANN
    elsewhere.answer = lambda raw: {"raw": "0x" + raw.hex(), "tx": {}}
    signer.sign(order(fee=12))
    signer.sign(order(kind=Kind.CANCEL))
    assert signer.high_water().highest == 7
    assert repr(signer) == "<Web3Signer hot>"


@pytest.mark.parametrize(
    "asked",
    [
        order(pays=[(MALLORY, None, "5")]),
        order(fee=21),
        order(withdrawal(wallet="cold")),
        order(network="56"),
    ],
)
def test_what_is_wrong_is_never_asked_for(
    signer: Web3Signer, elsewhere: Elsewhere, asked: Order
) -> None:
    with pytest.raises(Refused):
        signer.sign(asked)
    assert elsewhere.calls == []


def test_a_freeze_and_a_second_nonce_are_never_asked_for(
    signer: Web3Signer, elsewhere: Elsewhere, bench: Bench
) -> None:
    signer.sign(order())
    elsewhere.calls.clear()
    with pytest.raises(Refused, match="could be paid twice"):
        signer.sign(order(claims=["8"]))
    bench.freezes = [frozen("all")]
    with pytest.raises(Frozen):
        signer.sign(order())
    assert elsewhere.calls == []


INSTEAD: dict[str, Callable[[dict[str, Any]], object]] = {
    "another destination": lambda plan: plan.update(pays=[(MALLORY, None, "5")]),
    "another nonce": lambda plan: plan.update(claims=["8"]),
    "another chain": lambda plan: plan.update(network="56"),
    "a lower fee": lambda plan: plan.update(fee="9"),
    "another signer": lambda plan: plan.update(source=MALLORY),
    "what no decoder speaks of": lambda plan: plan.update(tip="1"),
}


@pytest.mark.parametrize("name", INSTEAD)
def test_what_comes_back_otherwise_is_refused(signer: Web3Signer, elsewhere: Elsewhere, name: str) -> None:
    elsewhere.instead = INSTEAD[name]
    with pytest.raises(Refused):
        signer.sign(order())


@pytest.mark.parametrize("answer", [None, "", "0x", "0xzz", "zz", 5, ["0x00"], {"raw": None}, "0x00ff"])
def test_what_comes_back_and_is_no_transaction_is_refused(
    signer: Web3Signer, elsewhere: Elsewhere, answer: object
) -> None:
    elsewhere.answer = lambda raw: answer
    with pytest.raises(Refused, match="no transaction"):
        signer.sign(order())


@pytest.mark.parametrize("accounts", [[], [MALLORY], None, "0x", [5]])
def test_a_server_without_the_key_is_a_fault_of_the_settings(
    signer: Web3Signer, elsewhere: Elsewhere, accounts: object
) -> None:
    elsewhere.accounts = accounts
    with pytest.raises(BadSettings, match="the key of hot is that of"):
        signer.sign(order())
    assert elsewhere.calls == ["eth_accounts"]


def test_a_lost_answer_binds_the_withdrawal_to_its_nonce(signer: Web3Signer, elsewhere: Elsewhere) -> None:
    def lost(raw: bytes) -> object:
        raise Unreachable("the connection was cut")

    elsewhere.answer = lost
    with pytest.raises(Unreachable, match="was cut"):
        signer.sign(order())
    elsewhere.answer = lambda raw: "0x" + raw.hex()
    with pytest.raises(Refused, match="could be paid twice"):
        signer.sign(order(claims=["8"]))
    signer.sign(order())


def test_the_hour_counts_what_was_asked_for_once(signer: Web3Signer, elsewhere: Elsewhere) -> None:
    signer.sign(order(withdrawal("w-1", 100)))
    signer.sign(order(withdrawal("w-2", 50), claims=["8"]))
    with pytest.raises(Refused, match="150 are signed for"):
        signer.sign(order(withdrawal("w-3", 1), claims=["9"]))
