"""Real nodes for the tests, on loopback, each stopped by its pid when its test ends."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cryptosupport.outside.nodes import Anvil, Bitcoind, start_anvil, start_bitcoind


@pytest.fixture
def anvil_with() -> Iterator[Callable[..., Anvil]]:
    """Start an anvil with options: ``anvil_with("--no-mining")``."""
    with ExitStack() as nodes:
        yield lambda *options: nodes.enter_context(start_anvil(*options))


@pytest.fixture(scope="module")
def _module_anvil() -> Iterator[tuple[Anvil, list[str]]]:
    with start_anvil("--no-mining") as node:
        yield node, [node.rpc("evm_snapshot")]


@pytest.fixture
def shared_anvil(_module_anvil: tuple[Anvil, list[str]]) -> Anvil:
    """An EVM chain that mines when it is told to, and is fresh for each test of a file that has it."""
    node, fresh = _module_anvil
    assert node.rpc("evm_revert", fresh.pop())
    node.rpc("anvil_dropAllTransactions")
    fresh.append(node.rpc("evm_snapshot"))
    return node


@pytest.fixture
def anvil(anvil_with: Callable[..., Anvil]) -> Anvil:
    """A fresh EVM chain that mines each transaction at once."""
    return anvil_with()


@pytest.fixture(scope="session")
def mined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a stopped bitcoind with the wallet "miner" and 101 blocks, to be copied, not used."""
    folder = tmp_path_factory.mktemp("mined")
    with start_bitcoind(folder=folder) as node:
        node.rpc("createwallet", "miner", False, False, "", False, True, True)
        node.mine(101, node.rpc("getnewaddress", wallet="miner"))
        node.rpc("getbalance", wallet="miner")
    return folder


@pytest.fixture
def bitcoind_with(mined: Path, tmp_path: Path) -> Iterator[Callable[..., Bitcoind]]:
    """Start a bitcoind with options; its wallet "miner" holds one spendable coin of 50 BTC at height 101."""
    with ExitStack() as nodes:

        def start(*options: str) -> Bitcoind:
            folder = tmp_path / f"bitcoind-{len(list(tmp_path.glob('bitcoind-*')))}"
            # cp keeps the holes that the node reserves in its files, which shutil would write out.
            subprocess.run(["cp", "-r", "--sparse=always", mined, folder], check=True)
            nodes.callback(shutil.rmtree, folder, ignore_errors=True)
            return nodes.enter_context(start_bitcoind(*options, folder=folder))

        yield start


@pytest.fixture(scope="module")
def shared_bitcoind(mined: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bitcoind]:
    """A Bitcoin chain with the wallet "miner" that the tests of a file share, what they left included."""
    folder = tmp_path_factory.mktemp("shared") / "bitcoind"
    subprocess.run(["cp", "-r", "--sparse=always", mined, folder], check=True)
    with start_bitcoind(folder=folder) as node:
        yield node
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def bitcoind(bitcoind_with: Callable[..., Bitcoind]) -> Bitcoind:
    """A fresh Bitcoin chain of 101 blocks with the wallet "miner" loaded."""
    return bitcoind_with()
