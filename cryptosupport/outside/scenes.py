"""Transactions of every fate, made on private nodes by raw RPC: what the demo shows and checks the program against.

Each function yields `Look`s: at that moment the transaction is as the look says. What happens next happens after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptosupport.outside.nodes import ANYONE, Anvil, Bitcoind

EVM = "anvil"
BITCOIN = "regtest"

STRANGER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
TOKEN = "0x5fbdb2315678afecb367f032d93f642f64180aa3"
"""Where the first contract of anvil's first account lands (the yellow paper's address of sender and nonce)."""

GWEI = 10**9
ETHER = 10**18


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one transaction: what has happened, and what has to be told of it, by dotted key of the record."""

    title: str
    chain: str
    txid: str
    exit_code: int
    expected: Mapping[str, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> tuple[str, ...]:
        """The command that looks."""
        return "tx", "status", self.txid


def settings(evm: Anvil, bitcoin: Bitcoind) -> dict[str, str]:
    """The chain files of the two nodes, by chain name."""
    return {
        EVM: f"""\
family = "evm"
chain_id = 31337
endpoints = [{{ url = "{evm.url}", own = true }}]
finality = "finalized"
block_time = "1s"
[assets.ETH]
decimals = 18
[assets.USDX]
decimals = 6
contract = "{TOKEN}"
""",
        BITCOIN: f"""\
family = "bitcoin"
network = "regtest"
endpoints = [{{ url = "{bitcoin.url}", own = true, cookie_file = "{bitcoin.cookie_file}" }}]
confirmations = 3
block_time = "1s"
[assets.BTC]
decimals = 8
""",
    }


# -- EVM: anvil with --no-mining and --slots-in-an-epoch 1, so that a block is final two blocks later ------------------


def evm_looks(node: Anvil) -> Iterator[Look]:
    """Every fate on an EVM chain."""
    token, paused, endless = deploy(node)
    yield from _evm_mined(node, token, paused, endless)
    yield from _evm_waiting(node)
    yield from _evm_replaced(node)
    yield from _evm_dropped(node)
    yield from _evm_reorged(node)
    nobody = "0x" + "5eed" * 16
    yield Look("An id that no node has ever seen", EVM, nobody, 11, {"state": "not_found", "final": False})


def _evm_mined(node: Anvil, token: str, paused: str, endless: str) -> Iterator[Look]:
    paid = _pay(node, 1, value=hex(3 * ETHER // 2))
    sent = _pay(node, 1, to=token, data=call(STRANGER, 250_000_000), gas=hex(100_000))
    refused = _pay(node, 2, to=paused, value=hex(ETHER), gas=hex(100_000))
    starved = _pay(node, 2, to=endless, gas=hex(60_000))
    node.mine(3)
    settled = {"state": "confirmed", "final": True}
    transfer = {"transfers.0.asset": "ETH", "transfers.0.amount": "1.5", "transfers.0.to": STRANGER}
    yield Look("A withdrawal of 1.5 ETH, in a block that is final", EVM, paid, 0, settled | transfer)
    tokens = {"transfers.0.asset": "USDX", "transfers.0.amount": "250", "transfers.0.to": STRANGER}
    yield Look("A withdrawal of 250 USDX, a token", EVM, sent, 0, settled | tokens)
    failed = {"state": "failed", "transfers": []}
    why = {"failure.code": "reverted", "failure.message": "withdrawals are paused"}
    yield Look("A deposit that the contract refused, with a reason", EVM, refused, 12, failed | why)
    why = {"failure.code": "out_of_gas"}
    yield Look("A call that ran out of gas", EVM, starved, 12, failed | why)
    young = _pay(node, 1)
    node.mine()
    expected = {"state": "confirming", "final": False, "confirmations": 1}
    yield Look("A deposit in the newest block", EVM, young, 10, expected)


def _evm_waiting(node: Anvil) -> Iterator[Look]:
    waiting = _pay(node, 3)
    expected = {"state": "pending", "pending.reason": "waiting", "pending.nonce": 0}
    yield Look("A withdrawal that waits for the next block", EVM, waiting, 10, expected)
    _pay(node, 4)
    gap = _pay(node, 4, nonce=hex(2))
    expected = {"state": "pending", "pending.reason": "nonce_gap", "pending.nonce": 2, "pending.missing_nonce": 1}
    yield Look("A withdrawal that was signed with a nonce too far ahead", EVM, gap, 10, expected)
    # The next block may cost an eighth less than this one (EIP-1559): the node takes an offer in between.
    node.rpc("anvil_setNextBlockBaseFeePerGas", hex(8 * GWEI))
    node.mine()
    cheap = _pay(node, 5, maxFeePerGas=hex(15 * GWEI // 2), maxPriorityFeePerGas=hex(0))
    expected = {"state": "pending", "pending.reason": "low_fee", "pending.feerate": "7.5"}
    yield Look("A withdrawal that offers less than blocks ask for", EVM, cheap, 10, expected)
    node.mine()


def _evm_replaced(node: Anvil) -> Iterator[Look]:
    stuck = _pay(node, 6, maxFeePerGas=hex(20 * GWEI), maxPriorityFeePerGas=hex(GWEI))
    yield Look("A withdrawal before it is sped up", EVM, stuck, 10, {"state": "pending"})
    faster = _pay(node, 6, nonce=hex(0), maxFeePerGas=hex(40 * GWEI), maxPriorityFeePerGas=hex(2 * GWEI))
    expected = {"state": "replaced", "final": False, "replaced_by": faster}
    yield Look("The same one, now that another with its nonce pays more", EVM, stuck, 12, expected)
    node.mine(3)
    yield Look("The same one, once that other one is final", EVM, stuck, 12, expected | {"final": True})


def _evm_dropped(node: Anvil) -> Iterator[Look]:
    lost = _pay(node, 7)
    yield Look("A withdrawal that the node holds", EVM, lost, 10, {"state": "pending"})
    node.rpc("anvil_dropTransaction", lost)
    expected = {"state": "dropped", "final": False}
    yield Look("The same one, after the node forgot it", EVM, lost, 12, expected)


def _evm_reorged(node: Anvil) -> Iterator[Look]:
    before = node.rpc("evm_snapshot")
    fields = {"nonce": hex(0), "maxFeePerGas": hex(20 * GWEI), "maxPriorityFeePerGas": hex(GWEI)}
    moved = _pay(node, 8, **fields)
    node.mine()
    yield Look("A deposit in the newest block, before a reorganisation", EVM, moved, 10, {"state": "confirming"})
    node.rpc("evm_revert", before)
    again = _pay(node, 8, **fields)
    assert again == moved  # signatures are deterministic (RFC 6979), so this is the same transaction
    expected = {"state": "pending", "pending.reason": "reorged"}
    yield Look("The same one, after its block left the chain", EVM, moved, 10, expected)


def _pay(node: Anvil, account: int, **fields: str) -> str:
    """Send from one of the node's own accounts; with neither `to` nor `value`, one ether to a stranger."""
    transaction = {"from": node.rpc("eth_accounts")[account], "to": STRANGER, "gas": hex(21_000)}
    if "to" not in fields and "value" not in fields:
        transaction["value"] = hex(ETHER)
    txid: str = node.rpc("eth_sendTransaction", transaction | fields)
    return txid


def deploy(node: Anvil) -> tuple[str, str, str]:
    """Deploy a token that only tells of transfers, a contract that always refuses, and one that never ends."""
    codes = [_token(), _refusal("withdrawals are paused"), bytes.fromhex("5b5f56")]  # JUMPDEST, PUSH0, JUMP
    sender = node.rpc("eth_accounts")[0]
    gas = hex(1_000_000)
    made = [
        node.rpc("eth_sendTransaction", {"from": sender, "data": _deploying(code), "nonce": hex(nonce), "gas": gas})
        for nonce, code in enumerate(codes)
    ]
    node.mine()
    token, paused, endless = (node.rpc("eth_getTransactionReceipt", txid)["contractAddress"] for txid in made)
    return token, paused, endless


def _token() -> bytes:
    """The code that logs Transfer(caller, first argument, second argument) of EIP-20 and answers true."""
    event = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    amount = "602435" + "5f52"  # PUSH1 36, CALLDATALOAD, PUSH0, MSTORE
    topics = "600435" + "33" + "7f" + event  # PUSH1 4, CALLDATALOAD; CALLER; PUSH32
    log = "60205fa3"  # PUSH1 32, PUSH0, LOG3
    answer = "60015f52" + "60205ff3"  # PUSH1 1, PUSH0, MSTORE; PUSH1 32, PUSH0, RETURN
    return bytes.fromhex(amount + topics + log + answer)


def _refusal(reason: str) -> bytes:
    """The code that reverts with Error(reason), whose encoding stands behind it."""
    text = reason.encode()
    words = [(32).to_bytes(32, "big"), len(text).to_bytes(32, "big"), text.ljust(-(-len(text) // 32) * 32, b"\0")]
    data = bytes.fromhex("08c379a0") + b"".join(words)
    # PUSH1 size, PUSH1 10, PUSH0, CODECOPY, PUSH1 size, PUSH0, REVERT: ten bytes
    return bytes([0x60, len(data), 0x60, 10, 0x5F, 0x39, 0x60, len(data), 0x5F, 0xFD]) + data


def _deploying(code: bytes) -> str:
    """Call data that makes a contract of ``code``."""
    # PUSH1 size, DUP1, PUSH1 9, PUSH0, CODECOPY, PUSH0, RETURN: nine bytes
    return "0x" + (bytes([0x60, len(code), 0x80, 0x60, 9, 0x5F, 0x39, 0x5F, 0xF3]) + code).hex()


def call(recipient: str, base_units: int) -> str:
    """Call data of transfer(address,uint256) of EIP-20."""
    return f"0xa9059cbb{recipient[2:].lower():>064}{base_units:064x}"


# -- Bitcoin: a node without peers, so whatever waits is told as not passed on ---------------------------------------

WALLET = "desk"
CUSTOMERS = (
    "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
    "bcrt1qq6hag67dl53wl99vzg42z8eyzfz2xlkvwk6f7m",
    "bcrt1q0ht9tyks4vh7p5p904t340cr9nvahy7uevmqwj",
)
"""The addresses (P2WPKH, BIP 141) of the private keys 1, 2 and 3."""

_FEERATE = 20
"""What blocks ask for after `_fee_history`, in sat/vB."""


def bitcoin_looks(node: Bitcoind) -> Iterator[Look]:
    """Every fate on Bitcoin."""
    node.rpc("createwallet", WALLET)
    home = node.rpc("getnewaddress", wallet=WALLET)
    node.mine(101, home)
    _fee_history(node)
    yield from _bitcoin_mined(node, home)
    yield from _bitcoin_waiting(node)
    yield from _bitcoin_replaced(node)
    yield from _bitcoin_reorged(node)
    yield Look("An id that no node has ever seen", BITCOIN, "5eed" * 16, 11, {"state": "not_found", "final": False})


def _fee_history(node: Bitcoind) -> None:
    """Fill a few blocks, so that the node has an opinion of what the next ones ask for."""
    coins = {node.rpc("getnewaddress", wallet=WALLET): "0.5" for _ in range(60)}
    node.rpc("sendmany", "", coins, wallet=WALLET)
    node.mine()
    for _ in range(8):
        for _ in range(6):
            _send(node, "0.0001", _FEERATE)
        node.mine()


def _bitcoin_mined(node: Bitcoind, home: str) -> Iterator[Look]:
    reward = node.rpc("getblock", node.mine(1, home)[0])["tx"][0]
    batch = node.rpc("sendmany", "", dict(zip(CUSTOMERS, ("0.1", "0.2", "0.3"), strict=True)), wallet=WALLET)
    node.mine(3)
    paid = {"state": "confirmed", "final": True, "confirmations": 3}
    yield Look("A batch of three withdrawals, three blocks deep", BITCOIN, batch, 0, paid)
    yield Look("A block reward, which cannot be spent yet", BITCOIN, reward, 0, {"state": "confirmed"})
    young = _send(node, "0.25", _FEERATE)
    node.mine()
    expected = {"state": "confirming", "final": False, "confirmations": 1, "required_confirmations": 3}
    yield Look("A deposit in the newest block", BITCOIN, young, 10, expected)


def _bitcoin_waiting(node: Bitcoind) -> Iterator[Look]:
    waiting = _send(node, "0.1", 2 * _FEERATE)
    expected = {"state": "pending", "pending.reason": "unbroadcast", "pending.eta_blocks": 2}
    yield Look("A withdrawal that our node has passed on to nobody", BITCOIN, waiting, 10, expected)
    cheap = _send(node, "0.1", 1)
    expected = {"state": "pending", "pending.reason": "low_fee", "pending.replaceable": True}
    yield Look("A withdrawal that pays a twentieth of what blocks ask for", BITCOIN, cheap, 10, expected)
    child = _spend_change(node, cheap, 25)
    expected = {"state": "pending", "pending.reason": "ancestor", "pending.ancestors": 1}
    yield Look("A payment out of the change of that one", BITCOIN, child, 10, expected)
    node.mine()


def _bitcoin_replaced(node: Bitcoind) -> Iterator[Look]:
    stuck = _send(node, "0.2", 2)
    yield Look("A withdrawal before it is sped up", BITCOIN, stuck, 10, {"state": "pending"})
    faster = node.rpc("bumpfee", stuck, {"fee_rate": 2 * _FEERATE}, wallet=WALLET)["txid"]
    expected = {"state": "replaced", "final": False, "replaced_by": faster}
    yield Look("The same one, now that another spends its coins for more", BITCOIN, stuck, 12, expected)
    node.mine(3)
    yield Look("The same one, once that other one is final", BITCOIN, stuck, 12, expected | {"final": True})


def _bitcoin_reorged(node: Bitcoind) -> Iterator[Look]:
    moved = _send(node, "0.3", 2 * _FEERATE)
    (block,) = node.mine()
    yield Look("A deposit in the newest block, before a reorganisation", BITCOIN, moved, 10, {"state": "confirming"})
    node.rpc("invalidateblock", block)
    expected = {"state": "pending", "pending.reason": "reorged"}
    yield Look("The same one, after its block left the chain", BITCOIN, moved, 10, expected)


def _send(node: Bitcoind, amount: str, feerate: int) -> str:
    """Pay ``amount`` BTC to an address of nobody's, at ``feerate`` sat/vB."""
    output = [{ANYONE: amount}]
    answer = node.rpc("send", output, None, "unset", feerate, {"replaceable": True}, wallet=WALLET)
    txid: str = answer["txid"]
    return txid


def _spend_change(node: Bitcoind, parent: str, feerate: int) -> str:
    """Pay nobody with the change of ``parent`` at ``feerate`` sat/vB; a wallet would make up for the parent's."""
    outputs = node.rpc("getrawtransaction", parent, 1)["vout"]
    change = next(each for each in outputs if each["scriptPubKey"]["address"] != ANYONE)
    satoshis = int(change["value"] * 10**8) - feerate * 122  # vB of one P2WPKH input and one P2WSH output
    amount = f"{satoshis // 10**8}.{satoshis % 10**8:08d}"
    raw = node.rpc("createrawtransaction", [{"txid": parent, "vout": change["n"]}], [{ANYONE: amount}])
    signed = node.rpc("signrawtransactionwithwallet", raw, wallet=WALLET)["hex"]
    txid: str = node.rpc("sendrawtransaction", signed)
    return txid
