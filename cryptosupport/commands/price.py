"""`price status`: the prices that limits in USD count with."""

from __future__ import annotations

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.context import Context

_COLUMNS = ("symbol", "usd", "as_of", "sources", "state", "quotes")
_FIELDS = ("symbol", "usable", "usd", "as_of", "sources", "min_sources", "reason", "quotes")


@params.group("price", epilog="Example: cryptosupport price status")
def command() -> None:
    """Say which prices limits in USD count with."""


@command.command(epilog="Example: cryptosupport price status --json")
@params.output
@click.pass_obj
def status(context: Context, output: str) -> None:
    """Say of every symbol that a chain or a price file names which price it has, from whom, and why it has none.

    \b
    Exit codes: 0 read, whether usable or not; 8 a price file is wrong or missing.
    """
    from cryptosupport.desk.show_prices import as_record, as_row, show_prices
    from cryptosupport.outside.prices import read_quotes

    prices = context.desk.prices
    quotes, complaints = read_quotes(prices.paths(context.folder))
    for complaint in complaints:
        context.warn(complaint)
    if not prices.files:
        context.warn(f"desk.toml of {context.folder} names no price files: add [prices] files")
    context.exit_code = 8 if complaints else 0
    symbols = {symbol for chain in context.chain_settings() for symbol in chain.assets}
    seen = show_prices(quotes, symbols, prices.rules, context.last_prices(), context.clock.milliseconds())
    out.show(output, map(as_row if output == "table" else as_record, seen), columns=_COLUMNS, fields=_FIELDS)
