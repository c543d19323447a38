"""Why a contract refused: revert data, traces and replays in plain words. Pure: ``tell`` makes what others wrote fit to
be shown.

Sources: the Solidity documentation ("Error handling: Assert, Require, Revert and Exceptions", "Contract ABI
Specification") for Error(string), Panic(uint256) and its codes; OpenZeppelin Contracts 5 for the custom errors of the
table (a test recomputes every selector).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from cryptosupport.chains.evm.text import plain
from cryptosupport.chains.evm.wire import Trace, address
from cryptosupport.domain.transactions import Failure, FailureCode

Tell: TypeAlias = Callable[[str], str]

_ERROR = "08c379a0"
_PANIC = "4e487b71"
_WORD = 64

PANICS = {
    0x00: "generic failure inserted by the compiler",
    0x01: "assertion failed",
    0x11: "arithmetic overflow or underflow",
    0x12: "division or modulo by zero",
    0x21: "number too big or negative for an enum",
    0x22: "badly encoded byte array in storage",
    0x31: "pop from an empty array",
    0x32: "array index out of bounds",
    0x41: "too much memory or too large an array",
    0x51: "call of an unset internal function",
}

CUSTOM_ERRORS = {
    "e450d38c": "ERC20InsufficientBalance(address,uint256,uint256)",
    "96c6fd1e": "ERC20InvalidSender(address)",
    "ec442f05": "ERC20InvalidReceiver(address)",
    "fb8f41b2": "ERC20InsufficientAllowance(address,uint256,uint256)",
    "e602df05": "ERC20InvalidApprover(address)",
    "94280d62": "ERC20InvalidSpender(address)",
    "118cdaa7": "OwnableUnauthorizedAccount(address)",
    "e2517d3f": "AccessControlUnauthorizedAccount(address,bytes32)",
    "d93c0665": "EnforcedPause()",
    "8dfc202b": "ExpectedPause()",
    "3ee5aeb5": "ReentrancyGuardReentrantCall()",
    "5274afe7": "SafeERC20FailedOperation(address)",
    "d6bda275": "FailedCall()",
    "cf479181": "InsufficientBalance(uint256,uint256)",
    "9996b315": "AddressEmptyCode(address)",
}

_HEX = re.compile(r"0x((?:[0-9a-fA-F]{2})*)")
_DATA = re.compile(r"(?:Reverted )?(0x(?:[0-9a-fA-F]{2})+)")
_REVERTED = re.compile(r"(?i)^.{0,60}?\b(?:execution reverted|reverted|revert)\b:?\s*(?:reason:?\s*)?(.*)$", re.DOTALL)
_OUT_OF_GAS = re.compile(r"(?i)out.?of.?gas")
# What burns all gas and is not out of it: 0xfe, which old compilers assert with (geth, Nethermind; anvil; Parity).
_INVALID = re.compile(r"(?i)invalid.?opcode|InvalidFEOpcode|bad.?instruction")


def read_data(data: str, replayed: bool = False, tell: Tell = plain) -> Failure | None:
    """What revert data says (0x and hex), or None when it holds nothing.

    >>> read_data("0x4e487b71" + "12".rjust(64, "0")).message
    'division or modulo by zero, panic 0x12'
    """
    match = _HEX.fullmatch(data)
    if match is None or len(match[1]) < 8:
        return None
    selector, words = match[1][:8].lower(), match[1][8:].lower()
    if selector == _ERROR:
        return Failure(FailureCode.REVERTED, _string(words, tell), replayed)
    if selector == _PANIC and len(words) == _WORD:
        code = int(words, 16)
        meaning = PANICS.get(code, "of an unknown kind")
        return Failure(FailureCode.PANIC, tell(f"{meaning}, panic 0x{code:02x}"), replayed)
    return Failure(FailureCode.CUSTOM_ERROR, _custom(selector, words), replayed)


def read_trace(trace: Trace, tell: Tell = plain) -> Failure | None:
    """What the outermost call of a trace says, or None when it tells of no failure."""
    error = trace.error or ""
    if _OUT_OF_GAS.search(error):
        return Failure(FailureCode.OUT_OF_GAS, None)
    reverted = _REVERTED.match(error)
    if trace.output and (reverted or not error):
        told = read_data(trace.output, tell=tell)
        if told is not None:
            return told
    if trace.revert_reason:
        return Failure(FailureCode.REVERTED, tell(trace.revert_reason) or None)
    if reverted:
        return Failure(FailureCode.REVERTED, tell(reverted[1]) or None)
    return Failure(FailureCode.UNKNOWN, tell(error) or None) if error else None


def read_replay(code: int, message: str, data: object, tell: Tell = plain) -> Failure | None:
    """What the error of a replay by eth_call says; None when it is about the node and not about the contract.

    Error code 3 means a revert in geth. The data stands in ``data`` itself, inside an object there, or after "Reverted
    " (Parity).
    """
    reverted = _REVERTED.match(message)
    text = data if isinstance(data, str) else _within(data)
    found = _DATA.fullmatch(text) if isinstance(text, str) else None
    if found is not None and (reverted or code == 3 or found[0] != found[1]):
        told = read_data(found[1], True, tell)
        if told is not None:
            return told
    if _OUT_OF_GAS.search(message):
        return Failure(FailureCode.OUT_OF_GAS, None, replayed=True)
    if _INVALID.search(message):
        return Failure(FailureCode.UNKNOWN, tell(message) or None, replayed=True)
    if reverted is not None:
        return Failure(FailureCode.REVERTED, tell(reverted[1]) or None, replayed=True)
    if code == 3:
        return Failure(FailureCode.REVERTED, tell(message) or None, replayed=True)
    return None


def _within(data: object) -> object:
    if isinstance(data, dict):
        for key in ("data", "output", "result"):
            if isinstance(data.get(key), str):
                return data[key]
    return None


def _string(words: str, tell: Tell) -> str | None:
    """The one string that ABI-encoded ``words`` hold; None when it is empty or the encoding is broken."""
    raw = bytes.fromhex(words)
    start = int.from_bytes(raw[:32], "big")
    length = int.from_bytes(raw[start : start + 32], "big") if start + 32 <= len(raw) else 0
    return tell(raw[start + 32 : start + 32 + min(length, 10_000)].decode("utf-8", "replace")) or None


def _custom(selector: str, words: str) -> str:
    """A custom error as text: its name and arguments where it is known, else its selector and raw arguments."""
    signature = CUSTOM_ERRORS.get(selector)
    if signature is not None:
        name, _, kinds = signature.rstrip(")").partition("(")
        wanted = kinds.split(",") if kinds else []
        if len(words) == _WORD * len(wanted):
            values = [words[start : start + _WORD] for start in range(0, len(words), _WORD)]
            return f"{name}({', '.join(map(_argument, wanted, values))})"
    shown = words if len(words) <= 2 * _WORD else words[: 2 * _WORD] + "…"
    return f"0x{selector} {shown}".rstrip()


def _argument(kind: str, word: str) -> str:
    if kind == "address":
        return address("0x" + word[24:])
    return str(int(word, 16)) if kind.startswith("uint") else "0x" + word
