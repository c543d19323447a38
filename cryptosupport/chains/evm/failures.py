"""Why mined transactions failed: traced where the node can, else replayed on the state before their block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from cryptosupport.chains.evm.asking import Asker
from cryptosupport.chains.evm.revert import read_replay, read_trace
from cryptosupport.chains.evm.wire import TRACE, Receipt, Tx, quantity
from cryptosupport.domain.errors import NodeFailed
from cryptosupport.domain.transactions import Failure, FailureCode
from cryptosupport.transport import Call, RpcFault

TRACING = "debug_traceTransaction"
REPLAY = "eth_call"
_OPTIONS = {"tracer": "callTracer", "tracerConfig": {"onlyTopCall": True}}
_UNTOLD = Failure(FailureCode.UNKNOWN, None)
_AT_ONCE = 10  # the node executes a block's transactions again for each


@dataclass(frozen=True, slots=True)
class Refused:
    """A transaction that its receipt calls failed. ``height`` is its block's."""

    txid: str
    tx: Tx
    receipt: Receipt
    height: int


Ask: TypeAlias = Callable[[Asker, Sequence[Refused]], list[Failure | None]]


def why(asker: Asker, refused: Sequence[Refused]) -> dict[str, Failure]:
    """Say of each why it failed, as well as the node can tell; a node that fails at this costs the reason alone."""
    told = _in_turns(asker, TRACING, refused, _traced)
    untold = [one for one in refused if one.txid not in told]
    told |= _in_turns(asker, REPLAY, untold, _replayed)
    return {one.txid: told.get(one.txid) or _by_gas(one) for one in refused}


def _in_turns(asker: Asker, method: str, refused: Sequence[Refused], ask: Ask) -> dict[str, Failure]:
    told = {}
    for start in range(0, len(refused), _AT_ONCE):
        if not asker.offers(method):
            break
        some = refused[start : start + _AT_ONCE]
        try:
            found = ask(asker, some)
        except NodeFailed:  # slow or limited: what is known so far has to do
            break
        told.update({one.txid: failure for one, failure in zip(some, found, strict=True) if failure is not None})
    return told


def _traced(asker: Asker, refused: Sequence[Refused]) -> list[Failure | None]:
    answers = asker.batch([Call(TRACING, (one.txid, _OPTIONS)) for one in refused])
    traces = [asker.maybe(TRACING, answer, TRACE) for answer in answers]
    return [None if trace is None else read_trace(trace, asker.told) for trace in traces]


def _replayed(asker: Asker, refused: Sequence[Refused]) -> list[Failure | None]:
    answers = asker.batch([Call(REPLAY, (_as_call(one.tx), hex(max(one.height - 1, 0)))) for one in refused])
    # A replay that succeeds met another state: earlier transactions of the same block are missing from it.
    return [
        read_replay(answer.code, answer.message, answer.data, asker.told) if isinstance(answer, RpcFault) else None
        for answer in answers
    ]


def _as_call(tx: Tx) -> dict[str, str]:
    # Without a gas price: the sender's balance at that time may not cover it, and that error would hide the reason.
    call = {"from": tx.sender, "gas": tx.gas, "value": tx.value, "data": tx.input}
    return call if tx.to is None else {**call, "to": tx.to}


def _by_gas(one: Refused) -> Failure:
    """All gas used up means out of gas, probably, and the message says so: assertions of old compilers burn it all."""
    try:
        spent = quantity(one.receipt.gas_used) >= quantity(one.tx.gas)
    except ValueError:
        spent = False
    return Failure(FailureCode.OUT_OF_GAS, "probably: all of its gas was used") if spent else _UNTOLD
