"""What hot wallets hold, asked of nodes only when a rule needs it."""

from __future__ import annotations

from collections.abc import Callable

from cryptosupport.domain.errors import SupportError
from cryptosupport.domain.money import Asset, Quantity
from cryptosupport.domain.policy.judging import NotKnown
from cryptosupport.domain.ports import Chain, Clock

_FRESH = 10.0
"""An answer counts for so many seconds."""


class HotBalances:
    """Balances by wallet and asset. ``open_chain`` opens a chain by name; ``addresses`` are the wallets' own."""

    def __init__(self, open_chain: Callable[[str], Chain], addresses: dict[str, str | None], clock: Clock) -> None:
        self._open_chain = open_chain
        self._addresses = addresses
        self._clock = clock
        self._chains: dict[str, Chain] = {}
        self._known: dict[tuple[str, str], tuple[float, Quantity | NotKnown]] = {}

    def __call__(self, wallet: str, chain: str, asset: Asset) -> Quantity | NotKnown:
        """What ``wallet`` holds of ``asset``, or why that cannot be told."""
        key, now = (wallet, asset.symbol), self._clock.monotonic()
        known = self._known.get(key)
        if known is None or now - known[0] > _FRESH:
            known = self._known[key] = now, self._ask(wallet, chain, asset)
        return known[1]

    def _ask(self, wallet: str, chain: str, asset: Asset) -> Quantity | NotKnown:
        assert asset.decimals is not None  # the settings know it
        try:
            if chain not in self._chains:
                self._chains[chain] = self._open_chain(chain)
            held = self._chains[chain].balance(wallet, self._addresses.get(wallet), asset)
        except SupportError as error:  # whatever it is: what cannot be told holds the request
            return NotKnown(error.message)
        return Quantity(held, asset.decimals)
