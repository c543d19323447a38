"""Whoever tells hooks may be killed anywhere, and may have company: no change is left out, and none comes too early."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.commands.hookdesk import (
    SECRET,
    TAKEN,
    Change,
    Listener,
    add_hook,
    in_order,
    later,
    listening,
    sql,
    states,
    writer,
)
from tests.commands.payingdesk import write_settings
from tests.commands.withdrawkit import in_this_process, jsonl
from tests.conftest import ROOT
from tests.nodes.postgres import Postgres

ANN = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


def without_wallets(folder: Path, url: str) -> None:
    """The settings of a desk whose withdrawals nobody pays, so that only people move them."""
    write_settings(folder, '["http://127.0.0.1:9"]', ledger=url)
    (folder / "wallets.toml").unlink()


def test_killed_at_any_point_of_telling_all_is_told_and_in_order(tmp_path: Path, ledger_url: str) -> None:
    configs = tmp_path / "configs"
    without_wallets(configs, ledger_url)
    program, file = writer(tmp_path)
    add_hook(configs, "ledger", command=program)
    command = [sys.executable, "-m", "tests.commands.telling", configs, tmp_path / "data", ledger_url, file]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=600, check=False, env=env)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    print(f"{ledger_url.partition(':')[0]}: {told['points']} points")
    assert (told["wrong"], told["exit_code"]) == ([], 0)
    assert told["points"] > 20


WITHDRAWALS = 40


def work_together(command: list[str], folder: Path, env: dict[str, str], listener: Listener, kill: bool) -> None:
    """Three passes at the same time; with ``kill`` two of them die when the receiver has heard a little."""
    workers = [
        subprocess.Popen(
            [*command, str(folder / f"data-{number}")],
            cwd=ROOT,
            env=os.environ | env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    if kill:
        before, until = len(listener.told), time.monotonic() + 20
        while len(listener.told) < before + 3 and time.monotonic() < until:
            time.sleep(0.005)
        for worker in workers[:2]:
            worker.send_signal(signal.SIGKILL)
    for worker in workers:
        _, complaint = worker.communicate(timeout=120)
        assert worker.returncode in ((0, -signal.SIGKILL) if kill else (0,)), complaint


@pytest.mark.parametrize("killed", [False, True])
def test_workers_on_one_ledger_tell_each_change_and_none_too_early(
    postgres: Postgres, tmp_path: Path, killed: bool
) -> None:
    """The receiver is slow, refuses some, and loses some answers; with ``killed`` workers die over it too."""
    name = postgres.create()
    url, configs = postgres.url(name), tmp_path / "configs"
    without_wallets(configs, url)
    chance, lock = random.Random(7), threading.Lock()

    def moody(change: Change) -> int | None:
        time.sleep(0.01)
        with lock:
            return chance.choice([*[TAKEN] * 8, 500, None])

    with listening(moody) as listener:
        add_hook(configs, "ledger", url=listener.url, secret="env:HOOK_SECRET")
        run, env = in_this_process(tmp_path), {"HOOK_SECRET": SECRET}
        assert run("withdraw", "run", env=env).exit_code == 0
        facts = {"customer": "c", "asset": "ETH", "chain": "ethereum", "amount": "0.5", "destination": ANN}
        names = [f"w-{number}" for number in range(WITHDRAWALS)]
        asked = jsonl(*({"request_id": each, **facts} for each in names))
        assert run("withdraw", "submit", "--input", "-", stdin=asked).exit_code == 0
        for each in names[::2]:
            assert run("withdraw", "cancel", each, "--operator", "ops").exit_code == 0
        command = [sys.executable, "-m", "cryptosupport", "--configs", str(configs), "withdraw", "run", "--data"]
        for turn in range(30):
            later(tmp_path / "data", url)
            work_together(command, tmp_path, env, listener, killed and turn < 4)
            if sql(tmp_path / "data", url, "select count(*) from hook_due") == [(0,)]:
                break
        assert in_order(listener.told)
        for number, each in enumerate(names):
            expected = ["approved"] if number % 2 else ["approved", "cancelled"]
            assert list(dict.fromkeys(states(listener.taken, each))) == expected
        assert len({each["id"] for each in listener.told}) == WITHDRAWALS * 3 // 2
        assert listener.forged == 0
        assert sql(tmp_path / "data", url, "select count(*) from hook_due") == [(0,)]
    postgres.drop(name)
