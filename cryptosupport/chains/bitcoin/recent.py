"""Many ids at once, state alone: what one node's mempool and blocks hold, kept as sets of ids.

Asking for a transaction costs the node some 40 us; a block's list of ids costs it as much as a dozen of them. So the
mempool and the last blocks are read whole, and so is any block that turns out to hold many of the ids asked for. Each
call first asks for the tip: when it has moved, the mempool is read again and blocks that have left the chain are
forgotten.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from cryptosupport.chains.bitcoin import wire
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.ports import Clock
from cryptosupport.domain.transactions import Block
from cryptosupport.transport import Call, JsonRpcNode, RpcFault, decode

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
_BLOCK = msgspec.json.Decoder(wire.BlockTxids)
_HASH = msgspec.json.Decoder(str)


@dataclass(slots=True)
class HeldBlock:
    """A block of the active chain and its ids."""

    block: Block
    txids: list[str]


@dataclass(slots=True)
class View:
    """What is known at one moment: ids in blocks (with their block) and in the mempool (read at ``mempool_at``)."""

    tip: str
    height: int
    mined: dict[str, HeldBlock]
    mempool: frozenset[str]
    mempool_at: int


class Recent:
    """The sets of one node. Thread-safe: whoever finds them old renews them while the others wait."""

    def __init__(self, node: JsonRpcNode, clock: Clock) -> None:
        self._node = node
        self._clock = clock
        self._lock = threading.Lock()
        self._blocks: OrderedDict[str, HeldBlock] = OrderedDict()
        self._held = 0
        self._hits: Counter[str] = Counter()
        self._view = View("", -1, {}, frozenset(), 0)
        self._renew_at = 0.0

    def view(self) -> View:
        """The sets as of now. Raises `NodeFailed`."""
        tip = _hash(decode(self._ask("getbestblockhash"), _HASH, self._node.name), self._node.name)
        with self._lock:
            if tip != self._view.tip:
                self._follow(tip)
                self._renew_at = 0.0
            if self._clock.monotonic() >= self._renew_at:
                self._read_mempool()
            return self._view

    def found_in(self, hashes: Sequence[str]) -> None:
        """Learn that ids asked one by one were in the blocks ``hashes``; those that hold many are read.

        Raises `NodeFailed`.
        """
        with self._lock:
            if len(self._hits) > 10_000:
                self._hits.clear()
            self._hits.update(hashes)
            worth = {each for each in hashes if self._hits[each] >= WORTH_READING and each not in self._blocks}
            for each in worth:
                del self._hits[each]
                block = self._read_block(each)
                if block is not None:
                    self._keep(each, block)

    def _follow(self, tip: str) -> None:
        """Make ``tip`` the tip: forget what left the chain, read the last blocks, down to one that is held."""
        self._forget_stale()
        read: list[tuple[str, wire.BlockTxids]] = []
        here: str | None = tip
        while here and here not in self._blocks and len(read) < LAST_BLOCKS:
            block = self._read_block(here)
            if block is None:
                break
            read.append((here, block))
            here = _hash(block.previousblockhash, self._node.name) if block.previousblockhash else None
        for block_hash, block in reversed(read):  # the oldest first: it is dropped first
            self._keep(block_hash, block)
        held = self._blocks.get(tip)
        height = held.block.height if held else self._header(tip).height
        self._view = View(tip, height, self._view.mined, frozenset(), 0)

    def _forget_stale(self) -> None:
        hashes = list(self._blocks)
        answers = self._node.batch([Call("getblockheader", (each,)) for each in hashes]) if hashes else []
        for each, answer in zip(hashes, answers, strict=True):
            if isinstance(answer, RpcFault) or decode(answer, wire.Header, self._node.name).confirmations < 1:
                self._drop(each)

    def _read_block(self, block_hash: str) -> wire.BlockTxids | None:
        """A block of the active chain, or None where the node cannot give it or it is too large to hold."""
        try:
            answer = self._node.call("getblock", block_hash, 1)
        except RpcFault:  # pruned, or gone a moment ago
            return None
        block = decode(answer, _BLOCK, self._node.name)
        return block if block.confirmations >= 1 and len(block.tx) <= MOST_IDS else None

    def _keep(self, block_hash: str, block: wire.BlockTxids) -> None:
        held = HeldBlock(Block(block.height, block_hash, block.time), block.tx)
        self._blocks[block_hash] = held
        self._held += len(block.tx)
        while self._held > MOST_IDS:
            self._drop(next(iter(self._blocks)))
        mined = self._view.mined
        for txid in block.tx:
            mined[txid] = held

    def _drop(self, block_hash: str) -> None:
        held = self._blocks.pop(block_hash)
        self._held -= len(held.txids)
        for txid in held.txids:
            if self._view.mined.get(txid) is held:
                del self._view.mined[txid]

    def _read_mempool(self) -> None:
        began = self._clock.monotonic()
        pool = decode(self._ask("getmempoolinfo"), wire.MempoolInfo, self._node.name)
        txids: frozenset[str] = frozenset()
        if pool.size <= MOST_IDS:
            txids = decode(self._ask("getrawmempool"), _TXIDS, self._node.name)
        ended = self._clock.monotonic()
        self._renew_at = ended + max(MEMPOOL_AGE, 10 * (ended - began))
        old = self._view
        self._view = View(old.tip, old.height, old.mined, txids, self._clock.now())

    def _header(self, block_hash: str) -> wire.Header:
        return decode(self._ask("getblockheader", block_hash), wire.Header, self._node.name)

    def _ask(self, method: str, *params: object) -> msgspec.Raw:
        try:
            return self._node.call(method, *params)
        except RpcFault as fault:
            raise NodeFailed(self._node.name, "bad_answer", f"{method}: {fault.message}") from None


def _hash(text: str, node: str) -> str:
    if not wire.HASH.fullmatch(text):
        raise NodeFailed(node, "bad_answer", "a block hash that is none")
    return text
