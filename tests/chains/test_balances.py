"""What a wallet holds, asked of real nodes and of nodes that lie; test_contract.py holds what both families promise."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from cryptosupport.chains.bitcoin.networks import NETWORKS
from cryptosupport.domain.errors import BadSettings, NodeFailed, NodesFailed
from cryptosupport.domain.money import Asset
from cryptosupport.outside.nodes import Anvil, Bitcoind
from cryptosupport.settings import Endpoint
from tests.chains import evmkit, servedbitcoin
from tests.chains.bitcoinkit import BTC, FOREIGN, Purse, chain_over, endpoint, satoshis
from tests.chains.esplorakit import EsploraOf
from tests.chains.evmkit import ALICE, BOB, ETH, HEAD, NOW, deploy, header, node_of, number, words
from tests.chains.servedbitcoin import ADDRESS, INFO, TIP, At
from tests.hostile import BAD_ANSWERS, BAD_RESULTS, JSON, Exchange, HostileNode, Reply, RpcError, with_result

HUGE = 2**256 - 1
TOKEN = "0x" + "70" * 20
USDT = Asset("USDT", 6, TOKEN)
KEEPS_BALANCES = "5f3560e01c6370a08231146011575f5ffd5b600435545f5260205ff3"
"""balanceOf(address) returns the storage word under the address; anything else reverts."""


def token(anvil: Anvil, runtime: str, **held: int) -> Asset:
    """A token of the code ``runtime`` in which ALICE and BOB hold so much."""
    contract = deploy(anvil, runtime)
    for owner, amount in held.items():
        address = {"alice": ALICE, "bob": BOB}[owner]
        anvil.rpc("anvil_setStorageAt", contract, "0x" + words(address), "0x" + words(amount))
    return Asset("USDT", 6, contract)


def refusal(caught: pytest.ExceptionInfo[NodesFailed]) -> NodeFailed:
    (failure,) = caught.value.failures
    assert failure.node.startswith("127.0.0.1")
    return failure


# -- EVM, on a real node ---------------------------------------------------------------------------------------------


def test_the_coin_is_told_in_wei_to_the_last_digit(anvil: Anvil) -> None:
    chain = evmkit.chain_over(anvil.url)
    assert chain.balance("hot-eth", BOB, ETH) == number(anvil.rpc("eth_getBalance", BOB, "latest"))
    for wei in (0, 1, 10**18 + 1, 2**200 + 1, HUGE):
        anvil.rpc("anvil_setBalance", ALICE, hex(wei))
        assert chain.balance("hot-eth", ALICE, ETH) == wei


def test_a_token_is_told_by_its_contract_for_the_one_wallet_that_is_meant(anvil: Anvil) -> None:
    chain = evmkit.chain_over(anvil.url)
    for units in (1, 12_345_678, HUGE):
        usdt = token(anvil, KEEPS_BALANCES, alice=units, bob=7)
        assert chain.balance("hot-eth", ALICE, usdt) == units
        assert chain.balance("hot-eth", BOB, usdt) == 7
        assert chain.balance("hot-eth", TOKEN, usdt) == 0


@pytest.mark.parametrize(
    ("runtime", "said"),
    [
        ("601f5ff3", "it answers 0x" + "00" * 31),
        ("60405ff3", "it answers 0x" + "00" * 64),
        ("00", "it answers 0x"),
        (evmkit.REFUSES_WITH_CALLDATA, "answers with an error"),
    ],
    ids=["31_bytes", "64_bytes", "nothing", "reverts"],
)
def test_a_token_that_gives_no_number_of_32_bytes_has_no_balance(anvil: Anvil, runtime: str, said: str) -> None:
    broken = token(anvil, runtime)
    with pytest.raises(NodesFailed) as caught:
        evmkit.chain_over(anvil.url).balance("hot-eth", ALICE, broken)
    assert refusal(caught).reason == "bad_answer"
    assert said in caught.value.message


def test_an_address_without_a_contract_is_no_token_with_a_balance_of_zero(anvil: Anvil) -> None:
    with pytest.raises(NodesFailed, match=f"no balance of the token {TOKEN}"):
        evmkit.chain_over(anvil.url).balance("hot-eth", ALICE, USDT)


def test_a_node_of_another_chain_is_passed_over(anvil: Anvil) -> None:
    with HostileNode(node_of({"eth_chainId": "0x1", "eth_getBalance": "0x1"})) as other:
        chain = evmkit.chain_over(other.url, anvil.url)
        assert chain.balance("hot-eth", BOB, ETH) == 10_000 * 10**18
        with pytest.raises(NodesFailed, match="is a node of chain 1, and the settings say chain_id = 31337") as caught:
            evmkit.chain_over(other.url).balance("hot-eth", BOB, ETH)
    assert refusal(caught).reason == "wrong_chain"


def test_a_wallet_without_an_evm_address_is_a_fault_of_the_settings() -> None:
    chain = evmkit.chain_over("http://127.0.0.1:9")
    with pytest.raises(BadSettings, match=r"wallets\.toml \[hot-eth\]: give its EVM address"):
        chain.balance("hot-eth", None, ETH)
    with pytest.raises(BadSettings, match=r"wallets\.toml \[hot-eth\]: give its EVM address"):
        chain.balance("hot-eth", FOREIGN, ETH)
    with pytest.raises(BadSettings, match=r"wallets\.toml \[hot-eth\]: address: the checksum"):
        chain.balance("hot-eth", "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", ETH)


def test_another_asset_without_a_contract_is_not_taken_for_the_coin() -> None:
    with pytest.raises(BadSettings, match="WETH has no contract, and the coin is ETH"):
        evmkit.chain_over("http://127.0.0.1:9").balance("hot-eth", ALICE, Asset("WETH", 18))


# -- EVM, on nodes that lie ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asset", [ETH, USDT], ids=["coin", "token"])
@pytest.mark.parametrize("answer", ["0xzz", "", "5", "-0x1", "0x-1", hex(2**256), "0x" + "f" * 5000, 7, None, [], {}])
def test_what_is_no_balance_is_a_bad_answer(answer: object, asset: Asset) -> None:
    with (
        HostileNode(node_of({"eth_getBalance": answer, "eth_call": answer})) as node,
        pytest.raises(NodesFailed) as caught,
    ):
        evmkit.chain_over(node.url).balance("hot-eth", ALICE, asset)
    assert refusal(caught).reason == "bad_answer"
    assert len(caught.value.message) < 500


def test_the_latest_block_is_asked_and_a_token_by_the_address_in_a_word() -> None:
    shouted = ALICE.upper().replace("X", "x")
    with HostileNode(node_of({"eth_getBalance": "0x6", "eth_call": "0x" + words(5)})) as node:
        chain = evmkit.chain_over(node.url)
        assert (chain.balance("hot-eth", shouted, ETH), chain.balance("hot-eth", shouted, USDT)) == (6, 5)
        asked = {method: params for method, params in node.calls if method in ("eth_getBalance", "eth_call")}
    address, block = asked["eth_getBalance"]
    assert (address.lower(), block) == (ALICE, "latest")
    assert asked["eth_call"] == [{"to": TOKEN, "data": "0x70a08231" + words(ALICE)}, "latest"]


BEHIND = {
    "syncing": {"eth_syncing": {"currentBlock": "0x1"}},
    "old_block": {"eth_getBlockByNumber": header(HEAD, timestamp=hex(NOW - 7200))},
}


@pytest.mark.parametrize("late", BEHIND.values(), ids=BEHIND)
def test_a_node_that_is_behind_does_not_tell_yesterdays_balance(late: dict[str, Any]) -> None:
    answers = {"eth_chainId": "0x1", "eth_getBalance": "0x5", "eth_call": "0x" + words(5)}
    with HostileNode(node_of(answers)) as good, HostileNode(node_of({**answers, **late})) as node:
        for asset in (ETH, USDT):
            assert evmkit.chain_over(node.url, good.url, chain_id=1).balance("hot-eth", ALICE, asset) == 5
            with pytest.raises(NodesFailed) as caught:
                evmkit.chain_over(node.url, chain_id=1).balance("hot-eth", ALICE, asset)
            assert refusal(caught).reason == "not_synced"


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_every_way_to_break_http_is_no_balance_on_evm(name: str) -> None:
    with HostileNode(node_of({"eth_getBalance": "0x5"})) as node:
        node.always(BAD_ANSWERS[name])
        with pytest.raises(NodesFailed, match=r"127\.0\.0\.1"):
            evmkit.chain_over(node.url).balance("hot-eth", ALICE, ETH)


@pytest.mark.parametrize("text", BAD_RESULTS, ids=range(len(BAD_RESULTS)))
def test_no_strange_result_is_a_balance_on_evm(text: str) -> None:
    with HostileNode() as node:
        node.always(with_result(text))
        for asset in (ETH, USDT):
            with pytest.raises(NodesFailed, match=r"127\.0\.0\.1"):
                evmkit.chain_over(node.url, chain_id=None).balance("hot-eth", ALICE, asset)


# -- bitcoind --------------------------------------------------------------------------------------------------------


def test_the_nodes_wallet_of_the_wallets_name_is_asked(bitcoind: Bitcoind) -> None:
    bitcoind.rpc("createwallet", "hot btc")
    chain = chain_over(endpoint(bitcoind))
    assert chain.balance("hot btc", None, BTC) == 0
    to = bitcoind.rpc("getnewaddress", wallet="hot%20btc")
    bitcoind.rpc("sendtoaddress", to, "0.29000001", wallet="miner")
    assert chain.balance("hot btc", None, BTC) == 0  # not before it is in a block
    bitcoind.mine(1)
    assert chain.balance("hot btc", None, BTC) == 29_000_001
    held = bitcoind.rpc("getbalances", wallet="miner")["mine"]
    assert chain.balance("miner", None, BTC) == satoshis(held["trusted"])
    assert held["immature"] > 0  # block rewards that cannot be spent yet do not count


def test_change_of_a_payment_that_waits_still_belongs_to_the_wallet(bitcoind: Bitcoind) -> None:
    chain = chain_over(endpoint(bitcoind))
    before = chain.balance("miner", None, BTC)
    txid = bitcoind.rpc("sendtoaddress", FOREIGN, "1", wallet="miner")
    fee = -satoshis(bitcoind.rpc("gettransaction", txid, wallet="miner")["fee"])
    assert fee > 0
    assert chain.balance("miner", None, BTC) == before - 10**8 - fee


def test_a_wallet_that_only_watches_its_descriptor_holds_what_the_keys_hold(bitcoind: Bitcoind) -> None:
    bitcoind.rpc("createwallet", "hot-btc", True, True, "", False, True)
    public = bitcoind.rpc("listdescriptors", wallet="miner")["descriptors"]
    wanted = [
        {name: each[name] for name in ("desc", "active", "internal", "range") if name in each} | {"timestamp": 0}
        for each in public
    ]
    assert all(told["success"] for told in bitcoind.rpc("importdescriptors", wanted, wallet="hot-btc"))
    chain = chain_over(endpoint(bitcoind))
    assert chain.balance("hot-btc", None, BTC) == chain.balance("miner", None, BTC) > 0


def test_a_wallet_that_the_node_does_not_have_is_told_with_what_to_do(bitcoind: Bitcoind) -> None:
    with pytest.raises(NodesFailed, match="has no wallet hot-btc: import its descriptor") as caught:
        chain_over(endpoint(bitcoind)).balance("hot-btc", None, BTC)
    assert refusal(caught).reason == "no_wallet"


def test_another_asset_than_bitcoin_is_refused() -> None:
    with pytest.raises(BadSettings, match="USDT is not BTC"):
        chain_over().balance("hot-btc", None, Asset("USDT", 8, "omni-31"))


def served(own: bool = True, **answers: Any) -> int:
    """The balance by a mainnet bitcoind with ``answers``; what follows "raw:" in one is sent as it stands."""
    with servedbitcoin.Node(**{"getwalletinfo": {"scanning": False}, **answers}) as node:
        node.always(_with_raw_parts)
        chain = chain_over(Endpoint(url=node.url, timeout="3s", own=own), network="mainnet", clock=At())
        try:
            return chain.balance("hot-btc", None, BTC)
        finally:
            assert own or not any("wallet" in request.path for request in node.requests)


def _with_raw_parts(exchange: Exchange) -> Reply:
    return Reply(re.sub(rb'"raw:([^"]*)"', rb"\1", exchange.encoded()))


def held(trusted: str) -> dict[str, Any]:
    """getbalances, with an amount in JSON."""
    return {"mine": {"trusted": f"raw:{trusted}", "untrusted_pending": 5, "immature": 6}}


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0.00000000", 0),
        ("0.00000001", 1),
        ("1e-8", 1),
        ("0.1", 10_000_000),
        ("0.30000001", 30_000_001),
        ("20999999.97690001", 2_099_999_997_690_001),
        ("21000000", 2_100_000_000_000_000),
    ],
)
def test_the_trusted_money_of_a_wallet_is_read_digit_by_digit(text: str, amount: int) -> None:
    assert served(getbalances=held(text)) == amount


@pytest.mark.parametrize(
    "text", ["-1", "-0.00000001", "21000000.00000001", "9" * 400, "1e400", "1e-9", "null", "true", "[]", "{}", ""]
)
def test_what_is_no_amount_of_bitcoin_is_a_bad_answer(text: str) -> None:
    with pytest.raises(NodesFailed) as caught:
        served(getbalances=held(text))
    assert refusal(caught).reason == "bad_answer"


@pytest.mark.parametrize("text", BAD_RESULTS, ids=range(len(BAD_RESULTS)))
def test_no_strange_result_is_a_balance_on_bitcoin(text: str) -> None:
    with servedbitcoin.Node(getbalances="@", getwalletinfo={"scanning": False}) as node:
        strange = text.encode("utf-8", "surrogatepass")
        node.always(lambda exchange: Reply(exchange.encoded().replace(b'"@"', strange)))
        chain = chain_over(Endpoint(url=node.url, timeout="3s", own=True), network="mainnet", clock=At())
        with pytest.raises(NodesFailed, match=r"127\.0\.0\.1"):
            chain.balance("hot-btc", None, BTC)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"getbalances": {"watchonly": {"trusted": 1}}}, "bad_answer"),
        ({"getbalances": RpcError(-32601, "Method not found")}, "bad_answer"),
        ({"getwalletinfo": RpcError(-4, "broken")}, "bad_answer"),
        ({"getwalletinfo": {"scanning": {"duration": 5, "progress": 0.1}}}, "not_synced"),
        ({"getblockchaininfo": {**INFO, "initialblockdownload": True}}, "not_synced"),
        ({"getblockchaininfo": {**INFO, "chain": "test"}}, "wrong_chain"),
    ],
)
def test_a_node_that_cannot_tell_says_why(answers: dict[str, Any], reason: str) -> None:
    with pytest.raises(NodesFailed) as caught:
        served(**{"getbalances": held("1"), **answers})
    assert refusal(caught).reason == reason


def test_the_wallets_of_a_strangers_node_are_not_asked() -> None:
    with pytest.raises(NodesFailed, match="own = true") as caught:
        served(own=False, getbalances=held("1"))
    assert refusal(caught).reason == "no_wallet"


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_every_way_to_break_http_is_no_balance_on_bitcoin(name: str) -> None:
    with servedbitcoin.Node() as node:
        node.always(BAD_ANSWERS[name])
        chain = chain_over(Endpoint(url=node.url, timeout="3s", own=True), network="mainnet", clock=At())
        with pytest.raises(NodesFailed, match=r"127\.0\.0\.1"):
            chain.balance("hot-btc", None, BTC)


# -- Esplora ---------------------------------------------------------------------------------------------------------


class WithAddresses(EsploraOf):
    """An Esplora server that sums up what an address got and paid in the node's blocks."""

    def _translate(self, exchange: Exchange) -> Reply:
        match exchange.request.path.split("/")[1:]:
            case ["address", address]:
                return Reply(json.dumps(self._sums(address)).encode(), headers=JSON)
        return super()._translate(exchange)

    def _sums(self, address: str) -> dict[str, Any]:
        funded = spent = Decimal(0)
        for height in range(1, self.node.rpc("getblockcount") + 1):
            for tx in self.node.rpc("getblock", self.node.rpc("getblockhash", height), 3)["tx"]:
                funded += sum(each["value"] for each in tx["vout"] if _pays(each, address))
                coins = [each["prevout"] for each in tx["vin"] if "prevout" in each]
                spent += sum(each["value"] for each in coins if _pays(each, address))
        sums = {"funded_txo_sum": satoshis(funded), "spent_txo_sum": satoshis(spent)}
        return {"address": address, "chain_stats": sums, "mempool_stats": {"funded_txo_sum": 7, "spent_txo_sum": 0}}


def _pays(output: dict[str, Any], address: str) -> bool:
    return bool(output["scriptPubKey"].get("address") == address)


@pytest.fixture
def server(bitcoind: Bitcoind) -> Iterator[WithAddresses]:
    with WithAddresses(bitcoind) as server:
        yield server


def test_an_address_holds_what_it_got_in_blocks_less_what_it_paid(bitcoind: Bitcoind, server: WithAddresses) -> None:
    address = bitcoind.rpc("getnewaddress", "", "bech32", wallet="miner")
    chain = chain_over(server.endpoint)
    purse = Purse(bitcoind, 2)
    first = purse.pay(to={address: "0.00900000"})
    purse.pay(to={address: "0.00500001"})
    assert chain.balance("hot-btc", address, BTC) == 0
    bitcoind.mine(1)
    assert chain.balance("hot-btc", address.upper(), BTC) == 900_000 + 500_001
    purse.pay((first, 0), to={FOREIGN: "0.00890000"}, worth=Decimal("0.009"))
    bitcoind.mine(1)
    assert chain.balance("hot-btc", address, BTC) == 500_001


def test_a_server_of_addresses_answers_when_the_node_has_no_such_wallet(
    bitcoind: Bitcoind, server: WithAddresses
) -> None:
    purse = Purse(bitcoind, 1)
    address = bitcoind.rpc("getnewaddress", "", "bech32", wallet="miner")
    purse.pay(to={address: "0.00900000"})
    bitcoind.mine(1)
    chain = chain_over(endpoint(bitcoind), server.endpoint)
    assert chain.balance("hot-btc", address, BTC) == 900_000
    with pytest.raises(NodesFailed, match="knows no wallets") as caught:
        chain.balance("hot-btc", None, BTC)
    assert [failure.reason for failure in caught.value.failures] == ["no_wallet", "no_wallet"]


def test_a_bitcoin_address_that_is_wrong_is_a_fault_of_the_settings() -> None:
    for wrong in (ALICE, ADDRESS, FOREIGN[:-1] + "q"):
        with pytest.raises(BadSettings, match=r"wallets\.toml \[hot-btc\]: .*address"):
            chain_over(Endpoint(url="http://127.0.0.1:9", kind="esplora")).balance("hot-btc", wrong, BTC)


def on_esplora(told: object, **routes: bytes) -> int:
    """The balance by a mainnet server that says ``told`` of ADDRESS."""
    good = {
        "/block-height/0": NETWORKS["mainnet"].genesis.encode(),
        "/blocks/tip/hash": TIP.encode(),
        f"/block/{TIP}": json.dumps({"height": 900_000, "timestamp": 1_799_999_000}).encode(),
        f"/address/{ADDRESS}": told if isinstance(told, bytes) else json.dumps(told).encode(),
    }
    with HostileNode(routes={**good, **routes}) as node:
        chain = chain_over(Endpoint(url=node.url, kind="esplora", timeout="3s"), network="mainnet", clock=At())
        return chain.balance("hot-btc", ADDRESS, BTC)


def sums(funded: object, spent: object, address: str = ADDRESS) -> dict[str, Any]:
    """GET /address/:address."""
    return {"address": address, "chain_stats": {"funded_txo_sum": funded, "spent_txo_sum": spent}}


def test_an_address_may_have_moved_more_than_all_coins_over_time() -> None:
    assert on_esplora(sums(5_000_000_000_000_005, 5_000_000_000_000_000)) == 5


@pytest.mark.parametrize(
    "told",
    [
        sums(1, 2),
        sums(21_000_001 * 10**8, 0),
        sums(2**70, 2**70 - 5),
        sums(-1, -2),
        sums(1.5, 0),
        sums("5", 0),
        sums(None, 0),
        sums(5, 0, FOREIGN),
        {"address": ADDRESS},
        {},
        [],
        b"",
        b"<html>",
        b"\xff\xfe",
        b"[" * 100_000,
    ],
    ids=str,
)
def test_sums_that_cannot_be_are_a_bad_answer(told: object) -> None:
    with pytest.raises(NodesFailed) as caught:
        on_esplora(told)
    assert refusal(caught).reason == "bad_answer"


def test_a_server_that_is_behind_or_elsewhere_tells_no_balance() -> None:
    old = json.dumps({"height": 900_000, "timestamp": 1_700_000_000}).encode()
    for routes, reason in (
        ({f"/block/{TIP}": old}, "not_synced"),
        ({"/block-height/0": b"11" * 32}, "wrong_chain"),
    ):
        with pytest.raises(NodesFailed) as caught:
            on_esplora(sums(5, 0), **routes)
        assert refusal(caught).reason == reason
