"""Paying from one account of an EVM chain: what `domain.paying.Payer` asks for, over JSON-RPC alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from cryptosupport.chains.evm import decoding, drafting, fees, sending, standing, surveying
from cryptosupport.chains.evm.account import Account
from cryptosupport.chains.evm.asking import Asker, NodeState
from cryptosupport.chains.evm.balances import own_address
from cryptosupport.chains.evm.chain import rules_of
from cryptosupport.chains.evm.codec import to_checksum
from cryptosupport.chains.evm.fees import CANCEL_TIMES, Market
from cryptosupport.chains.evm.surveying import NodeSays
from cryptosupport.chains.evm.transfers import Unsigned
from cryptosupport.domain.agreeing import Voice, agree
from cryptosupport.domain.errors import BadSettings, NodeFailed, NodesFailed, Refused
from cryptosupport.domain.money import Asset, GasFees
from cryptosupport.domain.paying import (
    Decoded,
    Draft,
    Output,
    Payer,
    Payment,
    Sent,
    Short,
    Standing,
    Survey,
    TooDear,
    Unpayable,
)
from cryptosupport.domain.payouts import Kind, Mined, Payout, Plan, Seen, Taken
from cryptosupport.domain.ports import Clock
from cryptosupport.domain.sweeps import Leg
from cryptosupport.settings import ChainSettings
from cryptosupport.transport import JsonRpcNode, Node, Nodes

T = TypeVar("T")

_PORT = re.compile(r":[0-9]+$")


def open_payer(settings: ChainSettings, nodes: Nodes, clock: Clock, wallet: str, address: str) -> Payer:
    """What pays from ``address``, of the wallet that wallets.toml calls ``wallet``. Raises `BadSettings`."""
    own = own_address(wallet, address)
    if settings.chain_id is None:
        raise BadSettings(f"chains/{settings.name}.toml: paying needs chain_id: it is part of what is signed")
    rules = rules_of(settings, nodes, clock)
    account = Account(rules, settings.chain_id, own, settings.tokens, fees.caps_of(settings))
    return EvmPayer(account, nodes, settings)


class EvmPayer:
    """Pays from one account. It holds no key."""

    def __init__(self, account: Account, nodes: Nodes, settings: ChainSettings) -> None:
        self._account = account
        self._nodes = nodes
        self._quorum = settings.quorum
        self._in_flight = settings.in_flight
        self._operators = frozenset(settings.operators)
        self._states = {node: NodeState() for node in nodes.all}

    @property
    def source(self) -> str:
        """The address, with its checksum."""
        return self._account.address

    @property
    def in_flight(self) -> int:
        """How many payouts may wait for a block at once: geth keeps 16 of an account for sure (M63)."""
        return self._in_flight

    @property
    def in_order(self) -> bool:
        """Yes: no block has a nonce before the one below it."""
        return True

    @property
    def together(self) -> int:
        """One: every payment is a transaction of its own."""
        return 1

    # -- what nodes say ---------------------------------------------------------------------------------------------

    def survey(self, payouts: Sequence[Payout]) -> Survey:
        """Ask the nodes how the account stands, and what became of each of ``payouts``; see `Payer.survey`.

        With a quorum all nodes are asked, else the first, and the others where that one could not tell of a payout.
        ``market`` is a `Market`. Raises `NodesFailed`.
        """
        failures: list[NodeFailed] = []
        said = self._ask(payouts, failures)
        seen = {payout.id: found for payout in payouts if (found := self._seen(payout, said)) is not None}
        newest = max((one for _, one in said), key=lambda one: one.view.head)
        bound = _bound((payout for payout in payouts if _may_spend(seen.get(payout.id))), self._account.contracts)
        return Survey(
            max(one.used for _, one in said),
            max(one.pending for _, one in said),
            newest.holds,
            Market(newest.prices, newest.self_gas, newest.l1_fee, bound),
            seen,
            (*(failure.message for failure in failures), *(words for _, one in said for words in one.troubles)),
        )

    def _ask(self, payouts: Sequence[Payout], failures: list[NodeFailed]) -> list[tuple[Node, NodeSays]]:
        """What the nodes that answer say, at least one; the others go to ``failures``. Raises `NodesFailed`."""

        def ask(node: Node, some: Sequence[Payout]) -> NodeSays:
            return surveying.ask(self._account, self._asker(node), some)

        def one(node: Node) -> tuple[Node, NodeSays]:
            try:
                return node, ask(node, payouts)
            except NodeFailed as failure:
                failures.append(failure)
                raise

        if self._quorum > 1:
            answers = self._nodes.each(lambda node: (node, ask(node, payouts)))
            failures += [answer for answer in answers if isinstance(answer, NodeFailed)]
            said = [answer for answer in answers if not isinstance(answer, NodeFailed)]
            if not said:
                raise NodesFailed(self._nodes.chain, tuple(failures))
            return said
        first = self._nodes.first(one)
        left = [payout for payout in payouts if payout.id not in first[1].seen]
        if not left:
            return [first]
        others = self._nodes.rest(first[0]).each(lambda node: (node, ask(node, left)))
        failures += [answer for answer in others if isinstance(answer, NodeFailed)]
        return [first, *(answer for answer in others if not isinstance(answer, NodeFailed))]

    def _seen(self, payout: Payout, said: Sequence[tuple[Node, NodeSays]]) -> Seen | None:
        voices = [
            Voice(self._operator(node), node.name, one.view.head, one.seen[payout.id])
            for node, one in said
            if payout.id in one.seen
        ]
        return agree(voices, self._quorum) if voices else None

    def _operator(self, node: Node) -> str:
        """Who runs a node: the operator as named, else the host, as in `ChainSettings.operators`."""
        return node.name if node.name in self._operators else _PORT.sub("", node.name)

    def _asker(self, node: Node) -> Asker:
        assert isinstance(node, JsonRpcNode)
        return Asker(node, self._states[node])

    # -- what it holds, for reconciling ----------------------------------------------------------------------------

    def standing(self) -> Standing:
        """What the account holds in the latest block that all nodes have; see `Payer.standing`.

        With a quorum all nodes are asked. Raises `NodesFailed`.
        """
        if self._quorum <= 1:
            return self._nodes.first(lambda node: standing.standing(self._account, self._asker(node)))
        heads = self._of_each(lambda node: standing.head(self._account, self._asker(node)))
        height = min(heads.values())
        return standing.agreed(
            self._of_each(lambda node: standing.standing(self._account, self._asker(node), height)),
            {self._operator(node) for node in heads},
            self._quorum,
        )

    def _of_each(self, ask: Callable[[Node], T]) -> dict[Node, T]:
        """What each node that answers says. Raises `NodesFailed` where none does."""
        answers = self._nodes.each(lambda node: (node, ask(node)))
        said = dict(answer for answer in answers if not isinstance(answer, NodeFailed))
        if not said:
            failures = (answer for answer in answers if isinstance(answer, NodeFailed))
            raise NodesFailed(self._nodes.chain, tuple(failures))
        return said

    def has_block(self, height: int, block_hash: str) -> bool:
        """Whether this is still the chain's block at that height. Raises `NodesFailed`."""
        return self._nodes.first(lambda node: standing.has_block(self._asker(node), height, block_hash))

    def received(self, contract: str, after: int, upto: int) -> int | None:
        """What others paid to the account of a token, by its logs; see `Payer.received`. Raises `NodesFailed`."""
        return self._nodes.first(
            lambda node: standing.received(self._account, self._asker(node), contract, after, upto)
        )

    # -- plans ------------------------------------------------------------------------------------------------------

    def draft(self, payments: Sequence[Payment], survey: Survey) -> list[Draft]:
        """Make a plan for each payment, without its place, having tried it out; see `Payer.draft`.

        What payouts in flight may still spend, as the survey was told of them, is not there either. Raises
        `NodesFailed`.
        """
        market = _market(survey)
        offer = self._offer(market)
        free = {key: units - market.bound.get(key, 0) for key, units in survey.holds.items()}
        drafts: list[Draft | None] = [drafting.forbidden(self._account, payment) for payment in payments]
        if isinstance(offer, TooDear):
            return [draft or replace(offer, for_all=True) for draft in drafts]
        for place, payment in enumerate(payments):
            drafts[place] = drafts[place] or self._short(payment, fees.PLAIN_GAS, offer, market, free)
        left = [place for place, draft in enumerate(drafts) if draft is None]
        tried = dict(zip(left, self._tried([payments[place] for place in left]), strict=True))
        made: list[Draft] = []
        for place, payment in enumerate(payments):
            draft = drafts[place] or self._drafted(payment, tried[place], offer, market, free)
            made.append(draft)
        return made

    def _offer(self, market: Market) -> GasFees | TooDear:
        if market.prices is None:
            return TooDear("no node tells what blocks ask for a unit of gas")
        return fees.offered(market.prices, self._account.caps)

    def _tried(self, payments: Sequence[Payment]) -> list[int | Unpayable | drafting.Poor]:
        if not payments:
            return []
        return self._nodes.first(lambda node: drafting.tried(self._account, self._asker(node), payments))

    def _drafted(
        self,
        payment: Payment,
        tried: int | Unpayable | drafting.Poor,
        offer: GasFees,
        market: Market,
        free: dict[str | None, int],
    ) -> Draft:
        """The plan of a payment that was tried; what it spends is taken from ``free``."""
        if isinstance(tried, Unpayable):
            return tried
        if isinstance(tried, drafting.Poor):
            return Short(payment.asset.symbol, payment.base_units, max(free.get(payment.asset.contract, 0), 0))
        short = self._short(payment, tried, offer, market, free)
        if short is not None:
            return short
        to, value, data = drafting.target(payment)
        cost = tried * offer.max_fee_per_gas + market.l1_fee
        dear = fees.too_dear(cost, None if data else value, self._account.caps)
        dear = dear or fees.too_dear_for(cost, payment.most_fee, self._account.coin)
        if dear is not None:
            return dear
        free[None] -= cost
        free[payment.asset.contract] -= payment.base_units
        tip = offer.max_priority_fee_per_gas
        made = Unsigned(self._account.chain_id, None, to_checksum(to), value, data, tried, offer.max_fee_per_gas, tip)
        return made.plan

    def _short(
        self, payment: Payment, gas: int, offer: GasFees, market: Market, free: dict[str | None, int]
    ) -> Short | Unpayable | None:
        """What ``free`` does not hold of what the payment needs."""
        cost, contract = gas * offer.max_fee_per_gas + market.l1_fee, payment.asset.contract
        if contract not in free:
            return Unpayable(f"no node says what the wallet holds of {payment.asset.symbol}")
        if contract is not None and free[contract] < payment.base_units:
            return Short(payment.asset.symbol, payment.base_units, max(free[contract], 0))
        needs = cost + (payment.base_units if contract is None else 0)
        return Short(self._account.coin.symbol, needs, max(free[None], 0)) if free[None] < needs else None

    def legs(
        self, asset: Asset, surplus: int, destination: str, survey: Survey
    ) -> list[Leg] | Unpayable | TooDear | Short:
        """One payment; of the coin, its fee comes out of the surplus. Raises `NodesFailed`."""
        units = surplus if asset.contract is not None else max(surplus // 2, 1)  # what it costs is not known yet
        (draft,) = self.draft([Payment("", asset, units, destination)], survey)
        if not isinstance(draft, Plan):
            assert not isinstance(draft, Output)  # every payment is a transaction of its own
            return draft
        cost = draft.max_fee + _market(survey).l1_fee
        if asset.contract is not None:
            return [Leg(surplus, 0, cost)]
        return [Leg(max(surplus - cost, 0), min(cost, surplus))]

    def place(self, plan: Plan, place: int) -> tuple[Plan, tuple[str, ...]]:
        """The plan with the nonce ``place``, and that as its claim. Raises `Refused`."""
        return Unsigned.of(plan.text).at(place).plan, (str(place),)

    def dearer(self, payout: Payout, survey: Survey, most_fee: int | None = None) -> Plan | TooDear:
        """The last attempt once more, with fees that replace every attempt so far. Raises `Refused`."""
        last = Unsigned.of(payout.last.plan.text)
        plan = self._replacing(payout, survey, last, payout.last.kind)
        if isinstance(plan, TooDear) or payout.last.kind is Kind.CANCEL:
            return plan
        return fees.too_dear_for(plan.max_fee + _market(survey).l1_fee, most_fee, self._account.coin) or plan

    def self_send(self, payout: Payout, survey: Survey) -> Plan | TooDear:
        """Nothing, paid to ourselves, in the place of all attempts; it may cost twice what a payment may.

        Raises `Refused`.
        """
        chain_id, gas = self._account.chain_id, _market(survey).self_gas
        (claim,) = payout.claims
        empty = Unsigned(chain_id, int(claim), self.source, 0, b"", gas, 0, 0)
        return self._replacing(payout, survey, empty, Kind.CANCEL)

    def _replacing(self, payout: Payout, survey: Survey, plan: Unsigned, kind: Kind) -> Plan | TooDear:
        market, caps = _market(survey), self._account.caps
        if kind is Kind.CANCEL:
            caps = caps.times(CANCEL_TIMES)
        if market.prices is None:
            return TooDear("no node tells what blocks ask for a unit of gas")
        new = fees.raised(_dearest(payout), market.prices, caps)
        if isinstance(new, TooDear):
            return new
        cost = plan.gas * new.max_fee_per_gas + market.l1_fee
        dear = fees.too_dear(cost, None if plan.data or kind is Kind.CANCEL else plan.value, caps)
        return dear or plan.offering(new).plan

    # -- signed bytes -----------------------------------------------------------------------------------------------

    def read(self, raw: bytes) -> Decoded:
        """What signed bytes do, by the second decoder. Raises `Refused`."""
        return decoding.decode(raw, self._account.contracts)

    def contents(self, raw: bytes) -> Decoded:
        """What signed bytes do, without whose signature it is. Raises `Refused`."""
        return decoding.contents(raw, self._account.contracts)

    def send(self, raws: Sequence[bytes]) -> list[Sent]:
        """Give signed bytes to the nodes, each node once; see `sending.send`."""
        return sending.send(self._nodes, raws)


def _market(survey: Survey) -> Market:
    assert isinstance(survey.market, Market)  # of another family's survey
    return survey.market


def _dearest(payout: Payout) -> GasFees:
    """The highest of each fee that any attempt offers: a node may hold any of them. Raises `Refused`."""
    offers = [Unsigned.of(each.plan.text).fees for each in payout.attempts]
    return GasFees(max(each.max_fee_per_gas for each in offers), max(each.max_priority_fee_per_gas for each in offers))


def _may_spend(seen: Seen | None) -> bool:
    """Whether a payout in this state may still spend what it was to: balances do not show it yet."""
    return not (isinstance(seen, Mined) or (isinstance(seen, Taken) and seen.final))


def _bound(payouts: Iterable[Payout], contracts: Mapping[str, str]) -> dict[str | None, int]:
    """What ``payouts`` may still spend, by contract as the settings spell it (None: the coin), in base units."""
    bound: dict[str | None, int] = {}
    for payout in payouts:
        most: dict[str | None, int] = {}
        for attempt in payout.attempts:
            try:
                plan = Unsigned.of(attempt.plan.text)
                pays = decoding.paid(plan.to, plan.value, plan.data, contracts)
            except (Refused, ValueError):
                continue  # nobody can sign it either
            spends: dict[str | None, int] = {None: plan.gas * plan.max_fee_per_gas}
            spends[pays.contract] = spends.get(pays.contract, 0) + pays.base_units
            most |= {key: max(units, most.get(key, 0)) for key, units in spends.items()}
        for key, units in most.items():
            bound[key] = bound.get(key, 0) + units
    return bound
