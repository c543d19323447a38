"""The life of three withdrawals, killed before and after every statement, commit, node call and signer call.

`python -m tests.commands.paying FOLDER LEDGER NODE STAGES WHO SHARD SHARDS` kills the command of each stage at each
point in turn, and lets fresh processes go on from there: each withdrawal is settled exactly once, whatever the point.
NODE is the url of an anvil, or the folder of a bitcoind. WHO is

desk    the desk that holds the key itself: killed at every point (statements on SQLite with EVM: to a server, a process
        that is gone within a transaction is one that is gone before its commit);
asking  the desk whose key a signer on a socket holds: killed before and after each question to the signer;
signer  that signer: killed before and after each answer, and each entry in its memory.

Every process is forked from one that has nothing but modules: no connection, no file, no thread.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from cryptosupport.commands import run
from cryptosupport.signers.local import LocalSigner
from cryptosupport.signers.remote import RemoteSigner
from cryptosupport.signers.serving import Server
from cryptosupport.signers.store import Store
from cryptosupport.transport.http import HttpNode
from tests.commands.bitcoinlife import BitcoinChain
from tests.commands.payinglife import A_PASS, PAYING, Chain, EvmChain, Life
from tests.commands.submitting import LOADED, Points, in_a_child, one_engine, recorded, verified, warmed
from tests.crashing import fatal_points

QUESTIONS = ("sign_all", "signed", "remembered", "high_water", "head", "keep_head")
ENDS = {"final", "cancelled"}
STEP = 53
"""Of how many points one is enough for `make test`."""


def watched(who: str, fatal: int, statements: bool = False) -> Points:
    """The points of this process: those of a desk, or those of a signer."""
    points = Points(fatal, whole=who == "desk")
    if who == "desk":
        points.watch(statements)
        points.around(HttpNode, "request", "node call")
    for name in () if who == "signer" else QUESTIONS:
        points.around(LocalSigner if who == "desk" else RemoteSigner, name, "signer call")
    if who == "signer":
        points.around(Server, "_answer", "answer of the signer")
        points.around(Store, "keep", "entry of the signer")
    return points


def working(who: str, life: Life, fatal: int) -> Callable[[], list[Any]]:
    """A command that is killed at point ``fatal``: its exit code, and how many points of which kind it passed."""

    def work() -> list[Any]:
        points = watched(who, fatal, statements=life.counts_statements)
        return [run(life.command), points.passed, points.kinds]

    return work


def served(fatal: int, told: Path) -> Callable[[list[str]], None]:
    """A signer that is killed at point ``fatal``; when it ends it writes how many points it passed to ``told``."""

    def serve(arguments: list[str]) -> None:
        points = watched("signer", fatal)
        reach = points.reach

        def counting(kind: str) -> None:
            reach(kind)
            told.write_text(json.dumps([points.passed, points.kinds]), encoding="utf-8")

        points.reach = counting if fatal == 0 else reach  # type: ignore[method-assign]
        run(arguments)

    return serve


class Killing:
    """One stage, whose command is killed."""

    def __init__(self, life: Life, who: str, told: Path) -> None:
        self.life, self.who, self._told = life, who, told

    def killed_at(self, fatal: int) -> tuple[int, Any]:
        """Bring the stage back and kill it at a point (0: never): how who is killed ended, and what they passed."""
        self.life.fresh()
        if self.who != "signer":
            with self.life.signing():
                return in_a_child(working(self.who, self.life, fatal))
        with self.life.signing(served(fatal, self._told)) as end:
            in_a_child(working("nobody", self.life, 0))
            ended = end()
        return ended, None if fatal else [0, *json.loads(self._told.read_text(encoding="utf-8"))]

    def faults(self) -> list[Any]:
        """What is not as it has to be when some passes have gone on and all is final."""
        life, codes, states = self.life, list[Any](), dict[str, str]()
        wrong: list[str] = ["nothing was done"]
        with life.signing():
            while len(codes) < 5 and not (states and all(state in ENDS for state in states.values())):
                ended, done = in_a_child(self._goes_on(last=bool(codes)))
                code, states, wrong = done or [ended, states, wrong]
                codes.append(code)
                life.chain.mine()
        told, expected = life.chain.told(), life.chain.expected(states)
        sound = set(codes) == {0} and set(states.values()) <= ENDS and not wrong and told == expected
        return [] if sound else [codes, states, told, expected, wrong]

    def _goes_on(self, last: bool) -> Callable[[], list[Any]]:
        """A pass; where it may be the last one, everything is audited and reconciled too."""
        configs, data = self.life.folders[1], self.life.folders[3]

        def work() -> list[Any]:
            code = run([*self.life.folders, *A_PASS])
            if not last:
                return [code, {}, []]
            states = {row[1]: row[2] for row in recorded(configs, data)()[0]}
            wrong = verified(configs, data)()
            if set(states.values()) <= ENDS and run([*self.life.folders, "reconcile"]):
                wrong.append("the ledger and the chain cannot be reconciled")
            return [code, states, wrong]

        return work


def warm(killing: Killing) -> None:
    """Do, once and here, what the processes of a point do."""

    def all_of_it() -> None:
        assert run(killing.life.command) == 0
        killing._goes_on(last=True)()

    killing.life.fresh()
    with killing.life.signing():
        warmed(all_of_it)


def kill_everywhere(killing: Killing, shard: int, shards: int) -> dict[str, Any]:
    """Kill the command of a stage at each point in turn, and let passes go on: which points, and what was wrong.

    Of several ``shards`` this is one: every so manieth point.
    """
    ended, (code, points, kinds) = killing.killed_at(0)
    found = [[0, ended, wrong]] if (wrong := killing.faults()) or ended or code else []
    killed = 0
    for fatal in list(fatal_points(points, STEP))[shard::shards]:
        ended, _ = killing.killed_at(fatal)
        killed += ended == -signal.SIGKILL
        wrong = killing.faults()
        if ended not in (-signal.SIGKILL, 0) or wrong:  # with 0 it made fewer points than the run that counted them
            found.append([fatal, ended, wrong])
    return {"points": points, "kinds": kinds, "killed": killed, "wrong": found}


def main(folder: str, url: str, node: str, stages: str, who: str, shard: str, shards: str) -> None:
    """Print what came of each stage, as JSON."""
    one_engine()
    for module in (*LOADED, *PAYING):
        import_module(module)
    chain: Chain = EvmChain(node) if node.startswith("http") else BitcoinChain(Path(node))
    told = Path(folder) / "told"
    done: dict[str, Any] = {}
    for stage in stages.split(","):
        killing = Killing(Life(Path(folder), url, chain, stage, who != "desk"), who, told)
        if not done:
            warm(killing)
        done[stage] = kill_everywhere(killing, int(shard), int(shards))
    print(json.dumps(done))


if __name__ == "__main__":
    main(*sys.argv[1:])
