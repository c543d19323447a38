"""How `tx status` ends before its nodes have answered: by --timeout, Ctrl-C or SIGTERM."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from cryptosupport.context import Context
from tests.chains.evmkit import OTHER, TXID, node_of, transaction
from tests.conftest import Configs, Program
from tests.hostile import Exchange, HostileNode, Reply, honest, too_many_requests

SILENT = Reply(b"{}", delay=60)
"""So long that nobody who waits for it goes unnoticed, also on a busy machine."""
AT_ONCE = 45
"""Fewer seconds than that."""


@pytest.fixture
def node() -> Iterator[HostileNode]:
    """A node that knows one waiting transaction."""

    def known(txid: str) -> object:
        return transaction() if txid == TXID else None

    with HostileNode(node_of({"eth_getTransactionByHash": known})) as server:
        yield server


def stopped(
    command: list[str], *arguments: str, node: HostileNode, by: signal.Signals, after: float
) -> tuple[int, str, str, float]:
    """Exit code and output of a run that gets a signal ``after`` it first asked ``node``, and how many seconds it went
    on afterwards.
    """
    with subprocess.Popen(
        [*command, "tx", "status", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        ends = time.monotonic() + 30
        while not node.requests and time.monotonic() < ends:
            time.sleep(0.01)
        time.sleep(after)
        process.send_signal(by)
        sent = time.monotonic()
        out, err = process.communicate(timeout=90)
    return process.returncode, out, err, time.monotonic() - sent


def test_connections_are_closed_at_the_end(configs: Configs, node: HostileNode) -> None:
    context = Context()
    context.options.configs = str(configs({"dev": node.url}))
    (chain,) = context.chains()
    assert all(health.node for health in chain.health())
    assert node.open_connections == 1
    context.close()
    ends = time.monotonic() + 30
    while node.open_connections and time.monotonic() < ends:
        time.sleep(0.01)
    assert node.open_connections == 0


@pytest.mark.parametrize("trouble", [SILENT, too_many_requests("19")], ids=["silence", "429"])
def test_timeout_does_not_wait_for_the_node(run: Program, configs: Configs, node: HostileNode, trouble: Reply) -> None:
    configs({"dev": node.url})
    node.always(trouble)
    began = time.monotonic()
    done = run("tx", "status", TXID, OTHER, "--wait", "--timeout", "1s", "-o", "jsonl")
    assert time.monotonic() - began < AT_ONCE
    assert done.exit_code == 6
    assert [row["error"]["code"] for row in done.jsonl] == ["timeout" if trouble is SILENT else "rate_limited"] * 2
    assert len(node.requests) < 4


def test_a_look_that_the_timeout_cuts_short_leaves_the_state_that_is_known(
    run: Program, configs: Configs, node: HostileNode
) -> None:
    configs({"dev": node.url})
    began = time.monotonic()
    asked: list[float] = []

    def silent_later(exchange: Exchange) -> Reply:
        asked.append(time.monotonic())
        return honest(exchange) if asked[-1] - asked[0] < 0.8 else SILENT

    node.always(silent_later)
    done = run("tx", "status", TXID, "--wait", "--timeout", "2s", "--json")
    assert time.monotonic() - began < AT_ONCE
    assert (done.exit_code, done.json["state"]) == (10, "pending")


def test_a_node_that_is_slow_at_the_timeout_has_half_a_second_more(
    run: Program, configs: Configs, node: HostileNode
) -> None:
    configs({"dev": node.url})
    assert run("tx", "status", TXID, "--wait", "--timeout", "0s", "--brief").stdout == "pending\n"


def test_timeout_needs_wait(run: Program, configs: Configs, node: HostileNode) -> None:
    configs({"dev": node.url})
    done = run("tx", "status", TXID, "--timeout", "5s")
    assert (done.exit_code, node.requests) == (2, [])
    assert "--wait" in done.stderr


@pytest.mark.parametrize("trouble", [SILENT, too_many_requests("19")], ids=["silence", "429"])
@pytest.mark.parametrize(("by", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_at_once_though_nodes_are_being_asked(
    command: list[str], configs: Configs, node: HostileNode, trouble: Reply, by: signal.Signals, code: int
) -> None:
    configs({"dev": node.url})
    node.always(trouble)
    exit_code, out, err, seconds = stopped(command, TXID, OTHER, "--json", node=node, by=by, after=0.3)
    assert seconds < AT_ONCE
    assert (exit_code, json.loads(out)) == (code, [])
    assert json.loads(err) == {"error": {"code": "interrupted", "message": "interrupted", "exit_code": code}}


@pytest.mark.parametrize(("by", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_table_holds_what_is_known(
    command: list[str], configs: Configs, node: HostileNode, by: signal.Signals, code: int
) -> None:
    configs({"dev": node.url})
    exit_code, out, err, _ = stopped(command, TXID, OTHER, "--wait", node=node, by=by, after=1.5)
    assert exit_code == code
    first, second = out.splitlines()[2:]
    assert "pending" in first
    assert "not_found" in second
    assert "printed above" in err
