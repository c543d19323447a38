"""Take requests in: each is decided against the hard limits and recorded, exactly once by its request id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from cryptosupport.desk.cases import Cases, Incoming, Premises, Pricer
from cryptosupport.domain.books import Books, Ledger
from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.money import NOTHING, Quantity
from cryptosupport.domain.policy.booking import book
from cryptosupport.domain.policy.decision import RUN_CAP, Decision, Outcome, Voice
from cryptosupport.domain.policy.judging import Case
from cryptosupport.domain.policy.rules import Booking
from cryptosupport.domain.prices import usd
from cryptosupport.domain.withdrawals import DECIDED, Request, Withdrawal


@dataclass(frozen=True, slots=True)
class Line:
    """One request as it came: ``number`` in its input, the start of its ``text``, and what was read from it.

    ``source`` is how it came (`option`, `file`, `stdin`), ``maker`` who brought it, if anybody said.
    """

    number: int
    text: str
    read: Request | BadInput
    source: str
    maker: str | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a line: a withdrawal as recorded (``repeated``: it was there before), or why it cannot be used."""

    line: Line
    result: Withdrawal | BadInput
    repeated: bool = False


class Intake:
    """Takes batches of lines in."""

    def __init__(self, ledger: Ledger, premises: Premises) -> None:
        self._ledger = ledger
        self._premises = premises
        self._brought = 0

    def take_in(self, batches: Iterable[Sequence[Line]]) -> Iterator[Taken]:
        """Decide and record ``batches``, each in one transaction, and say what came of each line, in order.

        A bad line does not keep the good ones of its batch from being recorded. What is given out is recorded for good.
        """
        for lines in batches:
            yield from self._one(lines)

    def _one(self, lines: Sequence[Line]) -> list[Taken]:
        if all(isinstance(line.read, BadInput) for line in lines):
            return [Taken(line, line.read) for line in lines if isinstance(line.read, BadInput)]
        with self._ledger.write(self._premises.judge) as books:
            return self._decide(lines, books)

    def _decide(self, lines: Sequence[Line], books: Books) -> list[Taken]:
        requests = [line.read for line in lines if isinstance(line.read, Request)]
        recorded = books.find({request.request_id for request in requests})
        incoming = {
            line.number: Incoming(line.read, _source(line))
            for line in lines
            if isinstance(line.read, Request) and line.read.request_id not in recorded
        }
        pricer = Pricer(self._premises, books)
        cases = Cases(list(incoming.values()), self._premises, books, pricer)
        new: list[Withdrawal] = []
        taken = []
        for line in lines:
            if isinstance(line.read, BadInput):
                taken.append(Taken(line, line.read))
            elif (earlier := recorded.get(line.read.request_id)) is not None:
                taken.append(_repeated(line, line.read, earlier))
            else:
                withdrawal = self._new(line, line.read, cases, incoming[line.number], books, books.next_id + len(new))
                new.append(withdrawal)
                recorded[line.read.request_id] = withdrawal
                taken.append(Taken(line, withdrawal))
        books.add(new)
        books.keep_prices(pricer.counted)
        return taken

    def _new(
        self, line: Line, request: Request, cases: Cases, incoming: Incoming, books: Books, number: int
    ) -> Withdrawal:
        case = cases.case(incoming)
        over = self._over_the_cap(case)
        case = case if over is None else replace(case, further=(*case.further, over))
        decision = self._premises.judge.decide(case, lambda place: books.tallies.at(place).used)
        book(books.tallies, case.booking, decision, books.now)
        if decision.outcome is not Outcome.DENY:
            cases.taken(case.booking)
            self._brought += case.booking.value or 0
        maker = request.signature.key if request.signature is not None else line.maker
        return recorded_as(number, request, case.booking, decision, maker, books.now)

    def _over_the_cap(self, case: Case) -> Voice | None:
        """What speaks when this run brings in more than the desk lets one run bring in (M27)."""
        cap, value = self._premises.run_cap, case.booking.value
        if cap is None:
            return None
        if value is None:
            return Voice(RUN_CAP, Outcome.HOLD, f"its value is not known: {case.no_value}")
        total = self._brought + value
        if total <= cap:
            return None
        return Voice(RUN_CAP, Outcome.HOLD, f"{usd(total)} in one run is over the cap of {usd(cap)}")


def _source(line: Line) -> str:
    """The key that signed it, else how it came: what rules match as `source`."""
    assert isinstance(line.read, Request)
    return line.source if line.read.signature is None else line.read.signature.key


def _repeated(line: Line, request: Request, earlier: Withdrawal) -> Taken:
    """The same request once more is answered with what is recorded; another one under its id is refused."""
    if request.content == earlier.request.content:
        return Taken(line, earlier, repeated=True)
    differs = ", ".join(_differences(request, earlier.request))
    return Taken(
        line,
        BadInput(f"request_id {request.request_id} is recorded with another {differs}: nothing was changed"),
    )


def _differences(one: Request, other: Request) -> Iterator[str]:
    names = ("customer", "chain", "destination", "memo", "tier", "country", "verification", "beneficiary")
    if one.asset.symbol != other.asset.symbol:
        yield "asset"
    if one.base_units != other.base_units:
        yield "amount"
    yield from (name for name in names if getattr(one, name) != getattr(other, name))


def recorded_as(
    number: int, request: Request, booking: Booking, decision: Decision, maker: str | None, now: int
) -> Withdrawal:
    """The withdrawal that a first decision makes of a request."""
    return Withdrawal(
        id=number,
        request=request,
        state=DECIDED[decision.outcome],
        decision=decision,
        source=booking.source,
        maker=maker,
        effective_tier=booking.tier,
        wallet=booking.wallet,
        fee_units=in_base_units(booking.fee, request),
        fee_value=booking.fee_value,
        value=booking.value,
        booked_at=now if decision.booked else None,
        unbooked=decision.unbooked,
        created_at=now,
        updated_at=now,
    )


def in_base_units(fee: Quantity, request: Request) -> int:
    """A fee in the request's own asset as its base units."""
    return 0 if fee == NOTHING else fee.at(request.amount.decimals)
