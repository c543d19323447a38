"""Screening lists: importing them, each in one transaction, and reading them back as they were imported.

The audit log has of every import what the list was then. Whoever adds, changes or removes a row in the database cannot
change that too: a list that is no longer as its last import said is not relied on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from cryptosupport.domain.audit import PROGRAM, Act, Entry
from cryptosupport.domain.books import Ledger, Records
from cryptosupport.domain.errors import BadInput, BadList, Refused, SupportError, Tampered
from cryptosupport.domain.identifiers import shortened
from cryptosupport.domain.requests import utc_milliseconds
from cryptosupport.domain.screening import Hit, Listed, ListHead, ListKind, Lists, digest
from cryptosupport.domain.wording import iso_time

IMPORTED, REMOVED = "screen.imported", "screen.removed"
"""What the audit log calls an import, and a list that was taken away."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_STOPPING = (ListKind.SANCTIONS, ListKind.BLOCK)
_DAY = 86_400_000
_LONGEST = 500
_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import brought about; ``examples`` of what was added and delisted are a few.

    ``stopped`` are entries of allow lists that sanctions or a block list stop, where this list is one of the two.
    ``freed`` are customers who had an allow list until now, and may use any address from now on. ``repaired`` says what
    had been changed behind the program, and is right again.
    """

    head: ListHead
    sha256: str
    added: int
    delisted: int
    unchanged: int
    examples: tuple[tuple[Listed, ...], tuple[Listed, ...]]
    stopped: tuple[tuple[Listed, Hit], ...]
    freed: tuple[str, ...]
    repaired: str | None


@dataclass(frozen=True, slots=True)
class Checked:
    """A list as the ledger has it, and as the audit log has its last import; ``fault`` says how they differ.

    ``head`` is None where it is gone, ``said`` where nobody imported it. ``removed`` is the number of the entry that
    took it away last, before it was imported again.
    """

    name: str
    head: ListHead | None
    entries: tuple[Listed, ...]
    said: Entry | None
    fault: str | None
    removed: int | None = None


@dataclass(frozen=True, slots=True)
class _File:
    """What is to be imported, each address (and customer) once."""

    name: str
    kind: ListKind
    source: str
    as_of: int | None
    sha256: str
    entries: Mapping[tuple[str, str], Listed]
    who: str


def import_list(
    ledger: Ledger, name: str, kind: ListKind, source: str, as_of: int | None, entries: Iterable[Listed], *,
    shrink: bool = False, older: bool = False, who: str = PROGRAM, sha256: str = "", trusted: bool = True,
) -> Imported:  # fmt: skip
    """Make ``entries`` of the file ``source`` the list ``name``: what is not among them is delisted.

    ``as_of`` is the moment that the file names (milliseconds since 1970), ``sha256`` its hash. Raises `BadInput` for a
    bad name; `BadList` for a list of another kind under this name, an empty list, or one of a time to come; `Refused`
    for one that is older than the list or names no time any more, unless ``older``, and for one of less than half of
    the entries, unless ``shrink``. Who is not ``trusted`` may only renew a list of sanctions that is there, and accept
    neither.
    """
    if not _NAME.fullmatch(name):
        raise BadInput(f'"{shortened(name)}" names no list: write small letters, digits, dots and dashes, such as ofac')
    file = _File(name, kind, shortened(source), as_of, sha256, _merged(entries), who)
    with ledger.act() as records:
        before = next((each for each in check_lists(records, name)), Checked(name, None, (), None, None))
        refusal = None if trusted else _distrust(file, before, shrink or older)
        refusal = refusal or _refusal(file, before, records.now, shrink, older)
        if refusal is None:
            return _import(records, file, before)
    refusal.facts = {"list": name, "kind": kind.value, "source": file.source, "sha256": sha256}
    raise refusal


def load_lists(records: Records) -> Lists:
    """All lists. Raises `Tampered` when one is not as it was imported last."""
    lists = []
    for each in check_lists(records):
        if each.fault is not None:
            raise changed(each.name, each.fault)
        assert each.head is not None  # else that is the fault
        lists.append((each.head, each.entries))
    return Lists(lists)


class ListReader:
    """Reads the lists for one transaction after another; those that nobody imported meanwhile are read once."""

    def __init__(self) -> None:
        self._lists: Lists | None = None

    def __call__(self, records: Records) -> Lists:
        """All lists as they count in this transaction. Raises `Tampered`."""
        if self._lists is None or self._lists.heads != tuple(sorted(records.lists(), key=lambda head: head.name)):
            self._lists = load_lists(records)
        return self._lists


def check_lists(records: Records, name: str | None = None) -> list[Checked]:
    """Each list (or ``name`` only) held against what the audit log says of its last import."""
    heads = {head.name: head for head in records.lists()}
    said = records.last_acts(IMPORTED)
    removed = records.last_acts(REMOVED, said) if said else {}
    for each, entry in removed.items():
        if entry.number > said[each].number:
            del said[each]
    names = sorted(heads.keys() | said.keys()) if name is None else [name] if name in heads or name in said else []
    checked = []
    for each in names:
        entries = tuple(records.listed(each))
        fault = _fault(heads.get(each), entries, said.get(each), each in removed)
        last = removed[each].number if each in removed else None
        checked.append(Checked(each, heads.get(each), entries, said.get(each), fault, last))
    return checked


# -- as it was imported ----------------------------------------------------------------------------------------------


def _fault(head: ListHead | None, entries: tuple[Listed, ...], said: Entry | None, removed: bool) -> str | None:
    if said is None:
        return "it was removed" if removed else "it was never imported"
    if head is None:
        return "it is gone"
    facts = said.act.facts
    now = {"kind": head.kind.value, "as_of": _iso(head.as_of), "entries": str(head.entries), "digest": head.digest}
    wrong = [name for name, value in now.items() if facts.get(name) != value]
    if head.imported_at != said.at:
        wrong.append("imported_at")
    if wrong:
        return f"its {', '.join(wrong)} are not those of the import"
    if len(entries) != head.entries:
        return f"it has {len(entries)} entries, and {head.entries} were imported"
    return "its entries are not those that were imported" if digest(entries) != head.digest else None


def changed(name: str, fault: str) -> Tampered:
    """What is to be said of a list that is not as it was imported, in the same words whoever finds it."""
    return Tampered(
        f"the list {name} was changed in the database behind this program: {fault}; pay nothing, "
        f"import it again (`cryptosupport screen import FILE --list {name}`), and find out who did it",
        list=name,
    )


def _iso(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else iso_time(milliseconds // 1000)


# -- importing -------------------------------------------------------------------------------------------------------


def _merged(entries: Iterable[Listed]) -> dict[tuple[str, str], Listed]:
    """The entries, each address and customer once: for several coins, or as that of several parties, it stands once."""
    merged: dict[tuple[str, str], Listed] = {}
    for each in entries:
        place = (each.key, each.customer)
        known = merged.setdefault(place, each)
        if known is not each:
            merged[place] = replace(
                known,
                entry=_joined(known.entry, each.entry),
                label=_joined(known.label, each.label),
                tag=_joined(known.tag, each.tag),
                since=max(known.since, each.since),
            )
    return merged


def _joined(one: str, other: str) -> str:
    if not other or other in one.split("; "):
        return one
    return f"{one}; {other}"[:_LONGEST] if one else other


def _distrust(file: _File, before: Checked, accepts: bool) -> SupportError | None:
    """Why a file is not taken from somebody who is not proven to be of ops or compliance."""
    what = None
    if accepts:
        what = "--accept-shrink and --accept-older"
    elif file.kind is not ListKind.SANCTIONS:
        what = f"a list of kind {file.kind.value}"
    elif before.said is None:
        what = f"a new list, and there is no {file.name}"
    if what is None:
        return None
    return Refused(
        f"{what}: that takes --operator NAME, of ops or compliance, who signs; without one, a list of sanctions that "
        "is there can be renewed, and nothing else"
    )


def _refusal(file: _File, before: Checked, now: int, shrink: bool, older: bool) -> SupportError | None:
    """Why a file is not taken. What was before is what the audit log says: rows could have been changed."""
    said = {} if before.said is None else before.said.act.facts
    kind, as_of = said.get("kind"), said.get("as_of")
    count = max(len(before.entries), int(said.get("entries") or 0))
    again = f"`cryptosupport screen import FILE --list {file.name}`"
    if kind is not None and kind != file.kind:
        return BadList(f"{file.name} is a list of kind {kind}, not {file.kind}: import this one under another name")
    if not file.entries and not (shrink and count and file.kind is not ListKind.SANCTIONS):
        return BadList(f"{file.source} has no address in it, and {file.name} stays as it is: look at the file")
    if file.as_of is not None and file.as_of > now + _DAY:
        return BadList(f"{file.source} says that it is of {_iso(file.as_of)}, which is to come: look at the file")
    if as_of is not None and not older:
        if file.as_of is None:
            return Refused(f"{file.source} does not tell of when it is, and {file.name} was of {as_of}: --accept-older")
        if file.as_of // 1000 * 1000 < utc_milliseconds(as_of):
            of = f"{file.source} is of {_iso(file.as_of)}, and {file.name} was imported as of {as_of}"
            return Refused(f"{of}: older files take back what came since; get the new one, or {again} --accept-older")
    if len(file.entries) * 2 < count and not shrink:
        left = f"{file.source} has {len(file.entries)} entries, and {file.name} had {count}"
        return Refused(f"{left}: was the file cut short? Look at it; if it is right, {again} --accept-shrink")
    return None


def _import(records: Records, file: _File, before: Checked) -> Imported:
    was = {(each.key, each.customer): each for each in before.entries}
    known = was if before.fault is None else {}  # how long an entry was there is not taken from changed rows
    entries = {place: _dated(each, known.get(place), records.now) for place, each in file.entries.items()}
    added = [each for place, each in entries.items() if place not in was]
    changed = [each for place, each in entries.items() if place in was and each != was[place]]
    delisted = [each for place, each in was.items() if place not in entries]
    unlisted = {each.customer for each in delisted} - {each.customer for each in entries.values()}
    seal = digest(entries.values())
    head = ListHead(file.name, file.kind, file.source, file.as_of, records.now, len(entries), seal)
    imported = Imported(
        head=head,
        sha256=file.sha256,
        added=len(added),
        delisted=len(delisted),
        unchanged=len(entries) - len(added),
        examples=(tuple(added[:_EXAMPLES]), tuple(delisted[:_EXAMPLES])),
        stopped=_stopped(records, head, entries.values()),
        freed=_freed(records, head, unlisted),
        repaired=before.fault,
    )
    records.set_list(head, [*added, *changed], delisted, Act(IMPORTED, file.name, file.who, _facts(imported)))
    return imported


def _dated(entry: Listed, known: Listed | None, now: int) -> Listed:
    """An entry with the time since when it is listed: as it was, unless the file tells of a later one."""
    since = entry.since or now if known is None else max(known.since, entry.since)
    return entry if since == entry.since else replace(entry, since=since)


def _facts(imported: Imported) -> dict[str, str | None]:
    head = imported.head
    numbers = {
        "entries": head.entries,
        "added": imported.added,
        "delisted": imported.delisted,
        "stopped": len(imported.stopped),
        "freed": len(imported.freed),
    }
    facts = {name: str(number) for name, number in numbers.items()}
    named = {"kind": head.kind.value, "source": head.source, "as_of": _iso(head.as_of)}
    return {**named, **facts, "digest": head.digest, "sha256": imported.sha256, "repaired": imported.repaired}


def _stopped(records: Records, head: ListHead, entries: Iterable[Listed]) -> tuple[tuple[Listed, Hit], ...]:
    """What an import means for allow lists: they are screened anew with each list, and each of them as it comes."""
    if head.kind is ListKind.MEMO:
        return ()
    opposite = (ListKind.ALLOW,) if head.kind in _STOPPING else _STOPPING
    others = [(each, records.listed(each.name)) for each in records.lists() if each.kind in opposite]
    return tuple(Lists([(head, entries), *others]).stopped_allowed())


def _freed(records: Records, head: ListHead, gone: set[str]) -> tuple[str, ...]:
    if head.kind is not ListKind.ALLOW or not gone:
        return ()
    others = [each for each in records.lists() if each.kind is ListKind.ALLOW and each.name != head.name]
    kept = {entry.customer for each in others for entry in records.listed(each.name)}
    return tuple(sorted(gone - kept))
