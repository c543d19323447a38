"""`demo`: it shows every fate and every outcome, checks what it shows, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from decimal import Decimal
from pathlib import Path
from unittest.mock import Mock

from cryptosupport import __version__
from cryptosupport.outside.batch_scenes import batch_steps
from cryptosupport.outside.demo import _differences, _exit_codes
from cryptosupport.outside.desk_scenes import Step, desk_steps
from cryptosupport.outside.nodes import Anvil, Bitcoind
from cryptosupport.outside.paying_scenes import paying_steps
from cryptosupport.outside.people_scenes import people_steps
from cryptosupport.outside.scenes import CUSTOMERS, Look
from cryptosupport.outside.warmed import warmed
from tests.conftest import Program

DECIDED = {"approved", "rejected", "awaiting_approval", "waiting", "cancelled", "held"}
CHANGED = {"proposed", "active", "set", "broadcast", "confirming", "final"}
SENT = {"category": "send", "confirmations": 3, "fee": Decimal("-0.00000999")}
FATES = {"confirmed", "confirming", "pending", "failed", "replaced", "dropped", "not_found"}


def processes_of(folder: Path) -> list[str]:
    """The command lines that name ``folder``."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if str(folder) in line]


def scratch(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder, {"TMPDIR": str(folder)}


def test_every_scene_is_told_as_it_is_and_nothing_is_left_behind(run: Program, tmp_path: Path) -> None:
    folder, environment = scratch(tmp_path)
    before = os.umask(0o002)  # files that a group can write are no settings to decide by
    try:
        done = run("demo", "-o", "jsonl", env=environment, timeout=900)
    finally:
        os.umask(before)
    assert done.stderr == ""
    assert [scene["title"] for scene in done.jsonl if scene["differences"]] == []
    assert done.exit_code == 0
    for chain in ("anvil", "regtest"):
        told = {scene["state"] for scene in done.jsonl if scene["chain"] == chain}
        assert told == (FATES if chain == "anvil" else FATES - {"failed", "dropped"})
    desk = [scene for scene in done.jsonl if scene["chain"] == "desk"]
    assert {scene["state"] for scene in desk if scene["state"]} == DECIDED | CHANGED
    assert all(scene["text"].splitlines()[-1].strip() for scene in desk), "each shows what a person reads"
    told = {scene["command"]: scene for scene in desk}
    assert told["cryptosupport withdraw show w-20"]["state"] == "final"
    receipt = told["cryptosupport withdraw receipt w-20"]["text"]
    assert receipt.partition("Paid: ")[2].startswith("25 USDX to ")
    assert "It is the only transaction that was made for it, and takes nonce 0 of " in receipt
    shared = told["cryptosupport withdraw receipt b-2"]["text"]
    assert shared.partition("Paid: ")[2].startswith("0.02 BTC to ")
    assert "2 transactions were made for it, and all of them take the inputs " in shared
    assert "of which this one bears 0.0000" in shared
    assert told["cryptosupport withdraw show b-5"]["state"] == "held"
    assert "nodes relay 294 at least to such an address" in told["cryptosupport withdraw show b-5"]["text"]
    assert desk[-1]["command"] == "cryptosupport reconcile"
    assert not processes_of(folder)
    assert list(folder.iterdir()) == []


def test_each_run_is_a_process_of_its_own_with_its_own_streams(tmp_path: Path) -> None:
    with warmed(tmp_path, {"CRYPTOSUPPORT_DATA": str(tmp_path / "data")}) as program:
        code, said, complained = program.run(["tx", "status", "-", "--json"], "no id\n")
        assert (code, json.loads(said)[0]["input"], "no id" in complained) == (2, "no id", False)
        code, said, complained = program.run(["withdraw", "pay"])
        assert (code, said, "No such command 'pay'" in complained) == (2, "", True)
        assert program.run(["--version"]) == (0, f"cryptosupport {__version__}\n", "")
        loaded = program.pid
        assert Path(f"/proc/{loaded}").exists()
    assert not Path(f"/proc/{loaded}").exists()


def test_a_scene_told_wrong_is_named() -> None:
    look = Look("a deposit", "anvil", "0x00", 0, {"state": "confirmed", "transfers.0.amount": "1", "fee.asset": "ETH"})
    record: dict[str, object] = {"state": "failed", "transfers": [], "fee": None}
    assert list(_exit_codes(look.exit_code, 12)) == ["exit code 12, expected 0"]
    assert list(_differences(look, record)) == [
        "state is 'failed', expected 'confirmed'",
        "transfers.0.amount is None, expected '1'",
        "fee.asset is None, expected 'ETH'",
    ]


def test_a_step_at_the_desk_told_wrong_is_named() -> None:
    step = Step("two", ("withdraw", "submit"), 3, {"0.state": "rejected", "1.state": "approved", "2.state": "held"})
    assert list(_differences(step, [{"state": "rejected"}, {"state": "waiting"}])) == [
        "1.state is 'waiting', expected 'approved'",
        "2.state is None, expected 'held'",
    ]


def test_the_desk_checks_something_at_every_step_and_meets_every_exit_code_of_a_submit() -> None:
    node = Mock(spec=Anvil, accounts=lambda: [("0x" + "1" * 40, "0x" + "2" * 64)])
    coins = {"getnewaddress": CUSTOMERS[0], "listtransactions": [SENT]}
    bitcoin = Mock(spec=Bitcoind, rpc=lambda method, *params, wallet: coins.get(method))
    paying = *paying_steps(node, ""), *batch_steps(bitcoin, "", "")
    steps = [*desk_steps(1_795_262_400), *people_steps(), *paying]
    assert all(step.expected for step in steps)
    assert {step.exit_code for step in steps if "submit" in step.arguments} == {0, 2, 3, 8, 9}


def test_without_its_nodes_it_says_how_to_get_them(run: Program, tmp_path: Path) -> None:
    done = run("demo", env={"PATH": str(tmp_path)})
    assert done.exit_code == 8
    assert "anvil is not on PATH" in done.stderr
    assert "tools/install-anvil.sh" in done.stderr
    anvil = tmp_path / "anvil"
    anvil.touch(0o755)
    done = run("demo", "--json", env={"PATH": str(tmp_path)})
    assert done.exit_code == 8
    assert "tools/install-bitcoind.sh" in json.loads(done.stderr)["error"]["message"]


def test_told_to_end_it_stops_its_nodes(command: list[str], tmp_path: Path) -> None:
    folder, environment = scratch(tmp_path)
    with subprocess.Popen(
        [*command, "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | environment,
    ) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        demo.stdout.readline()
        assert len(processes_of(folder)) >= 2
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(60) == 130
        assert b"interrupted" in demo.stderr.read()
    deadline = time.monotonic() + 20  # what it has killed may take a moment to be gone on a busy machine
    while processes_of(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes_of(folder)
    assert list(folder.iterdir()) == []
