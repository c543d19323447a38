"""What became of payouts on Bitcoin, by what the nodes of one operator say of each attempt.

The looks are those of `tx status`: a transaction is gone for good only where another one has one of its coins in a
block that is deep enough, and one that nobody finds is neither paid nor dead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cryptosupport.domain.payouts import Absent, Attempt, Mined, Payout, Seen, Taken, Unclear
from cryptosupport.domain.ports import Chain
from cryptosupport.domain.transactions import (
    Confirmed,
    Confirming,
    Detail,
    Pending,
    Replaced,
    Sighting,
    TxReport,
    Unknown,
)


def look(chain: Chain, payouts: Sequence[Payout], troubles: list[str]) -> dict[int, Seen]:
    """What was seen of each payout, by its id; of what nobody can tell ``troubles`` say why. Raises `NodesFailed`."""
    memory = {txid: sighting for each in payouts for txid, sighting in _sightings(chain.name, each).items()}
    txids = list(memory)
    reports = dict(zip(txids, chain.look_up(txids, Detail.FULL, memory), strict=True)) if txids else {}
    seen: dict[int, Seen] = {}
    for payout in payouts:
        unknown = [_trouble(payout, each) for each in _reports(payout, reports) if isinstance(each.status, Unknown)]
        if unknown:
            troubles += unknown
        else:
            seen[payout.id] = _judge(payout, reports)
    return seen


def _sightings(chain: str, payout: Payout) -> dict[str, Sighting]:
    """What is remembered of the attempts that are signed: what each of them spends."""
    signed = [(each.txid, each.made_at // 1000) for each in payout.attempts if each.txid is not None]
    return {txid: Sighting(chain, txid, at, at, "pending", inputs=payout.claims) for txid, at in signed}


def _reports(payout: Payout, reports: Mapping[str, TxReport]) -> list[TxReport]:
    return [reports[each.txid] for each in payout.attempts if each.txid is not None]


def _judge(payout: Payout, reports: Mapping[str, TxReport]) -> Seen:
    mined: list[Seen] = []
    taken: list[Taken] = []
    pooled = False
    ours = {each.txid for each in payout.attempts}
    for attempt in payout.attempts:
        if attempt.txid is None:
            continue
        match reports[attempt.txid].status:
            case Confirmed(block=block, confirmations=depth):
                mined.append(_mined(attempt, block.height, block.hash, depth, final=True))
            case Confirming(block=block, confirmations=depth):
                mined.append(_mined(attempt, block.height, block.hash, depth, final=False))
            case Pending():
                pooled = True
            case Replaced(by=by, final=final) if by is None or by not in ours:
                taken.append(Taken(by, final))
            case _:
                continue  # another attempt took its place, or nobody has it: nothing follows from that alone
    if len(mined) > 1:
        return Unclear("two of its attempts are said to be in blocks, and they spend the same coins")
    if mined:
        return mined[0]
    if taken and not pooled:
        return max(taken, key=lambda each: (each.by is not None, each.final))
    return Absent(pooled=pooled)


def _mined(attempt: Attempt, height: int, block_hash: str, confirmations: int, *, final: bool) -> Mined:
    """What a transaction costs is part of it, and was checked before it was stored."""
    return Mined(attempt.number, height, block_hash, True, final, attempt.plan.max_fee, confirmations)


def _trouble(payout: Payout, report: TxReport) -> str:
    assert isinstance(report.status, Unknown)
    return f"payout {payout.id}: {report.status.message}"
