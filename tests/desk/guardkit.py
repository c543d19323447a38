"""Guards for tests: lists in few words, a desk on real addresses, and somebody outside who is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptosupport.chains.bitcoin import codec as bitcoin
from cryptosupport.chains.evm import codec as evm
from cryptosupport.desk.screen_lists import ListReader, import_list
from cryptosupport.domain.addresses import Address
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.policy.rules import Policy
from cryptosupport.domain.screening import Listed, ListKind, key_of
from cryptosupport.domain.verdicts import ProviderVerdict
from cryptosupport.domain.withdrawals import Request, Withdrawal
from cryptosupport.ledger.ledger import SqlLedger
from tests.desk.deskkit import ETH, Desk, request
from tests.desk.peoplekit import guarded

ANN = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
BEN = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
"""Addresses of EIP-55."""
ANN_ALIKE = evm.parse_address("0x5aaeb605" + "1" * 24 + "ef1beaed").text  # type: ignore[union-attr]
HOT, COLD, DEPOSIT = (f"0x{digits * 20}" for digits in ("37", "59", "7b"))
USDT = "0xdAC17F958D2ee523a2206206994597C13D831ec7"
TRON, TRON_HEX = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "0xa614f803B6FD780986A42c78Ec9c7f77e6DeD13C"
"""One key's address on TRON and on EVM chains."""
SANCTIONS, BLOCK, ALLOW, MEMO = ListKind.SANCTIONS, ListKind.BLOCK, ListKind.ALLOW, ListKind.MEMO


def read_address(chain: str, text: str) -> Address | None:
    """An address of a chain of `deskkit`, by its own codec."""
    return bitcoin.parse_address(text, "mainnet") if chain == "bitcoin" else evm.parse_address(text)


def screening(open_desk: Callable[..., Desk], policy: Policy, **guards: Any) -> Desk:
    """A desk that screens."""
    own = {key_of(HOT): "the hot wallet hot-eth", key_of(COLD): "the cold wallet cold-eth"}
    own |= {key_of(DEPOSIT): "the deposit wallet in-eth"}
    facts = {"read_address": read_address, "own": own, "tokens": {key_of(USDT): "USDT on bsc"}} | guards
    return guarded(open_desk(policy), read_lists=ListReader(), **facts)


def listed(
    desk: Desk, name: str, kind: ListKind, *addresses: str, customer: str = "", label: str = "", entry: str = ""
) -> None:
    """Make these the list ``name``."""
    entries = [Listed(key_of(each), each, entry, label, customer=customer) for each in addresses]
    import_list(desk.ledger, name, kind, "a file", None, entries, shrink=True)


def to(destination: str, request_id: str = "w-1", amount: str = "1", **rest: Any) -> Request:
    """A request for ETH."""
    return request(request_id, amount, ETH, **{"chain": "ethereum", "destination": destination} | rest)


def found(withdrawal: Withdrawal) -> dict[str, str]:
    """What stops it: the reason by the rule."""
    stops = (Outcome.HOLD, Outcome.DENY, Outcome.WAIT)
    return {each.rule: each.reason for each in withdrawal.decision.voices if each.outcome in stops}


@dataclass
class Outside:
    """Somebody who is asked, and answers with the next of ``answers``, the last one for ever.

    ``ledger`` is tried while they are asked: whoever holds it meanwhile keeps everybody waiting.
    """

    answers: list[ProviderVerdict]
    asked: list[Mapping[str, object]] = field(default_factory=list)
    ledger: SqlLedger | None = None

    def ask(self, questions: Sequence[Mapping[str, object]]) -> list[ProviderVerdict]:
        self.asked += questions
        if self.ledger is not None:
            with self.ledger.act():
                pass
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [answer for _ in questions]
