"""Take requests in: each is decided against the hard limits and recorded, exactly once by its request id."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from cryptosupport.desk.cases import Cases, Incoming, Premises, Pricer, ask_ahead, in_base_units
from cryptosupport.desk.decide_again import ask_ahead_for_waiting, decide_waiting
from cryptosupport.desk.value_late import value_late
from cryptosupport.domain.books import Books, Ledger
from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.personal import opened
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


EVERY = 60_000
"""While requests come in, what waits is decided again every so many milliseconds."""


class Intake:
    """Takes batches of lines in. What waits goes before them: it is decided again with the first batch, then every
    minute, and as soon as a calendar period of the policy is over.

    ``tell`` hears of those that waited and whose state changed. ``still`` is called before each batch, and raises when
    the settings are no longer those that the premises were made of. ``due`` is when what waits is decided again next
    (milliseconds since 1970). ``proven``: a signature showed that the lines' maker is who they say. ``vouched`` are the
    keys of signed requests that count as proof of who brought them.
    """

    def __init__(
        self,
        ledger: Ledger,
        premises: Premises,
        tell: Callable[[Withdrawal], None] = lambda moved: None,
        still: Callable[[], None] = lambda: None,
        due: int = 0,
        proven: bool = False,
        vouched: Collection[str] = (),
    ) -> None:
        self._ledger = ledger
        self._premises = premises
        self._tell = tell
        self._still = still
        self._brought = 0
        self._due = due
        self._proven = proven
        self._vouched = vouched

    def take_in(self, batches: Iterable[Sequence[Line]]) -> Iterator[Taken]:
        """Decide and record ``batches``, each in one transaction, and say what came of each line, in order.

        A bad line does not keep the good ones of its batch from being recorded. What is given out is recorded for good.
        """
        for lines in batches:
            self._still()
            yield from self._one(lines)

    def _one(self, lines: Sequence[Line]) -> list[Taken]:
        if not any(map(_request_id, lines)):
            return [Taken(line, line.read) for line in lines if isinstance(line.read, BadInput)]
        read = ((line, line.read) for line in lines)
        ask_ahead((Incoming(each, _source(line)) for line, each in read if isinstance(each, Request)), self._premises)
        ask_ahead_for_waiting(self._ledger, self._premises)
        with self._ledger.write(self._premises.judge) as books:
            self._premises.still(books.records)
            pricer = Pricer(self._premises, books)
            value_late(books, self._premises, pricer)
            moved = self._decide_waiting(books, pricer)
            taken = self._decide(lines, books, pricer)
            books.keep_prices(pricer.counted)
        for each in moved:
            self._tell(each)
        return taken

    def _decide_waiting(self, books: Books, pricer: Pricer) -> list[Withdrawal]:
        """Decide again what waits, when it is time to: in the transaction of those who come, so that none slips by."""
        if books.now < self._due:
            return []
        ends = [window.ends(books.now) for window in self._premises.judge.windows.values()]
        self._due = min([books.now + EVERY, *(end for end in ends if end is not None)])
        return decide_waiting(books, self._premises, pricer)

    def _decide(self, lines: Sequence[Line], books: Books, pricer: Pricer) -> list[Taken]:
        named = {_request_id(line) for line in lines} - {""}
        recorded = books.find(named)
        incoming = {
            line.number: Incoming(line.read, _source(line))
            for line in lines
            if isinstance(line.read, Request) and line.read.request_id not in recorded
        }
        cases = Cases(list(incoming.values()), self._premises, books, pricer)
        new: list[Withdrawal] = []
        taken = []
        for line in lines:
            if isinstance(line.read, BadInput):
                taken.append(Taken(line, _told(line.read, recorded.get(_request_id(line)))))
            elif (earlier := recorded.get(line.read.request_id)) is not None:
                taken.append(_repeated(line, line.read, earlier))
            else:
                withdrawal = self._new(line, line.read, cases, incoming[line.number], books, books.next_id + len(new))
                new.append(withdrawal)
                recorded[line.read.request_id] = withdrawal
                taken.append(Taken(line, withdrawal))
        books.add(new)
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
            cases.taken(request, case.booking, decision.outcome)
            self._brought += case.booking.value or 0
        key = None if request.signature is None else request.signature.key
        maker, proven = (line.maker, self._proven) if key is None else (key, key in self._vouched)
        taken = recorded_as(number, request, case.booking, decision, maker, books.now)
        return replace(taken, proven=proven, expires_at=self._premises.expires_at(decision, books.now))

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


def _request_id(line: Line) -> str:
    """The id of the request, also of one that cannot be used, as far as it can be read; else ""."""
    if isinstance(line.read, Request):
        return line.read.request_id
    named = line.read.facts.get("request_id")
    return named if isinstance(named, str) else ""


def _told(fault: BadInput, recorded: Withdrawal | None) -> BadInput:
    """What is wrong with a line; where its id is recorded, that too: perhaps only the settings have changed since."""
    if recorded is None:
        return fault
    name, state = recorded.request.request_id, recorded.state
    return BadInput(f"{fault.message}; {name} is recorded, and is {state}: nothing was changed", **fault.facts)


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
    names = ("customer", "chain", "destination", "memo", "tier", "country", "verification")
    if one.asset.symbol != other.asset.symbol:
        yield "asset"
    if one.base_units != other.base_units:
        yield "amount"
    yield from (name for name in names if getattr(one, name) != getattr(other, name))
    if opened(one.beneficiary) != opened(other.beneficiary):
        yield "beneficiary"


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
