"""How the policy changes: `policy propose`, `sign`, `activate` and `discard`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.commands.operator import show_stand, versions_commands
from cryptosupport.context import Context
from cryptosupport.domain.operators import POLICY

if TYPE_CHECKING:
    from cryptosupport.context.signing import Hand


@click.command(cls=params.Command, epilog="Example: cryptosupport policy propose draft.toml --operator alice")
@click.argument("draft", required=False, type=click.Path(path_type=Path))
@params.operator_option("Who proposes it: one with the role policy.", required=True)
@params.signing
@params.output
@click.pass_obj
def propose(context: Context, draft: Path | None, operator: str, hand: Hand, output: str) -> None:
    """Propose the policy in DRAFT (else policy.toml), and sign it. It counts when two have.

    Shows what differs from the policy in force. What may let more leave waits for
    [approvals] lock from now; what only tightens counts at once.

    \b
    Exit codes: 0 in force; 9 it waits for a signature or its time; 2 no policy; 3 refused; 8 no operators.
    """
    stand, differences = context.propose_policy(draft or context.folder / "policy.toml", operator, hand)
    show_stand(context, output, stand, differences)


@click.command(cls=params.Command, epilog="Example: cryptosupport policy sign --operator bob --key ~/.ssh/id_ed25519")
@params.operator_option("Who signs: one with the role policy.", required=True)
@params.signing
@params.dry_run
@params.output
@click.pass_obj
def sign(context: Context, operator: str, hand: Hand, dry_run: bool, output: str) -> None:
    """Sign the policy that is proposed.

    Shows all that differs from the policy in force, and at a terminal asks before it signs;
    --dry-run only shows. What loosens more than it says, or sooner than [approvals] lock of
    this machine, is refused.

    \b
    Exit codes: 0 in force; 9 it waits for another signature or its time; 3 refused; 4 there is none.
    """
    from cryptosupport.desk.change_desk import Stand

    proposed, differences = context.proposed_policy()
    if proposed is not None:
        loosens = (f"loosens: {each}" for each in proposed.loosens)
        if dry_run:
            return show_stand(context, output, Stand(proposed, (), "your signature"), differences)
        out.confirm(f"sign version {proposed.number} of the policy?", [*differences, *loosens])
    show_stand(context, output, context.sign_policy(operator, hand), differences)


_ACTIVATES = (
    "Put the policy that two have signed in force when its time has come; write policy.toml.\n\n"
    "Approvals that are not complete fall: who approves next has it decided anew."
)

COMMANDS = (propose, sign, *versions_commands(POLICY, "policy", _ACTIVATES, lambda context: context.people))
