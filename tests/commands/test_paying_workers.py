"""Several workers on one PostgreSQL, each with a data folder of its own, and one signer: all is paid, and once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cryptosupport.outside.nodes import Anvil
from tests.commands.payingdesk import ANN, ETHER, HOT, Paydesk, sealed, write_settings
from tests.commands.signerdesk import Signer, signer
from tests.commands.withdrawkit import in_this_process
from tests.conftest import ROOT
from tests.nodes.postgres import Postgres

__all__ = ["sealed", "signer"]  # fixtures

WITHDRAWALS = 60


def worker(configs: Path, data: Path) -> subprocess.Popen[str]:
    """One pass in a process of its own."""
    command = [sys.executable, "-m", "cryptosupport", "--configs", str(configs), "--data", str(data), "withdraw", "run"]
    return subprocess.Popen(
        [*command, "-o", "jsonl"],
        cwd=ROOT,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("workers", "killed"), [(2, False), (6, False), (6, True)])
def test_workers_on_one_ledger_pay_each_once(
    postgres: Postgres, signer: Signer, anvil: Anvil, tmp_path: Path, workers: int, killed: bool
) -> None:
    """``killed``: one after the other is killed while it works, and new ones come."""
    wallets = signer.folder / "configs" / "wallets.toml"
    wallets.write_text(wallets.read_text().replace('per_hour = "20"', 'per_hour = "1000"'), encoding="utf-8")
    signer.start()
    name = postgres.create()
    configs = tmp_path / "configs"
    write_settings(configs, f'["{anvil.url}"]', ledger=postgres.url(name), signer=f"socket:{signer.socket}")
    anvil.rpc("anvil_setBalance", HOT, hex(100 * ETHER))
    desk = Paydesk(in_this_process(tmp_path), tmp_path, anvil)
    facts = {"customer": "c", "asset": "ETH", "chain": "ethereum", "amount": "0.5", "destination": ANN}
    lines = "".join(json.dumps({"request_id": f"w-{n}", **facts}) + "\n" for n in range(WITHDRAWALS))
    assert desk.run("withdraw", "submit", "--input", "-", stdin=lines).exit_code == 0
    began = time.monotonic()
    for turn in range(4):
        running = [worker(configs, tmp_path / f"data-{number}") for number in range(workers)]
        if killed and turn < 3:
            time.sleep(1.5 + turn / 2)
            for each in running[: workers // 2]:
                each.send_signal(signal.SIGKILL)
        for each in running:
            _, complaint = each.communicate(timeout=120)
            assert each.returncode in (0, -signal.SIGKILL, 7), complaint
    took = time.monotonic() - began
    deadline = time.monotonic() + 90  # the lease of one that was killed on another machine runs out
    states: dict[str, Any] = {}
    while time.monotonic() < deadline and set(states.values()) != {"final"}:
        anvil.mine(100)
        desk.run("withdraw", "run")
        states = {each["request_id"]: each["state"] for each in desk.run("withdraw", "list", "-o", "jsonl").jsonl}
    assert set(states.values()) == {"final"}
    assert int(anvil.rpc("eth_getBalance", ANN, "latest"), 16) == WITHDRAWALS * ETHER // 2
    assert int(anvil.rpc("eth_getTransactionCount", HOT, "latest"), 16) == WITHDRAWALS
    assert desk.run("audit", "verify").exit_code == 0
    print(f"{workers} workers: {WITHDRAWALS} payments, {took:.1f} s with the start of {4 * workers} processes")
    postgres.drop(name)
