"""The same payments made with other tools, each run as a process of its own: `python -m bench.payers NAME URL FILE`.

FILE is JSON: the `token` (or null), the `key` that pays, and `payments`, a list of destination and base units. None of
them looks at anything before it pays, records anything, or could go on after a crash without paying twice.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

GWEI = 10**9
PLAIN_GAS, TOKEN_GAS = 21_000, 100_000
BLOCKS = "0x14"
"""They have room for all payments, of which the node makes blocks once all are sent."""

TRANSFER = {
    "type": "function",
    "name": "transfer",
    "stateMutability": "nonpayable",
    "inputs": [{"name": "to", "type": "address"}, {"name": "value", "type": "uint256"}],
    "outputs": [{"name": "", "type": "bool"}],
}
Payments = Sequence[tuple[str, int]]


def web3_loop(url: str, token: str | None, key: str, payments: Payments) -> None:
    """web3.py: build, sign and send one after the other with nonces counted here; in the end wait for the last."""
    from web3 import Web3

    w3 = Web3(Web3.HTTPProvider(url))
    account = w3.eth.account.from_key(key)
    nonce, chain_id = w3.eth.get_transaction_count(account.address), w3.eth.chain_id
    fees: Any = {"maxFeePerGas": 100 * GWEI, "maxPriorityFeePerGas": GWEI, "chainId": chain_id}
    contract = None if token is None else w3.eth.contract(address=Web3.to_checksum_address(token), abi=[TRANSFER])
    txid: Any = None
    for place, (destination, units) in enumerate(payments, nonce):
        if contract is None:
            plan: Any = {"to": destination, "value": units, "gas": PLAIN_GAS, "nonce": place, **fees}
        else:
            call = contract.functions.transfer(destination, units)
            options: Any = {"gas": TOKEN_GAS, "nonce": place, **fees}
            plan = call.build_transaction(options)
        txid = w3.eth.send_raw_transaction(account.sign_transaction(plan).raw_transaction)
    w3.provider.make_request("anvil_mine", [BLOCKS])  # type: ignore[arg-type]
    if w3.eth.wait_for_transaction_receipt(txid)["status"] != 1:
        raise RuntimeError("the last payment failed")


def cast_loop(url: str, token: str | None, key: str, payments: Payments) -> None:
    """One `cast send` for each, which asks for gas and fees itself, and gets its nonce; it waits for no receipt."""
    for nonce, (destination, units) in enumerate(payments):
        what = [destination, "--value", str(units)]
        if token is not None:
            what = [token, "transfer(address,uint256)", destination, str(units)]
        command = ["cast", "send", "--async", "--rpc-url", url, "--private-key", key, "--nonce", str(nonce), *what]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cast", "rpc", "--rpc-url", url, "anvil_mine", BLOCKS], check=True, stdout=subprocess.DEVNULL)


PAYERS: dict[str, Callable[[str, str | None, str, Payments], None]] = {
    each.__name__: each for each in (web3_loop, cast_loop)
}


def main(arguments: Iterable[str]) -> None:
    """Run one of them."""
    name, url, file = arguments
    told = json.loads(Path(file).read_text(encoding="utf-8"))
    PAYERS[name](url, told["token"], told["key"], [(to, int(units)) for to, units in told["payments"]])


if __name__ == "__main__":
    main(sys.argv[1:])
