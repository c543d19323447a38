"""A submit that is killed anywhere can be run again and ends in the same state; eight at once exceed no limit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

POLICY = """
[[rules]]
name = "own"
per = "customer"
window = "24h"
max_amount = "5"
[[rules]]
name = "desk"
per = "global"
window = "1h"
max_amount = "8"
on_exceed = "wait"
[[rules]]
name = "big"
above_amount = "3"
approvals = 1
"""
DESTINATIONS = ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"]


def configs(folder: Path, url: str, policy: str = POLICY) -> Path:
    """A settings folder that takes withdrawals of ETH; nothing in it is asked."""
    (folder / "chains").mkdir(parents=True)
    chain = 'family = "evm"\nchain_id = 1\nendpoints = ["http://127.0.0.1:9"]\n[assets.ETH]\ndecimals = 18\n'
    (folder / "chains" / "ethereum.toml").write_text(chain, encoding="utf-8")
    (folder / "desk.toml").write_text(f'[ledger]\nurl = "{url}"\n', encoding="utf-8")
    (folder / "policy.toml").write_text(policy, encoding="utf-8")
    return folder


def requests(path: Path, wanted: list[dict[str, Any]]) -> Path:
    """A file of requests; what is not told is customer c1 and 1 ETH."""
    facts = {"customer": "c1", "asset": "ETH", "chain": "ethereum", "amount": "1", "destination": DESTINATIONS[0]}
    path.write_text("".join(json.dumps(facts | each) + "\n" for each in wanted), encoding="utf-8")
    return path


def test_killed_at_any_statement_and_commit_it_runs_again_and_ends_the_same(tmp_path: Path, ledger_url: str) -> None:
    folder = configs(tmp_path / "configs", ledger_url)
    amounts = ["1", "2.5", "4", "3.5", "5", "6", "1", "0.5"]
    source = requests(
        tmp_path / "in.jsonl",
        [{"request_id": f"r{n}", "amount": amount, "customer": f"c{n % 3}"} for n, amount in enumerate(amounts)],
    )
    command = [sys.executable, "-m", "tests.commands.submitting", "kill", folder, tmp_path / "data", source, ledger_url]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=1700, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["wrong"] == []
    assert told["rows"] == len(amounts)
    assert told["points"] > 30


@pytest.mark.parametrize("on_exceed", ["deny", "wait"])
def test_eight_processes_together_exceed_no_limit(tmp_path: Path, ledger_url: str, on_exceed: str) -> None:
    limit = f'per = "asset"\nwindow = "24h"\nmax_amount = "100"\non_exceed = "{on_exceed}"\n'
    own = '[[rules]]\nname = "own"\nper = "customer"\nwindow = "24h"\nmax_count = 3\n'
    folder = configs(tmp_path / "configs", ledger_url, f'[[rules]]\nname = "all"\n{limit}{own}')
    running = []
    for process in range(8):
        # Customers and half of the requests are shared, so that the processes meet.
        wanted = [
            {"request_id": f"{process if n % 2 else 'all'}-{n}", "customer": f"c{n}", "amount": "1"} for n in range(60)
        ]
        source = requests(tmp_path / f"{process}.jsonl", wanted)
        command = [sys.executable, "-m", "tests.commands.submitting", "4", "--configs", folder, "--data", tmp_path]
        command += ["withdraw", "submit", "--input", source, "-o", "jsonl"]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"))
    states: dict[str, str] = {}
    for one in running:
        told, complaint = one.communicate(timeout=120)
        assert one.returncode in (0, 3, 9), complaint
        for line in told.splitlines():
            record = json.loads(line)
            assert states.setdefault(record["request_id"], record["state"]) == record["state"]
    passed = [request_id for request_id, state in states.items() if state == "approved"]
    assert len(states) == 30 + 8 * 30
    assert len(passed) == 100
    own_sums = [sum(1 for each in passed if each.endswith(f"-{customer}")) for customer in range(60)]
    assert max(own_sums) <= 3


os.environ.setdefault("PYTHONPATH", str(Path(__file__).parents[2]))
