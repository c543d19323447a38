"""How fast, and for what fee, withdrawals are paid together on Bitcoin, beside the node's own wallet."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.desks import MOST_PASSES, Desk, Passes
from bench.measuring import run
from bench.report import Measured, Row, say, table
from cryptosupport.chains.bitcoin.codec import address_of
from cryptosupport.outside.batch_scenes import DESCRIPTOR, WORDS
from cryptosupport.outside.nodes import Bitcoind, start_bitcoind

SIZES = (100, 500, 2_000)
MANY = 5_000
COINS = 100
"""Each wallet has so many coins of `COIN`, all in blocks."""

COIN = "1"
MATURE = 16
"""Rewards of 50 coins that can be spent."""

CONFIRMATIONS = 3
TOGETHER = 500
"""So many recipients has a transaction of `withdraw run` at most."""

CHAIN = """
family = "bitcoin"
network = "regtest"
endpoints = [{{ url = "{url}", own = true, cookie_file = "{cookie}" }}]
confirmations = {confirmations}
[assets.BTC]
decimals = 8
[fees]
max_fee = "0.01 BTC"
max_feerate = "100 sat/vB"
"""
WALLET = """
[hot]
chain = "bitcoin"
role = "hot"
signer = "keyring:hot"
descriptor = "{descriptor}"
birthday = 2020-01-01
"""
POLICY = '[[rules]]\nname = "one"\nmatch = { asset = "BTC" }\nmax_amount = "1"\n'


@dataclass(frozen=True)
class Payment:
    """One payment: what is asked for, and what has to be there in the end, in satoshis."""

    destination: str
    satoshis: int

    @property
    def amount(self) -> str:
        """In whole coins."""
        return f"0.{self.satoshis:08d}"


@dataclass(frozen=True)
class Cost:
    """What payments took: seconds, transactions, vB and satoshis of fees."""

    count: int
    seconds: float
    transactions: int
    vbytes: int
    fee: int


class Stage:
    """A chain, a desk whose wallet it watches, two wallets of its own that hold their keys, and all that was asked."""

    def __init__(self, folder: Path, node: Bitcoind) -> None:
        self.node, self._folder = node, folder
        self._chance = random.Random(17)
        self._asked: list[Payment] = []
        self.desk = Desk(folder, _files(node), WORDS)
        self.desk.tell("wallet", "import", "hot")
        node.rpc("createwallet", "miner")
        node.mine(MATURE, node.rpc("getnewaddress", wallet="miner"))
        node.mine(100)
        for name in ("sendmany", "sendtoaddress"):
            node.rpc("createwallet", name)
        for name in ("hot", "sendmany", "sendtoaddress"):
            homes = {node.rpc("getnewaddress", "", "bech32", wallet=name): COIN for _ in range(COINS)}
            node.rpc("sendmany", "", homes, wallet="miner")
        node.mine(CONFIRMATIONS)

    def payments(self, count: int) -> list[Payment]:
        """Payments to addresses of nobody's (P2WPKH), each of its own."""
        made = []
        for _ in range(count):
            address = address_of(b"\x00\x14" + self._chance.randbytes(20), "regtest")
            assert address is not None
            made.append(Payment(address, self._chance.randrange(1_000, 50_000)))
        self._asked += made
        return made

    def pay(self, wanted: Sequence[Payment]) -> tuple[Passes, Cost]:
        """Pay by `withdraw run`, until all are final; its cost is of the first pass, after which all is sent."""
        first = len(self._asked)
        requests = (
            {"request_id": f"w-{first + number:06}", "customer": f"customer-{number}", "asset": "BTC"}
            | {"chain": "bitcoin", "amount": each.amount, "destination": each.destination}
            for number, each in enumerate(wanted)
        )
        found = Passes(self.desk.submit(requests))
        while found.final < len(wanted):
            if len(found.passes) == MOST_PASSES:
                raise RuntimeError(f"after {MOST_PASSES} passes {found.final} of {len(wanted)} payments are final")
            found.passes.append(self.desk.one_pass())
            self.node.mine(CONFIRMATIONS)
        sent = found.passes[0]
        txids = list(dict.fromkeys(each["txid"] for each in sent.moved))
        return found, self._cost(len(wanted), sent.seconds, txids)

    def rival(self, name: str, wanted: Sequence[Payment], most: int) -> Cost:
        """Pay by the node's own wallet, ``most`` at once; the whole process, without the blocks that it has made."""
        given, told = self._folder / f"{name}.json", self._folder / "told.json"
        given.write_text(json.dumps([(each.destination, each.amount) for each in wanted]), encoding="utf-8")
        url = self.node.url.replace("://", f"://{self.node.user}:{self.node.password}@")
        seconds = run(["-m", "bench.corewallet", name, f"{url}/wallet/{name}", str(given), str(most)], told)
        said = json.loads(told.read_text(encoding="utf-8"))
        self.node.mine()
        return self._cost(len(wanted), seconds - said["waited"], said["txids"])

    def _cost(self, count: int, seconds: float, txids: Sequence[str]) -> Cost:
        """All of ``txids`` are in blocks: only then the node tells what each has cost."""
        told = self.node.batch([("getrawtransaction", (each, 2)) for each in txids])
        fee = sum(round(each["fee"] * 10**8) for each in told)
        return Cost(count, seconds, len(txids), sum(each["vsize"] for each in told), fee)

    def verify(self) -> None:
        """See that each was paid exactly once: its one output, and no satoshi more. Raises `RuntimeError`."""
        wanted = {each.destination: each.satoshis for each in self._asked}
        found = self.node.rpc("scantxoutset", "start", [f"addr({each})" for each in wanted])["unspents"]
        held: dict[str, list[int]] = {}
        for each in found:
            address = each["desc"].partition("(")[2].partition(")")[0]
            held.setdefault(address, []).append(round(each["amount"] * 10**8))
        for address, satoshis in wanted.items():
            if held.get(address) != [satoshis]:
                raise RuntimeError(f"{address} has {held.get(address, [])}, and was to be paid {satoshis}")
        self.desk.tell("reconcile")  # which ends otherwise than with 0 where anything is wrong


def _files(node: Bitcoind) -> Mapping[str, str]:
    chain = CHAIN.format(url=node.url, cookie=node.cookie_file, confirmations=CONFIRMATIONS)
    return {"chains/bitcoin.toml": chain, "wallets.toml": WALLET.format(descriptor=DESCRIPTOR), "policy.toml": POLICY}


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """A chain and its desk."""
    with start_bitcoind() as node:
        yield Stage(folder, node)


# -- the tables --------------------------------------------------------------------------------------------------------


def compared(place: Stage) -> list[Row]:
    """100, 500 and 2,000 recipients, each way in turn."""
    rows: list[Row] = []
    for count in SIZES:
        say(f"paying {count:,} recipients on Bitcoin, in three ways")
        found, ours = place.pay(place.payments(count))
        many = place.rival("sendmany", place.payments(count), count)
        each = place.rival("sendtoaddress", place.payments(count), 1)

        until = replace(ours, seconds=found.seconds)
        costs = {
            "`withdraw run`: the pass that pays, whole process": ours,
            f"the same until all are final, {len(found.passes)} passes": until,
            "`sendmany`, keys in the node": many,
            "`sendtoaddress` for each, keys in the node": each,
        }
        rows += [_row(what, cost, ours, each) for what, cost in costs.items()]
    return rows


def _row(what: str, cost: Cost, ours: Cost, single: Cost) -> Row:
    """One way to pay, beside ours, and beside the fee of one transaction for each."""
    took, times = cost.seconds, "1" if cost is ours else f"{cost.seconds / ours.seconds:.2g}"
    share, vbytes = cost.fee / cost.count, cost.vbytes / cost.count
    facts = (f"{cost.transactions:,}", f"{took:.2f}", f"{1000 * took / cost.count:.1f}", times)
    part = share / (single.fee / single.count)
    return (f"{cost.count:,}", what, *facts, f"{vbytes:.1f}", f"{share:.1f}", f"{part:.0%}")


def at_once(place: Stage) -> list[Row]:
    """5,000 requests in one run."""
    say(f"paying {MANY:,} requests on Bitcoin")
    found, ours = place.pay(place.payments(MANY))
    many = place.rival("sendmany", place.payments(MANY), TOGETHER)

    def row(what: str, seconds: float, most: str = "") -> Row:
        times = "1" if seconds == found.seconds else f"{seconds / found.seconds:.2g}"
        return (what, f"{seconds:.1f}", f"{MANY / seconds:,.0f}", times, most)

    passes = f"{len(found.passes)} passes of `withdraw run`, whole processes, until all are final"
    return [
        row(f"{passes}; {ours.transactions} transactions", found.seconds, f"{found.most:.0f} MB"),
        row("the same without waiting for the node", found.seconds - found.node),
        row("of that, the signer", found.signer),
        row("processor time of all passes", found.cpu),
        row("the pass that pays alone, whole process", ours.seconds, f"{found.passes[0].most:.0f} MB"),
        row(f"`sendmany`, {TOGETHER} in each, until sent, keys in the node", many.seconds),
        row("before that: `withdraw submit --input FILE`, whole process", found.submitting),
    ]


HEADS = (
    "recipients", "what", "transactions", "seconds", "ms a withdrawal", "ours is so many times as fast",
    "vB a withdrawal", "satoshis a withdrawal", "of the fee of one each",
)  # fmt: skip


def measured(folder: Path) -> Measured:
    """What the report says of paying on Bitcoin."""
    with stage(folder) as place:
        version = place.node.rpc("getnetworkinfo")["subversion"].strip("/")
        compare, many = compared(place), at_once(place)
        say("holding every recipient's balance against what was asked")
        place.verify()
    heads = ("what", f"seconds for {MANY:,}", "payments a second", "ours is so many times as fast", "most memory")
    values = {
        "batched": table(HEADS, compare),
        "run_of_many": table(heads, many, words=1),
        "batch_most": str(TOGETHER),
        "batch_coins": str(COINS),
        "batch_blocks": str(CONFIRMATIONS),
        "batch_payments": f"{MANY:,}",
    }
    return Measured(values, (version,))
