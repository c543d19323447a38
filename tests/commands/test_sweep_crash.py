"""A sweep, killed anywhere: the surplus reaches the cold once all the same, and nothing of it is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.commands.payingdesk import ETHER, HOT, KEY, Paydesk, open_desk, sealed
from tests.commands.payinglife import NODE
from tests.commands.test_sweep import WHOLE, add_float, register
from tests.conftest import ROOT, Tell
from tests.crashing import say

__all__ = ["open_desk", "sealed"]  # fixtures


def test_killed_at_any_point_of_a_sweep_it_arrives_once(
    open_desk: Callable[..., Paydesk], anvil_with: Any, ledger_url: str, tmp_path: Path, tell: Tell
) -> None:
    desk = open_desk(anvil_with(*NODE), ledger=ledger_url)
    desk.node.rpc("anvil_setBalance", HOT, hex(100 * ETHER))
    add_float(desk, text=WHOLE.replace('cooldown = "0s"', 'cooldown = "1h"'))
    register(desk)
    wallets = desk.folder / "configs" / "wallets.toml"
    wallets.write_text(wallets.read_text(encoding="utf-8").replace("keyring:hot", "env:HOT_KEY"), encoding="utf-8")
    (desk.folder / "data").mkdir(mode=0o700, exist_ok=True)  # with a ledger on a server nothing was there to keep
    (desk.folder / "data").rename(tmp_path / "made")
    command = [sys.executable, "-m", "tests.commands.sweeping", str(tmp_path), ledger_url, desk.node.url]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HOT_KEY": KEY}
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=1700, check=False, env=env)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    say(tell, f"{ledger_url.partition(':')[0].partition('+')[0]}, {{}}, the desk", {"sweep": told})
    assert told["wrong"] == []
    assert told["killed"] > 0
    assert told["kinds"].keys() >= {"commit", "node call", "signer call"}
