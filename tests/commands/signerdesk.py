"""A desk whose wallet is signed for by a process of its own: other settings, other data, another keyring."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from cryptosupport.outside.keyfile import FILE
from cryptosupport.outside.nodes import Anvil
from tests.commands.payingdesk import ETHER, HOT, KEY, Paydesk, write_settings
from tests.commands.withdrawkit import in_this_process

CAPS = '[hot.caps.ETH]\nper_transaction = "10"\nper_hour = "20"\n'


@dataclass
class Signer:
    """The signer's folder, and its process while it runs. ``more`` are further options of `signer serve`."""

    folder: Path
    more: tuple[str, ...] = ()
    said: list[str] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None
    answers: threading.Event = field(default_factory=threading.Event)
    reader: threading.Thread = field(default_factory=threading.Thread)

    @property
    def socket(self) -> Path:
        """Where it answers."""
        return self.folder / "run" / "hot.sock"

    @property
    def command(self) -> list[str]:
        """The command line of the program with the signer's folders."""
        folders = ["--configs", str(self.folder / "configs"), "--data", str(self.folder / "data")]
        return [sys.executable, "-W", "error", "-m", "cryptosupport", *folders]

    @property
    def env(self) -> dict[str, str]:
        """Its own keyring."""
        return os.environ | {FILE: str(self.folder / "keyring")}

    def start(self) -> None:
        """Start it, and wait until it says that it answers."""
        serve = ["signer", "serve", "hot", "--socket", str(self.socket), *self.more]
        self.process = subprocess.Popen([*self.command, *serve], env=self.env, stderr=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self._read, args=(self.process.stderr,))
        self.answers.clear()
        self.reader.start()
        assert self.answers.wait(90), self.said

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self.said.append(line)
                if "answers at" in line:
                    self.answers.set()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it, by its pid; its exit code."""
        assert self.process is not None
        self.process.send_signal(how)
        code = self.process.wait(90)
        self.process = None
        self.reader.join(10)
        return code

    def serve(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Start one that is not to answer; what came of it."""
        serve = ["signer", "serve", *(options or ("hot", "--socket", str(self.socket)))]
        return subprocess.run([*self.command, *serve], env=self.env, capture_output=True, text=True, timeout=60)


@pytest.fixture
def signer(tmp_path: Path) -> Iterator[Signer]:
    """A signer that has caps and a key, and is not started; nobody else has the key."""
    made = Signer(tmp_path / "signer")
    write_settings(made.folder / "configs", "[]")
    with (made.folder / "configs" / "wallets.toml").open("a", encoding="utf-8") as file:
        file.write(CAPS)
    done = subprocess.run([*made.command, "keys", "set", "hot"], input=KEY, env=made.env, text=True, timeout=60)
    assert done.returncode == 0
    yield made
    if made.process is not None:
        made.stop(signal.SIGKILL)


@pytest.fixture
def desk_of(tmp_path: Path, signer: Signer) -> Callable[..., Paydesk]:
    """Open a desk whose wallet is signed for by ``signer``, or by whoever answers at ``path``."""

    def opened(node: Anvil, path: Path | None = None) -> Paydesk:
        write_settings(tmp_path / "configs", f'["{node.url}"]', signer=f"socket:{path or signer.socket}")
        node.rpc("anvil_setBalance", HOT, hex(100 * ETHER))
        return Paydesk(in_this_process(tmp_path), tmp_path, node)

    return opened


@contextmanager
def between(path: Path, signer: Signer, lost: int) -> Iterator[None]:
    """Stand between a desk that asks at ``path`` and the signer, and kill it when it has answered ``lost`` orders to
    sign: that answer never arrives.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()
    left = [lost]

    def work() -> None:
        while True:
            try:
                asked, _ = listener.accept()
            except OSError:
                return
            with asked, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as there:
                try:
                    there.connect(str(signer.socket))
                except OSError:
                    continue
                head = asked.recv(4, socket.MSG_WAITALL)
                body = asked.recv(int.from_bytes(head), socket.MSG_WAITALL)
                there.sendall(head + body)
                answer = there.recv(4, socket.MSG_WAITALL)
                answer += there.recv(int.from_bytes(answer), socket.MSG_WAITALL)
                if b'"sign"' in body:
                    left[0] -= 1
                    if left[0] == 0:
                        signer.stop(signal.SIGKILL)
                        continue
                asked.sendall(answer)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)
        path.unlink()
