"""`withdraw run`, killed at every statement and commit it makes.

`python -m tests.commands.running CONFIGS DATA URL` prepares a ledger that has everything to do, and kills a pass at
each point in turn.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from cryptosupport.commands import run
from cryptosupport.context import Context
from tests.commands.submitting import LOADED, copied, emptied, in_a_child, kept, one_engine, recorded, submit, warmed
from tests.crashing import fatal_points

ANN, BEN = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
REQUESTS = [("allowed", ANN, "1"), ("seen", ANN, "4"), ("over", BEN, "4"), ("queued", BEN, "2.5")]

TOGETHER = ("cryptosupport.desk.run_once", "cryptosupport.desk.screen_lists", "cryptosupport.desk.value_late")


def prepare(folders: list[str], url: str) -> None:
    """Requests of every kind, a list that finds some of them, a freeze in the file, and time that went by."""
    if url.startswith("postgresql"):
        in_a_child(emptied(url))
    data = Path(folders[3])
    for number, (name, destination, amount) in enumerate(REQUESTS):
        facts = {"request-id": name, "customer": f"c{number}", "asset": "ETH", "chain": "ethereum"}
        facts |= {"amount": amount, "destination": destination}
        options = [part for key, text in facts.items() for part in (f"--{key}", text)]
        in_a_child(submit([*folders, "withdraw", "submit", *options], 0))
    listed = data / "list.txt"
    listed.write_text(f"{ANN}\n", encoding="utf-8")
    in_a_child(submit([*folders, "screen", "import", str(listed), "--list", "ours", "--kind", "block"], 0))
    (data / "freeze").write_text("customer=c3 a drill\n", encoding="utf-8")
    os.utime(data / "freeze", (1_790_000_000, 1_790_000_000))
    in_a_child(_age(folders))


def _age(folders: list[str]) -> Callable[[], None]:
    """Have what waits for approval be over: as the program would have written it."""

    def work() -> None:
        context = Context()
        context.options.configs, context.options.data = folders[1], folders[3]
        ledger, premises = context.ledger(), context.premises()
        with ledger.write(premises.judge) as books:
            (before,) = books.find(["over"]).values()
            books.change(before, replace(before, expires_at=books.now))

    return work


def frozen_and_sound(folders: list[str]) -> Callable[[], list[Any]]:
    """What is frozen, and what `audit verify` says."""

    def work() -> list[Any]:
        context = Context()
        context.options.configs, context.options.data = folders[1], folders[3]
        with context.ledger().look() as records:
            scopes = [each.scope.text for each in records.freezes(lifted=True)]
        return [scopes, run([*folders, "audit", "verify", "--json"])]

    return work


def kill_everywhere(configs: str, data: str, url: str) -> dict[str, Any]:
    """Kill a pass at each point in turn and run it again: which ended otherwise."""
    one_engine()
    for module in (*LOADED, *TOGETHER):  # once, here, and not in every child
        import_module(module)
    folders = ["--configs", configs, "--data", str(Path(data) / "now")]
    here, made, slow = Path(data) / "now", Path(data) / "made", url.startswith("postgresql")

    def fresh() -> list[str]:
        shutil.rmtree(here, ignore_errors=True)
        if not made.exists():
            here.mkdir(mode=0o700, parents=True)
            prepare(folders, url)
            shutil.copytree(here, made)
            if slow:
                assert in_a_child(kept(url))[0] == 0
        else:
            shutil.copytree(made, here)
            if slow:
                assert in_a_child(copied(url))[0] == 0
        return [*folders, "withdraw", "run", "-o", "jsonl"]

    def ended() -> list[Any]:
        rows, sound = in_a_child(recorded(configs, str(here)))[1], in_a_child(frozen_and_sound(folders))[1]
        return [json.loads(re.sub(r"since [-0-9T:]+Z", "since then", json.dumps(rows))), sound]

    def all_of_it() -> None:
        assert run(arguments) == 0
        recorded(configs, str(here))()
        frozen_and_sound(folders)()

    arguments = fresh()
    warmed(all_of_it)
    _, (expected, points) = in_a_child(submit(fresh(), 0))
    whole, wrong = ended(), []
    for fatal in fatal_points(points, 31 if slow else 11):
        arguments = fresh()
        killed, _ = in_a_child(submit(arguments, fatal))
        _, again = in_a_child(submit(arguments, 0))
        if (killed, again and again[0], ended()) != (-signal.SIGKILL, expected, whole):
            wrong.append([fatal, killed, again, ended()])
    return {"points": points, "exit_code": expected, "whole": whole, "wrong": wrong}


if __name__ == "__main__":
    print(json.dumps(kill_everywhere(*sys.argv[1:])))
