"""A desk with several wallets on one chain, whose commands and signers are processes forked from one that is warm.

Nobody forks here who has a thread, a connection or a ledger: children begin with modules, and nothing else.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import keyring.core

from cryptosupport.chains.evm.codec import to_checksum
from cryptosupport.chains.evm.signing import address
from cryptosupport.commands import run
from cryptosupport.outside.keyfile import FILE, PASSPHRASE
from cryptosupport.outside.keyrings import set_password
from tests.chains.evm_paying import tokens
from tests.chains.evm_paying.kit import CONTRACT
from tests.commands.bitcoinlife import nobodys
from tests.commands.payingdesk import ETHER, write_settings
from tests.commands.payinglife import PAYING, await_signer
from tests.commands.submitting import LOADED

KEYS = {f"hot-{number}": f"{0x31 + number:02x}" * 32 for number in range(4)}
"""The wallets, and their keys."""
LEAVE = (signal.SIGINT, signal.SIGTERM)
SOURCES = {name: address(key) for name, key in KEYS.items()}


@dataclass
class Child:
    """A process of the fleet. ``code`` is how it ended: minus the signal, or its exit code."""

    pid: int
    what: str
    log: Path
    code: int | None = None

    def ended(self, wait: bool = False) -> int | None:
        """How it ended, None while it runs. Until somebody has asked, nobody else can get its id."""
        if self.code is None:
            done, status = os.waitpid(self.pid, 0 if wait else os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if done else None
        return self.code


@dataclass
class Fleet:
    """Processes of a desk in ``folder`` with the ledger at ``url``; ``remote``: signers of their own hold the keys."""

    folder: Path
    url: str
    node: Any
    remote: bool
    desk: str = ""
    running: list[Child] = field(default_factory=list)
    forked: list[Child] = field(default_factory=list)
    signers: dict[str, Child] = field(default_factory=dict)

    @property
    def keys(self) -> dict[str, str]:
        """The wallets, and their keys."""
        return KEYS

    def open(self) -> None:
        """Write settings, fund the wallets, and start the signers."""
        for module in (*LOADED, *PAYING):
            import_module(module)
        place = '"socket:{folder}/run/{name}.sock"' if self.remote else '"env:KEY_{number}"'
        for configs, signer in (("configs", place), ("signer", '"keyring:{name}"')):
            signers = {
                name: signer.format(folder=self.folder, name=name, number=number)
                for number, name in enumerate(self.keys)
            }
            self.write(self.folder / configs, signers)
            with (self.folder / configs / "desk.toml").open("a", encoding="utf-8") as file:
                file.write(self.desk)
        (self.folder / "log").mkdir()
        self.fund()
        if self.remote:
            assert self.fork(self._hand_out_keys, "keys").ended(wait=True) == 0
            for name in self.keys:
                self.serve(name)

    def write(self, configs: Path, signers: Mapping[str, str]) -> None:
        """The settings of all wallets, each with its signer."""
        asset = f'[assets.USDT]\ndecimals = 6\ncontract = "{CONTRACT}"\n'
        write_settings(configs, f'["{self.node.url}"]', asset, self.url)
        text = "".join(
            f'[{name}]\nchain = "ethereum"\nrole = "hot"\naddress = "{SOURCES[name]}"\nsigner = {signer}\n'
            + "".join(f'[{name}.caps.{of}]\nper_transaction = "10"\nper_hour = "99999"\n' for of in ("ETH", "USDT"))
            for name, signer in signers.items()
        )
        (configs / "wallets.toml").write_text(text, encoding="utf-8")

    def fund(self) -> None:
        """Give the wallets what they are to pay."""
        for name in SOURCES.values():
            self.node.rpc("anvil_setBalance", name, hex(100_000 * ETHER))
        tokens.place(self.node, CONTRACT, tokens.HONEST, **dict.fromkeys(SOURCES.values(), 10**15))

    def fork(self, work: Callable[[], int], what: str) -> Child:
        """Do ``work`` in a process of its own; what it prints goes to a file."""
        log = self.folder / "log" / what
        sys.stdout.flush()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, LEAVE)  # who is told to leave has to know of all children
        pid = os.fork()
        if pid:
            self.forked.append(Child(pid, what, log))
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            return self.forked[-1]
        code = 1
        try:
            for each in LEAVE:
                signal.signal(each, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(file, 1)
            os.dup2(file, 2)
            code = work()
            sys.stdout.flush()
        except BaseException:  # it must not go on as its parent would
            traceback.print_exc()
        finally:
            os._exit(code)

    def start(self, what: str, *arguments: str, data: str = "data") -> Child:
        """Start a command in the background; it prints to the log ``what``."""
        folders = ["--configs", str(self.folder / "configs"), "--data", str(self.folder / data)]

        def work() -> int:
            if not self.remote:
                os.environ |= {f"KEY_{number}": key for number, key in enumerate(self.keys.values())}
            return run([*folders, *arguments])

        child = self.fork(work, what)
        self.running.append(child)
        return child

    def run(self, *arguments: str, data: str = "data") -> tuple[int, str]:
        """Run a command to its end: its exit code, and what it printed."""
        (self.folder / "log" / "run").unlink(missing_ok=True)
        child = self.start("run", *arguments, data=data)
        code = child.ended(wait=True)
        self.running.remove(child)
        assert code is not None
        return code, child.log.read_text(encoding="utf-8")

    def serve(self, name: str) -> None:
        """Start the signer of a wallet; one that runs is killed before."""
        if name in self.signers:
            self.end(self.signers.pop(name))
        place = self.folder / "run" / f"{name}.sock"
        folders = ["--configs", str(self.folder / "signer"), "--data", str(self.folder / "signed")]

        def work() -> int:
            self._with_keyring()
            return run([*folders, "signer", "serve", name, "--socket", str(place)])

        self.signers[name] = self.fork(work, f"signer-{name}")
        await_signer(place)

    def end(self, child: Child) -> None:
        """Kill a process by its id, unless it has ended by itself."""
        if child.ended() is None:
            os.kill(child.pid, signal.SIGKILL)
            child.ended(wait=True)

    def reap(self) -> list[tuple[Child, int]]:
        """Those that have ended since the last time."""
        found = [(each, code) for each in self.running if (code := each.ended()) is not None]
        self.running = [each for each in self.running if each.code is None]
        return found

    def close(self) -> None:
        """End all of them."""
        for each in self.forked:
            self.end(each)

    def states(self) -> dict[str, str]:
        """The state of each withdrawal."""
        return {each["request_id"]: each["state"] for each in self.listed()}

    def listed(self) -> list[dict[str, Any]]:
        """All withdrawals."""
        code, text = self.run("withdraw", "list", "-o", "jsonl")
        assert code == 0, text
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def held(self, asked: Sequence[Asked]) -> list[int]:
        """What the recipient of each has on the chain, in base units."""
        return [self._held(each.asset, each.recipient) for each in asked]

    def _held(self, asset: str, of: str) -> int:
        if asset == "ETH":
            return int(self.node.rpc("eth_getBalance", of, "latest"), 16)
        call = {"to": CONTRACT, "data": "0x70a08231" + of[2:].lower().rjust(64, "0")}
        return int(self.node.rpc("eth_call", call, "latest"), 16)

    def miscounted(self, asked: Sequence[Asked]) -> list[str]:
        """What is wrong with how many transactions there are, when each withdrawal has come to its end."""
        if (sent := self.sent()) == len(asked):
            return []
        return [f"{len(asked)} withdrawals have one transaction each, and the chain has {sent}"]

    def sent(self) -> int:
        """How many transactions of the wallets are in blocks."""
        return sum(int(self.node.rpc("eth_getTransactionCount", it, "latest"), 16) for it in SOURCES.values())

    def _with_keyring(self) -> None:
        os.environ |= {FILE: str(self.folder / "keyring"), PASSPHRASE: "correct horse"}
        os.environ["PYTHON_KEYRING_BACKEND"] = "cryptosupport.outside.keyfile.Keyring"
        keyring.core.init_backend()

    def _hand_out_keys(self) -> int:
        self._with_keyring()
        for name, key in self.keys.items():
            set_password(name, key)
        return 0


@dataclass(frozen=True)
class Asked:
    """A withdrawal that is asked for: no other has its recipient."""

    number: int
    base_units: int
    asset: str

    @property
    def name(self) -> str:
        """Its request id."""
        return f"w-{self.number}"

    @property
    def recipient(self) -> str:
        """Whom it pays."""
        if self.asset == "BTC":
            return nobodys(0xA11CE0000000 + self.number)
        return to_checksum(f"0x{0xA11CE:020x}{self.number:020x}")

    @property
    def line(self) -> str:
        """The request."""
        decimals, chain = {"ETH": (18, "ethereum"), "USDT": (6, "ethereum"), "BTC": (8, "bitcoin")}[self.asset]
        whole, part = divmod(self.base_units, 10**decimals)
        facts: dict[str, Any] = {"request_id": self.name, "customer": f"c-{self.number % 41}", "asset": self.asset}
        facts |= {"chain": chain, "amount": f"{whole}.{part:0{decimals}d}", "destination": self.recipient}
        return json.dumps(facts) + "\n"


def unpaid_or_twice(fleet: Fleet, asked: Iterable[Asked], states: dict[str, str]) -> list[str]:
    """What the chain says otherwise than the states: final is paid to the base unit, and anything else is not."""
    wrong, all_of_them = [], list(asked)
    for each, has in zip(all_of_them, fleet.held(all_of_them), strict=True):
        state = states.get(each.name, "unrecorded")
        if has != (each.base_units if state == "final" else 0):
            wrong.append(
                f"{each.name} is {state}, asked for {each.base_units} {each.asset}, and its recipient has {has}"
            )
    return wrong
