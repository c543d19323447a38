"""Payments, a bump and a cancel, killed anywhere: each withdrawal is settled exactly once all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cryptosupport.outside.nodes import Anvil
from tests.chains.evm_paying import tokens
from tests.chains.evm_paying.kit import CONTRACT
from tests.commands.payingdesk import ETHER, HOT, KEY, write_settings
from tests.commands.payinglife import NODE, STAGES
from tests.conftest import Tell
from tests.crashing import EVERYWHERE, SHARDS, Told, kill_payments, say, settled_once

TOKEN = f'[assets.USDT]\ndecimals = 6\ncontract = "{CONTRACT}"\n'
CAPS = "".join(f'[hot.caps.{each}]\nper_transaction = "10"\nper_hour = "50"\n' for each in ("ETH", "USDT"))
WHO = {"asking": "the desk that asks a signer", "signer": "the signer that it asks"}


TOGETHER = STAGES if EVERYWHERE else [",".join(STAGES)]
"""The stages of each test: where all points are killed at they can run beside each other."""


def kill_everywhere(
    folder: Path, url: str, anvil: Anvil, stages: str, who: str, shard: int = 0, shards: int = 1
) -> Told:
    """Prepare node and settings, and have a process kill at the points of a shard; what it told of each stage."""
    anvil.rpc("anvil_setBalance", HOT, hex(100 * ETHER))
    tokens.place(anvil, CONTRACT, tokens.SILENT, **{HOT: 100 * 10**6})
    signer = "env:HOT_KEY" if who == "desk" else f"socket:{folder / 'now' / 'run' / 'hot.sock'}"
    write_settings(folder / "configs", f'["{anvil.url}"]', TOKEN, url, signer=signer)
    write_settings(folder / "signer", "[]", TOKEN, signer="keyring:hot")
    with (folder / "signer" / "wallets.toml").open("a", encoding="utf-8") as file:
        file.write(CAPS)
    key = {"HOT_KEY": KEY} if who == "desk" else {}
    return kill_payments(folder, url, anvil.url, stages, who, (shard, shards), key)


def place(url: str, who: str) -> str:
    """What is told of it, with a hole for the stage."""
    return f"{url.partition(':')[0].partition('+')[0]}, {{}}, {who}"


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("stages", TOGETHER)
def test_killed_at_any_point_of_a_payment_it_is_settled_once(
    tmp_path: Path, ledger_url: str, anvil_with: Any, tell: Tell, stages: str, shard: int
) -> None:
    told = kill_everywhere(tmp_path, ledger_url, anvil_with(*NODE), stages, "desk", shard, SHARDS)
    say(tell, place(ledger_url, f"the desk (part {shard + 1} of {SHARDS})" if SHARDS > 1 else "the desk"), told)
    settled_once(told, "desk")


@pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"] if EVERYWHERE else ["sqlite"], indirect=True)
@pytest.mark.parametrize("who", ["asking", "signer"])
def test_killed_at_any_point_between_desk_and_signer_it_is_settled_once(
    tmp_path: Path, ledger_url: str, anvil_with: Any, tell: Tell, who: str
) -> None:
    stages = ",".join(STAGES if EVERYWHERE else ("pay",))
    told = kill_everywhere(tmp_path, ledger_url, anvil_with(*NODE), stages, who)
    say(tell, place(ledger_url, WHO[who]), told)
    settled_once(told, who)
