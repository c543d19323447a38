"""A desk for tests: a clock to turn, requests and rules in few words, and what a batch brings about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Engine

from cryptosupport.desk.cases import ChainFacts, Premises
from cryptosupport.desk.take_in import Intake, Line
from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.money import Asset, Quantity
from cryptosupport.domain.policy.judging import Judge, NotKnown
from cryptosupport.domain.policy.periods import Sliding
from cryptosupport.domain.policy.rules import Per, Policy, Rule
from cryptosupport.domain.prices import PriceRules, Quote
from cryptosupport.domain.withdrawals import Request, Withdrawal, canonical
from cryptosupport.ledger.ledger import SqlLedger

HOUR = 3_600_000
NEVER = 2**62
"""What waits is decided again when a test says so."""

START = 1_790_000_000_000
BTC, ETH = Asset("BTC", 8), Asset("ETH", 18)
USDT_ETHEREUM, USDT_BSC = Asset("USDT", 6, "0xdac1"), Asset("USDT", 18, "0x55d3")


@dataclass
class Turned:
    """A clock that shows what it was set to, in milliseconds."""

    at: int = START

    def __call__(self, connection: object = None) -> int:
        return self.at


def ledger_in(engine: Engine, clock: Turned) -> SqlLedger:
    """The ledger of a database that is up to date, on the test's clock."""
    return SqlLedger(engine, clock)


def policy(*rules: Rule, tiers: tuple[str, ...] = ()) -> Policy:
    """A policy whose hash tells it from others."""
    return Policy(rules, tiers, text=repr((rules, tiers)))


def rule(name: str = "limit", amount: str | None = None, value: str | None = None, **rest: Any) -> Rule:
    """A rule; amounts and USD values as decimals, ``hours`` for a sliding window, other facts under their names."""
    hours, match = rest.pop("hours", None), rest.pop("match", {})
    if hours is not None:
        rest |= {"period": Sliding(int(hours * HOUR)), "per": rest.get("per", Per.GLOBAL)}
    return Rule(
        name=name,
        match={key: frozenset([values] if isinstance(values, str) else values) for key, values in match.items()},
        max_amount=None if amount is None else Quantity.parse(amount),
        max_value=None if value is None else Quantity.parse(value).at(6),
        **rest,
    )


def request(request_id: str, amount: str = "1", asset: Asset = BTC, **rest: Any) -> Request:
    """A request of customer c1 to destination d1, unless told otherwise."""
    assert asset.decimals is not None
    base_units = Quantity.parse(amount).at(asset.decimals)
    facts = {"customer": "c1", "chain": "bitcoin", "destination": "d1"} | rest
    return Request(request_id=request_id, asset=asset, base_units=base_units, **facts)


@dataclass
class Told:
    """What hot wallets hold; only what was asked ahead is known."""

    hot: Mapping[str, str]
    asked: set[tuple[str, str]] = field(default_factory=set)

    def ask(self, wallet: str, chain: str, asset: Asset) -> None:
        self.asked.add((wallet, asset.symbol))

    def __call__(self, wallet: str, asset: Asset) -> Quantity | NotKnown:
        known = (wallet, asset.symbol) in self.asked and wallet in self.hot
        return Quantity.parse(self.hot[wallet]) if known else NotKnown("nobody answers")


@dataclass
class Desk:
    """A ledger and all that decisions rest on; ``prices`` in USD by symbol are as old as the clock says."""

    ledger: SqlLedger
    clock: Turned
    policy: Policy
    prices: Mapping[str, str] = field(default_factory=dict)
    hot: Mapping[str, str] = field(default_factory=dict)
    chains: Mapping[str, ChainFacts] = field(
        default_factory=lambda: {
            "bitcoin": ChainFacts({"BTC": BTC}, hot_wallets=("hot-btc",)),
            "ethereum": ChainFacts({"ETH": ETH, "USDT": USDT_ETHEREUM}, hot_wallets=("hot-eth",)),
            "bsc": ChainFacts({"USDT": USDT_BSC}),
        }
    )
    further: Mapping[str, Any] = field(default_factory=dict)

    @property
    def premises(self) -> Premises:
        """What decisions rest on."""
        rules = PriceRules(1, 15 * 60_000, Quantity(5, 0), Quantity(20, 0), frozenset({"USDT"}))
        premises = Premises(Judge(self.policy), self.chains, rules, self._quotes, Told(self.hot))
        return replace(premises, **self.further)

    def _quotes(self) -> dict[str, list[Quote]]:
        return {symbol: [Quote("feed", Quantity.parse(usd), self.clock.at)] for symbol, usd in self.prices.items()}

    def take(self, *requests: Request, due: int = NEVER) -> list[Withdrawal]:
        """Take requests in, in one batch; a refused line raises what was wrong with it."""
        lines = [Line(number, each.request_id, each, "file") for number, each in enumerate(requests, 1)]
        taken = []
        for one in Intake(self.ledger, self.premises, due=due).take_in([lines]):
            if isinstance(one.result, BadInput):
                raise one.result
            taken.append(one.result)
        return taken

    def states(self, *requests: Request) -> list[str]:
        """Take requests in, and say the state of each."""
        return [each.state.value for each in self.take(*requests)]

    def recorded(self, *request_ids: str) -> list[str]:
        """The states as recorded now."""
        found = [self.ledger.withdrawal(request_id) for request_id in request_ids]
        return ["absent" if each is None else each.state.value for each in found]


def sums(desk: Desk) -> dict[tuple[str, str, str], tuple[str, str]]:
    """All recorded sums: (window, who, part) to what is booked and what waits."""
    windows = desk.premises.judge.windows
    return {tuple(place): (str(tally.booked), str(tally.waiting)) for place, tally in desk.ledger.sums(windows)}  # type: ignore[misc]


def signed_lines(requests: Sequence[Mapping[str, Any]]) -> bytes:
    """Requests as JSONL."""
    return b"".join(canonical(each) + b"\n" for each in requests)
