"""Payouts, attempts and leases: what paying knows and keeps, in the transaction of the withdrawals that it moves."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, and_, bindparam, delete, exists, func, insert, select, text, true, update
from sqlalchemy.exc import IntegrityError

from cryptosupport.domain.audit import Act
from cryptosupport.domain.errors import Locked, OutcomeUnknown, Tampered
from cryptosupport.domain.payouts import (
    LIVE,
    OVER,
    Attempt,
    Item,
    Kind,
    Link,
    Payout,
    Plan,
    Purse,
    Step,
    fee_share,
    is_coin,
)
from cryptosupport.domain.personal import Box
from cryptosupport.domain.withdrawals import PAYING, State, Withdrawal
from cryptosupport.ledger import rows, seals, tables
from cryptosupport.ledger.auditing import LogBook
from cryptosupport.ledger.seals import with_row
from cryptosupport.ledger.sums import chunks, upsert

_P, _I, _A, _W = tables.payout.c, tables.payout_item.c, tables.attempt.c, tables.withdrawal.c
_C = tables.payout_claim.c
_PAGE = 1000
_CLAIMS = msgspec.json.Decoder(tuple[str, ...])
_ITEMS = msgspec.json.Decoder(tuple[tuple[int, str, int], ...])
_LIVE = text(tables.LIVE)
_UNREADABLE: tuple[type[Exception], ...] = (*rows.UNREADABLE, Tampered)


def subject(payout: Payout) -> str:
    """What the audit log calls a payout; no request id has a blank in it."""
    return f"payout {payout.id}"


class SqlPayouts:
    """The payouts of one transaction (`domain.payouts.Payouts`), through ``connection``; ``log`` hears of them."""

    def __init__(self, connection: Connection, box: Box, log: Callable[[Sequence[Act]], None]) -> None:
        self._connection = connection
        self._box = box
        self._log = log

    # -- wallets and leases

    def purse(self, chain: str, source: str) -> Purse | None:
        """The wallet as it is bound to this ledger, None where it is not."""
        made = tables.purse.c
        query = select(tables.purse).where(made.chain == chain, made.source == source)
        row = self._connection.execute(query).mappings().one_or_none()
        return None if row is None else Purse(**row)

    def set_purse(self, purse: Purse, act: Act | None = None) -> None:
        """Record a wallet, its next place and its lease; leases alone are no ``act``."""
        values = {name: getattr(purse, name) for name in tables.purse.c.keys()}  # noqa: SIM118
        self._connection.execute(upsert(self._connection, tables.purse), [values])
        if act is not None:
            self._log([act])

    def fenced(self, lease: Purse) -> Purse:
        """The wallet as it stands, for whoever has its ``lease``. Raises `Locked` where another one has it by now."""
        now = self.purse(lease.chain, lease.source)
        if now is None or now.fence != lease.fence or now.holder != lease.holder:
            raise Locked(f"{lease.wallet}: another worker has taken over; this one stops", wallet=lease.wallet)
        return now

    # -- payouts

    @property
    def next_id(self) -> int:
        """The id that the next payout gets."""
        return (self._connection.scalar(select(func.max(_P.id))) or 0) + 1

    def sources(self) -> list[tuple[str, str]]:
        """The wallets that have payouts which may still move, as (chain, source)."""
        found = self._connection.execute(select(_P.chain, _P.source).where(_LIVE).distinct())
        return sorted((chain, source) for chain, source in found)

    def live(self, chain: str, source: str, steps: Collection[Step] = LIVE) -> list[Payout]:
        """The payouts of a wallet that may still move, or those at some ``steps``, the first one first.

        Raises `Tampered`.
        """
        query = select(tables.payout).where(_P.chain == chain, _P.source == source, _LIVE)
        if steps != LIVE:
            query = query.where(_P.step.in_(sorted(steps)))
        return self._payouts(query.order_by(_P.id))

    def of(self, withdrawal_id: int) -> list[Payout]:
        """All payouts that a withdrawal was ever in, the first one first. Raises `Tampered`."""
        ids = select(_I.payout_id).where(_I.withdrawal_id == withdrawal_id)
        return self._payouts(select(tables.payout).where(_P.id.in_(ids)).order_by(_P.id))

    def fees(self, withdrawal_ids: Sequence[int]) -> dict[int, int | None]:
        """What each of these bears of the fee of its last payout, in base units of the coin; None in no block."""
        query: Any = select(_I.withdrawal_id, _P.fee, _P["items"]).join(tables.payout, _P.id == _I.payout_id)
        query = query.order_by(_P.id)
        found: dict[int, int | None] = {}
        places: dict[str, dict[int, int]] = {}  # one payout may pay hundreds
        for some in chunks(withdrawal_ids):
            for row in self._connection.execute(query.where(_I.withdrawal_id.in_(some))):
                items = row._mapping["items"]
                if items not in places:
                    places[items] = {id: place for place, (id, *_) in enumerate(_ITEMS.decode(items))}
                members, id = places[items], row.withdrawal_id
                found[id] = None if row.fee is None else fee_share(row.fee, len(members), members[id])
        return found

    def after(self, chain: str, source: str, id: int, most: int) -> list[Payout]:
        """Up to ``most`` payouts of a wallet with ids beyond ``id``, in their order. Raises `Tampered`."""
        query = select(tables.payout).where(_P.chain == chain, _P.source == source, _P.id > id)
        return self._payouts(query.order_by(_P.id).limit(most))

    def withdrawals(self, ids: Sequence[int]) -> dict[int, Withdrawal]:
        """The withdrawals with these ids that there are. Raises `Tampered` for one that is not as the log has it."""
        found = []
        for some in chunks(ids):
            rows_of_some = self._connection.execute(rows.SELECT.where(_W.id.in_(some)))
            found += [rows.withdrawal_of(row, self._box) for row in rows_of_some]
        LogBook(self._connection, 0).sealed(found)
        return {each.id: each for each in found}

    def links(self, withdrawal_ids: Sequence[int]) -> list[Link]:
        """All payouts that these withdrawals are in."""
        query = select(_I.payout_id, _I.withdrawal_id, _I.live, _P.step).join(tables.payout, _P.id == _I.payout_id)
        found = []
        for some in chunks(withdrawal_ids):
            for row in self._connection.execute(query.where(_I.withdrawal_id.in_(some))):
                found.append(Link(row.payout_id, row.withdrawal_id, row.live, Step(row.step)))
        return found

    def claimed(self, chain: str, source: str, claims: Sequence[str]) -> dict[str, int]:
        """Which payouts have these claims, by claim."""
        query = select(_C.claim, _C.payout_id).where(_C.chain == chain, _C.source == source)
        found: dict[str, int] = {}
        for some in chunks(claims):
            for claim, payout_id in self._connection.execute(query.where(_C.claim.in_(some))):
                found[claim] = payout_id
        return found

    def unmatched(self, chain: str, wallet: str, state: State, id: int, most: int) -> list[tuple[int, str]]:
        """Up to ``most`` withdrawals of a wallet in ``state`` that no payout has brought there: id and request id.

        Those with ids beyond ``id``, in their order.
        """
        over = state.value in {each.value for each in OVER}
        fits = _P.step == state.value if over else and_(_I.live == true(), _LIVE)
        paid = select(_I.payout_id).join(tables.payout, _P.id == _I.payout_id).where(_I.withdrawal_id == _W.id, fits)
        bare = ~exists(paid.correlate(tables.withdrawal))
        query = select(_W.id, _W.request_id).where(_W.state == state, _W.id > id, bare)
        query = query.where(_W.chain == chain, _W.wallet == wallet).order_by(_W.id).limit(most)
        return [(row.id, row.request_id) for row in self._connection.execute(query)]

    def repeats(self, chain: str, wallet: str, within: int) -> Iterator[tuple[str, str]]:
        """Withdrawals that were paid, or are being paid, each with the one before it of the same customer, destination,
        asset and amount, which came less than ``within`` milliseconds earlier: both request ids.
        """
        same = _W.customer, _W.destination, _W.asset, _W.base_units
        earlier = func.lag(_W.request_id).over(partition_by=same, order_by=_W.id).label("earlier")
        then = func.lag(_W.created_at).over(partition_by=same, order_by=_W.id).label("then")
        of_wallet = _W.chain == chain, _W.wallet == wallet, _W.state.in_([*PAYING, State.FINAL])
        each = select(_W.id, _W.request_id, _W.created_at, earlier, then).where(*of_wallet).subquery()
        soon = each.c.created_at - each.c.then < within
        query = select(each.c.request_id, each.c.earlier).where(soon).order_by(each.c.id)
        for row in self._connection.execute(query, execution_options={"yield_per": _PAGE}):
            yield row.request_id, row.earlier

    def payable(self, chain: str, wallet: str | None, most: int, after: int = 0) -> list[Withdrawal]:
        """Up to ``most`` withdrawals with ids beyond ``after`` that ``wallet`` is to pay, the first one first."""
        states = (State.APPROVED, State.WAITING_LIQUIDITY)
        query = rows.SELECT.where(_W.state.in_(states), _W.chain == chain, _W.wallet == wallet, _W.id > after)
        found = self._connection.execute(query.order_by(_W.id).limit(most))
        return [rows.withdrawal_of(row, self._box) for row in found]

    def with_txid(self, txids: Sequence[str], *, dead: bool = True) -> dict[str, int]:
        """The ids of the payouts that have an attempt with one of these txids; ``dead``: those that are dead too."""
        found: dict[str, int] = {}
        query = select(_A.txid, _A.payout_id)
        if not dead:
            query = query.join(tables.payout, _P.id == _A.payout_id).where(_P.step != Step.DEAD)
        for some in chunks(txids):
            for txid, payout_id in self._connection.execute(query.where(_A.txid.in_(some))):
                found[txid] = payout_id
        return found

    def recorded_with(self, chain: str, txid: str) -> list[Withdrawal]:
        """The withdrawals on a chain that are recorded with a transaction. Raises `Tampered`."""
        query = select(_W.id).where(_W.txid == txid, _W.chain == chain).order_by(_W.id)
        return list(self.withdrawals(list(self._connection.scalars(query))).values())

    def add(self, payouts: Sequence[Payout]) -> None:
        """Record new payouts with their claims, items and attempts. Raises `OutcomeUnknown` where one claims what
        another has, or pays a withdrawal that another pays.
        """
        if not payouts:
            return
        execute = self._connection.execute
        try:
            execute(insert(tables.payout), [_values(each) for each in payouts])
            items = [(each, item) for each in payouts for item in each.items]
            claims = [(each, claim) for each in payouts for claim in each.claims]
            execute(
                insert(tables.payout_claim),
                [{"chain": it.chain, "source": it.source, "claim": claim, "payout_id": it.id} for it, claim in claims],
            )
            execute(
                insert(tables.payout_item),
                [{"payout_id": it.id, "withdrawal_id": item.withdrawal_id, "live": True} for it, item in items],
            )
            execute(insert(tables.attempt), [_attempt(it.id, each) for it in payouts for each in it.attempts])
        except IntegrityError as error:
            raise OutcomeUnknown(
                "another payout has this place, or pays this withdrawal: nothing was recorded; look at "
                "`cryptosupport reconcile`"
            ) from error
        self._log([_act(each) for each in payouts])

    def change(self, before: Payout, after: Payout, act: Act | None = None) -> None:
        """Record that ``before`` became ``after``, with its new attempts; ``act`` says who did it and why.

        The coins of one that is dead may be claimed by another from then on.

        Raises `OutcomeUnknown` when it is no longer as ``before`` has it (M6, D7).
        """
        the = {"the_id": before.id, "the_step": before.step, "the_time": before.updated_at, "the_fence": before.fence}
        if before.step in OVER or self._connection.execute(_CHANGE, the | _values(after)).rowcount != 1:
            raise _changed_meanwhile(before)
        known = {each.number: each for each in before.attempts}
        for each in after.attempts:
            if each.number not in known:
                self._connection.execute(insert(tables.attempt), _attempt(after.id, each))
            elif known[each.number] != each:
                the = {"the_payout": after.id, "the_number": each.number}
                if self._connection.execute(_CHANGE_ATTEMPT, the | _attempt(after.id, each)).rowcount != 1:
                    raise _changed_meanwhile(before)
        if after.step in OVER:  # its withdrawals may be in another one
            self._connection.execute(_RELEASE, {"the_payout": after.id, "live": False})
        if after.step is Step.DEAD:
            self._release(after)
        self._log([_act(after, act)])

    def _release(self, payout: Payout) -> None:
        """Let others claim the coins of a payout."""
        whose = _C.payout_id == payout.id, _C.chain == payout.chain, _C.source == payout.source
        for some in chunks([claim for claim in payout.claims if is_coin(claim)]):
            self._connection.execute(delete(tables.payout_claim).where(*whose, _C.claim.in_(some)))

    def _payouts(self, query: Any) -> list[Payout]:
        found_rows = self._connection.execute(query).all()
        attempts: dict[int, list[Attempt]] = {}
        for some in chunks([row.id for row in found_rows]):
            found = select(tables.attempt).where(_A.payout_id.in_(some)).order_by(_A.payout_id, _A.number)
            for row in self._connection.execute(found):
                attempts.setdefault(row.payout_id, []).append(_read(_attempt_of, row))
        payouts = [_read(_payout_of, row, tuple(attempts.get(row.id, ()))) for row in found_rows]
        self._as_logged(payouts)
        return payouts

    def _as_logged(self, payouts: Iterable[Payout]) -> None:
        for some in chunks(payouts):
            said = seals.last_rows(self._connection, tables.payout, [subject(each) for each in some])
            for each in some:
                if said.get(subject(each)) != seals.digest_of(tables.payout, _values(each), contents_of(each)):
                    raise seals.tampered(f"the {subject(each)}, which pays {_named(each)},")


def _changed_meanwhile(payout: Payout) -> OutcomeUnknown:
    return OutcomeUnknown(f"{subject(payout)} was changed by somebody else meanwhile: look at it again")


# Made once: to put a statement together takes as long as to execute it. What is set follows from the values.
_CHANGE = update(tables.payout).where(
    _P.id == bindparam("the_id"),
    _P.step == bindparam("the_step"),
    _P.updated_at == bindparam("the_time"),
    _P.fence == bindparam("the_fence"),
)
_CHANGE_ATTEMPT = update(tables.attempt).where(
    _A.payout_id == bindparam("the_payout"), _A.number == bindparam("the_number")
)
_RELEASE = update(tables.payout_item).where(_I.payout_id == bindparam("the_payout"))


def contents_of(payout: Payout) -> str:
    """The attempts, for the digest of a payout."""
    return "\n".join(seals.digest_of(tables.attempt, _attempt(payout.id, each)) for each in payout.attempts)


def contents_by_id(connection: Connection, payout_id: int) -> str:
    """The same of a payout by its id, as its attempts stand there."""
    query = select(tables.attempt).where(_A.payout_id == payout_id).order_by(_A.number)
    found = connection.execute(query).mappings()
    return "\n".join(seals.digest_of(tables.attempt, row) for row in found)


def _named(payout: Payout) -> str:
    return ", ".join(item.request_id for item in payout.items[:3])


def _act(payout: Payout, act: Act | None = None) -> Act:
    told = Act(f"payout.{payout.step}", subject(payout)) if act is None else act
    last = payout.attempts[-1] if payout.attempts else None
    facts = {"requests": _named(payout), "claims": " ".join(payout.claims[:20]), "fence": str(payout.fence)}
    if last is not None:
        facts |= {"attempt": f"{last.number} {last.kind}", "txid": last.txid or "", "said": last.said or ""}
    act = replace(told, subject=subject(payout), facts={**facts, **told.facts})
    return with_row(act, tables.payout, _values(payout), contents_of(payout))


def _values(payout: Payout) -> dict[str, Any]:
    height, block = payout.block or (None, None)
    return {
        **{name: getattr(payout, name) for name in ("id", "chain", "wallet", "source", "fence", "made_at")},
        "updated_at": payout.updated_at,
        "claims": msgspec.json.encode(payout.claims).decode(),
        "items": msgspec.json.encode([(it.withdrawal_id, it.request_id, it.place) for it in payout.items]).decode(),
        "step": payout.step.value,
        "height": height,
        "block": block,
        "counts": payout.counts,
        "fee": payout.fee,
    }


def _attempt(payout_id: int, it: Attempt) -> dict[str, Any]:
    names = ("number", "made_at", "raw", "txid", "signed_at", "sent", "sent_at", "said")
    values = {name: getattr(it, name) for name in names}
    return values | {"payout_id": payout_id, "kind": it.kind.value, "plan": it.plan.text, "max_fee": it.plan.max_fee}


def _attempt_of(row: Row[Any]) -> Attempt:
    it = dict(row._mapping)
    del it["payout_id"]
    return Attempt(kind=Kind(it.pop("kind")), plan=Plan(it.pop("plan"), it.pop("max_fee")), **it)


def _payout_of(row: Row[Any], attempts: tuple[Attempt, ...]) -> Payout:
    it = dict(row._mapping)
    height, block = it.pop("height"), it.pop("block")
    it["claims"] = _CLAIMS.decode(it["claims"])
    it["items"] = tuple(Item(*each) for each in _ITEMS.decode(it["items"]))
    it["step"] = Step(it["step"])
    return Payout(**it, attempts=attempts, block=None if height is None else (height, block))


def _read(reader: Callable[..., Any], row: Row[Any], *rest: Any) -> Any:
    try:
        return reader(row, *rest)
    except _UNREADABLE as error:
        raise seals.tampered("a payout") from error
