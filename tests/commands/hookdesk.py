"""Hooks of a desk: a receiver over HTTP that keeps what it was told, a program that does, and time that goes by."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sqlalchemy import text

from cryptosupport.ledger.engine import open_engine, reading, writing

SECRET = "4b1d-of-the-hook-and-nobody-else"
TAKEN = 204

Change = dict[str, Any]
Answer = Callable[[Change], int | None]


class Listener:
    """Somebody who is told over HTTP. ``answer`` gives the status for a change, or None to close without an answer.

    ``told`` is all that came, in its order, and ``taken`` what was answered with success.
    """

    def __init__(self, answer: Answer = lambda _: TAKEN) -> None:
        self.told: list[Change] = []
        self.taken: list[Change] = []
        self.bodies: list[bytes] = []
        self.forged = 0
        self.answer = answer
        self._lock = threading.Lock()
        self._server = self._serve(0)
        self.port = self._server.server_address[1]

    @property
    def url(self) -> str:
        """Where it listens, with a key in the path that nobody should read."""
        return f"http://127.0.0.1:{self.port}/told/kEy8f3kd02kqPz?token=tOk7f1"

    def hear(self, headers: Any, body: bytes) -> int | None:
        """One change."""
        with self._lock:
            self.bodies.append(body)
            if not genuine(headers, body):
                self.forged += 1
                return 401
            change = json.loads(body)
            self.told.append(change)
        status = self.answer(change)
        if status is not None and 200 <= status < 300:
            with self._lock:
                self.taken.append(change)
        return status

    def down(self) -> None:
        """Nobody listens any more."""
        self._server.shutdown()
        self._server.server_close()

    def up(self) -> None:
        """It listens again, at the same port."""
        self._server = self._serve(self.port)

    def _serve(self, port: int) -> ThreadingHTTPServer:
        listener = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:  # whoever told it was killed meanwhile
                    return
                status = listener.hear(self.headers, body)
                self.close_connection = status is None
                if status is not None:
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A worker that was killed is no news."""

        server = Server(("127.0.0.1", port), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return server


def genuine(headers: Any, body: bytes) -> bool:
    """Whether a change is signed with `SECRET`, by what the manual says and none of the program's code."""
    stamp = headers["X-Cryptosupport-Timestamp"]
    expected = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return stamp.isdigit() and hmac.compare_digest(headers["X-Cryptosupport-Signature"], "v1=" + expected)


@contextmanager
def listening(answer: Answer = lambda _: TAKEN) -> Iterator[Listener]:
    """A receiver, for a while."""
    listener = Listener(answer)
    try:
        yield listener
    finally:
        listener.down()


def writer(folder: Path, ending: str = "exit 0") -> tuple[list[str], Path]:
    """A program that writes each change on a line of a file, and the file."""
    program, file = folder / "told.sh", folder / "told.jsonl"
    program.write_text(f"#!/bin/sh\nread -r line\nprintf '%s\\n' \"$line\" >> {file}\n{ending}\n", encoding="utf-8")
    program.chmod(0o700)
    return [str(program)], file


def lines(file: Path) -> list[Change]:
    """What a `writer` was told."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def states(told: Iterable[Change], name: str) -> list[str]:
    """The states of one withdrawal in the order in which they came."""
    return [each["state"] for each in told if each["request_id"] == name]


def in_order(told: Iterable[Change]) -> bool:
    """Whether no change of a withdrawal came before an earlier one of it had come, and none after a later one."""
    last: dict[str, int] = {}
    for each in told:
        if each["number"] < last.get(each["request_id"], 0):
            return False
        last[each["request_id"]] = each["number"]
    return True


def add_hook(folder: Path, name: str, **keys: object) -> None:
    """Add a hook to desk.toml in a settings folder."""
    path = folder / "desk.toml"
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    table = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
    path.write_text(f"{before}[hooks.{name}]\n{table}", encoding="utf-8")
    path.chmod(0o600)


def sql(data: Path, url: str, *statements: str) -> list[Any]:
    """Do something in a ledger; the rows of the last statement, if it gives any."""
    engine = open_engine(url or "sqlite:///cryptosupport.db", data)
    asks = statements[-1].startswith("select")
    with (reading if asks else writing)(engine) as connection:
        for statement in statements:
            done = connection.execute(text(statement))
        found = [tuple(row) for row in done] if asks else []
    engine.dispose()
    return found


def later(data: Path, url: str) -> None:
    """Have all pauses of hooks be over."""
    sql(data, url, "update hook set rests_until = 0", "update hook_due set next_at = 0")
