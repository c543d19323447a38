"""The life of three withdrawals on a bitcoind: two are paid by one transaction, and the third, to an address of those,
by another.

A bitcoind has no snapshots, and to start one takes a second. Instead all blocks since the moment that is remembered are
undone: what was in those more than ten deep does not come back to the pool (Bitcoin Core's validation.cpp,
InvalidateBlock), and the wallet that watches gets the file that it had.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from cryptosupport.chains.bitcoin.codec import address_of
from tests.commands.bitcoindesk import MNEMONIC

DEEP = 12
"""Blocks that are mined before all are undone: those of a transaction are then more than ten deep."""
FINAL = 3
COIN = 10**8


def nobodys(number: int) -> str:
    """An address that nobody has, and no other number."""
    address = address_of(b"\x00\x14" + number.to_bytes(20, "big"), "regtest")
    assert address is not None
    return address


ANN, BEN = nobodys(1), nobodys(2)


@dataclass
class Moment:
    """A chain up to its block ``tip`` at ``height``, what waited then, and the wallet's file."""

    height: int
    tip: str
    wallet: Path
    pooled: list[str] = field(default_factory=list)


class BitcoinChain:
    """The bitcoind in ``folder``, whose wallet "hot" watches; it runs without any other that is loaded."""

    name = "bitcoin"
    requests = (("first", ANN, "0.1", "BTC"), ("second", BEN, "0.2", "BTC"), ("third", ANN, "0.3", "BTC"))
    secret = MNEMONIC
    desk = '[batch]\nage = "0s"\n'

    def __init__(self, folder: Path) -> None:
        port = re.search(r"^rpcport=(\d+)$", (folder / "bitcoin.conf").read_text(encoding="utf-8"), re.MULTILINE)
        assert port is not None
        self._url = f"http://127.0.0.1:{port.group(1)}"
        login = base64.b64encode((folder / "regtest" / ".cookie").read_bytes().strip()).decode()
        self._headers = {"Content-Type": "application/json", "Authorization": f"Basic {login}"}
        self._folder, self._file = folder, folder / "regtest" / "wallets" / "hot" / "wallet.dat"
        self._miners = count(1000)
        self._origin = self._kept = self._now("origin")

    def rpc(self, method: str, *params: object, wallet: str = "") -> Any:
        """Ask it."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        asked = urllib.request.Request(f"{self._url}/{wallet}", body, self._headers)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            said = json.load(answer)
        assert "error" not in said, (method, said["error"])
        return said["result"]

    def mine(self, blocks: int = FINAL) -> None:
        """Have everything that waits be final. No two blocks pay the same: none is one that was undone."""
        self.rpc("generatetoaddress", blocks, nobodys(next(self._miners)))

    def keep(self, mining: bool) -> None:
        """Remember this moment; blocks come when they are asked for."""
        self._kept = self._now("kept")

    def begin(self) -> None:
        """As it was in the very beginning."""
        self._return(self._origin)

    def back(self) -> None:
        """As it was at the moment that is remembered, its pool too."""
        self._return(self._kept)

    def told(self) -> list[int]:
        """What both have, how many transactions there were, and how many coins the node keeps from being chosen."""
        wanted = [f"addr({each})" for each in (ANN, BEN)]
        found = self.rpc("scantxoutset", "start", wanted)["unspents"]
        has = dict.fromkeys((ANN, BEN), 0)
        for each in found:
            has[address_of(bytes.fromhex(each["scriptPubKey"]), "regtest") or ""] += round(each["amount"] * COIN)
        blocks = self.rpc("getblockcount") - self._origin.height
        made = self.rpc("getchaintxstats", blocks)["window_tx_count"] - blocks if blocks else 0
        return [has[ANN], has[BEN], made, len(self.rpc("listlockunspent", wallet="wallet/hot"))]

    def expected(self, states: Mapping[str, str]) -> list[int]:
        """What is final is paid, by two transactions, or their places were taken by as many; no coin is kept."""
        units = {"first": COIN // 10, "second": COIN // 5, "third": 3 * COIN // 10}
        paid = {name: each if states.get(name) == "final" else 0 for name, each in units.items()}
        return [paid["first"] + paid["third"], paid["second"], 2, 0]

    def _now(self, name: str) -> Moment:
        """This moment, with a copy of the wallet's file."""
        self.rpc("unloadwallet", "hot")
        copy = self._folder / f"{name}.dat"
        shutil.copyfile(self._file, copy)
        self.rpc("loadwallet", "hot")
        waiting = self.rpc("getrawmempool", True)
        names = sorted(waiting, key=lambda each: waiting[each]["ancestorcount"])
        pooled = [self.rpc("getrawtransaction", each) for each in names]
        return Moment(self.rpc("getblockcount"), self.rpc("getbestblockhash"), copy, pooled)

    def _return(self, moment: Moment) -> None:
        self.rpc("unloadwallet", "hot")
        self.mine(DEEP)
        self.rpc("invalidateblock", self.rpc("getblockhash", moment.height + 1))
        assert (self.rpc("getbestblockhash"), self.rpc("getrawmempool")) == (moment.tip, [])
        shutil.copyfile(moment.wallet, self._file)
        self.rpc("loadwallet", "hot")
        for raw in moment.pooled:
            self.rpc("sendrawtransaction", raw)
