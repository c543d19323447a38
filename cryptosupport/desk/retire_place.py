"""Have a signer forget the place of withdrawals, with the chain's proof that nothing of it can count any more (M2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cryptosupport.domain.errors import NoSuchRecord, OutcomeUnknown, Refused, Unreachable
from cryptosupport.domain.paying import Payer
from cryptosupport.domain.payouts import Attempt, Kind, Payout, Plan, Step, Taken
from cryptosupport.domain.withdrawal_record import moment


class Memory(Protocol):
    """What a signer has signed."""

    def signed_with(self, chain: str, source: str, claims: tuple[str, ...]) -> list[tuple[Kind, str]]:
        """The transactions that were signed with these claims: kind and txid, "" for one that was asked for elsewhere
        just before.
        """

    def signed(self, chain: str, source: str, txid: str) -> bool:
        """Whether a transaction of a wallet was signed here."""

    def retire(self, chain: str, source: str, claims: tuple[str, ...], proof: str, at: int) -> tuple[str, ...]:
        """Record that nothing that has these claims can count any more; the request ids of its withdrawals."""


@dataclass(frozen=True, slots=True)
class Retired:
    """The withdrawals that may get another place; ``by`` has theirs, in a final block. ``at`` is milliseconds."""

    wallet: str
    place: str
    by: str
    request_ids: tuple[str, ...]
    at: int


def retire(memory: Memory, payer: Payer, chain: str, wallet: str, place: str, at: int) -> Retired:
    """Let the withdrawals that were signed for at ``place`` have another one.

    Raises `NoSuchRecord` where nothing was signed with it, `Refused` where a transaction of ours has it or still may,
    `OutcomeUnknown` where nodes contradict each other, `Unreachable` where too few answer.
    """
    source, claims = payer.source, (place,)
    signed = memory.signed_with(chain, source, claims)
    if not signed:
        raise NoSuchRecord(f"nothing was signed with nonce {place} of {wallet}", wallet=wallet)
    by = _taken_by(payer, wallet, place, _as_payout(chain, wallet, source, claims, signed))
    if memory.signed(chain, source, by):
        raise Refused(f"{by} has nonce {place} of {wallet}, and was signed here: what it paid is paid", txid=by)
    answers = [txid for _, txid in signed[1:]] + [""]
    if any(not txid and not answer for (_, txid), answer in zip(signed, answers, strict=True)):
        raise Refused(
            f"a signature for nonce {place} of {wallet} was asked for, and its answer was lost: {by} may be that one. "
            "See what it paid (`cryptosupport tx explain`)",
            txid=by,
        )
    proof = f"{by} has nonce {place} of {source} on {chain}, in a final block at {moment(at)}"
    return Retired(wallet, place, by, memory.retire(chain, source, claims, proof, at), at)


def _taken_by(payer: Payer, wallet: str, place: str, payout: Payout) -> str:
    """The stranger's transaction that has the place, for good."""
    survey = payer.survey([payout])
    seen, why = survey.seen.get(payout.id), "; ".join(survey.troubles)
    match seen:
        case None:
            raise Unreachable(f"nobody can be asked who has nonce {place} of {wallet}: {why}")
        case Taken(by=by, final=True) if by is not None:
            return by
        case Taken():
            raise OutcomeUnknown(f"nonce {place} of {wallet} is used, and it is not certain yet by what: {why}")
        case _:
            raise Refused(
                f"nonce {place} of {wallet} is not lost: a transaction that was signed here has it, or may still get "
                "it. See `cryptosupport withdraw explain`; `cryptosupport withdraw kill` takes it back",
                wallet=wallet,
            )


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
        "nonce": int(retired.place),
        "taken_by": retired.by,
        "request_ids": list(retired.request_ids),
        "retired_at": moment(retired.at),
    }
