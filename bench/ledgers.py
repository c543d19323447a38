"""Chains full of transactions to look up, made on private nodes."""

from __future__ import annotations

import random
import struct
from hashlib import sha256

from cryptosupport.outside import scenes
from cryptosupport.outside.nodes import Anvil, Bitcoind

TOKEN_PART = 5  # one in so many EVM transactions moves a token
FAILED_PART = 1_000  # and one in so many fails
EVM_BLOCK = 150
BITCOIN_BLOCK = 2_500
FAN = 1_000
"""Outputs of one transaction that feeds the others."""

_ANYONE_SCRIPT = bytes.fromhex("0020") + sha256(b"\x51").digest()  # P2WSH of OP_TRUE (BIP 141)
_SATOSHIS = 100_000


def fill_anvil(node: Anvil, count: int, seed: int = 1) -> list[str]:
    """Mine ``count`` withdrawals from ten hot wallets to addresses of their own; return their ids.

    Some move a token, some fail. Needs --no-mining and --slots-in-an-epoch 1; all are final afterwards.
    """
    chance = random.Random(seed)
    token, paused, _ = scenes.deploy(node)
    accounts = node.rpc("eth_accounts")
    nonces = {each: int(node.rpc("eth_getTransactionCount", each, "latest"), 16) for each in accounts}
    txids: list[str] = []
    while len(txids) < count:
        block = range(len(txids), min(len(txids) + EVM_BLOCK, count))
        payments = [_payment(number, nonces, chance, token, paused) for number in block]
        txids += node.batch([("eth_sendTransaction", [payment]) for payment in payments])
        node.mine()
    node.mine(3)
    return txids


def _payment(number: int, nonces: dict[str, int], chance: random.Random, token: str, paused: str) -> dict[str, str]:
    recipient = f"0x{chance.getrandbits(160):040x}"
    sender = list(nonces)[number % len(nonces)]
    fees = {"maxFeePerGas": hex(10**11), "maxPriorityFeePerGas": hex(10**9)}
    # anvil works on the calls of a batch in any order, so it must not pick the nonces itself.
    payment = {"from": sender, "nonce": hex(nonces[sender]), **fees}
    nonces[sender] += 1
    if number % FAILED_PART == FAILED_PART - 1:
        return payment | {"to": paused, "value": hex(1), "gas": hex(100_000)}
    if number % TOKEN_PART == TOKEN_PART - 1:
        return payment | {"to": token, "data": scenes.call(recipient, chance.randrange(1, 10**12)), "gas": hex(100_000)}
    return payment | {"to": recipient, "value": hex(chance.randrange(1, 10**15)), "gas": hex(21_000)}


def fill_bitcoind(node: Bitcoind, count: int, seed: int = 1) -> list[str]:
    """Mine ``count`` payments with one input and two outputs to addresses of their own; return their ids.

    Each spends an output of a transaction of its own, which is not among them but in the blocks too. The blocks are
    made of raw transactions that anyone can sign, which spares the wallet and the mempool.
    """
    chance = random.Random(seed)
    rewards = -(-count // FAN)
    hashes = node.mine(100 + rewards)
    txids: list[str] = []
    waiting: list[str] = []
    for block in hashes[:rewards]:
        coinbase = node.rpc("getblock", block)["tx"][0]
        fan = _spend(coinbase, 0, [(_SATOSHIS, _ANYONE_SCRIPT)] * FAN)
        _mine(node, [fan])
        parents = [_parent(fan, vout, chance) for vout in range(min(FAN, count - len(txids)))]
        children = [_payment_of(parent, chance) for parent in parents]
        txids += map(_txid, children)
        waiting += parents + children
        while len(waiting) >= BITCOIN_BLOCK:
            _mine(node, waiting[:BITCOIN_BLOCK])
            waiting = waiting[BITCOIN_BLOCK:]
    if waiting:
        _mine(node, waiting)
    node.mine(3)
    return txids


def _parent(fan: str, vout: int, chance: random.Random) -> str:
    outputs = [(_SATOSHIS // 4, _p2wpkh(chance)), (_SATOSHIS // 2, _ANYONE_SCRIPT)]
    return _spend(_txid(fan), vout, outputs)


def _payment_of(parent: str, chance: random.Random) -> str:
    sent = chance.randrange(1_000, _SATOSHIS // 4)
    outputs = [(sent, _p2wpkh(chance)), (_SATOSHIS // 2 - sent - 300, _p2wpkh(chance))]
    return _spend(_txid(parent), 1, outputs)


def _p2wpkh(chance: random.Random) -> bytes:
    return bytes.fromhex("0014") + chance.randbytes(20)


def _mine(node: Bitcoind, raws: list[str]) -> None:
    """Put ``raws`` into a block."""
    node.rpc("generateblock", f"raw({_ANYONE_SCRIPT.hex()})", raws)


def _spend(txid: str, vout: int, outputs: list[tuple[int, bytes]]) -> str:
    """A transaction (BIP 144) that spends an output that anyone can, with the witness script OP_TRUE."""
    source = bytes.fromhex(txid)[::-1] + struct.pack("<I", vout) + b"\x00" + b"\xfd\xff\xff\xff"
    sinks = b"".join(struct.pack("<q", value) + _counted(script) for value, script in outputs)
    body = b"\x01" + source + _compact(len(outputs)) + sinks
    return (b"\x02\0\0\0" + b"\0\x01" + body + b"\x01\x01\x51" + b"\0\0\0\0").hex()


def _txid(raw: str) -> str:
    """The id of a transaction of `_spend`: the hash of what it is without marker, flag and witness."""
    data = bytes.fromhex(raw)
    plain = data[:4] + data[6:-7] + data[-4:]
    return sha256(sha256(plain).digest()).digest()[::-1].hex()


def _compact(number: int) -> bytes:
    return bytes([number]) if number < 0xFD else b"\xfd" + struct.pack("<H", number)


def _counted(data: bytes) -> bytes:
    return _compact(len(data)) + data
