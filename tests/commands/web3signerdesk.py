"""A desk whose wallet is signed for by an HTTP server that speaks `eth_signTransaction`, honest or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cryptosupport.chains.evm.signing import address
from cryptosupport.outside.keyrings import set_password
from cryptosupport.outside.nodes import Anvil
from tests.commands.payingdesk import ETHER, HOT, KEY, Paydesk, write_settings
from tests.commands.withdrawkit import in_this_process
from tests.hostile import HostileNode, RpcError, honest

CAPS = '[hot.caps.ETH]\nper_transaction = "10"\nper_hour = "20"\n'
NUMBERS = ("chainId", "nonce", "value", "gas", "maxFeePerGas", "maxPriorityFeePerGas", "gasPrice")
TOKEN = "Bearer s3cr3t-of-the-signer"


def signed(transaction: Mapping[str, Any], key: str) -> bytes:
    """What eth_account makes of the transaction of an `eth_signTransaction`."""
    from eth_account import Account

    fields: dict[str, Any] = {name: int(transaction[name], 16) for name in NUMBERS if name in transaction}
    fields |= {"to": transaction["to"], "data": transaction["data"]}
    if "gasPrice" not in fields:
        fields["type"] = 2
    return bytes(Account.sign_transaction(fields, "0x" + key).raw_transaction)


class Web3Signer(HostileNode):
    """It has the key of the wallet, and of others. ``instead`` makes of a transaction what it signs with ``key``,
    ``answer_with`` of the bytes what it answers.
    """

    def __init__(self) -> None:
        super().__init__(self._told)
        self.honest_again()

    def honest_again(self) -> None:
        """From now on it signs what it is asked for."""
        self.key = KEY
        self.accounts: object = ["0x" + "12" * 20, HOT.lower()]
        self.instead: Callable[[dict[str, Any]], object] = lambda transaction: None
        self.answer_with: Callable[[bytes], object] = lambda raw: "0x" + raw.hex()
        self.always(honest)

    @property
    def asked_to_sign(self) -> list[dict[str, Any]]:
        """The transactions that it was asked to sign."""
        return [params[0] for method, params in self.calls if method == "eth_signTransaction"]

    def _told(self, method: str, params: list[Any]) -> object:
        if method == "eth_accounts":
            return self.accounts
        if method != "eth_signTransaction":
            return RpcError(-32601, "Method not found")
        transaction = dict(params[0])
        if transaction.pop("from").lower() != HOT.lower():
            return RpcError(-32000, "Signing from is not an unlocked account")
        self.instead(transaction)
        return self.answer_with(signed(transaction, self.key))


@dataclass
class Signed(Paydesk):
    """A desk that has no key, but ``signer``."""

    signer: Web3Signer = field(default_factory=Web3Signer)

    def sent(self) -> int:
        """How many transactions the wallet has sent, by the chain."""
        return int(self.node.rpc("eth_getTransactionCount", HOT, "pending"), 16)


@pytest.fixture
def signed_for(tmp_path: Path, anvil: Anvil, sealed: None) -> Iterator[Signed]:
    """A desk whose wallet is signed for elsewhere."""
    set_password("web3signer", TOKEN)
    with Web3Signer() as signer:
        configs = tmp_path / "configs"
        write_settings(configs, f'["{anvil.url}"]', signer=f"web3signer:{signer.url}")
        with (configs / "wallets.toml").open("a", encoding="utf-8") as file:
            file.write('signer_header = "keyring:web3signer"\n' + CAPS)
        anvil.rpc("anvil_setBalance", HOT, hex(100 * ETHER))
        yield Signed(in_this_process(tmp_path), tmp_path, anvil, signer)


OTHER_KEY = "2e" * 32
OTHER = address(OTHER_KEY)
