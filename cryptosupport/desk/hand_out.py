"""Sign what is reserved, store the bytes, and only then give them to nodes (M4): the same for bumps and cancels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cryptosupport.desk.approve import findings
from cryptosupport.desk.cases import Incoming, ask_ahead
from cryptosupport.desk.freeze import refusal
from cryptosupport.desk.guards import Guards
from cryptosupport.desk.settle import move_all
from cryptosupport.desk.till import Shift
from cryptosupport.domain.errors import Frozen, Refused, SupportError, Tampered, Unsigned, Waits
from cryptosupport.domain.paying import Decoded, Order, Sent
from cryptosupport.domain.payouts import Attempt, Kind, Payout, Step
from cryptosupport.domain.statements import Signed
from cryptosupport.domain.withdrawals import Withdrawal, intent

APPROVE = "approve"


def sign(shift: Shift, payouts: Sequence[Payout]) -> list[Payout]:
    """Have the last attempt of each payout signed where it is not, and store the bytes; all payouts as they are now.

    What is frozen, or stopped by a list of today, is not signed; what the signer refuses, or waits for itself, stays
    reserved, and is told.
    Raises `Locked`, `Unreachable`.
    """
    bare = [each for each in payouts if each.last.raw is None]
    if not bare:
        return list(payouts)
    done: dict[int, Payout] = {}
    allowed = _allowed(shift, bare)
    with shift.paying.ledger.look() as records:
        ledger_id = records.ledger_id
    orders = [_order(shift, ledger_id, *each) for each in allowed]
    for (payout, withdrawals, _), raw in zip(allowed, shift.till.signer.sign_all(orders), strict=True):
        try:
            done[payout.id] = _signed(shift, payout, withdrawals, raw)
        except (Refused, Unsigned) as error:
            shift.errors.append(error)
            if not isinstance(error, (Frozen, Unsigned)):  # that ends with the freeze, or with a signature
                shift.refused.add(payout.id)
    paying = shift.paying
    with paying.ledger.write(paying.premises.judge) as books:
        purse = books.records.payouts.fenced(shift.lease)
        books.records.payouts.set_purse(shift.renewed(purse, books.now))
        by_id = {each.id: each for each in bare}
        stamped = [each.with_attempt(replace(each.last, signed_at=books.now)) for each in done.values()]
        done = {each.id: each for each in move_all(shift, books, [(by_id[each.id], each) for each in stamped])}
    return [done.get(each.id, each) for each in payouts]


def _order(
    shift: Shift, ledger_id: str, payout: Payout, withdrawals: tuple[Withdrawal, ...], statements: tuple[Signed, ...]
) -> Order:
    """What the signer is asked for."""
    return Order(
        ledger_id, payout.chain, payout.wallet, payout.source, payout.claims, payout.last.kind, payout.last.plan,
        withdrawals, statements, tuple(each.version for each in shift.paying.versions),
    )  # fmt: skip


def _signed(
    shift: Shift, payout: Payout, withdrawals: tuple[Withdrawal, ...], raw: bytes | Refused | Unsigned
) -> Payout:
    """The payout with signed bytes that do what was asked, as a second decoder reads them (M50). Raises `Refused`,
    `Unsigned`.
    """
    if isinstance(raw, (Refused, Unsigned)):
        raise raw
    decoded = shift.till.payer.read(raw)
    check_bytes(payout, payout.last, withdrawals, decoded)
    step = Step.SIGNED if payout.step is Step.RESERVED else payout.step
    return replace(payout.with_attempt(replace(payout.last, raw=raw, txid=decoded.txid)), step=step)


def check_bytes(payout: Payout, attempt: Attempt, withdrawals: Sequence[Withdrawal], decoded: Decoded) -> None:
    """Raise `Refused` unless signed bytes pay exactly what the withdrawals ask, from this wallet, at this place."""
    wanted = sorted(
        (each.request.destination, each.request.asset.contract or "", each.request.base_units) for each in withdrawals
    )
    others = sorted(
        (each.destination, each.contract or "", each.base_units)
        for each in decoded.pays
        if each.destination != payout.source
    )
    if attempt.kind is Kind.CANCEL:
        wanted = []
    whose = (decoded.source, decoded.claims)
    if whose != (payout.source, payout.claims) or others != wanted or decoded.max_fee > attempt.plan.max_fee:
        raise Refused(
            f"payout {payout.id}: the bytes that were signed do something else than was asked: they are not sent. Find "
            "out what the signer or the ledger was changed to",
            payout=payout.id,
        )


def _allowed(
    shift: Shift, payouts: Sequence[Payout]
) -> list[tuple[Payout, tuple[Withdrawal, ...], tuple[Signed, ...]]]:
    """The payouts that may be signed and sent now, each with its withdrawals and what people signed about them."""
    paying = shift.paying
    guarding = paying.premises.guarding
    _ask_ahead(shift, payouts)
    allowed = []
    with paying.ledger.write(paying.premises.judge) as books:
        found = books.find([item.request_id for each in payouts for item in each.items])
        books.sealed(list(found.values()))
        guards = Guards(guarding, books.records, [each.request.customer for each in found.values()])
        for each in payouts:
            gone = [item.request_id for item in each.items if item.request_id not in found]
            if gone:
                raise Tampered(f"{gone[0]}, which payout {each.id} pays, is gone from the database: pay nothing")
            withdrawals = tuple(found[item.request_id] for item in each.items)
            if each.last.kind is Kind.PAY and any(_is_stopped(shift, it, guards) for it in withdrawals):
                continue
            subjects = {intent(it, version.version) for it in withdrawals for version in paying.versions}
            said = (signed for one in sorted(subjects) for signed in books.records.statements(APPROVE, one))
            allowed.append((each, withdrawals, tuple(said)))
    return allowed


def _ask_ahead(shift: Shift, payouts: Sequence[Payout]) -> None:
    """Ask outside about what is to be paid, before the transaction; what was answered in this run is kept."""
    premises = shift.paying.premises
    if not premises.guarding.asks:
        return
    with shift.paying.ledger.look() as records:
        ids = [item.withdrawal_id for each in payouts if each.last.kind is Kind.PAY for item in each.items]
        found = records.payouts.withdrawals(ids)
    ask_ahead([Incoming(each.request, each.source, each) for each in found.values()], premises)


def _is_stopped(shift: Shift, withdrawal: Withdrawal, guards: Guards) -> bool:
    """Whether a freeze, or what screening finds today, keeps a withdrawal from being signed for or sent (M28, M35)."""
    name = withdrawal.request.request_id
    if (frozen := refusal(guards.freezes, withdrawal.booking, name)) is not None:
        shift.errors.append(Waits(f"{frozen.message}; what is signed already is not sent"))
        return True
    found = findings(guards, withdrawal)
    if not found:
        return False
    told = "; ".join(dict.fromkeys(each.reason for each in found))
    if all(each.unknown for each in found):
        shift.errors.append(Waits(f"{name} is not paid now: {told}"))
    else:
        said = (
            f"{name} is not paid: {told}. It keeps its place, and what came later waits behind it: let compliance "
            f"look, and take the place back with `cryptosupport withdraw kill {name}`"
        )
        shift.errors.append(Refused(said, wallet=shift.till.wallet, request_id=name))
    return True


def send(shift: Shift, payouts: Sequence[Payout]) -> list[Payout]:
    """Give the last signed attempt of each payout to the nodes, in the order of their places; all as they are now.

    What is frozen at this moment, or stopped by a list, is not sent (M28, M35). Raises `Locked`, `Tampered`.
    """
    ready = [each for each in payouts if each.outgoing is not None]
    if not ready:
        return list(payouts)
    allowed = _allowed(shift, ready)
    sound: list[Payout] = []
    raws: list[bytes] = []
    for payout, withdrawals, _ in allowed:
        attempt = payout.outgoing
        assert attempt is not None
        assert attempt.raw is not None
        try:
            check_bytes(payout, attempt, withdrawals, shift.till.payer.read(attempt.raw))
        except SupportError as error:  # whoever changed the bytes in the database does not get them out
            shift.errors.append(error)
        else:
            sound.append(payout)
            raws.append(attempt.raw)
    answers = shift.till.payer.send(raws) if raws else []
    paying = shift.paying
    with paying.ledger.write(paying.premises.judge) as books:
        purse = books.records.payouts.fenced(shift.lease)
        books.records.payouts.set_purse(shift.renewed(purse, books.now))
        moves = [(before, _sent(before, sent, books.now)) for before, sent in zip(sound, answers, strict=True)]
        done = {each.id: each for each in move_all(shift, books, moves)}
        for before, sent in zip(sound, answers, strict=True):
            if sent.taken is False:
                names = ", ".join(item.request_id for item in before.items)
                shift.errors.append(Waits(f"{names} is sent, and no node takes it: {sent.said}"))
    return [done.get(each.id, each) for each in payouts]


def _sent(payout: Payout, sent: Sent, now: int) -> Payout:
    given = payout.outgoing or payout.last
    attempt = replace(given, sent=given.sent + 1, sent_at=now, said=sent.said[:500])
    step = payout.step
    if sent.taken:
        step = Step.CONFIRMING if step is Step.CONFIRMING else Step.BROADCAST
    elif sent.taken is None and step is Step.SIGNED:
        step = Step.UNKNOWN
    return replace(payout.with_attempt(attempt), step=step)
