"""A pass that pays, killed anywhere: what was approved is paid exactly once all the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cryptosupport.outside.nodes import Anvil
from tests.chains.evm_paying import tokens
from tests.chains.evm_paying.kit import CONTRACT
from tests.commands.payingdesk import ETHER, HOT, KEY, write_settings
from tests.conftest import ROOT

TOKEN = f'[assets.USDT]\ndecimals = 6\ncontract = "{CONTRACT}"\n'


@pytest.mark.parametrize("scenario", ["pay", "bump", "kill"])
def test_killed_at_any_point_of_a_payment_it_is_paid_once(
    tmp_path: Path, ledger_url: str, anvil: Anvil, scenario: str
) -> None:
    anvil.rpc("anvil_setBalance", HOT, hex(100 * ETHER))
    tokens.place(anvil, CONTRACT, tokens.SILENT, **{HOT: 100 * 10**6})
    configs = tmp_path / "configs"
    write_settings(configs, f'["{anvil.url}"]', TOKEN, ledger_url, signer="env:HOT_KEY")
    with (configs / "desk.toml").open("a", encoding="utf-8") as file:
        file.write(f'[bump]\nresend = "1ms"\nafter = "{"1ms" if scenario == "bump" else "1h"}"\n')
    command = [sys.executable, "-m", "tests.commands.paying", configs, tmp_path / "data", ledger_url, anvil.url]
    env = {**os.environ, "HOT_KEY": KEY, "PYTHONPATH": str(ROOT)}
    command.append(scenario)
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=1700, check=False, env=env)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    print(f"{scenario} on {ledger_url.partition(':')[0]}: {told['points']} points")
    assert told["wrong"] == []
    assert told["exit_code"] == 0
    assert told["points"] > 40
