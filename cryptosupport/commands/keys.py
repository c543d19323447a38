"""`keys`: the secrets in the keyring, by name. No value is ever shown, nor taken from the command line."""

from __future__ import annotations

import sys
from typing import Any

import click

from cryptosupport.commands import output as out
from cryptosupport.commands import params
from cryptosupport.context import Context
from cryptosupport.domain.errors import BadInput

_MOST_BYTES = 65536


class _Name(params.Person):
    """A name in the keyring."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it is."""
        if value.startswith(("keyring:", "env:")):
            self.fail(f"give the name alone, without {value.partition(':')[0]}:", param, ctx)
        return super().convert(value, param, ctx)


@params.group("keys", epilog="Example: cryptosupport keys set hot-eth < key.txt")
def command() -> None:
    """Keep the secrets that settings refer to as "keyring:NAME"."""


@command.command("set", epilog="Example: cryptosupport keys set personal-data --random")
@click.argument("name", type=_Name())
@click.option("--random", "at_random", is_flag=True, help="Make 32 random bytes, kept as hexadecimal digits.")
@click.option("--replace", is_flag=True, help="Lose what is kept under NAME now.")
@params.output
@click.pass_obj
def set_(context: Context, name: str, at_random: bool, replace: bool, output: str) -> None:
    """Keep a secret under NAME: from stdin, without one newline at its end; at a terminal it is asked for twice.

    Keys of wallets and operators, and that of personal data, are refused by a keyring that keeps them in clear.

    \b
    Exit codes: 0 kept; 2 the secret is empty, or NAME is set already; 8 the keyring
    cannot be used, or is too weak; 75 another run kept changing the keyring.
    """
    from cryptosupport.desk.keep_keys import set_key

    record = set_key(context.keys(), name, _random if at_random else lambda: _given(name), replace)
    out.show(output, [record], columns=tuple(record), single=True, detail=_kept)


@command.command("list", epilog="Example: cryptosupport keys list --json")
@params.output
@click.pass_obj
def list_(context: Context, output: str) -> None:
    """List the names that the settings refer to, what each is for, and whether it is set.

    \b
    Exit codes: 0 told; 8 settings are wrong, or the keyring cannot be used.
    """
    from cryptosupport.desk.keep_keys import list_keys

    columns = ("name", "kind", "state", "referred_to")
    out.show(output, list_keys(context.keys()), columns=columns, fields=("schema", *columns))


@command.command(epilog="Example: cryptosupport keys check --json")
@params.output
@click.pass_obj
def check(context: Context, output: str) -> None:
    """Examine the keyring and every name in it: a verdict a line.

    \b
    Exit codes: 0 fit for work (there may be warnings); 8 the keyring cannot be used,
    a secret is missing, or a key of money or people is kept in clear.
    """
    from cryptosupport.desk.check_keys import check_keys
    from cryptosupport.desk.diagnose import as_record, exit_code

    verdicts = list(check_keys(context.keys()))
    context.exit_code = exit_code(verdicts)
    out.show(output, map(as_record, verdicts), columns=("verdict", "name", "message", "advice"))


@command.command(epilog="Example: cryptosupport keys delete bitcoin-rpc --yes")
@click.argument("name", type=_Name())
@click.option("--yes", is_flag=True, help="Do not ask; needed where stdin is no terminal.")
@click.option("--force", is_flag=True, help="Even a key that a wallet signs with.")
@params.output
@click.pass_obj
def delete(context: Context, name: str, yes: bool, force: bool, output: str) -> None:
    """Forget the secret under NAME. There is no way back.

    \b
    Exit codes: 0 deleted; 2 not confirmed, or a wallet signs with it; 4 there is none;
    8 the keyring cannot be used; 75 another run kept changing the keyring.
    """
    from cryptosupport.desk.keep_keys import delete_key

    record = delete_key(context.keys(), name, force, lambda: yes or _confirmed(name))
    out.show(output, [record], columns=tuple(record), single=True, detail=_deleted)


def _random() -> str:
    import secrets

    return secrets.token_hex(32)


def _given(name: str) -> str:
    """The secret, from whoever is at the terminal, or from stdin. Raises `BadInput`, which does not show it."""
    if _at_terminal():
        typed: str = click.prompt(f"secret for {name}", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    if sys.stdin is None:
        raise BadInput("the secret is read from stdin, and stdin is closed")
    try:
        piped = sys.stdin.buffer.read(_MOST_BYTES + 1)
        if len(piped) > _MOST_BYTES:
            raise BadInput(f"the secret for {name} has more than {_MOST_BYTES} bytes: is this the right file?")
        return piped.removesuffix(b"\n").removesuffix(b"\r").decode()
    except OSError as error:
        raise BadInput(f"stdin cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise BadInput(f"the secret for {name} is not valid UTF-8; nothing was kept") from None


def _confirmed(name: str) -> bool:
    if not _at_terminal():
        raise click.UsageError("stdin is no terminal to ask at: add --yes")
    return click.confirm(f"delete {name} for good?", err=True)


def _at_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _kept(record: out.Record) -> str:
    before = ", in place of what was there" if record["replaced"] else ""
    places = ", ".join(record["referred_to"]) or "no setting yet"
    return f"kept {record['name']} ({record['kind']}){before}; referred to by {places}\n"


def _deleted(record: out.Record) -> str:
    places = record["referred_to"]
    still = f"; still referred to by {', '.join(places)}" if places else ""
    return f"deleted {record['name']} ({record['kind']}){still}\n"
