"""What the desk may expect of every chain family, on a real node of each. Truth is what the node itself says.

A family joins by adding a `Bench` to `BENCHES`.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest

from cryptosupport.chains import bitcoin, evm
from cryptosupport.context import SystemClock
from cryptosupport.domain.addresses import Address
from cryptosupport.domain.errors import BadInput, BadSettings, NodesFailed
from cryptosupport.domain.money import Asset
from cryptosupport.domain.ports import Chain
from cryptosupport.domain.transactions import (
    Confirmed,
    Confirming,
    Detail,
    NotFound,
    Pending,
    PendingReason,
    Sighting,
    Unknown,
)
from cryptosupport.outside.nodes import Anvil, Bitcoind
from cryptosupport.settings import AssetSettings, ChainSettings, Endpoint
from cryptosupport.transport import open_nodes


@dataclass
class Bench:
    """A chain of three required confirmations over a private node, and how to make things happen on it."""

    settings: ChainSettings
    open_chain: Callable[..., Chain]
    pay: Callable[[], str]
    mine: Callable[[int], None]
    undo_block: Callable[[], None]
    height: Callable[[], int]
    block_of: Callable[[str], tuple[str, int]]
    paid: int
    address: str
    wallet: tuple[str, str | None]  # that pays: its name, and its address where it has one
    held: Callable[[], int]  # by it, as the node says itself
    nodes: list[Any]

    @property
    def chain(self) -> Chain:
        return self.at(*self.settings.endpoints)

    def at(self, *endpoints: str | Endpoint) -> Chain:
        """The chain, over these endpoints; closed when the test ends."""
        settings = ChainSettings(
            family=self.settings.family,
            name=self.settings.name,
            chain_id=self.settings.chain_id,
            network=self.settings.network,
            endpoints=tuple(endpoints),
            confirmations=3,
            explorer="https://explorer.example/tx/{txid}",
            assets=self.settings.assets,
        )
        clock = SystemClock()
        self.nodes.append(open_nodes(settings, clock))
        return self.open_chain(settings, self.nodes[-1], clock)


def evm_bench(anvil: Anvil) -> Bench:
    sender, receiver = anvil.rpc("eth_accounts")[:2]
    anvil.rpc("evm_setAutomine", False)

    def pay() -> str:
        txid: str = anvil.rpc("eth_sendTransaction", {"from": sender, "to": receiver, "value": "0x64", "gas": "0x5208"})
        return txid

    def block_of(txid: str) -> tuple[str, int]:
        receipt = anvil.rpc("eth_getTransactionReceipt", txid)
        return receipt["blockHash"], int(receipt["blockNumber"], 16)

    return Bench(
        settings=ChainSettings(
            family="evm",
            name="dev",
            chain_id=31337,
            endpoints=(Endpoint(url=anvil.url, own=True),),
            assets={"ETH": AssetSettings(decimals=18)},
        ),
        open_chain=evm.open_chain,
        pay=pay,
        mine=anvil.mine,
        undo_block=lambda: anvil.rpc("anvil_rollback", 1),
        height=lambda: int(anvil.rpc("eth_blockNumber"), 16),
        block_of=block_of,
        paid=100,
        address="0x52908400098527886E0F7030069857D2E4169EE7",
        wallet=("hot-eth", sender),
        held=lambda: int(anvil.rpc("eth_getBalance", sender, "latest"), 16),
        nodes=[],
    )


def bitcoin_bench(bitcoind: Bitcoind) -> Bench:
    address = bitcoind.rpc("getnewaddress", "", "bech32", wallet="miner")
    foreign = "bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85"

    def pay() -> str:
        txid: str = bitcoind.rpc("sendtoaddress", foreign, "0.00000600", wallet="miner")
        return txid

    def block_of(txid: str) -> tuple[str, int]:
        block_hash = bitcoind.rpc("getrawtransaction", txid, 1)["blockhash"]
        return block_hash, bitcoind.rpc("getblockheader", block_hash)["height"]

    return Bench(
        settings=ChainSettings(
            family="bitcoin",
            name="dev",
            network="regtest",
            endpoints=(Endpoint(url=bitcoind.url, own=True, rpc_user=bitcoind.user, rpc_password=bitcoind.password),),
            assets={"BTC": AssetSettings(decimals=8)},
        ),
        open_chain=bitcoin.open_chain,
        pay=pay,
        mine=lambda count: bitcoind.mine(count),
        undo_block=lambda: bitcoind.rpc("invalidateblock", bitcoind.rpc("getbestblockhash")),
        height=lambda: bitcoind.rpc("getblockcount"),
        block_of=block_of,
        paid=600,
        address=address,
        wallet=("miner", None),
        held=lambda: int(bitcoind.rpc("getbalances", wallet="miner")["mine"]["trusted"] * 10**8),
        nodes=[],
    )


BENCHES = {"evm": ("anvil", evm_bench), "bitcoin": ("bitcoind", bitcoin_bench)}


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    fixture, make = BENCHES[request.param]
    made = make(request.getfixturevalue(fixture))
    yield made
    for nodes in made.nodes:
        nodes.close()


def absent(bench: Bench) -> str:
    own = bench.chain.txid("ab" * 32)
    assert own is not None
    return own


def closed_endpoint(bench: Bench) -> Endpoint:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return Endpoint(url=f"http://127.0.0.1:{free.getsockname()[1]}", timeout="2s")


def test_a_payment_goes_from_pending_over_confirming_to_confirmed(bench: Bench) -> None:
    txid = bench.pay()
    (pending,) = bench.chain.look_up([txid], Detail.FULL, {})
    assert isinstance(pending.status, Pending)
    assert pending.final is False
    for confirmations in (1, 2, 3, 4):
        bench.mine(1)
        (report,) = bench.chain.look_up([txid], Detail.FULL, {})
        block_hash, height = bench.block_of(txid)
        assert isinstance(report.status, Confirmed if confirmations >= 3 else Confirming)
        assert report.status.confirmations == confirmations
        assert report.status.confirmations == bench.height() - height + 1
        assert report.status.required == 3
        assert (report.status.block.hash, report.status.block.height) == (block_hash, height)
        assert report.status.block.time is not None
        assert report.final is (confirmations >= 3)


def test_a_report_names_its_chain_source_explorer_fee_and_the_money_moved(bench: Bench) -> None:
    txid = bench.pay()
    bench.mine(3)
    (report,) = bench.chain.look_up([txid], Detail.FULL, {})
    assert (report.txid, report.chain) == (txid, "dev")
    assert report.source is not None
    assert report.source.startswith("127.0.0.1")
    assert report.explorer == f"https://explorer.example/tx/{txid}"
    assert report.fee is not None
    assert report.fee.base_units > 0
    assert bench.paid in [transfer.amount.base_units for transfer in report.transfers]


def test_brief_and_full_and_explain_agree_on_the_state(bench: Bench) -> None:
    old = bench.pay()
    bench.mine(3)
    young = bench.pay()
    bench.mine(1)
    waiting = bench.pay()
    txids = [young, absent(bench), old, waiting]
    states = {
        detail: [(report.txid, report.state, report.final) for report in bench.chain.look_up(txids, detail, {})]
        for detail in Detail
    }
    assert [state for _, state, _ in states[Detail.FULL]] == ["confirming", "not_found", "confirmed", "pending"]
    assert states[Detail.BRIEF] == states[Detail.FULL] == states[Detail.EXPLAIN]


def test_answers_come_in_the_order_of_the_ids_and_repeats_are_answered_twice(bench: Bench) -> None:
    first, second = bench.pay(), bench.pay()
    bench.mine(1)
    txids = [second, first, second]
    assert [report.txid for report in bench.chain.look_up(txids, Detail.FULL, {})] == txids


def test_an_unknown_id_is_not_found_only_by_a_synced_node(bench: Bench) -> None:
    (report,) = bench.chain.look_up([absent(bench)], Detail.FULL, {})
    assert isinstance(report.status, NotFound)
    assert report.status.nodes
    assert report.chain == "dev"  # the desk says on which chains it was not found
    assert report.remember is None


def test_what_was_seen_is_handed_back_for_memory(bench: Bench) -> None:
    txid = bench.pay()
    (pending,) = bench.chain.look_up([txid], Detail.FULL, {})
    assert pending.remember is not None
    assert (pending.remember.chain, pending.remember.txid) == ("dev", txid)
    assert pending.remember.inputs or pending.remember.sender
    bench.mine(1)
    (mined,) = bench.chain.look_up([txid], Detail.FULL, {})
    assert mined.remember is not None
    assert (mined.remember.block_hash, mined.remember.height) == bench.block_of(txid)


def test_a_block_that_is_undone_puts_its_transaction_back_to_waiting(bench: Bench) -> None:
    txid = bench.pay()
    bench.mine(1)
    (mined,) = bench.chain.look_up([txid], Detail.FULL, {})
    assert mined.remember is not None
    memory: dict[str, Sighting] = {txid: mined.remember}
    bench.undo_block()
    (after,) = bench.chain.look_up([txid], Detail.FULL, memory)
    assert after.state in ("pending", "dropped")
    if isinstance(after.status, Pending):
        assert after.status.reason is PendingReason.REORGED
        assert after.status.was_in == mined.remember.block_hash


def test_a_second_node_answers_when_the_first_is_down(bench: Bench) -> None:
    txid = bench.pay()
    bench.mine(3)
    chain = bench.at(closed_endpoint(bench), *bench.settings.endpoints)
    (report,) = chain.look_up([txid], Detail.FULL, {})
    assert report.state == "confirmed"


def test_not_found_needs_every_node_to_say_so(bench: Bench) -> None:
    chain = bench.at(*bench.settings.endpoints, closed_endpoint(bench))
    (report,) = chain.look_up([absent(bench)], Detail.FULL, {})
    assert isinstance(report.status, Unknown)
    assert report.status.code == "unreachable"
    assert any("127.0.0.1" in node for node in report.status.nodes)


def test_no_node_at_all_is_told_with_their_names(bench: Bench) -> None:
    down = closed_endpoint(bench)
    with pytest.raises(NodesFailed, match=r"127\.0\.0\.1") as caught:
        bench.at(down).look_up([absent(bench)], Detail.FULL, {})
    assert [failure.node for failure in caught.value.failures] == [down.url.removeprefix("http://")]
    with pytest.raises(NodesFailed):
        bench.at().look_up([absent(bench)], Detail.FULL, {})


def test_a_block_hash_is_recognised(bench: Bench) -> None:
    txid = bench.pay()
    bench.mine(1)
    block_hash, _ = bench.block_of(txid)
    hint = bench.chain.recognise(block_hash)
    assert hint is not None
    assert hint[0].value == "block_hash"
    assert bench.chain.recognise(absent(bench)) is None


def test_ids_are_told_by_their_form(bench: Bench) -> None:
    chain = bench.chain
    bare, prefixed = "ab" * 32, "0x" + "ab" * 32
    assert {chain.native(bare), chain.native(prefixed)} == {True, False}
    assert chain.txid(bare) == chain.txid(prefixed)
    assert chain.txid("ab" * 31) is None


def test_health_names_the_node_and_its_height(bench: Bench) -> None:
    bench.mine(1)
    (up,) = bench.chain.health()
    assert (up.ok, up.height) == (True, bench.height()), up.message
    (down,) = bench.at(closed_endpoint(bench)).health()
    assert not down.ok
    assert "127.0.0.1" in down.node


def test_an_own_address_is_read_and_foreign_text_is_not(bench: Bench) -> None:
    address = bench.chain.parse_address(bench.address)
    assert address is not None
    assert address.text == bench.address
    assert 0 < address.prefix < len(address.text)
    assert bench.chain.parse_address("hello") is None
    with pytest.raises(BadInput):
        bench.chain.parse_address(bench.address[:-1] + ("q" if bench.address[-1] != "q" else "p")) or _refuse()


def _refuse() -> None:
    raise BadInput("not read at all, which is as good as refused")


def reader_of(settings: ChainSettings) -> Callable[[str], Address | None]:
    """What reads a chain's addresses without opening it."""
    family = import_module(f"cryptosupport.chains.{settings.family}.addresses")
    reader: Callable[[str], Address | None] = family.address_reader(settings)
    return reader


def outcome(read: Callable[[str], Address | None], text: str) -> object:
    try:
        return read(text)
    except BadInput as error:
        return error.message, error.facts


def test_addresses_are_read_without_a_node_just_as_with_one(bench: Bench) -> None:
    read, chain = reader_of(bench.settings), bench.chain
    own, mainnet, badly_copied = bench.address, "bc1qvyq0cc6rahyvsazfdje0twl7ez82ndmuac2lhv", "0x5AAeb6" + "0" * 34
    for text in (own, own.lower(), own[:-1], own[:-1] + "z", mainnet, badly_copied, "hello", ""):
        assert outcome(read, text) == outcome(chain.parse_address, text)
    assert isinstance(outcome(read, own), Address)
    assert isinstance(outcome(read, own[:-1]), tuple)
    assert read("hello") is None


@pytest.mark.parametrize("family", BENCHES)
def test_reading_addresses_loads_no_http_client(family: str) -> None:
    look = f"import sys, cryptosupport.chains.{family}.addresses; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", look], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert f"cryptosupport.chains.{family}.codec" in loaded
    assert not {each for each in loaded if each.startswith(("cryptosupport.transport", "httpcore2", "httpx2", "ssl"))}


def test_a_wallet_holds_what_the_node_says_before_and_after_it_pays(bench: Bench) -> None:
    chain, coin = bench.chain, bench.settings.coin
    before = chain.balance(*bench.wallet, coin)
    assert before == bench.held() > 0
    bench.pay()
    bench.mine(1)
    assert chain.balance(*bench.wallet, coin) == bench.held() != before


def test_a_balance_is_asked_of_the_next_node_when_one_is_down(bench: Bench) -> None:
    down, coin = closed_endpoint(bench), bench.settings.coin
    assert bench.at(down, *bench.settings.endpoints).balance(*bench.wallet, coin) == bench.held()
    with pytest.raises(NodesFailed, match=r"127\.0\.0\.1"):
        bench.at(down).balance(*bench.wallet, coin)


def test_a_balance_of_an_asset_that_the_chain_does_not_have_is_refused(bench: Bench) -> None:
    with pytest.raises(BadSettings, match=r"chains/dev\.toml: DOGE"):
        bench.chain.balance(*bench.wallet, Asset("DOGE", 8))


def test_lookups_run_in_several_threads_at_once(bench: Bench) -> None:
    from concurrent.futures import ThreadPoolExecutor

    txids = [bench.pay() for _ in range(12)]
    bench.mine(1)
    chain = bench.chain
    with ThreadPoolExecutor(4) as pool:
        pieces = list(pool.map(lambda txid: chain.look_up([txid], Detail.FULL, {}), txids * 3))
    assert [piece[0].state for piece in pieces] == ["confirming"] * 36
