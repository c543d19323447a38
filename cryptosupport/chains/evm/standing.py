"""What an account holds at the end of one block, and what others paid to it in between: for reconciling.

Of a token, what came in is told by its logs (EIP-20). Of the coin nothing tells that without tracing every block: any
contract may pay it, and so may whoever builds a block.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import msgspec

from cryptosupport.chains.evm.account import Account
from cryptosupport.chains.evm.asking import Asker
from cryptosupport.chains.evm.balances import BALANCE_OF, word
from cryptosupport.chains.evm.money import TRANSFER
from cryptosupport.chains.evm.reading import check_chain
from cryptosupport.chains.evm.wire import UINT256, Log
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.paying import Standing
from cryptosupport.transport import Call, Node

_LOGS = msgspec.json.Decoder(list[Log])
_BLOCKS_AT_ONCE = 1000  # hosted nodes give the logs of so many blocks at once, some of ten times as many
_CALLS_AT_ONCE = 20
_MOST_BLOCKS = 500_000  # what is older than that is not gone through


def head(account: Account, asker: Asker) -> int:
    """The height of the node's latest block. Raises `NodeFailed`."""
    chain_id, latest = asker.batch([Call("eth_chainId"), Call("eth_blockNumber")])
    check_chain(asker, asker.number(chain_id), account.chain_id)
    return asker.number(latest)


def standing(account: Account, asker: Asker, height: int | None = None) -> Standing:
    """What the account holds at the end of a block, the latest one by default. Raises `NodeFailed`.

    A token that gives no balance is missing.
    """
    at = hex(head(account, asker) if height is None else height)
    own, tokens = account.address, list(account.tokens.values())
    data = BALANCE_OF + own[2:].lower().rjust(64, "0")
    calls = [
        Call("eth_getBlockByNumber", (at, False)),
        Call("eth_getBalance", (own, at)),
        *(Call("eth_call", ({"to": token.contract, "data": data}, at)) for token in tokens),
    ]
    named, coin, *balances = asker.batch(calls)
    block = asker.block(named)
    if block is None or block.height != int(at, 16):
        raise NodeFailed(asker.name, "not_synced", f"has no block {int(at, 16)}")
    holds: dict[str | None, int] = {None: asker.number(coin, UINT256)}
    for token, answer in zip(tokens, balances, strict=True):
        assert token.contract is not None  # else it were the coin
        try:
            holds[token.contract] = word(asker, answer, token.contract)
        except NodeFailed:
            continue
    return Standing(block.height, block.hash, holds)


def agreed(said: Mapping[Node, Standing], operators: Collection[str], quorum: int) -> Standing:
    """What nodes say of one block together, of which at least one has spoken. Pure."""
    (first, it), *others = said.items()
    differ = [
        f"{first.name} and {node.name} have another block {it.height}, or another balance in it"
        for node, other in others
        if other != it
    ]
    if len(operators) < quorum:
        differ.append(f"{len(operators)} of {quorum} operators told what it holds")
    return replace(it, disagree=tuple(differ))


def has_block(asker: Asker, height: int, block_hash: str) -> bool:
    """Whether the node has this block at that height. Raises `NodeFailed`."""
    (answer,) = asker.batch([Call("eth_getBlockByNumber", (hex(height), False))])
    block = asker.block(answer)
    return block is not None and block.hash == block_hash


def received(account: Account, asker: Asker, contract: str, after: int, upto: int) -> int | None:
    """What others paid to the account of a token in the blocks beyond ``after``, up to ``upto``, in base units.

    None where the node does not give that many logs. Raises `NodeFailed`.
    """
    if upto - after > _MOST_BLOCKS:
        return None
    own = "0x" + account.address[2:].lower().rjust(64, "0")
    calls = [
        Call("eth_getLogs", (_wanted(contract, own, start, min(start + _BLOCKS_AT_ONCE - 1, upto)),))
        for start in range(after + 1, upto + 1, _BLOCKS_AT_ONCE)
    ]
    total = 0
    last = Call("eth_getBlockByNumber", (hex(upto), False))
    for start in range(0, len(calls), _CALLS_AT_ONCE):
        there, *answers = asker.batch([last, *calls[start : start + _CALLS_AT_ONCE]])
        if asker.block(there) is None:
            return None  # of blocks that it does not have it would give no logs, and no error
        for answer in answers:
            logs = asker.maybe("eth_getLogs", answer, _LOGS)
            if logs is None:
                return None
            total += sum(_amount(asker, log) for log in logs if not log.removed and log.topics[1].lower() != own)
    return total


def _wanted(contract: str, own: str, first: int, last: int) -> dict[str, object]:
    blocks = {"fromBlock": hex(first), "toBlock": hex(last)}
    return blocks | {"address": contract, "topics": [TRANSFER, None, own]}


def _amount(asker: Asker, log: Log) -> int:
    try:
        if len(log.data) == 66:
            return int(log.data, 16)
        raise ValueError("a Transfer log without an amount")
    except ValueError as error:
        raise asker.malformed(error) from error
