"""The one place that opens adapters: settings, chains, memory, secrets, ledger, each when first asked for."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cryptosupport.context.machine import SystemClock, at_terminal, say
from cryptosupport.context.serving import WithServing
from cryptosupport.context.sweeping import WithSweeping

if TYPE_CHECKING:
    from cryptosupport.context.running import Job
    from cryptosupport.desk.cases import ChainFacts, Premises
    from cryptosupport.desk.diagnose import Installation
    from cryptosupport.desk.diagnose_withdrawals import Withdrawing
    from cryptosupport.desk.verdicts import Verdict
    from cryptosupport.domain.money import Quantity
    from cryptosupport.domain.policy.lint import Remark
    from cryptosupport.domain.policy.rules import Policy
    from cryptosupport.domain.prices import Pricing, Quote
    from cryptosupport.domain.requests import Intake

__all__ = ["Context", "SystemClock", "at_terminal", "say"]


class Context(WithServing, WithSweeping):
    """What a command works with."""

    # -- withdrawals

    def last_prices(self) -> Mapping[str, Quantity]:
        """The last prices that counted lately, in USD; none without a ledger, and a warning where it cannot be read."""
        from cryptosupport.domain.errors import SupportError
        from cryptosupport.ledger.ledger import last_prices

        try:
            return {} if self._no_ledger_yet() else last_prices(self.ledger_engine(), self.clock.milliseconds())
        except SupportError as error:
            self.warn(f"how far prices moved cannot be told: {error.message}")
            return {}

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
            guarding=self.guarding,
            expire=self.desk.approvals.expire_ms,
            still=self.same_versions,
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

    def _chain_facts(self) -> dict[str, ChainFacts]:
        from cryptosupport.desk.cases import ChainFacts

        facts = {}
        for chain in self._all_chains():
            own = (wallet for wallet in self.wallets.values() if wallet.chain == chain.name)
            hot = sorted(wallet.name for wallet in own if wallet.role == "hot")
            caps = {name: asset.most for name, asset in chain.assets.items() if asset.most is not None}
            coin = chain.coin if chain.max_fee else None
            facts[chain.name] = ChainFacts(
                chain.by_symbol, coin, chain.max_fee, tuple(hot), caps, chain.fees.max_value, chain.fees.max_ratio
            )
        return facts

    # -- doctor

    def installation(self) -> Installation:
        """What `doctor` examines; nothing of it is opened for good."""
        from cryptosupport.desk.diagnose import Installation
        from cryptosupport.ledger.sightings import Sightings
        from cryptosupport.outside import keyrings

        complaints: list[str] = []
        self._memory = Sightings(self.data_folder / "sightings.db", complaints.append)
        backends, in_clear, keyring_fault = keyrings.examine()
        return Installation(
            folder=self.folder,
            python=sys.version_info[:3],
            clock=self.clock,
            secret=self.secret,
            keyrings=backends,
            keyring_fault=keyring_fault,
            in_clear=in_clear,
            memory=self._memory,
            complaints=complaints,
            open_chain=lambda name: self.chains(name)[0],
            ask_signer=self.ask_signer,
            payments=self.payments(),
            withdrawing=self._withdrawing(),
        )

    def cron_verdicts(self, overdue: float, overdue_sweep: float) -> list[Verdict]:
        """Whether a pass has succeeded on this machine within ``overdue`` seconds; where wallets have floats, one that
        sweeps within ``overdue_sweep``.
        """
        from cryptosupport.context.running import SWEEP_RUN, WITHDRAW_RUN
        from cryptosupport.desk.diagnose_cron import examine_cron
        from cryptosupport.outside import lastrun

        def verdict(job: Job, words: str, every: str, seconds: float) -> Verdict:
            path = self.data_folder / job.file
            return examine_cron(
                words, every, lambda: lastrun.read(path), self.clock.milliseconds(), int(seconds * 1000)
            )

        found = [verdict(WITHDRAW_RUN, "withdraw run", "every minute", overdue)]
        if any(self.wallets[name].float for name in self.paying_wallets):
            found.append(verdict(SWEEP_RUN, "sweep run", "every 15 minutes", overdue_sweep))
        return found

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
            quotes, operators = self._quotes()[0], self.people_in_force.operators
            return check_policy(policy, path, assets, wallets, quotes, self.sources, operators)

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
            guarded=self.guarded(),
            personal=personal,
            freezes=self.freezes_told, hear=self.hear,
        )  # fmt: skip
