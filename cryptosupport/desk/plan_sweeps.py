"""Plan what leaves hot wallets for the cold, and what they lack; nothing is reserved or sent by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cryptosupport.desk.cold_set import ColdSet
from cryptosupport.desk.freeze import told
from cryptosupport.desk.show_wallets import Own, reserved_by, still_spending
from cryptosupport.domain.books import Ledger, Records
from cryptosupport.domain.coldset import Cold
from cryptosupport.domain.errors import NodeFailed, NodesFailed, Refused
from cryptosupport.domain.freezes import Freeze
from cryptosupport.domain.money import Asset, format_base_units
from cryptosupport.domain.paying import Payer, Short, Survey, TooDear, Unpayable
from cryptosupport.domain.sweeps import Before, Bounds, Holding, Leg, SweepPlan, Verdict, settle_on, weigh
from cryptosupport.domain.withdrawals import State

SWEPT = "sweep.recorded"
"""The act of a sweep; its subject is wallet and asset, its facts are the `slot`, the `cold` and the `requests`."""

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Float:
    """How much of an asset a wallet is to hold, and of that what is ``kept`` for fees, in base units.

    What is beyond goes to ``cold``; at first no more than ``test``, in base units too. ``cooldown`` is in milliseconds.
    """

    asset: Asset
    bounds: Bounds
    kept: int
    cold: Cold
    test: int
    cooldown: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A wallet at one moment: what its nodes say, what is frozen, and what the ledger has.

    ``reserved`` and ``queued``, which is a part of it, are base units by contract; ``before`` are the last sweeps, by
    symbol.
    """

    own: Own
    payer: Payer
    survey: Survey
    now: int
    reserved: Mapping[str | None, int]
    queued: Mapping[str | None, int]
    freezes: tuple[Freeze, ...]
    before: Mapping[str, Before]


@dataclass(frozen=True, slots=True)
class Desk:
    """What plans of all wallets rest on: ``max_fee`` by chain is the most that a payment may cost, in base units."""

    ledger: Ledger
    cold_set: ColdSet
    max_fee: Mapping[str, int]


def plan_records(
    desk: Desk, own: Own, floats: Sequence[Float], open_payer: Callable[[str], Payer]
) -> Iterator[dict[str, Any]]:
    """What is to be done about each asset of a wallet, as records. Raises `Tampered`, `BadSettings`."""
    try:
        standing = stand(desk, own, floats, open_payer(own.name))
        planned = [(each, plan(desk, standing, each)) for each in floats]
    except (NodesFailed, NodeFailed) as failure:
        yield failed_record(own, failure)
        return
    for wanted, made in planned:
        yield plan_record(own, wanted, made)


def stand(desk: Desk, own: Own, floats: Sequence[Float], payer: Payer) -> Standing:
    """Ask how a wallet stands. Raises `NodesFailed`, `Tampered`.

    The ledger is read first: what a block takes in between is reserved no more, and has left the balance.
    """
    with desk.ledger.look() as records:
        live = records.payouts.live(own.chain, payer.source)
        waiting, freezes, now = queued(records, own, desk.max_fee[own.chain]), tuple(records.freezes()), records.now
        entries = {each.asset.symbol: last_sweep(records, own.name, each.asset.symbol) for each in floats}
    before = {symbol: _with_states(desk.ledger, entry, requests) for symbol, (entry, requests) in entries.items()}
    survey = payer.survey(live)
    under_way = reserved_by(desk.ledger, still_spending(live, survey, payer.in_order))
    reserved = {key: under_way.get(key, 0) + waiting.get(key, 0) for key in {**under_way, **waiting}}
    return Standing(own, payer, survey, now, reserved, waiting, freezes, before)


def plan(desk: Desk, standing: Standing, wanted: Float) -> SweepPlan:
    """What is to be done about one asset. Raises `NodesFailed`."""
    contract = wanted.asset.contract
    if contract not in standing.survey.holds:
        said = f"no node says what {standing.own.name} holds of {wanted.asset.symbol}"
        raise NodeFailed(standing.own.chain, "no_balance", said)
    held = Holding(wanted.asset, standing.survey.holds[contract], standing.reserved.get(contract, 0), wanted.kept)
    weighed = weigh(held, wanted.bounds)
    if weighed.verdict is not Verdict.SWEEP:
        return weighed
    before = standing.before.get(wanted.asset.symbol, Before())
    if not before.has_arrived(wanted.cold.known_by):
        weighed = replace(weigh(held, wanted.bounds.of_a_test(wanted.test)), test=True)
    waits = before.in_the_way(standing.now, wanted.cooldown)
    obstacles = [*_frozen(standing, wanted), *_unregistered(desk, wanted), *([waits] if waits else [])]
    if wanted.cold.address is None:
        return settle_on(weighed, (), [*obstacles, f"{wanted.cold.name} has no address that a sweep could go to"])
    made = standing.payer.legs(wanted.asset, weighed.surplus, wanted.cold.address, standing.survey)
    if isinstance(made, list):
        return settle_on(weighed, made, obstacles)
    return replace(settle_on(weighed, (), [*obstacles, _in_words(made)]), unpayable=isinstance(made, Unpayable))


def queued(records: Records, own: Own, max_fee: int) -> dict[str | None, int]:
    """What is approved and waits for its turn, by contract; its fees are of the coin."""
    sums: dict[str | None, int] = {}
    after = 0
    while found := records.payouts.payable(own.chain, own.name, _PAGE, after):
        for each in found:
            contract = each.request.asset.contract
            sums[contract] = sums.get(contract, 0) + each.request.base_units
            sums[None] = sums.get(None, 0) + max_fee
        after = found[-1].id
    return sums


def last_sweep(records: Records, wallet: str, symbol: str) -> tuple[Before, tuple[str, ...]]:
    """The last sweep of an asset as the log has it, and its request ids."""
    subject = subject_of(wallet, symbol)
    entry = records.last_acts(SWEPT, {subject}).get(subject)
    if entry is None:
        return Before(), ()
    facts = entry.act.facts
    return Before(int(facts["slot"] or 0), entry.at, facts["cold"] or ""), tuple((facts["requests"] or "").split())


def subject_of(wallet: str, symbol: str) -> str:
    """What the audit log calls an asset of a wallet."""
    return f"{symbol} of {wallet}"


def _with_states(ledger: Ledger, before: Before, requests: Sequence[str]) -> Before:
    found = [ledger.withdrawal(each) for each in requests]
    return replace(before, states=tuple(State.UNKNOWN if each is None else each.state for each in found))


def _frozen(standing: Standing, wanted: Float) -> Iterator[str]:
    own = standing.own
    mine = {"all": "", "chain": own.chain, "wallet": own.name, "asset": wanted.asset.symbol}
    for each in standing.freezes:
        if mine.get(each.scope.kind) == each.scope.value:
            yield told(each)


def _unregistered(desk: Desk, wanted: Float) -> Iterator[str]:
    try:
        desk.cold_set.registered(wanted.cold)
    except Refused as refused:
        yield refused.message


def _in_words(why: Unpayable | TooDear | Short) -> str:
    if isinstance(why, Short):
        return f"it lacks {why.symbol} for the fee"
    return why.reason


# -- as records ------------------------------------------------------------------------------------------------------


def plan_record(own: Own, wanted: Float, plan: SweepPlan) -> dict[str, Any]:
    """A plan as a record."""
    held, bounds = plan.holding, plan.bounds
    sums = {
        "confirmed": held.confirmed, "reserved": held.reserved, "fee_reserve": held.fee_reserve,
        "available": held.available, "floor": bounds.floor, "target": bounds.target, "ceiling": bounds.ceiling,
        "surplus": plan.surplus, "moved": plan.moved, "fee": plan.fee, "left": plan.left, "refill": plan.refill,
    }  # fmt: skip
    told: dict[str, Any] = {"wallet": own.name, "chain": own.chain, "asset": wanted.asset.symbol}
    told |= {"verdict": plan.verdict.value}
    amounts = {name: _amount(units, wanted.asset) for name, units in sums.items()}
    legs = [_leg_record(leg, wanted.asset) for leg in plan.legs]
    ends = {"to": wanted.cold.name, "destination": wanted.cold.address, "test": plan.test, "legs": legs}
    return told | amounts | ends | {"why": plan.why or None, "error": None}


def failed_record(own: Own, failure: NodesFailed | NodeFailed) -> dict[str, Any]:
    """A wallet that nothing can be planned for now."""
    return {"wallet": own.name, "chain": own.chain, "asset": None, "verdict": None, "error": failure.message}


def _leg_record(leg: Leg, asset: Asset) -> dict[str, Any]:
    told = {"moved": _amount(leg.moved, asset), "fee": _amount(leg.fee, asset)}
    return told | {"coin_fee": {"base_units": str(leg.coin_fee)}}


def _amount(units: int, asset: Asset) -> dict[str, str]:
    return {"amount": format_base_units(units, asset.decimals or 0), "base_units": str(units)}
