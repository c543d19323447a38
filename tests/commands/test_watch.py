"""`withdraw run --watch`: a pass after another, never two at once, and the last one to its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from cryptosupport.outside.locks import lock
from cryptosupport.outside.nodes import Anvil
from tests.commands.payingdesk import ANN, ETHER, Paydesk, open_desk, paydesk, sealed

__all__ = ["open_desk", "paydesk", "sealed"]  # fixtures


class Worker:
    """A worker and what it has said."""

    def __init__(self, desk: Paydesk, *options: str) -> None:
        folders = ["--configs", str(desk.folder / "configs"), "--data", str(desk.folder / "data")]
        run = [sys.executable, "-W", "error", "-m", "cryptosupport", *folders, "withdraw", "run", "--watch"]
        command = [*run, "--every", "100ms", "-o", "jsonl", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.out: list[str] = []
        self.err: list[str] = []
        streams = ((self.process.stdout, self.out), (self.process.stderr, self.err))
        self.readers = [threading.Thread(target=self._read, args=each) for each in streams]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _read(stream: IO[str], into: list[str]) -> None:
        with stream:
            into.extend(stream)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop it; its exit code."""
        self.process.send_signal(how)
        return self.wait()

    def wait(self) -> int:
        """Its exit code, when it has said all."""
        code = self.process.wait(90)
        for reader in self.readers:
            reader.join(30)
        return code

    @property
    def moved(self) -> list[tuple[str, str]]:
        """What moved where, once it has ended."""
        return [(each["request_id"], each["state"]) for each in map(json.loads, self.out)]


@contextmanager
def working(desk: Paydesk, *options: str) -> Iterator[Worker]:
    worker = Worker(desk, *options)
    try:
        yield worker
    finally:
        if worker.process.poll() is None:
            worker.end(signal.SIGKILL)


def until(what: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_worker_pays_what_comes_and_ends_in_order(paydesk: Paydesk) -> None:
    with working(paydesk, "--metrics-file", str(paydesk.folder / "desk.prom")) as worker:
        until(lambda: (paydesk.folder / "desk.prom").exists())
        paydesk.submit("w-1")
        until(lambda: paydesk.balance(ANN) == ETHER)
        paydesk.settle()
        until(lambda: paydesk.state("w-1") == "final")
        assert worker.end() == 0
    assert worker.moved[-1] == ("w-1", "final")
    assert not any("Traceback" in line for line in worker.err)


def test_settings_are_read_anew_and_what_stops_one_pass_stops_not_the_next(paydesk: Paydesk) -> None:
    policy = paydesk.folder / "configs" / "policy.toml"
    sound = policy.read_text(encoding="utf-8")
    paydesk.submit("w-1")
    policy.write_text("[[rules]]\nnonsense = 1\n", encoding="utf-8")
    with working(paydesk) as worker:
        until(lambda: (paydesk.folder / "data" / "last-run.json").exists())
        time.sleep(0.5)
        assert paydesk.balance(ANN) == 0
        policy.write_text(sound, encoding="utf-8")
        until(lambda: paydesk.balance(ANN) == ETHER)
        assert worker.end(signal.SIGINT) == 0
    assert sum("this pass was stopped" in line for line in worker.err) == 1  # said once, and not ten times a second


def test_it_leaves_the_work_to_another_run(paydesk: Paydesk) -> None:
    paydesk.submit("w-1")
    with lock(paydesk.folder / "data" / "withdraw-run.lock"), working(paydesk) as worker:
        time.sleep(2)
        assert paydesk.balance(ANN) == 0
        assert worker.end() == 0
    assert worker.moved == []


def test_two_workers_pay_once(open_desk: Callable[..., Paydesk], anvil: Anvil) -> None:
    desk = open_desk(anvil)
    with working(desk) as one, working(desk) as other:
        for number in range(6):
            desk.submit(f"w-{number}")
        until(lambda: desk.balance(ANN) == 6 * ETHER)
        desk.settle()
        until(lambda: desk.state("w-5") == "final")
        assert (one.end(), other.end()) == (0, 0)
    assert desk.balance(ANN) == 6 * ETHER


def test_a_worker_that_is_stopped_in_a_pass_ends_it_first(
    open_desk: Callable[..., Paydesk], anvil_with: Callable[..., Anvil]
) -> None:
    desk = open_desk(anvil_with())
    desk.submit("w-1")
    os.kill(desk.node.pid, signal.SIGSTOP)  # the pass waits for the node
    with working(desk) as worker:
        time.sleep(2)
        worker.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert worker.process.poll() is None
        os.kill(desk.node.pid, signal.SIGCONT)
        assert worker.wait() == 0
    desk.settle()
    desk.pay()
    assert (desk.state("w-1"), desk.balance(ANN)) == ("final", ETHER)


def test_it_is_no_rehearsal(paydesk: Paydesk) -> None:
    for option in ("--dry-run", "--fail-if-locked"):
        assert paydesk.run("withdraw", "run", "--watch", option).exit_code == 2
