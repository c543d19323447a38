"""`withdraw`: take requests in, decide them within the limits, and tell where they stand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias

import click

from cryptosupport.commands import approving, params, payments, receipts
from cryptosupport.commands import output as out
from cryptosupport.commands.withdrawals import COLUMNS, EXPLAINING, REVEALED, explained, shown, text_of, unless_locked
from cryptosupport.commands.withdrawals import show as show_all
from cryptosupport.context import Context
from cryptosupport.domain.errors import BadInput, SupportError
from cryptosupport.domain.identifiers import is_secret, shortened
from cryptosupport.domain.operators import Role
from cryptosupport.domain.withdrawals import State

if TYPE_CHECKING:
    from cryptosupport.context.signing import Hand
    from cryptosupport.desk.cases import Premises
    from cryptosupport.desk.list_withdrawals import Unknown
    from cryptosupport.desk.reveal import Personal
    from cryptosupport.desk.take_in import Line, Taken
    from cryptosupport.domain.books import Ledger
    from cryptosupport.domain.withdrawals import Withdrawal
    from cryptosupport.outside.requestfiles import RequestLines

Options: TypeAlias = Mapping[str, str | None]
"""The options that make a request, by the field that they name."""


@params.group("withdraw", epilog="Example: cryptosupport withdraw submit --input requests.jsonl -o jsonl")
def command() -> None:
    """Take withdrawal requests in, decide them within the limits, and tell where they stand."""


@command.command(
    epilog="Example: cryptosupport withdraw submit --request-id w-1 --customer c-7 --asset BTC --chain bitcoin "
    "--amount 0.5 --destination bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
)
@click.option("--request-id", metavar="ID", help="The backend's id of it: one id is one request, for ever.")
@click.option("--customer", metavar="ID", help="Who asked for it.")
@click.option("--asset", metavar="SYMBOL", help="What to pay, by the symbol in the chain's settings.")
@params.chain_option("Where to pay it.")
@click.option("--amount", metavar="DECIMAL", help='How much, such as "1.5".')
@click.option("--destination", metavar="ADDRESS", help="To whom.")
@click.option("--memo", metavar="TEXT", help="What the destination asks for with it (a tag).")
@click.option("--tier", metavar="NAME", help="The customer's tier, one of the policy's.")
@click.option("--country", metavar="CODE", help='The customer\'s country, such as "DE".')
@click.option("--note", metavar="TEXT", help="Anything for people to read.")
@click.option("--input", "source", type=params.Source("rb"), metavar="FILE|-", help="Many requests, one a line.")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), help="Of --input; jsonl unless told.")
@params.operator_option("Who brings it, and signs for that; a signed request is brought by its key.")
@params.signing
@params.dry_run
@params.output
@click.pass_obj
def submit(
    context: Context, /, source: IO[bytes] | None, form: str | None, operator: str | None, hand: Hand, dry_run: bool,
    output: str, **options: str | None,
) -> None:  # fmt: skip
    """Take in one request by options, or many with --input, and decide each by policy.toml.

    What waits from before is decided again first. A request_id that is recorded
    already is answered with what is recorded, and nothing changes. A bad line keeps
    nobody else out. --dry-run keeps other runs waiting until it ends.

    \b
    Exit codes: 0 all allowed; 9 some wait, are held or need approval; 3 some denied;
    2 a bad line. Of several the first that applies of 2, 3, 9, 0.
    """
    from cryptosupport.desk.take_in import Intake
    from cryptosupport.outside.requestfiles import RequestLines

    _refuse_two_ways(options, source, form)
    context.guard_settings()
    _, proven = context.prove(operator, hand, frozenset(Role), "submit")
    lines = None if source is None else RequestLines(source)
    batches = _batches(context, options, source, lines, form, operator)
    with _books(context, dry_run) as (ledger, premises):
        vouched = context.people.vouched
        intake = Intake(ledger, premises, _telling(context), context.same_policy, proven=proven, vouched=vouched)
        rows = out.progress(intake.take_in(batches), lines, context.options.quiet, "taking in")
        show_all(output, _taken(context, ledger, rows, lines is None), lines is None, ("repeated",), text_of(dry_run))


@command.command("list", epilog="Example: cryptosupport withdraw list --state held --since 24h -o csv")
@click.option("--customer", metavar="ID", help="Only this customer's.")
@click.option("--address", metavar="ADDRESS", help="Only those to this destination, in any spelling.")
@click.option("--txid", metavar="TXID", help="Only those that this transaction pays.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([*map(str, State)]),
    metavar="STATE",
    help="Only in this state, such as held (again for more).",
)
@click.option("--since", type=params.Moment(), help="Only those recorded since then: a time in UTC, a day, or 24h.")
@click.option("--overdue", is_flag=True, help="Only those not through after [intake] overdue.")
@params.output
@click.pass_obj
def list_(
    context: Context, customer: str | None, address: str | None, txid: str | None, states: Sequence[str],
    since: int | None, overdue: bool, output: str,
) -> None:  # fmt: skip
    """List withdrawals in the order in which they came.

    \b
    Exit codes: 0 told, also when there is none; 6 the ledger cannot be reached.
    """
    from cryptosupport.desk.payout_record import paid_records
    from cryptosupport.domain.books import Wanted

    destination = None if address is None else _destination(context, address)
    before = _overdue_before(context) if overdue else None
    wanted = Wanted(customer, destination, txid, tuple(map(State, states)), since, before)
    ledger = context.ledger(make=False)
    show_all(output, paid_records(ledger, ledger.withdrawals(wanted), context.coin))


@command.command(epilog="Example: cryptosupport withdraw show w-1 --json")
@click.argument("request_ids", nargs=-1, required=True, metavar="REQUEST_ID...")
@params.reveal
@params.signing
@params.output
@click.pass_obj
def show(
    context: Context, request_ids: tuple[str, ...], revealed_to: tuple[str, str] | None, hand: Hand, output: str
) -> None:
    """Show each withdrawal: its state, what every rule said of it, and every attempt to pay it.

    No node is asked: the fee and the block are what the last pass saw, and confirmations
    are null, for the ledger does not count them (`withdraw receipt` and `tx status` ask).

    What is personal is not shown, unless --reveal asks for it: the audit log has who
    looked and why, and [privacy] reveals_per_hour in desk.toml how often one may.

    \b
    Exit codes: 0 told; 3 too many were revealed within the hour, or what was done to pay one
    was changed behind this program; 4 one is not recorded;
    6 the ledger cannot be reached; 8 the key of personal data is missing.
    """
    from cryptosupport.desk.list_withdrawals import find_each

    ledger, further = context.ledger(make=False), () if revealed_to is None else REVEALED
    to = context.revealing(revealed_to, hand)
    records = _found(context, find_each(ledger, request_ids), lambda row: _shown(context, ledger, row, to))
    columns = (*COLUMNS, *further)
    show_all(output, records, len(request_ids) == 1, ("payouts", *further), shown, columns)


@command.command(epilog="Example: cryptosupport withdraw explain w-1")
@click.argument("request_id")
@params.reveal
@params.signing
@params.output
@click.pass_obj
def explain(context: Context, request_id: str, revealed_to: tuple[str, str] | None, hand: Hand, output: str) -> None:
    """Explain a withdrawal: all decisions on it with every rule and its numbers, and why other rules kept silent.

    What is personal is masked, unless --reveal asks for it: the audit log has who
    looked and why, and [privacy] reveals_per_hour in desk.toml how often one may.

    \b
    Exit codes: 0 told; 3 too many were revealed within the hour; 4 it is not recorded;
    6 the ledger cannot be reached; 8 the key of personal data is missing.
    """
    from cryptosupport.desk.explain_withdrawal import as_record, explain_withdrawal

    ledger = context.ledger(make=False)
    told = explain_withdrawal(ledger, request_id, context.earlier_policy)
    personal = _reveal(context, ledger, told.withdrawal, context.revealing(revealed_to, hand))
    show_all(output, [as_record(told, context.coin, personal)], True, EXPLAINING, explained)


@command.command(epilog="Example: cryptosupport withdraw cancel w-1 --operator alice")
@click.argument("request_id")
@params.operator_option("Who cancels it, and signs for that.")
@params.signing
@params.dry_run
@params.output
@click.pass_obj
def cancel(context: Context, request_id: str, operator: str | None, hand: Hand, dry_run: bool, output: str) -> None:
    """Cancel a withdrawal that nothing has been signed for; limits have its room back at once.

    \b
    Exit codes: 0 cancelled, also when it was so before; 3 it can no longer be cancelled,
    a sanctions list blocks it, or an operator says that it was paid by hand; 4 it is not
    recorded; 6 the ledger cannot be reached.
    """
    from cryptosupport.desk.cancel import cancel as cancel_it
    from cryptosupport.domain.withdrawal_record import withdrawal_record

    context.guard_settings()
    who, _ = context.prove(operator, hand, frozenset(Role), "cancel", (request_id,))
    with _books(context, dry_run) as (ledger, premises):
        with_people = bool(context.people.operators)
        cancelled = withdrawal_record(cancel_it(ledger, premises, request_id, operator, who, with_people))
        show_all(output, [cancelled], True, detail=text_of(dry_run))


@command.command(epilog="Example: cryptosupport withdraw run --fail-if-locked")
@params.dry_run
@click.option("--fail-if-locked", is_flag=True, help="Exit 75 when another run holds the lock, not 0.")
@params.metrics_file
@click.option("--watch", is_flag=True, help="A pass after another until SIGTERM; the last one comes to its end.")
@click.option(
    "--every", type=params.Duration(), default="5s", metavar="DURATION", help="How long between, with --watch; 5s."
)
@params.output
@click.pass_obj
def run(
    context: Context, dry_run: bool, fail_if_locked: bool, metrics: Path | None, watch: bool, every: float, output: str
) -> None:
    """Decide again what waits, pay what is approved, follow what is under way: one pass, for cron.

    Each hot wallet with a signer pays, as many at once as its chain takes. What nobody approved
    in time expires; what a new list has found is held. Old lists and missing prices freeze the
    desk, as [freeze] in desk.toml says. Whatever stops a pass, the next one goes on from it.
    A worker (--watch) reads the settings anew for each pass; -o jsonl tells what moves at once.
    In the end [hooks] are told of what changed; a hook that does not take it holds up nothing.

    \b
    Exit codes: 0 done, also with nothing to do or when another run is at it; 7 of some
    nobody can tell yet whether they were paid; 6 a node or the ledger cannot be reached;
    5 a wallet does not hold enough; 8 the settings are wrong; 75 with --fail-if-locked.
    """
    from cryptosupport.context.running import one_pass, passes

    if watch and (dry_run or fail_if_locked):
        raise click.UsageError("--watch goes on until it is stopped: leave out --dry-run and --fail-if-locked")
    context.guard_settings()
    moved: Iterable[out.Record] = ()
    with unless_locked(context, fail_if_locked):
        if watch:
            moved = passes(context, lambda it: _books(it, False), metrics, every)
        else:
            moved = one_pass(context, _books(context, dry_run), dry_run, metrics)
    show_all(output, moved)


for each in (*approving.COMMANDS, *payments.COMMANDS, *receipts.COMMANDS):
    command.add_command(each)


# -- reading what is asked -------------------------------------------------------------------------------------------


def _refuse_two_ways(options: Options, source: IO[bytes] | None, form: str | None) -> None:
    """Raise `UsageError` unless requests come in one way: by options, or by --input."""
    named = ", ".join(f"--{name.replace('_', '-')}" for name, text in options.items() if text is not None)
    if source is None and not named:
        raise click.UsageError(
            "name one request by --request-id, --customer, --asset, --chain, --amount and --destination, or many by "
            "--input FILE (--input - for stdin)"
        )
    if source is not None and named:
        raise click.UsageError(f"--input brings whole requests: leave out {named}, or leave out --input")
    if source is None and form is not None:
        raise click.UsageError("--format is that of --input: give both")


def _batches(
    context: Context, options: Options, source: IO[bytes] | None, lines: RequestLines | None, form: str | None,
    maker: str | None,
) -> Iterable[Sequence[Line]]:  # fmt: skip
    """The requests, in batches to be decided together."""
    from cryptosupport.desk.read_requests import one_request, requests_of

    if not context.policy.rules:
        context.warn(f"{context.folder / 'policy.toml'} has no rules: every request is denied")
    if lines is None:
        fields = {name: text for name, text in options.items() if text is not None}
        return [[one_request(fields, context.intake(), maker)]]
    kind = "stdin" if source is getattr(sys.stdin, "buffer", None) else "file"
    return requests_of(lines, form or "jsonl", context.intake(), kind, maker, lines.ready)


def _destination(context: Context, address: str) -> str:
    """An address as the ledger has it; what no chain reads as one is looked for as it is."""
    from cryptosupport.desk.list_withdrawals import normal_address

    normal = normal_address(address, context.intake())
    if normal is None:
        context.warn(f"no configured chain reads {shortened(address)} as an address: it is looked for just so")
    return normal or address


def _overdue_before(context: Context) -> int:
    from cryptosupport.settings import milliseconds

    return context.clock.milliseconds() - milliseconds(context.desk.intake.overdue)


# -- doing it --------------------------------------------------------------------------------------------------------


@contextmanager
def _books(context: Context, dry_run: bool) -> Iterator[tuple[Ledger, Premises]]:
    """The ledger, and what decisions rest on. In a dry run nothing is recorded."""
    from cryptosupport.desk.rehearse import rehearsal

    ledger, premises = context.ledger(make=not dry_run), context.premises()
    with rehearsal(ledger, premises.judge) if dry_run else nullcontext(ledger) as books:
        yield books, premises
    if dry_run:
        context.note("dry run: nothing was recorded")


def _telling(context: Context) -> Callable[[Withdrawal], None]:
    """Tell a person who has waited long enough."""
    return lambda moved: context.note(f"{moved.request.request_id} waited, and is {moved.state} now")


# -- records ---------------------------------------------------------------------------------------------------------


def _taken(context: Context, ledger: Ledger, rows: Iterable[Taken], single: bool) -> Iterator[out.Record]:
    """What came of each line as records; the exit code follows the worst one told so far.

    Raises `BadInput` when the only one cannot be used.
    """
    from cryptosupport.desk.payout_record import paid_records
    from cryptosupport.domain.withdrawal_record import exit_code, worst

    codes: set[int] = set()
    for taken in rows:
        line, result = taken.line, taken.result
        if isinstance(result, BadInput):
            if single:
                raise result
            codes.add(exit_code(None))
            context.exit_code = worst(codes)
            yield {"line": line.number, "input": line.text, "error": _error(result)}
        else:
            codes.add(exit_code(result.decision.outcome))
            context.exit_code = worst(codes)
            (record,) = paid_records(ledger, [result], context.coin)
            yield record | {"repeated": taken.repeated}


def _reveal(
    context: Context, ledger: Ledger, withdrawal: Withdrawal, to: tuple[str, str] | None
) -> Personal | None:  # fmt: skip
    """What is personal of a withdrawal, where an operator asked for it and said why."""
    from cryptosupport.desk.reveal import reveal

    return None if to is None else reveal(ledger, withdrawal, *to, context.reveals_per_hour)


def _shown(context: Context, ledger: Ledger, row: Withdrawal, to: tuple[str, str] | None) -> out.Record:
    """The record of a withdrawal with what was done to pay it, and with what is revealed."""
    from cryptosupport.desk.payout_record import history_record
    from cryptosupport.desk.reveal import personal_record

    record, personal = history_record(ledger, row, context.coin), _reveal(context, ledger, row, to)
    return record if personal is None else record | {"personal": personal_record(personal)}


def _found(
    context: Context, rows: Iterable[Withdrawal | Unknown], record_of: Callable[[Withdrawal], out.Record]
) -> Iterator[out.Record]:
    """The withdrawals as records; the exit code is 4 from the first that is not recorded on."""
    from cryptosupport.desk.list_withdrawals import Unknown

    for row in rows:
        if isinstance(row, Unknown):
            context.exit_code = row.error.exit_code
            yield {"input": "…" if is_secret(row.request_id) else row.request_id, "error": _error(row.error)}
        else:
            yield record_of(row)


def _error(error: SupportError) -> out.Record:
    return {"code": error.code, "message": error.message}
