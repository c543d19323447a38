"""At which points tests kill: at all of them in `make crash`, at some in `make test`; and those that kill payments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.conftest import ROOT, Tell

ALL = "CRASH_POINTS"
"""The variable that is "all" for every point."""

EVERYWHERE = os.environ.get(ALL) == "all"
"""Whether it is to be all of them."""
SHARDS = 2 if EVERYWHERE else 1
"""Into so many tests the points of one are split, so that they can run beside each other."""


def fatal_points(count: int, step: int) -> Iterator[int]:
    """The points from 1 to ``count`` to be killed at: all, or every ``step``-th.

    The last one, which is behind the last commit, is always one of them.
    """
    every = 1 if EVERYWHERE else step
    yield from range(1, count, every)
    if count:
        yield count


Told = dict[str, dict[str, Any]]
"""What is told of each stage of a payment's life: the points that there are, their kinds, and what was wrong."""


def kill_payments(
    folder: Path, url: str, node: str, stages: str, who: str, part: tuple[int, int], env: Mapping[str, str]
) -> Told:
    """Have a process kill at the points of one ``part`` (of how many), for a desk with settings in ``folder``.

    ``node`` is as `tests.commands.paying` takes it; ``env`` is added to the environment.
    """
    command = [sys.executable, "-m", "tests.commands.paying", folder, url, node, stages, who, *map(str, part)]
    done = subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        timeout=1700,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
    )
    assert done.returncode == 0, done.stderr
    told: Told = json.loads(done.stdout.splitlines()[-1])
    return told


def say(tell: Tell, place: str, told: Told) -> None:
    """How many points there are, of which kinds, and at how many it was killed; ``place`` has a hole for the stage."""
    for stage, one in told.items():
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(one["kinds"].items()))
        tell("crash points", f"{place.format(stage)}: killed at {one['killed']} of {one['points']} points ({kinds})")


KINDS = {
    "desk": {"commit", "node call", "signer call"},
    "asking": {"signer call"},
    "signer": {"answer of the signer", "entry of the signer"},
}
"""The kinds of points that there are, by who is killed."""


def settled_once(told: Told, who: str) -> None:
    """Nothing is wrong after any kill, and there were points of each kind at which ``who`` could be killed."""
    for stage, one in told.items():
        assert one["wrong"] == []
        assert one["killed"] > 0
        if who == "desk":
            assert one["kinds"].keys() >= KINDS[who]
            assert one["points"] > 20
        else:
            assert one["kinds"].keys() == KINDS[who] - ({"entry of the signer"} if stage == "settle" else set())
