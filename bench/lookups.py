"""How fast transactions are looked up, beside other tools and the nodes' own limits."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.ledgers import fill_anvil, fill_bitcoind
from bench.limits import best_combination, recorder, send
from bench.measuring import interleaved
from bench.report import Measured, Row, say, table
from bench.subjects import REPEATS, Rival, Subject
from cryptosupport.outside.nodes import start_anvil, start_bitcoind

TRANSACTIONS = 60_000
FULL_SECONDS, MOST_FULL = 8, 20_000
SAMPLE_SECONDS, MOST_SAMPLE = 0.7, 4_000
LINES = 1_000_000
MOST_SECONDS = 200
"""For one run over many lines: fewer lines are taken where a million would take longer."""

EVM = """\
family = "evm"
chain_id = 31337
endpoints = [{ url = "URL", own = true }]
finality = "finalized"
[assets.ETH]
decimals = 18
[assets.USDX]
decimals = 6
contract = "0x5fbdb2315678afecb367f032d93f642f64180aa3"
"""
BITCOIN = """\
family = "bitcoin"
network = "regtest"
endpoints = [{ url = "URL", own = true, rpc_user = "USER", rpc_password = "PASSWORD" }]
confirmations = 3
[assets.BTC]
decimals = 8
"""


@contextmanager
def subjects(folder: Path) -> Iterator[tuple[Subject, Subject]]:
    """Both chains, filled."""
    with start_anvil("--no-mining", "--slots-in-an-epoch", "1") as evm, start_bitcoind() as bitcoin:
        for name in ("evm", "bitcoin"):
            (folder / name).mkdir()
        web3 = (
            Rival("web3.py, one after the other", "web3_script", evm.url, 100, 900),
            Rival("web3.py, its own batches of 200 ids", "web3_batches", evm.url, 200, 4_200),
        )
        url = bitcoin.url.replace("//", f"//{bitcoin.user}:{bitcoin.password}@")
        others = (
            Rival("python-bitcoinlib, one after the other", "bitcoinlib_loop", url, 100, 2_100),
            Rival("bitcoin-cli, a process for each", "bitcoin_cli", str(bitcoin.folder), 10, 210),
        )
        say(f"filling both chains with {TRANSACTIONS:,} transactions")
        settings = BITCOIN.replace("USER", bitcoin.user).replace("PASSWORD", bitcoin.password)
        yield (
            Subject("EVM (anvil)", evm, EVM, fill_anvil(evm, TRANSACTIONS), web3, folder / "evm"),
            Subject(
                "Bitcoin (bitcoind)",
                bitcoin,
                settings,
                fill_bitcoind(bitcoin, TRANSACTIONS),
                others,
                folder / "bitcoin",
                by_id="getrawtransaction",
            ),
        )


# -- one id, whole process ---------------------------------------------------------------------------------------------


def one_id(subject: Subject) -> list[Row]:
    """From typing a command to the prompt."""
    say(f"{subject.title}: one id, whole process")
    ids = subject.txids

    def ours(number: int) -> float:
        return subject.status("one", ids[number], "--json")

    theirs = [
        lambda number, rival=rival: subject.rival(rival, [ids[number]])
        for rival in subject.rivals
        if rival.name != "web3_batches"
    ]
    ours(0)  # the memory is made, and files are in the cache
    mine, *others = interleaved(11, ours, *theirs)
    rows: list[Row] = [(subject.title, "`tx status TXID --json`", f"{mine * 1000:.0f} ms", "1")]
    names = [rival.title for rival in subject.rivals if rival.name != "web3_batches"]
    for name, seconds in zip(names, others, strict=True):
        name = name.replace(", one after the other", " script").replace(", a process for each", " from Python")
        rows.append((subject.title, name, f"{seconds * 1000:.0f} ms", f"{seconds / mine:.1f}"))
    return rows


# -- many ids ----------------------------------------------------------------------------------------------------------


def many_ids(subject: Subject) -> tuple[list[Row], float]:
    """Full facts of many ids: beside the node's own limit on the same calls, and other tools. Also returns our rate."""

    def ours(run: str, count: int, url: str | None = None, shuffled: bool = False) -> float:
        txids = subject.txids[:count]
        if shuffled:
            random.Random(3).shuffle(txids)
        path = str(subject.file(txids))
        return subject.status(run, "-o", "jsonl", "--input", path, url=url, expected=(0, 12))

    ours("warm", 1_000)
    probed = 1_000 / ours("probe", 1_000)
    count = max(2_000, min(int(probed * FULL_SECONDS), MOST_FULL))
    say(f"{subject.title}: {count:,} ids, full facts")
    with recorder(subject.node.url) as recording:
        ours("recorded", count, recording.url)
    calls = recording.calls()
    url, login = subject.node.url, subject.login
    sample = max(200, min(int(probed * SAMPLE_SECONDS), MOST_SAMPLE))
    connections, size = best_combination(url, login, calls[: len(calls) * sample // count])
    seconds, shuffled, limit = interleaved(
        5,
        lambda number: ours(f"full-{number}", count),
        lambda number: ours(f"shuffled-{number}", count, shuffled=True),
        lambda number: send(url, login, calls, connections, size),
    )
    mine, mixed, raw = count / seconds, count / shuffled, count / limit
    tool = f"the node's limit: the same {len(calls):,} calls raw, {connections} connections, {size} in a batch"
    rows: list[Row] = [
        (subject.title, f"`tx status --input FILE` ({count:,} ids)", f"{mine:,.0f}", "1", f"{mine / raw:.0%}"),
        (subject.title, "the same in random order", f"{mixed:,.0f}", f"{mine / mixed:.2f}", f"{mixed / raw:.0%}"),
        (subject.title, tool, f"{raw:,.0f}", f"{mine / raw:.2f}", "100%"),
    ]
    if subject.by_id:
        tool, rate = f"the node's limit with {subject.by_id} for each id, raw", _by_id(subject, subject.by_id)
        rows.append((subject.title, tool, f"{rate:,.0f}", f"{mine / rate:.1f}", f"{rate / raw:.1%}"))
    for rival in subject.rivals:
        rate = _rate(subject, rival)
        rows.append((subject.title, rival.title, f"{rate:,.0f}", f"{mine / rate:.1f}", f"{rate / raw:.1%}"))
    return rows, mine


def _by_id(subject: Subject, method: str) -> float:
    """Ids a second when each is asked for with ``method`` at its highest detail, raw, in the better of two ways."""
    calls: list[dict[str, object]] = [
        {"jsonrpc": "2.0", "method": method, "params": [txid, 2]} for txid in subject.txids[:1_000]
    ]
    return len(calls) / min(send(subject.node.url, subject.login, calls, 4, size) for size in (50, 200))


def _rate(subject: Subject, rival: Rival) -> float:
    """Ids a second without the start of the process: what many take beyond few."""
    few, many = interleaved(
        3,
        lambda _: subject.rival(rival, subject.txids[: rival.few]),
        lambda _: subject.rival(rival, subject.txids[: rival.many]),
    )
    return (rival.many - rival.few) / (many - few)


def brief(subject: Subject) -> list[Row]:
    """The state alone, of ids that are all different."""
    say(f"{subject.title}: {TRANSACTIONS:,} ids, state alone")
    path = str(subject.file(subject.txids))
    (seconds,) = interleaved(
        3,
        lambda number: subject.status(f"brief-{number}", "--brief", "--input", path, "-o", "jsonl", expected=(0, 12)),
    )
    return [(subject.title, f"{TRANSACTIONS:,}", f"{TRANSACTIONS / seconds:,.0f}")]


# -- memory ------------------------------------------------------------------------------------------------------------


def memory(subject: Subject, rate: float) -> list[Row]:
    """The most memory that a short, a long and a very long input take."""
    rows: list[Row] = []
    long = min(LINES, int(rate * MOST_SECONDS) * REPEATS)
    for lines in sorted({10_000, min(100_000, long), long}):
        say(f"{subject.title}: memory for {lines:,} lines")
        path = str(subject.file(subject.mixture(lines)))
        seconds, most = subject.status_memory(f"memory-{lines}", "--input", path, "-o", "jsonl", expected=(2,))
        told = sum(chunk.count(b"\n") for chunk in _chunks(subject.output))
        if told != lines:
            raise RuntimeError(f"{lines} lines in, {told} lines out")
        rows.append((subject.title, f"{lines:,}", f"{seconds:.1f} s", f"{most:.0f} MB"))
    return rows


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            yield chunk


def lookups(folder: Path) -> Measured:
    """Everything about looking up."""
    single: list[Row] = []
    bulk: list[Row] = []
    states: list[Row] = []
    flat: list[Row] = []
    with subjects(folder) as chains:
        nodes = (
            chains[0].node.rpc("web3_clientVersion"),
            chains[1].node.rpc("getnetworkinfo")["subversion"].strip("/"),
        )
        for subject in chains:
            single += one_id(subject)
            rows, rate = many_ids(subject)
            bulk += rows
            states += brief(subject)
            flat += memory(subject, rate)
    values = {
        "transactions": f"{TRANSACTIONS:,}",
        "limit": str(MOST_SECONDS),
        "single": table(("chain", "tool", "median", "times ours"), single),
        "bulk": table(("chain", "tool", "ids a second", "ours is so many times", "of the node's limit"), bulk),
        "states": table(("chain", "ids, all different", "ids a second"), states),
        "flat": table(("chain", "lines", "time", "most memory"), flat),
    }
    return Measured(values, nodes)
