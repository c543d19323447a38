"""Hold payouts against their withdrawals, against the tables that keep them apart, and against what the chain has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cryptosupport.domain.books import Records
from cryptosupport.domain.errors import Refused
from cryptosupport.domain.findings import Finding
from cryptosupport.domain.paying import Decoded, Payer, Survey
from cryptosupport.domain.payouts import (
    OVER,
    Absent,
    Attempt,
    Kind,
    Link,
    Mined,
    Payout,
    Seen,
    Step,
    Taken,
    Unclear,
    is_coin,
)
from cryptosupport.domain.withdrawals import State, Withdrawal


@dataclass(frozen=True, slots=True)
class Page:
    """Some payouts of a wallet, and what the ledger has of their withdrawals, all at one moment."""

    payouts: list[Payout]
    withdrawals: dict[int, Withdrawal]
    links: dict[int, list[Link]]
    claimed: dict[str, int]


@dataclass(frozen=True, slots=True)
class Spent:
    """What a payout took from the wallet, by contract (None: the coin), in the block at ``height``."""

    height: int
    base_units: Mapping[str | None, int]


@dataclass(frozen=True, slots=True)
class Pending:
    """The most that a payout may still take from the wallet: a node that is a little ahead may show it as taken."""

    base_units: Mapping[str | None, int]


def read_page(records: Records, chain: str, source: str, after: int, most: int) -> Page:
    """The next payouts of a wallet. Raises `Tampered`."""
    payouts = records.payouts.after(chain, source, after, most)
    ids = sorted({item.withdrawal_id for each in payouts for item in each.items})
    links: dict[int, list[Link]] = {}
    for link in records.payouts.links(ids):
        links.setdefault(link.withdrawal_id, []).append(link)
    claims = [claim for each in payouts for claim in each.claims]
    return Page(payouts, records.payouts.withdrawals(ids), links, records.payouts.claimed(chain, source, claims))


# -- the ledger against itself ---------------------------------------------------------------------------------------


def hold_against_ledger(page: Page) -> Iterator[Finding]:
    """What is wrong with payouts by the ledger alone."""
    for payout in page.payouts:
        for claim in payout.claims:
            free = payout.step is Step.DEAD and is_coin(claim)  # another payout may have it by now
            if page.claimed.get(claim) != payout.id and not free:
                yield _finding(payout, "claim", f"nothing keeps its place {claim} from being given to another payout")
        for item in payout.items:
            withdrawal = page.withdrawals.get(item.withdrawal_id)
            if withdrawal is None or withdrawal.request.request_id != item.request_id:
                yield _finding(payout, "missing", f"pays {item.request_id}, which is not in the ledger")
            else:
                yield from _hold_withdrawal(payout, withdrawal, page.links.get(withdrawal.id, []))


def _hold_withdrawal(payout: Payout, withdrawal: Withdrawal, links: Sequence[Link]) -> Iterator[Finding]:
    name = withdrawal.request.request_id
    alive = payout.step not in OVER
    if [link.live for link in links if link.payout_id == payout.id] != [alive]:
        yield _finding(payout, "link", f"nothing keeps {name}, which it pays, from being in another payout")
    others = [link for link in links if link.payout_id != payout.id and (link.live or link.step is Step.FINAL)]
    if others and (alive or payout.step is Step.FINAL):
        told = ", ".join(str(link.payout_id) for link in others)
        yield _finding(payout, "double", f"pays {name}, which payout {told} paid, or may still pay")
    if payout.step is Step.DEAD:
        held = withdrawal.state is State.HELD
        what = f"is held because of it: find out who made it, and then release or reject {name}" if held else "went on"
        who = "a transaction that is not of this ledger has its place"
        yield _finding(payout, "taken" if held else "explained", f"{who}; {name} {what}")
    elif payout.step is Step.CANCELLED and withdrawal.state is State.HELD:
        return  # it pays nothing, and a sanctions list keeps the withdrawal from being cancelled
    elif withdrawal.state is not payout.state:
        stands = f"is {payout.step.value}, and {name}, which it pays, is {withdrawal.state.value}"
        yield _finding(payout, "state", stands)
    elif payout.step is Step.FINAL and withdrawal.txid != _counting(payout, payout.counts).txid:
        yield _finding(payout, "state", f"paid {name} by another transaction than that says ({withdrawal.txid})")


# -- the ledger against the chain ------------------------------------------------------------------------------------


def hold_against_chain(page: Page, survey: Survey, payer: Payer) -> Iterator[Finding | Spent | Pending]:
    """What is wrong with payouts by what nodes say of them, and what each took from the wallet, or may take."""
    why = "; ".join(survey.troubles) or "no node says anything of it"
    for payout in page.payouts:
        seen = survey.seen.get(payout.id)
        if seen is None:
            yield _finding(payout, "unreachable", f"nobody can be asked what became of it: {why}")
            continue
        said = list(_hold_seen(payout, seen, why))
        yield from said
        if isinstance(seen, Mined):
            yield from _hold_mined(payout, seen, page, payer)
        elif not said and payout.step not in OVER:
            yield from _hold_bytes(payout, page, payer)
            yield _pending(payout, page)


def _hold_seen(payout: Payout, seen: Seen, why: str) -> Iterator[Finding]:
    """What the chain says, against where the ledger says that it stands."""
    over = payout.step in OVER
    match seen:
        case Unclear(why=words):
            yield _finding(payout, "disagree", f"nobody can tell what became of it: {words}")
        case Mined(final=False) if over:
            yield _finding(payout, "unknown", f"is {payout.step.value} here, and not yet, or no longer, there: {why}")
        case Mined() if over:
            yield from _hold_final(payout, seen)
        case Absent() if over:
            yield _finding(payout, "vanished", f"is {payout.step.value} here, and its place is not used on the chain")
        case Taken(by=by, final=True) if over and payout.step is not Step.DEAD and by is not None:
            yield _finding(payout, "vanished", f"is {payout.step.value} here, and {by} has its place on the chain")
        case Taken() if payout.step is not Step.DEAD:
            yield _finding(payout, "unknown", "its place is used, and no node has any of its transactions")
        case _ if payout.step is Step.UNKNOWN:
            yield _finding(payout, "unknown", "nobody could tell yet what became of it: the next run asks again")
        case _:
            return


def _hold_final(payout: Payout, seen: Mined) -> Iterator[Finding]:
    """What is final on both sides has to be the same."""
    kind = _counting(payout, seen.number).kind
    there = Step.CANCELLED if kind is Kind.CANCEL else Step.FINAL if seen.ok else Step.REVERTED
    if there is not payout.step:
        yield _finding(payout, "vanished", f"is {payout.step.value} here, and {there.value} on the chain")
        return
    facts = {
        "attempt": (payout.counts, seen.number),
        "block": (payout.block, (seen.height, seen.block_hash)),
        "fee": (payout.fee, seen.fee),
    }
    for name, (here, on_chain) in facts.items():
        if here != on_chain:
            yield _finding(payout, "differs", f"{name}: {here} here, {on_chain} on the chain")


def _hold_mined(payout: Payout, seen: Mined, page: Page, payer: Payer) -> Iterator[Finding | Spent]:
    counting = _counting(payout, seen.number)
    does = _read(payer, counting)
    wrong = "has no bytes, and a block has them" if does is None else _wrong(payout, counting, does, page)
    if wrong is not None:
        yield _finding(payout, "bytes", wrong)
    spent: dict[str | None, int] = {None: seen.fee}
    if seen.ok and wrong is None and isinstance(does, Decoded):
        for _, contract, base_units in _paid(payout, does):
            spent[contract or None] = spent.get(contract or None, 0) + base_units
    yield Spent(seen.height, spent)


def _hold_bytes(payout: Payout, page: Page, payer: Payer) -> Iterator[Finding]:
    """All signed bytes of a payout against what its withdrawals ask."""
    for attempt in payout.attempts:
        if (wrong := _wrong(payout, attempt, _read(payer, attempt), page)) is not None:
            yield _finding(payout, "bytes", wrong)


def _read(payer: Payer, attempt: Attempt) -> Decoded | Refused | None:
    """What the bytes of an attempt do, or why nobody can tell; None for one that is not signed."""
    try:
        return None if attempt.raw is None else payer.contents(attempt.raw)
    except Refused as refusal:
        return refusal


def _wrong(payout: Payout, attempt: Attempt, does: Decoded | Refused | None, page: Page) -> str | None:
    """What is wrong with what the bytes of an attempt do."""
    if does is None:
        return None
    if isinstance(does, Refused):
        return f"attempt {attempt.number}: {does.message}"
    if (does.txid, does.claims) != (attempt.txid, payout.claims):
        return f"attempt {attempt.number}: its bytes are another transaction's"
    there = page.withdrawals
    asked = [there[item.withdrawal_id].request for item in payout.items if item.withdrawal_id in there]
    wanted = sorted((each.destination, each.asset.contract or "", each.base_units) for each in asked)
    if _paid(payout, does) != ([] if attempt.kind is Kind.CANCEL else wanted):
        return f"attempt {attempt.number} pays something else than was asked"
    return None


def _pending(payout: Payout, page: Page) -> Pending:
    most: dict[str | None, int] = {None: max(each.plan.max_fee for each in payout.attempts)}
    for item in payout.items:
        if item.withdrawal_id in page.withdrawals:
            request = page.withdrawals[item.withdrawal_id].request
            most[request.asset.contract] = most.get(request.asset.contract, 0) + request.base_units
    return Pending(most)


def _paid(payout: Payout, does: Decoded) -> list[tuple[str, str, int]]:
    """What bytes pay to others: destination, contract ("" for the coin), base units."""
    others = (each for each in does.pays if each.destination != payout.source)
    return sorted((each.destination, each.contract or "", each.base_units) for each in others)


def _counting(payout: Payout, number: int | None) -> Attempt:
    return next((each for each in payout.attempts if each.number == number), payout.last)


def _finding(payout: Payout, kind: str, what: str) -> Finding:
    names = ", ".join(item.request_id for item in payout.items[:3])
    return Finding(payout.wallet, kind, f"payout {payout.id}", f"payout {payout.id} ({names}) {what}")
