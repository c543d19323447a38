"""`signer`: the signer of one wallet as a process of its own, and what it remembers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.context import Context


class _User(click.ParamType[int]):
    """A user of this machine, by name or number; the command gets the number."""

    name = "user"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        import pwd

        if isinstance(value, int):
            return value
        if value.isascii() and value.isdigit() and int(value) < 2**32 - 1:
            return int(value)
        try:
            return pwd.getpwnam(value).pw_uid
        except (KeyError, ValueError):
            self.fail(f"{value!r} is no user of this machine", param, ctx)


@params.group("signer", epilog="Example: cryptosupport signer serve hot-eth --socket /run/cryptosupport/hot-eth.sock")
def command() -> None:
    """Hold the key of a wallet under a user of its own, away from the desk."""


@command.command(
    epilog="Example: cryptosupport signer serve hot-eth --socket /run/cryptosupport/hot-eth.sock --allow-user desk "
    "--group-may-connect"
)
@click.argument("wallet")
@click.option(
    "--socket", "path", type=click.Path(path_type=Path), required=True, metavar="PATH", callback=params.not_empty,
    help="Where to answer; nobody else may write its folder.",
)  # fmt: skip
@click.option(
    "--allow-user", "uids", type=_User(), multiple=True, metavar="NAME|UID",
    help="Who may ask (again for more); without it only the user that it runs as.",
)  # fmt: skip
@click.option("--group-may-connect", is_flag=True, help="Make the socket 0660: users of its group can connect.")
@click.pass_obj
def serve(context: Context, wallet: str, path: Path, uids: tuple[int, ...], group_may_connect: bool) -> None:
    """Answer as the signer of WALLET on a Unix socket, until SIGTERM or Ctrl-C.

    It goes by its own settings and data folder alone: wallets.toml with the key and the caps,
    chains, operators.toml with who may approve, and a freeze file. It never sees the ledger of
    the desk, whose wallets.toml says signer = "socket:PATH". An asset without caps does not leave.

    \b
    Exit codes: 0 ended by a signal; 2 no such user; 6 its memory is held by another process;
    8 settings, key, memory or a folder cannot be used; 75 another signer answers there.
    """
    context.guard_settings()
    context.serve(wallet, path, uids, group_may_connect)


class _Place(click.ParamType[str]):
    """A nonce, or a coin as "txid:vout", in its one spelling."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The place as the signer remembers it."""
        txid, colon, number = value.lower().rpartition(":")
        if not (number.isascii() and number.isdigit()) or int(number) >= 2**63:
            self.fail(f"{value!r} is neither a nonce nor a coin: write 17, or the coin as TXID:VOUT", param, ctx)
        if colon and re.fullmatch("[0-9a-f]{64}", txid) is None:
            self.fail(f"{value!r} is no coin: write TXID:VOUT, with the 64 characters of its transaction", param, ctx)
        return f"{txid}{colon}{int(number)}"


_RETIRED = ("wallet", "nonce", "coin", "taken_by", "request_ids", "retired_at")


@command.command(epilog="Example: cryptosupport signer retire hot-eth 17")
@click.argument("wallet")
@click.argument("place", type=_Place(), metavar="NONCE|TXID:VOUT")
@params.output
@click.pass_obj
def retire(context: Context, wallet: str, place: str, output: str) -> None:
    """Let withdrawals that lost NONCE of WALLET to a stranger's transaction be signed for anew.

    On Bitcoin a payment loses its coins with one of them: name any as TXID:VOUT. A signer never
    signs for a withdrawal with two nonces, or with other coins. This is the way out where the
    chain proves that nothing that was signed with the first ones can count any more: as many
    operators of nodes as the settings ask for have another transaction there, in a final
    block. Look at that one first (`tx explain`): where it paid the withdrawal, have it
    recorded instead (`withdraw record-external`). Run it where the key is.

    \b
    Exit codes: 0 done; 3 refused: a transaction of ours has that nonce, or still may; 4 nothing
    was signed with it; 6 a node cannot be reached; 7 it is not certain yet; 8 the settings are
    wrong.
    """
    context.guard_settings()
    record = context.retire(wallet, place)
    out.show(output, [record], columns=_RETIRED, single=True, detail=lambda it: out.aligned(it.items()))


_IMPORTED = ("wallet", "txid", "request", "signed")


@command.command("import", epilog="Example: cryptosupport signer import /media/usb/hot-btc-3f9c2d71-signed.psbt")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), callback=params.not_empty)
@params.output
@click.pass_obj
def import_(context: Context, file: Path, output: str) -> None:
    """Take in FILE, a PSBT that a signer elsewhere has signed, for the request that waits for it.

    For wallets with signer = "psbt:/FOLDER". It has to be what was asked for, with a good
    signature of the wallet's key for each of its coins; the next `withdraw run` sends it.

    \b
    Exit codes: 0 taken; 2 no PSBT; 3 refused: it is not what was asked, or a signature is not
    good; 4 no request waits for it; 8 the settings are wrong; 9 signatures are missing.
    """
    from cryptosupport.context.offline import import_signed

    context.guard_settings()
    record = import_signed(context, file)
    out.show(output, [record], columns=_IMPORTED, single=True, detail=lambda it: out.aligned(it.items()))
