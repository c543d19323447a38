"""Screening lists as people and programs see them: their age, their entries, and what addresses are on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cryptosupport.desk.screen_lists import Imported, changed, check_lists
from cryptosupport.domain.books import Records
from cryptosupport.domain.errors import BadInput, NoSuchRecord, Tampered
from cryptosupport.domain.identifiers import about_secret, is_secret, shortened
from cryptosupport.domain.policy.periods import duration
from cryptosupport.domain.screening import Hit, Listed, ListHead, ListKind, Lists, key_of
from cryptosupport.domain.wording import iso_time

LIST_SCHEMA = "cryptosupport.list/1"
IMPORT_SCHEMA = "cryptosupport.import/1"
ENTRY_SCHEMA = "cryptosupport.listed/1"
SCREEN_SCHEMA = "cryptosupport.screen/1"


class ListState(StrEnum):
    """Whether a list can be relied on. Only a list that has to be fresh gets old; no other state is as bad as the last
    three.
    """

    GOOD = "good"
    OLD = "old"
    TOO_OLD = "too_old"
    MISSING = "missing"
    DAMAGED = "damaged"


FAULTS = frozenset({ListState.TOO_OLD, ListState.MISSING, ListState.DAMAGED})
"""The states in which nothing is to be paid."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """Which lists have to be there and fresh, besides all of kind sanctions; the ages are in milliseconds."""

    lists: tuple[str, ...] = ()
    warn_after: int = 24 * 3_600_000
    hold_after: int = 72 * 3_600_000


@dataclass(frozen=True, slots=True)
class ListAge:
    """One list: how long ago it was imported last (milliseconds), and what is to be said of that.

    ``found`` is what was found changed behind the program, to be raised or written down by whoever asked.
    The age counts from the import: a list that has not changed for a week is as fresh as the run that found it so.
    """

    name: str
    head: ListHead | None
    age: int | None
    state: ListState
    reason: str | None = None
    found: Tampered | None = None


def list_ages(heads: Iterable[ListHead], now: int, rules: Freshness) -> list[ListAge]:
    """The age of each list, and of those that ``rules`` name and nobody has imported, by name."""
    by_name = {head.name: head for head in heads}
    return [_age(name, by_name.get(name), now, rules) for name in sorted({*by_name, *rules.lists})]


def list_states(records: Records, rules: Freshness) -> list[ListAge]:
    """The same of the ledger's lists, and which of them were changed behind the program."""
    checked = check_lists(records)
    damaged = {each.name: each for each in checked if each.fault is not None}
    ages = list_ages([each.head for each in checked if each.head is not None], records.now, rules)
    states = {age.name: age for age in ages}
    for name, each in damaged.items():
        age = states[name].age if name in states else None
        assert each.fault is not None
        reason = f"changed in the database behind this program: {each.fault}"
        states[name] = ListAge(name, each.head, age, ListState.DAMAGED, reason, changed(name, each.fault))
    return [states[name] for name in sorted(states)]


def _age(name: str, head: ListHead | None, now: int, rules: Freshness) -> ListAge:
    if head is None:
        return ListAge(name, None, None, ListState.MISSING, "[screening] lists names it, and it is not there")
    age = max(0, now - head.imported_at)
    if head.kind is ListKind.SANCTIONS or name in rules.lists:
        for state, limit in ((ListState.TOO_OLD, rules.hold_after), (ListState.OLD, rules.warn_after)):
            if age > limit:
                reason = f"imported {duration(age)} ago, and {duration(limit)} is the most"
                return ListAge(name, head, age, state, reason)
    return ListAge(name, head, age, ListState.GOOD)


def entries_of(records: Records, name: str | None, customer: str | None) -> Iterator[tuple[ListHead, Listed]]:
    """The entries of the list ``name``, else of all allow lists; only those of ``customer``, where one is named.

    Raises `NoSuchRecord` when there is no such list.
    """
    heads = [each for each in records.lists() if each.name == name or (name is None and each.kind is ListKind.ALLOW)]
    if name is not None and not heads:
        raise NoSuchRecord(f"there is no list {shortened(name)}: `cryptosupport screen list` shows all")
    for head in heads:
        for entry in records.listed(head.name):
            if customer is None or entry.customer == customer:
                yield head, entry


@dataclass(frozen=True, slots=True)
class Screened:
    """An address and what it hits. ``allowed`` is None where no customer was named, or that one has no allow list."""

    address: str
    sanctions: Sequence[Hit]
    blocked: Sequence[Hit]
    needs_memo: Sequence[Hit]
    allowed: bool | None

    @property
    def stopped(self) -> bool:
        """Whether a list of sanctions or a block list has it."""
        return bool(self.sanctions or self.blocked)


def screen_address(lists: Lists, address: str, customer: str | None) -> Screened:
    """What an address hits, in whatever spelling. Raises `BadInput` for a private key, which is shown nowhere."""
    if is_secret(address):
        raise BadInput(about_secret("an address"))
    allowed = None if customer is None else lists.allowed(customer)
    return Screened(
        address=address,
        sanctions=lists.sanctions(address),
        blocked=lists.blocked(address),
        needs_memo=lists.needs_memo(address),
        allowed=None if allowed is None else key_of(address) in allowed,
    )


# -- as records ------------------------------------------------------------------------------------------------------


def list_record(age: ListAge) -> dict[str, Any]:
    """A list as JSON shows it (schema `cryptosupport.list/1`); ``age_seconds`` counts from the import."""
    head = age.head
    return {
        "schema": LIST_SCHEMA,
        "list": age.name,
        "kind": None if head is None else head.kind.value,
        "entries": None if head is None else head.entries,
        "source": None if head is None else head.source,
        "as_of": _iso(None if head is None else head.as_of),
        "imported_at": _iso(None if head is None else head.imported_at),
        "age_seconds": None if age.age is None else age.age // 1000,
        "state": age.state.value,
        "reason": age.reason,
        "digest": None if head is None else head.digest,
    }


def list_row(age: ListAge) -> dict[str, Any]:
    """The same for a table, the age in words."""
    state = age.state.value.replace("_", " ")
    said = f"{state}: {age.reason}" if age.reason else state
    return list_record(age) | {"age": "" if age.age is None else duration(age.age), "state": said}


def entry_record(head: ListHead, entry: Listed) -> dict[str, Any]:
    """An entry of a list as JSON shows it (schema `cryptosupport.listed/1`)."""
    return {
        "schema": ENTRY_SCHEMA,
        "list": head.name,
        "kind": head.kind.value,
        "address": entry.address,
        "key": entry.key,
        "customer": entry.customer or None,
        "tag": entry.tag or None,
        "entry": entry.entry or None,
        "label": entry.label or None,
        "since": _iso(entry.since),
    }


def import_record(imported: Imported) -> dict[str, Any]:
    """What an import brought about as JSON shows it (schema `cryptosupport.import/1`)."""
    head = imported.head
    added, delisted = ([each.address for each in some] for some in imported.examples)
    return {
        "schema": IMPORT_SCHEMA,
        "list": head.name,
        "kind": head.kind.value,
        "source": head.source,
        "as_of": _iso(head.as_of),
        "imported_at": _iso(head.imported_at),
        "entries": head.entries,
        "added": imported.added,
        "delisted": imported.delisted,
        "unchanged": imported.unchanged,
        "digest": head.digest,
        "sha256": imported.sha256,
        "examples": {"added": added, "delisted": delisted},
        "stopped": [_hit(hit) | {"customer": each.customer, "address": each.address} for each, hit in imported.stopped],
        "freed": list(imported.freed),
        "repaired": imported.repaired,
    }


def screened_record(screened: Screened) -> dict[str, Any]:
    """An address and its hits as JSON shows it (schema `cryptosupport.screen/1`)."""
    return {
        "schema": SCREEN_SCHEMA,
        "address": screened.address,
        "key": key_of(screened.address),
        "stopped": screened.stopped,
        "sanctions": [_hit(each) for each in screened.sanctions],
        "blocked": [_hit(each) for each in screened.blocked],
        "needs_memo": [_hit(each) for each in screened.needs_memo],
        "allowed": screened.allowed,
    }


def screened_row(screened: Screened) -> dict[str, Any]:
    """The same for a table, each hit in a few words."""
    kinds = ("sanctions", "blocked", "needs_memo")
    return screened_record(screened) | {kind: [_words(each) for each in getattr(screened, kind)] for kind in kinds}


def _hit(hit: Hit) -> dict[str, Any]:
    entry = hit.entry
    named = {"entry": entry.entry or None, "label": entry.label or None, "tag": entry.tag or None}
    return {"list": hit.name, **named, "since": _iso(entry.since)}


def _words(hit: Hit) -> str:
    told = ", ".join(filter(None, (hit.entry.label, hit.entry.entry, hit.entry.tag)))
    return f"{hit.name} ({told})" if told else hit.name


def _iso(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else iso_time(milliseconds // 1000)
