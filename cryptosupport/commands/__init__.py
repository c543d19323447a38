"""The command line. Each module here is one command or group, found by its file name and imported when it is used.

Errors become exit codes here and nowhere else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import click

from cryptosupport import __version__
from cryptosupport.commands import params
from cryptosupport.context import Context
from cryptosupport.domain.errors import SupportError

_NOT_COMMANDS = {"__init__", "params", "output"}


class _Root(params.Group):
    """The top group: `cryptosupport NAME` is the module `cryptosupport.commands.NAME`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the command modules."""
        modules = {name.removesuffix(".py") for name in os.listdir(__path__[0]) if name.endswith(".py")}
        return sorted(modules - _NOT_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of that name, if there is one."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name}").command
        return command


@click.group(cls=_Root, epilog="Example: cryptosupport tx status 5df6…e3a1 --json")
@click.version_option(__version__, message="cryptosupport %(version)s")
def root() -> None:
    """Look up transactions, move customers' coins within limits, and explain what happened."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; every error has become text or JSON on stderr."""
    context = Context()
    try:
        root.main(list(arguments), "cryptosupport", standalone_mode=False, obj=context)
        sys.stdout.flush()
        return context.exit_code
    except SupportError as error:
        return _fail(arguments, error.exit_code, error.code, error.message, error.facts)
    except click.ClickException as error:
        return _fail(arguments, 2, "usage", error.format_message(), {}, error)
    except (KeyboardInterrupt, click.Abort):
        return _fail(arguments, 130, "interrupted", "interrupted")
    except BrokenPipeError:
        # The reader has gone (`| head`): nothing more can be said, and the interpreter must not try at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except Exception as error:  # the one place that catches: no traceback reaches a user
        return _fail(arguments, 1, "unexpected", _unexpected(error))
    finally:
        context.close()


def _unexpected(error: Exception) -> str:
    """Where it went wrong, for a report to the makers; not what it said, which could hold a secret."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = "" if last is None else f" in {os.path.basename(last.tb_frame.f_code.co_filename)} line {last.tb_lineno}"
    return f"an error of the program itself: {type(error).__name__}{where}; please report it with the command you gave"


def _fail(
    arguments: Sequence[str],
    exit_code: int,
    code: str,
    message: str,
    facts: object = None,
    usage: click.ClickException | None = None,
) -> int:
    """Say what went wrong on stderr: as JSON when JSON was asked for, else as text."""
    if params.wants_json(arguments):
        import msgspec

        error = {"code": code, "message": message, "exit_code": exit_code} | dict(facts or {})  # type: ignore[call-overload]
        click.echo(msgspec.json.encode({"error": error}), err=True)
    elif isinstance(usage, click.UsageError):
        usage.show(sys.stderr)
    else:
        click.echo(f"error: {message}", err=True)
    return exit_code
