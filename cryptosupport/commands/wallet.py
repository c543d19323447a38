"""`wallet`: the desk's own wallets, what they hold, and how one that has paid before comes to this ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.context import Context

if TYPE_CHECKING:
    from cryptosupport.context.signing import Hand

_LIST = ("name", "chain", "role", "address", "signer", "bound", "next_nonce", "under_way")
_SUMS = ("on_chain", "reserved", "free", "in_flight")
_SPLIT = ("asset", "hot", "deposit", "in_flight", "cold", "total", "hot_share", "limit", "over", "untold")
_BALANCE = ("wallet", "chain", "asset", *(f"{name}.amount" for name in _SUMS))
_BALANCE_FIELDS = (*_BALANCE, *(f"{name}.base_units" for name in _SUMS), "error")
_ADOPT = (
    *("wallet", "chain", "address", "next_nonce_before", "next_nonce", "height", "spends", "reason", "said_by"),
    *("missing", "adopted_at"),
)


@params.group("wallet", epilog="Example: cryptosupport wallet balance hot-eth")
def command() -> None:
    """Show own wallets, import one into a node, and bind one that has paid before to this ledger."""


@command.command("list", epilog="Example: cryptosupport wallet list --json")
@params.output
@click.pass_obj
def list_(context: Context, output: str) -> None:
    """List own wallets: where the key of each is, and what the ledger knows of it. No node is asked.

    A wallet is bound to this ledger with its first payment, or by `wallet adopt`; then its
    next nonce and its payments under way are known.

    \b
    Exit codes: 0 told; 3 a payout was changed in the database; 6 the ledger cannot be
    reached; 8 the settings are wrong.
    """
    from cryptosupport.desk.show_wallets import wallet_records

    out.show(output, wallet_records(context.ledger(make=False), context.own_wallets()), columns=_LIST)


@command.command(epilog="Example: cryptosupport wallet balance hot-eth cold-eth --json")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--split", is_flag=True, help="By asset: what is hot, at deposit addresses, cold, and on its way there.")
@params.output
@click.pass_obj
def balance(context: Context, names: tuple[str, ...], split: bool, output: str) -> None:
    """Say what each wallet NAME, or every wallet, holds of each asset of its chain.

    Reserved is the most that payments under way may still spend, with their fees; free is
    what is left of what the chain has. In flight is what sweeps move that has not arrived.
    With --split the hot share of each asset is held against [share] of desk.toml; its bar
    shows hot, deposits, in flight and cold. Rounded up; not told where a wallet cannot be.

    \b
    Exit codes: 0 told; 2 --split with a NAME; 3 a payout was changed in the database; 4 there
    is no such wallet; 6 a node or the ledger cannot be reached; 8 the settings are wrong.
    """
    from cryptosupport.desk.show_wallets import balance_rows

    if split:
        if names:
            raise click.UsageError("--split is of all wallets: leave out the names")
        return _show_split(context, output)
    records = context.balances(names)
    if output in ("table", "csv"):
        rows = (row for record in records for row in balance_rows(record))
        out.show(output, rows, columns=_BALANCE, fields=_BALANCE_FIELDS)
    else:
        out.show(output, records, columns=_BALANCE, single=len(names) == 1)


def _show_split(context: Context, output: str) -> None:
    from cryptosupport.desk.show_split import bar

    fills = "█▓▒░" if out.draws_blocks() else "#+>."
    if output == "table":
        drawn = ({**each, "bar": bar(each, fills)} for each in context.split())
        return out.show(output, drawn, columns=(*_SPLIT, "bar"))
    out.show(output, context.split(), columns=_SPLIT)


@command.command(epilog='Example: cryptosupport wallet adopt hot-eth --reason "paid by hand so far" --operator alice')
@click.argument("name", metavar="NAME")
@click.option("--reason", type=params.Reason(), required=True, metavar="TEXT", help="Why; the audit log keeps it.")
@params.operator_option("Who adopts it, of ops or compliance.", required=True)
@params.signing
@params.output
@click.pass_obj
def adopt(context: Context, name: str, reason: str, operator: str, hand: Hand, output: str) -> None:
    """Have this ledger pay from the wallet NAME, which has sent what this ledger does not know.

    It goes on from the next nonce of the chain. Two people have to say so, each of the
    wallet, its address and that nonce; of a Bitcoin wallet, of those transactions, which
    all have to be final. First find out what it has sent: withdrawals that were paid by that
    have to be recorded (`withdraw record-external`) or rejected, or they are paid again. A
    freeze of the wallet stays until two people lift it.

    \b
    Exit codes: 0 adopted; 2 it never pays; 9 a second person has to say so too; 3 refused:
    a role, there is nothing to adopt, or something of it may still be mined; 4 there is no
    such wallet; 6 a node, the signer or the ledger cannot be reached; 8 the settings are
    wrong.
    """
    from cryptosupport.desk.adopt_wallet import adopt as adopt_it
    from cryptosupport.desk.adopt_wallet import adopted_record

    context.guard_settings()
    adopted = adopt_it(context.ledger(), context.people, context.till_to_adopt(name), reason, operator, hand)
    context.exit_code = 9 if adopted.missing else 0
    record = adopted_record(adopted)
    out.show(output, [record], columns=_ADOPT, single=True, detail=lambda it: out.aligned(it.items()))


@command.command("import", epilog="Example: cryptosupport wallet import hot-btc")
@click.argument("name", metavar="NAME")
@params.output
@click.pass_obj
def import_(context: Context, name: str, output: str) -> None:
    """Have the desk's own Bitcoin nodes watch the descriptor of wallet NAME, from its birthday on.

    Each keeps it in a wallet of that name without any key, and can then tell its coins. The
    search of the chain may take long; to import it again does no harm.

    \b
    Exit codes: 0 watched; 2 its chain has no descriptors; 4 there is no such wallet; 6 a node
    cannot be reached, or has another wallet of that name; 8 the settings are wrong.
    """
    rows = [{"wallet": name, "node": node, "said": said} for node, said in context.import_wallet(name).items()]
    out.show(output, rows, columns=("wallet", "node", "said"))


_ADDRESS = ("wallet", "chain", "address", "index")


@command.command(epilog="Example: cryptosupport wallet address hot-btc")
@click.argument("name", metavar="NAME")
@params.output
@click.pass_obj
def address(context: Context, name: str, output: str) -> None:
    """Give out an address to pay to of wallet NAME: a fresh one each time, where it has many.

    On Bitcoin it is the next one of the descriptor, made by the desk's own node and derived
    here, and both have to be the same; the audit log keeps which were given out. Elsewhere it
    is the wallet's one address.

    \b
    Exit codes: 0 told; 2 it gives out none (a cold wallet of many addresses); 4 there is no
    such wallet; 6 a node or the ledger cannot be reached, or the node has another address;
    8 the settings are wrong.
    """
    context.guard_settings()
    record = context.fresh_address(name)
    out.show(output, [record], columns=_ADDRESS, single=True, detail=lambda it: f"{it['address']}\n")
