"""Which other transaction holds a sender's nonce: asked for, found in the pool, or searched for in the blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptosupport.chains.evm.asking import Asker, View
from cryptosupport.chains.evm.wire import (
    BLOCK,
    LISTED,
    NONCES,
    POOL_CONTENT,
    Listed,
    PoolContent,
    checked_hash,
    quantity,
)
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.transactions import Replaced
from cryptosupport.transport import Call

COUNT = "eth_getTransactionCount"
BY_NONCE = "eth_getTransactionBySenderAndNonce"  # execution-apis issue 494: anvil, reth; geth gives the hash alone
POOL = "txpool_contentFrom"  # the geth family, seldom on hosted nodes
_PARTS = 16  # pieces of one step of the search: a thousand million blocks take eight steps
_MOST_STEPS = 12


@dataclass(frozen=True, slots=True)
class Claim:
    """A transaction and the sender's nonce that it wants for itself."""

    txid: str
    sender: str
    nonce: int


@dataclass(frozen=True, slots=True)
class Holder:
    """A transaction that has a nonce; ``height`` is its block's, where known."""

    txid: str
    height: int | None


def holders(asker: Asker, claims: Sequence[Claim], pool: bool) -> dict[str, Holder]:
    """Who has each claimed nonce, by the claim's txid, in as far as one question each can tell.

    With ``pool`` the sender's waiting transactions are asked for as well. Raises `NodeFailed`.
    """
    found: dict[str, Holder] = {}
    if asker.offers(BY_NONCE):
        answers = asker.batch([Call(BY_NONCE, (claim.sender, hex(claim.nonce))) for claim in claims])
        for claim, answer in zip(claims, answers, strict=True):
            holder = _holder(asker.maybe(BY_NONCE, answer, LISTED))
            if holder is not None:
                found[claim.txid] = holder
    unknown = [claim for claim in claims if claim.txid not in found]
    if pool and unknown:
        waiting = pool_contents(asker, {claim.sender for claim in unknown})
        for claim in unknown:
            txid = waiting.get(claim.sender, {}).get(claim.nonce)
            if txid is not None:
                found[claim.txid] = Holder(txid, None)
    return found


def pool_contents(asker: Asker, senders: set[str]) -> dict[str, dict[int, str]]:
    """The waiting transactions of ``senders``, by nonce, where the node shows its pool. Raises `NodeFailed`."""
    if not asker.offers(POOL):
        return {}
    ordered = sorted(senders)
    answers = asker.batch([Call(POOL, (sender,)) for sender in ordered])
    contents = [asker.maybe(POOL, answer, POOL_CONTENT) for answer in answers]
    return {
        sender: _by_nonce(content) for sender, content in zip(ordered, contents, strict=True) if content is not None
    }


def replaced(asker: Asker, view: View, claims: Sequence[Claim], search: bool) -> dict[str, Replaced | NodeFailed]:
    """What took the place of transactions whose nonces are used, by txid.

    It is final when the nonce was used up in a final block already. With ``search`` the blocks are searched for a
    winner that the node cannot name. A node that names the transaction itself as the winner has it in a block and
    cannot look it up: a `NodeFailed` ``no_index``. Raises `NodeFailed`.
    """
    winners = holders(asker, claims, pool=False)
    used_for_good = _used_at(asker, claims, view.final_height)
    said: dict[str, Replaced | NodeFailed] = {}
    for claim in claims:
        winner = winners.get(claim.txid) or (_search(asker, view, claim) if search else None)
        if winner is not None and winner.txid == claim.txid:
            said[claim.txid] = NodeFailed(asker.name, "no_index", "has it in a block, and cannot look it up by its id")
            continue
        settled = winner is not None and winner.height is not None and winner.height <= view.final_height
        final = settled or claim.txid in used_for_good
        said[claim.txid] = Replaced(None if winner is None else winner.txid, final, claim.nonce)
    return said


def _holder(listed: Listed | str | None) -> Holder | None:
    try:
        match listed:
            case None:
                return None
            case str():
                return Holder(checked_hash(listed), None)
            case Listed():
                height = None if listed.block_number is None else quantity(listed.block_number)
                return Holder(checked_hash(listed.hash), height)
    except ValueError:
        return None


def _by_nonce(content: PoolContent) -> dict[int, str]:
    """Nonces in decimal, as geth writes them; whatever else stands there is passed over."""
    waiting = {}
    for part in (content.queued, content.pending):
        for nonce, listed in part.items():
            holder = _holder(listed)
            if holder is not None and nonce.isascii() and nonce.isdecimal() and len(nonce) <= 20:
                waiting[int(nonce)] = holder.txid
    return waiting


def _used_at(asker: Asker, claims: Sequence[Claim], height: int) -> set[str]:
    """The txids of ``claims`` whose nonces were used by the block at ``height``, where the node has that state."""
    if height < 0:
        return set()
    answers = asker.batch([Call(COUNT, (claim.sender, hex(height))) for claim in claims])
    counts = map(asker.maybe_count, answers)
    return {
        claim.txid for claim, count in zip(claims, counts, strict=True) if count is not None and count > claim.nonce
    }


def _search(asker: Asker, view: View, claim: Claim) -> Holder | None:
    """Look for the block in which the sender's nonce was used, and in it for the transaction.

    First backwards in growing steps, so that a node that keeps only the latest states finds what happened lately; then
    in `_PARTS` pieces. None when the states are not there, or when no transaction used the nonce (an EIP-7702
    authorisation does).
    """
    back = [view.head - (1 << step) for step in range(view.head.bit_length()) if 1 << step <= view.head]
    try:
        bracket = _narrowed(asker, claim, -1, view.head, back)
        for _ in range(_MOST_STEPS):
            if bracket is None:
                return None
            unused, used = bracket
            if used - unused == 1:
                return _in_block(asker, claim, used)
            between = {unused + (used - unused) * part // _PARTS for part in range(1, _PARTS)} - {unused, used}
            bracket = _narrowed(asker, claim, unused, used, sorted(between, reverse=True))
    except NodeFailed:  # the winner's name is an extra
        pass
    return None


def _narrowed(asker: Asker, claim: Claim, unused: int, used: int, heights: Sequence[int]) -> tuple[int, int] | None:
    """Heights at which the nonce was unused and used, closer together by what it was at ``heights`` (falling)."""
    answers = asker.batch([Call(COUNT, (claim.sender, hex(height))) for height in heights])
    for height, answer in zip(heights, answers, strict=True):
        count = asker.maybe_count(answer)
        if count is None:
            return None
        if count <= claim.nonce:
            return height, used
        used = height
    return unused, used


def _in_block(asker: Asker, claim: Claim, height: int) -> Holder | None:
    (answer,) = asker.batch([Call("eth_getBlockByNumber", (hex(height), True))])
    block = asker.need(answer, BLOCK)
    try:
        for listed in block.transactions if block is not None else ():
            if listed.sender.lower() == claim.sender.lower() and quantity(listed.nonce, NONCES) == claim.nonce:
                return Holder(checked_hash(listed.hash), height)
    except ValueError as error:
        raise asker.malformed(error) from error
    return None
