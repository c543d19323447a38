"""What was asked for so far, out of the ledger or out of a list in a file, to be replayed against a policy."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NoReturn, TypeAlias, TypeVar

from cryptosupport.desk.cases import Premises, evidence_of
from cryptosupport.domain.books import Ledger, Wanted
from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.identifiers import shortened
from cryptosupport.domain.money import Quantity, parse_base_units
from cryptosupport.domain.policy.decision import HARD_CAP, RUN_CAP, Outcome, Voice
from cryptosupport.domain.policy.judging import Evidence
from cryptosupport.domain.policy.rules import EVIDENCE, Booking, Policy
from cryptosupport.domain.prices import MICRO
from cryptosupport.domain.requestlines import json_fields
from cryptosupport.domain.requests import utc_milliseconds
from cryptosupport.domain.withdrawals import State

W = TypeVar("W", bound=StrEnum)

_LATEST = 250_000_000_000_000
"""No withdrawal is of a time when calendars end (milliseconds since 1970)."""

Raw: TypeAlias = tuple[int, bytes | BadInput]
"""A line of a file with its number, or why it is none."""

Fields: TypeAlias = Mapping[str, object]
"""One line of a file, by the names that the columns of CSV have."""

_GIVEN_BACK = frozenset({State.CANCELLED, State.EXPIRED, State.REVERTED})
_BESIDE = frozenset({HARD_CAP, RUN_CAP})
"""What speaks beside the rules of any policy; it says again what it said."""


@dataclass(frozen=True, slots=True)
class Past:
    """A request of the history, and what came of it. Times are milliseconds since 1970.

    ``booking`` is as the rules of the draft see it. ``approvals`` is None where it is not told. ``decided_again`` is
    when the last decision was made, if that was not at once; ``given_back`` when it was taken out of all limits.
    """

    request_id: str
    booking: Booking
    created_at: int
    outcome: Outcome
    approvals: int | None
    beside: tuple[Voice, ...] = ()
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    decided_again: int | None = None
    given_back: int | None = None


# -- in the ledger ---------------------------------------------------------------------------------------------------


def history_of(ledger: Ledger, premises: Premises) -> Iterator[Past]:
    """All requests in the ledger, in order of arrival, as the policy of ``premises`` sees them."""
    for withdrawal in ledger.withdrawals(Wanted()):
        decision = withdrawal.decision
        yield Past(
            withdrawal.request.request_id,
            replace(withdrawal.booking, tier=premises.judge.policy.tier(withdrawal.request.tier)),
            withdrawal.created_at,
            decision.outcome,
            decision.approvals,
            tuple(voice for voice in decision.voices if voice.rule in _BESIDE),
            evidence_of(withdrawal.request),
            decision.at if withdrawal.turn > 1 else None,
            _given_back(withdrawal.state, decision.outcome, withdrawal.updated_at),
        )


def _given_back(state: State, outcome: Outcome, at: int) -> int | None:
    """When limits got it back, which it counted in before."""
    rejected = state is State.REJECTED and outcome is not Outcome.DENY
    return at if state in _GIVEN_BACK or rejected else None


# -- in a file -------------------------------------------------------------------------------------------------------

_NEEDED = (
    *("request_id", "customer", "asset", "chain", "amount", "destination", "state", "decision_outcome"),
    *("created_at", "updated_at"),
)
_LONGEST = 100
"""No number has more characters; 2**256 has 78 digits."""


def history_in(lines: Iterable[Raw], form: str, draft: Policy) -> Iterator[Past]:
    """The requests in the output of `withdraw list` (``form`` jsonl or csv), as the ``draft`` sees them.

    Raises `BadInput` with the number of a line that cannot be used, or that is older than the one before it.
    """
    rows = iter(lines)
    parse = _flat if form == "jsonl" else _by_columns(rows)
    last = 0
    for number, raw in rows:
        try:
            past = _past(parse(_usable(raw)), draft)
            if past.created_at < last:
                raise BadInput("created_at is before that of the line above: sort the file by it")
        except BadInput as error:
            raise BadInput(f"line {number}: {error.message}", line=number) from error
        last = past.created_at
        yield past


def _usable(raw: bytes | BadInput) -> bytes:
    if isinstance(raw, BadInput):
        raise raw
    return raw


def _flat(raw: bytes) -> Fields:
    """The fields of a JSON object by the names that they have in CSV."""
    fields = json_fields(raw)
    decision = fields.get("decision")
    inner = decision if isinstance(decision, Mapping) else {}
    return fields | {f"decision_{name}": value for name, value in inner.items()}


def _by_columns(rows: Iterator[Raw]) -> Callable[[bytes], Fields]:
    """Read the header; say how to read the other lines."""
    number, raw = next(rows, (1, BadInput("the file is empty")))
    try:
        header = _cells(_usable(raw))
        if missing := [name for name in _NEEDED if name not in header]:
            raise BadInput(f"the header has no {', '.join(missing)}: give what `withdraw list -o csv` writes")
    except BadInput as error:
        raise BadInput(f"line {number}: {error.message}", line=number) from error

    def read(raw: bytes) -> Fields:
        cells = _cells(raw)
        if len(cells) != len(header):
            raise BadInput(f"this line has {len(cells)} cells, and the header has {len(header)}")
        fields: dict[str, object] = {name: cell or None for name, cell in zip(header, cells, strict=True)}
        try:
            rules = fields.get("decision_rules")
            return fields | {"decision_rules": json.loads(str(rules)) if rules else []}
        except (ValueError, RecursionError) as error:
            raise BadInput(f"decision_rules is no JSON: {shortened(str(rules))}") from error

    return read


def _cells(raw: bytes) -> list[str]:
    try:
        return next(csv.reader([raw.decode().removesuffix("\r")], strict=True))
    except UnicodeDecodeError as error:
        raise BadInput("this line is not UTF-8") from error
    except csv.Error as error:
        raise BadInput(f"this line is no CSV: {error}") from error


def _past(fields: Fields, draft: Policy) -> Past:
    """One line of the list. What it does not tell of a request speaks against nothing; `notes` tells which that is."""
    amount, value = _number(fields, "amount", None), fields.get("decision_value_usd")
    created_at, updated_at = _time(fields, "created_at"), _time(fields, "updated_at")
    if updated_at < created_at:
        raise BadInput("updated_at is before created_at")
    outcome = _word(fields, "decision_outcome", Outcome)
    given_back = _given_back(_word(fields, "state", State), outcome, updated_at)
    return Past(
        _text(fields, "request_id"),
        Booking(
            customer=_text(fields, "customer"),
            tier=draft.tier(_optional(fields, "tier")),
            country=None,
            asset=_text(fields, "asset"),
            chain=_text(fields, "chain"),
            wallet=_optional(fields, "wallet"),
            destination=_text(fields, "destination"),
            source="",
            amount=amount,
            value=None if value is None else _number(fields, "decision_value_usd", MICRO).at(MICRO),
        ),
        created_at,
        outcome,
        None,
        tuple(_voices(fields)),
        {name: Evidence(True, created_at) for name in EVIDENCE},
        updated_at if given_back is None and updated_at > created_at else None,
        given_back,
    )


def _voices(fields: Fields) -> Iterator[Voice]:
    """Those that spoke beside the rules."""
    rules = fields.get("decision_rules")
    for rule in rules if isinstance(rules, list) else ():
        if isinstance(rule, dict) and _named(rule, _BESIDE):
            yield Voice(_text(rule, "name"), _word(rule, "outcome", Outcome), _text(rule, "reason"))


def _named(rule: Fields, names: Collection[str]) -> bool:
    name = rule.get("name")
    return isinstance(name, str) and name in names


def _optional(fields: Fields, name: str) -> str | None:
    return None if fields.get(name) is None else _text(fields, name)


def _text(fields: Fields, name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise BadInput(f"{name} is missing: give what `withdraw list` writes")
    return value


def _number(fields: Fields, name: str, decimals: int | None) -> Quantity:
    text = _text(fields, name)
    if len(text) > _LONGEST:
        _refuse(name, text, "a decimal number")
    try:
        return Quantity.parse(text) if decimals is None else Quantity(parse_base_units(text, decimals), decimals)
    except BadInput:
        _refuse(name, text, "a decimal number")


def _time(fields: Fields, name: str) -> int:
    text = _text(fields, name)
    try:
        at = utc_milliseconds(text)
        if at > _LATEST:
            raise ValueError
        return at
    except ValueError:
        _refuse(name, text, "a time in UTC such as 2026-11-21T12:00:00Z")


def _word(fields: Fields, name: str, kind: type[W]) -> W:
    text = _text(fields, name)
    try:
        return kind(text)
    except ValueError:
        _refuse(name, text, f"one of {', '.join(kind)}")


def _refuse(name: str, text: str, wanted: str) -> NoReturn:
    raise BadInput(f'{name} is "{shortened(text)}", which is not {wanted}')
