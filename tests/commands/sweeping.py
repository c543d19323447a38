"""`sweep run`, killed before and after all that it asks and writes.

`python -m tests.commands.sweeping FOLDER LEDGER NODE`: FOLDER has the settings of a desk (`configs`) whose wallet has a
surplus, and its data folder (`made`). After each kill fresh processes go on: there is one sweep, the cold has got its
amount once, and ledger and chain agree.
"""

from __future__ import annotations

import gc
import json
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import QueuePool

from cryptosupport.commands import run
from cryptosupport.context import Context
from cryptosupport.domain.books import Wanted
from cryptosupport.domain.sweeps import is_sweep
from cryptosupport.ledger import engine
from tests.commands.paying import watched
from tests.commands.payingdesk import BEN, HOT
from tests.commands.payinglife import PAYING, EvmChain
from tests.commands.submitting import LOADED, copied, in_a_child, kept, verified
from tests.crashing import fatal_points

STEP = 29
"""Of how many points one is enough for `make test`."""
MOST_PASSES = 6


class Sweeping:
    """A desk that is to sweep; brought back to that as often as one likes."""

    def __init__(self, folder: Path, url: str, node: str) -> None:
        self._url, self._now, self._made = url, folder / "now", folder / "made"
        self.chain = EvmChain(node)
        self.chain.keep(mining=False)
        self.folders = ["--configs", str(folder / "configs"), "--data", str(self._now)]
        if self._on_server:
            assert in_a_child(kept(url))[0] == 0

    @property
    def _on_server(self) -> bool:
        return self._url.startswith("postgresql")

    def fresh(self) -> None:
        """As it was."""
        shutil.rmtree(self._now, ignore_errors=True)
        shutil.copytree(self._made, self._now)
        if self._on_server:
            assert in_a_child(copied(self._url))[0] == 0
        self.chain.back()

    def killed_at(self, fatal: int) -> tuple[int, Any]:
        """A pass that is killed at a point (0: never): how it ended, and what it passed."""
        self.fresh()

        def work() -> list[Any]:
            points = watched("desk", fatal)
            return [run([*self.folders, "sweep", "run"]), points.passed, points.kinds]

        return in_a_child(work)

    def faults(self) -> list[Any]:
        """What is not as it has to be when some passes have gone on."""
        codes, sweeps = [], dict[str, list[str]]()
        for _ in range(MOST_PASSES):
            ended, done = in_a_child(self._pass)
            codes.append(done[0] if done else ended)
            sweeps = done[1] if done else {}
            self.chain.mine()
            if sweeps and {state for state, _ in sweeps.values()} == {"final"}:
                break
        amounts = [int(units) for _, units in sweeps.values()]
        told = [int(self.chain.rpc(method, of, "latest"), 16) for method, of in _ASKED]
        _, wrong = in_a_child(self._audited)
        sound = set(codes) == {0} and len(sweeps) == 1 and told == [sum(amounts), 1] and wrong == [[], 0]
        return [] if sound else [codes, sweeps, told, wrong]

    def _pass(self) -> list[Any]:
        code = run([*self.folders, "sweep", "run"])
        context = Context()
        context.options.configs, context.options.data = self.folders[1], self.folders[3]
        found = (each for each in context.ledger().withdrawals(Wanted()) if is_sweep(each.request.request_id))
        return [code, {each.request.request_id: [each.state, str(each.request.base_units)] for each in found}]

    def _audited(self) -> list[Any]:
        return [verified(self.folders[1], self.folders[3])(), run([*self.folders, "reconcile"])]


_ASKED = (("eth_getBalance", BEN), ("eth_getTransactionCount", HOT))


def warm(work: Callable[[], object]) -> None:
    """Import, once and here, what the processes of a point import."""

    def modules() -> list[str]:
        work()
        return sorted(sys.modules)

    for name in in_a_child(modules)[1]:
        with suppress(ImportError):
            import_module(name)
    gc.collect()
    gc.freeze()


def main(folder: str, url: str, node: str) -> None:
    """Print the points that there are, at how many it was killed, and what was wrong, as JSON."""
    engine.NullPool = QueuePool  # type: ignore[attr-defined]  # a connection a process, and not one a transaction
    for module in (*LOADED, *PAYING):
        import_module(module)
    sweeping = Sweeping(Path(folder), url, node)
    sweeping.fresh()
    warm(sweeping._pass)
    ended, (code, points, kinds) = sweeping.killed_at(0)
    found = [[0, ended, code, wrong]] if (wrong := sweeping.faults()) or ended or code else []
    killed = 0
    for fatal in fatal_points(points, STEP):
        ended, _ = sweeping.killed_at(fatal)
        killed += ended == -signal.SIGKILL
        if ended not in (-signal.SIGKILL, 0) or (wrong := sweeping.faults()):
            found.append([fatal, ended, wrong])
    print(json.dumps({"points": points, "kinds": kinds, "killed": killed, "wrong": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
