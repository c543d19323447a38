"""`screen`: sanctions and block lists, allow lists, and receivers that need a memo."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import starmap
from typing import IO, TYPE_CHECKING

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.context import Context
from cryptosupport.domain.operators import Role

if TYPE_CHECKING:
    from cryptosupport.context.signing import Hand
    from cryptosupport.desk.screen_lists import Imported
    from cryptosupport.desk.show_lists import Freshness

_KINDS = ("sanctions", "block", "allow", "memo")
_LIST = ("list", "kind", "entries", "as_of", "imported_at", "age", "state")
_LIST_FIELDS = ("list", "kind", "entries", "source", "as_of", "imported_at", "age_seconds", "state", "reason", "digest")
_ENTRY = ("list", "customer", "address", "tag", "entry", "label", "since")
_ENTRY_FIELDS = ("list", "kind", "address", "key", "customer", "tag", "entry", "label", "since")
_IMPORT = ("list", "kind", "source", "as_of", "imported_at", "entries", "added", "delisted", "unchanged")
_IMPORT_FIELDS = (*_IMPORT, "digest", "sha256", "stopped", "freed", "repaired")
_DROP = ("list", "kind", "entries", "reason", "said_by", "missing", "removed_at")
_MOST_WARNINGS = 20
_IMPORTS = frozenset({Role.OPS, Role.COMPLIANCE})
_CHECK = ("address", "sanctions", "blocked", "needs_memo", "allowed")
_CHECK_FIELDS = ("address", "key", "stopped", "sanctions", "blocked", "needs_memo", "allowed")


@params.group("screen", epilog="Example: cryptosupport screen import sdn_advanced.xml --list ofac")
def command() -> None:
    """Keep the lists that destinations are screened against, and say what is on them."""


@command.command("import", epilog="Example: cryptosupport screen import sdn_advanced.xml --list ofac")
@click.argument("source", type=params.Source("rb"), metavar="FILE|-")
@click.option("--list", "name", required=True, metavar="NAME", help="The list that the file is the whole of.")
@click.option("--kind", type=click.Choice(_KINDS), default="sanctions", show_default=True, help="What the list does.")
@click.option("--format", "form", type=click.Choice(["xml", "text"]), help="Of FILE, unless its start tells.")
@click.option("--accept-shrink", is_flag=True, help="Take it with less than half of the entries of before.")
@click.option("--accept-older", is_flag=True, help="Take it although it is older than what was imported.")
@params.operator_option("Who imports it, and signs for that; cron need not.")
@params.signing
@params.output
@click.pass_obj
def import_(
    context: Context, source: IO[bytes], name: str, kind: str, form: str | None, accept_shrink: bool,
    accept_older: bool, operator: str | None, hand: Hand, output: str,
) -> None:  # fmt: skip
    """Make FILE the list NAME: what is not in it is delisted. All of it counts, or nothing.

    FILE is the list of OFAC (sdn_advanced.xml or sdn.xml), or text: an address a
    line, or CSV with a header line of address and any of tag, entry, label, customer,
    since. A list of kind allow needs customer and address. "# as_of
    2026-11-21T12:00:00Z" tells of when it is. Import it again to say that it still
    holds. It tells which entries of allow lists are stopped by it.

    Where there are operators, one of ops or compliance has to sign for a new list, for
    one of any kind but sanctions, and for --accept-shrink and --accept-older.

    \b
    Exit codes: 0 imported; 2 a file that cannot be used, is empty, or a list of
    another kind; 3 one that is older, or has less than half of the entries, or that
    takes an operator; 6 the ledger cannot be reached; 8 the settings are wrong.
    """
    from cryptosupport.desk.screen_lists import import_list
    from cryptosupport.desk.show_lists import import_record
    from cryptosupport.domain.screening import ListKind
    from cryptosupport.outside.listfiles import read_list

    context.guard_settings()
    called, what = _name(source), ListKind(kind)
    who, proven = context.prove(operator, hand, _IMPORTS, "import")
    file = read_list(source, called, what, form)
    trusted = proven or not context.people.operators
    taking = {"shrink": accept_shrink, "older": accept_older, "trusted": trusted}
    imported = import_list(
        context.ledger(), name, what, called, file.as_of, file.entries, sha256=file.sha256, who=who, **taking
    )
    _warn_of(context, imported)
    record = import_record(imported)
    out.show(output, [record], columns=_IMPORT, fields=_IMPORT_FIELDS, single=True, detail=_imported)


@command.command(epilog='Example: cryptosupport screen remove ofacc --reason "a typo" --operator carol')
@click.argument("name", metavar="NAME")
@click.option("--reason", required=True, metavar="TEXT", callback=params.not_empty, help="Why.")
@params.operator_option("Who wants it removed, of ops or compliance.", required=True)
@params.signing
@params.output
@click.pass_obj
def remove(context: Context, name: str, reason: str, operator: str, hand: Hand, output: str) -> None:
    """Remove the list NAME, as if it had never been imported; with operators, two have to say so.

    A list that desk.toml names under [screening] lists still has to be there.

    \b
    Exit codes: 0 removed; 9 a second person has to say so too; 3 refused; 4 there is no
    such list; 6 the ledger cannot be reached; 8 the settings are wrong.
    """
    from cryptosupport.desk.drop_list import drop_list, dropped_record

    context.guard_settings()
    dropped = drop_list(context.ledger(), context.people, name, reason, operator, hand)
    if name in context.desk.screening.lists:
        context.warn(f"desk.toml [screening] lists names {name}: without it, nothing is paid")
    context.exit_code = 9 if dropped.missing else 0
    record = dropped_record(dropped)
    out.show(output, [record], columns=_DROP, single=True, detail=lambda it: out.aligned(it.items()))


@command.command("list", epilog="Example: cryptosupport screen list --list ofac -o csv")
@click.option("--list", "name", metavar="NAME", help="The entries of this list.")
@click.option("--customer", metavar="ID", help="The entries of this customer's allow lists.")
@params.output
@click.pass_obj
def list_(context: Context, name: str | None, customer: str | None, output: str) -> None:
    """Show all lists, or what is on one.

    A list that was changed in the database is told as such, and freezes the desk.

    \b
    Exit codes: 0 told; 4 there is no such list; 6 the ledger cannot be reached.
    """
    from cryptosupport.desk.show_lists import entries_of, entry_record

    if name is None and customer is None:
        _show_lists(context, output)
        return
    with context.ledger(make=False).look() as records:
        found = list(entries_of(records, name, customer))
    out.show(output, starmap(entry_record, found), columns=_ENTRY, fields=_ENTRY_FIELDS)


@command.command(epilog="Example: cryptosupport screen status --json")
@params.output
@click.pass_obj
def status(context: Context, output: str) -> None:
    """Say of each list how long ago it was imported, and whether it can be relied on.

    Lists of kind sanctions, and those that the settings name, have to be fresh. One that
    was changed in the database freezes the desk.

    \b
    Exit codes: 0 all can; 6 the ledger cannot be reached; 8 a list is missing, too
    old, or was changed in the database.
    """
    context.exit_code = 8 if _show_lists(context, output) else 0


@command.command(epilog="Example: cryptosupport screen check 0x098B716B8Aaf21512996dC57EB0615e2383E2f96")
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS...")
@click.option("--customer", metavar="ID", help="Whether this customer's allow list has it.")
@params.output
@click.pass_obj
def check(context: Context, addresses: tuple[str, ...], customer: str | None, output: str) -> None:
    """Say which lists each ADDRESS is on, in whatever spelling and for whatever coin.

    \b
    Exit codes: 0 on no list of sanctions and no block list; 2 a private key, and no
    address; 3 on a list, or one was changed in the database; 6 the ledger cannot be
    reached.
    """
    from cryptosupport.desk.screen_lists import load_lists
    from cryptosupport.desk.show_lists import screen_address, screened_record, screened_row

    with context.ledger(make=False).look() as records:
        lists = load_lists(records)
    if not lists.heads:
        context.warn("no list was imported: nothing is screened")
    screened = [screen_address(lists, address, customer) for address in addresses]
    context.exit_code = 3 if any(each.stopped for each in screened) else 0
    records_of = map(screened_row if output == "table" else screened_record, screened)
    out.show(output, records_of, columns=_CHECK, fields=_CHECK_FIELDS, single=len(addresses) == 1, detail=_checked)


# -- doing it --------------------------------------------------------------------------------------------------------


def _freshness(context: Context) -> Freshness:
    """What the settings ask of lists."""
    from cryptosupport.desk.show_lists import Freshness

    screening = context.desk.screening
    return Freshness(screening.lists, screening.warn_after_ms, screening.hold_after_ms)


def _show_lists(context: Context, output: str) -> bool:
    """Show all lists, and warn of what is to be said of any; whether one cannot be relied on."""
    from cryptosupport.desk.show_lists import FAULTS, list_record, list_row, list_states

    with context.ledger(make=False).look() as records:
        states = list_states(records, _freshness(context))
    for each in states:
        if each.reason is not None:
            context.warn(f"the list {each.name}: {each.reason}")
        if each.found is not None:  # written down, and the desk frozen, before anybody is told
            context.hear(each.found)
    if not states:
        context.warn("no list was imported: nothing is screened")
    out.show(output, map(list_row if output == "table" else list_record, states), columns=_LIST, fields=_LIST_FIELDS)
    return any(each.state in FAULTS for each in states)


def _name(source: IO[bytes]) -> str:
    """What the ledger calls a file: its name without the folder, which is nobody's business."""
    name = getattr(source, "name", "")
    return name.rpartition("/")[2] if isinstance(name, str) and name not in ("", "<stdin>") else "stdin"


def _warn_of(context: Context, imported: Imported) -> None:
    """What somebody has to do something about."""
    name = imported.head.name
    if imported.repaired is not None:
        context.warn(f"the list {name} had been changed in the database behind this program: {imported.repaired}")
    for allowed, hit in imported.stopped[:_MOST_WARNINGS]:
        context.warn(f"{allowed.address} on the allow list of {allowed.customer} is stopped by {hit.name}")
    if len(imported.stopped) > _MOST_WARNINGS:
        context.warn(f"so are {len(imported.stopped) - _MOST_WARNINGS} more: see `stopped` of --json")
    if imported.freed:
        count, some = len(imported.freed), ", ".join(imported.freed[:_MOST_WARNINGS])
        context.warn(f"without an allow list, so that any address will do, are {count} customers from now on: {some}")


def _imported(record: out.Record) -> str:
    """What a person reads of an import."""
    return out.aligned(_import_lines(record))


def _import_lines(record: out.Record) -> Iterator[tuple[str, object]]:
    yield "list", f"{record['list']} ({record['kind']})"
    yield "file", record["source"]
    yield "as of", record["as_of"] or "the file does not tell"
    yield "entries", str(record["entries"])
    for name in ("added", "delisted"):
        examples = record["examples"][name]
        more = ", ..." if record[name] > len(examples) else ""
        yield name, f"{record[name]}: {', '.join(examples)}{more}" if examples else "0"
    yield "unchanged", str(record["unchanged"])
    yield "stopped", [f"{each['address']} of {each['customer']} ({each['list']})" for each in record["stopped"]]
    yield "sha256", record["sha256"]


def _checked(record: out.Record) -> str:
    """What a person reads of one address."""
    lines = [(name.replace("_", " "), record[name] or "no") for name in ("sanctions", "blocked", "needs_memo")]
    allowed = {True: "yes", False: "no", None: None}[record["allowed"]]
    return out.aligned([("address", record["address"]), *lines, ("on the customer's allow list", allowed)])
