"""How a wallet stands, and what became of its payouts, as one node sees it.

The order of the questions matters, as the chain moves on between them: the head first, then how many nonces are used,
then receipts, then balances. So what is mined in between is told as a little less settled than it is, never as more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cryptosupport.chains.evm import outcome
from cryptosupport.chains.evm.absent import out_of_step
from cryptosupport.chains.evm.account import Account
from cryptosupport.chains.evm.asking import Answer, Asker, BlockAt, View, blocks_at
from cryptosupport.chains.evm.fees import BLOCKS_OF_HISTORY, PLAIN_GAS, Prices, prices_of, roomy
from cryptosupport.chains.evm.reading import check_chain
from cryptosupport.chains.evm.rivals import COUNT, Claim, replaced
from cryptosupport.chains.evm.transfers import Unsigned
from cryptosupport.chains.evm.wire import FEE_HISTORY, NONCES, QUANTITY, RECEIPT, TX, UINT256, Receipt, Tx, quantity
from cryptosupport.domain.errors import NodeFailed, Refused
from cryptosupport.domain.payouts import Absent, Attempt, Mined, Payout, Seen, Taken, Unclear
from cryptosupport.transport import Call

_AT_ONCE = 96  # Bor takes 100 in a batch
_L1_ORACLE = "0x420000000000000000000000000000000000000F"  # the GasPriceOracle of the OP Stack (since Fjord)
_L1_FEE = "0xf1c7a58b" + f"{180:064x}"  # getL1FeeUpperBound(uint256): bytes of the longest payment, unsigned
_BALANCE_OF = "0x70a08231"
_WORD = 66


@dataclass(slots=True)
class NodeSays:
    """What one node says: the facts of `Survey`, and what it saw of each payout by its id."""

    node: str
    view: View
    used: int
    pending: int
    seen: dict[int, Seen] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    holds: dict[str | None, int] = field(default_factory=dict)
    prices: Prices | None = None
    self_gas: int = PLAIN_GAS
    l1_fee: int = 0


def ask(account: Account, asker: Asker, payouts: Sequence[Payout]) -> NodeSays:
    """Ask one node how ``account`` stands, and what became of ``payouts``. Raises `NodeFailed`.

    What is in doubt is asked twice: it may have been mined between two questions.
    """
    trouble = out_of_step(asker, account.rules)
    if trouble is not None:
        raise trouble
    said = _Pass(account, asker, payouts).run(last=False)
    doubtful = [each for each in payouts if isinstance(said.seen.get(each.id), Taken | Unclear)]
    if doubtful:
        again = _Pass(account, asker, doubtful).run(last=True)
        for payout in doubtful:
            said.seen.pop(payout.id)
        said.seen.update(again.seen)
        said.troubles += again.troubles
    _ask_wallet(account, asker, said)
    return said


class _Pass:
    """One round of questions about payouts."""

    def __init__(self, account: Account, asker: Asker, payouts: Sequence[Payout]) -> None:
        self._account = account
        self._asker = asker
        self._payouts = payouts
        self._receipts: dict[str, Receipt] = {}
        self._txs: dict[str, Tx] = {}
        self._blocks: dict[int, BlockAt | NodeFailed | None] = {}
        self._failed: dict[str, NodeFailed] = {}
        self._used_finally: int | None = None

    def run(self, last: bool) -> NodeSays:
        """Ask all, and judge each payout; on the ``last`` round it is looked for who took a nonce."""
        said = self._open()
        self._ask_transactions(said)
        for payout in self._payouts:
            try:
                said.seen[payout.id] = self._judge(payout, said, last)
            except NodeFailed as failure:
                said.troubles.append(f"payout {payout.id}: {failure.message}")
            except ValueError as error:
                said.troubles.append(f"payout {payout.id}: {self._asker.malformed(error).message}")
        return said

    def _open(self) -> NodeSays:
        asker, rules, own = self._asker, self._account.rules, self._account.address
        calls = [
            Call("eth_chainId"),
            Call("eth_blockNumber"),
            Call(COUNT, (own, "latest")),
            Call(COUNT, (own, "pending")),
        ]
        if rules.required is None:
            calls.append(Call("eth_getBlockByNumber", (rules.tag, False)))
        chain_id, head, latest, pending, *tagged = asker.batch(calls)
        check_chain(asker, asker.number(chain_id), rules.chain_id)
        finalized = None
        if tagged:
            try:
                block = asker.block(tagged[0])
                finalized = None if block is None else block.height
            except NodeFailed:
                pass  # a node that does not know the tag cannot say what is final
        view = View(max(asker.number(head), finalized or 0), finalized, rules.required)
        used = asker.number(latest, NONCES + 1)
        return NodeSays(asker.name, view, used, max(used, asker.maybe_count(pending) or 0))

    def _ask_transactions(self, said: NodeSays) -> None:
        """Receipts of all attempts; the transactions of those payouts that have none; blocks; the final count."""
        txids = [txid for payout in self._payouts for txid in _txids(payout)]
        answers = _asked(self._asker, [Call("eth_getTransactionReceipt", (txid,)) for txid in txids])
        for txid, answer in zip(txids, answers, strict=True):
            try:
                receipt = self._asker.need(answer, RECEIPT)
            except NodeFailed as failure:
                self._failed[txid] = failure
                continue
            if receipt is not None and receipt.block_hash is not None and receipt.block_number is not None:
                self._receipts[txid] = receipt
        left = [txid for each in self._payouts if not self._receipts.keys() & _txids(each) for txid in _txids(each)]
        calls = [Call("eth_getTransactionByHash", (txid,)) for txid in left]
        final = said.view.final_height
        if final >= 0 and any(_nonce(each) < said.used for each in self._payouts):
            calls.append(Call(COUNT, (self._account.address, hex(final))))
        answers = _asked(self._asker, calls)
        for txid, answer in zip(left, answers, strict=False):
            try:
                tx = self._asker.need(answer, TX)
            except NodeFailed as failure:
                self._failed[txid] = failure
                continue
            if tx is not None:
                self._txs[txid] = tx
        if len(answers) > len(left):
            self._used_finally = self._asker.maybe_count(answers[-1])
        heights = _heights(self._receipts.values())
        self._blocks = blocks_at(self._asker, heights, said.view) if heights else {}

    def _judge(self, payout: Payout, said: NodeSays, last: bool) -> Seen:
        """What became of one payout. Raises `NodeFailed`, `ValueError`."""
        txids = _txids(payout)
        failure = next((self._failed[txid] for txid in txids if txid in self._failed), None)
        if failure is not None:
            raise failure
        mined = [each for each in payout.attempts if each.txid in self._receipts]
        if len(mined) > 1:
            return Unclear(f"{said.node} has receipts of {len(mined)} of its attempts, and one nonce serves one only")
        if mined:
            return self._mined(mined[0], said.view)
        known = [self._txs[txid] for txid in txids if txid in self._txs]
        if any(tx.hash not in txids for tx in known):
            raise ValueError("it answers about another transaction")
        in_block = next((tx for tx in known if tx.block_hash is not None), None)
        if in_block is not None:
            return Unclear(f"{said.node} has {in_block.hash} in a block, and no receipt of it")
        nonce = _nonce(payout)
        if nonce >= said.used:
            return Absent(pooled=bool(known))
        if not last or self._used_finally is None or self._used_finally <= nonce:
            return Taken(None, False)
        return self._taken(payout, nonce, said.view)

    def _mined(self, attempt: Attempt, view: View) -> Seen:
        receipt = self._receipts[attempt.txid or ""]
        if receipt.transaction_hash != attempt.txid or receipt.sender.lower() != self._account.address.lower():
            raise ValueError("its receipt is of another transaction")
        height = quantity(receipt.block_number or "")
        block = self._blocks[height]
        if isinstance(block, NodeFailed):
            raise block
        if block is None or block.hash != receipt.block_hash:
            self._asker.state.blocks.forget(height)
            return Unclear(f"{self._asker.name} names a block that its chain does not have at height {height}")
        try:
            plan = Unsigned.of(attempt.plan.text)
        except Refused as refusal:
            return Unclear(f"attempt {attempt.number}: {refusal.message}")
        ok = outcome.did(plan, self._account.address, receipt)
        if isinstance(ok, Unclear):
            return ok
        fee = outcome.fee(self._account.rules.ledger, plan, self._account.address, receipt)
        final, confirmations = height <= view.final_height, view.confirmations(height)
        return Mined(attempt.number, height, block.hash, ok, final, fee, confirmations)

    def _taken(self, payout: Payout, nonce: int, view: View) -> Seen:
        """Who has the nonce, which a final block used. One that is named has to prove it. Raises `NodeFailed`."""
        txids = _txids(payout)
        claim = Claim(next(iter(txids), ""), self._account.address, nonce)
        found = replaced(self._asker, view, [claim], search=True)[claim.txid]
        if isinstance(found, NodeFailed) or found.by in txids:
            return Unclear(f"{self._asker.name} has an attempt in a block, and no receipt of it")
        if found.by is None or not self._proven(found.by, nonce, view):
            return Taken(None, True)
        return Taken(found.by, True)

    def _proven(self, txid: str, nonce: int, view: View) -> bool:
        """Whether ``txid`` is ours with this nonce, in a final block of the chain. Raises `NodeFailed`."""
        (answer,) = self._asker.batch([Call("eth_getTransactionByHash", (txid,))])
        tx = self._asker.need(answer, TX)
        if tx is None or tx.block_number is None or tx.hash != txid:
            return False
        height = quantity(tx.block_number)
        if height > view.final_height or quantity(tx.nonce, NONCES) != nonce:
            return False
        block = blocks_at(self._asker, [height], view)[height]
        whole = isinstance(block, BlockAt) and block.hash == tx.block_hash
        return whole and tx.sender.lower() == self._account.address.lower()


def _ask_wallet(account: Account, asker: Asker, said: NodeSays) -> None:
    """What the wallet holds, and what fees are made of. Raises `NodeFailed`."""
    own, tokens = account.address, list(account.tokens.values())
    data = _BALANCE_OF + own[2:].lower().rjust(64, "0")
    calls = [
        Call("eth_getBalance", (own, "latest")),
        Call("eth_getBlockByNumber", ("latest", False)),
        Call("eth_feeHistory", (hex(BLOCKS_OF_HISTORY), "latest", [50])),
        Call("eth_estimateGas", ({"from": own, "to": own, "value": "0x0"},)),
        Call("eth_call", ({"to": _L1_ORACLE, "data": _L1_FEE}, "latest")),
        *(Call("eth_call", ({"to": token.contract, "data": data}, "latest")) for token in tokens),
    ]
    coin, latest, history, gas, l1_fee, *balances = _asked(asker, calls)
    said.holds[None] = asker.number(coin, UINT256)
    said.l1_fee = _word(asker, l1_fee) or 0
    estimate = asker.maybe_number(gas) or PLAIN_GAS
    said.self_gas = PLAIN_GAS if estimate <= PLAIN_GAS else roomy(estimate)
    said.prices = _prices(asker, history, latest)
    if said.prices is None:
        said.troubles.append(f"{asker.name}: does not tell what blocks ask for a unit of gas (EIP-1559)")
    for token, answer in zip(tokens, balances, strict=True):
        held = _word(asker, answer)
        if held is None:
            said.troubles.append(f"{asker.name}: gives no balance of {token.symbol}")
        else:
            said.holds[token.contract] = held


def _prices(asker: Asker, history: Answer, latest: Answer) -> Prices | None:
    block, recent = asker.block(latest), asker.maybe("eth_feeHistory", history, FEE_HISTORY)
    try:
        base_fee = None if block is None else block.base_fee
        return None if recent is None else prices_of(recent, base_fee)
    except ValueError as error:
        raise asker.malformed(error) from error


def _word(asker: Asker, answer: Answer) -> int | None:
    """The one number that a contract answers with; None where it does not."""
    text = asker.maybe("eth_call", answer, QUANTITY)
    try:
        return None if text is None or len(text) != _WORD else quantity(text, UINT256)
    except ValueError:
        return None


def _asked(asker: Asker, calls: Sequence[Call]) -> list[Answer]:
    """The answers to any number of ``calls``. Raises `NodeFailed`."""
    answers: list[Answer] = []
    for start in range(0, len(calls), _AT_ONCE):
        answers += asker.batch(calls[start : start + _AT_ONCE])
    return answers


def _heights(receipts: Iterable[Receipt]) -> set[int]:
    """Where the blocks of ``receipts`` are; a senseless number is refused when its payout is judged."""
    heights = set()
    for receipt in receipts:
        try:
            heights.add(quantity(receipt.block_number or ""))
        except ValueError:
            continue
    return heights


def _txids(payout: Payout) -> dict[str, None]:
    """The ids of the attempts that are signed, in their order."""
    return {each.txid: None for each in payout.attempts if each.txid is not None}


def _nonce(payout: Payout) -> int:
    (claim,) = payout.claims
    return int(claim)
