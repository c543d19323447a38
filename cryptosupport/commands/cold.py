"""`cold`: the cold set, where money may be swept to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.commands.operator import show_stand, versions_commands
from cryptosupport.context import Context
from cryptosupport.domain.operators import COLD

if TYPE_CHECKING:
    from cryptosupport.context.signing import Hand

_COLUMNS = ("name", "chain", "state", "since", "address", "descriptor")


@params.group("cold", epilog="Example: cryptosupport cold propose --operator alice")
def command() -> None:
    """Register cold wallets: where money may be swept to, because two people signed it."""


@command.command(epilog="Example: cryptosupport cold propose --operator alice")
@params.operator_option("Who proposes it, of ops or compliance.", required=True)
@params.signing
@params.output
@click.pass_obj
def propose(context: Context, operator: str, hand: Hand, output: str) -> None:
    """Propose the cold wallets of wallets.toml as the cold set, and sign it. It counts when two have.

    Shows what differs from the set in force. A wallet that is new or changed waits for
    [approvals] lock from now, the first time too; one that is removed is out at once.

    \b
    Exit codes: 0 in force; 9 it waits for a signature or its time; 2 nothing would change; 3
    refused; 8 no operators.
    """
    show_stand(context, output, *context.propose_cold(operator, hand))


@command.command(epilog="Example: cryptosupport cold sign --operator bob --key ~/.ssh/id_ed25519")
@params.operator_option("Who signs, of ops or compliance.", required=True)
@params.signing
@params.dry_run
@params.output
@click.pass_obj
def sign(context: Context, operator: str, hand: Hand, dry_run: bool, output: str) -> None:
    """Sign the cold set that is proposed: compare each address with what the owner of the cold keys tells you.

    Shows all that differs from the set in force, and at a terminal asks before it signs;
    --dry-run only shows. A set that does not wait as long as [approvals] lock of this machine
    asks for is refused.

    \b
    Exit codes: 0 in force; 9 it waits for another signature or its time; 3 refused; 4 there is none.
    """
    from cryptosupport.desk.change_desk import Stand

    proposed, differences = context.proposed_cold()
    if proposed is not None:
        if dry_run:
            return show_stand(context, output, Stand(proposed, (), "your signature"), differences)
        out.confirm(f"sign version {proposed.number} of the cold set?", differences)
    show_stand(context, output, context.sign_cold(operator, hand), differences)


@command.command("list", epilog="Example: cryptosupport cold list --json")
@params.output
@click.pass_obj
def list_(context: Context, output: str) -> None:
    """List the cold set in force, what is proposed, and what wallets.toml names beside it.

    A wallet that is `not registered`, or `changed` since two people signed it, gets nothing.

    \b
    Exit codes: 0 told; 3 somebody changed it in the database; 6 the ledger cannot be reached.
    """
    out.show(output, context.cold_records(), columns=_COLUMNS)


for each in versions_commands(
    COLD, "cold", "Put the cold set that two have signed in force when its time has come.",
    lambda context: context.people,
):  # fmt: skip
    command.add_command(each)
