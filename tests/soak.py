"""A desk under siege, as `make soak` does: `python -m tests.soak [--minutes N] [--seed N] [--ledger L] [--chain C]`.

Several workers, bumps and kills run on a real chain, with blocks at their own pace, reorganisations, lost pools and
blocks that do not come (`weather`). Processes are killed at random, signers and a bitcoind too. When the time is over
everybody is honest, until all is quiet; then the chain is asked what was paid. With the same seed the same things are
chosen in the same order; what they meet differs from run to run.
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

from tests.commands.bitcoinfleet import BitcoinFleet
from tests.commands.fleet import Asked, Child, Fleet, unpaid_or_twice
from tests.nodes.postgres import running
from tests.weather import AnvilWeather, BitcoindWeather, Weather

DESK = '[bump]\nresend = "2s"\nafter = "4s"\n[batch]\nage = "0s"\n'
CHAINS = ("ethereum", "bitcoin")
MOST = {"ETH": 10**18, "USDT": 10**7, "BTC": 10**6}
"""The largest amount of an asset that is asked for, in base units."""
WORKERS = 4
ENDS = {"final", "cancelled"}
QUIET_SECONDS = 600
TOLERATED = {0, 3, 4, 5, 6, 7, 75, -signal.SIGKILL}
"""How a command may end meanwhile: done, refused, nothing under way, short of coins that are deep enough, unreachable,
unknown, locked, killed.
"""


@dataclass
class Siege:
    """What is done to the fleet, one thing after the other."""

    fleet: Fleet
    weather: Weather
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
            self.weather.tick()
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
            asset = self.choices.choice(self.weather.assets)
            some.append(Asked(len(self.asked) + 1, self.choices.randint(self.weather.least, MOST[asset]), asset))
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
        self.fleet.serve(self.choices.choice(list(self.fleet.keys)))
        self.done["kills of signers"] += 1

    def reorganise(self) -> None:
        """Some blocks are gone, and what was in them."""
        done = self.weather.reorganise(self.choices.randint(1, self.weather.deepest))
        self.done["reorganisations" if done else "reorganisations that failed"] += 1

    def wipe(self) -> None:
        """The node forgets what waits."""
        self.weather.wipe()
        self.done[self.weather.wiped] += 1

    def stall(self) -> None:
        """No blocks come; the next time they come again."""
        self.stalled = not self.stalled
        self.weather.stall(self.stalled)
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
        self.weather.stall(False)
        while fleet.running:
            self.hear()
            time.sleep(0.05)
        code, said = fleet.run("withdraw", "submit", "--input", str(self._file(self.asked)), "-o", "jsonl")
        if self.asked and code:
            self.faults.append(f"what was asked for again is not what it was (exit code {code}): {said[-500:]}")
        until, states = time.monotonic() + QUIET_SECONDS, dict[str, str]()
        while time.monotonic() < until:
            code, said = fleet.run("withdraw", "run", "-o", "jsonl")
            self.weather.settle()
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
        self.faults += fleet.miscounted(self.asked)
        for arguments in (("reconcile",), ("audit", "verify"), ("freeze", "list", "-o", "jsonl")):
            code, said = fleet.run(*arguments)
            if code or (arguments[0] == "freeze" and said.strip()):
                self.faults.append(f"{' '.join(arguments)} ended with {code}: {said[-900:]}")


def soak(folder: Path, seed: int, seconds: float, ledger: str, chain: str) -> Siege:
    """Besiege a desk; what was done, and what is wrong in the end."""
    with ExitStack() as stack:
        url = "sqlite:///ledger.db"
        if ledger == "postgresql":
            server = stack.enter_context(running())
            url = server.url(server.create())
        fleet: Fleet
        if chain == "bitcoin":
            weather: Weather = stack.enter_context(BitcoindWeather(folder / "node"))
            fleet = BitcoinFleet(folder, url, weather.node, remote=ledger == "postgresql", desk=DESK)
            weather.moved = fleet.moved
        else:
            weather = stack.enter_context(AnvilWeather())
            fleet = Fleet(folder, url, weather.node, remote=ledger == "postgresql", desk=DESK)
        stack.callback(fleet.close)
        fleet.open()
        weather.begin()
        siege = Siege(fleet, weather, random.Random(seed))
        siege.last(seconds)
        siege.judge(siege.be_quiet())
        return siege


def main() -> int:
    """Soak, say what came of it, and end all that was started, however this ends."""
    options = argparse.ArgumentParser(prog="python -m tests.soak")
    options.add_argument("--minutes", type=float, default=5)
    options.add_argument("--seed", type=int, default=None)
    options.add_argument("--ledger", choices=["sqlite", "postgresql"], default=None)
    options.add_argument("--chain", choices=CHAINS, default=None)
    options.add_argument("--under", type=Path, default=None, help="where its folder is made")
    given = options.parse_args()
    seed = given.seed if given.seed is not None else time.time_ns() % 1_000_000
    ledger = given.ledger or ("postgresql", "sqlite")[seed % 2]
    chain = given.chain or CHAINS[seed // 2 % 2]
    signal.signal(signal.SIGTERM, _leave)
    folder = Path(tempfile.mkdtemp(prefix="cryptosupport-soak-", dir=given.under))
    print(f"seed {seed}: {chain}, {ledger}, {given.minutes:g} minutes, in {folder}", flush=True)
    try:
        siege = soak(folder, seed, given.minutes * 60, ledger, chain)
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
