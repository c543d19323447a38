"""A chain that has the payments of `bench.paid` in its blocks, as a process: `python -m bench.chainserver FILE`.

A node of a million transactions takes longer to fill than a benchmark may. This answers what `reconcile` asks, in the
shapes of a node, from ids alone (FILE: 32 bytes each), and prints its port. Receipts are made when they are asked for.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from pathlib import Path
from typing import Any

from bench.paid import CHAIN_ID, COINS, CONTRACT, HOT, IN_BLOCK, PRICE, TIP, TOKENS, USED, Paid, block_hash, paid

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
_BLOOM = "0x" + "0" * 512


class Chain:
    """What is in the blocks: ``ids`` of all payments, and what the wallet holds at the end of each block."""

    def __init__(self, ids: bytes) -> None:
        self.numbers = {ids[at : at + 32]: at // 32 for at in range(0, len(ids), 32)}
        self.count = len(self.numbers)
        self.last = (self.count - 1) // IN_BLOCK + 1
        coins, tokens = [0] * (self.last + 1), [0] * (self.last + 1)
        for number in range(self.count):
            each = paid(number)
            coins[each.height] += each.fee + (0 if each.is_token else each.base_units)
            tokens[each.height] += each.base_units if each.is_token else 0
        self._coins, self._tokens = list(accumulate(coins)), list(accumulate(tokens))

    def answer(self, method: str, params: list[Any]) -> str:
        """The result of a call, as JSON. Raises `KeyError` for a method that it does not have."""
        return _METHODS[method](self, *params)

    def height(self, tag: str) -> int:
        """The height that a tag or number stands for; the latest block is final."""
        return self.last if tag in ("latest", "pending", "finalized") else int(tag, 16)

    def held(self, tag: str, tokens: bool) -> int:
        """What the wallet holds at the end of a block."""
        at = min(self.height(tag), self.last)
        return TOKENS - self._tokens[at] if tokens else COINS - self._coins[at]

    def block(self, tag: str, whole: bool) -> str:
        """A block, without its transactions."""
        height = self.height(tag)
        if height > self.last:
            return "null"
        zero = "0x" + "0" * 64
        told = {"number": hex(height), "hash": block_hash(height), "parentHash": block_hash(height - 1)}
        told |= {"timestamp": hex(1_700_000_000 + 12 * height), "baseFeePerGas": hex(PRICE - TIP), "logsBloom": _BLOOM}
        told |= {"stateRoot": zero, "receiptsRoot": zero, "transactionsRoot": zero, "gasLimit": hex(30_000_000)}
        return json.dumps(told)

    def receipt(self, txid: str) -> str:
        """The receipt of a payment."""
        number = self.numbers.get(bytes.fromhex(txid[2:]))
        if number is None:
            return "null"
        each = paid(number)
        place, height, block = number % IN_BLOCK, hex(each.height), block_hash(each.height)
        where = f'"transactionHash":"{txid}","blockHash":"{block}","blockNumber":"{height}"'
        where += f',"transactionIndex":"{place:#x}"'
        logs = "" if not each.is_token else _log(each, where)
        to = (CONTRACT if each.is_token else each.destination).lower()
        return (
            f'{{"type":"0x2","status":"0x1","cumulativeGasUsed":"0x5208","logs":[{logs}],"logsBloom":"{_BLOOM}",{where},'
            f'"gasUsed":"{USED[each.is_token]:#x}","effectiveGasPrice":"{PRICE:#x}","from":"{HOT.lower()}","to":"{to}",'
            '"contractAddress":null}'
        )


def _log(each: Paid, where: str) -> str:
    parties = f'"0x{HOT[2:].lower():0>64}","0x{each.destination[2:]:0>64}"'
    return (
        f'{{"address":"{CONTRACT.lower()}","topics":["{TRANSFER}",{parties}],"data":"0x{each.base_units:064x}",{where},'
        '"logIndex":"0x0","removed":false}'
    )


def _fee_history(chain: Chain, blocks: str, newest: str, shares: list[int]) -> str:
    count = int(blocks, 16)
    fees, rewards = [hex(PRICE - TIP)] * (count + 1), [[hex(TIP)] * len(shares)] * count
    return json.dumps({"baseFeePerGas": fees, "gasUsedRatio": [0.5] * count, "reward": rewards})


def _call(chain: Chain, call: dict[str, str], tag: str) -> str:
    return f'"0x{chain.held(tag, True):064x}"' if call["to"].lower() == CONTRACT.lower() else '"0x"'


_METHODS: dict[str, Callable[..., str]] = {
    "eth_chainId": lambda chain: f'"{CHAIN_ID:#x}"',
    "eth_syncing": lambda chain: "false",
    "eth_blockNumber": lambda chain: f'"{chain.last:#x}"',
    "eth_getTransactionCount": lambda chain, account, tag: f'"{chain.count:#x}"',
    "eth_getBalance": lambda chain, account, tag: f'"{chain.held(tag, False):#x}"',
    "eth_getBlockByNumber": Chain.block,
    "eth_getTransactionReceipt": Chain.receipt,
    "eth_feeHistory": _fee_history,
    "eth_estimateGas": lambda chain, call: '"0x5208"',
    "eth_call": _call,
    "eth_getLogs": lambda chain, wanted: "[]",
}


def serve(chain: Chain) -> ThreadingHTTPServer:
    """A server of the chain on loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answers = [_answer(chain, each) for each in (asked if isinstance(asked, list) else [asked])]
            body = (f"[{','.join(answers)}]" if isinstance(asked, list) else answers[0]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def _answer(chain: Chain, call: dict[str, Any]) -> str:
    head = f'{{"jsonrpc":"2.0","id":{json.dumps(call["id"])},'
    try:
        return f'{head}"result":{chain.answer(call["method"], call["params"])}}}'
    except KeyError:
        return f'{head}"error":{{"code":-32601,"message":"the method {call["method"]} does not exist"}}}}'


def main(file: str) -> None:
    """Serve until the process is ended."""
    server = serve(Chain(Path(file).read_bytes()))
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
