"""A signer over HTTP that hangs, or says too much: it is given up, and is not asked twice for a signature."""

from __future__ import annotations

import pytest

from cryptosupport.context import SystemClock
from cryptosupport.domain.errors import BadSettings, NodeFailed, Refused
from cryptosupport.transport import SignerNode
from tests.hostile import HostileNode, Reply, RpcError


def test_one_that_hangs_is_given_up_and_not_asked_for_a_second_signature() -> None:
    with HostileNode() as server:
        server.always(Reply(b"{}", delay=2))
        node = SignerNode(server.url, None, SystemClock(), timeout="100ms")
        with pytest.raises(NodeFailed) as found:
            node.ask("eth_signTransaction", [{}])
        assert found.value.reason == "timeout"
        assert [method for method, _ in server.calls] == ["eth_signTransaction"]
        node.close()


def test_one_that_hangs_up_is_asked_again_who_it_is_and_never_for_a_second_signature() -> None:
    with HostileNode(lambda method, params: []) as server:
        node = SignerNode(server.url, None, SystemClock())
        server.then(Reply(reset=True))
        assert node.ask("eth_accounts", []) == []
        server.then(Reply(reset=True))
        with pytest.raises(NodeFailed):
            node.ask("eth_signTransaction", [{}])
        assert [method for method, _ in server.calls].count("eth_signTransaction") == 1
        node.close()


def test_an_answer_beyond_all_measure_is_given_up() -> None:
    with HostileNode(lambda method, params: ["0x" + "ab" * 20] * 20_000) as server:
        node = SignerNode(server.url, None, SystemClock())
        with pytest.raises(NodeFailed) as found:
            node.ask("eth_accounts", [])
        assert found.value.reason == "too_large"
        node.close()


def test_what_it_refuses_is_told_without_the_secret_of_the_header() -> None:
    with HostileNode(lambda method, params: RpcError(-32000, "Bearer hunter2 may not")) as server:
        node = SignerNode(server.url, "Bearer hunter2", SystemClock())
        with pytest.raises(Refused) as found:
            node.ask("eth_signTransaction", [{}])
        assert "refuses eth_signTransaction" in found.value.message
        assert "hunter2" not in found.value.message
        assert server.requests[0].headers["Authorization"] == "Bearer hunter2"
        node.close()


def test_a_secret_that_is_no_header_is_a_fault_of_the_settings() -> None:
    for secret in ("", "two\nlines", "gr\u00fc\u00df"):
        with pytest.raises(BadSettings):
            SignerNode("http://127.0.0.1:9", secret, SystemClock())
