"""Private nodes on loopback, for the demo, the tests and the benchmarks: started, waited for, and ended by their pid.

Both programs are looked for on PATH. Each node listens on a free port of 127.0.0.1, keeps its data in a folder of its
own, and is stopped by `stop`, by leaving its `with` block, or when the interpreter ends.
"""

from __future__ import annotations

import atexit
import base64
import hashlib
import hmac
import http.client
import json
import platform
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from cryptosupport.domain.errors import BadSettings, NodeFailed

ANYONE = "bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85"
"""The regtest address of the witness script OP_TRUE (BIP 141): blocks that nobody waits for pay it."""

_START_SECONDS = 30.0
_STOP_SECONDS = 20.0
_STARTS = 4
_PORT_TAKEN = ("address already in use", "unable to bind", "unable to start http server")
_HOW_TO_GET = {
    "anvil": "run tools/install-anvil.sh in a checkout, or install Foundry, and put anvil on PATH",
    "bitcoind": "run tools/install-bitcoind.sh in a checkout, or install Bitcoin Core, and put bitcoind on PATH",
}

_running: list[Node] = []


class NodeError(Exception):
    """The node answered with an error: its ``code``, ``message`` and ``data``."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.data = data


def program(name: str) -> str:
    """The path of the program ``name`` on PATH. Raises `BadSettings` telling how to get it."""
    found = shutil.which(name)
    if found is None:
        raise BadSettings(f"{name} is not on PATH: {_HOW_TO_GET.get(name, 'install it')}")
    return _behind_npm(Path(found)) if name == "anvil" else found


def _behind_npm(found: Path) -> str:
    """The native anvil where ``found`` is npm's script around it, which would hide the pid; else ``found`` itself."""
    script = found.resolve()
    if script.suffix != ".mjs":
        return str(found)
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine().lower())
    native = script.parent.parent / f"anvil-{sys.platform}-{machine}" / "bin" / "anvil"
    if not native.is_file():
        wanted = native.parent.parent.name
        raise BadSettings(f"{found} has no {wanted} beside it, the program for this machine: {_HOW_TO_GET['anvil']}")
    return str(native)


class Node:
    """A process that answers JSON-RPC on 127.0.0.1."""

    def __init__(self, name: str, command: Sequence[str], port: int, output: Path) -> None:
        self.name = name
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._headers = {"Content-Type": "application/json"}
        self._output = output
        with output.open("wb") as stream:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT)
        _running.append(self)

    @property
    def pid(self) -> int:
        """The process id of the node itself."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def rpc(self, method: str, *params: Any) -> Any:
        """Call ``method`` and return its result; numbers with a point become `Decimal`. Raises `NodeError`."""
        return self._result(self._post("/", _request(method, params)))

    def batch(self, calls: Iterable[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Make (method, params) ``calls`` in one request; results in their order. Raises the first `NodeError`."""
        return self._batch("/", calls)

    def stop(self) -> None:
        """Ask the process to end and wait for it; one that does not listen is killed. Twice does no harm."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._gone()

    def kill(self) -> None:
        """End the process as a power cut would."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _gone(self) -> None:
        self._process.wait()
        if self in _running:
            _running.remove(self)

    def _batch(self, path: str, calls: Iterable[tuple[str, Sequence[Any]]]) -> list[Any]:
        requests = [_request(method, params, number) for number, (method, params) in enumerate(calls)]
        if not requests:
            return []
        answers = self._post(path, requests)
        if not isinstance(answers, list):
            return [self._result(answers)]
        return [self._result(answer) for answer in sorted(answers, key=lambda answer: int(answer["id"]))]

    def _post(self, path: str, body: object) -> Any:
        # A connection for each request: nothing to keep in step with a node that is killed and started again.
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("POST", path, json.dumps(body, default=str).encode(), self._headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if not text:
            raise NodeError(-answer.status, f"{self.name} answered HTTP {answer.status} without a body")
        try:
            return json.loads(text, parse_float=Decimal)
        except ValueError as error:
            raise NodeError(-answer.status, f"{self.name}: {text[:200].decode(errors='replace')}") from error

    def _result(self, answer: Any) -> Any:
        fault = answer.get("error")
        if fault is not None:
            raise NodeError(int(fault["code"]), str(fault["message"]), fault.get("data"))
        return answer["result"]

    def check(self) -> None:
        """Raise `OSError` or `NodeError` as long as this node does not answer."""
        raise NotImplementedError

    def wait(self) -> None:
        """Wait until the node answers. Raises `NodeFailed` when the process ends or takes too long."""
        limit = time.monotonic() + _START_SECONDS
        pause = 0.005
        while True:
            try:
                self.check()
            except (OSError, http.client.HTTPException, NodeError) as error:
                if not self.running or time.monotonic() > limit:
                    said = self._last_words() or error
                    raise NodeFailed(self.name, "unreachable", f"did not start: {said}") from error
            else:
                return
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)

    def _last_words(self) -> str:
        lines = self._output.read_text(encoding="utf-8", errors="replace").split("\n") if self._output.is_file() else []
        return " / ".join(line.strip() for line in lines if line.strip())[-600:]


class Anvil(Node):
    """An EVM development chain: ten accounts with 10,000 coins each, mining on demand or at once."""

    def __init__(self, port: int, options: Sequence[str]) -> None:
        daemon = program("anvil")
        self._folder = Path(tempfile.mkdtemp(prefix="cryptosupport-anvil-"))
        self._bound = self._folder / "accounts.json"
        own = ["--host", "127.0.0.1", "--port", str(port), "--quiet"]
        own += ["--cache-path", str(self._folder / "cache"), "--config-out", str(self._bound)]
        super().__init__("anvil", [daemon, *own, *options], port, self._folder / "output")

    def check(self) -> None:
        """Raise `OSError` until this node, and no other that was quicker to take the port, answers."""
        # anvil writes its accounts only once the port is its own.
        if not self._bound.exists():
            raise OSError("anvil has not taken its port yet")
        self.rpc("eth_chainId")

    def accounts(self) -> list[tuple[str, str]]:
        """Its accounts, each with its private key, which everybody knows."""
        told = json.loads(self._bound.read_text(encoding="utf-8"))
        return list(zip(told["available_accounts"], told["private_keys"], strict=True))

    def mine(self, blocks: int = 1) -> int:
        """Mine ``blocks`` and return the new height."""
        self.rpc("anvil_mine", hex(blocks))
        return int(self.rpc("eth_blockNumber"), 16)

    def _gone(self) -> None:
        super()._gone()
        shutil.rmtree(self._folder, ignore_errors=True)


class Bitcoind(Node):
    """A Bitcoin regtest node without peers. It takes ``user`` and ``password``, or the cookie in ``cookie_file``."""

    def __init__(self, port: int, options: Sequence[str], folder: Path | None) -> None:
        daemon = program("bitcoind")
        self.folder = folder or Path(tempfile.mkdtemp(prefix="cryptosupport-bitcoind-"))
        self._temporary = folder is None
        self.user, self.password = "desk", secrets.token_hex(16)
        self.cookie_file = self.folder / "regtest" / ".cookie"
        # A stale cookie would look like a node that is ready.
        self.cookie_file.unlink(missing_ok=True)
        settings = self.folder / "bitcoin.conf"
        settings.touch(0o600)
        settings.write_text(_bitcoin_conf(port, self.user, self.password), encoding="utf-8")
        command = [daemon, f"-datadir={self.folder}", "-printtoconsole=0", *options]
        super().__init__("bitcoind", command, port, self.folder / "output")
        token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        self._headers["Authorization"] = f"Basic {token}"

    def rpc(self, method: str, *params: Any, wallet: str | None = None) -> Any:
        """Call ``method``, of ``wallet`` where it is a wallet's, and return its result. Raises `NodeError`."""
        return self._result(self._post(_wallet_path(wallet), _request(method, params)))

    def batch(self, calls: Iterable[tuple[str, Sequence[Any]]], wallet: str | None = None) -> list[Any]:
        """Make (method, params) ``calls`` in one request; results in their order. Raises the first `NodeError`."""
        return self._batch(_wallet_path(wallet), calls)

    def check(self) -> None:
        """Raise `OSError` or `NodeError` until this node answers; another one does not know the password."""
        self.rpc("getblockcount")

    def mine(self, blocks: int = 1, address: str | None = None) -> list[str]:
        """Mine ``blocks`` that pay ``address`` (default: nobody's) and hold the mempool; return their hashes."""
        hashes: list[str] = self.rpc("generatetoaddress", blocks, address or ANYONE)
        return hashes

    def _gone(self) -> None:
        super()._gone()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)


N = TypeVar("N", bound=Node)


def start_anvil(*options: str) -> Anvil:
    """Start anvil with ``options`` of its own beside ours (`--no-mining`, `--chain-id`, ...).

    Raises `BadSettings` without the program, `NodeFailed` when it does not come up.
    """
    return _start(lambda port: Anvil(port, options))


def start_bitcoind(*options: str, folder: Path | None = None) -> Bitcoind:
    """Start bitcoind on regtest with ``options`` of its own beside ours; ``folder`` keeps its data past the end.

    Raises `BadSettings` without the program, `NodeFailed` when it does not come up.
    """
    return _start(lambda port: Bitcoind(port, options, folder))


def _start(make: Callable[[int], N]) -> N:
    """Make a node on a free port and wait for it; one that ended because its port was taken meanwhile is made again."""
    for start in range(1, _STARTS + 1):
        node = make(_free_port())
        try:
            node.wait()
        except NodeFailed as error:
            node.stop()
            if start == _STARTS or not any(words in error.message.lower() for words in _PORT_TAKEN):
                raise
        else:
            break
    return node


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _request(method: str, params: Sequence[Any], number: int = 0) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def _wallet_path(wallet: str | None) -> str:
    return f"/wallet/{wallet}" if wallet else "/"


def _bitcoin_conf(port: int, user: str, password: str) -> str:
    """The settings file of a private node.

    In a file, an option that this program does not know (corepolicy is Knots') is only a line in its log. ``rpcauth``
    instead of a plain password: the node then writes a cookie too. The mempool and index checks are on by default on
    regtest and make each accepted transaction cost as much as the whole mempool.
    """
    salt = secrets.token_hex(16)
    digest = hmac.new(salt.encode(), password.encode(), hashlib.sha256).hexdigest()
    return "\n".join(
        [
            "regtest=1",
            "[regtest]",
            f"rpcport={port}",
            f"rpcauth={user}:{salt}${digest}",
            "rpcthreads=8",
            "listen=0",
            "txindex=1",
            "checkmempool=0",
            "checkblockindex=0",
            "corepolicy=1",
            "fallbackfee=0.0001",
            "addresstype=bech32",
            "",
        ]
    )


@atexit.register
def stop_all() -> None:
    """Stop every node that this process started and has not stopped."""
    for node in tuple(_running):
        node.stop()
