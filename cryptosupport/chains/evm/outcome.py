"""What a receipt says that an attempt did. Pure.

Sources: EIP-658 (status), EIP-20 (the Transfer event; a transfer of zero logs too). What no log can tell: a token that
logs the whole amount and credits less. `drafting` tries for that before anything is signed, where the node simulates.
"""

from __future__ import annotations

from cryptosupport.chains.evm import decoding
from cryptosupport.chains.evm.money import TRANSFER, Ledger
from cryptosupport.chains.evm.transfers import Unsigned
from cryptosupport.chains.evm.wire import Log, Receipt, Tx
from cryptosupport.domain.payouts import Unclear


def did(plan: Unsigned, source: str, receipt: Receipt) -> bool | Unclear:
    """Whether the payment ``plan`` of ``source`` did what it was to do.

    A payment of a token needs its log. Without one, or with one of another amount or recipient, a person has to look: a
    token may move money and log nothing. Raises `ValueError` for a senseless receipt.
    """
    if receipt.status == "0x0":
        return False
    if receipt.status != "0x1":
        raise ValueError(f"a receipt without an outcome: status {receipt.status}")
    pays = decoding.paid(plan.to, plan.value, plan.data, {})
    if pays.contract is None:
        return True
    logs = [log for log in receipt.logs if log.address.lower() == plan.to.lower() and _is_transfer(log)]
    ours = [log for log in logs if _party(log, 1) == source.lower()]
    paid = [_amount(log) for log in ours if _party(log, 2) == pays.destination.lower()]
    if paid == [pays.base_units]:
        return True
    told = ", ".join(str(amount) for amount in paid) or "nothing"
    words = f"the token logs {told} to {pays.destination}, and {pays.base_units} base units were to be paid"
    return Unclear(f"{words}: look at the balances; it may take a fee on transfers")


def fee(ledger: Ledger, plan: Unsigned, source: str, receipt: Receipt) -> int:
    """What it cost, in wei. Raises `ValueError` where the node does not tell."""
    tx = Tx(hash=receipt.transaction_hash, sender=source, nonce=hex(plan.nonce or 0), gas=hex(plan.gas), value="0x0")
    cost = ledger.fee(tx, receipt)
    if cost is None:
        raise ValueError("its receipt does not tell the price of the gas")
    return cost.base_units


def _is_transfer(log: Log) -> bool:
    return len(log.topics) == 3 and log.topics[0] == TRANSFER and not log.removed


def _party(log: Log, topic: int) -> str:
    return "0x" + log.topics[topic][-40:].lower()


def _amount(log: Log) -> int:
    if len(log.data) != 66:
        raise ValueError("a Transfer log without an amount")
    return int(log.data, 16)
