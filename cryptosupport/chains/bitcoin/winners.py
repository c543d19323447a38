"""Who spent these coins: the transaction in the chain that took a vanished one's place, searched for in raw blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptosupport.chains.bitcoin import rawblocks
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.ports import Clock
from cryptosupport.transport import JsonRpcNode, RpcFault, decode

MOST_BLOCKS = 144
"""A day of blocks."""

MOST_SECONDS = 10.0

CLOCK_SKEW = 7200
"""Seconds by which the time in a block may be wrong (MAX_FUTURE_BLOCK_TIME in Bitcoin Core's chain.h)."""

Outpoint = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Winner:
    """A transaction in the chain that spends ``outpoint`` ("txid:vout")."""

    txid: str
    outpoint: str
    block_hash: str
    height: int


def find_winners(
    node: JsonRpcNode,
    clock: Clock,
    cases: Mapping[str, Sequence[Outpoint]],
    tip: tuple[str, int],
    lowest: int,
    since: int | None,
) -> tuple[dict[str, Winner], int]:
    """Search the blocks from ``tip`` (hash, height) down for who spends one of the outpoints of each of ``cases``.

    It ends when all have a winner, at the height ``lowest``, at the first block from before the time ``since``, and at
    `MOST_BLOCKS` or `MOST_SECONDS`. The winners by case, and how many blocks were searched. Raises `NodeFailed`.
    """
    wanted: dict[bytes, list[tuple[str, Outpoint]]] = {}
    for case, outpoints in cases.items():
        for outpoint in outpoints:
            wanted.setdefault(rawblocks.outpoint_bytes(*outpoint), []).append((case, outpoint))
    winners: dict[str, Winner] = {}
    until = clock.monotonic() + MOST_SECONDS
    block_hash, top = tip
    lowest, height = max(lowest, top - MOST_BLOCKS + 1, 1), top
    while height >= lowest and len(winners) < len(cases) and clock.monotonic() < until:
        block = raw_block(node, block_hash)
        if block is None:
            break
        try:
            hits = rawblocks.find_spenders(block, wanted)
        except ValueError as error:
            raise NodeFailed(node.name, "bad_answer", str(error)) from None
        for place, winner in hits.items():
            for case, (txid, vout) in wanted[place]:
                winners.setdefault(case, Winner(winner, f"{txid}:{vout}", block_hash, height))
        made = int.from_bytes(block[68:72], "little")
        block_hash, height = block[4:36][::-1].hex(), height - 1
        if since is not None and made < since - CLOCK_SKEW:
            break
    return winners, top - height


def raw_block(node: JsonRpcNode, block_hash: str) -> bytes | None:
    """A block as bytes, or None where the node does not give it: pruned, or too large an answer.

    Raises `NodeFailed`.
    """
    try:
        text = decode(node.call("getblock", block_hash, 0), str, node.name)
        block = bytes.fromhex(text)
    except RpcFault:
        return None
    except NodeFailed as failure:
        if failure.reason == "too_large":
            return None
        raise
    except ValueError:
        raise NodeFailed(node.name, "bad_answer", "a block that is no hex") from None
    if len(block) < 81:
        raise NodeFailed(node.name, "bad_answer", "a block that is cut short")
    return block


def txid_of_wtxid(node: JsonRpcNode, wtxid: str, tip_hash: str, blocks: int) -> str | None:
    """The id of the transaction with the witness hash ``wtxid`` in the last ``blocks``. Raises `NodeFailed`."""
    block_hash = tip_hash
    for _ in range(blocks):
        block = raw_block(node, block_hash)
        if block is None:
            return None
        try:
            found = rawblocks.find_wtxid(block, wtxid)
        except ValueError as error:
            raise NodeFailed(node.name, "bad_answer", str(error)) from None
        if found is not None:
            return found
        block_hash = block[4:36][::-1].hex()
        if not block_hash.strip("0"):
            return None  # that was the first block
    return None
