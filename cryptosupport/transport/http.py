"""HTTP to one node: keep-alive connections, one deadline a request, answers of at most `MAX_ANSWER` bytes, and retries
of what may be repeated. No redirect is followed; no proxy, password or certificate comes from the environment.

It stands on httpcore2, the engine of httpx2: it takes less time per request and per import than `httpx2.Client`, and it
does not log URLs.
"""

from __future__ import annotations

import logging
import re
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from email.utils import parsedate_to_datetime
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

import httpcore2

from cryptosupport.domain.errors import BadSettings, NodeFailed
from cryptosupport.settings import Endpoint, milliseconds
from cryptosupport.transport.deadlines import DeadlineBackend
from cryptosupport.transport.login import CookieUnreadable, Login
from cryptosupport.transport.masking import LONGEST, legible, secrets_of

if TYPE_CHECKING:
    from ssl import SSLContext

    from cryptosupport.domain.ports import Clock

MAX_ANSWER = 8_000_000
"""Bytes of an answer, after decompression."""
TRIES = 3
LONGEST_WAIT = 20.0
"""Seconds that a node may ask us to wait; beyond, it is given up at once."""
IDLE = 15.0
"""Seconds that an unused connection is kept: bitcoind closes it after 30 (-rpcservertimeout), many gateways earlier."""

# The engine's debug records hold response headers, among them a redirect's Location.
logging.getLogger("httpcore2").setLevel(logging.WARNING)

_HOST = re.compile(r"(?:[\w-]{1,63}\.)*[\w-]{1,63}\.?|[0-9a-f.]*:[0-9a-f:.]+", re.ASCII)
_legible = lru_cache(maxsize=64)(legible)


class Answer(NamedTuple):
    """What came back, read to its end. Header names are in lower case."""

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes

    @property
    def is_page(self) -> bool:
        """Whether it is a web page, as gateways and wrong addresses give."""
        return b"html" in self.headers.get(b"content-type", b"").lower() or self.body[:64].lstrip()[:1] == b"<"


class Transient(Exception):
    """Something that may be better a moment later. ``wait`` is how many seconds the node asked for."""

    def __init__(self, reason: str, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.reason, self.message, self.wait = reason, message, wait


class HttpNode:
    """One endpoint. Thread-safe: ``connections`` requests are under way at once, further ones queue."""

    max_answer = MAX_ANSWER

    def __init__(self, endpoint: Endpoint, clock: Clock, random: Random | None = None) -> None:
        url, host, port = _parse(endpoint)
        shown = f"[{host}]" if ":" in host else host
        authority = shown if port is None else f"{shown}:{port}"
        self.name = endpoint.operator or authority
        self.own = endpoint.own
        self.connections = endpoint.connections
        self._seconds = milliseconds(endpoint.timeout) / 1000
        self._clock = clock
        self._random = random or Random()
        user, password = unquote(url.username or ""), unquote(url.password or "")
        self._login = Login(endpoint.rpc_user or user, endpoint.rpc_password or password, endpoint.cookie_file)
        self._secrets = secrets_of(url)
        self._origin = (url.scheme.encode(), host.encode(), port)
        self._path, self._query = _quoted(url.path), f"?{_quoted(url.query)}" if url.query else ""
        # Over http the node is near: it would only lose time by compressing.
        accepted = b"gzip" if url.scheme == "https" else b"identity"
        self._headers = [
            (b"Host", authority.encode()),
            (b"Accept-Encoding", accepted),
            (b"User-Agent", b"cryptosupport"),
        ]
        self._pool: httpcore2.ConnectionPool | None = None
        self._opening = threading.Lock()
        self._slots = threading.Semaphore(endpoint.connections)
        self._resume_at = 0.0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        pool, self._pool = getattr(self, "_pool", None), None
        if pool is not None:
            pool.close()

    def failed(self, reason: str, message: str) -> NodeFailed:
        """A `NodeFailed` of this node; its text holds no secret."""
        return NodeFailed(self.name, reason, self.legible(message))

    def legible(self, text: str, limit: int = 400) -> str:
        """``text`` from the node or about it, as it may be shown."""
        return _legible(text[:LONGEST], self._secrets | self._login.secrets, limit)

    def words(self, answer: Answer) -> str:
        """The start of a plain text answer, as ``: text``; nothing of web pages."""
        if answer.is_page or not answer.body.strip():
            return ""
        return f": {self.legible(answer.body[:2000].decode('utf-8', 'replace'), 200)}"

    def request(self, method: str, path: str, body: bytes | None, retry: bool) -> Answer:
        """Send one request and read its answer, whatever its status says.

        Redirects, refused logins, 429, 502, 503 and 504 never come back as an `Answer`. With ``retry``, what may pass
        is tried `TRIES` times. Raises `NodeFailed`; its reason is ``too_large`` when the answer exceeds `max_answer`.
        """
        for attempt in range(TRIES):
            try:
                return self._once(method, path, body)
            except Transient as problem:
                self.back_off(attempt, problem, retry)
        raise AssertionError("the last attempt raises")

    def headers_for(self, body: bytes) -> list[tuple[bytes, bytes]]:
        """Further headers of a request with this body, made each time that it goes out: none."""
        return []

    def back_off(self, attempt: int, problem: Transient, retry: bool) -> None:
        """Wait before the next attempt, or raise `NodeFailed` when there is to be none."""
        if not retry or attempt >= TRIES - 1 or (problem.wait or 0) > LONGEST_WAIT:
            raise self.failed(problem.reason, problem.message) from None
        limited, now = problem.reason == "rate_limited", self._clock.monotonic()
        if problem.wait is None:
            pause = (1.0 if limited else 0.2) * 2**attempt * self._random.uniform(0.5, 1)
        else:  # not before the time that the node asked for, and not all threads at the same moment
            pause = problem.wait * self._random.uniform(1, 1.25)
        if limited:  # the limit is the node's, so all threads wait: see _once
            self._resume_at = max(self._resume_at, now + pause)
        if now + pause >= self._clock.ends_at:
            raise self.failed(problem.reason, problem.message) from None
        if not limited:
            self._clock.sleep(pause)

    def _once(self, method: str, path: str, body: bytes | None) -> Answer:
        """One request, or two when the first meets an outdated cookie. Raises `Transient`, `NodeFailed`."""
        early = self._resume_at - self._clock.monotonic()
        if early > 0:
            if self._resume_at >= self._clock.ends_at:
                raise self.failed("rate_limited", "asked to be left alone for longer than there is time")
            self._clock.sleep(early)
        try:
            login = self._login.header()
            answer = self._exchange(method, path, body, login)
            if answer.status == 401 and self._login.differs_by_now(login):
                answer = self._exchange(method, path, body, self._login.header())
        except CookieUnreadable as problem:
            raise self.failed("unauthorized", str(problem)) from None
        match answer.status:
            case 401 | 403:
                said = self._login.refused if login else self._login.missing
                raise self.failed("unauthorized", f"{said} (HTTP {answer.status}){self.words(answer)}")
            case 429:
                message = f"too many requests (HTTP 429){self.words(answer)}"
                raise Transient("rate_limited", message, _seconds_to_wait(answer, self._clock))
            case 502 | 503 | 504:
                message = f"busy or down for now (HTTP {answer.status}){self.words(answer)}"
                raise Transient("busy", message, _seconds_to_wait(answer, self._clock))
            case status if 300 <= status < 400:
                raise self.failed("bad_answer", f"redirects elsewhere (HTTP {status}): set the endpoint's final url")
        return answer

    def _exchange(self, method: str, path: str, body: bytes | None, login: bytes | None) -> Answer:
        """One request on the wire; the engine's errors are translated here."""
        try:
            with self._slots:
                return self._send_and_read(method, path, body, login)
        except httpcore2.TimeoutException:
            ended = self._clock.monotonic() >= self._clock.ends_at
            limit = "before the time was up" if ended else f"within {self._seconds:g} s"
            raise self.failed("timeout", f"no full answer {limit}") from None
        except httpcore2.ConnectError as error:
            raise self.failed("unreachable", _why_unreachable(str(error))) from None
        except httpcore2.NetworkError:
            raise Transient("unreachable", "the connection broke before the answer was complete") from None
        except httpcore2.RemoteProtocolError as error:
            if "disconnected" in str(error) or "closed connection" in str(error):
                raise Transient("unreachable", "the connection was closed before the answer was complete") from None
            raise self.failed("bad_answer", f"does not speak HTTP as it should: {error}") from None
        except zlib.error:
            raise self.failed("bad_answer", "its compressed answer is damaged") from None

    def _send_and_read(self, method: str, path: str, body: bytes | None, login: bytes | None) -> Answer:
        deadline = min(self._clock.monotonic() + self._seconds, self._clock.ends_at)
        with closing(self._open().handle_request(self._build(method, path, body, login, deadline))) as response:
            headers = {name.lower(): value for name, value in response.headers}
            assert isinstance(response.stream, Iterable)
            return Answer(response.status, headers, self._read(response.stream, headers))

    def _build(
        self, method: str, path: str, body: bytes | None, login: bytes | None, deadline: float
    ) -> httpcore2.Request:
        target = f"{self._path.rstrip('/')}{_quoted(path)}" if path else self._path or "/"
        headers = list(self._headers)
        if login is not None:
            headers.append((b"Authorization", login))
        if body is not None:
            headers += [(b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))]
            headers += self.headers_for(body)
        scheme, host, port = self._origin
        url = httpcore2.URL(scheme=scheme, host=host, port=port, target=f"{target}{self._query}".encode("ascii"))
        # `DeadlineBackend` reads these as points in time; connections are waited for before, by `_slots`.
        timeout = {"connect": deadline, "read": deadline, "write": deadline, "pool": None}
        return httpcore2.Request(method, url, headers=headers, content=body, extensions={"timeout": timeout})

    def _read(self, chunks: Iterable[bytes], headers: Mapping[bytes, bytes]) -> bytes:
        """The body, decompressed; never more than `max_answer` bytes are held."""
        coding = headers.get(b"content-encoding", b"").strip().lower()
        if coding in (b"gzip", b"x-gzip", b"deflate"):
            chunks = _inflated(chunks)
        elif coding not in (b"", b"identity"):
            raise self.failed("bad_answer", "compresses its answer in a way that was not asked for")
        if int(headers.get(b"content-length", b"0")) > self.max_answer:
            raise self._too_large()
        held, size = [], 0
        for chunk in chunks:
            size += len(chunk)
            if size > self.max_answer:
                raise self._too_large()
            held.append(chunk)
        return held[0] if len(held) == 1 else b"".join(held)

    def _too_large(self) -> NodeFailed:
        most = self.max_answer
        size = f"{most // 1_000_000} MB" if most >= 1_000_000 else f"{most // 1024} KiB"
        return self.failed("too_large", f"its answer is larger than {size}")

    def _open(self) -> httpcore2.ConnectionPool:
        if self._pool is None:
            with self._opening:
                if self._pool is None:
                    self._pool = httpcore2.ConnectionPool(
                        ssl_context=_tls() if self._origin[0] == b"https" else None,
                        max_connections=self.connections,
                        keepalive_expiry=IDLE,
                        network_backend=DeadlineBackend(self._clock.monotonic),
                    )
        return self._pool


_tls_lock = threading.Lock()
_tls_context: SSLContext | None = None


def _tls() -> SSLContext:
    """The system's certificates: read once, and only for https (it takes some 10 ms)."""
    global _tls_context
    with _tls_lock:
        if _tls_context is None:
            from httpx2 import create_ssl_context

            _tls_context = create_ssl_context(trust_env=False)
        return _tls_context


def _parse(endpoint: Endpoint) -> tuple[SplitResult, str, int | None]:
    """The endpoint's URL, its host, and its port if it names one.

    Raises `BadSettings`, whose text does not hold the URL.
    """
    whose = f"the url of endpoint {endpoint.operator!r}" if endpoint.operator else "the url of an endpoint"
    try:
        url = urlsplit(endpoint.url)
        host, port = url.hostname or "", url.port
        if not host.isascii():
            host = host.encode("idna").decode()
    except ValueError:
        raise BadSettings(f"{whose} cannot be read") from None
    if url.scheme not in ("http", "https") or not _HOST.fullmatch(host):
        raise BadSettings(f"{whose} is not of the form http://HOST:PORT/PATH or https://HOST/PATH")
    if "@" in url.path + url.query + url.fragment:
        raise BadSettings(f"{whose} holds an @ after the host: in a user, password or path write %40")
    return url, host, port


def _quoted(text: str) -> str:
    """A path or query as it may go over the wire; what is quoted already stays."""
    return quote(text, safe="/%:@!$&'()*+,;=~?-._")


def _inflated(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Undo gzip or zlib piece by piece: a small answer must not become a huge one unnoticed. Raises `zlib.error`."""
    machine = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    for chunk in chunks:
        if machine.eof:  # zlib would keep whatever follows
            raise zlib.error("goes on after its end")
        while chunk:
            yield machine.decompress(chunk, 1 << 18)
            chunk = machine.unconsumed_tail
    yield machine.flush()
    if not machine.eof:
        raise zlib.error("cut short")


def _seconds_to_wait(answer: Answer, clock: Clock) -> float | None:
    """Retry-After as seconds from now: it is a number or an HTTP date (RFC 9110 section 10.2.3)."""
    text = answer.headers.get(b"retry-after", b"").strip()
    if text.isdigit():
        return float(text)
    if not text:
        return None
    try:
        return max(0.0, parsedate_to_datetime(text.decode("latin-1")).timestamp() - clock.now())
    except (ValueError, TypeError, OverflowError):
        return None


def _why_unreachable(said: str) -> str:
    if "refused" in said:
        return "refuses the connection: is it running, and is the port right?"
    return f"cannot be reached: {said}" if said else "cannot be reached"
