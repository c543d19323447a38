"""Verify the audit log: its chain, what was kept of it elsewhere, and every row that it speaks of.

Nothing that was found ends it: all that can be told is told.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

from cryptosupport.desk.read_export import ExportLine
from cryptosupport.domain.audit import Act, Entry, Head, spelt
from cryptosupport.domain.audit_chain import Chain, Claim, Evidence, Finding, Findings, Recorded, Row, claims_of
from cryptosupport.domain.books import Ledger
from cryptosupport.domain.errors import NoSuchRecord, SupportError, Tampered
from cryptosupport.domain.policy.judging import Judge
from cryptosupport.domain.policy.rules import Policy
from cryptosupport.domain.withdrawal_record import moment
from cryptosupport.domain.withdrawals import canonical

BROKEN = "audit.broken"
"""The kind of the act that says that something was found."""

_AT_ONCE = 1000


def verify(evidence: Evidence, heads: Collection[Head] = (), judge: Judge | None = None, now: int = 0) -> Findings:
    """Hold a ledger against its log, and the log against its chain and against ``heads`` that were kept elsewhere.

    With the ``judge`` of the policy in force, the sums that limits rest on are held against the withdrawals too, as
    they are ``now`` (milliseconds since 1970).
    """
    findings = Findings()
    ending = evidence.ending()
    if ending is None:
        findings.add(Finding("book_missing"))
    chain = Chain(findings, heads)
    claims: list[Claim] = []
    for entry in evidence.entries():
        chain.follow(entry)
        claims += claims_of(entry)
        if len(claims) >= _AT_ONCE:
            evidence.claim(claims)
            claims.clear()
    evidence.claim(claims)
    chain.finish(ending)
    _hold_policies(evidence, findings)
    for page in evidence.rows():
        _hold_rows(page, evidence.claimed(page), findings)
    for claim in evidence.unclaimed():
        if claim.digest:
            findings.add(Finding("row_missing", table=claim.table, subject=shown(claim.name), note=str(claim.number)))
    for finding in () if judge is None else evidence.differing_sums(judge, now):
        findings.add(finding)
    return findings


def judge_of(policy: Callable[[], Policy], warn: Callable[[str], None]) -> Judge | None:
    """The judge of the policy in force; None, and a warning, where there is none or it cannot be read."""
    try:
        read = policy()
        if read.rules:
            return Judge(read)
        why = "there is no policy"
    except SupportError as error:
        why = error.message
    warn(f"the sums that limits rest on were not held against the withdrawals: {why}")
    return None


def tell(
    findings: Findings, ledger: Callable[[], Ledger], alarm: Callable[[str], None], warn: Callable[[str], None]
) -> None:
    """Have what was found written into the log itself, where that can be, and raise the ``alarm`` with it.

    ``ledger`` opens it to write; ``warn`` hears why it cannot be written.
    """
    if findings.sound:
        return
    first = findings.found[0].message
    try:
        if any(each.what == "book_missing" for each in findings.found):
            raise Tampered("the ledger's own row is gone")
        with ledger().act() as records:
            records.log(Act(BROKEN, facts={"findings": str(findings.count), "first": _clean(first)}))
    except SupportError as error:
        warn(f"what was found cannot be written into the log: {error.message}")
    alarm(f"the audit log or what it speaks of was changed: {_counted(findings.count)}; the first: {_clean(first)}")


def refuse(findings: Findings) -> None:
    """Raise `Tampered` for what was found, if anything."""
    if not findings.sound:
        raise Tampered(
            f"the ledger was changed behind this program ({_counted(findings.count)}): pay nothing, keep the database "
            "as it is, and find out who did it",
            findings=findings.count,
        )


def findings_record(findings: Findings) -> dict[str, Any]:
    """What was found, as a record."""
    return {
        "sound": findings.sound,
        "entries": findings.entries,
        "rows": findings.rows,
        "head": findings.head.text,
        "count": findings.count,
        "findings": [finding_record(each) for each in findings.found],
    }


def finding_record(finding: Finding) -> dict[str, Any]:
    """One finding, as a record; absent facts are None."""
    names = ("what", "first", "last", "table")
    subject = None if finding.subject is None else _clean(finding.subject)
    facts = {name: getattr(finding, name) for name in names} | {"subject": subject}
    return facts | {"message": _clean(finding.message)}


def entry_record(entry: Entry) -> dict[str, Any]:
    """An entry of the log, as a record."""
    act = entry.act
    told = {"number": entry.number, "at": _time(entry.at), "kind": act.kind, "subject": act.subject, "who": act.who}
    return told | {"facts": dict(act.facts), "hash": entry.hash}


def shown(name: str) -> str:
    """The key of a row, for people: a request id, or the parts of a JSON list.

    >>> shown('["approve","ab"]')
    'approve ab'
    """
    try:
        parts = json.loads(name) if name.startswith('["') else name
        return " ".join(parts) if isinstance(parts, list) else name
    except (ValueError, TypeError):
        return name


def _hold_rows(page: Sequence[Row], claims: Sequence[Claim | None], findings: Findings) -> None:
    findings.rows += len(page)
    for row, claim in zip(page, claims, strict=True):
        subject = shown(row.name)
        if claim is None and not row.logged:
            continue
        if row.digest is None:
            findings.add(Finding("row_unreadable", table=row.table, subject=subject))
        elif claim is None or not claim.digest:
            findings.add(Finding("row_without_entry", table=row.table, subject=subject))
        elif claim.digest != row.digest:
            findings.add(Finding("row_changed", table=row.table, subject=subject, note=str(claim.number)))
        elif claim.born and not row.logged:
            findings.add(Finding("start_moved", table=row.table, subject=subject))


def _hold_policies(evidence: Evidence, findings: Findings) -> None:
    for hash, text in evidence.policies():
        if hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest() != hash:
            findings.add(Finding("policy_changed", table="policy", subject=hash))


def _counted(count: int) -> str:
    return "1 finding" if count == 1 else f"{count} findings"


def _time(at: int) -> str:
    """A time as ISO 8601; one that is none as it stands there."""
    try:
        return moment(at)
    except (ValueError, OverflowError, OSError, TypeError):
        return str(at)


def _clean(text: str) -> str:
    """What can be written and printed, whatever stood in the database."""
    return text.encode("utf-8", "backslashreplace").decode()


# -- exports ---------------------------------------------------------------------------------------------------------


def export_record(entry: Recorded, previous: str) -> dict[str, Any]:
    """An entry for an export: ``previous`` is the hash before it; see `domain.audit` for how they are bound."""
    names = ("kind", "subject", "who", "facts")
    told = {name: str(getattr(entry, name)) for name in names}
    text = spelt(entry.number, entry.at, **told)
    shown = {"number": entry.number, "at": _time(entry.at)} | {name: told[name] for name in names[:3]}
    return shown | {"previous": previous, "entry": text, "hash": entry.hash}


def exported(entries: Iterable[Recorded], previous: str | None) -> Iterator[dict[str, Any]]:
    """Entries for an export; ``previous`` is the hash of the one before the first.

    Raises `NoSuchRecord` where there is none (None).
    """
    if previous is None:
        raise NoSuchRecord("the log has no entry with the number of --since: see `cryptosupport audit head`")
    for entry in entries:
        yield export_record(entry, previous)
        previous = entry.hash


def verify_export(lines: Iterable[ExportLine], heads: Collection[Head] = (), since: int = 0) -> Findings:
    """Hold an export of the entries behind number ``since`` against its chain, and against ``heads`` kept elsewhere.

    Where it has to end only a head can tell, and of rows it knows nothing.
    """
    findings = Findings()
    chain = Chain(findings, heads)
    first = True
    for line in lines:
        entry = _entry_of(line)
        if entry is None:
            findings.add(Finding("line_unreadable", table="line", subject=str(line.number)))
            continue
        if first and since:
            chain.start(since, str(line.fields.get("previous")))
        first = False
        chain.follow(entry)
        if not _as_it_says(entry, line):
            findings.entry("entry_misspelt", entry.number)
    chain.finish(None)
    return findings


def _entry_of(line: ExportLine) -> Recorded | None:
    """The entry of a line; None where there is none."""
    try:
        told = json.loads(line.fields["entry"])
        texts = (told["kind"], told["subject"], told["who"], canonical(told["facts"]).decode(), line.fields["hash"])
        if all(isinstance(each, str) for each in texts):
            return Recorded(int(told["number"]), int(told["at"]), *texts)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    return None


def _as_it_says(entry: Recorded, line: ExportLine) -> bool:
    """Whether what stands beside the entry in its line is what the entry says, in its one spelling."""
    wanted = export_record(entry, "")
    names = ("number", "at", "kind", "subject", "who")
    beside = all(line.shows(name, str(wanted[name])) for name in names)
    return beside and line.fields["entry"] == wanted["entry"]
