"""The ids of blocks that hold many of those asked for, kept while the blocks are in the chain.

Ids that are looked up in bulk often come in the order of time, and then many are in the same blocks.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cryptosupport.chains.bitcoin import wire
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.transactions import Block
from cryptosupport.transport import Call, JsonRpcNode, RpcFault, decode

MOST_HITS = 10_000


@dataclass(frozen=True, slots=True)
class HeldBlock:
    """A block of the active chain, and its ids."""

    block: Block
    txids: Sequence[str]
    previous: str | None


class HeldBlocks:
    """The blocks of one node that are kept. Thread-safe.

    ``most`` ids are kept in all, those of the blocks read last.
    """

    def __init__(self, node: JsonRpcNode, most: int) -> None:
        self._node = node
        self._most = most
        self._lock = threading.RLock()
        self._blocks: dict[str, HeldBlock] = {}
        self._held = 0
        self._hits: Counter[str] = Counter()
        self._tip = ""
        self.mined: dict[str, HeldBlock] = {}

    def __len__(self) -> int:
        return len(self._blocks)

    def get(self, block_hash: str) -> HeldBlock | None:
        """The block, if it is kept."""
        return self._blocks.get(block_hash)

    def follow(self, tip: str, ahead: int = 0) -> None:
        """Forget what is no longer in the chain of ``tip``; read up to ``ahead`` new blocks. Raises `NodeFailed`."""
        if tip == self._tip:
            return
        with self._lock:
            if tip == self._tip:
                return
            self._forget_stale()
            new: list[tuple[str, HeldBlock]] = []
            here: str | None = tip
            while here is not None and here not in self._blocks and len(new) < ahead:
                block = _read(self._node, here)
                if block is None:
                    break
                new.append((here, block))
                here = block.previous
            for block_hash, block in reversed(new):  # the oldest first: it is dropped first
                self._keep(block_hash, block)
            self._tip = tip

    def found_in(self, hashes: Sequence[str], worth: int) -> None:
        """Learn that ids asked one by one were in the blocks ``hashes``. Raises `NodeFailed`.

        A block is read as soon as ``worth`` ids were found in it.
        """
        with self._lock:
            if len(self._hits) > MOST_HITS:
                self._hits.clear()
            self._hits.update(hashes)
            for each in set(hashes):
                if each not in self._blocks and self._hits[each] >= worth:
                    # Read or not, it is not tried again with the next id.
                    self._hits[each] = -self._most
                    block = _read(self._node, each)
                    if block is not None:
                        self._keep(each, block)

    def _forget_stale(self) -> None:
        hashes = list(self._blocks)
        answers = self._node.batch([Call("getblockheader", (each,)) for each in hashes]) if hashes else []
        for each, answer in zip(hashes, answers, strict=True):
            if isinstance(answer, RpcFault) or decode(answer, wire.Header, self._node.name).confirmations < 1:
                self._drop(each)

    def _keep(self, block_hash: str, block: HeldBlock) -> None:
        self._blocks[block_hash] = block
        self._held += len(block.txids)
        while self._held > self._most:
            self._drop(next(iter(self._blocks)))
        if block_hash in self._blocks:
            self.mined.update(dict.fromkeys(block.txids, block))

    def _drop(self, block_hash: str) -> None:
        block = self._blocks.pop(block_hash)
        self._held -= len(block.txids)
        self._hits.pop(block_hash, None)
        for txid in block.txids:
            if self.mined.get(txid) is block:
                del self.mined[txid]


def _read(node: JsonRpcNode, block_hash: str) -> HeldBlock | None:
    """A block with its ids, or None where it cannot be had. Raises `NodeFailed`."""
    try:
        answer = node.call("getblock", block_hash, 1)
    except RpcFault:  # pruned, or gone a moment ago
        return None
    block = decode(answer, wire.BlockTxids, node.name)
    if block.confirmations < 1:
        return None
    return HeldBlock(Block(block.height, block_hash, block.time), block.tx, _previous(block.previousblockhash, node))


def _previous(text: str | None, node: JsonRpcNode) -> str | None:
    if text is not None and not wire.HASH.fullmatch(text):
        raise NodeFailed(node.name, "bad_answer", "a block hash that is none")
    return text
