"""Have a signer forget the place of withdrawals, with the chain's proof that nothing of it can count any more (M2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cryptosupport.domain.errors import NoSuchRecord, OutcomeUnknown, Refused, SupportError, Unreachable
from cryptosupport.domain.paying import Payer
from cryptosupport.domain.payouts import Attempt, Kind, Mined, Payout, Plan, Step, Taken, is_coin
from cryptosupport.domain.withdrawal_record import moment


class Memory(Protocol):
    """What a signer has signed."""

    def claims_with(self, chain: str, source: str, claim: str) -> list[tuple[str, ...]]:
        """All claims that payments were signed with and that this one is of, the first ones first."""

    def signed_with(self, chain: str, source: str, claims: tuple[str, ...]) -> list[tuple[Kind, str]]:
        """The transactions that were signed with these claims: kind and txid, "" for one that was asked for elsewhere
        just before.
        """

    def ids_with(self, chain: str, source: str, claims: tuple[str, ...]) -> tuple[str, ...]:
        """The request ids of the withdrawals that were signed for with exactly these claims."""

    def paid_by(self, chain: str, source: str, txid: str) -> tuple[str, ...]:
        """The request ids of what a transaction that was signed here pays; none for any other."""

    def retire(self, chain: str, source: str, claims: tuple[str, ...], proof: str, at: int) -> tuple[str, ...]:
        """Record that nothing that has these claims can count any more; the request ids of its withdrawals."""


@dataclass(frozen=True, slots=True)
class Retired:
    """The withdrawals that may get another ``place``; ``by`` are the transactions that have theirs, each in a final
    block. ``at`` is milliseconds.
    """

    wallet: str
    place: str
    by: tuple[str, ...]
    request_ids: tuple[str, ...]
    at: int


def retire(memory: Memory, payer: Payer, chain: str, wallet: str, place: str, at: int) -> Retired:
    """Let the withdrawals that were signed for at ``place`` (a nonce, or a coin as "txid:vout") have another one.

    A coin may have been signed for more than once: then those of its payments that are dead are let go, and the others
    are left alone. Raises `NoSuchRecord` where nothing was signed with it, `Refused` where a transaction of ours has it
    or still may, `OutcomeUnknown` where nodes contradict each other, `Unreachable` where too few answer.
    """
    found = memory.claims_with(chain, payer.source, place)
    if not found:
        raise NoSuchRecord(f"nothing was signed with {_words(place)} of {wallet}", wallet=wallet)
    by, names, kept = list[str](), list[str](), list[SupportError]()
    for claims in found:
        try:
            taker = _taker(memory, payer, chain, wallet, place, claims)
        except (Refused, OutcomeUnknown) as error:
            kept.append(error)
            continue
        has = f"{_words(place)} of" if len(claims) == 1 else f"one of {', '.join(claims)} of"
        proof = f"{taker} has {has} {payer.source} on {chain}, in a final block at {moment(at)}"
        names += memory.retire(chain, payer.source, claims, proof, at)
        by.append(taker)
    if not by:
        raise kept[0]
    return Retired(wallet, place, tuple(dict.fromkeys(by)), tuple(dict.fromkeys(names)), at)


def _taker(memory: Memory, payer: Payer, chain: str, wallet: str, place: str, claims: tuple[str, ...]) -> str:
    """The transaction that has one of these claims for good, and was not signed with them."""
    signed = memory.signed_with(chain, payer.source, claims)
    by = _taken_by(payer, wallet, place, _as_payout(chain, wallet, payer.source, claims, signed))
    # A former payment of the same withdrawal, dead and given up, comes back where a chain takes back what was final.
    paid = set(memory.paid_by(chain, payer.source, by)) & set(memory.ids_with(chain, payer.source, claims))
    if paid or by in {txid for _, txid in signed}:
        raise Refused(f"{by} has {_words(place)} of {wallet}, and was signed here: what it paid is paid", txid=by)
    answers = [txid for _, txid in signed[1:]] + [""]
    if any(not txid and not answer for (_, txid), answer in zip(signed, answers, strict=True)):
        raise Refused(
            f"a signature for {_words(place)} of {wallet} was asked for, and its answer was lost: {by} may be that "
            "one. See what it paid (`cryptosupport tx explain`)",
            txid=by,
        )
    return by


def _taken_by(payer: Payer, wallet: str, place: str, payout: Payout) -> str:
    """The other transaction that has the place, for good."""
    survey = payer.survey([payout])
    seen, why = survey.seen.get(payout.id), "; ".join(survey.troubles)
    match seen:
        case None:
            raise Unreachable(f"nobody can be asked who has {_words(place)} of {wallet}: {why}")
        case Taken(by=by, final=True) if by is not None:
            return by
        case Mined(number=number):
            txid = next(each.txid for each in payout.attempts if each.number == number)
            raise Refused(
                f"{_words(place)} of {wallet} is not lost: {txid}, a transaction that was signed here has it: what it "
                "paid is paid",
                txid=txid,
            )
        case Taken():
            raise OutcomeUnknown(f"{_words(place)} of {wallet} is used, and it is not certain yet by what: {why}")
        case _:
            raise Refused(
                f"{_words(place)} of {wallet} is not lost: a transaction that was signed here has it, or may still get "
                "it. See `cryptosupport withdraw explain`; `cryptosupport withdraw kill` takes it back",
                wallet=wallet,
            )


def _words(place: str) -> str:
    return f"coin {place}" if is_coin(place) else f"nonce {place}"


def _as_payout(
    chain: str, wallet: str, source: str, claims: tuple[str, ...], signed: Sequence[tuple[Kind, str]]
) -> Payout:
    """All that was signed with these claims, as nodes are asked about it."""
    known = [(kind, txid) for kind, txid in signed if txid]
    attempts = tuple(Attempt(number, kind, Plan("", 0), 0, b"", txid) for number, (kind, txid) in enumerate(known, 1))
    return Payout(1, chain, wallet, source, claims, (), Step.BROADCAST, 0, 0, 0, attempts)


def retired_record(retired: Retired) -> dict[str, Any]:
    """What came of it, as a record."""
    return {
        "wallet": retired.wallet,
        "nonce": None if is_coin(retired.place) else int(retired.place),
        "coin": retired.place if is_coin(retired.place) else None,
        "taken_by": ", ".join(retired.by),
        "request_ids": list(retired.request_ids),
        "retired_at": moment(retired.at),
    }
