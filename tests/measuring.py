"""Coverage of what decides, `domain` and `desk`, by their own tests, in the processes in which `make test` runs them.

It is measured while such a test runs, and while modules are imported. Other tests need not be slowed down by it.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

VARIABLE = "MEASURED"
"""The variable that is set where coverage is to be measured; `coverage combine` and `coverage report` tell the rest."""

_ROOT = Path(__file__).parents[1]
_OWN = tuple(_ROOT / name for name in ("cryptosupport/domain", "tests/domain", "tests/desk"))


class Measuring:
    """A plugin of one process of tests. It measures from now on, until all modules of tests are imported."""

    def __init__(self) -> None:
        from coverage import Coverage

        self._coverage = Coverage(config_file=str(_ROOT / "setup.cfg"), data_suffix=True)
        self._coverage.start()

    def stop(self) -> None:
        """Measure no more."""
        self._coverage.stop()

    def pytest_collection_finish(self) -> None:
        """All that is to run has been imported."""
        self.stop()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Measure the tests of domain and desk."""
        if not any(item.path.is_relative_to(folder) for folder in _OWN):
            return (yield)
        self._coverage.start()
        try:
            return (yield)
        finally:
            self._coverage.stop()

    def pytest_unconfigure(self) -> None:
        """Write down what was measured, beside what other processes do."""
        self._coverage.save()


def _asked_for() -> bool:
    """Whether to measure here. What a process of tests starts is not to be measured."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return bool(os.environ.pop(VARIABLE, ""))
    return bool(os.environ.get(VARIABLE))


MEASURING = Measuring() if _asked_for() else None
"""What measures in this process. Whoever imports this before anything of the program has its imports measured too."""
