"""What a mined transaction moved and cost. Pure.

Sources: EIP-20 (the Transfer event), EIP-721 (the same event with four topics), EIP-1559 and EIP-4844 (fees), EIP-7708
(coins that move leave a Transfer log of the system address), the OP Stack specification (l1Fee; operator fee since
Isthmus and, by another formula, since Jovian).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from cryptosupport.chains.evm.wire import UINT256, Log, Receipt, Tx, address, quantity
from cryptosupport.domain.money import Amount, Asset
from cryptosupport.domain.transactions import Transfer

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""keccak256("Transfer(address,address,uint256)")."""

POLYGON_COIN = "0x0000000000000000000000000000000000001010"
_POLYGON = (137, 80002)
_SYSTEM = "0xfffffffffffffffffffffffffffffffffffffffe"
_BLOB = "0x3"
_ADDRESS_WORD = re.compile(r"0x0{24}[0-9a-fA-F]{40}")
_NUMBER_WORD = re.compile(r"0x[0-9a-fA-F]{64}")


class Ledger:
    """Reads amounts of one chain: its coin, and the tokens that its settings know by contract in lower case."""

    def __init__(self, coin: Asset, tokens: Mapping[str, Asset], chain_id: int | None) -> None:
        self.coin = coin
        self._tokens = dict(tokens)
        # Polygon's coin writes logs of its own beside every native transfer: counting both would double it.
        self._silent = POLYGON_COIN if chain_id in _POLYGON else None

    def transfers(self, tx: Tx, receipt: Receipt) -> tuple[Transfer, ...]:
        """The money that a successful transaction moved, the coin first. Raises `ValueError` for a senseless answer.

        Amounts of zero are left out: anybody can log them in anybody's name, to plant look-alike addresses in a
        history.
        """
        moved = self._native(tx, tx.to or receipt.contract_address)
        if not receipt.logs:
            return moved
        logged = [transfer for log in receipt.logs if (transfer := self._logged(log)) is not None]
        if moved and moved[0] in logged:
            logged.remove(moved[0])  # EIP-7708: the coin's own transfer is in the logs too
        return (*moved, *logged)

    def intended(self, tx: Tx) -> tuple[Transfer, ...]:
        """The coins that a waiting transaction is to move; what contracts will do nobody knows. Raises `ValueError`."""
        return self._native(tx, tx.to)

    def _native(self, tx: Tx, recipient: str | None) -> tuple[Transfer, ...]:
        value = quantity(tx.value, UINT256)
        if value == 0:
            return ()
        to = None if recipient is None else address(recipient)
        return (Transfer(Amount(value, self.coin), address(tx.sender), to),)

    def _logged(self, log: Log) -> Transfer | None:
        topics = log.topics
        if len(topics) != 3 or topics[0] != TRANSFER or log.removed or _NUMBER_WORD.fullmatch(log.data) is None:
            return None
        if _ADDRESS_WORD.fullmatch(topics[1]) is None or _ADDRESS_WORD.fullmatch(topics[2]) is None:
            return None
        contract, value = log.address.lower(), int(log.data, 16)
        if value == 0 or contract == self._silent:
            return None
        amount = Amount(value, self._asset(contract))
        return Transfer(amount, address("0x" + topics[1][26:]), address("0x" + topics[2][26:]))

    def _asset(self, contract: str) -> Asset:
        if contract == _SYSTEM:
            return self.coin
        return self._tokens.get(contract) or _unknown(contract)

    def fee(self, tx: Tx, receipt: Receipt) -> Amount | None:
        """The whole fee in the chain's coin; None when the node gives no gas price. Raises `ValueError`."""
        price = receipt.effective_gas_price or tx.gas_price
        if price is None:
            return None
        fee = quantity(receipt.gas_used) * quantity(price, UINT256)
        if receipt.l1_fee is not None:
            fee += quantity(receipt.l1_fee, UINT256)
        if receipt.operator_fee_scalar or receipt.operator_fee_constant:
            fee += _operator_fee(receipt)
        if tx.type == _BLOB and receipt.blob_gas_used and receipt.blob_gas_price:
            fee += quantity(receipt.blob_gas_used) * quantity(receipt.blob_gas_price, UINT256)
        return Amount(fee, self.coin)


def created(tx: Tx, receipt: Receipt) -> str | None:
    """The contract that a successful transaction deployed. Raises `ValueError`."""
    return address(receipt.contract_address) if tx.to is None and receipt.contract_address else None


@lru_cache(maxsize=4096)
def _unknown(contract: str) -> Asset:
    checksummed = address(contract)
    return Asset(checksummed, None, checksummed)


def _operator_fee(receipt: Receipt) -> int:
    # Jovian receipts are told by their data-availability scalar.
    scaled = quantity(receipt.gas_used) * _either(receipt.operator_fee_scalar)
    scaled = scaled // 1_000_000 if receipt.da_footprint_gas_scalar is None else scaled * 100
    return scaled + _either(receipt.operator_fee_constant)


def _either(number: str | int | None) -> int:
    """A number that op-geth writes in hex and other nodes may write in decimal."""
    if isinstance(number, str):
        return quantity(number)
    if number is not None and not 0 <= number < UINT256:
        raise ValueError(f"{number} is out of range")
    return number or 0
