"""What the tests of hooks share: questions, programs that answer, and a clock that measures."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptosupport.context.machine import SystemClock
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.verdicts import ProviderVerdict
from cryptosupport.outside.hooks import Provider
from cryptosupport.settings import Hook

ALLOW = '{"verdict": "allow", "reason": "clean"}'
"""What would be worst to read into a failure."""
CLEAN = ProviderVerdict(Outcome.ALLOW, "clean")
SLACK = 15.0
"""Seconds beyond the timeout that nobody waits longer than, also on a busy machine; what hangs here hangs for 60."""


def question(name: str = "w-1", **more: object) -> dict[str, object]:
    """A question about the destination of the request ``name``."""
    return {
        "purpose": "destination",
        "request_id": name,
        "customer": "c-1",
        "asset": "BTC",
        "chain": "bitcoin",
        "amount": "1.5",
        "base_units": "150000000",
        "destination": "bc1qexample",
        "memo": None,
        "country": "CH",
        "value_usd": "75000",
        **more,
    }


def questions(count: int) -> list[dict[str, object]]:
    """So many different questions."""
    return [question(f"w-{number}") for number in range(count)]


def script(path: Path, text: str, interpreter: str = "/bin/sh") -> Path:
    """A program: ``text`` as a script."""
    path.write_text(f"#!{interpreter}\n{text}\n", encoding="utf-8")
    path.chmod(0o700)
    return path


def asking(*command: str | Path, timeout: str = "5s") -> Provider:
    """A provider that is a program."""
    return Provider(Hook(command=tuple(map(str, command)), timeout=timeout), None, SystemClock())


def only(provider: Provider) -> ProviderVerdict:
    """Its verdict on one question."""
    (verdict,) = provider.ask([question()])
    return verdict


def is_running(pid: int) -> bool:
    """Whether there is such a process that runs; one that is dead and waits for init does not."""
    return (facts := _facts(Path(f"/proc/{pid}"))) is not None and facts[0] not in ("Z", "X")


def members(group: int) -> list[int]:
    """The processes of a process group that run."""
    return [pid for pid, (state, _, its) in _processes().items() if its == str(group) and state not in ("Z", "X")]


def children() -> set[int]:
    """The processes that this one has started and not waited for, dead or alive."""
    return {pid for pid, (_, parent, _) in _processes().items() if parent == str(os.getpid())}


def _processes() -> dict[int, tuple[str, str, str]]:
    found = {int(path.name): _facts(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
    return {pid: facts for pid, facts in found.items() if facts is not None}


def _facts(path: Path) -> tuple[str, str, str] | None:
    """State, parent and process group; None for a process that has gone."""
    try:
        state, parent, group, *_ = (path / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return state, parent, group


def eventually(holds: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether it holds at some time soon."""
    ends = time.monotonic() + seconds
    while not holds() and time.monotonic() < ends:
        time.sleep(0.01)
    return holds()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Complain when what is done inside takes longer."""
    begun = time.monotonic()
    yield
    taken = time.monotonic() - begun
    assert taken < seconds, f"took {taken:.2f} s, and {seconds:g} s were the limit"


def descriptors() -> int:
    """How many files are open."""
    return len(os.listdir("/proc/self/fd"))
