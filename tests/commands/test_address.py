"""`address check` as it is typed, against real nodes."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Configs, Program

USDT = "0xdAC17F958D2ee523a2206206994597C13D831ec7"
BITCOIN = "bc1qvyq0cc6rahyvsazfdje0twl7ez82ndmuac2lhv"
ONE_BYTE_CONTRACT = "0x6001600c60003960016000f300"  # init code that leaves a single STOP
NOBODY = "http://127.0.0.1:1"
KEYS = [
    *("schema", "input", "address", "valid", "kind", "checksum", "chains", "contract", "burn", "own", "look_alikes"),
    *("screening", "error"),
]


@pytest.fixture
def presets(run: Program) -> Program:
    """The program with the shipped chains, asking nobody."""

    def start(*arguments: str, **more: Any) -> Any:
        return run("address", "check", "--offline", "--configs", str(ROOT / "configs"), *arguments, **more)

    return start


def mined(node: Any, txid: str) -> Any:
    """The receipt, once the node has it: it answers a moment before it mines."""
    for _ in range(500):
        receipt = node.rpc("eth_getTransactionReceipt", txid)
        if receipt is not None:
            return receipt
        time.sleep(0.01)
    pytest.fail("not mined within 5 seconds")


def deploy(node: Any) -> str:
    sender = node.rpc("eth_accounts")[0]
    txid = node.rpc("eth_sendTransaction", {"from": sender, "data": ONE_BYTE_CONTRACT, "gas": "0x186a0"})
    address: str = mined(node, txid)["contractAddress"]
    assert node.rpc("eth_getCode", address, "latest") == "0x00"
    return address


# -- without nodes ---------------------------------------------------------------------------------------------------


def test_the_record_is_the_schemas(presets: Program) -> None:
    done = presets(USDT.lower(), "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    assert list(done.json) == KEYS
    assert done.json | {"chains": [], "contract": {}} == {
        "schema": "cryptosupport.address/1",
        "input": USDT.lower(),
        "address": USDT,
        "valid": True,
        "kind": "account",
        "checksum": None,
        "chains": [],
        "contract": {},
        "burn": False,
        "own": None,
        "look_alikes": [],
        "screening": None,
        "error": None,
    }
    assert {"ethereum", "bsc", "polygon"} <= set(done.json["chains"])
    assert "bitcoin" not in done.json["chains"]
    assert done.json["contract"] == dict.fromkeys(done.json["chains"])


def test_one_bad_address_exits_2_and_the_others_are_told(presets: Program) -> None:
    done = presets(BITCOIN, BITCOIN[:-1] + "w", "--json")
    assert done.exit_code == 2
    good, bad = done.json
    assert (good["valid"], good["kind"], good["checksum"]) == (True, "p2wpkh", True)
    assert good["chains"] == ["bitcoin"]
    assert list(bad) == KEYS
    assert (bad["valid"], bad["address"], bad["checksum"]) == (False, None, False)
    assert bad["error"]["code"] == "bad_checksum"


def test_a_wrong_network_is_told_with_a_chain_named(presets: Program) -> None:
    done = presets("tb1qcrh3yqn4nlleplcez2yndq2ry8h9ncg3qh7n54", "--chain", "bitcoin", "--json")
    assert (done.exit_code, done.json["error"]["code"]) == (2, "wrong_network")
    done = presets(BITCOIN, "--chain", "ethereum", "--json")
    assert (done.exit_code, done.json["error"]["code"]) == (2, "wrong_network")


def test_a_person_reads_what_matters(presets: Program) -> None:
    done = presets("0x000000000000000000000000000000000000dEaD", "--chain", "ethereum")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "address   0x000000000000000000000000000000000000dEaD",
        "valid     yes",
        "kind      account",
        "checksum  holds",
        "chains    ethereum",
        "careful   nobody can spend from this address: what is sent there is lost",
    ]


def test_a_person_reads_why_an_address_is_not_valid(presets: Program) -> None:
    done = presets("0xdAC1…1ec7")
    assert done.exit_code == 2
    assert "cut short" in done.stdout


def test_several_make_a_table(presets: Program) -> None:
    done = presets(USDT, "nonsense")
    assert done.exit_code == 2
    assert USDT in done.stdout
    assert "has not the form of an address" in done.stdout


def test_programs_get_csv_and_jsonl(presets: Program) -> None:
    rows = list(csv.DictReader(io.StringIO(presets(USDT, BITCOIN, "-o", "csv").stdout)))
    assert [row["address"] for row in rows] == [USDT, BITCOIN]
    assert [line["address"] for line in presets(USDT, BITCOIN, "-o", "jsonl").jsonl] == [USDT, BITCOIN]


def test_what_may_be_a_private_key_is_nowhere_in_the_output(presets: Program) -> None:
    key = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
    for output in ("table", "json", "csv"):
        done = presets(key, "-o", output)
        assert done.exit_code == 2
        assert key[:8] not in done.stdout + done.stderr
        assert "a private key" in done.stdout


def test_an_own_wallets_address_may_be_a_reference(run: Program, configs: Configs) -> None:
    configs({"ethereum": NOBODY}, wallets='[hot]\nchain = "ethereum"\nrole = "hot"\naddress = "env:HOT"\n')
    check = ("address", "check", "--offline", "--json", USDT)
    assert run(*check, env={"HOT": USDT}).json["own"] == {"wallet": "hot", "role": "hot"}
    done = run(*check)
    assert done.exit_code == 8
    assert "the variable HOT is not set" in done.stderr


def test_an_unknown_chain_is_bad_settings(presets: Program) -> None:
    done = presets(USDT, "--chain", "etherium")
    assert done.exit_code == 8
    assert "did you mean ethereum?" in done.stderr


def test_nothing_given_is_bad_usage(presets: Program) -> None:
    assert presets().exit_code == 2


# -- with nodes ------------------------------------------------------------------------------------------------------


def test_a_contract_and_an_account_are_told_apart_by_the_node(run: Program, configs: Configs, anvil: Any) -> None:
    configs({"ethereum": anvil})
    contract, account = deploy(anvil), anvil.rpc("eth_accounts")[0]
    done = run("address", "check", contract, account, "--json")
    assert done.exit_code == 0
    assert [one["contract"] for one in done.json] == [{"ethereum": True}, {"ethereum": False}]


def test_an_unreachable_chain_is_told_and_changes_nothing_else(run: Program, configs: Configs, anvil: Any) -> None:
    configs({"ethereum": anvil, "bsc": NOBODY})
    contract = deploy(anvil)
    done = run("address", "check", contract, "--json")
    assert (done.exit_code, done.json["valid"]) == (0, True)
    assert done.json["contract"] == {"ethereum": True, "bsc": None}
    assert "bsc" in done.stderr
    assert "127.0.0.1" in done.stderr
    assert run("address", "check", contract, "--json", "--quiet").stderr == ""


def test_every_kind_of_address_of_a_real_wallet_is_taken(run: Program, configs: Configs, bitcoind: Any) -> None:
    configs({"bitcoin": bitcoind})
    made = {
        ours: bitcoind.rpc("getnewaddress", "", kind, wallet="miner")
        for kind, ours in (("legacy", "p2pkh"), ("p2sh-segwit", "p2sh"), ("bech32", "p2wpkh"), ("bech32m", "p2tr"))
    }
    done = run("address", "check", *made.values(), BITCOIN, "--json")
    *own_network, mainnet = done.json
    assert [(one["kind"], one["address"]) for one in own_network] == list(made.items())
    assert all(one["contract"] == {"bitcoin": None} and one["chains"] == ["bitcoin"] for one in own_network)
    assert (mainnet["valid"], mainnet["error"]["code"]) == (False, "wrong_network")
    assert bitcoind.rpc("validateaddress", BITCOIN)["isvalid"] is False
    assert done.exit_code == 2


def test_own_wallets_and_their_look_alikes_are_told(run: Program, configs: Configs, anvil: Any) -> None:
    hot = anvil.rpc("eth_accounts")[0]
    plant = hot[:6] + "1" * 32 + hot[-4:]
    configs({"ethereum": anvil}, wallets=f'[hot-eth]\nchain = "ethereum"\nrole = "hot"\naddress = "{hot}"\n')
    own, other = run("address", "check", hot, plant, "--json").json
    assert own["own"] == {"wallet": "hot-eth", "role": "hot"}
    assert other["own"] is None
    assert [(one["address"].lower(), one["of"]) for one in other["look_alikes"]] == [(hot, "hot-eth")]
    shown = run("address", "check", plant).stdout
    assert "hot-eth" in shown
    assert "compare every character" in shown


def test_an_address_that_resembles_an_earlier_sender_is_told(run: Program, configs: Configs, anvil: Any) -> None:
    configs({"ethereum": anvil})
    sender, recipient = anvil.rpc("eth_accounts")[:2]
    txid = anvil.rpc("eth_sendTransaction", {"from": sender, "to": recipient, "value": "0x1"})
    assert mined(anvil, txid)["from"] == sender
    assert run("tx", "status", txid).exit_code in (0, 10)
    done = run("address", "check", sender[:6] + "1" * 32 + sender[-4:], "--json")
    assert [(one["address"].lower(), one["of"]) for one in done.json["look_alikes"]] == [(sender, "earlier")]


def test_a_memory_that_cannot_be_read_is_a_warning(run: Program, configs: Configs, anvil: Any, tmp_path: Path) -> None:
    configs({"ethereum": anvil})
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sightings.db").write_text("no database", encoding="utf-8")
    done = run("address", "check", USDT, "--json")
    assert (done.exit_code, done.json["valid"]) == (0, True)
    assert "warning" in done.stderr
