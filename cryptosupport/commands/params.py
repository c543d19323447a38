"""Options that commands share, and the Click classes that carry them."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path
from select import select
from typing import IO, Any, TypeVar

import click

from cryptosupport.domain.errors import BadInput, SupportError
from cryptosupport.domain.identifiers import about_secret, shortened, without_secrets

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

FORMATS = ("table", "json", "jsonl", "csv")


def not_empty(ctx: click.Context, param: click.Parameter, value: T) -> T:
    """The value. Raises `BadParameter` for an empty text: a shell variable that is not set is not the default."""
    if value == "":
        raise click.BadParameter("it is empty: give it a value, or leave it out", ctx, param)
    return value


def _keep(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """Hand a common option to the context, wherever on the command line it stood."""
    if not_empty(ctx, param, value) is not None and value is not False and param.name is not None:
        setattr(ctx.obj.options, param.name, value)


def _common() -> list[click.Parameter]:
    return [
        click.Option(["--configs"], metavar="DIR", expose_value=False, callback=_keep, help="Settings folder."),
        click.Option(["--data"], metavar="DIR", expose_value=False, callback=_keep, help="Data folder."),
        click.Option(["--locale"], metavar="LOCALE", expose_value=False, callback=_keep, help="Language: en or zh-CN."),
        click.Option(["--quiet"], is_flag=True, expose_value=False, callback=_keep, help="No warnings, no progress."),
        click.Option(
            ["--log"],
            type=click.Choice(["text", "json"]),
            expose_value=False,
            callback=_keep,
            help="Form of warnings; json with --json.",
        ),
    ]


_BY = "cryptosupport.by"
"""Under which name a click context knows who gives the command."""


class Command(click.Command):
    """A command that takes the common options too, and -h."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        super().__init__(*args, **kwargs)
        self.params.extend(_common())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line. Raises `BadInput` for text that is no UTF-8; names of files may be any bytes."""
        rest = super().parse_args(ctx, args)
        for param in self.params:
            if isinstance(param.type, (type(click.STRING), Person, Reason)) and not ctx.resilient_parsing:
                _refuse_other_bytes(ctx, param)
        ctx.meta[_BY] = ctx.params.get("operator") or (ctx.params.get("revealed_to") or (None,))[0]
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what may be an attack is in the audit log before anybody is told of it."""
        ctx.obj.command = ctx.command_path
        try:
            return super().invoke(ctx)
        except SupportError as error:
            given = ctx.params.get
            if error.audited and not given("dry_run"):
                about = given("request_id") or given("name") or ", ".join(given("request_ids") or given("scopes") or ())
                ctx.obj.write_down(error, ctx.command_path, about, ctx.meta[_BY])
            raise


def _refuse_other_bytes(ctx: click.Context, param: click.Parameter) -> None:
    """Raise `BadInput` for bytes that are no UTF-8, which neither the ledger nor JSON can hold, and for an option that
    holds a private key or a recovery phrase, which the audit log would keep for ever.
    """
    given = ctx.params.get(param.name or "")
    for text in given if isinstance(given, tuple) else (given,):
        try:
            if isinstance(text, str):
                text.encode()
        except UnicodeEncodeError as error:
            raise BadInput(f"{param.get_error_hint(ctx)} is not UTF-8: {shortened(text)}", field=param.name) from error
        if isinstance(param, click.Option) and isinstance(text, str) and without_secrets(text) != text:
            raise BadInput(f"{param.get_error_hint(ctx)}: {about_secret('what is asked for')}", field=param.name)


class Group(click.Group):
    """A group that takes the common options too, and -h; its commands are `Command`s."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        super().__init__(*args, **kwargs)
        self.params.extend(_common())


Group.group_class = Group


def command(name: str | None = None, **kwargs: Any) -> Callable[[Callable[..., Any]], Command]:
    """Make a top-level command of a function."""
    return click.command(name, cls=Command, **kwargs)


def group(name: str | None = None, **kwargs: Any) -> Callable[[Callable[..., Any]], Group]:
    """Make a command group of a function."""
    return click.group(name, cls=Group, **kwargs)


def output(function: F) -> F:
    """Add -o/--output and --json; the command gets `output`."""

    def choose(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            ctx.params["output"] = "json"

    function = click.option("--json", is_flag=True, expose_value=False, callback=choose, help="Same as -o json.")(
        function
    )
    return click.option(
        "-o", "--output", type=click.Choice(FORMATS), default="table", is_eager=True, help="Format of the result."
    )(function)


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether the command line asks for JSON, even when the rest of it cannot be parsed."""
    joined = " ".join(arguments)
    return "--json" in arguments or any(
        form in f" {joined} " for form in (" -o json", " -ojson", " --output json", " --output=json")
    )


class Duration(click.ParamType[float]):
    """Seconds, or a duration such as 90s or 15m; the command gets seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        from cryptosupport.settings import milliseconds

        if isinstance(value, float):
            return value
        try:
            return milliseconds(f"{value}s" if value.isdigit() else value) / 1000
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Moment(click.ParamType[int]):
    """A time in UTC, a day, or how long ago (24h); the command gets milliseconds since 1970."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Milliseconds since 1970."""
        from cryptosupport.domain.requests import utc_milliseconds
        from cryptosupport.settings import milliseconds

        if isinstance(value, int):
            return value
        assert ctx is not None
        now: int = ctx.obj.clock.milliseconds()
        with suppress(ValueError):
            return utc_milliseconds(value)
        with suppress(ValueError):
            return utc_milliseconds(f"{value}T00:00:00Z")
        with suppress(ValueError):
            return now - milliseconds(value)
        self.fail(f"{value!r}: write 2026-11-21T12:00:00Z, 2026-11-21, or how long ago it was, such as 24h", param, ctx)


class Person(click.ParamType[str]):
    """The name of somebody who works at the desk."""

    name = "name"
    _LONGEST = 100

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it is."""
        if not value.isprintable() or value != value.strip() or not 0 < len(value) <= self._LONGEST:
            self.fail(f"write up to {self._LONGEST} printable characters, without blanks around them", param, ctx)
        name: str = value
        return name


class Reason(click.ParamType[str]):
    """Why somebody does something."""

    name = "text"
    _LONGEST = 500

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it is."""
        if not value.isprintable() or not value.strip() or len(value) > self._LONGEST:
            self.fail(f"write why, in up to {self._LONGEST} printable characters", param, ctx)
        reason: str = value
        return reason


class Source(click.File):
    """A file to read bytes from; `-` is stdin."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> IO[bytes]:
        """The open file."""
        if value == "-" and sys.stdin is None:
            self.fail("stdin is closed", param, ctx)
        return super().convert(value, param, ctx)


class Lines:
    """The subjects of a command: its arguments, or the lines of a file or pipe that may not end.

    ``single`` is true when exactly one was named as an argument. ``position`` counts the bytes read; ``size`` is the
    file's,
    None where it has none. Of a line longer than any id only the start is kept.
    """

    LONGEST = 4096
    _PIECE = 65536

    def __init__(self, values: Sequence[str], source: IO[bytes] | None) -> None:
        self.single = len(values) == 1 and source is None
        self.position = 0
        self.size = _size(source)
        self._source = source
        self._read: deque[str] = deque(values)
        self._rest = b""
        self._ended = source is None

    def __iter__(self) -> Iterator[str]:
        while self._read or not self._ended:
            while self._read:
                yield self._read.popleft()
            if not self._ended:
                self._read_on()

    def ready(self) -> bool:
        """Whether another line, or the end, can be had without waiting for whoever writes into the pipe."""
        if self._read or self._ended or self.size is not None or self._source is None:
            return True
        try:
            return bool(select([self._source], [], [], 0)[0])
        except (OSError, ValueError):  # no pipe that can be asked
            return True

    def _read_on(self) -> None:
        """Take what is there, at least one byte; `read1` does not wait for more."""
        assert self._source is not None
        try:
            piece = self._source.read1(self._PIECE)  # type: ignore[attr-defined]
        except OSError as error:
            raise BadInput(f"the input cannot be read: {error.strerror}") from error
        self.position += len(piece)
        *whole, rest = (self._rest + piece).split(b"\n")
        self._rest = rest[: self.LONGEST]
        if not piece:
            self._ended = True
            whole = [self._rest] if self._rest else []
        self._read.extend(line[: self.LONGEST].decode("utf-8", "replace").rstrip("\r") for line in whole)


def _size(source: IO[bytes] | None) -> int | None:
    """The size of a regular file."""
    try:
        return None if source is None else os.fstat(source.fileno()).st_size or None
    except OSError:
        return None


def lines(name: str, metavar: str) -> Callable[[F], F]:
    """Add the argument ``name`` (many; `-` is stdin) and --input FILE; the command gets `Lines` under ``name``."""

    def take(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> Lines:
        source = ctx.params.pop("source", None)
        if "-" in values:
            if len(values) > 1 or source is not None:
                raise click.UsageError("`-` reads stdin: give it alone", ctx)
            if sys.stdin is None:
                raise click.UsageError("`-` reads stdin, and stdin is closed", ctx)
            values, source = (), sys.stdin.buffer
        if not values and source is None:
            raise click.UsageError(f"name a {metavar}, or - to read them from stdin, or --input FILE", ctx)
        return Lines([value.encode(errors="replace").decode() for value in values], source)

    def decorate(function: F) -> F:
        with_source: Callable[[F], F] = click.option(
            "--input", "source", type=Source("rb"), metavar="FILE|-", is_eager=True, help=f"One {metavar} a line."
        )
        argument: Callable[[F], F] = click.argument(name, nargs=-1, metavar=f"[{metavar}|-]...", callback=take)
        return with_source(argument(function))

    return decorate


def _chain_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The chains of the settings folder, for completion by the shell."""
    from cryptosupport.domain.errors import BadSettings
    from cryptosupport.settings import chain_names, find_folder

    try:
        return [name for name in chain_names(find_folder(ctx.obj.options.configs)) if name.startswith(incomplete)]
    except BadSettings:
        return []


def chain_option(help: str) -> Callable[[F], F]:
    """Add --chain, which the shell completes."""
    return click.option("--chain", metavar="NAME", shell_complete=_chain_names, help=help)


chain = chain_option("Ask only this chain.")
no_remember = click.option("--no-remember", is_flag=True, help="Neither use nor keep the memory of earlier look-ups.")
own_nodes = click.option("--own-nodes", is_flag=True, help="Ask only endpoints marked own = true.")


def operator_option(help: str, required: bool = False) -> Callable[[F], F]:
    """Add --operator."""
    return click.option("--operator", type=Person(), metavar="NAME", required=required, help=help)


def signing(function: F) -> F:
    """Add the ways in which an operator signs; the command gets `hand`. Without any the key is in the keyring."""

    @wraps(function)
    def with_hand(*args: Any, key: str | None, statement: str | None, write_statement: str | None, **rest: Any) -> Any:
        if sum(each is not None for each in (key, statement, write_statement)) > 1:
            raise click.UsageError("--key, --statement and --write-statement are three ways: give one of them")
        hand = click.get_current_context().obj.hand(key, statement, write_statement)
        return function(*args, hand=hand, **rest)

    ways = (
        ("--key", "Sign with this OpenSSH key; a public one when an agent or a token holds the other half."),
        ("--statement", "What was signed elsewhere, with the signature in FILE.sig."),
        ("--write-statement", "Write what is to be signed to FILE, and stop."),
    )
    decorated: Any = with_hand
    for name, help in reversed(ways):
        decorated = click.option(name, metavar="FILE", callback=not_empty, help=help)(decorated)
    signed: F = decorated
    return signed


dry_run = click.option("--dry-run", is_flag=True, help="Say what would happen, and record nothing.")

metrics_file = click.option(
    "--metrics-file", "metrics", type=click.Path(path_type=Path), metavar="FILE", callback=not_empty,
    help="Tell Prometheus of the pass, by its text file collector.",
)  # fmt: skip


def reveal(function: F) -> F:
    """Add --reveal, --reason and --operator; the command gets `revealed_to`: (operator, reason), None without."""

    def take(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        operator, reason = ctx.params.pop("operator", None), ctx.params.pop("reason", None)
        if value and (operator is None or reason is None):
            raise click.UsageError("--reveal is told to the audit log: say who by --operator, and why by --reason", ctx)
        if not value and (operator, reason) != (None, None):
            raise click.UsageError("--operator and --reason are those of --reveal: give it too", ctx)
        ctx.params["revealed_to"] = (operator, reason) if value else None

    flag: Callable[[F], F] = click.option(
        "--reveal", is_flag=True, expose_value=False, callback=take, help="Show notes and beneficiary in clear."
    )
    why: Callable[[F], F] = click.option(
        "--reason", type=Reason(), is_eager=True, metavar="TEXT", help="Why, with --reveal; the audit log keeps it."
    )
    who: Callable[[F], F] = click.option(
        "--operator", type=Person(), is_eager=True, metavar="NAME", help="Who looks, with --reveal."
    )
    return flag(why(who(function)))
