"""Keys and passwords stay out of what people read, and certificates are checked."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptosupport.domain.errors import BadSettings, NodeFailed
from cryptosupport.settings import ChainSettings, Endpoint
from cryptosupport.transport import JsonRpcNode, Nodes, RpcFault, mask, open_nodes
from tests import hostile
from tests.hostile import HostileNode, Reply, RpcError
from tests.transport.asking import PatientClock

KEY = "8f3kd02kqPz71LmXw"


SECRET_URLS = {
    "path": f"http://127.0.0.1:PORT/v2/{KEY}",
    "long path": f"http://127.0.0.1:PORT/{KEY}/ext/bc/C/rpc/",
    "short path": "http://127.0.0.1:PORT/v2/KEY",
    "query": f"http://127.0.0.1:PORT/?apikey={KEY}&x=1",
    "bare query": f"http://127.0.0.1:PORT/rpc?{KEY}",
    "user": f"http://{KEY}@127.0.0.1:PORT/",
    "password": f"http://desk:{KEY}@127.0.0.1:PORT/",
    "quoted password": "http://desk:8f3kd%2F02k%40q@127.0.0.1:PORT/",
}
SECRETS = (KEY, "KEY", "8f3kd%2F02k%40q", "8f3kd/02k@q", "ZGVzazo4ZjNrZDAya3FQejcxTG1Ydw==")


@pytest.mark.parametrize("url", SECRET_URLS.values(), ids=SECRET_URLS)
def test_no_secret_of_an_endpoint_is_ever_shown(
    server: HostileNode, node_at: Callable[..., JsonRpcNode], url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    node = node_at(url.replace("PORT", str(server.port)))
    shown = [node.name, repr(node), repr(Nodes("c", [node])), str(node), f"{vars(Nodes('c', [node]))}"]

    def echo_all(exchange: hostile.Exchange) -> Reply:
        request = exchange.request
        text = (
            f"Cannot {request.verb} {request.path} of http://desk:{KEY}@h{request.path} {dict(request.headers)} {url}"
        )
        return Reply(text.encode(), 418, hostile.PLAIN)

    def error_with_all(method: str, params: list[Any]) -> object:
        return RpcError(-1, f"{server.requests[-1].path} {dict(server.requests[-1].headers)} {url}")

    server.answer = error_with_all
    troubles: list[hostile.Behaviour | Reply] = [echo_all, hostile.honest, hostile.redirect, hostile.no_login]
    for trouble in troubles:
        server.always(trouble)
        with pytest.raises((NodeFailed, RpcFault)) as caught:
            node.call("x")
        shown += [str(caught.value), repr(caught.value), str(caught.value.__dict__)]
        assert caught.value.__cause__ is None
    shown += [record.getMessage() for record in caplog.records]
    assert [(secret, text) for secret in SECRETS for text in shown if secret in text] == []


@pytest.mark.parametrize(
    "url",
    [
        f"http://{KEY}:x@/",
        f"http://h:{KEY}/",
        f"http://u:{KEY}/x@h/",
        f"http://u:123/{KEY}@h/",
        f"http://[{KEY}]/",
        f"http://{KEY}{'a' * 60}.example/",
        f"http://a!b{KEY}/",
        f"env:{KEY}",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_being_shown(clock: PatientClock, url: str) -> None:
    with pytest.raises((ValueError, BadSettings), match=r"^url: |chains/x\.toml: the url of endpoint 'Acme'") as caught:
        open_nodes(
            ChainSettings(family="evm", name="x", endpoints=(Endpoint(url=url, operator="Acme"),)),
            clock,
        )
    assert KEY not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://eth.example/v2/abc", "eth.example"),
        ("https://u:p@eth.example:8545/?k", "eth.example:8545"),
        ("http://[::1]:8332", "[::1]:8332"),
        ("https://bücher.example/", "xn--bcher-kva.example"),
    ],
)
def test_a_node_is_called_by_its_host_and_port(node_at: Callable[..., JsonRpcNode], url: str, name: str) -> None:
    assert node_at(url).name == name
    assert node_at(url, operator="Acme").name == "Acme"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("no url here: 12:30, a@b", "no url here: 12:30, a@b"),
        ("see https://node.example/v2/8f3k?x=1#y.", "see https://node.example/v2/…."),
        ("(https://u:p@h.example:8545)", "(https://h.example:8545)"),
        ("https://h.example?key=1 and wss://h/k9k9", "https://h.example and wss://h/…"),
        ("http://u:p/w@h.example/", "http://…"),
        ("http://u:p?w@h.example/", "http://…"),
        ("login desk:hunter2@h.example:8332 failed", "login …@h.example:8332 failed"),
        ("https://etherscan.io/tx/0xabc", "https://etherscan.io/tx/…"),
        ("http://127.0.0.1:8332/wallet/hot-btc", "http://127.0.0.1:8332/wallet/…"),
        ("postgresql://desk:pw@db/ledger", "postgresql://db/…"),
    ],
)
def test_urls_are_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


def test_named_secrets_are_masked_and_words_that_hold_a_short_one_stay() -> None:
    assert mask("rpc error in xrpcx: longsecretlong", ["rpc", "longsecret", ""]) == "… error in xrpcx: …long"


@settings(max_examples=200, deadline=None)
@given(
    key=st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_%", min_size=9, max_size=40).filter(str.isascii),
    shape=st.sampled_from(
        [
            "https://h.example/{}",
            "http://h/v3/{}/x?y",
            "https://h/?k={}",
            "http://u:{}@h/",
            "http://{}:p@h/",
            "a:{}@b.c",
        ]
    ),
    before=st.sampled_from(["", "GET", "'", "error: é", "<"]),
    after=st.sampled_from(["", " ", "'", ")", "\n", " http://x/", '"', ", "]),
)
def test_no_key_survives_in_any_url(key: str, shape: str, before: str, after: str) -> None:
    assert key not in mask(f"{before} {shape.format(key)}{after}")


def test_a_certificate_that_nobody_signed_is_refused(
    node_at: Callable[..., JsonRpcNode], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = self_signed(tmp_path)
    context.load_cert_chain(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # the environment is not trusted
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            try:
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                connection.close()

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(NodeFailed, match="certificate verify failed") as caught:
            node_at(f"https://127.0.0.1:{listener.getsockname()[1]}").call("x")
        thread.join()
    assert caught.value.reason == "unreachable"


def self_signed(folder: Path) -> Path:
    """A certificate and its key for 127.0.0.1, in one file."""
    pytest.importorskip("cryptography")
    from datetime import UTC, datetime, timedelta
    from ipaddress import IPv4Address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    path = folder / "node.pem"
    path.write_bytes(text)
    return path
