"""The one place that opens adapters: settings, chains, memory, secrets, each when first asked for."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cryptosupport.domain.errors import BadSettings

if TYPE_CHECKING:
    from msgspec import Struct
    from sqlalchemy import Engine

    from cryptosupport.desk.cases import ChainFacts, Premises
    from cryptosupport.desk.diagnose import Installation
    from cryptosupport.desk.look_up import Question
    from cryptosupport.domain.addresses import Address
    from cryptosupport.domain.books import Ledger
    from cryptosupport.domain.identifiers import Explorer
    from cryptosupport.domain.policy.rules import Policy
    from cryptosupport.domain.ports import Chain, Memory
    from cryptosupport.domain.prices import Quote
    from cryptosupport.domain.requests import Intake
    from cryptosupport.domain.transactions import Detail
    from cryptosupport.settings import ChainSettings, DeskSettings, WalletSettings
    from cryptosupport.transport import Nodes

S = TypeVar("S", bound="Struct")


class SystemClock:
    """The machine's time."""

    ends_at = math.inf

    def now(self) -> int:
        """Whole seconds since 1970, UTC."""
        return int(time.time())

    def milliseconds(self) -> int:
        """Whole milliseconds since 1970, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds on a clock that only moves forward."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def say(message: str) -> None:
    """Write a line to stderr. Where that is closed or full nobody is told, and the work goes on."""
    import click

    try:
        click.echo(message, err=True)
    except OSError:
        sys.stderr = None  # else the interpreter would fail on it once more at exit


def at_terminal() -> bool:
    """Whether stderr is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


class Options:
    """The common options, as far as given."""

    configs: str | None = None
    data: str | None = None
    locale: str | None = None
    quiet: bool = False
    log: str = "text"


class _Explorers:
    """The explorers of all chains, of those that are not asked too; their settings are read when a link is pasted."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __iter__(self) -> Iterator[Explorer]:
        from cryptosupport.domain.identifiers import explorer
        from cryptosupport.settings import chain_names

        for name in chain_names(self._context.folder):
            try:
                (settings,) = self._context.chain_settings(name)
            except BadSettings:  # those of a chain that is asked are sound: they were read before
                continue
            yield from explorer(name, settings.explorer, settings.explorer_hosts)


class Context:
    """What a command works with."""

    def __init__(self) -> None:
        self.options = Options()
        self.clock = SystemClock()
        self.exit_code = 0
        self._warned: set[str] = set()
        self._chain_settings: dict[str, ChainSettings] = {}
        self._memory: Memory | None = None
        self._opened: list[Nodes] = []
        self._engine: Engine | None = None

    # -- settings

    @cached_property
    def folder(self) -> Path:
        """The settings folder."""
        from cryptosupport.settings import find_folder

        return find_folder(self.options.configs)

    @cached_property
    def data_folder(self) -> Path:
        """The folder for data; not made yet."""
        from cryptosupport.settings import data_folder

        return data_folder(self.options.data)

    @cached_property
    def desk(self) -> DeskSettings:
        """desk.toml."""
        from cryptosupport.settings import load_desk

        return load_desk(self.folder)

    @cached_property
    def wallets(self) -> dict[str, WalletSettings]:
        """wallets.toml; what stands in it for an address or descriptor is resolved, a signer stays a reference."""
        from cryptosupport.settings import load_wallets

        wallets = load_wallets(self.folder)
        return {name: self._resolved(wallet, "address", "descriptor") for name, wallet in wallets.items()}

    @property
    def locale(self) -> str:
        """The language to answer in: the option, $CRYPTOSUPPORT_LOCALE, or the first one of desk.toml."""
        from cryptosupport.domain.wording import supported

        named = self.options.locale or os.environ.get("CRYPTOSUPPORT_LOCALE") or self.desk.desk.locales[0]
        return supported(named)

    # -- adapters

    def chain_settings(self, name: str | None = None) -> list[ChainSettings]:
        """The settings of the chain ``name``, else of every enabled chain; secrets are still references."""
        from cryptosupport.settings import chain_names, load_chain

        names = chain_names(self.folder) if name is None else [name]
        for each in names:
            if each not in self._chain_settings:
                self._chain_settings[each] = load_chain(self.folder, each)
        enabled = [self._chain_settings[each] for each in names if name or self._chain_settings[each].enabled]
        if not enabled:
            raise BadSettings(
                f"no chain is enabled in {self.folder / 'chains'}: `cryptosupport init` writes the presets"
            )
        return enabled

    def chains(self, name: str | None = None, own_only: bool = False) -> list[Chain]:
        """The chain ``name``, else every enabled chain that has an endpoint which may be asked, ready to be asked."""
        settings = self.chain_settings(name)
        if name is None:
            settings = [each for each in settings if any(node.own or not own_only for node in each.nodes)]
        if not settings:
            wanted = "marked own = true" if own_only else "named"
            raise BadSettings(f"no endpoint is {wanted} in {self.folder / 'chains'}: there is nobody to ask")
        return [self._open_chain(each, own_only) for each in settings]

    def _open_chain(self, settings: ChainSettings, own_only: bool) -> Chain:
        from msgspec.structs import replace

        from cryptosupport.transport import open_nodes

        family = self._family(settings)
        try:
            endpoints = tuple(
                self._resolved(node, "url", "operator", "rpc_user", "rpc_password", "cookie_file")
                for node in settings.nodes
                if node.own or not own_only
            )
        except ValueError as error:  # what a reference stands for can be as wrong as what is written out
            raise BadSettings(f"chains/{settings.name}.toml: {error}") from error
        settings = replace(settings, endpoints=endpoints)
        nodes = open_nodes(settings, self.clock)
        self._opened.append(nodes)
        chain: Chain = family.open_chain(settings, nodes, self.clock)
        return chain

    @staticmethod
    def _family(settings: ChainSettings, module: str = "") -> Any:
        """The module of the chain's family. Raises `BadSettings` when there is no such family."""
        try:
            return import_module(f"cryptosupport.chains.{settings.family}{module}")
        except ModuleNotFoundError as error:
            if error.name != f"cryptosupport.chains.{settings.family}":
                raise
            raise BadSettings(f"chains/{settings.name}.toml: there is no chain family {settings.family!r}") from error

    def question(self, name: str | None, own_only: bool, remember: bool, detail: Detail) -> Question:
        """What `tx` asks of the chains: one by name, or every enabled one."""
        from cryptosupport.desk.look_up import Question

        chains = self.chains(name, own_only)
        return Question(chains, _Explorers(self), self.memory(remember), self.clock, detail, named=name is not None)

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
        )

    # -- withdrawals

    def guard_settings(self) -> None:
        """Refuse settings that others than their owner can write: what they say decides about money."""
        from cryptosupport.settings import refuse_writable_by_others

        refuse_writable_by_others(self.folder)

    @cached_property
    def policy(self) -> Policy:
        """policy.toml."""
        from cryptosupport.settings.policy import load_policy

        return self._with_addresses(load_policy(self.folder, self.desk.desk.timezone))

    def draft(self, path: Path) -> Policy:
        """A policy that is not in force."""
        from cryptosupport.settings.policy import load_policy_file

        return self._with_addresses(load_policy_file(path, self.desk.desk.timezone))

    def earlier_policy(self, text: str) -> Policy:
        """A policy as the ledger kept it."""
        from cryptosupport.settings.policy import policy_of

        return self._with_addresses(policy_of(text, "the ledger's policy"))

    def _with_addresses(self, policy: Policy) -> Policy:
        """The policy with the destinations of its rules in normal form, as requests have them.

        Raises `BadSettings` for one that no chain of the settings can read: its rule would never match.
        """
        from cryptosupport.domain.policy.destinations import with_normal_destinations

        if not any("destination" in rule.match for rule in policy.rules):
            return policy
        return with_normal_destinations(policy, [self._address_reader(chain) for chain in self._all_chains()])

    def ledger_engine(self) -> Engine:
        """The database of the ledger, as it is."""
        from cryptosupport.ledger.engine import open_engine

        if self._engine is None:
            url = self.desk.ledger.url
            resolved = self.secret(url)
            self._engine = open_engine(resolved, self.data_folder, from_reference=resolved != url)
        return self._engine

    def ledger(self) -> Ledger:
        """The ledger, ready to work with: an empty database gets its tables. Raises `BadSettings`, `Unreachable`."""
        from cryptosupport.ledger.ledger import SqlLedger, time_of
        from cryptosupport.ledger.schema import ready

        engine = self.ledger_engine()
        ready(engine)
        return SqlLedger(engine, time_of(self.clock))

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
            hot_balance=HotBalances(lambda name: self.chains(name)[0], addresses, self.clock),
            balances=None if path is None else Balances(path, milliseconds(intake.balances_max_age)),
            run_cap=intake.run_cap_value,
        )

    def quotes(self) -> dict[str, list[Quote]]:
        """What the price files say now; what cannot be used of them is a warning."""
        from cryptosupport.outside.prices import read_quotes

        quotes, complaints = read_quotes(self.desk.prices.paths(self.folder))
        for complaint in complaints:
            self.warn(complaint)
        return quotes

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
            facts[chain.name] = ChainFacts(coin, chain.max_fee, tuple(hot), caps)
        return facts

    def _address_reader(self, chain: ChainSettings) -> Callable[[str], Address | None]:
        family = self._family(chain, ".addresses")
        reader: Callable[[str], Address | None] = family.address_reader(chain)
        return reader

    def memory(self, wanted: bool = True) -> Memory:
        """What earlier look-ups saw; with ``wanted`` False one that knows nothing and keeps nothing."""
        from cryptosupport.ledger.sightings import Forgetful, Sightings

        if not wanted:
            return Forgetful()
        if self._memory is None:
            try:
                self._memory = Sightings(self.data_folder / "sightings.db", self.warn)
            except BadSettings as error:  # no place for data: a look-up does not need one
                self.warn(f"what was seen is not remembered: {error.message}")
                self._memory = Forgetful()
        return self._memory

    def secret(self, text: str) -> str:
        """The text itself, or what "env:NAME" or "keyring:NAME" stands for. Raises `BadSettings` when that is not
        set, or no text.
        """
        scheme, _, name = text.partition(":")
        if scheme == "env":
            value = os.environ.get(name)
            if value is None:
                raise BadSettings(f"the settings refer to {text}, and the variable {name} is not set")
        elif scheme == "keyring":
            value = self._from_keyring(name)
        else:
            return text
        try:
            value.encode()
        except UnicodeEncodeError:  # bytes of the environment that are no UTF-8; the error would show them
            raise BadSettings(f"the settings refer to {text}, and what it holds is not valid UTF-8") from None
        return value

    def _resolved(self, settings: S, *keys: str) -> S:
        """``settings`` with what the references under ``keys`` stand for."""
        from msgspec.structs import replace

        given = {key: getattr(settings, key) for key in keys}
        return replace(settings, **{key: self.secret(text) for key, text in given.items() if text is not None})

    def _from_keyring(self, name: str) -> str:
        from cryptosupport.outside import keyrings

        try:
            value = keyrings.password(name)
        except BadSettings as error:
            raise BadSettings(f"the settings refer to keyring:{name}, and {error.message}") from error
        if value is None:
            raise BadSettings(
                f"the settings refer to keyring:{name}, which is not set: run `keyring set cryptosupport {name}`"
            )
        return value

    # -- talking to the user

    def warn(self, message: str) -> None:
        """Say something on stderr that does not stop the work; the same thing once only."""
        if self.options.quiet or message in self._warned:
            return
        self._warned.add(message)
        if self.options.log == "json":
            import json

            message = json.dumps({"level": "warning", "at": self.clock.now(), "message": message})
        else:
            message = f"warning: {message}"
        say(message)

    def note(self, message: str) -> None:
        """Tell a person at a terminal how things go."""
        if not self.options.quiet and at_terminal():
            say(message)

    def close(self) -> None:
        """Let go of what was opened; whoever is still asking a node gives up."""
        self.clock.ends_at = -math.inf
        for nodes in self._opened:
            nodes.close()
        if self._memory is not None:
            self._memory.close()
        if self._engine is not None:
            self._engine.dispose()
