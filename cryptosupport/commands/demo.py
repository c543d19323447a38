"""`demo`: transactions of every fate on private nodes, and what the program says of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import indent
from typing import TYPE_CHECKING

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.context import Context

if TYPE_CHECKING:
    from cryptosupport.outside.demo import Scene

_FIELDS = ("number", "title", "chain", "txid", "state", "summary", "differences")


@params.command("demo", epilog="Example: cryptosupport demo --locale zh-CN")
@params.output
@click.pass_obj
def command(context: Context, output: str) -> None:
    """Start anvil and bitcoind on this machine, make transactions of every fate, and ask `tx status` about each.

    \b
    Exit codes: 0 all told as they are; 1 one is not; 8 anvil or bitcoind is not on PATH.
    """
    from cryptosupport.outside.demo import play

    records = _records(context, play(context.locale))
    if output == "table":
        for record in records:
            click.echo(record["text"])
        click.echo("Some of it is not as it should be." if context.exit_code else "All of it is as it should be.")
    else:
        out.show(output, records, columns=_FIELDS)


def _records(context: Context, scenes: Iterable[Scene]) -> Iterator[out.Record]:
    """The scenes as records; the exit code is 1 from the first one on that is told wrong."""
    for scene in scenes:
        if scene.differences:
            context.exit_code = 1
        look = scene.look
        yield {
            "number": scene.number,
            "title": look.title,
            "chain": look.chain,
            "txid": look.txid,
            "state": scene.record.get("state"),
            "summary": scene.record.get("summary"),
            "differences": list(scene.differences),
            "text": _text(scene),
        }


def _text(scene: Scene) -> str:
    head = click.style(f"{scene.number}. {scene.look.chain}: {scene.look.title}", bold=True)
    wrong = "".join(f"   NOT AS IT SHOULD BE: {each}\n" for each in scene.differences)
    return f"{head}\n   $ {scene.command}\n\n{indent(scene.text, '   ')}{wrong}"
