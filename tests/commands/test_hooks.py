"""Hooks hear of each change of a withdrawal: at least once, in its order, signed, and holding up no payment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cryptosupport.outside.keyrings import set_password
from cryptosupport.outside.nodes import Anvil
from tests.commands.hookdesk import (
    SECRET,
    TAKEN,
    Change,
    Listener,
    add_hook,
    in_order,
    later,
    lines,
    listening,
    sql,
    states,
    writer,
)
from tests.commands.payingdesk import BEN, Paydesk, open_desk, sealed
from tests.conftest import ROOT

__all__ = ["open_desk", "sealed"]  # fixtures

PAID = ["approved", "reserved", "signed", "broadcast", "confirming", "final"]
AUTHORISATION = "Bearer 9x8wQ2mTz5LkPf"


@dataclass
class Hooked:
    """A desk that pays, and a receiver that it tells."""

    desk: Paydesk
    listener: Listener
    url: str

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.desk.folder / "data"

    def hook(self, name: str = "ledger", **keys: object) -> None:
        """Add a hook, by default the receiver, and have it begin."""
        if not keys.keys() & {"url", "command"}:
            keys |= {"url": self.listener.url, "secret": "keyring:hook-ledger"}
        add_hook(self.desk.folder / "configs", name, **keys)
        self.run()

    def run(self, code: int = 0) -> str:
        """One pass after all pauses are over; what it warned of."""
        later(self.data, self.url)
        done = self.desk.run("withdraw", "run")
        assert done.exit_code == code, done.stderr
        return done.stderr

    def due(self) -> int:
        """How much is due to all hooks."""
        ((count,),) = sql(self.data, self.url, "select count(*) from hook_due")
        return int(count)


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as it:
        yield it


def opened(desk: Paydesk, listener: Listener, url: str) -> Hooked:
    """The desk with a ledger and the secret of a hook."""
    set_password("hook-ledger", SECRET)
    assert desk.run("ledger", "upgrade").exit_code == 0
    return Hooked(desk, listener, url)


@pytest.fixture
def hooked(open_desk: Callable[..., Paydesk], anvil: Anvil, ledger_url: str, listener: Listener) -> Hooked:
    return opened(open_desk(anvil, ledger=ledger_url), listener, ledger_url)


@pytest.fixture
def outward(open_desk: Callable[..., Paydesk], anvil: Anvil, listener: Listener) -> Hooked:
    """One whose ledger does not matter."""
    return opened(open_desk(anvil), listener, "")


def test_each_change_of_a_paid_withdrawal_arrives_once_and_in_order(hooked: Hooked) -> None:
    command, file = writer(hooked.desk.folder)
    hooked.desk.submit("before")
    hooked.hook()
    hooked.hook("program", command=command)
    hooked.hook("ends", command=[*command], states=["final", "reverted"])
    hooked.desk.submit("w-1", "1.5", BEN, customer="mrs-bee", note="for her divorce",
                       beneficiary={"name": "Anna Bee", "self_hosted": True})  # fmt: skip
    for _ in range(3):
        assert hooked.run() == ""
        hooked.desk.settle()
    assert hooked.run() == ""
    listener = hooked.listener
    told = [each for each in listener.told if each["request_id"] == "w-1"]
    assert states(told, "w-1") == [state for state in PAID if state in states(told, "w-1")]
    assert set(states(told, "w-1")) >= {"approved", "reserved", "signed", "broadcast", "final"}
    assert [each["previous"] for each in told] == [None, *states(told, "w-1")[:-1]]
    assert states(listener.told, "before")[-1] == "final"
    assert "approved" not in states(listener.told, "before")  # it was so before there was a hook
    assert (in_order(listener.told), len({each["id"] for each in listener.told}), listener.forged) == (
        True, len(listener.told), 0,
    )  # fmt: skip
    both = [each for each in lines(file) if each["request_id"] == "w-1"]
    assert [each for each in both if each["state"] != "final"] == told[:-1]
    assert [each for each in both if each["state"] == "final"] == [told[-1], told[-1]]  # one for each of both programs
    assert hooked.due() == 0
    assert hooked.desk.run("audit", "verify").exit_code == 0
    shown = hooked.desk.run("withdraw", "show", "w-1", "--json").json
    last, first = told[-1], told[0]
    assert last == {
        "schema": "cryptosupport.event/1", "id": last["id"], "number": last["number"], "at": last["at"],
        "request_id": "w-1", "state": "final", "previous": last["previous"], "chain": "ethereum", "asset": "ETH",
        "amount": "1.5", "base_units": "1500000000000000000", "txid": shown["txid"], "vout": None,
        "nonce": shown["nonce"],
    }  # fmt: skip
    assert (last["txid"] is not None, last["nonce"], last["at"]) == (True, 1, shown["updated_at"])
    assert (first["txid"], first["nonce"]) == (None, None)  # as it was then
    assert states(told, "w-1")[1] == "reserved"
    assert (told[1]["txid"], told[1]["nonce"]) == (None, 1)
    text = b"".join(listener.bodies).decode()
    assert not [each for each in ("mrs-bee", "divorce", "Anna", BEN, "c-1", "customer", "beneficiary") if each in text]


def test_a_receiver_that_was_down_hears_all_of_it_later_and_in_order(hooked: Hooked) -> None:
    hooked.hook()
    hooked.listener.down()
    for name in ("w-1", "w-2", "w-3", "w-4"):
        hooked.desk.submit(name)
    said = hooked.run()
    assert "hook ledger has not taken change" in said
    assert "(w-1 is approved): 127.0.0.1:" in said
    assert "refuses the connection" in said
    assert "It is tried again in 5s; later changes of w-1 wait for it" in said
    assert "hook ledger is left alone for 5s" in said
    assert "w-4" not in said  # three in a row were enough
    hooked.desk.settle()
    assert hooked.desk.state("w-1") != "approved"  # it was paid all the same
    done = hooked.desk.run("withdraw", "run")  # while it is left alone nobody calls
    assert (done.exit_code, "not taken" in done.stderr) == (0, False)
    assert "hook ledger is left alone for 10s" in hooked.run()
    hooked.listener.up()
    assert hooked.run() == ""
    for name in ("w-1", "w-2", "w-3", "w-4"):
        assert states(hooked.listener.told, name) == [
            each for each in PAID if each in states(hooked.listener.told, name)
        ]
        assert states(hooked.listener.told, name)[-1] == "final"
    assert (in_order(hooked.listener.told), hooked.due()) == (True, 0)
    assert sql(hooked.data, hooked.url, "select rests, holder from hook") == [(0, "")]


def test_what_is_refused_for_one_withdrawal_keeps_only_its_own_later_changes(hooked: Hooked) -> None:
    hooked.hook()
    hooked.listener.answer = lambda change: 500 if change["request_id"] == "w-2" else TAKEN
    for name in ("w-1", "w-2", "w-3"):
        hooked.desk.submit(name)
    assert "(w-2 is approved): 127.0.0.1:" in hooked.run()
    hooked.desk.settle()
    assert "HTTP 500" in hooked.run()
    assert states(hooked.listener.told, "w-1")[-1] == states(hooked.listener.told, "w-3")[-1] == "final"
    assert set(states(hooked.listener.told, "w-2")) == {"approved"}
    before = len(hooked.listener.told)
    done = hooked.desk.run("withdraw", "run")  # its pause is not over
    assert (done.exit_code, len(hooked.listener.told)) == (0, before)
    hooked.listener.answer = lambda _: TAKEN
    hooked.run()
    told = states(hooked.listener.taken, "w-2")
    assert (told[0], told[-1], len(told), hooked.due()) == ("approved", "final", len(set(told)), 0)


def test_an_answer_that_is_lost_brings_the_same_again(hooked: Hooked) -> None:
    hooked.hook()
    seen: set[str] = set()

    def lose_the_first_answer(change: Change) -> int | None:
        new = change["id"] not in seen
        seen.add(change["id"])
        return None if new else TAKEN

    hooked.listener.answer = lose_the_first_answer
    hooked.desk.submit("w-1")
    for _ in range(8):
        hooked.run()
        hooked.desk.settle()
    listener = hooked.listener
    assert (states(listener.taken, "w-1")[-1], hooked.due(), in_order(listener.told)) == ("final", 0, True)
    assert len(listener.told) > len(listener.taken) == len({each["id"] for each in listener.taken})
    bodies = listener.bodies
    assert {bodies.count(body) for body in bodies} == {2}  # to the last byte


def test_a_program_that_fails_or_hangs_or_is_not_there_is_told_again(outward: Hooked) -> None:
    command, file = writer(outward.desk.folder, "exit 3")
    outward.hook("fails", command=command)
    outward.hook("absent", command=["/nowhere/to/be/found"])
    slow = outward.desk.folder / "slow.sh"
    slow.write_text("#!/bin/sh\nsleep 30\n", encoding="utf-8")
    slow.chmod(0o700)
    outward.hook("hangs", command=[str(slow)], timeout="200ms")
    outward.desk.submit("w-1")
    said = outward.run()
    assert "told.sh: ended with exit code 3" in said
    assert "found: cannot be started: No such file or directory" in said
    assert "slow.sh: no answer within 0.2 s" in said
    assert set(states(lines(file), "w-1")) == {"approved"}
    writer(outward.desk.folder)
    slow.write_text("#!/bin/sh\n", encoding="utf-8")
    said = outward.run()
    assert ("told.sh" in said, "slow.sh" in said) == (False, False)
    told = states(lines(file), "w-1")
    assert told[:2] == ["approved", "approved"]
    assert "reserved" in told


def test_a_program_that_others_can_write_stops_the_desk(outward: Hooked) -> None:
    command, file = writer(outward.desk.folder)
    Path(command[0]).chmod(0o722)
    add_hook(outward.desk.folder / "configs", "ledger", command=command)
    done = outward.desk.run("withdraw", "run")
    assert (done.exit_code, command[0] in done.stderr, file.exists()) == (8, True, False)


def test_a_receiver_that_hangs_leaves_the_others_and_the_payments_alone(outward: Hooked) -> None:
    command, file = writer(outward.desk.folder)
    outward.hook(url=outward.listener.url, secret="keyring:hook-ledger", timeout="1s")
    outward.hook("program", command=command)
    stuck = outward.listener
    done = threading.Event()
    stuck.answer = lambda _: None if done.wait(60) else TAKEN
    for number in range(12):
        outward.desk.submit(f"w-{number}")
    said = outward.run()
    done.set()
    assert "no answer within 1 s" in said
    assert "hook ledger is left alone" in said
    assert 1 <= len(stuck.told) <= 3
    assert len({each["request_id"] for each in lines(file)}) == 12
    assert all(states(lines(file), f"w-{number}")[-1] in ("broadcast", "confirming") for number in range(12))


def test_all_that_hang_together_get_no_more_than_their_time(outward: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cryptosupport.desk.tell.BUDGET", 2.0)
    program, file = writer(outward.desk.folder, "exec sleep 30")
    for number in range(10):
        add_hook(outward.desk.folder / "configs", f"hangs-{number}", command=program, timeout="300ms")
    sound, heard = outward.desk.folder / "sound", outward.desk.folder / "sound" / "told.jsonl"
    sound.mkdir()
    outward.hook("sound", command=writer(sound)[0], timeout="1s")
    outward.desk.submit("w-1")
    said = outward.run()
    assert "told.sh: no answer within 0.3 s" in said
    assert 1 <= len(lines(file)) <= 5  # for a sixth one there was no time
    assert outward.desk.state("w-1") != "approved"  # it was paid before that
    for _ in range(4):
        assert outward.desk.run("withdraw", "run").exit_code == 0
    assert states(lines(heard), "w-1")[:2] == ["approved", "reserved"]  # those that wait keep nobody waiting


def test_no_secret_is_told_shown_or_kept(hooked: Hooked) -> None:
    set_password("hook-auth", AUTHORISATION)
    hooked.hook(url=hooked.listener.url, secret="keyring:hook-ledger", header="keyring:hook-auth")
    shown = ""
    for answer in (500, 401, 302, None, TAKEN):
        hooked.listener.answer = lambda _, status=answer: status  # type: ignore[misc]
        hooked.desk.submit(f"w-{answer}")
        shown += hooked.run()
    hooked.listener.down()
    hooked.desk.submit("w-down")
    shown += hooked.run()
    shown += hooked.desk.run("--log", "json", "withdraw", "run").stderr
    hooked.listener.up()
    exported = hooked.desk.folder / "log.jsonl"
    assert hooked.desk.run("audit", "export", str(exported)).exit_code in (0, 2)
    kept = "".join(
        str(sql(hooked.data, hooked.url, f"select * from {table}")) for table in ("hook", "hook_due", "audit")
    )
    assert "HTTP 500" in shown
    for secret in (SECRET, AUTHORISATION, AUTHORISATION[7:], "kEy8f3kd02kqPz", "tOk7f1"):
        assert secret not in shown
        assert secret not in kept
        assert secret not in b"".join(hooked.listener.bodies).decode()
        assert secret not in hooked.desk.run("doctor", "--cron", "--json").stdout
    assert hooked.listener.forged == 0


def test_a_secret_that_is_not_there_or_too_short_is_a_warning_and_nothing_is_lost(outward: Hooked) -> None:
    outward.hook(url=outward.listener.url, secret="keyring:other")
    outward.desk.submit("w-1")
    assert "hook ledger is not told of changes: the settings refer to keyring:other, which is not set" in outward.run()
    set_password("other", "too short")
    assert "needs at least 16 characters" in outward.run()
    set_password("other", SECRET[::-1])
    said = outward.run()
    assert "refuses it: does it know the same secret" in said  # the receiver goes by another one
    assert (outward.listener.told, outward.listener.forged > 0) == ([], True)
    set_password("other", SECRET)
    outward.run()
    assert states(outward.listener.told, "w-1")[:2] == ["approved", "reserved"]


def test_a_new_hook_begins_now_and_one_that_nobody_names_is_forgotten_after_a_day(hooked: Hooked) -> None:
    hooked.desk.submit("old")
    settings = hooked.desk.folder / "configs" / "desk.toml"
    bare = settings.read_text(encoding="utf-8")
    hooked.hook()
    hooked.listener.answer = lambda _: 500
    hooked.desk.submit("w-1")
    hooked.run()
    assert "old" not in {each["request_id"] for each in hooked.listener.told if each["state"] == "approved"}
    named = settings.read_text(encoding="utf-8")
    due = hooked.due()
    settings.write_text(bare, encoding="utf-8")
    told = len(hooked.listener.told)
    hooked.run()
    assert (hooked.due(), len(hooked.listener.told)) == (due, told)  # another machine may still have it
    hooked.listener.answer = lambda _: TAKEN
    settings.write_text(named, encoding="utf-8")
    hooked.run()
    assert "approved" in states(hooked.listener.taken, "w-1")
    hooked.listener.answer = lambda _: 500
    hooked.desk.submit("w-2")
    hooked.run()
    assert hooked.due() > 0
    settings.write_text(bare, encoding="utf-8")
    sql(hooked.data, hooked.url, "update hook set named_at = named_at - 86400000")
    hooked.run()
    assert sql(hooked.data, hooked.url, "select count(*) from hook") == [(0,)]
    assert hooked.due() == 0


def test_without_hooks_nothing_of_them_is_written(hooked: Hooked) -> None:
    hooked.desk.submit("w-1")
    hooked.run()
    assert sql(hooked.data, hooked.url, "select count(*) from hook") == [(0,)]
    assert hooked.due() == 0


def test_what_was_changed_behind_the_program_is_not_told(hooked: Hooked) -> None:
    hooked.hook()
    hooked.listener.answer = lambda _: 500
    hooked.desk.submit("w-1")
    hooked.desk.submit("w-2")
    hooked.run()
    hooked.listener.answer = lambda _: TAKEN
    sql(hooked.data, hooked.url, "update withdrawal set base_units = '1' where request_id = 'w-1'")
    later(hooked.data, hooked.url)
    said = hooked.desk.run("withdraw", "run").stderr
    assert "(w-1 is approved): the ledger is not as its audit log has it, run `cryptosupport audit verify`" in said
    assert states(hooked.listener.taken, "w-1") == []
    assert states(hooked.listener.taken, "w-2")[0] == "approved"


def test_what_is_overdue_shows_in_metrics_and_in_doctor(outward: Hooked) -> None:
    outward.hook()
    outward.hook("sound", command=writer(outward.desk.folder)[0])
    outward.listener.answer = lambda _: 500
    outward.desk.submit("w-1")
    outward.run()
    file = outward.desk.folder / "desk.prom"

    def told() -> dict[tuple[str, str], float]:
        assert outward.desk.run("withdraw", "run", "--metrics-file", str(file)).exit_code == 0
        families = text_string_to_metric_families(file.read_text(encoding="utf-8"))
        samples = [it for family in families for it in family.samples if "hook" in it.labels]
        return {(it.name.removeprefix("cryptosupport_hook_"), it.labels["hook"]): it.value for it in samples}

    def verdicts() -> tuple[int, dict[str, str]]:
        done = outward.desk.run("doctor", "--cron", "--json")
        return done.exit_code, {it["name"]: it["verdict"] for it in done.json if it["name"].startswith("hook ")}

    seen = told()
    assert (seen["due", "ledger"], seen["due", "sound"]) == (outward.due(), 0)
    assert seen["due", "ledger"] > 3
    assert 0 <= seen["oldest_due_age_seconds", "ledger"] < 600
    assert seen["oldest_due_age_seconds", "sound"] == 0
    assert verdicts() == (0, {"hook ledger": "ok", "hook sound": "ok"})
    sql(outward.data, outward.url, "update hook_due set at = at - 3600000")
    assert told()["oldest_due_age_seconds", "ledger"] >= 3600
    assert verdicts() == (8, {"hook ledger": "fail", "hook sound": "ok"})
    outward.listener.answer = lambda _: TAKEN
    outward.run()
    assert verdicts() == (0, {"hook ledger": "ok", "hook sound": "ok"})
    assert told()["due", "ledger"] == 0


# -- killed ------------------------------------------------------------------------------------------------------------


def test_killed_between_the_delivery_and_its_record_it_is_told_again(hooked: Hooked) -> None:
    """The receiver kills the worker with what it was told, and takes it: each change once more, none left out."""
    hooked.hook()
    command = [sys.executable, "-m", "cryptosupport", "--configs", str(hooked.desk.folder / "configs")]
    command += ["--data", str(hooked.data), "withdraw", "run"]
    worker: list[subprocess.Popen[bytes]] = []
    killed: set[str] = set()

    def kill_once(change: Change) -> int:
        if change["id"] not in killed:
            killed.add(change["id"])
            worker[-1].send_signal(signal.SIGKILL)
        return TAKEN

    hooked.listener.answer = kill_once
    hooked.desk.submit("w-1")
    codes = []
    for _ in range(12):
        worker.append(subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stderr=subprocess.DEVNULL))
        codes.append(worker[-1].wait(timeout=60))
        hooked.desk.settle()
        if hooked.desk.state("w-1") == "final" and hooked.due() == 0 and codes[-1] == 0:
            break
    told = [each["id"] for each in hooked.listener.told]
    assert codes.count(-signal.SIGKILL) == len(set(told)) >= 5
    assert (codes[-1], in_order(hooked.listener.told)) == (0, True)
    assert {told.count(each) for each in told} == {2}
    assert list(dict.fromkeys(states(hooked.listener.told, "w-1"))) == [
        each for each in PAID if each in states(hooked.listener.told, "w-1")
    ]
    assert hooked.desk.run("audit", "verify").exit_code == 0


def test_the_manual_says_how_a_receiver_checks_what_it_is_told(outward: Hooked) -> None:
    """The lines of docs/paying.md, run on what really came."""
    manual = (ROOT / "docs" / "paying.md").read_text(encoding="utf-8")
    code = manual.partition("```python\n")[2].partition("```")[0]
    names: dict[str, object] = {}
    exec(compile(code, "docs/paying.md", "exec"), names)
    heard: list[tuple[dict[str, str], bytes]] = []
    hear = outward.listener.hear

    def keep(headers: object, body: bytes) -> int | None:
        heard.append((dict(headers), body))  # type: ignore[call-overload]
        return hear(headers, body)

    outward.listener.hear = keep  # type: ignore[method-assign]
    outward.hook()
    outward.desk.submit("w-1")
    outward.run()
    accept = names["accept"]
    assert callable(accept)
    assert len(heard) >= 3
    for headers, body in heard:
        assert accept(headers, body, SECRET) == json.loads(body)
        assert accept(headers, body, SECRET + "x") is None
        assert accept(headers, body.replace(b"w-1", b"w-2"), SECRET) is None
        late = str(int(headers["X-Cryptosupport-Timestamp"]) - 600)
        assert accept(headers | {"X-Cryptosupport-Timestamp": late}, body, SECRET) is None
