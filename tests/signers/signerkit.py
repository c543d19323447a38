"""A signer for tests: an honest little chain family, withdrawals and orders in few words, and people who approve."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cryptosupport.context.signing import fault, same_key
from cryptosupport.domain.errors import BadSettings, Refused
from cryptosupport.domain.freezes import Freeze, Scope
from cryptosupport.domain.money import Asset
from cryptosupport.domain.operators import Operator, Operators, Role
from cryptosupport.domain.paying import Decoded, Order, Paid
from cryptosupport.domain.payouts import Kind, Plan
from cryptosupport.domain.policy.decision import Decision, Outcome, Voice
from cryptosupport.domain.signing import HOUR, Account, Caps, Electors
from cryptosupport.domain.statements import Signed, Statement
from cryptosupport.domain.withdrawals import Request, State, Withdrawal, canonical, intent
from cryptosupport.outside.sshkeys import public_line
from cryptosupport.outside.sshsig import sign as sign_bytes
from cryptosupport.signers.local import LocalSigner
from cryptosupport.signers.store import Store

NOW = 1_790_000_000_000
SECRET = "correct horse battery staple"
LEDGER = "ledger-1"
COIN, TOKEN = Asset("ETH", 18), Asset("USDT", 6, "0xdac17f958d2ee523a2206206994597c13d831ec7")


def address_of(secret: str) -> str:
    """Whose signature a secret makes."""
    return "0x" + hashlib.sha256(secret.encode()).hexdigest()[:40]


SOURCE = address_of(SECRET)
ANN, MALLORY = "0x" + "a1" * 20, "0x" + "66" * 20


class Tools:
    """A family whose transactions are JSON, "signed" with an HMAC. ``instead`` makes of a plan what is signed."""

    def __init__(self, instead: Callable[[dict[str, Any]], object] = lambda plan: None) -> None:
        self.instead = instead
        self.signed: list[str] = []

    def sign(self, text: str, secret: str) -> bytes:
        """The plan with whose it is and a seal."""
        plan = json.loads(text)
        self.instead(plan)
        plan = {"source": address_of(secret)} | plan
        self.signed.append(text)
        return canonical(plan | {"seal": hmac.digest(secret.encode(), canonical(plan), "sha256").hex()})

    def read(self, raw: bytes, text: str = "") -> Decoded:
        """What such bytes do."""
        try:
            told = json.loads(raw)
        except ValueError as error:
            raise Refused("these bytes are no transaction") from error
        pays = tuple(Paid(to, contract, int(units)) for to, contract, units in told["pays"])
        txid = hashlib.sha256(raw).hexdigest()
        return Decoded(txid, told["network"], told.get("source", ""), tuple(told["claims"]), pays, int(told["fee"]))

    def address(self, secret: str) -> str:
        """Its address."""
        return address_of(secret)


def withdrawal(request_id: str = "w-1", base_units: int = 5, asset: Asset = COIN, **rest: Any) -> Withdrawal:
    """A withdrawal of Ann's that was allowed, with other facts under their names."""
    request = Request(request_id, "ann", asset, "ethereum", base_units, rest.pop("destination", ANN))
    decision = Decision(Outcome.ALLOW, (Voice("limit", Outcome.ALLOW, "1 of 2"),), "policy-1", NOW)
    facts: dict[str, Any] = {
        "id": 1, "state": State.RESERVED, "decision": decision, "source": "file", "maker": "carol", "proven": True,
        "effective_tier": None, "wallet": "hot", "fee_units": 0, "fee_value": 0, "value": None, "booked_at": NOW,
        "unbooked": (), "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return Withdrawal(request=request, **facts | rest)


def for_approval(approvals: int = 1, **rest: Any) -> Withdrawal:
    """A withdrawal that people had to approve."""
    voice = Voice("second-pair", Outcome.APPROVAL, "above 10", approvals)
    return withdrawal(decision=Decision(Outcome.APPROVAL, (voice,), "policy-1", NOW), **rest)


def order(*withdrawals: Withdrawal, claims: Iterable[str] = ("7",), kind: Kind = Kind.PAY, **rest: Any) -> Order:
    """An order to pay, with a plan that does so; ``pays``, ``fee`` and ``network`` put other things in the plan."""
    paid = withdrawals or (withdrawal(),)
    asked = [(each.request.destination, each.request.asset.contract, str(each.request.base_units)) for each in paid]
    pays = rest.pop("pays", asked if kind is Kind.PAY else [(SOURCE, None, "0")])
    fee = rest.pop("fee", 10)
    plan = {"network": rest.pop("network", "1"), "claims": list(claims), "pays": list(pays), "fee": str(fee)}
    facts: dict[str, Any] = {"ledger_id": LEDGER, "chain": "ethereum", "wallet": "hot", "source": SOURCE}
    facts |= {"claims": tuple(claims), "plan": Plan(canonical(plan).decode(), rest.pop("max_fee", fee))}
    return Order(kind=kind, withdrawals=tuple(paid), **facts | rest)


A, C, O = Role.APPROVER, Role.COMPLIANCE, Role.OPS  # noqa: E741
ROLES = {"alice": {A, O}, "bob": {A}, "carol": {C}, "dave": {A, C}}
KEYS = {
    name: Ed25519PrivateKey.from_private_bytes(number.to_bytes(32))
    for number, name in enumerate(("alice", "bob", "carol", "dave", "mallory"), 1)
}
"""Four people of a desk, and one who is not (as `tests.desk.peoplekit`, without what it loads)."""


def operator(name: str, *roles: Role) -> Operator:
    """An operator with the key of that name."""
    return Operator(name, frozenset(roles or ROLES[name]), public_line(KEYS[name]))


VERSION = "v1"
PEOPLE = Operators({name: operator(name) for name in ROLES}, VERSION, NOW)


def approval(
    withdrawal: Withdrawal, name: str, version: str = VERSION, by: str | None = None, **changed: Any
) -> Signed:
    """What ``name`` signs to approve; ``by`` has another one's key sign it."""
    statement = Statement("approve", intent(withdrawal, version), name, NOW, LEDGER, {"reason": "called back"})
    statement = replace(statement, **changed)
    return Signed(statement, sign_bytes(KEYS[by or name], statement.signed))


def frozen(kind: str, value: str = "") -> Freeze:
    """A freeze that counts."""
    return Freeze("00112233aabbccdd", Scope(kind, value), "a drill", "alice", True, NOW, "operator")


ACCOUNT = Account("ethereum", "1", "hot", SOURCE, {"ETH": COIN, "USDT": TOKEN})
CAPS = Caps({"ETH": 100, "USDT": 50}, {"ETH": 150, "USDT": 50}, fee=20)


@dataclass
class Bench:
    """A signer with all that it stands on; fields may be changed before it is made."""

    path: Path
    tools: Any = field(default_factory=Tools)
    account: Account = ACCOUNT
    caps: Caps = CAPS
    versions: tuple[Operators, ...] = (PEOPLE,)
    intake: Mapping[str, str] = field(default_factory=dict)
    alone: bool = False
    freezes: list[Freeze] = field(default_factory=list)
    now: int = NOW
    secret: Callable[[], str] = lambda: SECRET

    def __post_init__(self) -> None:
        self.store = Store(self.path)
        self.asked = 0

    @property
    def electors(self) -> Electors:
        """Who may approve."""
        return Electors(self.versions, fault, same_key, self.intake, self.alone)

    @property
    def signer(self) -> LocalSigner:
        """A signer as the fields are now."""
        return LocalSigner(
            self.account, self.caps, self.electors, secret=self._secret, tools=self.tools, store=self.store,
            freezes=lambda: self.freezes, clock=lambda: self.now,
        )  # fmt: skip

    def sign(self, asked: Order) -> Decoded:
        """What the bytes do that it hands out."""
        return Tools().read(self.signer.sign(asked))

    def later(self, milliseconds: int = HOUR) -> None:
        """Let time pass."""
        self.now += milliseconds

    def _secret(self) -> str:
        self.asked += 1
        return self.secret()


def refused(bench: Bench, asked: Any, match: str, kind: type[Refused] | type[BadSettings] = Refused) -> None:
    """It is refused, and leaves no trace in the store."""
    before = bench.signer.high_water().signatures
    with pytest.raises(kind, match=match) as caught:
        bench.sign(asked)
    assert type(caught.value) is kind
    assert bench.signer.high_water().signatures == before
