"""At which points tests kill: at all of them in `make crash`, at some in `make test`."""

from __future__ import annotations

import os
from collections.abc import Iterator

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
