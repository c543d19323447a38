"""What freezes a wallet by itself while it is paid from (S36): money that goes without us, or is not there.

Two people who lift such a freeze know its cause, as with the alarms of the whole desk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from secrets import token_hex

from cryptosupport.desk.alarms import FUNDS, RINGS_AGAIN, UNKNOWN
from cryptosupport.desk.freeze import add
from cryptosupport.desk.till import Shift
from cryptosupport.domain.adoption import ADOPTED, unadopted
from cryptosupport.domain.audit import PROGRAM
from cryptosupport.domain.books import Records
from cryptosupport.domain.errors import Refused
from cryptosupport.domain.freezes import Freeze, Scope
from cryptosupport.domain.money import Asset, format_base_units
from cryptosupport.domain.paying import Spend, Survey
from cryptosupport.domain.payouts import Absent, Payout, Purse, Seen, Step


def freeze_wallet(records: Records, wallet: str, reason: str, told: str = "", quiet: int = 0) -> bool:
    """Freeze a wallet for a reason, once, and say whether it is frozen for it; ``told`` goes on with numbers of now.

    Once people have lifted it, the same reason does not freeze it again for ``quiet`` milliseconds.
    """
    scope = Scope("wallet", wallet)
    auto = [each for each in records.freezes(lifted=True) if each.source == "auto" and each.scope.key == scope.key]
    same = [each for each in auto if each.reason.startswith(reason)]
    if any(each.lifted_at is None for each in same):
        return True
    if any(each.lifted_at is not None and records.now - each.lifted_at < quiet for each in same):
        return False
    add(records, Freeze(token_hex(8), scope, reason + told, PROGRAM, False, records.now, "auto"))
    return True


def watch_outflow(shift: Shift, survey: Survey) -> bool:
    """Whether the chain knows of transactions of the wallet that this ledger does not: then the wallet is frozen.

    A restored backup looks like that, and so does a stolen key.
    """
    with shift.paying.ledger.look() as records:
        more = len(strangers(records, shift.lease, survey))
    wallet = shift.till.wallet
    if not more:
        return False
    reason = (
        f"outflow: {wallet} has sent {more} transactions that this ledger does not know: a restored backup, another "
        "program, or a stolen key"
    )
    with shift.paying.ledger.act() as records:
        freeze_wallet(records, wallet, reason)
    shift.errors.append(Refused(f"{reason}. It is frozen; see `cryptosupport reconcile`", wallet=wallet, sent=more))
    return True


def strangers(records: Records, purse: Purse, survey: Survey) -> list[str]:
    """The transactions of the wallet that this ledger does not know, beyond those that people have adopted: by the
    places that the chain has used ("nonce 7"), or by their ids where places are coins.
    """
    if survey.spends is None:
        return [f"nonce {place}" for place in range(purse.place, survey.used)]
    foreign = unknown(records, survey.spends)
    if not foreign:
        return []
    return [each.txid for each in unadopted(foreign, adopted_before(records, purse))]


def unknown(records: Records, spends: Sequence[Spend]) -> list[Spend]:
    """The transactions that no payout has which may count: one of a dead payout is as strange as a stranger's."""
    known = records.payouts.with_txid([each.txid for each in spends], dead=False)
    return [each for each in spends if each.txid not in known]


def adopted_before(records: Records, purse: Purse) -> Mapping[str, str | None]:
    """What the audit log says of the last time that people adopted a wallet, as it is now; nothing where never."""
    entry = records.last_acts(ADOPTED, {purse.wallet}).get(purse.wallet)
    facts = {} if entry is None else entry.act.facts
    return facts if (facts.get("chain"), facts.get("address")) == (purse.chain, purse.source) else {}


def watch_funds(shift: Shift, payouts: Sequence[Payout], survey: Survey) -> bool:
    """Whether the wallet holds less than what payouts that no block has are to pay from it: then it is frozen.

    Where places are coins, what waits in a pool is not held any more, and whoever takes a coin is found by that.

    Fees do not count: raising them may take what is left over. Nor does what was reserved a moment ago, since the node
    that answers now may be some blocks behind the one that answered then.
    """
    if FUNDS not in shift.paying.alarms.on or not shift.till.payer.in_order:
        return False
    with shift.paying.ledger.look() as records:
        since = records.now - shift.paying.bump
        waiting = [each for each in payouts if each.made_at <= since and isinstance(survey.seen.get(each.id), Absent)]
        found = records.payouts.withdrawals([item.withdrawal_id for each in waiting for item in each.items])
    reserved: dict[str | None, int] = {}
    assets: dict[str | None, Asset] = {}
    for withdrawal in found.values():
        asset = assets.setdefault(withdrawal.request.asset.contract, withdrawal.request.asset)
        reserved[asset.contract] = reserved.get(asset.contract, 0) + withdrawal.request.base_units
    short = [key for key, units in reserved.items() if survey.holds.get(key, units) < units]
    frozen = [_freeze_for_funds(shift, assets[key], survey.holds[key], reserved[key]) for key in short]
    return any(frozen)


def _freeze_for_funds(shift: Shift, asset: Asset, has: int, needs: int) -> bool:
    wallet = shift.till.wallet
    holds, reserved = (format_base_units(units, asset.decimals or 0) for units in (has, needs))
    reason = f"funds: {wallet} holds less {asset.symbol} than is reserved"
    with shift.paying.ledger.act() as records:
        frozen = freeze_wallet(records, wallet, reason, f": {holds} of {reserved}", RINGS_AGAIN)
    if frozen:
        said = f"{reason}: {holds} of {reserved}. It is frozen; see `cryptosupport reconcile`, or refill it"
        shift.errors.append(Refused(said, wallet=wallet, holds=holds, reserved=reserved))
    return frozen


def watch_unknown(shift: Shift, payouts: Iterable[Payout], survey: Survey) -> None:
    """Freeze the wallet where nodes that answer cannot tell what became of so many payouts in a row.

    What was sent once, and is not found, counts only after it was sent again: its answer may have been lost.
    """
    alarms, wallet = shift.paying.alarms, shift.till.wallet
    if UNKNOWN not in alarms.on:
        return
    for lost, run in groupby(payouts, lambda each: _is_lost(each, survey.seen.get(each.id))):
        row = list(run)
        if not lost or len(row) < alarms.unknown_in_a_row:
            continue
        reason = f"unknown: nobody can tell what became of payments of {wallet}, from payout {row[0].id} on"
        with shift.paying.ledger.act() as records:
            frozen = freeze_wallet(records, wallet, reason, f": {len(row)} in a row", RINGS_AGAIN)
        if frozen:
            said = f"{reason}: {len(row)} in a row. It is frozen; ask other nodes with `cryptosupport tx status`"
            shift.errors.append(Refused(said, wallet=wallet, payouts=len(row)))


def _is_lost(payout: Payout, seen: Seen | None) -> bool:
    return payout.step is Step.UNKNOWN and seen is not None and (payout.last.sent > 1 or not isinstance(seen, Absent))
