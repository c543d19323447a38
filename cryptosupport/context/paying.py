"""Paying: each wallet with its chain, its key and the signer's own memory, opened when it is first paid from."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptosupport.context.guarding import WithGuards
from cryptosupport.domain.errors import BadSettings, NoSuchRecord, SupportError
from cryptosupport.domain.screening import key_of

if TYPE_CHECKING:
    from cryptosupport.desk.cases import Premises
    from cryptosupport.desk.diagnose_paying import Payments
    from cryptosupport.desk.pay import Paid
    from cryptosupport.desk.till import Paying, Shift, Till
    from cryptosupport.domain.books import Ledger
    from cryptosupport.domain.freezes import Freeze
    from cryptosupport.domain.paying import Payer, Signer
    from cryptosupport.domain.payouts import Payout
    from cryptosupport.domain.signing import Account, Electors, Tools
    from cryptosupport.domain.withdrawals import Withdrawal
    from cryptosupport.settings import ChainSettings
    from cryptosupport.settings.wallets import WalletSettings
    from cryptosupport.signers.store import Store
    from cryptosupport.transport import SignerNode


def is_gone(holder: str) -> bool:
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

    def account(self, wallet: WalletSettings, settings: ChainSettings, source: str) -> Account:
        """The wallet as its signer knows it."""
        from cryptosupport.domain.signing import Account

        cold = (it.address for it in self.named_cold.values() if it.chain == settings.name and it.address is not None)
        network = str(settings.chain_id or settings.network)
        return Account(
            settings.name, network, wallet.name, source, settings.by_symbol, frozenset(key_of(each) for each in cold)
        )

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
            ledger, premises, self.people, tuple(self._versions[1]), self.holder, is_gone,
            resend=milliseconds(bump.resend), bump=milliseconds(bump.after),
            give_up=milliseconds(bump.give_up), alarms=self.alarms, batching=self.desk.batch.rules,
        )  # fmt: skip

    @cached_property
    def holder(self) -> str:
        """What no other worker is called."""
        import os
        import socket
        from secrets import token_hex

        return f"{socket.gethostname()}:{os.getpid()}:{token_hex(4)}"

    def till(self, name: str) -> Till:
        """A wallet, ready to pay. Raises `BadSettings`."""
        from cryptosupport.desk.till import Till

        wallet = self.wallets[name]
        settings = self._ready_to_pay(wallet)
        payer = self.payer(name)
        return Till(settings.name, name, payer, self._signer(wallet, settings, payer.source))

    def payer(self, name: str) -> Payer:
        """What pays from a wallet, without its key. Raises `BadSettings`."""
        wallet = self.wallets[name]
        if wallet.known_by is None:
            raise BadSettings(f"wallets.toml [{name}]: a wallet that pays needs its address, or its descriptor")
        settings, nodes = self._open_nodes(self._ready_to_pay(wallet))
        payer: Payer = self._family(settings, ".paying").open_payer(settings, nodes, self.clock, name, wallet.known_by)
        return payer

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
        if (fault := settings.pay_fault) is not None:
            raise BadSettings(f"chains/{wallet.chain}.toml: {fault}")
        return settings

    def payments(self) -> Payments:
        """What `doctor` examines of paying; nothing is opened to write."""
        from cryptosupport.desk.diagnose_paying import Payments
        from cryptosupport.ledger.backup import ledgers_in
        from cryptosupport.ledger.engine import file_of

        store = self._store_path

        def ledgers() -> tuple[Path | None, list[Path]]:
            try:
                in_use = file_of(self.ledger_engine())
            except SupportError:  # told with the ledger
                in_use = None
            return in_use, ledgers_in(store.parent, store.parent.parent)

        return Payments(self._can_pay, store, ledgers)

    def _signer(self, wallet: WalletSettings, settings: ChainSettings, source: str) -> Signer:
        reference = wallet.signer or ""
        if reference.startswith("socket:"):
            from cryptosupport.signers.remote import RemoteSigner

            path = Path(reference.removeprefix("socket:"))
            if not path.is_absolute():
                raise BadSettings(f'wallets.toml [{wallet.name}]: signer: write the whole path, as "socket:/run/..."')
            return RemoteSigner(path)
        if wallet.signer_url is not None:
            return self._web3signer(wallet, settings, source)
        if wallet.psbt_folder is not None:
            return self._psbt_signer(wallet, settings, source, wallet.psbt_folder)
        return self.local_signer(wallet, settings, source)

    def _psbt_signer(self, wallet: WalletSettings, settings: ChainSettings, source: str, folder: Path) -> Signer:
        """A key on a machine or device that sees files only, with checks and a memory of this machine in front."""
        from cryptosupport.signers.papers import Folder
        from cryptosupport.signers.psbt import PsbtSigner

        return PsbtSigner(
            Folder(folder, wallet.name), self.papers(settings), self.account(wallet, settings, source),
            self._caps(wallet, settings), self.electors, tools=self.tools(wallet, settings), store=self.signer_store,
            freezes=self._freezes, clock=self.clock.milliseconds,
        )  # fmt: skip

    def papers(self, settings: ChainSettings) -> Any:
        """What the chain's family knows of PSBTs. Raises `BadSettings` where it has none."""
        from importlib.util import find_spec

        self._family(settings)
        if find_spec(f"cryptosupport.chains.{settings.family}.offline") is None:
            raise BadSettings(f"PSBTs are signed on Bitcoin chains, and chains/{settings.name}.toml is none")
        return self._family(settings, ".offline")

    def _web3signer(self, wallet: WalletSettings, settings: ChainSettings, source: str) -> Signer:
        """A key that is elsewhere, with checks and a memory of this machine in front: it may sign anything."""
        from cryptosupport.signers.web3signer import Web3Signer

        return Web3Signer(
            self._signer_node(wallet).ask, self._words(settings), self.account(wallet, settings, source),
            self._caps(wallet, settings), self.electors, store=self.signer_store, freezes=self._freezes,
            clock=self.clock.milliseconds,
        )  # fmt: skip

    def _words(self, settings: ChainSettings) -> Any:
        """What the chain's family knows of signers elsewhere. Raises `BadSettings` where there are none for it."""
        from importlib.util import find_spec

        self._family(settings)
        if find_spec(f"cryptosupport.chains.{settings.family}.elsewhere") is None:
            raise BadSettings(f"a web3signer signs for EVM chains, and chains/{settings.name}.toml is none")
        return self._family(settings, ".elsewhere").open_words(settings)

    def _signer_node(self, wallet: WalletSettings) -> SignerNode:
        from cryptosupport.transport import SignerNode

        assert wallet.signer_url is not None
        header = wallet.signer_header
        try:
            secret = None if header is None else self.guarded_secret(header).strip()
            node = SignerNode(wallet.signer_url, secret, self.clock)
        except BadSettings as error:
            raise BadSettings(f"wallets.toml [{wallet.name}]: {error.message}") from error
        self._opened.append(node)
        return node

    def ask_signer(self, name: str) -> str | None:
        """Ask the signer of a wallet whether it would sign; what it says, None where nothing can be told.

        Raises `BadSettings` where it has not the key, `Unreachable`, `Refused`.
        """
        from cryptosupport.signers.web3signer import Elsewhere

        wallet = self.wallets[name]
        (settings,) = self.chain_settings(wallet.chain)
        if (wallet.signer or "").startswith("socket:"):
            self._signer(wallet, settings, wallet.address or "").high_water()
            return "its signer answers"
        if wallet.psbt_folder is not None:
            return self._ask_folder(wallet, settings, wallet.psbt_folder)
        if wallet.signer_url is None:
            return self._ask_key(wallet, settings)
        if wallet.address is None:
            return None
        node = self._signer_node(wallet)
        held = Elsewhere(node.ask, self._words(settings), wallet.address).address("")
        if key_of(held) != key_of(wallet.address):
            raise BadSettings(f"the signer at {node.name} has the key of {held or 'nobody'}, not of {wallet.address}")
        return f"its signer at {node.name} answers, and has its key"

    def _ask_key(self, wallet: WalletSettings, settings: ChainSettings) -> str | None:
        """Whose the key of a wallet is; None where it is not there, or the wallet cannot pay. Raises `BadSettings`."""
        if not self._can_pay(wallet.chain) or settings.pay_fault is not None or wallet.known_by is None:
            return None
        try:
            self.guarded_secret(wallet.signer or "")
        except BadSettings:  # told with the secrets
            return None
        self.local_signer(wallet, settings, self.payer(wallet.name).source).check_key()
        return "its key is that of its address"

    def _ask_folder(self, wallet: WalletSettings, settings: ChainSettings, folder: Path) -> str:
        """What waits for a signature that is made elsewhere. Raises `BadSettings`."""
        from cryptosupport.signers.papers import Folder

        self.papers(settings)
        waiting = Folder(folder, wallet.name).waiting()
        return f"its signer is asked over {folder}, where {len(waiting)} requests wait for a signature"

    def local_signer(self, wallet: WalletSettings, settings: ChainSettings, source: str) -> Signer:
        """The key of a wallet in this process, with its own checks and its own memory."""
        from cryptosupport.signers.local import LocalSigner

        secret = wallet.signer or ""
        return LocalSigner(
            self.account(wallet, settings, source), self._caps(wallet, settings), self.electors,
            secret=lambda: self.guarded_secret(secret), tools=self.tools(wallet, settings), store=self.signer_store,
            freezes=self._freezes, clock=self.clock.milliseconds,
        )  # fmt: skip

    def tools(self, wallet: WalletSettings, settings: ChainSettings) -> Tools:
        """What the chain's family gives to whoever holds the key."""
        tools: Tools = self._family(settings, ".tools").open_tools(settings, wallet.known_by or "")
        return tools

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

        return Store(self._store_path)

    @property
    def _store_path(self) -> Path:
        return self.data_folder / "signer" / "signed.db"

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

    def tell_paid(self, paid: Paid | Shift, unsigned: int = 0) -> None:
        """Tell what kept anything from being paid, each as a warning, and set the exit code; ``unsigned`` is that of
        what waits for a signature, and nothing worse.
        """
        from cryptosupport.domain.errors import Unsigned, Waits

        told = dict.fromkeys(error.message for error in paid.errors)
        for message in told:
            self.warn(message)
        codes = {error.exit_code for error in paid.errors if not isinstance(error, Waits)}
        worst = [code for code in _WORST if code in codes] or sorted(codes, reverse=True)
        waits = unsigned if any(isinstance(error, Unsigned) for error in paid.errors) else 0
        self.exit_code = worst[0] if worst else self.exit_code or waits
        for error in paid.errors:
            if error.audited:
                self._hear_refusal(error)

    def _hear_refusal(self, error: SupportError) -> None:
        self.write_down(error, "cryptosupport withdraw run", str(error.facts.get("wallet", "")), None)
