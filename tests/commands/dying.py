"""A command that is killed where it hurts: `python -m tests.commands.dying PLACE CHAIN ARGUMENTS...`.

PLACE is `signed`, when the signer has signed and nothing of it is stored; `unsent`, when it is stored and no node has
heard of it; `sent`, when a node has it and that is not recorded.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import Any

from cryptosupport.commands import run
from cryptosupport.signers.local import LocalSigner

PLACES = ("signed", "unsent", "sent")
PAYERS = {"ethereum": ("evm", "EvmPayer"), "bitcoin": ("bitcoin", "BitcoinPayer")}


def die(owner: type, name: str, *, before: bool) -> None:
    """Kill this process before, or after, it calls a method for the first time."""
    inner = getattr(owner, name)

    def fatal(*args: Any, **kwargs: Any) -> None:
        if not before:
            inner(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, fatal)


def main(place: str, chain: str, *arguments: str) -> int:
    """Run the command until it dies."""
    family, payer = PAYERS[chain]
    if place == "signed":
        die(LocalSigner, "sign_all", before=False)
    else:
        owner = getattr(import_module(f"cryptosupport.chains.{family}.paying"), payer)
        die(owner, "send", before=place == "unsent")
    return run(list(arguments))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
