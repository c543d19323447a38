"""Find withdrawals in the ledger, and what a request id or an address that somebody typed stands for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cryptosupport.domain.books import Ledger
from cryptosupport.domain.errors import BadInput, NoSuchRecord
from cryptosupport.domain.identifiers import shortened
from cryptosupport.domain.requests import Intake
from cryptosupport.domain.withdrawals import Withdrawal


@dataclass(frozen=True, slots=True)
class Unknown:
    """A request id that nothing is recorded under."""

    request_id: str
    error: NoSuchRecord


def find(ledger: Ledger, request_id: str) -> Withdrawal:
    """The withdrawal with this request id. Raises `NoSuchRecord`."""
    found = ledger.withdrawal(request_id)
    if found is None:
        raise NoSuchRecord(f"no withdrawal has the request_id {shortened(request_id)}")
    return found


def find_each(ledger: Ledger, request_ids: Iterable[str]) -> Iterator[Withdrawal | Unknown]:
    """The withdrawals with these request ids, in their order; an id that is not recorded is told as such.

    Raises `NoSuchRecord` when that is the only one.
    """
    asked = list(request_ids)
    for request_id in asked:
        try:
            yield find(ledger, request_id)
        except NoSuchRecord as error:
            if len(asked) == 1:
                raise
            yield Unknown(request_id, error)


def normal_address(text: str, intake: Intake) -> str | None:
    """An address as withdrawals have it, whichever configured chain it is of; None where no chain reads it as one."""
    for chain in intake.assets:
        try:
            address = intake.read_address(chain, text)
        except BadInput:  # of this chain it would be a bad one; another may know it
            continue
        if address is not None:
            return address.text
    return None
