"""The nodes of the demo, the tests and the benchmarks: up when they say so, and gone afterwards."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from cryptosupport.domain.errors import BadSettings, NodeFailed
from cryptosupport.outside import nodes
from cryptosupport.outside.nodes import Anvil, Bitcoind, NodeError, program, start_anvil, start_bitcoind


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_anvil_answers_as_soon_as_it_is_handed_over_and_is_gone_after_its_block() -> None:
    with start_anvil("--chain-id", "7") as node:
        assert node.rpc("eth_chainId") == "0x7"
        assert node.mine(3) == 3
        pid = node.pid
        assert b"anvil" in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert not alive(pid)


def test_stopping_twice_does_no_harm() -> None:
    node = start_anvil()
    node.stop()
    node.stop()
    assert not node.running


def test_bitcoind_takes_its_password_and_its_cookie(bitcoind: Bitcoind) -> None:
    cookie = bitcoind.cookie_file.read_text(encoding="utf-8").strip()
    for login in (f"{bitcoind.user}:{bitcoind.password}", cookie):
        token = base64.b64encode(login.encode()).decode()
        request = urllib.request.Request(bitcoind.url, b'{"id":1,"method":"getblockcount"}')
        request.add_header("Authorization", f"Basic {token}")
        with urllib.request.urlopen(request) as answer:
            assert b'"result":101' in answer.read()


def test_bitcoind_keeps_its_password_out_of_the_process_list_and_out_of_files_of_others(bitcoind: Bitcoind) -> None:
    assert bitcoind.password.encode() not in Path(f"/proc/{bitcoind.pid}/cmdline").read_bytes()
    settings = bitcoind.folder / "bitcoin.conf"
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    assert bitcoind.password not in settings.read_text(encoding="utf-8")


def test_the_miner_can_spend_one_coin_at_height_101(bitcoind: Bitcoind) -> None:
    assert bitcoind.rpc("getbalance", wallet="miner") == 50
    assert bitcoind.rpc("getnewaddress", wallet="miner").startswith("bcrt1q")
    assert len(bitcoind.mine(2)) == 2
    assert bitcoind.rpc("getblockcount") == 103


def test_policy_is_that_of_bitcoin_core_whichever_program_runs(bitcoind: Bitcoind) -> None:
    assert bitcoind.rpc("getmempoolinfo")["minrelaytxfee"] * 10**8 in (100, 1000)
    assert not bitcoind.rpc("getmempoolinfo")["size"]


def test_an_error_of_the_node_carries_its_code_and_message(bitcoind: Bitcoind, anvil: Anvil) -> None:
    with pytest.raises(NodeError) as caught:
        bitcoind.rpc("getrawtransaction", "00" * 32)
    assert caught.value.code == -5
    with pytest.raises(NodeError, match="Method not found") as caught:
        anvil.rpc("no_such_method")
    assert caught.value.code == -32601


def test_a_batch_is_answered_in_its_order(bitcoind: Bitcoind, anvil: Anvil) -> None:
    first, height = bitcoind.batch([("getblockhash", [1]), ("getblockcount", [])])
    assert (len(first), height) == (64, 101)
    assert anvil.batch([("eth_chainId", []), ("eth_blockNumber", [])]) == ["0x7a69", "0x0"]
    assert anvil.batch([]) == []


def test_a_killed_bitcoind_starts_again_from_its_folder(bitcoind: Bitcoind) -> None:
    bitcoind.kill()
    assert not bitcoind.running
    with start_bitcoind(folder=bitcoind.folder) as again:
        assert again.rpc("getblockcount") == 101


def test_temporary_data_is_removed_when_the_node_stops() -> None:
    with start_bitcoind() as node:
        folder = node.folder
        assert (folder / "regtest").is_dir()
    assert not folder.exists()


def test_a_node_that_refuses_its_options_is_told_with_its_own_words() -> None:
    with pytest.raises(NodeFailed, match="-nonsense"):
        start_bitcoind("-nonsense=1")
    with pytest.raises(NodeFailed, match="--nonsense"):
        start_anvil("--nonsense")


@pytest.mark.parametrize("start", [start_anvil, start_bitcoind])
def test_a_start_that_loses_its_port_is_tried_again(
    start: Callable[[], Anvil | Bitcoind], anvil: Anvil, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = nodes._free_port
    ports = iter([anvil.port, anvil.port])
    monkeypatch.setattr(nodes, "_free_port", lambda: next(ports, None) or free())
    with start() as node:
        assert node.port != anvil.port
        node.check()


def test_a_missing_program_is_told_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadSettings, match=r"anvil is not on PATH: .*install-anvil"):
        start_anvil()
    with pytest.raises(BadSettings, match=r"bitcoind is not on PATH: .*install-bitcoind"):
        start_bitcoind()


def npm_folder(tmp_path: Path) -> Path:
    """The layout of npm: a link in .bin to a script in the package, and the native program in a package beside it."""
    (tmp_path / "@foundry-rs" / "anvil").mkdir(parents=True)
    script = tmp_path / "@foundry-rs" / "anvil" / "bin.mjs"
    script.write_text("#!/usr/bin/env node\n", encoding="utf-8")
    script.chmod(0o755)
    (tmp_path / ".bin").mkdir()
    (tmp_path / ".bin" / "anvil").symlink_to(script)
    return tmp_path


def test_behind_the_script_of_npm_the_native_program_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = npm_folder(tmp_path)
    monkeypatch.setenv("PATH", str(folder / ".bin"))
    with pytest.raises(BadSettings, match="the program for this machine"):
        program("anvil")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    native = folder / "@foundry-rs" / f"anvil-{sys.platform}-{machine}" / "bin" / "anvil"
    native.parent.mkdir(parents=True)
    native.touch()
    assert program("anvil") == str(native)


def test_nodes_end_with_the_interpreter_that_started_them() -> None:
    code = (
        "from cryptosupport.outside.nodes import start_anvil, start_bitcoind\n"
        "print(start_anvil().pid, start_bitcoind().pid)\n"
        "raise SystemExit(3)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "")
    assert not any(alive(int(pid)) for pid in done.stdout.split())


def test_factories_start_several_nodes_at_once(
    anvil_with: Callable[..., Anvil], bitcoind_with: Callable[..., Bitcoind]
) -> None:
    assert anvil_with().port != anvil_with("--no-mining").port
    first, second = bitcoind_with(), bitcoind_with("-txindex=0")
    assert first.folder != second.folder
    assert first.rpc("getindexinfo")
    assert second.rpc("getindexinfo") == {}
