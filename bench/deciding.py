"""How fast requests are decided and recorded, with a million earlier ones in the windows."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import insert, text, update

from bench.measuring import run
from bench.report import Measured, say, table
from cryptosupport.domain.money import Asset, Quantity
from cryptosupport.domain.policy.decision import Decision, Outcome, Voice
from cryptosupport.domain.prices import micro_usd
from cryptosupport.domain.withdrawals import Request, State, Withdrawal
from cryptosupport.ledger import rows, tables
from cryptosupport.ledger.engine import open_engine, writing
from cryptosupport.ledger.schema import ready
from tests.nodes.postgres import running

EARLIER = 1_000_000
CUSTOMERS = 200_000
NEW = 40_000
NAIVE = 30
AT_ONCE = 1000
HOUR = 3_600_000
REASON = "12345.67 of 50000000 USD with this one, over 24h per customer (12000 used before)"
SUMS = (
    "customer = :customer and booked_at > :day",
    "customer = :customer and booked_at > :hour",
    "destination = :destination and booked_at > :day",
    "asset = :asset and booked_at > :day",
    "booked_at > :hour",
    "booked_at > :day",
)
"""What the policy's windows sum, in SQL."""

POLICY = """
tiers = ["basic", "verified"]
[[rules]]
name = "per-transaction"
max_value = "1000000 USD"
[[rules]]
name = "customer-day"
per = "customer"
window = "24h"
max_value = "50000000 USD"
[[rules]]
name = "customer-hour-count"
per = "customer"
window = "1h"
max_count = 1000
[[rules]]
name = "destination-day"
per = "destination"
window = "24h"
max_value = "50000000 USD"
[[rules]]
name = "asset-day"
per = "asset"
window = "24h"
max_amount = "100000000"
[[rules]]
name = "desk-hour"
per = "global"
window = "1h"
max_value = "900000000000 USD"
on_exceed = "wait"
[[rules]]
name = "desk-day"
per = "global"
window = "24h"
max_value = "9000000000000 USD"
[[rules]]
name = "second-pair-of-eyes"
above_value = "10000 USD"
approvals = 1
"""
RULES = POLICY.count("[[rules]]")
CHAIN = """
family = "evm"
chain_id = 1
endpoints = ["http://127.0.0.1:9"]
[assets.ETH]
decimals = 18
[fees]
max_fee = "0.01 ETH"
"""


class Ledger:
    """A ledger at ``url`` whose windows hold a million withdrawals; ``folder`` has its settings and files."""

    def __init__(self, folder: Path, url: str) -> None:
        self.chance = random.Random(7)
        self.folder = folder
        self._settings(url)
        self.engine = open_engine(url, folder)
        ready(self.engine)
        self._fill()

    def measure(self, title: str) -> list[tuple[str, ...]]:
        """The rows of the report: ours, the database's own limit, and limits summed over history."""
        building = self._submit(AT_ONCE, "few")  # its windows are built from what is recorded
        ours = NEW / self._submit(NEW, "new")
        raw = NEW / self._raw()
        naive = NAIVE / self._naive()
        self.engine.dispose()
        return [
            (title, f"`withdraw submit --input FILE`, {NEW:,} requests, whole process", f"{ours:,.0f}", "1"),
            (title, "the database's limit: the same rows, nothing decided", f"{raw:,.0f}", f"{ours / raw:.2f}"),
            (title, "each limit summed over history, a transaction each", f"{naive:,.1f}", f"{ours / naive:,.0f}"),
            (title, f"seconds for the first {AT_ONCE:,} under a new policy", f"{building:.0f}", ""),
        ]

    def _settings(self, url: str) -> None:
        chains = self.folder / "configs" / "chains"
        chains.mkdir(parents=True)
        (chains / "ethereum.toml").write_text(CHAIN, encoding="utf-8")
        desk = f'[ledger]\nurl = "{url}"\n[prices]\nfiles = ["prices.toml"]\n'
        (self.folder / "configs" / "desk.toml").write_text(desk, encoding="utf-8")
        (self.folder / "configs" / "policy.toml").write_text(POLICY, encoding="utf-8")

    def _fields(self, request_id: str) -> dict[str, str]:
        """A request as a backend writes it."""
        return {
            "request_id": request_id,
            "customer": f"customer-{self.chance.randrange(CUSTOMERS)}",
            "asset": "ETH",
            "chain": "ethereum",
            "amount": f"0.{self.chance.randrange(10**6):06}1",
            "destination": f"0x{self.chance.randrange(16**40):040x}",
        }

    def _submit(self, count: int, name: str) -> float:
        """Seconds that the program takes for so many new requests, start included."""
        source, told = self.folder / f"{name}.jsonl", self.folder / f"{name}-out.jsonl"
        with source.open("w", encoding="utf-8") as lines:
            for _ in range(count):
                lines.write(json.dumps(self._fields(str(uuid.UUID(int=self.chance.getrandbits(128))))) + "\n")
        as_of = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        prices = f'as_of = {as_of}\n[price_usd]\nETH = "3000"\n'
        (self.folder / "configs" / "prices.toml").write_text(prices, encoding="utf-8")
        folders = ["--configs", str(self.folder / "configs"), "--data", str(self.folder)]
        command = ["-m", "cryptosupport", *folders, "withdraw", "submit", "-o", "jsonl", "--input", str(source)]
        seconds = run(command, told, expected=(0,))
        with told.open("rb") as lines:
            approved = sum(b'"state":"approved"' in line for line in lines)
        if approved != count:
            raise RuntimeError(f"{approved} of {count} requests were approved")
        return seconds

    def _rows(self, count: int, first: int, ends: int) -> Iterator[tuple[list[rows.Values], list[rows.Values]]]:
        """Withdrawals and decisions as the program records them, over the last 23 hours before ``ends``."""
        for start in range(0, count, AT_ONCE):
            recorded = [self._withdrawal(first + start + n, ends - (count - start - n) * 23 * HOUR // count)
                        for n in range(min(AT_ONCE, count - start))]  # fmt: skip
            yield [rows.values_of(each) for each in recorded], [rows.values_of_decision(each) for each in recorded]

    def _withdrawal(self, number: int, at: int) -> Withdrawal:
        fields = self._fields(str(uuid.UUID(int=self.chance.getrandbits(128))))
        amount = Quantity.parse(fields["amount"])
        asked = Request(
            *(fields["request_id"], fields["customer"], Asset("ETH", 18), "ethereum"),
            *(amount.at(18), fields["destination"]),
        )
        voices = tuple(Voice(f"rule-{n}", Outcome.ALLOW, REASON) for n in range(RULES))
        decision = Decision(Outcome.ALLOW, voices, "0" * 64, at, value=micro_usd(amount, Quantity(3000, 0)))
        facts = {"source": "file", "maker": None, "effective_tier": None, "wallet": None}
        return Withdrawal(
            *(number, asked, State.APPROVED, decision),
            **facts,  # type: ignore[arg-type]
            fee_units=10**16,
            fee_value=30_000_000,
            value=decision.value,
            booked_at=at,
            unbooked=(),
            created_at=at,
            updated_at=at,
        )

    def _fill(self) -> None:
        """Record the earlier withdrawals, as fast as the database takes them."""
        for withdrawals, decisions in self._rows(EARLIER, 1, time.time_ns() // 1_000_000 - HOUR // 60):
            with writing(self.engine) as connection:
                connection.execute(insert(tables.withdrawal), withdrawals)
                connection.execute(insert(tables.decision), decisions)
        with writing(self.engine) as connection:
            connection.execute(update(tables.book).values(last_id=EARLIER))
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("analyze"))

    def _raw(self) -> float:
        """Seconds for as many rows of the same kind in batches as large, without deciding anything."""
        ready_made = list(self._rows(NEW, 10 * EARLIER, time.time_ns() // 1_000_000))
        began = time.perf_counter()
        for withdrawals, decisions in ready_made:
            with writing(self.engine) as connection:
                connection.execute(insert(tables.withdrawal), withdrawals)
                connection.execute(insert(tables.decision), decisions)
        return time.perf_counter() - began

    def _naive(self) -> float:
        """Seconds for some requests when every limit is summed over history in SQL, in one transaction each."""
        ready_made = list(self._rows(NAIVE, 20 * EARLIER, time.time_ns() // 1_000_000))
        sums = [text(f"select sum(cast(value as numeric)), count(*) from withdrawal where {each}") for each in SUMS]
        began = time.perf_counter()
        for withdrawals, decisions in ready_made:
            for one, decided in zip(withdrawals, decisions, strict=True):
                facts = {name: one[name] for name in ("customer", "destination", "asset")}
                times = {"hour": one["created_at"] - HOUR, "day": one["created_at"] - 24 * HOUR}
                with writing(self.engine) as connection:
                    for each in sums:
                        used = {name: value for name, value in (facts | times).items() if f":{name}" in each.text}
                        connection.execute(each, used).one()
                    connection.execute(insert(tables.withdrawal), one)
                    connection.execute(insert(tables.decision), decided)
        return time.perf_counter() - began


def deciding(folder: Path, postgres_url: str) -> list[tuple[str, ...]]:
    """The table of the report, for SQLite and for the PostgreSQL at ``postgres_url``, an empty database."""
    found = []
    for title, url in (("SQLite", "sqlite:///ledger.db"), ("PostgreSQL", postgres_url)):
        place = folder / title.lower()
        place.mkdir()
        found += Ledger(place, url).measure(title)
    return found


def measured(folder: Path) -> Measured:
    """What the report says of deciding."""
    say(f"deciding, with {EARLIER:,} earlier withdrawals in the windows")
    with running() as server:
        rows = deciding(folder, server.url(server.create()))
    heads = ("ledger", "what", "requests a second", "ours is so many times")
    return Measured({"decided": table(heads, rows), "earlier": f"{EARLIER:,}", "new": f"{NEW:,}", "rules": str(RULES)})
