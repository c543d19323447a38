"""A mainnet bitcoind that says what a test has it say, where no real node would."""

from __future__ import annotations

from typing import Any

from cryptosupport.domain.transactions import Detail, Sighting, TxReport
from cryptosupport.settings import Endpoint
from tests.chains.bitcoinkit import Clock, chain_over
from tests.hostile import HostileNode, RpcError

TIP = "00000000000000000001" + "a" * 44
BLOCK = "00000000000000000002" + "b" * 44
TXID, PARENT, OTHER = "aa" * 32, "bb" * 32, "cc" * 32
ADDRESS = "bc1qvyq0cc6rahyvsazfdje0twl7ez82ndmuac2lhv"
SCRIPT = "00146100fc6343edc8c874496cb2f5bbfec88ea9b77c"

INFO = {
    "chain": "main",
    "blocks": 900_000,
    "headers": 900_000,
    "bestblockhash": TIP,
    "initialblockdownload": False,
    "time": 1_800_000_000,
}
HEADER = {"height": 899_990, "time": 1_799_990_000, "confirmations": 11, "nTx": 3000}
OUTPUT = {"value": 0.5, "n": 0, "scriptPubKey": {"hex": SCRIPT, "address": ADDRESS}}
TX = {
    "txid": TXID,
    "vin": [
        {
            **{"txid": PARENT, "vout": 1, "sequence": 1},
            "prevout": {"value": 0.50001, "scriptPubKey": {"hex": SCRIPT, "address": ADDRESS}},
        }
    ],
    "vout": [OUTPUT],
    "locktime": 0,
    "vsize": 110,
}
MINED = {**TX, "blockhash": BLOCK, "confirmations": 11, "fee": 0.00001}
MEMPOOL = {"loaded": True, "size": 1, "bytes": 200, "mempoolminfee": 0.00001}
ENTRY = {
    "vsize": 110,
    "time": 1_799_999_000,
    "ancestorcount": 1,
    "ancestorsize": 110,
    "fees": {"base": 0.00002, "ancestor": 0.00002},
}
NO_TX = RpcError(-5, "No such mempool or blockchain transaction. Use gettransaction for wallet transactions.")
UNKNOWN_METHOD = RpcError(-32601, "Method not found")


HONEST: dict[str, Any] = {
    "getblockchaininfo": INFO,
    "getblockheader": HEADER,
    "getbestblockhash": TIP,
    "getmempoolinfo": MEMPOOL,
    "getindexinfo": {"txindex": {"synced": True, "best_block_height": 900_000}},
    "getrawtransaction": NO_TX,
    "getmempoolentry": ENTRY,
    "estimatesmartfee": {"errors": ["Insufficient data or no feerate found"], "blocks": 0},
    "gettxout": None,
    "gettxspendingprevout": lambda outputs: outputs,
    "getrawmempool": [],
    "getnetworkinfo": {"version": 290000, "subversion": "/Satoshi:29.0.0/", "connections": 8},
}


class At(Clock):
    """A clock that stands at the time of `INFO`."""

    def now(self) -> int:
        return 1_800_000_000


class Node(HostileNode):
    """A mainnet bitcoind that gives ``answers`` by method; a callable one is asked with the params."""

    def __init__(self, **answers: Any) -> None:
        self.answers = HONEST | answers
        super().__init__(self._answer)

    def _answer(self, method: str, params: list[Any]) -> object:
        answer = self.answers.get(method, UNKNOWN_METHOD)
        return answer(*params) if callable(answer) else answer

    def look(
        self, *txids: str, detail: Detail = Detail.FULL, memory: dict[str, Sighting] | None = None, own: bool = False
    ) -> list[TxReport]:
        """One look through this node alone."""
        chain = chain_over(Endpoint(url=self.url, timeout="3s", own=own), network="mainnet", clock=At())
        return chain.look_up(list(txids), detail, memory or {})


def pending_sighting(*inputs: str) -> dict[str, Sighting]:
    return {TXID: Sighting("bitcoin", TXID, 1_799_999_000, 1_799_999_000, "pending", None, None, None, None, inputs)}
