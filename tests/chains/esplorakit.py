"""An Esplora server that knows what a live bitcoind knows: its answers are made from the node's raw RPC."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from cryptosupport.outside.nodes import Bitcoind, NodeError
from cryptosupport.settings import Endpoint
from tests.chains.bitcoinkit import satoshis
from tests.hostile import JSON, PLAIN, Exchange, HostileNode, Reply

NOT_FOUND = Reply(b"Transaction not found", 404, PLAIN)

TYPES = {
    "pubkeyhash": "p2pkh",
    "scripthash": "p2sh",
    "witness_v0_keyhash": "v0_p2wpkh",
    "witness_v0_scripthash": "v0_p2wsh",
    "witness_v1_taproot": "v1_p2tr",
    "nulldata": "op_return",
}


class EsploraOf(HostileNode):
    """Esplora over ``node``, in electrs' manner; ``trees`` are mempool.space's replacement trees by id.

    Two of its quirks are kept: the status of an unknown transaction is "unconfirmed", and a transaction of a block
    that has left the chain is still served, as an unconfirmed one (its database forgets nothing).
    """

    def __init__(self, node: Bitcoind, trees: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.node = node
        self.trees = trees or {}
        self.always(self._translate)

    @property
    def endpoint(self) -> Endpoint:
        """This server as an endpoint of a chain."""
        return Endpoint(url=self.url, kind="esplora")

    def _translate(self, exchange: Exchange) -> Reply:
        match exchange.request.path.split("/")[1:]:
            case ["block-height", height]:
                return _text(self.node.rpc("getblockhash", int(height)))
            case ["blocks", "tip", "height"]:
                return _text(self.node.rpc("getblockcount"))
            case ["blocks", "tip", "hash"]:
                return _text(self.node.rpc("getbestblockhash"))
            case ["block", block, *rest]:
                return self._block(block, rest)
            case ["tx", txid]:
                return self._tx(txid)
            case ["tx", txid, "status"]:
                return _json(self._status(txid) or {"confirmed": False})
            case ["tx", txid, "outspend", vout]:
                return _json(self._outspend(txid, int(vout)))
            case ["fee-estimates"]:
                told = {target: self.node.rpc("estimatesmartfee", target).get("feerate") for target in (2, 6, 144)}
                return _json({str(target): float(rate * 10**5) for target, rate in told.items() if rate})
            case ["mempool"]:
                return _json(self._mempool())
            case ["v1", "tx", txid, "rbf"] if txid in self.trees:
                return _json(self.trees[txid])
        return Reply(b"endpoint does not exist", 404, PLAIN)

    def _block(self, block: str, rest: list[str]) -> Reply:
        try:
            header = self.node.rpc("getblockheader", block)
        except NodeError:
            return _json({"in_best_chain": False}) if rest == ["status"] else Reply(b"Block not found", 404, PLAIN)
        if rest == ["status"]:
            return _json({"in_best_chain": header["confirmations"] > 0})
        return _json({"id": block, "height": header["height"], "timestamp": header["time"]})

    def _status(self, txid: str) -> dict[str, Any] | None:
        try:
            tx = self.node.rpc("getrawtransaction", txid, 1)
        except NodeError:
            return None
        if tx.get("confirmations", 0) < 1:
            return {"confirmed": False}
        height = self.node.rpc("getblockheader", tx["blockhash"])["height"]
        block = {"block_height": height, "block_hash": tx["blockhash"], "block_time": tx["blocktime"]}
        return {"confirmed": True, **block}

    def _tx(self, txid: str) -> Reply:
        status = self._status(txid)
        if status is None:
            return NOT_FOUND
        tx = self.node.rpc("getrawtransaction", txid, 2)
        vin = [self._vin(each) for each in tx["vin"]]
        vout = [_output(each) for each in tx["vout"]]
        spent = sum(each["prevout"]["value"] for each in vin if each["prevout"])
        fee = spent - sum(each["value"] for each in vout) if spent else 0
        same = {name: tx[name] for name in ("txid", "version", "locktime", "size", "weight")}
        return _json({**same, "vin": vin, "vout": vout, "fee": fee, "status": status})

    def _vin(self, vin: dict[str, Any]) -> dict[str, Any]:
        if "coinbase" in vin:
            nothing = {"txid": "0" * 64, "vout": 0xFFFFFFFF, "prevout": None}
            return {**nothing, "is_coinbase": True, "sequence": vin["sequence"]}
        parent = self.node.rpc("getrawtransaction", vin["txid"], 1)
        prevout = _output(parent["vout"][vin["vout"]])
        spent = {"txid": vin["txid"], "vout": vin["vout"], "prevout": prevout}
        return {**spent, "is_coinbase": False, "sequence": vin["sequence"]}

    def _outspend(self, txid: str, vout: int) -> dict[str, Any]:
        (told,) = self.node.rpc("gettxspendingprevout", [{"txid": txid, "vout": vout}])
        if "spendingtxid" in told:
            return {"spent": True, "txid": told["spendingtxid"], "vin": 0, "status": {"confirmed": False}}
        tip = self.node.rpc("getblockcount")
        for height in range(tip, max(tip - 30, 0), -1):
            for tx in self.node.rpc("getblock", self.node.rpc("getblockhash", height), 2)["tx"]:
                for number, vin in enumerate(tx["vin"]):
                    if (vin.get("txid"), vin.get("vout")) == (txid, vout):
                        return {"spent": True, "txid": tx["txid"], "vin": number, "status": self._status(tx["txid"])}
        return {"spent": False}

    def _mempool(self) -> dict[str, Any]:
        entries = self.node.rpc("getrawmempool", True).values()
        rates = sorted((entry["fees"]["base"] * 10**8 / entry["vsize"], entry["vsize"]) for entry in entries)[::-1]
        return {
            "count": len(rates),
            "vsize": sum(vsize for _, vsize in rates),
            "total_fee": sum(satoshis(entry["fees"]["base"]) for entry in entries),
            "fee_histogram": [[float(round(rate, 2)), vsize] for rate, vsize in rates],
        }


def _output(out: dict[str, Any]) -> dict[str, Any]:
    script = out["scriptPubKey"]
    told = {
        "scriptpubkey": script["hex"],
        "scriptpubkey_type": TYPES.get(script["type"], "unknown"),
        "value": satoshis(Decimal(out["value"])),
    }
    return told | ({"scriptpubkey_address": script["address"]} if "address" in script else {})


def _json(value: object) -> Reply:
    return Reply(json.dumps(value).encode(), headers=JSON)


def _text(value: object) -> Reply:
    return Reply(str(value).encode(), headers=PLAIN)
