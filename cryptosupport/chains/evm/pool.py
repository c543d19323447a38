"""Transactions that wait: why, and whether another one has taken their place already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cryptosupport.chains.evm import facts
from cryptosupport.chains.evm.asking import Asker
from cryptosupport.chains.evm.look import Look, Row
from cryptosupport.chains.evm.rivals import BY_NONCE, COUNT, Claim, pool_contents
from cryptosupport.chains.evm.wire import FEE_HISTORY, LISTED, NONCES, UINT256, FeeHistory, Tx, address, quantity
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.money import GasFees
from cryptosupport.domain.transactions import Pending, PendingReason
from cryptosupport.transport import Call, RpcFault

_BLOCKS_OF_HISTORY = 10
_MOST_PROBES = 64  # nonces asked for one by one between the account's and a transaction's
_MOST_LISTED = 100_000  # nonces looked for in what the node says of its pool


@dataclass(frozen=True, slots=True)
class Market:
    """What blocks ask for now: the base fee of the latest block or of the next, whichever is higher, and what others
    pay.

    Chains without EIP-1559 have no base fee.
    """

    base_fee: int | None
    price: GasFees | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A transaction in the node's pool."""

    claim: Claim
    tx: Tx


@dataclass(frozen=True, slots=True)
class Nonces:
    """A sender's next nonce by the blocks, and by the node's pool (the first one that is in neither) if it says so."""

    latest: int
    pending: int | None


def nonces_of(asker: Asker, senders: set[str]) -> dict[str, Nonces]:
    """The next nonces of ``senders``. Raises `NodeFailed`."""
    ordered = sorted(senders)
    answers = asker.batch([Call(COUNT, (sender, tag)) for sender in ordered for tag in ("latest", "pending")])
    found = {}
    for place, sender in enumerate(ordered):
        latest = asker.number(answers[2 * place], NONCES + 1)
        pending = asker.maybe_count(answers[2 * place + 1])
        found[sender] = Nonces(latest, None if pending is None else max(latest, pending))
    return found


def market_of(asker: Asker) -> Market:
    """What blocks ask for now. Raises `NodeFailed` when the node cannot give its latest block."""
    calls = [
        Call("eth_getBlockByNumber", ("latest", False)),
        Call("eth_feeHistory", (hex(_BLOCKS_OF_HISTORY), "latest", [50])),
        Call("eth_gasPrice"),
    ]
    latest, history, gas_price = asker.batch(calls)
    block = asker.block(latest)
    base_fee = None if block is None else block.base_fee
    recent = asker.maybe("eth_feeHistory", history, FEE_HISTORY)
    if base_fee is None:
        price = asker.maybe_number(gas_price)
        return Market(None, None if price is None else GasFees(price, price))
    base_fee = max(base_fee, _next_base_fee(recent))
    tip = _usual_tip(recent)
    return Market(base_fee, GasFees(base_fee + tip, tip))


def _next_base_fee(history: FeeHistory | None) -> int:
    try:
        return 0 if history is None or not history.base_fee_per_gas else quantity(history.base_fee_per_gas[-1], UINT256)
    except ValueError:
        return 0


def _usual_tip(history: FeeHistory | None) -> int:
    """The median over the blocks that hold anything of what the middle of their gas paid beyond the base fee."""
    if history is None or history.reward is None:
        return 0
    try:
        pairs = zip(history.gas_used_ratio, history.reward, strict=False)
        tips = sorted(quantity(reward[0], UINT256) for used, reward in pairs if used > 0 and reward)
    except ValueError:
        return 0
    return tips[len(tips) // 2] if tips else 0


def offered(tx: Tx) -> GasFees | None:
    """What ``tx`` offers for gas. Raises `ValueError`."""
    most = tx.max_fee_per_gas or tx.gas_price
    if most is None:
        return None
    tip = tx.max_priority_fee_per_gas or most
    return GasFees(quantity(most, UINT256), quantity(tip, UINT256))


def _pending(one: Waiting, missing: int | None, market: Market | None, was_in: str | None) -> Pending:
    """Say why a transaction waits; ``was_in`` is the block that it fell out of. Raises `ValueError`."""
    feerate = offered(one.tx)
    price = None if market is None else market.price
    if was_in is not None:
        reason = PendingReason.REORGED
    elif missing is not None:
        reason = PendingReason.NONCE_GAP
    elif market is not None and _underpriced(feerate, market):
        reason = PendingReason.LOW_FEE
    else:
        reason = PendingReason.WAITING
    return Pending(reason, feerate, market=price, nonce=one.claim.nonce, missing_nonce=missing, was_in=was_in)


def _underpriced(feerate: GasFees | None, market: Market) -> bool:
    return feerate is not None and market.base_fee is not None and feerate.max_fee_per_gas < market.base_fee


def missing_nonces(asker: Asker, waiting: Sequence[Waiting], nonces: Mapping[str, Nonces]) -> dict[str, int]:
    """The lowest nonce that has to come first and is nowhere, by the txid of each transaction that lacks one.

    The pool's own count says so on most nodes; where the node shows its pool, or can be asked nonce by nonce, what is
    there counts, since some pools count executable transactions only. Where it says none of all this, none is made up.
    Raises `NodeFailed`.
    """
    highest: dict[str, int] = {}  # of each sender with a transaction that the pool's count does not reach
    for one in waiting:
        sender, nonce = one.claim.sender, one.claim.nonce
        if nonces[sender].latest < nonce and (nonces[sender].pending or 0) <= nonce:
            highest[sender] = max(nonce, highest.get(sender, 0))
    contents = pool_contents(asker, set(highest)) if highest else {}
    lowest: dict[str, int] = {}
    for sender, nonce in highest.items():
        counted = nonces[sender].pending
        start = nonces[sender].latest if counted is None else counted
        if sender in contents:
            wanted = range(start, min(nonce, start + _MOST_LISTED))
            missing = next((n for n in wanted if n not in contents[sender]), None)
        else:
            missing = _first_absent(asker, sender, range(start, min(nonce, start + _MOST_PROBES)), counted)
        if missing is not None:
            lowest[sender] = missing
    return {
        one.claim.txid: lowest[one.claim.sender]
        for one in waiting
        if lowest.get(one.claim.sender, one.claim.nonce) < one.claim.nonce
    }


def _first_absent(asker: Asker, sender: str, wanted: range, counted: int | None) -> int | None:
    """First of the ``wanted`` nonces that the node knows nothing of; what its pool ``counted`` if it cannot tell."""
    if not wanted:
        return None
    if not asker.offers(BY_NONCE):
        return counted
    answers = asker.batch([Call(BY_NONCE, (sender, hex(nonce))) for nonce in wanted])
    known = [asker.maybe(BY_NONCE, answer, LISTED) is not None for answer in answers]
    if any(isinstance(answer, RpcFault) for answer in answers):  # not the same as nothing there
        return counted
    return next((nonce for nonce, there in zip(wanted, known, strict=True) if not there), None)


# -- what the look says of them


def settle(look: Look, rows: list[Row]) -> None:
    """Say of ``rows``, which are in the node's pool, why they wait or what took their place. Raises `NodeFailed`."""
    waiting = _readable(look, rows)
    nonces = nonces_of(look.asker, {one.claim.sender for one in waiting})
    _settle_used(look, [one for one in waiting if one.claim.nonce < nonces[one.claim.sender].latest])
    waiting = [one for one in waiting if one.claim.nonce >= nonces[one.claim.sender].latest]
    if not waiting:
        return
    left = look.left_blocks([one.claim.txid for one in waiting])
    market = None if look.brief else market_of(look.asker)
    missing = {} if look.brief else missing_nonces(look.asker, waiting, nonces)
    for one in waiting:
        txid, sender, nonce = one.claim.txid, one.claim.sender, one.claim.nonce
        was_in = left.get(txid)
        if isinstance(was_in, NodeFailed):
            look.said[txid] = was_in
            continue
        try:
            status = _pending(one, missing.get(txid), market, was_in)
            report = look.report(txid, status, look.sighting(txid, status, None, sender, nonce))
            look.said[txid] = report if look.brief else replace(report, transfers=look.rules.ledger.intended(one.tx))
        except ValueError as error:
            look.malformed(txid, error)
    if look.explain:
        facts.add_waiting(look, [(one.claim, one.tx) for one in waiting], nonces, market)


def _readable(look: Look, rows: list[Row]) -> list[Waiting]:
    waiting = []
    for row in rows:
        try:
            if row.tx is not None:
                claim = Claim(row.txid, address(row.tx.sender), quantity(row.tx.nonce, NONCES))
                waiting.append(Waiting(claim, row.tx))
        except ValueError as error:
            look.malformed(row.txid, error)
    return waiting


def _settle_used(look: Look, waiting: list[Waiting]) -> None:
    """Some nodes keep a transaction in their pool for a while after another one has used its nonce."""
    replaced = look.replaced([one.claim for one in waiting])
    for one in waiting:
        status = replaced.get(one.claim.txid)
        if isinstance(status, NodeFailed):
            look.said[one.claim.txid] = status
        elif status is not None:
            txid, claim = one.claim.txid, one.claim
            look.said[txid] = look.report(txid, status, look.sighting(txid, status, None, claim.sender, claim.nonce))
