"""Writers of the sealed keyring in processes of their own: many at once, and killed at every step or at any moment."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptosupport.outside import keyfile
from cryptosupport.outside.keyfile import Keyring

SERVICE = "cryptosupport"
STEPS = ("open", "write", "fsync", "rename", "unlink", "close", "mkdir")
"""What a writer asks of the system, by the name in `os`; and flock."""


class Steps:
    """Counts what is done before and after every step, and kills the process at one of these points."""

    def __init__(self, fatal: int) -> None:
        self.passed: list[str] = []
        self._fatal = fatal

    def reach(self, what: str) -> None:
        """One more point."""
        self.passed.append(what)
        if len(self.passed) == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """Put a point before and after each step; a write also stops half way."""
        for name in STEPS:
            setattr(os, name, self._watched(name, getattr(os, name)))
        fcntl.flock = self._watched("flock", fcntl.flock)
        whole = os.write

        def write(descriptor: int, data: memoryview) -> int:
            return whole(descriptor, data[: max(1, len(data) // 2)])

        os.write = write  # type: ignore[assignment]

    def _watched(self, name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            self.reach(f"before {name}")
            done = step(*arguments, **named)
            self.reach(f"after {name}")
            return done

        return watched


def in_a_child(work: Callable[[], object]) -> tuple[int, Any]:
    """Do ``work`` in a process of its own: (the signal that ended it, or 0; what it returned)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        write = os.write  # as it is before ``work`` watches it
        write(writer, json.dumps(work()).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    return -os.waitstatus_to_exitcode(status), json.loads(text) if text else None


def changing(change: Callable[[Keyring], None], fatal: int) -> Callable[[], list[str]]:
    """A change that is killed at point ``fatal`` (0: never): the points that it passed."""

    def work() -> list[str]:
        steps = Steps(fatal)
        steps.watch()
        change(Keyring())
        return steps.passed

    return work


def kill_everywhere(path: Path, kept: dict[str, str], change: Callable[[Keyring], None]) -> dict[str, Any]:
    """Kill a change of a keyring that holds ``kept`` at each point in turn: the points, and every state found after."""

    def fresh() -> None:
        for leftover in path.parent.glob("*") if path.parent.is_dir() else ():
            leftover.unlink()
        if path.parent.is_dir():
            path.parent.rmdir()
        for name, value in kept.items():
            Keyring().set_password(SERVICE, name, value)

    def found() -> dict[str, str | None]:
        ring = Keyring()
        return {name: ring.get_password(SERVICE, name) for name in ("a", "b")}

    fresh()
    _, points = in_a_child(changing(change, 0))
    states, broken = [], []
    for fatal in range(1, len(points) + 1):
        fresh()
        ended, _ = in_a_child(changing(change, fatal))
        state = found()
        states.append(state)
        Keyring().set_password(SERVICE, "later", "works")  # whatever was left behind does no harm
        left = sorted(each.name for each in path.parent.iterdir())
        if ended != signal.SIGKILL or found() != state or left != ["keyring", "keyring.lock"]:
            broken.append([fatal, points[fatal - 1], ended, state, left])
    return {"points": points, "states": states, "broken": broken}


def kill_at_random(rounds: int) -> list[Any]:
    """Kill a writer that counts up, at any moment, again and again: what went wrong."""
    moments = random.Random(7)
    wrong = []
    Keyring().set_password(SERVICE, "kept", "always")
    for turn in range(rounds):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            for number in range(turn * 1000, turn * 1000 + 1000):
                Keyring().set_password(SERVICE, "count", str(number))
                os.write(writer, f"{number}\n".encode())
            os._exit(1)
        os.close(writer)
        time.sleep(moments.uniform(0.005, 0.06))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reader) as pipe:
            told = [int(line) for line in pipe if line.endswith("\n")]
        count = int(Keyring().get_password(SERVICE, "count") or -1)
        last = max(told, default=-1)
        if Keyring().get_password(SERVICE, "kept") != "always" or not last <= count <= max(last, turn * 1000 - 1) + 1:
            wrong.append([turn, last, count])
    return wrong


def main(what: str, *arguments: str) -> object:
    """What a test asked this process to do."""
    path = keyfile._path()
    match what:
        case "write":
            for number in range(int(arguments[1])):
                Keyring().set_password(SERVICE, f"{arguments[0]}-{number}", f"value {arguments[0]} {number}")
            return None
        case "kill first":
            return kill_everywhere(path, {}, lambda ring: ring.set_password(SERVICE, "a", "new"))
        case "kill set":
            kept = {"a": "old", "b": "stays"}
            return kill_everywhere(path, kept, lambda ring: ring.set_password(SERVICE, "a", "new"))
        case "kill delete":
            kept = {"a": "old", "b": "stays"}
            return kill_everywhere(path, kept, lambda ring: ring.delete_password(SERVICE, "a"))
        case "kill at random":
            return kill_at_random(int(arguments[0]))
    raise ValueError(what)


if __name__ == "__main__":
    if sys.argv[1].startswith("kill"):  # one salt for all files: else each needs a key of its own, and that takes time
        by_chance = os.urandom
        os.urandom = lambda size: b"pinch" * 3 + b"!" if size == 16 else by_chance(size)
    print(json.dumps(main(*sys.argv[1:])))
