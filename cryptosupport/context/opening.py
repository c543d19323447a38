"""Opens what look-ups need: settings, chains, memory, secrets."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from cryptosupport.context.machine import Options, SystemClock, at_terminal, say
from cryptosupport.domain.errors import BadSettings

if TYPE_CHECKING:
    from msgspec import Struct

    from cryptosupport.desk.keep_keys import Keys
    from cryptosupport.desk.look_up import Question
    from cryptosupport.domain.identifiers import Explorer
    from cryptosupport.domain.money import Asset
    from cryptosupport.domain.ports import Chain, Memory
    from cryptosupport.domain.transactions import Detail
    from cryptosupport.settings import ChainSettings, DeskSettings, WalletSettings
    from cryptosupport.transport import Nodes, SignerNode

S = TypeVar("S", bound="Struct")

_REMEMBERED = 1000
"""So many warnings are remembered: a worker may run for months."""


class _Explorers:
    """The explorers of all chains, of those that are not asked too; their settings are read when a link is pasted."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening

    def __iter__(self) -> Iterator[Explorer]:
        from cryptosupport.domain.identifiers import explorer
        from cryptosupport.settings import chain_names

        for name in chain_names(self._opening.folder):
            try:
                (settings,) = self._opening.chain_settings(name)
            except BadSettings:  # those of a chain that is asked are sound: they were read before
                continue
            yield from explorer(name, settings.explorer, settings.explorer_hosts)


class Opening:
    """Opens settings, chains, memory and secrets, each when first asked for, and talks to the user.

    ``command`` is the one that is run, as in "cryptosupport doctor".
    """

    def __init__(self) -> None:
        self.options = Options()
        self.clock = SystemClock()
        self.exit_code = 0
        self.command = "cryptosupport"
        self._warned: set[str] = set()
        self._in_the_end: list[str] = []
        self._chain_settings: dict[str, ChainSettings] = {}
        self._memory: Memory | None = None
        self._opened: list[Nodes | SignerNode] = []

    def anew(self) -> Self:
        """Another one that reads and opens everything anew; what was warned of lately is not warned of again."""
        other = type(self)()
        other.options, other.command = self.options, self.command
        other._warned = self._warned if len(self._warned) < _REMEMBERED else set()
        return other

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

    def coin(self, chain: str) -> Asset | None:
        """What fees are paid in on a chain; None where the settings do not say, as of one that was taken out."""
        try:
            return self.chain_settings(chain)[0].coin
        except BadSettings:
            return None

    def chains(self, name: str | None = None, own_only: bool = False) -> list[Chain]:
        """The chain ``name``, else every enabled chain that has an endpoint which may be asked, ready to be asked."""
        settings = self.chain_settings(name)
        if name is None:
            settings = [each for each in settings if any(node.own or not own_only for node in each.nodes)]
        if not settings:
            wanted = "marked own = true" if own_only else "named"
            raise BadSettings(f"no endpoint is {wanted} in {self.folder / 'chains'}: there is nobody to ask")
        return [self.open_chain(each, own_only) for each in settings]

    def open_chain(self, settings: ChainSettings, own_only: bool = False) -> Chain:
        """A chain by its settings, ready to be asked. Raises `BadSettings`."""
        family = self._family(settings)
        settings, nodes = self._open_nodes(settings, own_only)
        chain: Chain = family.open_chain(settings, nodes, self.clock)
        return chain

    def _open_nodes(self, settings: ChainSettings, own_only: bool = False) -> tuple[ChainSettings, Nodes]:
        """The settings with all secrets resolved, and the chain's nodes."""
        from msgspec.structs import replace

        from cryptosupport.transport import open_nodes

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
        return settings, nodes

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

    def guarded_secret(self, text: str) -> str:
        """As `secret`, for what guards money or people: a keyring that keeps it in clear is refused."""
        from cryptosupport.outside import keyrings

        if text.startswith("keyring:"):
            keyrings.refuse_weak(self.desk.keys.allow_backends)
        return self.secret(text)

    def keys(self) -> Keys:
        """The keyring, and what the settings say of it."""
        from cryptosupport.desk.keep_keys import Keys
        from cryptosupport.outside import keyrings
        from cryptosupport.outside.locks import lock
        from cryptosupport.settings.references import key_references, operator_keys

        return Keys(
            keyring=keyrings,
            references=key_references(self.folder),
            operators=operator_keys(self.folder),
            allowed=self.desk.keys.allow_backends,
            lock=lambda: lock(self.data_folder / "keys.lock", patience=30.0),
        )

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
                f"the settings refer to keyring:{name}, which is not set: run `cryptosupport keys set {name}`"
            )
        return value

    # -- talking to the user

    def warn(self, message: str, always: bool = False) -> None:
        """Say something on stderr that does not stop the work; the same thing once only, and ``always`` under --quiet
        too.
        """
        if (self.options.quiet and not always) or message in self._warned:
            return
        self._warned.add(message)
        is_json = self.options.log == "json"
        say(self._line("warning", message=message) if is_json else f"warning: {message}")

    def act(self, action: str, **facts: object) -> None:
        """Say what was done, as one JSON object on stderr, where the log is JSON."""
        if self.options.log == "json" and not self.options.quiet:
            say(self._line("info", action=action, **facts))

    def _line(self, level: str, **facts: object) -> str:
        import json

        from cryptosupport.domain.wording import iso_time

        return json.dumps({"level": level, "at": iso_time(self.clock.now()), **facts}, ensure_ascii=False)

    def warn_in_the_end(self, message: str) -> None:
        """Say something on stderr once the work is done; nothing where it fails or is stopped."""
        if message not in self._in_the_end:
            self._in_the_end.append(message)

    def part(self) -> None:
        """Say what was to be said in the end."""
        for message in self._in_the_end:
            self.warn(message)

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
