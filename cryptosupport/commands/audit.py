"""`audit`: the log of all that was done, and whether anybody changed it, or the ledger, behind this program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.context import Context

if TYPE_CHECKING:
    from cryptosupport.domain.audit import Head

_FOUND = ("sound", "entries", "rows", "head", "count", "findings")
_EXPORT = ("number", "at", "kind", "subject", "who", "previous", "entry", "hash")
_TABLE = ("number", "at", "kind", "subject", "who", "facts")
_FIELDS = (*_TABLE, "hash")


@params.group("audit", epilog="Example: cryptosupport audit verify --head-file heads.txt")
def command() -> None:
    """Read the log of all that was done, and verify that nobody changed it.

    Each entry is bound to the one before it: its hash is SHA-256 over the hash of the
    entry before (64 zeros before the first), a line feed, and the entry as canonical
    JSON (RFC 8785), which `audit export` writes as `entry`.
    """


@command.command(epilog="Example: cryptosupport audit verify --head-file heads.txt --json")
@click.option("--head", metavar="NUMBER:HASH", help="The log must still hold this entry: what `audit head` printed.")
@click.option("--head-file", type=params.Source("rb"), metavar="FILE", help="The same for every line of a file.")
@click.option("--file", "export", type=params.Source("rb"), metavar="EXPORT|-", help="Verify an export; no ledger.")
@click.option("--since", type=click.IntRange(min=0), metavar="N", help="The export was made with --since N.")
@params.output
@click.pass_obj
def verify(
    context: Context, head: str | None, head_file: IO[bytes] | None, export: IO[bytes] | None, since: int | None,
    output: str,
) -> None:  # fmt: skip
    """Find whatever was changed, taken away, put in or moved, in the log and in the ledger.

    The whole log is held against its chain, each withdrawal, freeze, statement, note,
    list and version of operators and policy against what the log says of it, and the
    sums that limits rest on against the withdrawals, by the policy in force. Who can
    write the whole log anew is caught by a head that was kept elsewhere: let cron store
    what `audit head` prints where this machine cannot change it.

    What is found is written into the log too.

    \b
    Exit codes: 0 sound; 2 a head or an export cannot be read; 3 something was changed,
    each told; 6 the ledger cannot be reached; 8 the url is wrong, or there is no ledger.
    """
    from cryptosupport.desk import verify_audit as desk
    from cryptosupport.desk.read_export import read_export

    heads = _heads(head, head_file)
    if export is not None:
        findings = desk.verify_export(read_export(export), heads, since or 0)
    elif since is not None:
        raise click.UsageError("--since is that of an export: name it by --file")
    else:
        log, judge = context.audit_log(), desk.judge_of(lambda: context.policy, context.warn)
        with log.evidence() as evidence:
            findings = desk.verify(evidence, heads, judge, context.clock.milliseconds())
        desk.tell(findings, context.ledger, _alarm(context), context.warn)
    record = desk.findings_record(findings)
    out.show(output, [record], columns=_FOUND, single=True, detail=_told)
    desk.refuse(findings)


@command.command(epilog="Example: cryptosupport audit head >> /mnt/elsewhere/heads.txt")
@params.output
@click.pass_obj
def head(context: Context, output: str) -> None:
    """Print the last entry's number and hash, NUMBER:HASH, to be kept where nobody here can change it.

    \b
    Exit codes: 0 told; 3 the log does not end as the ledger says; 6 the ledger cannot
    be reached; 8 the url is wrong, or there is no ledger.
    """
    from cryptosupport.domain.withdrawal_record import moment

    last, at = context.audit_log().head()
    record = {"number": last.number, "hash": last.hash, "at": None if at is None else moment(at)}
    out.show(output, [record], columns=tuple(record), single=True, detail=lambda _: f"{last.text}\n")


@command.command(epilog="Example: cryptosupport audit export --since 120000 -o csv > log.csv")
@click.option("--since", type=click.IntRange(min=0), default=0, metavar="N", help="Only the entries behind number N.")
@params.output
@click.pass_obj
def export(context: Context, since: int, output: str) -> None:
    """Print every entry, so that anybody can compute the chain anew, without this ledger.

    Without -o it is JSON, one entry a line. `previous` is the hash of the entry before;
    `hash` has to be SHA-256 over `previous`, a line feed, and `entry`, all as UTF-8.
    `audit verify --file` does that.

    \b
    Exit codes: 0 done; 4 there is no entry N; 6 the ledger cannot be reached; 8 the url
    is wrong, or there is no ledger.
    """
    from cryptosupport.desk.verify_audit import exported

    log = context.audit_log()
    records = exported(log.recorded(since), log.hash_of(since))
    out.show("jsonl" if output == "table" else output, records, columns=_EXPORT)


@command.command(epilog="Example: cryptosupport audit log --subject w-1001 --since 24h")
@click.option("--subject", metavar="ID", help="Only of this request id, freeze, list or operator.")
@click.option("--kind", metavar="KIND", help="Only of this kind, such as withdrawal.rejected.")
@click.option("--who", metavar="WHO", help='Only by them, as the log has it: "operator alice".')
@click.option("--since", type=params.Moment(), metavar="TIME", help="Only later than this: 2026-11-21, or 24h ago.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="The last N.")
@params.output
@click.pass_obj
def log(
    context: Context, subject: str | None, kind: str | None, who: str | None, since: int | None, limit: int, output: str
) -> None:
    """List what was done, the newest last.

    \b
    Exit codes: 0 listed; 3 an entry was changed and cannot be read; 6 the ledger cannot
    be reached; 8 the url is wrong, or there is no ledger.
    """
    from cryptosupport.desk.verify_audit import entry_record
    from cryptosupport.ledger.verifying import Asked

    entries = context.audit_log().find(Asked(subject, kind, who, since, limit))
    out.show(output, map(entry_record, entries), columns=_TABLE, fields=_FIELDS)


def _alarm(context: Context) -> Callable[[str], None]:
    """What hears that something was changed; the refusal that follows freezes everything, as [freeze] auto says."""
    return context.warn


def _heads(head: str | None, file: IO[bytes] | None) -> Sequence[Head]:
    from cryptosupport.domain.audit import read_head

    lines = params.Lines([] if head is None else [head], file)
    return [read_head(line) for line in lines if line.strip()]


def _told(record: out.Record) -> str:
    """For people: what was held against what, and each finding a line."""
    held = f"{record['entries']} entries, {record['rows']} rows"
    if record["sound"]:
        return f"sound: {held}; the log ends with {record['head']}\n"
    lines = "".join(f"  {each['message']}\n" for each in record["findings"])
    rest = record["count"] - len(record["findings"])
    return f"CHANGED: {record['count']} findings in {held}\n{lines}" + (f"  and {rest} more\n" if rest else "")
