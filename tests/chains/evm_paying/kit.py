"""A payer over nodes, and payouts as the ledger would have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from cryptosupport.chains.evm import decoding, signing
from cryptosupport.chains.evm.paying import open_payer
from cryptosupport.domain.money import Asset
from cryptosupport.domain.paying import Payer, Payment, Sent, Survey
from cryptosupport.domain.payouts import Attempt, Item, Kind, Payout, Plan, Step
from cryptosupport.outside.nodes import Anvil
from cryptosupport.settings import AssetSettings, ChainSettings, Endpoint
from cryptosupport.settings.chains import FeeSettings
from cryptosupport.transport import open_nodes
from tests.chains.evmkit import Clock

KEY = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
"""The key of anvil's first account."""
OURS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
CUSTOMER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
OTHER = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
CONTRACT = "0xdAC17F958D2ee523a2206206994597C13D831ec7"
ETHER = 10**18
ETH = Asset("ETH", 18)
USDT = Asset("USDT", 6, CONTRACT)
CHAIN = 31337


def payer_over(*endpoints: str | Endpoint, address: str = OURS, **settings: Any) -> Payer:
    """A payer of the dev chain; three confirmations are final unless ``settings`` say otherwise."""
    table: dict[str, Any] = {
        "family": "evm",
        "name": "dev",
        "chain_id": CHAIN,
        "endpoints": tuple(each if isinstance(each, Endpoint) else Endpoint(url=each) for each in endpoints),
        "assets": {"ETH": AssetSettings(decimals=18), "USDT": AssetSettings(decimals=6, contract=CONTRACT)},
        "fees": FeeSettings(max_fee_per_gas="200 gwei", max_fee="0.02 ETH", max_fee_ratio="10%"),
        "block_time": "12s",
    }
    if "finality" not in settings:
        table["confirmations"] = 3
    made = ChainSettings(**{**table, **settings})
    clock: Any = Clock(1_800_000_000)
    return open_payer(made, open_nodes(made, clock), clock, "hot-eth", address)


def named(url: str, operator: str) -> Endpoint:
    return Endpoint(url=url, operator=operator, timeout="5s")


def coins(wei: int = ETHER, destination: str = CUSTOMER) -> Payment:
    return Payment("r-1", ETH, wei, destination)


def tokens(base_units: int, destination: str = CUSTOMER, asset: Asset = USDT) -> Payment:
    return Payment("r-2", asset, base_units, destination)


def attempt(number: int, plan: Plan, kind: Kind = Kind.PAY, key: str = KEY, signed: bool = True) -> Attempt:
    """An attempt whose bytes are signed and stored."""
    if not signed:
        return Attempt(number, kind, plan, 0)
    raw = signing.sign(plan.text, key)
    return Attempt(number, kind, plan, 0, raw, decoding.decode(raw).txid, 0)


def payout_of(nonce: int, *attempts: Attempt, number: int = 1, step: Step = Step.BROADCAST) -> Payout:
    items = (Item(number, f"r-{number}"),)
    return Payout(number, "dev", "hot-eth", OURS, (str(nonce),), items, step, 1, 0, 0, tuple(attempts))


@dataclass
class Desk:
    """One payer and its node."""

    anvil: Anvil
    payer: Payer

    def survey(self, *payouts: Payout) -> Survey:
        return self.payer.survey(payouts)

    def draft(self, *payments: Payment, survey: Survey | None = None) -> list[Any]:
        return self.payer.draft(payments, survey or self.survey())

    def planned(self, payment: Payment, nonce: int, number: int = 1, attempt_number: int = 1) -> Payout:
        """A payout that is signed."""
        (plan,) = self.draft(payment)
        assert isinstance(plan, Plan), plan
        placed, claims = self.payer.place(plan, nonce)
        payout = payout_of(nonce, attempt(attempt_number, placed), number=number)
        assert payout.claims == claims
        return payout

    def send(self, payout: Payout) -> Sent:
        """Send the last attempt."""
        raw = payout.last.raw
        assert raw is not None
        (sent,) = self.payer.send([raw])
        return sent

    def paid(self, payment: Payment, nonce: int, number: int = 1) -> Payout:
        """A payout that a node has taken."""
        payout = self.planned(payment, nonce, number)
        assert self.send(payout).taken is True
        return payout

    def seen(self, payout: Payout) -> Any:
        """What is seen of it."""
        return self.survey(payout).seen[payout.id]


def with_plan(payout: Payout, plan: Any, kind: Kind = Kind.PAY) -> Payout:
    """The payout with one more attempt."""
    assert isinstance(plan, Plan), plan
    return payout.with_attempt(attempt(payout.last.number + 1, plan, kind))


def unsigned_twin(payout: Payout) -> Payout:
    """The payout before anything of it was signed."""
    attempts: Sequence[Attempt] = [replace(each, raw=None, txid=None) for each in payout.attempts]
    return replace(payout, attempts=tuple(attempts), step=Step.RESERVED)
