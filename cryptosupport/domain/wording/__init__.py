"""Say in one plain sentence what happened, and what support should do next. A language is one file here, found by name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib import import_module
from typing import assert_never

from cryptosupport.domain.money import FeeRate
from cryptosupport.domain.transactions import (
    Confirmed,
    Confirming,
    Dropped,
    Failed,
    FailureCode,
    Hint,
    NotFound,
    Pending,
    PendingReason,
    Replaced,
    Transfer,
    TxReport,
    Unknown,
)

LOCKTIME_THRESHOLD = 500_000_000
"""A locktime below this is a block height, from it on a time (Bitcoin's nLockTime)."""

_QUOTES = str.maketrans(dict.fromkeys("\u201c\u201d\u201e\u201f\uff02\u300c\u300d\u300e\u300f\u301d\u301e\u301f", '"'))
"""Ours stand around what contracts say: theirs must not end the quotation."""


def supported(locale: str) -> str:
    """The language of ``locale`` if there are sentences in it ("zh-CN": "zh"), else "en"."""
    language = locale.replace("_", "-").split("-")[0].lower()
    try:
        return language if language.isalpha() and _sentences(language) else "en"
    except ModuleNotFoundError:
        return "en"


@lru_cache(maxsize=8)
def _sentences(language: str) -> Mapping[str, str]:
    sentences: Mapping[str, str] = import_module(f"{__name__}.{language}").SENTENCES
    return sentences


@lru_cache(maxsize=65536)
def iso_time(seconds: int) -> str:
    """Seconds since 1970 as UTC ISO 8601.

    >>> iso_time(0)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def summary(report: TxReport, language: str) -> str:
    """One sentence on what happened."""
    say = _sentences(language)
    text = _summary(report, say)
    if report.also_on:
        text += say["part.also_on"].format(chains=", ".join(report.also_on))
    return text


def _summary(report: TxReport, say: Mapping[str, str]) -> str:
    chain = report.chain or ", ".join(report.asked)
    match report.status:
        case Confirmed() | Confirming():
            return _mined(report, report.status, say)
        case Pending() as pending:
            return _pending(pending, chain, say)
        case Failed() as failed:
            return _failed(failed, chain, say)
        case NotFound(hint=hint, meant=meant):
            return say[_hinted("summary.not_found", hint)].format(chain=chain, meant=meant)
        case Replaced(by=by, final=final):
            key = "summary.replaced.by" if by else "summary.replaced"
            return say[key].format(chain=chain, by=by, final=say["part.final.yes" if final else "part.final.no"])
        case Dropped():
            return say["summary.dropped"].format(chain=chain)
        case Unknown(message=message):
            return say["summary.unknown"].format(message=message.rstrip(". "))
        case never:
            assert_never(never)


def _mined(report: TxReport, status: Confirmed | Confirming, say: Mapping[str, str]) -> str:
    height, chain = status.block.height, report.chain
    if not report.outcome_known:
        return say["summary.mined.outcome_unknown"].format(height=height, chain=chain)
    moved = _moved(report, say)
    confirmations = _count(say, "confirmations", status.confirmations)
    if isinstance(status, Confirming):
        key = "summary.confirming.tag" if status.required is None else "summary.confirming.required"
        key += "" if moved else ".bare"
        return say[key].format(
            height=height, chain=chain, moved=moved, confirmations=confirmations, required=status.required
        )
    if status.spendable_at is not None:
        return say["summary.confirmed.coinbase"].format(height=height, chain=chain, spendable=status.spendable_at)
    key = "summary.confirmed" if moved else "summary.confirmed.bare"
    return say[key].format(height=height, chain=chain, confirmations=confirmations, moved=moved)


def _moved(report: TxReport, say: Mapping[str, str]) -> str:
    """What was paid, change left out; a created contract when nothing was; empty where none of both is known.

    That proves nothing about money: contracts can pay without a log.
    """
    payments = [transfer for transfer in report.transfers if not transfer.change] or list(report.transfers)
    if not payments:
        return say["moved.created"].format(contract=report.created) if report.created else ""
    first: Transfer = payments[0]
    key = "moved.one" if len(payments) == 1 else "moved.many"
    if first.recipient is None:
        key += ".nobody"
    return say[key].format(count=len(payments), amount=first.amount, recipient=first.recipient)


def _pending(pending: Pending, chain: str, say: Mapping[str, str]) -> str:
    key = f"summary.pending.{pending.reason.value}"
    eta = ""
    if pending.eta_blocks is not None:
        eta = say["part.eta"].format(blocks=_count(say, "blocks", pending.eta_blocks))
    asked = pending.market or pending.mempool_min
    if pending.reason is PendingReason.LOW_FEE and (pending.feerate is None or asked is None):
        key += ".bare"
    return say[key].format(
        chain=chain,
        eta=eta,
        feerate=pending.feerate,
        market=asked,
        nonce=pending.nonce,
        missing=pending.missing_nonce,
        ancestors=_count(say, "ancestors", pending.ancestors or 1),
        locktime=_locktime(pending.locktime or 0, say),
    )


def _locktime(locktime: int, say: Mapping[str, str]) -> str:
    if locktime < LOCKTIME_THRESHOLD:
        return say["part.locktime.height"].format(height=locktime)
    return say["part.locktime.time"].format(time=iso_time(locktime))


def _failed(failed: Failed, chain: str, say: Mapping[str, str]) -> str:
    failure = failed.failure
    key = f"summary.failed.{failure.code.value}"
    if failure.code in (FailureCode.REVERTED, FailureCode.UNKNOWN) and not failure.message:
        key += ".bare"
    if failure.code is FailureCode.OUT_OF_GAS and failure.message:  # a doubt: neither traced nor replayed
        key += ".probably"
    replayed = say["part.replayed"] if failure.replayed else ""
    message = (failure.message or "").translate(_QUOTES)
    return say[key].format(chain=chain, height=failed.block.height, message=message, replayed=replayed)


def _hinted(key: str, hint: Hint | None) -> str:
    return key if hint is None else f"{key}.{hint.value}"


def _count(say: Mapping[str, str], what: str, count: int) -> str:
    return say[f"count.{what}.{'one' if count == 1 else 'other'}"].format(count=count)


def advice(report: TxReport, language: str) -> str:
    """What support should do next."""
    say = _sentences(language)
    match report.status:
        case Confirmed() | Confirming() if not report.outcome_known:
            return say["advice.mined.outcome_unknown"]
        case Confirmed(spendable_at=spendable):
            return say["advice.confirmed" if spendable is None else "advice.confirmed.coinbase"]
        case Confirming():
            return say["advice.confirming"]
        case Pending(reason=PendingReason.LOW_FEE, feerate=FeeRate(), replaceable=True):
            return say["advice.pending.low_fee.own"]
        case Pending(reason=reason, missing_nonce=missing):
            return say[f"advice.pending.{reason.value}"].format(missing=missing)
        case Failed(final=False):
            return say["advice.failed.not_final"]
        case Failed(failure=failure):
            if failure.code is not FailureCode.OUT_OF_GAS:
                return say["advice.failed"]
            doubtful = failure.replayed or failure.message
            return say["advice.failed.out_of_gas.probably" if doubtful else "advice.failed.out_of_gas"]
        case NotFound(hint=hint, meant=meant):
            return say[_hinted("advice.not_found", hint)].format(meant=meant)
        case Replaced(by=by, final=final):
            undone = say["advice.replaced.part.yes" if final else "advice.replaced.part.no"]
            return say["advice.replaced.by" if by else "advice.replaced"].format(by=by, final=undone)
        case Dropped(final=final):
            return say["advice.dropped.final" if final else "advice.dropped"]
        case Unknown():
            return say["advice.unknown"]
        case never:
            assert_never(never)
