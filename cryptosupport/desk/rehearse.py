"""Rehearse: decide as if for good, see what comes of it, and record nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cryptosupport.domain.books import Books, Ledger, Records, Wanted
from cryptosupport.domain.policy.decision import Decision
from cryptosupport.domain.policy.judging import Judge
from cryptosupport.domain.policy.tallies import Tally
from cryptosupport.domain.policy.windows import Place
from cryptosupport.domain.withdrawals import Withdrawal


class _Over(Exception):
    """Leaves the transaction that must not happen."""


@contextmanager
def rehearsal(ledger: Ledger, judge: Judge) -> Iterator[Ledger]:
    """A ledger whose transactions are all one, which is undone at the end: each sees what came of those before it.

    Nobody else decides meanwhile.
    """
    try:
        with ledger.write(judge) as books:
            yield _Rehearsed(ledger, books)
            raise _Over
    except _Over:
        pass


@dataclass(frozen=True, slots=True)
class _Rehearsed:
    """The ledger of a rehearsal: it decides in ``books``; who reads beside them sees what is recorded."""

    ledger: Ledger
    books: Books

    @contextmanager
    def write(self, judge: Judge) -> Iterator[Books]:
        yield self.books

    @contextmanager
    def act(self) -> Iterator[Records]:
        yield self.books.records

    @contextmanager
    def look(self) -> Iterator[Records]:
        yield self.books.records

    def withdrawal(self, request_id: str) -> Withdrawal | None:
        return self.ledger.withdrawal(request_id)

    def withdrawals(self, wanted: Wanted) -> Iterator[Withdrawal]:
        return self.ledger.withdrawals(wanted)

    def decisions(self, withdrawal_id: int) -> list[Decision]:
        return self.ledger.decisions(withdrawal_id)

    def sums(self, windows: Collection[str]) -> Iterator[tuple[Place, Tally]]:
        return self.ledger.sums(windows)

    def policy(self, hash: str) -> str | None:
        return self.ledger.policy(hash)

    def scrub(self) -> None:
        """Nothing was changed."""

    def close(self) -> None:
        self.ledger.close()
