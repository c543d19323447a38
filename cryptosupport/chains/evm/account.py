"""The account that is paid from, as all parts of paying know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cryptosupport.chains.evm.fees import Caps
from cryptosupport.chains.evm.look import Rules
from cryptosupport.domain.money import Asset


@dataclass(frozen=True, slots=True)
class Account:
    """An address on one chain, with the caps on what its payments may cost.

    ``address`` has the checksum of EIP-55. ``tokens`` are those of the settings, by contract in lower case.
    """

    rules: Rules
    chain_id: int
    address: str
    tokens: Mapping[str, Asset]
    caps: Caps

    @property
    def coin(self) -> Asset:
        """The chain's own coin."""
        return self.caps.coin

    @property
    def contracts(self) -> dict[str, str]:
        """The contracts of the tokens as the settings spell them, by the same in lower case."""
        return {key: token.contract for key, token in self.tokens.items() if token.contract is not None}
