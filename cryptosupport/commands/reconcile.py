"""`reconcile`: the ledger, its payments, and the chain have to be of one mind."""

from __future__ import annotations

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.context import Context

_COLUMNS = ("wallet", "kind", "subject", "message")


@params.command("reconcile", epilog="Example: cryptosupport reconcile --json")
@params.output
@click.pass_obj
def command(context: Context, output: str) -> None:
    """Hold every hot wallet against the ledger, to the base unit: from cron, once an hour.

    Withdrawals against payments, the bytes of payments against what was asked and what the
    chain has, nonces without a gap, and balances since the last time. A fault freezes its
    wallet, and is written into the audit log. Whoever was paid the same twice within a day
    is a remark. Nothing is printed when all is well.

    \b
    Exit codes: 0 all is well, but for remarks; 3 a fault; 7 nobody can tell of something;
    6 a node or the ledger cannot be reached; 8 the settings are wrong. Of several: the
    first of 3, 7, 6.
    """
    from cryptosupport.desk.reconcile import Tally, finding_record

    context.guard_settings()
    out.show(output, map(finding_record, context.reconcile(Tally())), columns=_COLUMNS)
