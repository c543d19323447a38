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
from tests.commands.payinglife import NODE
from tests.commands.signerdesk import Signer, signer
from tests.commands.withdrawkit import in_this_process
from tests.conftest import ROOT, Tell
from tests.crashing import EVERYWHERE
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


@pytest.mark.parametrize("workers", [2, 4, 8, 16] if EVERYWHERE else [2, 16])
def test_workers_on_one_ledger_share_the_wallets_and_pay_each_once(
    postgres: Postgres, anvil_with: Any, tmp_path: Path, tell: Tell, workers: int
) -> None:
    """Four wallets, each with a signer that all workers ask."""
    count, name = 200 if EVERYWHERE else 40, postgres.create()
    node = anvil_with(*NODE)
    command = [
        sys.executable,
        "-m",
        "tests.commands.team",
        tmp_path,
        postgres.url(name),
        node.url,
        str(workers),
        str(count),
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=1700, check=False, env=env)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    each_second = f"{count / told['seconds']:.1f} payments a second"
    line = f"{workers:2} workers, 4 wallets: {count} in {told['seconds']:.1f} s, {each_second}, {told['passes']} passes"
    tell("workers on one PostgreSQL", line)
    assert told["wrong"] == []
    assert (told["final"], told["sent"]) == (count, count)
    assert told["codes"] == [0]
    postgres.drop(name)


def test_workers_on_one_ledger_that_are_killed_pay_each_once(
    postgres: Postgres, signer: Signer, anvil: Anvil, tmp_path: Path
) -> None:
    """One after the other is killed while it works, and new ones come."""
    workers = 6
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
    for turn in range(4):
        running = [worker(configs, tmp_path / f"data-{number}") for number in range(workers)]
        if turn < 3:
            time.sleep(1.5 + turn / 2)
            for each in running[: workers // 2]:
                each.send_signal(signal.SIGKILL)
        for each in running:
            _, complaint = each.communicate(timeout=120)
            assert each.returncode in (0, -signal.SIGKILL, 7), complaint
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
    postgres.drop(name)
