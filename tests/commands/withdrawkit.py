"""A desk that takes withdrawals in: a settings folder that no node is asked for, and requests in few words."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cryptosupport import commands
from tests.conftest import Program, Run

ON_BITCOIN = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
ANOTHER = "bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3"
ON_ETHEREUM = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"

UNSCREENED = "warning: no sanctions list is there: what is allowed is not screened (`cryptosupport screen import`)\n"
"""What is said in the end of a run that allowed something, as long as there is no list."""

CHAINS = {
    "bitcoin": 'family = "bitcoin"\nnetwork = "mainnet"\n[assets.BTC]\ndecimals = 8\n',
    "ethereum": 'family = "evm"\nchain_id = 1\n[assets.ETH]\ndecimals = 18\n[assets.USDT]\ndecimals = 6\n'
    'contract = "0xdAC17F958D2ee523a2206206994597C13D831ec7"\n',
}

EVERY_OUTCOME = """
tiers = ["basic", "vip"]
[[rules]]
name = "one"
match = { asset = ["BTC", "ETH"] }
max_amount = "10"
[[rules]]
name = "hour"
match = { asset = "BTC" }
per = "asset"
window = "1h"
max_amount = "4"
[[rules]]
name = "eyes"
above_amount = "1"
approvals = 2
[[rules]]
name = "known people"
match = { country = "DE" }
require = ["identity"]
on_exceed = "hold"
[[rules]]
name = "vips"
match = { tier = "vip" }
max_count = 9
per = "customer"
window = "24h"
"""
"""By what is asked for: 1 BTC is allowed, 2 need approval, 5 wait, 11 are denied, and Germans are held."""


def desk(folder: Path, policy: str = EVERY_OUTCOME, settings: str = "", url: str | None = None) -> Path:
    """Write the settings folder; ``settings`` are further lines of desk.toml."""
    (folder / "chains").mkdir(parents=True, exist_ok=True)
    for name, text in CHAINS.items():
        path = folder / "chains" / f"{name}.toml"
        path.write_text(f'endpoints = ["http://127.0.0.1:9"]\n{text}', encoding="utf-8")
    ledger = "" if url is None else f'[ledger]\nurl = "{url}"\n'
    (folder / "desk.toml").write_text(ledger + settings, encoding="utf-8")
    (folder / "policy.toml").write_text(policy, encoding="utf-8")
    return folder


def asked(request_id: str = "w-1", amount: str = "1", **changes: Any) -> dict[str, Any]:
    """A request of customer c-7 for bitcoin, unless told otherwise."""
    facts = {"customer": "c-7", "asset": "BTC", "chain": "bitcoin", "destination": ON_BITCOIN}
    return {"request_id": request_id, "amount": amount} | facts | changes


def jsonl(*requests: dict[str, Any]) -> str:
    """Requests, one a line."""
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in requests)


def options(request: dict[str, Any]) -> list[str]:
    """A request as options of `withdraw submit`."""
    return [part for name, text in request.items() for part in (f"--{name.replace('_', '-')}", text)]


def in_this_process(folder: Path) -> Program:
    """Run the program from its entry to its exit code as a new process does, but for the start of an interpreter."""

    def start(*arguments: str, stdin: str = "", env: dict[str, str] | None = None, timeout: float = 60) -> Run:
        given, out, err = (io.TextIOWrapper(io.BytesIO(text), "utf-8") for text in (stdin.encode(), b"", b""))
        folders = ("--configs", str(folder / "configs"), "--data", str(folder / "data"))
        streams = patch.multiple(sys, stdin=given, stdout=out, stderr=err)
        with streams, patch.dict("os.environ", env or {}):
            code = commands.run([*folders, *arguments])
            return Run(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))

    return start
