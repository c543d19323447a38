"""`address check`: what is known about an address before money goes there."""

from __future__ import annotations

from collections.abc import Iterator

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.context import Context

_COLUMNS = (
    *("input", "valid", "kind", "chains", "contract", "burn", "own.wallet", "screening", "look_alikes"),
    "error.message",
)
_FIELDS = (
    *("input", "address", "valid", "kind", "checksum", "chains", "contract", "burn"),
    *("own.wallet", "own.role", "screening", "look_alikes", "error.code", "error.message"),
)
_WORDS = {True: "yes", False: "no", None: "not known"}
_CHECKSUMS = {True: "holds", False: "fails", None: "none in this spelling"}


@params.group("address", epilog="Example: cryptosupport address check bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4")
def command() -> None:
    """Say what is known about an address before money goes there."""


@command.command(epilog="Example: cryptosupport address check 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed --json")
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS...")
@click.option("--offline", is_flag=True, help="Ask no node; whether it is a contract stays open.")
@params.chain
@params.output
@click.pass_obj
def check(context: Context, addresses: tuple[str, ...], offline: bool, chain: str | None, output: str) -> None:
    """Say of each ADDRESS whether it is valid, for which chains, whose it is, and what it could be mistaken for.

    Where there is a ledger, also which lists stop it. A list that was changed in the
    database is not looked at, and freezes the desk.

    \b
    Exit codes: 0 all valid, 2 one is not.
    """
    from cryptosupport.desk.check_addresses import as_record, check_addresses, exit_code

    chains, known = context.chains(chain), context.memory().addresses()
    lists, derived = context.screening_lists(), context.derives
    checks = check_addresses(addresses, chains, context.wallets, known, offline=offline, lists=lists, derived=derived)
    for failure in (said for one in checks for said in one.unreachable.values()):
        context.warn(f"whether it is a contract could not be asked: {failure}")
    context.exit_code = exit_code(checks)
    single = len(addresses) == 1
    out.show(output, map(as_record, checks), columns=_COLUMNS, fields=_FIELDS, single=single, detail=_told)


def _told(record: out.Record) -> str:
    """What a person reads about one address."""
    return out.aligned(_lines(record))


def _lines(record: out.Record) -> Iterator[tuple[str, str]]:
    yield "address", record["address"] or record["input"]
    yield "valid", _WORDS[record["valid"]]
    if record["error"]:
        yield "why not", record["error"]["message"]
        return
    yield "kind", record["kind"]
    yield "checksum", _CHECKSUMS[record["checksum"]]
    yield "chains", ", ".join(record["chains"])
    contracts = [f"{_WORDS[answer]} on {chain}" for chain, answer in record["contract"].items() if answer is not None]
    if contracts:
        yield "contract", ", ".join(contracts)
    if record["burn"]:
        yield "careful", "nobody can spend from this address: what is sent there is lost"
    if record["own"]:
        yield "own wallet", f"{record['own']['wallet']} ({record['own']['role']})"
    for hit in record["screening"] or []:
        whose = f" as {hit['label']}" if hit["label"] else ""
        yield "stopped", f"it is on the list {hit['list']}{whose}: nothing is paid to it"
    for other in record["look_alikes"]:
        yield "careful", f"the ends are those of {other['address']} ({other['of']}): compare every character"
