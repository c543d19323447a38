"""The desk's own wallets: what the ledger knows of each, and what each holds, has reserved, and has left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cryptosupport.domain.books import Ledger
from cryptosupport.domain.errors import NodeFailed, NodesFailed
from cryptosupport.domain.money import Asset, format_base_units
from cryptosupport.domain.paying import Payer, Survey
from cryptosupport.domain.payouts import Absent, Mined, Payout, Purse, Seen, Taken
from cryptosupport.domain.sweeps import is_sweep


@dataclass(frozen=True, slots=True)
class Own:
    """A wallet of the settings. ``source`` is its address in normal form, where it has one that can be read.

    ``signer`` is where its key is (keyring, socket, none), and nothing that leads to it. ``assets`` are its chain's.
    """

    name: str
    chain: str
    role: str
    address: str | None
    source: str | None
    signer: str
    assets: Sequence[Asset]


@dataclass(frozen=True, slots=True)
class Held:
    """What a wallet has of an asset, in base units; ``reserved`` is what payouts under way may still spend of it.

    ``in_flight`` is what sweeps of it move that has not arrived in a block, and ``leaving`` the part of that which is
    in ``on_chain`` yet.
    """

    asset: Asset
    on_chain: int
    reserved: int
    in_flight: int = 0
    leaving: int = 0


def wallet_records(ledger: Ledger, wallets: Sequence[Own]) -> Iterator[dict[str, Any]]:
    """What the ledger knows of each wallet; no node is asked. Raises `Tampered`."""
    for own in wallets:
        purse, live = _in_ledger(ledger, own)
        told = {name: getattr(own, name) for name in ("name", "chain", "role", "address", "signer")}
        next_nonce = None if purse is None else purse.place
        yield told | {"bound": purse is not None, "next_nonce": next_nonce, "under_way": len(live)}


def _in_ledger(ledger: Ledger, own: Own) -> tuple[Purse | None, list[Payout]]:
    if own.source is None:
        return None, []
    with ledger.look() as records:
        return records.payouts.purse(own.chain, own.source), records.payouts.live(own.chain, own.source)


def balance_record(
    ledger: Ledger, own: Own, payer: Callable[[str], Payer] | None, balance: Callable[[Own, Asset], int]
) -> dict[str, Any]:
    """What a wallet holds, as a record; ``error`` says why that cannot be told.

    ``payer`` opens what pays from it, None where nothing does; ``balance`` asks a node for one asset.
    """
    try:
        held, error = list(_held(ledger, own, payer, balance)), None
    except (NodeFailed, NodesFailed) as failure:
        held, error = [], failure.message
    told = {"wallet": own.name, "chain": own.chain, "address": own.address}
    assets = tuple(each.symbol for each in own.assets)
    return told | {"assets": assets, "balances": [_held_record(each) for each in held], "error": error}


def balance_rows(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same, an asset a row."""
    told = {name: record[name] for name in ("wallet", "chain", "error")}
    for each in record["balances"] or [{}]:
        yield told | each


def _held(
    ledger: Ledger, own: Own, payer: Callable[[str], Payer] | None, balance: Callable[[Own, Asset], int]
) -> Iterator[Held]:
    """Raises `NodesFailed`, `NodeFailed`. The ledger is read first: what a block takes in between counts as reserved
    no more, and is in the balance.
    """
    _, live = _in_ledger(ledger, own)
    reserved, in_flight, leaving = dict[str | None, int](), dict[str | None, int](), dict[str | None, int]()
    holds: dict[str | None, int] = {}
    if live and payer is not None:
        opened = payer(own.name)
        survey = opened.survey(live)
        holds = dict(survey.holds)
        spending = still_spending(live, survey, opened.in_order)
        reserved, leaving = reserved_by(ledger, spending), _swept(ledger, spending)
        in_flight = _swept(ledger, [each for each in live if not isinstance(survey.seen.get(each.id), Mined)])
    for asset in own.assets:
        on_chain = holds[asset.contract] if asset.contract in holds else balance(own, asset)
        moves = in_flight.get(asset.contract, 0), leaving.get(asset.contract, 0)
        yield Held(asset, on_chain, reserved.get(asset.contract, 0), *moves)


def still_spending(payouts: Sequence[Payout], survey: Survey, in_order: bool) -> list[Payout]:
    """The payouts that may still spend what the balances of the survey have; ``in_order`` is that of the payer."""
    return [each for each in payouts if _may_spend(survey.seen.get(each.id), in_order)]


def _may_spend(seen: Seen | None, in_order: bool) -> bool:
    """Whether balances do not show it yet; where places are coins, what waits in a pool is not held any more."""
    if not in_order and isinstance(seen, Absent) and seen.pooled:
        return False
    return not isinstance(seen, Mined) and not (isinstance(seen, Taken) and seen.final)


def reserved_by(ledger: Ledger, payouts: Sequence[Payout]) -> dict[str | None, int]:
    """The most that payouts may still spend, by contract (None: the coin, with fees)."""
    reserved: dict[str | None, int] = {}
    ids = [item.withdrawal_id for each in payouts for item in each.items]
    with ledger.look() as records:
        withdrawals = records.payouts.withdrawals(ids)
    for payout in payouts:
        reserved[None] = reserved.get(None, 0) + max(each.plan.max_fee for each in payout.attempts)
        for item in payout.items:
            if item.withdrawal_id in withdrawals:
                request = withdrawals[item.withdrawal_id].request
                contract = request.asset.contract
                reserved[contract] = reserved.get(contract, 0) + request.base_units
    return reserved


def _swept(ledger: Ledger, payouts: Sequence[Payout]) -> dict[str | None, int]:
    """What sweeps among payouts move, by contract; what is being taken back does not."""
    ids = [item.withdrawal_id for each in payouts if not each.cancelling for item in each.items]
    with ledger.look() as records:
        found = records.payouts.withdrawals(ids).values()
    sums: dict[str | None, int] = {}
    for each in found:
        if is_sweep(each.request.request_id):
            contract = each.request.asset.contract
            sums[contract] = sums.get(contract, 0) + each.request.base_units
    return sums


def _held_record(held: Held) -> dict[str, Any]:
    decimals = held.asset.decimals or 0
    sums = {"on_chain": held.on_chain, "reserved": held.reserved, "free": held.on_chain - held.reserved}
    sums |= {"in_flight": held.in_flight, "settled": held.on_chain - held.leaving}
    told = {name: {"amount": format_base_units(it, decimals), "base_units": str(it)} for name, it in sums.items()}
    return {"asset": held.asset.symbol, **told}
