"""`doctor`: is this installation fit for work?"""

from __future__ import annotations

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.context import Context

_COLUMNS = ("verdict", "name", "message", "advice")


@params.command("doctor", epilog="Example: cryptosupport doctor --chain ethereum --json")
@params.chain_option("Of one chain only: nodes and wallets, not policy, prices and ledger.")
@click.option(
    "--cron", is_flag=True,
    help="Fail where no `withdraw run` of this machine succeeded lately, or no `sweep run` where wallets have floats, "
    "or a hook is overdue.",
)  # fmt: skip
@click.option(
    "--overdue", type=params.Duration(), default="10m", metavar="DURATION", help="How long ago, with --cron; 10m."
)
@click.option(
    "--overdue-sweep", type=params.Duration(), default="3h", metavar="DURATION", help="The same of `sweep run`; 3h."
)
@params.output
@click.pass_obj
def command(
    context: Context, chain: str | None, cron: bool, overdue: float, overdue_sweep: float, output: str
) -> None:
    """Examine settings, nodes, wallets, keys and the clock: a verdict a line.

    What was changed behind this program is written into the audit log, and freezes the desk.

    \b
    Exit codes: 0 fit for work (there may be warnings); 8 settings are wrong, or with
    --cron a job or a hook is overdue; 6 a node cannot be used. Of both: 8.
    """
    from cryptosupport.desk.diagnose import as_record, diagnose, exit_code

    examined = [*context.cron_verdicts(overdue, overdue_sweep), *context.hook_verdicts()] if cron else []
    verdicts = [*examined, *diagnose(context.installation(), chain)]
    context.exit_code = exit_code(verdicts)
    out.show(output, map(as_record, verdicts), columns=_COLUMNS)
