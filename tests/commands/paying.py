"""`withdraw run` as it pays, killed before and after every statement, commit, node call and signature it makes.

`python -m tests.commands.paying CONFIGS DATA LEDGER NODE SCENARIO` kills a pass at each point in turn, and lets fresh
passes go on from there: each withdrawal is paid exactly once, whatever the point.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import urllib.request
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from cryptosupport.commands import run
from cryptosupport.ledger.tables import metadata
from cryptosupport.signers.local import LocalSigner
from cryptosupport.transport.http import HttpNode
from tests.chains.evm_paying.kit import CONTRACT
from tests.commands.payingdesk import ANN, BEN, ETHER, HOT
from tests.commands.submitting import LOADED, Points, emptied, in_a_child, recorded, submit, verified
from tests.crashing import fatal_points

REQUESTS = [("coins", ANN, "1.5", "ETH"), ("tokens", BEN, "7", "USDT"), ("more", BEN, "2", "ETH")]
AMOUNTS = {"coins": 3 * ETHER // 2, "tokens": 7 * 10**6, "more": 2 * ETHER}
COMMANDS = {
    "pay": ("withdraw", "run", "-o", "jsonl"),
    "bump": ("withdraw", "run", "-o", "jsonl"),
    "kill": ("withdraw", "kill", "tokens", "--operator", "ops", "--json"),
}
ENDS = {"final", "cancelled"}
STEPS = {"pay": 13, "bump": 29, "kill": 29}
"""Of how many points one is enough for `make test`."""
TOGETHER = (
    *("cryptosupport.desk.pay", "cryptosupport.desk.run_once", "cryptosupport.chains.evm.paying", "web3", "coincurve"),
    *("cryptosupport.chains.evm.tools", "cryptosupport.context.paying", "cryptosupport.desk.value_late"),
)


def paying(arguments: list[str], fatal: int) -> Callable[[], list[int]]:
    """A run that is killed at point ``fatal``: node calls and signatures are points too, before and after each."""

    def work() -> list[int]:
        points = Points(fatal)
        points.watch()
        _around(points, HttpNode, "request")
        _around(points, LocalSigner, "sign")
        return [run(arguments), points.passed]

    return work


def _around(points: Points, kind: type, name: str) -> None:
    inner = getattr(kind, name)

    def with_points(*args: Any, **kwargs: Any) -> Any:
        points.reach()
        done = inner(*args, **kwargs)
        points.reach()
        return done

    setattr(kind, name, with_points)


class Chain:
    """The node, which goes back to where it began."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._snapshot = self.rpc("evm_snapshot")

    def rpc(self, method: str, *params: object) -> Any:
        """Ask it."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        asked = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)["result"]

    def back(self, mining: bool) -> None:
        """As it was in the beginning, with nothing in its pool."""
        assert self.rpc("evm_revert", self._snapshot)
        self._snapshot = self.rpc("evm_snapshot")
        self.rpc("anvil_dropAllTransactions")
        self.rpc("evm_setAutomine", mining)

    def told(self) -> list[int]:
        """What was paid: coins to both, tokens, and how many transactions the wallet made."""
        call = {"to": CONTRACT, "data": "0x70a08231" + BEN[2:].lower().rjust(64, "0")}
        asked = [
            self.rpc("eth_getBalance", ANN, "latest"),
            self.rpc("eth_getBalance", BEN, "latest"),
            self.rpc("eth_call", call, "latest"),
            self.rpc("eth_getTransactionCount", HOT, "latest"),
        ]
        return [int(each, 16) for each in asked]


def kill_everywhere(configs: str, data: str, url: str, node: str, scenario: str) -> dict[str, Any]:
    """Kill a command at each point in turn, and let passes go on: how many points, and where something was wrong."""
    chain = Chain(node)
    here, made, slow = Path(data) / "now", Path(data) / "made", url.startswith("postgresql")
    folders = ["--configs", configs, "--data", str(here)]
    one_pass, command = [*folders, "withdraw", "run", "-o", "jsonl"], [*folders, *COMMANDS[scenario]]

    def fresh() -> None:
        shutil.rmtree(here, ignore_errors=True)
        if made.exists():
            shutil.copytree(made, here)
            if slow:
                assert in_a_child(copied(url))[0] == 0
        else:
            chain.back(mining=True)
            here.mkdir(mode=0o700, parents=True)
            _prepare(folders, url)
            if scenario != "pay":  # all are on their way, and no block takes them
                chain.back(mining=False)
                in_a_child(submit(one_pass, 0))
            shutil.copytree(here, made)
            if slow:
                assert in_a_child(kept(url))[0] == 0
        chain.back(mining=scenario == "pay")  # the node has forgotten what was on its way

    def faults() -> list[Any]:
        """What is not as it has to be when some passes have gone on and all is final."""
        codes: list[int | None] = []
        states: dict[str, str] = {}
        while len(codes) < 4 and not (states and all(state in ENDS for state in states.values())):
            codes.append((in_a_child(submit(one_pass, 0))[1] or [None])[0])
            chain.rpc("anvil_mine", hex(100))
            states = {row[1]: row[2] for row in in_a_child(recorded(configs, str(here)))[1][0]}
        wrong = in_a_child(verified(configs, str(here)))[1]
        paid = [units if states[name] == "final" else 0 for name, units in AMOUNTS.items()]
        expected = [paid[0], paid[2], paid[1], len(states)]
        sound = set(codes) == {0} and set(states.values()) <= ENDS and not wrong and chain.told() == expected
        return [] if sound else [codes, states, chain.told(), expected, wrong]

    fresh()
    _, (code, points) = in_a_child(paying(command, 0))
    found = [] if not (wrong := faults()) else [[0, wrong]]
    for fatal in fatal_points(points, STEPS[scenario] * (2 if slow else 1), 4 if slow else 1):
        fresh()
        killed, _ = in_a_child(paying(command, fatal))
        wrong = faults()
        if killed not in (-signal.SIGKILL, 0) or wrong:  # with 0 it made fewer points than the run that counted them
            found.append([fatal, killed, wrong])
    return {"points": points, "exit_code": code, "wrong": found}


def kept(url: str) -> Callable[[], None]:
    """Keep all rows of a database of PostgreSQL as they are, to be copied."""
    return lambda: _on_server(
        url, ["create schema made", *(f"create table made.{name} as table public.{name}" for name in _tables())]
    )


def copied(url: str) -> Callable[[], None]:
    """Have the database hold the rows that were kept."""
    return lambda: _on_server(
        url,
        [
            "alter table audit disable trigger user",
            f"truncate {', '.join(_tables())}",
            *(f"insert into public.{name} select * from made.{name}" for name in _tables()),
            "alter table audit enable trigger user",
        ],
    )


def _tables() -> list[str]:
    return [f'"{table.name}"' for table in metadata.sorted_tables]


def _on_server(url: str, statements: list[str]) -> None:
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def _prepare(folders: list[str], url: str) -> None:
    if url.startswith("postgresql"):
        in_a_child(emptied(url))
    for name, destination, amount, asset in REQUESTS:
        facts = {"request-id": name, "customer": "c", "asset": asset, "chain": "ethereum"}
        facts |= {"amount": amount, "destination": destination}
        options = [part for key, text in facts.items() for part in (f"--{key}", text)]
        in_a_child(submit([*folders, "withdraw", "submit", *options], 0))


if __name__ == "__main__":
    for module in (*LOADED, *TOGETHER):  # once, here, and not in every child
        import_module(module)
    print(json.dumps(kill_everywhere(*sys.argv[1:])))
