"""Things to do on an EVM chain, contracts written in bytes, and answers to be served where no node can give them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptosupport.chains.evm import EvmChain, open_chain
from cryptosupport.domain.money import Asset
from cryptosupport.domain.transactions import Detail, Sighting, TxReport
from cryptosupport.outside.nodes import Anvil, NodeError
from cryptosupport.settings import AssetSettings, ChainSettings, Endpoint
from cryptosupport.transport import open_nodes
from tests.hostile import HostileNode, RpcError

VECTORS = Path(__file__).parents[1] / "vectors"
ETH = Asset("ETH", 18)
GWEI = 10**9
TRANSFER = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


@dataclass
class Clock:
    """A clock that is set."""

    time: int
    ends_at: float = math.inf

    def now(self) -> int:
        return self.time

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        """No test waits."""


def chain_over(*urls: str, now: int = 1_800_000_000, clock: Any = None, **settings: Any) -> EvmChain:
    """A chain over the nodes at ``urls``; one confirmation is final unless ``settings`` say otherwise."""
    table: dict[str, Any] = {
        "family": "evm",
        "name": "dev",
        "chain_id": 31337,
        "endpoints": tuple(Endpoint(url=url, timeout="5s") for url in urls),
        "assets": {"ETH": AssetSettings(decimals=18)},
        "block_time": "12s",
    }
    if "finality" not in settings:
        table["confirmations"] = 1
    made = ChainSettings(**{**table, **settings})
    clock = clock or Clock(now)
    return open_chain(made, open_nodes(made, clock), clock)


def look(chain: EvmChain, txid: str, memory: Sighting | None = None, detail: Detail = Detail.FULL) -> TxReport:
    """One look at one transaction."""
    (report,) = chain.look_up([txid], detail, {} if memory is None else {txid: memory})
    return report


def seen(report: TxReport) -> Sighting:
    """What the report gives to memory."""
    assert report.remember is not None
    return report.remember


def vector(name: str) -> Any:
    """The file ``name`` of tests/vectors."""
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


# -- on anvil --------------------------------------------------------------------------------------------------------


def send(anvil: Anvil, sender: int = 0, to: str | None = "", **fields: Any) -> str:
    """Send a transaction from one of the node's accounts, by default to account 9, and return its id."""
    accounts = anvil.rpc("eth_accounts")
    transaction: dict[str, Any] = {"from": accounts[sender], "value": 1, "gas": 100_000, **fields}
    if to is not None:
        transaction["to"] = to or accounts[9]
    encoded = {name: hex(value) if isinstance(value, int) else value for name, value in transaction.items()}
    txid: str = anvil.rpc("eth_sendTransaction", encoded)
    return txid


def mined(anvil: Anvil, sender: int = 0, to: str | None = "", **fields: Any) -> str:
    """Send a transaction on a node that mines at once, and return its id when it is in a block, a moment later."""
    txid = send(anvil, sender, to, **fields)
    deadline = time.monotonic() + 10
    while anvil.rpc("eth_getTransactionReceipt", txid) is None:
        assert time.monotonic() < deadline, "the node does not mine"
        time.sleep(0.002)
    return txid


def without(anvil: Anvil, *methods: str) -> Callable[[str, Sequence[Any]], Any]:
    """A proxy to ``anvil`` that lacks ``methods``."""

    def answer(method: str, params: Sequence[Any]) -> Any:
        if method in methods:
            return RpcError(-32601, f"the method {method} does not exist/is not available")
        try:
            return anvil.rpc(method, *params)
        except NodeError as error:
            return RpcError(error.code, error.message)

    return answer


def number(text: str) -> int:
    """A number as the node writes it."""
    return int(text, 16)


def deploy(anvil: Anvil, runtime: str) -> str:
    """Deploy a contract of the code ``runtime`` (hex) and return its address in lower case."""
    size = len(runtime) // 2
    # PUSH1 size, DUP1, PUSH1 10, PUSH1 0, CODECOPY, PUSH1 0, RETURN; the code stands at byte 11.
    init = f"60{size:02x}80600b6000396000f3"
    txid = mined(anvil, to=None, data="0x" + init + runtime, gas=500_000, value=0)
    address: str = anvil.rpc("eth_getTransactionReceipt", txid)["contractAddress"]
    return address


REFUSES_WITH_CALLDATA = "365f5f37365ffd"
"""CALLDATACOPY everything, REVERT with it: what is sent is the revert data."""
RUNS_FOR_EVER = "5b5f56"
"""JUMPDEST, PUSH0, JUMP."""
INVALID = "fe"
LOGS_A_TRANSFER = f"602060405f376020355f357f{TRANSFER}60205fa300"
"""LOG3 of Transfer: sender, recipient and amount are the three words of the calldata."""
LOGS_AN_NFT = f"6040356020355f357f{TRANSFER}5f5fa400"
"""LOG4 of Transfer, as ERC-721 does: sender, recipient and token id are the three words of the calldata."""


def words(*values: int | str) -> str:
    """Numbers and addresses as 32-byte words, hex without 0x."""
    return "".join((value[2:] if isinstance(value, str) else f"{value:x}").rjust(64, "0") for value in values)


def text_words(text: str) -> str:
    """A string as ABI-encoded words, as Error(string) holds it."""
    raw = text.encode().hex()
    return words(0x20, len(raw) // 2) + raw + "0" * (-len(raw) % 64)


# -- answers that are served -----------------------------------------------------------------------------------------

HEAD = 1_000
FINALIZED = 900
HASH = "0x" + "11" * 32
TXID = "0x" + "ab" * 32
ALICE = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
BOB = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
NOW = 1_800_000_000


def header(height: int, block_hash: str = HASH, **fields: Any) -> dict[str, Any]:
    """A block's header."""
    time = NOW - (HEAD - height) * 12
    return {"number": hex(height), "hash": block_hash, "timestamp": hex(time), "baseFeePerGas": hex(GWEI), **fields}


def transaction(txid: str = TXID, **fields: Any) -> dict[str, Any]:
    """A waiting transaction of Alice's."""
    made: dict[str, Any] = {
        "hash": txid,
        "from": ALICE,
        "to": BOB,
        "nonce": "0x5",
        "gas": "0x5208",
        "value": "0x64",
        "input": "0x",
        "type": "0x2",
        "gasPrice": hex(2 * GWEI),
        "maxFeePerGas": hex(2 * GWEI),
        "maxPriorityFeePerGas": hex(GWEI),
        "blockHash": None,
        "blockNumber": None,
    }
    return {**made, **fields}


def receipt(txid: str = TXID, height: int = 800, **fields: Any) -> dict[str, Any]:
    """The receipt of a transaction that succeeded."""
    made: dict[str, Any] = {
        "transactionHash": txid,
        "from": ALICE,
        "to": BOB,
        "blockHash": HASH,
        "blockNumber": hex(height),
        "status": "0x1",
        "gasUsed": "0x5208",
        "effectiveGasPrice": hex(GWEI),
        "logs": [],
        "contractAddress": None,
    }
    return {**made, **fields}


Answers = Mapping[str, Any]


def node_of(answers: Answers) -> Callable[[str, Sequence[Any]], Any]:
    """A synced node at block `HEAD`; ``answers`` replaces single methods, by value or by function of the params."""
    standard: dict[str, Any] = {
        "eth_chainId": "0x7a69",
        "eth_blockNumber": hex(HEAD),
        "eth_syncing": False,
        "eth_getBlockByNumber": lambda tag, full: header(
            {"finalized": FINALIZED, "latest": HEAD, "safe": FINALIZED}.get(tag) or int(tag, 16)
        ),
        "eth_getTransactionByHash": None,
        "eth_getTransactionReceipt": None,
        "eth_getTransactionCount": "0x5",
        "eth_gasPrice": hex(GWEI),
        "eth_feeHistory": {"gasUsedRatio": [0.5], "reward": [[hex(GWEI)]], "baseFeePerGas": [hex(GWEI)] * 2},
    }
    methods = {**standard, **answers}

    def answer(method: str, params: Sequence[Any]) -> Any:
        if method not in methods:
            return RpcError(-32601, f"the method {method} does not exist/is not available")
        found = methods[method]
        return found(*params) if callable(found) else found

    return answer


OTHER = "0x" + "cd" * 32
MINED = {"blockHash": HASH, "blockNumber": hex(800)}
FOUND = {"eth_getTransactionByHash": transaction(**MINED), "eth_getTransactionReceipt": receipt()}
SEEN_WAITING = Sighting("dev", TXID, NOW - 60, NOW - 60, "pending", sender=ALICE, nonce=5)
SEEN_MINED = Sighting("dev", TXID, NOW - 60, NOW - 60, "confirming", "0x" + "22" * 32, 990, ALICE, 5)


def status_of(answers: dict[str, Any], memory: Sighting | None = None, **settings: Any) -> Any:
    """What is said of TXID by a chain of one node with ``answers``."""
    detail = settings.pop("detail", Detail.FULL)
    with HostileNode(node_of(answers)) as node:
        return look(chain_over(node.url, finality="finalized", **settings), TXID, memory, detail).status


def in_turn(*values: Any) -> Callable[..., Any]:
    """The values one by one; the last one from then on."""
    left = list(values)

    def answer(*params: Any) -> Any:
        value = left.pop(0) if len(left) > 1 else left[0]
        return value(*params) if callable(value) else value

    return answer
