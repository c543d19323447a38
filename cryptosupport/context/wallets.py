"""Own wallets: what settings, ledger and nodes say of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cryptosupport.context.machine import at_terminal, say
from cryptosupport.context.paying import WithPaying
from cryptosupport.domain.errors import BadInput, BadSettings, NoSuchRecord

if TYPE_CHECKING:
    from cryptosupport.desk.reconcile import Tally, Teller
    from cryptosupport.desk.show_wallets import Own
    from cryptosupport.desk.till import Till
    from cryptosupport.domain.findings import Finding
    from cryptosupport.domain.money import Asset
    from cryptosupport.domain.ports import Chain
    from cryptosupport.settings import ChainSettings
    from cryptosupport.settings.wallets import WalletSettings


class WithWallets(WithPaying):
    """What shows and reconciles wallets."""

    def __init__(self) -> None:
        super().__init__()
        self._by_chain: dict[str, Chain] = {}

    def own_wallets(self, names: Sequence[str] = ()) -> list[Own]:
        """The wallets of these names, or all. Raises `NoSuchRecord`, `BadSettings`."""
        from cryptosupport.settings.values import nearest

        for name in names:
            if name not in self.wallets:
                raise NoSuchRecord(f"no wallet of wallets.toml is called {name}{nearest(name, self.wallets)}")
        return [self._own(self.wallets[name]) for name in dict.fromkeys(names or self.wallets)]

    @property
    def paying_sources(self) -> set[tuple[str, str]]:
        """The chains of wallets that pay, each with what it is known by there; one that cannot be read is left out."""
        found = set()
        for name in self.paying_wallets:
            with suppress(BadSettings):  # the pass told of it
                own = self._own(self.wallets[name])
                found |= {(own.chain, own.source)} if own.source is not None else set()
        return found

    def _own(self, wallet: WalletSettings) -> Own:
        from cryptosupport.desk.show_wallets import Own

        (settings,) = self.chain_settings(wallet.chain)
        signer = (wallet.signer or "none").partition(":")[0]
        if wallet.signer_url is not None:  # a path may be secret, and who is asked is not
            signer = f"{signer}:{urlsplit(wallet.signer_url).netloc}"
        assets = tuple(settings.by_symbol.values())
        return Own(wallet.name, wallet.chain, wallet.role, wallet.address, self._source(wallet), signer, assets)

    def _source(self, wallet: WalletSettings) -> str | None:
        """What a wallet is known by on its chain, in one spelling. Raises `BadSettings` for what is no such thing."""
        (settings,) = self.chain_settings(wallet.chain)
        if wallet.address is None:
            return self._described(wallet, settings)
        try:
            address = self._address_reader(settings)(wallet.address)
        except BadInput as error:
            raise BadSettings(f"wallets.toml [{wallet.name}]: address: {error.message}") from error
        return None if address is None else address.text

    def _described(self, wallet: WalletSettings, settings: ChainSettings) -> str | None:
        """The descriptor of a wallet in one spelling, where its chain has such a thing."""
        if wallet.descriptor is None or wallet.role != "hot" or not self._can_pay(wallet.chain):
            return None
        source: str = self._family(settings, ".paying").source_of(settings, wallet.name, wallet.descriptor)
        return source

    def balances(self, names: Sequence[str]) -> Iterator[dict[str, Any]]:
        """What wallets hold, as records; where a node cannot be asked, the exit code says so."""
        return self._balances(self.own_wallets(names))  # what is wrong with a name is told before anything else

    def split(self) -> Iterator[dict[str, Any]]:
        """How the money of all wallets is split, by asset, as records; what is over its limit is a warning."""
        from cryptosupport.desk.show_split import split_records, splits

        roles = {name: wallet.role for name, wallet in self.wallets.items()}
        for record in split_records(splits(self.balances(()), roles), self.desk.share.limit):
            if record["over"]:
                self.warn(f"{record['hot_share']} of {record['asset']} is hot, and at most {record['limit']} may be")
            yield record

    def _balances(self, wallets: Sequence[Own]) -> Iterator[dict[str, Any]]:
        from cryptosupport.desk.show_wallets import balance_record

        ledger = self.ledger(make=False)
        for own in wallets:
            payer = self.payer if own.name in self.paying_wallets else None
            record = balance_record(ledger, own, payer, self._balance)
            if record["error"] is not None:
                self.warn(f"{own.name}: {record['error']}")
                self.exit_code = 6
            yield record

    def _balance(self, own: Own, asset: Asset) -> int:
        if own.chain not in self._by_chain:
            (self._by_chain[own.chain],) = self.chains(own.chain)
        return self._by_chain[own.chain].balance(own.name, own.address, asset)

    def till_to_adopt(self, name: str) -> Till:
        """The wallet of that name, which pays. Raises `NoSuchRecord`, `BadInput` for one that never does."""
        self.own_wallets([name])
        if name not in self.paying_wallets:
            raise BadInput(f"{name} never pays: only a hot wallet with a signer does, and is bound to a ledger")
        return self.till(name)

    def import_wallet(self, name: str) -> dict[str, str]:
        """Have the nodes of our own watch a wallet; what each says. Raises `NoSuchRecord`, `BadSettings`."""
        from datetime import UTC, datetime

        self.own_wallets([name])
        wallet = self.wallets[name]
        (settings,) = self.chain_settings(wallet.chain)
        if wallet.descriptor is None or wallet.birthday is None:
            raise BadSettings(
                f"wallets.toml [{name}]: to be watched, a wallet needs its public descriptor, and the birthday from "
                "which on the chain is searched for its coins"
            )
        born = int(datetime(wallet.birthday.year, wallet.birthday.month, wallet.birthday.day, tzinfo=UTC).timestamp())
        family = self._family(settings, ".paying")
        if not hasattr(family, "import_wallet"):
            raise BadInput(f"{wallet.chain} has no descriptors: its nodes know every address without being told")
        settings, nodes = self._open_nodes(settings)
        said: dict[str, str] = family.import_wallet(settings, nodes, name, wallet.descriptor, born)
        return said

    # -- reconciling

    def tellers(self) -> list[Teller]:
        """The hot wallets that pay, or have paid; of one whose settings do not do it is warned, and the exit code says
        so. Raises `BadSettings`.
        """
        from cryptosupport.desk.reconcile import Teller

        ledger, found = self.ledger(), []
        for wallet in self.wallets.values():
            pays = wallet.name in self.paying_wallets
            source = self._source(wallet) if wallet.role == "hot" else None
            if source is None:
                continue
            with ledger.look() as records:
                bound = records.payouts.purse(wallet.chain, source) is not None
            try:
                if pays or bound:
                    found.append(Teller(wallet.chain, wallet.name, self.payer(wallet.name), pays))
            except BadSettings as error:
                self.warn(f"{wallet.name} is not reconciled: {error.message}")
                self.exit_code = error.exit_code
        return found

    def reconcile(self, tally: Tally) -> Iterator[Finding]:
        """Everything that does not fit; ``tally`` counts, and the exit code follows from it."""
        return self._reconciled(self.tellers(), tally)  # what is wrong with the settings is told before anything else

    def _reconciled(self, tellers: Sequence[Teller], tally: Tally) -> Iterator[Finding]:
        from cryptosupport.desk.reconcile import reconcile
        from cryptosupport.domain.findings import exit_code

        yield from reconcile(self.ledger(), tellers, tally)
        self.exit_code = exit_code(tally.found) or self.exit_code
        if at_terminal() and not self.options.quiet:
            say(tally.sentence)

