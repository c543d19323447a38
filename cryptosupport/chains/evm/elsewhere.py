"""What a signer elsewhere is asked for on EVM chains, and what comes back (`signers.web3signer.Words`).

Sources: https://ethereum.github.io/execution-apis (the members of a transaction that `eth_signTransaction` takes) and
EIP-1559. `chainId` is for those that sign for several chains; Web3Signer has its own, and does not look at it.
"""

from __future__ import annotations

from collections.abc import Mapping

from cryptosupport.chains.evm import decoding
from cryptosupport.chains.evm.transfers import Unsigned
from cryptosupport.domain.errors import Refused
from cryptosupport.domain.paying import Decoded
from cryptosupport.settings import ChainSettings


def open_words(settings: ChainSettings) -> EvmWords:
    """The words for one chain, whose tokens are told as its settings write them."""
    return EvmWords(settings)


class EvmWords:
    """Transactions of EIP-1559 as JSON-RPC has them: quantities in hex, the recipient with the checksum of EIP-55."""

    def __init__(self, settings: ChainSettings) -> None:
        self._contracts = {low: asset.contract for low, asset in settings.tokens.items() if asset.contract is not None}

    def asked(self, text: str) -> dict[str, str]:
        """A plan's text as `eth_signTransaction` takes it, without `from`. Raises `Refused`."""
        plan = Unsigned.of(text)
        if plan.nonce is None:
            raise Refused("the plan has no nonce yet")
        return {
            "chainId": hex(plan.chain_id),
            "nonce": hex(plan.nonce),
            "to": plan.to,
            "value": hex(plan.value),
            "data": "0x" + plan.data.hex(),
            "gas": hex(plan.gas),
            "maxFeePerGas": hex(plan.max_fee_per_gas),
            "maxPriorityFeePerGas": hex(plan.max_priority_fee_per_gas),
        }

    def preview(self, transaction: Mapping[str, object]) -> Decoded:
        """What the bytes of such a transaction would do, not signed yet (no txid, no source). Raises `Refused`."""
        told = {name: str(value) for name, value in transaction.items()}
        chain_id, nonce, value, gas, fee = (
            int(told[name], 16) for name in ("chainId", "nonce", "value", "gas", "maxFeePerGas")
        )
        try:
            pays = decoding.paid(told["to"], value, bytes.fromhex(told["data"][2:]), self._contracts)
        except ValueError as error:
            raise Refused(f"the plan is no payment of this desk's kind: {error}") from error
        return Decoded("", str(chain_id), "", (str(nonce),), (pays,), gas * fee)

    def read(self, raw: bytes) -> Decoded:
        """What signed bytes do, by the second decoder. Raises `Refused`."""
        return decoding.decode(raw, self._contracts)

    def told(self, raw: bytes) -> dict[str, str]:
        """Signed bytes as they would have been asked for, by the second decoder. Raises `Refused`."""
        return decoding.transaction(raw)
