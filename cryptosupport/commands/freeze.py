"""`freeze`: stop what must not move; one person freezes, two lift."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.context import Context

if TYPE_CHECKING:
    from cryptosupport.context.signing import Hand

_COLUMNS = ("scope", "reason", "by", "since", "expires_at", "expired", "lift_asked_by")
_FIELDS = ("id", *_COLUMNS, "proven", "source", "lifted_at")


@params.group("freeze", epilog='Example: cryptosupport freeze add chain=ethereum --reason "strange outflow"')
def command() -> None:
    """Stop withdrawals: of everything, a chain, asset, wallet, customer or destination.

    A file works as well, also while the ledger is down: `echo all > freeze` in the data
    folder. Whatever a run has seen there is kept in the ledger.
    """


@command.command(epilog='Example: cryptosupport freeze add asset=USDT wallet=hot-eth --reason "depeg" --operator alice')
@click.argument("scopes", nargs=-1, required=True, metavar="SCOPE...")
@click.option("--reason", required=True, metavar="TEXT", callback=params.not_empty, help="Why.")
@click.option("--expires", type=params.Duration(), metavar="TIME", help="Warn after so long; it lifts nothing.")
@params.operator_option("Who freezes; without a signature it counts too, and is told as unproven.")
@params.signing
@params.output
@click.pass_obj
def add(
    context: Context, scopes: tuple[str, ...], reason: str, expires: float | None, operator: str | None, hand: Hand,
    output: str,
) -> None:  # fmt: skip
    """Freeze each SCOPE: all, chain=, asset=, wallet=, customer= or destination=.

    It counts at once, here by a file and everywhere by the ledger. Nothing that it covers
    is allowed, approved or released; what waits goes on when it is lifted.

    \b
    Exit codes: 0 frozen, also when the ledger is down: then on this machine only; 2 no such
    scope, or nothing that the settings know: then nothing is frozen.
    """
    _show(output, context.freeze(scopes, reason, expires, operator, hand), single=len(scopes) == 1)


@command.command(epilog="Example: cryptosupport freeze lift all --operator bob")
@click.argument("scopes", nargs=-1, required=True, metavar="SCOPE...")
@params.operator_option("Who wants it lifted.", required=True)
@params.signing
@params.output
@click.pass_obj
def lift(context: Context, scopes: tuple[str, ...], operator: str, hand: Hand, output: str) -> None:
    """Ask for freezes to be lifted; the second person's word lifts them.

    \b
    Exit codes: 0 lifted; 9 a second person has to say so too; 3 refused; 4 not frozen;
    6 the ledger cannot be reached.
    """
    records = context.lift(scopes, operator, hand)
    context.exit_code = 9 if any(record["lifted_at"] is None for record in records) else 0
    _show(output, records, single=len(scopes) == 1)


@command.command("list", epilog="Example: cryptosupport freeze list --json")
@click.option("--lifted", is_flag=True, help="Those that were lifted too.")
@params.output
@click.pass_obj
def list_(context: Context, lifted: bool, output: str) -> None:
    """List what is frozen, the oldest first.

    \b
    Exit codes: 0 told, also when nothing is; 6 the ledger cannot be reached.
    """
    _show(output, context.freeze_records(lifted))


def _show(output: str, records: list[dict[str, object]], single: bool = False) -> None:
    from cryptosupport.desk.freeze import as_one

    records = [as_one(records)] if single and output == "json" else records
    out.show(output, records, columns=_COLUMNS, fields=_FIELDS, single=single)
