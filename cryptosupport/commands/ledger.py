"""`ledger`: the database of withdrawals and decisions."""

from __future__ import annotations

from pathlib import Path

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.context import Context


@params.group("ledger", epilog="Example: cryptosupport ledger backup /backups/ledger-monday.db")
def command() -> None:
    """Look after the ledger, the database of withdrawals and of what was decided."""


@command.command(epilog="Example: cryptosupport ledger upgrade --json")
@params.output
@click.pass_obj
def upgrade(context: Context, output: str) -> None:
    """Bring the ledger's tables up to date, or make them in an empty database.

    There is no way back: take a backup first, and stop other runs.

    \b
    Exit codes: 0 done, or nothing to do; 6 the ledger cannot be reached;
    8 the url is wrong, or a newer version made the ledger.
    """
    from cryptosupport.ledger import schema
    from cryptosupport.ledger.engine import bare_url

    engine = context.ledger_engine()
    before, after = schema.upgrade(engine)
    record = {"url": bare_url(engine), "before": before, "after": after}
    out.show(output, [record], columns=tuple(record), single=True, detail=_upgraded)


@command.command(epilog="Example: cryptosupport ledger status --json")
@params.output
@click.pass_obj
def status(context: Context, output: str) -> None:
    """Say where the ledger is, which revision its tables have, and what it holds.

    \b
    Exit codes: 0 told (also where there is no ledger yet); 6 the ledger cannot be
    reached; 8 the url is wrong, or a newer version made the ledger.
    """
    from cryptosupport.ledger import schema

    record = schema.status(context.ledger_engine())
    out.show(output, [record], columns=tuple(record), single=True, detail=_stands)


@command.command(epilog="Example: cryptosupport ledger backup /backups/ledger-monday.db --json")
@click.argument("file", type=click.Path(path_type=Path))
@params.output
@click.pass_obj
def backup(context: Context, file: Path, output: str) -> None:
    """Copy the ledger as it is at one moment to FILE, a new SQLite file, while others go on working.

    To look into a copy, name it as the url in a settings folder of its own. Never pay from a copy.

    \b
    Exit codes: 0 done; 2 FILE is there already or cannot be made; 6 the ledger cannot
    be reached, or the disk is full; 8 the url is wrong, or there is no ledger.
    """
    from cryptosupport.ledger.backup import back_up

    record = {"file": str(file), "rows": back_up(context.ledger_engine(), file)}
    out.show(output, [record], columns=tuple(record), single=True, detail=_copied)


def _upgraded(record: out.Record) -> str:
    url = out.printable(record["url"])
    match record["before"], record["after"]:
        case None, after:
            return f"{url}: a new ledger, at revision {after}\n"
        case before, after if before == after:
            return f"{url}: up to date, at revision {after}\n"
        case before, after:
            return f"{url}: upgraded from revision {before} to {after}\n"


def _stands(record: out.Record) -> str:
    revision = record["revision"] or "none: the first `withdraw submit` makes the tables"
    behind = f" (this program needs {record['head']}: run `cryptosupport ledger upgrade`)"
    lines = [
        ("ledger", record["url"]),
        ("database", " ".join(filter(None, (record["dialect"], record["server"])))),
        ("revision", revision + (behind if record["revision"] not in (None, record["head"]) else "")),
        ("size", f"{record['size']} bytes"),
        ("withdrawals", sum(record["withdrawals"].values())),
        *((f"  {state}", number) for state, number in record["withdrawals"].items()),
        ("last decision", record["last_decision_at"]),
    ]
    return out.aligned(lines)


def _copied(record: out.Record) -> str:
    rows = "".join(f"  {number} {name}\n" for name, number in record["rows"].items())
    return f"wrote {out.printable(record['file'])}, whole and checked; rows by table:\n{rows}"
