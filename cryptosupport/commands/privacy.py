"""`privacy`: how personal data in the ledger is sealed, and with which key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.context import Context
from cryptosupport.domain.operators import Role

if TYPE_CHECKING:
    from cryptosupport.context.signing import Hand
    from cryptosupport.desk.rotate_key import Rotated

_LOCK = "privacy-rotate"
_MOST_TOLD = 10
_ROTATES = frozenset({Role.OPS, Role.COMPLIANCE})


@params.group("privacy", epilog="Example: cryptosupport privacy status")
def command() -> None:
    """Keep notes, beneficiaries and signed requests sealed in the ledger."""


@command.command(epilog="Example: cryptosupport privacy rotate --operator alice")
@click.option("--forget-old", is_flag=True, help="Lose the old keys too: backups from before can be opened no more.")
@params.operator_option("Who does it, and signs for that.")
@params.signing
@params.output
@click.pass_obj
def rotate(context: Context, forget_old: bool, operator: str | None, hand: Hand, output: str) -> None:
    """Make a new key for personal data, and seal everything in the ledger with it.

    A key that was put in front of the keyring's others by hand is taken instead of a
    new one; do so where several machines share a ledger. Others go on working, but
    for a moment at the end. If it is interrupted, run it again: it goes on.

    \b
    Exit codes: 0 done; 3 some texts do not open, or need an old key, and stay as they are;
    6 the ledger cannot be reached; 8 the keyring cannot be used, or lacks a key;
    75 another run is at it.
    """
    from cryptosupport.desk.rotate_key import rotate_key, rotated_record

    context.guard_settings()
    with context.run_lock(_LOCK):
        ledger, who = context.ledger(), context.prove(operator, hand, _ROTATES, "rotate")[0]
        rotated = rotate_key(ledger, context.personal_keys, who, forget_old, lambda n: context.note(f"{n} sealed"))
    _tell_unopened(context, rotated)
    out.show(output, [rotated_record(rotated)], columns=_COLUMNS, single=True, detail=_rotated)


@command.command(epilog="Example: cryptosupport privacy status --json")
@params.output
@click.pass_obj
def status(context: Context, output: str) -> None:
    """Say how much personal data is sealed with which key, and how much is in clear.

    \b
    Exit codes: 0 told; 6 the ledger cannot be reached; 8 the keyring cannot be used,
    or lacks a key that something is sealed with.
    """
    from cryptosupport.desk.rotate_key import status_record

    record = status_record(context.ledger(make=False), context.personal_keys)
    context.exit_code = 8 if record["missing"] else 0
    out.show(output, [record], columns=tuple(record), single=True, detail=_stands)


_COLUMNS = ("key", "before", "sealed", "unopened", "forgotten")


def _tell_unopened(context: Context, rotated: Rotated) -> None:
    for _, said in rotated.unopened[:_MOST_TOLD]:
        context.warn(said)
    if rotated.unopened:
        context.exit_code = 3


def _rotated(record: out.Record) -> str:
    lines = [f"{record['sealed']} texts were sealed with the key {record['key']}"]
    if record["unopened"]:
        lines.append(f"{len(record['unopened'])} texts do not open and stay as they are; run it again once they do")
    if record["forgotten"]:
        lines.append(f"forgotten: {', '.join(record['forgotten'])}; backups from before can be opened no more")
    return "".join(f"{line}\n" for line in lines)


def _stands(record: out.Record) -> str:
    lines = [
        ("key in force", record["key"] or "none: everything is kept in clear"),
        ("rotation", "not finished: run `cryptosupport privacy rotate` again" if record["rotating"] else None),
        ("keys", record["keys"] or "none: run `cryptosupport keys set personal-data --random`"),
        ("in clear", record["clear"]),
        *((f"under {key_id}", count) for key_id, count in record["sealed"].items()),
        ("missing", record["missing"]),
    ]
    return out.aligned(lines)
