"""What is done to payments that are under way: `withdraw bump` and `withdraw kill`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cryptosupport.commands import params
from cryptosupport.commands.withdrawals import show
from cryptosupport.context import Context
from cryptosupport.domain.operators import Role

if TYPE_CHECKING:
    from cryptosupport.context.signing import Hand

_ROLES = frozenset({Role.OPS, Role.APPROVER, Role.COMPLIANCE})


@click.command(cls=params.Command, epilog="Example: cryptosupport withdraw bump w-7 --operator alice")
@click.argument("request_id")
@params.operator_option("Who raises it, and signs for that: ops, an approver, or compliance.", required=True)
@params.signing
@params.output
@click.pass_obj
def bump(context: Context, request_id: str, operator: str, hand: Hand, output: str) -> None:
    """Give a payment that waits for a block a higher fee, now.

    It stays the same payment: at most one of all its versions can ever count. Runs do the same
    by themselves after [bump] after, up to the caps of the chain's settings.

    \b
    Exit codes: 0 sent; 3 refused (a role, a cap, a block has it already); 4 nothing is under
    way; 6 a node or the ledger cannot be reached; 75 another worker has the wallet.
    """
    from cryptosupport.desk.outbid import bump as bump_it

    _replace(context, request_id, operator, hand, output, bump_it, "bump")


@click.command(cls=params.Command, epilog="Example: cryptosupport withdraw kill w-7 --operator alice")
@click.argument("request_id")
@params.operator_option("Who kills it, and signs for that: ops, an approver, or compliance.", required=True)
@params.signing
@params.output
@click.pass_obj
def kill(context: Context, request_id: str, operator: str, hand: Hand, output: str) -> None:
    """Take the place of a payment that is under way with a payment to ourselves.

    Until one of the two is final nobody knows which one counts: it is `cancelling`, and
    nothing may be refunded. What a block has already cannot be killed.

    \b
    Exit codes: 0 sent; 3 refused (a role, a cap, a block has it already); 4 nothing is under
    way; 6 a node or the ledger cannot be reached; 75 another worker has the wallet.
    """
    from cryptosupport.desk.outbid import kill as kill_it

    _replace(context, request_id, operator, hand, output, kill_it, "kill")


COMMANDS = (bump, kill)


def _replace(
    context: Context, request_id: str, operator: str, hand: Hand, output: str, replace_it: object, what: str
) -> None:
    from cryptosupport.desk.list_withdrawals import find
    from cryptosupport.desk.payout_record import paid_records

    context.guard_settings()
    ledger, premises = context.ledger(), context.premises()
    who, _ = context.prove(operator, hand, _ROLES, what, (request_id,))
    withdrawal = find(ledger, request_id)
    shift = replace_it(context.paying(ledger, premises), context.till_of(withdrawal), withdrawal, who)  # type: ignore[operator]
    context.tell_paid(shift)
    show(output, paid_records(ledger, [find(ledger, request_id)], context.coin), True)
