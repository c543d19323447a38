"""A signer as a process of its own: by its own settings and its own memory. It opens no ledger and asks no node."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptosupport.context.machine import say
from cryptosupport.context.telling import WithHooks
from cryptosupport.domain.errors import BadInput, BadSettings

if TYPE_CHECKING:
    from cryptosupport.domain.freezes import Freeze
    from cryptosupport.domain.signing import Caps, Electors
    from cryptosupport.settings import ChainSettings
    from cryptosupport.settings.wallets import WalletSettings
    from cryptosupport.signers.local import LocalSigner


class WithServing(WithHooks):
    """What answers as the signer of a wallet."""

    def serve(self, name: str, path: Path, uids: Collection[int], group: bool) -> None:
        """Answer as the signer of a wallet on the socket at ``path`` until SIGTERM or SIGINT, to processes of ``uids``.

        With none, to those of the user that it runs as. With ``group`` those of its group may connect. Raises
        `BadSettings` for settings, a key, a memory or a place that cannot be used, and `Locked` where another answers
        there.
        """
        import os

        from cryptosupport.signers.serving import Server, serve

        self._guard_data()
        signer = self._served(name)
        signer.examine()
        asked_by = frozenset(uids) or {os.geteuid()}
        if not group and asked_by - {0, os.geteuid()}:
            self.warn("only its own user can connect to the socket; with --group-may-connect those of its group can")
        server = Server(path, signer, asked_by, mode=0o660 if group else 0o600, say=self._report)
        users = ", ".join(map(str, sorted(asked_by)))
        serve(server, ready=lambda: self._report(f"the signer of {name} answers at {path}, to users {users}"))
        self._report(f"the signer of {name} has ended")

    def retire(self, name: str, place: str) -> dict[str, Any]:
        """Have the signer of this machine forget a place of a wallet that a stranger has; see `desk.retire_place`."""
        from cryptosupport.desk.retire_place import retire, retired_record

        wallet = self.wallets.get(name)
        if wallet is None or (wallet.signer or "").startswith("socket:") or not wallet.signer:
            raise BadSettings(
                f"wallets.toml [{name}]: the memory of its signer is not here: run it where the key is, with the "
                "settings and the data folder of the signer"
            )
        payer, now = self.payer(name), self.clock.milliseconds()
        return retired_record(retire(self.signer_store, payer, wallet.chain, name, place, now))

    def _guard_data(self) -> None:
        """Raise `BadSettings` where others could put another memory, or another freeze file, in the place of ours."""
        from cryptosupport.settings import others_write

        if others_write(self.data_folder):
            raise BadSettings(f"others can write the folder {self.data_folder}: chmod go-w")

    def _served(self, name: str) -> LocalSigner:
        """The signer of a wallet by these settings alone. Raises `BadSettings`."""
        from cryptosupport.signers.local import LocalSigner

        wallet = self._wallet_to_serve(name)
        settings = self._ready_to_pay(wallet)
        secret = wallet.signer or ""
        account = self.account(wallet, settings, self._address_of(wallet, settings))
        return LocalSigner(
            account, self._stated_caps(wallet, settings), self._stated_electors(),
            secret=lambda: self.guarded_secret(secret), tools=self.tools(wallet, settings),
            store=self.signer_store, freezes=self._freezes_in_file, clock=self.clock.milliseconds,
        )  # fmt: skip

    def _wallet_to_serve(self, name: str) -> WalletSettings:
        from cryptosupport.settings.values import nearest

        if name not in self.wallets:
            raise BadSettings(f"there is no wallet {name!r} in {self.folder}/wallets.toml{nearest(name, self.wallets)}")
        wallet = self.wallets[name]
        if wallet.role != "hot" or not (wallet.signer or "").startswith("keyring:"):
            raise BadSettings(f'wallets.toml [{name}]: a wallet that is served is hot, and has signer = "keyring:NAME"')
        return wallet

    def _address_of(self, wallet: WalletSettings, settings: ChainSettings) -> str:
        """The address, or the descriptor, in normal form, however it is spelled: its memory knows it by that."""
        if wallet.descriptor is not None:
            source: str = self._family(settings, ".paying").source_of(settings, wallet.name, wallet.descriptor)
            return source
        try:
            address = None if wallet.address is None else self._address_reader(settings)(wallet.address)
        except BadInput as error:
            raise BadSettings(f"wallets.toml [{wallet.name}]: address: {error.message}") from error
        if address is None:
            raise BadSettings(f"wallets.toml [{wallet.name}]: a wallet that pays needs its address on {wallet.chain}")
        return address.text

    def _stated_caps(self, wallet: WalletSettings, settings: ChainSettings) -> Caps:
        """The caps of the settings; without its ledger a signer has nothing else to go by, and what has none stays."""
        if not wallet.caps:
            raise BadSettings(
                f"wallets.toml [{wallet.name}]: a signer of its own needs caps, such as [{wallet.name}.caps."
                f"{settings.coin.symbol}] with per_transaction and per_hour: an asset without does not leave"
            )
        caps: Caps = self._caps(wallet, settings)
        stated = {symbol: units for symbol, units in caps.transaction.items() if symbol in wallet.caps}
        return replace(caps, transaction=stated)

    def _stated_electors(self) -> Electors:
        """The people of this folder's operators.toml. Who owns it vouches for them: no two signed it here."""
        from cryptosupport.context.signing import fault, same_key
        from cryptosupport.domain.operators import Operators
        from cryptosupport.domain.signing import Electors

        people = self.operators_file
        if people is None:
            self.warn(f"{self.folder}/operators.toml names nobody: what needs an approval is not signed")
        versions = () if people is None else (Operators(people),)
        keys = {name: self.secret(key) for name, key in self.desk.intake.keys.items()}
        return Electors(versions, fault, same_key, keys, alone=True)

    def _freezes_in_file(self) -> list[Freeze]:
        """What the freeze file of this machine says now."""
        from cryptosupport.domain.freezes import Freeze

        return [
            Freeze(each.freeze_id, each.scope, each.reason, "freeze file", False, each.written_at, "file")
            for each in self.freeze_lines()
        ]

    def _report(self, message: str) -> None:
        """Say what happens, each with its time: more than once where it happens more than once."""
        from cryptosupport.domain.wording import iso_time

        if self.options.quiet:
            return
        at = iso_time(self.clock.now())
        if self.options.log == "json":
            import json

            message = json.dumps({"level": "info", "at": at, "message": message}, ensure_ascii=False)
        else:
            message = f"{at} {message}"
        say(message)
