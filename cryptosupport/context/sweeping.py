"""Sweeps: which wallets have a float, and where their surplus goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptosupport.context.wallets import WithWallets
from cryptosupport.domain.errors import BadInput, BadSettings, SupportError
from cryptosupport.domain.sweeps import is_sweep

if TYPE_CHECKING:
    from cryptosupport.context import Context
    from cryptosupport.desk.cases import Premises
    from cryptosupport.desk.plan_sweeps import Desk, Float
    from cryptosupport.desk.show_wallets import Own
    from cryptosupport.domain.coldset import Cold
    from cryptosupport.domain.withdrawals import Withdrawal
    from cryptosupport.settings import ChainSettings
    from cryptosupport.settings.wallets import WalletSettings

_TOLD = ("request_id", "state", "amount", "asset", "chain", "destination", "txid")
"""What a line of the log says of a sweep that moved."""


class WithSweeping(WithWallets):
    """What plans sweeps, and does them."""

    def sweep_plans(self, names: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
        """What is to be done about each asset of the wallets of these names, or of all, as records.

        Where a node cannot be asked, the exit code says so. Raises `NoSuchRecord`, `BadInput` for a named wallet that
        has no float, `BadSettings`.
        """
        return self._sweep_plans(self.swept(names))

    def _sweep_plans(self, swept: Sequence[tuple[Own, list[Float]]]) -> Iterator[dict[str, Any]]:
        from cryptosupport.desk.plan_sweeps import plan_records

        desk = self.sweeping(swept)
        for own, floats in swept:
            for record in plan_records(desk, own, floats, self.payer):
                if record["error"] is not None:
                    self.warn(f"{own.name}: {record['error']}")
                    self.exit_code = 6
                yield record

    def swept(self, names: Sequence[str]) -> list[tuple[Own, list[Float]]]:
        """The wallets that are swept, with their floats. Raises `NoSuchRecord`, `BadInput`, `BadSettings`."""
        found = [(own, self._floats(self.wallets[own.name])) for own in self.own_wallets(names)]
        swept = [(own, floats) for own, floats in found if floats and own.name in self.paying_wallets]
        if missing := set(names) - {own.name for own, _ in swept}:
            raise BadInput(f"{min(missing)} is not swept: only a hot wallet with a signer and a float is")
        return swept

    def sweeping(self, swept: Sequence[tuple[Own, list[Float]]]) -> Desk:
        """What plans of these wallets rest on."""
        from cryptosupport.desk.plan_sweeps import Desk

        chains = {own.chain for own, _ in swept}
        return Desk(self.ledger(), self.cold_set(), {name: self.chain_settings(name)[0].max_fee for name in chains})

    def _floats(self, wallet: WalletSettings) -> list[Float]:
        """The floats of a wallet. Raises `BadSettings`."""
        from cryptosupport.desk.plan_sweeps import Float
        from cryptosupport.settings import milliseconds

        if not wallet.float:
            return []
        (settings,) = self.chain_settings(wallet.chain)
        found = []
        for symbol, it in wallet.float.items():
            asset = settings.by_symbol[symbol]  # amounts are checked where wallets.toml is read
            cold = self._cold(self.wallets[it.sweep_to], settings)
            kept, cooldown = it.kept_for_fees(asset, settings.max_fee), milliseconds(it.cooldown)
            found.append(Float(asset, it.bounds(asset), kept, cold, it.test(asset), cooldown))
        return found

    def _cold(self, wallet: WalletSettings, settings: ChainSettings) -> Cold:
        """A cold wallet, its address in normal form. Raises `BadSettings`."""
        source = None if wallet.address is None else self._source(wallet)
        if wallet.address is not None and source is None:
            raise BadSettings(f"wallets.toml [{wallet.name}]: address: {wallet.address} is none of {settings.name}")
        return replace(self.named_cold[wallet.name], address=source)


def sweep_pass(context: Context, names: Sequence[str], metrics: Path | None) -> list[dict[str, Any]]:
    """Record what is to leave the wallets of these names, or of all, and do one pass over those that have a sweep under
    way; the sweeps that moved, as records. What is in the way is a warning, and sets the exit code.

    See `at_work`. Raises `Locked` when another pass is at it.
    """
    from cryptosupport.context.running import SWEEP_RUN, at_work
    from cryptosupport.desk.pay import Paid, pay
    from cryptosupport.desk.payout_record import paid_records
    from cryptosupport.desk.sweep import under_way

    swept = context.swept(names)
    with at_work(context, SWEEP_RUN, False, metrics) as noted:
        ledger, premises, desk = context.ledger(), context.premises(), context.sweeping(swept)
        noted.ledger = ledger
        made, errors = _recorded(context, desk, premises, swept)
        wallets = [own.name for own, floats in swept if under_way(desk, own, floats)]
        noted.paid = paid = pay(context.paying(ledger, premises), wallets, context.till) if wallets else Paid()
        moved = made | {id: each for id, each in paid.moved.items() if is_sweep(each.request.request_id)}
        paid.errors[:0] = errors
        context.tell_paid(paid)
        context.tell_hooks()
        records = list(paid_records(ledger, moved.values(), context.coin))
        for each in records:
            context.act("sweep", **{name: each[name] for name in _TOLD})
        return records


def _recorded(
    context: Context, desk: Desk, premises: Premises, swept: Sequence[tuple[Own, list[Float]]]
) -> tuple[dict[int, Withdrawal], list[SupportError]]:
    """The sweeps that were recorded, by id, and what kept others from that."""
    from cryptosupport.desk.sweep import sweep

    errors: list[SupportError] = []
    made: dict[int, Withdrawal] = {}
    for own, floats in swept:
        try:
            made |= {each.id: each for each in sweep(desk, premises, own, floats, context.payer(own.name), errors)}
        except SupportError as error:
            errors.append(error)
    return made, errors
