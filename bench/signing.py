"""How many signatures a second the signer makes, each checked, read back and on the disk before it is handed out."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

from bench.paying import HOT, KEY
from bench.report import Row
from cryptosupport.chains.evm.codec import to_checksum
from cryptosupport.chains.evm.signing import sign
from cryptosupport.chains.evm.tools import open_tools
from cryptosupport.chains.evm.transfers import Unsigned
from cryptosupport.context.signing import fault, same_key
from cryptosupport.domain.money import Asset
from cryptosupport.domain.paying import Order
from cryptosupport.domain.payouts import Kind
from cryptosupport.domain.signing import Account, Caps, Electors
from cryptosupport.settings import AssetSettings, ChainSettings
from cryptosupport.signers.local import LocalSigner
from cryptosupport.signers.store import Store
from tests.signers.signerkit import withdrawal

COUNT = 2_000
COIN = Asset("ETH", 18)
GWEI = 10**9
MOST = 10**30


def orders(count: int) -> list[Order]:
    """Orders for payments to addresses of their own."""
    chance = random.Random(13)
    made = []
    for number in range(count):
        to = to_checksum(f"0x{chance.getrandbits(160):040x}")
        asked = withdrawal(f"w-{number}", chance.randrange(1, 10**18), COIN, destination=to, id=number + 1)
        plan = Unsigned(31337, number, to, asked.request.base_units, b"", 21_000, 100 * GWEI, GWEI).plan
        made.append(Order("ledger", "ethereum", "hot", HOT, (str(number),), Kind.PAY, plan, (asked,)))
    return made


def signer(folder: Path) -> LocalSigner:
    """A signer as `withdraw run` opens it, but that its key needs no keyring."""
    assets = {"ETH": AssetSettings(decimals=18)}
    settings = ChainSettings(family="evm", name="ethereum", chain_id=31337, endpoints=(), assets=assets)
    account = Account("ethereum", "31337", "hot", HOT, {"ETH": COIN})
    caps = Caps({"ETH": MOST}, {"ETH": MOST}, MOST)
    return LocalSigner(
        account, caps, Electors((), fault, same_key), secret=lambda: KEY, tools=open_tools(settings, HOT),
        store=Store(folder / "signer" / "signed.db"), freezes=list, clock=lambda: time.time_ns() // 1_000_000,
    )  # fmt: skip


def signing(folder: Path) -> list[Row]:
    """The table of the report."""
    wanted = orders(COUNT)
    sign(wanted[0].plan.text, KEY)  # web3 is loaded
    ours = signer(folder)
    mine = _rate(lambda each: ours.sign(each), wanted)
    alone = _rate(lambda each: sign(each.plan.text, KEY), wanted)
    with (folder / "synced").open("wb", buffering=0) as file:

        def keep(each: Order) -> None:
            file.write(b"x" * 4096)
            os.fsync(file.fileno())

        disk = _rate(keep, wanted)
    return [
        ("the signer: checks, key, second decoder, store on the disk", f"{mine:,.0f}", "1"),
        ("eth_account alone", f"{alone:,.0f}", f"{mine / alone:.2f}"),
        ("the disk alone: 4 KiB written and synced", f"{disk:,.0f}", f"{mine / disk:.2f}"),
    ]


def _rate(work: Callable[[Order], object], wanted: list[Order]) -> float:
    """How many a second."""
    began = time.perf_counter()
    for each in wanted:
        work(each)
    return len(wanted) / (time.perf_counter() - began)
