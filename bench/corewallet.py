"""The same payments made by the node's own wallet, which holds its keys.

`python -m bench.corewallet NAME URL FILE MOST`: URL names the wallet, FILE is JSON (a list of address and amount), and
MOST go into one transaction. It prints, as JSON, the ids of the transactions and the seconds that blocks took. Neither
way remembers anything, or could be run again after a crash without paying twice.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from bitcoin.rpc import RawProxy

from cryptosupport.outside.nodes import ANYONE

RATE = 1
"""Satoshis per vB, which is what `withdraw run` pays where nobody asks for more."""

TIMEOUT = 600
IN_A_BLOCK = 250
"""After so many single payments there is a block: the node takes no long chains of change."""

Payments = Sequence[tuple[str, str]]


def sendmany(wallet: Any, payments: Payments, most: int) -> tuple[list[str], float]:
    """One call for ``most`` recipients at a time."""
    txids = []
    for start in range(0, len(payments), most):
        some = dict(payments[start : start + most])
        txids.append(wallet.sendmany("", some, 1, "", [], True, None, "unset", RATE))
    return txids, 0.0


def sendtoaddress(wallet: Any, payments: Payments, most: int) -> tuple[list[str], float]:
    """One call, and one transaction, for each recipient."""
    txids, waited = [], 0.0
    for number, (destination, amount) in enumerate(payments, 1):
        txids.append(wallet.sendtoaddress(destination, amount, "", "", False, True, None, "unset", False, RATE))
        if number % IN_A_BLOCK == 0:
            began = time.perf_counter()
            wallet.generatetoaddress(1, ANYONE)
            waited += time.perf_counter() - began
    return txids, waited


WAYS: dict[str, Callable[[Any, Payments, int], tuple[list[str], float]]] = {
    each.__name__: each for each in (sendmany, sendtoaddress)
}


def main(arguments: Iterable[str]) -> None:
    """Pay one way."""
    name, url, file, most = arguments
    payments = json.loads(Path(file).read_text(encoding="utf-8"))
    wallet = RawProxy(service_url=url, timeout=TIMEOUT)
    txids, waited = WAYS[name](wallet, payments, int(most))
    print(json.dumps({"txids": txids, "waited": waited}))


if __name__ == "__main__":
    main(sys.argv[1:])
