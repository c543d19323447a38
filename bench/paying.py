"""How fast withdrawals are paid on an EVM chain, beside tools that only send, and how fast the signer signs."""

from __future__ import annotations

import http.client
import json
import random
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.desks import MOST_PASSES, Desk, Passes
from bench.limits import recorder
from bench.measuring import run
from bench.report import Measured, Row, say, table
from cryptosupport.chains.evm.codec import to_checksum
from cryptosupport.chains.evm.signing import address
from cryptosupport.outside.nodes import Anvil, start_anvil
from tests.chains.evm_paying.kit import CONTRACT
from tests.chains.evm_paying.tokens import HONEST, place

COUNT = 5_000
CAST_COUNT = 250
AT_ONCE = 32
"""So many transactions are given to the node at once where nothing else is to be measured, as `withdraw run` does."""

EPOCH = 100
"""A block is final twice so many blocks later: until the first pass is over, nothing is."""

IN_FLIGHT = 64
"""The most that the settings take, so that it is not blocks that are waited for."""

KEY = "1f" * 32
HOT = address(KEY)
ETHER = 10**18
KINDS = {"ETH": "the coin", "USDT": "a token"}

CHAIN = """
family = "evm"
chain_id = 31337
endpoints = ["URL"]
block_time = "1s"
in_flight = {in_flight}
[assets.ETH]
decimals = 18
[assets.USDT]
decimals = 6
contract = "{contract}"
[fees]
max_fee_per_gas = "200 gwei"
max_fee = "0.1 ETH"
"""
WALLET = '[hot]\nchain = "ethereum"\nrole = "hot"\nsigner = "keyring:hot"\naddress = "{address}"\n'
POLICY = '[[rules]]\nname = "one"\nmatch = { asset = ["ETH", "USDT"] }\nmax_amount = "1000"\n'


@dataclass(frozen=True)
class Payment:
    """One payment: what is asked for, and what has to be there in the end."""

    number: int
    destination: str
    base_units: int
    amount: str


def payments(asset: str, count: int) -> list[Payment]:
    """``count`` payments to addresses of their own, of amounts of their own."""
    chance = random.Random(11)
    made = []
    for number in range(count):
        destination, micros = to_checksum(f"0x{chance.getrandbits(160):040x}"), chance.randrange(1, 10**6)
        units = micros * 10**12 if asset == "ETH" else micros
        made.append(Payment(number, destination, units, f"0.{micros:06}".rstrip("0")))
    return made


def desk_on(folder: Path, url: str) -> Desk:
    """A desk that pays from `HOT` on a node."""
    files = {
        "chains/ethereum.toml": CHAIN.format(in_flight=IN_FLIGHT, contract=CONTRACT).replace("URL", url),
        "wallets.toml": WALLET.format(address=HOT),
        "policy.toml": POLICY,
    }
    return Desk(folder, files, KEY)


def requests(asset: str, wanted: list[Payment]) -> Iterator[dict[str, str]]:
    """What is asked for, as `withdraw submit` takes it."""
    for each in wanted:
        told = {"request_id": f"{asset}-{each.number:06}", "customer": f"customer-{each.number}"}
        yield told | {"asset": asset, "chain": "ethereum", "amount": each.amount, "destination": each.destination}


@contextmanager
def chain() -> Iterator[Anvil]:
    """A chain that mines when it is told, where `HOT` has coins and tokens."""
    with start_anvil("--no-mining", "--slots-in-an-epoch", str(EPOCH), "--base-fee", "7") as node:
        node.rpc("anvil_setBalance", HOT, hex(100_000 * ETHER))
        place(node, CONTRACT, HONEST, **{HOT: 10**15})
        yield node


@contextmanager
def mining_at_once(node: Anvil) -> Iterator[str]:
    """Where ``node`` has a block made of what it was sent before it answers; the url.

    Left to itself it would mine beside, and now and then lose track of a nonce that came in meanwhile: what follows
    is then never mined.
    """

    def mine(request: bytes) -> None:
        if b"eth_sendRawTransaction" in request:
            node.mine()

    with recorder(node.url, mine) as server:
        yield server.url


def verify(node: Anvil, asset: str, wanted: list[Payment]) -> None:
    """See that each was paid exactly once, by its balance and by how many transactions there are.

    Raises `RuntimeError`.
    """
    for start in range(0, len(wanted), 500):
        some = wanted[start : start + 500]
        if asset == "ETH":
            calls: list[Any] = [("eth_getBalance", (each.destination, "latest")) for each in some]
        else:
            asked = [f"0x70a08231{each.destination[2:].lower():0>64}" for each in some]
            calls = [("eth_call", ({"to": CONTRACT, "data": data}, "latest")) for data in asked]
        for each, held in zip(some, node.batch(calls), strict=True):
            if int(held, 16) != each.base_units:
                raise RuntimeError(f"{each.destination} has {int(held, 16)}, and was to be paid {each.base_units}")
    used = int(node.rpc("eth_getTransactionCount", HOT, "latest"), 16)
    if used != len(wanted):
        raise RuntimeError(f"{used} transactions for {len(wanted)} payments")


# -- ours, the node's limit, and other tools ---------------------------------------------------------------------------


@dataclass
class Ours(Passes):
    """What it took to pay; ``raws`` are the bytes that were sent, in the order of their nonces."""

    raws: list[bytes] = field(default_factory=list)


def ours(folder: Path, asset: str, wanted: list[Payment]) -> Ours:
    """Take requests in, and pay until all are final."""
    with chain() as node, mining_at_once(node) as url:
        desk = desk_on(folder, url)
        found = Ours(desk.submit(requests(asset, wanted)))
        while found.final < len(wanted):
            if len(found.passes) == MOST_PASSES:
                raise RuntimeError(f"after {MOST_PASSES} passes {found.final} of {len(wanted)} payments are final")
            found.passes.append(desk.one_pass())
            node.mine(2 * EPOCH + 1)
        verify(node, asset, wanted)
        with closing(sqlite3.connect(desk.ledger)) as ledger:
            found.raws = [raw for (raw,) in ledger.execute("select raw from attempt order by payout_id")]
        return found


def node_limit(asset: str, wanted: list[Payment], raws: list[bytes]) -> float:
    """Seconds that the node needs to take and mine the same bytes, in as many blocks, one batch after the other."""
    with chain() as node:
        target = urlsplit(node.url)
        connection = http.client.HTTPConnection(target.hostname or "", target.port)
        began = time.perf_counter()
        for start in range(0, len(raws), AT_ONCE):
            calls = [
                {"jsonrpc": "2.0", "id": place, "method": "eth_sendRawTransaction", "params": ["0x" + raw.hex()]}
                for place, raw in enumerate(raws[start : start + AT_ONCE])
            ]
            connection.request("POST", "/", json.dumps(calls).encode(), {"Content-Type": "application/json"})
            connection.getresponse().read()
            node.mine()
        seconds = time.perf_counter() - began
        connection.close()
        verify(node, asset, wanted)
        return seconds


def rival(folder: Path, name: str, asset: str, wanted: list[Payment]) -> float:
    """Seconds that another tool needs for the same payments, until a block has the last; whole process."""
    with chain() as node:
        told = {"token": None if asset == "ETH" else CONTRACT, "key": KEY}
        given = folder / f"{name}.json"
        listed = [(each.destination, str(each.base_units)) for each in wanted]
        given.write_text(json.dumps({**told, "payments": listed}), encoding="utf-8")
        began = time.perf_counter()
        run(["-m", "bench.payers", name, node.url, str(given)])
        seconds = time.perf_counter() - began
        verify(node, asset, wanted)
        return seconds


def paying(folder: Path) -> list[Row]:
    """The table of the report."""
    rows: list[Row] = []
    for asset, title in KINDS.items():
        place = folder / asset.lower()
        place.mkdir()
        wanted = payments(asset, COUNT)
        say(f"paying {title} {COUNT:,} times, and then with other tools")
        found = ours(place, asset, wanted)
        limit = node_limit(asset, wanted, found.raws)
        others = [("web3.py: build, sign, send, one after the other", COUNT, rival(place, "web3_loop", asset, wanted))]
        if shutil.which("cast"):
            seconds = rival(place, "cast_loop", asset, wanted[:CAST_COUNT])
            others.append((f"`cast send`, a process for each ({CAST_COUNT})", CAST_COUNT, seconds))
        rows += _rows(title, found, limit, others)
    return rows


def _rows(title: str, found: Ours, limit: float, others: list[tuple[str, int, float]]) -> list[Row]:
    """The rows of one kind of asset: seconds are of `COUNT` payments, also where fewer were made."""
    mine = COUNT / found.seconds

    def row(what: str, seconds: float, most: str = "") -> Row:
        rate = COUNT / seconds
        times = "1" if seconds == found.seconds else f"{mine / rate:.2g}"
        return (title, what, f"{rate:,.0f}", f"{seconds:.1f}", times, most)

    passes = f"{len(found.passes)} passes of `withdraw run`, whole processes, until all are final"
    return [
        row(passes, found.seconds, f"{found.most:.0f} MB"),
        row("the same without waiting for the node", found.seconds - found.node),
        row("of that, the signer", found.signer),
        row("processor time of all passes", found.cpu),
        row("the node's limit: the same bytes raw, until mined", limit),
        *(row(what, seconds * COUNT / count) for what, count, seconds in others),
        row("before that: `withdraw submit --input FILE`, whole process", found.submitting),
    ]


def measured(folder: Path) -> Measured:
    """What the report says of paying and signing."""
    from bench.signing import COUNT as SIGNATURES
    from bench.signing import signing

    with chain() as node:
        tools = [node.rpc("web3_clientVersion")]
    if shutil.which("cast"):
        done = subprocess.run(["cast", "--version"], check=True, capture_output=True, text=True)
        tools.append(done.stdout.splitlines()[0].replace("cast Version: ", "cast "))
    heads = ("of", "what", "payments a second", f"seconds for {COUNT:,}", "ours is so many times", "most memory")
    values = {
        "payments": f"{COUNT:,}",
        "in_flight": str(IN_FLIGHT),
        "casts": str(CAST_COUNT),
        "paid": table(heads, paying(folder)),
        "signatures": f"{SIGNATURES:,}",
        "signed": table(("what", "a second", "the signer is so many times"), signing(folder), words=1),
    }
    return Measured(values, tuple(tools))
