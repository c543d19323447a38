"""Addresses of wallets that are known by a descriptor: fresh ones, and whose one is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptosupport.context.freezing import WithFreezes
from cryptosupport.domain.errors import BadInput, BadSettings, NoSuchRecord, SupportError

if TYPE_CHECKING:
    from cryptosupport.domain.books import Records
    from cryptosupport.settings import ChainSettings
    from cryptosupport.settings.wallets import WalletSettings

GIVEN_OUT = "wallet.address"
"""The act that an address was given out, with its index; about the wallet."""

_LATELY = 50
"""So many of the last payouts are looked through for the addresses of change that are used."""


class WithDeriving(WithFreezes):
    """What knows which addresses a descriptor makes."""

    def __init__(self) -> None:
        super().__init__()
        self._own_scripts: dict[str, Any] = {}
        self._used: dict[str, int] = {}

    def derives(self, chain: str, address: str) -> WalletSettings | None:
        """The wallet whose descriptor makes an address; None where none does. Raises `BadSettings`."""
        if not self._of_many(chain) or not self.has_file_of_ledger():
            return self._deriving(None, chain, address)
        try:
            with self.ledger(make=False).look() as records:
                return self._deriving(records, chain, address)
        except SupportError as error:
            self.warn(f"how far addresses of own wallets are used is not known: {error.message}")
            return self._deriving(None, chain, address)

    def whose(self, records: Records, chain: str, address: str) -> str | None:
        """The same in words, within a transaction of the ledger."""
        wallet = self._deriving(records, chain, address)
        return None if wallet is None else f"an address of the {wallet.role} wallet {wallet.name}"

    def fresh_address(self, name: str) -> dict[str, Any]:
        """An address to be paid to, of a wallet; of one that has many, one that was never given out, as a record.

        Raises `NoSuchRecord`, `BadInput` for a wallet that gives out none, `BadSettings`, `NodesFailed`.
        """
        from cryptosupport.settings.values import nearest

        if name not in self.wallets:
            raise NoSuchRecord(f"no wallet of wallets.toml is called {name}{nearest(name, self.wallets)}")
        wallet = self.wallets[name]
        (settings,) = self.chain_settings(wallet.chain)
        if wallet.address is not None:
            address = self._only_address(wallet, settings)
            return {"wallet": name, "chain": wallet.chain, "address": address, "index": None}
        if wallet.role != "hot" or wallet.descriptor is None or not self._derives(settings):
            raise BadInput(f"{name} gives out no addresses here: only a hot wallet with a descriptor does")
        return self._given_out(wallet, settings, wallet.descriptor)

    def _given_out(self, wallet: WalletSettings, settings: ChainSettings, descriptor: str) -> dict[str, Any]:
        from cryptosupport.domain.audit import Act

        ledger = self.ledger()
        with ledger.look() as records:
            last = _index(records, wallet.name)
        settings, nodes = self._open_nodes(settings)
        receiving = self._family(settings, ".receiving")
        address, index = receiving.fresh(settings, nodes, self.clock, wallet.name, descriptor, last)
        with ledger.act() as records:
            if index <= _index(records, wallet.name):
                raise SupportError(f"address {index} of {wallet.name} was given out to somebody else: ask again")
            records.log(Act(GIVEN_OUT, wallet.name, facts={"index": str(index), "address": address}))
        return {"wallet": wallet.name, "chain": wallet.chain, "address": address, "index": index}

    def _only_address(self, wallet: WalletSettings, settings: ChainSettings) -> str:
        try:
            address = self._address_reader(settings)(wallet.address or "")
        except BadInput as error:
            raise BadSettings(f"wallets.toml [{wallet.name}]: address: {error.message}") from error
        if address is None:
            raise BadSettings(f"wallets.toml [{wallet.name}]: address: it is none of {wallet.chain}")
        return address.text

    # -- whose it is

    def _of_many(self, chain: str) -> list[WalletSettings]:
        return [each for each in self.wallets.values() if each.chain == chain and each.descriptor is not None]

    def _deriving(self, records: Records | None, chain: str, address: str) -> WalletSettings | None:
        for wallet in self._of_many(chain):
            (settings,) = self.chain_settings(chain)
            if not self._derives(settings):
                continue
            receiving = self._family(settings, ".receiving")
            if wallet.name not in self._own_scripts:
                try:
                    self._own_scripts[wallet.name] = receiving.OwnScripts(wallet.descriptor, settings.network)
                except BadInput as error:
                    raise BadSettings(f"wallets.toml [{wallet.name}]: descriptor: {error.message}") from error
            own = self._own_scripts[wallet.name]
            try:
                if own.holds(address, -1) or own.holds(address, self._last_used(records, wallet, settings)):
                    return wallet
            except BadInput:  # no address of this chain
                return None
        return None

    def _last_used(self, records: Records | None, wallet: WalletSettings, settings: ChainSettings) -> int:
        """The highest index that is known to be used, of either branch; asked once."""
        if records is None:
            return -1
        if wallet.name not in self._used:
            receiving, payouts = self._family(settings, ".receiving"), records.payouts
            found = [_index(records, wallet.name)]
            if wallet.role == "hot":
                source = self._family(settings, ".paying").source_of(settings, wallet.name, wallet.descriptor)
                lately = payouts.after(wallet.chain, source, max(payouts.next_id - 1 - _LATELY, 0), _LATELY)
                found.append(receiving.last_change(a.plan.text for each in lately for a in each.attempts))
            self._used[wallet.name] = max(found)
        return self._used[wallet.name]

    def _derives(self, settings: ChainSettings) -> bool:
        from importlib.util import find_spec

        self._family(settings)
        return find_spec(f"cryptosupport.chains.{settings.family}.receiving") is not None


def _index(records: Records, wallet: str) -> int:
    """The index of the last address of a wallet that was given out; -1 for none."""
    entry = records.last_acts(GIVEN_OUT, {wallet}).get(wallet)
    return -1 if entry is None else int(entry.act.facts.get("index") or -1)
