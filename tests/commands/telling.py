"""The end of a pass, in which hooks are told, killed at every statement, commit and delivery that it makes.

`python -m tests.commands.telling CONFIGS DATA LEDGER FILE` kills a worker at each point in turn, and lets another one
go on from there. FILE is where the hook, a program, writes what it is told.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from cryptosupport.commands import run
from cryptosupport.context import Context
from cryptosupport.context.telling import WithHooks
from cryptosupport.outside.telling import Told
from tests.commands.hookdesk import in_order, later, lines
from tests.commands.submitting import LOADED, Points, copied, emptied, in_a_child, kept, one_engine, submit, warmed
from tests.crashing import fatal_points

NAMES = ("w-1", "w-2", "w-3")
EXPECTED = {name: ["approved", "cancelled"] for name in NAMES}


def telling(folders: list[str], fatal: int) -> Callable[[], list[int]]:
    """A pass that is killed at point ``fatal``, of those that it passes from when it begins with the hooks."""

    def work() -> list[int]:
        points = Points(fatal)
        tell_hooks, tell = WithHooks.tell_hooks, Told.tell

        def watched(context: Context) -> None:
            points.watch()
            tell_hooks(context)

        def delivered(told: Told, bodies: Any) -> Any:
            points.reach("delivery")
            said = tell(told, bodies)
            points.reach("delivery")
            return said

        WithHooks.tell_hooks, Told.tell = watched, delivered  # type: ignore[assignment, method-assign]
        return [run([*folders, "withdraw", "run"]), points.passed]

    return work


def prepare(folders: list[str]) -> None:
    """Have a hook that hears, and changes that it has not heard of."""
    in_a_child(submit([*folders, "withdraw", "run"], 0))  # from here on the hook hears
    for name in NAMES:
        facts = {"request-id": name, "customer": "c", "asset": "ETH", "chain": "ethereum", "amount": "1"}
        facts |= {"destination": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"}
        options = [part for key, text in facts.items() for part in (f"--{key}", text)]
        in_a_child(submit([*folders, "withdraw", "submit", *options], 0))
        in_a_child(submit([*folders, "withdraw", "cancel", name, "--operator", "ops"], 0))


def kill_everywhere(configs: str, data: str, url: str, file: str) -> dict[str, Any]:
    """Kill a worker at each point in turn, and let passes go on: how many points, and where something was wrong."""
    here, made, slow, told = Path(data) / "now", Path(data) / "made", url.startswith("postgresql"), Path(file)
    folders = ["--configs", configs, "--data", str(here)]

    def fresh() -> None:
        shutil.rmtree(here, ignore_errors=True)
        told.unlink(missing_ok=True)
        if made.exists():
            shutil.copytree(made, here)
            if slow:
                assert in_a_child(copied(url))[0] == 0
            return
        here.mkdir(mode=0o700, parents=True)
        if slow:
            in_a_child(emptied(url))
        prepare(folders)
        shutil.copytree(here, made)
        if slow:
            assert in_a_child(kept(url))[0] == 0

    def faults() -> list[Any]:
        codes = []
        for _ in range(2):
            in_a_child(lambda: later(here, url))
            codes.append(in_a_child(submit([*folders, "withdraw", "run"], 0))[1][0])
        heard = lines(told)
        by_name = {name: list(dict.fromkeys(it["state"] for it in heard if it["request_id"] == name)) for name in NAMES}
        ids = {(it["request_id"], it["state"], it["id"]) for it in heard}
        repeats = max(sum(it["id"] == id for it in heard) for *_, id in ids)
        sound = codes == [0, 0] and by_name == EXPECTED and in_order(heard) and len(ids) == 6 and repeats <= 2
        return [] if sound else [codes, heard]

    one_engine()
    fresh()
    warmed(lambda: [run([*folders, "withdraw", "run"]), later(here, url)])  # type: ignore[func-returns-value]
    fresh()
    _, (code, points) = in_a_child(telling(folders, 0))
    found = [] if not (wrong := faults()) else [[0, wrong]]
    for fatal in fatal_points(points, 9 if slow else 3):
        fresh()
        killed, _ = in_a_child(telling(folders, fatal))
        wrong = faults()
        if killed != -signal.SIGKILL or wrong:
            found.append([fatal, killed, wrong])
    return {"points": points, "exit_code": code, "wrong": found}


if __name__ == "__main__":
    for module in (*LOADED, "cryptosupport.desk.run_once", "cryptosupport.desk.tell", "cryptosupport.ledger.outbox"):
        import_module(module)  # once, here, and not in every child
    print(json.dumps(kill_everywhere(*sys.argv[1:])))
