"""The same questions asked with other tools, each run as a process of its own: `python -m bench.rivals NAME URL FILE`.

Each prints a line of JSON for every id: state, height, fee, transfers.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

TRANSFER = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
BATCH = 200


def web3_script(url: str, ids: Sequence[str], memory: str) -> None:
    """One id after the other with web3.py, and what was seen kept in SQLite, as `tx status` does."""
    w3 = _web3(url)
    database = sqlite3.connect(memory)
    database.execute("create table if not exists seen (txid primary key, state, block, sender, nonce, at)")
    finalized = w3.eth.get_block("finalized")["number"]
    blocks: dict[int, Any] = {}
    for txid in ids:
        tx, receipt = w3.eth.get_transaction(txid), w3.eth.get_transaction_receipt(txid)
        record = _web3_record(w3, tx, receipt, _block(w3, blocks, receipt["blockNumber"]), finalized)
        row = (txid, record["state"], record["block_hash"], tx["from"], tx["nonce"], int(time.time()))
        database.execute("insert or replace into seen values (?, ?, ?, ?, ?, ?)", row)
        print(json.dumps(record))
    database.commit()
    database.close()


def web3_batches(url: str, ids: Sequence[str], memory: str) -> None:
    """web3.py's own batching: the transactions and receipts of many ids in one request."""
    w3 = _web3(url)
    finalized = w3.eth.get_block("finalized")["number"]
    blocks: dict[int, Any] = {}
    for start in range(0, len(ids), BATCH):
        with w3.batch_requests() as batch:
            for txid in ids[start : start + BATCH]:
                batch.add(w3.eth.get_transaction(txid))
                batch.add(w3.eth.get_transaction_receipt(txid))
            answers = batch.execute()
        for tx, receipt in zip(answers[::2], answers[1::2], strict=True):
            print(json.dumps(_web3_record(w3, tx, receipt, _block(w3, blocks, receipt["blockNumber"]), finalized)))


def bitcoinlib_loop(url: str, ids: Sequence[str], memory: str) -> None:
    """One id after the other with the RPC client of python-bitcoinlib."""
    from bitcoin.rpc import RawProxy

    proxy = RawProxy(service_url=url)
    for txid in ids:
        tx = proxy.getrawtransaction(txid, 2)
        header = proxy.getblockheader(tx["blockhash"])
        outputs = [(out["scriptPubKey"].get("address"), str(out["value"])) for out in tx["vout"]]
        state = "confirmed" if tx["confirmations"] >= 3 else "confirming"
        record = {"txid": txid, "state": state, "height": header["height"], "fee": str(tx["fee"]), "transfers": outputs}
        print(json.dumps(record))


def bitcoin_cli(url: str, ids: Sequence[str], memory: str) -> None:
    """One bitcoin-cli process for each id: its transaction, nothing else. ``url`` is the node's data folder."""
    import subprocess

    for txid in ids:
        command = ["bitcoin-cli", f"-datadir={url}", "getrawtransaction", txid, "2"]
        print(json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["txid"])


def _web3(url: str) -> Any:
    from web3 import Web3

    return Web3(Web3.HTTPProvider(url))


def _block(w3: Any, blocks: dict[int, Any], height: int) -> Any:
    if height not in blocks:
        blocks[height] = w3.eth.get_block(height)
    return blocks[height]


def _web3_record(w3: Any, tx: Any, receipt: Any, block: Any, finalized: int) -> dict[str, Any]:
    transfers = [
        (log["address"], "0x" + log["topics"][2].hex()[-40:], int(log["data"].hex() or "0", 16))
        for log in receipt["logs"]
        if log["topics"] and log["topics"][0].hex() == TRANSFER
    ]
    if tx["value"] and receipt["status"]:
        transfers.append(("ETH", tx["to"], tx["value"]))
    reason = None
    if not receipt["status"]:
        traced = w3.provider.make_request("debug_traceTransaction", ["0x" + tx["hash"].hex(), {"tracer": "callTracer"}])
        reason = traced["result"].get("revertReason") or traced["result"].get("error")
    settled = "confirmed" if receipt["blockNumber"] <= finalized else "confirming"
    return {
        "txid": "0x" + tx["hash"].hex(),
        "state": settled if receipt["status"] else "failed",
        "height": receipt["blockNumber"],
        "block_hash": "0x" + receipt["blockHash"].hex(),
        "time": block["timestamp"],
        "failure": reason,
        "fee": str(receipt["gasUsed"] * receipt["effectiveGasPrice"]),
        "transfers": [(asset, recipient, str(amount)) for asset, recipient, amount in transfers],
    }


RIVALS: dict[str, Callable[[str, Sequence[str], str], None]] = {
    each.__name__: each for each in (web3_script, web3_batches, bitcoinlib_loop, bitcoin_cli)
}


def main(arguments: Iterable[str]) -> None:
    """Run one rival over the ids of a file."""
    name, url, file, memory = arguments
    RIVALS[name](url, Path(file).read_text(encoding="utf-8").split(), memory)


if __name__ == "__main__":
    main(sys.argv[1:])
