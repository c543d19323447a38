"""Providers that are programs: one answer counts, and nothing else ever lets a payment pass or keeps us waiting."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cryptosupport.context.machine import SystemClock
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.verdicts import ProviderVerdict
from cryptosupport.outside.asking import AT_ONCE
from cryptosupport.outside.hooks import Provider
from cryptosupport.settings import Hook
from tests.outside.hookkit import (
    ALLOW,
    CLEAN,
    SLACK,
    asking,
    children,
    descriptors,
    eventually,
    is_running,
    members,
    only,
    question,
    questions,
    script,
    within,
)

SHORT, SECONDS = "700ms", 0.7
"""A timeout for what hangs anyhow."""


@pytest.fixture(autouse=True)
def no_child_left() -> Iterator[None]:
    """No program is left when its test ends, not even as a zombie."""
    before = children()
    yield
    assert children() <= before


def unknown(verdict: ProviderVerdict) -> str:
    """Why there was no answer."""
    assert (verdict.outcome, verdict.unknown) == (Outcome.HOLD, True)
    assert verdict.reason.isprintable()
    return verdict.reason


# -- what is asked and answered --------------------------------------------------------------------------------------


def test_the_question_is_one_json_object_on_one_line_of_standard_input(tmp_path: Path) -> None:
    program = script(tmp_path / "screen", f"cat > {tmp_path}/asked\necho '{ALLOW}'")
    assert only(asking(program)) == CLEAN
    asked = (tmp_path / "asked").read_bytes()
    assert json.loads(asked) == {"schema": "cryptosupport.screening/1", **question()}
    assert asked.endswith(b"\n")
    assert asked.count(b"\n") == 1


@pytest.mark.parametrize("outcome", ["allow", "hold", "deny"])
def test_the_answer_is_a_verdict_and_its_reason(tmp_path: Path, outcome: str) -> None:
    answer = json.dumps({"verdict": outcome, "reason": "risk 7 of 10", "score": 7, "more": [{}]}, indent=2)
    program = script(tmp_path / "screen", f"cat <<'END'\n{answer}\nEND")
    assert only(asking(program)) == ProviderVerdict(Outcome(outcome), "risk 7 of 10")


def test_arguments_reach_the_program_as_they_are_and_no_shell_reads_them(tmp_path: Path) -> None:
    program = script(tmp_path / "screen", f'printf "%s\\n" "$@" > {tmp_path}/arguments\necho \'{ALLOW}\'')
    arguments = ["$(touch pwned)", "a b", "; exit 1", "*", ""]
    assert only(asking(program, *arguments)) == CLEAN
    assert (tmp_path / "arguments").read_text(encoding="utf-8").split("\n")[:-1] == arguments


def test_of_who_receives_it_only_the_travel_rule_is_told(tmp_path: Path) -> None:
    program = script(tmp_path / "screen", f"cat >> {tmp_path}/asked\necho '{ALLOW}'")
    person = {"name": "Ann Example"}
    asking(program).ask([question(beneficiary=person), question(purpose="travel_rule", beneficiary=person)])
    told = {each["purpose"]: each for each in map(json.loads, (tmp_path / "asked").read_bytes().splitlines())}
    assert "beneficiary" not in told["destination"]
    assert told["travel_rule"]["beneficiary"] == person


def test_the_program_gets_nothing_of_our_environment_but_path_language_and_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAVEL_RULE_TOKEN", "hunter2")
    monkeypatch.setenv("LANG", "C.UTF-8")
    text = f"import os, json\nopen('{tmp_path}/env', 'w').write(json.dumps(dict(os.environ)))\nprint('{ALLOW}')"
    assert only(asking(script(tmp_path / "screen", text, f"{sys.executable} -I"))) == CLEAN
    given = json.loads((tmp_path / "env").read_text(encoding="utf-8"))
    assert set(given) - {"LC_CTYPE"} == {"PATH", "LANG", "HOME"}  # the interpreter sets LC_CTYPE itself
    assert given["PATH"] == os.environ["PATH"]


def test_what_the_program_says_on_stderr_goes_nowhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert only(asking(script(tmp_path / "screen", f"echo Ann Example >&2\necho '{ALLOW}'"))) == CLEAN
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("two\nlines\ttabs", "two lines tabs"),
        ("\x1b[31mred\x07\u202e", "[31mred"),
        ("[bold]<b>{{7*7}}</b>", "[bold]<b>{{7*7}}</b>"),
        ("see https://desk:hunter2@h.example/?key=1", "see https://h.example/"),
        ("  ", ""),
        ("é" * 500, "é" * 199 + "…"),
    ],
)
def test_a_reason_is_shown_printable_short_and_without_passwords(tmp_path: Path, said: str, shown: str) -> None:
    answer = json.dumps({"verdict": "deny", "reason": said}).replace("'", "")
    verdict = only(asking(script(tmp_path / "screen", f"cat <<'END'\n{answer}\nEND")))
    assert verdict == ProviderVerdict(Outcome.DENY, shown)


def test_a_reason_may_be_left_out(tmp_path: Path) -> None:
    program = script(tmp_path / "screen", """echo '{"verdict": "deny"}'""")
    assert only(asking(program)) == ProviderVerdict(Outcome.DENY, "")


# -- what is no answer -----------------------------------------------------------------------------------------------

OBJECT, VERDICT = "answers, and not with one JSON object", 'answers without a "verdict" that is allow, hold or deny'


@pytest.mark.parametrize(
    ("printed", "why"),
    [
        ("", OBJECT),
        ("OK", OBJECT),
        ('"allow"', OBJECT),
        ("[" + ALLOW + "]", OBJECT),
        (ALLOW + ALLOW, OBJECT),
        (ALLOW + "\nerror: database is gone", OBJECT),
        (ALLOW[:-1], OBJECT),
        ('{"verdict": "deny", "verdict": "allow"}', OBJECT),
        ('{"a": ' * 5000 + "1" + "}" * 5000, OBJECT),
        ('{"verdict": "allow", "n": ' + "9" * 5000 + "}", ""),
        ("{}", VERDICT),
        ('{"verdict": null}', VERDICT),
        ('{"verdict": true}', VERDICT),
        ('{"verdict": "ALLOW"}', VERDICT),
        ('{"verdict": "allow "}', VERDICT),
        ('{"verdict": "approval"}', VERDICT),
        ('{"verdict": ["allow"]}', VERDICT),
        ('{"Verdict": "allow"}', VERDICT),
        ('{"result": {"verdict": "allow"}}', VERDICT),
        ('{"verdict": "allow", "reason": 7}', 'answers with a "reason" that is no text'),
        ('{"verdict": "allow", "reason": null}', 'answers with a "reason" that is no text'),
    ],
)
def test_what_is_no_answer_holds(tmp_path: Path, printed: str, why: str) -> None:
    (tmp_path / "said").write_text(printed, encoding="utf-8")
    verdict = only(asking(script(tmp_path / "screen", f"cat {tmp_path}/said")))
    if why:
        assert unknown(verdict) == f"screen: {why}"
    else:  # a long number is none of our business: it does not count
        assert verdict == ProviderVerdict(Outcome.ALLOW, "")


def test_bytes_that_are_no_utf8_hold(tmp_path: Path) -> None:
    (tmp_path / "said").write_bytes(b'{"verdict": "allow", "reason": "\xff"}')
    assert OBJECT in unknown(only(asking(script(tmp_path / "screen", f"cat {tmp_path}/said"))))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"echo '{ALLOW}'; exit 3", "ended with exit code 3"),
        (f"echo '{ALLOW}'; kill -9 $$", "was ended by signal 9"),
        (f"echo '{ALLOW}'; kill -SEGV $$", "was ended by signal 11"),
        ("no-such-program-anywhere", "ended with exit code 127"),
        ("head -c 65537 /dev/zero", "printed more than 64 KiB"),
        ("cat /dev/zero", "printed more than 64 KiB"),
        ("yes", "printed more than 64 KiB"),
    ],
)
def test_a_program_that_fails_holds_whatever_it_has_said(tmp_path: Path, text: str, why: str) -> None:
    assert unknown(only(asking(script(tmp_path / "screen", text), timeout="30s"))) == f"screen: {why}"


def test_64_kib_are_still_an_answer(tmp_path: Path) -> None:
    (tmp_path / "said").write_text(ALLOW.ljust(64 * 1024), encoding="utf-8")
    assert only(asking(script(tmp_path / "screen", f"cat {tmp_path}/said"))) == CLEAN


def test_a_program_that_cannot_be_started_holds(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n", encoding="utf-8")
    assert unknown(only(asking(tmp_path / "none"))) == "none: cannot be started: No such file or directory"
    assert unknown(only(asking(plain))) == "plain: cannot be started: Permission denied"
    assert unknown(only(asking(tmp_path))).endswith("cannot be started: Permission denied")
    nothing = script(tmp_path / "nothing", "", "/no/such/interpreter")
    assert "cannot be started: No such file" in unknown(only(asking(nothing)))


# -- time ------------------------------------------------------------------------------------------------------------

HANGING = {
    "sleeps": "sleep 60",
    "sleeps without reading": "exec 0<&-\nsleep 60",
    "ignores SIGTERM": "trap '' TERM INT HUP\nwhile :; do sleep 60; done",
    "has said it all": f"echo '{ALLOW}'\nsleep 60",
    "has closed its output": f"echo '{ALLOW}'\nexec >&-\nsleep 60",
    "dribbles": "while :; do printf '{'; sleep 1; done",
    "dribbles fast": "while :; do printf '{'; sleep 0.01; done",
    "forks": "sleep 60 & sleep 61 & wait",
    "forks and ignores SIGTERM": "trap '' TERM\n(trap '' TERM HUP; while :; do sleep 60; done) &\nwait",
    "stops itself": "kill -STOP $$",
}


@pytest.mark.parametrize("text", HANGING.values(), ids=HANGING)
def test_a_program_that_hangs_is_ended_in_time_with_all_that_it_started(tmp_path: Path, text: str) -> None:
    program = script(tmp_path / "screen", f"echo $$ > {tmp_path}/pid\n{text}")
    with within(SECONDS + SLACK):
        verdict = only(asking(program, timeout=SHORT))
    assert unknown(verdict) == "screen: no answer within 0.7 s"
    group = int((tmp_path / "pid").read_text(encoding="utf-8"))
    assert eventually(lambda: members(group) == [])


def test_an_answer_counts_though_something_is_left_behind_that_keeps_the_pipes_open(tmp_path: Path) -> None:
    text = f"sleep 60 &\necho $! > {tmp_path}/pid\ncat > /dev/null\necho '{ALLOW}'"
    with within(40):
        assert only(asking(script(tmp_path / "screen", text), timeout="50s")) == CLEAN
    left = int((tmp_path / "pid").read_text(encoding="utf-8"))
    assert eventually(lambda: not is_running(left))


def test_what_is_left_behind_in_a_session_of_its_own_keeps_nobody_waiting(tmp_path: Path) -> None:
    text = f"setsid sleep 60 &\necho $! > {tmp_path}/pid\nsleep 60"
    with within(SECONDS + SLACK):
        assert "no answer" in unknown(only(asking(script(tmp_path / "screen", text), timeout=SHORT)))
    os.kill(int((tmp_path / "pid").read_text(encoding="utf-8")), signal.SIGKILL)


def test_a_large_question_that_nobody_reads_does_not_block(tmp_path: Path) -> None:
    large = question(memo="m" * 1_000_000)
    (verdict,) = asking(script(tmp_path / "screen", f"echo '{ALLOW}'")).ask([large])
    assert verdict == CLEAN
    with within(SECONDS + SLACK):
        (verdict,) = asking(script(tmp_path / "sleeper", "sleep 60"), timeout=SHORT).ask([large])
    unknown(verdict)
    (verdict,) = asking(script(tmp_path / "reader", f"wc -c > {tmp_path}/size\necho '{ALLOW}'")).ask([large])
    assert verdict == CLEAN
    assert int((tmp_path / "size").read_text(encoding="utf-8")) > 1_000_000


def test_the_end_of_all_time_counts_before_the_timeout(tmp_path: Path) -> None:
    clock = SystemClock()
    clock.ends_at = clock.monotonic() + 0.3
    provider = Provider(Hook(command=(str(script(tmp_path / "screen", "sleep 60")),)), None, clock)
    with within(0.3 + SLACK):
        verdicts = provider.ask(questions(20))
    assert {unknown(verdict) for verdict in verdicts} == {"screen: no answer before the time was up"}


@pytest.mark.parametrize("received_by", ["the thread that asks", "another thread"])
def test_ctrl_c_leaves_no_program_behind(tmp_path: Path, received_by: str) -> None:
    program = script(tmp_path / "screen", f"echo $$ >> {tmp_path}/pids\nsleep 60")
    asks = (
        "import signal, threading\nfrom tests.outside.hookkit import asking, questions\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # who runs the tests may have it ignored
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        f"mask = {{signal.SIGINT}} if {received_by == 'another thread'} else ()\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, mask)\n"
        f"asking({str(program)!r}, timeout='50s').ask(questions({AT_ONCE}))"
    )
    with subprocess.Popen([sys.executable, "-c", asks], stderr=subprocess.DEVNULL) as process:
        pids = tmp_path / "pids"
        assert eventually(lambda: pids.exists() and pids.read_text(encoding="utf-8").count("\n") == AT_ONCE)
        process.send_signal(signal.SIGINT)
        process.wait(40)  # the programs would go on for a minute
    assert not any(is_running(int(pid)) for pid in pids.read_text(encoding="utf-8").split())


# -- many ------------------------------------------------------------------------------------------------------------


def test_a_hundred_questions_to_a_slow_program_are_asked_eight_at_a_time(tmp_path: Path) -> None:
    text = (
        f"echo x > {tmp_path}/open.$$\nls {tmp_path} | grep -c '^open' >> {tmp_path}/counts\nsleep 0.2\n"
        f'rm {tmp_path}/open.$$\nread -r asked\necho "$asked" | sed \'s/.*"request_id": "\\([^"]*\\)".*/'
        '{"verdict": "allow", "reason": "\\1"}/\''
    )
    verdicts = asking(script(tmp_path / "screen", text), timeout="30s").ask(questions(100))
    assert [verdict.reason for verdict in verdicts] == [f"w-{number}" for number in range(100)]
    counts = [int(line) for line in (tmp_path / "counts").read_text(encoding="utf-8").split()]
    assert 1 < max(counts) <= AT_ONCE


def test_each_question_is_answered_or_given_up_for_itself(tmp_path: Path) -> None:
    text = f'read -r asked\ncase "$asked" in *w-*5\\"*) sleep 60;; esac\necho \'{ALLOW}\''
    with within(3 + 2 * SLACK):
        verdicts = asking(script(tmp_path / "screen", text), timeout="3s").ask(questions(30))
    assert [number for number, verdict in enumerate(verdicts) if verdict.unknown] == [5, 15, 25]
    assert all(verdict == CLEAN for verdict in verdicts if not verdict.unknown)


def test_asking_leaves_no_file_open_and_no_zombie(tmp_path: Path) -> None:
    text = f"read -r asked\ncase \"$asked\" in *w-1*) sleep 60;; *w-2*) exit 1;; esac\necho '{ALLOW}'"
    provider = asking(script(tmp_path / "screen", text), timeout="100ms")
    provider.ask(questions(2))
    before = descriptors()
    provider.ask(questions(24))
    assert eventually(lambda: descriptors() <= before)


def test_the_same_question_is_asked_once_and_asked_again_while_nobody_answers(tmp_path: Path) -> None:
    text = f"read -r asked\necho \"$asked\" >> {tmp_path}/asked\n[ -e {tmp_path}/up ] || exit 1\necho '{ALLOW}'"
    provider = asking(script(tmp_path / "screen", text))

    def asked() -> int:
        return len((tmp_path / "asked").read_text(encoding="utf-8").splitlines())

    verdicts = provider.ask([question(), question(), question("w-2")])
    assert all(verdict.unknown for verdict in verdicts)
    assert asked() == 2
    (tmp_path / "up").touch()
    assert provider.ask([question(), question()]) == [CLEAN, CLEAN]
    assert asked() == 3
    (tmp_path / "up").unlink()
    assert provider.ask([question()]) == [CLEAN]
    assert asked() == 3
    (other,) = provider.ask([question(amount="1.6")])  # another question, though of the same request
    assert unknown(other) == "screen: ended with exit code 1"


def test_nothing_asked_is_nothing_started() -> None:
    begun = time.monotonic()
    assert asking("/no/such/program").ask([]) == []
    assert time.monotonic() - begun < SLACK
