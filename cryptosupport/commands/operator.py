"""`operator`: the people of the desk, whom two of them change."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.context import Context
from cryptosupport.domain.operators import OPERATORS, Role

if TYPE_CHECKING:
    from cryptosupport.context.signing import Hand
    from cryptosupport.desk.people import People

_COLUMNS = ("name", "roles", "fingerprint", "state")


@params.group("operator", epilog="Example: cryptosupport operator list --json")
def command() -> None:
    """Say who may do what. Each change is signed by two; the first two people sign for each other."""


@command.command(
    epilog="Example: cryptosupport operator add carol --role approver --public-key carol.pub --operator alice"
)
@click.argument("name")
@click.option(
    "--role", "roles", multiple=True, required=True, type=click.Choice([*map(str, Role)]), help="What they may do."
)
@click.option(
    "--public-key",
    metavar="KEY|FILE|keyring",
    required=True,
    help='"ssh-ed25519 AAAA...", a file with it, or keyring: a key that is made here.',
)
@params.operator_option("Who asks for it and signs.", required=True)
@params.signing
@params.output
@click.pass_obj
def add(
    context: Context, name: str, roles: tuple[str, ...], public_key: str, operator: str, hand: Hand, output: str
) -> None:
    """Add somebody, or give them other roles or another key.

    It counts when two have signed it (the second runs the same command, or `operator
    sign`), and after [approvals] lock, since it loosens: `operator activate`.

    \b
    Exit codes: 0 in force; 9 it waits for a signature or its time; 3 refused.
    """
    people = context.people_in_force
    key = context.public_key(name, public_key)
    _show(context, output, context.propose_operators(people, context.with_operator(name, roles, key), operator, hand))


@command.command(epilog="Example: cryptosupport operator remove carol --operator alice")
@click.argument("name")
@params.operator_option("Who asks for it and signs.", required=True)
@params.signing
@params.output
@click.pass_obj
def remove(context: Context, name: str, operator: str, hand: Hand, output: str) -> None:
    """Take somebody's roles away. It counts as soon as two have signed it.

    \b
    Exit codes: 0 in force; 9 it waits for a signature; 3 refused; 4 there is nobody of that name.
    """
    from cryptosupport.desk.change_desk import without_operator

    people = context.people_in_force
    left = without_operator(people.operators.people, name)
    _show(context, output, context.propose_operators(people, left, operator, hand))


@command.command(epilog="Example: cryptosupport operator sign --operator bob --key ~/.ssh/id_ed25519")
@params.operator_option("Who signs.", required=True)
@params.signing
@params.output
@click.pass_obj
def sign(context: Context, operator: str, hand: Hand, output: str) -> None:
    """Sign the change that is proposed; the first time, operators.toml as it was written.

    \b
    Exit codes: 0 in force; 9 it waits for another signature or its time; 3 refused; 4 there is none.
    """
    changed = [each for each in context.operator_records() if each["state"] != "active"]
    out.confirm("sign this?", (f"{each['name']}: {', '.join(each['roles'])} ({each['state']})" for each in changed))
    _show(context, output, context.sign_operators(operator, hand))


@command.command("list", epilog="Example: cryptosupport operator list")
@params.output
@click.pass_obj
def list_(context: Context, output: str) -> None:
    """List the operators in force, and the change that is proposed.

    \b
    Exit codes: 0 told; 3 somebody changed them in the database; 6 the ledger cannot be reached.
    """
    out.show(output, context.operator_records(), columns=_COLUMNS)


def _show(context: Context, output: str, stand: object) -> None:
    """Print where a change stands; write the file where it is in force."""
    from cryptosupport.desk.change_desk import as_record

    _tell(context, output, as_record(context.settled(stand)))  # type: ignore[arg-type]


def show_stand(context: Context, output: str, stand: object, differences: tuple[str, ...] = ()) -> None:
    """The same with what differs from the version in force."""
    from cryptosupport.desk.change_desk import as_record

    told = as_record(context.settled(stand))  # type: ignore[arg-type]
    _tell(context, output, told | {"differences": list(differences)})


def _tell(context: Context, output: str, record: out.Record) -> None:
    context.exit_code = 0 if record["state"] == "active" else 9
    out.show(output, [record], columns=tuple(record), single=True, detail=stand_text)


def versions_commands(
    kind: str, group: str, activates: str, people: Callable[[Context], People]
) -> tuple[click.Command, click.Command]:
    """`activate` and `discard` for the versions of a ``kind``, as ``group`` has them; ``activates`` says what the first
    does, and ``people`` who signs.
    """
    ends = "\b\nExit codes: 0 in force; 9 it waits for a signature or its time; 4 there is none."

    @click.command(
        cls=params.Command, help=f"{activates}\n\n{ends}", epilog=f"Example: cryptosupport {group} activate"
    )
    @params.output
    @click.pass_obj
    def activate(context: Context, output: str) -> None:
        from cryptosupport.desk.change_desk import activate as activate_it

        show = _show if kind == OPERATORS else show_stand
        show(context, output, activate_it(context.ledger(), people(context), kind))

    @click.command(
        cls=params.Command, epilog=f"Example: cryptosupport {group} discard --operator alice",
        help=f"Take back the {kind if kind != OPERATORS else 'change'} that is proposed and not in force.\n\n"
        "\b\nExit codes: 0 done; 3 refused; 4 there is none.",
    )  # fmt: skip
    @params.operator_option("Who takes it back.", required=True)
    @params.signing
    @params.output
    @click.pass_obj
    def discard(context: Context, operator: str, hand: Hand, output: str) -> None:
        from cryptosupport.desk.change_desk import discard as discard_it

        change = discard_it(context.ledger(), people(context), kind, operator, hand)
        record = {"kind": change.kind, "version": change.number, "state": "discarded"}
        said = f"version {change.number} of the {change.kind} is taken back\n"
        out.show(output, [record], columns=tuple(record), single=True, detail=lambda it: said)

    return activate, discard


def stand_text(record: out.Record) -> str:
    """Where a change stands, for people, below what differs."""
    what = f"version {record['version']} of the {record['kind']}"
    state = "is in force" if record["state"] == "active" else f"waits for {record['waits_for']}"
    loosens = "".join(f"  loosens: {each}\n" for each in record["loosens"])
    lines = [("signed by", record["signed_by"]), ("counts from", record["counts_from"]), ("hash", record["hash"])]
    differences = "".join(f"  {each}\n" for each in record.get("differences", ()))
    return f"{differences}{what[0].upper()}{what[1:]} {state}.\n{loosens}\n{out.aligned(lines)}"


for each in versions_commands(
    OPERATORS, "operator",
    "Put the change that two have signed in force when its time has come; write operators.toml.",
    lambda context: context.people_in_force,
):  # fmt: skip
    command.add_command(each)
