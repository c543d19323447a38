"""The one place that opens adapters: settings, chains, memory, secrets, each when first asked for."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from cryptosupport.domain.errors import BadSettings

if TYPE_CHECKING:
    from cryptosupport.desk.diagnose import Installation
    from cryptosupport.desk.look_up import Question
    from cryptosupport.domain.identifiers import Explorer
    from cryptosupport.domain.ports import Chain, Memory
    from cryptosupport.domain.transactions import Detail
    from cryptosupport.settings import ChainSettings, DeskSettings, WalletSettings


class SystemClock:
    """The machine's time."""

    def now(self) -> int:
        """Whole seconds since 1970, UTC."""
        return int(time.time())

    def monotonic(self) -> float:
        """Seconds on a clock that only moves forward."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


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
            (settings,) = self._context.chain_settings(name)
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

    # -- settings

    @cached_property
    def folder(self) -> Path:
        """The settings folder."""
        from cryptosupport.settings import find_folder

        return find_folder(self.options.configs)

    @cached_property
    def data_folder(self) -> Path:
        """The folder for data; not made yet."""
        named = self.options.data or os.environ.get("CRYPTOSUPPORT_DATA")
        share = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        return Path(named) if named else Path(share) / "cryptosupport"

    @cached_property
    def desk(self) -> DeskSettings:
        """desk.toml."""
        from cryptosupport.settings import load_desk

        return load_desk(self.folder)

    @cached_property
    def wallets(self) -> dict[str, WalletSettings]:
        """wallets.toml."""
        from cryptosupport.settings import load_wallets

        return load_wallets(self.folder)

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

        if not settings.family.isidentifier():
            raise BadSettings(f"chains/{settings.name}.toml: family {settings.family!r} is no name")
        try:
            family = import_module(f"cryptosupport.chains.{settings.family}")
        except ModuleNotFoundError as error:
            if error.name != f"cryptosupport.chains.{settings.family}":
                raise
            raise BadSettings(f"chains/{settings.name}.toml: there is no chain family {settings.family!r}") from error
        try:
            endpoints = tuple(
                replace(
                    node,
                    url=self.secret(node.url),
                    rpc_user=node.rpc_user and self.secret(node.rpc_user),
                    rpc_password=node.rpc_password and self.secret(node.rpc_password),
                )
                for node in settings.nodes
                if node.own or not own_only
            )
        except ValueError as error:  # what a reference stands for can be as wrong as what is written out
            raise BadSettings(f"chains/{settings.name}.toml: {error}") from error
        settings = replace(settings, endpoints=endpoints)
        chain: Chain = family.open_chain(settings, open_nodes(settings, self.clock), self.clock)
        return chain

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
        backends = keyrings.backends()
        return Installation(
            folder=self.folder,
            python=sys.version_info[:3],
            clock=self.clock,
            secret=self.secret,
            keyrings=backends,
            in_clear=keyrings.in_clear(backends),
            memory=self._memory,
            complaints=complaints,
            open_chain=lambda name: self.chains(name)[0],
        )

    def memory(self, wanted: bool = True) -> Memory:
        """What earlier look-ups saw; with ``wanted`` False one that knows nothing and keeps nothing."""
        from cryptosupport.ledger.sightings import Forgetful, Sightings

        if not wanted:
            return Forgetful()
        if self._memory is None:
            self._memory = Sightings(self.data_folder / "sightings.db", self.warn)
        return self._memory

    def secret(self, text: str) -> str:
        """The text itself, or what "env:NAME" or "keyring:NAME" stands for. Raises `BadSettings` when that is not
        set.
        """
        scheme, _, name = text.partition(":")
        if scheme == "env":
            value = os.environ.get(name)
            if value is None:
                raise BadSettings(f"the settings refer to {text}, and the variable {name} is not set")
            return value
        if scheme == "keyring":
            return self._from_keyring(name)
        return text

    def _from_keyring(self, name: str) -> str:
        import keyring
        from keyring.errors import KeyringError

        try:
            value = keyring.get_password("cryptosupport", name)
        except KeyringError as error:
            raise BadSettings(
                f"the settings refer to keyring:{name}, and the keyring cannot be read: {error}"
            ) from error
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
        print(message, file=sys.stderr)

    def note(self, message: str) -> None:
        """Tell a person at a terminal how things go."""
        if not self.options.quiet and sys.stderr.isatty():
            print(message, file=sys.stderr)

    def close(self) -> None:
        """Let go of what was opened."""
        if self._memory is not None:
            self._memory.close()
