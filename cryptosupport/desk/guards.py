"""What stands between a decision and the money beside the rules: freezes, lists, and what a destination is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cryptosupport.desk.freeze import take_file, told
from cryptosupport.domain.addresses import Address, looks_alike
from cryptosupport.domain.books import Records
from cryptosupport.domain.errors import BadInput, Tampered
from cryptosupport.domain.freezes import FileLine, that_cover
from cryptosupport.domain.personal import opened
from cryptosupport.domain.policy.decision import (
    ALLOW_LIST,
    BLOCK_LIST,
    COLD_SET,
    CONTRACT,
    FREEZE,
    LOOK_ALIKE,
    MEMO,
    NO_RECEIVER,
    OWN_ADDRESS,
    PROVIDER,
    SANCTIONS,
    SCREENING,
    TOKEN_CONTRACT,
    TRAVEL_RULE,
    Outcome,
    Voice,
)
from cryptosupport.domain.policy.judging import NotKnown
from cryptosupport.domain.policy.periods import duration
from cryptosupport.domain.policy.rules import Booking
from cryptosupport.domain.prices import usd
from cryptosupport.domain.screening import ListKind, Lists, key_of
from cryptosupport.domain.sweeps import is_sweep
from cryptosupport.domain.withdrawals import Request

_PRECOMPILES = 0x1FF
"""On EVM chains the addresses up to here are programs of the chain itself, in use or kept free for them."""


class Asked(Protocol):
    """Somebody outside who is asked about a destination, or about who is behind it (the travel rule)."""

    def ask(self, requests: Sequence[tuple[Request, int | None]]) -> None:
        """Ask about requests with their values (micro-USD), unless they were asked about before."""

    def answer(self, request: Request) -> Voice | None:
        """What was said of a request; None where it was not asked about, and has nothing to be asked."""


class Contracts(Protocol):
    """Whether there is a program at an address."""

    def ask(self, chain: str, address: str) -> None:
        """Ask a node, unless it was asked before."""

    def __call__(self, chain: str, address: str) -> bool | NotKnown:
        """What it said."""


def _raise(records: Records, error: Tampered) -> None:
    raise error


@dataclass(frozen=True)
class Guarding:
    """What guards go by, beside the ledger. Without anything set, only freezes and lists that were imported speak.

    ``read_address`` reads an address of a chain. ``own`` are the desk's wallets by the key of their address, in words,
    and ``derived`` says of an address of a chain whose it is among those that have many;
    ``tokens`` the known contracts by key. ``lists`` have to be there; one that was read longer than ``hold_after``
    (milliseconds) ago holds. ``travel_rule_above`` is in micro-USD; ``allowlist_cooling`` in milliseconds.
    ``unscreened`` hears that something was allowed without any list of sanctions, ``tampered`` of rows that were
    changed behind this program: those stay as they are, and the others go on. ``sweep_fault`` says why a sweep must not
    go where it is to go, None where it may.
    """

    freeze_file: Callable[[], Sequence[FileLine]] = tuple
    read_lists: Callable[[Records], Lists] = lambda records: Lists()
    read_address: Callable[[str, str], Address | None] = lambda chain, text: None
    own: Mapping[str, str] = field(default_factory=dict)
    derived: Callable[[Records, str, str], str | None] = lambda records, chain, address: None
    tokens: Mapping[str, str] = field(default_factory=dict)
    lists: tuple[str, ...] = ()
    hold_after: int | None = None
    allowlist_cooling: int | None = None
    travel_rule_above: int | None = None
    provider: Asked | None = None
    travel_rule: Asked | None = None
    contracts: Contracts | None = None
    unscreened: Callable[[], None] = lambda: None
    tampered: Callable[[Records, Tampered], None] = _raise
    sweep_fault: Callable[[Records, Request], str | None] = lambda records, request: "there is no cold set"

    @property
    def asks(self) -> bool:
        """Whether anybody outside is asked."""
        return any(each is not None for each in (self.provider, self.travel_rule, self.contracts))


class Guards:
    """The guards of one transaction. ``customers`` are those whose earlier destinations are compared."""

    def __init__(self, guarding: Guarding, records: Records, customers: Iterable[str]) -> None:
        self._guarding, self._records = guarding, records
        self._now = records.now
        take_file(records, guarding.freeze_file())
        self.freezes = records.freezes()
        self.lists = guarding.read_lists(records)
        self._used = records.destinations(sorted(set(customers)))
        self._unsound = tuple(self._doubts())

    def voices(self, request: Request, booking: Booking) -> Iterator[Voice]:
        """What the guards say of a request; nothing where all is well."""
        for freeze in that_cover(self.freezes, booking):
            yield Voice(FREEZE, Outcome.WAIT, f"frozen: {told(freeze)}")
        yield from self.screened(request, booking)

    def screened(self, request: Request, booking: Booking) -> Iterator[Voice]:
        """What the destination brings about."""
        if is_sweep(request.request_id):
            yield from self.placed(request)
            return
        yield from self._unsound
        guarding = self._guarding
        yield from self.placed(request)
        if guarding.contracts is not None:
            yield from self._contract(request, guarding.contracts)
        yield from self._alike(request)
        yield from self._answers(request, booking)

    def placed(self, request: Request) -> Iterator[Voice]:
        """What the destination is by the lists and settings of now; nobody is asked."""
        key = key_of(request.destination)
        if not is_sweep(request.request_id):
            yield from self._listed(request, key)
            guarding, destination = self._guarding, request.destination
            whose = guarding.own.get(key) or guarding.derived(self._records, request.chain, destination)
            if whose is not None:
                yield Voice(OWN_ADDRESS, Outcome.DENY, f"{request.destination} is {whose} of the desk itself")
        elif (fault := self._guarding.sweep_fault(self._records, request)) is not None:
            yield Voice(COLD_SET, Outcome.DENY, fault)
        yield from self._place(request, key)

    def _doubts(self) -> Iterator[Voice]:
        """Lists that are missing or too old: nobody can tell what is on them."""
        guarding, heads = self._guarding, {head.name: head for head in self.lists.heads}
        for name in guarding.lists:
            if name not in heads:
                reason = f"the list {name} is not there: `cryptosupport screen import FILE --list {name}`"
                yield Voice(SCREENING, Outcome.HOLD, reason, unknown=True)
        for head in heads.values():
            age = self._now - head.imported_at
            counts = head.kind is ListKind.SANCTIONS or head.name in guarding.lists
            if counts and guarding.hold_after is not None and age > guarding.hold_after:
                reason = f"the list {head.name} was read {duration(age)} ago, and counts for "
                yield Voice(SCREENING, Outcome.HOLD, reason + duration(guarding.hold_after), unknown=True)

    def _listed(self, request: Request, key: str) -> Iterator[Voice]:
        destination = request.destination
        for hit in self.lists.sanctions(key):
            whose = f" as {hit.entry.label}" if hit.entry.label else ""
            entry = f", entry {hit.entry.entry}" if hit.entry.entry else ""
            reason = f"{destination} is on the list {hit.name}{whose}{entry}: blocked until compliance has looked"
            yield Voice(SANCTIONS, Outcome.HOLD, reason)
        for hit in self.lists.blocked(key):
            yield Voice(BLOCK_LIST, Outcome.DENY, f"{destination} is on the desk's own list {hit.name}")
        for hit in self.lists.needs_memo(key):
            if request.memo is None:
                reason = f"{destination} credits nobody without a memo ({hit.name}), and the request has none"
                yield Voice(MEMO, Outcome.HOLD, reason)
        yield from self._allowed(request, key)

    def _allowed(self, request: Request, key: str) -> Iterator[Voice]:
        allowed = self.lists.allowed(request.customer)
        if allowed is None:
            return
        if key not in allowed:
            yield Voice(ALLOW_LIST, Outcome.DENY, f"{request.destination} is not on the customer's allow list")
            return
        cooling, age = self._guarding.allowlist_cooling, self._now - allowed[key].since
        if cooling is not None and age < cooling:
            reason = f"it came to the customer's allow list {duration(age)} ago, and has to be there for "
            yield Voice(ALLOW_LIST, Outcome.WAIT, reason + duration(cooling))

    def _place(self, request: Request, key: str) -> Iterator[Voice]:
        """Places that nothing may go to (M41)."""
        guarding, destination = self._guarding, request.destination
        if key in guarding.tokens:
            reason = f"{destination} is the contract of {guarding.tokens[key]}: what is sent there is lost"
            yield Voice(TOKEN_CONTRACT, Outcome.DENY, reason)
        address = self._address(request.chain, destination)
        if (address is not None and address.burn) or _precompiled(key):
            yield Voice(NO_RECEIVER, Outcome.DENY, f"nobody can spend from {destination}: what is sent there is lost")

    def _contract(self, request: Request, contracts: Contracts) -> Iterator[Voice]:
        code = contracts(request.chain, request.destination)
        if isinstance(code, NotKnown):
            yield Voice(CONTRACT, Outcome.HOLD, f"whether it is a contract: {code.reason}", unknown=True)
        elif code:
            yield Voice(CONTRACT, Outcome.HOLD, f"{request.destination} is a contract on {request.chain}")

    def _alike(self, request: Request) -> Iterator[Voice]:
        for other, whose in self.look_alikes(request.customer, request.chain, request.destination):
            reason = f"{request.destination} looks like {other} ({whose}), and is another: compare every character"
            yield Voice(LOOK_ALIKE, Outcome.HOLD, reason)

    def look_alikes(self, customer: str, chain: str, destination: str) -> list[tuple[str, str]]:
        """The addresses of the customer and of the desk with the same ends, and whose each is (M42)."""
        used = self._used.get(customer, [])
        address = None if destination in used else self._address(chain, destination)
        if address is None:
            return []
        found = [(other, f"used by {customer} before") for other in used if looks_alike(address, other)]
        own = ((key, whose) for key, whose in self._guarding.own.items() if looks_alike(address, key))
        return found + [(key, f"{whose} of the desk") for key, whose in own]

    def _address(self, chain: str, text: str) -> Address | None:
        try:
            return self._guarding.read_address(chain, text)
        except BadInput:
            return None

    def _answers(self, request: Request, booking: Booking) -> Iterator[Voice]:
        guarding = self._guarding
        if guarding.provider is not None:
            yield guarding.provider.answer(request) or _not_asked(PROVIDER)
        above = guarding.travel_rule_above
        if above is None or (booking.value is not None and booking.value <= above):
            return
        if booking.value is None:
            yield Voice(TRAVEL_RULE, Outcome.HOLD, f"whether it is above {usd(above)}: no value", unknown=True)
        elif (to := opened(request.beneficiary)) is None or to.name is None:
            yield Voice(TRAVEL_RULE, Outcome.HOLD, f"above {usd(above)} it has to be told who receives it")
        elif guarding.travel_rule is not None:
            yield guarding.travel_rule.answer(request) or _not_asked(TRAVEL_RULE)

    def taken(self, request: Request) -> None:
        """A request of this transaction was approved: its destination counts as used from now on."""
        if all(head.kind is not ListKind.SANCTIONS for head in self.lists.heads):
            self._guarding.unscreened()
        used = self._used.setdefault(request.customer, [])
        if request.destination not in used:
            used.append(request.destination)


def _not_asked(rule: str) -> Voice:
    return Voice(rule, Outcome.HOLD, "it was not asked", unknown=True)


def _precompiled(key: str) -> bool:
    return key.startswith("0x") and len(key) == 42 and int(key, 16) <= _PRECOMPILES


def ask_guards(guarding: Guarding, requests: Iterable[tuple[Request, int | None]]) -> None:
    """Ask outside about requests (with their values), before the transaction: meanwhile nobody else could decide.

    Nobody is asked about the desk's own cold.
    """
    some = [each for each in requests if not is_sweep(each[0].request_id)]
    if guarding.provider is not None:
        guarding.provider.ask(some)
    above = guarding.travel_rule_above
    if guarding.travel_rule is not None and above is not None:
        guarding.travel_rule.ask([(each, value) for each, value in some if value is None or value > above])
    if guarding.contracts is not None:
        for each, _ in some:
            guarding.contracts.ask(each.chain, each.destination)
