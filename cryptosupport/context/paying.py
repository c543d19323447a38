"""Paying: each wallet with its chain, its key and the signer's own memory, opened when it is first paid from."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptosupport.context.guarding import WithGuards
from cryptosupport.domain.errors import BadSettings, NoSuchRecord, SupportError

if TYPE_CHECKING:
    from cryptosupport.desk.cases import Premises
    from cryptosupport.desk.pay import Paid
    from cryptosupport.desk.till import Paying, Shift, Till
    from cryptosupport.domain.books import Ledger
    from cryptosupport.domain.freezes import Freeze
    from cryptosupport.domain.paying import Payer, Signer
    from cryptosupport.domain.payouts import Payout
    from cryptosupport.domain.signing import Electors
    from cryptosupport.domain.withdrawals import Withdrawal
    from cryptosupport.settings import ChainSettings
    from cryptosupport.settings.wallets import WalletSettings
    from cryptosupport.signers.store import Store

def _is_gone(holder: str) -> bool:
    """Whether a worker of this machine has ended; of other machines nobody can tell."""
    import os
    import socket

    host, _, rest = holder.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname() or not rest.isdigit():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


_UNCAPPED = 2**256
_WORST = (7, 6, 5)
"""The exit codes of a pass, the first that applies; then whatever else went wrong."""


class WithPaying(WithGuards):
    """What pays."""

    @property
    def paying_wallets(self) -> list[str]:
        """The hot wallets that have a key, on chains that can be paid on, by name."""
        hot = {name: it for name, it in self.wallets.items() if it.role == "hot" and it.signer is not None}
        return sorted(name for name, it in hot.items() if self._can_pay(it.chain))

    def _can_pay(self, chain: str) -> bool:
        """Whether the family of a chain knows how to pay: what waits on another one waits for a later version."""
        from importlib.util import find_spec

        (settings,) = self.chain_settings(chain)
        self._family(settings)
        return find_spec(f"cryptosupport.chains.{settings.family}.paying") is not None

    def paying(self, ledger: Ledger, premises: Premises) -> Paying:
        """What all wallets have in common."""
        from cryptosupport.desk.till import Paying
        from cryptosupport.settings import milliseconds

        bump = self.desk.bump
        return Paying(
            ledger, premises, self.people, tuple(self._versions[1]), self._holder, _is_gone,
            resend=milliseconds(bump.resend), bump=milliseconds(bump.after), alarms=self.alarms,
        )  # fmt: skip

    @cached_property
    def _holder(self) -> str:
        """What no other worker is called."""
        import os
        import socket
        from secrets import token_hex

        return f"{socket.gethostname()}:{os.getpid()}:{token_hex(4)}"

    def till(self, name: str) -> Till:
        """A wallet, ready to pay. Raises `BadSettings`."""
        from cryptosupport.desk.till import Till

        wallet = self.wallets[name]
        if wallet.address is None:
            raise BadSettings(f"wallets.toml [{name}]: a wallet that pays needs its address")
        settings = self._ready_to_pay(wallet)
        settings, nodes = self._open_nodes(settings)
        payer = self._family(settings, ".paying").open_payer(settings, nodes, self.clock, name, wallet.address)
        return Till(settings.name, name, payer, self._signer(wallet, settings, payer.source))

    def till_of(self, withdrawal: Withdrawal) -> Till:
        """The wallet that pays a withdrawal. Raises `NoSuchRecord` where none does, `BadSettings`."""
        name = withdrawal.wallet
        if name is None or name not in self.paying_wallets:
            raise NoSuchRecord(f"no wallet pays {withdrawal.request.request_id}: it is {withdrawal.state}")
        return self.till(name)

    def receipt(self, request_id: str) -> dict[str, Any]:
        """The proof that a withdrawal was paid once, as a record; see `desk.receipt.prove`."""
        from cryptosupport.desk.receipt import as_record, prove

        ledger = self.ledger(make=False)
        proven = prove(ledger, request_id, self._payer_of, self.clock.milliseconds)
        (settings,) = self.chain_settings(proven.withdrawal.request.chain)
        return as_record(proven, settings.coin)

    def _payer_of(self, payout: Payout) -> Payer:
        """What reads the chain of a payout, for the wallet that paid; it need not be one of wallets.toml any more."""
        (settings,) = self.chain_settings(payout.chain)
        settings, nodes = self._open_nodes(settings)
        payer: Payer = self._family(settings, ".paying").open_payer(
            settings, nodes, self.clock, payout.wallet, payout.source
        )
        return payer

    def _ready_to_pay(self, wallet: WalletSettings) -> ChainSettings:
        """The settings of the wallet's chain. Raises `BadSettings` where fees have no cap."""
        (settings,) = self.chain_settings(wallet.chain)
        if not settings.max_fee or settings.fees.max_fee_per_gas is None:
            raise BadSettings(
                f"chains/{wallet.chain}.toml: to pay, [fees] has to name max_fee and max_fee_per_gas: without caps a "
                "spike of fees would be paid"
            )
        return settings

    def _signer(self, wallet: WalletSettings, settings: ChainSettings, source: str) -> Signer:
        reference = wallet.signer or ""
        if reference.startswith("socket:"):
            from cryptosupport.signers.remote import RemoteSigner

            path = Path(reference.removeprefix("socket:"))
            if not path.is_absolute():
                raise BadSettings(f'wallets.toml [{wallet.name}]: signer: write the whole path, as "socket:/run/..."')
            return RemoteSigner(path)
        return self.local_signer(wallet, settings, source)

    def local_signer(self, wallet: WalletSettings, settings: ChainSettings, source: str) -> Signer:
        """The key of a wallet in this process, with its own checks and its own memory."""
        from cryptosupport.domain.signing import Account
        from cryptosupport.signers.local import LocalSigner

        secret = wallet.signer or ""
        tools = self._family(settings, ".tools").open_tools(settings)
        network = str(settings.chain_id or settings.network)
        account = Account(settings.name, network, wallet.name, source, settings.by_symbol)
        return LocalSigner(
            account, self._caps(wallet, settings), self.electors, secret=lambda: self.guarded_secret(secret),
            tools=tools, store=self.signer_store, freezes=self._freezes, clock=self.clock.milliseconds,
        )  # fmt: skip

    def _caps(self, wallet: WalletSettings, settings: ChainSettings) -> Any:
        from cryptosupport.domain.signing import Caps

        if unknown := sorted(wallet.caps.keys() - settings.by_symbol.keys()):
            raise BadSettings(f"wallets.toml [{wallet.name}.caps.{unknown[0]}]: {wallet.chain} has no such asset")
        try:
            most = {symbol: wallet.caps[symbol].units(asset) if symbol in wallet.caps else (_UNCAPPED, _UNCAPPED)
                    for symbol, asset in settings.by_symbol.items()}  # fmt: skip
        except ValueError as error:
            raise BadSettings(f"wallets.toml [{wallet.name}.caps]: {error}") from error
        once, hour = ({symbol: both[place] for symbol, both in most.items()} for place in (0, 1))
        return Caps(once, hour, 2 * settings.max_fee)  # taking a place back may cost twice as much (M54)

    @cached_property
    def signer_store(self) -> Store:
        """The memory of this machine's signer."""
        from cryptosupport.signers.store import Store

        return Store(self.data_folder / "signer" / "signed.db")

    @property
    def electors(self) -> Electors:
        """Who may approve, for a signer that checks that itself."""
        from cryptosupport.domain.signing import Electors

        people = self.people
        return Electors(tuple(self._versions[1]), people.fault, people.same_key, people.intake)

    @cached_property
    def _ledger_of_freezes(self) -> Ledger:
        """What is asked for freezes at each signature, examined once."""
        return self.ledger(make=False)

    def _freezes(self) -> list[Freeze]:
        with self._ledger_of_freezes.look() as records:
            return records.freezes()

    def tell_paid(self, paid: Paid | Shift) -> None:
        """Tell what kept anything from being paid, each as a warning, and set the exit code."""
        from cryptosupport.domain.errors import Waits

        told = dict.fromkeys(error.message for error in paid.errors)
        for message in told:
            self.warn(message)
        codes = {error.exit_code for error in paid.errors if not isinstance(error, Waits)}
        worst = [code for code in _WORST if code in codes] or sorted(codes, reverse=True)
        self.exit_code = worst[0] if worst else self.exit_code
        for error in paid.errors:
            if error.audited:
                self._hear_refusal(error)

    def _hear_refusal(self, error: SupportError) -> None:
        self.write_down(error, "cryptosupport withdraw run", str(error.facts.get("wallet", "")), None)
