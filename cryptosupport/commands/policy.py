"""`policy`: the rules that decide withdrawals, before and after they do."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params, policychanges
from cryptosupport.context import Context

if TYPE_CHECKING:
    from cryptosupport.desk.read_history import Past
    from cryptosupport.domain.money import Asset
    from cryptosupport.domain.policy.rules import Policy

_USAGE = ("rule", "per", "key", "period", "used", "waiting", "limit", "left", "unit", "beyond", "ends_at")
_USAGE_FIELDS = (*_USAGE, "measure")
_CHANGES = ("request_id", "created_at", "customer", "amount", "asset", "value_usd", "before", "after", "why")
_CHANGES_FIELDS = (*_CHANGES, "approvals.before", "approvals.after")
_ANSWER = (
    *("customer", "asset", "chain", "amount", "base_units", "destination", "memo", "tier", "country", "source"),
    *("wallet", "state", "outcome", "approvals", "value_usd", "policy", "rules"),
)
_EVIDENCE = ("identity", "two_factor", "email_confirmed", "beneficiary")

_file = click.Path(path_type=Path)


@params.group("policy", epilog="Example: cryptosupport policy check")
def command() -> None:
    """Look at the rules that decide withdrawals: are they sound, what would they say, what room is left."""


@command.command(epilog="Example: cryptosupport policy check draft.toml --json")
@click.argument("draft", required=False, type=_file)
@params.output
@click.pass_obj
def check(context: Context, draft: Path | None, output: str) -> None:
    """Read policy.toml, or the file DRAFT, and say what nobody can have meant.

    \b
    Exit codes: 0 nothing, or warnings only; 8 an error, or a policy that cannot be read.
    """
    from cryptosupport.desk.check_policy import as_record, check_policy, exit_code

    policy = _policy(context, draft)
    assets, wallets = _settings(context)
    path = draft or context.folder / "policy.toml"
    operators = context.people_in_force.operators
    remarks = check_policy(policy, path, assets, wallets, context.quotes(), context.sources, operators)
    context.exit_code = exit_code(remarks)
    sound = output == "table" and not remarks
    records = [{"hash": policy.hash, "rules": len(policy.rules)}] if sound else map(as_record, remarks)
    out.show(output, records, columns=("level", "rule", "message"), single=sound, detail=_sound)


@command.command(
    epilog="Example: cryptosupport policy explain --customer c-7 --asset BTC --chain bitcoin --amount 0.5 "
    "--destination bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
)
@click.option("--customer", required=True, metavar="ID", help="Who would ask.")
@click.option("--asset", required=True, metavar="SYMBOL", help="For what, by the symbol in the chain's settings.")
@click.option("--chain", required=True, metavar="NAME", help="Where.")
@click.option("--amount", required=True, metavar="DECIMAL", help='How much, such as "1.5".')
@click.option("--destination", required=True, metavar="ADDRESS", help="To whom.")
@click.option("--memo", metavar="TEXT", help="What the destination asks for with it.")
@click.option("--tier", metavar="NAME", help="The customer's tier, one of the policy's.")
@click.option("--country", metavar="CODE", help='The customer\'s country, such as "DE".')
@click.option(
    "--source", default="option", metavar="NAME", help="How it would come: a key's name, file, stdin, option."
)
@click.option("--shown", multiple=True, type=click.Choice(_EVIDENCE), help="Evidence shown just now (again for more).")
@params.output
@click.pass_obj
def explain(context: Context, /, source: str, shown: tuple[str, ...], output: str, **fields: str | None) -> None:
    """Say what would come of a request now, and what every rule has to say of it. Nothing is recorded.

    \b
    Exit codes: 0 whatever the answer; 2 a request that nobody could make;
    6 the ledger cannot be reached; 8 the settings are wrong.
    """
    from cryptosupport.desk.explain_policy import as_record, explain_policy

    intake, now = context.intake(), context.clock.now()
    what_if = explain_policy(context.ledger(make=False), context.premises(), intake, fields, source, shown, now)
    out.show(output, [as_record(what_if)], columns=_ANSWER, single=True, detail=_answered)


@command.command(epilog="Example: cryptosupport policy usage --customer c-7")
@click.option("--customer", metavar="ID", help="Of limits per customer only this one's.")
@click.option("--destination", metavar="ADDRESS", help="Of limits per destination only this one's.")
@click.option("--rule", metavar="NAME", help="Only this rule's.")
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="Else so many of each, the fullest.")
@params.output
@click.pass_obj
def usage(
    context: Context, customer: str | None, destination: str | None, rule: str | None, top: int, output: str
) -> None:
    """Show how much room every limit over time has left now.

    Sums of wallets, assets and the whole desk are all told. `waiting` is what waits
    for room and goes first; a limit in percent is told as such: no node is asked.

    \b
    Exit codes: 0 told; 2 no such rule; 6 the ledger cannot be reached; 8 the settings
    are wrong, or the clock is behind.
    """
    from cryptosupport.desk.show_usage import Asked, as_record, show_usage
    from cryptosupport.domain.policy.judging import Judge
    from cryptosupport.domain.policy.lint import shapes_of

    shapes = list(shapes_of(context.policy, *_settings(context)))
    asked = Asked(customer, _normal(context, destination), rule, top)
    told = show_usage(context.ledger(make=False), Judge(context.policy), shapes, asked)
    out.show(output, map(as_record, told), columns=_USAGE, fields=_USAGE_FIELDS)


@command.command(epilog="Example: cryptosupport policy backtest draft.toml --since 2026-11-01T00:00:00Z")
@click.argument("draft", type=_file)
@click.option("--input", "source", type=params.Source("rb"), metavar="FILE|-", help="Not the ledger: a list in a file.")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), help="Of --input; jsonl unless told.")
@click.option("--since", type=params.Moment(), help="Compare only what came since: a time in UTC, a day, or 24h.")
@click.option("--most", type=click.IntRange(0), default=1000, show_default=True, help="List so many changes.")
@params.output
@click.pass_obj
def backtest(
    context: Context, draft: Path, source: IO[bytes] | None, form: str | None, since: int | None, most: int, output: str
) -> None:
    """Replay all requests so far against the policy in the file DRAFT, and say what would have changed.

    Each comes at its time with its value, fee and hot wallet as recorded, shows what
    it showed, and is cancelled when it was. What waits under DRAFT is decided again
    when the desk did so, and before each later request (where many wait, less often).
    What hot wallets and customers had then is not recorded: such limits are not
    checked, and the result says so.

    FILE is the whole output of `withdraw list -o jsonl` (or csv). It tells less than
    the ledger, which is noted, and times to the second only.

    \b
    Exit codes: 0 told, whatever would change; 2 a line of FILE that cannot be used;
    6 the ledger cannot be reached; 8 a DRAFT that cannot be read.
    """
    from cryptosupport.desk.backtest import as_record
    from cryptosupport.desk.backtest import backtest as compare

    policy = _policy(context, draft)
    comparison = compare(_history(context, policy, source, form), policy, most, since)
    record = as_record(comparison, policy, source is not None)
    for note in record["notes"] if output in ("jsonl", "csv") else ():
        context.warn(note)
    if output != "json":
        out.show(output, record["changes"], columns=_CHANGES, fields=_CHANGES_FIELDS)
    if output in ("json", "table"):
        out.show(output, [record], columns=(), single=True, detail=_compared)


for each in policychanges.COMMANDS:
    command.add_command(each)


def _policy(context: Context, draft: Path | None) -> Policy:
    """policy.toml, or a draft of it."""
    return context.policy if draft is None else context.draft(draft)


def _settings(context: Context) -> tuple[dict[str, dict[str, Asset]], dict[str, tuple[str, str]]]:
    """The assets of each chain, and each wallet's chain and role."""
    assets = {chain.name: chain.by_symbol for chain in context.chain_settings()}
    return assets, {name: (wallet.chain, wallet.role) for name, wallet in context.wallets.items()}


def _normal(context: Context, address: str | None) -> str | None:
    """An address as sums have it; what no chain reads as one is looked for as it is."""
    from cryptosupport.desk.list_withdrawals import normal_address

    return address and (normal_address(address, context.intake()) or address)


def _history(context: Context, draft: Policy, source: IO[bytes] | None, form: str | None) -> Iterable[Past]:
    """What is replayed: the ledger, or a list of withdrawals in a file."""
    from cryptosupport.desk.read_history import history_in, history_of
    from cryptosupport.outside.requestfiles import RequestLines

    if source is None:
        if form is not None:
            raise click.UsageError("--format is that of --input: give both")
        return history_of(context.ledger(make=False), context.premises(draft))
    lines = RequestLines(source)
    return out.progress(history_in(lines, form or "jsonl", draft), lines, context.options.quiet, "replaying")


# -- what a person reads ---------------------------------------------------------------------------------------------


def _sound(record: out.Record) -> str:
    return f"the policy is sound: {record['rules']} rules, hash {record['hash']}\n"


def _answered(record: out.Record) -> str:
    """The answer first, then what it rests on, then every rule."""
    prices = ", ".join(f"{symbol} {usd}" for symbol, usd in record["prices"].items())
    facts = out.aligned(
        [
            ("outcome", record["outcome"]),
            ("amount", f"{record['amount']} {record['asset']} on {record['chain']}"),
            ("value", record["value_usd"] and f"{record['value_usd']} USD, at {prices}"),
            ("customer", record["customer"]),
            ("tier", record["tier"]),
            ("destination", record["destination"]),
            ("wallet", record["wallet"]),
            ("policy", record["policy"]),
        ]
    )
    rules = (("  " + (rule["outcome"] or "silent"), f"{rule['name']}: {rule['reason']}") for rule in record["rules"])
    return f"{facts}\nrules\n{out.aligned(rules)}"


def _compared(record: out.Record) -> str:
    """The summary below the changes."""
    listed = len(record["changes"])
    some = f" (the first {listed} are listed)" if listed < record["changed"] else ""
    counts = ((f"  {name}", f"{number} -> {record['after'][name]}") for name, number in record["before"].items())
    notes = "".join(f"note: {out.printable(note)}\n" for note in record["notes"])
    return f"{record['changed']} of {record['requests']} requests would change{some}\n{out.aligned(counts)}{notes}"
