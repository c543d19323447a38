"""`tx status`, `tx explain`: what happened to a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.context import Context

if TYPE_CHECKING:
    from cryptosupport.domain.transactions import BadLine, Detail, TxReport

_COLUMNS = ("txid", "chain", "state", "confirmations", "summary", "error.message")
_BRIEF_COLUMNS = ("txid", "chain", "state", "error.message")


@params.group("tx", epilog="Example: cryptosupport tx status 0x5c50…2060 --json")
def command() -> None:
    """Say what happened to a transaction."""


@command.command(epilog="Example: cryptosupport tx status --input txids.txt -o csv")
@params.lines("txids", "TXID")
@click.option("--brief", is_flag=True, help="The state only: fastest.")
@click.option("--wait", is_flag=True, help="Look again until final.")
@click.option("--timeout", type=params.Duration(), help="With --wait: stop after this long (90s, 15m).")
@params.chain
@params.own_nodes
@params.no_remember
@params.output
@click.pass_obj
def status(
    context: Context, txids: params.Lines, brief: bool, wait: bool, timeout: float | None,
    chain: str | None, own_nodes: bool, no_remember: bool, output: str,
) -> None:  # fmt: skip
    """Say what happened to each TXID (or link to one).

    \b
    Exit codes: 0 all confirmed; 10 some pending or confirming; 11 some not found;
    12 some failed, replaced or dropped; 6 some could not be looked up; 2 a bad id.
    """
    from cryptosupport.desk.look_up import Wait, tell
    from cryptosupport.domain.record import BRIEF_FIELDS, FIELDS
    from cryptosupport.domain.transactions import Detail

    if timeout is not None and not wait:
        raise click.UsageError("--timeout is for --wait: give both")
    detail = Detail.BRIEF if brief else Detail.FULL
    question = context.question(chain, own_nodes, not no_remember, detail)
    waiting = Wait(timeout, lambda report: context.note(f"{report.txid} {report.state}")) if wait else None
    told = tell(txids, question, single=txids.single, wait=waiting, ready=txids.ready)
    rows = out.progress(told, txids, context.options.quiet)
    out.show(
        output,
        _records(context, context.locale, rows, detail),
        columns=_BRIEF_COLUMNS if brief else _COLUMNS,
        fields=BRIEF_FIELDS if brief else FIELDS,
        single=txids.single,
        detail=_brief_text if brief else _text,
    )


@command.command(epilog="Example: cryptosupport tx explain 0x5c50…2060 --locale zh-CN")
@params.lines("txids", "TXID")
@params.chain
@params.own_nodes
@params.no_remember
@params.output
@click.pass_obj
def explain(
    context: Context, txids: params.Lines, chain: str | None, own_nodes: bool, no_remember: bool, output: str
) -> None:
    """Say at length what happened to TXID: every fact, its source, and what to do next."""
    from cryptosupport.desk.look_up import tell
    from cryptosupport.domain.record import FIELDS
    from cryptosupport.domain.transactions import Detail

    question = context.question(chain, own_nodes, not no_remember, Detail.EXPLAIN)
    rows = tell(txids, question, single=txids.single, ready=txids.ready)
    records = _records(context, context.locale, rows, Detail.EXPLAIN)
    out.show(output, records, columns=_COLUMNS, fields=(*FIELDS, "facts"), single=txids.single, detail=_long_text)


def _records(
    context: Context, language: str, rows: Iterable[TxReport | BadLine], detail: Detail
) -> Iterator[dict[str, Any]]:
    """The rows as records; the exit code follows the worst one told so far."""
    from cryptosupport.domain.record import exit_code, row_record, worst

    codes = set()
    for row in rows:
        code = exit_code(row)
        if code not in codes:
            codes.add(code)
            context.exit_code = worst(codes)
        yield row_record(row, language, detail)


def _brief_text(record: out.Record) -> str:
    return f"{record['state']}\n"


def _text(record: out.Record) -> str:
    """The sentence and the advice first, then the facts that there are."""
    confirmations = record["confirmations"]
    if confirmations is not None and record["required_confirmations"] is not None:
        confirmations = f"{confirmations} of {record['required_confirmations']}"
    lines: list[tuple[str, Any]] = [
        ("transaction", record["txid"]),
        ("chain", record["chain"]),
        ("state", f"{record['state']}{' (final)' if record['final'] else ''}"),
        ("block", record["height"]),
        ("time", record["block_time"]),
        ("confirmations", confirmations),
        *(("transfer", _transfer(transfer)) for transfer in record["transfers"][:20]),
        ("", f"… and {len(record['transfers']) - 20} more" if len(record["transfers"]) > 20 else None),
        ("fee", record["fee"] and f"{record['fee']['amount']} {record['fee']['asset']}"),
        ("failure", record["failure"] and (record["failure"]["message"] or record["failure"]["code"])),
        ("replaced by", record["replaced_by"]),
        *((name.replace("_", " "), value) for name, value in (record["pending"] or {}).items()),
        ("explorer", record["explorer"]),
        ("asked", f"{record['source'] or ', '.join((record['error'] or {}).get('nodes', []))} at {record['as_of']}"),
    ]
    return f"{out.printable(record['summary'])}\n{out.printable(record['advice'])}\n\n{out.aligned(lines)}"


def _transfer(transfer: out.Record) -> str:
    amount = transfer["amount"] or f"{transfer['base_units']} base units of"
    change = " (change)" if transfer.get("change") else ""
    sender = f" from {transfer['from']}" if transfer["from"] else ""
    nameless = "a script without address" if "vout" in transfer else "a new contract"
    return f"{amount} {transfer['asset']}{sender} to {transfer['to'] or nameless}{change}"


def _long_text(record: out.Record) -> str:
    facts = [(fact["name"].replace("_", " "), f"{fact['value']}  [{fact['source']}]") for fact in record["facts"]]
    return f"{_text(record)}\n{out.aligned(facts)}"
