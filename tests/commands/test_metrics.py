"""What a pass tells those who watch: metrics for Prometheus, and `doctor --cron` when no pass succeeds any more."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cryptosupport.outside.locks import lock
from cryptosupport.outside.nodes import Anvil
from tests.commands.payingdesk import BEN, HOT, Paydesk, open_desk, paydesk, sealed

__all__ = ["open_desk", "paydesk", "sealed"]  # fixtures

FLOAT = (
    '[hot.float.ETH]\nfloor = "10"\ntarget = "20.5"\nceiling = "40"\nsweep_to = "cold"\n'
    f'[cold]\nchain = "ethereum"\nrole = "cold"\naddress = "0x{"c0" * 20}"\n'
)

Metrics = dict[tuple[str, ...], float]


def run(desk: Paydesk, code: int = 0) -> Metrics:
    """One pass with metrics; each value by name and labels."""
    done = desk.run("withdraw", "run", "--metrics-file", str(desk.folder / "desk.prom"))
    assert done.exit_code == code, done.stderr
    return metrics(desk)


def metrics(desk: Paydesk) -> Metrics:
    text = (desk.folder / "desk.prom").read_text(encoding="utf-8")
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples]
    order = ("state", "wallet", "chain", "asset", "step")
    return {
        (it.name.removeprefix("cryptosupport_"), *(it.labels[each] for each in order if each in it.labels)): it.value
        for it in samples
    }


def test_a_pass_is_told_to_prometheus_whole_and_readable_by_others(paydesk: Paydesk) -> None:
    with (paydesk.folder / "configs" / "wallets.toml").open("a", encoding="utf-8") as file:
        file.write(FLOAT)
    paydesk.submit("w-1", "1.5", customer="mrs-bee", note="for her divorce")
    paydesk.submit("w-2", "500", BEN)
    told = run(paydesk, 5)
    assert (told["withdrawals", "waiting_liquidity"], told["withdrawals", "final"], told["unknown",]) == (1, 0, 0)
    assert sum(told["payouts_under_way", "hot", step] for step in ("broadcast", "confirming")) == 1
    assert 98 < told["wallet_holds", "hot", "ethereum", "ETH"] <= 100
    floats = [told[f"wallet_{name}", "hot", "ethereum", "ETH"] for name in ("floor", "target", "ceiling")]
    assert floats == [10, 20.5, 40]
    assert told["run_exit_code",] == 5
    assert 0 <= time.time() - told["run_success_timestamp_seconds",] < 60
    assert told["run_success_timestamp_seconds",] == told["run_timestamp_seconds",]
    assert 0 <= told["oldest_approved_age_seconds",] < 60
    text = (paydesk.folder / "desk.prom").read_text(encoding="utf-8")
    assert not any(each in text for each in ("mrs-bee", "divorce", "w-1", BEN, HOT))
    assert stat.S_IMODE((paydesk.folder / "desk.prom").stat().st_mode) == 0o644
    assert not list(paydesk.folder.glob(".desk.prom*"))


def test_what_is_final_is_no_longer_under_way(paydesk: Paydesk) -> None:
    paydesk.submit("w-1")
    run(paydesk)
    paydesk.settle()
    told = run(paydesk)
    assert (told["withdrawals", "final"], told["oldest_approved_age_seconds",]) == (1, 0)
    assert {value for (name, *_), value in told.items() if name == "payouts_under_way"} == {0}


def test_the_first_that_waits_has_its_age(open_desk: Callable[..., Paydesk], anvil_with: Callable[..., Anvil]) -> None:
    desk = open_desk(anvil_with())
    desk.submit("w-1")
    desk.node.stop()
    time.sleep(1.1)
    told = run(desk, 6)
    assert 1 <= told["oldest_approved_age_seconds",] < 60
    assert ("wallet_holds", "hot", "ethereum", "ETH") not in told  # nobody knows
    assert told["withdrawals", "approved"] == 1


def test_a_pass_that_fails_says_so_and_keeps_when_one_succeeded_last(paydesk: Paydesk) -> None:
    before = run(paydesk)["run_success_timestamp_seconds",]
    (paydesk.folder / "configs" / "policy.toml").write_text("[[rules]]\nnonsense = 1\n", encoding="utf-8")
    told = run(paydesk, 8)
    assert told == {
        ("run_timestamp_seconds",): told["run_timestamp_seconds",], ("run_exit_code",): 8,
        ("run_success_timestamp_seconds",): before,
    }  # fmt: skip


def test_what_cannot_be_written_is_a_warning_and_the_old_file_stays(paydesk: Paydesk) -> None:
    folder = paydesk.folder / "metrics"
    for place, words in ((folder / "desk.prom", "No such file or directory"), (paydesk.folder, "Is a directory")):
        done = paydesk.run("withdraw", "run", "--metrics-file", str(place))
        assert done.exit_code == 0
        assert f"the metrics file {place} cannot be written: {words}" in done.stderr
    with (paydesk.folder / "configs" / "wallets.toml").open("a", encoding="utf-8") as file:
        file.write(FLOAT.replace("20.5", "twenty"))
    (paydesk.folder / "desk.prom").write_text("old\n", encoding="utf-8")
    done = paydesk.run("withdraw", "run", "--metrics-file", str(paydesk.folder / "desk.prom"))
    assert (done.exit_code, "'twenty' is not an amount" in done.stderr) == (8, True), done.stderr
    assert "cryptosupport_run_exit_code 8" in (paydesk.folder / "desk.prom").read_text(encoding="utf-8")
    assert not list(paydesk.folder.glob(".desk.prom*"))


@pytest.mark.parametrize("option", ["dry run", "locked"])
def test_what_was_no_pass_is_not_told(paydesk: Paydesk, option: str) -> None:
    file = paydesk.folder / "desk.prom"
    if option == "dry run":
        done = paydesk.run("withdraw", "run", "--dry-run", "--metrics-file", str(file))
    else:
        with lock(paydesk.folder / "data" / "withdraw-run.lock"):
            done = paydesk.run("withdraw", "run", "--metrics-file", str(file))
    assert done.exit_code == 0
    assert not file.exists()
    assert not (paydesk.folder / "data" / "last-run.json").exists()


# -- doctor --cron -----------------------------------------------------------------------------------------------------


def verdict(desk: Paydesk, *options: str) -> tuple[str, str]:
    done = desk.run("doctor", "--cron", *options, "--json")
    (found,) = (each for each in done.json if each["name"] == "withdraw run")
    assert (done.exit_code == 8) == (found["verdict"] == "fail"), done.stdout
    return found["verdict"], found["message"]


def last_run(desk: Paydesk) -> Path:
    return desk.folder / "data" / "last-run.json"


def aged(desk: Paydesk, seconds: int) -> None:
    """Have the last success be so long ago."""
    run = json.loads(last_run(desk).read_text(encoding="utf-8"))
    run["succeeded_at"] -= seconds * 1000
    last_run(desk).write_text(json.dumps(run), encoding="utf-8")


def test_doctor_fails_when_a_pass_is_overdue(paydesk: Paydesk) -> None:
    assert verdict(paydesk) == ("fail", "no pass has ever ended on this machine")
    paydesk.pay()
    assert stat.S_IMODE(last_run(paydesk).stat().st_mode) == 0o600
    outcome, said = verdict(paydesk)
    assert (outcome, "with exit code 0; one succeeded" in said) == ("ok", True)
    aged(paydesk, 590)
    assert verdict(paydesk)[0] == "ok"
    aged(paydesk, 20)
    outcome, said = verdict(paydesk)
    assert (outcome, "no pass has succeeded for 10m" in said) == ("fail", True)
    assert verdict(paydesk, "--overdue", "1h")[0] == "ok"
    last_run(paydesk).write_text("{}", encoding="utf-8")
    outcome, said = verdict(paydesk)
    assert (outcome, "does not say when a pass ended" in said) == ("fail", True)
    paydesk.pay()
    assert verdict(paydesk)[0] == "ok"
    assert not any(each["name"] == "withdraw run" for each in paydesk.run("doctor", "--json").json)


def test_passes_that_fail_are_overdue_too(open_desk: Callable[..., Paydesk], anvil_with: Callable[..., Anvil]) -> None:
    desk = open_desk(anvil_with())
    desk.pay()
    aged(desk, 700)
    desk.node.stop()
    desk.pay(6)
    outcome, said = verdict(desk)
    assert (outcome, "the last pass ended at" in said, "with exit code 6" in said) == ("fail", True, True)


def test_a_pass_writes_nothing_into_the_log_for_it(paydesk: Paydesk) -> None:
    paydesk.pay()
    before = paydesk.run("audit", "head", "--json").json
    paydesk.pay()
    run(paydesk)
    assert paydesk.run("audit", "head", "--json").json["number"] == before["number"]
