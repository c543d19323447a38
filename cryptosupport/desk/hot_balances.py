"""What hot wallets hold, asked of nodes only when a rule needs it."""

from __future__ import annotations

from collections.abc import Callable

from cryptosupport.domain.errors import SupportError
from cryptosupport.domain.money import Asset, Quantity
from cryptosupport.domain.policy.judging import NotKnown
from cryptosupport.domain.ports import Chain, Clock

_FRESH = 10.0
"""An answer counts for so many seconds, and so does that there was none."""


class HotBalances:
    """Balances by wallet and asset. ``open_chain`` opens a chain by name; ``addresses`` are the wallets' own."""

    def __init__(self, open_chain: Callable[[str], Chain], addresses: dict[str, str | None], clock: Clock) -> None:
        self._open_chain = open_chain
        self._addresses = addresses
        self._clock = clock
        self._chains: dict[str, Chain] = {}
        self._answers: dict[tuple[str, str], Quantity | NotKnown] = {}
        self._asked_at: dict[tuple[str, str], float] = {}

    def ask(self, wallet: str, chain: str, asset: Asset) -> None:
        """Ask a node what ``wallet`` holds of ``asset``, unless it was asked just now."""
        key = wallet, asset.symbol
        if key not in self._answers or self._clock.monotonic() - self._asked_at[key] > _FRESH:
            self._answers[key] = self._ask(wallet, chain, asset)
            self._asked_at[key] = self._clock.monotonic()

    def __call__(self, wallet: str, asset: Asset) -> Quantity | NotKnown:
        """What was answered last."""
        return self._answers.get((wallet, asset.symbol), NotKnown("it was not asked"))

    def _ask(self, wallet: str, chain: str, asset: Asset) -> Quantity | NotKnown:
        assert asset.decimals is not None  # the settings know it
        try:
            if chain not in self._chains:
                self._chains[chain] = self._open_chain(chain)
            held = self._chains[chain].balance(wallet, self._addresses.get(wallet), asset)
        except SupportError as error:  # whatever it is: what cannot be told holds the request
            return NotKnown(error.message)
        return Quantity(held, asset.decimals)
