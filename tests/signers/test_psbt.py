"""A signer that is asked over a folder: it remembers what it asked for, and a lost answer is asked for again."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cryptosupport.chains.bitcoin import offline
from cryptosupport.chains.bitcoin.tools import BitcoinTools
from cryptosupport.domain.errors import BadSettings, Refused, Unsigned
from cryptosupport.domain.money import Asset
from cryptosupport.domain.paying import Order
from cryptosupport.domain.payouts import Kind, Plan
from cryptosupport.domain.signing import Account, Caps, Electors
from cryptosupport.domain.withdrawals import Withdrawal
from cryptosupport.signers.papers import Folder
from cryptosupport.signers.psbt import PsbtSigner
from cryptosupport.signers.store import Store
from tests.chains.bitcoin_paying.kit import WORDS, plan, tools, watched
from tests.chains.bitcoinkit import FOREIGN
from tests.signers.signerkit import LEDGER, NOW, PEOPLE, fault, same_key, withdrawal

BTC = Asset("BTC", 8)
SIGNER = Path(__file__).parents[1] / "commands" / "offlinesigner.py"
SOURCE = watched("wpkh").source
ACCOUNT = Account("bitcoin", "regtest", "hot/1", SOURCE, {"BTC": BTC})


class Bench:
    """A signer with its folder and its memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "papers"
        self.folder.mkdir()
        self.store = Store(folder / "signed.db")
        self.tools = tools("wpkh")

    @property
    def signer(self) -> PsbtSigner:
        """As a new process has it."""
        most = {"BTC": 1_000_000}
        return PsbtSigner(
            Folder(self.folder, "hot/1"), offline, ACCOUNT, Caps(most, most, fee=100_000),
            Electors((PEOPLE,), fault, same_key), tools=self.tools, store=self.store, freezes=list,
            clock=lambda: NOW,
        )  # fmt: skip

    def waits(self, asked: Order) -> Path:
        """It has no signature yet; the file that it asks for."""
        with pytest.raises(Unsigned, match=r"waits for a signature: have .* signed"):
            self.signer.sign(asked)
        return self.request

    @property
    def request(self) -> Path:
        """The only one."""
        (found,) = (each for each in self.folder.iterdir() if not each.name.endswith("-signed.psbt"))
        return found

    def answer(self, request: Path) -> None:
        """Have it signed by a process that sees nothing else."""
        made = request.with_name(f"{request.stem}-signed.psbt")
        command = [sys.executable, "-I", str(SIGNER), "wpkh", str(request), str(made), "partial"]
        assert subprocess.run(command, input=WORDS, text=True, env={}, timeout=60).returncode == 0

    @property
    def signatures(self) -> int:
        return self.signer.high_water().signatures


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def asked(it: Withdrawal, kind: Kind = Kind.PAY, change: int = 29_000, salt: int = 100_000) -> Order:
    """An order to pay 120,000 satoshis to `FOREIGN`, or to take that back."""
    coins = ((False, 0, salt), (True, 3, 50_000))
    pays = {} if kind is Kind.PAY else {"pays": ()}
    planned = plan("wpkh", coins=coins, change=(5, change), **pays)  # type: ignore[arg-type]
    unsigned = tools("wpkh").read(offline.asked(planned.text)[0], planned.text)
    facts = ("bitcoin", "hot/1", SOURCE, unsigned.claims, kind, Plan(planned.text, unsigned.max_fee))
    return Order(LEDGER, *facts, (it,))


def paid(name: str = "w-1") -> Withdrawal:
    made = withdrawal(name, 120_000, BTC, destination=FOREIGN)
    return replace(made, request=replace(made.request, chain="bitcoin"), wallet="hot/1")


def test_an_answer_that_was_lost_is_asked_for_again_and_is_the_same(bench: Bench) -> None:
    """A crash after the request was taken away, and before anybody stored the bytes."""
    order = asked(paid())
    request = bench.waits(order)
    assert request.name.startswith("hot_1-")
    bench.answer(request)
    raw = bench.signer.sign(order)
    assert not request.exists()
    assert bench.signer.sign(order) == raw
    assert not request.exists()
    assert bench.signatures == 1
    assert tools("wpkh").read(raw, order.plan.text).source == SOURCE


def test_a_crash_before_the_request_was_written_asks_for_it(bench: Bench) -> None:
    order = asked(paid())
    bench.waits(order).unlink()
    assert bench.waits(order).exists()
    assert bench.signatures == 1


def test_what_was_asked_for_once_is_never_asked_for_with_other_coins(bench: Bench) -> None:
    """B12: whatever a ledger says by then, and whether or not a signature ever came back."""
    request = bench.waits(asked(paid()))
    with pytest.raises(Refused, match="is never signed for"):
        bench.signer.sign(asked(paid(), salt=110_000))
    assert bench.request == request
    assert bench.signatures == 1


def test_a_newer_attempt_takes_the_place_of_the_request(bench: Bench) -> None:
    first = bench.waits(asked(paid()))
    second = bench.waits(asked(paid(), change=28_000))
    assert first != second
    assert first.name.rpartition("-")[0] == second.name.rpartition("-")[0]
    third = bench.waits(asked(paid(), Kind.CANCEL, 140_000))
    assert third not in (first, second)
    assert bench.signatures == 3


def test_nothing_is_asked_for_that_does_something_else(bench: Bench) -> None:
    order = asked(paid())
    more = replace(paid(), request=replace(paid().request, base_units=120_001))
    with pytest.raises(Refused, match="they do not pay 120001 base units"):
        bench.signer.sign(replace(order, withdrawals=(more,)))
    with pytest.raises(Refused, match="the plan says at most 1"):
        bench.signer.sign(replace(order, plan=replace(order.plan, max_fee=1)))
    bench.tools = BitcoinTools(watched("wpkh"), 2000)
    with pytest.raises(Refused, match="this signer pays at most"):
        bench.signer.sign(order)
    assert list(bench.folder.iterdir()) == []
    assert bench.signatures == 0


def test_a_folder_that_cannot_be_used_stops_it(bench: Bench) -> None:
    bench.folder.chmod(0o777)
    with pytest.raises(BadSettings, match="everybody can write"):
        bench.signer.sign(asked(paid()))
    with pytest.raises(BadSettings, match="everybody can write"):
        bench.signer.examine()
    bench.folder.chmod(0o700)
    bench.signer.examine()
    bench.folder.rmdir()
    bench.folder.write_text("no folder")
    with pytest.raises(BadSettings, match="is no folder"):
        bench.signer.sign(asked(paid()))
    assert bench.signatures == 0
