"""`doctor` on paying: what stops a payment is a failure, what takes its protection away is a warning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from cryptosupport.desk.diagnose_paying import Payments, examine_payments
from cryptosupport.desk.verdicts import Outcome, Verdict
from cryptosupport.settings import ChainSettings, WalletSettings, load_chain, load_wallets

HOT = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
TWO = '[{ url = "http://a.example", operator = "A" }, { url = "http://b.example", operator = "B" }]'
ONE = '["http://a.example"]'
FEES = '[fees]\nmax_fee_per_gas = "200 gwei"\nmax_fee = "0.02 ETH"\n'
CAPS = '[hot.caps.ETH]\nper_transaction = "5"\nper_hour = "50"\n'
STORE = Path("/var/lib/desk/signer/signed.db")


class Desk:
    """A settings folder of one chain and its wallet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "chains").mkdir()
        self.chain()
        self.wallet()

    def chain(self, endpoints: str = TWO, quorum: int = 2, fees: str = FEES) -> None:
        """Write the chain."""
        text = (
            f'family = "evm"\nchain_id = 1\nendpoints = {endpoints}\nquorum = {quorum}\n[assets.ETH]\ndecimals = 18\n'
        )
        (self.folder / "chains" / "ethereum.toml").write_text(text + fees, encoding="utf-8")

    def wallet(self, signer: str = "keyring:hot", more: str = CAPS, role: str = "hot") -> None:
        """Write the wallet."""
        text = f'[hot]\nchain = "ethereum"\nrole = "{role}"\nsigner = "{signer}"\naddress = "{HOT}"\n{more}'
        (self.folder / "wallets.toml").write_text(text, encoding="utf-8")

    def examined(
        self, in_use: Path | None = None, ledgers: Sequence[Path] = (), can_pay: bool = True
    ) -> dict[str, Verdict]:
        """The verdicts, by name."""
        wallets: Sequence[WalletSettings] = list(load_wallets(self.folder).values())
        chains: dict[str, ChainSettings] = {"ethereum": load_chain(self.folder, "ethereum")}
        payments = Payments(lambda name: can_pay, STORE, lambda: (in_use, ledgers))
        found = list(examine_payments(wallets, chains, payments))
        assert len({each.name for each in found}) == len(found)
        return {each.name: each for each in found}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_desk_in_good_order_has_nothing_but_ok(desk: Desk) -> None:
    found = desk.examined()
    assert {name: each.outcome for name, each in found.items()} == {
        "paying on ethereum": Outcome.OK,
        "signer store": Outcome.OK,
    }
    assert "2 of 2 operators" in found["paying on ethereum"].message


def test_where_nothing_pays_nothing_is_examined(desk: Desk) -> None:
    desk.chain(fees="", endpoints=ONE)
    assert desk.examined(can_pay=False) == {}
    desk.wallet(role="cold")
    assert desk.examined() == {}


@pytest.mark.parametrize("fees", ["", '[fees]\nmax_fee = "0.02 ETH"\n', '[fees]\nmax_fee_per_gas = "200 gwei"\n'])
def test_fees_without_caps_are_a_failure_before_anybody_pays(desk: Desk, fees: str) -> None:
    desk.chain(fees=fees)
    found = desk.examined()["paying on ethereum"]
    assert (found.outcome, found.exit_code) == (Outcome.FAIL, 8)
    assert "[fees] has to name max_fee and max_fee_per_gas" in found.message


def test_a_quorum_that_cannot_be_reached_is_a_failure(desk: Desk) -> None:
    desk.chain(endpoints=ONE)
    found = desk.examined()["paying on ethereum"]
    assert (found.outcome, found.exit_code) == (Outcome.FAIL, 8)
    assert found.message == "quorum = 2, and its endpoints have 1 operator(s): no payment ever ends"


def test_one_voice_where_several_could_be_asked_is_a_warning(desk: Desk) -> None:
    desk.chain(quorum=1)
    found = desk.examined()["paying on ethereum"]
    assert (found.outcome, found.exit_code) == (Outcome.WARN, 0)
    assert "one of them alone can end a payment" in found.message
    desk.chain(endpoints=ONE, quorum=1)  # with one operator that is told of the chain
    assert desk.examined()["paying on ethereum"].outcome is Outcome.OK


@pytest.mark.parametrize("signer", ["keyring:hot", "env:HOT", "web3signer:https://signer:9000"])
def test_an_asset_without_caps_is_a_warning_that_names_it(desk: Desk, signer: str) -> None:
    desk.wallet(signer, more="")
    found = desk.examined()["signer of hot"]
    assert (found.outcome, found.message) == (Outcome.WARN, "its signer lets any amount of ETH leave by itself")
    assert "[hot.caps.ETH]" in found.advice


def test_a_signer_of_its_own_has_caps_and_a_store_of_its_own(desk: Desk) -> None:
    desk.wallet("socket:/run/hot.sock", more="")
    assert set(desk.examined(ledgers=[STORE.with_name("copy.db")])) == {"paying on ethereum"}


def test_a_ledger_or_copies_of_one_beside_the_store_are_a_warning(desk: Desk) -> None:
    ledger = STORE.parent.parent / "cryptosupport.db"
    assert desk.examined(ledger, [ledger])["signer store"].outcome is Outcome.OK
    found = desk.examined(ledger, [ledger, STORE.with_name("monday.db")])["signer store"]
    assert (found.outcome, found.exit_code) == (Outcome.WARN, 0)
    assert str(STORE.with_name("monday.db")) in found.message
    assert "cryptosupport.db" not in found.message
    inside = STORE.with_name("ledger.db")
    assert "is in the folder of the signer's store" in desk.examined(inside, [inside])["signer store"].message
