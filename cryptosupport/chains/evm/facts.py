"""Every fact behind a verdict with its source, for `tx explain`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

from cryptosupport.chains.evm.asking import BlockAt
from cryptosupport.chains.evm.look import Look, Row
from cryptosupport.chains.evm.rivals import COUNT, Claim
from cryptosupport.chains.evm.text import plain
from cryptosupport.chains.evm.wire import NONCES, UINT256, Receipt, Tx, address, quantity
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.money import Amount, format_base_units
from cryptosupport.domain.transactions import Fact, Sighting, TxReport
from cryptosupport.transport import Call

if TYPE_CHECKING:
    from cryptosupport.chains.evm.pool import Market, Nonces

_TX, _RECEIPT = "eth_getTransactionByHash", "eth_getTransactionReceipt"
_BLOCK, _HEAD = "eth_getBlockByNumber", "eth_blockNumber"
_GWEI = 9
_SELECTOR = 10  # 0x and the four bytes that choose a contract's function

Named: TypeAlias = Iterator[tuple[str, object, str]]


def add_mined(look: Look, rows: Sequence[Row], blocks: Mapping[int, BlockAt]) -> None:
    """Add the facts of transactions in blocks to their reports."""
    nonces = _next_nonces(look, rows)
    for row in rows:
        tx, receipt, block = row.tx, row.receipt, blocks[row.height]
        if tx is not None and isinstance(receipt, Receipt):
            parts = [_of_block(row, block), _of_chain(look), _of_tx(look, tx), _of_receipt(receipt)]
            _add(look, row.txid, [*parts, iter([("sender_nonce", nonces.get(row.txid), COUNT)])])


def add_waiting(
    look: Look, waiting: Sequence[tuple[Claim, Tx]], nonces: Mapping[str, Nonces], market: Market | None
) -> None:
    """Add the facts of transactions in the pool to their reports."""
    for claim, tx in waiting:
        parts = [_of_chain(look), _of_tx(look, tx), _of_sender(nonces[claim.sender]), _of_market(market)]
        _add(look, claim.txid, parts)


def _add(look: Look, txid: str, parts: Sequence[Named]) -> None:
    """Add facts to what is said of ``txid``, if it is a report."""
    report = look.said.get(txid)
    if isinstance(report, TxReport):
        try:
            look.said[txid] = replace(report, facts=_as_facts(look, list(chain.from_iterable(parts))))
        except ValueError as error:
            look.malformed(txid, error)


def remembered(look: Look, seen: Sighting, nonces: Nonces | None) -> tuple[Fact, ...]:
    """The facts of a transaction that is known from memory alone."""
    kept = {
        "first_seen": _time(seen.first_seen),
        "last_seen": _time(seen.last_seen),
        "last_state": seen.state,
        "was_in_block": seen.block_hash,
        "was_at_height": seen.height,
        "sender": seen.sender,
        "nonce": seen.nonce,
    }
    memory = tuple(Fact(name, plain(str(value)), "memory") for name, value in kept.items() if value is not None)
    return memory + _as_facts(look, [*_of_chain(look), *(() if nonces is None else _of_sender(nonces))])


def _as_facts(look: Look, named: Sequence[tuple[str, object, str]]) -> tuple[Fact, ...]:
    told, source = look.asker.told, look.asker.source
    return tuple(Fact(name, told(str(value)), source(method)) for name, value, method in named if value is not None)


def _next_nonces(look: Look, rows: Sequence[Row]) -> dict[str, int]:
    """The next nonces of the senders, where the node gives them."""
    try:
        calls = [Call(COUNT, (row.tx.sender, "latest")) for row in rows if row.tx is not None]
        counts = [look.asker.maybe_count(answer) for answer in look.asker.batch(calls)]
    except NodeFailed:
        return {}
    txids = [row.txid for row in rows if row.tx is not None]
    return {txid: count for txid, count in zip(txids, counts, strict=True) if count is not None}


def _of_chain(look: Look) -> Named:
    yield "chain_id", look.rules.chain_id, "settings and eth_chainId"
    yield "head", look.view.head, _HEAD
    if look.view.required is None:
        yield f"{look.rules.tag}_head", look.view.finalized, f"{_BLOCK} {look.rules.tag}"


def _of_block(row: Row, block: BlockAt) -> Named:
    yield "height", row.height, _RECEIPT
    yield "block_hash", row.block_hash, _RECEIPT
    yield "canonical_block_hash", block.hash, _BLOCK
    yield "block_time", _time(block.time), _BLOCK
    yield "base_fee", None if block.base_fee is None else _gwei(block.base_fee), _BLOCK


def _of_tx(look: Look, tx: Tx) -> Named:
    yield "type", tx.type, _TX
    yield "sender", address(tx.sender), _TX
    yield "recipient", None if tx.to is None else address(tx.to), _TX
    yield "nonce", quantity(tx.nonce, NONCES), _TX
    yield "value", Amount(quantity(tx.value, UINT256), look.rules.ledger.coin), _TX
    yield "gas_limit", quantity(tx.gas), _TX
    yield "gas_price", _price(tx.gas_price), _TX
    yield "max_fee_per_gas", _price(tx.max_fee_per_gas), _TX
    yield "max_priority_fee_per_gas", _price(tx.max_priority_fee_per_gas), _TX
    if tx.to is not None and len(tx.input) >= _SELECTOR:
        yield "method_selector", tx.input[:_SELECTOR], _TX
    yield "input_bytes", max(len(tx.input) - 2, 0) // 2, _TX
    yield "transaction_index", None if tx.transaction_index is None else quantity(tx.transaction_index), _TX


def _of_receipt(receipt: Receipt) -> Named:
    yield "receipt_status", receipt.status or "none (before Byzantium)", _RECEIPT
    yield "gas_used", quantity(receipt.gas_used), _RECEIPT
    yield "effective_gas_price", _price(receipt.effective_gas_price), _RECEIPT
    yield "l1_fee_wei", None if receipt.l1_fee is None else quantity(receipt.l1_fee, UINT256), _RECEIPT
    yield "logs", len(receipt.logs), _RECEIPT
    yield "contract_created", None if receipt.contract_address is None else address(receipt.contract_address), _RECEIPT


def _of_sender(nonces: Nonces) -> Named:
    yield "sender_nonce", nonces.latest, COUNT
    yield "sender_nonce_with_pool", nonces.pending, COUNT


def _of_market(market: Market | None) -> Named:
    if market is not None and market.base_fee is not None:
        yield "latest_base_fee", _gwei(market.base_fee), _BLOCK
    if market is not None and market.price is not None:
        yield "market_tip", _gwei(market.price.max_priority_fee_per_gas), "eth_feeHistory"
        yield "market_price", _gwei(market.price.max_fee_per_gas), "eth_feeHistory"


def _price(number: str | None) -> str | None:
    return None if number is None else _gwei(quantity(number, UINT256))


def _gwei(wei: int) -> str:
    return f"{format_base_units(wei, _GWEI)} gwei"


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
