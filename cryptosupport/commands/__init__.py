"""The command line. Each module here is one command or group, found by its file name and imported when it is used.

Errors become exit codes here and nowhere else.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

import click

from cryptosupport import __version__
from cryptosupport.commands import params
from cryptosupport.context import Context, say
from cryptosupport.domain.errors import Interrupted, SupportError
from cryptosupport.domain.identifiers import without_secrets

_INTERRUPTED, _READER_GONE, _TERMINATED = 130, 141, 143
_NOT_COMMANDS = {
    "__init__", "params", "output", "approving", "payments", "policychanges", "receipts", "warmed", "withdrawals",
}  # fmt: skip


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

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. What stops it is told by `run`: Click would write to stderr, whether or not it is open."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None
        except BrokenPipeError:
            raise _ReaderGone from None


class _ReaderGone(Exception):
    """Whoever read standard output has closed it (`| head`)."""


@click.group(cls=_Root, epilog="Example: cryptosupport tx status 5df6…e3a1 --json")
@click.version_option(__version__, message="cryptosupport %(version)s")
def root() -> None:
    """Say in plain words what happened to a transaction, decide withdrawals within hard limits, and pay each once."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    code = run(sys.argv[1:] if arguments is None else arguments)
    if code in (_INTERRUPTED, _READER_GONE, _TERMINATED):
        os._exit(code)  # at once: the interpreter would wait for threads that are still asking a node
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; every error has become text or JSON on stderr."""
    context = Context()
    context.options.log = "json" if params.wants_json(arguments) else "text"  # --log comes later, and may differ
    _replace_what_cannot_be_encoded()
    terminated: list[int] = []
    try:
        with _sigterm_interrupts(terminated):
            root.main(list(arguments), "cryptosupport", standalone_mode=False, obj=context)
        context.part()
        if sys.stdout is not None:
            sys.stdout.flush()
        return context.exit_code
    except (Interrupted, KeyboardInterrupt, click.Abort) as stop:
        message = stop.message if isinstance(stop, Interrupted) else "interrupted"
        return _fail(arguments, _TERMINATED if terminated else _INTERRUPTED, "interrupted", message)
    except SupportError as error:
        return _fail(arguments, error.exit_code, error.code, error.message, error.facts)
    except click.ClickException as error:
        return _fail(arguments, 2, "usage", error.format_message(), {}, error)
    except (_ReaderGone, BrokenPipeError):
        return _READER_GONE
    except Exception as error:  # the one place that catches: no traceback reaches a user
        return _fail(arguments, 1, "unexpected", _unexpected(error))
    finally:
        context.close()


@contextmanager
def _sigterm_interrupts(came: list[int]) -> Iterator[None]:
    """Meanwhile SIGTERM ends the program as Ctrl-C does: with what is known told, and in order. ``came`` notes it."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        came.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _replace_what_cannot_be_encoded() -> None:
    """A letter that the terminal does not know, or a file name that is no UTF-8, is shown as `?`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


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
    """Say what went wrong on stderr: as JSON when JSON was asked for, else as text; no secret is in it."""
    message = without_secrets(message)
    if params.wants_json(arguments):
        import json

        error = {"code": code, "message": message, "exit_code": exit_code} | dict(facts or {})  # type: ignore[call-overload]
        say(json.dumps({"error": error}, ensure_ascii=False, separators=(",", ":"), default=str))
    elif isinstance(usage, click.UsageError):
        text = io.StringIO()
        usage.show(text)
        say(*text.getvalue().rstrip().split("\n"))
    else:
        say(f"error: {message}")
    return exit_code
