"""`withdraw receipt`: the proof that a withdrawal was paid once."""

from __future__ import annotations

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.context import Context

_COLUMNS = ("request_id", "amount", "asset", "chain", "destination", "txid", "height", "confirmations")
_FIELDS = (
    "schema", "request_id", "customer", "asset", "contract", "chain", "amount", "base_units", "destination", "content",
    "txid", "vout", "height", "block_hash", "confirmations", "fee.asset", "fee.amount", "fee.base_units",
    "fee_share.amount", "fee_share.base_units",
    "conflict_set.network", "conflict_set.account", "conflict_set.nonce", "attempts", "why", "checked_at",
)  # fmt: skip


@click.command(cls=params.Command, epilog="Example: cryptosupport withdraw receipt w-7 --json")
@click.argument("request_id")
@params.output
@click.pass_obj
def receipt(context: Context, request_id: str, output: str) -> None:
    """Prove that a withdrawal was paid, and paid once, for a customer or an auditor.

    The nodes are asked at this moment, and the stored bytes are decoded again: which block has
    the payment, what all transactions that were ever made for it have in common, and why none
    of the others can confirm. No customer's data is in it but the id.

    \b
    Exit codes: 0 proven; 3 it is not final, or the ledger was changed; 4 it is not recorded;
    6 nodes or the ledger cannot be reached; 7 nodes contradict the ledger or each other.
    """
    record = context.receipt(request_id)
    out.show(output, [record], columns=_COLUMNS, fields=_FIELDS, single=True, detail=_text)


COMMANDS = (receipt,)


def _text(record: out.Record) -> str:
    """The sentences, then the facts, then every attempt."""
    place, fee, share = record["conflict_set"], record["fee"], record["fee_share"]
    shared = "" if share == fee else f", of which this one bears {share['amount']}"
    facts = [
        ("request_id", record["request_id"]),
        ("customer", record["customer"]),
        ("amount", f"{record['amount']} {record['asset']} ({record['base_units']} base units)"),
        ("contract", record["contract"]),
        ("destination", record["destination"]),
        ("content", f"{record['content']} (SHA-256 of the request)"),
        ("chain", f"{record['chain']}, network {place['network']}"),
        ("account", place["account"]),
        ("nonce", place["nonce"]),
        ("txid", record["txid"]),
        ("block", f"{record['height']} {record['block_hash']}"),
        ("confirmations", record["confirmations"]),
        ("fee", f"{fee['amount']} {fee['asset']}{shared}"),
        ("checked at", record["checked_at"]),
    ]
    told = "".join(f"{out.printable(each)}\n" for each in record["why"])
    attempts = out.aligned((f"  {each['kind']} {each['number']}", _attempt(each)) for each in record["attempts"])
    return f"{told}\n{out.aligned(facts)}\nattempts\n{attempts}"


def _attempt(attempt: out.Record) -> str:
    return f"{attempt['txid'] or 'not signed'}{', which counts' if attempt['counts'] else ''}"
