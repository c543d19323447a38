"""`demo`: transactions of every fate on private nodes, requests of every kind at a desk, payments and receipts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from textwrap import indent
from typing import TYPE_CHECKING

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.context import Context

if TYPE_CHECKING:
    from cryptosupport.outside.demo import Scene

_FIELDS = ("number", "title", "chain", "command", "txid", "state", "summary", "differences")


@params.command("demo", epilog="Example: cryptosupport demo --locale zh-CN")
@params.output
@click.pass_obj
def command(context: Context, output: str) -> None:
    """Start anvil and bitcoind on this machine, make transactions of every fate, ask `tx status` about each, decide
    withdrawal requests of every kind, pay one on an EVM chain and four at once on Bitcoin, and prove that.

    \b
    Exit codes: 0 all told as they are; 1 one is not; 8 anvil or bitcoind is not on PATH.
    """
    from cryptosupport.outside.demo import play

    records = _records(context, play(context.locale, context.clock.now()))
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
        record = scene.record if isinstance(scene.record, Mapping) else {}
        yield {
            "number": scene.number,
            "title": scene.act.title,
            "chain": scene.act.chain,
            "command": scene.command,
            "txid": scene.act.txid,
            "state": record.get("state"),
            "summary": record.get("summary"),
            "differences": list(scene.differences),
            "text": _text(scene),
        }


def _text(scene: Scene) -> str:
    head = click.style(f"{scene.number}. {scene.act.chain}: {scene.act.title}", bold=True)
    files = "".join(f"   $ cat {name}\n{indent(text, '   ')}" for name, text in scene.files.items())
    wrong = "".join(f"   NOT AS IT SHOULD BE: {each}\n" for each in scene.differences)
    told = scene.text or "(it prints nothing: there is nothing to say)\n"
    return f"{head}\n{files}   $ {scene.command}\n\n{indent(told, '   ')}{wrong}"
