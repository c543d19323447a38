"""The program with a clock in it: `python -m bench.clocked FILE ARGUMENTS...` is `cryptosupport ARGUMENTS...`.

FILE gets, as JSON, the seconds that it waited for nodes, that its signer took, and that it had a processor. Nothing
else is changed.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from cryptosupport.commands import run
from cryptosupport.signers.local import LocalSigner
from cryptosupport.transport.http import HttpNode


def clock(kind: type, name: str, taken: Counter[str], called: str) -> None:
    """Add up under ``called`` how long the method ``name`` of ``kind`` takes."""
    inner = getattr(kind, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return inner(*args, **kwargs)
        finally:
            taken[called] += time.perf_counter() - began  # type: ignore[assignment]

    setattr(kind, name, timed)


def main(file: str, *arguments: str) -> int:
    """Run it, and write down what was taken."""
    taken: Counter[str] = Counter(node=0, signer=0, cpu=0)
    clock(HttpNode, "request", taken, "node")
    clock(LocalSigner, "sign_all", taken, "signer")
    code = run(arguments)
    taken["cpu"] = time.process_time()  # type: ignore[assignment]
    Path(file).write_text(json.dumps(taken), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
