"""What the desk is told about an address. The chains here are the real codecs, with answers instead of nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.chains.bitcoin import codec as bitcoin
from cryptosupport.chains.evm import codec as evm
from cryptosupport.desk.check_addresses import AddressCheck, as_record, check_addresses, exit_code
from cryptosupport.domain.addresses import Address, AddressOnChain
from cryptosupport.domain.errors import NodeFailed, NodesFailed
from cryptosupport.domain.ports import Chain
from cryptosupport.settings import WalletSettings

HOT = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
PLANT = "0xF39f" + "1" * 32 + "2266"
USDT = "0xdAC17F958D2ee523a2206206994597C13D831ec7"
COLD_BTC = "bc1qvyq0cc6rahyvsazfdje0twl7ez82ndmuac2lhv"
WALLETS = {
    "hot-eth": WalletSettings(chain="ethereum", role="hot", name="hot-eth", address=HOT.lower()),
    "cold-btc": WalletSettings(chain="bitcoin", role="cold", name="cold-btc", address=COLD_BTC),
    "hot-btc": WalletSettings(chain="bitcoin", role="hot", name="hot-btc", descriptor="wpkh(xpub.../0/*)"),
}


@dataclass
class Place:
    """A chain that reads addresses with ``read`` and knows which of them are contracts; None has none."""

    name: str
    read: Callable[[str], Address | None]
    contracts: tuple[str, ...] | None = None
    fails: bool = False
    asked: list[str] = field(default_factory=list)

    def parse_address(self, text: str) -> Address | None:
        return self.read(text)

    def describe_address(self, address: Address) -> AddressOnChain:
        self.asked.append(address.text)
        if self.fails:
            raise NodesFailed(self.name, (NodeFailed("node.example", "timeout", "no answer in 10 s"),))
        contract = None if self.contracts is None else address.text in self.contracts
        return AddressOnChain(contract, f"eth_getCode @ {self.name}")


def ethereum(name: str = "ethereum", **facts: Any) -> Place:
    return Place(name, evm.parse_address, **{"contracts": (USDT,)} | facts)


def on_bitcoin(name: str = "bitcoin", network: str = "mainnet") -> Place:
    return Place(name, lambda text: bitcoin.parse_address(text, network))


def check(
    *texts: str,
    places: Iterable[Place] | None = None,
    wallets: Mapping[str, WalletSettings] = WALLETS,
    known: Iterable[str] = (),
    offline: bool = False,
) -> list[AddressCheck]:
    chains = [on_bitcoin(), ethereum()] if places is None else places
    return check_addresses(texts, [cast(Chain, chain) for chain in chains], wallets, known, offline=offline)


def problem(text: str, **more: Any) -> tuple[str, str]:
    [found] = check(text, **more)
    assert not found.valid
    assert exit_code([found]) == 2
    assert found.problem is not None
    return found.problem.code, found.problem.message


# -- what is valid ---------------------------------------------------------------------------------------------------


def test_an_address_is_told_in_its_normal_form_with_the_chains_it_fits() -> None:
    places = [on_bitcoin(), ethereum(), ethereum("bsc", contracts=())]
    [found] = check(f"  {USDT.lower()}\n", places=places)
    assert found.address is not None
    assert found.address.text == USDT
    assert (found.chains, found.contract) == (("ethereum", "bsc"), {"ethereum": True, "bsc": False})
    assert (found.valid, found.checksum, found.own, found.look_alikes) == (True, None, None, ())
    assert exit_code([found]) == 0


def test_a_checksum_that_holds_is_told() -> None:
    assert [one.checksum for one in check(USDT, COLD_BTC.upper())] == [True, True]


def test_a_chain_without_contracts_has_no_opinion_on_them() -> None:
    [found] = check(COLD_BTC)
    assert as_record(found)["contract"] == {"bitcoin": None}


def test_characters_that_nobody_sees_are_taken_out() -> None:
    [found] = check(f"“\u200b{COLD_BTC[:9]}\u200d{COLD_BTC[9:]}\u2060 ".strip("“"))
    assert found.address is not None
    assert found.address.text == COLD_BTC


def test_an_address_of_two_networks_fits_both() -> None:
    places = [on_bitcoin("testnet", "testnet4"), on_bitcoin(), on_bitcoin("signet", "signet")]
    [found] = check("tb1qcrh3yqn4nlleplcez2yndq2ry8h9ncg3qh7n54", places=places)
    assert found.chains == ("testnet", "signet")


def test_the_zero_address_is_marked_as_nobodys() -> None:
    [found] = check("0x" + "0" * 40)
    assert as_record(found)["burn"] is True
    assert found.checksum is None


# -- own wallets and look-alikes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "wallet", "role"), [(HOT, "hot-eth", "hot"), (COLD_BTC, "cold-btc", "cold")])
def test_an_own_wallet_is_recognised_in_any_spelling(text: str, wallet: str, role: str) -> None:
    for spelling in (text, text.lower()):
        [found] = check(spelling)
        assert as_record(found)["own"] == {"wallet": wallet, "role": role}


def test_an_own_wallet_is_recognised_even_when_another_chain_is_asked() -> None:
    [found] = check(HOT, places=[ethereum("bsc")])
    assert found.own is not None
    assert found.own.wallet == "hot-eth"


def test_a_wrong_address_in_the_settings_spoils_no_check() -> None:
    wallets = {"typo": WalletSettings(chain="ethereum", role="cold", name="typo", address=USDT.swapcase())}
    [found] = check(USDT, wallets=wallets)
    assert found.valid
    assert found.own is None


def test_a_look_alike_of_an_own_wallet_is_told_with_its_name() -> None:
    [found] = check(PLANT.lower())
    assert as_record(found)["look_alikes"] == [{"address": HOT, "of": "hot-eth"}]


def test_a_look_alike_of_an_earlier_address_is_told() -> None:
    earlier = "0xDac1" + "9" * 32 + "1ec7"
    [found] = check(USDT, known=[earlier, USDT, earlier, COLD_BTC])
    assert as_record(found)["look_alikes"] == [{"address": earlier, "of": "earlier"}]


def test_two_given_addresses_that_look_alike_are_told_of_each_other() -> None:
    first, second = check(USDT, "0xdac1" + "9" * 32 + "1ec7", wallets={})
    assert as_record(second)["look_alikes"] == [{"address": USDT, "of": "given"}]
    assert [other.of for other in first.look_alikes] == ["given"]


def test_a_wallets_name_says_more_than_having_been_seen_earlier() -> None:
    [found] = check(PLANT.lower(), known=[HOT])
    assert [other.of for other in found.look_alikes] == ["hot-eth"]


# -- what is not valid -----------------------------------------------------------------------------------------------


def test_a_wrong_checksum_is_told_as_such() -> None:
    for wrong in (USDT.replace("d", "D", 1), COLD_BTC[:-1] + "w", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb"):
        [found] = check(wrong)
        record = as_record(found)
        assert (record["valid"], record["checksum"], record["error"]["code"]) == (False, False, "bad_checksum")
        assert (record["address"], record["chains"], record["contract"]) == (None, [], {})


def test_a_wrong_checksum_matters_more_than_another_network() -> None:
    places = [on_bitcoin("regtest", "regtest"), on_bitcoin()]
    assert problem(COLD_BTC[:-1] + "w", places=places)[0] == "bad_checksum"


def test_another_networks_address_is_told_with_its_network() -> None:
    code, message = problem("tb1qcrh3yqn4nlleplcez2yndq2ry8h9ncg3qh7n54")
    assert code == "wrong_network"
    assert "testnet4 or signet" in message


@pytest.mark.parametrize(
    ("text", "places", "named"),
    [
        (COLD_BTC, [ethereum()], "a Bitcoin"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", [ethereum()], "a Bitcoin"),
        (HOT, [on_bitcoin()], "an EVM"),
        ("TJRabPrwbZy45sbavfcjinPJC18kjpRTv8", [on_bitcoin(), ethereum()], "a TRON"),
        ("7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU", [on_bitcoin(), ethereum()], "a Solana"),
    ],
)
def test_another_kind_of_address_is_told_by_its_form(text: str, places: list[Place], named: str) -> None:
    code, message = problem(text, places=places)
    assert code == "wrong_network"
    assert named in message
    assert places[0].name in message


@pytest.mark.parametrize("text", ["ab" * 32, "0x" + "AB" * 32, f" {'ab' * 32}\n"])
def test_a_transaction_id_may_be_a_private_key_and_is_not_repeated(text: str) -> None:
    [found] = check(text)
    assert found.problem is not None
    assert found.problem.code == "txid"
    assert "a transaction id (or a block's hash) or a private key" in found.problem.message
    assert "abab" not in str(as_record(found)).lower()
    assert "tx status" not in found.problem.message


@pytest.mark.parametrize("text", ["0xdAC1…1ec7", "0xdAC1...1ec7", "bc1qvy…lhv", "0xdAC17F958D2ee***"])
def test_a_cut_address_is_told_to_be_cut(text: str) -> None:
    code, message = problem(text)
    assert code == "cut"
    assert "whole address" in message


def test_a_letter_of_another_alphabet_is_named() -> None:
    code, message = problem(USDT.replace("A", "\u0410", 1))
    assert code == "foreign_character"
    assert "CYRILLIC CAPITAL LETTER A" in message


@pytest.mark.parametrize(
    "text",
    [
        "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ",  # WIF, https://en.bitcoin.it/wiki/Wallet_import_format
        " KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn\n",  # the key 1
        "xprv" + "9" * 107,
        "abandon " * 11 + "about",
    ],
)
def test_a_private_key_is_warned_of_and_not_repeated(text: str) -> None:
    [found] = check(text)
    assert found.problem is not None
    assert found.problem.code == "private_key"
    assert text.strip()[:12] not in str(as_record(found))


@pytest.mark.parametrize("text", ["vitalik.eth", "alice", "0x1234", "12345", "https://etherscan.io/address/x", "\x00"])
def test_what_is_no_address_at_all_is_told_with_the_chains_that_were_tried(text: str) -> None:
    code, message = problem(text)
    assert code == "unknown_form"
    assert "bitcoin, ethereum" in message


@pytest.mark.parametrize("text", ["", "  ", "\u200b"])
def test_nothing_is_told_to_be_nothing(text: str) -> None:
    assert problem(text) == ("unknown_form", "nothing was given: paste an address")


def test_a_bad_one_among_good_ones_decides_the_exit_code_only() -> None:
    found = check(USDT, "nonsense", COLD_BTC)
    assert [one.valid for one in found] == [True, False, True]
    assert exit_code(found) == 2


# -- nodes -----------------------------------------------------------------------------------------------------------


def test_a_chain_that_cannot_be_reached_leaves_the_rest_standing() -> None:
    down = ethereum("bsc", fails=True)
    found = check(USDT, HOT, COLD_BTC, places=[ethereum(), down, on_bitcoin()])
    assert found[0].contract == {"ethereum": True}
    assert found[0].unreachable == {"bsc": "bsc: node.example: no answer in 10 s"}
    assert as_record(found[1])["contract"] == {"ethereum": False, "bsc": None}
    assert found[2].unreachable == {}
    assert exit_code(found) == 0
    assert down.asked == [USDT]  # once is enough to know


def test_offline_asks_nobody() -> None:
    place = ethereum()
    [found] = check(USDT, places=[place], offline=True)
    assert place.asked == []
    assert as_record(found)["contract"] == {"ethereum": None}


def test_a_chain_is_asked_about_its_own_addresses_only() -> None:
    place = ethereum()
    check(USDT, COLD_BTC, "nonsense", places=[on_bitcoin(), place])
    assert place.asked == [USDT]


# -- whatever is pasted ----------------------------------------------------------------------------------------------


@given(st.lists(st.text(max_size=90), max_size=3))
def test_any_text_gets_an_answer(texts: list[str]) -> None:
    found = check(*texts)
    assert len(found) == len(texts)
    for one in found:
        record = as_record(one)
        assert record["valid"] is (record["error"] is None)
        assert record["valid"] is bool(record["chains"])
