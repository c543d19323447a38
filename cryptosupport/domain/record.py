"""A look-up as the record of the contract: schema `cryptosupport.tx/1`. Absent facts are None, never invented."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, assert_never

from cryptosupport.domain.transactions import (
    BadLine,
    Block,
    Confirmed,
    Confirming,
    Detail,
    Failed,
    NotFound,
    Pending,
    Replaced,
    Transfer,
    TxReport,
    Unknown,
)
from cryptosupport.domain.wording import advice, iso_time, summary

SCHEMA = "cryptosupport.tx/1"

FIELDS = (
    "txid", "chain", "state", "final", "height", "block_hash", "block_time", "confirmations", "required_confirmations",
    "fee.asset", "fee.amount", "fee.base_units", "transfers", "failure.code", "failure.message", "replaced_by",
    "pending.reason", "pending.feerate", "pending.mempool_min_feerate", "pending.eta_blocks", "pending.replaceable",
    "pending.nonce", "pending.missing_nonce", "pending.ancestors", "summary", "advice", "explorer", "as_of", "source",
    "error.code", "error.message", "line", "input",
)  # fmt: skip
"""The columns of CSV, by dotted key; `line` and `input` are those of lines that held no id."""

BRIEF_FIELDS = ("txid", "chain", "state", "final", "error.code", "error.message", "line", "input")
"""The columns of CSV with --brief."""


def tx_record(report: TxReport, language: str) -> dict[str, Any]:
    """The whole record."""
    status = report.status
    block: Block | None = None
    confirmations = required = None
    if isinstance(status, Confirming | Confirmed | Failed):
        block, confirmations, required = status.block, status.confirmations, status.required
    failure = status.failure if isinstance(status, Failed) else None
    fee = report.fee
    return {
        "schema": SCHEMA,
        "txid": report.txid,
        "chain": report.chain,
        "state": report.state,
        "final": report.final,
        "height": None if block is None else block.height,
        "block_hash": None if block is None else block.hash,
        "block_time": None if block is None or block.time is None else iso_time(block.time),
        "confirmations": confirmations,
        "required_confirmations": required,
        "fee": None
        if fee is None
        else {"asset": fee.asset.symbol, "amount": fee.text, "base_units": str(fee.base_units)},
        "transfers": [_transfer(transfer) for transfer in report.transfers],
        "failure": None if failure is None else {"code": failure.code.value, "message": failure.message},
        "replaced_by": status.by if isinstance(status, Replaced) else None,
        "pending": _pending(status) if isinstance(status, Pending) else None,
        "summary": summary(report, language),
        "advice": advice(report, language),
        "explorer": report.explorer,
        "as_of": iso_time(report.as_of),
        "source": ", ".join(status.nodes) or None if isinstance(status, NotFound) else report.source,
        "error": _error(status) if isinstance(status, Unknown) else None,
    }


def row_record(row: TxReport | BadLine, language: str, detail: Detail) -> dict[str, Any]:
    """The record of a look-up as long as it was asked for, or of a line that held no id."""
    if isinstance(row, BadLine):
        error = {"code": row.error.code, "message": row.error.message}
        return {"line": row.line, "input": row.input, "error": error}
    match detail:
        case Detail.BRIEF:
            return brief_record(row)
        case Detail.FULL:
            return tx_record(row, language)
        case Detail.EXPLAIN:
            facts = [{"name": fact.name, "value": fact.value, "source": fact.source} for fact in row.facts]
            return tx_record(row, language) | {"facts": facts}
        case never:
            assert_never(never)


def brief_record(report: TxReport) -> dict[str, Any]:
    """The state alone, and the error where there was one."""
    return {
        "txid": report.txid,
        "chain": report.chain,
        "state": report.state,
        "final": report.final,
        "error": _error(report.status) if isinstance(report.status, Unknown) else None,
    }


def _transfer(transfer: Transfer) -> dict[str, Any]:
    amount = transfer.amount
    record: dict[str, Any] = {
        "asset": amount.asset.symbol,
        "amount": amount.text,
        "base_units": str(amount.base_units),
        "from": transfer.sender,
        "to": transfer.recipient,
    }
    if transfer.vout is not None:
        record["vout"] = transfer.vout
        record["change"] = transfer.change
    return record


def _pending(pending: Pending) -> dict[str, Any]:
    return {
        "reason": pending.reason.value,
        "feerate": None if pending.feerate is None else pending.feerate.text,
        "mempool_min_feerate": None if pending.mempool_min is None else pending.mempool_min.text,
        "eta_blocks": pending.eta_blocks,
        "replaceable": pending.replaceable,
        "nonce": pending.nonce,
        "missing_nonce": pending.missing_nonce,
        "ancestors": pending.ancestors,
    }


def _error(unknown: Unknown) -> dict[str, Any]:
    return {"code": unknown.code, "message": unknown.message, "nodes": list(unknown.nodes)}


# -- exit codes of `tx status` ---------------------------------------------------------------------------------------

_CODES: Mapping[str, int] = {
    "confirmed": 0,
    "pending": 10,
    "confirming": 10,
    "not_found": 11,
    "failed": 12,
    "replaced": 12,
    "dropped": 12,
    "unknown": 6,
}
_WORST_FIRST = (2, 6, 12, 11, 10, 0)


def exit_code(row: TxReport | BadLine) -> int:
    """The exit code of one look-up, or of a line that held no id."""
    return row.error.exit_code if isinstance(row, BadLine) else _CODES[row.state]


def worst(codes: Iterable[int]) -> int:
    """The exit code of several: a bad line, then an unknown, then the greatest of the rest.

    >>> worst([0, 12, 10]), worst([12, 6]), worst([6, 2]), worst([])
    (12, 6, 2, 0)
    """
    seen = set(codes)
    return next((code for code in _WORST_FIRST if code in seen), 0)
