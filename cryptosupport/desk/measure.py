"""Measure a pass: what it came to, what waits, what is under way, and what the wallets hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cryptosupport.domain.books import Ledger, Wanted
from cryptosupport.domain.events import Standing
from cryptosupport.domain.metrics import Gauge, Labels, LastRun
from cryptosupport.domain.money import Asset, format_base_units
from cryptosupport.domain.payouts import OVER, Step
from cryptosupport.domain.withdrawals import State
from cryptosupport.settings import FloatSettings

SUCCESS = frozenset({0, 5, 7})
"""The exit codes of a pass that did all its work: what a wallet lacks, or nobody can tell, is no fault of the pass."""


class Wallet(Protocol):
    """A wallet that pays, as the settings have it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def chain(self) -> str:
        """Its chain."""

    @property
    def float(self) -> Mapping[str, FloatSettings]:
        """How much it should hold, by symbol."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the ledger has: withdrawals by state, payouts under way by (wallet, step), and the first one that waits for
    its turn, by the time when it was approved (milliseconds since 1970; None without one).
    """

    states: Mapping[str, int]
    under_way: Mapping[tuple[str, str], int] = field(default_factory=dict)
    approved_since: int | None = None


def ended(before: LastRun | None, exit_code: int, now: int) -> LastRun:
    """The pass that ends now."""
    succeeded_at = None if before is None else before.succeeded_at
    return LastRun(now, exit_code, now if exit_code in SUCCESS else succeeded_at)


def waiting(ledger: Ledger, states: Mapping[str, int]) -> Waiting:
    """What waits and what is under way, beside the ``states`` that were counted. Raises `Tampered`, `Unreachable`."""
    first = next(ledger.withdrawals(Wanted(states=(State.APPROVED, State.WAITING_LIQUIDITY))), None)
    under_way: Counter[tuple[str, str]] = Counter()
    with ledger.look() as records:
        for chain, source in records.payouts.sources():
            under_way.update((each.wallet, each.step.value) for each in records.payouts.live(chain, source))
    return Waiting(states, under_way, None if first is None else first.updated_at)


def gauges_of_run(run: LastRun, job: str = "run") -> list[Gauge]:
    """What is known of every pass of a ``job``, also of one that failed."""
    name = f"cryptosupport_{job}"
    gauges = [
        Gauge(f"{name}_timestamp_seconds", "When the last pass ended.", (), _one(_seconds(run.at))),
        Gauge(f"{name}_exit_code", "The exit code of the last pass.", (), _one(str(run.exit_code))),
    ]
    if run.succeeded_at is not None:
        said = "When a pass last did all its work (exit code 0, 5 or 7)."
        gauges.append(Gauge(f"{name}_success_timestamp_seconds", said, (), _one(_seconds(run.succeeded_at))))
    return gauges


def gauges_of_ledger(waits: Waiting, wallets: Iterable[Wallet], now: int) -> list[Gauge]:
    """What waits and what is under way; what there is nothing of is 0, so that an alarm can speak of it."""
    states: dict[Labels, str] = {(each.value,): str(waits.states.get(each.value, 0)) for each in State}
    steps = [each.value for each in Step if each not in OVER]
    names = dict.fromkeys([*(each.name for each in wallets), *(wallet for wallet, _ in waits.under_way)])
    places = [(name, step) for name in names for step in steps]
    payouts: dict[Labels, str] = {place: str(waits.under_way.get(place, 0)) for place in places}
    age = 0 if waits.approved_since is None else max(now - waits.approved_since, 0)
    return [
        Gauge("cryptosupport_withdrawals", "Withdrawals in the ledger by state.", ("state",), states),
        Gauge("cryptosupport_unknown", "Withdrawals of which nobody can tell whether they were paid.", (),
              _one(states[State.UNKNOWN.value,])),
        Gauge("cryptosupport_oldest_approved_age_seconds", "How long the first approved withdrawal that no wallet has "
              "reserved waits by now; 0 without one.", (), _one(_seconds(age))),
        Gauge("cryptosupport_payouts_under_way", "Payouts that are not over.", ("wallet", "step"), payouts),
    ]  # fmt: skip


def gauges_of_wallets(
    wallets: Iterable[Wallet], holds: Mapping[str, Mapping[str | None, int]], assets: Mapping[str, Mapping[str, Asset]]
) -> list[Gauge]:
    """What each wallet holds, as its nodes said in this pass, and how much it should.

    ``holds`` are base units by wallet and contract; a wallet whose nodes did not answer is not told of. ``assets`` are
    by chain and symbol.
    """
    labels = ("wallet", "chain", "asset")
    held: dict[Labels, str] = {}
    floats: dict[str, dict[Labels, str]] = {"floor": {}, "target": {}, "ceiling": {}}
    for wallet in wallets:
        for symbol, asset in assets.get(wallet.chain, {}).items():
            units = holds.get(wallet.name, {}).get(asset.contract)
            if units is not None and asset.decimals is not None:
                held[wallet.name, wallet.chain, symbol] = format_base_units(units, asset.decimals)
        for symbol, wanted in wallet.float.items():
            for name, values in floats.items():
                values[wallet.name, wallet.chain, symbol] = getattr(wanted, name)
    return [
        Gauge("cryptosupport_wallet_holds", "What a hot wallet holds, in whole coins.", labels, held),
        *(
            Gauge(f"cryptosupport_wallet_{name}", f"The {name} of a wallet's float, in whole coins.", labels, values)
            for name, values in floats.items()
        ),
    ]


def gauges_of_hooks(standings: Mapping[str, Standing], now: int) -> list[Gauge]:
    """What is due to each hook; nothing where there are no hooks."""
    ages = {name: 0 if it.since is None else max(now - it.since, 0) for name, it in standings.items()}
    due: dict[Labels, str] = {(name,): str(it.due) for name, it in standings.items()}
    oldest: dict[Labels, str] = {(name,): _seconds(age) for name, age in ages.items()}
    gauges = [
        Gauge("cryptosupport_hook_due", "Changes that a hook has not taken yet.", ("hook",), due),
        Gauge("cryptosupport_hook_oldest_due_age_seconds", "How long the first of them waits by now; 0 without one.",
              ("hook",), oldest),
    ]  # fmt: skip
    return gauges if standings else []


def _one(value: str) -> dict[Labels, str]:
    return {(): value}


def _seconds(milliseconds: int) -> str:
    return format_base_units(milliseconds, 3)
