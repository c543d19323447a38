"""`tx status` and `tx explain` as people and scripts run them, on real nodes."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cryptosupport.outside.nodes import Anvil, Bitcoind
from tests.conftest import Configs, Program

ABSENT = "0x" + "ab" * 32


def pay(anvil: Anvil, value: int = 15 * 10**17) -> str:
    sender, receiver = anvil.rpc("eth_accounts")[:2]
    txid: str = anvil.rpc("eth_sendTransaction", {"from": sender, "to": receiver, "value": hex(value)})
    return txid


# -- the record ------------------------------------------------------------------------------------------------------


def test_one_transaction_is_one_object_with_the_facts_of_the_node(run: Program, configs: Configs, anvil: Anvil) -> None:
    configs({"dev": anvil}, dev={"confirmations": 2, "explorer": "https://x.example/tx/{txid}"})
    txid = pay(anvil)
    anvil.mine(1)
    done = run("tx", "status", txid, "--json")
    record = done.json
    receipt = anvil.rpc("eth_getTransactionReceipt", txid)
    block = anvil.rpc("eth_getBlockByNumber", receipt["blockNumber"], False)
    assert done.exit_code == 0
    assert done.stderr == ""
    assert (record["schema"], record["txid"], record["chain"]) == ("cryptosupport.tx/1", txid, "dev")
    assert (record["state"], record["final"]) == ("confirmed", True)
    assert (record["height"], record["block_hash"]) == (int(receipt["blockNumber"], 16), block["hash"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record["block_time"])
    assert (record["confirmations"], record["required_confirmations"]) == (2, 2)
    fee = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    assert record["fee"]["base_units"] == str(fee)
    (transfer,) = record["transfers"]
    assert (transfer["asset"], transfer["amount"], transfer["base_units"]) == ("ETH", "1.5", str(15 * 10**17))
    assert [transfer["from"].lower(), transfer["to"].lower()] == anvil.rpc("eth_accounts")[:2]
    assert record["explorer"] == f"https://x.example/tx/{txid}"
    assert record["error"] is record["pending"] is record["failure"] is record["replaced_by"] is None
    assert record["summary"].endswith(".")


def test_bitcoin_is_told_the_same_way(run: Program, configs: Configs, bitcoind: Bitcoind) -> None:
    configs({"btc": bitcoind}, btc={"confirmations": 2})
    there = bitcoind.rpc("getnewaddress", "", "bech32", wallet="miner")
    txid = bitcoind.rpc("sendtoaddress", there, "0.5", wallet="miner")
    pending = run("tx", "status", txid, "--json")
    assert pending.exit_code == 10
    assert pending.json["pending"]["reason"] in ("waiting", "unbroadcast")
    bitcoind.mine(1)
    done = run("tx", "status", txid.upper(), "--json")
    truth = bitcoind.rpc("getrawtransaction", txid, 2)
    assert done.exit_code == 10
    assert (done.json["state"], done.json["confirmations"], done.json["required_confirmations"]) == ("confirming", 1, 2)
    assert done.json["block_hash"] == truth["blockhash"]
    paid = {output["n"]: output["scriptPubKey"]["address"] for output in truth["vout"]}
    assert {transfer["vout"]: transfer["to"] for transfer in done.json["transfers"]} == paid
    assert [transfer["amount"] for transfer in done.json["transfers"] if transfer["to"] == there] == ["0.5"]


def test_explain_adds_each_fact_with_its_source(run: Program, configs: Configs, anvil: Anvil) -> None:
    configs({"dev": anvil})
    txid = pay(anvil)
    done = run("tx", "explain", txid, "--json")
    assert done.json["facts"]
    assert all(fact["source"] and fact["name"] and fact["value"] for fact in done.json["facts"])
    text = run("tx", "explain", txid)
    assert "127.0.0.1" in text.stdout
    assert done.json["facts"][0]["value"] in text.stdout


def test_money_for_a_contract_that_is_being_made_is_said_to_go_there(
    run: Program, configs: Configs, anvil: Anvil
) -> None:
    configs({"dev": anvil})
    anvil.rpc("evm_setAutomine", False)
    creation = {"from": anvil.rpc("eth_accounts")[0], "data": "0x00", "value": "0x5", "gas": "0x186a0"}
    assert "to a new contract\n" in run("tx", "status", anvil.rpc("eth_sendTransaction", creation)).stdout


# -- exit codes ------------------------------------------------------------------------------------------------------


def test_exit_codes_tell_the_state(run: Program, configs: Configs, anvil: Anvil) -> None:
    configs({"dev": anvil}, dev={"confirmations": 1})
    sender = anvil.rpc("eth_accounts")[0]
    confirmed = pay(anvil)
    reverting = "0x60006000fd"  # PUSH1 0 PUSH1 0 REVERT
    failed = anvil.rpc("eth_sendTransaction", {"from": sender, "data": reverting, "gas": "0x186a0"})
    anvil.rpc("evm_setAutomine", False)
    pending = pay(anvil)
    assert run("tx", "status", confirmed).exit_code == 0
    assert run("tx", "status", pending).exit_code == 10
    assert run("tx", "status", ABSENT).exit_code == 11
    assert run("tx", "status", failed).exit_code == 12
    assert run("tx", "status", "nonsense").exit_code == 2
    assert run("tx", "status", confirmed, pending, ABSENT).exit_code == 11
    assert run("tx", "status", confirmed, failed, ABSENT).exit_code == 12
    assert run("tx", "status", confirmed, failed, "nonsense").exit_code == 2
    anvil.stop()
    assert run("tx", "status", confirmed).exit_code == 6


def test_an_unreachable_node_is_named_without_its_key(run: Program, configs: Configs) -> None:
    configs({"dev": "http://user:hunter2@127.0.0.1:9/v2/0123456789abcdef0123?key=s3cret"})
    for form in ((), ("--json",), ("-o", "csv"), ("-o", "jsonl"), ("--brief",)):
        done = run("tx", "status", ABSENT, *form)
        assert done.exit_code == 6
        everything = done.stdout + done.stderr
        for secret in ("hunter2", "0123456789abcdef0123", "s3cret"):
            assert secret not in everything
    record = run("tx", "status", ABSENT, "--json").json
    assert record["state"] == "unknown"
    assert record["error"]["nodes"] == ["127.0.0.1:9"]
    assert record["error"]["code"] == "unreachable"


def test_bad_settings_are_exit_8_and_json_when_asked(run: Program, configs: Configs, anvil: Anvil) -> None:
    folder = configs({"dev": anvil})
    with (folder / "chains" / "dev.toml").open("a") as file:
        file.write("\n[fees]\nmax_fe = '1'\n")
    plain = run("tx", "status", ABSENT)
    assert (plain.exit_code, plain.stdout) == (8, "")
    assert "max_fe" in plain.stderr
    assert "max_fee" in plain.stderr
    as_json = run("tx", "status", ABSENT, "--json")
    assert json.loads(as_json.stderr)["error"]["code"] == "bad_settings"
    assert run("tx", "status", ABSENT, "--chain", "deb").exit_code == 8
    assert "dev" in run("tx", "status", ABSENT, "--chain", "deb").stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tx", "status"), "TXID"),
        (("tx", "status", "--nope"), "nope"),
        (("tx", "status", ABSENT, "-"), "alone"),
        (("tx", "status", ABSENT, "--wait", "--timeout", "soon"), "duration"),
        (("tx", "status", "0x12…ab"), "cut short"),
        (("tx", "status", "0x52908400098527886E0F7030069857D2E4169EE7"), "is an address"),
        (("nothing",), "nothing"),
    ],
)
def test_bad_usage_is_exit_2_in_text_and_json(
    run: Program, configs: Configs, anvil: Anvil, arguments: tuple[str, ...], said: str
) -> None:
    configs({"dev": anvil})
    plain = run(*arguments)
    assert (plain.exit_code, plain.stdout) == (2, "")
    assert said in plain.stderr
    as_json = run(*arguments, "--json")
    assert as_json.exit_code == 2
    assert said in json.loads(as_json.stderr)["error"]["message"]


# -- many ------------------------------------------------------------------------------------------------------------


def test_a_file_of_ids_keeps_its_order_and_reports_a_bad_line(
    run: Program, configs: Configs, anvil: Anvil, tmp_path: Path
) -> None:
    configs({"dev": anvil}, dev={"confirmations": 1})
    txids = [pay(anvil, value) for value in (1, 2, 3)]
    (tmp_path / "ids.txt").write_text(f"{txids[2]}\n{txids[0]}\r\njunk\n{txids[2]}\n{ABSENT}", encoding="utf-8")
    done = run("tx", "status", "--input", str(tmp_path / "ids.txt"), "-o", "jsonl")
    rows = done.jsonl
    assert done.exit_code == 2
    assert [row.get("txid") for row in rows] == [txids[2], txids[0], None, txids[2], ABSENT]
    assert rows[2] == {"line": 3, "input": "junk", "error": rows[2]["error"]}
    assert rows[4]["state"] == "not_found"
    as_list = run("tx", "status", "-", "--json", stdin=f"{txids[0]}\n")
    assert [row["txid"] for row in as_list.json] == [txids[0]]
    assert run("tx", "status", "--input", "-", "--json", stdin="").json == []
    several = run("tx", "status", txids[0], txids[1], "--json")
    assert [row["txid"] for row in several.json] == txids[:2]


def test_any_bytes_may_be_piped_in(run: Program, command: list[str], configs: Configs, anvil: Anvil) -> None:
    configs({"dev": anvil}, dev={"confirmations": 1})
    txid = pay(anvil)
    piped = b"\xef\xbb\xbf" + txid.encode() + b"\r\n\xff\xfe\x00\x1b[31m\n\n" + b"a" * 300_000 + b"\n" + txid.encode()
    done = subprocess.run([*command, "tx", "status", "-", "-o", "jsonl"], input=piped, capture_output=True, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 2
    assert [row.get("state") for row in rows] == ["confirmed", None, None, None, "confirmed"]
    assert [row.get("line") for row in rows] == [None, 2, 3, 4, None]
    assert b"\x1b" not in done.stdout


def test_csv_has_a_row_a_line_and_no_formula(run: Program, configs: Configs, anvil: Anvil) -> None:
    configs({"dev": anvil}, dev={"confirmations": 1})
    # constructor that reverts with Error("=1+1"): PUSH32 words into memory, then REVERT(0, 100)
    sender = anvil.rpc("eth_accounts")[0]
    reason = b"=1+1"
    words = [
        bytes.fromhex("08c379a0") + bytes(28),
        bytes(3) + b"\x20" + bytes(28),
        bytes(3) + bytes([len(reason)]) + reason.ljust(28, b"\0"),
        bytes(32),
    ]
    code = b"".join(b"\x7f" + word + b"\x60" + bytes([32 * place]) + b"\x52" for place, word in enumerate(words))
    data = "0x" + (code + bytes.fromhex("60646000fd")).hex()
    failed = anvil.rpc("eth_sendTransaction", {"from": sender, "data": data, "gas": "0x186a0"})
    done = run("tx", "status", "-", "-o", "csv", stdin=f"{pay(anvil)}\n{failed}\nx\n")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["state"] for row in rows] == ["confirmed", "failed", ""]
    assert rows[0]["fee_asset"] == "ETH"
    assert json.loads(rows[0]["transfers"])[0]["amount"] == "1.5"
    assert rows[1]["failure_message"] == "'=1+1"
    assert (rows[2]["line"], rows[2]["input"]) == ("3", "x")


def test_rows_are_printed_while_more_lines_are_to_come(command: list[str], configs: Configs, anvil: Anvil) -> None:
    configs({"dev": anvil}, dev={"confirmations": 1})
    txid = pay(anvil)
    with subprocess.Popen(
        [*command, "tx", "status", "-", "--brief", "-o", "jsonl"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(3):
            process.stdin.write(f"{txid}\n".encode())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["state"] == "confirmed"
        process.stdin.write(txid.encode())
        process.stdin.close()
        assert len(process.stdout.readlines()) == 1
    assert process.returncode == 0


def test_a_reader_that_goes_away_is_no_error_on_stderr(command: list[str], configs: Configs, anvil: Anvil) -> None:
    configs({"dev": anvil})
    line = f"{pay(anvil)}\n" * 20_000
    piped = " ".join(f"'{part}'" for part in command) + " tx status - -o jsonl --brief | head -1"
    done = subprocess.run(["bash", "-c", piped], input=line, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1


def test_brief_prints_the_word_alone(run: Program, configs: Configs, anvil: Anvil) -> None:
    configs({"dev": anvil}, dev={"confirmations": 1})
    assert run("tx", "status", pay(anvil), "--brief").stdout == "confirmed\n"
    assert run("tx", "status", pay(anvil), "--brief", "--json").json["state"] == "confirmed"


def test_a_table_has_a_row_a_transaction(run: Program, configs: Configs, anvil: Anvil) -> None:
    configs({"dev": anvil})
    txids = [pay(anvil), pay(anvil)]
    done = run("tx", "status", *txids)
    assert all(txid in done.stdout for txid in txids)
    assert "\x1b" not in done.stdout


# -- memory ----------------------------------------------------------------------------------------------------------


def test_a_later_look_knows_what_an_earlier_one_saw(run: Program, configs: Configs, anvil: Anvil) -> None:
    configs({"dev": anvil})
    anvil.rpc("evm_setAutomine", False)
    txid = pay(anvil)
    assert run("tx", "status", txid, "--no-remember").exit_code == 10
    anvil.rpc("anvil_dropTransaction", txid)
    assert run("tx", "status", txid).exit_code == 11
    txid = pay(anvil)
    assert run("tx", "status", txid).exit_code == 10
    anvil.rpc("anvil_dropTransaction", txid)
    assert run("tx", "status", txid, "--json").json["state"] == "dropped"
    assert run("tx", "status", txid, "--no-remember").exit_code == 11


def test_a_memory_that_cannot_be_written_is_a_warning(
    run: Program, configs: Configs, anvil: Anvil, tmp_path: Path
) -> None:
    configs({"dev": anvil}, dev={"confirmations": 1})
    (tmp_path / "data").write_text("in the way")
    done = run("tx", "status", pay(anvil), "--json")
    assert done.exit_code == 0
    assert done.json["state"] == "confirmed"
    assert json.loads(done.stderr)["message"].startswith("what was seen is not remembered")
    assert run("tx", "status", pay(anvil)).stderr.startswith("warning: what was seen is not remembered")
    logged = run("tx", "status", pay(anvil), "--log", "json")
    assert json.loads(logged.stderr)["level"] == "warning"
    assert run("tx", "status", pay(anvil), "--quiet").stderr == ""


# -- options ---------------------------------------------------------------------------------------------------------


def test_words_come_in_the_language_asked_for(run: Program, configs: Configs, anvil: Anvil) -> None:
    configs({"dev": anvil}, desk='[desk]\nlocales = ["zh-CN", "en"]\n')
    txid = pay(anvil)
    chinese = run("tx", "status", txid, "--json").json
    assert re.search(r"[\u4e00-\u9fff]", chinese["summary"])
    assert re.search(r"[\u4e00-\u9fff]", chinese["advice"])
    assert run("tx", "status", txid, "--json", "--locale", "en").json["summary"].isascii()
    assert run("--locale", "en", "tx", "status", txid, "--json").json["summary"].isascii()
    assert run("tx", "status", txid, "--json", env={"CRYPTOSUPPORT_LOCALE": "en"}).json["summary"].isascii()


def test_own_nodes_asks_no_other(run: Program, configs: Configs, anvil: Anvil) -> None:
    configs({"dev": anvil, "other": anvil}, other={"endpoints": [{"url": anvil.url, "own": False}]})
    txid = pay(anvil)
    assert run("tx", "status", txid, "--chain", "other", "--json").json["chain"] == "other"
    alone = run("tx", "status", txid, "--chain", "other", "--own-nodes", "--json")
    assert alone.exit_code == 6
    assert "no endpoint may be asked" in alone.json["error"]["message"]
    found = run("tx", "status", txid, "--own-nodes", "--json").json
    assert (found["chain"], "other" in found["summary"]) == ("dev", False)
    assert run("tx", "status", ABSENT, "--own-nodes").exit_code == 11
    configs({"dev": anvil}, dev={"endpoints": [{"url": anvil.url}]})
    nobody = run("tx", "status", txid, "--own-nodes")
    assert nobody.exit_code == 8
    assert "own = true" in nobody.stderr


def test_a_broken_chain_that_is_not_asked_does_no_harm(run: Program, configs: Configs, anvil: Anvil) -> None:
    folder = configs({"dev": anvil}, dev={"confirmations": 1, "explorer": "https://x.example/tx/{txid}"})
    (folder / "chains" / "broken.toml").write_text("enabled = false\nnope = 1\n", encoding="utf-8")
    txid = pay(anvil)
    assert run("tx", "status", f"https://x.example/tx/{txid}", "--chain", "dev").exit_code == 0
    assert run("tx", "status", txid).exit_code == 8


def test_a_chain_that_is_off_is_asked_only_by_name(run: Program, configs: Configs, anvil: Anvil) -> None:
    configs({"dev": anvil, "off": anvil}, off={"enabled": False})
    txid = pay(anvil)
    assert "off" not in run("tx", "status", txid).stdout
    assert run("tx", "status", txid, "--chain", "off", "--json").json["chain"] == "off"


def test_a_secret_may_come_from_the_environment(run: Program, configs: Configs, bitcoind: Bitcoind) -> None:
    endpoint = {"url": bitcoind.url, "own": True, "rpc_user": bitcoind.user, "rpc_password": "env:BTC_PASSWORD"}
    configs({"btc": bitcoind}, btc={"endpoints": [endpoint], "confirmations": 1})
    txid = bitcoind.rpc("getblock", bitcoind.rpc("getbestblockhash"))["tx"][0]
    assert run("tx", "status", txid, env={"BTC_PASSWORD": bitcoind.password}).exit_code == 0
    missing = run("tx", "status", txid)
    assert missing.exit_code == 8
    assert "BTC_PASSWORD" in missing.stderr
    wrong = run("tx", "status", txid, "--json", env={"BTC_PASSWORD": "wr0ng-pass"})
    assert wrong.exit_code == 6
    assert wrong.json["error"]["code"] == "unauthorized"
    assert "wr0ng-pass" not in wrong.stdout + wrong.stderr


def test_waiting_stops_at_the_time_limit_with_the_state_as_it_is(run: Program, configs: Configs, anvil: Anvil) -> None:
    configs({"dev": anvil})
    anvil.rpc("evm_setAutomine", False)
    txid = pay(anvil)
    done = run("tx", "status", txid, "--wait", "--timeout", "1s", "--json")
    assert done.exit_code == 10
    assert done.json["state"] == "pending"


def test_waiting_interrupted_prints_what_is_known_and_exits_130(
    command: list[str], configs: Configs, anvil: Anvil
) -> None:
    import signal
    import time

    configs({"dev": anvil})
    anvil.rpc("evm_setAutomine", False)
    txid = pay(anvil)
    with subprocess.Popen(
        [*command, "tx", "status", txid, "--wait", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=90)
    assert process.returncode == 130
    assert json.loads(out)["state"] == "pending"
    assert json.loads(err)["error"]["code"] == "interrupted"


def test_presets_work_without_any_settings(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "cryptosupport", "tx", "status", "0x12…ab"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "cut short" in done.stderr


def test_an_error_of_the_program_shows_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], configs: Configs, anvil: Anvil
) -> None:
    from cryptosupport import commands, settings

    def explode(folder: Path) -> Callable[..., object]:
        raise KeyError("a secret")

    monkeypatch.setattr(settings, "chain_names", explode)
    assert commands.run(["--configs", str(configs({"dev": anvil})), "tx", "status", ABSENT]) == 1
    said = capsys.readouterr().err
    assert "KeyError" in said
    assert "Traceback" not in said
    assert "a secret" not in said


def test_a_user_without_a_home_looks_up_without_memory(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], configs: Configs, anvil: Anvil
) -> None:
    from cryptosupport import commands

    def nobody(uid: int) -> None:
        raise KeyError(uid)

    folder = configs({"dev": anvil}, dev={"confirmations": 1})
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert commands.run(["--configs", str(folder), "tx", "status", pay(anvil), "--brief"]) == 0
    told = capfd.readouterr()
    assert told.out == "confirmed\n"
    assert "not remembered" in told.err
