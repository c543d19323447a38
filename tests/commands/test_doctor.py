"""`doctor` against real nodes, and against ports where nobody answers."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from cryptosupport.outside.nodes import Anvil, Bitcoind
from tests.conftest import Configs, Program, Run

HOT = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


def verdicts(done: Run) -> dict[str, dict[str, Any]]:
    return {record["name"]: record for record in done.json}


def closed_port() -> int:
    """A port of this machine where nobody answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_both_kinds_of_node_in_good_order_exit_0(
    run: Program, configs: Configs, anvil: Anvil, bitcoind: Bitcoind
) -> None:
    anvil.mine()
    configs({"ethereum": anvil, "bitcoin": bitcoind})
    done = run("doctor", "--json")
    assert done.exit_code == 0, done.stdout + done.stderr
    found = verdicts(done)
    assert {record["schema"] for record in done.json} == {"cryptosupport.doctor/1"}
    nodes = {name: record["verdict"] for name, record in found.items() if name.startswith("node ")}
    assert nodes == {f"node bitcoin 127.0.0.1:{bitcoind.port}": "ok", f"node ethereum 127.0.0.1:{anvil.port}": "ok"}
    assert found["memory"]["verdict"] == "ok"
    assert found["chain ethereum"]["verdict"] == "warn"  # one operator
    assert found["clock"]["verdict"] == "ok"
    assert bitcoind.password not in done.stdout


def test_a_clock_that_disagrees_with_the_chain_is_a_warning(
    run: Program, configs: Configs, anvil_with: Callable[..., Anvil]
) -> None:
    ahead = anvil_with("--timestamp", str(int(time.time()) + 1000))
    ahead.mine()
    configs({"ethereum": ahead})
    done = run("doctor", "--json")
    assert done.exit_code == 0
    clock = verdicts(done)["clock"]
    assert clock["verdict"] == "warn"
    assert "behind the newest block of ethereum" in clock["message"]


def test_a_node_of_another_chain_fails(run: Program, configs: Configs, anvil: Anvil) -> None:
    configs({"ethereum": anvil}, ethereum={"chain_id": 1})
    done = run("doctor", "--json")
    assert done.exit_code == 6
    node = verdicts(done)[f"node ethereum 127.0.0.1:{anvil.port}"]
    assert node["verdict"] == "fail"
    assert "31337" in node["message"]


def test_a_node_that_is_down_fails_with_6_and_the_table_has_a_line_for_it(run: Program, configs: Configs) -> None:
    port = closed_port()
    configs({"ethereum": f"http://127.0.0.1:{port}"})
    done = run("doctor")
    assert done.exit_code == 6
    [line] = [line for line in done.stdout.splitlines() if f"node ethereum 127.0.0.1:{port}" in line]
    assert line.startswith("fail")


def test_wrong_settings_and_a_node_that_is_down_exit_8(run: Program, configs: Configs) -> None:
    configs({"ethereum": f"http://127.0.0.1:{closed_port()}"}, desk="[desks]")
    done = run("doctor", "--json")
    assert done.exit_code == 8
    assert "did you mean 'desk'" in verdicts(done)["desk.toml"]["message"]


def test_a_missing_secret_is_named_and_a_set_one_is_not_shown(run: Program, configs: Configs) -> None:
    end = {"url": "env:DOCTOR_NODE", "rpc_user": "u", "rpc_password": "env:DOCTOR_PASSWORD"}
    configs({"ethereum": ""}, ethereum={"endpoints": [end]})
    env = {"DOCTOR_NODE": f"http://127.0.0.1:{closed_port()}/v3/TOPSECRET"}
    done = run("doctor", "--json", env=env)
    assert done.exit_code == 8
    found = verdicts(done)
    assert found["secret env:DOCTOR_NODE"]["verdict"] == "ok"
    assert found["secret env:DOCTOR_PASSWORD"]["verdict"] == "fail"
    assert found["secret env:DOCTOR_PASSWORD"]["advice"].startswith("export DOCTOR_PASSWORD=")
    assert "TOPSECRET" not in done.stdout + done.stderr


def test_a_secret_that_is_no_url_is_told_without_showing_it(run: Program, configs: Configs) -> None:
    configs({"ethereum": ""}, ethereum={"endpoints": ["env:DOCTOR_NODE"]})
    done = run("doctor", "--json", env={"DOCTOR_NODE": "TOPSECRET"})
    assert done.exit_code == 8
    assert "use http:// or https://" in done.stdout
    assert "TOPSECRET" not in done.stdout + done.stderr


@pytest.mark.parametrize("backend", ["no.such.Backend", "keyring.backends.fail.Nothing", "nothing", "json.JSONDecoder"])
def test_a_keyring_backend_that_is_none_is_told(run: Program, configs: Configs, backend: str) -> None:
    configs({"ethereum": f"http://127.0.0.1:{closed_port()}"})
    env = {"PYTHON_KEYRING_BACKEND": backend}
    done = run("doctor", "--json", env=env)
    assert done.exit_code == 8
    assert verdicts(done)["keyring"]["verdict"] == "fail"
    assert "$PYTHON_KEYRING_BACKEND or keyringrc.cfg names a keyring that fails" in verdicts(done)["keyring"]["message"]
    assert run("tx", "status", "0x" + "ab" * 32, env=env).exit_code == 6  # needs none
    configs({"ethereum": ""}, ethereum={"endpoints": ["keyring:node"]})
    done = run("tx", "status", "0x" + "ab" * 32, env=env)
    assert done.exit_code == 8
    assert "the settings refer to keyring:node, and $PYTHON_KEYRING_BACKEND" in done.stderr


def test_every_text_of_an_endpoint_may_be_a_reference(run: Program, configs: Configs, bitcoind: Bitcoind) -> None:
    end = {"url": "env:URL", "operator": "env:WHO", "cookie_file": "env:COOKIE"}
    configs({"bitcoin": bitcoind}, bitcoin={"endpoints": [end]})
    done = run("doctor", "--json", env={"URL": bitcoind.url, "WHO": "Acme", "COOKIE": str(bitcoind.cookie_file)})
    assert done.exit_code == 0, done.stdout
    assert verdicts(done)["node bitcoin Acme"]["verdict"] == "ok"
    assert {"secret env:URL", "secret env:WHO", "secret env:COOKIE"} <= set(verdicts(done))


def test_a_secret_that_is_no_text_is_told(command: list[str], configs: Configs) -> None:
    end = {"url": f"http://127.0.0.1:{closed_port()}", "rpc_password": "env:DOCTOR_PASSWORD"}
    configs({"ethereum": ""}, ethereum={"endpoints": [end]})
    for arguments in (["doctor"], ["tx", "status", "0x" + "ab" * 32]):
        env = {**os.environb, b"DOCTOR_PASSWORD": b"hunter2\xff"}
        done = subprocess.run([*command, *arguments], env=env, capture_output=True, check=False, encoding="utf-8")
        assert done.returncode == 8
        assert "env:DOCTOR_PASSWORD, and what it holds is not valid UTF-8" in done.stdout + done.stderr
        assert "hunter2" not in done.stdout + done.stderr


def test_no_part_of_a_password_is_shown_as_an_operator(run: Program, configs: Configs) -> None:
    configs({"ethereum": "http://user:hunter2@s3cr/word@127.0.0.1:9/"})
    done = run("doctor", "--json")
    assert done.exit_code == 8
    assert not [part for part in ("hunter2", "s3cr", "word@") if part in done.stdout + done.stderr]


def test_a_wallet_is_compared_with_its_chain(run: Program, configs: Configs) -> None:
    wallets = f'[hot]\nchain = "ethereum"\nrole = "hot"\naddress = "{HOT.replace("Fd6", "fD6")}"\nsigner = "env:KEY"'
    configs({"ethereum": f"http://127.0.0.1:{closed_port()}"}, wallets=wallets)
    done = run("doctor", "--json", env={"KEY": "x"})
    assert done.exit_code == 8
    wallet = verdicts(done)["wallet hot"]
    assert wallet["verdict"] == "fail"
    assert wallet["message"].startswith("address: ")


def test_a_chain_that_is_not_configured_exits_8(run: Program, configs: Configs) -> None:
    configs({"ethereum": f"http://127.0.0.1:{closed_port()}"})
    done = run("doctor", "--chain", "bitcoin")
    assert (done.exit_code, done.stdout) == (8, "")
    assert "no chain 'bitcoin'" in done.stderr


def test_csv_has_a_head_and_a_line_for_each_verdict(run: Program, configs: Configs) -> None:
    configs({"ethereum": f"http://127.0.0.1:{closed_port()}"})
    lines = run("doctor", "-o", "csv").stdout.splitlines()
    assert lines[0] == "verdict,name,message,advice"
    assert lines[1].startswith("ok,python,Python 3.")


def test_of_one_chain_only_its_nodes_and_wallets_are_examined_and_the_help_says_so(
    run: Program, configs: Configs
) -> None:
    configs({"ethereum": f"http://127.0.0.1:{closed_port()}"}, policy='[[rules]]\nname = "all"\nallow = true\n')
    assert {"policy.toml", "ledger"} <= set(verdicts(run("doctor", "--json")))
    assert not {"policy.toml", "ledger"} & set(verdicts(run("doctor", "--chain", "ethereum", "--json")))
    said = " ".join(run("doctor", "--help").stdout.split())
    assert "Of one chain only: nodes and wallets, not policy, prices and ledger." in said
