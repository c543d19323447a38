"""A pass of cron that is killed anywhere can be run again, and ends as one that nobody killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.commands.test_withdraw_crash import configs

POLICY = """
[[rules]]
name = "permit"
allow = true
[[rules]]
name = "desk"
per = "global"
window = "24h"
max_amount = "10"
on_exceed = "wait"
[[rules]]
name = "big"
above_amount = "3"
approvals = 1
"""


def test_killed_at_any_statement_and_commit_the_next_pass_ends_the_same(tmp_path: Path, ledger_url: str) -> None:
    folder = configs(tmp_path / "configs", ledger_url, POLICY)
    command = [sys.executable, "-m", "tests.commands.running", folder, tmp_path / "data", ledger_url]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=1700, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["wrong"] == []
    assert told["exit_code"] == 0
    (rows, _), (frozen, sound) = told["whole"]
    states = {name: state for _, name, state, *_ in rows}
    assert states == {"allowed": "rejected", "seen": "rejected", "over": "expired", "queued": "waiting"}
    assert (frozen, sound) == (["customer=c3"], 0)
    assert told["points"] > 20
