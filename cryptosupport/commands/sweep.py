"""`sweep`: what hot wallets hold beyond what they need, and to the cold with it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.commands.withdrawals import show, unless_locked
from cryptosupport.context import Context

_SUMS = ("confirmed", "reserved", "fee_reserve", "available", "floor", "target", "ceiling")
_MOVES = ("surplus", "moved", "fee", "left", "refill")
_PLAN = ("wallet", "asset", "verdict", *(f"{name}.amount" for name in (*_SUMS, "moved", "fee", "refill")), "why")
_AMOUNTS = tuple(f"{name}.{part}" for name in (*_SUMS, *_MOVES) for part in ("amount", "base_units"))
_FIELDS = ("wallet", "chain", "asset", "verdict", *_AMOUNTS, "to", "destination", "why", "error")


@params.group("sweep", epilog="Example: cryptosupport sweep plan")
def command() -> None:
    """Move what hot wallets hold beyond what they need to the cold set, and say what they lack."""


@command.command(epilog="Example: cryptosupport sweep plan hot-eth --json")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@params.output
@click.pass_obj
def plan(context: Context, names: tuple[str, ...], output: str) -> None:
    """Show the arithmetic for each wallet NAME, or every hot wallet with a float; nothing is moved.

    What is available is what blocks have confirmed, without what is reserved for withdrawals
    that are approved or under way, and without what is kept for fees. Above the ceiling
    (verdict sweep) the surplus over the target may go to the cold wallet of the float; below
    the floor (refill) the wallet needs more, up to its target. `wait` says what is in the way.

    \b
    Exit codes: 0 told; 2 a wallet has no float; 3 a payout was changed in the database; 4 there
    is no such wallet; 6 a node or the ledger cannot be reached; 8 the settings are wrong.
    """
    out.show(output, context.sweep_plans(names), columns=_PLAN, fields=_FIELDS)


@command.command(epilog="Example: cryptosupport sweep run --json")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@params.dry_run
@click.option("--fail-if-locked", is_flag=True, help="Exit 75 when another run holds the lock, not 0.")
@params.metrics_file
@params.output
@click.pass_obj
def run(
    context: Context, names: tuple[str, ...], dry_run: bool, fail_if_locked: bool, metrics: Path | None, output: str
) -> None:
    """Sweep the surplus of each wallet NAME, or every hot wallet with a float: one pass, for cron.

    What `sweep plan` calls sweep is recorded, paid and followed like a withdrawal, each once:
    `withdraw run` goes on with it, and `withdraw show` tells of it. Of one asset of a wallet
    one sweep at a time. It goes only to the cold set that two people signed (`cold list`),
    at first a small one. Nothing is printed when there is nothing to do; with --log json stderr
    has a line for each sweep that moved.

    \b
    Exit codes: 0 done, also with nothing to do or when another run is at it; 7 of some nobody
    can tell yet; 6 a node or the ledger cannot be reached; 5 a wallet lacks the fee; 3 a cold
    wallet that is not registered, or was changed; 2 a wallet has no float; 8 the settings are
    wrong; 75 with --fail-if-locked.
    """
    from cryptosupport.context.sweeping import sweep_pass

    context.guard_settings()
    if dry_run:
        planned = (each for each in context.sweep_plans(names) if each["verdict"] == "sweep")
        return out.show(output, planned, columns=_PLAN, fields=_FIELDS)
    moved: Iterable[out.Record] = ()
    with unless_locked(context, fail_if_locked):
        moved = sweep_pass(context, names, metrics)
    show(output, moved)
