"""`completion`: commands and options by the Tab key."""

from __future__ import annotations

import click

from cryptosupport.commands import params

_SHELLS = ("bash", "zsh", "fish")


@params.command("completion", epilog="Example: cryptosupport completion zsh > ~/.zfunc/_cryptosupport")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    bash: write it to ~/.local/share/bash-completion/completions/cryptosupport
    zsh:  write it to _cryptosupport in a folder of $fpath
    fish: write it to ~/.config/fish/completions/cryptosupport.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # click knows all of _SHELLS
    click.echo(kind(ctx.find_root().command, {}, "cryptosupport", "_CRYPTOSUPPORT_COMPLETE").source())
