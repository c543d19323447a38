"""Calls, batches, connections and logins."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cryptosupport.domain.errors import NodeFailed
from cryptosupport.transport import JsonRpcNode, Nodes, RpcFault
from cryptosupport.transport.http import IDLE
from tests import hostile
from tests.hostile import HostileNode, Reply, RpcError
from tests.transport.asking import ALL, CALLS, echoed


def test_a_call_brings_back_the_result_as_the_node_wrote_it(server: HostileNode, node: JsonRpcNode) -> None:
    server.always(hostile.with_result('{"value": 0.10000000 }'))
    assert bytes(node.call("gettxout", "ab", 0)) == b'{"value": 0.10000000 }'
    assert server.calls == [("gettxout", ["ab", 0])]
    assert not server.requests[0].batch


def test_a_null_result_is_an_answer(server: HostileNode, node: JsonRpcNode) -> None:
    server.answer = lambda method, params: None
    assert bytes(node.call("eth_getTransactionByHash", "0x")) == b"null"


def test_an_error_of_the_node_carries_its_code_message_and_data(server: HostileNode, node: JsonRpcNode) -> None:
    server.answer = lambda method, params: RpcError(3, "execution reverted: paused", "0x08c379a0")
    with pytest.raises(RpcFault) as caught:
        node.call("eth_call")
    fault = caught.value
    assert (fault.code, fault.message, fault.data) == (3, "execution reverted: paused", "0x08c379a0")


def test_errors_told_by_http_500_as_in_json_rpc_1_are_read(server: HostileNode, node: JsonRpcNode) -> None:
    server.always(hostile.old_error_style)
    server.answer = lambda method, params: RpcError(-5, "No such mempool transaction")
    with pytest.raises(RpcFault, match="No such mempool transaction"):
        node.call("getmempoolentry", "ab")
    server.answer = lambda method, params: RpcError(-32601, "Method not found")
    with pytest.raises(RpcFault, match="Method not found"):
        node.call("nonsense")
    server.answer = lambda method, params: 7
    assert bytes(node.call("getblockcount")) == b"7"


def test_a_batch_is_one_request_and_its_answers_come_in_call_order(server: HostileNode, node: JsonRpcNode) -> None:
    server.always(hostile.out_of_order)
    assert echoed(node.batch(CALLS)) == ALL
    assert len(server.requests) == 1


def test_single_errors_in_a_batch_leave_the_other_answers_alone(server: HostileNode, node: JsonRpcNode) -> None:
    server.answer = lambda method, params: RpcError(-5, "unknown") if params[0] % 2 else params[0]
    assert echoed(node.batch(CALLS)) == [0, -5, 2, -5, 4, -5, 6, -5, 8, -5]


def test_nothing_is_asked_for_an_empty_batch(server: HostileNode, node: JsonRpcNode) -> None:
    assert node.batch([]) == []
    assert server.requests == []


def test_a_path_is_appended_to_the_url_of_the_endpoint(
    server: HostileNode, node_at: Callable[..., JsonRpcNode]
) -> None:
    node_at(f"{server.url}/base/?key=a%20b").call("x", path="/wallet/hot btc")
    node_at(f"{server.url}/base/?key=ä").call("x")
    node_at(server.url).call("x")
    paths = [request.path for request in server.requests]
    assert paths == ["/base/wallet/hot%20btc?key=a%20b", "/base/?key=%C3%A4", "/"]


def test_connections_are_kept_and_no_more_are_opened_than_allowed(
    server: HostileNode, node_at: Callable[..., JsonRpcNode]
) -> None:
    node = node_at(server.url, connections=3)
    server.always(lambda exchange: Reply(exchange.encoded(), delay=0.002))
    found: list[list[Any]] = []
    threads = [
        threading.Thread(target=lambda: found.extend(echoed(node.batch(CALLS)) for _ in range(10))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [ALL] * 80
    assert 1 <= server.connections <= 3


def test_waiting_for_a_free_connection_does_not_use_up_the_time_of_a_request(
    server: HostileNode, node_at: Callable[..., JsonRpcNode]
) -> None:
    node = node_at(server.url, connections=1, timeout="500ms")
    server.always(lambda exchange: Reply(exchange.encoded(), delay=0.2))
    answers = Nodes("test", [node] * 4).each(lambda one: bytes(one.call("x")) if isinstance(one, JsonRpcNode) else b"")
    assert answers == [b'["x", []]'] * 4


def test_a_connection_that_the_node_closed_meanwhile_is_not_used_again(server: HostileNode, node: JsonRpcNode) -> None:
    node.call("x")
    server.hang_up()
    time.sleep(0.05)
    node.call("x", retry=False)
    assert server.connections == 2
    assert IDLE < 20


def basic(server: HostileNode) -> str | None:
    """The login of the last request."""
    return server.requests[-1].headers.get("Authorization")


def test_user_and_password_come_from_the_settings_or_from_the_url(
    server: HostileNode, node_at: Callable[..., JsonRpcNode]
) -> None:
    node_at(server.url, rpc_user="desk", rpc_password="pass:word").call("x")
    assert basic(server) == "Basic ZGVzazpwYXNzOndvcmQ="
    node_at(server.url.replace("//", "//desk:pass%3Aword@")).call("x")
    assert basic(server) == "Basic ZGVzazpwYXNzOndvcmQ="
    node_at(server.url).call("x")
    assert basic(server) is None


def test_the_cookie_is_read_again_when_the_node_has_made_a_new_one(
    server: HostileNode, node_at: Callable[..., JsonRpcNode], tmp_path: Path
) -> None:
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:one\n")
    node = node_at(server.url, cookie_file=str(cookie))
    node.call("x")
    cookie.write_text("__cookie__:two")
    server.then(hostile.no_login)
    node.call("x", retry=False)
    assert basic(server) == "Basic X19jb29raWVfXzp0d28="
    assert len(server.requests) == 3


def test_the_same_cookie_is_not_tried_twice(
    server: HostileNode, node_at: Callable[..., JsonRpcNode], tmp_path: Path
) -> None:
    (tmp_path / ".cookie").write_text("__cookie__:one")
    server.always(hostile.no_login)
    with pytest.raises(NodeFailed, match="refuses the user and password") as caught:
        node_at(server.url, cookie_file=str(tmp_path / ".cookie")).call("x")
    assert caught.value.reason == "unauthorized"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file"), (b"", "not a cookie file"), (b"\xff\xfe", "not a cookie file")]
)
def test_a_cookie_file_that_cannot_be_used_is_named(
    node_at: Callable[..., JsonRpcNode], tmp_path: Path, content: bytes | None, said: str
) -> None:
    cookie = tmp_path / ".cookie"
    if content is not None:
        cookie.write_bytes(content)
    with pytest.raises(NodeFailed, match=said) as caught:
        node_at("http://127.0.0.1:1", cookie_file=str(cookie)).call("x")
    assert caught.value.reason == "unauthorized"
    assert str(cookie) in str(caught.value)
