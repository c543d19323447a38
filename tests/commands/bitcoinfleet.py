"""The fleet of a desk with several wallets on one bitcoind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import bdkpython as bdk

from cryptosupport.chains.bitcoin.codec import address_of
from cryptosupport.outside.nodes import Bitcoind
from tests.commands.bitcoindesk import descriptor, write_chain
from tests.commands.fleet import Asked, Fleet
from tests.commands.payingdesk import POLICY

COIN = 10**8
ENTROPY = {f"hot-{number}": bytes([0x31 + number]) * 16 for number in range(2)}
WORDS = {name: str(bdk.Mnemonic.from_entropy(each)) for name, each in ENTROPY.items()}
KINDS = dict(zip(ENTROPY, ("wpkh", "tr"), strict=True))
COINS = 12
"""So many coins each wallet has in the beginning, of 1 BTC each."""
MODULES = (
    *("cryptosupport.chains.bitcoin.paying", "cryptosupport.chains.bitcoin.tools", "bitcoin.core", "bdkpython"),
    *("cryptosupport.chains.bitcoin.vanished", "cryptosupport.chains.bitcoin.keys"),
)


class BitcoinFleet(Fleet):
    """Wallets of two kinds on one bitcoind, which watches them."""

    node: Bitcoind

    @property
    def keys(self) -> dict[str, str]:
        return WORDS

    def write(self, configs: Path, signers: Mapping[str, str]) -> None:
        (configs / "chains").mkdir(parents=True)
        write_chain(configs, self.node)
        text = "".join(
            f'[{name}]\nchain = "bitcoin"\nrole = "hot"\nbirthday = 2020-01-01\nsigner = {signer}\n'
            f'descriptor = "{descriptor(KINDS[name], ENTROPY[name])}"\n'
            f'[{name}.caps.BTC]\nper_transaction = "10"\nper_hour = "99999"\n'
            for name, signer in signers.items()
        )
        (configs / "wallets.toml").write_text(text, encoding="utf-8")
        (configs / "policy.toml").write_text(POLICY.format(assets='["BTC"]'), encoding="utf-8")
        (configs / "desk.toml").write_text(f'[ledger]\nurl = "{self.url}"\n', encoding="utf-8")
        for path in configs.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)

    def fund(self) -> None:
        for module in MODULES:
            import_module(module)
        for name in ENTROPY:
            code, said = self.run("wallet", "import", name)
            assert code == 0, said
        node = self.node
        node.rpc("createwallet", "miner")
        node.mine(110, node.rpc("getnewaddress", wallet="miner"))
        for name in ENTROPY:
            kind = {"wpkh": "bech32", "tr": "bech32m"}[KINDS[name]]
            to = [node.rpc("getnewaddress", "", kind, wallet=name) for _ in range(COINS)]
            node.rpc("sendmany", "", dict.fromkeys(to, 1), wallet="miner")
        node.mine(3)
        node.rpc("unloadwallet", "miner")
        self._began = node.rpc("getblockcount")

    def moved(self, node: Bitcoind) -> None:
        """The node was started again, elsewhere."""
        self.node = node
        for configs in ("configs", "signer"):
            write_chain(self.folder / configs, node)

    def held(self, asked: Sequence[Asked]) -> list[int]:
        if not asked:
            return []
        wanted = [f"addr({each.recipient})" for each in asked]
        has: dict[str, int] = {}
        for each in self.node.rpc("scantxoutset", "start", wanted)["unspents"]:
            address = address_of(bytes.fromhex(each["scriptPubKey"]), "regtest") or ""
            has[address] = has.get(address, 0) + round(each["amount"] * COIN)
        return [has.get(each.recipient, 0) for each in asked]

    def sent(self) -> int:
        blocks = self.node.rpc("getblockcount") - self._began
        return int(self.node.rpc("getchaintxstats", blocks)["window_tx_count"]) - blocks

    def miscounted(self, asked: Sequence[Asked]) -> list[str]:
        """As many transactions as there are payments, and no coin that is kept for any."""
        listed = self.listed()
        payments = {each["txid"] for each in listed if each["state"] in ("final", "cancelled")}
        wrong = []
        if (sent := self.sent()) != len(payments):
            wrong.append(f"there are {len(payments)} payments, and the chain has {sent} transactions")
        for name in ENTROPY:
            if kept := self.node.rpc("listlockunspent", wallet=name):
                wrong.append(f"{name} keeps {kept} from being chosen, and nothing is under way")
        return wrong
