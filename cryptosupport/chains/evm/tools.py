"""What a holder of a key needs of EVM chains (`domain.signing.Tools`)."""

from __future__ import annotations

from cryptosupport.chains.evm import decoding, signing
from cryptosupport.domain.paying import Decoded
from cryptosupport.domain.signing import Tools
from cryptosupport.settings import ChainSettings


def open_tools(settings: ChainSettings, wallet: str) -> Tools:
    """The tools for one chain, whose tokens are told as its settings write them; they are the same for every wallet."""
    return _EvmTools(settings)


class _EvmTools:
    def __init__(self, settings: ChainSettings) -> None:
        self._contracts = {low: asset.contract for low, asset in settings.tokens.items() if asset.contract is not None}

    def sign(self, text: str, secret: str) -> bytes:
        """The signed bytes of a plan's text. Raises `Refused`, `BadSettings`."""
        return signing.sign(text, secret)

    def read(self, raw: bytes, text: str) -> Decoded:
        """What signed bytes do, by a decoder that did not write them. Raises `Refused` for what cannot be read."""
        return decoding.decode(raw, self._contracts)

    def address(self, secret: str) -> str:
        """Whose signature the secret makes. Raises `BadSettings`."""
        return signing.address(secret)
