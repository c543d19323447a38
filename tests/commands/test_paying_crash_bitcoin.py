"""A batch and a single payment on Bitcoin, raised and killed, killed anywhere themselves: each is settled once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.bitcoindesk import MNEMONIC, Bitcoindesk, open_bitcoindesk, sealed
from tests.commands.payinglife import STAGES
from tests.conftest import Tell
from tests.crashing import EVERYWHERE, SHARDS, Told, kill_payments, say, settled_once

__all__ = ["open_bitcoindesk", "sealed"]  # fixtures

CAPS = '[hot.caps.BTC]\nper_transaction = "10"\nper_hour = "50"\n'
TOGETHER = STAGES if EVERYWHERE else [",".join(STAGES)]


def kill_everywhere(
    open_desk: Callable[..., Bitcoindesk], folder: Path, url: str, stages: str, who: str, part: tuple[int, int] = (0, 1)
) -> Told:
    """Prepare node and settings, and have a process kill at the points of a part; what it told of each stage."""
    desk = open_desk(coins=("1", "1", "1"))
    desk.node.rpc("unloadwallet", "miner")
    shutil.copytree(folder / "configs", folder / "signer")
    with (folder / "signer" / "wallets.toml").open("a", encoding="utf-8") as file:
        file.write(CAPS)
    signer = "env:HOT_KEY" if who == "desk" else f"socket:{folder / 'now' / 'run' / 'hot.sock'}"
    wallets = folder / "configs" / "wallets.toml"
    wallets.write_text(wallets.read_text(encoding="utf-8").replace("keyring:hot", signer), encoding="utf-8")
    key = {"HOT_KEY": MNEMONIC} if who == "desk" else {}
    return kill_payments(folder, url, str(desk.node.folder), stages, who, part, key)


def place(url: str, who: str) -> str:
    """What is told of it, with a hole for the stage."""
    return f"{url.partition(':')[0].partition('+')[0]}, bitcoin, {{}}, {who}"


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("stages", TOGETHER)
def test_killed_at_any_point_of_a_batch_it_is_settled_once(
    open_bitcoindesk: Callable[..., Bitcoindesk], tmp_path: Path, ledger_url: str, tell: Tell, stages: str, shard: int
) -> None:
    told = kill_everywhere(open_bitcoindesk, tmp_path, ledger_url, stages, "desk", (shard, SHARDS))
    say(tell, place(ledger_url, f"the desk (part {shard + 1} of {SHARDS})" if SHARDS > 1 else "the desk"), told)
    settled_once(told, "desk")


@pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"] if EVERYWHERE else ["sqlite"], indirect=True)
@pytest.mark.parametrize("who", ["asking", "signer"])
def test_killed_at_any_point_between_desk_and_signer_a_batch_is_settled_once(
    open_bitcoindesk: Callable[..., Bitcoindesk], tmp_path: Path, ledger_url: str, tell: Tell, who: str
) -> None:
    stages = ",".join(STAGES if EVERYWHERE else ("pay",))
    told = kill_everywhere(open_bitcoindesk, tmp_path, ledger_url, stages, who)
    words = {"asking": "the desk that asks a signer", "signer": "the signer that it asks"}
    say(tell, place(ledger_url, words[who]), told)
    settled_once(told, who)
