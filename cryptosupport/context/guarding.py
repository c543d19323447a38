"""What stands beside the rules: lists, providers, own addresses, alarms."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from cryptosupport.context.changing import WithChanges

if TYPE_CHECKING:
    from cryptosupport.desk.ask_provider import AskedProvider
    from cryptosupport.desk.guards import Guarding
    from cryptosupport.domain.books import Records
    from cryptosupport.outside.hooks import Provider
    from cryptosupport.settings.guards import Hook


class WithGuards(WithChanges):
    """The guards of decisions."""

    def __init__(self) -> None:
        super().__init__()
        self._providers: list[Provider] = []

    def close(self) -> None:
        """Let go of what was opened; whoever is still asking gives up."""
        for provider in self._providers:
            provider.close()
        super().close()

    def same_versions(self, records: Records) -> None:
        """Raise `BadSettings` when other operators or another policy came into force since this run began."""
        from cryptosupport.desk.people import same_versions

        same_versions(records, self.people.operators.version, self.signed_policies())

    @cached_property
    def guarding(self) -> Guarding:
        """What speaks beside the rules."""
        from cryptosupport.desk.contracts import Contracts
        from cryptosupport.desk.guards import Guarding
        from cryptosupport.desk.screen_lists import ListReader
        from cryptosupport.domain.policy.decision import PROVIDER, TRAVEL_RULE
        from cryptosupport.domain.screening import key_of

        screening = self.desk.screening
        readers = {each.name: self._address_reader(each) for each in self._all_chains()}
        named = ((wallet.address, f"the {wallet.role} wallet {name}") for name, wallet in self.wallets.items())
        tokens = {
            key_of(asset.contract): f"{symbol} on {chain.name}"
            for chain in self._all_chains()
            for symbol, asset in chain.by_symbol.items()
            if asset.contract is not None
        }
        return Guarding(
            freeze_file=self.freeze_lines,
            read_lists=ListReader(),
            read_address=lambda chain, text: readers[chain](text) if chain in readers else None,
            own={key_of(address): whose for address, whose in named if address is not None},
            tokens=tokens,
            lists=screening.lists,
            hold_after=screening.hold_after_ms,
            allowlist_cooling=screening.allowlist_cooling_ms,
            travel_rule_above=screening.travel_rule_above_value,
            provider=self._provider(PROVIDER, screening.provider),
            travel_rule=self._provider(TRAVEL_RULE, screening.travel_rule),
            contracts=Contracts(lambda name: self.chains(name)[0]) if screening.contracts == "hold" else None,
        )

    def _provider(self, rule: str, hook: Hook | None) -> AskedProvider | None:
        if hook is None:
            return None
        from cryptosupport.desk.ask_provider import AskedProvider
        from cryptosupport.domain.errors import BadSettings
        from cryptosupport.outside.hooks import Provider

        try:
            hook = self._resolved(hook, "url")
        except ValueError as error:  # what a reference stands for can be as wrong as what is written out
            raise BadSettings(f"desk.toml [screening]: {error}") from error
        provider = Provider(hook, None if hook.header is None else self.secret(hook.header), self.clock)
        self._providers.append(provider)
        return AskedProvider(rule, provider)
