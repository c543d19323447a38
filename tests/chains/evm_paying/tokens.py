"""Tokens written in bytes: a small assembler, and EIP-20 as honest and as odd tokens do it.

Balances stand in storage under the holder's address; who is frozen under the address with bit 200 set.
"""

from __future__ import annotations

from cryptosupport.outside.nodes import Anvil
from tests.chains.evmkit import TRANSFER, words

Part = str | int | bytes

_OPCODES = {
    "STOP": 0x00,
    "ADD": 0x01,
    "MUL": 0x02,
    "SUB": 0x03,
    "DIV": 0x04,
    "LT": 0x10,
    "EQ": 0x14,
    "ISZERO": 0x15,
    "OR": 0x17,
    "SHR": 0x1C,
    "CALLER": 0x33,
    "CALLDATALOAD": 0x35,
    "MSTORE": 0x52,
    "SLOAD": 0x54,
    "SSTORE": 0x55,
    "JUMPI": 0x57,
    "DUP1": 0x80,
    "DUP2": 0x81,
    "SWAP1": 0x90,
    "LOG3": 0xA3,
    "RETURN": 0xF3,
    "REVERT": 0xFD,
}
_JUMPDEST, _PUSH0, _PUSH1, _PUSH2 = 0x5B, 0x5F, 0x60, 0x61


def assemble(*parts: Part) -> str:
    """Code in hex: opcodes by name, numbers and bytes to be pushed, ":label" to be jumped to, "@label" its place."""
    places: dict[str, int] = {}
    for _ in range(2):  # places are known after the first pass
        code = bytearray()
        for part in parts:
            if isinstance(part, bytes):
                code += bytes([_PUSH0 + len(part)]) + part
            elif isinstance(part, int):
                raw = part.to_bytes((part.bit_length() + 7) // 8, "big")
                code += bytes([_PUSH0 + len(raw)]) + raw
            elif part.startswith(":"):
                places[part[1:]] = len(code)
                code.append(_JUMPDEST)
            elif part.startswith("@"):
                code += bytes([_PUSH2]) + places.get(part[1:], 0).to_bytes(2, "big")
            else:
                code.append(_OPCODES[part])
    return code.hex()


_ANSWER: tuple[Part, ...] = (0, "MSTORE", 32, 0, "RETURN")
_TRUE: tuple[Part, ...] = (1, *_ANSWER)
_FROZEN = 1 << 200


def token(
    *, answer: tuple[Part, ...] = _TRUE, fee_percent: int = 0, hidden: bool = False, logs: bool = True, frozen: str = ""
) -> str:
    """The code of a token that answers ``answer`` to a transfer.

    ``fee_percent`` of what is sent is lost on the way; ``hidden``: its log does not tell. ``frozen`` is the selector by
    which it tells whom its issuer has frozen, who cannot send or receive.
    """
    questions: list[Part] = [0, "CALLDATALOAD", 224, "SHR"]
    for selector, label in (("70a08231", "balance"), ("a9059cbb", "transfer"), (frozen, "frozen")):
        if selector:
            questions += ["DUP1", bytes.fromhex(selector), "EQ", f"@{label}", "JUMPI"]
    questions += [0, 0, "REVERT"]
    balance: list[Part] = [":balance", 4, "CALLDATALOAD", "SLOAD", *_ANSWER]
    asked: list[Part] = [":frozen", 4, "CALLDATALOAD", _FROZEN, "OR", "SLOAD", *_ANSWER]
    received: list[Part] = [36, "CALLDATALOAD"]
    received += [100 - fee_percent, "MUL", 100, "SWAP1", "DIV"] if fee_percent else []
    checks: list[Part] = [36, "CALLDATALOAD", "CALLER", "SLOAD", "LT", "@refuse", "JUMPI"]
    if frozen:
        checks += [4, "CALLDATALOAD", _FROZEN, "OR", "SLOAD", "@refuse", "JUMPI"]
        checks += ["CALLER", _FROZEN, "OR", "SLOAD", "@refuse", "JUMPI"]
    moves: list[Part] = [36, "CALLDATALOAD", "CALLER", "SLOAD", "SUB", "CALLER", "SSTORE"]
    moves += [*received, 4, "CALLDATALOAD", "SLOAD", "ADD", 4, "CALLDATALOAD", "SSTORE"]
    told = [36, "CALLDATALOAD"] if hidden else received
    tells: list[Part] = [*told, 0, "MSTORE", 4, "CALLDATALOAD", "CALLER", bytes.fromhex(TRANSFER), 32, 0, "LOG3"]
    transfer = [":transfer", *checks, *moves, *(tells if logs else []), *answer]
    return assemble(*questions, *balance, *(asked if frozen else []), *transfer, ":refuse", 0, 0, "REVERT")


HONEST = token()
SILENT = token(answer=("STOP",))
"""A token that returns nothing, as USDT on Ethereum does."""
FALSE = token(answer=(0, *_ANSWER), logs=False)
"""A token that answers false and goes on (it moves the money all the same, which nobody can see)."""
TAKES_FEES = token(fee_percent=1)
TAKES_FEES_IN_SILENCE = token(fee_percent=1, hidden=True)
LISTS_LIKE_USDT = token(answer=("STOP",), frozen="e47d6060")
LISTS_LIKE_USDC = token(frozen="fe575a87")
UNLOGGED = token(logs=False)


def place(anvil: Anvil, contract: str, code: str, **held: int) -> None:
    """Put ``code`` at ``contract``; ``held`` is what addresses hold, by address."""
    anvil.rpc("anvil_setCode", contract, "0x" + code)
    for holder, amount in held.items():
        anvil.rpc("anvil_setStorageAt", contract, "0x" + words(holder), "0x" + words(amount))


def freeze(anvil: Anvil, contract: str, address: str) -> None:
    """Freeze ``address`` as the token's issuer."""
    slot = int(address, 16) | _FROZEN
    anvil.rpc("anvil_setStorageAt", contract, "0x" + words(slot), "0x" + words(1))
