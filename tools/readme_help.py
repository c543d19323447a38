"""The `--help` of every command in README.md: this writes it, and with `--check` says whether it is true."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BEGIN = "<!-- help of every command: written by tools/readme_help.py -->"
END = "<!-- end of help -->"


def pages(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """The command line and the help page of ``command`` and of all below it, as an 80-column terminal shows it."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=78, **command.context_settings)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            below = command.get_command(context, each)
            assert below is not None
            yield from pages(below, each, context)


def render() -> str:
    """What stands between the markers."""
    sys.path.insert(0, str(ROOT))
    from cryptosupport.commands import root

    return "\n\n".join(f"### {path}\n```text\n{page}\n```" for path, page in pages(root, "cryptosupport"))


def main() -> int:
    """Write or check; the exit code says whether the file was true before."""
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}\n\n{render()}\n\n{END}{after}"
    if wanted == text:
        return 0
    if "--check" in sys.argv:
        print("README.md has another --help than the program: run python tools/readme_help.py", file=sys.stderr)
    else:
        README.write_text(wanted, encoding="utf-8")
    return 1 if "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
