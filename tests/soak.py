"""A desk under siege, as `make soak` does: `python -m tests.soak [--minutes N] [--seed N] [--ledger L]`.

Several workers, bumps and kills run on a real chain, with blocks at their own pace, reorganisations, wiped pools and
blocks that do not come. Processes are killed at random, signers too. When the time is over everybody is honest, until
all is quiet; then the chain is asked what was paid. With the same seed the same things are chosen in the same order;
what they meet differs from run to run.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

from cryptosupport.outside.nodes import NodeError, start_anvil
from tests.commands.fleet import KEYS, Asked, Child, Fleet, unpaid_or_twice
from tests.nodes.postgres import running

NODE = ("--block-time", "1", "--slots-in-an-epoch", "4")
"""A block a second, and what is eight blocks old is final."""
DEEPEST = 4
"""Blocks that a reorganisation takes away: fewer than are needed for final."""
DESK = '[bump]\nresend = "2s"\nafter = "4s"\n'
WORKERS = 4
ENDS = {"final", "cancelled"}
QUIET_SECONDS = 600
TOLERATED = {0, 3, 4, 6, 7, 75, -signal.SIGKILL}
"""How a command may end meanwhile: done, refused, nothing under way, unreachable, unknown, locked, killed."""


@dataclass
class Siege:
    """What is done to the fleet, one thing after the other."""

    fleet: Fleet
    choices: random.Random
    done: Counter[str] = field(default_factory=Counter)
    asked: list[Asked] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    stalled: bool = False

    def last(self, seconds: float) -> None:
        """Go on for so long."""
        acts = {
            self.submit: 4, self.work: 9, self.kill_one: 3, self.bump: 3, self.cancel: 4,
            self.kill_a_signer: 1 if self.fleet.remote else 0, self.reorganise: 1, self.wipe: 1, self.stall: 1,
        }  # fmt: skip
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            (act,) = self.choices.choices(list(acts), list(acts.values()))
            act()
            time.sleep(self.choices.uniform(0, 0.25))
            self.hear()

    def hear(self) -> None:
        """See how commands ended."""
        for child, code in self.fleet.reap():
            if code not in TOLERATED:
                self.faults.append(f"{child.what} ended with {code}: see {child.log}")

    def submit(self) -> None:
        """Some more withdrawals."""
        some = []
        for _ in range(self.choices.randint(1, 6)):
            asset, most = self.choices.choice([("ETH", 10**18), ("USDT", 10**7)])
            some.append(Asked(len(self.asked) + 1, self.choices.randint(1, most), asset))
            self.asked.append(some[-1])
        self._start("submit", "withdraw", "submit", "--input", str(self._file(some)), "-o", "jsonl")

    def work(self) -> None:
        """One more worker."""
        place = self.choices.randrange(WORKERS)
        if sum(child.what.startswith("work") for child in self.fleet.running) < WORKERS:
            self._start("work", "withdraw", "run", "-o", "jsonl", data=f"data-{place}" if self.fleet.remote else "data")

    def bump(self) -> None:
        """A person raises a fee."""
        self._about("bump")

    def cancel(self) -> None:
        """A person kills a payment."""
        self._about("kill")

    def kill_one(self) -> None:
        """A process dies, whatever it does."""
        if self.fleet.running:
            child = self.choices.choice(self.fleet.running)
            self.fleet.running.remove(child)
            self.fleet.end(child)
            self.done["kills"] += 1

    def kill_a_signer(self) -> None:
        """A signer dies, and comes back."""
        self.fleet.serve(self.choices.choice(list(KEYS)))
        self.done["kills of signers"] += 1

    def reorganise(self) -> None:
        """Some blocks are gone, and what was in them."""
        try:
            self.fleet.node.rpc("anvil_reorg", self.choices.randint(1, DEEPEST), [])
            self.done["reorganisations"] += 1
        except NodeError:  # it is mining at this moment
            self.done["reorganisations that failed"] += 1

    def wipe(self) -> None:
        """The node forgets what waits."""
        self.fleet.node.rpc("anvil_dropAllTransactions")
        self.done["wiped pools"] += 1

    def stall(self) -> None:
        """No blocks come; the next time they come again."""
        self.stalled = not self.stalled
        self.fleet.node.rpc("evm_setIntervalMining", 0 if self.stalled else 1)
        self.done["stalls"] += self.stalled

    def _about(self, what: str) -> None:
        if self.asked:
            name = self.choices.choice(self.asked[-8:]).name
            self._start(what, "withdraw", what, name, "--operator", "ops")

    def _file(self, asked: list[Asked]) -> Path:
        file = self.fleet.folder / f"in-{len(self.asked)}.jsonl"
        file.write_text("".join(each.line for each in asked), encoding="utf-8")
        return file

    def _start(self, what: str, *arguments: str, data: str = "data") -> Child:
        self.done["commands"] += 1
        return self.fleet.start(f"{what}-{self.done['commands']}", *arguments, data=data)

    def be_quiet(self) -> dict[str, str]:
        """Everybody is honest, until nothing moves any more: how each withdrawal ended."""
        fleet = self.fleet
        fleet.node.rpc("evm_setIntervalMining", 1)
        while fleet.running:
            self.hear()
            time.sleep(0.05)
        code, said = fleet.run("withdraw", "submit", "--input", str(self._file(self.asked)), "-o", "jsonl")
        if self.asked and code:
            self.faults.append(f"what was asked for again is not what it was (exit code {code}): {said[-500:]}")
        until, states = time.monotonic() + QUIET_SECONDS, dict[str, str]()
        while time.monotonic() < until:
            code, said = fleet.run("withdraw", "run", "-o", "jsonl")
            fleet.node.rpc("anvil_mine", "0xa")
            states = fleet.states()
            if all(states.get(each.name) in ENDS for each in self.asked):
                break
        else:
            rest = {each.name: state for each in self.asked if (state := states.get(each.name)) not in ENDS}
            self.faults.append(
                f"not settled after {QUIET_SECONDS} s: {rest}; the last pass ended with {code}: {said[-900:]}"
            )
        return states

    def judge(self, states: dict[str, str]) -> None:
        """Ask the chain, and then the ledger about itself."""
        fleet = self.fleet
        self.done["paid"] = sum(state == "final" for state in states.values())
        self.done["cancelled"] = sum(state == "cancelled" for state in states.values())
        self.faults += unpaid_or_twice(fleet, self.asked, states)
        if (sent := fleet.sent()) != len(self.asked):
            self.faults.append(f"{len(self.asked)} withdrawals have one transaction each, and the chain has {sent}")
        for arguments in (("reconcile",), ("audit", "verify"), ("freeze", "list", "-o", "jsonl")):
            code, said = fleet.run(*arguments)
            if code or (arguments[0] == "freeze" and said.strip()):
                self.faults.append(f"{' '.join(arguments)} ended with {code}: {said[-900:]}")


def soak(folder: Path, seed: int, seconds: float, ledger: str) -> Siege:
    """Besiege a desk; what was done, and what is wrong in the end."""
    with ExitStack() as stack:
        node = stack.enter_context(start_anvil(*NODE))
        url = "sqlite:///ledger.db"
        if ledger == "postgresql":
            server = stack.enter_context(running())
            url = server.url(server.create())
        fleet = Fleet(folder, url, node, remote=ledger == "postgresql", desk=DESK)
        stack.callback(fleet.close)
        fleet.open()
        node.rpc("anvil_mine", hex(4 * DEEPEST))  # no reorganisation reaches what the wallets were given
        siege = Siege(fleet, random.Random(seed))
        siege.last(seconds)
        siege.judge(siege.be_quiet())
        return siege


def main() -> int:
    """Soak, say what came of it, and end all that was started, however this ends."""
    options = argparse.ArgumentParser(prog="python -m tests.soak")
    options.add_argument("--minutes", type=float, default=5)
    options.add_argument("--seed", type=int, default=None)
    options.add_argument("--ledger", choices=["sqlite", "postgresql"], default=None)
    options.add_argument("--under", type=Path, default=None, help="where its folder is made")
    given = options.parse_args()
    seed = given.seed if given.seed is not None else time.time_ns() % 1_000_000
    ledger = given.ledger or ("postgresql", "sqlite")[seed % 2]
    signal.signal(signal.SIGTERM, _leave)
    folder = Path(tempfile.mkdtemp(prefix="cryptosupport-soak-", dir=given.under))
    print(f"seed {seed}: {ledger}, {given.minutes:g} minutes, in {folder}", flush=True)
    try:
        siege = soak(folder, seed, given.minutes * 60, ledger)
    except BaseException:
        print(f"seed {seed}: it did not come to its end; what there is of it is kept in {folder}", flush=True)
        raise
    print(f"seed {seed}: " + ", ".join(f"{count} {what}" for what, count in sorted(siege.done.items())))
    if siege.faults:
        print("\n".join(siege.faults))
        print(f"seed {seed}: {len(siege.faults)} FAULTS; everything is kept in {folder}")
        return 1
    print(f"seed {seed}: {len(siege.asked)} withdrawals, each settled exactly once; reconciled and verified")
    shutil.rmtree(folder)
    return 0


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
