"""`init`: a settings folder to edit."""

from __future__ import annotations

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.context import Context


@params.command("init", epilog="Example: cryptosupport init --chain bitcoin --chain ethereum")
@click.argument("folder", required=False, metavar="[DIR]", type=click.Path(readable=False), callback=params.not_empty)
@click.option("--chain", "chains", multiple=True, metavar="NAME", help="Only this chain's preset (again for more).")
@params.output
@click.pass_obj
def command(context: Context, folder: str | None, chains: tuple[str, ...], output: str) -> None:
    """Write the settings to edit into DIR (~/.config/cryptosupport): desk, wallets, policy and chains.

    A file that is there already stays as it is.

    \b
    Exit codes: 0 done; 2 DIR is a file, or no such preset; 8 DIR cannot be written.
    """
    from cryptosupport.settings import folder_to_write, write_presets

    target = folder_to_write(folder or context.options.configs)
    written, kept = write_presets(target, chains)
    record = {"folder": str(target), "written": [*map(str, written)], "kept": [*map(str, kept)]}
    fields = ("folder", "written", "kept")
    out.show(output, [record], columns=fields, single=True, detail=_next_steps)


def _next_steps(record: out.Record) -> str:
    folder = out.printable(record["folder"])
    kept = "".join(f"kept as it is: {out.printable(path)}\n" for path in record["kept"])
    return f"""wrote {len(record["written"])} file(s) to {folder}
{kept}
Next:
  1. put your own nodes into {folder}/chains/*.toml (the first lines of each file say how),
     and set enabled = false in those that you do not use
  2. cryptosupport doctor --configs {folder}
  3. cryptosupport tx status TXID --configs {folder}
--configs is not needed where this is $CRYPTOSUPPORT_CONFIGS, ~/.config/cryptosupport or /etc/cryptosupport.
"""
