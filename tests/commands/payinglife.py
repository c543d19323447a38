"""The life of three withdrawals up to a moment of it, kept and brought back as often as one likes.

They are sent (`pay`), fees are raised (`bump`), the second one is killed (`kill`), blocks take what waits, and the last
pass finds all of it final (`settle`). On EVM chains two are of coins and one of tokens; `bitcoinlife` has the others.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import keyring.core

from cryptosupport.commands import run
from cryptosupport.outside import keyfile
from cryptosupport.outside.keyfile import FILE, PASSPHRASE
from cryptosupport.outside.keyrings import set_password
from tests.chains.evm_paying.kit import CONTRACT
from tests.commands.payingdesk import ANN, BEN, ETHER, HOT, KEY
from tests.commands.submitting import copied, emptied, in_a_child, kept, submit

A_PASS = ("withdraw", "run", "-o", "jsonl")
STAGES = ("pay", "bump", "kill", "settle")
"""What is done in turn: each is a pass, but for the killing of a payment."""
PHRASE = "correct horse"
"""The passphrase of the signer's keyring."""
NODE = ("--slots-in-an-epoch", "1")
"""Options of an anvil that calls blocks final after `FINAL` more."""
FINAL = 4
PAYING = (
    *("cryptosupport.desk.pay", "cryptosupport.desk.run_once", "cryptosupport.desk.reconcile", "coincurve"),
    *("cryptosupport.chains.evm.paying", "cryptosupport.chains.evm.tools", "cryptosupport.context.paying"),
    *("cryptosupport.signers.remote", "cryptosupport.signers.serving", "cryptosupport.desk.outbid"),
    *("cryptosupport.desk.value_late", "cryptosupport.desk.verify_audit", "cryptosupport.commands.payments"),
    *("cryptosupport.commands.signer", "eth_account", "web3"),
)
"""What the commands of a desk that pays import, beside `LOADED`."""


class Chain(Protocol):
    """A chain that goes back to a moment of before, and what is asked for there.

    ``requests`` are (request id, recipient, amount, asset) of three withdrawals, ``secret`` the key of the wallet
    "hot", ``desk`` what desk.toml says of such a chain.
    """

    name: str
    requests: tuple[tuple[str, str, str, str], ...]
    secret: str
    desk: str

    def mine(self) -> None:
        """Have everything that waits be final."""

    def keep(self, mining: bool) -> None:
        """Remember this moment; ``mining``: from now on blocks take each transaction at once, where that can be."""

    def begin(self) -> None:
        """Go back to the very beginning."""

    def back(self) -> None:
        """Go back to the moment that is remembered, the pool too."""

    def told(self) -> list[int]:
        """What the chain says was paid and sent."""

    def expected(self, states: Mapping[str, str]) -> list[int]:
        """What it has to say when the withdrawals ended so."""


class EvmChain:
    """Coins and tokens on an anvil."""

    name = "ethereum"
    requests = (("coins", ANN, "1.5", "ETH"), ("tokens", BEN, "7", "USDT"), ("more", BEN, "2", "ETH"))
    secret = KEY
    desk = ""

    def __init__(self, url: str) -> None:
        self._url = url
        self._mining, self._pooled = False, list[str]()
        self._origin = self._snapshot = self.rpc("evm_snapshot")

    def rpc(self, method: str, *params: object) -> Any:
        """Ask it."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        asked = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)["result"]

    def mine(self) -> None:
        """Have everything that waits be final."""
        self.rpc("anvil_mine", hex(FINAL))

    def keep(self, mining: bool) -> None:
        """Remember this moment; ``mining``: from now on each transaction gets into a block at once."""
        self._mining = mining
        self.rpc("evm_setAutomine", mining)
        waiting = self.rpc("txpool_content")["pending"].values()
        hashes = [each["hash"] for of_one in waiting for _, each in sorted(of_one.items(), key=lambda it: int(it[0]))]
        self._pooled = [self.rpc("eth_getRawTransactionByHash", each) for each in hashes]
        self._snapshot = self.rpc("evm_snapshot")

    def begin(self) -> None:
        """As it was in the very beginning; nothing is mined unless it is asked for."""
        assert self.rpc("evm_revert", self._origin)
        self._origin = self.rpc("evm_snapshot")
        self.rpc("anvil_dropAllTransactions")
        self.rpc("evm_setAutomine", False)

    def back(self) -> None:
        """As it was at the moment that is remembered, its pool too."""
        assert self.rpc("evm_revert", self._snapshot)
        self._snapshot = self.rpc("evm_snapshot")
        self.rpc("anvil_dropAllTransactions")
        self.rpc("evm_setAutomine", self._mining)
        for raw in self._pooled:
            self.rpc("eth_sendRawTransaction", raw)

    def told(self) -> list[int]:
        """What was paid: coins to both, tokens, and how many transactions the wallet made."""
        call = {"to": CONTRACT, "data": "0x70a08231" + BEN[2:].lower().rjust(64, "0")}
        asked = [
            self.rpc("eth_getBalance", ANN, "latest"),
            self.rpc("eth_getBalance", BEN, "latest"),
            self.rpc("eth_call", call, "latest"),
            self.rpc("eth_getTransactionCount", HOT, "latest"),
        ]
        return [int(each, 16) for each in asked]

    def expected(self, states: Mapping[str, str]) -> list[int]:
        """What is final is paid; every nonce is used."""
        units = {"coins": 3 * ETHER // 2, "tokens": 7 * 10**6, "more": 2 * ETHER}
        paid = {name: each if states.get(name) == "final" else 0 for name, each in units.items()}
        return [paid["coins"], paid["more"], paid["tokens"], len(units)]


class Life:
    """A desk at the beginning of ``stage``; ``folder`` has its settings, and its signer's where that is ``remote``."""

    def __init__(self, folder: Path, url: str, chain: Chain, stage: str, remote: bool) -> None:
        self.chain, self.stage, self.remote = chain, stage, remote
        self._url, self._folder = url, folder
        self._now, self._made = folder / "now", folder / "made"
        self.folders = ["--configs", str(folder / "configs"), "--data", str(self._now / "data")]
        self.command = [*self.folders, *self._done_at(stage)]
        self._live_up_to(stage)

    @property
    def on_server(self) -> bool:
        """Whether its ledger is on a server."""
        return self._url.startswith("postgresql")

    @property
    def counts_statements(self) -> bool:
        """Whether each statement is a point too: the ledger is the same for all families, and one has them all."""
        return not self.on_server and isinstance(self.chain, EvmChain)

    def fresh(self) -> None:
        """Bring all of it back to the beginning of the stage."""
        shutil.rmtree(self._now, ignore_errors=True)
        shutil.copytree(self._made, self._now)
        if self.on_server:
            assert in_a_child(copied(self._url))[0] == 0
        self.chain.back()

    @contextmanager
    def signing(self, serve: Callable[[list[str]], object] = run) -> Iterator[Callable[[], int]]:
        """While a signer answers, where the key is not in the desk; it is ended at last.

        ``serve`` runs it. What is yielded ends it as a crash would, and says how it had ended if it had by then.
        """
        if not self.remote:
            yield lambda: 0
            return
        place = self._now / "run" / "hot.sock"
        folders = ["--configs", str(self._folder / "signer"), "--data", str(self._now / "signer")]
        child = os.fork()
        if child == 0:
            self._with_keyring()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            serve([*folders, "signer", "serve", "hot", "--socket", str(place)])
            os._exit(0)
        ended: list[int] = []

        def end() -> int:
            if not ended:
                done, status = os.waitpid(child, os.WNOHANG)
                if not done:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                ended.append(os.waitstatus_to_exitcode(status) if done else 0)
            return ended[0]

        try:
            await_signer(place)
            yield end
        finally:
            end()

    def _with_keyring(self) -> None:
        """Have this process use the signer's keyring; no other has it."""
        os.environ |= {FILE: str(self._folder / "keyring"), PASSPHRASE: PHRASE}
        os.environ["PYTHON_KEYRING_BACKEND"] = "cryptosupport.outside.keyfile.Keyring"
        keyring.core.init_backend()

    def _hand_out_key(self) -> None:
        self._with_keyring()
        set_password("hot", self.chain.secret)

    def _live_up_to(self, stage: str) -> None:
        for each in (self._now, self._made):
            shutil.rmtree(each, ignore_errors=True)
        self.chain.begin()
        (self._now / "data").mkdir(mode=0o700, parents=True)
        if self.remote:
            assert in_a_child(self._hand_out_key)[0] == 0
            keyfile._read(self._folder / "keyring", PHRASE.encode())  # a signer finds what scrypt made of the phrase
        self._patience("1h")
        if self.on_server:
            in_a_child(emptied(self._url))
        for name, destination, amount, asset in self.chain.requests:
            facts = {"request-id": name, "customer": "c", "asset": asset, "chain": self.chain.name}
            facts |= {"amount": amount, "destination": destination}
            options = [part for key, text in facts.items() for part in (f"--{key}", text)]
            self._do(("withdraw", "submit", *options))
        before = STAGES[: STAGES.index(stage)]
        with self.signing() if before else nullcontext():
            for each in before:
                self._patience("1ms" if each == "bump" else "1h")
                self._do(self._done_at(each))
        self._patience("1ms" if stage == "bump" else "1h")
        if stage == "settle":
            self.chain.mine()
        shutil.copytree(self._now, self._made, ignore=shutil.ignore_patterns("run"))
        if self.on_server:
            assert in_a_child(kept(self._url))[0] == 0
        self.chain.keep(mining=stage == "pay")

    def _done_at(self, stage: str) -> tuple[str, ...]:
        second = self.chain.requests[1][0]
        return A_PASS if stage != "kill" else ("withdraw", "kill", second, "--operator", "ops")

    def _do(self, arguments: tuple[str, ...]) -> None:
        _, (code, _) = in_a_child(submit([*self.folders, *arguments], 0))
        assert code == 0, (arguments, code)

    def _patience(self, after: str) -> None:
        """How long a payment waits for a block before its fee is raised."""
        text = f'[ledger]\nurl = "{self._url}"\n[bump]\nresend = "1ms"\nafter = "{after}"\n{self.chain.desk}'
        (self._folder / "configs" / "desk.toml").write_text(text, encoding="utf-8")
        (self._folder / "configs" / "desk.toml").chmod(0o600)


def await_signer(place: Path) -> None:
    """Wait until somebody answers at a socket."""
    until = time.monotonic() + 90
    while True:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
            try:
                asked.connect(str(place))
            except OSError:
                assert time.monotonic() < until, "the signer does not answer"
            else:
                return
        time.sleep(0.002)
