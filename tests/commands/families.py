"""A desk that pays, in the same words for every chain family: what tests of any payer need."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import bdkpython as bdk
import pytest

from cryptosupport.chains.evm.codec import to_checksum
from cryptosupport.outside.keyrings import password, set_password
from cryptosupport.outside.nodes import Anvil, Bitcoind, NodeError
from tests.commands import payingdesk
from tests.commands.bitcoindesk import descriptor, write_chain
from tests.commands.bitcoinlife import nobodys
from tests.commands.payingdesk import ETHER, HOT, KEY, by_hand, write_settings
from tests.commands.withdrawkit import in_this_process
from tests.conftest import Program

DESK = '[batch]\nage = "0s"\n[bump]\nresend = "1ms"\n'
COIN = 10**8
_numbers = count(1)
"""Of recipients, wallets and miners: no two are the same on one chain."""


class Coins(Protocol):
    """A chain with the hot wallet of one desk, as tests use it; whole coins are `unit` base units."""

    chain: str
    asset: str
    unit: int

    def recipient(self) -> str:
        """An address of nobody, that nothing was paid to."""

    def got(self, address: str) -> int:
        """What it has got in blocks, in base units."""

    def fund(self, whole: int) -> None:
        """Give the hot wallet so many coins, each an output of its own where there are outputs."""

    def mine(self, blocks: int) -> None:
        """Make blocks of what waits."""

    def finish(self) -> None:
        """Make what is in a block, and what waits, final."""

    def pooled(self) -> list[str]:
        """The ids of what waits."""

    def raw(self, txid: str) -> str:
        """The bytes of what the node has, in hexadecimal."""

    def give(self, raw: str) -> None:
        """Give a transaction to the node; raises `NodeError` where it does not take it."""

    def forget(self) -> None:
        """What waits is lost."""

    def mark(self) -> Callable[[], None]:
        """Remember this block: what is returned undoes all that came after it, and what waits is lost."""

    def conflict(self, txid: str) -> None:
        """Have a transaction of the same key, which this desk knows nothing of, in a block in the place of another."""


class Ether:
    """An anvil."""

    chain, asset, unit = "ethereum", "ETH", ETHER

    def __init__(self, node: Anvil, folder: Path) -> None:
        self.node = node
        set_password("hot", KEY)
        write_settings(folder / "configs", f'["{node.url}"]')
        self._held = 0

    def recipient(self) -> str:
        return to_checksum(f"0x{0xBE:020x}{next(_numbers):020x}")

    def got(self, address: str) -> int:
        return int(self.node.rpc("eth_getBalance", address, "latest"), 16)

    def fund(self, whole: int) -> None:
        self._held += whole
        self.node.rpc("anvil_setBalance", HOT, hex(self._held * ETHER))

    def mine(self, blocks: int) -> None:
        self.node.mine(blocks)

    def finish(self) -> None:
        self.node.mine(100)

    def pooled(self) -> list[str]:
        waiting = self.node.rpc("txpool_content")["pending"].values()
        return [each["hash"] for of_one in waiting for each in of_one.values()]

    def raw(self, txid: str) -> str:
        return str(self.node.rpc("eth_getRawTransactionByHash", txid))

    def give(self, raw: str) -> None:
        self.node.rpc("eth_sendRawTransaction", raw)

    def forget(self) -> None:
        self.node.rpc("anvil_dropAllTransactions")

    def mark(self) -> Callable[[], None]:
        moment = self.node.rpc("evm_snapshot")

        def undo() -> None:
            self.node.rpc("evm_revert", moment)
            self.forget()

        return undo

    def conflict(self, txid: str) -> None:
        nonce = int(self.node.rpc("eth_getTransactionByHash", txid)["nonce"], 16)
        self.forget()
        by_hand(self.node, nonce)
        self.node.mine(1)


class Satoshis:
    """A bitcoind that many desks share, each with a hot wallet of its own.

    What is undone more than ten blocks deep does not come back to the pool (Bitcoin Core's validation.cpp).
    """

    chain, asset, unit = "bitcoin", "BTC", COIN

    def __init__(self, node: Bitcoind, folder: Path) -> None:
        self.node = node
        self._entropy = next(_numbers).to_bytes(16, "big")
        if "hot" in node.rpc("listwallets"):
            node.rpc("unloadwallet", "hot")
            shutil.rmtree(node.folder / "regtest" / "wallets" / "hot")
        self.mine(1)  # what others left
        configs = folder / "configs"
        (configs / "chains").mkdir(parents=True)
        write_chain(configs, node)
        (configs / "wallets.toml").write_text(
            '[hot]\nchain = "bitcoin"\nrole = "hot"\nsigner = "keyring:hot"\nbirthday = 2020-01-01\n'
            f'descriptor = "{descriptor("wpkh", self._entropy)}"\n'
        )
        (configs / "policy.toml").write_text(payingdesk.POLICY.format(assets='["BTC"]'))
        set_password("hot", str(bdk.Mnemonic.from_entropy(self._entropy)))

    def recipient(self) -> str:
        return nobodys(10**6 + next(_numbers))

    def got(self, address: str) -> int:
        return round(self.node.rpc("scantxoutset", "start", [f"addr({address})"])["total_amount"] * COIN)

    def fund(self, whole: int) -> None:
        to = [self.node.rpc("getnewaddress", "", "bech32", wallet="hot") for _ in range(whole)]
        self.node.rpc("sendmany", "", dict.fromkeys(to, 1), wallet="miner")
        self.mine(3)

    def mine(self, blocks: int) -> None:
        self.node.mine(blocks, nobodys(10**6 + next(_numbers)))

    def finish(self) -> None:
        self.mine(3)

    def pooled(self) -> list[str]:
        return list(self.node.rpc("getrawmempool"))

    def raw(self, txid: str) -> str:
        return str(self.node.rpc("getrawtransaction", txid))

    def give(self, raw: str) -> None:
        self.node.rpc("sendrawtransaction", raw)

    def forget(self) -> None:
        self.mark()()

    def mark(self) -> Callable[[], None]:
        height = self.node.rpc("getblockcount")

        def undo() -> None:
            self.mine(12)
            self.node.rpc("invalidateblock", self.node.rpc("getblockhash", height + 1))
            assert (self.node.rpc("getblockcount"), self.pooled()) == (height, [])

        return undo

    def conflict(self, txid: str) -> None:
        spent = self.node.rpc("gettransaction", txid, True, True, wallet="hot")["decoded"]["vin"][0]
        self.forget()
        self.give(self._stolen({"txid": spent["txid"], "vout": spent["vout"]}))
        self.mine(1)

    def _stolen(self, coin: dict[str, Any]) -> str:
        """Whoever has the same keys spends a coin."""
        key = bdk.DescriptorSecretKey(bdk.NetworkKind.TEST, bdk.Mnemonic.from_entropy(self._entropy), None)
        branches = (bdk.KeychainKind.EXTERNAL, bdk.KeychainKind.INTERNAL)
        keys = [bdk.Descriptor.new_bip84(key, each, bdk.NetworkKind.TEST).to_string_with_secret() for each in branches]
        found = self.node.rpc("gettxout", coin["txid"], coin["vout"])
        outputs = {nobodys(10**6 + next(_numbers)): str(round(found["value"] * 99 / 100, 8))}
        raw = self.node.rpc("createpsbt", [coin], [outputs])
        asked = [{"desc": each, "range": 20} for each in keys]
        return str(self.node.rpc("descriptorprocesspsbt", raw, asked)["hex"])


@dataclass
class AnyDesk:
    """The program, its folder, and its chain; ``owed`` is by request id who is to get how much, in base units."""

    run: Program
    folder: Path
    coins: Coins
    owed: dict[str, tuple[str, int]] = field(default_factory=dict)

    def ask(self, name: str, tenths: int = 1) -> None:
        """A request that is allowed, of so many tenths of a coin, to a recipient of its own."""
        to = self.coins.recipient()
        facts = {"request_id": name, "customer": f"c-{name}", "asset": self.coins.asset, "chain": self.coins.chain}
        facts |= {"amount": f"{tenths // 10}.{tenths % 10}", "destination": to}
        done = self.run("withdraw", "submit", "--input", "-", stdin=json.dumps(facts) + "\n")
        assert done.exit_code == 0, done.stderr
        self.owed[name] = to, tenths * self.coins.unit // 10

    def pay(self, code: int = 0) -> dict[str, str]:
        """One pass, which ends with ``code``; the state of each withdrawal."""
        done = self.run("withdraw", "run", "-o", "jsonl")
        assert done.exit_code == code, (done.exit_code, done.stderr)
        listed = self.run("withdraw", "list", "-o", "jsonl").jsonl
        return {each["request_id"]: each["state"] for each in listed}

    def does(self, *arguments: str, code: int = 0) -> str:
        """A command of an operator; what it complained of."""
        done = self.run(*arguments, "--operator", "ops")
        assert done.exit_code == code, (done.exit_code, done.stderr)
        return done.stderr

    def keep_key(self) -> str:
        """Take the key of the wallet out of the keyring; the key."""
        key = password("hot")
        assert key is not None
        assert self.run("keys", "delete", "hot", "--force", "--yes").exit_code == 0
        return key

    def give_key(self, key: str) -> None:
        """Put it back."""
        set_password("hot", key)

    def attempts(self, name: str) -> list[str]:
        """The txids of all attempts of the only payment of a withdrawal."""
        (payout,) = self.run("withdraw", "explain", name, "--json").json["payouts"]
        return [each["txid"] for each in payout["attempts"]]

    def txid(self, name: str) -> str:
        """The transaction that it is recorded with."""
        return str(self.run("withdraw", "show", name, "--json").json["txid"])

    def ends_well(self, *cancelled: str) -> None:
        """Blocks come, and each is settled exactly once: paid, unless it is one of those that are ``cancelled``."""
        self.coins.finish()
        states = {name: "cancelled" if name in cancelled else "final" for name in self.owed}
        assert self.pay() == states
        assert self.run("withdraw", "run", "-o", "jsonl").jsonl == []
        for name, (to, units) in self.owed.items():
            assert self.coins.got(to) == (0 if name in cancelled else units), name
        for check in (("reconcile",), ("audit", "verify")):
            done = self.run(*check)
            assert done.exit_code == 0, (check, done.stdout, done.stderr)


FAMILIES: dict[str, Callable[[Any, Path], Coins]] = {"anvil": Ether, "bitcoind": Satoshis}


@pytest.fixture(params=sorted(FAMILIES))
def any_desk(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., AnyDesk]:
    """Open a desk of a family whose wallet holds so many whole ``coins``; blocks come when they are asked for."""

    def opened(coins: int = 5) -> AnyDesk:
        node = request.getfixturevalue(f"shared_{request.param}")
        made = FAMILIES[request.param](node, tmp_path)
        (tmp_path / "configs" / "desk.toml").write_text(DESK, encoding="utf-8")
        for path in (tmp_path / "configs").rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)
        desk = AnyDesk(in_this_process(tmp_path), tmp_path, made)
        if request.param == "bitcoind":
            assert desk.run("wallet", "import", "hot").exit_code == 0
        made.fund(coins)
        return desk

    return opened


__all__ = ["AnyDesk", "NodeError", "any_desk"]
