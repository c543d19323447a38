"""Wallets that this ledger pays from: bound to it once, and leased to one worker at a time (M8, B13)."""

from __future__ import annotations

from dataclasses import replace

from cryptosupport.desk.till import Paying, Shift, Till
from cryptosupport.desk.watch_wallet import freeze_wallet
from cryptosupport.domain.adoption import ADOPTED, SIGNER_HEAD
from cryptosupport.domain.audit import Act, Head
from cryptosupport.domain.books import Records
from cryptosupport.domain.errors import Locked, Refused, SupportError
from cryptosupport.domain.payouts import Purse

BOUND = "wallet.bound"
"""What the audit log calls a wallet that is paid from for the first time."""


def begin(paying: Paying, till: Till) -> Shift:
    """Take the lease of a wallet; one that has never sent anything is bound to this ledger first.

    Raises `Locked` while another worker has it, `Refused` for a wallet with a history that this ledger does not know,
    `BadSettings` for one whose address is not that of its key, and `NodesFailed`.
    """
    source = till.payer.source
    with paying.ledger.look() as records:
        known = records.payouts.purse(till.chain, source) is not None
    if not known:  # what is reserved for a wallet that nobody can sign for would stay so for ever
        till.signer.check_key()
    used = 0 if known else till.payer.survey(()).pending
    if used:
        raise Refused(
            f"{till.wallet} has sent {used} transactions that this ledger does not know: is it an old backup, or the "
            f"wallet of another desk? If it is right, two people run `cryptosupport wallet adopt {till.wallet}`",
            wallet=till.wallet,
            sent=used,
        )
    with paying.ledger.act() as records:
        purse = records.payouts.purse(till.chain, source)
        if purse is None:
            purse = Purse(till.chain, source, till.wallet, 0, 0)
            records.payouts.set_purse(purse, Act(BOUND, till.wallet, facts={"chain": till.chain, "source": source}))
        leased = purse.leased(paying.holder, records.now, paying.lasts, paying.gone)
        if leased is None:
            raise Locked(f"{till.wallet}: another worker pays from it", wallet=till.wallet, holder=purse.holder)
        records.payouts.set_purse(leased)
    shift = Shift(paying, till, leased)
    try:
        _refuse_restored(shift)
    except SupportError:  # such as a signer that is down: the next worker need not wait for the lease to run out
        end(shift)
        raise
    return shift


def _refuse_restored(shift: Shift) -> None:
    """Raise `Refused`, and freeze the wallet, where the signer knows of more than this ledger: it is a copy of before
    (B13).

    The signer remembers what it signed for, and how far the audit log had come: what was cancelled or rejected since
    has no place, but an entry.
    """
    signer, wallet = shift.till.signer, shift.till.wallet
    mark = signer.high_water()
    with shift.paying.ledger.look() as records:
        ledger_id = records.ledger_id
    known = signer.head(ledger_id)
    with shift.paying.ledger.look() as records:  # as it is after that: another worker may have told of newer entries
        head = records.log_head
        gone = known is not None and known.number > 0 and records.log_hash(known.number) != known.hash
        gone = gone and not _is_explained(records, wallet, known)
    if not gone and (mark.highest is None or mark.highest < shift.lease.place):
        signer.keep_head(ledger_id, head)
        return
    knows = f"entry {known.number} of its log" if known is not None and gone else f"a payment at place {mark.highest}"
    reason = f"restored: the signer of {wallet} knows of {knows}, and this ledger does not: it is an older copy"
    with shift.paying.ledger.act() as records:
        freeze_wallet(records, wallet, reason)
    raise Refused(f"{reason}. {wallet} is frozen, and pays nothing", wallet=wallet, place=shift.lease.place)


def _is_explained(records: Records, wallet: str, known: Head | None) -> bool:
    """Whether two people adopted the wallet knowing that the signer knows of this: its memory only grows."""
    adopted = records.last_acts(ADOPTED, {wallet}).get(wallet)
    return adopted is not None and known is not None and adopted.act.facts.get(SIGNER_HEAD) == known.text


def end(shift: Shift) -> None:
    """Give the lease back, if it is still ours: the next worker need not wait for it to run out."""
    with shift.paying.ledger.act() as records:
        purse = records.payouts.purse(shift.lease.chain, shift.lease.source)
        if purse is not None and (purse.fence, purse.holder) == (shift.lease.fence, shift.lease.holder):
            records.payouts.set_purse(replace(purse, until=0))
