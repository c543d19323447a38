"""At which points tests kill: at all of them in `make crash`, at some in `make test`."""

from __future__ import annotations

import os
from collections.abc import Iterator

ALL = "CRASH_POINTS"
"""The variable that is "all" for every point."""


def fatal_points(count: int, step: int, always: int = 1) -> Iterator[int]:
    """The points from 1 to ``count`` to be killed at: every ``step``-th; with all of them every ``always``-th.

    The last one, which is behind the last commit, is always one of them.
    """
    every = always if os.environ.get(ALL) == "all" else step
    yield from range(1, count, every)
    if count:
        yield count
