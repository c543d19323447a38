"""What a chain does to a desk under siege: blocks at their own pace, or none, some that vanish, and lost pools."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from cryptosupport.outside.nodes import Bitcoind, NodeError, start_anvil, start_bitcoind
from tests.commands.bitcoinlife import nobodys

ANVIL = ("--block-time", "1", "--slots-in-an-epoch", "4")
"""A block a second, and what is eight blocks old is final."""
BLOCK_SECONDS = 1.0


class Weather(Protocol):
    """The weather over one node; who besieges a desk calls `tick` now and then.

    ``deepest`` is how many blocks may vanish: fewer than are needed for final. ``least`` is the least amount that a
    withdrawal may have, in base units, ``wiped`` what a lost pool is called. ``moved`` is told the node when it has
    another address.
    """

    assets: Sequence[str]
    deepest: int
    least: int
    wiped: str
    node: Any
    moved: Callable[[Any], None]

    def begin(self) -> None:
        """The wallets have what they need: nothing of that may vanish."""

    def tick(self) -> None:
        """Time goes by."""

    def reorganise(self, depth: int) -> bool:
        """So many blocks vanish; False where that could not be just now."""

    def wipe(self) -> None:
        """What waits is lost."""

    def stall(self, stalled: bool) -> None:
        """No blocks come any more, or they come again."""

    def settle(self) -> None:
        """Have what waits be final."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class AnvilWeather:
    """An anvil makes its blocks by itself."""

    assets, deepest, least, wiped = ("ETH", "USDT"), 4, 1, "wiped pools"

    def __init__(self) -> None:
        self.node = start_anvil(*ANVIL)
        self.moved: Callable[[Any], None] = lambda node: None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.node.stop()

    def begin(self) -> None:
        self.node.rpc("anvil_mine", hex(4 * self.deepest))

    def tick(self) -> None:
        pass

    def reorganise(self, depth: int) -> bool:
        try:
            self.node.rpc("anvil_reorg", depth, [])
        except NodeError:  # it is mining at this moment
            return False
        return True

    def wipe(self) -> None:
        self.node.rpc("anvil_dropAllTransactions")

    def stall(self, stalled: bool) -> None:
        self.node.rpc("evm_setIntervalMining", 0 if stalled else 1)

    def settle(self) -> None:
        self.node.rpc("anvil_mine", "0xa")


class BitcoindWeather:
    """A bitcoind in ``folder``: its pool is lost when it is killed and started again."""

    assets, deepest, least, wiped = ("BTC",), 2, 1000, "kills of the node, its pool lost"

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.node: Bitcoind = start_bitcoind(folder=folder)
        self.moved: Callable[[Any], None] = lambda node: None
        self._miners, self._due, self._stalled = count(10**9), time.monotonic(), False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.node.stop()

    def begin(self) -> None:
        self._mine(self.deepest)

    def tick(self) -> None:
        if not self._stalled and time.monotonic() >= self._due:
            self._mine(1)
            self._due = time.monotonic() + BLOCK_SECONDS

    def reorganise(self, depth: int) -> bool:
        """What was in the blocks goes back to the pool, and blocks without anything take their place."""
        height = self.node.rpc("getblockcount")
        self.node.rpc("invalidateblock", self.node.rpc("getblockhash", height - depth + 1))
        for _ in range(depth):
            self.node.rpc("generateblock", nobodys(next(self._miners)), [])
        return True

    def wipe(self) -> None:
        self.node.rpc("gettxoutsetinfo")  # writes its blocks to the disk
        self.node.kill()
        self.node.stop()
        self.node = start_bitcoind("-persistmempool=0", "-walletbroadcast=0", folder=self.node.folder)
        self.moved(self.node)

    def stall(self, stalled: bool) -> None:
        self._stalled = stalled

    def settle(self) -> None:
        self._mine(3)

    def _mine(self, blocks: int) -> None:
        self.node.mine(blocks, nobodys(next(self._miners)))
