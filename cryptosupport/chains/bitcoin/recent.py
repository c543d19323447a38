"""Many ids at once, state alone: what one node's mempool and blocks hold, kept as sets of ids.

Asking for a transaction costs the node some 40 us; a block's list of ids costs it as much as a dozen of them. So the
mempool and the last blocks are read whole, and so is any block that turns out to hold many of the ids asked for. Each
call first asks for the tip: when it has moved, the mempool is read again and blocks that have left the chain are
forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from cryptosupport.chains.bitcoin import wire
from cryptosupport.chains.bitcoin.heldblocks import HeldBlock, HeldBlocks
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.ports import Clock
from cryptosupport.transport import JsonRpcNode, RpcFault, decode

FEWEST = 20
"""Ids in a call below which asking one by one is cheaper."""

MOST_IDS = 100_000
"""Ids of blocks, and again of the mempool, that are held: some 20 MB each."""

LAST_BLOCKS = 6
"""Blocks below the tip that are read ahead."""

WORTH_READING = 12
"""Ids found one by one in the same block, after which the whole block is read."""

MEMPOOL_AGE = 1.0
"""Seconds after which the mempool is read again; more where reading it takes long."""

_TXIDS = msgspec.json.Decoder(frozenset[str])
_HASH = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True)
class View:
    """What is known at one moment: ids in blocks (with their block) and in the mempool (read at ``mempool_at``)."""

    height: int
    mined: Mapping[str, HeldBlock]
    mempool: frozenset[str]
    mempool_at: int


class Recent:
    """The sets of one node. Thread-safe: whoever finds them old renews them while the others wait."""

    def __init__(self, node: JsonRpcNode, clock: Clock) -> None:
        self._node = node
        self._clock = clock
        self._lock = threading.Lock()
        self._blocks = HeldBlocks(node, MOST_IDS)
        self._tip = ""
        self._height = 0
        self._mempool: frozenset[str] = frozenset()
        self._mempool_at = 0
        self._renew_at = 0.0

    def view(self) -> View:
        """The sets as of now. Raises `NodeFailed`."""
        tip = decode(self._ask("getbestblockhash"), _HASH, self._node.name)
        if not wire.HASH.fullmatch(tip):
            raise NodeFailed(self._node.name, "bad_answer", "a block hash that is none")
        with self._lock:
            if tip != self._tip:
                self._blocks.follow(tip, LAST_BLOCKS)
                held = self._blocks.get(tip)
                self._height = held.block.height if held is not None else self._height_of(tip)
                self._tip, self._renew_at = tip, 0.0
            if self._clock.monotonic() >= self._renew_at:
                self._read_mempool()
            return View(self._height, self._blocks.mined, self._mempool, self._mempool_at)

    def found_in(self, hashes: list[str]) -> None:
        """Learn that ids asked one by one were in the blocks ``hashes``; those that hold many are read.

        Raises `NodeFailed`.
        """
        self._blocks.found_in(hashes, WORTH_READING)

    def _read_mempool(self) -> None:
        began = self._clock.monotonic()
        pool = decode(self._ask("getmempoolinfo"), wire.MempoolInfo, self._node.name)
        txids: frozenset[str] = frozenset()
        if pool.size <= MOST_IDS:
            txids = decode(self._ask("getrawmempool"), _TXIDS, self._node.name)
        ended = self._clock.monotonic()
        self._renew_at = ended + max(MEMPOOL_AGE, 10 * (ended - began))
        self._mempool, self._mempool_at = txids, self._clock.now()

    def _height_of(self, block_hash: str) -> int:
        return decode(self._ask("getblockheader", block_hash), wire.Header, self._node.name).height

    def _ask(self, method: str, *params: object) -> msgspec.Raw:
        try:
            return self._node.call(method, *params)
        except RpcFault as fault:
            raise NodeFailed(self._node.name, "bad_answer", f"{method}: {fault.message}") from None
