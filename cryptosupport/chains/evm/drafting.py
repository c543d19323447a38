"""Trying payments out before anything is signed: what they take, and why they must not be made.

A token is asked whether its issuer has frozen us or the recipient, its transfer is called, and, where the node has
eth_simulateV1, the balances before and after are compared, so that a token that takes a fee on transfers is found.
Where the node lacks it, such a token is found by its log, once it is mined (`outcome`); one that hides its fee in the
log too stays unseen. Sources: EIP-20; the contracts of USDT (isBlackListed, no return value) and USDC (isBlacklisted)
on Ethereum; OpenZeppelin's SafeERC20 (what a return value means); the execution API specification (eth_simulateV1).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from cryptosupport.chains.evm.account import Account
from cryptosupport.chains.evm.asking import Answer, Asker
from cryptosupport.chains.evm.codec import parse_address
from cryptosupport.chains.evm.fees import PLAIN_GAS, roomy
from cryptosupport.chains.evm.reading import check_chain
from cryptosupport.chains.evm.revert import read_replay
from cryptosupport.chains.evm.transfers import transfer_call
from cryptosupport.chains.evm.wire import QUANTITY, UINT256, quantity
from cryptosupport.domain.errors import BadInput, NodeFailed
from cryptosupport.domain.paying import Payment, Unpayable
from cryptosupport.domain.transactions import Failure
from cryptosupport.transport import Call, RpcFault

SIMULATE = "eth_simulateV1"
_AT_ONCE = 12  # payments in one batch, of at most seven calls each
_MOST_GAS = 10_000_000  # what needs more is no payment, and a recipient's code must not keep the node busy
_NOTHING = Call("eth_call", ({"to": "0x" + "0" * 40}, "latest"))  # what succeeds wherever anything does
_SIMULATED_CALLS = 5
_BALANCE_OF = "0x70a08231"
_BLACKLISTS = ("0xe47d6060", "0xfe575a87")  # isBlackListed(address), isBlacklisted(address)
_TRUE = f"0x{1:064x}"
_ZERO = re.compile(r"0x0*")
_POOR = re.compile(r"(?i)insufficient (?:funds|balance)")
_NOT_NOW = re.compile(r"(?i)time.?out|timed out|limit|busy|header|state|block|sync|trie|unavailable")


class _SimulatedCall(msgspec.Struct, gc=False, rename="camel"):
    status: str
    return_data: str = "0x"


class _SimulatedBlock(msgspec.Struct, gc=False):
    calls: list[_SimulatedCall]


_SIMULATED = msgspec.json.Decoder(list[_SimulatedBlock])


@dataclass(frozen=True, slots=True)
class Poor:
    """The node says that we do not hold enough for it."""


def forbidden(account: Account, payment: Payment) -> Unpayable | None:
    """Why a payment must not be made, whatever a node says of it."""
    try:
        address = parse_address(payment.destination)
    except BadInput as error:
        return Unpayable(f"the destination is no address: {error.message}")
    if address is None or address.text != payment.destination:
        return Unpayable("the destination is no EVM address in its normal form")
    if address.burn:
        return Unpayable(f"nobody holds a key for {address.text}: what is paid there is lost")
    if address.text == account.address:
        return Unpayable("the destination is the wallet that pays")
    if address.text.lower() in account.tokens:
        return Unpayable("the destination is a token's contract: what is paid there is lost")
    contract = payment.asset.contract
    if contract is not None and contract.lower() == address.text.lower():
        return Unpayable("the destination is the token's own contract: what is paid there is lost")
    if contract is None and payment.asset != account.coin:
        return Unpayable(f"{payment.asset.symbol} has no contract, and the coin is {account.coin.symbol}")
    if payment.base_units <= 0:
        return Unpayable("there is nothing to pay")
    return None


def target(payment: Payment) -> tuple[str, int, bytes]:
    """Whom the transaction of a payment calls, with how many wei and which data."""
    if payment.asset.contract is None:
        return payment.destination, payment.base_units, b""
    return payment.asset.contract, 0, transfer_call(payment.destination, payment.base_units)


def tried(account: Account, asker: Asker, payments: Sequence[Payment]) -> list[int | Unpayable | Poor]:
    """The gas limit that each payment needs, by one node, or why it would fail.

    What goes wrong with one payment is told of that one alone: its recipient may have meant to hold up all the others.
    Raises `NodeFailed` where the node cannot try out anything.
    """
    if not asker.state.right_chain:
        (chain_id,) = asker.batch([Call("eth_chainId")])
        check_chain(asker, asker.number(chain_id), account.chain_id)
    found: list[int | Unpayable | Poor] = []
    for start in range(0, len(payments), _AT_ONCE):
        some = payments[start : start + _AT_ONCE]
        judged = _called(account, asker, some)
        places = [
            place
            for place, payment in enumerate(some)
            if payment.asset.contract is not None and isinstance(judged[place], int)
        ]
        wrong = _simulated(account, asker, [some[place] for place in places])
        found += [*judged]
        for place, refusal in zip(places, wrong, strict=True):
            if refusal is not None:
                found[start + place] = refusal
    return found


def _called(account: Account, asker: Asker, payments: Sequence[Payment]) -> list[int | Unpayable | Poor]:
    calls = [_calls(account, payment) for payment in payments]
    healthy, *answers = asker.batch([_NOTHING, *(call for each in calls for call in each)])
    asker.need(healthy, QUANTITY)
    judged = []
    at = 0
    for payment, each in zip(payments, calls, strict=True):
        judged.append(_judged(asker, payment, answers[at : at + len(each)]))
        at += len(each)
    return judged


def _calls(account: Account, payment: Payment) -> list[Call]:
    to, value, data = target(payment)
    call = {"from": account.address, "to": to, "value": hex(value), "data": "0x" + data.hex(), "gas": hex(_MOST_GAS)}
    calls = [
        Call("eth_getCode", (to, "latest")),
        Call("eth_call", (call, "latest")),
        Call("eth_estimateGas", (call,)),
    ]
    if payment.asset.contract is not None:
        for selector in _BLACKLISTS:
            for whom in (payment.destination, account.address):
                calls.append(Call("eth_call", ({"to": to, "data": _asking(selector, whom)}, "latest")))
    return calls


def _judged(asker: Asker, payment: Payment, answers: Sequence[Answer]) -> int | Unpayable | Poor:
    """What the answers to `_calls` say."""
    code, called, estimated, *lists = answers
    try:
        plain = _ZERO.fullmatch(asker.need(code, QUANTITY)) is not None
        if payment.asset.contract is not None:
            if plain:
                return Unpayable(f"no contract stands at {payment.asset.contract}")
            for number, answer in enumerate(lists):
                if _is_listed(asker, answer):
                    whom = payment.destination if number % 2 == 0 else "the wallet that pays"
                    return Unpayable(f"the issuer of {payment.asset.symbol} has frozen {whom}")
        for answer in (called, estimated):
            if isinstance(answer, RpcFault):
                return _failed(asker, answer)
        returned = asker.need(called, QUANTITY)
        if payment.asset.contract is not None and returned not in ("0x", _TRUE):
            return Unpayable(f"{payment.asset.symbol} refuses the transfer: it answers {asker.told(returned[:80])}")
        gas = asker.number(estimated)
    except NodeFailed as failure:
        return Unpayable(f"it cannot be tried out: {failure.message}")
    return gas if plain and gas == PLAIN_GAS else roomy(gas)


def _failed(asker: Asker, fault: RpcFault) -> Unpayable | Poor:
    """Why a call failed."""
    failure = read_replay(fault.code, fault.message, fault.data, asker.told)
    if failure is not None:
        return Unpayable(f"it would fail: {_told(failure)}")
    if _POOR.search(fault.message):
        return Poor()
    return Unpayable(f"it cannot be tried out: {asker.refusal(fault).message}")


def _told(failure: Failure) -> str:
    return f"{failure.code.value}, {failure.message}" if failure.message else failure.code.value


def _is_listed(asker: Asker, answer: Answer) -> bool:
    """Whether a token says that it has frozen an address; one that has no such function says nothing, or reverts.

    Raises `NodeFailed` where it could not be asked.
    """
    if isinstance(answer, RpcFault):
        if read_replay(answer.code, answer.message, answer.data) is None and _NOT_NOW.search(answer.message):
            raise asker.refusal(answer)
        return False
    return _ZERO.fullmatch(asker.need(answer, QUANTITY)) is None


def _simulated(account: Account, asker: Asker, payments: Sequence[Payment]) -> list[Unpayable | None]:
    """Why each transfer would not move exactly what it is to, where the node simulates. Raises `NodeFailed`."""
    if not asker.offers(SIMULATE):
        return [None] * len(payments)
    answers = asker.batch([_simulation(account, payment) for payment in payments])
    return [
        _compared(payment, asker.maybe(SIMULATE, answer, _SIMULATED))
        for payment, answer in zip(payments, answers, strict=True)
    ]


def _simulation(account: Account, payment: Payment) -> Call:
    """The balances of recipient and wallet before a transfer, the transfer, and both balances after it."""
    contract, _, data = target(payment)
    own = account.address
    asked = [{"from": own, "to": contract, "data": _asking(_BALANCE_OF, whom)} for whom in (payment.destination, own)]
    calls = [*asked, {"from": own, "to": contract, "data": "0x" + data.hex()}, *asked]
    return Call(SIMULATE, ({"blockStateCalls": [{"calls": calls}]}, "latest"))


def _compared(payment: Payment, blocks: Sequence[_SimulatedBlock] | None) -> Unpayable | None:
    if not blocks or len(blocks[0].calls) != _SIMULATED_CALLS:
        return None
    made = blocks[0].calls
    if made[2].status != "0x1":
        return Unpayable("it would fail: the transfer fails when it is simulated")
    try:
        before, own_before, _, after, own_after = (_number(each) for each in made)
    except ValueError:
        return None  # no balance that could be compared
    received, given = after - before, own_before - own_after
    if received == given == payment.base_units:
        return None
    words = f"of {payment.base_units} base units, {received} would arrive and {given} leave"
    return Unpayable(f"{payment.asset.symbol} takes a fee on transfers, or counts in a way of its own: {words}")


def _number(call: _SimulatedCall) -> int:
    return quantity(call.return_data[:66], UINT256) if len(call.return_data) > 2 else 0


def _asking(selector: str, address: str) -> str:
    return selector + address[2:].lower().rjust(64, "0")
