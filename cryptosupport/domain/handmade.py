"""A payment that somebody made by hand: what a transaction has to show to have paid a withdrawal. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptosupport.domain.errors import OutcomeUnknown, Refused, Unreachable
from cryptosupport.domain.screening import key_of
from cryptosupport.domain.transactions import (
    Block,
    Confirmed,
    Confirming,
    Failed,
    NotFound,
    Pending,
    Replaced,
    Transfer,
    TxReport,
)
from cryptosupport.domain.withdrawals import Request

_CLOCKS_APART = 7200
"""Seconds by which the time of a block may be off: Bitcoin takes blocks up to two hours ahead."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the nodes of one operator say of a transaction; ``report`` is None where none of them answers, and
    ``trouble`` says why.
    """

    operator: str
    report: TxReport | None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A transaction that somebody names, as its chain writes it.

    ``ask`` asks every operator's nodes for it, of whom ``quorum`` have to call it final.
    """

    txid: str
    quorum: int
    ask: Callable[[], Sequence[Shown]]


@dataclass(frozen=True, slots=True)
class Handmade:
    """The transaction, its block, and whether enough operators call that final; ``outputs`` are those that fit."""

    txid: str
    block: Block
    final: bool
    outputs: tuple[Transfer, ...]


def shown_to_pay(request: Request, asked_at: int, claimed: Claimed) -> Handmade:
    """The payment that the nodes show: whole, to the very address, in one block for all who know it.

    ``asked_at`` is when the withdrawal was asked for (milliseconds since 1970): what a block had before that was for
    something else. Raises `Refused` where it pays something else, failed or is in no block, `OutcomeUnknown` where
    operators contradict each other, `Unreachable` where too few answer.
    """
    txid, quorum, shown = claimed.txid, claimed.quorum, claimed.ask()
    mined = [(each, each.report) for each in shown if each.report is not None and _block(each.report) is not None]
    if not mined:
        raise _not_mined(txid, shown)
    first, report = mined[0]
    for other, told in mined[1:]:
        if _facts(told, request) != _facts(report, request):
            raise OutcomeUnknown(
                f"{txid}: {first.operator} and {other.operator} contradict each other: {_words(report)}, and "
                f"{_words(told)}. Find out which of them is wrong"
            )
    if isinstance(report.status, Failed):
        raise Refused(f"{txid} failed: it paid nothing ({_words(report)})", txid=txid)
    block = _block(report)
    assert block is not None  # it is among the mined ones
    outputs = _outputs(report, block, request, asked_at)
    sure = {each.operator for each, told in mined if isinstance(told.status, Confirmed)}
    final = len(sure) >= quorum
    answered = {each.operator for each in shown if each.report is not None}
    if not final and len(answered) < quorum:
        said = f"{txid}: {quorum} operators have to call it final, and {len(answered)} can be asked"
        raise Unreachable(f"{said}: {_troubles(shown)}")
    return Handmade(txid, block, final, outputs)


def _outputs(report: TxReport, block: Block, request: Request, asked_at: int) -> tuple[Transfer, ...]:
    """The outputs that fit, at least one. Raises `Refused`."""
    outputs = _fitting(report, request)
    if not outputs:
        moved = ((each.amount, each.recipient) for each in report.transfers)
        paid = "; ".join(f"{amount.text} {amount.asset.symbol} to {to}" for amount, to in moved)
        raise Refused(
            f"{report.txid} does not pay {request.amount} {request.asset.symbol} to {request.destination}: it pays "
            f"{paid or 'nobody anything that can be seen'}",
            txid=report.txid,
        )
    if block.time is not None and (block.time + _CLOCKS_APART) * 1000 < asked_at:
        raise Refused(f"{report.txid} is older than {request.request_id}: it paid something else", txid=report.txid)
    return outputs


def _not_mined(txid: str, shown: Sequence[Shown]) -> Refused | Unreachable:
    answers = [each.report for each in shown if each.report is not None]
    if not answers:
        return Unreachable(f"{txid}: {_troubles(shown) or 'there is no node to ask'}")
    match answers[0].status:
        case Pending():
            said = (
                "waits for a block: have it recorded when it has one. Until then `cryptosupport withdraw hold` keeps "
            )
            return Refused(f"{txid} {said}runs from paying it too", txid=txid)
        case Replaced(by=by):
            return Refused(f"{txid} was replaced by {by or 'another transaction'}: it pays nothing", txid=txid)
        case NotFound():
            return Refused(f"no node knows {txid}: nothing was paid by it, as far as can be seen", txid=txid)
        case _:
            return Unreachable(f"{txid}: {_words(answers[0])}; {_troubles(shown)}".rstrip("; "))


def _block(report: TxReport) -> Block | None:
    status = report.status
    return status.block if isinstance(status, Confirming | Confirmed | Failed) else None


def _facts(report: TxReport, request: Request) -> tuple[object, ...]:
    block = _block(report)
    assert block is not None
    return block.height, block.hash, isinstance(report.status, Failed), _fitting(report, request)


def _fitting(report: TxReport, request: Request) -> tuple[Transfer, ...]:
    """The outputs that are what was asked for: all of it, of this asset, to this address, and no change of ours."""
    return tuple(
        each
        for each in report.transfers
        if each.recipient is not None
        and key_of(each.recipient) == key_of(request.destination)
        and _contract(each.amount.asset.contract) == _contract(request.asset.contract)
        and each.amount.base_units == request.base_units
        and not each.change
    )


def _contract(contract: str | None) -> str:
    return "" if contract is None else key_of(contract)


def _words(report: TxReport) -> str:
    block = _block(report)
    where = "in no block" if block is None else f"in block {block.height} ({block.hash})"
    return f"it is {report.state}, {where}"


def _troubles(shown: Sequence[Shown]) -> str:
    return "; ".join(each.trouble for each in shown if each.trouble)
