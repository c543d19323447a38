"""The cold set: what wallets.toml names, and what of it two people have signed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptosupport.desk.change_desk import Draft, standing
from cryptosupport.desk.people import Fault, People, signed_of
from cryptosupport.domain.books import Records
from cryptosupport.domain.coldset import Cold, cold_of, content_of_cold, differences, loosened_cold
from cryptosupport.domain.errors import BadInput, Refused, Tampered
from cryptosupport.domain.operators import COLD, Change, Operators
from cryptosupport.domain.screening import key_of
from cryptosupport.domain.withdrawal_record import moment


@dataclass(frozen=True, slots=True)
class ColdSet:
    """The cold set in force since ``since`` (milliseconds since 1970; None without one)."""

    colds: Mapping[str, Cold]
    since: int | None = None

    def registered(self, wanted: Cold) -> None:
        """Raise `Refused` unless ``wanted`` is in force exactly as it is."""
        known = self.colds.get(wanted.name)
        if known is None:
            raise Refused(
                f"{wanted.name} is not registered: nothing is swept to a place that two people have not signed. "
                "`cryptosupport cold propose --operator NAME`, and a second one signs it",
                wallet=wanted.name,
            )
        same = (known.chain, key_of(known.known_by)) == (wanted.chain, key_of(wanted.known_by))
        if not same or (known.address is None) != (wanted.address is None):
            raise Refused(
                f"{wanted.name} was changed: wallets.toml has {wanted.known_by} on {wanted.chain}, and two people "
                f"signed {known.known_by} on {known.chain}. Nothing is swept there: put it back, or have the change "
                "signed (`cryptosupport cold propose`)",
                wallet=wanted.name,
            )


def cold_set(records: Records, versions: Sequence[Operators], fault: Fault) -> ColdSet:
    """The cold set in force, proven by the signatures of two. Raises `Tampered` where one is not."""
    active = signed_of(records, COLD, versions, fault)
    return ColdSet(_read(active[-1]), active[-1].active_at) if active else ColdSet({})


def draft_of_cold(
    before: ColdSet, after: Mapping[str, Cold], others: Mapping[str, str]
) -> tuple[Draft, tuple[str, ...]]:
    """The change to the cold wallets ``after``, and all that differs; ``others`` are the wallets that are not cold, by
    the key of what they are known by.

    Raises `BadInput` where nothing would change, `Refused` for a place that is none.
    """
    for each in after.values():
        if not each.known_by:
            raise BadInput(f"wallets.toml [{each.name}]: a cold wallet needs its address, or its public descriptor")
        if (whose := others.get(key_of(each.known_by))) is not None:
            raise Refused(f"{each.name} is the wallet {whose} itself, which is not cold: its keys are on this desk")
    if dict(before.colds) == dict(after):
        raise BadInput("nothing would change: the cold wallets of wallets.toml are the cold set in force")
    draft = Draft(COLD, content_of_cold(after), "", loosened_cold(before.colds, after))
    return draft, differences(before.colds, after)


def proposed_cold(records: Records, people: People, before: ColdSet) -> tuple[Change | None, tuple[str, ...]]:
    """The cold set that is proposed, None without one, and all that differs from the one in force."""
    proposed = standing(records, COLD, people.fault).proposed
    return proposed, () if proposed is None else differences(before.colds, _read(proposed))


def loosened_by(change: Change, before: ColdSet) -> tuple[str, ...]:
    """Where money may go by a change that it cannot go to by the set in force."""
    return loosened_cold(before.colds, _read(change))


def cold_records(before: ColdSet, proposed: Change | None, named: Mapping[str, Cold]) -> Iterator[dict[str, Any]]:
    """Each cold wallet as a record: in force, proposed, or but ``named`` in wallets.toml."""
    coming = {} if proposed is None else _read(proposed)
    since = None if before.since is None else moment(before.since)
    for each in before.colds.values():
        yield _record(each, "in force", since)
    for name, each in coming.items():
        if before.colds.get(name) != each:
            yield _record(each, "proposed", None)
    for name, each in named.items():
        if each not in (before.colds.get(name), coming.get(name)):
            yield _record(each, "changed" if name in before.colds else "not registered", None)


def _record(cold: Cold, state: str, since: str | None) -> dict[str, Any]:
    told = {"name": cold.name, "chain": cold.chain, "state": state, "since": since}
    return told | {"address": cold.address, "descriptor": cold.descriptor}


def _read(change: Change) -> dict[str, Cold]:
    try:
        return cold_of(change.content)
    except ValueError as error:
        said = f"version {change.number} of the {change.kind} cannot be read: it was changed behind this program"
        raise Tampered(said) from error
