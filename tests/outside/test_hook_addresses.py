"""Providers over HTTP: one POST, one answer that counts, and a secret that nobody reads."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cryptosupport.context.machine import SystemClock
from cryptosupport.domain.errors import BadSettings
from cryptosupport.domain.policy.decision import Outcome
from cryptosupport.domain.verdicts import ProviderVerdict
from cryptosupport.outside.asking import AT_ONCE
from cryptosupport.outside.hooks import Provider
from cryptosupport.settings import Hook
from tests import hostile
from tests.hostile import BAD_ANSWERS, PLAIN, Exchange, HostileNode, Reply
from tests.outside.hookkit import ALLOW, CLEAN, SLACK, only, question, questions, within
from tests.transport.asking import PatientClock

TOKEN = "Bearer 8f3kd02kqPz71LmXw"
KEY = TOKEN.removeprefix("Bearer ")


@pytest.fixture
def server() -> Iterator[HostileNode]:
    """It allows everything, unless a test has it do something else."""
    with HostileNode(lambda method, params: json.loads(ALLOW)) as node:
        yield node


Reach = Callable[..., Provider]


@pytest.fixture
def reach() -> Iterator[Reach]:
    """A provider at a URL; with a secret for its header, or a patient clock on which retries take no time."""
    opened: list[Provider] = []

    def connect(url: str, secret: str | None = None, timeout: str = "5s", patient: bool = False) -> Provider:
        hook = Hook(url=url, timeout=timeout, header=None if secret is None else "keyring:token")
        opened.append(Provider(hook, secret, PatientClock() if patient else SystemClock()))
        return opened[-1]

    yield connect
    for provider in opened:
        provider.close()


def unknown(verdict: ProviderVerdict) -> str:
    """Why there was no answer."""
    assert (verdict.outcome, verdict.unknown) == (Outcome.HOLD, True)
    assert verdict.reason.isprintable()
    return verdict.reason


# -- what is asked and answered --------------------------------------------------------------------------------------


def test_the_question_is_posted_as_json_with_the_header(server: HostileNode, reach: Reach) -> None:
    assert only(reach(f"{server.url}/screen?list=all", TOKEN)) == CLEAN
    (request,) = server.requests
    assert (request.verb, request.path) == ("POST", "/screen?list=all")
    assert (request.headers["Authorization"], request.headers["Content-Type"]) == (TOKEN, "application/json")
    assert json.loads(request.body) == {"schema": "cryptosupport.screening/1", **question()}


def test_without_a_secret_there_is_no_header(server: HostileNode, reach: Reach) -> None:
    assert only(reach(server.url)) == CLEAN
    assert "Authorization" not in server.requests[0].headers


@pytest.mark.parametrize("outcome", ["allow", "hold", "deny"])
def test_the_answer_is_a_verdict_and_its_reason(server: HostileNode, reach: Reach, outcome: str) -> None:
    server.answer = lambda method, params: {"verdict": outcome, "reason": "risk 7\nof 10"}
    assert only(reach(server.url)) == ProviderVerdict(Outcome(outcome), "risk 7 of 10")
    server.always(hostile.compressed)
    assert only(reach(server.url)) == ProviderVerdict(Outcome(outcome), "risk 7 of 10")


def test_answers_are_kept_and_failures_are_not(server: HostileNode, reach: Reach) -> None:
    provider = reach(server.url)
    server.then(Reply(b"", 500))
    unknown(only(provider))
    assert [only(provider), only(provider)] == [CLEAN, CLEAN]
    assert len(server.requests) == 2


# -- what is no answer -----------------------------------------------------------------------------------------------

ALSO_BAD: dict[str, hostile.Behaviour] = {
    "allows with an error": lambda exchange: Reply(ALLOW.encode(), 500),
    "allows, not found": lambda exchange: Reply(ALLOW.encode(), 404),
    "allows, forbidden": lambda exchange: Reply(ALLOW.encode(), 403),
    "allows and moves": lambda exchange: Reply(ALLOW.encode(), 302, {"Location": "/"}),
    "allows in a list": lambda exchange: Reply(f"[{ALLOW}]".encode()),
    "allows twice": lambda exchange: Reply((ALLOW * 2).encode()),
    "allows and denies": lambda exchange: Reply(b'{"verdict": "deny", "verdict": "allow"}'),
    "allows loudly": lambda exchange: Reply(b'{"verdict": "ALLOW"}'),
    "more than 64 KiB": lambda exchange: Reply(ALLOW.encode().ljust(64 * 1024 + 1)),
    "allows, cut short": lambda exchange: Reply(ALLOW.encode(), headers={"Content-Length": "500"}, keep=500),
}
JSON_RPC = ("id_is", "neither_result", "error_is", "error_code", "error_not", "replies_are", "deep_result")
"""Bad as answers of a node only."""
TROUBLES = ALSO_BAD | {name: trouble for name, trouble in BAD_ANSWERS.items() if not name.startswith(JSON_RPC)}


@pytest.mark.parametrize("name", TROUBLES)
def test_what_is_no_answer_holds(server: HostileNode, reach: Reach, name: str) -> None:
    server.always(TROUBLES[name])
    with within(5 + SLACK):
        reason = unknown(only(reach(server.url, TOKEN, patient=True)))
    assert reason.startswith(f"127.0.0.1:{server.port}: ")
    assert len(reason) <= 200


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (Reply(b"", 500), "HTTP 500"),
        (hostile.no_login, "refuses the header (HTTP 401)"),
        (hostile.redirect, "redirects elsewhere (HTTP 302)"),
        (hostile.too_many_requests(), "too many requests (HTTP 429)"),
        (Reply(ALLOW.encode().ljust(64 * 1024 + 1)), "its answer is larger than 64 KiB"),
        (Reply(b"OK"), "answers, and not with one JSON object"),
        (Reply(b'{"verdict": "yes"}'), 'answers without a "verdict" that is allow, hold or deny'),
        (Reply(b'{"verdict": "allow", "reason": {}}'), 'answers with a "reason" that is no text'),
    ],
)
def test_the_reason_says_what_went_wrong(server: HostileNode, reach: Reach, trouble: Reply, said: str) -> None:
    server.always(trouble)
    assert said in unknown(only(reach(server.url, TOKEN, patient=True)))
    assert len(server.requests) == 1


def test_what_an_error_repeats_of_the_question_is_not_told(server: HostileNode, reach: Reach) -> None:
    provider = reach(server.url, patient=True)
    for status in (400, 401, 403, 404, 429, 500, 503):
        server.always(lambda exchange, status=status: Reply(exchange.request.body, status, PLAIN))  # type: ignore[misc]
        (verdict,) = provider.ask([question(purpose="travel_rule", beneficiary={"name": "Ann Example"})])
        assert f"HTTP {status}" in unknown(verdict)
        assert "Ann" not in verdict.reason


def test_a_redirect_is_not_followed(server: HostileNode, reach: Reach) -> None:
    with HostileNode(lambda method, params: json.loads(ALLOW)) as elsewhere:
        for status in (301, 302, 303, 307, 308):
            server.always(Reply(b"", status, {"Location": elsewhere.url}))
            unknown(only(reach(server.url, TOKEN)))
        assert elsewhere.requests == []


def test_nobody_there_holds(reach: Reach) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert "refuses the connection" in unknown(only(reach(f"http://127.0.0.1:{port}/")))


def test_busy_for_a_moment_is_asked_again_as_long_as_there_is_time(server: HostileNode, reach: Reach) -> None:
    server.then(hostile.work_queue_full, Reply(reset=True))
    assert only(reach(server.url)) == CLEAN
    assert {request.body for request in server.requests} == {server.requests[0].body}


def test_what_is_asked_again_has_only_the_time_that_is_left(server: HostileNode, reach: Reach) -> None:
    server.always(Reply(b"", 503, delay=1.15))
    with within(1.2 + SLACK):
        unknown(only(reach(server.url, timeout="1200ms")))
    time.sleep(0.3)
    assert len(server.requests) == 1


# -- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        Reply(ALLOW.encode(), delay=60),
        Reply(ALLOW.encode(), drip=1),
        Reply(ALLOW.encode(), drip=0.05),
        Reply(ALLOW.encode(), headers={"Content-Length": "500"}, drip=0.05),
    ],
    ids=["silent", "a byte a second", "dribbles", "never ends"],
)
def test_a_slow_answer_is_given_up_in_time(server: HostileNode, reach: Reach, trouble: Reply) -> None:
    server.always(trouble)
    with within(0.4 + SLACK):
        assert unknown(only(reach(server.url, timeout="400ms"))).endswith(": no answer within 0.4 s")


def test_endless_output_is_cut_off(reach: Reach) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_endless, args=(listening,), daemon=True).start()
        with within(5 + SLACK):
            verdict = only(reach(f"http://127.0.0.1:{listening.getsockname()[1]}/"))
    assert "larger than 64 KiB" in unknown(verdict)


def _endless(listening: socket.socket) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                connection.sendall(b"1000\r\n" + b" " * 4096 + b"\r\n")
        except OSError:
            return  # the client has heard enough


def test_a_name_server_that_hangs_keeps_nobody_waiting(reach: Reach, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = reach("https://provider.example/", timeout="300ms")
    hung = threading.Event()

    def hang(*asked: Any, **more: Any) -> Any:
        hung.wait(60)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        with within(0.3 + SLACK):
            assert unknown(only(provider)) == "provider.example: no answer within 0.3 s"
    finally:
        hung.set()


def test_the_end_of_all_time_counts_before_the_timeout(server: HostileNode) -> None:
    clock = SystemClock()
    clock.ends_at = clock.monotonic() + 0.3
    server.always(Reply(ALLOW.encode(), delay=60))
    provider = Provider(Hook(url=server.url), None, clock)
    with within(0.3 + SLACK):
        verdicts = provider.ask(questions(20))
    assert all("before the time was up" in unknown(verdict) for verdict in verdicts)
    provider.close()


# -- many ------------------------------------------------------------------------------------------------------------


def test_a_hundred_questions_to_a_slow_server_are_asked_eight_at_a_time(server: HostileNode, reach: Reach) -> None:
    under_way, most, lock = 0, 0, threading.Lock()

    def slow(exchange: Exchange) -> Reply:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.1)
        with lock:
            under_way -= 1
        name = json.loads(exchange.request.body)["request_id"]
        return Reply(json.dumps({"verdict": "allow", "reason": name}).encode())

    server.always(slow)
    verdicts = reach(server.url).ask(questions(100))
    assert [verdict.reason for verdict in verdicts] == [f"w-{number}" for number in range(100)]
    assert 1 < most <= AT_ONCE
    assert server.connections <= AT_ONCE


def test_each_question_is_answered_or_given_up_for_itself(server: HostileNode, reach: Reach) -> None:
    def sometimes(exchange: Exchange) -> Reply:
        name = json.loads(exchange.request.body)["request_id"]
        return Reply(ALLOW.encode(), delay=60 if name.endswith("5") else 0)

    server.always(sometimes)
    with within(3 * (1.5 + SLACK)):
        verdicts = reach(server.url, timeout="1500ms").ask(questions(30))
    assert [number for number, verdict in enumerate(verdicts) if verdict.unknown] == [5, 15, 25]


# -- secrets ---------------------------------------------------------------------------------------------------------

BASIC = "Basic " + b64encode(b"desk:correct-horse").decode()


@pytest.mark.parametrize("secret", [TOKEN, KEY, BASIC, "short"])
def test_the_secret_is_never_shown(
    server: HostileNode, reach: Reach, secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    provider = reach(f"{server.url}/v2/pathkey-71LmXw?apikey=querykey", secret, patient=True)

    def echo(exchange: Exchange) -> Reply:
        told = f"{dict(exchange.request.headers)} {exchange.request.path} desk:correct-horse, correct-horse"
        return Reply(json.dumps({"verdict": "deny", "reason": told}).encode())

    def echo_badly(exchange: Exchange) -> Reply:
        return Reply(f"Cannot {exchange.request.path} {dict(exchange.request.headers)}".encode(), 418, PLAIN)

    troubles: list[hostile.Behaviour | Reply] = [echo, echo_badly, hostile.redirect, hostile.no_login, Reply(b"x")]
    shown = [repr(provider), provider.name]
    for trouble in troubles:
        server.always(trouble)
        (verdict,) = provider.ask([question(f"w-{len(shown)}")])
        shown += [verdict.reason, repr(verdict)]
    shown += [record.getMessage() for record in caplog.records]
    hidden = [secret, secret.rpartition(" ")[2], "pathkey-71LmXw", "querykey"]
    hidden += ["correct-horse"] if secret == BASIC else []
    assert [(each, text) for each in hidden for text in shown if each in text] == []
    assert server.requests[0].headers["Authorization"] == secret


@pytest.mark.parametrize("secret", ["", "Bearer hunter2\n", "hunter2\r\nX: y", " hunter2", "hunter2é", "hunter2\0"])
def test_a_secret_that_no_header_can_hold_is_refused_without_being_shown(reach: Reach, secret: str) -> None:
    with pytest.raises(BadSettings, match="has to be one line of printable ASCII") as refused:
        reach("https://provider.example/", secret)
    assert "hunter2" not in refused.value.message


def test_a_reference_that_nobody_resolved_is_refused(reach: Reach) -> None:
    with pytest.raises(BadSettings, match="url of an endpoint"):
        reach("keyring:provider")
