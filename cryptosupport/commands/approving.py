"""What people say of withdrawals: `withdraw approve`, `reject`, `release`, `hold`, and the list of holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.context import Context

if TYPE_CHECKING:
    from cryptosupport.context.signing import Hand

_HOLDS = (
    *("request_id", "since", "age", "customer", "amount", "asset", "blocked", "owner", "reported", "notes", "reason"),
)
_NOUNS = {"approve": "approval", "reject": "rejection", "release": "release", "hold": "hold"}
_SPOKEN = ("request_id", "state", "said_by", "missing")


@click.command(cls=params.Command, epilog="Example: cryptosupport withdraw approve w-3 --operator bob")
@click.argument("request_id")
@params.operator_option("Who approves: an approver, and not who brought it.", required=True)
@params.signing
@params.dry_run
@params.output
@click.pass_obj
def approve(context: Context, request_id: str, operator: str, hand: Hand, dry_run: bool, output: str) -> None:
    """Approve a withdrawal that the rules want people to look at.

    Shows the whole address, earlier payments to it, look-alikes and the rules that asked;
    at a terminal it asks before it signs. The signature is bound to all of that: a later
    change voids it. So does a new policy, a change of operators, and time.

    \b
    Exit codes: 0 approved; 9 more people have to approve; 3 refused (the maker, a role, a
    freeze, the state, something that was found since); 4 it is not recorded; 8 no operators.
    """
    _speak(context, "approve", request_id, operator, hand, None, dry_run, output)


@click.command(
    cls=params.Command, epilog='Example: cryptosupport withdraw reject w-3 --reason "not theirs" --operator bob'
)
@click.argument("request_id")
@click.option("--reason", required=True, metavar="TEXT", callback=params.not_empty, help="Why.")
@params.operator_option("Who rejects: an approver, or compliance.", required=True)
@params.signing
@params.dry_run
@params.output
@click.pass_obj
def reject(
    context: Context, request_id: str, reason: str, operator: str, hand: Hand, dry_run: bool, output: str
) -> None:
    """Reject a withdrawal that nothing has been signed for. That is final; limits have its room back.

    \b
    Exit codes: 0 rejected; 3 refused (blocked by a sanctions list, a role, the state);
    4 it is not recorded; 8 no operators.
    """
    _speak(context, "reject", request_id, operator, hand, reason, dry_run, output)


@click.command(
    cls=params.Command, epilog='Example: cryptosupport withdraw release w-5 --reason "identity seen" --operator carol'
)
@click.argument("request_id")
@click.option("--reason", required=True, metavar="TEXT", callback=params.not_empty, help="Why it may go on.")
@params.operator_option("Who releases: compliance, and not who brought it.", required=True)
@params.signing
@params.dry_run
@params.output
@click.pass_obj
def release(
    context: Context, request_id: str, reason: str, operator: str, hand: Hand, dry_run: bool, output: str
) -> None:
    """Release what holds a withdrawal: it is decided anew, and these holds no longer count.

    What could not be found out stays a hold until it can; limits, approvals and new findings
    count as ever.

    \b
    Exit codes: 0 approved now; 9 it waits, is held for something else, or more people have to
    say so; 3 refused, or denied by the rules; 4 it is not recorded; 8 no operators.
    """
    _speak(context, "release", request_id, operator, hand, reason, dry_run, output)


@click.command(
    cls=params.Command, epilog='Example: cryptosupport withdraw hold w-5 --reason "ask the customer" --operator bob'
)
@click.argument("request_id")
@click.option("--reason", metavar="TEXT", callback=params.not_empty, help="Hold it, and why.")
@click.option("--note", metavar="TEXT", callback=params.not_empty, help="Write this about it; kept as personal data.")
@click.option("--owner", metavar="NAME", callback=params.not_empty, help="Who looks after the hold.")
@click.option("--reported", metavar="REFERENCE", callback=params.not_empty, help="It was reported to an authority.")
@params.operator_option("Who holds or writes: ops, an approver, or compliance.", required=True)
@params.signing
@params.output
@click.pass_obj
def hold(
    context: Context, request_id: str, reason: str | None, note: str | None, owner: str | None,
    reported: str | None, operator: str, hand: Hand, output: str,
) -> None:  # fmt: skip
    """Hold a withdrawal before it is paid (--reason), or write about one that is held.

    \b
    Exit codes: 0 done; 2 nothing to do was given; 3 refused; 4 it is not recorded; 8 no operators.
    """
    texts = {"note": note, "owner": owner, "report": reported}
    if reason is None and not any(texts.values()):
        raise click.UsageError("give --reason to hold it, or --note, --owner or --reported to write about it")
    if reason is not None and any(texts.values()) and hand.elsewhere:
        raise click.UsageError("what is signed elsewhere is one thing at a time: hold it first, then write about it")
    if reason is not None:
        _speak(context, "hold", request_id, operator, hand, reason, False, output)
    _write(context, request_id, texts, operator, hand, output if reason is None else None)


@click.command(cls=params.Command, epilog="Example: cryptosupport withdraw holds -o csv")
@params.output
@click.pass_obj
def holds(context: Context, output: str) -> None:
    """List what is held, the longest first: since when, why, who looks after it.

    \b
    Exit codes: 0 told, also when nothing is; 6 the ledger cannot be reached.
    """
    from cryptosupport.desk.holds import holds as all_holds

    out.show(output, all_holds(context.ledger(make=False)), columns=_HOLDS)


COMMANDS = (approve, reject, release, hold, holds)


def _speak(
    context: Context, action: str, request_id: str, operator: str, hand: Hand, reason: str | None, dry_run: bool,
    output: str,
) -> None:  # fmt: skip
    """Show what is spoken of, ask at a terminal, say it, and tell what came of it."""
    from cryptosupport.desk.approve import speak
    from cryptosupport.desk.list_withdrawals import find
    from cryptosupport.desk.review import review

    context.guard_settings()
    ledger, premises, people = context.ledger(), context.premises(), context.people
    people.need()
    seen = find(ledger, request_id)
    shown = review(ledger, premises, people, seen)
    if dry_run:
        _show(output, _record(seen, shown), _sheet)
        return
    out.confirm(f"{action} {request_id}?", _sheet(_record(seen, shown)).split("\n"))
    spoken = speak(ledger, premises, people, request_id, action, operator, hand, reason, seen)
    shown = review(ledger, premises, people, spoken.withdrawal)
    record = _record(spoken.withdrawal, shown) | {"said_by": list(spoken.by), "missing": spoken.missing}
    context.exit_code = _exit_code(action, spoken.withdrawal.state.value, spoken.missing)
    _show(output, record, _outcome(action))


def _exit_code(action: str, state: str, missing: int) -> int:
    if missing or (action == "release" and state in ("held", "waiting", "awaiting_approval")):
        return 9
    return 3 if action == "release" and state == "rejected" else 0


def _write(
    context: Context, request_id: str, texts: dict[str, str | None], operator: str, hand: Hand, output: str | None
) -> None:
    from cryptosupport.desk.holds import hold_record, write_note
    from cryptosupport.domain.operators import Role

    told = [(kind, text) for kind, text in texts.items() if text is not None]
    if not told:
        return
    context.guard_settings()
    context.people.need()
    ledger = context.ledger()
    roles = frozenset({Role.OPS, Role.APPROVER, Role.COMPLIANCE})
    about = (request_id, *(each for kind, text in told for each in (kind, text)))
    who, _ = context.prove(operator, hand, roles, "write", about)
    for kind, text in told:
        found = write_note(ledger, request_id, kind, text, operator, who)
    if output is not None:
        with ledger.look() as records:
            record = hold_record(found, records.notes(found.id), records.now)
        out.show(output, [record], columns=_HOLDS, single=True, detail=lambda it: out.aligned(it.items()))


def _record(withdrawal: Any, review: dict[str, Any]) -> dict[str, Any]:
    from cryptosupport.domain.withdrawal_record import withdrawal_record

    return withdrawal_record(withdrawal) | {"review": review}


def _show(output: str, record: out.Record, detail: Callable[[out.Record], str]) -> None:
    from cryptosupport.domain.withdrawal_record import FIELDS

    out.show(output, [record], columns=_SPOKEN, fields=(*FIELDS, "said_by", "missing"), single=True, detail=detail)


def _outcome(action: str) -> Callable[[out.Record], str]:
    def told(record: out.Record) -> str:
        state, missing = record["state"].replace("_", " "), record["missing"]
        more = f"; {missing} more {'person has' if missing == 1 else 'people have'} to say so" if missing else ""
        said = f"The {_NOUNS[action]} of {record['request_id']} is recorded: it is {state}{more}."
        return f"{said}\n\n{_sheet(record)}"

    return told


def _sheet(record: out.Record) -> str:
    """All that a checker has to see, the address whole."""
    return out.aligned(_lines(record))


def _lines(record: out.Record) -> Iterator[tuple[str, Any]]:
    review = record["review"]
    yield "request_id", record["request_id"]
    yield "customer", record["customer"]
    yield "amount", f"{record['amount']} {record['asset']} ({record['base_units']} base units) on {record['chain']}"
    yield "value", record["decision"]["value_usd"] and f"{record['decision']['value_usd']} USD"
    yield "destination", record["destination"]
    yield "", review["address"]
    yield "memo", record["memo"]
    yield "brought by", review["maker"] and review["maker"] + ("" if review["maker_proven"] else " (unproven)")
    for voice in review["asked_by"]:
        yield f"  {voice['outcome']}", f"{voice['name']}: {voice['reason']}"
    for other in review["look_alikes"]:
        yield "careful", f"it looks like {other['address']} ({other['of']})"
    paid = [f"{it['amount']} {it['asset']} for {it['customer']} ({it['state']})" for it in review["paid_before"]]
    yield "paid before", "; ".join(paid[:5]) or "never to this address"
    given = review["approvals"]
    if given["needed"]:
        yield "approvals", f"{len(given['given'])} of {given['needed']}: {', '.join(given['given']) or 'nobody yet'}"
    yield "expires", review["expires_at"]
    yield "intent", review["intent"]
