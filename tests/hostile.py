"""A local HTTP server that plays a node, well or badly.

    with HostileNode(lambda method, params: {"eth_chainId": "0x1"}[method]) as node:
        node.then(work_queue_full, redirect)      # the next two requests; then it answers well again
        node.always(BAD_ANSWERS["html_page"])     # or from now on
        ... node.url, node.requests, node.calls

A *behaviour* turns an `Exchange` (the request, and the replies that an honest node would give) into a `Reply`.
"""

from __future__ import annotations

import gzip
import json
import socket
import socketserver
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Self

JSON = {"Content-Type": "application/json"}
PLAIN = {"Content-Type": "text/plain"}
PAGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>\x1b[31mBad gateway</body></html>"
TOO_LARGE = 8_000_001


@dataclass(frozen=True, slots=True)
class RpcError:
    """An honest error, to be returned by the callable that answers."""

    code: int
    message: str
    data: object = None

    @property
    def body(self) -> dict[str, object]:
        """The member `error`."""
        facts: dict[str, object] = {"code": self.code, "message": self.message}
        return facts if self.data is None else {**facts, "data": self.data}


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes over the wire. Content-Length is added unless the headers hold it.

    ``keep``: only so many bytes of the body are sent, then the connection is closed. ``delay``: seconds before anything
    is sent. ``drip``: seconds between single bytes of the body. ``raw``: sent instead of an HTTP answer. ``reset``: the
    connection is torn down without an answer.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    keep: int | None = None
    delay: float = 0
    drip: float = 0
    raw: bytes | None = None
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """What the client sent. ``calls``: its JSON-RPC methods with params; ``batch``: whether they came as a list."""

    verb: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    calls: tuple[tuple[str, list[Any]], ...] = ()
    batch: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and the JSON-RPC replies that an honest node gives to it."""

    request: Request
    replies: list[dict[str, Any]]

    def encoded(self, replies: Sequence[object] | None = None) -> bytes:
        """``replies`` (the honest ones by default) as JSON, in a list if the request was a list."""
        chosen = self.replies if replies is None else replies
        return json.dumps(chosen if self.request.batch else chosen[0]).encode()


Behaviour = Callable[[Exchange], Reply]
Route = bytes | Reply | Callable[[str], "bytes | Reply | None"]


class HostileNode:
    """The server; it runs while its `with` block does.

    ``answer(method, params)`` gives a result or an `RpcError`; for what is no JSON-RPC, ``answer("", [body])`` gives
    the body of the answer. ``routes`` answers GET by path (without the query): bytes, a `Reply`, or a callable that
    takes the whole path and gives either, or None for 404.
    """

    def __init__(
        self, answer: Callable[[str, list[Any]], object] | None = None, routes: Mapping[str, Route] | None = None
    ) -> None:
        self.answer = answer or (lambda method, params: [method, params])
        self.routes: dict[str, Route] = dict(routes or {})
        self.requests: list[Request] = []
        self.connections = 0
        self._next: deque[Behaviour | Reply] = deque()
        self._always: Behaviour | Reply = honest
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._server = _Server(self)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.hang_up()

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """http://127.0.0.1:PORT"""
        return f"http://127.0.0.1:{self.port}"

    @property
    def calls(self) -> list[tuple[str, list[Any]]]:
        """All JSON-RPC calls so far, those of batches one by one."""
        with self._lock:
            return [call for request in self.requests for call in request.calls]

    @property
    def open_connections(self) -> int:
        """How many are open just now."""
        with self._lock:
            return len(self._open)

    def then(self, *behaviours: Behaviour | Reply) -> None:
        """Answer the next requests so, one each."""
        with self._lock:
            self._next.extend(behaviours)

    def always(self, behaviour: Behaviour | Reply) -> None:
        """Answer every request so, once those of `then` are used up."""
        self._always = behaviour

    def hang_up(self) -> None:
        """Close all connections, as a node does that restarts."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client was first

    def opened(self, connection: socket.socket) -> None:
        """Count a new connection."""
        with self._lock:
            self._open.add(connection)
            self.connections += 1

    def closed(self, connection: socket.socket) -> None:
        """Forget a connection."""
        with self._lock:
            self._open.discard(connection)

    def reply(self, verb: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """What to say to a request."""
        asked: Any = json.loads(body) if body else []
        batch = isinstance(asked, list)
        questions: list[dict[str, Any]] = asked if batch else [asked]
        calls = tuple((each["method"], list(each["params"])) for each in questions if "method" in each)
        request = Request(verb, path, headers, body, calls, batch)
        with self._lock:
            self.requests.append(request)
            behaviour = self._next.popleft() if self._next else self._always
        if isinstance(behaviour, Reply):
            return behaviour
        if verb == "GET" and behaviour is honest:
            return self._route(path)
        return behaviour(Exchange(request, [self._honest(question) for question in questions]))

    def _honest(self, question: dict[str, Any]) -> dict[str, Any]:
        if "method" not in question:  # no JSON-RPC: what is asked and what is answered stands for itself
            said: Any = self.answer("", [question])
            return {"id": 0, **said}
        found = self.answer(question["method"], list(question["params"]))
        told = {"error": found.body} if isinstance(found, RpcError) else {"result": found}
        return {"jsonrpc": "2.0", "id": question["id"], **told}

    def _route(self, path: str) -> Reply:
        route = self.routes.get(path.partition("?")[0])
        found = route(path) if callable(route) else route
        if found is None:
            return Reply(b"Not found", 404, PLAIN)
        return Reply(found, headers=PLAIN) if isinstance(found, bytes) else found


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        if isinstance(request, socket.socket):  # close alone, so that a reset is one
            request.close()

    def __init__(self, node: HostileNode) -> None:
        self.node = node
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.node.opened(self.connection)

    def finish(self) -> None:
        self.server.node.closed(self.connection)
        try:
            super().finish()
        except OSError:
            return  # the client has gone

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._send(self.server.node.reply("POST", self.path, dict(self.headers), body))

    def do_GET(self) -> None:
        self._send(self.server.node.reply("GET", self.path, dict(self.headers), b""))

    def _send(self, reply: Reply) -> None:
        time.sleep(reply.delay)
        if reply.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        if reply.raw is not None:
            self.wfile.write(reply.raw)
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if not {"Content-Length", "Transfer-Encoding"} & set(reply.headers):
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        body = reply.body if reply.keep is None else reply.body[: reply.keep]
        if reply.drip:
            for place in range(len(body)):
                self.wfile.write(body[place : place + 1])
                self.wfile.flush()
                time.sleep(reply.drip)
        else:
            self.wfile.write(body)
        self.close_connection = self.close_connection or reply.keep is not None

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


# -- behaviours ------------------------------------------------------------------------------------------------------


def honest(exchange: Exchange) -> Reply:
    """As a good node."""
    return Reply(exchange.encoded())


def out_of_order(exchange: Exchange) -> Reply:
    """The replies backwards, as JSON-RPC allows."""
    return Reply(exchange.encoded(exchange.replies[::-1]))


def old_error_style(exchange: Exchange) -> Reply:
    """As bitcoind answers JSON-RPC 1.x: an error comes with HTTP 500 (404 for an unknown method) and a null result."""
    replies = [{"result": None, "error": None, **reply} for reply in exchange.replies]
    if exchange.request.batch or replies[0]["error"] is None:
        return Reply(exchange.encoded(replies))
    return Reply(exchange.encoded(replies), 404 if replies[0]["error"]["code"] == -32601 else 500)


def one_error(error: RpcError, status: int = 200, request_id: object = None) -> Behaviour:
    """One error for everything that was asked."""
    body = {"jsonrpc": "2.0", "id": request_id, "error": error.body}
    return lambda exchange: Reply(json.dumps(body).encode(), status)


def at_most(calls: int, refusal: Behaviour | None = None) -> Behaviour:
    """A node that takes batches of so many ``calls``; geth's words by default."""
    refuse = refusal or one_error(RpcError(-32600, "batch too large"))
    return lambda exchange: (honest if len(exchange.replies) <= calls else refuse)(exchange)


def compressed(exchange: Exchange) -> Reply:
    """Honest, with gzip."""
    return Reply(gzip.compress(exchange.encoded()), headers={**JSON, "Content-Encoding": "gzip"})


def with_result(text: str) -> Behaviour:
    """Every result is the JSON ``text``, which need not be valid."""

    def behave(exchange: Exchange) -> Reply:
        replies = [{"jsonrpc": "2.0", "id": reply["id"], "result": "@result@"} for reply in exchange.replies]
        return Reply(exchange.encoded(replies).replace(b'"@result@"', text.encode("utf-8", "surrogatepass")))

    return behave


def edited(edit: Callable[[list[dict[str, Any]]], Sequence[object]]) -> Behaviour:
    """The honest replies after ``edit``; always as a list when more than one was asked."""
    return lambda exchange: Reply(exchange.encoded(edit([dict(reply) for reply in exchange.replies])))


def too_many_requests(retry_after: str | None = "60") -> Reply:
    """HTTP 429."""
    headers = PLAIN if retry_after is None else {**PLAIN, "Retry-After": retry_after}
    return Reply(b"slow down", 429, headers)


work_queue_full = Reply(b"Work queue depth exceeded", 503, PLAIN)
"""bitcoind when more requests wait than -rpcworkqueue allows."""
no_login = Reply(b"", 401, {"WWW-Authenticate": 'Basic realm="jsonrpc"'})
"""bitcoind when user or password are wrong."""
redirect = Reply(b"", 302, {"Location": "https://user:hunter2@elsewhere.example/v3/stolen-key?token=secret"})
hung_up = Reply(b"{}", keep=0)
"""Headers, then nothing."""
batch_too_large_413 = Reply(b"<html>413 Request Entity Too Large</html>", 413, {"Content-Type": "text/html"})


@cache
def _bomb() -> bytes:
    return gzip.compress(b" " * 4 * TOO_LARGE, 1)


def _truncated(exchange: Exchange) -> Reply:
    return Reply(exchange.encoded()[:-2])


def _hung_up_midway(exchange: Exchange) -> Reply:
    body = exchange.encoded()
    return Reply(body, keep=len(body) // 2)


def _error_not_utf8(exchange: Exchange) -> Reply:
    replies = [{"id": reply["id"], "error": {"code": 3, "data": "@"}} for reply in exchange.replies]
    return Reply(exchange.encoded(replies).replace(b"@", b"\xff"))


BAD_ANSWERS: dict[str, Behaviour] = {
    "truncated": _truncated,
    "empty": lambda exchange: Reply(b""),
    "no_content": lambda exchange: Reply(b"", 204),
    "html_page": lambda exchange: Reply(PAGE, headers={"Content-Type": "text/html"}),
    "html_page_named_json": lambda exchange: Reply(PAGE),
    "not_json": lambda exchange: Reply(b"OK"),
    "another_json": lambda exchange: Reply(b'"pong"'),
    "deep": lambda exchange: Reply(b"[" * 500_000),
    "deep_result": with_result("[" * 100_000 + "]" * 100_000),
    "id_is_text": edited(lambda replies: [{**reply, "id": str(reply["id"])} for reply in replies]),
    "id_is_huge": edited(lambda replies: [{**reply, "id": 10**30} for reply in replies]),
    "id_is_foreign": edited(lambda replies: [{**reply, "id": reply["id"] + 1} for reply in replies]),
    "id_is_negative": edited(lambda replies: [{**reply, "id": -1} for reply in replies]),
    "id_is_missing": edited(lambda replies: [{"result": reply.get("result")} for reply in replies]),
    "neither_result_nor_error": edited(lambda replies: [{"jsonrpc": "2.0", "id": reply["id"]} for reply in replies]),
    "error_not_utf8": _error_not_utf8,
    "error_is_text": edited(lambda replies: [{"id": reply["id"], "error": "no"} for reply in replies]),
    "error_code_is_text": edited(lambda replies: [{"id": reply["id"], "error": {"code": "x"}} for reply in replies]),
    "replies_are_numbers": edited(lambda replies: [7 for _ in replies]),
    "oversized": with_result('"' + "a" * TOO_LARGE + '"'),
    "oversized_by_header": lambda exchange: Reply(b"{", headers={**JSON, "Content-Length": str(TOO_LARGE)}, keep=1),
    "gzip_bomb": lambda exchange: Reply(_bomb(), headers={**JSON, "Content-Encoding": "gzip"}),
    "damaged_gzip": lambda exchange: Reply(b"\x1f\x8b\x08junk", headers={**JSON, "Content-Encoding": "gzip"}),
    "cut_gzip": lambda exchange: Reply(compressed(exchange).body[:-9], headers={**JSON, "Content-Encoding": "gzip"}),
    "unknown_compression": lambda exchange: Reply(exchange.encoded(), headers={**JSON, "Content-Encoding": "br"}),
    "redirect": lambda exchange: redirect,
    "hung_up_midway": _hung_up_midway,
    "reset": lambda exchange: Reply(reset=True),
    "hung_up_at_once": lambda exchange: Reply(raw=b""),
    "hung_up_after_headers": lambda exchange: hung_up,
    "no_login": lambda exchange: no_login,
    "forbidden": lambda exchange: Reply(PAGE, 403, {"Content-Type": "text/html"}),
    "not_found": lambda exchange: Reply(b"404 page not found", 404, PLAIN),
    "server_error": lambda exchange: Reply(PAGE, 500, {"Content-Type": "text/html"}),
    "server_error_with_result": lambda exchange: Reply(exchange.encoded([{"id": 0, "result": 1}]), 500),
    "teapot": lambda exchange: Reply(b"short and stout", 418, PLAIN),
    "work_queue_full": lambda exchange: work_queue_full,
    "gateway_timeout": lambda exchange: Reply(PAGE, 504, {"Content-Type": "text/html"}),
    "too_many_requests": lambda exchange: too_many_requests(),
    "limited_for_long": one_error(RpcError(-32005, "daily request count exceeded, request rate limited")),
    "warming_up": one_error(RpcError(-28, "Loading block index…"), 500, 0),
    "not_http": lambda exchange: Reply(raw=b"SSH-2.0-OpenSSH_9.6\r\n"),
    "endless_header": lambda exchange: Reply(raw=b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000),
    "length_is_text": lambda exchange: Reply(b"{}", headers={**JSON, "Content-Length": "x"}),
    "length_is_huge": lambda exchange: Reply(b"{}", headers={**JSON, "Content-Length": "9" * 5000}, keep=2),
    "bad_chunks": lambda exchange: Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"),
    "switches_protocols": lambda exchange: Reply(raw=b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n{}"),
    "status_is_text": lambda exchange: Reply(raw=b"HTTP/1.1 abc OK\r\n\r\n"),
}
"""Each is a `NodeFailed` for one call and for a batch."""

BAD_RESULTS: tuple[str, ...] = (
    *("null", "true", "false", "0", "-1", "1.5", "1e400", "-0", "[]", "{}", '""', '"0x"', '"0xzz"', '"\\u0000"'),
    *(
        '"\ud800"',
        "9" * 40,
        "9" * 5000,
        '"0x' + "f" * 5000 + '"',
        "[[[[]]]]",
        "[null]",
        "[{}]",
        '{"error":{}}',
        '{"result":null}',
    ),
    *('{"hash":1,"blockHash":{},"blockNumber":[],"status":"0x2","logs":{}}', '{"txid":[],"vin":{},"vout":1,"fee":"x"}'),
)
"""What to put `with_result` in the place of a result: seldom what was asked for. One is not UTF-8, the rest is JSON."""
