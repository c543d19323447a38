"""What is done to payments beside runs: `withdraw bump`, `withdraw kill` and `withdraw record-external`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cryptosupport.commands import output as out
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
    way; 6 a node or the ledger cannot be reached; 9 it waits for a signature that is made
    elsewhere; 75 another worker has the wallet.
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
    way; 6 a node or the ledger cannot be reached; 9 it waits for a signature that is made
    elsewhere; 75 another worker has the wallet.
    """
    from cryptosupport.desk.outbid import kill as kill_it

    _replace(context, request_id, operator, hand, output, kill_it, "kill")


@click.command(
    "record-external", cls=params.Command,
    epilog="Example: cryptosupport withdraw record-external w-7 --txid 0x4e1c... --operator alice",
)  # fmt: skip
@click.argument("request_id")
@click.option("--txid", required=True, metavar="TXID", help="The transaction that paid it: an id, or a link to it.")
@params.operator_option("Who says so: ops, an approver or compliance, and not who brought it.", required=True)
@params.signing
@params.output
@click.pass_obj
def record_external(context: Context, request_id: str, txid: str, operator: str, hand: Hand, output: str) -> None:
    """Record that a withdrawal was paid by hand, so that no run pays it once more.

    The chain has to show it: the whole amount, of this asset, to this very address, in an
    output that pays no other withdrawal. The first word holds the withdrawal; when a second
    person says so too and the payment is final, the withdrawal is final.

    \b
    Exit codes: 0 it is final; 9 a second person has to say so, or the payment has to become
    final; 2 no transaction id; 3 refused: it pays something else, it is in no block, a run is
    paying the withdrawal, a role; 4 it is not recorded; 6 a node or the ledger cannot be
    reached; 7 nodes contradict each other.
    """
    from cryptosupport.context.recording import claimed
    from cryptosupport.desk.list_withdrawals import find
    from cryptosupport.desk.record_external import record_external as record_it
    from cryptosupport.desk.record_external import recorded_record
    from cryptosupport.domain.withdrawal_record import FIELDS, withdrawal_record

    context.guard_settings()
    ledger, premises = context.ledger(), context.premises()
    paid = claimed(context, find(ledger, request_id).request.chain, txid)
    recorded = record_it(ledger, premises, context.people, request_id, paid, operator, hand)
    context.exit_code = 9 if recorded.missing or not recorded.paid.final else 0
    record = withdrawal_record(recorded.withdrawal) | recorded_record(recorded)
    out.show(output, [record], columns=_RECORDED, fields=(*FIELDS, *_BY_HAND), single=True, detail=_told_by_hand)


COMMANDS = (bump, kill, record_external)
_BY_HAND = ("external.txid", "external.from", "external.height", "external.final", "said_by", "missing")
_RECORDED = ("request_id", "state", *_BY_HAND)


def _told_by_hand(record: out.Record) -> str:
    paid, missing = record["external"], record["missing"]
    waits = [f"{missing} more has to say so"] * bool(missing) + ["it has to become final"] * (not paid["final"])
    said = f"{record['request_id']} is {record['state']}{'; ' * bool(waits)}{' and '.join(waits)}."
    facts = [
        ("amount", f"{record['amount']} {record['asset']} ({record['base_units']} base units) on {record['chain']}"),
        ("destination", record["destination"]),
        ("paid by", paid["txid"]),
        ("from", paid["from"]),
        ("block", f"{paid['height']} {paid['block_hash']}{'' if paid['final'] else ', not final yet'}"),
        ("said by", ", ".join(record["said_by"])),
    ]
    return f"{said}\n\n{out.aligned(facts)}"


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
    context.tell_paid(shift, unsigned=9)
    show(output, paid_records(ledger, [find(ledger, request_id)], context.coin), True)
