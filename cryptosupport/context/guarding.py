"""What stands beside the rules: lists, providers, own addresses, alarms."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from cryptosupport.context.deriving import WithDeriving
from cryptosupport.domain.errors import SupportError, Tampered

if TYPE_CHECKING:
    from cryptosupport.desk.alarms import Alarms
    from cryptosupport.desk.ask_provider import AskedProvider
    from cryptosupport.desk.diagnose_guards import Guarded
    from cryptosupport.desk.guards import Guarding
    from cryptosupport.domain.books import Records
    from cryptosupport.domain.screening import Lists
    from cryptosupport.domain.withdrawals import Request
    from cryptosupport.outside.hooks import Provider
    from cryptosupport.settings.guards import Hook


class WithGuards(WithDeriving):
    """The guards of decisions, and what freezes the desk by itself."""

    def __init__(self) -> None:
        super().__init__()
        self._providers: list[Provider] = []
        self._found: list[Tampered] = []

    def close(self) -> None:
        """Let go of what was opened; whoever is still asking gives up."""
        for provider in self._providers:
            provider.close()
        super().close()

    def part(self) -> None:
        """Say what was to be said in the end. Raises the first `Tampered` that was heard of while others went on."""
        super().part()
        for error in self._found:
            raise error

    @property
    def exit_code_by_now(self) -> int:
        """The exit code as things are: what was found changed in the ledger is raised in the end only."""
        return self.exit_code or (Tampered.exit_code if self._found else 0)

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
            derived=self.whose,
            tokens=tokens,
            lists=screening.lists,
            hold_after=screening.hold_after_ms,
            allowlist_cooling=screening.allowlist_cooling_ms,
            travel_rule_above=screening.travel_rule_above_value,
            provider=self._provider(PROVIDER, screening.provider),
            travel_rule=self._provider(TRAVEL_RULE, screening.travel_rule),
            contracts=Contracts(lambda name: self.chains(name)[0]) if screening.contracts == "hold" else None,
            tampered=self._tampered,
            sweep_fault=self._sweep_fault,
            unscreened=lambda: self.warn_in_the_end(
                "no sanctions list is there: what is allowed is not screened (`cryptosupport screen import`)"
            ),
        )

    def _sweep_fault(self, records: Records, request: Request) -> str | None:
        """Why a sweep must not go where it is to go: only to a cold wallet that two people signed as it is today."""
        from cryptosupport.context.signing import fault
        from cryptosupport.desk.cold_set import cold_set
        from cryptosupport.domain.screening import key_of

        registered, named = cold_set(records, self._versions[1], fault).colds, self.named_cold
        for name, each in registered.items():
            if each.chain == request.chain and key_of(each.known_by) == key_of(request.destination):
                return None if named.get(name) == each else f"{name} is in wallets.toml no more, or was changed there"
        return f"{request.destination} is no place of the cold set that two people signed"

    def _tampered(self, records: Records, error: Tampered) -> None:
        """Hear of a row that was changed behind this program: everything is frozen, and it is told in the end."""
        from cryptosupport.desk.alarms import note

        note(records, self.alarms, error)
        self._found.append(error)

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

    def screening_lists(self) -> Lists | None:
        """The lists that destinations are screened against, None where there is no ledger to have any.

        A ledger that cannot be read is a warning: what else is known of an address is told all the same.
        """
        from cryptosupport.desk.screen_lists import load_lists
        from cryptosupport.domain.errors import SupportError

        if not self.has_file_of_ledger():
            return None
        try:
            with self.ledger(make=False).look() as records:
                return load_lists(records)
        except SupportError as error:
            self.hear(error)
            self.warn(f"no list was looked at: {error.message}")
            return None

    def hear(self, error: SupportError) -> None:
        """Write down what may be an attack, where the command that has found it goes on, as if it had ended by it."""
        if error.audited:
            self.write_down(error, self.command, "", None)

    def write_down(self, error: SupportError, command: str, about: str, by: str | None) -> None:
        """Write into the audit log that ``command`` was refused; what was changed behind this program freezes the desk.

        ``about`` is what the command was of, ``by`` who said that it is them. Where it cannot be written down, that is
        a warning: what was refused stays refused.
        """
        from cryptosupport.desk.alarms import write_down
        from cryptosupport.desk.note_refusal import note_refusal

        try:
            if not isinstance(error, Tampered):
                if self.has_file_of_ledger() and not self._no_ledger_yet():
                    proven = by is not None and by in self.people_in_force.proven
                    note_refusal(self.ledger(make=False), command, about, by, error, proven)
            elif self._engine is not None:  # what was found where no ledger was opened is not of this desk
                write_down(self.ledger(make=False), self.alarms, error)
        except (Exception, KeyboardInterrupt) as other:  # whatever it is: it must not hide what was refused
            freezes = ", nor freeze the desk" if isinstance(error, Tampered) else ""
            why = other.message if isinstance(other, SupportError) else type(other).__name__
            self.warn(f"what was found cannot be written down{freezes}: {why}", always=True)

    def guarded(self) -> Guarded:
        """What `doctor` examines beside the policy."""
        from cryptosupport.desk.diagnose_guards import Guarded
        from cryptosupport.desk.show_lists import Freshness, ListAge, list_states

        def lists() -> list[ListAge]:
            screening = self.desk.screening
            with self.ledger(make=False).look() as records:
                return list_states(
                    records, Freshness(screening.lists, screening.warn_after_ms, screening.hold_after_ms)
                )

        return Guarded(lambda: self.people, lambda: self.policy, lists, self.hear)

    @property
    def alarms(self) -> Alarms:
        """What freezes the desk, or a wallet, by itself."""
        from cryptosupport.desk.alarms import Alarms

        freeze = self.desk.freeze
        return Alarms(
            freeze.auto, self.desk.screening.lists, freeze.lists_older_than_ms, freeze.prices_older_than_ms,
            freeze.unknown_in_a_row,
        )  # fmt: skip
