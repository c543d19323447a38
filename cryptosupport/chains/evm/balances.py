"""What an address holds now, of the chain's coin or of a token (EIP-20)."""

from __future__ import annotations

import re

from cryptosupport.chains.evm import codec, reading
from cryptosupport.chains.evm.absent import out_of_step
from cryptosupport.chains.evm.asking import Answer, Asker
from cryptosupport.chains.evm.look import Rules
from cryptosupport.chains.evm.wire import QUANTITY, UINT256
from cryptosupport.domain.errors import BadInput, BadSettings, NodeFailed
from cryptosupport.transport import Call

BALANCE_OF = "0x70a08231"
"""The selector of balanceOf(address)."""
_WORD = re.compile(r"0x[0-9a-fA-F]{64}")


def own_address(wallet: str, text: str | None) -> str:
    """The normal form of a wallet's address. Raises `BadSettings` without one, and for what is none."""
    try:
        address = None if text is None else codec.parse_address(text)
    except BadInput as error:
        raise BadSettings(f"wallets.toml [{wallet}]: address: {error.message}") from error
    if address is None:
        raise BadSettings(f"wallets.toml [{wallet}]: give its EVM address, else nobody can say what it holds")
    return address.text


def balance(asker: Asker, rules: Rules, address: str, contract: str | None) -> int:
    """The base units that ``address`` holds in the latest block, of the token ``contract`` or of the coin.

    Raises `NodeFailed`: for a node that is behind too, as its latest block is an old one.
    """
    if contract is None:
        call = Call("eth_getBalance", (address, "latest"))
    else:
        data = BALANCE_OF + address[2:].lower().rjust(64, "0")
        call = Call("eth_call", ({"to": contract, "data": data}, "latest"))
    chain_id, answer = asker.batch([Call("eth_chainId"), call])
    reading.check_chain(asker, asker.number(chain_id), rules.chain_id)
    trouble = out_of_step(asker, rules)
    if trouble is not None:
        raise trouble
    return asker.number(answer, UINT256) if contract is None else word(asker, answer, contract)


def word(asker: Asker, answer: Answer, contract: str) -> int:
    """A token's answer: one number of 32 bytes; where no contract stands it is empty. Raises `NodeFailed`."""
    text = asker.need(answer, QUANTITY)
    if _WORD.fullmatch(text) is None:
        words = f"gives no balance of the token {contract}: it answers {asker.told(text) or 'nothing'}"
        raise NodeFailed(asker.name, "bad_answer", words)
    return int(text, 16)
