"""Transactions in a block: is it still the chain's block, is it final, did they succeed, what did they move."""

from __future__ import annotations

from cryptosupport.chains.evm import facts, failures, money
from cryptosupport.chains.evm.asking import BlockAt, blocks_at
from cryptosupport.chains.evm.look import Look, Row
from cryptosupport.chains.evm.wire import LONGEST_SHOWN, NONCES, Receipt, address, quantity
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.transactions import (
    Block,
    Confirmed,
    Confirming,
    Failed,
    Failure,
    FailureCode,
    Sighting,
    TxReport,
)

_UNTOLD = Failure(FailureCode.UNKNOWN, None)
_FAILED, _SUCCEEDED = "0x0", "0x1"


def settle(look: Look, rows: list[Row]) -> None:
    """Say what became of ``rows``, which have receipts that name a block. Raises `NodeFailed`."""
    vouched = look.view.vouched_height
    doubtful = [row for row in rows if row.height > vouched or _moved(look, row)] if look.brief else rows
    asked = blocks_at(look.asker, {row.height for row in doubtful}, look.view) if doubtful else {}
    fallen = {row.txid for row in doubtful if not _in_chain(look, row, asked[row.height])}
    standing = [row for row in rows if row.txid not in fallen]
    blocks = {height: block for height, block in asked.items() if isinstance(block, BlockAt)}
    reasons = {} if look.brief else failures.why(look.asker, _refused(standing))
    for row in standing:
        try:
            if look.brief:
                look.said[row.txid] = _brief_report(look, row)
            else:
                look.said[row.txid] = _report(look, row, blocks[row.height], reasons.get(row.txid, _UNTOLD))
        except ValueError as error:
            look.malformed(row.txid, error)
    if look.explain:
        facts.add_mined(look, standing, blocks)


def _moved(look: Look, row: Row) -> bool:
    """Whether it is remembered in another block than its receipt names now."""
    seen = look.memory.get(row.txid)
    return seen is not None and seen.block_hash is not None and seen.block_hash != row.block_hash


def _in_chain(look: Look, row: Row, block: BlockAt | NodeFailed | None) -> bool:
    """Whether the chain's ``block`` is the receipt's; if not, the row is asked again, as seen in a block that left."""
    if isinstance(block, NodeFailed):
        look.said[row.txid] = block
        return False
    if block is not None and block.hash == row.block_hash:
        return True
    look.asker.state.blocks.forget(row.height)
    look.again[row.txid] = f"its receipt names a block that the chain does not have at height {row.height}"
    seen = look.memory.get(row.txid)
    sender, nonce = (None, None) if seen is None else (seen.sender, seen.nonce)
    try:
        if row.tx is not None:
            sender, nonce = address(row.tx.sender), quantity(row.tx.nonce, NONCES)
    except ValueError:
        pass  # refused when it is asked again
    now = look.now
    orphan = Sighting(look.rules.name, row.txid, now, now, "confirming", row.block_hash, row.height, sender, nonce)
    look.memory = {**look.memory, row.txid: orphan}
    return False


def _refused(rows: list[Row]) -> list[failures.Refused]:
    return [
        failures.Refused(row.txid, row.tx, row.receipt, row.height)
        for row in rows
        if isinstance(row.receipt, Receipt) and row.receipt.status == _FAILED and row.tx is not None
    ]


def _report(look: Look, row: Row, block_at: BlockAt, failure: Failure) -> TxReport:
    tx, receipt = row.tx, row.receipt
    assert tx is not None
    assert isinstance(receipt, Receipt)
    block = Block(row.height, block_at.hash, block_at.time)
    status = _status(look, receipt.status, block, failure)
    ledger = look.rules.ledger
    succeeded = receipt.status == _SUCCEEDED
    return TxReport(
        row.txid,
        look.rules.name,
        status,
        look.now,
        look.asker.name,
        ledger.fee(tx, receipt),
        ledger.transfers(tx, receipt) if succeeded else (),
        money.created(tx, receipt) if succeeded else None,
        False,
        receipt.status is not None,
        look.explorer(row.txid),
        look.sighting(row.txid, status, block, address(tx.sender), quantity(tx.nonce, NONCES)),
    )


def _brief_report(look: Look, row: Row) -> TxReport:
    receipt = row.receipt
    assert receipt is not None
    block = Block(row.height, row.block_hash, None)
    status = _status(look, receipt.status, block, _UNTOLD)
    nonce = None if row.tx is None else quantity(row.tx.nonce, NONCES)
    return TxReport(
        row.txid,
        look.rules.name,
        status,
        look.now,
        look.asker.name,
        None,
        (),
        None,
        False,
        receipt.status is not None,
        look.explorer(row.txid),
        look.sighting(row.txid, status, block, address(receipt.sender), nonce),
    )


def _status(look: Look, outcome: str | None, block: Block, failure: Failure) -> Confirming | Confirmed | Failed:
    """The state of a mined transaction. Before Byzantium receipts hold no outcome, and none is made up (EIP-658)."""
    confirmations = look.view.confirmations(block.height)
    final = block.height <= look.view.final_height
    required = look.rules.required
    if outcome == _FAILED:
        return Failed(block, confirmations, required, final, failure)
    if outcome not in (_SUCCEEDED, None):
        raise ValueError(f"{outcome[:LONGEST_SHOWN]!r} is no status of a receipt")
    if final:
        return Confirmed(block, confirmations, required)
    return Confirming(block, confirmations, required)
