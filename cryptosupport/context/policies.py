"""The policy that counts: of policy.toml, and with operators the one that two of them signed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cryptosupport.context.people import WithPeople

if TYPE_CHECKING:
    from cryptosupport.domain.addresses import Address
    from cryptosupport.domain.policy.rules import Policy
    from cryptosupport.settings import ChainSettings


class WithPolicies(WithPeople):
    """Policies, read when they are first asked for, and the chains whose addresses they name."""

    def __init__(self) -> None:
        super().__init__()
        self._policy_stamp: tuple[int, int, int] | None = None

    @cached_property
    def policy(self) -> Policy:
        """policy.toml."""
        from cryptosupport.settings.policy import load_policy

        where = str(self.folder / "policy.toml")
        self._policy_stamp = self._stamp()
        with self.as_signed("policy.toml"):
            policy = load_policy(self.folder, self.desk.desk.timezone)
        return self._with_addresses(self._signed(policy, where) if self.people.operators else policy, where)

    def _signed(self, file: Policy, where: str) -> Policy:
        """The policy that two operators signed and that is active; the ``file`` has to be it, or an earlier one."""
        from cryptosupport.desk.people import hash_of_policy
        from cryptosupport.domain.errors import Edited
        from cryptosupport.settings.policy import policy_of_toml

        signed = self.signed_policies()
        hashes = [hash_of_policy(change) for change in signed]
        if not signed or file.hash not in hashes:
            what = "nobody has signed it" if not signed else "it was edited"
            raise Edited(
                f"{where} is not the policy that two operators signed: {what}. Have it signed: "
                f"`cryptosupport policy propose {where} --operator NAME`; `policy activate` writes the one in force",
                file="policy.toml",
            )
        if file.hash != hashes[-1]:
            self.warn(f"{where} is an older policy; the one in force counts: `cryptosupport policy activate` writes it")
        policy = policy_of_toml(signed[-1].file, where, self.desk.desk.timezone)
        if policy.hash != hashes[-1]:
            raise Edited(
                "the policy in force reads otherwise than when it was signed: [desk] timezone in desk.toml was "
                "changed; put it back, or have the policy signed again"
            )
        return policy

    @property
    def sources(self) -> tuple[str, ...]:
        """The ways in which requests come: what rules match as `source`."""
        return ("option", "file", "stdin", *self.desk.intake.keys)

    def same_policy(self) -> None:
        """Raise `BadSettings` when policy.toml is another one than when this run read it."""
        from cryptosupport.domain.errors import BadSettings, Edited

        if self._stamp() != self._policy_stamp:
            where = self.folder / "policy.toml"
            kind = Edited if self.people.operators else BadSettings
            said = f"{where} was changed meanwhile: what was told is recorded; run it again for the rest"
            raise kind(said, file="policy.toml")

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

    def _all_chains(self) -> list[ChainSettings]:
        """All chains of the settings folder, whether or not `tx` asks them unnamed."""
        from cryptosupport.settings import chain_names

        return [self.chain_settings(name)[0] for name in chain_names(self.folder)]

    def _address_reader(self, chain: ChainSettings) -> Callable[[str], Address | None]:
        family = self._family(chain, ".addresses")
        reader: Callable[[str], Address | None] = family.address_reader(chain)
        return reader
