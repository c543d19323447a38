"""Finding the chain, asking in windows, merging what several chains say. Chains here are real ones on real nodes."""

from __future__ import annotations

import math
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cryptosupport.chains.bitcoin import open_chain as open_bitcoin
from cryptosupport.chains.evm import open_chain as open_evm
from cryptosupport.context import SystemClock
from cryptosupport.desk.look_up import Question, Wait, look_up, look_up_all, tell, watch
from cryptosupport.domain.errors import BadInput, Interrupted, NotATxid
from cryptosupport.domain.identifiers import explorer
from cryptosupport.domain.ports import Chain, Memory
from cryptosupport.domain.transactions import (
    BadLine,
    Confirmed,
    Detail,
    Hint,
    NotFound,
    Pending,
    TxReport,
    Unknown,
)
from cryptosupport.ledger.sightings import Forgetful, Sightings
from cryptosupport.outside.nodes import Anvil, Bitcoind
from cryptosupport.settings import AssetSettings, ChainSettings, Endpoint
from cryptosupport.transport import Nodes, open_nodes
from tests.chains.evmkit import node_of
from tests.hostile import HostileNode

ABSENT = "ab" * 32


class Desk:
    """Questions over real nodes."""

    def __init__(self) -> None:
        self.opened: list[Nodes] = []

    def evm(self, name: str, node: Anvil | str) -> Chain:
        url = node if isinstance(node, str) else node.url
        settings = ChainSettings(
            family="evm", name=name, chain_id=31337, confirmations=1, 
            endpoints=(Endpoint(url=url, own=True, timeout="3s"),),
            assets={"ETH": AssetSettings(decimals=18)}, block_time="1s",
        )  # fmt: skip
        self.opened.append(open_nodes(settings, SystemClock()))
        return open_evm(settings, self.opened[-1], SystemClock())

    def bitcoin(self, node: Bitcoind) -> Chain:
        endpoint = Endpoint(url=node.url, own=True, rpc_user=node.user, rpc_password=node.password)
        settings = ChainSettings(
            family="bitcoin", name="btc", network="regtest", confirmations=1, endpoints=(endpoint,),
            assets={"BTC": AssetSettings(decimals=8)}, block_time="1s",
        )  # fmt: skip
        self.opened.append(open_nodes(settings, SystemClock()))
        return open_bitcoin(settings, self.opened[-1], SystemClock())

    def ask(self, *chains: Chain, memory: Memory | None = None, named: bool = False) -> Question:
        explorers = [
            one for chain in chains for one in explorer(chain.name, f"https://{chain.name}.example/tx/{{txid}}")
        ]
        return Question(chains, explorers, memory or Forgetful(), SystemClock(), Detail.FULL, named)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    for nodes in made.opened:
        nodes.close()


@pytest.fixture
def down() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def pay(anvil: Anvil, value: int = 1) -> str:
    sender, receiver = anvil.rpc("eth_accounts")[:2]
    txid: str = anvil.rpc("eth_sendTransaction", {"from": sender, "to": receiver, "value": hex(value)})
    return txid


def test_the_chain_that_knows_the_id_is_found_by_asking_all(desk: Desk, anvil_with: Callable[..., Anvil]) -> None:
    one, two = anvil_with(), anvil_with()
    txid = pay(two, 7)
    report = look_up(txid, desk.ask(desk.evm("one", one), desk.evm("two", two)))
    assert (report.chain, report.state) == ("two", "confirmed")
    assert report.also_on == ()


def test_an_id_on_two_chains_is_told_as_such(desk: Desk, anvil_with: Callable[..., Anvil]) -> None:
    one, two = anvil_with(), anvil_with()
    txid = pay(one)
    assert pay(two) == txid  # same key, nonce and chain id: a replay
    report = look_up(txid, desk.ask(desk.evm("one", one), desk.evm("two", two)))
    assert (report.chain, report.also_on) == ("one", ("two",))


def test_found_anywhere_is_found_though_another_chain_is_down(desk: Desk, anvil: Anvil, down: str) -> None:
    txid = pay(anvil)
    report = look_up(txid, desk.ask(desk.evm("down", down), desk.evm("up", anvil)))
    assert (report.chain, report.state) == ("up", "confirmed")


def test_not_found_needs_every_chain_and_names_them(desk: Desk, anvil: Anvil, down: str) -> None:
    unknown = look_up(f"0x{ABSENT}", desk.ask(desk.evm("down", down), desk.evm("up", anvil)))
    assert isinstance(unknown.status, Unknown)
    assert unknown.status.code == "unreachable"
    assert down.removeprefix("http://") in unknown.status.nodes
    missing = look_up(f"0x{ABSENT}", desk.ask(desk.evm("one", anvil), desk.evm("two", anvil)))
    assert isinstance(missing.status, NotFound)
    assert (missing.chain, missing.asked) == (None, ("one", "two"))


def test_an_id_that_lost_its_0x_is_found_after_bitcoin_said_no(desk: Desk, anvil: Anvil, bitcoind: Bitcoind) -> None:
    txid = pay(anvil)
    question = desk.ask(desk.bitcoin(bitcoind), desk.evm("eth", anvil))
    for report in (look_up(txid[2:], question), next(look_up_all([txid[2:]], question))):
        assert isinstance(report, TxReport)
        assert (report.chain, report.txid) == ("eth", txid)
    neither = look_up(ABSENT, question)
    assert isinstance(neither.status, NotFound)
    assert set(neither.asked) == {"btc", "eth"}


def test_a_link_asks_only_its_own_chain(desk: Desk, anvil: Anvil, down: str) -> None:
    question = desk.ask(desk.evm("down", down), desk.evm("up", anvil))
    report = look_up(f"https://up.example/tx/0x{ABSENT}", question)
    assert isinstance(report.status, NotFound)
    assert (report.chain, report.asked) == (None, ("up",))


def test_a_link_to_a_chain_that_is_not_asked_is_told_how_to_ask(desk: Desk, anvil: Anvil) -> None:
    question = desk.ask(desk.evm("up", anvil))
    question.explorers = explorer("off", "https://off.example/tx/{txid}")
    with pytest.raises(BadInput, match="--chain off"):
        look_up(f"https://off.example/tx/0x{ABSENT}", question)


def test_dropped_needs_every_chain_too(desk: Desk, anvil_with: Callable[..., Anvil], down: str, tmp_path: Path) -> None:
    memory = Sightings(tmp_path / "s.db", pytest.fail)
    one, two = anvil_with(), anvil_with()
    one.rpc("evm_setAutomine", False)
    txid = pay(one)
    assert look_up(txid, desk.ask(desk.evm("one", one), memory=memory)).state == "pending"
    one.rpc("anvil_dropTransaction", txid)
    hidden = look_up(txid, desk.ask(desk.evm("one", one), desk.evm("two", down), memory=memory))
    assert isinstance(hidden.status, Unknown)
    assert pay(two) == txid
    replayed = look_up(txid, desk.ask(desk.evm("one", one), desk.evm("two", two), memory=memory))
    assert (replayed.chain, replayed.state, replayed.also_on) == ("two", "confirmed", ())
    memory.close()


def test_a_block_hash_is_told_to_be_one(desk: Desk, anvil: Anvil) -> None:
    block = anvil.rpc("eth_getBlockByNumber", "latest", False)["hash"]
    report = look_up(block, desk.ask(desk.evm("eth", anvil)))
    assert isinstance(report.status, NotFound)
    assert report.status.hint is Hint.BLOCK_HASH


def test_an_id_of_no_configured_form_is_bad_input(desk: Desk, anvil: Anvil, bitcoind: Bitcoind) -> None:
    with pytest.raises(BadInput, match="btc"):
        look_up(f"0x{ABSENT}", desk.ask(desk.bitcoin(bitcoind)))
    named = look_up(f"0x{ABSENT}", desk.ask(desk.bitcoin(bitcoind), named=True))
    assert (named.state, named.txid) == ("not_found", ABSENT)


def test_the_only_id_being_bad_is_an_error_and_one_of_many_is_a_line(desk: Desk, anvil: Anvil) -> None:
    question = desk.ask(desk.evm("eth", anvil))
    with pytest.raises(NotATxid):
        list(tell(["0x12…ab"], question, single=True, wait=None))
    txid = pay(anvil)
    rows = list(tell([txid, "0x12…ab\n", txid], question, single=False, wait=None))
    assert [type(row) for row in rows] == [TxReport, BadLine, TxReport]
    assert isinstance(rows[1], BadLine)
    assert (rows[1].line, rows[1].input) == (2, "0x12…ab")


def test_many_lines_keep_their_order_across_windows(desk: Desk, anvil: Anvil) -> None:
    txids = [pay(anvil, value) for value in range(1, 40)]
    chain = desk.evm("eth", anvil)
    lines = [*txids * 20, f"0x{ABSENT}", "junk", *reversed(txids * 20)]
    rows = list(look_up_all(lines, desk.ask(chain)))
    assert [row.txid if isinstance(row, TxReport) else row.input for row in rows] == lines
    assert len(lines) > 2 * chain.lookups_per_call * chain.connections or chain.lookups_per_call > 100


def test_a_repeat_is_asked_for_once_and_batches_are_asked_at_the_same_time(desk: Desk) -> None:
    ids = [f"0x{number:064x}" for number in range(1, 301)]
    first_and_last = threading.Barrier(2, timeout=30)  # of different batches: they pass only when asked together

    def unknown(txid: str) -> None:
        if txid in (ids[0], ids[-1]):
            first_and_last.wait()

    with HostileNode(node_of({"eth_getTransactionByHash": unknown})) as node:
        rows = list(look_up_all([*ids, *ids], desk.ask(desk.evm("eth", node.url))))
        asked = [params[0] for method, params in node.calls if method == "eth_getTransactionByHash"]
        requests = len(node.requests)
    assert [(row.txid, row.state) for row in rows if isinstance(row, TxReport)] == [
        (txid, "not_found") for txid in ids * 2
    ]
    assert sorted(asked) == ids
    assert requests < len(ids) / 10
    assert not first_and_last.broken


def test_an_id_and_a_link_to_it_are_one_question(desk: Desk, anvil: Anvil, bitcoind: Bitcoind) -> None:
    txid, absent = pay(anvil), f"0x{ABSENT}"
    question = desk.ask(desk.evm("eth", anvil), desk.bitcoin(bitcoind))
    link = "https://eth.example/tx/{}".format
    lines = [txid, link(txid), link(txid), txid, link(absent), absent, txid[2:], link(txid[2:]), ABSENT]
    told = [row.state for row in look_up_all(lines, question) if isinstance(row, TxReport)]
    assert told == ["confirmed"] * 4 + ["not_found"] * 2 + ["confirmed"] * 2 + ["not_found"]


def test_lines_are_taken_as_they_are_told_not_all_before(desk: Desk, anvil: Anvil) -> None:
    txid = pay(anvil)
    chain = desk.evm("eth", anvil)
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield txid

    rows = look_up_all(endless(), desk.ask(chain))
    window = chain.lookups_per_call * chain.connections
    for _ in range(3 * window):
        next(rows)
    rows.close()  # type: ignore[attr-defined]
    assert taken <= 6 * window


def test_what_is_known_is_told_before_a_line_is_waited_for(desk: Desk, anvil: Anvil) -> None:
    txids = [pay(anvil, value) for value in (1, 2, 3)]
    taken = 0

    def slow() -> Iterator[str]:
        nonlocal taken
        for txid in txids:
            taken += 1
            yield txid

    for number, row in enumerate(look_up_all(slow(), desk.ask(desk.evm("eth", anvil)), ready=lambda: False), 1):
        assert isinstance(row, TxReport)
        assert (row.txid, taken) == (txids[number - 1], number)


def test_what_was_seen_once_is_known_later(desk: Desk, anvil: Anvil, tmp_path: Path) -> None:
    memory = Sightings(tmp_path / "s.db", pytest.fail)
    anvil.rpc("evm_setAutomine", False)
    question = desk.ask(desk.evm("eth", anvil), memory=memory)
    txid = pay(anvil)
    assert look_up(txid, question).state == "pending"
    anvil.rpc("anvil_dropTransaction", txid)
    assert look_up(txid, question).state == "dropped"
    assert look_up(txid, desk.ask(desk.evm("eth", anvil))).state == "not_found"
    memory.close()


class StepClock(SystemClock):
    """A clock whose sleep does something in the world."""

    def __init__(self, step: Callable[[], None]) -> None:
        self.step = step

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.step()


def test_waiting_ends_when_all_is_final(desk: Desk, anvil: Anvil) -> None:
    anvil.rpc("evm_setAutomine", False)
    txid = pay(anvil)
    question = desk.ask(desk.evm("eth", anvil))
    question.clock = StepClock(lambda: anvil.mine(1))
    heard: list[str] = []
    (row,) = watch([txid], question, Wait(60, lambda report: heard.append(report.state)))
    assert isinstance(row, TxReport)
    assert isinstance(row.status, Confirmed)
    assert heard == ["pending", "confirmed"]
    assert question.clock.ends_at == math.inf


def test_waiting_ends_when_the_time_is_up(desk: Desk, anvil: Anvil) -> None:
    anvil.rpc("evm_setAutomine", False)
    question = desk.ask(desk.evm("eth", anvil))
    (row,) = watch([pay(anvil)], question, Wait(0.0, lambda report: None))
    assert isinstance(row, TxReport)
    assert isinstance(row.status, Pending)


def test_waiting_for_one_that_cannot_be_is_refused_like_a_single_look(
    desk: Desk, anvil: Anvil, bitcoind: Bitcoind
) -> None:
    wait = Wait(0.0, lambda report: None)
    with pytest.raises(BadInput, match="btc"):
        list(tell([f"0x{ABSENT}"], desk.ask(desk.bitcoin(bitcoind)), single=True, wait=wait))
    block = anvil.rpc("eth_getBlockByNumber", "latest", False)["hash"]
    (report,) = tell([block], desk.ask(desk.evm("eth", anvil)), single=True, wait=wait)
    assert isinstance(report, TxReport)
    assert isinstance(report.status, NotFound)
    assert report.status.hint is Hint.BLOCK_HASH


def test_a_block_hash_is_recognised_by_a_node_without_an_index(
    desk: Desk, bitcoind_with: Callable[..., Bitcoind]
) -> None:
    node = bitcoind_with("-txindex=0")
    report = look_up(node.rpc("getbestblockhash"), desk.ask(desk.bitcoin(node)))
    assert isinstance(report.status, NotFound)
    assert report.status.hint is Hint.BLOCK_HASH
    assert look_up(ABSENT, desk.ask(desk.bitcoin(node))).state == "unknown"


def test_interrupted_waiting_tells_what_is_known(desk: Desk, anvil: Anvil) -> None:
    anvil.rpc("evm_setAutomine", False)
    question = desk.ask(desk.evm("eth", anvil))

    def interrupt() -> None:
        raise KeyboardInterrupt

    question.clock = StepClock(interrupt)
    rows = watch([pay(anvil), "junk"], question, Wait(None, lambda report: None))
    assert isinstance(first := next(rows), TxReport)
    assert first.state == "pending"
    assert isinstance(second := next(rows), BadLine)
    assert second.line == 2
    with pytest.raises(Interrupted):
        next(rows)
