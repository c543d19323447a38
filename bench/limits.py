"""What a node can do at most: the calls that the program really makes, sent again in batches, nothing decoded."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

COMBINATIONS = [(connections, size) for connections in (1, 2, 4, 8) for size in (50, 100, 200, 400, 1000)]


@dataclass
class Recording:
    """The requests that went through `recorder`, and the address to send them to."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)

    def calls(self) -> list[dict[str, object]]:
        """The JSON-RPC calls in them."""
        found: list[dict[str, object]] = []
        for body in self.bodies:
            request = json.loads(body)
            found += request if isinstance(request, list) else [request]
        return found


@contextmanager
def recorder(url: str, after: Callable[[bytes], None] | None = None) -> Iterator[Recording]:
    """A server on loopback that hands requests on to ``url`` and keeps them.

    With ``after``, that is done instead once a request has its answer, before the answer is given.
    """
    recording, target = Recording(), urlsplit(url)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if after is None:
                with lock:
                    recording.bodies.append(body)
            connection = http.client.HTTPConnection(target.hostname or "", target.port)
            try:
                headers = {"Content-Type": "application/json"}
                if "Authorization" in self.headers:
                    headers["Authorization"] = self.headers["Authorization"]
                connection.request("POST", self.path, body, headers)
                answer = connection.getresponse()
                text = answer.read()
            finally:
                connection.close()
            if after is not None:
                after(body)
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    recording.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield recording
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(url: str, login: str | None, calls: Sequence[dict[str, object]], connections: int, size: int) -> float:
    """Send ``calls`` in batches of ``size`` over ``connections`` and return the seconds that the answers took."""
    bodies = [_body(calls[start : start + size]) for start in range(0, len(calls), size)]
    target, headers = urlsplit(url), {"Content-Type": "application/json"}
    if login is not None:
        headers["Authorization"] = login
    places = iter(range(len(bodies)))
    lock = threading.Lock()
    failed: list[str] = []

    def work() -> None:
        connection = http.client.HTTPConnection(target.hostname or "", target.port)
        while True:
            with lock:
                place = next(places, None)
            if place is None:
                break
            connection.request("POST", "/", bodies[place], headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                failed.append(str(answer.status))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(connections)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    if failed:
        raise RuntimeError(f"the node answered HTTP {failed[0]} to a raw batch")
    return seconds


def best_combination(url: str, login: str | None, calls: Sequence[dict[str, object]]) -> tuple[int, int]:
    """How many connections and calls a batch make this node fastest."""
    send(url, login, calls, 2, 200)
    return min(COMBINATIONS, key=lambda each: send(url, login, calls, *each))


def _body(calls: Sequence[dict[str, object]]) -> bytes:
    return json.dumps([call | {"id": place} for place, call in enumerate(calls)]).encode()
