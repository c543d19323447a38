"""A desk that pays on Bitcoin: a real bitcoind that watches, and a mnemonic that a keyring of its own holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import bdkpython as bdk
import pytest

from cryptosupport.outside.keyrings import set_password
from cryptosupport.outside.nodes import Bitcoind, start_bitcoind
from tests.commands.payingdesk import sealed as sealed  # the fixture of both desks
from tests.commands.withdrawkit import in_this_process, jsonl
from tests.conftest import Program, chain_toml

ENTROPY = b"\x07" * 16
MNEMONIC = str(bdk.Mnemonic.from_entropy(ENTROPY))
POLICY = '[[rules]]\nname = "one"\nmatch = { asset = "BTC" }\nmax_amount = "10"\n'
KINDS = ("wpkh", "tr")


def descriptor(kind: str, entropy: bytes = ENTROPY) -> str:
    """The public descriptor of the mnemonic, of both branches."""
    key = bdk.DescriptorSecretKey(bdk.NetworkKind.TEST, bdk.Mnemonic.from_entropy(entropy), None)
    make = {"wpkh": bdk.Descriptor.new_bip84, "tr": bdk.Descriptor.new_bip86}[kind]
    external = str(make(key, bdk.KeychainKind.EXTERNAL, bdk.NetworkKind.TEST)).partition("#")[0]
    return external.replace("/0/*", "/<0;1>/*")


class Bitcoindesk:
    """The program, its folder, and its chain; ``owed`` is what each address is to get, in satoshis."""

    def __init__(self, run: Program, folder: Path, node: Bitcoind, restart: Callable[..., Bitcoind]) -> None:
        self.run, self.folder, self.node, self.restart = run, folder, node, restart
        self.owed: dict[str, int] = {}

    def fund(self, *coins: str) -> None:
        """Give the hot wallet coins that are deep enough to be spent."""
        for each in coins:
            to = self.node.rpc("getnewaddress", "", self.change_type, wallet="hot")
            self.node.rpc("sendtoaddress", to, each, wallet="miner")
        self.node.mine(3)

    @property
    def change_type(self) -> str:
        info: dict[str, Any] = self.node.rpc("listdescriptors", wallet="hot")
        return "bech32m" if info["descriptors"][0]["desc"].startswith("tr(") else "bech32"

    def submit(self, **amounts: str) -> None:
        """Requests that are allowed, each to a fresh address of somebody else."""
        fresh = {name: self.node.rpc("getnewaddress", "", "bech32", wallet="miner") for name in amounts}
        self.submit_to(**{name: (fresh[name], amount) for name, amount in amounts.items()})

    def submit_to(self, **asked: tuple[str, str]) -> None:
        """The same to these addresses: (address, amount) by request id."""
        lines = []
        for name, (to, amount) in asked.items():
            facts = {"request_id": name, "customer": f"c-{name}", "asset": "BTC", "chain": "bitcoin"}
            lines.append({**facts, "amount": amount, "destination": to})
        done = self.run("withdraw", "submit", "--input", "-", stdin=jsonl(*lines))
        assert done.exit_code == 0, done.stderr

    def pay(self, code: int = 0) -> dict[str, str]:
        """One pass; the states of all that it moved."""
        done = self.run("withdraw", "run", "-o", "jsonl")
        assert done.exit_code == code, (done.exit_code, done.stderr)
        return {each["request_id"]: each["state"] for each in done.jsonl}

    def resend_at_once(self) -> None:
        """What no node has is given to it again without waiting."""
        with (self.folder / "configs" / "desk.toml").open("a", encoding="utf-8") as file:
            file.write('[bump]\nresend = "1ms"\n')

    def forget(self, txid: str) -> None:
        """The node no longer has a transaction that waits: it was killed, and comes back without its pool."""
        self.node.rpc("gettxoutsetinfo")  # writes its blocks to the disk
        self.node.kill()
        self.node = self.restart("-persistmempool=0", "-walletbroadcast=0")
        write_chain(self.folder / "configs", self.node)
        for wallet in ("miner", "hot"):
            if wallet not in self.node.rpc("listwallets"):
                self.node.rpc("loadwallet", wallet)
        assert txid not in self.node.rpc("getrawmempool")

    def steal(self) -> str:
        """Somebody with the same keys spends the first coin of the wallet; the id of that."""
        key = bdk.DescriptorSecretKey(bdk.NetworkKind.TEST, bdk.Mnemonic.from_entropy(ENTROPY), None)
        make = bdk.Descriptor.new_bip84 if self.change_type == "bech32" else bdk.Descriptor.new_bip86
        branches = [
            make(key, each, bdk.NetworkKind.TEST) for each in (bdk.KeychainKind.EXTERNAL, bdk.KeychainKind.INTERNAL)
        ]
        thief = f"thief-{len(self.node.rpc('listwalletdir')['wallets'])}"  # may come again
        self.node.rpc("createwallet", thief, False, True)
        asked = [
            {"desc": each.to_string_with_secret(), "active": True, "internal": place == 1, "timestamp": 0}
            for place, each in enumerate(branches)
        ]
        assert all(done["success"] for done in self.node.rpc("importdescriptors", asked, wallet=thief))
        to = self.node.rpc("getnewaddress", "", "bech32", wallet="miner")
        options = {"fee_rate": 20, "add_to_wallet": False}
        made = self.node.rpc("send", [{to: 0.5}], None, "unset", None, options, wallet=thief)
        self.node.rpc("unloadwallet", thief)
        txid: str = self.node.rpc("sendrawtransaction", made["hex"])
        return txid

    def show(self, name: str) -> dict[str, Any]:
        """A withdrawal."""
        found: dict[str, Any] = self.run("withdraw", "show", name, "--json").json
        return found

    def got(self, address: str) -> int:
        """What an address has received in blocks, in satoshis."""
        return round(self.node.rpc("getreceivedbyaddress", address, 1, wallet="miner") * 10**8)


@pytest.fixture
def open_bitcoindesk(tmp_path: Path, bitcoind: Bitcoind) -> Iterator[Callable[..., Bitcoindesk]]:
    """Open a desk whose hot wallet is of a ``kind``, with coins; ``batch`` is the section of desk.toml."""
    nodes = ExitStack()

    def restart(*options: str) -> Bitcoind:
        return nodes.enter_context(start_bitcoind(*options, folder=bitcoind.folder))

    def opened(kind: str = "wpkh", coins: tuple[str, ...] = ("1", "1"), batch: str = 'age = "0s"') -> Bitcoindesk:
        folder = tmp_path / "configs"
        (folder / "chains").mkdir(parents=True)
        write_chain(folder, bitcoind)
        wallet = f'[hot]\nchain = "bitcoin"\nrole = "hot"\nsigner = "keyring:hot"\ndescriptor = "{descriptor(kind)}"\n'
        (folder / "wallets.toml").write_text(wallet + "birthday = 2020-01-01\n")
        (folder / "policy.toml").write_text(POLICY)
        (folder / "desk.toml").write_text(f"[batch]\n{batch}\n")
        for path in folder.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)
        set_password("hot", MNEMONIC)
        desk = Bitcoindesk(in_this_process(tmp_path), tmp_path, bitcoind, restart)
        done = desk.run("wallet", "import", "hot", "--json")
        assert done.exit_code == 0, done.stderr
        desk.fund(*coins)
        return desk

    with nodes:
        yield opened


def write_chain(folder: Path, node: Bitcoind) -> None:
    """chains/bitcoin.toml for a node, with caps on fees."""
    fees = '[fees]\nmax_fee = "0.01 BTC"\nmax_feerate = "100 sat/vB"\n'
    path = folder / "chains" / "bitcoin.toml"
    path.write_text(chain_toml(node, {}) + fees, encoding="utf-8")
    path.chmod(0o600)
