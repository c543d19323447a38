"""The one place that opens adapters: settings, chains, memory, secrets, ledger, each when first asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from cryptosupport.context.machine import SystemClock, at_terminal, say
from cryptosupport.context.privacy import Privacy

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from cryptosupport.desk.cases import ChainFacts, Premises
    from cryptosupport.desk.diagnose import Installation
    from cryptosupport.desk.diagnose_withdrawals import Withdrawing
    from cryptosupport.domain.addresses import Address
    from cryptosupport.domain.books import Ledger
    from cryptosupport.domain.money import Quantity
    from cryptosupport.domain.policy.lint import Remark
    from cryptosupport.domain.policy.rules import Policy
    from cryptosupport.domain.prices import Pricing, Quote
    from cryptosupport.domain.requests import Intake
    from cryptosupport.settings import ChainSettings

__all__ = ["Context", "SystemClock", "at_terminal", "say"]


class Context(Privacy):
    """What a command works with."""

    def __init__(self) -> None:
        super().__init__()
        self._engine: Engine | None = None
        self._policy_stamp: tuple[int, int, int] | None = None
        self._passing: TemporaryDirectory[str] | None = None

    def close(self) -> None:
        """Let go of what was opened; whoever is still asking a node gives up."""
        super().close()
        if self._engine is not None:
            self._engine.dispose()
        if self._passing is not None:
            self._passing.cleanup()

    # -- withdrawals

    def guard_settings(self) -> None:
        """Refuse to decide about money by the presets, or by settings that others than their owner can write.

        Raises `BadSettings`.
        """
        from cryptosupport.domain.errors import BadSettings
        from cryptosupport.settings import PRESETS, refuse_writable_by_others

        if self.folder == PRESETS:
            raise BadSettings("there is no settings folder: `cryptosupport init` writes one, with policy.toml to edit")
        refuse_writable_by_others(self.folder, self._told_by_others())

    def _told_by_others(self) -> list[Path]:
        """The files that the desk's own programs write, and that decide about money too."""
        balances = self.desk.intake.balances_file(self.folder)
        return [*self.desk.prices.paths(self.folder), *([] if balances is None else [balances])]

    @cached_property
    def policy(self) -> Policy:
        """policy.toml."""
        from cryptosupport.settings.policy import load_policy

        where = str(self.folder / "policy.toml")
        self._policy_stamp = self._stamp()
        return self._with_addresses(load_policy(self.folder, self.desk.desk.timezone), where)

    @property
    def sources(self) -> tuple[str, ...]:
        """The ways in which requests come: what rules match as `source`."""
        return ("option", "file", "stdin", *self.desk.intake.keys)

    def same_policy(self) -> None:
        """Raise `BadSettings` when policy.toml is another one than when this run read it."""
        from cryptosupport.domain.errors import BadSettings

        if self._stamp() != self._policy_stamp:
            where = self.folder / "policy.toml"
            raise BadSettings(f"{where} was changed meanwhile: what was told is recorded; run it again for the rest")

    def _stamp(self) -> tuple[int, int, int] | None:
        """What tells one version of policy.toml from another."""
        try:
            status = (self.folder / "policy.toml").stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    def draft(self, path: Path) -> Policy:
        """A policy that is not in force."""
        from cryptosupport.settings.policy import load_policy_file

        return self._with_addresses(load_policy_file(path, self.desk.desk.timezone), str(path))

    def earlier_policy(self, text: str) -> Policy:
        """A policy as the ledger kept it."""
        from cryptosupport.settings.policy import policy_of

        return self._with_addresses(policy_of(text, "the ledger's policy"), None)

    def _with_addresses(self, policy: Policy, where: str | None) -> Policy:
        """The policy with the destinations of its rules in normal form, as requests have them."""
        from cryptosupport.domain.policy.destinations import with_normal_destinations

        if not any("destination" in rule.match for rule in policy.rules):
            return policy
        readers = [self._address_reader(chain) for chain in self._all_chains()]
        return with_normal_destinations(policy, readers, where)

    def ledger_engine(self) -> Engine:
        """The database of the ledger, as it is."""
        from cryptosupport.ledger.engine import open_engine

        if self._engine is None:
            url = self.desk.ledger.url
            resolved = self.secret(url)
            self._engine = open_engine(resolved, self.data_folder, from_reference=resolved != url)
        return self._engine

    def ledger(self, make: bool = True) -> Ledger:
        """The ledger, ready to work with: an empty database gets its tables. Raises `BadSettings`, `Unreachable`.

        Who only looks does not ``make`` one: where there is no file yet, it is an empty one that is gone afterwards.
        """
        from cryptosupport.ledger.engine import open_engine
        from cryptosupport.ledger.ledger import SqlLedger, time_of
        from cryptosupport.ledger.schema import ready

        engine = self.ledger_engine()
        if not make and self._no_ledger_yet():
            self.warn(f"there is no ledger at {engine.url.database} yet: the first `withdraw submit` makes it")
            self._passing = TemporaryDirectory(prefix="cryptosupport-")
            self._engine = engine = open_engine("sqlite:///ledger.db", Path(self._passing.name))
        ready(engine)
        return SqlLedger(engine, time_of(self.clock), self.personal_keys)

    def last_prices(self) -> Mapping[str, Quantity]:
        """The last prices that counted lately, in USD; none without a ledger, and a warning where it cannot be read."""
        from cryptosupport.domain.errors import SupportError
        from cryptosupport.ledger.ledger import last_prices

        try:
            return {} if self._no_ledger_yet() else last_prices(self.ledger_engine(), self.clock.milliseconds())
        except SupportError as error:
            self.warn(f"how far prices moved cannot be told: {error.message}")
            return {}

    def _no_ledger_yet(self) -> bool:
        """Whether the ledger is a SQLite file that is not there."""
        from cryptosupport.ledger.engine import file_of
        from cryptosupport.settings.reading import is_there

        file = file_of(self.ledger_engine())
        return file is not None and not is_there(file)

    def run_lock(self, name: str) -> AbstractContextManager[None]:
        """Be the only run of ``name`` meanwhile. Raises `Locked` when another one holds it."""
        from cryptosupport.outside.locks import lock

        return lock(self.data_folder / f"{name}.lock")

    def intake(self) -> Intake:
        """What requests are checked against; no node is needed for it."""
        from cryptosupport.domain.requests import Intake
        from cryptosupport.outside.signatures import Verifier

        intake = self.desk.intake
        readers = {each.name: self._address_reader(each) for each in self._all_chains()}
        verifier = Verifier({name: self.secret(key) for name, key in intake.keys.items()})
        return Intake(
            assets={each.name: each.by_symbol for each in self._all_chains()},
            read_address=lambda chain, text: readers[chain](text),
            tiers=self.policy.tiers,
            signature_fault=verifier.fault,
            signature_required=intake.require_signature,
        )

    def premises(self, policy: Policy | None = None) -> Premises:
        """What decisions rest on, by ``policy`` or that of the settings."""
        from cryptosupport.desk.cases import Premises
        from cryptosupport.desk.hot_balances import HotBalances
        from cryptosupport.domain.policy.judging import Judge
        from cryptosupport.outside.balances import Balances
        from cryptosupport.settings import milliseconds

        intake = self.desk.intake
        path = intake.balances_file(self.folder)
        addresses = {name: wallet.address for name, wallet in self.wallets.items()}
        return Premises(
            judge=Judge(policy or self.policy),
            chains=self._chain_facts(),
            price_rules=self.desk.prices.rules,
            quotes=self.quotes,
            hot_balances=HotBalances(lambda name: self.chains(name)[0], addresses, self.clock),
            balances=None if path is None else Balances(path, milliseconds(intake.balances_max_age)),
            run_cap=intake.run_cap_value,
        )

    def quotes(self) -> dict[str, list[Quote]]:
        """What the price files say now; what cannot be used of them is a warning."""
        quotes, complaints = self._quotes()
        for complaint in complaints:
            self.warn(complaint)
        return quotes

    def _quotes(self) -> tuple[dict[str, list[Quote]], list[str]]:
        from cryptosupport.outside.prices import read_quotes

        return read_quotes(self.desk.prices.paths(self.folder))

    def _all_chains(self) -> list[ChainSettings]:
        """All chains of the settings folder, whether or not `tx` asks them unnamed."""
        from cryptosupport.settings import chain_names

        return [self.chain_settings(name)[0] for name in chain_names(self.folder)]

    def _chain_facts(self) -> dict[str, ChainFacts]:
        from cryptosupport.desk.cases import ChainFacts

        facts = {}
        for chain in self._all_chains():
            own = (wallet for wallet in self.wallets.values() if wallet.chain == chain.name)
            hot = sorted(wallet.name for wallet in own if wallet.role == "hot")
            caps = {name: asset.most for name, asset in chain.assets.items() if asset.most is not None}
            coin = chain.coin if chain.max_fee else None
            facts[chain.name] = ChainFacts(chain.by_symbol, coin, chain.max_fee, tuple(hot), caps)
        return facts

    def _address_reader(self, chain: ChainSettings) -> Callable[[str], Address | None]:
        family = self._family(chain, ".addresses")
        reader: Callable[[str], Address | None] = family.address_reader(chain)
        return reader

    # -- doctor

    def installation(self) -> Installation:
        """What `doctor` examines; nothing of it is opened for good."""
        from cryptosupport.desk.diagnose import Installation
        from cryptosupport.ledger.sightings import Sightings
        from cryptosupport.outside import keyrings

        complaints: list[str] = []
        self._memory = Sightings(self.data_folder / "sightings.db", complaints.append)
        backends, keyring_fault = keyrings.examine()
        return Installation(
            folder=self.folder,
            python=sys.version_info[:3],
            clock=self.clock,
            secret=self.secret,
            keyrings=backends,
            keyring_fault=keyring_fault,
            in_clear=keyrings.in_clear(backends),
            memory=self._memory,
            complaints=complaints,
            open_chain=lambda name: self.chains(name)[0],
            withdrawing=self._withdrawing(),
        )

    def _withdrawing(self) -> Withdrawing:
        """What `doctor` examines of withdrawals."""
        from cryptosupport.desk.check_policy import check_policy
        from cryptosupport.desk.diagnose_withdrawals import Withdrawing
        from cryptosupport.desk.show_prices import show_prices
        from cryptosupport.settings.reading import is_there

        path = self.folder / "policy.toml"

        def remarks(policy: Policy) -> list[Remark]:
            assets = {each.name: each.by_symbol for each in self._all_chains()}
            wallets = {name: (wallet.chain, wallet.role) for name, wallet in self.wallets.items()}
            return check_policy(policy, path, assets, wallets, self._quotes()[0], self.sources)

        def prices() -> tuple[list[Pricing], list[str]]:
            quotes, complaints = self._quotes()
            symbols = {symbol for each in self.chain_settings() for symbol in each.by_symbol}
            seen = show_prices(quotes, symbols, self.desk.prices.rules, self.last_prices(), self.clock.milliseconds())
            return [each.pricing for each in seen], complaints

        def ledger() -> dict[str, Any]:
            from cryptosupport.ledger.schema import status

            return status(self.ledger_engine())

        def personal() -> tuple[str | None, tuple[str, ...]]:
            from cryptosupport.ledger.personal import key_in_force

            return key_in_force(self.ledger_engine()), self.personal_keys.key_ids()

        def last_decision() -> int | None:
            from cryptosupport.ledger.schema import last_decision

            return last_decision(self.ledger_engine())

        return Withdrawing(
            policy=lambda: self.policy if is_there(path) else None,
            remarks=remarks,
            intake=self.intake,
            prices=prices,
            min_sources=lambda: self.desk.prices.min_sources,
            ledger=ledger,
            last_decision=last_decision,
            now=self.clock.milliseconds,
            personal=personal,
        )
