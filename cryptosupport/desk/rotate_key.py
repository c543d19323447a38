"""Rotate the key of personal data: a new one seals everything anew, in small steps, while others go on working.

**Whenever it dies, it is run again.** A key that is in the keyring and not yet in force is the next one; a rotation
that the audit log does not call done goes on; what is under the new key already is left alone. Others seal with the key
in force at every moment, and look it up in the very transaction that they record in, so that nothing new comes under an
old key once a new one is in force.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptosupport.domain.audit import PROGRAM, Act
from cryptosupport.domain.books import Ledger
from cryptosupport.domain.errors import Refused
from cryptosupport.domain.personal import FORGOTTEN, ROTATED, ROTATING, SUBJECT, Keys, missing
from cryptosupport.domain.resealing import InForce, Mark

AT_ONCE = 500
"""So many rows one transaction seals anew; others wait for it."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """What came of it: the key in force, how many texts it sealed now, and what does not open, with the reason.

    ``forgotten`` are the ids of the keys that are gone.
    """

    key_id: str
    before: str | None
    sealed: int
    unopened: tuple[tuple[str, str], ...]
    forgotten: tuple[str, ...] = ()


def rotate_key(
    ledger: Ledger,
    keys: Keys,
    who: str = PROGRAM,
    forget_old: bool = False,
    tell: Callable[[int], None] = lambda count: None,
) -> Rotated:
    """Put a new key in force, or go on where an earlier run ended, and seal everything with it.

    Old keys stay, for backups; with ``forget_old`` they go when nothing in the ledger needs them, which raises
    `Refused` otherwise. ``tell`` hears how many texts are done. What does not open is told and stays as it is. Raises
    `BadSettings` when the key in force is missing.
    """
    with ledger.look() as records:
        before = records.personal.in_force()
    key_id = _next(before, keys)
    if before is None or before.key_id != key_id:
        facts = {"key": key_id, "before": None if before is None else before.key_id}
        with ledger.act() as records:
            records.personal.put_in_force(key_id, Act(ROTATING, SUBJECT, who, facts))
    sealed, unopened = _seal_all(ledger, tell)
    ledger.scrub()
    if not unopened:
        with ledger.act() as records:
            records.log(Act(ROTATED, SUBJECT, who, {"key": key_id, "sealed": str(sealed)}))
    forgotten = _forget(ledger, keys, key_id, who) if forget_old else ()
    return Rotated(key_id, None if before is None else before.key_id, sealed, unopened, forgotten)


def _next(before: InForce | None, keys: Keys) -> str:
    """The key that is to be in force: one that is there and never was, else a new one; half done, the one it is."""
    held = keys.key_ids()
    if before is not None and before.key_id not in held:
        missing(before.key_id)
    if held and (before is None or held[0] != before.key_id):
        return held[0]
    if before is not None and not before.whole:
        return before.key_id
    return keys.make()


def _seal_all(ledger: Ledger, tell: Callable[[int], None]) -> tuple[int, tuple[tuple[str, str], ...]]:
    mark: Mark | None = Mark()
    sealed, unopened = 0, list[tuple[str, str]]()
    while mark is not None:
        with ledger.act() as records:
            step = records.personal.reseal(mark, AT_ONCE)
        sealed += step.sealed
        unopened += step.unopened
        mark = step.mark
        tell(sealed)
    return sealed, tuple(unopened)


def _forget(ledger: Ledger, keys: Keys, key_id: str, who: str) -> tuple[str, ...]:
    """Lose the keys that nothing needs. They are no longer in force: nothing new can come under them meanwhile."""
    with ledger.look() as records:
        needed = {id: count for id, count in records.personal.counts().items() if id not in ("", key_id)}
    if needed:
        some = ", ".join(f"{count} under {id}" for id, count in needed.items())
        raise Refused(f"old keys are still needed ({some}) and were kept: see `cryptosupport privacy status`")
    old = tuple(id for id in keys.key_ids() if id != key_id)
    if old:
        with ledger.act() as records:
            records.log(Act(FORGOTTEN, SUBJECT, who, {"keys": " ".join(old), "key": key_id}))
        keys.forget(key_id)
    return old


def rotated_record(rotated: Rotated) -> dict[str, Any]:
    """What came of it as a record."""
    return {
        "key": rotated.key_id,
        "before": rotated.before,
        "sealed": rotated.sealed,
        "unopened": [{"place": where, "message": said} for where, said in rotated.unopened],
        "forgotten": list(rotated.forgotten),
    }


def status_record(ledger: Ledger, keys: Keys) -> dict[str, Any]:
    """How personal data is kept, as a record: the key in force, the keys that there are, and texts by their key.

    `clear` counts those in clear, `missing` names keys that something needs and nobody has.
    """
    with ledger.look() as records:
        in_force, counts = records.personal.in_force(), dict(records.personal.counts())
    held, clear = keys.key_ids(), counts.pop("", 0)
    needed = [*counts, *([] if in_force is None else [in_force.key_id])]
    return {
        "key": None if in_force is None else in_force.key_id,
        "rotating": in_force is not None and not in_force.whole,
        "keys": list(held),
        "clear": clear,
        "sealed": counts,
        "missing": sorted(set(needed) - set(held)),
    }
