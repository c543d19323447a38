"""A Bitcoin chain as the desk asks it, with its memory, and coins to do things with."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from cryptosupport.chains.bitcoin import open_chain
from cryptosupport.domain.money import Asset
from cryptosupport.domain.ports import Chain
from cryptosupport.domain.transactions import Detail, Sighting, TxReport
from cryptosupport.ledger.sightings import Sightings
from cryptosupport.outside.nodes import Bitcoind
from cryptosupport.settings import AssetSettings, ChainSettings, Endpoint
from cryptosupport.transport import open_nodes

BTC = Asset("BTC", 8)
FOREIGN = "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202"
"""Nobody's address."""
ELSEWHERE = "bcrt1qqyqszqgpqyqszqgpqyqszqgpqyqszqgpvxat9t"
"""Nobody's either; blocks that pay it differ from blocks that pay nobody, so that a chain can fork within a second."""
COIN = Decimal("0.01")

Coin = tuple[str, int]


class Clock:
    """The machine's time, except that no test waits; ``ahead`` moves it."""

    def __init__(self) -> None:
        self.ahead, self.ends_at = 0.0, math.inf

    def now(self) -> int:
        return int(time.time() + self.ahead)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def sleep(self, seconds: float) -> None:
        self.ahead += seconds


def endpoint(node: Bitcoind, **settings: Any) -> Endpoint:
    """A bitcoind as an endpoint that is our own."""
    login = {} if "cookie_file" in settings else {"rpc_user": node.user, "rpc_password": node.password}
    return Endpoint(**{"url": node.url, "own": True, **login, **settings})


def chain_settings(*endpoints: Endpoint, **settings: Any) -> ChainSettings:
    """A regtest chain of three confirmations."""
    table: dict[str, Any] = {
        "family": "bitcoin",
        "name": "bitcoin",
        "network": "regtest",
        "endpoints": endpoints,
        "assets": {"BTC": AssetSettings(decimals=8)},
    }
    return ChainSettings(**{**table, **settings})


def chain_over(*endpoints: Endpoint, clock: Any = None, **settings: Any) -> Chain:
    """A chain over ``endpoints``."""
    clock = clock or Clock()
    made = chain_settings(*endpoints, **settings)
    nodes = open_nodes(made, clock)
    chain = open_chain(made, nodes, clock)
    weakref.finalize(chain, nodes.close)
    return chain


class Desk:
    """Looks things up and remembers them, as the program does."""

    def __init__(self, chain: Chain, folder: Path) -> None:
        self.chain = chain
        self.memory = Sightings(folder / "sightings.db", _refuse)

    def look(self, txid: str, detail: Detail = Detail.FULL) -> TxReport:
        """One look at one transaction."""
        return self.look_at([txid], detail)[0]

    def look_at(self, txids: list[str], detail: Detail = Detail.FULL) -> list[TxReport]:
        """One look at many."""
        reports = self.chain.look_up(txids, detail, self.memory.recall(self.chain.name, txids))
        self.memory.remember([report.remember for report in reports if report.remember is not None])
        return reports

    def recall(self, txid: str) -> Sighting:
        """What is remembered of one."""
        return self.memory.recall(self.chain.name, [txid])[txid]


def _refuse(warning: str) -> None:
    raise AssertionError(warning)


class Purse:
    """Confirmed coins of the wallet "miner", 0.01 BTC each, and raw transactions made of them."""

    def __init__(self, node: Bitcoind, coins: int) -> None:
        self.node = node
        addresses = [node.rpc("getnewaddress", "", "bech32", wallet="miner") for _ in range(coins)]
        funding = node.rpc("sendmany", "", dict.fromkeys(addresses, str(COIN)), wallet="miner")
        self.coins: list[Coin] = []
        self.add(funding)
        node.mine(1)

    @classmethod
    def of(cls, node: Bitcoind, funding: str) -> Purse:
        """The coins of 0.01 BTC that ``funding``, still in the mempool, pays the wallet."""
        purse = cls.__new__(cls)
        purse.node, purse.coins = node, []
        purse.add(funding)
        return purse

    def add(self, funding: str) -> None:
        """Take in the coins of 0.01 BTC that ``funding`` made."""
        outputs = self.node.rpc("getrawtransaction", funding, 1)["vout"]
        self.coins += [(funding, out["n"]) for out in outputs if out["value"] == COIN]

    def coin(self) -> Coin:
        """A coin that nothing else uses."""
        return self.coins.pop()

    def signed(
        self,
        coins: Iterable[Coin],
        to: dict[str, Decimal | str] | str = FOREIGN,
        fee: int = 1000,
        locktime: int = 0,
        worth: Decimal = COIN,
        sequence: int | None = None,
    ) -> str:
        """A signed transaction in hex.

        ``coins`` of ``worth`` each to one address less ``fee`` satoshis, or to ``to``.
        """
        spent = list(coins)
        if isinstance(to, str):
            to = {to: len(spent) * worth - Decimal(fee) / 10**8}
        inputs = [
            {"txid": txid, "vout": vout} | ({} if sequence is None else {"sequence": sequence}) for txid, vout in spent
        ]
        outputs = [{address: str(amount)} for address, amount in to.items()]
        raw = self.node.rpc("createrawtransaction", inputs, outputs, locktime)
        signed = self.node.rpc("signrawtransactionwithwallet", raw, wallet="miner")
        assert signed["complete"], signed
        text: str = signed["hex"]
        return text

    def pay(self, *coins: Coin, **terms: Any) -> str:
        """Send such a transaction; its id."""
        txid: str = self.node.rpc("sendrawtransaction", self.signed(coins or [self.coin()], **terms))
        return txid


def satoshis(amount: Decimal) -> int:
    """An amount as the node prints it, in satoshis."""
    return int(amount * 10**8)


def invalidate_tip(node: Bitcoind, blocks: int = 1) -> str:
    """Take the last ``blocks`` out of the chain; the hash of the lowest of them."""
    height = node.rpc("getblockcount")
    lowest: str = node.rpc("getblockhash", height - blocks + 1)
    node.rpc("invalidateblock", lowest)
    return lowest
