"""How fast a wallet with very many payments is reconciled, and in how much memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sqlalchemy import insert, update

from bench import paid
from bench.measuring import ROOT, peak_mb
from bench.paid import CONTRACT, HOT, Paid
from bench.paying import CHAIN, POLICY, WALLET
from bench.report import Measured, Row, say, table
from cryptosupport.chains.evm.codec import to_checksum
from cryptosupport.context import SystemClock
from cryptosupport.domain.audit import SEALED, Act
from cryptosupport.domain.money import Asset
from cryptosupport.domain.payouts import Attempt, Item, Kind, Payout, Purse, Step
from cryptosupport.domain.policy.decision import Decision, Outcome, Voice
from cryptosupport.domain.withdrawals import Request, State, Withdrawal
from cryptosupport.ledger import auditing, payouts, rows, tables
from cryptosupport.ledger.engine import open_engine
from cryptosupport.ledger.ledger import SqlLedger, time_of
from cryptosupport.ledger.records import SqlRecords
from cryptosupport.ledger.schema import ready

SIZES = (100_000, 1_000_000)
AT_ONCE = 5_000
SECOND = 1_000
ASSETS = {False: Asset("ETH", 18), True: Asset("USDT", 6, CONTRACT)}
MADE_UP = "0" * 64


class Ledger:
    """A ledger in ``folder`` whose payments are all final, and the ids of their transactions in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ids = folder / "ids"
        self.ids.touch()
        self.count = 0
        (folder / "data").mkdir(mode=0o700)
        self._engine = open_engine("sqlite:///cryptosupport.db", folder / "data")
        ready(self._engine)

    def settings(self, url: str) -> None:
        """Write the settings, with the node at ``url``."""
        chains = self.folder / "configs" / "chains"
        chains.mkdir(parents=True, exist_ok=True)
        chain = CHAIN.format(in_flight=16, contract=CONTRACT).replace("URL", url)
        (chains / "ethereum.toml").write_text(chain, encoding="utf-8")
        (chains.parent / "wallets.toml").write_text(WALLET.format(address=HOT), encoding="utf-8")
        (chains.parent / "policy.toml").write_text(POLICY, encoding="utf-8")
        for path in chains.parent.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)

    def grow(self, count: int) -> None:
        """Record payments until there are ``count``."""
        ledger = SqlLedger(self._engine, time_of(SystemClock()))
        for start in range(self.count, count, AT_ONCE):
            some = range(start, min(start + AT_ONCE, count))
            with ledger.act() as records, self.ids.open("ab") as ids:
                ids.write(b"".join(self._record(records, some)))
        self.count = count
        with ledger.act() as records:
            records.connection.execute(update(tables.book).values(last_id=count))
            records.payouts.set_purse(Purse("ethereum", HOT, "hot", count, 0), Act("wallet.bound", "hot"))
        self._engine.dispose()  # the last one to close writes the log back into the file

    def _record(self, records: SqlRecords, numbers: range) -> Iterator[bytes]:
        """Record the payments with these ``numbers`` in one transaction; the ids of their transactions."""
        made, at = [paid.paid(number) for number in numbers], records.now
        settled = [_payout(each, at) for each in made]
        asked = [_withdrawal(each, at, payout.last.txid) for each, payout in zip(made, settled, strict=True)]
        execute = records.connection.execute
        execute(insert(tables.withdrawal), [rows.values_of(each) for each in asked])
        execute(insert(tables.decision), [rows.values_of_decision(each) for each in asked])
        execute(insert(tables.payout), [payouts._values(each) for each in settled])
        execute(insert(tables.payout_claim), [
            {"chain": each.chain, "source": HOT, "claim": each.claims[0], "payout_id": each.id} for each in settled
        ])  # fmt: skip
        items = [{"payout_id": each.id, "withdrawal_id": each.id, "live": False} for each in settled]
        execute(insert(tables.payout_item), items)
        execute(insert(tables.attempt), [payouts._attempt(each.id, each.last) for each in settled])
        last = [auditing.told(each, replace(each, state=State.CONFIRMING)) for each in asked]
        gone = [payouts._act(each) for each in settled]
        records.log_book.add([_before(act, "withdrawal.requested") for act in last])
        records.log_book.add([_before(act, "payout.reserved") for act in gone])
        records.log_book.add(gone)
        records.log_book.add(last)
        for each in settled:
            yield bytes.fromhex((each.last.txid or "")[2:])


def _payout(each: Paid, at: int) -> Payout:
    """The payout of a payment, final."""
    plan = paid.unsigned(each)
    raw = paid.raw(plan)
    txid = "0x" + paid.txid(raw).hex()
    attempt = Attempt(1, Kind.PAY, plan.plan, at, raw, txid, at, 1, at, "127.0.0.1: takes it")
    block = each.height, paid.block_hash(each.height)
    return Payout(
        each.number + 1, "ethereum", "hot", HOT, (str(each.number),), (Item(each.number + 1, f"w-{each.number:07}"),),
        Step.FINAL, 1, at, at, (attempt,), block, 1, each.fee,
    )  # fmt: skip


def _withdrawal(each: Paid, at: int, txid: str | None) -> Withdrawal:
    """The withdrawal that it pays, final."""
    asset, to = ASSETS[each.is_token], to_checksum(each.destination)
    request = Request(f"w-{each.number:07}", f"customer-{each.number % 50_000}", asset, "ethereum", each.base_units, to)
    decision = Decision(Outcome.ALLOW, (Voice("one", Outcome.ALLOW, "1 of 1000"),), "0" * 64, at)
    return Withdrawal(
        id=each.number + 1, request=request, state=State.FINAL, decision=decision, source="file", maker=None,
        effective_tier=None, wallet="hot", fee_units=10**17, fee_value=0, value=None, booked_at=at, unbooked=(),
        created_at=at, updated_at=at, txid=txid, nonce=each.number,
    )  # fmt: skip


def _before(act: Act, kind: str) -> Act:
    """An entry of an earlier step: about as long as it was, with a digest that is made up."""
    facts = dict(act.facts)
    if SEALED in facts:
        facts[SEALED] = MADE_UP
    else:
        table, _, name = (facts["row"] or "").split(" ", 2)
        facts["row"] = f"{table} {MADE_UP} {name}"
    return replace(act, kind=kind, facts=facts)


@contextmanager
def chain(ids: Path) -> Iterator[str]:
    """A chain that has these transactions; its url."""
    command = [sys.executable, "-m", "bench.chainserver", str(ids)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.terminate()


def reconciling(folder: Path, sizes: tuple[int, ...] = SIZES) -> list[Row]:
    """The table of the report. From the second size on, balances are summed up since the reconcile before."""
    ledger = Ledger(folder)
    found: list[Row] = []
    for size in sizes:
        say(f"recording {size:,} payments, and reconciling them")
        ledger.grow(size)
        with chain(ledger.ids) as url:
            ledger.settings(url)
            folders = ["--configs", str(folder / "configs"), "--data", str(folder / "data")]
            command = ["-m", "cryptosupport", *folders, "reconcile", "-o", "jsonl"]
            seconds, most = peak_mb(command, folder / "told.jsonl", (0,))
        told = (folder / "told.jsonl").read_text(encoding="utf-8").splitlines()
        if told:
            raise RuntimeError(f"{len(told)} findings, the first: {json.loads(told[0])['message']}")
        found.append((f"{size:,}", f"{seconds:.1f} s", f"{size / seconds:,.0f}", f"{most:.0f} MB"))
    return found


def measured(folder: Path) -> Measured:
    """What the report says of reconciling."""
    heads = ("payments", "time", "payments a second", "most memory")
    return Measured({"reconciled": table(heads, reconciling(folder), words=0)})
