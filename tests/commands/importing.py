"""`screen import` killed at every statement and commit that it makes: the list is the earlier one or the new one.

`python -m tests.commands.importing CONFIGS DATA EARLIER NEW` takes two files with lists; the earlier one is the older.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from importlib import import_module

from cryptosupport.context import Context
from cryptosupport.desk.screen_lists import load_lists
from tests.commands.submitting import LOADED, in_a_child, submit
from tests.crashing import fatal_points


def listed(configs: str, data: str) -> Callable[[], list[str]]:
    """What is listed, and the list is as its last import says."""

    def work() -> list[str]:
        context = Context()
        context.options.configs, context.options.data = configs, data
        with context.ledger().look() as records:
            assert len(load_lists(records).heads) == 1
            return [each.key for each in records.listed("ofac")]

    return work


def kill_everywhere(configs: str, data: str, earlier: str, new: str) -> dict[str, object]:
    """Kill an import at each point in turn and run it again: how many points, and at which the list was neither."""
    for name in (*LOADED, "cryptosupport.commands.screen", "cryptosupport.outside.listfiles"):
        import_module(name)
    start = ["--configs", configs, "--data", data, "screen", "import", "--list", "ofac", "--accept-older"]

    def run(file: str, fatal: int = 0) -> tuple[int, list[int] | None]:
        return in_a_child(submit([*start, file], fatal))

    def now() -> list[str]:
        found: list[str] = in_a_child(listed(configs, data))[1]
        return found

    run(earlier)
    before = now()
    _, told = run(new)
    after, points, wrong = now(), told[1] if told else 0, []
    for fatal in fatal_points(points, 5):
        run(earlier)
        killed, _ = run(new, fatal)
        left = now()
        _, again = run(new)
        if killed != -signal.SIGKILL or left not in (before, after) or not again or again[0] or now() != after:
            wrong.append([fatal, killed, left, again])
    return {"points": points, "before": before, "after": after, "wrong": wrong}


if __name__ == "__main__":
    print(json.dumps(kill_everywhere(*sys.argv[1:])))
