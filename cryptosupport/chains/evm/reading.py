"""One look at one node: what it says of some transactions, checked against itself.

A transaction, its receipt, its block and its sender's nonce come from several questions, between which the chain moves
on. So nothing is concluded from a contradiction: what does not fit is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cryptosupport.chains.evm import absent, mined, pool
from cryptosupport.chains.evm.asking import Answer, Asker, View
from cryptosupport.chains.evm.look import Look, Row, Rules, Said
from cryptosupport.chains.evm.wire import BRIEF_RECEIPT, RECEIPT, TX, BriefReceipt, checked_hash, quantity
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.transactions import Detail, Sighting
from cryptosupport.transport import Call

_ATTEMPTS = 3


def read(
    rules: Rules, asker: Asker, txids: Sequence[str], detail: Detail, memory: Mapping[str, Sighting], alone: bool
) -> dict[str, Said]:
    """Say what one node knows of each of ``txids``; ``alone`` allows what is too dear for many at once.

    Raises `NodeFailed` when the node gives nothing that can be used.
    """
    brief, explain = detail is Detail.BRIEF, detail is Detail.EXPLAIN
    view = View(0, None, rules.required)
    look = Look(rules, asker, memory, brief, explain, alone and not brief, rules.clock.now(), view)
    left = txids
    for _ in range(_ATTEMPTS):
        look.again = {}
        in_block, in_pool, nowhere = _sorted(look, _ask_brief(look, left) if brief else _ask_full(look, left))
        _attempt(look, mined.settle, in_block)
        if _in_step(look, [*in_pool, *nowhere]):
            _attempt(look, pool.settle, in_pool)
            _attempt(look, absent.settle, nowhere)
        left = list(look.again)
        if not left:
            break
    for txid, how in look.again.items():
        look.said[txid] = NodeFailed(asker.name, "bad_answer", f"contradicts itself: {how}")
    return look.said


def check_chain(asker: Asker, chain_id: int, wanted: int | None) -> None:
    """Refuse a node of another chain. Raises `NodeFailed`."""
    if wanted is not None and chain_id != wanted:
        words = f"is a node of chain {chain_id}, and the settings say chain_id = {wanted}"
        raise asker.node.failed("wrong_chain", words)
    asker.state.right_chain = True


def _attempt(look: Look, settle: Callable[[Look, list[Row]], None], rows: list[Row]) -> None:
    """Settle ``rows``; when the node fails at it, it has said nothing about them, and the others stand."""
    if not rows:
        return
    try:
        settle(look, rows)
    except NodeFailed as failure:
        for row in rows:
            look.again.pop(row.txid, None)
            look.said[row.txid] = failure


def _in_step(look: Look, rows: list[Row]) -> bool:
    """Whether the node can speak for ``rows``, which it has in no block: else its pool and its nonces are old news."""
    if not rows:
        return True
    try:
        trouble = absent.out_of_step(look.asker, look.rules)
    except NodeFailed as failure:
        trouble = failure
    if trouble is not None:
        look.said.update((row.txid, trouble) for row in rows)
    return trouble is None


def _opening(look: Look) -> list[Call]:
    """The head first: what is mined in between then counts one confirmation too few, never one too many."""
    calls = [Call("eth_blockNumber")]
    if look.rules.required is None:
        calls.append(Call("eth_getBlockByNumber", (look.rules.tag, False)))
    if not look.asker.state.right_chain:
        calls.append(Call("eth_chainId"))
    return calls


def _open(look: Look, answers: Sequence[Answer]) -> None:
    head, finalized = look.asker.number(answers[0]), None
    if not look.asker.state.right_chain:
        check_chain(look.asker, look.asker.number(answers[-1]), look.rules.chain_id)
    if look.rules.required is None:
        try:
            block = look.asker.block(answers[1])
            finalized = None if block is None else block.height
        except NodeFailed:
            pass  # a node that does not know the tag cannot say what is final, and nobody guesses it
    look.view = View(head if finalized is None else max(head, finalized), finalized, look.rules.required)


def _ask_full(look: Look, txids: Sequence[str]) -> list[Row]:
    calls = _opening(look)
    count = len(calls)
    for txid in txids:
        params = (txid,)
        calls.append(Call("eth_getTransactionByHash", params))
        calls.append(Call("eth_getTransactionReceipt", params))
    answers = look.asker.batch(calls)
    _open(look, answers[:count])
    need, rows = look.asker.need, []
    for txid, tx, receipt in zip(txids, answers[count::2], answers[count + 1 :: 2], strict=True):
        try:
            rows.append(Row(txid, need(tx, TX), need(receipt, RECEIPT)))
        except NodeFailed as failure:
            look.said[txid] = failure
    return rows


def _ask_brief(look: Look, txids: Sequence[str]) -> list[Row]:
    """Receipts alone, and transactions for those that no final block holds: their nonces have to be remembered."""
    calls = _opening(look)
    count = len(calls)
    calls += [Call("eth_getTransactionReceipt", (txid,)) for txid in txids]
    answers = look.asker.batch(calls)
    _open(look, answers[:count])
    need = look.asker.need
    rows: list[Row] = []
    unsettled: list[Row] = []
    for txid, answer in zip(txids, answers[count:], strict=True):
        try:
            row = Row(txid, None, need(answer, BRIEF_RECEIPT))
            (rows if _is_final(look, row.receipt) else unsettled).append(row)
        except NodeFailed as failure:
            look.said[txid] = failure
    found = look.asker.batch([Call("eth_getTransactionByHash", (row.txid,)) for row in unsettled])
    for row, answer in zip(unsettled, found, strict=True):
        try:
            row.tx = need(answer, TX)
            rows.append(row)
        except NodeFailed as failure:
            look.said[row.txid] = failure
    return rows


def _is_final(look: Look, receipt: BriefReceipt | None) -> bool:
    """Whether a receipt names a final block. A Parity receipt of a waiting transaction names none."""
    if receipt is None or receipt.block_hash is None or receipt.block_number is None:
        return False
    try:
        return quantity(receipt.block_number) <= look.view.final_height
    except ValueError:
        return True  # refused when it is sorted


def _sorted(look: Look, rows: list[Row]) -> tuple[list[Row], list[Row], list[Row]]:
    """The rows in a block, in the pool, and nowhere; what contradicts itself is asked again."""
    in_block: list[Row] = []
    in_pool: list[Row] = []
    nowhere: list[Row] = []
    good_hashes: set[str] = set()
    for row in rows:
        tx, receipt = row.tx, row.receipt
        if (tx is not None and tx.hash != row.txid) or (receipt is not None and receipt.transaction_hash != row.txid):
            look.said[row.txid] = NodeFailed(look.asker.name, "bad_answer", "answers about another transaction")
        elif receipt is not None and receipt.block_hash is not None and receipt.block_number is not None:
            # A transaction that was mined just now may still have been waiting when it was asked for.
            fits = look.brief if tx is None else tx.block_hash in (None, receipt.block_hash)
            if not fits:
                look.again[row.txid] = "its receipt and its transaction do not fit together"
                continue
            try:
                row.height = quantity(receipt.block_number)
                if receipt.block_hash not in good_hashes:  # shown and kept: checked once for all that share it
                    good_hashes.add(checked_hash(receipt.block_hash))
                in_block.append(row)
            except ValueError as error:
                look.malformed(row.txid, error)
        elif tx is None and receipt is None:
            nowhere.append(row)
        elif tx is None or tx.block_hash is not None:
            look.again[row.txid] = "it has a block without a receipt, or a receipt without a transaction"
        else:
            in_pool.append(row)
    return in_block, in_pool, nowhere
