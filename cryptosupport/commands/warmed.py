"""The program, loaded once and run many times, each time in a process of its own: for the demo.

`python -m cryptosupport.commands.warmed` reads a line of JSON for each run: the arguments, and the files to read from
(standard input) and to write to (standard output, standard error). It answers with a line, the exit code.
"""

from __future__ import annotations

import gc
import json
import os
import pkgutil
import sys
from importlib import import_module

import cryptosupport
from cryptosupport.commands import run

_READ, _WRITE = os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_RUNS_BY_ITSELF = (".__main__", ".migrations.", ".warmed")


def load() -> None:
    """Import all of the program, so that no run has to."""
    for module in pkgutil.walk_packages(cryptosupport.__path__, "cryptosupport."):
        if not any(part in f"{module.name}." for part in _RUNS_BY_ITSELF):
            import_module(module.name)
    gc.collect()
    gc.freeze()  # else each run would go through all of it when it ends


def serve() -> int:
    """Run it for each line, one after the other; in the process of a run, the exit code of that."""
    with open(os.dup(0), encoding="utf-8") as orders, open(os.dup(1), "w", encoding="utf-8") as answers:
        for line in orders:
            arguments, *files = json.loads(line)
            pid = os.fork()
            if not pid:
                _stand_in_for(*files)
                return run(arguments)
            _, status = os.waitpid(pid, 0)
            print(os.waitstatus_to_exitcode(status), file=answers, flush=True)
    return 0


def _stand_in_for(stdin: str, stdout: str, stderr: str) -> None:
    """Let these files be the standard streams of this process."""
    for number, (path, how) in enumerate(((stdin, _READ), (stdout, _WRITE), (stderr, _WRITE))):
        opened = os.open(path, how, 0o600)
        os.dup2(opened, number)
        os.close(opened)


if __name__ == "__main__":
    load()
    sys.exit(serve())
