"""Asking one node: what is known of it between calls, and its answers read or refused by name."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from cryptosupport.chains.evm.text import LONGEST, plain
from cryptosupport.chains.evm.wire import (
    END_OF_TIME,
    HEADER,
    NONCES,
    QUANTITY,
    UINT63,
    UINT256,
    Header,
    checked_hash,
    quantity,
)
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.transport import Call, JsonRpcNode, RpcFault, decode

T = TypeVar("T")
Answer = msgspec.Raw | RpcFault

# EIP-1474 knows -32601 and -32004; hosted nodes say it in words.
_LACKS_CODES = (-32601, -32004)
_LACKS = re.compile(
    r"(?i)method.{0,80}(not found|not exist|(not |un)available|not supported|not allowed|not whitelisted|disabled|"
    r"unknown)|(unsupported|unknown|unrecognized|invalid) method|namespace"
)


@dataclass(frozen=True, slots=True)
class BlockAt:
    """The block that a node has at some height."""

    height: int
    hash: str
    time: int
    base_fee: int | None

    @classmethod
    def of(cls, header: Header) -> BlockAt:
        """Read a block's header. Raises `ValueError`."""
        return cls(
            quantity(header.number),
            checked_hash(header.hash),
            quantity(header.timestamp, END_OF_TIME),
            None if header.base_fee_per_gas is None else quantity(header.base_fee_per_gas, UINT256),
        )


class Blocks:
    """Blocks of one node by height, the least recently used go first.

    A block that is not final is trusted as long as the node's head stands still: a later head may have another block
    there.
    """

    def __init__(self, most: int = 4096) -> None:
        self._most = most
        self._kept: OrderedDict[int, tuple[BlockAt, int | None]] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, heights: Iterable[int], head: int) -> dict[int, BlockAt]:
        """Those of ``heights`` that need not be asked for while the node's head is ``head``."""
        found = {}
        with self._lock:
            for height in heights:
                block, trusted_at = self._kept.get(height, (None, None))
                if block is not None and (trusted_at is None or trusted_at == head):
                    self._kept.move_to_end(height)
                    found[height] = block
        return found

    def keep(self, blocks: Iterable[BlockAt], head: int, final_height: int) -> None:
        """Keep blocks that the node gave when its head was ``head``."""
        with self._lock:
            for block in blocks:
                self._kept[block.height] = (block, None if block.height <= final_height else head)
                self._kept.move_to_end(block.height)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def forget(self, height: int) -> None:
        """Ask for the block at ``height`` next time."""
        with self._lock:
            self._kept.pop(height, None)


@dataclass(slots=True)
class NodeState:
    """What is known of one node between calls. Threads may repeat each other's work on it, no more."""

    right_chain: bool = False
    lacks: set[str] = field(default_factory=set)
    blocks: Blocks = field(default_factory=Blocks)


class Asker:
    """One node and what is known of it."""

    def __init__(self, node: JsonRpcNode, state: NodeState) -> None:
        self.node = node
        self.name = node.name
        self.state = state

    def batch(self, calls: Sequence[Call]) -> list[Answer]:
        """Ask ``calls`` at once; none for none. Raises `NodeFailed`."""
        return self.node.batch(calls) if calls else []

    def need(self, answer: Answer, kind: msgspec.json.Decoder[T]) -> T:
        """Read an answer that there has to be. Raises `NodeFailed`."""
        if type(answer) is RpcFault:
            raise self.refusal(answer)
        return decode(answer, kind, self.name)  # type: ignore[arg-type]

    def number(self, answer: Answer, limit: int = UINT63) -> int:
        """Read a number. Raises `NodeFailed`."""
        text = self.need(answer, QUANTITY)
        try:
            return quantity(text, limit)
        except ValueError as error:
            raise self.malformed(error) from error

    def block(self, answer: Answer) -> BlockAt | None:
        """Read a block's header, or None when the node has none. Raises `NodeFailed`."""
        header = self.need(answer, HEADER)
        try:
            return None if header is None else BlockAt.of(header)
        except ValueError as error:
            raise self.malformed(error) from error

    def maybe(self, method: str, answer: Answer, kind: msgspec.json.Decoder[T]) -> T | None:
        """Read what not every node gives: None for an error or another form; a method it lacks is not asked again."""
        if isinstance(answer, RpcFault):
            if answer.code in _LACKS_CODES or _LACKS.search(answer.message):
                self.state.lacks.add(method)
            return None
        try:
            return decode(answer, kind, self.name)
        except NodeFailed:
            return None

    def maybe_number(self, answer: Answer, limit: int = UINT63) -> int | None:
        """Read a number that not every node gives."""
        try:
            return self.number(answer, limit)
        except NodeFailed:
            return None

    def maybe_count(self, answer: Answer) -> int | None:
        """Read a sender's next nonce, which not every node gives for every block."""
        return self.maybe_number(answer, NONCES + 1)

    def offers(self, method: str) -> bool:
        """Whether the node has not yet said that it lacks ``method``."""
        return method not in self.state.lacks

    def source(self, method: str) -> str:
        """Where a fact comes from."""
        return f"{method} @ {self.name}"

    def refusal(self, fault: RpcFault) -> NodeFailed:
        """An error of the node as a failure. geth knows no old transaction while it builds its index (issue 28877)."""
        said = self.told(fault.message)
        if "indexing" in said.lower():
            return NodeFailed(self.name, "indexing", said)
        reason = "rate_limited" if fault.code in (-32005, 429) else "bad_answer"
        return NodeFailed(self.name, reason, f"answers with an error: {said or fault.code}")

    def malformed(self, error: ValueError) -> NodeFailed:
        """An answer of the right shape with a wrong number, hash or address in it."""
        return NodeFailed(self.name, "bad_answer", f"its answer makes no sense: {self.told(str(error))}")

    def told(self, text: str) -> str:
        """A text of the node as it may be shown: without the endpoint's secrets, and then cut."""
        return plain(self.node.legible(text, 4 * LONGEST))


@dataclass(frozen=True, slots=True)
class View:
    """The chain as one node saw it when it was asked: its head, and the block that its finality tag names, if any."""

    head: int
    finalized: int | None
    required: int | None  # confirmations that make final; None where the tag decides

    def confirmations(self, height: int) -> int:
        """How many blocks deep; at least 1, since a block may arrive between two questions."""
        return max(self.head - height, 0) + 1

    @property
    def final_height(self) -> int:
        """Blocks up to here are final; -1 when none is known to be."""
        if self.required is not None:
            return self.head - self.required + 1
        return -1 if self.finalized is None else self.finalized

    @property
    def vouched_height(self) -> int:
        """Blocks up to here stay by the node's own word; -1 where it gives none, and confirmations are counted."""
        return -1 if self.required is not None or self.finalized is None else self.finalized


def blocks_at(
    asker: Asker, heights: Iterable[int], view: View, fresh: bool = False
) -> dict[int, BlockAt | NodeFailed | None]:
    """The node's block at each of ``heights``: None where it has none, the failure where it does not say.

    With ``fresh`` none is taken from memory. Raises `NodeFailed`.
    """
    found: dict[int, BlockAt | NodeFailed | None] = dict.fromkeys(heights)
    if not fresh:
        found.update(asker.state.blocks.known(found, view.head))
    unknown = [height for height, block in found.items() if block is None]
    answers = asker.batch([Call("eth_getBlockByNumber", (hex(height), False)) for height in unknown])
    got = []
    for height, answer in zip(unknown, answers, strict=True):
        try:
            block = asker.block(answer)
        except NodeFailed as failure:
            found[height] = failure
            continue
        if block is not None and block.height != height:
            words = f"gives block {block.height} when asked for block {height}"
            found[height] = NodeFailed(asker.name, "bad_answer", words)
        elif block is not None:
            found[height] = block
            got.append(block)
    asker.state.blocks.keep(got, view.head, view.final_height)
    return found
